"""What opening a raster may reach: no network where none is wanted, no other file than its own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from landshift.errors import RasterError
from landshift.hub import OFFLINE

FORMATS = ("GTiff", "PNG", "JPEG")
"""GDAL's names of the formats that a raster of a tile set or package may have.

None of them reads other files, except those beside it that `side_files` lists.
"""

_REMOTE = re.compile(
    r"(?:^|[\s\"':/])(?:https?|ftp|s3|gs|az|abfss?|adls?|oss|swift|hdfs)://"
    r"|/vsi(?:curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)(?:_streaming)?[/?]",
    re.IGNORECASE,
)
_SERVICE = re.compile(r"GDAL_WM|WMS|WMTS|WCS|Capabilities|TileMapService")  # roots of XML files
_SOURCES = ("SourceFilename", "SourceDataset", "IndexDataset")  # files that a VRT or GTI names
_SIDE_SUFFIXES = (".msk", ".MSK", ".ovr", ".OVR")
_HEAD = 1024  # bytes in which GDAL looks for the mark of a format


def settings() -> dict[str, str]:
    """GDAL's settings that keep it off the network, where `OFFLINE` says so.

    `check_local` says what is wrong first; these hold for what it can't see.
    """
    if not os.environ.get(OFFLINE):
        return {}
    return {"CPL_VSIL_CURL_ALLOWED_FILENAME": "/none", "GDAL_HTTP_PROXY": "127.0.0.1:0"}


def check_local(path: Path | str) -> None:
    """Check that a raster is read from this machine alone, where `OFFLINE` says so.

    A VRT is followed to the files that it names.

    Raises:
        RasterError: It is a URL, or names one.
    """
    if not os.environ.get(OFFLINE):
        return
    seen: set[str] = set()
    waiting = [str(path)]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if _REMOTE.search(name):
            where = "" if name == str(path) else f" in {path}"
            raise RasterError(
                f"Rasters must lie on this machine while {OFFLINE} is set, got {name}{where}; "
                f"fetch the file first, or unset {OFFLINE}."
            )
        waiting += _named_in(Path(name))


def side_files(path: Path) -> list[Path]:
    """The masks and overviews beside a raster that GDAL opens with it, as rasters of their own."""
    named = [path.with_name(path.name + suffix) for suffix in _SIDE_SUFFIXES]
    named += [path.with_suffix(suffix) for suffix in _SIDE_SUFFIXES]
    return [p for p in dict.fromkeys(named) if p != path and p.is_file()]


def check_contained(source: Any) -> None:
    """Check that an open raster names no other file as its overviews.

    Raises:
        RasterError: It does.
    """
    elsewhere = source.tags(ns="OVERVIEWS") or source.tags(ns="PROXY_OVERVIEW_REQUEST")
    if elsewhere:
        raise RasterError(
            "A raster of a tile set must be read from its own file, got overviews elsewhere "
            f"({next(iter(elsewhere.values()))}) named in {source.name}; export it again."
        )


def _named_in(path: Path) -> Iterator[str]:
    """The files and services that an XML file of GDAL's names; nothing for other files."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            return
        root = ElementTree.parse(path).getroot()
    except (OSError, ValueError, ElementTree.ParseError):
        return  # what can't be read here, GDAL says better
    if _SERVICE.search(root.tag):
        yield from (text for text in _texts(root) if _REMOTE.search(text))
        return
    for element in root.iter():
        if element.tag in _SOURCES and element.text:
            text = element.text.strip()
            yield _beside(path, text) if _is_relative(element.attrib) else text


def _texts(root: ElementTree.Element) -> Iterator[str]:
    for element in root.iter():
        yield from (text.strip() for text in (element.text, *element.attrib.values()) if text)


def _is_relative(attributes: Mapping[str, str]) -> bool:
    return next((v for k, v in attributes.items() if k.lower() == "relativetovrt"), "0") == "1"


def _beside(path: Path, name: str) -> str:
    return name if _REMOTE.search(name) else str(path.parent / name)
