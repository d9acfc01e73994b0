"""What becomes of difficult rasters; `python tests/test_inputs.py` writes a part of the page."""

from __future__ import annotations

import logging
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import rasterio

from landshift import raster
from landshift.errors import LandshiftError
from landshift.images import Image
from landshift.prepare.checks import checks_of
from landshift.prepare.composite import CompositeOutput, TargetGrid, composite

TABLE = Path(__file__).parents[1] / "docs" / "inputs.md"
HEAD = """## A collection of difficult rasters

`landshift composite` on each file of a collection of difficult rasters (from the tests of rasterio
and rio-tiler), alone and without options; where it says so, once more with the option that its
error asks for. Made by `python tests/test_inputs.py`, and checked by that test.

| file | options | what happens |
|---|---|---|
"""
OPTIONS = {
    "float_nan.tif": {"assume_crs": "EPSG:32618"},
    "rotated.tif": {"assume_crs": "EPSG:32618"},
    "cog_scale.tif": {"scaled": True},
}


def table(folder: Path) -> str:
    """The last part of the page, made anew."""
    rows = []
    for file in sorted(folder.glob("*/*")):
        if file.suffix not in (".tif", ".vrt", ".jpg"):
            continue
        name = f"{file.parent.name}/{file.name}"
        for options in [{}, *([OPTIONS[file.name]] if file.name in OPTIONS else [])]:
            said = " ".join(f"{k}={v}" for k, v in options.items())
            rows.append(f"| {name} | {said} | {outcome(file, options)} |")
    return HEAD + "\n".join(rows) + "\n"


def outcome(file: Path, options: dict) -> str:
    """One file's result, or the line that says why there is none."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            made = composite([Image(files=(file,), **options)], Path(folder) / "c.tif")
        except LandshiftError as error:
            return f"{type(error).__name__}: {error}".replace(str(file), file.name)
        info, share = raster.info(made), checks_of(made)["valid"]["all"]
        crs = info.grid.crs.epsg
        return (
            f"composite of {len(info.bands)} x {info.height} x {info.width} {info.dtype}, "
            f"{f'EPSG:{crs}' if crs else 'own CRS'}, {share:.1%} valid"
        )


def written() -> tuple[str, str]:
    """The page as it is: before and after the head of the part that is made."""
    before, _, after = TABLE.read_text(encoding="utf-8").partition(HEAD)
    return before, after


def test_the_page_says_what_happens(data_folder, caplog):
    caplog.set_level(logging.ERROR)
    now, page = table(data_folder / "robustness_rasters"), HEAD + written()[1]
    share = re.compile(r"([\d.]+)% valid")  # versions of GDAL warp a pixel in a thousand otherwise
    assert share.sub("", now) == share.sub("", page)
    shares = [[float(s) for s in share.findall(text)] for text in (now, page)]
    assert shares[0] == pytest.approx(shares[1], abs=0.15)


def test_what_is_copied_is_equal(data_folder, tmp_path):
    folder = data_folder / "robustness_rasters"
    for name in ("rio_tiler/cog_cmap.tif", "rio_tiler/cog_dateline.tif", "rasterio/RGB.byte.tif"):
        with (
            rasterio.open(folder / name) as source,
            rasterio.open(composite([folder / name], tmp_path / Path(name).name)) as made,
        ):
            assert made.transform == source.transform
            valid = (source.read_masks() > 0).all(axis=0)
            assert (made.read()[:, valid] == source.read()[:, valid]).all()


def test_a_rotated_raster_keeps_its_grid_and_warps_to_another(data_folder, tmp_path):
    file = data_folder / "robustness_rasters" / "rasterio" / "rotated.tif"
    image = Image(files=(file,), assume_crs="EPSG:32618", resampling="nearest")
    with (
        rasterio.open(file) as source,
        rasterio.open(composite([image], tmp_path / "c.tif")) as made,
    ):
        assert made.transform == source.transform
        assert (made.read() == source.read()).all()
        values = source.read(1)
    with rasterio.open(
        composite(
            [image],
            tmp_path / "n.tif",
            target=TargetGrid(resolution=5),
            output=CompositeOutput(out_nodata=255),
        )
    ) as north:
        assert north.transform.b == 0
        straight = north.read(1)
    assert 0.2 < (straight != 255).mean() < 0.9
    assert set(np.unique(straight)) - {255} <= set(np.unique(values))


if __name__ == "__main__":
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "shared" / "data"
    TABLE.write_text(written()[0] + table(data / "robustness_rasters"), encoding="utf-8")
    print(TABLE)
