"""The map page's files: what is found, described, copied, linked and left out."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import jsonschema
import numpy as np
import pyogrio
import pytest
import rasterio
import rasterio.shutil
import shapely
from affine import Affine

import landshift
from landshift import grid, raster
from landshift.classes import ClassScheme
from landshift.cli import main
from landshift.errors import BandError, GridError, OutputError, ParameterError, RasterError
from landshift.files import provenance
from landshift.pages.explore import bundle, described, found, readable, shapes
from landshift.pages.explore.readable import CopySize
from landshift.pages.explore.store import Store

built = pytest.mark.skipif(
    not (Path(bundle.__file__).parent / "bundle" / "explore.js").is_file(),
    reason="the page isn't built (web/)",
)

_GRID = {
    "type": "object",
    "required": ["width", "height", "transform"],
    "additionalProperties": False,
    "properties": {
        "width": {"type": "integer", "minimum": 1},
        "height": {"type": "integer", "minimum": 1},
        "transform": {"type": "array", "items": {"type": "number"}, "minItems": 6, "maxItems": 6},
    },
}
_COLOUR = {"type": "string", "pattern": "^#[0-9a-f]{6}$"}
_PAIR = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
_PAIRS = {"type": ["array", "null"], "items": _PAIR}
_CLASS = {
    "type": "object",
    "required": ["value", "name", "colour", "from", "to", "stays"],
    "additionalProperties": False,
    "properties": {
        "value": {"type": "integer"}, "name": {"type": "string"}, "colour": _COLOUR,
        "from": {"type": ["string", "null"]}, "to": {"type": ["string", "null"]},
        "stays": {"type": "boolean"},
    },
}  # fmt: skip
_RASTER = {
    "id": {"type": "string"}, "title": {"type": "string"}, "kind": {"type": "string"},
    "role": {"type": ["string", "null"]}, "date": {"type": ["integer", "null"]},
    "url": {"type": "string", "format": "uri-reference"}, "grid": _GRID,
    "nodata": {"type": ["number", "null", "string"]}, "dtype": {"type": "string"},
    "note": {"type": ["string", "null"]}, "scale": _PAIRS,
}  # fmt: skip


def _of(kind, required, **properties):
    return {
        "type": "object", "required": ["id", "title", "kind", "url", *required],
        "additionalProperties": False,
        "properties": {**_RASTER, "kind": {"enum": kind}, **properties},
    }  # fmt: skip


SCHEMA = {
    "type": "object",
    "required": [
        "version", "title", "crs", "extent", "grid", "dates", "layers", "estimates", "left_out",
        "policy",
    ],
    "additionalProperties": False,
    "properties": {
        "version": {"const": 1}, "title": {"type": "string"},
        "crs": {
            "type": ["object", "null"],
            "required": ["name", "proj4", "unit", "geographic", "metres", "north", "axis"],
            "properties": {"axis": {"const": "enu"}, "geographic": {"type": "boolean"}},
        },
        "extent": {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
        "grid": _GRID,
        "dates": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "estimates": {
            "type": ["array", "null"],
            "items": {"type": "object", "required": ["class", "hectares", "low", "high", "level"]},
        },
        "left_out": {"type": "array", "items": {"type": "string"}},
        "policy": {"type": "array", "items": {"type": "string"}},
        "layers": {
            "type": "array", "minItems": 1,
            "items": {
                "oneOf": [
                    _of(["image"], ["grid", "rgb", "stretch", "bands", "date_bands"],
                        bands={"type": "array", "items": {"type": "string"}},
                        date_bands={"type": "array", "items": {"type": "integer", "minimum": 1}},
                        rgb={"type": "array", "items": {"type": "integer", "minimum": 1},
                             "minItems": 3, "maxItems": 3},
                        stretch={"type": "array", "items": _PAIR, "minItems": 3, "maxItems": 3},
                        shown={"type": "string"}),
                    _of(["classes"], ["grid", "role", "classes", "areas"],
                        role={"enum": ["change", "reference", "before", "after", "classes"]},
                        classes={"type": "array", "items": _CLASS, "minItems": 1},
                        areas={"type": ["object", "null"], "required": ["row_hectares"]}),
                    _of(["values"], ["grid", "role", "range"],
                        role={"enum": ["confidence", "entropy", "value"]}, range=_PAIR),
                    _of(["polygons", "points"], ["features", "colours"],
                        colour_by={"type": ["string", "null"]},
                        colours={"type": "object", "additionalProperties": _COLOUR},
                        features={"type": "integer", "minimum": 1}),
                ],
            },
        },
    },
}  # fmt: skip
"""What `layers.json` may hold."""

CHANGE = ClassScheme.from_mapping({1: "to forest", 2: "forest->crop", 3: "No change"})
COVER = ClassScheme.from_mapping({1: "forest", 2: "crop"})


def checked(content):
    """A description, which must hold what its schema says and no number that JSON lacks."""
    jsonschema.validate(content, SCHEMA)
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    return content


def page_of(*paths, folder, keeping="served", **options):
    """The description of a page of files."""
    read = found.find([Path(p) for p in paths])
    store = Store(folder, keeping, folder)
    content = described.describe(read, store, **options).content
    return checked(content), store


def layers_of(content, kind):
    return [layer for layer in content["layers"] if layer["kind"] == kind]


def cog(path, values, *, nodata=None, scheme=None, crs="EPSG:32618", bands=(), tags=None, pixel=30):
    """Write a Cloud-Optimised GeoTIFF as landshift does."""
    values = np.asarray(values)
    values = values[np.newaxis] if values.ndim == 2 else values
    box = grid.geobox(
        *values.shape[1:], Affine(pixel, 0, 500_000, 0, -pixel, 4_000_000), crs
    )  # fmt: skip
    with raster.create(
        path, box, count=len(values), dtype=str(values.dtype), nodata=nodata, scheme=scheme,
        bands=bands, tags=tags,
    ) as target:  # fmt: skip
        raster.write(target, values, grid.Window(0, 0, *values.shape[1:]))
    return path


def codes(shape=(40, 50), most=3, seed=0):
    return np.random.default_rng(seed).integers(1, most + 1, shape, np.uint8)


def image(bands=4, shape=(40, 50), dtype="uint16", seed=0):
    return np.random.default_rng(seed).integers(1, 250, (bands, *shape)).astype(dtype)


@pytest.fixture
def job(tmp_path):
    """A job's folder: a composite and what it was made of, class maps, a map, its confidence."""
    folder = tmp_path / "job"
    folder.mkdir()
    names = ("blue", "green", "red", "nir", "swir1", "swir2")
    before = cog(folder / "before.tif", image(6), bands=names)
    after = cog(folder / "after.tif", image(6, seed=1), bands=names)
    stack = np.concatenate([image(6), image(6, seed=1)])
    both = [f"{date}:{name}" for date in ("before", "after") for name in names]
    record = provenance.record("composite", [before, after], {})
    dates = json.dumps({"before": "1995-08-12", "after": "2005-07"})
    cog(
        folder / "stack.tif", stack, nodata=0, bands=both,
        tags={**provenance.as_tag(record), "LANDSHIFT_DATES": dates},
    )  # fmt: skip
    cog(folder / "cover_before.tif", codes(most=2), nodata=0, scheme=COVER)
    cog(folder / "cover_after.tif", codes(most=2, seed=1), nodata=0, scheme=COVER)
    label = provenance.as_tag(provenance.record("label", [], {}))
    cog(folder / "change.tif", codes(), nodata=0, scheme=CHANGE, tags=label)
    made = provenance.record("classify", [], {})
    cog(
        folder / "map.tif", codes(seed=2), nodata=0, scheme=CHANGE,
        tags=provenance.as_tag({**made, "layer": "class"}),
    )  # fmt: skip
    shares = cog(
        folder / "map_confidence.tif", codes(most=250), nodata=255,
        tags=provenance.as_tag({**made, "layer": "confidence"}),
    )  # fmt: skip
    with rasterio.open(shares, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as target:
        target.scales = [1 / 250]
    return folder


# ---- What is found


def test_a_folder_gives_the_layers_of_its_job(job, tmp_path):
    content, store = page_of(job, folder=tmp_path / "page")
    assert content["dates"] == ["1995-08-12", "2005-07"]
    assert content["left_out"] == []
    assert [(w["title"], w["role"], w["date"]) for w in content["layers"]] == [
        ("Image, 1995-08-12", None, 0),
        ("Image, 2005-07", None, 1),  # the two images of the composite aren't shown again
        ("Classes, 1995-08-12", "before", 0),
        ("Classes, 2005-07", "after", 1),
        ("Change map", "change", None),
        ("Reference", "reference", None),
        ("Confidence", "confidence", None),
    ]
    assert content["crs"]["name"] == "EPSG:32618"
    assert content["crs"]["metres"] == pytest.approx(1, abs=1e-3)
    assert content["extent"] == [500_000, 4_000_000 - 1200, 500_000 + 1500, 4_000_000]
    confidence = content["layers"][-1]
    assert confidence["range"] == [0, 1]
    assert confidence["scale"] == [[1 / 250, 0]]
    assert all(Path(path).is_file() for path in store.files.values())


def test_classes_carry_their_colours_transitions_and_areas(job, tmp_path):
    content, _ = page_of(job, folder=tmp_path / "page")
    change = next(w for w in content["layers"] if w["role"] == "change")
    named = {c["name"]: c for c in change["classes"]}
    colour = {c.name: "#{:02x}{:02x}{:02x}".format(*c.colour) for c in CHANGE}
    assert {name: c["colour"] for name, c in named.items()} == colour
    ends = {name: (c["from"], c["to"], c["stays"]) for name, c in named.items()}
    assert ends == {
        "to forest": (None, "forest", False), "forest->crop": ("forest", "crop", False),
        "No change": (None, None, True),
    }  # fmt: skip
    assert change["areas"] == {"row_hectares": pytest.approx(0.09)}


def test_areas_by_row_are_those_of_the_ellipsoid(tmp_path):
    path = cog(tmp_path / "map.tif", codes(), nodata=0, scheme=CHANGE, crs="EPSG:4326", pixel=1)
    box = grid.geobox(40, 50, Affine(0.01, 0, -74, 0, -0.01, 45), "EPSG:4326")
    with raster.create(path, box, count=1, dtype="uint8", nodata=0, scheme=CHANGE) as target:
        raster.write(target, codes()[np.newaxis], grid.Window(0, 0, 40, 50))
    content, _ = page_of(path, folder=tmp_path / "page")
    rows = content["layers"][0]["areas"]["row_hectares"]
    hectares = grid.ground(box).hectares(grid.Window(0, 0, 40, 50))
    assert np.allclose(rows, hectares[:, 7], rtol=1e-9)
    assert rows[0] < rows[-1]


def test_files_are_recognised_by_their_contents(tmp_path, write_raster):
    grey = np.arange(2000, dtype=np.uint8).reshape(40, 50)
    cases = {
        write_raster("rgb.tif", image(3)): "image",
        write_raster("grey.tif", grey): "image",  # more shades than classes
        write_raster("codes.tif", codes()): "classes",
        write_raster("ndvi.tif", np.random.default_rng(0).random((40, 50), np.float32)): "values",
        write_raster("x_confidence.tif", codes(most=250)): "values",
        cog(tmp_path / "map.tif", codes(), scheme=CHANGE): "classes",
    }
    assert {path: found.recognised(path).kind for path in cases} == cases


def test_dates_follow_time_and_maps_of_several_dates_have_theirs(write_raster, tmp_path):
    files = [
        write_raster("scene_2005.tif", image(3)), write_raster("scene_1995.tif", image(3)),
        write_raster("cover_2000.tif", codes(most=2)),
        write_raster("cover_1995.tif", codes(most=2)),
        write_raster("cover_2005.tif", codes(most=2)),
    ]  # fmt: skip
    content, _ = page_of(*files, folder=tmp_path / "page")
    assert content["dates"] == ["1995", "2000", "2005"]
    assert [(w["kind"], w["role"], w["date"]) for w in content["layers"]] == [
        ("image", None, 0), ("image", None, 2), ("classes", "before", 0),
        ("classes", "classes", 1), ("classes", "after", 2),
    ]  # fmt: skip


def test_a_map_of_a_year_belongs_to_the_image_of_that_year(write_raster, tmp_path):
    files = [
        write_raster("t_19991118.tif", image(3)), write_raster("t_20020416.tif", image(3)),
        write_raster("cover_1999.tif", codes(most=2)),
    ]  # fmt: skip
    content, _ = page_of(*files, folder=tmp_path / "page")
    assert content["dates"] == ["1999-11-18", "2002-04-16"]
    assert [(w["title"], w["date"]) for w in content["layers"]] == [
        ("Image, 1999-11-18", 0), ("Image, 2002-04-16", 1), ("Classes, 1999", 0),
    ]  # fmt: skip


def test_the_extent_is_that_of_all_rasters(write_raster, tmp_path):
    one = write_raster("a.tif", image(3))
    other = write_raster("b.tif", image(3), origin=(503_000.0, 4_000_600.0))
    content, _ = page_of(one, other, folder=tmp_path / "page")
    assert content["extent"] == [500_000, 4_000_000 - 1200, 503_000 + 1500, 4_000_600]


def test_a_mosaic_of_blocks_is_one_map(tmp_path):
    blocks = tmp_path / "map_blocks"
    blocks.mkdir()
    block = cog(blocks / "0.tif", codes((64, 64)), nodata=0, scheme=CHANGE)
    rasterio.shutil.copy(block, tmp_path / "map.vrt", driver="VRT")
    content, _ = page_of(tmp_path, folder=tmp_path / "page")
    (layer,) = content["layers"]
    assert layer["title"] == "Change map"
    assert "is of the format VRT" in layer["note"]


def test_files_of_the_same_title_are_named_apart(write_raster, tmp_path):
    paths = [write_raster(name, codes(), ) for name in ("a.tif", "b.tif")]  # fmt: skip
    for path in paths:
        cog(path, codes(), scheme=CHANGE, nodata=0)
    one, other = page_of(*paths, folder=tmp_path / "page")[0]["layers"]
    assert (one["title"], other["title"]) == ("Change map", "Reference")
    made = provenance.as_tag({**provenance.record("classify", [], {}), "layer": "class"})
    for path in paths:
        cog(path, codes(), scheme=CHANGE, nodata=0, tags=made)
    titles = [w["title"] for w in page_of(*paths, folder=tmp_path / "page")[0]["layers"]]
    assert titles == ["Change map (a.tif)", "Change map (b.tif)"]


def test_no_two_layers_have_one_title(tmp_path):
    names = [f"{date}:{band}" for date in ("before", "after") for band in ("red", "green", "blue")]
    paths = []
    for folder in ("one", "two", "x/two"):
        (tmp_path / folder).mkdir(parents=True)
        paths.append(cog(tmp_path / folder / "stack.tif", image(6), bands=names))
    paths.append(polygons_file(
        tmp_path / "p.gpkg", [(500_000, 3_999_000, 500_100, 3_999_100)], "EPSG:32618", ["a"]
    ))  # fmt: skip
    content, _ = page_of(*paths, folder=tmp_path / "page")
    titles = [w["title"] for w in content["layers"]]
    assert len(set(titles)) == len(titles) == 7
    assert titles[0] == "Image, before (one/stack.tif)"
    assert titles[2] == "Image, before (3)"


def test_classes_may_be_given_for_maps_that_name_none(write_raster, tmp_path):
    path = write_raster("cover.tif", codes(most=3), nodata=0)
    given = ClassScheme.from_mapping({1: "forest", 2: "crop"}, {1: (1, 2, 3)})
    content, _ = page_of(path, folder=tmp_path / "page", classes=given)
    classes = content["layers"][0]["classes"]
    assert [(c["value"], c["name"]) for c in classes] == [
        (1, "forest"), (2, "crop"), (3, "class 3"),
    ]  # fmt: skip
    assert classes[0]["colour"] == "#010203"
    own = cog(tmp_path / "own.tif", codes(), scheme=CHANGE, nodata=0)
    named = page_of(own, folder=tmp_path / "page", classes=given)[0]["layers"][0]["classes"]
    assert [c["name"] for c in named] == list(CHANGE.names)


def test_bands_shown_first_are_those_of_the_rule_or_of_the_user(job, tmp_path, write_raster):
    content, _ = page_of(job, folder=tmp_path / "page")
    first = content["layers"][0]
    assert first["bands"] == ["blue", "green", "red", "nir", "swir1", "swir2"]
    assert (first["rgb"], first["shown"]) == ([3, 2, 1], "true colour")
    chosen, _ = page_of(job, folder=tmp_path / "page", rgb="nir,red,green")
    assert chosen["layers"][0]["rgb"] == [4, 3, 2]
    with pytest.raises(BandError, match="must be among blue, green"):
        page_of(job, folder=tmp_path / "page", rgb="thermal")


# ---- Files that a browser reads, and copies of others


def tiled(path, values, **options):
    """Write a tiled GeoTIFF."""
    values = np.asarray(values)
    profile = {
        "driver": "GTiff", "count": len(values), "dtype": values.dtype, "height": values.shape[1],
        "width": values.shape[2], "crs": "EPSG:32618", "tiled": True, "blockxsize": 64,
        "blockysize": 64, "transform": Affine(30, 0, 500_000, 0, -30, 4_000_000),
    }  # fmt: skip
    with rasterio.open(path, "w", **{**profile, **options}) as target:
        target.write(values)
    return path


def obstacle_of(path):
    return readable.obstacle(found.recognised(path))


@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ({"compress": "deflate", "predictor": 1}, "uint8"),
        ({"compress": "deflate", "predictor": 2}, "uint16"),
        ({"compress": "deflate", "predictor": 3}, "float32"),
        ({"compress": "lzw", "predictor": 2}, "int16"), ({"compress": "zstd"}, "uint8"),
        ({"compress": "jpeg", "photometric": "ycbcr"}, "uint8"), ({}, "float64"),
        ({"compress": "packbits"}, "int8"), ({"nodata": 0}, "uint32"),
        ({"nodata": float("nan")}, "float32"), ({"interleave": "band"}, "uint8"),
        ({"bigtiff": "yes"}, "uint8"), ({"endianness": "big"}, "uint8"),
    ],
)  # fmt: skip
def test_files_that_a_browser_reads_are_taken_as_they_are(tmp_path, options, dtype):
    path = tiled(tmp_path / "a.tif", image(3, (200, 300), dtype), **options)
    assert obstacle_of(path) == ""
    content, store = page_of(path, folder=tmp_path / "page")
    assert store.files[content["layers"][0]["url"]] == path
    assert content["layers"][0]["note"] is None


def test_masks_and_alpha_inside_a_file_are_read_by_the_page(tmp_path):
    alpha = tiled(tmp_path / "a.tif", image(4, (200, 300), "uint8"), photometric="rgb", alpha="yes")
    assert obstacle_of(alpha) == ""
    masked = tiled(tmp_path / "m.tif", image(3, (200, 300), "uint8"))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(masked, "r+") as target:
        target.write_mask(np.arange(200 * 300).reshape(200, 300) % 3 > 0)
    assert obstacle_of(masked) == ""


@pytest.mark.parametrize(
    ("why", "options", "dtype", "shape"),
    [
        ("has no tiles", {"tiled": False, "blockysize": 1}, "uint8", (3, 200, 300)),
        ("has no overviews", {}, "uint8", (1, 40, 2100)),
        ("is compressed by LZMA", {"compress": "lzma"}, "uint8", (3, 200, 300)),
        ("holds pixels of int64", {}, "int64", (3, 200, 300)),
        ("holds pixels of 1 bits", {"nbits": 1}, "uint8", (3, 200, 300)),
        ("holds 7 bands pixel by pixel", {"interleave": "pixel"}, "uint8", (7, 200, 300)),
        ("is of the format PNG", {"driver": "PNG", "tiled": False}, "uint8", (3, 200, 300)),
        ("holds numbers whose first", {"endianness": "big"}, "uint16", (2, 200, 300)),
        ("is compressed by LERC", {"compress": "lerc"}, "float32", (2, 200, 300)),
        ("has an infinite nodata value", {"nodata": float("-inf")}, "float32", (2, 200, 300)),
    ],
)
def test_other_files_are_copied_and_the_page_says_why(tmp_path, why, options, dtype, shape):
    values = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    path = tiled(tmp_path / f"a.{options.get('driver', 'tif').lower()}", values, **options)
    assert obstacle_of(path).startswith(why)
    content, store = page_of(path, folder=tmp_path / "page")
    layer = content["layers"][0]
    assert why in layer["note"]
    assert re.search("cop(y|ies)", " ".join(content["policy"]))
    copy = store.files[layer["url"]]
    assert obstacle_of(copy) == ""
    with rasterio.open(copy) as source:
        assert source.shape == shape[1:]


def test_a_mask_beside_a_file_goes_into_its_copy(tmp_path):
    path = tiled(tmp_path / "m.tif", image(3, (200, 300), "uint8"))
    hidden = np.arange(200 * 300).reshape(200, 300) % 3 == 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as target:
        target.write_mask(~hidden)
    assert obstacle_of(path) == "has its mask in another file"
    content, store = page_of(path, folder=tmp_path / "page")
    with rasterio.open(store.files[content["layers"][0]["url"]]) as copy:
        assert ((copy.read(1) == 0) == hidden).all()
        assert copy.nodata == 0


def test_a_view_copy_holds_the_bands_of_its_date_in_steps_of_a_byte(job, tmp_path):
    content, store = page_of(job, folder=tmp_path / "page")
    layer = content["layers"][1]
    with rasterio.open(store.files[layer["url"]]) as copy, rasterio.open(job / "after.tif") as own:
        assert copy.count == 6
        assert copy.profile["interleave"] == "band"
        stored, values = copy.read().astype(float), own.read().astype(float)
    assert stored.min() >= 1
    for band, (gain, offset) in enumerate(layer["scale"]):
        inside = (stored[band] > 1) & (stored[band] < 255)
        error = stored[band] * gain + offset - values[band]
        assert np.abs(error[inside]).max() <= gain / 2 + 1e-9
        assert inside.mean() > 0.97
    assert "254 steps" in layer["note"]


def test_bytes_keep_their_values_in_a_view_copy(tmp_path):
    values = np.tile(np.arange(256, dtype=np.uint8), (7, 16, 1))
    path = tiled(tmp_path / "a.tif", values, interleave="pixel", nodata=9)
    content, store = page_of(path, folder=tmp_path / "page")
    layer = content["layers"][0]
    assert layer["scale"] == [[1, 0]] * 7
    with rasterio.open(store.files[layer["url"]]) as copy:
        expected = values.clip(1)
        expected[values == 9] = 0
        assert (copy.read() == expected).all()


def test_a_view_copy_is_no_larger_than_stated_and_has_overviews(tmp_path):
    values = np.full((7, 1200, 1500), 100, np.uint16)
    values[:, :, 750:] = 300
    values[:, 600:, :] = 0
    path = tiled(tmp_path / "a.tif", values, interleave="pixel", nodata=0)
    content, store = page_of(path, folder=tmp_path / "page", size=CopySize(side=1000))
    layer = content["layers"][0]
    assert (layer["grid"]["width"], layer["grid"]["height"]) == (1000, 800)
    assert layer["grid"]["transform"][0] == pytest.approx(45)
    assert "1,000 by 800 pixels" in layer["note"]
    with rasterio.open(store.files[layer["url"]]) as copy:
        assert copy.overviews(1) == [2]
        assert copy.bounds == rasterio.open(path).bounds
        for factor in (1, 2):
            small = copy.read(1, out_shape=(800 // factor, 1000 // factor))
            gain, offset = layer["scale"][0]
            assert np.abs(small[10, 10] * gain + offset - 100) <= gain
            assert np.abs(small[10, -10] * gain + offset - 300) <= gain
            assert (small[-10:] == 0).all()


def test_a_copy_of_a_map_keeps_its_values(tmp_path):
    values = codes((1100, 1300))
    path = tiled(tmp_path / "map.tif", values[np.newaxis], nodata=0)
    content, store = page_of(path, folder=tmp_path / "page")
    layer = content["layers"][0]
    assert "has no overviews" in layer["note"]
    with rasterio.open(store.files[layer["url"]]) as copy:
        assert (copy.read(1) == values).all()
        assert copy.overviews(1)
        assert set(np.unique(copy.read(1, out_shape=(500, 600)))) <= {1, 2, 3}  # no means


def test_a_larger_map_is_copied_small_and_says_so(tmp_path):
    path = tiled(tmp_path / "map.tif", codes((1100, 1300))[np.newaxis], nodata=0)
    size = CopySize(side=650, pixels=1_000_000)
    content, _ = page_of(path, folder=tmp_path / "page", size=size)
    layer = content["layers"][0]
    assert "650 by 550 pixels" in layer["note"]
    assert layer["areas"]["row_hectares"] == pytest.approx(0.09 * 4, rel=1e-6)


def test_a_raster_of_nodata_alone_is_shown_as_such(tmp_path, write_raster):
    nothing = write_raster("none.tif", np.zeros((3, 40, 50), np.uint16), nodata=0)
    empty = write_raster("empty.tif", np.full((40, 50), np.nan, np.float32), nodata=np.nan)
    bare = cog(tmp_path / "map.tif", np.zeros((40, 50), np.uint8), nodata=0, scheme=CHANGE)
    many = tiled(tmp_path / "m.tif", np.zeros((7, 64, 64), np.uint16), nodata=0)
    content, _ = page_of(nothing, empty, bare, many, folder=tmp_path / "page")
    assert len(content["layers"]) == 4
    assert layers_of(content, "image")[0]["stretch"] == [[0, 1]] * 3
    assert layers_of(content, "values")[0]["nodata"] == "nan"


# ---- What is left out, and errors


def test_another_crs_is_left_out_with_the_command_that_warps_it(tmp_path):
    first = cog(tmp_path / "map.tif", codes(), nodata=0, scheme=CHANGE)
    other = cog(tmp_path / "it's of.tif", codes(), nodata=0, scheme=CHANGE, crs="EPSG:32619")
    content, _ = page_of(first, other, folder=tmp_path / "page")
    (line,) = content["left_out"]
    assert line.startswith("it's of.tif lies in EPSG:32619, the page in EPSG:32618")
    command = line.partition("warp it first: ")[2]
    assert "gdalwarp -t_srs EPSG:32618 -r near" in command
    assert str(tmp_path) in command
    without = cog(tmp_path / "bare.tif", codes(), nodata=0, scheme=CHANGE, crs=None)
    (line,) = page_of(first, without, folder=tmp_path / "page")[0]["left_out"]
    assert "lies in no CRS" in line
    assert "gdal_edit" in line


def test_rotated_grids_are_left_out_and_refused_where_they_are_alone(tmp_path):
    first = cog(tmp_path / "map.tif", codes(), nodata=0, scheme=CHANGE)
    turned = Affine(30, 0, 500_000, 0, -30, 4_000_000) @ Affine.rotation(20)
    tiled(tmp_path / "turned.tif", image(3), transform=turned)
    tiled(tmp_path / "south.tif", image(3), transform=Affine(30, 0, 0, 0, 30, 0))
    content, _ = page_of(
        first, tmp_path / "turned.tif", tmp_path / "south.tif", folder=tmp_path / "page"
    )
    assert len(content["layers"]) == 1
    assert len(content["left_out"]) == 2
    assert all("gdalwarp" in line for line in content["left_out"])
    with pytest.raises(GridError, match=r"needs a raster that it can show.*rotated or upside-down"):
        page_of(tmp_path / "turned.tif", folder=tmp_path / "page")


def test_rasters_without_a_place_lie_at_their_pixels(tmp_path):
    from PIL import Image

    Image.fromarray(image(3, dtype="uint8").transpose(1, 2, 0)).save(tmp_path / "a.png")
    content, _ = page_of(tmp_path / "a.png", folder=tmp_path / "page")
    assert content["crs"] is None
    assert content["extent"] == [0, 0, 50, 40]
    assert content["layers"][0]["grid"]["transform"] == [1, 0, 0, 0, -1, 40]


def test_a_crs_without_a_code_has_a_name_and_a_definition(tmp_path):
    own = "+proj=laea +lat_0=-8 +lon_0=-74 +ellps=GRS80 +units=m +no_defs"
    path = cog(tmp_path / "map.tif", codes(), nodata=0, scheme=CHANGE, crs=own)
    crs = page_of(path, folder=tmp_path / "page")[0]["crs"]
    assert crs["name"]
    assert "+proj=laea" in crs["proj4"]
    assert (crs["unit"], crs["geographic"]) == ("m", False)


def test_a_local_crs_has_a_name_alone(tmp_path):
    path = tiled(tmp_path / "a.tif", image(3), crs='LOCAL_CS["site",UNIT["metre",1]]')
    crs = page_of(path, folder=tmp_path / "page")[0]["crs"]
    assert (crs["proj4"], crs["metres"], crs["unit"]) == (None, None, "m")


def test_huge_rasters_without_overviews_are_refused_at_once(tmp_path):
    small = tiled(tmp_path / "small.tif", image(1, (64, 64), "uint8"))
    vrt = tmp_path / "huge.vrt"
    vrt.write_text(
        '<VRTDataset rasterXSize="200000" rasterYSize="200000"><SRS>EPSG:32618</SRS>'
        "<GeoTransform>0, 30, 0, 0, 0, -30</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{small.name}</SourceFilename>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(RasterError, match=r"200,000 x 200,000; make them \(gdaladdo\)"):
        found.find([vrt])


def test_damaged_files_of_a_folder_are_left_out_and_named_ones_refused(job, tmp_path):
    (job / "broken.tif").write_bytes(b"II*\0 no raster")
    content, _ = page_of(job, folder=tmp_path / "page")
    assert len(content["layers"]) == 7
    assert [line[:24] for line in content["left_out"]] == ["broken.tif isn't shown: "]
    with pytest.raises(RasterError, match=r"must be readable, got .*broken\.tif"):
        found.find([job / "broken.tif"])


def test_bad_arguments_are_one_clear_line(tmp_path, job):
    with pytest.raises(ParameterError, match="needs a folder or files, got none"):
        found.find([])
    with pytest.raises(ParameterError, match=r"needs files that exist, got .*moon\.tif"):
        found.find([tmp_path / "moon.tif"])
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ParameterError, match=r"needs a raster, got none in .*empty"):
        found.find([empty])
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(ParameterError, match="must hold GeoJSON or the areas"):
        found.find([job, tmp_path / "a.json"])
    for number in range(found.MOST):
        (job / f"{number}.geojson").write_text("{}")
    with pytest.raises(ParameterError, match=f"at most {found.MOST} files, got"):
        found.find([job])


# ---- Polygons, sample units, areas


def polygons_file(path, box, crs, classes):
    pyogrio.raw.write(
        path, shapely.to_wkb(np.array([shapely.box(*b) for b in box], object)),
        [np.array(classes, object), np.arange(len(box)) / 2], np.array(["class", "x"], object),
        geometry_type="Polygon", crs=crs,
    )  # fmt: skip
    return path


def test_polygons_are_brought_to_the_page_s_crs_in_the_map_s_colours(tmp_path):
    from pyproj import Transformer

    mapped = cog(tmp_path / "map.tif", codes(), nodata=0, scheme=CHANGE)
    west, north = 500_300.0, 3_999_700.0
    back = Transformer.from_crs("EPSG:32618", "EPSG:4326", always_xy=True)
    (left, right), (bottom, top) = back.transform([west, west + 300], [north - 300, north])
    places = polygons_file(
        tmp_path / "p.gpkg", [(left, bottom, right, top)] * 2, "EPSG:4326", ["to forest", None]
    )
    content, store = page_of(mapped, places, folder=tmp_path / "page")
    layer = content["layers"][1]
    assert (layer["kind"], layer["features"], layer["colour_by"]) == ("polygons", 2, "class")
    assert layer["colours"] == {"to forest": content["layers"][0]["classes"][0]["colour"]}
    text = store.files[layer["url"]].read_text()
    drawn = json.loads(text)
    assert drawn["features"][0]["properties"] == {"class": "to forest", "x": 0.0}
    assert drawn["features"][1]["properties"]["class"] is None
    bounds = shapely.from_geojson(json.dumps(drawn["features"][0]["geometry"])).bounds
    assert np.abs(np.array(bounds) - [west, north - 300, west + 300, north]).max() < 2
    assert max(len(n) for n in re.findall(r"\.(\d+)", text.partition("coordinates")[2])) <= 2


def test_units_of_a_sample_are_points(tmp_path):
    mapped = cog(tmp_path / "map.tif", codes(), nodata=0, scheme=CHANGE)
    landshift.sample(mapped, tmp_path / "s.gpkg", plan=landshift.SamplePlan(size=30))
    content, store = page_of(tmp_path, folder=tmp_path / "page")
    (units,) = layers_of(content, "points")
    assert (units["title"], units["features"]) == ("Sample units", 30)
    drawn = json.loads(store.files[units["url"]].read_text())["features"]
    with rasterio.open(mapped) as source:
        for unit in drawn:
            x, y = unit["geometry"]["coordinates"]
            assert (unit["properties"]["x"], unit["properties"]["y"]) == (x, y)
            assert source.read(1)[source.index(x, y)] > 0


def test_polygons_that_are_too_many_are_left_out_in_favour_of_the_raster(tmp_path, monkeypatch):
    mapped = cog(tmp_path / "map.tif", codes(), nodata=0, scheme=CHANGE)
    places = polygons_file(
        tmp_path / "p.gpkg", [(500_000, 3_999_000, 500_100, 3_999_100)] * 100, "EPSG:32618",
        ["to forest"] * 100,
    )  # fmt: skip
    monkeypatch.setattr(shapes, "MOST_BYTES", 5000)
    content, store = page_of(mapped, places, folder=tmp_path / "page")
    assert len(content["layers"]) == 1
    assert re.search(r"p\.gpkg.*the map's raster shows their classes", content["left_out"][0])
    assert not [address for address in store.files if address.endswith(".geojson")]


def test_a_vector_file_of_several_layers_is_left_out(tmp_path):
    mapped = cog(tmp_path / "map.tif", codes(), nodata=0, scheme=CHANGE)
    places = np.array([shapely.box(500_000, 3_999_000, 500_100, 3_999_100)], object)
    for layer in ("one", "two"):
        pyogrio.raw.write(
            tmp_path / "p.gpkg", shapely.to_wkb(places), [np.array([1])], np.array(["n"], object),
            layer=layer, geometry_type="Polygon", crs="EPSG:32618",
        )  # fmt: skip
    content, _ = page_of(mapped, tmp_path / "p.gpkg", folder=tmp_path / "page")
    assert "must have one layer, got one, two" in content["left_out"][0]


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_polygons_elsewhere_or_without_crs_are_left_out(tmp_path):
    mapped = cog(tmp_path / "map.tif", codes(), nodata=0, scheme=CHANGE)
    bare = polygons_file(tmp_path / "b.gpkg", [(0, 0, 1, 1)], None, ["a"])
    (tmp_path / "broken.geojson").write_text('{"type": "FeatureCollection", "features": [')
    content, _ = page_of(mapped, bare, tmp_path / "broken.geojson", folder=tmp_path / "page")
    assert len(content["layers"]) == 1
    assert len(content["left_out"]) == 2


def test_areas_stand_beside_the_map_that_they_are_of(tmp_path):
    from landshift.assess import files

    mapped = cog(tmp_path / "map.tif", codes((200, 200)), nodata=0, scheme=CHANGE)
    plain = ClassScheme.from_mapping({1: "to forest", 2: "to crop", 3: "No change"})
    cog(mapped, codes((200, 200)), nodata=0, scheme=plain)
    sample = tmp_path / "s.gpkg"
    landshift.sample(mapped, sample, plan=landshift.SamplePlan(size=60))
    drawn = files.read_sample(sample)
    labels = {1: "crop,forest", 2: "forest,crop", 3: "crop,crop"}
    rows = [f"{n},{labels[int(v)]}" for n, v in zip(drawn.numbers, drawn.mapped, strict=True)]
    (tmp_path / "labels.csv").write_text("unit,before,after\n" + "\n".join(rows) + "\n")
    landshift.estimate(sample, labels=tmp_path / "labels.csv", out=tmp_path / "areas.json")
    content, _ = page_of(tmp_path, folder=tmp_path / "page")
    by_class = {entry["class"]: entry for entry in content["estimates"]}
    counted = np.count_nonzero(codes((200, 200)) == 2) * 0.09
    assert by_class["to crop"]["hectares"] == pytest.approx(counted, rel=1e-6)
    assert by_class["to crop"]["low"] < counted < by_class["to crop"]["high"]
    cog(mapped, codes((200, 200), seed=5), nodata=0, scheme=plain)
    content, _ = page_of(tmp_path, folder=tmp_path / "page")
    assert content["estimates"] is None
    assert "areas are those of another map, called map.tif" in content["left_out"][0]


# ---- Names


STRANGE = 'it\'s 50 % "off" #1 & <b>é'


@built
def test_names_with_spaces_quotes_and_percent_signs(tmp_path):
    folder = tmp_path / STRANGE
    folder.mkdir()
    scheme = ClassScheme.from_mapping({1: "<script>alert(1)</script>", 2: 'a "b" & c', 3: "é"})
    cog(folder / f"{STRANGE}.tif", codes(), nodata=0, scheme=scheme)
    out = landshift.explore(folder, out=tmp_path / "site")
    content = checked(json.loads((out / "layers.json").read_text(encoding="utf-8")))
    layer = content["layers"][0]
    assert [c["name"] for c in layer["classes"]] == list(scheme.names)
    assert "<" not in layer["url"]
    assert '"' not in layer["url"]
    way = urllib.parse.unquote(layer["url"])
    assert (out / way).resolve() == (folder / f"{STRANGE}.tif").resolve()
    copied = landshift.explore(folder, out=tmp_path / "copied", copy=True)
    (url,) = (w["url"] for w in json.loads((copied / "layers.json").read_text())["layers"])
    assert re.fullmatch(r"data/[A-Za-z0-9._-]+\.tif", url)
    assert (copied / url).read_bytes() == (folder / f"{STRANGE}.tif").read_bytes()


# ---- A folder for any web server


@built
def test_a_written_page_is_whole_and_loads_nothing_from_elsewhere(job, tmp_path):
    out = landshift.explore(job, out=tmp_path / "site", copy=True, title="A <b>title</b>")
    content = checked(json.loads((out / "layers.json").read_text()))
    assert content["title"] == "A <b>title</b>"
    names = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    assert names == {*bundle.FILES, "layers.json", *(w["url"] for w in content["layers"])}
    page = (out / "index.html").read_text()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"<script(?![^>]*src=)|<style|https?://", page)


@built
def test_a_page_of_zstd_may_compile_its_decoder(tmp_path):
    path = tiled(tmp_path / "a.tif", image(3, (200, 300), "uint8"), compress="zstd")
    out = landshift.explore(path, out=tmp_path / "site")
    page = (out / "index.html").read_text()
    assert "script-src 'self' 'wasm-unsafe-eval';" in page
    assert "connect-src 'self' data:;" in page  # where the decoder's own code is


@built
def test_rasters_are_linked_where_they_are_and_the_user_is_told(job, tmp_path, caplog):
    out = landshift.explore(job, out=tmp_path / "deep" / "site")
    content = json.loads((out / "layers.json").read_text())
    change = next(w for w in content["layers"] if w["role"] == "change")
    assert change["url"] == "../../job/map.tif"
    assert "outside its folder (../../job/" in caplog.text
    assert not list((out / "data").glob("*map*"))


@built
def test_the_user_is_told_of_copies_of_files_of_others(job, tmp_path, caplog):
    with landshift.explore(job, open_page=False) as page:
        assert "The page shows" not in page.description["title"] + caplog.text  # the composite's
    for name in ("a.tif", "b.tif"):
        tiled(tmp_path / name, image(3, (64, 64)), tiled=False, blockysize=1)
    with landshift.explore(tmp_path / "a.tif", open_page=False) as page:
        assert page.description
    assert "a copy of a.tif, which has no tiles. gdal_translate -of COG" in caplog.text
    with landshift.explore(tmp_path / "a.tif", tmp_path / "b.tif", open_page=False) as page:
        assert page.description
    assert "copies of 2 files, such as a.tif, which has no tiles" in caplog.text


@built
def test_nothing_is_overwritten_unless_it_is_an_earlier_page(job, tmp_path):
    out = tmp_path / "site"
    landshift.explore(job, out=out)
    with pytest.raises(ParameterError, match=r"new or empty, got .*site with files"):
        landshift.explore(job, out=out)
    (out / "data" / "mine.txt").write_text("mine")
    assert landshift.explore(job, out=out, overwrite=True) == out
    assert not (out / "data" / "mine.txt").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(ParameterError, match=r"Only an earlier map page is replaced"):
        landshift.explore(job, out=other, overwrite=True)
    assert (other / "thesis.txt").read_text() == "mine"
    with pytest.raises(ParameterError, match=r"must hold none of its inputs, got"):
        landshift.explore(out / "data", out=out, overwrite=True)
    with pytest.raises(OutputError, match=r"must be a folder, got the file"):
        landshift.explore(job, out=other / "thesis.txt")
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


@built
def test_options_that_contradict_are_one_clear_line(job, tmp_path):
    for options in ({"copy": True}, {"overwrite": True}):
        with pytest.raises(ParameterError, match="is for a page that is written"):
            landshift.explore(job, **options)
    with pytest.raises(ParameterError, match="`port` is for a page that is served, got 8000"):
        landshift.explore(job, out=tmp_path / "site", port=8000)


def test_without_its_bundle_the_page_says_so(job, monkeypatch, tmp_path):
    monkeypatch.setattr(bundle, "_FOLDER", "nowhere")
    with pytest.raises(ParameterError, match=r"must have been built with the package, got none"):
        landshift.explore(job, out=tmp_path / "site")


# ---- The command, served


@contextmanager
def command(*arguments):
    """The command running, and the address that it prints."""
    with subprocess.Popen(
        [sys.executable, "-c", "from landshift.cli import main; main()", "explore", "--no-open",
         *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            yield process, re.search(r"http://\S+", line)[0]
        finally:
            process.kill()


@built
def test_gdal_reads_the_served_files_by_ranges(job):
    with command(job) as (process, address):
        with urllib.request.urlopen(f"{address}layers.json", timeout=20) as reply:
            content = checked(json.load(reply))
        with urllib.request.urlopen(address, timeout=20) as reply:
            assert b"<!doctype html>" in reply.read()
            assert "script-src 'self';" in reply.headers["Content-Security-Policy"]
        mapped = next(w for w in content["layers"] if w["role"] == "change")
        with (
            rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"),
            rasterio.open(f"/vsicurl/{address}{mapped['url']}") as served,
            rasterio.open(job / "map.tif") as own,
        ):
            assert (served.read(1) == own.read(1)).all()
        for path in ("../map.tif", "map.tif", "data/", "data/../layers.json", "bundle.py"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"{address}{path}", timeout=20)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


@built
def test_the_copies_of_a_served_page_are_gone_when_it_ends(job, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with command(job) as (process, address):
        urllib.request.urlopen(address, timeout=20).close()
        assert list(tmp_path.glob("landshift-explore-*"))
        process.terminate()
        assert process.wait(20) == 0
    assert not list(tmp_path.glob("landshift-explore-*"))


@built
def test_python_gets_a_page_that_serves_itself(job):
    with landshift.explore(job, open_page=False) as page:
        assert [w["title"] for w in page.description["layers"]][4] == "Change map"
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", page.address)
        folder = next(iter(page._store.files.values())).parents[1]
        assert folder.is_dir()
        assert repr(page).startswith("Exploration of map.tif")
    assert not folder.exists()


@built
def test_a_port_in_use_is_said_before_any_copy(job):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with landshift.explore(job, port=other.getsockname()[1], open_page=False) as page:
            with pytest.raises(ParameterError, match=r"must be free, got \d+, which is in use"):
                page.address  # noqa: B018
            assert not page._store.files


@built
def test_the_command_prints_where_the_page_is(job, tmp_path, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["explore", str(job), "--out", str(tmp_path / "site")])
    assert capsys.readouterr().out == f"{tmp_path / 'site'}\n"
    with pytest.raises(SystemExit, match="2"):
        main(["explore", str(tmp_path / "moon.tif")])
    assert "Error: A map page needs files that exist" in capsys.readouterr().err


def test_report_and_classify_end_with_the_line_to_type(job, tmp_path, capsys):
    folder = tmp_path / "my job"
    os.rename(job, folder)
    with pytest.raises(SystemExit, match="0"):
        main(["report", str(folder), "-o", str(tmp_path / "page.html")])
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'page.html'}\n"
    assert printed.err.endswith(f"landshift explore '{folder}'\n")
    with pytest.raises(SystemExit, match="0"):
        main(["report", str(folder), "-o", str(tmp_path / "page.html"), "--quiet"])
    assert "explore" not in capsys.readouterr().err
