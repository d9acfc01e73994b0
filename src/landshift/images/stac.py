"""STAC Items read: the files of an item's bands, by common name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlsplit

from landshift.errors import BandError, RasterError
from landshift.files import access
from landshift.files.dates import Period
from landshift.machine.extras import required

_RESERVED = "%:/?#[]@!$&'()*+,;=~"  # characters of URLs beside letters and digits
_PICTURES = {"thumbnail", "overview", "visual"}  # roles, or keys, of assets for display


@dataclass(frozen=True)
class BandFile:
    """Bands of one asset.

    Attributes:
        href: Path or URL of the file.
        numbers: Numbers of its bands, from 1.
        names: A name for each.
        nodata: Value that means 'no data' by the item, or None.
        scales: Factor of each band by the item; 1 where it states none.
        offsets: Offset of each band, added after the factor; 0 where the item states none.
        shifted: Whether the pixels include their offset already, by the item.
        unit: What values mean once scaled; '' where unknown.
        decided: Whether scale and offset hold whatever the file's own tags state.
    """

    href: str
    numbers: tuple[int, ...]
    names: tuple[str, ...]
    nodata: float | None
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    shifted: bool = False
    unit: str = ""
    decided: bool = False


@dataclass(frozen=True)
class ItemFiles:
    """The files of an item's bands, where these are known already.

    Attributes:
        name: The item.
        files: The files.
        taken: When it was taken.
    """

    name: str
    files: tuple[BandFile, ...]
    taken: Period | None

    def __str__(self) -> str:
        return self.name


def band_files(
    item: Path | str, wanted: Sequence[str] | None = None, also: Sequence[str] = ()
) -> tuple[list[BandFile], Period | None]:
    """The files of an item's bands, and when it was taken.

    Args:
        item: Path or URL of the item's JSON.
        wanted: Bands by common name ('red'), band name ('B04') or asset key; None: every band
            with a common name.
        also: Further bands, such as quality bands, wanted in any case.

    Raises:
        ParameterError: pystac isn't installed.
        RasterError: No STAC Item lies there.
        BandError: A band is missing.
    """
    document = _read(item)
    bands, common = _bands_by_name(document)
    lower = {k.lower(): k for k in bands}
    names = [*(common if wanted is None else wanted), *also]
    missing = [n for n in names if n.lower() not in lower]
    if missing or not names:
        raise BandError(
            f"The STAC Item must have the bands {', '.join(names) or 'by common name'}, got "
            f"{', '.join(bands) or 'none'} in {item}; choose among these (`select`)."
        )
    files = [bands[lower[n.lower()]] for n in dict.fromkeys(names)]
    return files, _taken(document)


def _bands_by_name(document: Any) -> tuple[dict[str, BandFile], list[str]]:
    """Every band of an item by each of its names, and the common names of those to measure with."""
    bands: dict[str, BandFile] = {}
    common: list[str] = []
    for key, asset in sorted(document.assets.items(), key=lambda a: _shows(*a)):
        href = _location(str(asset.get_absolute_href()))
        entries = asset.extra_fields.get("bands") or asset.extra_fields.get("eo:bands") or [{}]
        details = asset.extra_fields.get("raster:bands") or [{}] * len(entries)
        for number, (entry, detail) in enumerate(zip(entries, details, strict=False), start=1):
            stated = {**_plain(asset.extra_fields), **_plain(detail), **_plain(entry)}
            name = stated.get("common_name")
            for alias in (name, stated.get("name"), key if len(entries) == 1 else None):
                if alias is None:
                    continue
                bands.setdefault(
                    str(alias),
                    BandFile(
                        href=href, numbers=(number,), names=(str(alias),),
                        nodata=_number(stated.get("nodata")),
                        scales=(float(stated.get("scale", 1.0)),),
                        offsets=(float(stated.get("offset", 0.0)),),
                        shifted=_is_shifted(document.properties, asset.extra_fields),
                    ),
                )  # fmt: skip
            if name and name not in common and not _shows(key, asset):
                common.append(str(name))
    return bands, common


def _taken(document: Any) -> Period | None:
    """When an item was taken, if it states a day, or a first and a last one."""
    about = document.common_metadata
    moments: list[datetime | None] = (
        [document.datetime] * 2
        if document.datetime is not None
        else [about.start_datetime, about.end_datetime]
    )
    days = [m.date() for m in moments if m is not None]
    return Period(min(days), max(days)) if len(days) == 2 else None


def _read(item: Path | str) -> Any:
    access.check_local(item)
    pystac = required("pystac", "stac", "STAC Items")
    from pystac.errors import STACError, STACTypeError

    try:
        return pystac.Item.from_file(str(item))
    except (OSError, STACError, STACTypeError, KeyError, TypeError, ValueError) as error:
        raise RasterError(
            f"A .json image must be a STAC Item, got {item} ({error!r:.120}); check the file."
        ) from error


def _location(href: str) -> str:
    """Where the file of an href lies: a path, decoded (RFC 3986, section 2.1), or a URL.

    Some programs write paths as they are: where no file has the decoded name, that is meant.
    """
    if href.startswith("file:"):
        return os.fsdecode(unquote_to_bytes(urlsplit(href).path))
    if "://" in href:
        return quote(href, safe=_RESERVED) if href.startswith("http") else href
    decoded = os.fsdecode(unquote_to_bytes(href))
    return href if Path(href).exists() and not Path(decoded).exists() else decoded


def _shows(key: str, asset: Any) -> bool:
    """Whether an asset is a picture for display, whose bands hold no measurements."""
    return bool(_PICTURES & {key, *(asset.roles or ())})


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of STAC 1.0 and 1.1 under one name: ``eo:common_name`` is ``common_name``."""
    names = ("common_name", "name", "nodata", "scale", "offset")
    return {n: fields[k] for k in fields for n in names if k.rpartition(":")[2] == n}


def _is_shifted(*fields: Mapping[str, Any]) -> bool:
    """Whether the pixels include the offset of Sentinel-2's baseline 04.00 already.

    Element 84's Earth Search subtracts it when it makes its files, and still states the offset
    (``earthsearch:boa_offset_applied``, ``sentinel:boa_offset_applied`` in its first version).
    """
    return any(
        name.rpartition(":")[2] == "boa_offset_applied" and value is True
        for some in fields
        for name, value in some.items()
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)  # 'nan' and 'inf' are written as text
