"""Title of a report; place, dates and size of its map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from landshift import grid, raster
from landshift.errors import GridError
from landshift.files import dates
from landshift.grid import Window
from landshift.pages.report.counts import MapCounts
from landshift.pages.report.files import ReportFiles
from landshift.pages.report.job import Product
from landshift.show import figures


def title(files: ReportFiles, products: Sequence[Product], counted: MapCounts) -> str:
    """Title of a map's report: the map's name, and its dates where they are known."""
    assert files.map is not None, "jobs without a map have another title"
    kind = "Change map" if counted.is_change else "Class map"
    before, after = _dates(files, products)
    when = f", {before} to {after}" if before and after and before != after else ""
    return f"{kind} {files.map.name}{when}"


def lead(path: Path, counted: MapCounts) -> str:
    """Place, extent and pixels of a map, in words."""
    box = raster.info(path).grid
    size = f"{box.width:,} x {box.height:,} pixels"
    try:
        middle, ground = grid.bearing(box), grid.ground(box)
    except GridError:
        return f"{size}; the file's CRS gives neither place nor areas ({grid.describe(box)})."
    pixel = Window(box.height // 2, box.width // 2, 1, 1)
    lower, right = (float(side[0, 0]) for side in ground.sides(pixel))
    amount = counted.hectares or 0.0
    return (
        f"{size} of {_metres(lower)} x {_metres(right)} m around {_place(middle)}; "
        f"{amount:,.0f} hectares have a class."
    )


def _metres(side: float) -> str:
    """A length with three digits, such as 89.9, 30 or 1,110."""
    return f"{side:,.0f}" if side >= 100 else f"{side:.3g}"


def _place(middle: grid.Bearing) -> str:
    longitude = (middle.longitude + 180) % 360 - 180
    north = f"{abs(middle.latitude):.3f}° {'N' if middle.latitude >= 0 else 'S'}"
    return f"{north}, {abs(longitude):.3f}° {'E' if longitude >= 0 else 'W'}"


def _dates(files: ReportFiles, products: Sequence[Product]) -> tuple[str, str]:
    """When the first and the last image were taken; '' where it isn't known.

    By the images that are shown, else by the names of the class maps that were compared.
    """
    taken = (_of_image(files.before, 0), _of_image(files.after, -1))
    if all(taken):
        return taken
    compared = [p.inputs for p in products if p.stage == "label" and len(p.inputs) > 1]
    for inputs in compared[:1]:
        periods = [dates.of_name(Path(name).stem) for name, _ in (inputs[0], inputs[-1])]
        known = ["" if period is None else str(period) for period in periods]
        return taken[0] or known[0], taken[1] or known[1]
    return taken


def _of_image(path: Path | None, place: int) -> str:
    """The date of an image, or of the first or last image in a composite."""
    if path is None:
        return ""
    taken = list(figures.taken_of(path, raster.info(path)).values())
    return str(taken[place]) if taken else ""
