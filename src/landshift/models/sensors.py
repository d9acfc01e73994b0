"""Bands of one image matched to those of another by wavelength, whatever their names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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

THERMAL = frozenset({"lwir", "lwir11", "lwir12", "B6_VCID_2"})
"""Names of bands that measure temperature instead of reflectance."""


@dataclass(frozen=True)
class Match:
    """The bands whose filters each band of an image takes.

    Attributes:
        partners: Position of its partner among the other image's bands; None for all of them.
        factor: Factor of the filters, which keeps the size of a layer's response.
    """

    partners: tuple[int | None, ...]
    factor: float


def match(bands: Sequence[str], known: Sequence[str], sensor: str = "") -> Match:
    """Match the bands of an image to those that weights know.

    By name, where any band has a partner of its name: common names (blue, nir, swir16 or swir1),
    or the sensor's own (B4, B04, SR_B4; in capitals: ``b4`` is only a number). Bands without a
    partner take the mean of all; where there are more bands than are known, filters are
    multiplied by known / bands. By order otherwise, the known bands over and over, with filters
    multiplied by known / bands, as timm does for three; a single band takes the sum of all.

    Args:
        bands: Names of one date's bands, without the date.
        known: Names of the bands that the weights were trained on; '' where unknown.
        sensor: Name in `SENSORS` of the sensor that both names' ``B1`` ... stand for.
    """
    seen = [_names(name, sensor) for name in known]
    partners = tuple(
        next((k for k, names in enumerate(seen) if names & _names(band, sensor)), None)
        for band in bands
    )
    ratio = len(known) / len(bands)
    if any(k is not None for k in partners):
        return Match(partners, min(1.0, ratio))
    if len(bands) == 1:
        return Match((None,), ratio)
    return Match(tuple(k % len(known) for k in range(len(bands))), ratio)


def thermal(name: str, sensor: str) -> bool:
    """Whether a band measures temperature."""
    return bool(_names(name, sensor) & THERMAL)


def _names(band: str, sensor: str) -> set[str]:
    """All names that a band goes by."""
    own = re.fullmatch(r"(?:SR_)?B(\d+)([Aa]|_VCID_\d)?", band)
    if own is None:
        return {re.sub(r"[^a-z0-9]", "", band.lower())} - {""}
    name = f"B{int(own[1])}{(own[2] or '').upper()}"
    return {name, *SENSORS.get(sensor, {}).get(name, "").split()}
