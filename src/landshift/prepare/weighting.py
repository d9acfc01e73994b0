"""Weights of labels: how likely the class maps are right, pixel by pixel."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from landshift import raster
from landshift.errors import ClassError, ParameterError, RasterError
from landshift.files import texts
from landshift.grid import Window
from landshift.images import overlay
from landshift.prepare.map_reading import NONE
from landshift.raster.recoding import ANY, Coded

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    SureLike = Sequence[float | str | Path | Mapping[str, float]]
else:  # as typed on the command line
    SureLike = Sequence[str]
    """A number, a CSV of class and accuracy, or a raster of probabilities, for each map."""


@dataclass(frozen=True)
class Weighting:
    """How much each label counts in training: by how sure the class maps are."""

    weights: Path | None = None
    """Write each label's weight here, 0 to 1: a float32 raster for `tiles`. It is the probability
    that both of the label's classes are right."""
    sure_before: Annotated[SureLike, Parameter(show_default=False)] = ()
    """How sure the first map is of its classes: its accuracy, 0 to 1; a CSV class,accuracy, '*'
    for the others; or a raster of the probability of each pixel's class, 0 to 1, or whole numbers
    in per cent. Once for all maps of the date, or for each: before, then those of
    `agree_before`."""
    sure_after: Annotated[SureLike, Parameter(show_default=False)] = ()
    """The same for the second map, and those of `agree_after`."""

    def __post_init__(self) -> None:
        stated = (len(self.sure_before) > 0, len(self.sure_after) > 0)
        if stated != ((self.weights is not None),) * 2:
            raise ParameterError(
                "Weights need a file (`weights`) and how sure the maps of both dates are "
                f"(`sure_before`, `sure_after`), got {self.weights}, {list(self.sure_before)} and "
                f"{list(self.sure_after)}; give all three or none."
            )

    @property
    def files(self) -> list[Path]:
        """The files that say how sure the maps are."""
        every = (*self.sure_before, *self.sure_after)
        return [Path(s) for s in every if isinstance(s, str | Path) and _number(s) is None]

    def as_json(self) -> dict[str, Any]:
        """What decides the weights, as provenance holds it."""
        return {
            name: [_number(s) if isinstance(s, str) and _number(s) is not None
                   else str(s) if isinstance(s, Path) else s for s in getattr(self, name)]
            for name in ("sure_before", "sure_after")
        }  # fmt: skip


class MapWeights:
    """The weights of the labels of two dates.

    A map m that says class c_m with probability p_m gives class c the likelihood p_m where c is
    c_m, else (1 - p_m) / (n - 1): an error is as likely to be any other class. Errors of several
    maps of one date count as independent, and no class is likelier beforehand, so that the
    probability of c is the product of its likelihoods over the sum of those of all classes (Dawid &
    Skene 1979, doi 10.2307/2346806, with one rate of errors a map and pixel). The weight is this
    probability of the label's earlier class times that of its later one. With one map a date it is
    p_before * p_after; where maps agree it is more, where they contradict each other it is less.
    """

    def __init__(
        self, weighting: Weighting, coded: Coded, counts: tuple[int, int], box: GeoBox,
        resampling: overlay.ClassResampling | None,
    ) -> None:  # fmt: skip
        """Read what says how sure the maps are.

        Args:
            weighting: The options.
            coded: The classes.
            counts: Number of maps of each date.
            box: The grid.
            resampling: How class maps are resampled; probabilities are averaged where maps are.

        Raises:
            ParameterError: Neither one statement nor one for each map; a number outside 0 to 1.
            ClassError: A CSV that can't be read, or lacks a class.
        """
        self._coded, self._box = coded, box
        self._resampling = "average" if resampling == "mode" else resampling
        self._sure = [
            each
            for name, count in zip(("sure_before", "sure_after"), counts, strict=True)
            for each in self._of_date(name, getattr(weighting, name), count)
        ]
        self._first = counts[0]

    @contextmanager
    def opened(self) -> Iterator[OpenWeights]:
        """The rasters of probabilities, open on the grid; for one thread."""
        with ExitStack() as stack:
            sure = [
                stack.enter_context(_opened(s, self._box, self._resampling))
                if isinstance(s, Path) else s for s in self._sure
            ]  # fmt: skip
            yield OpenWeights(sure, self._first, len(self._coded.scheme))

    def _of_date(
        self, name: str, given: SureLike, count: int
    ) -> list[float | NDArray[np.float64] | Path]:
        if len(given) not in (1, count):
            raise ParameterError(
                f"`{name}` must be stated once or for each of the {count} maps of its date, got "
                f"{len(given)}."
            )
        known = [self._read(name, each) for each in given]
        return known if len(known) == count else known * count

    def _read(self, name: str, given: Any) -> float | NDArray[np.float64] | Path:
        if isinstance(given, Mapping):
            return self._by_class(name, list(given.items()), "the classes given")
        number = _number(given)
        if number is not None:
            return _checked(name, number)
        if Path(given).suffix.lower() != ".csv":
            return Path(given)
        try:
            rows = [r for r in texts.rows(texts.read_text(Path(given))) if any(r)]
            if any(len(row) != 2 for row in rows):
                raise ValueError("a line without two fields")
        except (OSError, ValueError, csv.Error) as error:
            raise ClassError(
                f"`{name}` must be CSV with class and accuracy a line, got '{error}' in {given}."
            ) from error
        if rows and _number(rows[0][1]) is None:
            del rows[0]  # the header
        return self._by_class(name, rows, str(given))

    def _by_class(self, name: str, rows: Sequence[Any], where: str) -> NDArray[np.float64]:
        sure = np.full(len(self._coded.scheme), np.nan)
        for named, value in sorted(rows, key=lambda row: row[0] != ANY):  # '*' comes first
            number = _number(value)
            if number is None:
                raise ClassError(f"`{name}` must state numbers, got {value!r} in {where}.")
            sure[self._coded.find(named)] = _checked(name, number)
        missing = [n for n, s in zip(self._coded.scheme.names, sure, strict=True) if np.isnan(s)]
        if missing:
            raise ClassError(
                f"`{name}` must state the accuracy of every class, got none of "
                f"{', '.join(missing)} in {where}; add them, or '*' for the others."
            )
        return sure


@dataclass(frozen=True)
class OpenWeights:
    """How sure each map is, open to be read; for one thread.

    Attributes:
        sure: Of each map, those of the first date before those of the second: one number, one for
            each class, or a raster of probabilities.
        first: Number of maps of the first date.
        classes: Number of classes.
    """

    sure: Sequence[float | NDArray[np.float64] | _Shares]
    first: int
    classes: int

    def read(
        self, window: Window, said: Sequence[NDArray[np.uint8]], labels: Sequence[NDArray[Any]]
    ) -> NDArray[np.float32]:
        """Weights of a window.

        Args:
            window: Pixels of the grid.
            said: Class index that each map states, `NONE` for none.
            labels: Class index of the label before and after; those of `classes` and above have
                weight 0.
        """
        sure = [self._of(each, s, window) for each, s in zip(self.sure, said, strict=True)]
        dates = (slice(0, self.first), slice(self.first, None))
        known = (labels[0] < self.classes) & (labels[1] < self.classes)
        weights = np.where(known, 1.0, 0.0)
        for date, label in zip(dates, labels, strict=True):
            weights *= self._probability(label, said[date], sure[date])
        return weights.astype(np.float32)

    def _of(
        self, sure: float | NDArray[np.float64] | _Shares, said: NDArray[np.uint8], window: Window
    ) -> NDArray[np.float64]:
        """The probability that a map is right, 1 / n where it says nothing."""
        unsure = 1 / self.classes
        if isinstance(sure, _Shares):
            shares, mask = sure.read(window)
            chance = np.where(mask, shares, unsure)
        else:
            by_class = np.broadcast_to(np.asarray(sure, np.float64), self.classes)
            chance = by_class.take(np.minimum(said, self.classes - 1))
        return np.where(said == NONE, unsure, chance)

    def _probability(
        self, label: NDArray[Any], said: Sequence[NDArray[np.uint8]],
        sure: Sequence[NDArray[np.float64]],
    ) -> NDArray[np.float64]:  # fmt: skip
        """The probability of the label's class; 0 where sure maps contradict each other."""
        wrong = [(1 - p) / max(self.classes - 1, 1) for p in sure]

        def likelihood(of: NDArray[Any]) -> NDArray[np.float64]:
            product = np.ones(of.shape)
            for s, p, q in zip(said, sure, wrong, strict=True):
                product *= np.where(s == of, p, q)
            return product

        total, named = np.zeros(label.shape), np.zeros(label.shape)
        for k, each in enumerate(said):
            first = (each != NONE) & np.logical_and.reduce([each != s for s in said[:k]] or [True])
            total += np.where(first, likelihood(each), 0)
            named += first
        total += (self.classes - named) * np.multiply.reduce(wrong)
        own = likelihood(label)
        return np.divide(own, total, out=np.zeros(label.shape), where=total > 0)


@dataclass(frozen=True)
class _Shares:
    """An open raster of probabilities: value * scale + offset."""

    layer: overlay.OverlayLayer
    scale: float
    offset: float

    def read(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Probabilities of a window, and where there are any.

        Raises:
            RasterError: One below 0 or above 1.
        """
        values, mask = self.layer.read(window)
        shares = values[0] * np.float64(self.scale) + self.offset
        bad = mask & ~((shares >= 0) & (shares <= 1 + 1e-6))
        if bad.any():
            raise RasterError(
                "Probabilities must lie between 0 and 1, or be whole per cents, got "
                f"{values[0][bad][0]} in {self.layer.path}; declare its scale or nodata "
                "(gdal_edit -scale, -a_nodata)."
            )
        return np.minimum(shares, 1.0), mask


@contextmanager
def _opened(path: Path, box: GeoBox, resampling: str | None) -> Iterator[_Shares]:
    with raster.open_raster(path) as source:
        raster.check_one_band(source)
    scale, offset = raster.info(path).scaling[0]
    with overlay.on_grid(
        path, box, resampling=resampling, allowed=overlay.IMAGE_RESAMPLINGS,
        what="A class map and its probabilities", names=("of the maps", f"in {path}"),
    ) as layer:  # fmt: skip
        whole = layer.dtype.kind in "iu" and (scale, offset) == (1.0, 0.0)
        yield _Shares(layer, 0.01 if whole else scale, offset)


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _checked(name: str, number: float) -> float:
    if not 0 <= number <= 1:
        raise ParameterError(f"`{name}` must lie between 0 and 1, got {number:g}.")
    return number
