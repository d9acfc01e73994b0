"""The frame of every page: one HTML file that loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from landshift import __version__

_TEMPLATES = "templates"


@dataclass(frozen=True)
class Section:
    """A part of a page with a heading of its own.

    Attributes:
        name: Its anchor: letters and '-', unique on the page.
        title: Its heading.
        parts: Contents in order, as `landshift.pages.report.parts` makes them.
        missing: What is missing, and which command makes it.
    """

    name: str
    title: str
    parts: Sequence[Markup] = ()
    missing: str = ""


def render(title: str, lead: Sequence[str], sections: Sequence[Section]) -> str:
    """A whole page.

    Style, script and pictures are embedded; the page's policy forbids the browser to load or run
    anything else (Content Security Policy, W3C), whatever the texts on it hold.

    Args:
        title: Title of the page.
        lead: Introductory paragraphs.
        sections: The sections; the table of contents lists them.
    """
    style, script = _inline("style.css"), _inline("page.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; "
        f"script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )
    return _environment().get_template("page.html").render(
        title=title, lead=lead, sections=sections, style=style, script=script, policy=policy,
        version=__version__,
    )  # fmt: skip


def part(macro: str, /, **values: Any) -> Markup:
    """Render a macro of ``parts.html``; values that aren't markup are escaped."""
    return Markup(getattr(_environment().get_template("parts.html").module, macro)(**values))


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("landshift.pages.report", _TEMPLATES), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


@cache
def _inline(name: str) -> Markup:
    """A style or script that is embedded unchanged."""
    return Markup((files("landshift.pages.report") / _TEMPLATES / name).read_text(encoding="utf-8"))


def _digest(text: str) -> str:
    """The hash by which the policy permits an embedded text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
