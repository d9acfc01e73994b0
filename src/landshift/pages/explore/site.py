"""A map page as a folder for any web server, and as a site that this machine serves to itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landshift.errors import OutputError, ParameterError
from landshift.files import whole
from landshift.pages.explore import bundle
from landshift.pages.explore.described import Described
from landshift.pages.server import FileReply, Reply

LAYERS = "layers.json"
"""Name of the page's description."""


class MapPage:
    """A map page; a `server.Site`. It has no address until `show` gives it its files."""

    def __init__(self) -> None:
        self._replies: dict[str, Reply | FileReply] = {}

    def show(self, described: Described, files: Mapping[str, Path]) -> None:
        """Give the page its files.

        Args:
            described: Its description.
            files: The file at each address below it.

        Raises:
            ParameterError: The package was built without the page.
        """
        content = bundle.read()
        replies: dict[str, Reply | FileReply] = {
            name: Reply(content[name], kind) for name, kind in bundle.FILES.items()
        }
        replies[""] = replies["index.html"]
        replies[LAYERS] = Reply(as_json(described.content), "application/json")
        for address, path in files.items():
            replies[address] = FileReply(path, bundle.KINDS[Path(address).suffix])
        self._replies = replies

    def get(self, path: str) -> Reply | FileReply | None:
        """A file of the page, by its exact address."""
        return self._replies.get(path)

    def post(self, path: str, values: Mapping[str, Any]) -> Reply | None:
        """The page takes nothing."""
        return None


def as_json(content: Mapping[str, Any]) -> bytes:
    """A description as JSON; names that aren't UTF-8 lose those bytes."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def check_folder(out: Path, inputs: list[Path], *, overwrite: bool) -> None:
    """Check, before any work, that a page may be written to a folder.

    A folder is only replaced where it is an earlier page, and none of the inputs lies in it.

    Raises:
        ParameterError: It holds other files.
        OutputError: It is a file.
    """
    if not overwrite or not out.is_dir() or not any(out.iterdir()):
        whole.check_new_folder(out)
        return
    inside = next((p for p in inputs if p.resolve().is_relative_to(out.resolve())), None)
    if inside is not None:
        raise ParameterError(
            f"The page's folder (`out`) must hold none of its inputs, got {inside} in {out}; give "
            "another folder."
        )
    if not (out / LAYERS).is_file() or not (out / "index.html").is_file():
        raise ParameterError(
            f"Only an earlier map page is replaced (`overwrite`), got {out} without {LAYERS}; give "
            "another folder."
        )


def write(described: Described, folder: Path) -> None:
    """Write a page and its description into a folder that holds its data.

    Raises:
        OutputError: It can't be written.
    """
    stated = bundle.policy(described.packed)
    content = bundle.read()
    page = bundle.with_policy(content["index.html"].decode(), stated)
    try:
        for name in bundle.FILES:
            (folder / name).write_bytes(page.encode() if name == "index.html" else content[name])
        (folder / LAYERS).write_bytes(as_json(described.content))
    except OSError as error:
        raise OutputError(
            f"The page must be written whole, got '{error.strerror}' in {folder}; make room."
        ) from error
