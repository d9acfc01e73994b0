"""Grids that lead nowhere, and CRS that PROJ can't join: one line of error from every command."""

import json

import numpy as np
import pytest
import rasterio
from affine import Affine

from landshift import errors, grid, raster
from landshift.cli import main
from landshift.errors import GridError, RasterError

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

GOOD = Affine(30, 0, 500_000, 0, -30, 4_000_000)
NAN, INF = float("nan"), float("inf")
DEGENERATE = {
    "no size": Affine(0, 0, 500_000, 0, 0, 4_000_000),
    "no width": Affine(0, 0, 500_000, 0, -30, 4_000_000),
    "no height": Affine(30, 0, 500_000, 0, 0, 4_000_000),
    "a size that is no number": Affine(NAN, 0, 500_000, 0, -30, 4_000_000),
    "an origin that is no number": Affine(30, 0, NAN, 0, -30, 4_000_000),
    "a size without end": Affine(INF, 0, 500_000, 0, -INF, 4_000_000),
    "an origin without end": Affine(30, 0, INF, 0, -30, 4_000_000),
    "a turn that is flat": Affine(30, 30, 500_000, -30, -30, 4_000_000),
    "a turn that is almost flat": Affine(30, 30, 500_000, -30, -30 * (1 + 1e-12), 4_000_000),
    "an area too large for a number": Affine(1e200, 0, 500_000, 0, -1e200, 4_000_000),
    "an area too small for a number": Affine(1e-200, 0, 500_000, 0, -1e-200, 4_000_000),
}
LOCAL = 'LOCAL_CS["a pit",UNIT["metre",1]]'
MOON = (
    'GEOGCRS["Moon",DATUM["Moon",ELLIPSOID["Moon",1737400,0]],CS[ellipsoidal,2],'
    'AXIS["lat",north],AXIS["lon",east],UNIT["degree",0.0174532925199433]]'
)
COMMANDS = (
    "composite {image} {image} -o out.tif", "composite image.tif {image} -o out.tif",
    "composite {image} -o out.tif --like image.tif", "composite {image} -o out.tif --crs EPSG:4326",
    "normalise {image} --like image.tif -o out.tif",
    "normalise image.tif --like {image} -o out.tif",
    "label {map} {map} -o out.tif", "label map.tif {map} -o out.tif --resampling nearest",
    "label {map} map.tif -o out.tif --resampling nearest", "difference {image} {image} -o out.tif",
    "burn zones.geojson --like {map} --name-column class -o out.tif",
    "tiles {image} {map} -o out --tile-size 16 --classes classes.csv", "polygons {map} -o out.gpkg",
    "patches {map} -o out.csv", "zonal {map} zones.geojson --column class -o out.csv",
    "sample {map} -o out.gpkg --size 30", "stac {map} -o out.json --datetime 2016-07-01",
    "evaluate {map} map.tif --classes classes.csv -o out.json",
)  # fmt: skip


def write(path, values, transform, crs="EPSG:32618"):
    with rasterio.open(
        path, "w", driver="GTiff", count=len(values), height=values.shape[1],
        width=values.shape[2], dtype=values.dtype, crs=crs,
    ) as target:  # fmt: skip
        target.write(values)
    with rasterio.open(path, "r+") as target:
        target.transform = transform


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grids")
    zone = [[500_000, 3_999_000], [500_900, 3_999_000], [500_900, 4_000_000], [500_000, 3_999_000]]
    feature = {
        "type": "Feature", "properties": {"class": "a"},
        "geometry": {"type": "Polygon", "coordinates": [zone]},
    }  # fmt: skip
    crs = {"type": "name", "properties": {"name": "EPSG:32618"}}
    zones = {"type": "FeatureCollection", "crs": crs, "features": [feature]}
    (folder / "zones.geojson").write_text(json.dumps(zones))
    (folder / "classes.csv").write_text("value,name\n1,to crop\n2,No change\n3,to forest\n")
    both(folder, "", GOOD)
    return folder


def both(folder, start, transform, crs="EPSG:32618"):
    """Write an image of two bands and a map of three classes."""
    random = np.random.default_rng(0)
    image = random.integers(1, 1000, (2, 48, 48), np.uint16)
    write(folder / f"{start}image.tif", image, transform, crs)
    classes = random.integers(1, 4, (1, 6, 6), np.uint8).repeat(8, 1).repeat(8, 2)
    write(folder / f"{start}map.tif", classes, transform, crs)


def said(command, monkeypatch, capfd):
    """What the command line says on standard error of a command that fails."""
    given = command.format(image="badimage.tif", map="badmap.tif").split()
    monkeypatch.setattr("sys.argv", ["landshift", *given])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    return capfd.readouterr().err


@pytest.mark.parametrize("name", ["no size", "an origin that is no number", "a turn that is flat"])
def test_a_grid_that_leads_nowhere_is_one_line(folder, monkeypatch, capfd, name):
    monkeypatch.chdir(folder)
    both(folder, "bad", DEGENERATE[name])
    for command in COMMANDS:
        text = said(command, monkeypatch, capfd)
        assert text.count("\n") == 1, (command, text)
        assert text.startswith("Error: "), (command, text)


@pytest.mark.parametrize("crs", [LOCAL, MOON])
def test_a_crs_that_leads_nowhere_is_one_line(folder, monkeypatch, capfd, crs):
    monkeypatch.chdir(folder)
    both(folder, "bad", GOOD if crs is LOCAL else Affine(1e-4, 0, 10, 0, -1e-4, 50), crs)
    for command in (
        "composite image.tif {image} -o out.tif", "composite {image} -o out.tif --crs EPSG:4326",
        "label map.tif {map} -o out.tif --resampling nearest",
        "label {map} map.tif -o out.tif --resampling nearest",
        "zonal {map} zones.geojson --column class -o out.csv",
        "tiles {image} {map} -o out --tile-size 16 --classes classes.csv "
        "--mask-polygons zones.geojson",
    ):  # fmt: skip
        text = said(command, monkeypatch, capfd)
        assert text.count("\n") == 1, (command, text)
        assert text.startswith("Error: "), (command, text)


@pytest.mark.parametrize("transform", DEGENERATE.values(), ids=DEGENERATE.keys())
def test_a_grid_needs_pixels(transform):
    with pytest.raises(GridError, match="pixels of a size above 0 at finite coordinates, got the"):
        grid.geobox(2, 2, transform, None)


@pytest.mark.parametrize(
    "transform",
    [
        GOOD, Affine.identity(), Affine(-30, 0, 0, 0, 30, 0), Affine(0, 30, 0, 30, 0, 0),
        GOOD @ Affine.rotation(37), Affine(1e-9, 0, 0, 0, -1e-9, 0), Affine(1e9, 0, 0, 0, -1e-3, 0),
    ],
)  # fmt: skip
def test_any_grid_that_gdal_can_invert_is_one(transform):
    from rasterio.transform import AffineTransformer

    assert AffineTransformer(transform).rowcol(*(transform @ (0.5, 0.5))) == (0, 0)
    assert grid.geobox(2, 2, transform, None).affine == transform


def test_errors_of_gdal_have_no_common_ancestor(tmp_path):
    from rasterio._err import CPLE_AppDefinedError
    from rasterio.errors import CRSError

    for error in (CRSError("no CRS"), CPLE_AppDefinedError(1, 1, "it failed\nfor a reason")):
        assert isinstance(error, errors.of_gdal())
        with pytest.raises(RasterError, match=r"must be readable, got a\.tif \("):  # noqa: SIM117
            with raster.reading("a.tif"):
                raise error


def test_areas_need_a_grid_between_the_poles():
    box = grid.geobox(2, 2, GOOD, "EPSG:4326")
    with pytest.raises(GridError, match="a grid between the poles, got 2 x 2 pixels of 30 x 30 at"):
        grid.ground(box)
