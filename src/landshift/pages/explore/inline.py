"""A map page inside a notebook: one HTML text that holds its data, and a picture of the same."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import raster
from landshift.classes.class_table import hex_colour
from landshift.pages.explore import bundle, described
from landshift.pages.explore.readable import CopySize
from landshift.pages.explore.site import as_json
from landshift.pages.explore.store import Store
from landshift.show import figures, panels
from landshift.show.panels import Panel

if TYPE_CHECKING:
    from landshift.classes import ClassScheme
    from landshift.files.options import BandChoice
    from landshift.pages.explore.found import Found

SIDE = 512
"""Most rows and columns of a layer in a notebook, 262,144 pixels: the notebook's file grows by up
to 0.3 MB for each map, and for each band of an image."""

HEIGHT = 640
"""Pixels of the page's height in a notebook: with the legend beside the map, on a laptop's screen.
"""

_LINK = '<link rel="stylesheet" href="explore.css">'
_SCRIPT = '<script src="explore.js" defer></script>'
_PICTURED = 4  # layers in the picture
_DPI = 80


def mimebundle(
    found: Found,
    *,
    rgb: BandChoice = None,
    title: str | None = None,
    classes: ClassScheme | None = None,
) -> dict[str, Any]:
    """The page as HTML and as a picture, by media type.

    Args:
        found: What the page shows.
        rgb: Bands shown first.
        title: Its title.
        classes: Classes of maps whose files name none.

    Raises:
        GridError: No raster can be shown.
        BandError: An image lacks a band of `rgb`.
        RasterError: A raster can't be read.
    """
    size = CopySize(SIDE, SIDE**2, always=True)
    with tempfile.TemporaryDirectory(prefix="landshift-explore-") as folder:
        store = Store(Path(folder), "served")
        page = described.describe(found, store, rgb=rgb, title=title, classes=classes, size=size)
        content = {
            **page.content,
            "layers": [_inside(layer, store.files) for layer in page.content["layers"]],
        }
        png = _picture(page.content, store.files)
    return {
        "text/html": _frame(_html(content), str(content["title"])),
        "image/png": base64.b64encode(png).decode(),
        "text/plain": f"Map page: {', '.join(str(layer['title']) for layer in content['layers'])}",
    }


def _inside(layer: Mapping[str, Any], files: Mapping[str, Path]) -> dict[str, Any]:
    """A layer whose file is part of its address."""
    path = files[layer["url"]]
    data = base64.b64encode(path.read_bytes()).decode()
    return {**layer, "url": f"data:{bundle.KINDS[path.suffix]};base64,{data}"}


def _html(content: Mapping[str, Any]) -> str:
    """The page with its style, script and data inside."""
    files = bundle.read()
    page = files["index.html"].decode()
    style = files["explore.css"].decode()
    # no text of a script may end it
    script = re.sub("<(?=/script|!--)", r"\\x3c", files["explore.js"].decode(), flags=re.IGNORECASE)
    data = as_json(content).decode().replace("<", "\\u003c")
    for line in (_LINK, _SCRIPT):
        assert page.count(line) == 1, "the page loads one style and one script"
    page = page.replace(_LINK, f"<style>{style}</style>").replace(
        _SCRIPT,
        f'<script type="application/json" id="layers">{data}</script><script>{script}</script>',
    )
    scripts = f"'{_digest(script)}'"
    stated = bundle.policy(set(), scripts=scripts, styles=f"'{_digest(style)}'", data="data:")
    return bundle.with_policy(page, stated)


def _digest(text: str) -> str:
    """The hash by which a policy permits an embedded text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _frame(page: str, title: str) -> str:
    inside = page.replace("&", "&amp;").replace('"', "&quot;")
    return (
        f'<iframe srcdoc="{inside}" title="{html.escape(title)}" '
        f'sandbox="allow-scripts allow-downloads" allow="fullscreen" '
        f'style="width:100%;height:{HEIGHT}px;border:0"></iframe>'
    )


def _picture(content: Mapping[str, Any], files: Mapping[str, Path]) -> bytes:
    """The first and last image and the maps side by side, as PNG."""
    layers = content["layers"]
    images = [layer for layer in layers if layer["kind"] == "image"]
    maps = [layer for layer in layers if layer["kind"] == "classes"]
    maps.sort(key=lambda layer: ("change", "reference").index(layer["role"])
              if layer["role"] in ("change", "reference") else 2)  # fmt: skip
    chosen = [*images[:1], *images[1:][-1:], *maps][:_PICTURED] or layers[:1]
    drawn: list[Panel] = []
    legend: dict[str, panels.Entry] = {}
    for layer in chosen:
        path = files[layer["url"]]
        picture = (
            _classes(path, layer, legend) if layer["kind"] == "classes" else _bands(path, layer)
        )
        drawn.append(Panel(picture, layer["title"], layer.get("shown", ""), raster.info(path).grid))
    figure = panels.draw([drawn], list(legend.values()))
    png = io.BytesIO()
    figure.savefig(png, dpi=_DPI)
    return png.getvalue()


def _bands(path: Path, layer: Mapping[str, Any]) -> panels.Picture:
    bands: Sequence[int] = layer.get("rgb", [1, 1, 1])
    values, mask = raster.preview(path, SIDE, bands)
    limits = layer.get("stretch")
    return figures.picture(
        values, mask, None if limits is None else [tuple(ends) for ends in limits]
    )


def _classes(
    path: Path, layer: Mapping[str, Any], legend: dict[str, panels.Entry]
) -> panels.Picture:
    """A class map in its colours; the classes that it shows are added to the legend."""
    values, mask = raster.preview(path, SIDE, [1], classes=True)
    known = [(c["value"], c["name"], hex_colour(c["colour"])) for c in layer["classes"]]
    picture = np.ones((*mask.shape, 3), np.float32)
    for value, name, colour in known:
        here: NDArray[np.bool_] = mask & (values[0] == value)
        if here.any():
            picture[here] = panels.unit(colour)
            legend.setdefault(name, panels.Entry(name, panels.unit(colour)))
    return picture
