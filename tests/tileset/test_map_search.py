"""Class maps that `tiles` finds by the provenance of a change map."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

import landshift
from landshift import tileset
from landshift.classes import MapScheme, pairs_of
from landshift.errors import GridError, ParameterError, TileSetError
from landshift.files import provenance
from scenes import BANDS, write

CLASSES = {1: "forest", 2: "water", 3: "town"}
GIVE = "give them with `labels_before` and `labels_after`"


class Scene:
    """A composite, two class maps in a folder of their own, and their change map."""

    def __init__(self, folder, **options):
        random = np.random.default_rng(0)
        (folder / "maps").mkdir(parents=True)
        (folder / "work").mkdir()
        first, second = (random.integers(1, 4, (80, 96)).astype(np.uint8) for _ in range(2))
        self.values = first, second
        self.before = write(folder / "maps" / "1995.tif", first, nodata=0)
        self.after = write(folder / "maps" / "2005.tif", second, nodata=0)
        image = random.integers(1, 250, (6, 80, 96)).astype(np.uint8)
        self.image = write(folder / "work" / "composite.tif", image, nodata=0, bands=BANDS)
        self.change = folder / "work" / "change.tif"
        options = {"classes": MapScheme.from_mapping(CLASSES), **options}
        landshift.label(self.before, self.after, self.change, **options)
        self.folder = folder

    def tiles(self, name="set", **options):
        return landshift.tiles([self.image, self.change], self.folder / name, **options)


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def holds_maps(tiles, scene):
    """Whether tiles hold the scene's class maps."""
    assert tiles.map_scheme is not None
    tile = tiles.tiles[0]
    height, width = tiles.height, tiles.width
    for part, values in zip(tileset.read_class_maps(tile), scene.values, strict=True):
        np.testing.assert_array_equal(part, values[:height, :width])
    assert len(pairs_of(tiles.scheme, tiles.map_scheme)) == len(tiles.scheme)
    return True


@pytest.mark.parametrize("coding", ["to", "from-to", "binary"])
def test_class_maps_are_found_where_they_lay(tmp_path, caplog, coding):
    scene = Scene(tmp_path, coding=coding)
    tiles = scene.tiles()
    assert tiles.map_scheme.mapping == CLASSES
    assert holds_maps(tiles, scene)
    assert GIVE not in caplog.text


def test_the_path_that_is_recorded_is_relative(scene):
    with rasterio.open(scene.change) as source:
        record = provenance.from_tags(source.tags())
    assert [entry["path"] for entry in record["inputs"]] == ["../maps/1995.tif", "../maps/2005.tif"]
    assert str(scene.folder) not in json.dumps(record)


@pytest.mark.parametrize("place", ["work", "work/landcover", "images"])
def test_class_maps_that_were_moved_are_found_beside_the_rasters(scene, place):
    (scene.folder / "images").mkdir()
    scene.image = shutil.copy(scene.image, scene.folder / "images" / "composite.tif")
    folder = scene.folder / place
    folder.mkdir(exist_ok=True)
    for path in (scene.before, scene.after):
        shutil.move(path, folder / path.name)
        # another file of that name, as images of these years may be
        shutil.copy(scene.image, scene.folder / "maps" / path.name)
    assert holds_maps(scene.tiles(), scene)


def test_class_maps_that_changed_are_not_taken(scene, caplog):
    write(scene.after, scene.values[0], nodata=0)
    tiles = scene.tiles()
    assert tiles.map_scheme is None
    assert f"{scene.change} was made from 1995.tif and 2005.tif, of which 2005.tif" in caplog.text
    assert GIVE in caplog.text


def test_class_maps_can_be_left_out_or_given(scene, caplog):
    left_out = landshift.Companions(class_maps=False)
    assert scene.tiles("without", companions=left_out).map_scheme is None
    other = MapScheme.from_mapping({1: "a", 2: "b", 3: "c"})
    given = landshift.Companions(
        labels_before=[scene.after], labels_after=[scene.before], map_classes=other
    )
    tiles = scene.tiles("given", companions=given)
    assert tiles.map_scheme.names == ("a", "b", "c")
    scene.values = scene.values[::-1]
    assert holds_maps(tiles, scene)
    assert GIVE not in caplog.text
    with pytest.raises(ParameterError, match=r"given or left out .*got both"):
        landshift.Companions(labels_before=[scene.before], class_maps=False)


def test_class_maps_of_more_ground_are_cut_where_the_image_lies(tmp_path, caplog):
    bounds = (500_000 + 30 * 5, 4_000_000 - 30 * 72, 500_000 + 30 * 88, 4_000_000 - 30 * 8)
    scene = Scene(tmp_path, bounds=bounds)
    with rasterio.open(scene.image) as source:
        values = source.read()[:, 8:72, 5:88]
    write(scene.image, values, nodata=0, origin=bounds[0::3], bands=BANDS)
    whole, scene.values = scene.values, [v[8:72, 5:88] for v in scene.values]
    for angle in (0, 90):
        tiles = scene.tiles(f"set{angle}", cutting=landshift.Cutting(rotation_angle=angle))
        assert holds_maps(tiles, scene)
        for tile in tiles.tiles:  # the change map lies on the image's grid
            _, _, labels = tileset.read_tile(tile)
            before, after = tileset.read_class_maps(tile)
            np.testing.assert_array_equal(labels, np.where(before == after, 4, after))
    # class maps that lack some of the image's ground
    scene.values = [v[:70] for v in whole]
    for path, part in zip((scene.before, scene.after), scene.values, strict=True):
        write(path, part, nodata=0)
    given = landshift.Companions(labels_before=[scene.before], labels_after=[scene.after],
                                 map_classes=MapScheme.from_mapping(CLASSES))  # fmt: skip
    with pytest.raises(GridError, match="An image and its class map must share a grid"):
        scene.tiles("less", companions=given)


def test_class_maps_on_another_grid_are_not_taken(scene, caplog):
    with rasterio.open(scene.image) as source, rasterio.open(scene.change) as change:
        values, codes, tags = source.read(), change.read(), change.tags()
    place = {"nodata": 0, "origin": (500_010, 4_000_000)}
    write(scene.image, values, bands=BANDS, **place)
    write(scene.change, codes, **place, **tags)
    assert scene.tiles().map_scheme is None
    assert f"{scene.before} lies on another grid than {scene.image}" in caplog.text


def test_recoded_class_maps_are_not_taken(tmp_path, caplog):
    reading = landshift.MapReading(recode_before={1: 1, 2: 2, 3: 2})
    assert Scene(tmp_path, reading=reading).tiles().map_scheme is None
    assert "was made from recoded class maps (1995.tif and 2005.tif)" in caplog.text


def test_labels_that_are_recoded_carry_no_class_maps(scene):
    recode = {1: "to forest", 2: "to forest", 3: "to town", 4: "No change"}
    assert scene.tiles(recode=recode).map_scheme is None


def test_classes_that_are_given_must_have_the_change_maps_codes(scene, caplog):
    names = {1: "wood", 2: "lake", 3: "city", 4: "same"}
    assert holds_maps(scene.tiles(classes=MapScheme.from_mapping(names)), scene)
    more = MapScheme.from_mapping({**names, 9: "other"})
    assert scene.tiles("more", classes=more).map_scheme is None
    assert "hold other classes than its codes stand for" in caplog.text


def test_class_maps_whose_values_move_are_coded_as_in_the_change_map(tmp_path):
    scene = Scene(tmp_path)
    far = {1: 1, 2: 311, 3: 0}
    for path, values in zip((scene.before, scene.after), scene.values, strict=True):
        write(path, np.vectorize(far.get)(values).astype(np.int16), nodata=-1)
    classes = MapScheme.from_mapping({1: "forest", 311: "water", 0: "town"})
    landshift.label(scene.before, scene.after, scene.change, classes=classes, overwrite=True)
    tiles = scene.tiles()
    assert tiles.map_scheme.mapping == {1: "forest", 2: "town", 3: "water"}
    first, _ = tileset.read_class_maps(tiles.tiles[0])
    moved = np.array([0, 1, 3, 2])[scene.values[0]]
    np.testing.assert_array_equal(first, moved[: tiles.height, : tiles.width])


def test_a_value_without_a_class_stays_without_one(tmp_path):
    scene = Scene(tmp_path)
    for path, values in zip((scene.before, scene.after), scene.values, strict=True):
        values[:9] = 0
        write(path, values)  # no nodata value
    landshift.label(
        scene.before, scene.after, scene.change, classes=MapScheme.from_mapping(CLASSES),
        reading=landshift.MapReading(nodata=0), overwrite=True,
    )  # fmt: skip
    tiles = scene.tiles()
    assert holds_maps(tiles, scene)
    assert not tileset.read_class_maps(tiles.tiles[0])[0][:9].any()


def test_appended_tiles_carry_class_maps_as_the_set_does(scene, tmp_path):
    append = landshift.Cutting(append=True)
    bare = landshift.Companions(class_maps=False)
    scene.tiles("bare", companions=bare)
    assert scene.tiles("bare", cutting=append).map_scheme is None
    first = scene.tiles("full")
    both = scene.tiles("full", cutting=append)
    assert len(both.tiles) == 2 * len(first.tiles)
    assert both.map_scheme == first.map_scheme
    assert (both.sizes.tile, both.sizes.stride) == (first.sizes.tile, first.sizes.stride)
    assert both.sizes.why == "as in the set"
    with pytest.raises(TileSetError, match="must have its class maps"):
        scene.tiles("full", cutting=append, companions=bare)


def test_labels_without_class_maps_behind_them_are_cut_quietly(scene, caplog):
    labels = write(scene.folder / "labels.tif", scene.values[0], nodata=0)
    classes = MapScheme.from_mapping(CLASSES)
    tiles = landshift.tiles([scene.image, labels], scene.folder / "plain", classes=classes)
    assert tiles.map_scheme is None
    assert GIVE not in caplog.text


def restate(scene, text):
    """Another provenance in the change map's tags, as a stranger may write it."""
    with rasterio.open(scene.change) as source:
        values, tags = source.read(), source.tags()
    write(scene.change, values, nodata=0, **{**tags, provenance.TAG: text})


@pytest.mark.parametrize(
    "parameters",
    [
        {"agree_before": float("inf")}, {"agree_before": float("nan")}, {"agree_before": [1]},
        {"agree_before": -5, "agree_after": 5}, {"agree_before": 9, "agree_after": -9},
        {"moved": {"1": float("inf")}}, {"moved": [1]},
    ],
)  # fmt: skip
def test_a_record_with_wrong_numbers_names_no_class_maps(scene, parameters):
    with rasterio.open(scene.change) as source:
        entry = provenance.from_tags(source.tags())
    entry["parameters"] |= parameters
    restate(scene, json.dumps(entry))
    assert scene.tiles().map_scheme is None


@pytest.mark.parametrize("text", ["[" * 100_000, '{"stage": ' + '{"a": ' * 100_000, "[]", "{"])
def test_a_record_that_is_damaged_names_no_class_maps(scene, text):
    restate(scene, text)
    assert scene.tiles().map_scheme is None


def test_files_of_the_kernel_are_not_read_for_class_maps(scene, monkeypatch, caplog):
    with rasterio.open(scene.change) as source:
        entry = provenance.from_tags(source.tags())
    way = os.path.relpath("/proc/version", scene.change.parent)
    entry["inputs"][0] |= {"path": way, "name": "v" * 100_000}
    restate(scene, json.dumps(entry))
    read, real = [], provenance.fingerprint
    monkeypatch.setattr(provenance, "fingerprint", lambda p: read.append(p.name) or real(p))
    assert scene.tiles().map_scheme is None
    assert "version" not in read
    assert GIVE in caplog.text
    assert len(caplog.text) < 2000


def test_a_folder_that_cannot_be_listed_holds_no_class_maps(scene, monkeypatch, caplog):
    def refused(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    scene.before.rename(scene.folder / "elsewhere.tif")
    monkeypatch.setattr(Path, "iterdir", refused)
    assert scene.tiles().map_scheme is None
    assert GIVE in caplog.text
