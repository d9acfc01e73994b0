"""Values in tiles of the values of labels."""

import json
import logging

import numpy as np
import pytest
import rasterio

import commands
from cutting import cut_tiles
from landshift import tileset
from landshift.classes import MapScheme, legend_writers, pairs_of
from landshift.errors import ClassError
from landshift.prepare import label
from landshift.tileset.index import read_provenance

OPTIONS = {"tile_size": 8, "stride": 8}


@pytest.fixture
def image(write_raster):
    return write_raster("image.tif", np.full((2, 8, 8), 7, np.uint16))


def written(tiles):
    """Label values of the only tile, and the pixels of each class by name."""
    (tile,) = tiles.tiles
    with rasterio.open(tile.label) as source:
        values = source.read(1)
    return values, {n: tile.class_pixels.get(v, 0) for v, n in tiles.scheme.mapping.items()}


def test_0_stays_unlabelled_where_nothing_is_declared(image, write_raster, tmp_path, caplog):
    values = np.zeros((8, 8), np.uint8)
    values[:3] = 1
    path = write_raster("l.tif", values)
    scheme = MapScheme.from_mapping({1: "change"})
    with caplog.at_level(logging.WARNING):
        tiles = cut_tiles([image], [path], tmp_path / "set", classes=scheme, **OPTIONS)
    assert tiles.tiles[0].class_pixels == {0: 40, 1: 24}
    assert "40 pixels of 0 count as without a class" in caplog.text
    scheme = MapScheme.from_mapping({0: "no change", 1: "change"})
    tiles = cut_tiles([image], [path], tmp_path / "both", classes=scheme, **OPTIONS)
    assert written(tiles)[1] == {"no change": 40, "change": 24}


def test_a_legend_beside_labels_does_not_make_0_a_class(image, write_raster, tmp_path):
    values = np.zeros((8, 8), np.uint8)
    values[:3] = 1
    path = write_raster("l.tif", values)
    names = MapScheme.from_mapping({0: "0", 1: "change"})  # a style lists every value
    legend_writers.write_qml(path, names)
    tiles = cut_tiles([image], [path], tmp_path / "set", **OPTIONS)
    assert tiles.scheme.mapping == {1: "change"}
    assert tiles.tiles[0].class_pixels == {0: 40, 1: 24}
    # beside another nodata value 0 is one, with its name
    path = write_raster("d.tif", values, nodata=255)
    legend_writers.write_qml(path, names)
    tiles = cut_tiles([image], [path], tmp_path / "declared", **OPTIONS)
    assert written(tiles)[1] == {"0": 40, "change": 24}


def test_0_is_a_class_beside_another_nodata_and_moves(image, write_raster, tmp_path, caplog):
    values = np.zeros((8, 8), np.uint8)
    values[:3], values[3] = 1, 255
    path = write_raster("l.tif", values, nodata=255)
    scheme = MapScheme.from_mapping({0: "other", 1: "forest"})
    with caplog.at_level(logging.WARNING):
        tiles = cut_tiles([image], [path], tmp_path / "set", classes=scheme, **OPTIONS)
    assert "0 -> 2 'other'" in caplog.text
    result, pixels = written(tiles)
    assert pixels == {"forest": 24, "other": 32}
    assert result.tolist() == np.vectorize({0: 2, 1: 1, 255: 0}.get)(values).tolist()
    with pytest.raises(ClassError, match=r"in the class mapping \[1\].*got 0 in .*l\.tif"):
        cut_tiles(
            [image], [path], tmp_path / "no", classes=MapScheme.from_mapping({1: "f"}), **OPTIONS
        )


def test_0_and_255_are_recoded_by_a_file(image, write_raster, tmp_path):
    values = np.where(np.arange(64).reshape(8, 8) % 3, 0, 255).astype(np.uint8)
    path = write_raster("levir.tif", values)
    (tmp_path / "r.csv").write_text("value,class\n0,No change\n255,Change\n")
    out = tmp_path / "set"
    run = commands.run(
        "tiles", image, path, "-o", out, "--recode", tmp_path / "r.csv",
        "--tile-size", "8", "--stride", "8",
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    tiles = tileset.read(out)
    assert tiles.scheme.mapping == {1: "No change", 2: "Change"}
    assert written(tiles)[0].tolist() == np.where(values == 0, 1, 2).tolist()


@pytest.mark.parametrize(
    ("recode", "scheme", "wanted"),
    [
        ({9: "b", 300: "a", -4: None, 0: None}, {1: "a", 2: "b"}, {9: 2, 300: 1, -4: 0, 0: 0}),
        ({9: 5, 300: 5, -4: "c", 0: "c"}, None, {9: 5, 300: 5, -4: 1, 0: 1}),
        ({9: 300, 300: 111, -4: 300, 0: 0}, {111: "x", 300: "y"}, {9: 1, 300: 111, -4: 1, 0: 0}),
    ],
)
def test_any_coding_is_recoded(image, write_raster, tmp_path, recode, scheme, wanted):
    values = np.random.default_rng(0).choice(list(wanted), (8, 8)).astype(np.int16)
    path = write_raster("l.tif", values, nodata=-99)
    scheme = None if scheme is None else MapScheme.from_mapping(scheme)
    tiles = cut_tiles([image], [path], tmp_path / "set", classes=scheme, recode=recode, **OPTIONS)
    assert (written(tiles)[0] == np.vectorize(wanted.get)(values)).all()


def test_recoded_labels_are_appended_by_the_names_of_the_set(image, write_raster, tmp_path):
    first = write_raster("1.tif", np.full((8, 8), 255, np.uint8))
    recode = {255: "Change", 0: "No change"}
    cut_tiles([image], [first], tmp_path / "set", recode=recode, **OPTIONS)
    second = write_raster("2.tif", np.full((8, 8), 7, np.uint8))
    joined = cut_tiles(
        [image], [second], tmp_path / "set", recode={4: "No change", 7: "Change"}, append=True,
        **OPTIONS,
    )  # fmt: skip
    assert [t.class_pixels for t in joined.tiles] == [{1: 64}, {1: 64}]
    with pytest.raises(ClassError, match="got 'Water'"):
        cut_tiles([image], [second], tmp_path / "set", recode={7: "Water"}, append=True, **OPTIONS)


def test_a_value_that_the_recoding_leaves_out_is_named(image, write_raster, tmp_path):
    path = write_raster("l.tif", np.full((8, 8), 128, np.uint8))
    with pytest.raises(ClassError, match=r"got 128 in .*l\.tif"):
        cut_tiles([image], [path], tmp_path / "s", recode={0: "a", 255: "b"}, **OPTIONS)


def test_a_recoded_value_counts_where_the_file_calls_it_nodata(image, write_raster, tmp_path):
    values = np.where(np.eye(8) > 0, 255, 0).astype(np.uint8)
    path = write_raster("l.tif", values, nodata=255)
    tiles = cut_tiles(
        [image], [path], tmp_path / "s", recode={0: "still", 255: "change"}, **OPTIONS
    )
    assert written(tiles)[1] == {"still": 56, "change": 8}


def test_large_values_are_recoded_with_their_names(image, write_raster, tmp_path, caplog):
    names = {111: "city", 311: "broad", 523: "sea"}
    values = np.random.default_rng(0).choice(list(names), (8, 8)).astype(np.int16)
    path = write_raster("l.tif", values, nodata=-9999)
    with caplog.at_level(logging.WARNING):
        tiles = cut_tiles(
            [image], [path], tmp_path / "set", classes=MapScheme.from_mapping(names), **OPTIONS
        )
    assert "311 -> 1 'broad', 523 -> 2 'sea'" in caplog.text
    result, pixels = written(tiles)
    assert tiles.scheme.mapping == {1: "broad", 2: "sea", 111: "city"}
    assert pixels == {n: int((values == v).sum()) for v, n in names.items()}
    assert (result == np.vectorize({111: 111, 311: 1, 523: 2}.get)(values)).all()
    # more of them with the same classes
    joined = cut_tiles(
        [image], [path], tmp_path / "set", classes=MapScheme.from_mapping(names), append=True,
        **OPTIONS,
    )  # fmt: skip
    assert len(joined.tiles) == 2
    assert joined.tiles[0].class_pixels == joined.tiles[1].class_pixels


@pytest.mark.parametrize("coding", ["to", "from-to", "binary"])
def test_class_maps_are_coded_as_in_the_change_map(image, write_raster, tmp_path, coding):
    random = np.random.default_rng(1)
    names = {0: "other", 1: "forest", 400: "town"}
    before, after = (random.choice(list(names), (8, 8)).astype(np.int16) for _ in range(2))
    before[0] = -1
    maps = [write_raster(f"{k}.tif", v, nodata=-1) for k, v in (("b", before), ("a", after))]
    change = tmp_path / "change.tif"
    scheme = MapScheme.from_mapping(names)
    label.label(*maps, change, classes=scheme, coding=coding)
    tiles = cut_tiles(
        [image], [change], tmp_path / "set", labels_before=maps[:1], labels_after=maps[1:],
        map_classes=scheme, **OPTIONS,
    )  # fmt: skip
    (tile,) = tiles.tiles
    first, second = tileset.read_class_maps(tile)
    assert (first == np.vectorize({-1: 0, 0: 2, 1: 1, 400: 3}.get)(before)).all()
    # each class of the change map stands for the pairs that it is made of
    codes = written(tiles)[0]
    of_maps = tiles.map_scheme
    for value, pairs in zip(tiles.scheme.values, pairs_of(tiles.scheme, of_maps), strict=True):
        held = zip(first[codes == value], second[codes == value], strict=True)
        places = {(of_maps.values.index(b), of_maps.values.index(a)) for b, a in held}
        assert places <= set(pairs)


def test_what_was_moved_is_written_beside_the_tiles(image, write_raster, tmp_path):
    path = write_raster("l.tif", np.full((8, 8), 300, np.int16))
    tiles = cut_tiles(
        [image], [path], tmp_path / "s", classes=MapScheme.from_mapping({300: "sea"}), **OPTIONS
    )
    record = read_provenance(tiles.folder)
    assert json.loads(json.dumps(record))["parameters"]["moved"] == {"300": 1}


def test_a_value_named_no_data_is_unlabelled(image, write_raster, tmp_path, caplog):
    values = np.full((8, 8), 255, np.uint8)
    values[:3], values[3] = 1, 2
    path = write_raster("l.tif", values)
    scheme = MapScheme.from_mapping({1: "forest", 2: "town", 255: "Fill"})
    tiles = cut_tiles([image], [path], tmp_path / "1", classes=scheme, **OPTIONS)
    assert tiles.scheme.mapping == {1: "forest", 2: "town"}
    assert tiles.tiles[0].class_pixels == {0: 32, 1: 24, 2: 8}
    recode = {1: "forest", 2: 0, 255: "No data"}
    with caplog.at_level(logging.WARNING):
        tiles = cut_tiles([image], [path], tmp_path / "2", recode=recode, **OPTIONS)
    assert "l.tif: the recoding makes 2 0, which is no class here" in caplog.text
    assert tiles.tiles[0].class_pixels == {0: 40, 1: 24}


def test_names_decide_over_values_of_class_maps_and_labels(image, write_raster, tmp_path, caplog):
    random = np.random.default_rng(3)
    first, second = (random.choice([1, 2], (8, 8)).astype(np.uint8) for _ in range(2))
    before, after = write_raster("b.tif", first), write_raster("a.tif", second + 2)
    legend_writers.write_category_names(before, MapScheme.from_mapping({1: "water", 2: "land"}))
    legend_writers.write_category_names(after, MapScheme.from_mapping({3: "Water", 4: "land"}))
    with caplog.at_level(logging.WARNING):
        tiles = cut_tiles(
            [image], [before], tmp_path / "set", labels_before=[before], labels_after=[after],
            **OPTIONS,
        )  # fmt: skip
    assert "a.tif: recoded by name: 3 -> 1 'water', 4 -> 2 'land'" in caplog.text
    assert tiles.map_scheme.mapping == {1: "water", 2: "land"}
    assert all(
        (each == wanted).all()
        for each, wanted in zip(
            tileset.read_class_maps(tiles.tiles[0]), (first, second), strict=True
        )
    )
    tiles = cut_tiles([image, image], [before, after], tmp_path / "two", **OPTIONS)
    assert tiles.scheme.mapping == {1: "water", 2: "land"}
    with rasterio.open(tiles.tiles[1].label) as source:
        assert (source.read(1) == second).all()
    other = write_raster("o.tif", first)
    legend_writers.write_category_names(other, MapScheme.from_mapping({1: "maize", 2: "land"}))
    with pytest.raises(ClassError, match=r"'water' and 'maize' for value 1 .*`map_classes`"):
        cut_tiles(
            [image], [before], tmp_path / "no", labels_before=[before], labels_after=[other],
            **OPTIONS,
        )  # fmt: skip


# ---- Real labels


def test_taizhou_tiles_hold_0_as_unlabelled(data_folder, tmp_path):
    folder = data_folder / "taizhou"
    tiles = cut_tiles(
        [folder / "t1_2000.tif"], [folder / "labels_0nodata_1nochange_2change.tif"],
        tmp_path / "set", classes=MapScheme.from_mapping({1: "No change", 2: "change"}),
        tile_size=100, stride=100, unlabelled=True,
    )  # fmt: skip
    assert tiles.class_pixels() == {0: 138610, 1: 17163, 2: 4227}
