"""Untrusted rasters read no other file and contact no server; our own contact none offline."""

import json
import os
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
import rasterio
from rasterio.enums import MaskFlags

from landshift import raster, tileset
from landshift.errors import LandshiftError, RasterError, TileSetError
from landshift.files import access
from landshift.grid import Window
from landshift.images import Image, plan

KNOWN = {"transform": rasterio.Affine(30, 0, 0, 0, -30, 0), "crs": "EPSG:32618"}


@pytest.fixture
def server():
    """The address of a server that answers nothing, and the requests it was asked."""
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def listen():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(100))

        threading.Thread(target=listen, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
        listening.shutdown(socket.SHUT_RDWR)


def vrt(path, source, relative=0, size=32):
    path.write_text(
        f'<VRTDataset rasterXSize="{size}" rasterYSize="{size}"><SRS>EPSG:32618</SRS>'
        "<GeoTransform>0, 30, 0, 0, 0, -30</GeoTransform>"
        '<Metadata><MDI key="ABOUT">https://example.org/metadata</MDI></Metadata>'
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="{relative}">{source}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return path


def tif(path, size=32, **options):
    with rasterio.open(
        path, "w", driver="GTiff", width=size, height=size, count=1, dtype="uint8", **KNOWN
    ) as target:
        target.write(np.full((1, size, size), 7, np.uint8))
        for name, values in options.items():
            target.update_tags(ns=name, **values)
    return path


PAM = (
    '<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{}</MDI></Metadata>'
    "</PAMDataset>"
)
WMS = """<GDAL_WMS><Service name='TMS'><ServerUrl>{}/${{z}}/${{x}}/${{y}}.png</ServerUrl></Service>
<DataWindow><UpperLeftX>0</UpperLeftX><UpperLeftY>960</UpperLeftY><LowerRightX>960</LowerRightX>
<LowerRightY>0</LowerRightY><TileLevel>0</TileLevel></DataWindow><BandsCount>1</BandsCount>
<BlockSizeX>32</BlockSizeX><BlockSizeY>32</BlockSizeY></GDAL_WMS>"""


def spoil(path, what, address):
    """Make a raster of 32 x 32 pixels that reaches for an address in one of many ways."""
    path.unlink()
    if what == "VRT text":
        vrt(path, f"/vsicurl/{address}/a.tif")
    elif what == "VRT text with a URL":
        vrt(path, f"{address}/a.tif")
    elif what == "a web map service":
        path.write_text(WMS.format(address))
    elif what.startswith("."):
        tif(path)
        vrt(path.with_name(path.name + what), f"/vsicurl/{address}/a.tif")
    elif what == "overviews elsewhere":
        tif(path, OVERVIEWS={"OVERVIEW_FILE": f"/vsicurl/{address}/a.tif"})
    elif what == "overviews elsewhere, beside it":
        tif(path)
        path.with_name(path.name + ".aux.xml").write_text(PAM.format(f"/vsicurl/{address}/a.tif"))


WAYS = (
    "VRT text", "VRT text with a URL", "a web map service", ".msk", ".MSK", ".ovr",
    "overviews elsewhere", "overviews elsewhere, beside it",
)  # fmt: skip


@pytest.mark.parametrize("what", WAYS)
def test_a_raster_of_a_tile_set_contacts_no_server(tmp_path, server, monkeypatch, what):
    address, asked = server
    monkeypatch.delenv("LANDSHIFT_OFFLINE")
    folder = tmp_path / "set"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
        for tile in ("000000000.tif", "000000001.tif"):
            tif(folder / name / tile)
    for name in ("images", "labels"):
        spoil(folder / name / "000000001.tif", what, address)
        with pytest.raises(TileSetError, match=r"got 1 of 2 that aren't: 1 unreadable: "):
            tileset.read(folder)
        for left in (folder / name).glob("000000001.*"):
            left.unlink()
        tif(folder / name / "000000001.tif")
    assert len(tileset.read(folder).tiles) == 2
    assert asked == []


def test_a_raster_of_a_tile_set_reads_no_other_file_of_this_machine(tmp_path):
    secret = tif(tmp_path / "secret.tif")
    shown = vrt(tmp_path / "shown.tif", secret)
    with rasterio.open(shown) as source:  # what GDAL does with it
        assert (source.read() == 7).all()
    with (
        pytest.raises(RasterError, match=r"must be a whole TIFF, PNG or JPEG, got .*shown\.tif"),
        raster.open_raster(shown, untrusted=True),
    ):
        pass


@pytest.mark.parametrize("driver", ["GTiff", "PNG", "JPEG"])
def test_masks_and_places_beside_a_tile_are_read(tmp_path, driver):
    path = tmp_path / "t.img"
    mask = np.arange(1024).reshape(32, 32) % 3 > 0
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False),
        rasterio.open(
            path, "w", driver=driver, width=32, height=32, count=1, dtype="uint8", **KNOWN
        ) as target,
    ):
        target.write(np.full((1, 32, 32), 7, np.uint8))
        target.write_mask(mask)
    assert path.with_name("t.img.msk").is_file() or driver == "JPEG"  # which holds it itself
    with raster.open_raster(path, untrusted=True) as source:
        assert source.mask_flag_enums == ([MaskFlags.per_dataset],)
        values, valid = raster.read(source, Window(0, 0, 32, 32))
        assert (source.transform, source.crs) == (KNOWN["transform"], KNOWN["crs"])
    assert (values == 7).all()
    assert (valid == mask).all()


@pytest.mark.parametrize(
    "path",
    [
        "http://127.0.0.1:9/a.tif", "https://example.org/a.tif", "s3://bucket/a.tif",
        "/vsicurl/http://127.0.0.1:9/a.tif", "/vsicurl?url=http%3A%2F%2F127.0.0.1%2Fa.tif",
        "/vsis3/bucket/a.tif", "/vsigs/bucket/a.tif", "/vsizip//vsicurl/http://127.0.0.1/a.zip/a",
        "/vsicurl_streaming/http://127.0.0.1:9/a.tif", "HTTPS://EXAMPLE.ORG/A.TIF",
    ],
)  # fmt: skip
def test_a_url_is_refused_offline(path):
    with pytest.raises(RasterError, match="while LANDSHIFT_OFFLINE is set, got ") as result:
        raster.info(path)
    assert path in str(result.value)
    with pytest.raises(RasterError, match="while LANDSHIFT_OFFLINE is set, got "):
        plan(Image(files=(path,)))


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("source", ["{}/a.tif", "/vsicurl/{}/a.tif", "w.xml"])
def test_a_url_in_a_vrt_is_refused_offline(tmp_path, server, source, nested):
    address, asked = server
    (tmp_path / "w.xml").write_text(WMS.format(address))
    path = vrt(tmp_path / "inner.vrt", source.format(address), relative=int(source == "w.xml"))
    if nested:
        path = vrt(tmp_path / "outer.vrt", "inner.vrt", relative=1)
    with pytest.raises(RasterError, match=rf"while LANDSHIFT_OFFLINE is set, got .*{address}"):
        raster.info(path)
    assert asked == []


def test_a_vrt_of_files_is_read_offline(tmp_path):
    (tmp_path / "in").mkdir()
    tif(tmp_path / "in" / "a.tif")
    inner = vrt(tmp_path / "in" / "a.vrt", "a.tif", relative=1)
    outer = vrt(tmp_path / "b.vrt", inner)
    for path in (inner, outer):
        with raster.open_raster(path) as source:
            assert (source.read() == 7).all()


def test_hidden_urls_contact_no_server_offline(tmp_path, server):
    address, asked = server
    path = tif(tmp_path / "a.tif", OVERVIEWS={"OVERVIEW_FILE": f"/vsicurl/{address}/a.tif"})
    with raster.open_raster(path) as source:
        assert source.overviews(1) == []
        assert (source.read(out_shape=(1, 8, 8)) == 7).all()
    assert asked == []


def test_an_item_and_its_files_are_refused_offline(tmp_path, server):
    pytest.importorskip("pystac")
    address, asked = server
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "a", "geometry": None, "links": [],
        "properties": {"datetime": "2020-01-01T00:00:00Z"},
        "assets": {"red": {"href": f"{address}/a.tif", "eo:bands": [{"common_name": "red"}]}},
    }  # fmt: skip
    path = tmp_path / "item.json"
    path.write_text(json.dumps(item))
    for file in (path, f"{address}/item.json"):
        with pytest.raises(LandshiftError, match=f"LANDSHIFT_OFFLINE is set, got .*{address}"):
            plan(Image(files=(file,)))
    assert asked == []


def test_the_command_line_refuses_urls_offline_in_one_line(tmp_path, server):
    address, asked = server
    path = vrt(tmp_path / "a.vrt", f"{address}/a.tif")
    code = "from landshift.cli import main; main()"
    completed = subprocess.run(
        [sys.executable, "-c", code, "composite", path, path, "--out", tmp_path / "c.tif"],
        capture_output=True, text=True, env=os.environ, check=False,
    )  # fmt: skip
    assert completed.returncode == 2
    assert completed.stderr.count("\n") == 1
    assert completed.stderr.startswith(
        "Error: Rasters must lie on this machine while LANDSHIFT_OFFL"
    )
    assert asked == []


def test_side_files_are_those_that_gdal_opens(tmp_path):
    for name in ("a.tif", "a.tif.msk", "a.tif.OVR", "a.ovr", "b.tif.msk"):
        (tmp_path / name).touch()
    result = {p.name for p in access.side_files(tmp_path / "a.tif")}
    assert result == {"a.tif.msk", "a.tif.OVR", "a.ovr"}
