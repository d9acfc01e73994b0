"""Checks of a composite: how far its dates lie apart, and how their values compare."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import images as imagery
from landshift import raster
from landshift.errors import RasterError
from landshift.files import provenance
from landshift.grid import Window
from landshift.images import Plan, quality, registration, windows
from landshift.scores.comparability import not_comparable

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

log = logging.getLogger(__name__)

_SAMPLED = 4_000_000  # pixels above which radiometry looks at every fourth row and column
_SHIFT_BANDS = 4  # bands that shifts are measured on, at most

NOTHING_IN_COMMON = 0.1
"""Correlation of the dates, either way, below which one band among others that agree isn't light.

Bands of Landsat pairs without clouds have 0.15 to 0.75; quality bands and empty ones have none."""


def checks_of(path: Path | str) -> dict[str, Any]:
    """Read what was measured when a composite was made.

    Returns:
        ``dates`` and ``bands``: their names, in order. ``valid``: share of valid pixels of each
        date, and of ``all`` together. ``shifts``: of each later date against the first, as
        `registration.Shift`, or None where no block shows one. ``radiometry``: of each later date
        and band ``before`` and ``after`` (means), ``difference`` (mean), ``deviation`` (of the
        difference) and ``correlation``; without bands whose values are too large to be squared.

    Raises:
        RasterError: The file can't be read, or `composite` didn't write it.
    """
    with raster.open_raster(path) as source:
        checks = provenance.from_tags(source.tags()).get("checks")
    if not isinstance(checks, dict):
        raise RasterError(f"A composite must hold its checks, got none in {path}; make it again.")
    return checks


def describe(checks: dict[str, Any]) -> Iterator[str]:
    """The checks as lines to print."""
    yield f"valid pixels: {share_of_pixels(checks)}"
    for date in checks["dates"][1:]:
        shift = checks["shifts"][date]
        if shift is None:
            yield f"shift of {date}: unknown, no block shows a clear one"
        else:
            sure = "" if shift["sure"] else ", not sure"
            yield (
                f"shift of {date}: x {shift['columns']:+.2f}, y {shift['rows']:+.2f} pixels "
                f"(± {shift['spread']:.2f}; {shift['agreement']:.0%} of {shift['blocks']} blocks "
                f"agree{sure})"
            )
    for date in checks["dates"][1:]:
        for band in checks["bands"] if date in checks["radiometry"] else ():
            row = checks["radiometry"][date].get(band)
            if row is None:
                yield f"{date}:{band} values too large to be compared; state their nodata value"
                continue
            yield (
                f"{date}:{band} mean {row['after']:.6g}, difference {row['difference']:+.6g} "
                f"(± {row['deviation']:.6g}), correlation {row['correlation']:.3f}"
            )


def remarks(checks: dict[str, Any]) -> Iterator[str]:
    """Warnings about a composite's images, with the next thing to try."""
    findings = not_comparable(checks)
    yield from map(str, findings)
    if any(finding.kind == "unrelated" for finding in findings):
        return
    for date, bands in checks["radiometry"].items():
        alone = [n for n, r in bands.items() if abs(r["correlation"]) < NOTHING_IN_COMMON]
        if alone and len(bands) > len(alone):
            rows = ", ".join(f"{n} (correlation {bands[n]['correlation']:.2f})" for n in alone)
            yield (
                f"'{date}' has nothing in common with the first date in {rows}, unlike in the "
                "other bands: a quality band hides clouds with `mask_qa`, an empty one is left out "
                "with `select`."
            )


def warn_of_quality(plans: Sequence[Plan], dates: Sequence[str]) -> None:
    """Warn of quality bands that are stacked as if they were light.

    Args:
        plans: The image of each date.
        dates: Names of the dates.
    """
    rules: dict[str, list[str]] = {}
    for plan, date in zip(plans, dates, strict=True):
        paths = [group[0].path for group in plan.stack for _ in group[0].numbers]
        for band, path in zip(plan.names, paths, strict=True):
            rule = quality.usual_rule(band, Path(path).name)
            if rule is not None:
                rules.setdefault(rule, []).append(f"{date}:{band}")
    for rule, bands in rules.items():
        log.warning(
            "A quality band is stacked like a band of light (%s), and its codes would be learned "
            "from. `mask_qa` %s hides clouds by it and leaves it out.", ", ".join(bands), rule,
        )  # fmt: skip


BlockShifts = dict[tuple[int, Window], tuple[float, float] | None]
"""The shift of blocks, by later date and block; None where a block shows none."""


@dataclass(frozen=True)
class Measured:
    """What was measured in a window.

    Attributes:
        counts: Valid pixels of each date, and of all together.
        sums: Sums ``(later date, band, moment)`` for `_radiometry`.
        shifts: Shifts of the blocks that lie in the window.
    """

    counts: NDArray[np.int64]
    sums: NDArray[np.float64]
    shifts: BlockShifts


class CompositeChecks:
    """Shift, radiometry and valid share, measured in the windows that a composite is made of."""

    def __init__(
        self, plans: Sequence[Plan], dates: Sequence[str], bands: Sequence[str], box: GeoBox
    ) -> None:
        """Prepare to measure.

        Args:
            plans: The image of each date.
            dates: Names of the dates.
            bands: Names of the composite's bands, date after date.
            box: The composite's grid.
        """
        self._plans, self._dates, self._box = plans, dates, box
        self._count = len(plans[0].names)
        first = bands[: self._count]
        prefix = f"{dates[0]}:" if len(plans) > 1 else ""
        self._bands = [name.removeprefix(prefix) for name in first]
        self._step = 4 if box.height * box.width > _SAMPLED else 1
        several = len(plans) > 1
        self._blocks = registration.block_windows(box.height, box.width) if several else []
        some = np.linspace(0, self._count - 1, _SHIFT_BANDS).round().astype(int)
        self._shift_bands = np.unique(some)
        self._counts = np.zeros(len(plans) + 1, np.int64)
        self._sums = np.zeros((len(plans) - 1, self._count, 7))
        self._shifts: BlockShifts = {}

    def measure(
        self,
        window: Window,
        parts: Sequence[NDArray[Any]],
        masks: Sequence[NDArray[np.bool_]],
        valid: NDArray[np.bool_],
    ) -> Measured:
        """Measure a window; threads measure several at once.

        Args:
            window: Its place.
            parts: Values of each date, ``(band, row, column)``.
            masks: Valid pixels of each date.
            valid: Pixels that are valid on every date.
        """
        counts = np.array([np.count_nonzero(mask) for mask in (*masks, valid)], np.int64)
        sums = np.zeros_like(self._sums)
        if len(parts) > 1:
            every = (slice(None, None, self._step), slice(None, None, self._step))
            inside = valid[every]
            for band in range(self._count):
                first = parts[0][(band, *every)][inside].astype(np.float64)
                for k, part in enumerate(parts[1:]):
                    second = part[(band, *every)][inside].astype(np.float64)
                    sums[k, band] = _sums(first, second)
        return Measured(counts, sums, self._shifts_in(window, parts, masks))

    def add(self, measured: Measured) -> None:
        """Add what `measure` gave for a window; always in the order of the windows."""
        self._counts += measured.counts
        self._sums += measured.sums
        self._shifts |= measured.shifts

    def measure_rest(self) -> None:
        """Measure the shifts of blocks that lay in no window alone, as where windows are low."""
        rest = [block for block in self._blocks if (1, block) not in self._shifts]

        def shifts(readers: Sequence[imagery.ImageReader], window: Window) -> BlockShifts:
            values, masks = zip(*(r.read(window) for r in readers), strict=True)
            return self._shifts_in(window, values, masks)

        runs = [[block] for block in rest]
        with windows.results(self._plans, self._box, runs, "measuring shifts", shifts) as results:
            for _, of_block in results:
                self._shifts |= of_block

    def result(self) -> dict[str, Any]:
        """Shifts, shares and radiometry over all windows."""
        pixels = self._box.height * self._box.width
        shares = [float(f"{c / pixels:.6g}") for c in self._counts]
        return {
            "dates": list(self._dates),
            "bands": list(self._bands),
            "valid": dict(zip([*self._dates, "all"], shares, strict=True)),
            "radiometry": {
                date: {
                    band: _radiometry(row)
                    for band, row in zip(self._bands, rows, strict=True)
                    if np.isfinite(row).all()
                }
                for date, rows in zip(self._dates[1:], self._sums, strict=True)
                if rows[0][0] > 1
            },
            "shifts": {
                date: _shift_entry(
                    registration.combine([self._shifts[k, block] for block in self._blocks])
                )
                for k, date in enumerate(self._dates[1:], start=1)
            },
        }

    def _shifts_in(
        self,
        window: Window,
        parts: Sequence[NDArray[Any]],
        masks: Sequence[NDArray[np.bool_]],
    ) -> BlockShifts:
        """The shifts of the blocks that lie in a window."""
        shifts: BlockShifts = {}
        for block in self._blocks:
            if not window.holds(block):
                continue
            rows, columns = block.shifted(-window.row, -window.column).slices
            first, *later = (
                part[self._shift_bands, rows, columns].astype(np.float64) for part in parts
            )
            for k, second in enumerate(later, start=1):
                both = masks[0][rows, columns] & masks[k][rows, columns]
                shifts[k, block] = registration.block_shift(first, second, both)
        return shifts


def _shift_entry(shift: registration.Shift | None) -> dict[str, Any] | None:
    """A shift as the provenance holds it."""
    if shift is None:
        return None
    return {
        "columns": round(shift.columns, 3), "rows": round(shift.rows, 3),
        "spread": round(shift.spread, 3), "agreement": round(shift.agreement, 3),
        "blocks": shift.blocks, "tried": shift.tried, "sure": shift.sure, "large": shift.large,
    }  # fmt: skip


@np.errstate(over="ignore", invalid="ignore")  # a nodata of -1.8e308 that isn't declared
def _sums(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """What `_radiometry` needs of a band's values on two dates; not finite where they overflow."""
    apart = second - first
    products = ((first, first), (second, second), (first, second), (apart, apart))
    # einsum takes one core, and gives the same sum on any number of them
    squares = [np.einsum("p,p->", *pair) for pair in products]
    return np.array([first.size, first.sum(), second.sum(), *squares])


def _radiometry(sums: NDArray[np.float64]) -> dict[str, float]:
    count, first, second, first2, second2, both, apart2 = (float(s) for s in sums)
    mean1, mean2 = first / count, second / count
    var1 = max(first2 / count - mean1**2, 0.0)
    var2 = max(second2 / count - mean2**2, 0.0)
    covariance = both / count - mean1 * mean2
    spread = np.sqrt(var1 * var2)
    values = {
        "before": mean1, "after": mean2, "difference": mean2 - mean1,
        "deviation": np.sqrt(max(apart2 / count - (mean2 - mean1) ** 2, 0.0)),
        "correlation": covariance / spread if spread > 0 else 0.0,
    }  # fmt: skip
    return {k: float(f"{v:.6g}") for k, v in values.items()}


def share_of_pixels(checks: dict[str, Any]) -> str:
    """The valid share of each date and of all together, as text."""
    return ", ".join(f"{d} {checks['valid'][d]:.1%}" for d in [*checks["dates"], "all"])
