"""Limits on what opening a raster reads: no network while offline, no files but its own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from landshift.errors import RasterError, reason_of
from landshift.files import containers
from landshift.files.hub import OFFLINE

FORMATS = ("GTiff", "PNG", "JPEG")
"""GDAL's names of the formats allowed for rasters of a tile set or package.

None of them reads other files, except those beside it that `side_files` lists.
"""

_REMOTE = re.compile(
    r"(?:^|[\s\"':/])(?:https?|ftp|s3|gs|az|abfss?|adls?|oss|swift|hdfs)://"
    r"|/vsi(?:curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)(?:_streaming)?[/?]",
    re.IGNORECASE,
)
_SERVICE = re.compile(r"GDAL_WM|WMS|WMTS|WCS|Capabilities|TileMapService")  # roots of XML files
_SOURCES = ("sourcefilename", "sourcedataset", "indexdataset")  # name files in a VRT or GTI
_SIDE_SUFFIXES = (".msk", ".MSK", ".ovr", ".OVR")
_HEAD = 1024  # bytes in which GDAL looks for a format's signature


def settings() -> dict[str, str]:
    """GDAL settings that disable its network access while `OFFLINE` is set.

    `check_local` gives a clear error first; these settings cover what it can't detect.
    """
    if not os.environ.get(OFFLINE):
        return {}
    return {"CPL_VSIL_CURL_ALLOWED_FILENAME": "/none", "GDAL_HTTP_PROXY": "127.0.0.1:0"}


def check_local(path: Path | str) -> None:
    """Check, while `OFFLINE` is set, that a raster is read from this machine alone.

    The files that a VRT names are checked too.

    Raises:
        RasterError: The raster is a URL, or names one.
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
    """The mask and overview files beside a raster that GDAL opens with it."""
    named = [path.with_name(path.name + suffix) for suffix in _SIDE_SUFFIXES]
    named += [path.with_suffix(suffix) for suffix in _SIDE_SUFFIXES]
    return [p for p in dict.fromkeys(named) if p != path and p.is_file()]


def check_contained(source: Any) -> None:
    """Check that an open raster has no overviews in another file.

    Raises:
        RasterError: It has.
    """
    elsewhere = source.tags(ns="OVERVIEWS") or source.tags(ns="PROXY_OVERVIEW_REQUEST")
    if elsewhere:
        raise RasterError(
            "A raster of a tile set must be read from its own file, got overviews elsewhere "
            f"({next(iter(elsewhere.values()))}) named in {source.name}; export it again."
        )


def check_sources(path: Path | str) -> None:
    """Check that the local files that a VRT names exist, also through nested VRTs.

    GDAL opens a VRT without them, and may read zeros instead.

    Raises:
        RasterError: A file is missing, or a VRT isn't well-formed XML in UTF-8.
    """
    seen: set[Path] = set()
    waiting = [Path(path)]
    while waiting:
        vrt = waiting.pop()
        if vrt in seen:
            continue
        seen.add(vrt)
        for name in _named_in(vrt):
            if "://" in name or name.startswith("/vsi") or _is_elsewhere(name):
                continue
            file = containers.file_of(name)
            if not file.exists():
                raise RasterError(
                    f"The files that a VRT names must exist, got none at {file} in {vrt}; check "
                    "its SourceFilename entries, or make it again (gdalbuildvrt)."
                )
            waiting.append(file)


def _is_elsewhere(name: str) -> bool:
    """Whether a name has the prefix of a database or service."""
    return re.match(r"[A-Za-z]\w+:", name) is not None and containers.part_of(name) is None


def _named_in(path: Path) -> tuple[str, ...]:
    """The files and services that a GDAL XML file names; empty for other files.

    Raises:
        RasterError: A VRT that isn't well-formed XML; GDAL may read it nevertheless.
    """
    try:
        about = path.stat()
    except (OSError, ValueError):
        return ()
    return _read_names(path.absolute(), about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=1 << 16)  # every thread opens a VRT of many files
def _read_names(path: Path, changed: int, size: int) -> tuple[str, ...]:
    """See `_named_in`; the file is read again when its time or size changes."""
    return tuple(_parsed_names(path))


def _parsed_names(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            return
        data = path.read_bytes()
        data.decode()  # GDAL accepts any bytes as a name, whatever encoding the file states
        root = ElementTree.fromstring(data)
    except (OSError, ValueError, ElementTree.ParseError) as error:
        if isinstance(error, OSError) or b"<vrtdataset" not in head.lower():
            return  # GDAL reports unreadable files better
        raise RasterError(
            f"A VRT must be well-formed XML in UTF-8, got '{reason_of(error)}' in {path}; write "
            "it again, and rename files that it names in another encoding."
        ) from error
    if _SERVICE.search(root.tag):
        yield from (text for text in _texts(root) if _REMOTE.search(text))
        return
    yield from _sources(root, path)


def _sources(root: ElementTree.Element, path: Path) -> Iterator[str]:
    """The names in a VRT's elements; a source can be the text of another VRT."""
    for element in root.iter():
        if element.tag.lower() not in _SOURCES or not element.text:
            continue
        text = element.text.strip()
        if text.startswith("<"):
            with suppress(ElementTree.ParseError):
                yield from _sources(ElementTree.fromstring(text), path)
        else:
            yield _beside(path, text) if _is_relative(element.attrib) else text


def _texts(root: ElementTree.Element) -> Iterator[str]:
    for element in root.iter():
        yield from (text.strip() for text in (element.text, *element.attrib.values()) if text)


def _is_relative(attributes: Mapping[str, str]) -> bool:
    return next((v for k, v in attributes.items() if k.lower() == "relativetovrt"), "0") == "1"


def _beside(path: Path, name: str) -> str:
    """A name relative to a VRT's folder, made absolute."""
    if _REMOTE.search(name):
        return name
    part = containers.part_of(name)
    if part is not None:
        return name.replace(part.file, str(path.parent / part.file), 1)
    return str(path.parent / name)
