"""The files of a package: opened in their folder; small ones read in bounds, not through links."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from landshift.errors import ModelError
from landshift.files import archive, whole

_MAX_PACKAGE = 32 << 30  # bytes


def is_zip(path: Path) -> bool:
    """Whether a path is a zip; else it is a folder or the .emd in one."""
    return not path.is_dir() and path.suffix.lower() != ".emd"


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """Folder of a package's files: its own, or a temporary one into which it is unpacked.

    Raises:
        ModelError: The package is missing, or a hostile or damaged zip.
    """
    whole.repaired(path)
    if not (path.is_file() or path.is_dir()):  # opening a pipe would block
        raise ModelError(f"The model must exist, got {path}; give its .emd, .dlpk or folder.")
    if not is_zip(path):
        yield path if path.is_dir() else path.parent
        return
    with tempfile.TemporaryDirectory(prefix="landshift-") as temporary:
        archive.unpack(path, Path(temporary), error=ModelError, max_bytes=_MAX_PACKAGE)
        yield Path(temporary)


def read_bounded(path: Path, most: int, shown: Path) -> bytes:
    """The bytes of a file that a package must hold.

    Args:
        path: The file.
        most: Largest size in bytes.
        shown: Name of the package in errors.

    Raises:
        ModelError: The file is missing, a link, too large, or can't be read.
    """
    if path.is_symlink() or not path.is_file():
        raise ModelError(
            f"A model package must hold {path.name}, got none in {shown}; "
            "landshift reads the packages that it saved."
        )
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ModelError(
            f"The files of a package must be readable, got '{error.strerror}' for {path.name} in "
            f"{shown}; check its permissions."
        ) from error
    if len(data) > most:
        raise ModelError(
            f"{path.name} must be at most {most} bytes, got more in {shown}; "
            "the package is hostile or damaged."
        )
    return data
