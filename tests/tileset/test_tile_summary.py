"""Sizes of tiles that are chosen, and what a split set gives to learn from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift import tileset
from landshift.classes import ClassScheme
from landshift.raster.tiling import count_windows, training_windows
from landshift.tileset import sizes, summary
from landshift.tileset.sizes import Sizes, choose_sizes
from landshift.tileset.tiles import Tile, TileSet

SCHEME = ClassScheme.from_mapping({1: "to forest", 2: "to water", 3: "No change"})


def set_of(corners, *, side=64, pixels=None, crs="EPSG:32650"):
    """A set of tiles with these lower left corners, all labelled 3 unless `pixels` says so."""
    tiles = [
        Tile(
            name=f"{k:09d}", image=None, label=None, crs=crs,
            bounds=None if corner is None else (*corner, corner[0] + side, corner[1] + side),
            class_pixels={3: side * side} if pixels is None else pixels[k],
            valid=side * side, minimum=(0,), maximum=(1,), mean=(0.5,), m2=(1,),
        )
        for k, corner in enumerate(corners)
    ]  # fmt: skip
    return TileSet(
        bands=("red",), dtype="uint8", nodata=None, height=side, width=side, cell_size=(1, 1),
        tiles=tuple(tiles), folder=None, scheme=SCHEME,
    )  # fmt: skip


# sizes


@pytest.mark.parametrize(
    ("rasters", "size"),
    [
        ([(10_000, 10_000)], 256),
        ([(1536, 1536)], 256),
        ([(1000, 1000)], 128),
        ([(377, 697)], 64),
        ([(377, 697)] * 10, 256),  # ten rasters of ten tiles each
        ([(400, 400)], 64),
        ([(250, 250)], 64),
        ([(100, 100)], 32),
        ([(20, 20)], 32),
    ],
)
def test_tiles_are_the_largest_that_give_enough(rasters, size):
    found = choose_sizes(rasters)
    assert (found.tile, found.stride) == ((size, size), (size // 2, size // 2))


def test_a_stride_follows_the_tile_and_a_tile_the_stride():
    raster = [(377, 697)]
    assert choose_sizes(raster, 32) == Sizes((32, 32), (16, 16))
    assert choose_sizes(raster, (48, 31)) == Sizes((48, 31), (24, 15))
    assert choose_sizes(raster, 1) == Sizes((1, 1), (1, 1))
    assert choose_sizes(raster, 64, 48) == Sizes((64, 64), (48, 48))
    # 261 tiles of 256 pixels at a stride of 16, 30 of 128 pixels at 128 x 64
    assert choose_sizes(raster, None, 16) == Sizes((256, 256), (16, 16), "they are at least 100")
    wide = choose_sizes(raster, None, (128, 64))
    assert wide == Sizes((128, 128), (128, 64), "larger ones would be fewer than 100")
    alone = choose_sizes(raster, None, 300)
    assert alone == Sizes((300, 300), (300, 300), "the smallest for the stride")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), min_size=1, max_size=3))
def test_a_chosen_size_is_one_that_encoders_halve(rasters):
    found = choose_sizes(rasters)
    size = found.tile[0]
    assert size % 32 == 0
    assert found.stride == (size // 2, size // 2)
    tiles = sum(len(list(training_windows(*r, size, size // 2))) for r in rasters)
    assert tiles == sum(count_windows(*r, size, size // 2) for r in rasters)
    if size > sizes.TILE_SIZES[-1]:
        assert tiles >= sizes.ENOUGH_TILES


# the summary


def test_ground_and_pixels_of_overlapping_tiles_count_once():
    # two training tiles that share half of their ground, one dropped, one validation tile
    corners = [(0, 0), (32, 0), (64, 0), (128, 0)]
    pixels = [{1: 400, 3: 3696}, {1: 400, 3: 3696}, {3: 4096}, {2: 4096}]
    split = tileset.Split((0, 1), (3,), (2,))
    found = tileset.summarise(set_of(corners, pixels=pixels), split)
    # ground of all: 0 to 192; of training: 0 to 96
    assert found.training.ground == pytest.approx(96 / 192)
    assert found.validation.ground == pytest.approx(64 / 192)
    assert (found.training.tiles, found.validation.tiles, found.dropped) == (2, 1, 1)
    assert found.training.pixels == {"to forest": 600, "to water": 0, "No change": 5544}
    assert found.validation.pixels == {"to forest": 0, "to water": 4096, "No change": 0}
    assert found.lines(8) == [
        "training: 2 tiles, 50% of the ground, 1 step an epoch (batches of 8)",
        "validation: 1 tile, 33% of the ground; 1 dropped between them",
        "rarest in training, about: to forest (600 pixels), No change (5,544 pixels)",
    ]
    unwanted = tileset.summarise(set_of(corners, pixels=pixels), split, ignored=[1])
    assert unwanted.training.pixels == {"to water": 0, "No change": 5544}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=12))
def test_shares_of_ground_add_up_to_what_tiles_cover(corners):
    tiles = set_of([(16 * x, 16 * y) for x, y in corners])
    everything = tuple(range(len(corners)))
    own = summary._own_ground(tiles, everything, tileset.overlapping_pairs(tiles))
    covered = np.zeros((16, 16), bool)
    for x, y in corners:
        covered[x : x + 4, y : y + 4] = True
    assert own.sum() * 16 == pytest.approx(covered.sum())


def test_labels_of_two_dates_on_one_ground_count_twice():
    corners = [(0, 0), (32, 0), (0, 0), (32, 0), (0, 0), (200, 0)]
    pixels = [{1: 400}, {1: 400}, {1: 100}, {1: 100}, {1: 400}, {1: 1}]  # the fifth: turned by 90
    split = tileset.Split((0, 1, 2, 3, 4), (5,), ())
    found = tileset.summarise(set_of(corners, pixels=pixels), split)
    assert found.training.ground == pytest.approx(96 / 160)
    # of 400: two tiles that fill one and a half, in three; of 100: one and a half
    assert found.training.pixels["to forest"] == 600 + 150


def test_tiles_without_a_place_lie_apart():
    found = tileset.summarise(set_of([None] * 4), tileset.Split((0, 1, 2), (3,), ()))
    assert (found.training.ground, found.validation.ground) == (0.75, 0.25)
    assert found.training.pixels["No change"] == 3 * 64 * 64


def test_what_is_too_little_is_warned_of(caplog):
    corners = [(100 * k, 0) for k in range(40)]
    pixels = [{1: 1, 3: 4095}] * 40
    few = tileset.summarise(set_of(corners, pixels=pixels), tileset.Split((0, 1), (2,), ()))
    few.warn()
    assert [r.getMessage().partition(": ")[2] for r in caplog.records] == few.warnings()
    assert few.warnings()[0] == (
        "2 tiles for training, fewer than 20; cut smaller tiles (`tile_size` 32, `stride` 16), or "
        "add pairs."
    )
    assert few.warnings()[1].startswith("1 tile for validation, fewer than 3: scores depend on")
    assert few.warnings()[2].startswith("fewer than 500 labelled pixels in training: to")
    assert few.rare == {"to forest": 2}  # to water occurs nowhere
    many = tileset.Split(tuple(range(20)), (20, 21, 22), ())
    assert tileset.summarise(set_of(corners), many).warnings() == []
    small = tileset.summarise(set_of(corners, side=32), tileset.Split((0,), (1, 2, 3), ()))
    assert "add pairs of rasters, or cut with a smaller `stride`" in small.warnings()[0]


def test_steps_are_whole_batches():
    found = tileset.summarise(set_of([(100 * k, 0) for k in range(20)]),
                              tileset.Split(tuple(range(17)), (17, 18, 19), ()))  # fmt: skip
    assert [found.steps(n) for n in (1, 8, 9, 100)] == [17, 2, 1, 1]
