"""Two class maps -> a change map coded by 'to class', and the table of transitions."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, ledger, provenance, raster
from landshift.classes import UNLABELLED, ChangeScheme, ClassScheme
from landshift.errors import ClassError


@dataclass(frozen=True)
class TransitionTable:
    """How much of each class became which.

    Attributes:
        scheme: The classes of the two maps.
        pixels: ``(from, to)`` counts; the diagonal is what stayed.
        hectares: ``(from, to)`` areas, or None where the raster has no CRS.
        nodata: Pixels without a class on either date.
    """

    scheme: ClassScheme
    pixels: NDArray[np.int64]
    hectares: NDArray[np.float64] | None
    nodata: int

    @property
    def changed(self) -> float:
        """Share of the classed pixels whose class differs between the dates."""
        total = self.pixels.sum()
        return float(1 - np.trace(self.pixels) / total) if total else 0.0

    def rows(self) -> list[dict[str, Any]]:
        """A row per transition that occurs: from, to, pixels, hectares, per cent."""
        total = int(self.pixels.sum())
        names = self.scheme.names
        found = []
        for i, j in zip(*np.nonzero(self.pixels), strict=True):
            found.append(
                {
                    "from": names[i],
                    "to": names[j],
                    "pixels": int(self.pixels[i, j]),
                    "hectares": "" if self.hectares is None else round(self.hectares[i, j], 4),
                    "percent": round(100 * int(self.pixels[i, j]) / total, 4),
                }
            )
        return found

    def write_csv(self, path: Path) -> Path:
        """Write `rows` as CSV."""
        with ledger.whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            fields = ["from", "to", "pixels", "hectares", "percent"]
            writer = csv.DictWriter(file, fields, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows())
        return path


def label(
    before: Path,
    after: Path,
    out: Path,
    *,
    scheme: ClassScheme | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    on_block: Callable[[int, int], None] | None = None,
) -> TransitionTable:
    """Compare two class maps: write a change map coded by 'to class', return the transitions.

    Args:
        before: Class map of the first date; integers, one band.
        after: Class map of the second date, on the same grid.
        out: The change map to write: the value of the later class where the class differs,
            the largest class value plus one where it doesn't, 0 where either map has no class.
        scheme: The classes of both maps; None: names and colours that the files carry, else
            the values found.
        bounds: Left, bottom, right, top in the maps' CRS; None for all.
        on_block: Called with blocks done and blocks in all.

    Raises:
        GridError: The maps' grids or CRS differ.
        DateError: Before is later than after, where the files tell.
        ClassError: A value outside the scheme; no integers.
        RasterError: A map can't be read.
        OutputError: The change map can't be written.
    """
    before, after, out = Path(before), Path(after), Path(out)
    first, second = raster.info(before), raster.info(after)
    grid.check_same(first.grid, second.grid, what="Class maps", names=("before", "after"))
    raster.check_order(first, second)
    for map_info in (first, second):
        _check_class_map(map_info)
    if scheme is None:
        scheme = _scheme_of_both(before, after)
    change = ChangeScheme(scheme)
    whole = grid.Window(0, 0, first.height, first.width)
    area = whole if bounds is None else grid.window_of_bounds(first.grid, bounds)
    box = grid.window_geobox(first.grid, area)
    row_hectares = None if box.crs is None else grid.row_hectares(box)
    n = len(scheme)
    pixels = np.zeros((n, n), np.int64)
    hectares = np.zeros((n, n))
    nodata = 0
    record = provenance.record("label", [before, after], {"bounds": bounds})
    windows = list(raster.blocks(area.height, area.width))
    with (
        raster.open_raster(before) as source_before,
        raster.open_raster(after) as source_after,
        raster.create(
            out, box, count=1, dtype="uint8", nodata=UNLABELLED, bands=["change"],
            tags=provenance.as_tag(record), scheme=change,
        ) as target,
    ):  # fmt: skip
        for done, window in enumerate(windows, start=1):
            at = window.shifted(area.row, area.column)
            classes_before = _read_classes(source_before, at)
            classes_after = _read_classes(source_after, at)
            i = scheme.to_indices(classes_before, where=str(before))
            j = scheme.to_indices(classes_after, where=str(after))
            classed = (i < n) & (j < n)
            nodata += int(classed.size - classed.sum())
            pair = np.where(classed, i.astype(np.int64) * n + j, n * n)
            pixels += np.bincount(pair.ravel(), minlength=n * n + 1)[: n * n].reshape(n, n)
            if row_hectares is not None:
                weights = np.repeat(row_hectares[window.slices[0]], window.width)
                sums = np.bincount(pair.ravel(), weights, n * n + 1)
                hectares += sums[: n * n].reshape(n, n)
            raster.write(target, change.code(classes_before, classes_after)[np.newaxis], window)
            if on_block is not None:
                on_block(done, len(windows))
    return TransitionTable(scheme, pixels, None if row_hectares is None else hectares, nodata)


def _check_class_map(info: raster.RasterInfo) -> None:
    if len(info.bands) != 1:
        raise ClassError(
            f"A class map must have one band, got {len(info.bands)} in {info.path}; "
            "extract the classes first (gdal_translate -b 1)."
        )


def _read_classes(source: Any, window: grid.Window) -> NDArray[Any]:
    """Class values of a window; 0 where there is none."""
    values, mask = raster.read(source, window)
    classes: NDArray[Any] = np.where(mask, values, 0)[0]
    if np.issubdtype(classes.dtype, np.floating):
        if (classes != np.round(classes)).any():
            raise ClassError(
                f"A class map must hold whole numbers, got fractions in {source.name}; "
                "give class maps, not images."
            )
        classes = classes.astype(np.int64)
    return classes


def _scheme_of_both(before: Path, after: Path) -> ClassScheme:
    """Classes that the files carry, widened by values that only the pixels tell."""
    known: dict[int, tuple[str, tuple[int, int, int]]] = {}
    for path in (after, before):
        for c in raster.scheme_of(path) or ():
            known[c.value] = (c.name, c.colour)
    values: set[int] = set()
    for path in (before, after):
        with raster.open_raster(path) as source:
            for window in raster.blocks(source.height, source.width):
                values.update(int(v) for v in np.unique(_read_classes(source, window)))
    values.discard(UNLABELLED)
    if not values:
        raise ClassError(f"Class maps must hold classes, got only nodata in {before} and {after}.")
    if min(values) < 0 or max(values) > 253:
        raise ClassError(
            f"Class values must lie in 1 to 253, got {min(values)} to {max(values)} in {before} "
            f"and {after}; recode the maps."
        )
    names = {v: known[v][0] if v in known else f"class {v}" for v in values | set(known)}
    return ClassScheme.from_mapping(names, {v: known[v][1] for v in known})
