"""Two images -> how much each pixel changed, continuous or in classes."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.classes import NO_CHANGE, ClassScheme, legend, legend_writers
from landshift.errors import BandError, ParameterError
from landshift.files import options, provenance
from landshift.files.options import GROUP, Bounds, Dates, Flag, OutFile, check_choice
from landshift.files.rows import Rows
from landshift.grid import Window
from landshift.images import overlay
from landshift.raster import blockwise
from landshift.raster.blockwise import Block

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

log = logging.getLogger(__name__)

Method = Literal["difference", "relative", "euclidean", "angle", "band"]
"""How two images are compared."""

OTSU = "otsu"

_SIGNED = ("difference", "relative")
_BINS = 4096
_BLOCK = 512
_MOST_VALUES = 4 << 20  # of one image in memory at once, as float64
_MOST_CLASSES = 253
_NAN = np.float32(np.nan)
_CHANGE_COLOURS = {1: (178, 24, 43), 2: (33, 102, 172)}

if TYPE_CHECKING:
    Bands = Sequence[str | int]
else:  # as the command line gives them
    Bands = Sequence[str]
    """Bands by name or by number from 1."""

Values = tuple[NDArray[Any], NDArray[np.bool_]]
"""Values ``(band, row, column)`` of a window and the mask ``(row, column)``, True where valid."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class PairReading:
    """Which bands and ground of two images are compared, and how the images are read."""

    bands: Annotated[Bands | None, Parameter(name="--band")] = None
    """A band to compare, by name or by number from 1; repeat for more; left out: all."""
    resampling: overlay.ImageResampling | None = None
    """How the second image is read where its grid isn't the first's; left out: the grids must be
    one."""
    nodata: float | None = None
    """A value that means 'no data' in any band, beside the files' own."""
    bounds: Bounds | None = None
    """Left bottom right top, in the CRS of the first image; left out: all."""


@dataclass(frozen=True)
class ChangeClasses:
    """How a result of one band is divided into classes; by default it isn't."""

    threshold: float | str | None = None
    """Make classes: a size from which it is change, or otsu for the threshold that separates the
    sizes best. A signed result gets 'decrease', 'increase' and 'No change', another one 'Change'
    and 'No change'."""
    breaks: Sequence[float] = ()
    """Make classes: divide at this value; repeat in ascending order. A pixel on a break belongs to
    the class above it."""

    def __post_init__(self) -> None:
        if self.threshold is not None and len(self.breaks):
            raise ParameterError(
                "Classes must come from `threshold` or from `breaks`, got both; choose one."
            )
        if isinstance(self.threshold, str):
            if self.threshold != OTSU:
                raise ParameterError(
                    f"`threshold` must be a number or 'otsu', got {self.threshold!r}."
                )
        elif self.threshold is not None and not 0 < self.threshold < float("inf"):
            raise ParameterError(f"`threshold` must be above 0, got {self.threshold}.")
        if len(self.breaks) and not (
            np.isfinite(self.breaks).all()
            and (np.diff(self.breaks) > 0).all()
            and len(self.breaks) <= _MOST_CLASSES
        ):
            raise ParameterError(
                f"`breaks` must be at most {_MOST_CLASSES} numbers in ascending order, got "
                f"{list(self.breaks)}."
            )

    @property
    def wanted(self) -> bool:
        """Whether the result is divided."""
        return self.threshold is not None or bool(len(self.breaks))


@dataclass(frozen=True)
class ValueStatistics:
    """Statistics of a band of the result over its valid pixels.

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
    """The ground that a class of the result covers.

    Attributes:
        name: The class.
        pixels: Its pixels.
        hectares: Its area, or None without a CRS.
    """

    name: str
    pixels: int
    hectares: float | None


@dataclass(frozen=True, repr=False)
class Difference(Rows):
    """What `difference` measured; a row per class, or per band where the result is continuous.

    Attributes:
        path: The raster written.
        method: How the images were compared.
        valid: Pixels that are valid on both dates and for which the method is defined.
        nodata: The other pixels.
        statistics: Of each band of the continuous result; empty for 'band'.
        threshold: Size of a difference from which it counts as change, or None.
        classes: The classes, or none where the result is continuous.
    """

    path: Path
    method: str
    valid: int
    nodata: int
    statistics: tuple[ValueStatistics, ...]
    threshold: float | None
    classes: tuple[ClassArea, ...]

    def rows(self) -> list[dict[str, Any]]:
        """A row per class, or per band."""
        if not self.classes:
            statistics = map(asdict, self.statistics)
            return [{"band": figures.pop("name"), **figures} for figures in statistics]
        return [{"class": c.name, "pixels": c.pixels, "hectares": c.hectares} for c in self.classes]


def difference(
    before: options.FilePath,
    after: options.FilePath,
    out: OutFile,
    *,
    method: Method = "difference",
    reading: Annotated[PairReading, GROUP] = PairReading(),
    classes: Annotated[ChangeClasses, GROUP] = ChangeClasses(),
    dates: Dates = None,
    overwrite: Flag = False,
) -> Difference:
    """Compare two images pixel by pixel: how much changed, continuous or in classes.

    The methods are those of Esri's Compute Change Raster.

    difference: to - from, a band for each band.

    relative: (to - from) / max(from, to); 0 where both are 0, nodata where only the larger is.

    euclidean: the length of the difference of the two spectra.

    angle: the angle between the two spectra in radians, 0 to pi (Kruse et al. 1993, Remote Sensing
    of Environment 44, doi 10.1016/0034-4257(93)90013-N); nodata where one is all 0.

    band: the place among the bands, from 1, of the one whose value changed most (the first of
    several), as classes; one more for 'No change', where no band changed.

    Continuous results are float32 with NaN as nodata; classes are uint8 with 0, and have an
    attribute table and a style beside them.

    Args:
        before: Image of the first date.
        after: Image of the second date.
        out: The raster to write.
        method: How the images are compared.
        dates: When the two images were taken, as in 1990 2000-07-15; '-' as the file states; left
            out: as they state, in tags or names.
        overwrite: Replace what is there already under the same name.

    Raises:
        BandError: The images' bands differ, or a band of `bands` is missing.
        ParameterError: An option out of its range, or two that contradict each other; no
            pixels whose sizes differ for Otsu's threshold.
        GridError: The grids differ and `resampling` is None.
        DateError: Before is later than after, where the files state it.
        RasterError: An image can't be read.
        OutputError: The result can't be written.
    """
    before, after, out = Path(before), Path(after), Path(out)
    raster.check_new(out, inputs=[before, after], overwrite=overwrite)
    check_choice("method", method, Method)
    first, second = raster.infos_in_order(before, after, dates)
    numbers, matching, names = _pick_bands(first, second, reading.bands)
    _warn_of_scaling((first, second), (numbers, matching), names)
    _check_divisible(method, classes, len(numbers))
    area = grid.area_of(first.grid, reading.bounds)
    images = ((before, numbers), (after, matching))
    compared = _ImageComparison(images, first.grid, reading, area, method)
    record = provenance.record(
        "difference", [before, after],
        {"method": method, "threshold": classes.threshold, "breaks": list(classes.breaks),
         **asdict(reading), "bands": list(names), "dates": dates},
    )  # fmt: skip
    limit = compared.otsu() if classes.threshold == OTSU else classes.threshold
    limit = None if limit is None else float(limit)
    scheme = _scheme(method, names, limit, classes.breaks)
    result = _Result(
        grid.window_geobox(first.grid, area), method, names if method in _SIGNED else [method],
        limit, tuple(classes.breaks), scheme,
    )  # fmt: skip
    with (
        result.create(out, provenance.as_tag(record)) as target,
        compared.results("writing", result.part) as parts,
    ):
        for block, part in parts:
            result.add(part)
            raster.write(target, part.values, block.window)
    if scheme is not None:
        legend_writers.write_attributes(out, scheme, result.columns())
    return Difference(
        path=out,
        method=method,
        valid=result.valid,
        nodata=area.height * area.width - result.valid,
        statistics=result.statistics(),
        threshold=limit,
        classes=result.classes(),
    )


def _check_divisible(method: str, classes: ChangeClasses, bands: int) -> None:
    if method == "band" and classes.wanted:
        raise ParameterError(
            "The method 'band' makes classes by itself, got `threshold` or `breaks`; leave them "
            "out."
        )
    if classes.wanted and method in _SIGNED and bands > 1:
        raise ParameterError(
            f"Classes need a result of one band, got {bands} with the method {method!r}; choose "
            "one band (`bands`), or `method` 'euclidean'."
        )


@dataclass(frozen=True)
class _ImageComparison:
    """Two images compared by a method, window by window.

    Attributes:
        images: Path and band numbers of each.
        box: The grid of the first.
        reading: How they are read.
        area: The part of the grid that is compared; windows are relative to it.
        method: How they are compared.
    """

    images: Sequence[tuple[Path, Sequence[int]]]
    box: GeoBox
    reading: PairReading
    area: Window
    method: str

    @contextmanager
    def results(
        self, what: str, job: Callable[[Window, Values], Result]
    ) -> Iterator[Iterator[tuple[Block, Result]]]:
        """Do a job with the result of the method in each window; see `blockwise.results`."""
        most = math.isqrt(_MOST_VALUES // len(self.images[0][1]))
        size = max(16, min(_BLOCK, most))
        windows = list(raster.blocks(self.area.height, self.area.width, size))

        def compared(layers: Sequence[overlay.OverlayLayer], block: Block) -> Result:
            at = block.window.shifted(self.area.row, self.area.column)
            (a, valid_a), (b, valid_b) = (layer.read(at) for layer in layers)
            return job(block.window, _compare(a, b, valid_a & valid_b, self.method))

        with blockwise.results(windows, what, self._opened, compared) as results:
            yield results

    @contextmanager
    def _opened(self) -> Iterator[list[overlay.OverlayLayer]]:
        with ExitStack() as stack:
            yield [
                stack.enter_context(
                    overlay.on_grid(
                        path, self.box, resampling=self.reading.resampling, bands=bands,
                        nodata=self.reading.nodata, what="Images",
                        allowed=overlay.IMAGE_RESAMPLINGS,
                    )
                )
                for path, bands in self.images
            ]  # fmt: skip

    def otsu(self) -> float:
        """Otsu's threshold of the sizes of a result of one band.

        Raises:
            ParameterError: The sizes don't differ, or no pixel is valid.
        """
        least, most = float("inf"), float("-inf")
        with self.results("finding the range", lambda _, values: _range(_sizes(values))) as ranges:
            for _, (low, high) in ranges:
                least, most = min(least, low), max(most, high)
        if not least < most:
            raise ParameterError(
                "Otsu's threshold needs pixels whose changes differ in size, got "
                + ("no valid pixel" if least > most else f"{least:g} everywhere")
                + "; give `threshold` as a number."
            )

        def histogram(_: Window, values: Values) -> tuple[NDArray[Any], NDArray[Any]]:
            sizes = _sizes(values)
            places = sizes - least
            places /= most - least
            places *= _BINS
            at = places.astype(np.intp)
            np.minimum(at, _BINS - 1, out=at)
            return np.bincount(at, minlength=_BINS), np.bincount(at, sizes, _BINS)

        counts, sums = np.zeros(_BINS, np.int64), np.zeros(_BINS)
        with self.results("counting sizes", histogram) as histograms:
            for _, (more, more_sums) in histograms:
                counts += more
                sums += more_sums
        return otsu(counts, sums, np.linspace(least, most, _BINS + 1))


@dataclass(frozen=True)
class _Part:
    """The raster of a result in a window, and figures of it.

    Attributes:
        values: ``(band, row, column)`` as the raster holds them.
        valid: Valid pixels.
        tallies: Figures of each band; none where the bands are places.
        pixels: Pixels of each code; None where the result is continuous.
        hectares: Area of each code, where it is known.
    """

    values: NDArray[Any]
    valid: int
    tallies: tuple[_Tally, ...]
    pixels: NDArray[np.int64] | None = None
    hectares: NDArray[np.float64] | None = None


class _Result:
    """The raster of a result, and the figures gathered while it is written."""

    def __init__(
        self,
        box: GeoBox,
        method: str,
        bands: Sequence[str],
        limit: float | None,
        breaks: Sequence[float],
        scheme: ClassScheme | None,
    ) -> None:
        """Begin a result.

        Args:
            box: Its grid.
            method: How the images are compared.
            bands: Names of the method's bands.
            limit: Size from which a difference is change, or None.
            breaks: Values that divide the result into classes.
            scheme: Its classes; None where it is continuous.
        """
        self._box, self._method, self._bands = box, method, bands
        self._limit, self._breaks, self._scheme = limit, breaks, scheme
        self._ground = grid.known_ground(box)
        self._measured = bands if method != "band" else ()  # places aren't sizes
        self._tallies = [_Tally()] * len(self._measured)
        self.valid = 0
        self._counts = np.zeros(256, np.int64)
        self._hectares = np.zeros(256)

    def create(self, out: Path, tags: dict[str, str]) -> Any:
        """The raster, open to be written."""
        if self._scheme is None:
            bands = self._bands
            kind: dict[str, Any] = {"count": len(bands), "dtype": "float32", "nodata": float("nan")}
        else:
            bands = ["change"]
            kind = {"count": 1, "dtype": "uint8", "nodata": 0}
        return raster.create(out, self._box, bands=bands, tags=tags, scheme=self._scheme, **kind)

    def part(self, window: Window, compared: Values) -> _Part:
        """A window's part of the raster; changes nothing here."""
        values, valid = compared
        pixels = int(np.count_nonzero(valid))
        whole = pixels == valid.size
        tallies = tuple(
            _Tally.of(band.ravel() if whole else band[valid])
            for band in values[: len(self._measured)]
        )
        if self._scheme is None:
            with np.errstate(over="ignore"):  # infinite where float32 doesn't hold them
                held = values.astype(np.float32)
            return _Part(held if whole else np.where(valid, held, _NAN), pixels, tallies)
        codes = _classify(values[0], self._method, self._limit, self._breaks)
        if not whole:
            codes[~valid] = 0
        if self._ground is None:
            return _Part(codes[np.newaxis], pixels, tallies, grid.counts(codes, 256))
        return _Part(codes[np.newaxis], pixels, tallies, *self._ground.tally(window, codes, 256))

    def add(self, part: _Part) -> None:
        """Count a part; in the order of the windows, so that the sums are always the same."""
        self.valid += part.valid
        self._tallies = [a.joined(b) for a, b in zip(self._tallies, part.tallies, strict=True)]
        if part.pixels is not None:
            self._counts += part.pixels
        if part.hectares is not None:
            self._hectares += part.hectares

    def statistics(self) -> tuple[ValueStatistics, ...]:
        """Statistics of each band, of all parts; none where the bands are places."""
        return tuple(
            tally.statistics(name)
            for name, tally in zip(self._measured, self._tallies, strict=True)
        )

    def classes(self) -> tuple[ClassArea, ...]:
        """Pixels and area of each class."""
        return tuple(
            ClassArea(
                c.name, int(self._counts[c.value]),
                None if self._ground is None else float(self._hectares[c.value]),
            )
            for c in self._scheme or ()
        )  # fmt: skip

    def columns(self) -> list[legend.AttributeColumn]:
        """The columns of the attribute table."""
        classes = self.classes()
        columns = [legend.AttributeColumn("Count", [c.pixels for c in classes])]
        if self._ground is not None:
            hectares = [round(c.hectares or 0.0, 6) for c in classes]
            columns.append(legend.AttributeColumn("Hectares", hectares))
        return columns


def otsu(counts: NDArray[Any], sums: NDArray[Any], edges: NDArray[Any]) -> float:
    """The threshold that divides a histogram into the two classes farthest apart.

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


@dataclass(frozen=True)
class _Tally:
    """Count, mean, variance and range of values that come in parts.

    Chan, Golub & LeVeque (1983), The American Statistician 37(3), doi
    10.1080/00031305.1983.10483115, eq. 1.3.

    Attributes:
        count: Number of values.
        mean: Their mean.
        squares: Sum of their squared deviations from it.
        least: The smallest.
        most: The largest.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    least: float = float("inf")
    most: float = float("-inf")

    @classmethod
    def of(cls, values: NDArray[Any]) -> _Tally:
        """The tally of some values, in one dimension."""
        if not values.size:
            return cls()
        with np.errstate(over="ignore", invalid="ignore"):  # a nodata of -1.8e308, undeclared
            mean = values.mean()
            apart = values - mean
            squares = np.square(apart, out=apart).sum()
        return cls(
            values.size, float(mean), float(squares), float(values.min()), float(values.max())
        )

    def joined(self, other: _Tally) -> _Tally:
        """The tally of both."""
        if not other.count:
            return self
        count = self.count + other.count
        with np.errstate(over="ignore", invalid="ignore"):
            shift = np.float64(other.mean) - self.mean
            squares = other.squares + shift**2 * self.count * other.count / count
            return _Tally(
                count,
                float(self.mean + shift * other.count / count),
                float(self.squares + squares),
                min(self.least, other.least),
                max(self.most, other.most),
            )

    def statistics(self, name: str) -> ValueStatistics:
        """Statistics of all values of a band; NaN where there is none."""
        if not self.count:
            nan = float("nan")
            return ValueStatistics(name, nan, nan, nan, nan)
        std = (self.squares / self.count) ** 0.5
        return ValueStatistics(name, self.least, self.most, self.mean, std)


def _sizes(compared: Values) -> NDArray[Any]:
    """Sizes of the valid values of a result of one band."""
    values, valid = compared
    sizes: NDArray[Any] = np.abs(values[0] if valid.all() else values[0][valid])
    return sizes.ravel()


def _range(sizes: NDArray[Any]) -> tuple[float, float]:
    if not sizes.size:
        return float("inf"), float("-inf")
    return float(sizes.min()), float(sizes.max())


def _compare(a: NDArray[Any], b: NDArray[Any], valid: NDArray[np.bool_], method: str) -> Values:
    """The result ``(band, row, column)``, and where it is defined; elsewhere it means nothing.

    Integers of up to two bytes are subtracted as such, which is exact, others as float64.
    """
    small = all(x.dtype.kind in "iu" and x.dtype.itemsize <= 2 for x in (a, b))
    if not small:
        a, b = (np.where(valid, x.astype(np.float64), 0.0) for x in (a, b))
    if method == "angle":
        return _angle(a.astype(np.float64), b.astype(np.float64), valid)
    apart = np.subtract(b, a, dtype=np.int32 if small else np.float64)
    if method == "difference":
        return apart, valid
    if method == "relative":
        most = np.maximum(a, b)
        defined = valid & ((most != 0) | (a == b)).all(axis=0)
        return np.where(most == 0, 0.0, apart / np.where(most == 0, 1, most)), defined
    if method == "euclidean":
        return _length(apart)[np.newaxis], valid
    sizes = np.abs(apart)
    place = np.where(sizes.max(axis=0) > 0, sizes.argmax(axis=0) + 1, len(sizes) + 1)
    return place[np.newaxis], valid


def _length(apart: NDArray[Any]) -> NDArray[np.float64]:
    """Length of the vector of bands of each pixel; band by band, which stays in the CPU cache."""
    squares = np.zeros(apart.shape[1:])
    for band in apart:
        wide = band.astype(np.float64)
        squares += np.square(wide, out=wide)
    return np.sqrt(squares, out=squares)


def _angle(a: NDArray[np.float64], b: NDArray[np.float64], valid: NDArray[np.bool_]) -> Values:
    """The angle between two spectra, and where it is defined."""
    long_a = np.sqrt((a**2).sum(axis=0))
    long_b = np.sqrt((b**2).sum(axis=0))
    defined = valid & (long_a > 0) & (long_b > 0)
    a = a / np.where(long_a > 0, long_a, 1.0)
    b = b / np.where(long_b > 0, long_b, 1.0)
    # of unit vectors; the arc cosine of their product is coarse where they are close
    apart = np.sqrt(((a - b) ** 2).sum(axis=0))
    together = np.sqrt(((a + b) ** 2).sum(axis=0))
    return (2 * np.arctan2(apart, together))[np.newaxis], defined


def _classify(
    values: NDArray[Any], method: str, limit: float | None, breaks: Sequence[float]
) -> NDArray[np.uint8]:
    """Codes of a result of one band, as `_scheme` names them."""
    if method == "band":
        return values.astype(np.uint8)
    if limit is None:
        return (np.searchsorted(np.asarray(breaks), values, side="right") + 1).astype(np.uint8)
    one, two, three = np.arange(1, 4, dtype=np.uint8)
    if method in _SIGNED:
        return np.where(np.abs(values) < limit, three, np.where(values < 0, one, two))
    return np.where(values < limit, two, one)


def _scheme(
    method: str, names: Sequence[str], limit: float | None, breaks: Sequence[float]
) -> ClassScheme | None:
    """The classes of the result, or None where it is continuous."""
    if method == "band":
        if len(names) > _MOST_CLASSES:
            raise BandError(
                f"The method 'band' compares at most {_MOST_CLASSES} bands, got {len(names)}."
            )
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


def _pick_bands(
    first: raster.RasterInfo, second: raster.RasterInfo, bands: Sequence[str | int] | None
) -> tuple[list[int], list[int], list[str]]:
    """Numbers of the bands in both images, and their names.

    Bands that carry names are matched by name, others by number.
    """
    have = [name or f"band {k}" for k, name in enumerate(first.bands, start=1)]
    if bands is None:
        numbers, matching = _all_bands(first, second)
        return numbers, matching, [have[k - 1] for k in numbers]
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
    matching = [
        _matching(second, number, first.bands[number - 1], named=named)
        for number, named in zip(numbers, by_name, strict=True)
    ]
    return numbers, matching, [have[k - 1] for k in numbers]


def _all_bands(first: raster.RasterInfo, second: raster.RasterInfo) -> tuple[list[int], list[int]]:
    """Numbers of all bands in both images."""
    if len(first.numbers) != len(second.numbers):
        raise BandError(
            f"Images must have the same bands, got {len(first.numbers)} in {first.path} and "
            f"{len(second.numbers)} in {second.path}; choose some (`bands`)."
        )
    places = raster.in_step(
        first.names, second.names, what=f"{first.path} and {second.path}",
        instead="choose them by name (`bands`)",
    )  # fmt: skip
    return list(first.numbers), [second.numbers[k] for k in places]


def _matching(second: raster.RasterInfo, number: int, name: str, *, named: bool) -> int:
    """Number of the second image's band that matches one of the first's."""
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
            "The images state different scales or offsets in %s, and are compared as stored: "
            "unchanged ground will look like change; apply them first (composite with `scaled`, "
            "one date at a time).", ", ".join(differ),
        )  # fmt: skip
