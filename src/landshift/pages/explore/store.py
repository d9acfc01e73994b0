"""The files of a page, by their addresses on it: served, linked or copied."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from landshift.files import whole
from landshift.machine import progress

DATA = "data"
"""Folder of a page's rasters and polygons."""

Keeping = Literal["served", "linked", "copied"]
"""What becomes of a file that a browser can read as it is."""


class Store:
    """The files of a page.

    Addresses on the page hold only letters, digits, dots, hyphens and underscores, whatever the
    files are called; a linked file's is the quoted way to it.

    Args:
        folder: Where new files are made.
        keeping: What becomes of files that a browser can read as they are.
        site: The folder that the page will be in, which links begin at.

    Attributes:
        files: The file at each address; linked ones aren't among them.
        linked: The ways to the linked ones.
    """

    def __init__(self, folder: Path, keeping: Keeping, site: Path | None = None) -> None:
        self.files: dict[str, Path] = {}
        self.linked: list[str] = []
        self._folder, self._keeping = folder, keeping
        self._site = folder if site is None else site

    def new(self, name: str, suffix: str) -> tuple[str, Path]:
        """Address and path of a file to be made.

        Args:
            name: A name that no other file of the page has.
            suffix: Its suffix.
        """
        safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:60] or "file"
        address = f"{DATA}/{safe}{suffix}"
        path = self._folder / DATA / f"{safe}{suffix}"
        self.files[address] = path
        return address, path

    def keep(self, path: Path, name: str) -> str:
        """The address of a file that is there.

        Args:
            path: The file.
            name: As for `new`.

        Raises:
            OutputError: It can't be copied.
        """
        if self._keeping == "linked":
            try:
                way = os.path.relpath(path.absolute(), self._site.absolute())
            except ValueError:  # on another drive
                way = ""
            if way:
                self.linked.append(way)
                return quote(Path(way).as_posix())
        address, copy = self.new(name, ".tif")
        if self._keeping == "served":
            self.files[address] = path.absolute()
            return address
        with whole.whole_file(copy) as part, progress.step(f"copying {path.name}"):
            shutil.copyfile(path, part)
        return address
