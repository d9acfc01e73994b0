import csv
import json

import numpy as np
import pytest
import rasterio

from commands import run
from cutting import cut_tiles
from landshift import FoldModel, raster, suspects, tileset
from landshift.classes import IGNORE_INDEX, ClassScheme
from landshift.errors import GridError, OutputError, ParameterError, SplitError, TileSetError
from landshift.learn.mosaic import Layout, Mosaic
from landshift.learn.suspects import _calibrated, _verdict
from scenes import BANDS, MAPPING, striped_scene, write

SCHEME = ClassScheme.from_mapping(MAPPING)
QUICK = FoldModel(model="quadratic")
WRONG = [(40, 60, 8, 12), (200, 100, 6, 6), (120, 220, 10, 5)]  # row, column, height, width


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A scene with three places of wrong labels, and tiles of it."""
    folder = tmp_path_factory.mktemp("suspects")
    composite, labels = striped_scene(256)
    composite[:, :, :6], labels[:, :6] = 0, 0
    write(folder / "image.tif", composite, nodata=0, bands=BANDS)
    wrong = labels.copy()
    for row, column, height, width in WRONG:
        part = np.s_[row : row + height, column : column + width]
        wrong[part] = 3 - labels[part]
    write(folder / "labels.tif", wrong, nodata=0)
    cut_tiles(
        [folder / "image.tif"], [folder / "labels.tif"], folder / "tiles", classes=SCHEME,
        tile_size=32, stride=16,
    )  # fmt: skip
    return folder, labels, wrong


@pytest.mark.parametrize("model", ["quadratic", "conv3"])
def test_wrong_labels_are_found_where_they_are(scene, tmp_path, model):
    folder, labels, wrong = scene
    out, path, weights = (tmp_path / name for name in ("s.csv", "s.tif", "w.tif"))
    judging = FoldModel(model=model, max_steps=80)
    result = suspects(
        folder / "tiles", out, map_file=path, weights=weights, like=folder / "image.tif",
        min_pixels=9, judging=judging,
    )  # fmt: skip
    with rasterio.open(path) as source:
        likely = source.read(1)
        assert source.bounds == rasterio.open(folder / "image.tif").bounds
    assert raster.scheme_of(path).mapping == MAPPING
    truth = wrong != labels
    hits = likely > 0
    least = 0.9 if model == "quadratic" else 0.7  # conv3 blurs the edges of places
    assert (hits & truth).sum() > least * truth.sum()
    assert (hits & ~truth).sum() < 0.1 * truth.sum()
    assert (likely[hits & truth] == labels[hits & truth]).all()
    assert result.suspicious == hits.sum()
    assert result.labelled == (wrong > 0).sum()
    assert result.wrong == pytest.approx(truth.sum() / (wrong > 0).sum(), rel=0.35)
    with rasterio.open(weights) as source:
        weight = source.read(1)
    assert (weight[~hits] == 1).all()
    assert (weight[hits] < 0.5).all()
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert rows == [{k: str(v) for k, v in row.items()} for row in result.rows()]
    inside = 0
    for place in result.places:
        column, row = int((place.x - 500_000) // 30), int((4_000_000 - place.y) // 30)
        inside += truth[row, column]
        tile = next(t for t in tileset.read(folder / "tiles").tiles if t.name == place.tile)
        _, _, own = tileset.read_tile(tile)
        assert SCHEME.mapping[int(own[place.row, place.column])] == place.given
        assert place.given != place.likely
        assert 0 < place.margin <= 1
        assert place.hectares == pytest.approx(place.pixels * 0.09, rel=0.01)
        assert place.crs == "EPSG:32618"
    assert inside >= 3


def test_weights_of_suspects_are_taken_by_tiles(scene, tmp_path):
    folder, _, _ = scene
    suspects(folder / "tiles", weights=tmp_path / "w.tif", like=folder / "image.tif", judging=QUICK)
    cut = cut_tiles(
        [folder / "image.tif"], [folder / "labels.tif"], tmp_path / "again", classes=SCHEME,
        tile_size=32, stride=32, weights=[tmp_path / "w.tif"],
    )  # fmt: skip
    assert 0.95 < cut.mean_weight() < 1


def test_the_same_bytes_again_and_no_file_is_overwritten(scene, tmp_path):
    folder, _, _ = scene
    for name in "ab":
        suspects(
            folder / "tiles",
            tmp_path / f"{name}.csv",
            map_file=tmp_path / name / "m.tif",
            judging=QUICK,
        )
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    maps = [rasterio.open(tmp_path / name / "m.tif").read() for name in "ab"]
    assert np.array_equal(*maps)
    with pytest.raises(OutputError, match=r"a\.csv"):
        suspects(folder / "tiles", tmp_path / "a.csv")


def test_confident_learning_by_hand():
    # three pixels labelled 0, two labelled 1, one not at all; thresholds 0.6 and 0.7
    target = np.array([[0, 0, 0, 1, 1, IGNORE_INDEX]], np.uint8)
    first = np.array([[0.9, 0.2, 0.55, 0.25, 0.8, 0.1]], np.float32)
    verdict = _verdict(target, np.stack([first, 1 - first]), np.array([0.6, 0.7]))
    assert verdict["given"].tolist() == [[1, 1, 1, 2, 2, 0]]
    assert verdict["likely"].tolist() == [[1, 2, 0, 2, 1, 0]]  # 0.55 and 0.45 are below both
    kept = _verdict(target[:, 2:3], np.stack([first, 1 - first])[:, :, 2:3], np.array([0.6, 0.4]))
    assert kept["likely"].tolist() == [[1]]  # 0.45 is above its threshold, but 0.55 is the label's
    assert verdict["margin"][0, [1, 4]] == pytest.approx([0.6, 0.6])
    assert verdict["sure"][0, [1, 4]] == pytest.approx([0.2, 0.2])


def test_the_joint_is_scaled_to_the_labels(scene):
    tiles = tileset.read(scene[0] / "tiles")
    counts = tiles.class_pixels()
    joint = _calibrated(np.array([[6, 2], [0, 0]]), tiles)
    assert joint[0] == pytest.approx([0.75 * counts[1], 0.25 * counts[1]])
    assert joint[1] == pytest.approx([0, counts[2]])  # none confident: taken as they are


def test_where_tiles_overlap_the_one_that_shows_a_pixel_farthest_from_its_edge_counts(tmp_path):
    layout = Layout([(0, 0), (0, 2)], (4, 6), None)
    mosaic = Mosaic(layout, {"v": "uint8"}, tmp_path)
    for k in (0, 1):
        mosaic.put(k, {"v": np.full((4, 4), k + 1, np.uint8)})
    assert mosaic.values["v"][1].tolist() == [1, 1, 1, 2, 2, 2]


def test_tiles_of_two_dates_or_without_a_place_have_a_table_but_no_map(scene, tmp_path):
    folder, _, _ = scene
    composite, labels = striped_scene(256)
    labels[64:72, 64:80] = 3 - labels[64:72, 64:80]
    image = write(tmp_path / "i.tif", composite, nodata=0, bands=BANDS)
    label = write(tmp_path / "l.tif", labels, nodata=0)
    two = [image, folder / "image.tif"], [label, folder / "labels.tif"]
    sizes = {"classes": SCHEME, "tile_size": 32, "stride": 32}
    cut_tiles(*two, tmp_path / "dates", **sizes)
    for path in (image, label):
        bare(path)
    cut_tiles([image], [label], tmp_path / "bare", **sizes)
    for name in ("dates", "bare"):
        result = suspects(tmp_path / name, min_pixels=40, judging=QUICK)
        assert result.places
        assert all((p.x is None) == (name == "bare") for p in result.places)
        assert all(p.hectares is None for p in result.places)
        with pytest.raises(GridError, match="tiles of one grid, one date and not turned"):
            suspects(tmp_path / name, map_file=tmp_path / f"{name}.tif", judging=QUICK)


def bare(path):
    """Write a raster again without its georeference."""
    with rasterio.open(path) as file:
        values, names = file.read(), file.descriptions
    path.unlink()
    with tileset.tiles.without_georeference(), rasterio.open(
        path, "w", driver="GTiff", count=len(values), height=values.shape[1],
        width=values.shape[2], dtype=values.dtype, nodata=0,
    ) as file:  # fmt: skip
        file.write(values)
        file.descriptions = names


def test_bad_input_is_refused(scene, tmp_path):
    folder, labels, _ = scene
    image = folder / "image.tif"

    def tiles_of(name, values, **options):
        path = write(tmp_path / f"{name}.tif", values, nodata=0)
        sizes = {"tile_size": 32, "stride": 32} | options
        cut_tiles([image], [path], tmp_path / name, classes=SCHEME, **sizes)
        return tmp_path / name

    with pytest.raises(TileSetError, match="two classes or more to be compared, got only 'to c"):
        suspects(tiles_of("one", np.where(labels > 0, 1, 0).astype(np.uint8)))
    few = tiles_of("few", labels, tile_size=128, stride=128)
    with pytest.raises(SplitError, match="Folds need 2 tiles each, got 4 tiles for 4 folds"):
        suspects(few)
    near = tiles_of("near", labels, tile_size=192, stride=16)
    with pytest.raises(SplitError, match="tiles that share no ground with it"):
        suspects(near)
    rare = np.full_like(labels, 2)
    rare[:32, :32] = 1
    with pytest.raises(SplitError, match="tiles with two classes or more to train on"):
        suspects(tiles_of("rare", rare))
    with pytest.raises(ParameterError, match="`folds` must be at least 2"):
        FoldModel(folds=1)
    with pytest.raises(ParameterError, match="`min_pixels` must be at least 1"):
        suspects(folder / "tiles", min_pixels=0)
    with pytest.raises(ParameterError, match="`like` is the grid of"):
        suspects(folder / "tiles", like=image)
    other = write(tmp_path / "other.tif", labels, pixel=20.0)
    with pytest.raises(GridError, match="The tiles must lie on the grid of `like`"):
        suspects(folder / "tiles", weights=tmp_path / "w.tif", like=other)


def test_labels_that_contradict_the_images_everywhere_are_refused(tmp_path):
    """Left of the middle one coding, right of it the other: each fold's model is wrong."""
    composite, labels = striped_scene(128)
    labels[:, 64:] = 3 - labels[:, 64:]
    image = write(tmp_path / "i.tif", composite, nodata=0, bands=BANDS)
    path = write(tmp_path / "l.tif", labels, nodata=0)
    cut_tiles([image], [path], tmp_path / "set", classes=SCHEME, tile_size=64, stride=64)
    with pytest.raises((TileSetError, SplitError), match=r"must mostly agree|two classes|Folds"):
        suspects(tmp_path / "set", judging=FoldModel(folds=2, seed=1))


def test_the_command_says_what_it_finds(scene, tmp_path):
    folder, _, _ = scene
    done = run("suspects", folder / "tiles", "-o", tmp_path / "s.csv", "--map", tmp_path / "m.tif",
               "--model", "linear", "--folds", 3)  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "labelled pixels are suspicious" in done.stdout
    assert "are likely" in done.stdout
    assert str(tmp_path / "m.tif") in done.stdout
    printed = run(
        "suspects",
        folder / "tiles",
        "-o",
        tmp_path / "t.csv",
        "--model",
        "quadratic",
        "--print",
        "json",
    )
    assert json.loads(printed.stdout)["places"]
