"""Files of items: fetched once, kept by checksum, within bounds."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from landshift.catalogue import hosts as http
from landshift.catalogue import parts
from landshift.catalogue.hosts import Hosts
from landshift.catalogue.parts import Answer, RangeFile, WholeError
from landshift.errors import CatalogueError, OutputError, of_gdal, reason_of
from landshift.files import cache, provenance

_CHUNK = 1 << 20

_TRIES = 3
"""Times that a file is fetched before it counts as broken; a link that fails thrice in a row fails
again."""

_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
"""First bytes of GeoTIFF, BigTIFF and JPEG 2000. Nothing else is kept: GDAL goes by contents, and
a VRT could name files of this machine."""


class GoneError(Exception):
    """The file isn't there any more."""


@dataclass(frozen=True)
class Kept:
    """A file of an item, on this machine.

    Attributes:
        path: Where it lies.
        sha256: Its checksum.
        fetched: Bytes that were fetched for it now.
        part: Whether it is the part of a file that a place needs; the checksum is the part's then.
    """

    path: Path
    sha256: str
    fetched: int = 0
    part: bool = False


@dataclass(frozen=True)
class Store:
    """Where files of items come from, and are kept.

    Attributes:
        hosts: Hosts that may be asked.
        local: Whether items may name files of this machine.
        sign: Gives an address that may be asked from one that an item names.
        without_ranges: Hosts that gave no ranges so far; they aren't asked for them again.
    """

    hosts: Hosts
    local: bool
    sign: Callable[[str], str]
    without_ranges: set[str] = field(default_factory=set, compare=False)

    def get(self, ask: Any, href: str, *, most: int, sha256: str = "", place: Any = None) -> Kept:
        """A file of an item, or the part of it that a place needs, from the cache or fetched.

        Args:
            ask: A session, see `hosts.session`.
            href: What the item names.
            most: Bytes that may be fetched.
            sha256: The checksum that the item states; '' for none.
            place: The place in WGS 84, a shapely geometry; None: the whole file is wanted.

        Raises:
            CatalogueError: It mustn't or can't be had, or is another file than the item states.
            GoneError: It isn't there any more.
        """
        if not http.is_url(href):
            return self._here(href, sha256)
        self.hosts.check(href, "A file of an item", online=False)
        known = self._kept(href, sha256) or (place and self._kept(href, "", place))
        if known:
            return known
        http.check_online(href)
        for tried in range(1, _TRIES + 1):
            try:
                if place is not None and urlsplit(href).netloc not in self.without_ranges:
                    with suppress(WholeError):
                        return self._part(ask, href, most, place)
                return self._fetched(ask, href, most, sha256)
            except _BrokenError as error:
                if tried == _TRIES:
                    raise CatalogueError(
                        f"A file of an item must come whole, got '{error}' {_TRIES} times from "
                        f"{http.without_query(href)}; run it again, what is here is kept."
                    ) from error
        raise AssertionError

    def _here(self, href: str, sha256: str) -> Kept:
        text = unquote(urlsplit(href).path) if href.startswith("file:") else href
        if not self.local or text.startswith("/vsi") or "://" in text:
            raise CatalogueError(
                "A file of an item must lie on the web, or beside a local catalogue, got "
                f"{href[:100]!r}; fetch it yourself, if you trust it."
            )
        path = Path(text)
        if not path.is_file():
            raise GoneError(f"no file {path}")
        _check_kind(path, path)
        own = provenance.digest(path)
        _check_sum(own, sha256, href)
        return Kept(path, own)

    def _kept(self, href: str, sha256: str, place: Any = None) -> Kept | None:
        """The file, or the part for a place, in the cache, if it is there and undamaged."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            note = json.loads(_note(href, place).read_text())
            path = _files() / str(note["file"])
            own = provenance.digest(path)
            if path.name.startswith(own) and sha256 in ("", own):
                return Kept(path, own, part=place is not None)
        return None

    def _part(self, ask: Any, href: str, most: int, place: Any) -> Kept:
        """The part of a file that a place needs, fetched into the cache."""
        from requests import RequestException

        where = http.without_query(href)

        def range_of(first: int, end: int) -> Answer:
            ranged = {"Range": f"bytes={first}-{end - 1}"}
            _check_size(end - first, most, where)
            with ask.get(
                self.sign(href), stream=True, headers=ranged, timeout=http.TIMEOUT
            ) as answer:
                if answer.status_code == 200:
                    self.without_ranges.add(urlsplit(href).netloc)
                    raise WholeError("no ranges")
                if answer.status_code != 206:
                    _check_status(answer, where)
                body = bytearray()
                for chunk in answer.iter_content(_CHUNK):
                    body += chunk
                    if len(body) > end - first:
                        raise OSError("a range came too long")
                version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
                return Answer(bytes(body), answer.headers.get("Content-Range", ""), version)

        broken: tuple[type[Exception], ...] = (RequestException, OSError, *of_gdal())
        source = None
        with _new_file() as (part, file):
            file.close()
            try:
                source = RangeFile(range_of, lambda size: _check_size(size, most, where))
                parts.copy(source, part, place)
            except (CatalogueError, GoneError, WholeError):
                raise
            except broken as error:
                first = error if source is None or source.failed is None else source.failed
                if isinstance(first, (CatalogueError, GoneError, WholeError)):
                    raise first from error
                raise _BrokenError(http.without_keys(reason_of(first))[:160]) from error
            own = provenance.digest(part)
            path = _files() / f"{own}.tif"
            os.replace(part, path)
        _write_note(href, path, place)
        return Kept(path, own, source.fetched, part=True)

    def _fetched(self, ask: Any, href: str, most: int, sha256: str) -> Kept:
        """The file, fetched into the cache."""
        from requests import RequestException

        suffix = Path(urlsplit(href).path).suffix.lower()[:8]
        with _new_file() as (part, file):
            digest = hashlib.sha256()
            try:
                size = self._copied(ask, href, most, file, digest)
            except RequestException as error:
                raise _BrokenError(http.without_keys(reason_of(error))[:160]) from error
            file.flush()
            _check_kind(part, http.without_query(href))
            own = digest.hexdigest()
            _check_sum(own, sha256, href)
            path = _files() / f"{own}{suffix}"
            os.replace(part, path)
        _write_note(href, path)
        return Kept(path, own, size)

    def _copied(self, ask: Any, href: str, most: int, file: IO[bytes], digest: Any) -> int:
        """Copy an answer into a file; its bytes."""
        where = http.without_query(href)
        with ask.get(self.sign(href), stream=True, timeout=http.TIMEOUT) as answer:
            _check_status(answer, where)
            size = 0
            stated = answer.headers.get("Content-Length", "")
            _check_size(int(stated) if stated.isdigit() else 0, most, where)
            for chunk in answer.iter_content(_CHUNK):
                size += len(chunk)
                _check_size(size, most, where)
                digest.update(chunk)
                file.write(chunk)
        return size


class _BrokenError(Exception):
    """A transfer that broke off."""


def _check_status(answer: Any, where: str) -> None:
    """Check that an answer brings a file."""
    if answer.status_code in (404, 410):
        raise GoneError(f"{answer.status_code} for {where}")
    if answer.status_code in (401, 403):
        raise CatalogueError(
            f"A file of an item must be open to you, got {answer.status_code} "
            f"{answer.reason} for {where}: its signature is missing or has expired; search "
            "again, or have it signed (`sign`)."
        )
    if answer.status_code != 200:
        raise CatalogueError(
            f"A file of an item must come, got {answer.status_code} {answer.reason} for "
            f"{where}; try later, what is here is kept."
        )


def _check_size(size: int, most: int, where: str) -> None:
    if size > most:
        raise CatalogueError(
            f"The files of an item must have at most {most:,} bytes left, got {size:,} or more for "
            f"{where}; raise the bound (`max_item_gb`) if you expect that."
        )


def _check_kind(path: Path, where: object) -> None:
    with path.open("rb") as file:
        head = file.read(12)
    if not head.startswith(_BEGINNINGS):
        raise CatalogueError(
            f"A file of an item must be a GeoTIFF or JPEG 2000, got the beginning {head!r} in "
            f"{where}; it may be a page that asks to log in."
        )


def _check_sum(own: str, stated: str, href: str) -> None:
    if stated not in ("", own):
        raise CatalogueError(
            f"A file of an item must have the checksum that the item states, {stated[:12]}..., got "
            f"{own[:12]}... for {http.without_query(href)}; it was damaged or replaced."
        )


def _files() -> Path:
    """The folder of the files, each named by its checksum."""
    return cache.folder("catalogue") / "files"


def _write_note(href: str, path: Path, place: Any = None) -> None:
    note = _note(href, place)
    draft = note.with_name(f"{note.name}.{os.getpid()}.{path.stem[:8]}")
    draft.write_text(json.dumps({"file": path.name, "href": http.without_query(href)}))
    os.replace(draft, note)


def _note(href: str, place: Any = None) -> Path:
    """The note that says which file an address gave, as a whole or for a place."""
    bounds = "" if place is None else "#" + ",".join(f"{b:.7f}" for b in place.bounds)
    name = hashlib.sha256((http.without_query(href) + bounds).encode()).hexdigest()
    return cache.folder("catalogue") / "notes" / f"{name}.json"


@contextmanager
def _new_file() -> Iterator[tuple[Path, IO[bytes]]]:
    """A temporary file in the cache, removed if it isn't renamed."""
    import tempfile

    try:
        for folder in (_files(), _note("").parent):
            folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=_files())
    except OSError as error:
        raise OutputError(
            f"The cache must be writable, got '{reason_of(error)}' at {_files()}; choose another "
            f"folder ({cache.CACHE})."
        ) from error
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield part, file
    except OSError as error:
        if isinstance(error, CatalogueError):
            raise
        raise OutputError(
            f"The cache must have room, got '{reason_of(error)}' at {_files()}; make room, or "
            f"choose another folder ({cache.CACHE})."
        ) from error
    finally:
        part.unlink(missing_ok=True)
