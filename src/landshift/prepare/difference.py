"""Two images -> how much each pixel changed, continuous or in classes."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.classes import NO_CHANGE, ClassScheme, legend, legend_writers
from landshift.errors import BandError, ParameterError
from landshift.files import provenance
from landshift.grid import Window
from landshift.images import overlay

log = logging.getLogger(__name__)

METHODS = {
    "difference": "to - from, each band",
    "relative": "(to - from) / max(from, to), each band",
    "euclidean": "distance between the two spectra",
    "angle": "angle between the two spectra, radians",
    "band": "the band that changed most",
}
"""How two images are compared."""

OTSU = "otsu"

_SIGNED = ("difference", "relative")
_BINS = 4096
_BLOCK = 512
_MOST_VALUES = 4 << 20  # of one image in memory at once, as float64
_CHANGE_COLOURS = {1: (178, 24, 43), 2: (33, 102, 172)}


@dataclass(frozen=True)
class BandStatistics:
    """What a band of the result holds, over its valid pixels.

    Attributes:
        name: The band.
        minimum: Smallest value.
        maximum: Largest value.
        mean: Mean.
        std: Standard deviation.
    """

    name: str
    minimum: float
    maximum: float
    mean: float
    std: float


@dataclass(frozen=True)
class ClassArea:
    """How much of the ground a class of the result covers.

    Attributes:
        name: The class.
        pixels: Its pixels.
        hectares: Its area, or None without a CRS.
    """

    name: str
    pixels: int
    hectares: float | None


@dataclass(frozen=True)
class Difference:
    """What `compute_change` found.

    Attributes:
        method: How the images were compared.
        valid: Pixels that are valid on both dates and for which the method is defined.
        nodata: The other pixels.
        statistics: Of each band of the continuous result; empty for 'band'.
        threshold: Size of a difference from which it counts as change, or None.
        classes: The classes, or none where the result is continuous.
    """

    method: str
    valid: int
    nodata: int
    statistics: tuple[BandStatistics, ...]
    threshold: float | None
    classes: tuple[ClassArea, ...]


def compute_change(
    before: Path,
    after: Path,
    out: Path,
    *,
    method: str = "difference",
    bands: Sequence[str | int] | None = None,
    threshold: float | str | None = None,
    breaks: Sequence[float] = (),
    resampling: str | None = None,
    nodata: float | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    dates: Sequence[str] | None = None,
    overwrite: bool = False,
    on_block: Callable[[int, int], None] | None = None,
) -> Difference:
    """Compare two images pixel by pixel, as Esri's Compute Change Raster does.

    - 'difference': to - from, a band for each band.
    - 'relative': (to - from) / max(from, to); 0 where both are 0, nodata where only the larger is.
    - 'euclidean': the length of the difference of the two spectra.
    - 'angle': the angle between the two spectra in radians, 0 to pi (Kruse et al. 1993, Remote
      Sensing of Environment 44, doi 10.1016/0034-4257(93)90013-N); nodata where one is all 0.
    - 'band': the place among the bands, from 1, of the one whose value changed most (the first
      of several), as classes; one more for 'No change', where no band changed.

    Continuous results are float32 with NaN as nodata; classes are uint8 with 0, and have an
    attribute table and a style beside them.

    Args:
        before: Image of the first date.
        after: Image of the second date.
        out: The raster to write.
        method: See above.
        bands: Bands to compare, by name or number from 1; None for all.
        threshold: Divide a single-band result by its size into classes: a number, or 'otsu' for
            the threshold that parts the sizes best (see `otsu`). A signed result gets 'decrease',
            'increase' and 'No change', another one 'Change' and 'No change'; a pixel whose size
            is the threshold has changed.
        breaks: Divide a single-band result by its value at these, ascending, instead; a pixel on
            a break belongs to the class above it.
        resampling: How ``after`` is read where its grid isn't that of ``before``: 'nearest',
            'bilinear', 'cubic' or 'average'; None: the grids must be one.
        nodata: A value that means 'no data' in any band, beside what the files say.
        bounds: Left, bottom, right, top in the CRS of ``before``; None for all.
        dates: When ``before`` and ``after`` were taken: YYYY, YYYY-MM, YYYY-MM-DD or FROM/TO, or
            '-' as the file states; None: as the files state, in tags or names.
        overwrite: Whether what is there already is replaced.
        on_block: Called with blocks done and blocks in all.

    Raises:
        BandError: The images' bands differ, or one asked for is missing.
        ParameterError: An option out of its range, or two that contradict each other; no
            pixels whose sizes differ for Otsu's threshold.
        GridError: The grids differ and ``resampling`` is None.
        DateError: Before is later than after, where the files tell.
        RasterError: An image can't be read.
        OutputError: The result can't be written.
    """
    before, after, out = Path(before), Path(after), Path(out)
    raster.check_new(out, inputs=[before, after], overwrite=overwrite)
    _check_options(method, threshold, breaks)
    first, second = raster.infos_in_order(before, after, dates)
    numbers, answering, names = _pick_bands(first, second, bands)
    numbers_of = (numbers, answering)
    _warn_of_scaling((first, second), numbers_of, names)
    single = method not in _SIGNED or len(numbers) == 1
    if not single and (threshold is not None or len(breaks)):
        raise ParameterError(
            f"Classes need a result of one band, got {len(numbers)} with the method {method!r}; "
            "choose one band, or the method 'euclidean'."
        )
    whole = Window(0, 0, first.height, first.width)
    area = whole if bounds is None else grid.window_of_bounds(first.grid, bounds)
    box = grid.window_geobox(first.grid, area)
    ground = grid.known_ground(box)
    size = max(16, min(_BLOCK, math.isqrt(_MOST_VALUES // len(numbers))))
    windows = list(raster.blocks(area.height, area.width, size))
    passes = 3 if threshold == OTSU else 1
    record = provenance.record(
        "difference",
        [before, after],
        {
            "method": method, "bands": list(names), "threshold": threshold,
            "breaks": list(breaks), "resampling": resampling, "nodata": nodata, "bounds": bounds,
            "dates": None if dates is None else list(dates),
        },
    )  # fmt: skip
    with ExitStack() as stack:
        layers = [
            stack.enter_context(
                overlay.on_grid(
                    path, first.grid, resampling=resampling, bands=chosen, nodata=nodata,
                    what="Images", allowed=overlay.IMAGE_RESAMPLINGS,
                )
            )
            for path, chosen in zip((before, after), numbers_of, strict=True)
        ]  # fmt: skip
        done = 0

        def result(window: Window) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
            nonlocal done
            at = window.shifted(area.row, area.column)
            (a, valid_a), (b, valid_b) = (layer.read(at) for layer in layers)
            found = _compare(a.astype(np.float64), b.astype(np.float64), valid_a & valid_b, method)
            done += 1
            if on_block is not None:
                on_block(done, passes * len(windows))
            return found

        limit = None
        if threshold == OTSU:
            limit = _streamed_otsu(windows, result)
        elif threshold is not None:
            limit = float(threshold)
        scheme = _scheme(method, names, limit, breaks)
        tallies = [_Tally(n) for n in (names if method in _SIGNED else [method])]
        counts = np.zeros(256, np.int64)
        hectares = np.zeros(256)
        valid_pixels = 0
        target = stack.enter_context(
            raster.create(
                out, box,
                count=1 if scheme is not None else len(tallies),
                dtype="float32" if scheme is None else "uint8",
                nodata=float("nan") if scheme is None else 0,
                bands=[t.name for t in tallies] if scheme is None else ["change"],
                tags=provenance.as_tag(record), scheme=scheme,
            )
        )  # fmt: skip
        for window in windows:
            values, valid = result(window)
            valid_pixels += int(valid.sum())
            if method != "band":
                for tally, band in zip(tallies, values, strict=True):
                    tally.add(band[valid])
            if scheme is None:
                written: NDArray[Any] = np.where(valid, values, np.nan).astype(np.float32)
            else:
                codes = _classify(values[0], method, limit, breaks)
                codes[~valid] = 0
                counts += np.bincount(codes.ravel(), minlength=256)
                if ground is not None:
                    weights = ground.hectares(window).ravel()
                    hectares += np.bincount(codes.ravel(), weights, 256)
                written = codes[np.newaxis]
            raster.write(target, written, window)
    classes: tuple[ClassArea, ...] = ()
    if scheme is not None:
        classes = tuple(
            ClassArea(
                c.name, int(counts[c.value]),
                None if ground is None else float(hectares[c.value]),
            )
            for c in scheme
        )  # fmt: skip
        columns = [legend.AttributeColumn("Count", [c.pixels for c in classes])]
        if ground is not None:
            columns.append(
                legend.AttributeColumn("Hectares", [round(c.hectares or 0.0, 6) for c in classes])
            )
        legend_writers.write_attributes(out, scheme, columns)
    return Difference(
        method=method,
        valid=valid_pixels,
        nodata=area.height * area.width - valid_pixels,
        statistics=() if method == "band" else tuple(t.statistics() for t in tallies),
        threshold=limit,
        classes=classes,
    )


def otsu(counts: NDArray[Any], sums: NDArray[Any], edges: NDArray[Any]) -> float:
    """The threshold that parts a histogram into the two classes farthest apart.

    It maximises the variance between the classes, n0 n1 (m1 - m0)^2 with their sizes n and means m
    (Otsu 1979, IEEE Transactions on Systems, Man, and Cybernetics 9(1), doi
    10.1109/TSMC.1979.4310076, eq. 14). Where several edges do equally well, because nothing lies
    between them, it is the middle of the first and the last.

    Args:
        counts: Number of values in each bin.
        sums: Sum of the values in each bin, so that the means are exact.
        edges: Edges of the bins, one more than bins; a value on an edge is in the bin above.

    Returns:
        The threshold; values from it on are in the upper class.
    """
    below = np.cumsum(counts)[:-1].astype(np.float64)
    above = counts.sum() - below
    sum_below = np.cumsum(sums)[:-1]
    sum_above = sums.sum() - sum_below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sum_above / above - sum_below / below) ** 2
    between[(below == 0) | (above == 0)] = -1.0
    best = np.flatnonzero(below == below[np.argmax(between)])  # the same split, empty bins between
    return float((edges[best[0] + 1] + edges[best[-1] + 1]) / 2)


class _Tally:
    """Count, mean, variance and range of values that come in parts.

    Chan, Golub & LeVeque (1983), The American Statistician 37(3), doi
    10.1080/00031305.1983.10483115, eq. 1.3.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._n = 0
        self._mean = self._squares = 0.0
        self._least, self._most = float("inf"), float("-inf")

    def add(self, values: NDArray[np.float64]) -> None:
        if not values.size:
            return
        mean = float(values.mean())
        squares = float(((values - mean) ** 2).sum())
        n, shift = self._n + values.size, mean - self._mean
        self._squares += squares + shift**2 * self._n * values.size / n
        self._mean += shift * values.size / n
        self._n = n
        self._least = min(self._least, float(values.min()))
        self._most = max(self._most, float(values.max()))

    def statistics(self) -> BandStatistics:
        if not self._n:
            nan = float("nan")
            return BandStatistics(self.name, nan, nan, nan, nan)
        std = (self._squares / self._n) ** 0.5
        return BandStatistics(self.name, self._least, self._most, self._mean, std)


def _compare(
    a: NDArray[np.float64], b: NDArray[np.float64], valid: NDArray[np.bool_], method: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The result ``(band, row, column)``, and where it is defined; 0 elsewhere."""
    a, b = np.where(valid, a, 0.0), np.where(valid, b, 0.0)
    if method == "difference":
        return b - a, valid
    if method == "relative":
        most = np.maximum(a, b)
        defined = valid & ((most != 0) | (a == b)).all(axis=0)
        return np.where(most == 0, 0.0, (b - a) / np.where(most == 0, 1.0, most)), defined
    if method == "euclidean":
        return np.sqrt(((b - a) ** 2).sum(axis=0, keepdims=True)), valid
    if method == "angle":
        long_a = np.sqrt((a**2).sum(axis=0))
        long_b = np.sqrt((b**2).sum(axis=0))
        defined = valid & (long_a > 0) & (long_b > 0)
        a = a / np.where(long_a > 0, long_a, 1.0)
        b = b / np.where(long_b > 0, long_b, 1.0)
        # of unit vectors; the arc cosine of their product is coarse where they are close
        apart = np.sqrt(((a - b) ** 2).sum(axis=0))
        together = np.sqrt(((a + b) ** 2).sum(axis=0))
        return (2 * np.arctan2(apart, together))[np.newaxis], defined
    sizes = np.abs(b - a)
    place = np.where(sizes.max(axis=0) > 0, sizes.argmax(axis=0) + 1, len(sizes) + 1)
    return place[np.newaxis].astype(np.float64), valid


def _classify(
    values: NDArray[np.float64], method: str, limit: float | None, breaks: Sequence[float]
) -> NDArray[np.uint8]:
    """Codes of a result of one band, as `_scheme` names them."""
    if method == "band":
        codes: NDArray[Any] = values
    elif limit is None:
        codes = np.searchsorted(np.asarray(breaks), values, side="right") + 1
    elif method in _SIGNED:
        codes = np.where(np.abs(values) < limit, 3, np.where(values < 0, 1, 2))
    else:
        codes = np.where(values < limit, 2, 1)
    return codes.astype(np.uint8)


def _scheme(
    method: str, names: Sequence[str], limit: float | None, breaks: Sequence[float]
) -> ClassScheme | None:
    """The classes of the result, or None where it is continuous."""
    if method == "band":
        if len(names) > 253:
            raise BandError(f"The method 'band' tells at most 253 bands apart, got {len(names)}.")
        return ClassScheme.from_mapping(dict(enumerate([*names, NO_CHANGE], start=1)))
    if limit is not None and method in _SIGNED:
        return ClassScheme.from_mapping(
            {1: "decrease", 2: "increase", 3: NO_CHANGE}, _CHANGE_COLOURS
        )
    if limit is not None:
        return ClassScheme.from_mapping({1: "Change", 2: NO_CHANGE}, {1: _CHANGE_COLOURS[1]})
    if len(breaks):
        inner = [f"{a:g} to {b:g}" for a, b in pairwise(breaks)]
        named = [f"below {breaks[0]:g}", *inner, f"{breaks[-1]:g} and above"]
        return ClassScheme.from_mapping(dict(enumerate(named, start=1)))
    return None


def _streamed_otsu(
    windows: Sequence[Window],
    result: Callable[[Window], tuple[NDArray[np.float64], NDArray[np.bool_]]],
) -> float:
    """Otsu's threshold of the sizes of a result of one band: one pass for the range, one to bin."""
    least, most = float("inf"), float("-inf")
    for window in windows:
        values, valid = result(window)
        if valid.any():
            sizes = np.abs(values[0][valid])
            least, most = min(least, float(sizes.min())), max(most, float(sizes.max()))
    if not least < most:
        raise ParameterError(
            "Otsu's threshold needs pixels whose changes differ in size, got "
            + ("no valid pixel" if least > most else f"{least:g} everywhere")
            + "; give the threshold as a number."
        )
    counts = np.zeros(_BINS, np.int64)
    sums = np.zeros(_BINS)
    for window in windows:
        values, valid = result(window)
        sizes = np.abs(values[0][valid])
        at = np.minimum(((sizes - least) / (most - least) * _BINS).astype(np.int64), _BINS - 1)
        counts += np.bincount(at, minlength=_BINS)
        sums += np.bincount(at, sizes, _BINS)
    return otsu(counts, sums, np.linspace(least, most, _BINS + 1))


def _check_options(method: str, threshold: float | str | None, breaks: Sequence[float]) -> None:
    if method not in METHODS:
        raise ParameterError(f"method must be one of {', '.join(METHODS)}, got {method!r}.")
    if threshold is not None and len(breaks):
        raise ParameterError("Classes come from a threshold or from breaks, got both; choose one.")
    if method == "band" and (threshold is not None or len(breaks)):
        raise ParameterError(
            "The method 'band' makes classes by itself, got a threshold or breaks; leave them out."
        )
    if isinstance(threshold, str):
        if threshold != OTSU:
            raise ParameterError(f"threshold must be a number or 'otsu', got {threshold!r}.")
    elif threshold is not None and not 0 < threshold < float("inf"):
        raise ParameterError(f"threshold must be above 0, got {threshold}.")
    if len(breaks) and not (
        np.isfinite(breaks).all() and (np.diff(breaks) > 0).all() and len(breaks) <= 253
    ):
        raise ParameterError(
            f"breaks must be at most 253 numbers in ascending order, got {list(breaks)}."
        )


def _pick_bands(
    first: raster.RasterInfo, second: raster.RasterInfo, bands: Sequence[str | int] | None
) -> tuple[list[int], list[int], list[str]]:
    """Numbers of the bands in both images, and their names.

    Bands that carry names are matched by name, others by number.
    """
    have = [name or f"band {k}" for k, name in enumerate(first.bands, start=1)]
    if bands is None:
        if len(first.numbers) != len(second.numbers):
            raise BandError(
                f"Images must have the same bands, got {len(first.numbers)} in {first.path} and "
                f"{len(second.numbers)} in {second.path}; choose some."
            )
        places = raster.in_step(
            first.names, second.names, what=f"{first.path} and {second.path}",
            instead="choose them by name (--band)",
        )  # fmt: skip
        return (
            list(first.numbers), [second.numbers[k] for k in places],
            [have[k - 1] for k in first.numbers],
        )  # fmt: skip
    numbers = []
    by_name = []
    for band in bands:
        text = str(band)
        place = raster.match_names([text], have)
        if place is not None:
            numbers.append(place[0] + 1)
        elif text.isdecimal() and 1 <= int(text) <= min(len(have), len(second.bands)):
            numbers.append(int(text))
        else:
            raise BandError(
                f"A band must be one of {', '.join(have)} or a number from 1 to "
                f"{min(len(have), len(second.bands))}, got {text!r}."
            )
        by_name.append(place is not None)
    if not numbers:
        raise BandError("Images are compared over at least one band, got none.")
    answering = [
        _answering(second, number, first.bands[number - 1], named=named)
        for number, named in zip(numbers, by_name, strict=True)
    ]
    return numbers, answering, [have[k - 1] for k in numbers]


def _answering(second: raster.RasterInfo, number: int, name: str, *, named: bool) -> int:
    """Number of the second image's band that answers to one of the first's."""
    place = raster.match_names([name], second.bands)
    if place is not None:
        return place[0] + 1
    if number > len(second.bands) or (named and name and all(second.names)):
        have = ", ".join(n or f"band {k}" for k, n in enumerate(second.bands, start=1))
        raise BandError(
            f"The second image must have the band {name or number}, got {have} in {second.path}; "
            "choose another, or a number."
        )
    return number


def _warn_of_scaling(
    images: Sequence[raster.RasterInfo], numbers: Sequence[Sequence[int]], names: Sequence[str]
) -> None:
    """Warn where the same band of the two images states another scale or offset."""
    tags = [
        [info.scaling[k - 1] for k in chosen] for info, chosen in zip(images, numbers, strict=True)
    ]
    differ = [name for name, *pair in zip(names, *tags, strict=True) if pair[0] != pair[1]]
    if differ:
        log.warning(
            "The images state different scales or offsets in %s, and are compared as stored: what "
            "didn't change will look like change; apply them first (landshift composite --scaled, "
            "one date at a time).", ", ".join(differ),
        )  # fmt: skip
