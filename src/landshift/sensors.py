"""Sensors whose bands have known names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

SENSORS: Mapping[str, Mapping[str, str]] = {
    "LANDSAT_TM": {
        "B1": "blue", "B2": "green", "B3": "red", "B4": "nir nir08", "B5": "swir16 swir1",
        "B6": "lwir", "B7": "swir22 swir2",
    },
    "LANDSAT_ETM": {
        "B1": "blue", "B2": "green", "B3": "red", "B4": "nir nir08", "B5": "swir16 swir1",
        "B6_VCID_1": "lwir", "B7": "swir22 swir2", "B8": "pan",
    },
    "LANDSAT_OLI": {
        "B1": "coastal", "B2": "blue", "B3": "green", "B4": "red", "B5": "nir nir08",
        "B6": "swir16 swir1", "B7": "swir22 swir2", "B8": "pan", "B9": "cirrus",
        "B10": "lwir lwir11", "B11": "lwir12",
    },
    "SENTINEL2": {
        "B1": "coastal", "B2": "blue", "B3": "green", "B4": "red",
        "B5": "rededge071 rededge1 rededge", "B6": "rededge075 rededge2",
        "B7": "rededge078 rededge3", "B8": "nir", "B8A": "nir08", "B9": "nir09", "B10": "cirrus",
        "B11": "swir16 swir1", "B12": "swir22 swir2",
    },
}  # fmt: skip
"""Common names (STAC's, and older ones) of each sensor's bands, by the sensor's own names."""

_OWN = re.compile(r"(?:SR_)?B(\d+)([Aa]|_VCID_\d)?")

_CALLED = (
    ("LANDSAT_OLI", re.compile(r"Landsat[-_ ]?[89](?!\d)|(?<![A-Za-z])OLI(?![a-z])|^L[CO]0?[89]")),
    ("LANDSAT_ETM", re.compile(r"Landsat[-_ ]?7(?!\d)|(?<![A-Za-z])ETM|^LE0?7")),
    ("LANDSAT_TM", re.compile(r"Landsat[-_ ]?[45](?!\d)|(?<![A-Za-z])TM(?![A-Za-z])|^LT0?[45]")),
    ("SENTINEL2", re.compile(r"Sentinel[-_ ]?2|^S2[A-D]_")),
)
"""How texts and names of products call a sensor."""


def names_of(band: str, sensor: str = "") -> set[str]:
    """All names that a band goes by, common names in lower case.

    Args:
        band: Its name: a common one, or the sensor's own (B4, B04, SR_B4; in capitals: ``b4`` is
            only a number).
        sensor: Name in `SENSORS`; '' where unknown.
    """
    own = _OWN.fullmatch(band)
    if own is None:
        return {re.sub(r"[^a-z0-9]", "", band.lower())} - {""}
    name = f"B{int(own[1])}{(own[2] or '').upper()}"
    return {name, *SENSORS.get(sensor, {}).get(name, "").split()}


def called(text: str) -> str:
    """The sensor that a text or the name of a product states; '' if none.

    Args:
        text: Such as ``Landsat 8 OLI``, or ``LC08_L2SP_006066_20200721_20200911_02_T1``.
    """
    return next((sensor for sensor, pattern in _CALLED if pattern.search(text)), "")


def only_one_with(bands: Iterable[str]) -> str:
    """The only sensor with all bands that have a sensor's names (B4, B8A); '' if none or several.

    Args:
        bands: Names of an image's bands; other names don't count.
    """
    own = {name for band in bands if _OWN.fullmatch(band) for name in names_of(band)}
    having = [sensor for sensor, known in SENSORS.items() if own <= known.keys()]
    return having[0] if own and len(having) == 1 else ""
