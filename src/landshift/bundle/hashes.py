"""The hashes of a package's files, in the format of the program ``sha256sum``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from landshift.bundle.files import read_bounded
from landshift.errors import ModelError, listed
from landshift.files import archive, provenance

SUMS = "SHA256SUMS"
"""One line per file, ``<SHA-256>  <name>``, sorted by name. Its hash identifies the package."""

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Verified:
    """A package whose files are as they were saved.

    Attributes:
        files: Their names.
        digest: SHA-256 of the list of their hashes, which identifies the package.
    """

    files: tuple[str, ...]
    digest: str


def write_sums(folder: Path, sums: Mapping[str, str]) -> None:
    """Write the hashes of a folder's files, by their names."""
    lines = [f"{digest}  {name}\n" for name, digest in sorted(sums.items())]
    (folder / SUMS).write_bytes("".join(lines).encode())


def read_sums(folder: Path, shown: Path) -> dict[str, str]:
    """Hash of each file of a package, by its name.

    Args:
        folder: Folder of the files.
        shown: Name of the package in errors.

    Raises:
        ModelError: The file of hashes is missing or damaged.
    """
    sums: dict[str, str] = {}
    text = read_bounded(folder / SUMS, _MAX_BYTES, shown).decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), start=1):
        parts = _LINE.fullmatch(line)
        if parts is None or not archive.portable(parts[2]) or parts[2] in sums:
            raise ModelError(
                f"{SUMS} must give each file of the package one SHA-256, got another line {number} "
                f"in {shown}; fetch the package again."
            )
        sums[parts[2]] = parts[1]
    return sums


def check_sums(folder: Path, sums: Mapping[str, str], names: Iterable[str], shown: Path) -> None:
    """Check files of a package against their hashes.

    Args:
        folder: Folder of the files.
        sums: Hashes from `read_sums`.
        names: The files to check.
        shown: Name of the package in errors.

    Raises:
        ModelError: A file is missing, is a link, has no hash, or has changed.
    """
    wrong = [
        f"{name} {problem}"
        for name in names
        if (problem := _problem(folder / name, sums.get(name)))
    ]
    if wrong:
        raise ModelError(
            f"Files of a package must be as they were saved, got {listed(wrong, 3)} in {shown}; "
            "fetch it again, or save the model again."
        )


def _problem(path: Path, expected: str | None) -> str:
    """The fault of a file; '' if there is none."""
    if path.is_symlink() or not path.is_file():
        return "missing"
    if expected is None:
        return "without a hash"
    return "" if provenance.digest(path) == expected else "changed"
