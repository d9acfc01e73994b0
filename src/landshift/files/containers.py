"""GDAL's names of rasters, also of rasters inside a file, such as ``netcdf:f.nc:lccs_class``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"([A-Za-z][A-Za-z0-9_]+):(?!//)(.+)", re.DOTALL)  # one letter is a drive
_QUOTED = re.compile(r'"([^"]+)":?')
_DRIVERS = ("NETCDF", "HDF5", "ZARR", "GPKG", "HDF4_SDS", "HDF4_EOS", "GTIFF_DIR")


@dataclass(frozen=True)
class InnerRaster:
    """A raster inside a file.

    Attributes:
        driver: GDAL's name of the format, as written in the name.
        file: The file that holds it.
        inner: Its name in that file.
    """

    driver: str
    file: str
    inner: str


def part_of(name: Path | str) -> InnerRaster | None:
    """The raster inside a file that a name refers to; None for a path, a URL or the like."""
    match = _NAME.fullmatch(str(name))
    if match is None or _is_there(str(name)):
        return None
    driver, rest = match.groups()
    quoted = _QUOTED.search(rest)
    if quoted is not None:
        return InnerRaster(
            driver, quoted[1], rest[quoted.end() :] or rest[: quoted.start()].strip(":")
        )
    words = rest.split(":")
    spans = [(i, j) for i in range(len(words)) for j in range(len(words), i, -1)]
    for i, j in spans:  # a file name may contain colons
        if _is_there(":".join(words[i:j])):
            return InnerRaster(
                driver, ":".join(words[i:j]), ":".join(words[j:]) or ":".join(words[:i])
            )
    if driver.upper() in _DRIVERS:
        return InnerRaster(driver, words[0], ":".join(words[1:]))
    return None


def file_of(name: Path | str) -> Path:
    """The file that holds a raster."""
    part = part_of(name)
    return Path(name) if part is None else Path(part.file)


def short_name(name: Path | str) -> str:
    """A raster's short name: its name inside the file, else the file's name without suffix."""
    part = part_of(name)
    return Path(name).stem if part is None else re.split(r"[/:]", part.inner)[-1]


def gdal_name(name: Path | str) -> str:
    """The name as GDAL opens it; HDF5 names need two slashes, which `Path` reduces to one."""
    part = part_of(name)
    if part is None or part.driver.upper() != "HDF5":
        return str(name)
    return f'{part.driver}:"{part.file}"://{part.inner.lstrip("/")}'


def absolute(name: Path | str) -> Path | str:
    """The name with an absolute path; unchanged where it names no local file."""
    part = part_of(name)
    if part is not None and _is_there(part.file):
        return gdal_name(str(name).replace(part.file, str(Path(part.file).absolute()), 1))
    return Path(name).absolute() if _is_there(str(name)) else name


def not_utf8(name: Path | str) -> str | None:
    r"""A printable form, with bytes as \xe9, of a name that isn't UTF-8; None for other names."""
    if not any("\ud800" <= c <= "\udfff" for c in str(name)):  # Python's surrogates for such bytes
        return None
    return str(name).encode(errors="backslashreplace").decode().replace("\\udc", "\\x")


def _is_there(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # too long, or a NUL
        return False
