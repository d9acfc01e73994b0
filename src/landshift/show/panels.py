"""Pictures side by side, with titles, scale, north and one legend."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid
from landshift.classes import ClassScheme, Colour
from landshift.errors import GridError, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform
    from odc.geo.geobox import GeoBox

Picture = NDArray[np.float32]
"""``(row, column, 3)`` in 0 to 1."""

NODATA: tuple[float, float, float] = (1.0, 1.0, 1.0)
"""Colour of pixels without data or class: white, as the page; a frame shows where they end."""

LISTED = 40
"""Largest number of classes in a legend; the commonest ones stay. More would shrink the pictures
to stamps."""

_WIDTH = 3.6  # inches of a panel
_FRAME = "0.75"  # colour of the line around a panel, which shows where nodata ends
_TITLE, _SMALL, _NAMES = 11, 8, 9  # points of a title, of captions and scales, of the legend
_LETTER = 0.56  # mean width of a letter, in font sizes
_LINE = 1.35  # height of a line, in font sizes
_MOST_COLUMNS = 3  # of a legend; a longer one makes the figure higher
_GAP = 0.3  # between two names of the legend, in font sizes
_LONGEST = 30  # letters of a line of a class's name


@dataclass(frozen=True)
class Panel:
    """A picture and what is written around it.

    Attributes:
        picture: The picture.
        title: Its title; '' for none.
        caption: What stands below the title, smaller.
        box: Grid of the raster behind it, for scale and north; None: they aren't drawn.
    """

    picture: Picture
    title: str = ""
    caption: str = ""
    box: GeoBox | None = None


@dataclass(frozen=True)
class Entry:
    """A line of a legend; a colour of None is for a line of words."""

    name: str
    colour: tuple[float, float, float] | None


def entries(scheme: ClassScheme, pixels: Mapping[int, int], *, nodata: str = "") -> list[Entry]:
    """The legend of pictures of classes.

    Args:
        scheme: The classes.
        pixels: Pixels of each class that the pictures show, by its index.
        nodata: What pixels without data or class are called; '' where there are none.
    """
    held = [k for k in range(len(scheme)) if pixels.get(k)]
    largest = set(sorted(held, key=lambda k: -pixels[k])[:LISTED])
    classes = list(scheme)
    lines = [Entry(classes[k].name, unit(classes[k].colour)) for k in held if k in largest]
    if len(held) > LISTED:
        lines.append(Entry(f"and {len(held) - LISTED} more", None))
    if nodata:
        lines.append(Entry(nodata, NODATA))
    return lines


def draw(rows: Sequence[Sequence[Panel]], legend: Sequence[Entry]) -> Figure:
    """Panels in rows, with one legend on the right.

    Scale and north stand under the first panel, and under those with another grid.

    Args:
        rows: As many panels in each.
        legend: See `entries`.
    """
    from matplotlib.figure import Figure

    columns = len(rows[0])
    heights = [_height(row) for row in rows]
    names = [written(entry.name, _LONGEST) for entry in legend]
    side, high = _legend_size(names, sum(heights))
    letters = max((len(line) for name in names for line in name.splitlines()), default=0)
    beside = side * (letters * _LETTER * _NAMES / 72 + 0.55)
    size = (_WIDTH * columns + beside + 0.2, max(sum(heights), high))
    figure = Figure(figsize=size, layout="constrained")
    figure.subplots(len(rows), columns, squeeze=False)
    titled = [max(len(_caption(panel).splitlines()) for panel in row) for row in rows]
    every = [panel for row in rows for panel in row]
    scaled = _scaled([panel.box for panel in every])
    for k, (axes, panel) in enumerate(zip(figure.axes, every, strict=True)):
        _draw_panel(axes, panel, titled[k // columns])
        if panel.box is not None and k in scaled:
            draw_scale(axes, panel.box)
    _draw_legend(figure, legend, names, side)
    return figure


def written(text: str, letters: int, lines: int = 3) -> str:
    """A name on lines of so many letters; what doesn't fit ends in '...'."""
    return "\n".join(
        textwrap.wrap(shown(text), letters, max_lines=lines, placeholder="...") or [""]
    )


def unit(colour: Colour) -> tuple[float, float, float]:
    """A colour in 0 to 1."""
    red, green, blue = (v / 255 for v in colour)
    return red, green, blue


def draw_scale(axes: Axes, box: GeoBox) -> None:
    """Draw a scale bar and an arrow to true north under a picture; words where they are unknown.

    Args:
        axes: Axes as wide as the picture.
        box: Grid of the raster behind it.
    """
    from matplotlib.transforms import offset_copy

    figure = axes.get_figure(root=True)

    def below(points: float, right: float = 0.0) -> Transform:
        return offset_copy(axes.transAxes, figure, right, -points, units="points")

    small: dict[str, Any] = {"fontsize": _SMALL, "va": "center"}
    try:
        bearing = grid.bearing(box)
    except GridError:
        words = "No CRS: scale and north are unknown"
        axes.text(0, 0, words, transform=below(10), ha="left", **small)
        return
    bar = grid.scale_bar(bearing.metres * box.width)
    axes.plot(
        [0, bar.share], [0, 0], color="black", transform=below(10), clip_on=False,
        linewidth=1.2, marker="|", markersize=5, label=bar.label, scalex=False, scaley=False,
    )  # fmt: skip
    axes.text(bar.share, 0, bar.label, transform=below(10, 5), ha="left", **small)
    across, up = np.sin(np.radians(bearing.north)), np.cos(np.radians(bearing.north))
    axes.annotate(
        "", xy=(1, 0), xycoords=below(11 - 7 * up, -8 + 7 * across), xytext=(1, 0),
        textcoords=below(11 + 7 * up, -8 - 7 * across), annotation_clip=False,
        arrowprops={"arrowstyle": "-|>", "color": "black", "linewidth": 1.0, "shrinkA": 0,
                    "shrinkB": 0, "mutation_scale": 9},
    )  # fmt: skip
    axes.text(1, 0, "N", transform=below(11, -20), ha="center", **small)


def _scaled(boxes: Sequence[GeoBox | None]) -> set[int]:
    """Places of the first grid and of those that differ from it."""
    placed = [(k, box) for k, box in enumerate(boxes) if box is not None]
    return {k for k, box in placed if k == placed[0][0] or not grid.same(box, placed[0][1])}


def _height(row: Sequence[Panel]) -> float:
    """Inches of a row of panels: its highest picture, and what stands around it."""
    shapes = [panel.picture.shape for panel in row]
    pictures: float = max(_WIDTH * min(max(shape[0] / shape[1], 0.4), 2.0) for shape in shapes)
    lines = max(len(_caption(panel).splitlines()) for panel in row)
    titles = (_TITLE * _LINE + 4 if any(p.title for p in row) else 0) + lines * _SMALL * _LINE
    scale = 22 if any(panel.box is not None for panel in row) else 0
    return pictures + (titles + scale + 8) / 72


def _caption(panel: Panel) -> str:
    return written(panel.caption, int(_WIDTH * 72 / _SMALL / _LETTER))


def _draw_panel(axes: Axes, panel: Panel, lines: int) -> None:
    """Draw a panel whose title leaves room for so many lines of a caption."""
    axes.imshow(panel.picture, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=_FRAME, linewidth=0.6)
    caption = _caption(panel)
    title = written(panel.title, int(_WIDTH * 72 / _TITLE / _LETTER), 1)
    axes.set_title(title, fontsize=_TITLE, pad=4 + lines * _SMALL * _LINE, parse_math=False)
    if caption:
        axes.annotate(
            caption, (0.5, 1), xytext=(0, 3), xycoords="axes fraction", textcoords="offset points",
            ha="center", va="bottom", fontsize=_SMALL, parse_math=False,
        )  # fmt: skip


def _legend_size(names: Sequence[str], height: float) -> tuple[int, float]:
    """Columns of a legend beside panels of a height in inches, and its own height."""
    sizes = [len(name.splitlines()) * _LINE + _GAP for name in names]  # in font sizes
    needed = 0.0
    for columns in range(1, min(len(names), _MOST_COLUMNS) + 1):
        # matplotlib fills one column after the other, with as many names in each
        longest = max(sum(column) for column in np.array_split(sizes, columns))
        needed = longest * _NAMES / 72 + 0.3
        if needed <= height:
            return columns, needed
    return min(len(names), _MOST_COLUMNS), needed


def _draw_legend(
    figure: Figure, legend: Sequence[Entry], names: Sequence[str], columns: int
) -> None:
    from matplotlib.patches import Patch

    if not legend:
        return
    patches = [
        Patch(
            facecolor="none" if entry.colour is None else entry.colour, linewidth=0.4,
            edgecolor="none" if entry.colour is None else "black", label=name,
        )
        for entry, name in zip(legend, names, strict=True)
    ]  # fmt: skip
    box = figure.legend(
        handles=patches, loc="outside right center", frameon=False, fontsize=_NAMES,
        ncols=columns, labelspacing=_GAP, handlelength=1.4, borderaxespad=0.6,
    )  # fmt: skip
    for text in box.get_texts():
        text.set_parse_math(False)
