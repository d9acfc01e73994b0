"""Small scenes with the file names and metadata of the agencies' deliveries."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import numpy as np
import rasterio

from scenes import write

LANDSAT_8 = "LC08_L2SP_018030_20210721_20210911_02_T1"
LANDSAT_5 = "LT05_L2SP_018030_19900721_20200911_02_T1"
SENTINEL_2 = "S2A_MSIL2A_20220625T150721_N0400_R082_T18TXR_20220625T192045"

CLEAR, CLOUD, FILL = 21824, 22280, 1
"""Values of QA_PIXEL over clear land, under a cloud of high confidence, and off the image."""


def landsat(folder: Path, name: str = LANDSAT_8, *, size: int = 16, **values: int) -> Path:
    """A Collection 2 Level 2 scene; band B holds 7000 + 1000 B where no value is given.

    A cloud lies on the first 4 x 4 pixels, fill (0) on the last column.
    """
    scene = folder / name
    scene.mkdir(parents=True)
    bands = [1, 2, 3, 4, 5, 6, 7] if name.startswith("LC") else [1, 2, 3, 4, 5, 7]
    for band in bands:
        array = np.full((size, size), values.get(f"B{band}", 7000 + 1000 * band), np.uint16)
        array[:, -1] = 0
        write(scene / f"{name}_SR_B{band}.TIF", array, nodata=0)
    thermal = "ST_B10" if name.startswith("LC") else "ST_B6"
    write(scene / f"{name}_{thermal}.TIF", np.full((size, size), 44000, np.uint16), nodata=0)
    quality = np.full((size, size), CLEAR, np.uint16)
    quality[:4, :4] = CLOUD
    quality[:, -1] = FILL
    write(scene / f"{name}_QA_PIXEL.TIF", quality, nodata=1)
    write(scene / f"{name}_QA_RADSAT.TIF", np.zeros((size, size), np.uint16))
    day = f"{name[17:21]}-{name[21:23]}-{name[23:25]}"
    scaling = "\n".join(
        f"    REFLECTANCE_MULT_BAND_{b} = 2.75e-05\n    REFLECTANCE_ADD_BAND_{b} = -0.2"
        for b in bands
    )
    level_1 = scaling.replace("2.75e-05", "2.0000E-05").replace("-0.2", "-0.100000")
    (scene / f"{name}_MTL.txt").write_text(
        "GROUP = LANDSAT_METADATA_FILE\n"
        "  GROUP = PRODUCT_CONTENTS\n"
        f'    LANDSAT_PRODUCT_ID = "{name}"\n    PROCESSING_LEVEL = "L2SP"\n'
        "  END_GROUP = PRODUCT_CONTENTS\n"
        f"  GROUP = IMAGE_ATTRIBUTES\n    DATE_ACQUIRED = {day}\n    CLOUD_COVER = 6.25\n"
        "  END_GROUP = IMAGE_ATTRIBUTES\n"
        f"  GROUP = LEVEL2_SURFACE_REFLECTANCE_PARAMETERS\n{scaling}\n"
        "  END_GROUP = LEVEL2_SURFACE_REFLECTANCE_PARAMETERS\n"
        "  GROUP = LEVEL2_SURFACE_TEMPERATURE_PARAMETERS\n"
        f"    TEMPERATURE_MULT_BAND_{thermal} = 0.00341802\n"
        f"    TEMPERATURE_ADD_BAND_{thermal} = 149.0\n"
        "  END_GROUP = LEVEL2_SURFACE_TEMPERATURE_PARAMETERS\n"
        f"  GROUP = LEVEL1_RADIOMETRIC_RESCALING\n{level_1}\n"
        "  END_GROUP = LEVEL1_RADIOMETRIC_RESCALING\n"
        "END_GROUP = LANDSAT_METADATA_FILE\nEND\n"
    )
    return scene


def tar(scene: Path) -> Path:
    """A scene's folder as the tar that the USGS delivers: its files at the root."""
    path = scene.with_suffix(".tar")
    with tarfile.open(path, "w") as archive:
        for file in sorted(scene.iterdir()):
            archive.add(file, file.name)
    return path


def sentinel2(folder: Path, name: str = SENTINEL_2, *, size: int = 24) -> Path:
    """A SAFE folder: blue, green, red, nir at 10 m, the others and SCL at 20 m, B1 at 60 m.

    Every band holds 2500, but 0 (nodata) in its last column; a cloud lies on the first 4 x 4
    pixels of 20 m.
    """
    safe = folder / f"{name}.SAFE"
    tile, sensed = name.split("_")[5], name.split("_")[2]
    data = safe / "GRANULE" / f"L2A_{tile}_A036598_{sensed}" / "IMG_DATA"
    bands = {
        10: ("B02", "B03", "B04", "B08"),
        20: ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12", "SCL"),
        60: ("B01", "B02", "B09"),
    }
    for metres, names in bands.items():
        at = data / f"R{metres}m"
        at.mkdir(parents=True)
        side = size * 10 // metres
        for band in names:
            if band == "SCL":
                values = np.full((side, side), 4, np.uint8)
                values[:4, :4] = 9
            else:
                values = np.full((side, side), 2500, np.uint16)
                values[:, -1] = 0
            _jp2(at / f"{tile}_{sensed}_{band}_{metres}m.jp2", values, metres)
    baseline = name.split("_")[3]
    offsets = "".join(
        f'<BOA_ADD_OFFSET band_id="{k}">-1000</BOA_ADD_OFFSET>'
        for k in range(13)
        if baseline >= "N0400"
    )
    day = f"{sensed[:4]}-{sensed[4:6]}-{sensed[6:8]}"
    (safe / "MTD_MSIL2A.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?><n1:Level-2A_User_Product '
        'xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd">'
        f"<Product_Info><PRODUCT_START_TIME>{day}T15:07:21.024Z</PRODUCT_START_TIME>"
        f"<PROCESSING_BASELINE>{baseline[1:3]}.{baseline[3:]}</PROCESSING_BASELINE>"
        "</Product_Info><QUANTIFICATION_VALUES_LIST>"
        '<BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>'
        f"</QUANTIFICATION_VALUES_LIST>{offsets}</n1:Level-2A_User_Product>"
    )
    return safe


def zipped(safe: Path) -> Path:
    """A SAFE folder as the zip that Copernicus delivers."""
    path = safe.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(p for p in safe.rglob("*") if p.is_file()):
            archive.write(file, file.relative_to(safe.parent))
    return path


def _jp2(path: Path, values: np.ndarray, metres: int) -> None:
    with rasterio.open(
        path, "w", driver="JP2OpenJPEG", count=1, height=values.shape[0], width=values.shape[1],
        dtype=values.dtype, crs="EPSG:32618", quality=100, reversible="YES",
        transform=rasterio.transform.from_origin(500_000, 4_000_000, metres, metres),
    ) as target:  # fmt: skip
        target.write(values, 1)
