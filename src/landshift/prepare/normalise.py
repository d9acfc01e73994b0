"""An image brought to the radiometry of another image, or of those that a model learned from."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.errors import ParameterError
from landshift.files import options, provenance
from landshift.files.dates import DATES_TAG
from landshift.files.options import Bounds, Flag, OutFile, check_choice
from landshift.files.rows import Rows
from landshift.grid import Window
from landshift.prepare.moments import (
    BandLines,
    BandMoments,
    Reader,
    Sums,
    lines_between,
    measured,
    moments,
    sums_of,
)
from landshift.prepare.references import (
    ModelReference,
    RasterReference,
    Reference,
    parts_of,
    reference_of,
)
from landshift.raster import blockwise, validity
from landshift.raster.blockwise import Block

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

log = logging.getLogger(__name__)

Fit = Literal["moments", "statistics", "invariant"]
"""How an image is brought to the reference: mean and standard deviation of each band become those
of the reference, on shared ground or each image by itself, or a line is fitted through the pixels
that didn't change (IR-MAD)."""

_SAMPLE = 1_000_000
"""About how many pixels the search for unchanged ones looks at."""

_UNCHANGED = 0.9
"""Probability of no change above which a pixel counts as invariant."""

_ITERATIONS, _SETTLED = 100, 1e-4
_BLOCK = 512  # rows and columns that are changed at once, in float64
Result = TypeVar("Result")


@dataclass(frozen=True)
class BandLine:
    """How a band was changed: value * gain + offset.

    Attributes:
        name: The band.
        gain: Factor.
        offset: Summand, in the reference's units.
    """

    name: str
    gain: float
    offset: float


@dataclass(frozen=True, repr=False)
class Normalisation(Rows):
    """How `normalise` changed an image; a row per band.

    Attributes:
        path: The image written.
        method: How the lines were fitted.
        lines: How each band was changed.
        pixels: Pixels that the lines rest on.
    """

    path: Path
    method: str
    lines: tuple[BandLine, ...]
    pixels: int

    def rows(self) -> list[dict[str, Any]]:
        """A row per band: its gain and offset."""
        return [{"band": n.name, "gain": n.gain, "offset": n.offset} for n in self.lines]


def normalise(
    image: options.FilePath,
    like: Annotated[options.FilePath, Parameter(name="--like")],
    out: OutFile,
    *,
    method: Fit = "moments",
    bounds: Bounds | None = None,
    overwrite: Flag = False,
) -> Normalisation:
    """Bring an image to the radiometry of another, or of the images that a model learned from.

    Networks that see many dates learn faster when season, haze and sensor differ less. Each band is
    changed by one line, value * gain + offset, over the whole image.

    'moments' and 'statistics' give each band the reference's mean and standard deviation. 'moments'
    measures both on the ground that the images share: it suits pairs where most of the ground
    stayed or the changes balance. 'statistics' measures each image by itself, so that they may lie
    apart (mean-standard deviation normalisation: Yuan & Elvidge 1996, doi
    10.1016/0924-2716(96)00018-4): it suits images of the same kind of land alone, since it takes
    more forest or more water for another light, too. 'invariant' finds unchanged pixels by the
    iteratively reweighted multivariate alteration detection of Nielsen (2007, doi
    10.1109/TIP.2006.888195) and fits an orthogonal regression through them (Canty & Nielsen 2008,
    doi 10.1016/j.rse.2007.07.013).

    Args:
        image: The image to change. Where the reference is a model, a composite of the model's
            bands.
        like: Reference whose radiometry it gets: a raster with bands of the same names, or as
            many, on any grid; or a saved model (.dlpk, .emd, folder or hf://owner/repo), whose
            package keeps mean and standard deviation of each band of its training tiles.
        out: The image to write: the same grid, bands and pixel type, or one that holds the
            reference's too; integers are rounded and kept within the type. Its scale and offset
            tags are the reference's, whose values it now holds, or the image's where the
            reference states none.
        method: moments: each band gets the reference's mean and standard deviation, measured on
            the ground that both share; statistics: the same, each image over all its pixels,
            wherever they lie; invariant: a line through unchanged pixels. Of a model, moments and
            statistics mean the same: those of its training tiles.
        bounds: Ground to measure the image on: left bottom right top, in its CRS; left out: all.
        overwrite: Replace what is there already under the same name.

    Raises:
        ParameterError: An unknown method, or one that needs common ground where the reference is a
            model; the result would overwrite an input; no pixel is valid where it is measured, or
            one band has one value only.
        BandError: The bands don't fit together.
        GridError: The reference lies elsewhere, or the bounds do.
        RasterError: A file can't be read.
        ModelError: A saved model can't be read.
        OutputError: The result can't be written.
    """
    image, out = Path(image), Path(out)
    check_choice("method", method, Fit)
    reference = reference_of(like)
    if method == "invariant" and isinstance(reference, ModelReference):
        raise ParameterError(
            f"`method` 'invariant' needs an image of the same ground, got the model {like}; use "
            "'statistics'."
        )
    raster.check_new(out, inputs=[image, reference.path], overwrite=overwrite)
    info = raster.info(image)
    numbers = reference.match(info)
    scaling = _scaling(info, numbers, reference)
    area = grid.area_of(info.grid, bounds)
    source = _Source(image, numbers)
    lines = _lines(source, reference, info, area, method)
    record = provenance.record(
        "normalise", [image, reference.path],
        {"method": method, "bounds": bounds, **lines.as_dict()},
    )  # fmt: skip
    dtype = np.result_type(info.dtype, reference.dtype)
    nodata = _output_nodata(info, dtype)

    def on_lines(read: Reader, block: Block) -> NDArray[Any]:
        return _changed(*read(block.window), lines, dtype, nodata)

    windows = list(raster.blocks(info.height, info.width, _BLOCK))
    with (
        raster.create(
            out, info.grid, count=len(numbers), dtype=str(dtype), nodata=nodata,
            bands=[info.bands[k - 1] for k in numbers],
            tags={**provenance.as_tag(record), **_dates(info)},
        ) as target,
        blockwise.results(windows, "writing", source.opened, on_lines) as results,
    ):  # fmt: skip
        if any(tags != (1, 0) for tags in scaling):
            target.file.scales, target.file.offsets = zip(*scaling, strict=True)
        for block, values in results:
            raster.write(target, values, block.window)
    names = [info.bands[k - 1] or f"band {place}" for place, k in enumerate(numbers, start=1)]
    named = zip(names, lines.gains, lines.offsets, strict=True)
    return Normalisation(out, method, tuple(BandLine(*each) for each in named), lines.pixels)


@dataclass(frozen=True)
class _Source:
    """The image.

    Attributes:
        path: Its path.
        numbers: Bands that are read.
    """

    path: Path
    numbers: tuple[int, ...]

    @contextmanager
    def opened(self) -> Iterator[Reader]:
        """The image, open to be read; for one thread."""
        with raster.open_raster(self.path) as source:
            alpha = validity.alpha_of(source) not in self.numbers
            yield partial(raster.read, source, bands=self.numbers, alpha=alpha)


def _dates(info: raster.RasterInfo) -> dict[str, str]:
    """The tags of the image's dates, which its new name may not state."""
    taken = {} if info.taken is None else {"ACQUISITION_DATE": str(info.taken)}
    with raster.open_raster(info.path) as source:
        stacked = source.tags().get(DATES_TAG)
    return taken if stacked is None else {**taken, DATES_TAG: stacked}


def _lines(
    source: _Source,
    reference: Reference,
    info: raster.RasterInfo,
    area: Window,
    method: Fit,
) -> BandLines:
    """The line of each band, from the pixels of a part."""
    if isinstance(reference, ModelReference) or method == "statistics":
        own = measured(parts_of(area), "measuring", source.opened)
        own.check_varied(str(source.path))
        return lines_between(own, reference.moments())
    return _FITS[method](_SharedGround(source, reference, info.grid, area))


Pair = tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]
"""Values of image and reference in a window, and the mask, True where both are valid."""


@dataclass(frozen=True)
class _SharedGround:
    """The ground where image and reference are both valid.

    Attributes:
        source: The image.
        reference: The reference.
        box: The image's grid.
        area: The part of it that is measured.
    """

    source: _Source
    reference: RasterReference
    box: GeoBox
    area: Window

    @property
    def where(self) -> str:
        """Image and reference, for messages."""
        return f"{self.source.path} and {self.reference.path}"

    @contextmanager
    def results(self, job: Callable[[Pair], Result]) -> Iterator[Iterator[Result]]:
        """Do a job with the pixels of each window, on all cores; results in order."""

        def measure(readers: tuple[Reader, Reader], block: Block) -> Result:
            (own, mask), (other, there) = (read(block.window) for read in readers)
            both = mask & there
            both &= np.isfinite(own).all(axis=0) & np.isfinite(other).all(axis=0)
            return job((own, other, both))

        windows = parts_of(self.area)
        with blockwise.results(windows, "measuring", self._opened, measure) as results:
            yield (result for _, result in results)

    @contextmanager
    def _opened(self) -> Iterator[tuple[Reader, Reader]]:
        with self.source.opened() as own, self.reference.opened(self.box) as other:
            yield own, other

    def check_met(self, pixels: int) -> None:
        """Check that they share pixels.

        Raises:
            ParameterError: They don't.
        """
        if pixels < 2:
            raise ParameterError(
                f"Image and reference must share valid pixels, got {pixels} in {self.where}; "
                "where they lie apart, use `method` 'statistics'."
            )


def _moments(ground: _SharedGround) -> BandLines:
    """Lines that give each band the reference's mean and standard deviation, on shared ground."""

    def sums(pair: Pair) -> Sums:
        own, other = (sums_of(values, pair[2]) for values in pair[:2])
        return Sums(own.pixels, np.concatenate([own.values, other.values], axis=1))

    with ground.results(sums) as parts:
        both = moments(parts)
    ground.check_met(both.pixels)
    (own_mean, wanted_mean), (own_std, wanted_std) = np.split(both.mean, 2), np.split(both.std, 2)
    own = BandMoments(own_mean, own_std, both.pixels)
    own.check_varied(str(ground.source.path))
    return lines_between(own, BandMoments(wanted_mean, wanted_std, both.pixels))


def _invariant(ground: _SharedGround) -> BandLines:
    """Lines through the pixels that didn't change."""
    share = min(1.0, _SAMPLE / (ground.area.height * ground.area.width))
    random = np.random.default_rng(0)
    samples = []
    with ground.results(lambda pair: [values[:, pair[2]] for values in pair[:2]]) as pairs:
        for pair in pairs:
            chosen = random.random(pair[0].shape[1]) < share
            samples.append([values[:, chosen].astype(np.float64) for values in pair])
    own, other = (np.concatenate(s, axis=1) for s in zip(*samples, strict=True))
    ground.check_met(own.shape[1])
    every = np.ones(own.shape[1], np.bool_)
    moments([sums_of(own, every)]).check_varied(str(ground.source.path))
    moments([sums_of(other, every)]).check_varied(str(ground.reference.path))
    unchanged = unchanged_probability(own, other) > _UNCHANGED
    kept = int(unchanged.sum())
    if kept < 10 * len(own):
        raise ParameterError(
            f"Invariant pixels must number at least {10 * len(own)}, got {kept} of "
            f"{own.shape[1]} between {ground.where}; use `method` 'moments'."
        )
    own, other = own[:, unchanged], other[:, unchanged]
    gains = np.array([_orthogonal_slope(x, y) for x, y in zip(own, other, strict=True)])
    if not (gains > 0).all():
        raise ParameterError(
            f"Unchanged pixels must rise together in every band, got gains {gains.round(3)} "
            f"between {ground.where}; use `method` 'moments'."
        )
    offsets = (other - gains[:, None] * own).mean(axis=1)
    return BandLines(tuple(map(float, gains)), tuple(map(float, offsets)), kept)


_FITS = {"moments": _moments, "invariant": _invariant}


@dataclass(frozen=True)
class Alteration:
    """Differences between two dates, scaled so that unchanged pixels differ least.

    Attributes:
        centre: Mean of the unchanged pixels, the bands of one date and then those of the other.
        weights: ``(variate, band)`` over the same bands. Applied to a pixel less the centre, they
            give differences of standard deviation 1 where nothing changed.
    """

    centre: NDArray[np.float64]
    weights: NDArray[np.float64]

    def statistic(
        self, own: NDArray[np.float64], other: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Sum of the squared differences, chi-squared where nothing changed: ``(pixel,)``.

        Args:
            own: Values of one date, ``(band, pixel)``.
            other: Values of the other date at the same pixels.
        """
        variates = self.weights @ (np.concatenate([own, other]) - self.centre[:, None])
        return np.asarray((variates**2).sum(axis=0))


def unchanged_probability(
    own: NDArray[np.float64], other: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How likely each pixel is to have stayed: the upper tail of `alteration`'s statistic.

    Args:
        own: Values of one date, ``(band, pixel)``.
        other: Values of the other date at the same pixels.

    Returns:
        ``(pixel,)``, 0 to 1.
    """
    from scipy.stats import chi2

    statistic = alteration(own, other).statistic(own, other)
    return np.asarray(chi2.sf(statistic, len(own)), np.float64)


def alteration(own: NDArray[np.float64], other: NDArray[np.float64]) -> Alteration:
    """Iteratively reweighted MAD of two dates (Nielsen 2007, doi 10.1109/TIP.2006.888195).

    The two images' canonical variates are subtracted pair by pair; where nothing changed, the sum
    of the squared, standardised differences follows chi-squared with as many degrees of freedom as
    there are bands. Its upper tail is each pixel's weight in the next round.

    Args:
        own: Values of one date, ``(band, pixel)``.
        other: Values of the other date at the same pixels.
    """
    from scipy.linalg import eigh
    from scipy.stats import chi2

    bands = len(own)
    both = np.concatenate([own, other])
    weights = np.ones(both.shape[1])
    before = np.zeros(bands)
    for _ in range(_ITERATIONS):
        centre = both @ weights / weights.sum()
        centred = both - centre[:, None]
        cov = (centred * weights) @ centred.T / weights.sum()
        cov += 1e-9 * np.diag(np.diag(cov))  # bands that copy one another
        xx, yy, xy = cov[:bands, :bands], cov[bands:, bands:], cov[:bands, bands:]
        squares, a = eigh(xy @ np.linalg.solve(yy, xy.T), xx)
        correlation = np.sqrt(np.clip(squares, 1e-12, 1 - 1e-9))
        b = np.linalg.solve(yy, xy.T @ a) / correlation
        spread = np.sqrt(2 * (1 - correlation))[:, None]
        result = Alteration(centre, np.concatenate([a.T, -b.T], axis=1) / spread)
        weights = chi2.sf(result.statistic(own, other), bands)
        if np.abs(correlation - before).max() < _SETTLED or not weights.sum() > bands:
            break
        before = correlation
    return result


def _orthogonal_slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Slope of the orthogonal regression of y on x (Canty & Nielsen 2008, eq. 11)."""
    xx, yy = x.var(), y.var()
    xy = ((x - x.mean()) * (y - y.mean())).mean()
    return float((yy - xx + np.hypot(yy - xx, 2 * xy)) / (2 * xy)) if xy else 0.0


def _scaling(
    image: raster.RasterInfo, numbers: tuple[int, ...], reference: Reference
) -> list[tuple[float, float]]:
    """Scale and offset of each band of the result: the reference's, else the image's."""
    own = [image.scaling[k - 1] for k in numbers]
    theirs = reference.scaling
    if own == theirs or all(tags == (1, 0) for tags in theirs):
        return own
    if any(tags != (1, 0) for tags in own):
        log.warning(
            "%s and %s state different scales or offsets; the result has those of the latter, "
            "in whose units its values are.", image.path, reference.path,
        )  # fmt: skip
    return theirs


def _output_nodata(image: raster.RasterInfo, dtype: np.dtype[Any]) -> float | None:
    """The result's nodata value: the image's own, else one of its type, if it needs one."""
    if image.nodata is not None:
        return image.nodata
    if np.issubdtype(dtype, np.floating):
        return float("nan")
    return 0.0 if image.masked else None


def _changed(
    values: NDArray[Any],
    mask: NDArray[np.bool_],
    lines: BandLines,
    dtype: np.dtype[Any],
    nodata: float | None,
) -> NDArray[Any]:
    """Values on their lines, in the result's type, nodata where they aren't valid."""
    changed = lines.applied(values, np.float64)
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        changed = np.clip(np.rint(changed), limits.min, limits.max)
        if nodata is not None:  # what is valid stays so
            beside = nodata + (1 if nodata < limits.max else -1)
            changed[changed == nodata] = beside
    if nodata is not None and not mask.all():
        changed[:, ~mask] = nodata
    return changed.astype(dtype)
