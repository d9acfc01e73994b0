"""Notes on an image's bands from its files: names, wavelengths, colours, a choice that is kept."""

from __future__ import annotations

from dataclasses import replace

from landshift import raster
from landshift.images.planning import Plan
from landshift.raster import colours


def band_notes(plan: Plan) -> tuple[list[colours.BandNotes], str | None]:
    """Notes on each band of an image, and the choice of bands that its file keeps.

    A choice counts where all bands come from one file, so that its numbers mean the same.

    Raises:
        RasterError: A file can't be read.
    """
    notes: list[colours.BandNotes] = []
    kept = None
    for group in plan.stack:
        layer = group[0]
        with raster.open_raster(layer.path) as source:
            stated = colours.notes_of(source)
            if len(plan.stack) == 1 and layer.numbers == layer.info.numbers:
                kept = colours.kept_choice(source)
        notes += [stated[number - 1] for number in layer.numbers]
    named = zip(notes, plan.names, strict=True)
    return [replace(note, name=name) for note, name in named], kept
