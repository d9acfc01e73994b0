"""Bands of one image matched to those of another by wavelength, whatever their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from landshift.sensors import names_of

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
        sensor: Name in `landshift.sensors.known` of the sensor that both names' ``B1`` ... stand
            for.
    """
    seen = [names_of(name, sensor) for name in known]
    partners = tuple(
        next((k for k, names in enumerate(seen) if names & names_of(band, sensor)), None)
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
    return bool(names_of(name, sensor) & THERMAL)
