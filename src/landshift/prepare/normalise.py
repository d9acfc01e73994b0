"""An image brought to the radiometry of another: relative radiometric normalisation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from landshift import grid, images, raster
from landshift.errors import BandError, ParameterError
from landshift.files import options, provenance
from landshift.files.options import Bounds, Flag, OnBlock, OutFile, check_choice
from landshift.files.rows import Rows
from landshift.grid import Window

log = logging.getLogger(__name__)

Fit = Literal["moments", "invariant"]
"""How an image is brought to the reference: mean and standard deviation of each band become those
of the reference, or a line is fitted through the pixels that didn't change (IR-MAD)."""

METHODS: tuple[str, ...] = get_args(Fit)

_SAMPLE = 1_000_000
"""About how many pixels the search for unchanged ones looks at."""

_UNCHANGED = 0.9
"""Probability of no change above which a pixel counts as invariant."""

_ITERATIONS, _SETTLED = 100, 1e-4


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
    on_block: OnBlock = None,
) -> Normalisation:
    """Bring an image of one date to the radiometry of another.

    Networks that see many dates learn faster when season, haze and sensor differ less. Each band is
    changed by one line, value * gain + offset, over the whole image; the line comes from pixels
    that are valid in both images. 'moments' suits pairs where most of the ground stayed or the
    changes balance; 'invariant' finds unchanged pixels by the iteratively reweighted multivariate
    alteration detection of Nielsen (2007, doi 10.1109/TIP.2006.888195) and fits an orthogonal
    regression through them (Canty & Nielsen 2008, doi 10.1016/j.rse.2007.07.013).

    Args:
        image: The image to change.
        like: Reference whose radiometry it gets: bands of the same names, or as many; read on the
            image's grid.
        out: The image to write: the same grid, bands and pixel type; integers are rounded and
            kept within the type. Its scale and offset tags are the reference's, whose values it
            now holds, or the image's where the reference states none.
        method: moments: each band gets the reference's mean and standard deviation; invariant: a
            line through unchanged pixels.
        bounds: Ground to measure on: left bottom right top, in the image's CRS; left out: all.
        overwrite: Replace what is there already under the same name.

    Raises:
        ParameterError: An unknown method; the result would overwrite an input; no pixel is valid
            in both, or one band has one value only.
        BandError: The bands don't fit together.
        GridError: The reference lies elsewhere, or the bounds do.
        RasterError: A file can't be read.
        OutputError: The result can't be written.
    """
    image, like, out = Path(image), Path(like), Path(out)
    check_choice("method", method, Fit)
    raster.check_new(out, inputs=[image, like], overwrite=overwrite)
    info, reference_info = raster.info(image), raster.info(like)
    numbers = _reference_bands(info, reference_info)
    scaling = _scaling(info, reference_info, numbers)
    reference_plan = images.plan(images.Image((like,), bands=numbers))
    whole = Window(0, 0, info.height, info.width)
    area = whole if bounds is None else grid.window_of_bounds(info.grid, bounds)
    measured = [w.shifted(area.row, area.column) for w in raster.blocks(area.height, area.width)]
    windows = list(raster.blocks(info.height, info.width))
    steps = iter(range(1, len(measured) + len(windows) + 1))

    def step() -> None:
        if on_block is not None:
            on_block(next(steps), len(measured) + len(windows))

    with ExitStack() as stack:
        source = stack.enter_context(raster.open_raster(image))
        reference = stack.enter_context(images.opened(reference_plan, info.grid))

        def pairs() -> Pairs:
            for window in measured:
                yield _pair(source, reference, info, window)
                step()

        gains, offsets, pixels = _FITS[method](pairs(), area, str(image), str(like))
        record = provenance.record(
            "normalise", [image, like],
            {"method": method, "bounds": bounds, "gains": list(map(float, gains)),
             "offsets": list(map(float, offsets)), "pixels": pixels},
        )  # fmt: skip
        nodata = _output_nodata(info)
        target = stack.enter_context(
            raster.create(
                out, info.grid, count=len(gains), dtype=info.dtype, nodata=nodata,
                bands=info.names, tags=provenance.as_tag(record),
            )
        )  # fmt: skip
        if any(tags != (1, 0) for tags in scaling):
            target.scales, target.offsets = zip(*scaling, strict=True)
        for window in windows:
            values, mask = raster.read(source, window, info.numbers)
            raster.write(target, _changed(values, mask, gains, offsets, nodata), window)
            step()
    names = [n or f"band {k}" for k, n in enumerate(info.names, start=1)]
    lines = zip(names, gains, offsets, strict=True)
    return Normalisation(
        out, method, tuple(BandLine(n, float(g), float(o)) for n, g, o in lines), pixels
    )


def _pair(
    source: Any, reference: images.ImageReader, info: raster.RasterInfo, window: Window
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values of image and reference at the pixels of a window that are valid in both."""
    values, mask = raster.read(source, window, info.numbers)
    wanted, there = reference.read(window)
    both = mask & there
    both &= np.isfinite(values).all(axis=0) & np.isfinite(wanted).all(axis=0)
    return values[:, both].astype(np.float64), wanted[:, both].astype(np.float64)


Pairs = Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Values of image and reference at the same pixels, ``(band, pixel)`` each, window by window."""

Lines = tuple[NDArray[np.float64], NDArray[np.float64], int]
"""Gain and offset of each band, and the pixels behind them."""


def _moments(pairs: Pairs, area: Window, path: str, like: str) -> Lines:
    """Lines that give each band the reference's mean and standard deviation."""
    count, sums = 0, np.zeros(())
    for own, other in pairs:
        both = np.concatenate([own, other])
        count += both.shape[1]
        sums = sums + np.stack([both.sum(axis=1), (both**2).sum(axis=1)])
    _check_met(count, path, like)
    mean = sums[0] / count
    std = np.sqrt(np.maximum(sums[1] / count - mean**2, 0.0))
    (own_mean, other_mean), (own_std, other_std) = np.split(mean, 2), np.split(std, 2)
    _check_varied(own_std, path)
    gains = other_std / own_std
    return gains, other_mean - gains * own_mean, count


def _invariant(pairs: Pairs, area: Window, path: str, like: str) -> Lines:
    """Lines through the pixels that didn't change."""
    share = min(1.0, _SAMPLE / (area.height * area.width))
    random = np.random.default_rng(0)
    samples: list[list[NDArray[np.float64]]] = [[], []]
    for own, other in pairs:
        chosen = random.random(own.shape[1]) < share
        samples[0].append(own[:, chosen])
        samples[1].append(other[:, chosen])
    own, other = (np.concatenate(s, axis=1) for s in samples)
    _check_met(own.shape[1], path, like)
    _check_varied(own.std(axis=1), path)
    _check_varied(other.std(axis=1), like)
    unchanged = unchanged_probability(own, other) > _UNCHANGED
    kept = int(unchanged.sum())
    if kept < 10 * len(own):
        raise ParameterError(
            f"Invariant pixels must number at least {10 * len(own)}, got {kept} of "
            f"{own.shape[1]} between {path} and {like}; use `method` 'moments'."
        )
    own, other = own[:, unchanged], other[:, unchanged]
    gains = np.array([_orthogonal_slope(x, y) for x, y in zip(own, other, strict=True)])
    if not (gains > 0).all():
        raise ParameterError(
            f"Unchanged pixels must rise together in every band, got gains {gains.round(3)} "
            f"between {path} and {like}; use `method` 'moments'."
        )
    return gains, (other - gains[:, None] * own).mean(axis=1), kept


_FITS: dict[str, Callable[[Pairs, Window, str, str], Lines]] = {
    "moments": _moments,
    "invariant": _invariant,
}


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


def _reference_bands(image: raster.RasterInfo, like: raster.RasterInfo) -> tuple[int, ...]:
    """Numbers of the reference's bands that match the image's."""
    same = len(image.names) == len(like.names)
    if not same and raster.match_names(image.names, like.names) is None:
        raise BandError(
            f"The reference must have the image's bands, got {len(like.names)} in {like.path} for "
            f"{len(image.names)} in {image.path}; write the same bands of both first (composite)."
        )
    places = raster.in_step(
        image.names, like.names, what=f"{image.path} and {like.path}",
        instead="write the same bands of both first (composite)",
    )  # fmt: skip
    return tuple(like.numbers[k] for k in places)


def _scaling(
    image: raster.RasterInfo, like: raster.RasterInfo, numbers: tuple[int, ...]
) -> list[tuple[float, float]]:
    """Scale and offset of each band of the result: the reference's, else the image's."""
    own = [image.scaling[k - 1] for k in image.numbers]
    theirs = [like.scaling[k - 1] for k in numbers]
    if own == theirs or all(tags == (1, 0) for tags in theirs):
        return own
    if any(tags != (1, 0) for tags in own):
        log.warning(
            "%s and %s state different scales or offsets; the result has those of the latter, "
            "in whose units its values are.", image.path, like.path,
        )  # fmt: skip
    return theirs


def _check_met(count: int, path: str, like: str) -> None:
    if count < 2:
        raise ParameterError(
            f"Image and reference must share valid pixels, got {count} in {path} and {like}."
        )


def _check_varied(std: NDArray[np.float64], path: str) -> None:
    if not (std > 0).all():
        band = int(np.argmin(std)) + 1
        raise ParameterError(f"A band must hold different values, got one alone in band {band} of "
                             f"{path}; leave the band out.")  # fmt: skip


def _output_nodata(image: raster.RasterInfo) -> float | None:
    """The result's nodata value: the image's own, else one of its type, if it needs one."""
    if image.nodata is not None:
        return image.nodata
    if np.issubdtype(np.dtype(image.dtype), np.floating):
        return float("nan")
    return 0.0 if image.masked else None


def _changed(
    values: NDArray[Any],
    mask: NDArray[np.bool_],
    gains: NDArray[np.float64],
    offsets: NDArray[np.float64],
    nodata: float | None,
) -> NDArray[Any]:
    """Values on their lines, in their own type, nodata where they aren't valid."""
    changed = values * gains[:, None, None] + offsets[:, None, None]
    kind = values.dtype
    if np.issubdtype(kind, np.integer):
        limits = np.iinfo(kind)
        changed = np.clip(np.rint(changed), limits.min, limits.max)
        if nodata is not None:  # what is valid stays so
            beside = nodata + (1 if nodata < limits.max else -1)
            changed[changed == nodata] = beside
    if nodata is not None:
        changed[:, ~mask] = nodata
    return changed.astype(kind)
