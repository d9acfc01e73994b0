"""VRTs whose files are missing or misnamed: an error when opened, never zeros."""

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio

from landshift import raster
from landshift.errors import OutputError, RasterError
from landshift.grid import Window
from landshift.maps.polygons import polygons
from landshift.prepare.composite import composite

HEAD = (
    '<VRTDataset rasterXSize="3" rasterYSize="2"><SRS>EPSG:32618</SRS>'
    "<GeoTransform>500000, 30, 0, 4000000, 0, -30</GeoTransform>"
    '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
)
TAIL = "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
NAMED = '<SourceFilename relativeToVRT="1">{}</SourceFilename>'
VALUES = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)


def vrt(path, source, text=NAMED):
    data = (HEAD + text + TAIL).encode().replace(b"{}", os.fsencode(source))
    path.write_bytes(data)
    return path


def values_of(path):
    with raster.open_raster(path) as source:
        return raster.read(source, Window(0, 0, 2, 3))[0][0].tolist()


def test_sources_that_are_there_are_read_through_vrts(write_raster, tmp_path):
    write_raster("a é.tif", VALUES)
    (tmp_path / "in").mkdir()
    vrt(tmp_path / "b.vrt", "a é.tif")
    outer = vrt(tmp_path / "in" / "c.vrt", "../b.vrt")
    absolute = vrt(tmp_path / "d.vrt", outer, NAMED.replace("1", "0", 1))
    inline = HEAD + NAMED.format("a é.tif") + TAIL
    inner = "<SourceFilename>" + inline.replace("&", "&amp;").replace("<", "&lt;")
    text = vrt(tmp_path / "e.vrt", "", inner + "</SourceFilename>")
    for path in (outer, absolute, text):
        assert values_of(path) == VALUES.tolist()


@pytest.mark.parametrize("element", ["SourceFilename", "sourcefilename", "SourceDataset"])
def test_a_missing_source_is_named(tmp_path, element):
    path = vrt(tmp_path / "a.vrt", "gone.tif", NAMED.replace("SourceFilename", element))
    with pytest.raises(RasterError, match=r"must exist, got none at .*gone.tif in .*a.vrt; check"):
        raster.info(path)
    outer = vrt(tmp_path / "b.vrt", "a.vrt")
    with pytest.raises(RasterError, match=r"got none at .*gone.tif in .*a.vrt"):
        composite([outer], tmp_path / "o.tif")
    assert not (tmp_path / "o.tif").exists()


def test_a_missing_source_inside_a_container_or_a_text_is_named(tmp_path):
    path = vrt(tmp_path / "a.vrt", 'NETCDF:"gone.nc":v')
    with pytest.raises(RasterError, match=r"got none at .*gone.nc in"):
        raster.info(path)
    inner = (HEAD + NAMED.format("gone.tif") + TAIL).replace("<", "&lt;")
    path = vrt(tmp_path / "b.vrt", "", f"<SourceFilename>{inner}</SourceFilename>")
    with pytest.raises(RasterError, match=r"got none at .*gone.tif in .*b.vrt"):
        raster.info(path)


def test_a_vrt_that_names_itself_ends(tmp_path):
    path = vrt(tmp_path / "a.vrt", "a.vrt")
    with pytest.raises(RasterError, match="must be readable"):
        values_of(path)


@pytest.mark.parametrize("data", [b"b\xe9.tif", b"a&b.tif"])
def test_a_vrt_that_isnt_utf8_or_well_formed_is_refused(write_raster, tmp_path, data):
    """GDAL reads it leniently: its name of a file goes past every check."""
    whole = write_raster("whole.tif", VALUES)
    try:
        whole.rename(os.fsdecode(os.fsencode(tmp_path) + b"/" + data))
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    path = vrt(tmp_path / "a.vrt", os.fsdecode(data))
    with pytest.raises(RasterError, match=r"A VRT must be well-formed XML in UTF-8, got .*a.vrt"):
        raster.info(path)


def test_a_raster_whose_name_isnt_utf8_is_refused(write_raster, tmp_path):
    name = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xe9.tif"))
    with pytest.raises(OutputError, match=r"name must be UTF-8, got .*b\\xe9.tif; "):
        composite([write_raster("a.tif", VALUES)], name)
    with pytest.raises(OutputError, match=r"name must be UTF-8, got .*b\\xe9.gpkg; "):
        polygons(tmp_path / "a.tif", name.with_suffix(".gpkg"))
    try:
        write_raster("whole.tif", VALUES).rename(name)
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    with pytest.raises(RasterError, match=r"name must be UTF-8, got .*b\\xe9.tif; rename"):
        raster.info(name)


def test_a_warped_vrt_of_gdals_own_passes(write_raster, tmp_path):
    from rasterio.shutil import copy
    from rasterio.vrt import WarpedVRT

    with rasterio.open(write_raster("a.tif", VALUES)) as source, WarpedVRT(source) as warped:
        copy(warped, tmp_path / "w.vrt", driver="VRT")
    assert values_of(tmp_path / "w.vrt") == VALUES.tolist()
    (tmp_path / "a.tif").unlink()
    with pytest.raises(RasterError, match=r"got none at .*a.tif in .*w.vrt"):
        raster.info(tmp_path / "w.vrt")
