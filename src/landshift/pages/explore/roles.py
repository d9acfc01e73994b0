"""Layers of a map page: the role of each raster, its dates, and their order in time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from landshift import raster
from landshift.classes import ends_of, is_no_change
from landshift.errors import LandshiftError
from landshift.files.dates import Period
from landshift.pages.explore.found import RasterSource
from landshift.show import figures

_WORDS = re.compile("[a-z]+")
_OF_A_DATE = ("", "before", "after", "classes")  # roles of layers that show one


@dataclass(frozen=True)
class ShownRaster:
    """A raster that the page shows, or a date of it.

    Attributes:
        source: The raster.
        numbers: Numbers from 1 of its bands.
        taken: When it was taken.
        date: Name of its date; '' where it has none.
        role: Its role on the page; '' for images.
    """

    source: RasterSource
    numbers: tuple[int, ...]
    taken: Period | None = None
    date: str = ""
    role: str = ""

    @property
    def label(self) -> str:
        """What the page calls its date; '' where it has none."""
        return self.date if self.taken is None else str(self.taken).replace("/", " to ")

    @property
    def is_of_a_date(self) -> bool:
        """Whether it shows one date, not a change between two."""
        return self.role in _OF_A_DATE


def shown(sources: Sequence[RasterSource]) -> list[ShownRaster]:
    """The layers of rasters, in the order in which a page lists them."""
    images = [layer for s in sources if s.kind == "image" for layer in _of_image(s)]
    maps = [s for s in sources if s.kind == "classes"]
    names = {id(s): _class_names(s) for s in maps}
    changes = [s for s in maps if s.stage == "classify" or _is_change(names[id(s)])]
    main = next((s for s in changes if s.stage == "classify"), changes[0] if changes else None)
    values = [
        ShownRaster(s, (s.info.numbers[0],), role=s.layer or "value")
        for s in sources if s.kind == "values"
    ]  # fmt: skip
    of_dates = [_of_class_map(s) for s in maps if s not in changes]
    of_changes = [
        ShownRaster(
            s, (s.info.numbers[0],),
            role="change" if s is main or s.stage == "classify" else "reference",
        )
        for s in sorted(changes, key=lambda s: s is not main)
    ]  # fmt: skip
    order = sorted(of_dates, key=_in_time)
    dated = [layer for layer in order if layer.label]
    if len({layer.label for layer in dated}) > 1:
        roles = {id(dated[0]): "before", id(dated[-1]): "after"}
        order = [replace(layer, role=roles.get(id(layer), layer.role)) for layer in order]
    # 'before' in a map's name is the date of the image that is called so
    taken = {w.date: w.taken for w in images if w.taken is not None}
    order = [replace(w, taken=w.taken or taken.get(w.date)) for w in order]
    return [*sorted(images, key=_in_time), *order, *of_changes, *values]


def _of_image(source: RasterSource) -> list[ShownRaster]:
    """A layer for each date of an image."""
    info = source.info
    taken = figures.taken_of(source.path, info)
    dated = figures.date_bands(info.names)
    several = len(dated) > 1 or any(":" in name for name in info.names)
    return [
        ShownRaster(
            source, tuple(info.numbers[k] for k in places), taken.get(name),
            name.lower() if several else _word_of_date(source.stem) or source.stem,
        )
        for name, places in dated.items()
    ]  # fmt: skip


def _of_class_map(source: RasterSource) -> ShownRaster:
    number = (source.info.numbers[0],)
    return ShownRaster(source, number, source.info.taken, _word_of_date(source.stem), "classes")


def _word_of_date(stem: str) -> str:
    """'before' or 'after' where a file's name says so."""
    words = _WORDS.findall(stem.lower())
    return next((word for word in ("before", "after") if word in words), "")


def _in_time(layer: ShownRaster) -> tuple[int, str]:
    """Sorts layers: before first, then by day, then those without a date, after last."""
    if layer.taken is not None:
        return 1, layer.taken.first.isoformat()
    return {"before": 0, "after": 3}.get(layer.date, 2), ""


def labels_of(layers: Sequence[ShownRaster]) -> tuple[list[str], dict[str, int]]:
    """The dates of a page in order of time, and the place of each layer's label among them.

    A map of 1999 belongs to the only image of that year.
    """
    dated = [w for w in layers if w.label and w.is_of_a_date]
    taken = {w.taken: w.label for w in dated if w.role == "" and w.taken is not None}
    own: dict[str, str] = {}
    for layer in sorted(dated, key=_in_time):
        within = {label for day, label in taken.items() if layer.taken and day.within(layer.taken)}
        own[layer.label] = within.pop() if layer.role and len(within) == 1 else layer.label
    labels = list(dict.fromkeys(own[w.label] for w in sorted(dated, key=_in_time)))
    return labels, {label: labels.index(name) for label, name in own.items()}


def _class_names(source: RasterSource) -> list[str]:
    try:
        return list(raster.legend_of(source.path).names.values())
    except LandshiftError:
        return []


def _is_change(names: Sequence[str]) -> bool:
    """Whether names are those of a change map's classes."""
    return any(is_no_change(n) or ends_of(n) != (None, None) for n in names)
