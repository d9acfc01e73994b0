"""The hashes of a package's files, as the program ``sha256sum`` writes and checks them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from landshift.bundle.files import read_bounded
from landshift.errors import ModelError
from landshift.files import archive, provenance

SUMS = "SHA256SUMS"
"""A line a file, ``<SHA-256>  <name>``, by name. Its own hash stands for the whole package."""

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
        folder: Where the files lie.
        shown: What errors call it.

    Raises:
        ModelError: There are none, or they are damaged.
    """
    sums: dict[str, str] = {}
    text = read_bounded(folder / SUMS, _MAX_BYTES, shown).decode("utf-8", "replace")
    for number, told in enumerate(text.splitlines(), start=1):
        line = _LINE.fullmatch(told)
        if line is None or not archive.portable(line[2]) or line[2] in sums:
            raise ModelError(
                f"{SUMS} must give each file of the package one SHA-256, got another line {number} "
                f"in {shown}; fetch the package again."
            )
        sums[line[2]] = line[1]
    return sums


def check_sums(folder: Path, sums: Mapping[str, str], names: Iterable[str], shown: Path) -> None:
    """Check files of a package against their hashes.

    Args:
        folder: Where the files lie.
        sums: What `read_sums` gives.
        names: The files to check.
        shown: What errors call the package.

    Raises:
        ModelError: A file is missing, is a link, has no hash, or isn't as it was saved.
    """
    wrong = [
        f"{name} {problem}"
        for name in names
        if (problem := _problem(folder / name, sums.get(name)))
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ModelError(
            f"Files of a package must be as they were saved, got {', '.join(wrong[:3])}{more} in "
            f"{shown}; fetch it again, or save the model again."
        )


def _problem(path: Path, expected: str | None) -> str:
    """What is wrong with a file; '' for nothing."""
    if path.is_symlink() or not path.is_file():
        return "missing"
    if expected is None:
        return "without a hash"
    return "" if provenance.digest(path) == expected else "changed"
