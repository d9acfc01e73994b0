"""Reading of a package's small files: bounded in size, and never through links."""

from __future__ import annotations

from pathlib import Path

from landshift.errors import ModelError


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
