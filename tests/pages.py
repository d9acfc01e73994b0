"""What every page of ours must hold: a small check of HTML, and a browser to look at it."""

from __future__ import annotations

import base64
import csv
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import Any

import pytest

_VOID = {"meta", "img", "br", "input", "link", "hr"}
_ADDRESSES = ("href", "src", "action", "srcset", "xlink:href", "data", "poster")


class Page(HTMLParser):
    """A page read tag by tag; what breaks a rule is in ``faults``."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []
        self.words: list[str] = []
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.headings: list[int] = []
        self.tables: dict[str, list[list[str]]] = {}
        self._open: list[str] = []
        self._wanted: list[str] = []
        self.feed(html)
        self.close()
        self._finish(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        found = {k: v or "" for k, v in attrs}
        if len(found) != len(attrs):
            self.faults.append(f"{tag} says an attribute twice")
        self.tags.append((tag, found))
        if "id" in found:
            self.ids.append(found["id"])
        for key in ("aria-labelledby", "for"):
            self._wanted += found.get(key, "").split()
        if found.get("href", "").startswith("#"):
            self._wanted.append(found["href"][1:])
        for key in found:
            if key.startswith("on") or key == "style":
                self.faults.append(f"{tag} has {key}, which the policy forbids")
        for key in _ADDRESSES:
            if key in found and not found[key].startswith(("#", "data:image/", "data:text/csv")):
                self.faults.append(f"{tag} reaches out: {found[key][:60]}")
        if tag == "img" and not found.get("alt"):
            self.faults.append("an img has no alt")
        if tag == "th" and "scope" not in found:
            self.faults.append("a th has no scope")
        worded = found.get("role") == "img" and found.get("aria-label")
        hidden = found.get("aria-hidden") == "true" or "svg" in self._open
        if tag == "svg" and not (worded or hidden):
            self.faults.append("an svg has no words")
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append(int(tag[1]))
        if tag == "a" and "download" in found:
            data = base64.b64decode(found["href"].partition("base64,")[2]).decode("utf-8-sig")
            self.tables[found["download"]] = list(csv.reader(io.StringIO(data)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self.words.append(data.strip())

    @property
    def text(self) -> str:
        """What stands on the page, words joined by a space."""
        return " ".join(w for w in self.words if w)

    def _finish(self, html: str) -> None:
        names = [t for t, _ in self.tags]
        if not html.startswith("<!doctype html>"):
            self.faults.append("no doctype")
        if self._open:
            self.faults.append(f"left open: {self._open}")
        if len(set(self.ids)) != len(self.ids):
            self.faults.append(f"ids come twice: {sorted(self.ids)}")
        self.faults += [f"points at no id: {w}" for w in self._wanted if w not in self.ids]
        for tag in ("html", "main", "nav", "header", "footer", "h1"):
            if names.count(tag) != 1:
                self.faults.append(f"{names.count(tag)} of {tag}")
        if self.headings[:1] != [1]:
            self.faults.append("the first heading isn't h1")
        for before, after in zip(self.headings, self.headings[1:], strict=False):
            if after > before + 1:
                self.faults.append(f"h{after} comes after h{before}")
        if names.count("caption") != names.count("table"):
            self.faults.append("a table has no caption")


def read(html: str) -> Page:
    """A page, which must be without fault."""
    page = Page(html)
    assert not page.faults, page.faults
    return page


@contextmanager
def browser(*flags: str) -> Iterator[Any]:
    """Debian's Chromium with these flags, or a skip where it isn't."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright isn't installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium isn't installed")
    quiet = (
        "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
    )  # fmt: skip
    with playwright.sync_playwright() as driver:
        program = driver.chromium.launch(executable_path=chromium, args=[*quiet, *flags])
        try:
            yield program
        finally:
            program.close()
