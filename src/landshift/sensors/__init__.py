"""Sensors, image products and class maps that are known: bands, scaling, quality, legends.

The facts stand in `sensors.toml`, with their sources; `table` reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from landshift.sensors.table import VARIABLE, BandGroup, ClassMap, Product, Sensor, Table, known

__all__ = [
    "VARIABLE",
    "BandGroup",
    "ClassMap",
    "Product",
    "Sensor",
    "Table",
    "called",
    "class_map_file",
    "common_name",
    "known",
    "names_of",
    "only_one_with",
    "product_of",
]

_SAME = (("swir1", "swir16"), ("swir2", "swir22"))
"""Common names of one band: as users write them, and as STAC does."""

_OWN = re.compile(r"(?:SR_)?B(\d+)([Aa]|_VCID_\d)?")


def names_of(band: str, sensor: str = "") -> set[str]:
    """All names that a band goes by, common names in lower case.

    Args:
        band: Its name: a common one, or the sensor's own (B4, B04, SR_B4; in capitals: ``b4`` is
            only a number).
        sensor: Name in `known().sensors`; '' where unknown.
    """
    own = own_name(band)
    if own is None:
        name = re.sub(r"[^a-z0-9]", "", band.lower())
        return {name, *(other for pair in _SAME for other in pair if name in pair)} - {""}
    return {own, *_common(own, sensor)}


def own_name(band: str) -> str | None:
    """The sensor's own name of a band, in its shortest form (B4 of SR_B04); None for others."""
    own = _OWN.fullmatch(band)
    return None if own is None else f"B{int(own[1])}{(own[2] or '').upper()}"


def common_name(band: str, sensor: str) -> str:
    """The usual common name of a sensor's band; its own name where it has none."""
    own = own_name(band) or band
    return next(iter(_common(own, sensor)), own)


def _common(own: str, sensor: str) -> list[str]:
    about = known().sensors.get(sensor)
    return [] if about is None else about.bands.get(own, "").split()


def called(text: str) -> str:
    """The sensor that a text or the name of a product states; '' if none.

    Args:
        text: Such as ``Landsat 8 OLI``, or ``LC08_L2SP_006066_20200721_20200911_02_T1``.
    """
    for name, sensor in known().sensors.items():
        if any(re.search(pattern, text) for pattern in sensor.called):
            return name
    return ""


def only_one_with(bands: Iterable[str]) -> str:
    """The only sensor with all bands that have a sensor's names (B4, B8A); '' if none or several.

    Args:
        bands: Names of an image's bands; other names don't count.
    """
    own = {name for name in map(own_name, bands) if name is not None}
    having = [name for name, sensor in known().sensors.items() if own <= sensor.bands.keys()]
    return having[0] if own and len(having) == 1 else ""


def product_of(name: str, collection: str = "") -> Product | None:
    """The product of a scene, by its collection in a catalogue or its name; None if unknown.

    Args:
        name: Name of the scene, of its folder or of a file of it.
        collection: Identifier of its collection.
    """
    products = known().products.values()
    of_collection = (p for p in products if collection and collection in p.collections)
    by_name = (p for p in products if re.search(p.called, name))
    return next(of_collection, next(by_name, None))


def class_map_file(given: Path | str) -> Path | None:
    """The legend and cross-walk of a known class map, where a name is given and no file has it.

    Args:
        given: A name in `known().maps`, or a path.
    """
    name = str(given)
    if name not in known().maps or Path(name).exists():
        return None
    return known().maps[name].classes
