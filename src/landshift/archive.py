"""Zip files from anywhere, unpacked without trusting them, and zip files with fixed bytes."""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from landshift.errors import LandshiftError

MAX_FILES = 1_000_000
MAX_BYTES = 64 << 30
MAX_RATIO = 1000
"""How much larger than the archive its content may claim to be."""

_FIXED_DATE = (1980, 1, 1, 0, 0, 0)


def unpack(
    archive: Path,
    folder: Path,
    *,
    error: type[LandshiftError],
    max_bytes: int = MAX_BYTES,
) -> None:
    """Unpack a zip into a folder that exists, writing nothing outside it.

    Args:
        archive: The zip file.
        folder: Where its files go.
        error: Raised when the zip is damaged or hostile.
        max_bytes: The most that its files may hold together.

    Raises:
        LandshiftError: As ``error``: no zip file, a path that leaves the folder, a link, more
            than the bounds allow, a damaged member.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            members = [m for m in source.infolist() if not m.is_dir()]
            _check(archive, members, error, max_bytes)
            for member in members:
                target = folder / PurePosixPath(member.filename.replace("\\", "/"))
                target.parent.mkdir(parents=True, exist_ok=True)
                left = member.file_size
                with source.open(member) as data, target.open("wb") as file:
                    while chunk := data.read(min(1 << 20, left + 1)):
                        left -= len(chunk)
                        if left < 0:
                            raise error(
                                f"Zip members must be as long as they say, got more in "
                                f"{member.filename} of {archive}; the file is hostile or damaged."
                            )
                        file.write(chunk)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as problem:
        raise error(
            f"The archive must be a whole zip file, got {archive} ({problem}); fetch it again."
        ) from problem


def pack(archive: Path, folder: Path, files: Iterable[Path]) -> None:
    """Zip files of a folder, flat names kept, dates fixed: same content, same bytes."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for path in sorted(files):
            member = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _FIXED_DATE)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            with path.open("rb") as data, target.open(member, "w", force_zip64=True) as file:
                while chunk := data.read(1 << 20):
                    file.write(chunk)


def portable(name: str) -> bool:
    """Whether every system takes a text as the name of a file, and as nothing else.

    No separator, drive or control character; no name that Windows keeps for devices, or would
    shorten; at most 255 bytes.
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
    for member in members:
        name = member.filename.replace("\\", "/")
        path = PurePosixPath(name)
        mode = member.external_attr >> 16
        bad = path.is_absolute() or ".." in path.parts or ":" in name or "\0" in name or not name
        if bad or stat.S_ISLNK(mode) or name.lower() in seen:
            raise error(
                f"Zip members must be plain files inside the folder, got {member.filename!r} in "
                f"{archive}; the file is hostile or damaged."
            )
        seen.add(name.lower())
