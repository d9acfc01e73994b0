"""Safe unpacking of untrusted zip files, and reproducible zip files."""

from __future__ import annotations

import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from landshift.errors import LandshiftError, OutputError, plain

MAX_FILES = 1_000_000
MAX_BYTES = 64 << 30
MAX_RATIO = 1000
"""Largest accepted ratio of the content's stated size to the archive's size."""

_MAX_DEPTH = 32  # names in a path
_MAX_LENGTH = 1024  # characters of a path
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DENSE = (".safetensors", ".onnx")
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)


def unpack(
    archive: Path,
    folder: Path,
    *,
    error: type[LandshiftError],
    max_bytes: int = MAX_BYTES,
) -> None:
    """Unpack a zip into an existing folder, writing nothing outside it.

    Args:
        archive: The zip file.
        folder: The folder.
        error: Class of the error to raise when the zip is damaged or hostile.
        max_bytes: Largest accepted total size of its files.

    Raises:
        LandshiftError: As ``error``: not a zip file; a name that isn't a plain file's inside the
            folder on every system, or occurs twice; a link; a member that is encrypted, damaged
            or compressed other than by deflate; content beyond the bounds.
        OutputError: A file can't be written.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            members = [m for m in source.infolist() if not m.filename.endswith("/")]
            _check(archive, members, error, max_bytes)
            for member in members:
                path = inner_path(member.filename)
                assert path is not None, "its name was checked"
                _write(folder / path, _chunks(source, member, archive, error))
    except LandshiftError:
        raise
    except _DAMAGES as problem:
        raise error(
            f"The archive must be a whole zip file, got {archive} ({plain(str(problem), 200)}); "
            "fetch it again."
        ) from problem


_DAMAGES = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, OverflowError, ValueError,
    RuntimeError,
)  # fmt: skip
"""Errors of zipfile for damaged files; RuntimeError also for encrypted ones."""


def _chunks(
    source: zipfile.ZipFile, member: zipfile.ZipInfo, archive: Path, error: type[LandshiftError]
) -> Iterator[bytes]:
    """The bytes of a member, checked against its stated size."""
    left = member.file_size
    with source.open(member) as data:
        while chunk := data.read(min(1 << 20, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise error(
                    f"Zip members must be as long as they say, got more in {member.filename} of "
                    f"{archive}; the file is hostile or damaged."
                )
            yield chunk


def _write(target: Path, chunks: Iterator[bytes]) -> None:
    first = next(chunks, b"")  # a member that can't be read leaves no file
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = target.open("xb")
    except OSError as problem:
        raise _unwritable(target, problem) from problem
    with file:
        while first:
            try:
                file.write(first)
            except OSError as problem:
                raise _unwritable(target, problem) from problem
            first = next(chunks, b"")


def _unwritable(target: Path, problem: OSError) -> OutputError:
    return OutputError(
        f"Unpacked files must be writable, got '{problem.strerror}' at {target}; make room."
    )


def pack(archive: Path, folder: Path, files: Iterable[Path]) -> None:
    """Zip files of a folder with fixed dates: same content, same bytes.

    Weights are stored uncompressed: deflate is slow on them and saves little.
    """
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for path in sorted(files):
            member = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _FIXED_DATE)
            dense = path.suffix in _DENSE
            member.compress_type = zipfile.ZIP_STORED if dense else zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            with path.open("rb") as data, target.open(member, "w", force_zip64=True) as file:
                while chunk := data.read(1 << 20):
                    file.write(chunk)


def inner_path(name: str) -> PurePosixPath | None:
    r"""The path of a file inside a folder, with / or \ between names; None for any other."""
    path = PurePosixPath(name.replace("\\", "/"))
    inside = 0 < len(path.parts) <= _MAX_DEPTH and len(name) <= _MAX_LENGTH
    return path if inside and all(map(portable, path.parts)) else None


def portable(name: str) -> bool:
    """Whether a text is a plain file name on every system.

    It has no separator, drive or control character, isn't a name that Windows reserves for
    devices or would shorten, and has at most 255 bytes.
    """
    return (
        0 < len(name.encode("utf-8", "replace")) <= 255
        and name.isprintable()
        and not _FORBIDDEN.search(name)
        and name[-1] not in ". "
        and not _DEVICES.fullmatch(name.split(".")[0].rstrip())
    )


_FORBIDDEN = re.compile(r'[<>:"/\\|?*]')
_DEVICES = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9¹²³]|conin\$|conout\$", re.IGNORECASE)


def _check(
    archive: Path,
    members: list[zipfile.ZipInfo],
    error: type[LandshiftError],
    max_bytes: int,
) -> None:
    total = sum(m.file_size for m in members)
    packed = max(archive.stat().st_size, 1)
    if len(members) > MAX_FILES or total > max_bytes or total > packed * MAX_RATIO + (1 << 20):
        raise error(
            f"The archive must hold at most {MAX_FILES} files and {max_bytes} bytes, "
            f"got {len(members)} files and {total} bytes in {archive}; unpack it if you trust it."
        )
    seen: set[str] = set()
    folders: set[str] = set()
    for member in members:
        path = inner_path(member.filename)
        same = unicodedata.normalize("NFC", str(path)).casefold()
        around = {str(p) for p in PurePosixPath(same).parents} - {"."}
        kind = stat.S_IFMT(member.external_attr >> 16)
        if (
            path is None
            or kind not in (0, stat.S_IFREG)
            or same in seen
            or same in folders
            or around & seen
        ):
            raise error(
                f"Zip members must be plain files inside the folder, each once, got "
                f"{plain(member.filename)!r} in {archive}; the file is hostile or damaged."
            )
        if member.flag_bits & 1 or member.compress_type not in _METHODS:
            raise error(
                f"Zip members must be readable without a password, and stored or deflated, got "
                f"{plain(member.filename)!r} in {archive}; pack it again so."
            )
        seen.add(same)
        folders |= around
