"""Rasters, VRTs, legends, tables and vectors changed at random, given to the stages that read them.

Whatever is in them, the outcome is a result or an error of ours.
"""

import contextlib
import shutil
import tempfile
import warnings
import zlib
from collections import Counter

import hypothesis
import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import landshift
from fuzzing import PIECES, mutations, other_values
from landshift import images, raster, vector
from landshift.assess.plan import SamplePlan
from landshift.classes import ClassScheme, legend_readers
from landshift.errors import LandshiftError
from landshift.evaluation.maps import evaluate_map
from landshift.grid import Window
from landshift.images.overlay import on_grid
from landshift.maps.patches import patches
from landshift.maps.polygons import polygons
from landshift.maps.zonal import measure_zones
from landshift.prepare import label
from landshift.prepare.burn import ClassColumns, burn
from landshift.prepare.composite import TargetGrid, composite
from landshift.prepare.difference import difference
from landshift.prepare.normalise import normalise
from scenes import write

SEED = 20260
INPUTS = 2_000
MANY = 20_000

LARGEST = 100_000  # pixels of a raster that stages are given; a header can state any size

TEXT = [
    b"<", b">", b"</", b"/>", b"&", b"&amp;", b"&#0;", b"<!--", b"<!DOCTYPE x [<!ENTITY e 'e'>]>",
    b";", b"\t", b",", b",,,", b'"', b"'", b"\xff\xfe", b"\xe9", "é".encode(), b"\xe2\x80\xa8",
    b"0", b"-1", b"255", b"256", b"65536", b"2.0", b"2.5", b"1e300", b"1e400", b"nan", b"inf",
    b"99999999999999999999", b"true", b"null", b"\x1b[31m", b"\xe2\x80\xae", b"value", b"name",
    b"Float64", b"CInt16", b"Int8", b"UInt64", b"EPSG:4326", b"EPSG:5773", b"EPSG:0", b"LOCAL",
    b"../map.tif", b"image.tif", b"gone.tif", b"/vsimem/x", b"http://127.0.0.1:9/x.tif",
    b'relativeToVRT="0"', b'band="0"', b'band="9"', b"<NoDataValue>2</NoDataValue>",
    b"<Scale>0</Scale>", b"<ColorInterp>Alpha</ColorInterp>", b"<MaskBand>", b"[", b"]", b"{", b"}",
]  # fmt: skip

CRSS = [
    None, "EPSG:32618", "EPSG:4326", "EPSG:3857", "EPSG:3413", "EPSG:4978", "EPSG:32618+5773",
    "EPSG:2263", "ESRI:54009", "ESRI:104905", "+proj=geos +h=35785831 +lon_0=0 +sweep=y",
    "+proj=laea +lat_0=89.999 +lon_0=0", "+proj=tmerc +ellps=bessel +lon_0=9",
    'LOCAL_CS["site",UNIT["metre",1]]',
]  # fmt: skip
DTYPES = [
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64",
    "complex64", "complex_int16",
]  # fmt: skip
NUMBERS = st.sampled_from(
    [
        *[0, 1, -1, 0.5, 30, -30, 1e-12, 1e12, 1e38, 1e300, 90, 180, 500_000, 4_000_000, 2**31],
        *[float("nan"), float("inf"), -float("inf")],
    ]
)
TAGS = st.sampled_from(
    [
        ("LANDSHIFT_CLASSES", "[]"), ("LANDSHIFT_CLASSES", "{"), ("LANDSHIFT_CLASSES", "[[]]"),
        ("LANDSHIFT_CLASSES", '[{"Value": 1, "Name": "a", "Color": [1, 2]}]'),
        ("LANDSHIFT_CLASSES", '[{"Value": 1, "Name": "a\\u2028", "Color": [1, 2, 3]}]'),
        ("LANDSHIFT_CLASSES", "null"), ("LANDSHIFT_DATES", '{"before": 1}'),
        ("LANDSHIFT_PROVENANCE", "["), ("ACQUISITION_DATE", "0000-00-00"),
        ("ACQUISITION_DATE", "2016-07-01"), ("DATE_ACQUIRED", "\x1b"), ("time#units", "days since"),
    ]
)  # fmt: skip


@st.composite
def rasters(draw):
    """What a GeoTIFF is written from: size, type, place, values, and what it says of itself."""
    dtype = draw(
        st.sampled_from(DTYPES[:10]) if draw(st.integers(0, 9)) else st.sampled_from(DTYPES)
    )
    return {
        "dtype": dtype,
        "count": draw(st.sampled_from([1, 1, 1, 2, 4, 5])),
        "height": draw(st.sampled_from([1, 2, 24, 40])),
        "width": draw(st.sampled_from([1, 24, 24, 31])),
        "nodata": draw(st.none() | NUMBERS | st.integers(-300, 300)),
        "crs": draw(st.sampled_from(CRSS)),
        "transform": draw(
            st.sampled_from([(30, 0, 500_000, 0, -30, 4_000_000), (0.01, 0, 10, 0, -0.01, 50)])
            if draw(st.integers(0, 3))
            else st.tuples(*[NUMBERS] * 6)
        ),
        "values": draw(st.lists(NUMBERS | st.integers(-300, 300), min_size=1, max_size=5)),
        "names": draw(st.lists(st.sampled_from(["", "red", "red", "a:b", "é", "\u202e", "1"]))),
        "tags": dict(draw(st.lists(TAGS, max_size=2))),
        "scale": draw(st.sampled_from([1.0, 1.0, 0.0, float("nan"), 1e-4])),
        "mask": draw(st.sampled_from([None, None, "alpha", "mask"])),
        "palette": draw(st.booleans()),
    }


def write_raster(path, told):
    """Write it as it is described, as far as GDAL does."""
    from affine import Affine
    from rasterio.enums import ColorInterp

    shape = (told["count"], told["height"], told["width"])
    kind = "complex64" if told["dtype"] == "complex_int16" else told["dtype"]
    values = np.resize(np.array(told["values"], np.float64), shape).astype(kind)
    path.unlink(missing_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", **{k: told[k] for k in ("dtype", "count", "height", "width")},
        crs=told["crs"], transform=Affine(*told["transform"]), nodata=told["nodata"],
    ) as target:  # fmt: skip
        target.write(values)
        target.update_tags(**told["tags"])
        for number, name in zip(target.indexes, told["names"], strict=False):
            target.set_band_description(number, name)
        if told["scale"] != 1:
            target.scales = [told["scale"]] * told["count"]
        if told["mask"] == "alpha" and told["count"] > 1:
            target.colorinterp = [*target.colorinterp[:-1], ColorInterp.alpha]
        if told["mask"] == "mask":
            target.write_mask(np.arange(shape[1] * shape[2]).reshape(shape[1:]) % 2 == 0)
        if told["palette"] and told["dtype"] in ("uint8", "uint16") and told["count"] == 1:
            target.write_colormap(1, {k: (k, 0, 255 - k) for k in range(4)})


SCHEME = ClassScheme.from_mapping({1: "forest", 2: "water", 3: "No change"})
MAP = np.kron([[1, 2, 2], [1, 0, 3], [3, 2, 1]], np.ones((8, 8))).astype(np.uint8)


pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{what}")
    for what in (
        "RuntimeWarning:pyogrio",  # what GDAL says of a damaged file
        "pytest.PytestUnraisableExceptionWarning",  # GDAL's lines that aren't UTF-8
        "rasterio.errors.NodataShadowWarning",
        "rasterio.errors.ShapeSkipWarning",  # of a polygon that is a line
    )
]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with a whole file of each kind, and what they are used with."""
    root = tmp_path_factory.mktemp("inputs")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("here", "temporary", "out", "sample"):
            (root / name).mkdir()
        patch.chdir(root / "here")
        patch.setattr(tempfile, "tempdir", str(root / "temporary"))
        write(root / "map.tif", MAP, nodata=0)
        write(root / "other.tif", np.roll(MAP, 3, axis=1), nodata=0)
        bands = np.stack([MAP * 10.0, MAP * 7.0 + 1, MAP + 3.0]).astype(np.float32)
        write(root / "image.tif", bands, nodata=np.nan, bands=["red", "green", "nir"])
        for name in ("written.tif", "bytes.tif", "pixels.tif"):
            shutil.copy(root / "map.tif", root / name)
        with rasterio.open(root / "image.tif") as source:
            rasterio.shutil.copy(
                source, root / "pixels.tif", driver="GTiff", tiled=True, blockxsize=16,
                blockysize=16, compress="deflate", predictor=3,
            )  # fmt: skip
            rasterio.shutil.copy(source, root / "image.vrt", driver="VRT")
        with rasterio.open(root / "map.tif") as source:
            rasterio.shutil.copy(source, root / "map.vrt", driver="VRT")
        legends(root)
        zones(root)
        sample = root / "sample" / "s.gpkg"
        landshift.sample(
            root / "map.tif", sample, plan=SamplePlan(size=30, allocation="equal"), classes=SCHEME
        )
        text = (root / "sample" / "s.csv").read_text().replace(",,", ",forest,")
        (root / "sample" / "s.csv").write_text(text)
        yield root


def legends(root):
    """Files of classes: those that `label` writes beside a map, and those that people write."""
    label.label(root / "map.tif", root / "other.tif", root / "beside.tif", classes=SCHEME)
    for name in (".qml", ".tif.aux.xml", ".tif.vat.dbf"):
        shutil.copy(root / f"beside{name}", root / f"l{name}")
    shutil.copy(root / "map.tif", root / "beside.tif")  # without a tag that would tell them
    (root / "l.csv").write_text('value,name,red,green,blue\n1,forest,0,99,0\n2,"wa,ter",0,0,200\n')
    (root / "l.json").write_text('{"1": "forest", "2": "water", "9": "fill"}')
    (root / "l.clr").write_text("# codes\n1 0 99 0 255 forest\n2 0 0 200 255 open water\n")
    (root / "l.txt").write_text(
        "# QGIS Generated Color Map Export File\nINTERPOLATION:EXACT\n1,0,99,0,255,forest\n"
    )
    (root / "recode.csv").write_text("value,new\n1,2\n2,forest\n3,\n")


def zones(root):
    import pyogrio

    left, top = 500_000.0, 4_000_000.0
    boxes = [shapely.box(left + 60 * k, top - 500, left + 60 * k + 50, top - 60) for k in range(4)]
    for name, driver in (("z.geojson", "GeoJSON"), ("z.gpkg", "GPKG"), ("z.shp", "ESRI Shapefile")):
        pyogrio.raw.write(
            root / name, shapely.to_wkb(boxes),
            [np.array(["a", "b", "c", "c"], object), np.array([1, 2, 3, 3])],
            np.array(["name", "value"], object), driver=driver, geometry_type="Polygon",
            crs="EPSG:32618",
        )  # fmt: skip


def use_raster(root, path):
    """What every command asks of a raster, then one of the stages, by the file's bytes."""
    about = raster.info(path)
    if about.height * about.width * len(about.bands) > LARGEST:
        return
    for look in (raster.scheme_of, raster.legend_of, lambda p: raster.preview(p, 16)):
        with contextlib.suppress(LandshiftError):
            look(path)
    out, other = root / "out", root / "other.tif"
    stages = [
        lambda: label.label(path, other, out / "o.tif"),
        lambda: label.label(
            other,
            path,
            out / "o.tif",
            reading=label.MapReading(resampling="mode"),
            cleaning=label.Cleaning(min_pixels=2),
        ),
        lambda: composite([path], out / "o.tif"),
        lambda: composite(
            [root / "image.tif", path], out / "o.tif", target=TargetGrid(resolution=60.0)
        ),
        lambda: composite(
            [images.Image((path,), scaled=True)], out / "o.tif", target=TargetGrid(like=other)
        ),
        lambda: difference(path, path, out / "o.tif"),
        lambda: patches(path),
        lambda: polygons(path, out / "o.gpkg", everything=True),
        lambda: evaluate_map(path, other, scheme=SCHEME),
        lambda: burn(
            root / "z.geojson", path, out / "o.tif", columns=ClassColumns(value_column="value")
        ),
        lambda: landshift.sample(path, out / "o.gpkg", plan=SamplePlan(size=10)),
        lambda: measure_zones(path, root / "z.geojson", "name"),
        lambda: normalise(path, root / "image.tif", out / "o.tif"),
    ]
    stages[zlib.crc32(path.read_bytes()) % len(stages)]()


def use_legend(root, path):
    legend_readers.read_classes(path)


def use_recoding(root, path):
    legend_readers.read_recoding(path)


def use_beside(root, path):
    raster.scheme_of(root / "beside.tif")
    with raster.open_raster(root / "beside.tif") as source:
        raster.holds_classes(source)


def use_sample(root, path):
    landshift.estimate(root / "sample" / "s.gpkg", labels=path)


def use_zones(root, path):
    given = path if path.suffix in (".geojson", ".gpkg") else root / "z.shp"
    assert vector.read_polygons(given, raster.info(root / "map.tif").grid).geometries
    if zlib.crc32(path.read_bytes()) % 4 == 0:
        burn(
            given,
            root / "map.tif",
            root / "out" / "o.tif",
            columns=ClassColumns(name_column="name"),
        )


def use_grid(root, path):
    """A raster read on another's grid, whatever its own is."""
    box = raster.info(root / "map.tif").grid
    with on_grid(path, box, resampling="nearest") as layer:
        layer.read(Window(0, 0, 8, 8))


TARGETS = {
    "GeoTIFF": ("bytes.tif", use_raster, 0.12),
    "compressed GeoTIFF": ("pixels.tif", use_raster, 0.08),
    "GeoTIFF as described": ("written.tif", use_raster, 0.2),
    "GeoTIFF on another grid": ("written.tif", use_grid, 0.06),
    "VRT of a map": ("map.vrt", use_raster, 0.1),
    "VRT of an image": ("image.vrt", use_raster, 0.06),
    "CSV of classes": ("l.csv", use_legend, 0.05),
    "JSON of classes": ("l.json", use_legend, 0.03),
    ".clr": ("l.clr", use_legend, 0.03),
    "colour map of QGIS": ("l.txt", use_legend, 0.02),
    ".qml": ("l.qml", use_legend, 0.02),
    ".aux.xml": ("l.tif.aux.xml", use_legend, 0.04),
    ".vat.dbf": ("l.tif.vat.dbf", use_legend, 0.03),
    ".aux.xml beside": ("beside.tif.aux.xml", use_beside, 0.02),
    "recoding": ("recode.csv", use_recoding, 0.03),
    "labels of a sample": ("sample/s.csv", use_sample, 0.03),
    "GeoJSON": ("z.geojson", use_zones, 0.03),
    "GeoPackage": ("z.gpkg", use_zones, 0.02),
    "shapefile": ("z.shp", use_zones, 0.01),
    "table of a shapefile": ("z.dbf", use_zones, 0.01),
    "CRS of a shapefile": ("z.prj", use_zones, 0.01),
}
"""File, what reads it, and its share of the inputs."""


def inputs_of(path):
    """How a file is changed: as text, JSON or bytes; or what it is written from."""
    data = path.read_bytes()
    if path.name == "written.tif":
        return rasters()
    if data[:1] == b"{":
        return mutations(data, TEXT, most=3) | other_values(data)
    return mutations(data, TEXT if data.isascii() else PIECES, most=3)


def fuzz(root, target, inputs):
    """Give a target so many inputs; the folder is as it was in the end."""
    name, use, share = TARGETS[target]
    path = root / name
    inputs = round(inputs * share)
    kept = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    outcomes = Counter()

    @hypothesis.seed(SEED)
    @settings(
        max_examples=inputs, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        phases=[hypothesis.Phase.generate],
    )  # fmt: skip
    @given(inputs_of(path))
    def give(changed):
        if isinstance(changed, bytes):
            path.write_bytes(changed)
        else:
            try:
                with np.errstate(all="ignore"), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    write_raster(path, changed)
            except (ValueError, TypeError, OverflowError, rasterio.errors.RasterioError):
                outcomes["not written"] += 1
                return
        outcome = "read"
        try:
            use(root, path)
        except LandshiftError as error:
            outcome = type(error).__name__
        outcomes[outcome] += 1
        for left in (root / "out").iterdir():
            left.unlink()
        assert not list((root / "here").iterdir())
        assert not list((root / "temporary").iterdir())

    try:
        give()
    finally:
        for other in set(root.rglob("*")) - set(kept):
            if other.is_file():
                other.unlink()
        for other, whole in kept.items():
            other.write_bytes(whole)
    print(f"{target}: seed {SEED}, {outcomes.total()} inputs: {dict(outcomes)}")
    assert outcomes.total() >= inputs
    assert outcomes["read"]


@pytest.mark.parametrize("target", TARGETS)
def test_inputs_changed_at_random_are_read_or_refused(work, target):
    fuzz(work, target, INPUTS)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_many_inputs_changed_at_random_are_read_or_refused(work, target):
    fuzz(work, target, MANY)
