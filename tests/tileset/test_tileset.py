import hashlib
import json
import logging
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from cutting import cut_tiles
from landshift import tileset
from landshift.classes import ClassScheme
from landshift.errors import (
    BandError,
    ClassError,
    GridError,
    ParameterError,
    SplitError,
    TileSetError,
)
from landshift.files import archive
from landshift.tileset import esri
from landshift.tileset.tiles import without_georeference

ESRI = Path(__file__).parents[3] / "shared" / "data" / "esri"
SCHEME = ClassScheme.from_mapping({1: "to forest", 2: "to water", 3: "No change"})
BANDS = ("before:red", "after:red")

needs_esri = pytest.mark.skipif(not ESRI.is_dir(), reason="Esri's files aren't beside the repo")


def write(path, values, *, nodata=None, bands=(), crs="EPSG:32650", origin=(600000.0, 3000000.0)):
    values = values if values.ndim == 3 else values[None]
    place = (
        {} if crs is None else {"crs": crs, "transform": Affine(2, 0, origin[0], 0, -2, origin[1])}
    )
    with without_georeference(), rasterio.open(
        path, "w", driver="GTiff", count=len(values), height=values.shape[1],
        width=values.shape[2], dtype=values.dtype, nodata=nodata, photometric="minisblack", **place,
    ) as target:  # fmt: skip
        target.write(values)
        for number, band in enumerate(bands, start=1):
            target.set_band_description(number, band)
    return path


def random_pair(folder, *, height=80, width=100, name="a", nodata=0, seed=1, **place):
    rng = np.random.default_rng(seed)
    image = rng.integers(1, 5000, (2, height, width)).astype(np.int16)
    labels = rng.integers(0, 4, (height, width)).astype(np.uint8)
    folder.mkdir(exist_ok=True)
    return (
        write(folder / f"{name}.tif", image, nodata=nodata, bands=BANDS, **place),
        write(folder / f"{name}_change.tif", labels, **place),
    )


def cut(folder, image, labels, **options):
    options = {"classes": SCHEME, "tile_size": 32, "stride": 16, **options}
    return cut_tiles([image], [labels], folder, **options)


@pytest.fixture
def small(tmp_path):
    return cut(tmp_path / "set", *random_pair(tmp_path / "in"))


@pytest.fixture
def real(tmp_path):
    if not ESRI.is_dir():
        pytest.skip("Esri's files aren't beside the repo")
    shutil.copytree(ESRI / "classified_tiles_16bit_4band", tmp_path / "real")
    return tmp_path / "real"


def made(bounds, *, size=32, held=None, crs="EPSG:32650"):
    """A set whose files don't exist: what a split needs to know."""
    tiles = tuple(
        tileset.Tile(
            name=f"{k:09d}", image=Path("i"), label=Path("l"), bounds=box, crs=crs,
            class_pixels={v: 1 for v in (held[k] if held else (1,))}, valid=1,
            minimum=(0.0,), maximum=(0.0,), mean=(0.0,), m2=(0.0,),
        )
        for k, box in enumerate(bounds)
    )  # fmt: skip
    return tileset.TileSet(
        folder=Path("made"), scheme=SCHEME, bands=("",), dtype="uint8", nodata=None, height=size,
        width=size, tiles=tiles, cell_size=(1.0, 1.0),
    )  # fmt: skip


def grid_of(rows, columns, *, stride=16, size=32):
    corners = [(c * stride, r * stride) for r in range(rows) for c in range(columns)]
    return [(float(x), float(y), float(x + size), float(y + size)) for x, y in corners]


def leaks(split, pairs):
    train, valid = set(split.train), set(split.valid)
    return [(a, b) for a, b in pairs if (a in train and b in valid) or (b in train and a in valid)]


# cutting


def test_tiles_hold_what_the_rasters_hold(tmp_path):
    image, labels = random_pair(tmp_path / "in")
    tiles = cut(tmp_path / "set", image, labels, start_index=7)
    assert tiles.tiles[0].name == "000000007"
    assert (tiles.bands, tiles.dtype, tiles.nodata) == (BANDS, "int16", 0)
    assert (tiles.height, tiles.width, tiles.cell_size) == (32, 32, (2, 2))
    with rasterio.open(image) as a, rasterio.open(labels) as b:
        for tile in tiles.tiles:
            window = a.window(*tile.bounds)
            values, mask, codes = tileset.read_tile(tile)
            np.testing.assert_array_equal(values, a.read(window=window))
            np.testing.assert_array_equal(codes, b.read(1, window=window))
            assert mask.all()
            assert tile.crs == "EPSG:32650"


def test_reading_gives_what_cutting_gave(small):
    assert tileset.read(small.folder, SCHEME) == small
    assert tileset.read(small.folder).scheme == SCHEME
    (small.folder / "landshift.sqlite").unlink()
    assert tileset.read(small.folder) == small
    assert (small.folder / "landshift.sqlite").exists()


def test_statistics_are_those_of_the_stacked_tiles(small):
    chosen = [0, 3, 4]
    stack = np.concatenate(
        [tileset.read_tile(small.tiles[k])[0].reshape(2, -1) for k in chosen], axis=1
    ).astype(float)
    result = small.band_statistics(chosen)
    np.testing.assert_allclose(result.mean, stack.mean(axis=1), rtol=1e-14)
    np.testing.assert_allclose(result.std, stack.std(axis=1, ddof=1), rtol=1e-14)
    assert result.minimum == tuple(stack.min(axis=1))
    assert result.maximum == tuple(stack.max(axis=1))
    assert result.count == (3 * 32 * 32,) * 2


def test_values_that_have_no_mean_are_one_line(tmp_path):
    values = np.ones((2, 64, 64))
    values[:, :5] = np.finfo(np.float64).min
    image = write(tmp_path / "a.tif", values)
    labels = write(tmp_path / "b.tif", np.ones((64, 64), np.uint8))
    with pytest.raises(TileSetError, match=r"values from -1\.79769e\+308 to 1 in .* -a_nodata"):
        cut_tiles([image], [labels], tmp_path / "set", classes=SCHEME, tile_size=32, stride=32)


def test_class_pixels_are_exact(small):
    counts = np.zeros(256, np.int64)
    for tile in small.tiles:
        counts += np.bincount(tileset.read_tile(tile)[2].ravel(), minlength=256)
    assert small.class_pixels() == {k: n for k, n in enumerate(counts) if n}
    sidecar = json.loads((small.folder / esri.ACCUMULATED).read_text())
    assert sidecar["ClassPixelStats"]["NumPixelsPerClass"] == list(counts[1:4])


def test_pixels_that_are_not_valid_are_nodata_and_unlabelled(tmp_path):
    values = np.full((2, 40, 40), 9, np.int16)
    values[0, :20] = -1
    image = write(tmp_path / "a.tif", values, nodata=-1)
    codes = np.full((40, 40), 2, np.uint8)
    codes[:, 30:] = 99
    labels = write(tmp_path / "b.tif", codes, nodata=99)
    (tile,) = cut(tmp_path / "set", image, labels, tile_size=40, stride=40).tiles
    read, mask, result = tileset.read_tile(tile)
    assert (read[:, :20] == -1).all()
    assert not mask[:20].any()
    assert mask[20:].all()
    assert tile.class_pixels == {0: 40 * 20 + 20 * 10, 2: 20 * 30}
    assert (result[20:, :30] == 2).all()
    assert tile.valid == 800
    assert tile.minimum == (9, 9)


def test_windows_without_labels_are_left_out(tmp_path):
    image, labels = random_pair(tmp_path / "in", height=64, width=64)
    with rasterio.open(labels, "r+") as target:
        codes = target.read(1)
        codes[:, 32:] = 0
        target.write(codes, 1)
    options = {"tile_size": 32, "stride": 32}
    seen = []
    tiles = cut(tmp_path / "a", image, labels, on_tile=lambda *n: seen.append(n), **options)
    assert len(tiles.tiles) == 2
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert len(cut(tmp_path / "b", image, labels, unlabelled=True, **options).tiles) == 4


@pytest.mark.parametrize("nodata", [0, None])
def test_a_raster_smaller_than_a_tile_is_padded(tmp_path, nodata):
    image, labels = random_pair(tmp_path / "in", height=20, width=25, nodata=nodata)
    tiles = cut(tmp_path / "set", image, labels)
    (tile,) = tiles.tiles
    values, mask, codes = tileset.read_tile(tile)
    assert values.shape == (2, 32, 32)
    assert mask[:20, :25].all()
    assert mask.sum() == tile.valid == 500
    assert not values[:, ~mask].any()
    assert not codes[~mask].any()
    with rasterio.open(image) as source:
        np.testing.assert_array_equal(values[:, :20, :25], source.read())
    assert min(tile.minimum) > 0  # padding is no value
    (tiles.folder / "landshift.sqlite").unlink()
    assert tileset.read(tiles.folder) == tiles


def test_a_fourth_band_of_uint8_is_no_alpha(tmp_path):
    values = np.zeros((4, 32, 32), np.uint8)
    image = write(tmp_path / "a.tif", values)
    tiles = cut(tmp_path / "set", image, write(tmp_path / "b.tif", np.ones((32, 32), np.uint8)))
    assert tileset.read_tile(tiles.tiles[0])[1].all()


def test_several_pairs_go_into_one_set(tmp_path):
    a = random_pair(tmp_path / "in", name="a", height=32, width=32, origin=(600000.0, 3000000.0))
    b = random_pair(tmp_path / "in", name="b", height=32, width=48, origin=(700000.0, 3000000.0))
    tiles = cut_tiles(
        [a[0], b[0]], [a[1], b[1]], tmp_path / "set", classes=SCHEME, tile_size=32, stride=16
    )
    assert [t.bounds[0] for t in tiles.tiles] == [600000, 700000, 700032]
    assert [t.name for t in tiles.tiles] == ["000000000", "000000001", "000000002"]


def test_classes_come_from_the_class_raster(tmp_path):
    from landshift import grid, raster

    image, labels = random_pair(tmp_path / "in", height=32, width=32)
    with rasterio.open(labels) as source:
        codes = source.read()
    named = tmp_path / "named.tif"
    box = raster.info(labels).grid
    with raster.create(named, box, count=1, dtype="uint8", nodata=0, scheme=SCHEME) as target:
        raster.write(target, codes, grid.Window(0, 0, 32, 32))
    assert cut(tmp_path / "set", image, named, classes=None).scheme == SCHEME
    with pytest.raises(ClassError, match="class names or a colour table"):
        cut(tmp_path / "other", image, labels, classes=None)


def test_a_colour_table_alone_states_the_classes_of_labels_and_class_maps(tmp_path):
    image, labels = random_pair(tmp_path / "in", height=32, width=32)
    with rasterio.open(labels, "r+") as source:
        source.nodata = 0
        values = [int(v) for v in np.unique(source.read(1)) if v]
        source.write_colormap(1, {v: (9 * v, 5, 0, 255) for v in values})
    classes = [(v, f"class {v}", (9 * v, 5, 0)) for v in values]
    tiles = cut_tiles(
        [image], [labels], tmp_path / "set", labels_before=[labels], labels_after=[labels],
        tile_size=32, stride=16,
    )  # fmt: skip
    for scheme in (tiles.scheme, tiles.map_scheme):
        assert [(c.value, c.name, c.colour) for c in scheme] == classes


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    pair = random_pair(tmp_path / "in")
    folders = [cut(tmp_path / name, *pair).folder for name in ("a", "b")]
    contents = [
        {p.relative_to(f).as_posix(): p.read_bytes() for p in f.rglob("*") if p.is_file()}
        for f in folders
    ]
    assert contents[0] == contents[1]
    assert len(contents[0]) == 4 * len(tileset.read(folders[0]).tiles) + 5
    first = contents[0]["landshift.sqlite"]
    (folders[0] / "images" / "000000000.tif").touch()
    tileset.read(folders[0])  # written anew, what made the set kept
    assert (folders[0] / "landshift.sqlite").read_bytes() == first


def test_a_changed_tile_is_seen(small):
    before = small.class_pixels()
    with rasterio.open(small.tiles[0].label, "r+") as target:
        target.write(np.full((1, 32, 32), 3, np.uint8))
    after = tileset.read(small.folder).class_pixels()
    assert after != before
    assert sum(after.values()) == sum(before.values())


def test_labels_that_map_txt_gives_to_other_images_are_seen(small):
    path = small.folder / esri.MAP
    path.write_bytes(
        path.read_bytes()
        .replace(rb"labels\000000000", rb"labels\x")
        .replace(rb"labels\000000001", rb"labels\000000000")
        .replace(rb"labels\x", rb"labels\000000001")
    )
    result = tileset.read(small.folder)
    assert result.tiles[0].label.name == "000000001.tif"
    assert result.tiles[0].class_pixels == small.tiles[1].class_pixels


@pytest.mark.parametrize(
    "name", ["..\\x.tif", "a" * 300, "a\\" * 600, "x\0.tif", "C:x.tif", "nul", "x.", "*.tif"]
)
def test_a_map_that_names_what_no_tile_can_be_called_is_one_line(small, name):
    (small.folder / "map.txt").write_text(f"images\\{name}  labels\\{name} \r\n")
    with pytest.raises(TileSetError, match="must name an image and its label inside the folder"):
        tileset.read(small.folder)


def test_the_digest_of_a_set_is_that_of_sha256sums_list(small):
    names = sorted(
        p.relative_to(small.folder).as_posix()
        for f in ("images", "labels") for p in (small.folder / f).glob("*.tif")
    )  # fmt: skip
    lines = "".join(
        f"{hashlib.sha256((small.folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names
    )
    expected = hashlib.sha256(lines.encode()).hexdigest()
    assert tileset.digest(small) == expected
    index = (small.folder / "landshift.sqlite").read_bytes()
    assert expected.encode() in index
    assert tileset.digest(tileset.read(small.folder)) == expected  # as the index has it
    assert (small.folder / "landshift.sqlite").read_bytes() == index


def test_the_digest_changes_with_a_pixel(small):
    first = tileset.digest(small)
    path = small.tiles[0].label
    with without_georeference(), rasterio.open(path, "r+") as source:
        values = source.read(1)
        values[0, 0] = 1 + values[0, 0] % 3
        source.write(values, 1)
    assert tileset.digest(small) != first
    (small.folder / "landshift.sqlite").unlink()
    assert tileset.digest(small) == tileset.digest(tileset.read(small.folder)) != first


def test_a_set_lists_its_sources_and_their_fingerprints(small):
    sources = tileset.sources(small.folder)
    assert sources
    assert all(len(s["fingerprint"]) == 64 for s in sources)
    (small.folder / "landshift.sqlite").unlink()
    assert tileset.sources(small.folder) == []


def test_sensor_and_units_are_those_of_the_files(small):
    assert tileset.read_sensor(small.folder) is None  # 'Undefined'
    path = small.folder / "esri_model_definition.emd"
    path.write_text(path.read_text().replace('"Undefined"', '"Landsat 8 OLI"'))
    assert tileset.read_sensor(small.folder) == "Landsat 8 OLI"
    assert tileset.read_units(small.tiles[0]) == (None,) * len(small.bands)
    with without_georeference(), rasterio.open(small.tiles[0].image, "r+") as source:
        source.set_band_unit(1, "reflectance")
    assert tileset.read_units(small.tiles[0])[0] == "reflectance"


def test_a_damaged_index_is_replaced(small):
    (small.folder / "landshift.sqlite").write_bytes(b"SQLite format 3\0 no more")
    assert tileset.read(small.folder) == small


def test_a_class_of_value_0_counts(tmp_path):
    image, labels = random_pair(tmp_path / "in")
    scheme = ClassScheme.from_mapping({0: "no change", 1: "a", 2: "b", 3: "c"})
    tiles = cut(tmp_path / "set", image, labels, classes=scheme)
    sidecar = json.loads((tiles.folder / esri.ACCUMULATED).read_text())
    assert sidecar["ClassPixelStats"]["NumPixelsPerClass"] == list(tiles.class_pixels().values())
    with rasterio.open(labels) as source:
        codes = source.read(1)
    codes[:5] = 77
    labels = write(tmp_path / "nodata.tif", codes, nodata=77)
    moved = cut(tmp_path / "other", image, labels, classes=scheme)
    assert moved.scheme.mapping == {1: "a", 2: "b", 3: "c", 4: "no change"}
    again = {"start_index": 900, "append": True, "classes": scheme}
    with pytest.raises(ClassError, match=r"Every valid pixel needs a label where 0 is a class"):
        cut(tiles.folder, image, labels, **again)


def test_rasters_without_georeference_are_cut_and_read(tmp_path, caplog):
    pair = random_pair(tmp_path / "in", height=32, width=64, crs=None)
    tiles = cut(tmp_path / "set", *pair)
    assert "no georeference" in caplog.text
    assert {t.bounds for t in tiles.tiles} == {None}
    assert tiles.cell_size is None
    assert not list(tiles.folder.rglob("*.tfw"))
    (tiles.folder / "landshift.sqlite").unlink()
    assert tileset.read(tiles.folder) == tiles
    assert tileset.read_tile(tiles.tiles[0])[0].shape == (2, 32, 32)
    split = tileset.split_by_ground(tiles)
    assert "have no known ground" in caplog.text
    assert len(split.valid) == 1


def bad_grid(folder):
    image, _ = random_pair(folder, name="a")
    return [image], [random_pair(folder, name="b", width=90)[1]]


def bad_value(folder):
    image, labels = random_pair(folder)
    with rasterio.open(labels, "r+") as target:
        target.write(np.full((1, 80, 100), 7, np.uint8))
    return [image], [labels]


def bad_bands(folder):
    a = random_pair(folder, name="a")
    b = write(folder / "b.tif", np.ones((3, 80, 100), np.int16), nodata=0)
    return [a[0], b], [a[1], a[1]]


def bad_labels(folder):
    image, _ = random_pair(folder)
    return [image], [image]


def all_nodata(folder):
    _, labels = random_pair(folder)
    return [write(folder / "n.tif", np.zeros((2, 80, 100), np.int16), nodata=0)], [labels]


def bad_count(folder):
    image, _ = random_pair(folder)
    return [image], []


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (bad_grid, GridError, "must share a grid, got 100 x 80 .*a.tif and 90 x 80 .*b_change.tif"),
        (bad_value, ClassError, r"got 7 in .*a_change\.tif"),
        (bad_bands, BandError, r"Images of one set must share bands.*b\.tif"),
        (bad_labels, BandError, "Labels must have one band, got 2"),
        (all_nodata, TileSetError, "needs a labelled pixel, got none in 24 windows"),
        (bad_count, ParameterError, "got 1 images and 0 class rasters"),
    ],
)
def test_cutting_refuses(tmp_path, make, error, match):
    images, labels = make(tmp_path / "in")
    with pytest.raises(error, match=match):
        cut_tiles(images, labels, tmp_path / "set", classes=SCHEME, tile_size=32, stride=16)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]  # nothing half done is left


def test_cutting_refuses_options_out_of_range(tmp_path):
    pair = random_pair(tmp_path / "in")
    with pytest.raises(ParameterError, match="stride must be between 1 and the tile size"):
        cut(tmp_path / "set", *pair, stride=33)
    with pytest.raises(ParameterError, match="`start_index` must be at least 0, got -1"):
        cut(tmp_path / "set", *pair, start_index=-1)
    with pytest.raises(ParameterError, match="new or empty"):
        cut(tmp_path / "in", *pair)


# Esri's side files


def keys_and_types(value):
    """Keys and JSON types of a value; numbers are one type, entries of lists must be alike."""
    if isinstance(value, dict):
        return {k: keys_and_types(v) for k, v in value.items()}
    if isinstance(value, list):
        return [keys_and_types(value[0])]
    return "number" if type(value) in (int, float) else type(value).__name__


def contains(ours, theirs):
    if isinstance(theirs, dict):
        return all(k in ours and contains(ours[k], v) for k, v in theirs.items())
    if isinstance(theirs, list):
        return contains(ours[0], theirs[0])
    return ours == theirs


@needs_esri
def test_side_files_have_the_keys_and_types_of_real_ones(small):
    def load(folder, name):
        return keys_and_types(json.loads((folder / name).read_text()))

    ours, theirs = (
        load(f, esri.ACCUMULATED) for f in (small.folder, ESRI / "classified_tiles_sidecars")
    )
    assert contains(ours, theirs)
    newer = load(ESRI / "two_input_sidecars", esri.ACCUMULATED)
    for key in ("FeatureStats", "InputRastersProps2", "BandStatsState2"):
        del newer[key]  # of labels that are polygons, of a second input
    assert contains(ours, newer)
    assert set(ours) == set(theirs) | set(newer)
    ours, theirs = (load(f, esri.DEFINITION) for f in (small.folder, ESRI / "two_input_sidecars"))
    for key in ("InputRastersProps2", "AllTilesStats2"):
        del theirs[key]
    assert ours == theirs
    assert list(ours) == list(theirs)


@needs_esri
@pytest.mark.parametrize("folder", ["classified_tiles_sidecars", "two_input_sidecars"])
@pytest.mark.parametrize("name", [esri.ACCUMULATED, esri.DEFINITION])
def test_json_is_spelt_as_esri_spells_it(folder, name):
    text = (ESRI / folder / name).read_text()
    assert esri.as_json(json.loads(text)) == text.rstrip("\n")


@needs_esri
def test_stats_table_has_the_columns_of_the_real_one(small):
    def shape(line):
        return line.index("cls value"), len(line)

    ours = (small.folder / esri.STATS).read_bytes().split(b"\r\n")
    theirs = (ESRI / "classified_tiles_sidecars" / esri.STATS).read_bytes().split(b"\r\n")
    assert shape(ours[3].decode()) == shape(theirs[3].decode())
    assert ours[3] == theirs[3]
    assert {len(row) for row in ours[4:-1]} == {len(row) for row in theirs[4:-1]}
    assert ours[0] == b"images = %d *2*32*32" % len(small.tiles)
    assert ours[-1] == theirs[-1] == b""


def test_map_and_world_files_are_spelt_as_esri_spells_them(small):
    lines = (small.folder / esri.MAP).read_bytes().split(b"\r\n")
    assert lines[0] == rb"images\000000000.tif  labels\000000000.tif "
    assert (small.folder / "labels" / "000000001.tfw").read_bytes() == (
        b"2.0000000000\n0.0000000000\n0.0000000000\n-2.0000000000\n"
        b"600033.0000000000\n2999999.0000000000\n"
    )


@needs_esri
def test_real_map_is_read():
    pairs = esri.read_map(ESRI / "classified_tiles_sidecars")
    assert len(pairs) == 3382
    assert pairs[0][1].as_posix().endswith("labels/000000019.tif")
    two = esri.read_map(ESRI / "two_input_sidecars")
    assert two[0][0].as_posix().endswith("images/000000038400.tif")
    assert two[0][1].as_posix().endswith("labels/000000038400.tif")


def test_tile_statistics_in_side_files_are_the_pooled_ones(small):
    statistics = small.band_statistics()
    definition = json.loads((small.folder / esri.DEFINITION).read_text())
    result = definition["AllTilesStats"]
    assert [b["StdDev"] for b in result] == list(statistics.std)
    assert [b["BandName"] for b in result] == list(BANDS)
    state = json.loads((small.folder / esri.ACCUMULATED).read_text())["BandStatsState"]
    assert np.sqrt(state[0]["M2"] / (state[0]["Num"] - 1)) == pytest.approx(statistics.std[0])


# reading what others wrote


def test_real_tiles_without_side_files_are_read(real):
    tiles = tileset.read(real)
    assert len(tiles.tiles) == 11
    assert (tiles.dtype, tiles.height, tiles.width, len(tiles.bands)) == ("int16", 256, 256, 4)
    assert tiles.class_pixels() == {0: 691679, 1: 29217}
    assert tiles.scheme.mapping == {1: "class 1"}
    assert tiles.cell_size == (2, 2)
    assert tiles.tiles[0].crs == "EPSG:32650"
    assert tiles.tiles[0].bounds == pytest.approx(
        (615895.883, 3089800.372, 616407.883, 3090312.372)
    )
    assert tileset.read(real) == tiles  # from the index


def test_real_tiles_hang_together(real):
    tiles = tileset.read(real)
    assert len(tileset.overlapping_pairs(tiles)) == 26
    split = tileset.split_by_ground(tiles)
    assert (len(split.train), len(split.valid), len(split.dropped)) == (7, 1, 3)
    assert not leaks(split, tileset.overlapping_pairs(tiles))


def test_real_tiles_with_a_class_mapping(real):
    scheme = ClassScheme.from_mapping({0: "background", 1: "change"})
    assert tileset.read(real, scheme).scheme == scheme
    wrong = ClassScheme.from_mapping({2: "change"})
    with pytest.raises(ClassError, match=r"the class mapping \[2\].*got 1 in .*0000000.*tif"):
        tileset.read(real, wrong)


def test_side_files_full_of_placeholders_are_read(real):
    folder = ESRI / "classified_tiles_sidecars"
    for name in (esri.DEFINITION, esri.ACCUMULATED):
        shutil.copy(folder / name, real / name)
    names = [f"{k:012d}.tif" for k in (3, 1)]
    lines = [f"images\\{n}  labels\\{n} \r\n" for n in names]
    (real / esri.MAP).write_bytes("".join(lines).encode())
    tiles = tileset.read(real)
    assert [t.name for t in tiles.tiles] == ["000000000001", "000000000003"]
    assert tiles.scheme.mapping == {1: "1", 2: "2"}
    assert tileset.class_colours(real) == {}  # -1, -1, -1
    assert len(tileset.read_tile(tiles.tiles[0])) == 3


def test_a_world_file_is_a_georeference(tmp_path):
    tiles = cut(tmp_path / "set", *random_pair(tmp_path / "in", crs=None, width=32, height=32))
    world = Affine(2, 0, 500, 0, -2, 900)
    (tiles.folder / "images" / "000000000.tfw").write_text(esri.world_file(world))
    (tiles.folder / "landshift.sqlite").unlink()
    (tile,) = tileset.read(tiles.folder).tiles
    assert tile.bounds == (500, 836, 564, 900)
    assert tile.crs is None


def test_colours_of_side_files(small):
    assert tileset.class_colours(small.folder) == SCHEME.colours


def test_band_names_of_side_files_serve_unnamed_tiles(tmp_path):
    image = write(tmp_path / "a.tif", np.ones((2, 32, 32), np.uint8))
    labels = write(tmp_path / "b.tif", np.ones((32, 32), np.uint8))
    tiles = cut(tmp_path / "set", image, labels)
    assert tiles.bands == ("", "")
    path = tiles.folder / esri.DEFINITION
    definition = json.loads(path.read_text())
    definition["InputRastersProps"]["BandNames"] = ["x", "y"]
    path.write_text(json.dumps(definition))
    assert tileset.read(tiles.folder).bands == ("x", "y")


def empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def no_labels(folder):
    shutil.rmtree(folder / "labels")


def no_tiles(folder):
    for path in [*folder.glob("*/*"), folder / "map.txt"]:
        path.unlink()


def no_label(folder):
    (folder / "labels" / "000000002.tif").unlink()


def no_label_no_map(folder):
    no_label(folder)
    (folder / "map.txt").unlink()


def truncated(folder):
    path = folder / "images" / "000000001.tif"
    path.write_bytes(path.read_bytes()[:200])


def other_size(folder):
    for name, count in (("images", 2), ("labels", 1)):
        write(folder / name / "000000003.tif", np.ones((count, 8, 8), np.int16))


def other_label_size(folder):
    write(folder / "labels" / "000000003.tif", np.ones((8, 8), np.uint8))


def other_bands(folder):
    write(folder / "images" / "000000003.tif", np.ones((3, 32, 32), np.int16))


def coloured_label(folder):
    write(folder / "labels" / "000000003.tif", np.ones((3, 32, 32), np.uint8))


def other_dtype(folder):
    write(folder / "images" / "000000003.tif", np.ones((2, 32, 32), np.float32))


def bad_json(folder):
    (folder / esri.DEFINITION).write_text('{"Classes" : [')


def map_leaves(folder):
    (folder / "map.txt").write_text("images\\..\\..\\x.tif  labels\\000000000.tif \r\n")


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (shutil.rmtree, "must exist"),
        (empty, "must hold the folders images and labels, got no images"),
        (no_labels, "got no labels"),
        (no_tiles, "must hold a tile, got none"),
        (no_label, r"got 1 of 24 that aren't: 1 missing: .*labels.000000002\.tif;"),
        (no_label_no_map, r"got 1 of 24 that aren't: 1 missing: .*labels.000000002\.tif;"),
        (truncated, r"got 1 of 24 that aren't: 1 unreadable: .*images.000000001\.tif;"),
        (other_size, r"1 of another size: .*000000003.tif \(8x8 and not 32x32\)"),
        (other_label_size, r"000000003.tif \(8x8 beside an image of 32x32\)"),
        (other_bands, r"1 of another number of bands: .*000000003.tif \(3 and not 2\)"),
        (coloured_label, r"1 of several bands: .*000000003.tif \(3 bands instead of one\)"),
        (other_dtype, r"another pixel type: .*000000003.tif \(float32 and not int16\)"),
        (bad_json, "must be whole JSON"),
        (map_leaves, "must name an image and its label inside the folder"),
    ],
)
def test_reading_refuses(small, damage, match):
    damage(small.folder)
    with pytest.raises(TileSetError, match=match) as caught:
        tileset.read(small.folder)
    assert "\n" not in str(caught.value)


def test_many_bad_tiles_are_counted(small):
    for path in (small.folder / "labels").glob("*.tif"):
        path.write_bytes(b"")
    with pytest.raises(
        TileSetError, match=r"got 24 of 24 that aren't: 24 unreadable: .* and 21 more;"
    ):
        tileset.read(small.folder)


def test_one_report_names_all_that_is_wrong(small):
    truncated(small.folder)
    no_label(small.folder)
    other_size(small.folder)
    write(small.folder / "labels" / "000000007.tif", np.full((32, 32), 200, np.uint8))
    seen = []
    with pytest.raises(TileSetError, match=r"got 4 of 24 that aren't: ") as caught:
        tileset.read(small.folder, on_tile=lambda *n: seen.append(n))
    for text in (
        "1 unreadable: ", "1 missing: ", "1 of another size: ", "1 of unknown classes: ",
        "000000007.tif (200)",
    ):  # fmt: skip
        assert text in str(caught.value)
    assert seen[-1] == (24, 24)


def test_a_label_value_outside_the_classes_is_named(small):
    write(small.tiles[4].label, np.full((32, 32), 200, np.uint8))
    with pytest.raises(
        ClassError, match=r"esri_model_definition\.emd.*got 200 in .*000000004\.tif"
    ):
        tileset.read(small.folder)


@pytest.mark.parametrize("top", ["", "my set/"])
def test_a_zip_is_unpacked_beside_itself(small, tmp_path, top):
    path = tmp_path / "packed" / "tiles.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as target:
        for file in sorted(small.folder.rglob("*")):
            if file.is_file():
                target.write(file, top + file.relative_to(small.folder).as_posix())
    tiles = tileset.read(path)
    assert tiles.folder == tmp_path / "packed" / "tiles" / top
    assert [t.class_pixels for t in tiles.tiles] == [t.class_pixels for t in small.tiles]
    assert tileset.read(path) == tiles  # not unpacked again
    archive.pack(path, small.folder, [small.folder / "map.txt"])
    with pytest.raises(
        TileSetError, match=r"must hold what the zip holds, got .*earlier tiles\.zip"
    ):
        tileset.read(path)


def test_a_zip_that_leaves_its_folder_is_refused(tmp_path):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("../evil.txt", "x")
    with pytest.raises(TileSetError, match="plain files inside the folder"):
        tileset.read(path)
    assert [p.name for p in tmp_path.iterdir()] == ["evil.zip"]


def test_a_file_that_is_no_zip_is_refused(tmp_path):
    path = tmp_path / "set.zip"
    path.write_text("no")
    with pytest.raises(TileSetError, match="must be a whole zip file"):
        tileset.read(path)


# splitting


def test_touching_tiles_do_not_overlap():
    assert len(tileset.overlapping_pairs(made(grid_of(4, 5, stride=32)))) == 0
    pairs = tileset.overlapping_pairs(made(grid_of(2, 3)))
    brute = [(0, 1), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4), (1, 5), (2, 4), (2, 5), (3, 4), (4, 5)]
    assert [tuple(p) for p in pairs] == brute


def test_tiles_of_two_crss_are_paired_where_they_share_ground():
    zone = [(x + 833978.0, y + 0.0, x2 + 833978, y2 + 0.0) for x, y, x2, y2 in grid_of(1, 2)]
    same = [(x + 166022.0, y + 0.0, x2 + 166022, y2 + 0.0) for x, y, x2, y2 in grid_of(1, 2)]
    one, two = made(zone), made(same, crs="EPSG:32651")  # 120 degrees east, seen from both zones
    both = tileset.TileSet(**{**vars(one), "tiles": one.tiles + two.tiles})
    pairs = tileset.overlapping_pairs(both).tolist()
    assert [0, 2] in pairs
    assert [1, 3] in pairs
    far = made(grid_of(1, 2), crs="EPSG:32651")
    apart = tileset.TileSet(**{**vars(one), "tiles": one.tiles + far.tiles})
    assert tileset.overlapping_pairs(apart).tolist() == [[0, 1], [2, 3]]
    unknown = made(zone, crs="LOCAL_CS")
    odd = tileset.TileSet(**{**vars(one), "tiles": one.tiles + unknown.tiles})
    assert tileset.overlapping_pairs(odd).tolist() == [[0, 1], [2, 3]]


def test_rare_classes_stay_on_both_sides():
    held = [{1} for _ in range(400)]
    for value, corners in ((2, ((0, 0), (17, 17))), (3, ((0, 17), (17, 0)))):
        for row, column in corners:  # two small patches each, far apart
            held[row * 20 + column] |= {value}
            held[(row + 1) * 20 + column + 1] |= {value}
    tiles = made(grid_of(20, 20), held=[tuple(h) for h in held])
    for seed in range(5):
        split = tileset.split_by_ground(tiles, seed=seed)
        assert set(tiles.class_pixels(split.train)) == {1, 2, 3}
        assert set(tiles.class_pixels(split.valid)) == {1, 2, 3}
        assert len(split.dropped) < 0.3 * 400


tiles_anywhere = st.lists(
    st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=40
)


@settings(max_examples=60, deadline=None)
@given(tiles_anywhere, st.floats(0.05, 0.5), st.integers(0, 9), st.sampled_from([1, 16, 32]))
def test_no_validation_ground_is_ever_trained_on(corners, share, seed, step):
    boxes = [(x * step, y * step, x * step + 32, y * step + 32) for x, y in corners]
    tiles = made(
        [tuple(map(float, b)) for b in boxes], held=[((x + y) % 3 + 1,) for x, y in corners]
    )
    overlaps = [
        (i, j)
        for i, a in enumerate(boxes)
        for j, b in enumerate(boxes[:i])
        if min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])
    ]
    try:
        split = tileset.split_by_ground(tiles, valid_share=share, seed=seed)
    except SplitError:
        assert len(overlaps) == len(boxes) * (len(boxes) - 1) // 2  # truly impossible
        return
    assert sorted(split.train + split.valid + split.dropped) == list(range(len(boxes)))
    assert split.train
    assert split.valid
    assert not leaks(split, overlaps)


def test_a_dense_set_is_split_by_several_blocks():
    tiles = made(grid_of(30, 30))
    split = tileset.split_by_ground(tiles)
    assert 0.08 < len(split.valid) / (len(split.valid) + len(split.train)) < 0.12
    assert len(split.dropped) < 0.08 * 900
    rows, columns = np.divmod(np.array(split.valid), 30)
    assert np.ptp(rows) > 20 or np.ptp(columns) > 20  # apart from each other
    assert split == tileset.split_by_ground(tiles)


def test_all_dates_of_one_ground_go_to_one_side():
    split = tileset.split_by_ground(made(grid_of(6, 6) * 3))
    assert {k % 36 for k in split.valid}.isdisjoint(k % 36 for k in split.train)
    assert {k + 36 for k in split.valid if k < 36} <= set(split.valid)


def test_tiles_that_share_nothing_are_all_kept():
    split = tileset.split_by_ground(made(grid_of(10, 10, stride=32)))
    assert not split.dropped
    assert len(split.valid) == 10


def test_both_sides_hold_each_class_where_they_can(caplog):
    held = [(1, 2) if k // 8 < 2 else (1,) for k in range(64)]  # class 2: two rows of tiles
    tiles = made(grid_of(8, 8), held=held)
    split = tileset.split_by_ground(tiles)
    for side in (split.train, split.valid):
        assert set(tiles.class_pixels(side)) == {1, 2}
    held = [(1, 3) if k == 27 else (1,) for k in range(64)]
    tileset.split_by_ground(made(grid_of(8, 8), held=held))
    assert "tile holds No change" in caplog.text


def test_an_impossible_split_names_a_remedy():
    with pytest.raises(SplitError, match=r"got 9 tiles .* at most 24 pixels .* or split at random"):
        tileset.split_by_ground(made(grid_of(3, 3, stride=8)))
    with pytest.raises(SplitError, match="got 1 tiles"):
        tileset.split_by_ground(made(grid_of(1, 1)))
    with pytest.raises(ParameterError, match=r"between 0 and 1, got 1\.5"):
        tileset.split_by_ground(made(grid_of(3, 3)), valid_share=1.5)


def test_a_random_split_counts_leaking_tiles(caplog):
    split = tileset.split_at_random(made(grid_of(10, 10)), valid_share=0.2)
    assert len(split.valid) == 20
    assert sorted(split.train + split.valid) == list(range(100))
    assert "20 of 20 validation tiles overlap training tiles" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        tileset.split_at_random(made(grid_of(10, 10, stride=32)))
    assert not caplog.text
    with pytest.raises(SplitError, match="needs two tiles, got 1"):
        tileset.split_at_random(made(grid_of(1, 1)))


def test_statistics_of_no_valid_pixel_are_refused(small):
    with pytest.raises(TileSetError, match="need a valid pixel, got none in 0 tiles"):
        small.band_statistics([])
