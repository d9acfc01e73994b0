"""Which file of an item holds which band, and the scaling of its values by the table of sensors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from landshift import sensors
from landshift.catalogue.entries import Entry
from landshift.errors import BandError, CatalogueError
from landshift.sensors import BandGroup, Product

_PICTURES = {"thumbnail", "overview", "visual"}  # roles, or keys, of assets for display
_RASTERS = (".tif", ".tiff", ".jp2")

_BASELINE_4 = date(2022, 1, 25)
"""First day of Sentinel-2's processing baseline 04.00: items of later days that state no baseline
have its offset."""


@dataclass(frozen=True)
class BandAsset:
    """A band of an item.

    Attributes:
        name: What it is called here: a common name, or the coding of a quality band.
        href: Where its file lies.
        number: Number of the band in the file, from 1.
        scale: Factor of the stored values.
        offset: Added after that.
        nodata: Stored value that means 'no data', or None.
        size: Bytes of the file, as the item states; None if it doesn't.
        sha256: Checksum of the file, as the item states; '' if it doesn't.
    """

    name: str
    href: str
    number: int
    scale: float
    offset: float
    nodata: float | None
    size: int | None = None
    sha256: str = ""


def bands_of(entry: Entry, wanted: Sequence[str], *, quality: bool = True) -> list[BandAsset]:
    """The bands of an item, and its quality band, with the scaling that the table states.

    Args:
        entry: The item.
        wanted: Bands by common name or the sensor's own.
        quality: Whether the quality band of its product must be there.

    Raises:
        CatalogueError: The table doesn't know its product.
        BandError: A band is missing.
    """
    product = entry.product
    if product is None:
        known = ", ".join(sensors.known().products)
        raise CatalogueError(
            f"Items must be of a known product ({known}), got {entry.collection or 'none'} of "
            f"{entry.id}; add it to the table ({sensors.VARIABLE}, docs/catalogue.md)."
        )
    sensor = sensor_of(entry, product)
    found = [_found(entry, product, sensor, name) for name in wanted]
    missing = [name for name, asset in zip(wanted, found, strict=True) if asset is None]
    if missing:
        raise BandError(
            f"An item must have the bands {', '.join(missing)}, got the assets "
            f"{', '.join(entry.document['assets']) or 'none'} in {entry.id}; choose other bands "
            "(`bands`)."
        )
    bands = [asset for asset in found if asset is not None]
    group = product.quality
    if group is not None:
        asset = _quality(entry, product, group)
        if asset is not None:
            bands.append(asset)
        elif quality:
            raise BandError(
                f"An item must have its quality band {group.bands[0]}, got the assets "
                f"{', '.join(entry.document['assets']) or 'none'} in {entry.id}; leave the item "
                "out, or have clouds found without it (`mask_clouds`)."
            )
    return bands


def class_band(entry: Entry) -> BandAsset:
    """The band of a class map's item.

    Raises:
        BandError: It has none, or several that may be it.
    """
    rasters = {
        key: asset
        for key, asset in _measured(entry).items()
        if _file_name(asset).lower().endswith(_RASTERS)
    }
    likely = [k for k in rasters if k in ("map", "data")] or list(rasters)
    if len(likely) != 1:
        raise BandError(
            f"A class map's item must have one raster, got {', '.join(likely) or 'none'} in "
            f"{entry.id}; give its file to `label`."
        )
    nodata = None if entry.class_map is None else entry.class_map.nodata
    return _asset("classes", rasters[likely[0]], 1, 1.0, 0.0, nodata)


def sensor_of(entry: Entry, product: Product) -> str:
    """The sensor of an item, by its product, name or platform."""
    platform = entry.platform.replace("_", "-").title()  # landsat-8, as STAC writes it
    return product.sensor or sensors.called(entry.id) or sensors.called(platform)


def _found(entry: Entry, product: Product, sensor: str, name: str) -> BandAsset | None:
    """The asset of a band; None if there is none."""
    about = sensors.known().sensors.get(sensor)
    for group in product.groups:
        for own in () if group.quality else group.bands:
            names = sensors.names_of(own, sensor)
            if name != own and not names & sensors.names_of(name, sensor):
                continue
            if about is not None and own.startswith("B") and own not in about.bands:
                continue  # Landsat 4-7 have no coastal band
            for key, asset in _measured(entry).items():
                number = _number(key, asset, product, names, sensor)
                if number is not None:
                    offset = _offset(entry, asset, group)
                    return _asset(name, asset, number, group.scale, offset, group.nodata)
    return None


def _quality(entry: Entry, product: Product, group: BandGroup) -> BandAsset | None:
    wanted = {own.lower() for own in group.bands} | {group.quality}
    for key, asset in entry.document["assets"].items():
        of_file = product.band_of_file(_file_name(asset))
        if key.lower() in wanted or (of_file is not None and of_file[0].lower() in wanted):
            return _asset(group.quality, asset, 1, 1.0, 0.0, None)
    return None


def _number(
    key: str, asset: Mapping[str, Any], product: Product, names: set[str], sensor: str
) -> int | None:
    """Number of the band of some names in an asset, from 1; None if it isn't there."""
    bands = asset.get("bands") or asset.get("eo:bands") or []
    for number, band in enumerate(bands, start=1):
        stated = [band.get(k) for k in ("common_name", "eo:common_name", "name")]
        if any(names & sensors.names_of(str(text), sensor) for text in stated if text):
            return number
    if len(bands) > 1:
        return None
    of_file = product.band_of_file(_file_name(asset))
    labels = [key, *([of_file[0]] if of_file is not None else [])]
    return 1 if any(names & sensors.names_of(label, sensor) for label in labels) else None


def _offset(entry: Entry, asset: Mapping[str, Any], group: BandGroup) -> float:
    """The offset of a band's values: 0 where its files have had it applied already."""
    properties = entry.document["properties"]
    for name, value in (*properties.items(), *asset.items()):
        if name.rpartition(":")[2] == "boa_offset_applied" and value is True:
            return 0.0
    return group.offset_at(_baseline(entry))


def _baseline(entry: Entry) -> float | None:
    """The processing baseline that an item states; else by its day."""
    properties = entry.document["properties"]
    stated = [properties.get(k) for k in ("s2:processing_baseline", "processing:version")]
    named = re.search(r"_N(\d\d)(\d\d)_", str(properties.get("s2:product_uri") or entry.id))
    for text in (*stated, f"{named[1]}.{named[2]}" if named else None):
        if text is not None and re.fullmatch(r"\d+(?:\.\d+)?", str(text)):
            return float(text)
    return 4.0 if entry.taken.first >= _BASELINE_4 else None


def _measured(entry: Entry) -> dict[str, Mapping[str, Any]]:
    """Assets that hold measurements; GeoTIFFs first, since their parts can be read alone."""
    assets = {
        key: asset
        for key, asset in entry.document["assets"].items()
        if not _PICTURES & {key, *(asset.get("roles") or ())}
    }
    return dict(sorted(assets.items(), key=lambda a: _file_name(a[1]).lower().endswith(".jp2")))


def _file_name(asset: Mapping[str, Any]) -> str:
    href = str(asset.get("href", ""))
    return (urlsplit(href).path if "://" in href else href).rpartition("/")[2]


def _asset(
    name: str,
    asset: Mapping[str, Any],
    number: int,
    scale: float,
    offset: float,
    nodata: float | None,
) -> BandAsset:
    size, checksum = asset.get("file:size"), str(asset.get("file:checksum") or "")
    return BandAsset(
        name=name, href=str(asset["href"]), number=number, scale=scale, offset=offset,
        nodata=nodata, size=size if isinstance(size, int) else None,
        sha256=checksum[4:] if re.fullmatch(r"1220[0-9a-f]{64}", checksum) else "",
    )  # fmt: skip
