"""Rasters inside other files, by GDAL's names, in every stage."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from cutting import cut_tiles
from landshift import images, raster
from landshift.classes import ClassScheme
from landshift.errors import ParameterError, RasterError
from landshift.evaluation.maps import evaluate_map
from landshift.files import containers, dates, provenance, whole
from landshift.files.containers import InnerRaster, part_of
from landshift.images import Image
from landshift.maps import patches
from landshift.prepare.composite import CompositeOutput, composite
from landshift.prepare.label import label

MAP = np.kron([[1, 2, 2], [1, 1, 2]], np.ones((16, 16))).astype(np.uint8)
SCHEME = ClassScheme.from_mapping({1: "forest", 2: "water"})


def netcdf(tiff, path, **options):
    rasterio.shutil.copy(tiff, path, driver="netCDF", FORMAT="NC4", **options)
    return path


@pytest.fixture
def two(write_raster, tmp_path, monkeypatch):
    """A NetCDF file of two variables, Band1 and Band2, in the folder where we are."""
    monkeypatch.chdir(tmp_path)
    return netcdf(write_raster("t.tif", np.stack([MAP, 3 - MAP])), Path("lc 2015.nc"))


@pytest.fixture
def series(write_raster, tmp_path):
    """A NetCDF file of one variable at two times."""
    path = write_raster(
        "s.tif", np.stack([MAP, 3 - MAP]),
        **{
            "NETCDF_DIM_EXTRA": "{time}", "NETCDF_DIM_time_DEF": "{2,6}",
            "NETCDF_DIM_time_VALUES": "{8035,16436.5}", "time#units": "days since 1970-01-01",
        },
    )  # fmt: skip
    with rasterio.open(path, "r+") as target:
        for number, step in ((1, "8035"), (2, "16436.5")):
            target.update_tags(number, NETCDF_VARNAME="lccs_class", NETCDF_DIM_time=step)
    return netcdf(path, tmp_path / "series.nc")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (str, "netcdf:lc 2015.nc:Band1"),
        (Path, 'NETCDF:"lc 2015.nc":Band1'),
        (Path, "netcdf:{here}/lc 2015.nc:Band1"),
    ],
)
def test_every_stage_reads_a_variable_by_name(two, tmp_path, name, kind):
    first = kind(name.format(here=tmp_path))
    second = kind(str(first).replace("Band1", "Band2"))
    table = label(first, second, tmp_path / "c.tif", classes=SCHEME)
    assert table.pixels.tolist() == [[0, 768], [768, 0]]
    composite([first, second], tmp_path / "i.tif")
    with raster.open_raster(tmp_path / "i.tif") as source:
        assert (source.read() == np.stack([MAP, 3 - MAP])).all()
        record = json.loads(source.tags()[provenance.TAG])
    print = provenance.fingerprint(two)
    assert record["inputs"] == [
        {"name": f"lc 2015.nc:Band{k}", "fingerprint": print} for k in (1, 2)
    ]
    assert raster.info(first).taken == dates.parse("2015")
    assert evaluate_map(first, second, scheme=SCHEME).matrix.trace() == 0
    cut_tiles([first], [second], tmp_path / "t", classes=SCHEME, tile_size=16, stride=16)
    assert len(list((tmp_path / "t" / "images").glob("*.tif"))) == 6
    assert raster.files_of(first) == {Path(containers.file_of(first))}
    assert patches.patches(first, classes=SCHEME)


def test_variables_are_stacked_under_their_names(two, tmp_path):
    files = ("netcdf:lc 2015.nc:Band2", "netcdf:lc 2015.nc:Band1")
    assert images.plan(Image(files)).names == ("Band2", "Band1")


def test_a_file_of_several_lists_what_to_type(two, tmp_path):
    with pytest.raises(RasterError, match=r"got 2 in lc 2015.nc; give one of 'netcdf:.*Band2'"):
        composite([two], tmp_path / "c.tif")
    with pytest.raises(RasterError, match=r"got Band9 for lc 2015.nc; give one of .*Band1"):
        raster.info("netcdf:lc 2015.nc:Band9")
    with pytest.raises(RasterError, match=r"must exist, got netcdf:no.nc:Band1"):
        raster.info("netcdf:no.nc:Band1")


def test_an_output_over_the_file_that_holds_an_input_is_refused(two):
    with pytest.raises(ParameterError, match="must not overwrite its input"):
        whole.check_apart(two, ["netcdf:lc 2015.nc:Band1"])


@pytest.mark.parametrize("kind", [str, Path])
def test_hdf5_is_read_with_the_slashes_that_a_path_loses(two, kind):
    two.rename("a.h5")
    name = kind('HDF5:"a.h5"://Band2')
    with raster.open_raster(name) as source:
        assert (source.read(1)[::-1] == 3 - MAP).all()  # GDAL leaves rows as the file has them
    with pytest.raises(RasterError, match=r"got 2 in a.h5; give one of '?HDF5:\"?a.h5\"?://Band1"):
        raster.info("a.h5")


def test_hdf4_is_named_with_the_conversion(tmp_path):
    path = tmp_path / "MOD13Q1.A2001001.h12v04.061.hdf"
    path.write_bytes(b"\x0e\x03\x13\x01" + bytes(400))
    for name in (path, f'HDF4_EOS:EOS_GRID:"{path}":grid:ndvi'):
        with pytest.raises(RasterError, match=r"got HDF4 in .*gdal_translate .* h4toh5"):
            raster.info(name)


def test_bands_along_time_are_named_by_it_and_selected(series, tmp_path):
    assert raster.info(series).bands == ("1992-01-01", "2015-01-01T1200")
    given = [Image((series,), bands=(b,)) for b in ("1992-01-01", "2015-01-01T1200")]
    composite(given, tmp_path / "c.tif", output=CompositeOutput(dates=["1992", "2015"]))
    with raster.open_raster(tmp_path / "c.tif") as source:
        assert (source.read() == np.stack([MAP, 3 - MAP])).all()


@pytest.mark.parametrize(
    ("step", "units", "calendar", "expected"),
    [
        ("0", "days since 1970-01-01", None, "1970-01-01"),
        ("36", "hours since 2000-1-1 00:00:00", "standard", "2000-01-02T1200"),
        ("59.99999", "days since 2000-01-01T00:00", "gregorian", "2000-03-01"),
        ("86400", "seconds since 1970-01-01 00:00", "proleptic_gregorian", "1970-01-02"),
        ("3", "months since 1970-01-01", None, None),
        ("3", "days since 1970-01-01", "noleap", None),
        ("1e12", "days since 1970-01-01", None, None),
        ("nan", "days since 1970-01-01", None, None),
        ("3", None, None, None),
    ],
)
def test_steps_of_time_are_days_by_the_cf_conventions(step, units, calendar, expected):
    assert dates.of_step(step, units, calendar) == expected


def test_names_that_are_no_parts_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a:b.tif").touch()
    Path("netcdf:x:y").touch()
    for name in ("a.tif", "/vsizip/a.zip/b.tif", "https://x/y.tif", "C:/x.tif", "a:b.tif",
                 "netcdf:x:y", "PG:dbname=x"):  # fmt: skip
        assert part_of(name) is None
    Path("a:b.nc").touch()
    assert part_of("netcdf:a:b.nc:v") == InnerRaster("netcdf", "a:b.nc", "v")
    assert part_of("GTIFF_DIR:2:a:b.tif") == InnerRaster("GTIFF_DIR", "a:b.tif", "2")
    assert containers.absolute("netcdf:a:b.nc:v") == f"netcdf:{os.getcwd()}/a:b.nc:v"
