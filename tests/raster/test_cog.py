import subprocess

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from landshift import grid, raster
from landshift.classes import ClassScheme
from landshift.grid import Window
from landshift.raster import cog

BOX = grid.geobox(1300, 1100, Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32618")
VALIDATOR = ["/usr/bin/python3", "-m", "osgeo_utils.samples.validate_cloud_optimized_geotiff"]


def _make(path, values, *, colours=(), **options):
    with raster.create(
        path, BOX, count=len(values), dtype=str(values.dtype), nodata=0, **options
    ) as target:
        if colours:
            target.file.colorinterp = colours
        raster.write(target, values, Window(0, 0, BOX.height, BOX.width))
    return path


def _values(count, dtype):
    random = np.random.default_rng(0)
    return random.integers(1, 200, (count, BOX.height, BOX.width)).astype(dtype)


@pytest.mark.parametrize("big", [False, True])
def test_a_raster_too_large_for_a_tiff_becomes_a_bigtiff(tmp_path, monkeypatch, big):
    values = _values(2, "uint16")
    if big:
        monkeypatch.setattr(cog, "_MOST", 100_000)
    path = _make(tmp_path / "a.tif", values, bands=["one", "two"], tags={"A": "long " * 20})
    assert path.read_bytes()[:4] == (b"II\x2b\x00" if big else b"II\x2a\x00")
    with rasterio.open(path) as source:
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert source.tags()["A"] == "long " * 20
        assert source.descriptions == ("one", "two")
        assert source.overviews(1) == [2, 4]
        assert (source.read() == values).all()


@pytest.mark.parametrize("kind", ["one", "three", "colours", "floats", "classes"])
def test_gdal_finds_no_fault_with_the_layout(tmp_path, kind):
    try:
        subprocess.run(
            [VALIDATOR[0], "-c", f"import {VALIDATOR[2]}"], capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("GDAL's own checker isn't installed (apt install python3-gdal)")
    count = {"three": 3, "colours": 8}.get(kind, 1)
    values = _values(count, "float32" if kind == "floats" else "uint8")
    scheme = ClassScheme.from_mapping({v: f"class {v}" for v in range(1, 200)})
    path = tmp_path / "a.tif"
    colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined] * 2
    _make(
        path, values, **({"scheme": scheme} if kind == "classes" else {}),
        colours=colours if kind == "colours" else (),
    )  # fmt: skip
    completed = subprocess.run(
        [*VALIDATOR, "--full-check=yes", str(path)], capture_output=True, text=True
    )
    assert "is a valid cloud optimized GeoTIFF" in completed.stdout, (
        completed.stdout + completed.stderr
    )
    assert "warning" not in completed.stdout.lower()


def test_missing_and_truncated_blocks_are_detected(tmp_path):
    path = _make(tmp_path / "a.tif", _values(1, "uint8"))
    cog.check_written(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: -len(whole) // 3])
    with pytest.raises(OSError, match="No space left"):
        cog.check_written(path)
    for length in (0, 5, 8, 200, 600):  # not even the directory is whole
        path.write_bytes(whole[:length])
        with pytest.raises(OSError, match="No space left"):
            cog.check_written(path)
    place = {"driver": "GTiff", "height": 600, "width": 600, "count": 1, "dtype": "uint8"}
    with rasterio.open(
        path, "w", **place, tiled=True, sparse_ok=True, crs="EPSG:32618", transform=BOX.affine
    ):
        pass
    with pytest.raises(OSError, match="No space left"):
        cog.check_written(path)
