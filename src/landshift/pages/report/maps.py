"""Maps as pictures: small, from overviews, with scale bar and north."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.classes import IGNORE_INDEX, ClassScheme, Colour
from landshift.errors import ClassError, GridError
from landshift.files.options import BandChoice
from landshift.pages.report import parts, pictures, svg
from landshift.raster import colours
from landshift.show import figures

SIZE = 1000
"""Largest number of rows and columns of a map on a page: four maps stay below 6 MB."""

_MOST = 250  # classes with a colour of their own in a picture
_LISTED = 24  # classes in a legend
_OTHERS: Colour = (128, 128, 128)


@dataclass(frozen=True)
class ClassPicture:
    """A class map on a page.

    Attributes:
        shown: The picture and its scale.
        colours: Colour of each class by its name.
        largest: The classes by their size, the largest first.
        has_nothing: Whether pixels have no class.
    """

    shown: Markup
    colours: dict[str, Colour]
    largest: tuple[str, ...]
    has_nothing: bool

    def agrees(self, other: ClassPicture) -> bool:
        """Whether one legend can explain both: a class has one colour, a colour one class."""
        joined = self.colours | other.colours
        alike = all(joined[name] == colour for name, colour in self.colours.items())
        return alike and len(set(joined.values())) == len(joined) <= _LISTED


def legend(*shown: ClassPicture) -> Markup:
    """The classes of pictures that agree and their colours, the largest ones where there are many.

    Args:
        shown: The pictures; at least one.
    """
    first = shown[0]
    entries = list({name: c for picture in shown for name, c in picture.colours.items()}.items())
    if len(entries) > _LISTED:
        entries = [(name, first.colours[name]) for name in first.largest[:_LISTED]]
        entries.append((f"and {len(first.colours) - _LISTED} more", _OTHERS))
    return parts.legend(entries, none="no class" if any(p.has_nothing for p in shown) else "")


def image(path: Path, title: str, place: int, *, rgb: BandChoice = None, name: str = "") -> Markup:
    """One date of an image or composite.

    Args:
        path: The raster.
        title: Title of the picture.
        place: Index of the date: 0 the first, -1 the last.
        rgb: The bands shown as red, green and blue; see `landshift.raster.colours`.
        name: Anchor of the picture.

    Raises:
        BandError: The raster lacks a band of `rgb`.
    """
    info = raster.info(path)
    numbers = [k + 1 for k in list(figures.date_bands(info.bands).values())[place]]
    with raster.open_raster(path) as source:
        bands = colours.of_raster(source, rgb, numbers)
    values, mask = raster.preview(path, SIZE, [numbers[k] for k in bands.channels])
    return pictures.photo(
        figures.picture(values, mask), alt=f"{title}: {path.name}, {_size(info)}, {bands.label}",
        caption=f"{title}, {bands.label}", below=_bearing(info), name=name,
    )  # fmt: skip


def class_map(
    path: Path, title: str, *, name: str = "", size: int = SIZE, stated: ClassScheme | None = None
) -> ClassPicture:
    """A class map, with at most so many rows and columns; in its own colours, or in stated ones."""
    info = raster.info(path)
    codes, scheme = _classes(path, size, stated)
    counts = np.bincount(codes.ravel(), minlength=256)[: len(scheme)]
    order = np.argsort(-counts, kind="stable")
    total = max(int(counts.sum()), 1)
    most = ", ".join(f"{scheme.names[k]} {counts[k] / total:.0%}" for k in order[:5] if counts[k])
    picture = pictures.classes(
        codes, [c.colour for c in scheme],
        alt=f"{title}: {path.name}, {_size(info)}, about {most or 'no class'}", caption=title,
        below=_bearing(info), name=name,
    )  # fmt: skip
    return ClassPicture(
        picture, {c.name: c.colour for c in scheme}, tuple(scheme.names[k] for k in order),
        has_nothing=bool((codes == IGNORE_INDEX).any()),
    )  # fmt: skip


def confidence(path: Path, title: str, *, name: str = "") -> Markup:
    """Confidence of a map, from dark (lowest) to bright (highest)."""
    info = raster.info(path)
    values, mask = raster.preview(path, SIZE, [1])
    with raster.open_raster(path) as source:
        shares = np.where(mask, values[0] * source.scales[0] + source.offsets[0], 0.0)
    top = 1.0 if shares.max() <= 1 else 100.0 if shares.max() <= 100 else float(shares.max())
    table = _cividis()
    codes = np.round(shares.clip(0, top) / top * (len(table) - 1)).astype(np.uint8)
    codes[~mask] = IGNORE_INDEX
    steps = [(f"{k * top / 4:g}", table[k * (len(table) - 1) // 4]) for k in range(5)]
    mean = shares[mask].mean() if mask.any() else 0.0
    return pictures.classes(
        codes, table, alt=f"{title}: {path.name}, {_size(info)}, about {mean:.2g} on average",
        caption=title, below=_bearing(info) + parts.legend(steps), name=name,
    )  # fmt: skip


def _classes(
    path: Path, size: int, stated: ClassScheme | None
) -> tuple[NDArray[np.uint8], ClassScheme]:
    """Class indices of a small preview of a map, and its classes: named or present."""
    with raster.open_raster(path) as source:
        raster.check_class_raster(source)
        known = raster.class_values(source)
    values, mask = raster.preview(path, size, [1], classes=True)
    names, of_value = dict(known.names), raster.legend_of(path).colours
    if stated is not None:
        names, of_value = dict(stated.mapping), dict(stated.colours)
    labelled = known.classed(values[0], mask)
    shown, counts = np.unique(values[0][labelled], return_counts=True)
    # classes in the preview first, by their size, since the picture shows only _MOST
    ranked = [int(v) for v in shown[np.argsort(-counts, kind="stable")]]
    ranked += sorted(names.keys() - set(ranked))
    kept = sorted(ranked[:_MOST])
    if not kept:
        raise ClassError(f"A map must hold a class, got none in {path}; give another.")
    scheme = ClassScheme.from_mapping(
        {k: names.get(v) or f"class {v}" for k, v in enumerate(kept, start=1)},
        {k: of_value[v] for k, v in enumerate(kept, start=1) if v in of_value},
    )
    places = np.searchsorted(kept, values[0]).clip(max=len(kept) - 1)
    rest = np.asarray(kept)[places] != values[0]
    codes = np.where(labelled & ~rest, places, IGNORE_INDEX).astype(np.uint8)
    return codes, scheme


def _bearing(info: raster.RasterInfo) -> Markup:
    """A scale bar and an arrow to true north under a picture; a sentence where there is no CRS."""
    try:
        bearing = grid.bearing(info.grid)
    except GridError:
        return parts.text("The file has no CRS: scale and north are unknown.")
    bar = grid.scale_bar(bearing.metres * info.width)
    end = f"{100 * bar.share:.2f}%"
    middle = f"{50 * bar.share:.2f}%"
    needle = svg.element(
        "path", d="M0 -13 5 9 0 5 -5 9Z", class_="needle", transform=f"rotate({bearing.north:.1f})"
    )
    arrow = svg.element("svg", needle, x="97%", y="50%", overflow="visible")
    return svg.element(
        "svg",
        svg.element("line", x1="0", x2=end, y1="30%", y2="30%", class_="whisker"),
        svg.element("line", x1="0", x2="0", y1="18%", y2="42%", class_="whisker"),
        svg.element("line", x1=end, x2=end, y1="18%", y2="42%", class_="whisker"),
        svg.element("text", bar.label, x=middle, y="78%", text_anchor="middle"),
        arrow,
        svg.element("text", "N", x="92%", y="62%", text_anchor="middle"),
        class_="bearing", role="img",
        aria_label=f"Scale bar of {bar.label}; north points {bearing.north:.0f} degrees clockwise "
        "from up",
    )  # fmt: skip


def _cividis() -> Sequence[Colour]:
    """Dark blue to yellow, for any colour vision (Nuñez et al. 2018)."""
    import matplotlib

    table = matplotlib.colormaps["cividis"](np.linspace(0, 1, IGNORE_INDEX))
    return [(int(r), int(g), int(b)) for r, g, b in np.round(table[:, :3] * 255)]


def _size(info: raster.RasterInfo) -> str:
    return f"{info.width:,} by {info.height:,} pixels"
