"""How programs show a composite: its bands as red, green and blue, and their stretch in QGIS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from landshift import images as imagery
from landshift import raster
from landshift.classes import legend_writers
from landshift.files.options import BandChoice
from landshift.images import Plan
from landshift.raster import colours
from landshift.raster.stretch import limits_of
from landshift.spec import split_name

LOOKED_AT = 512
"""Most rows and columns read to stretch a composite in QGIS: one block of its overviews."""


@dataclass(frozen=True)
class Display:
    """The bands by which programs show a composite.

    Attributes:
        count: Number of bands of each date.
        dates: Number of dates.
        shown: The bands shown, among those of a date.
        choice: The user's choice, or the one that the images keep, as the file keeps it; None: by
            the rule for colours.
        stated: Whether the choice, names, wavelengths or the images' files say which colours the
            bands are.
    """

    count: int
    dates: int
    shown: colours.Shown
    choice: str | None
    stated: bool

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the bands shown in QGIS, from 1: those of the last date."""
        first = (self.dates - 1) * self.count
        return tuple(first + k + 1 for k in self.shown.positions)

    def mark(self, file: Any) -> None:
        """State in an open new raster which bands of each date are red, green and blue.

        Bands of which nothing says so are left without a colour.
        """
        from rasterio.enums import ColorInterp

        if self.choice is not None:
            file.update_tags(**{colours.TAG: self.choice})
        if self.stated and len(self.shown.positions) == len(colours.TRUE_COLOUR):
            named = zip(self.shown.positions, colours.TRUE_COLOUR, strict=True)
            kinds = {place: ColorInterp[colour] for place, colour in named}
            of_date = [kinds.get(k, ColorInterp.undefined) for k in range(self.count)]
            file.colorinterp = of_date * self.dates

    def write_style(self, path: Path) -> Path:
        """Write the style in which QGIS opens the composite beside it.

        The stretch comes from the coarsest overviews, so that pixels aren't read again.
        """
        values, mask = raster.preview(path, LOOKED_AT, self.numbers)
        limits = limits_of(values[:, mask]) if mask.any() else [(0.0, 1.0)] * len(values)
        return legend_writers.write_bands_qml(path, self.numbers, limits)


def display_of(plans: Sequence[Plan], bands: Sequence[str], rgb: BandChoice) -> Display:
    """How a composite of these images is shown, by the rule for colours.

    Args:
        plans: The image of each date, its bands matched.
        bands: Names of the composite's bands, date after date.
        rgb: The user's choice; see `colours.choose`.

    Raises:
        ParameterError: Not one or three bands in ``rgb``.
        BandError: A band of ``rgb`` is missing.
    """
    count = len(plans[0].names)
    notes, kept = imagery.band_notes(plans[-1])
    named = [
        replace(note, name=split_name(name)[1])
        for note, name in zip(notes, bands[-count:], strict=True)
    ]
    shown = colours.choose_kept(named, rgb, kept)
    choice = kept if kept is not None and colours.fits(named, kept) else None
    choice = choice if rgb is None else ",".join(colours.parts(rgb))
    known = (colours.find(named, c) for c in (colours.TRUE_COLOUR, colours.FALSE_COLOUR))
    stated = choice is not None or any(colour is not None for colour in known)
    return Display(count, len(plans), shown, choice, stated)
