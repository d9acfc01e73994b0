"""How a series is made consistent in time: options, matrices, probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from landshift.errors import ClassError, ParameterError
from landshift.files import options, texts
from landshift.files.rows import write_csv
from landshift.maps import consistent, trajectories
from landshift.maps.series_stack import Block, Distinct, MapSeries

if TYPE_CHECKING:
    pass

Codes = NDArray[np.uint8]
Floats = consistent.Floats

Method = Literal["no", "majority", "markov"]
States = Literal["path", "date"]

_BLOCKS, _SAMPLE = 32, 500_000  # blocks and pixels at most from which transitions are estimated
_SAMPLE_SHARES = 50_000  # the same of pixels with probabilities


@dataclass(frozen=True)
class Consistency:
    """How maps are made consistent in time before changes are looked for."""

    consistent: Method = "no"
    """majority: the commonest class of the dates around each one. markov: the likeliest classes by
    a hidden Markov model, which needs `accuracy`, `confusion` or `probabilities`. The maps are
    written, too."""
    window: int = 3
    """Dates of the majority, an odd number."""
    accuracy: str | Sequence[float] | None = None
    """Share of the pixels that the maps have right, one for all or one each: 0.85,0.8,... Errors
    are spread evenly over the other classes, or as `confusion` has them."""
    confusion: Sequence[Path] = ()
    """Confusion matrix of the maps, one for all or one each: CSV with the mapped classes in its
    header and a true class in each row, counts or areas. Each row is divided by its sum. Can be
    repeated."""
    probabilities: Sequence[Path] = ()
    """Probabilities of each class, one raster for each map, with a band for each class, such as
    `classify --layer probabilities` writes; 0 to 1, or whole numbers in per cent. Can be
    repeated."""
    transitions: Path | None = None
    """Probabilities of each class at the next date: CSV like `confusion`, from each class in a row.
    Left out: estimated from the maps; with `accuracy` alone, 95 % of each class stay, since errors
    between classes that look alike would be taken for changes."""
    states: States = "path"
    """path: the likeliest sequence of classes. date: the likeliest class of each date by itself."""
    fill: options.Flag = False
    """Give dates without a class one, too, where another date of the pixel has one."""

    def __post_init__(self) -> None:
        options.check_choice("consistent", self.consistent, Method)
        options.check_choice("states", self.states, States)
        known = self.accuracy is not None or self.confusion or self.probabilities
        stated = known or self.transitions is not None or self.states != "path"
        if stated and self.consistent != "markov":
            raise ParameterError(
                "`accuracy`, `confusion`, `probabilities`, `transitions` and `states` belong to a "
                f"Markov model, got `consistent` {self.consistent}; give markov, or leave them out."
            )
        if self.probabilities and (self.accuracy is not None or self.confusion):
            raise ParameterError(
                "A Markov model must know the maps' errors from `probabilities`, or from "
                "`accuracy` and `confusion`, got both; leave one of them out."
            )
        if self.fill and self.consistent == "no":
            raise ParameterError(
                "`fill` takes classes from other dates, got `consistent` no; give majority or "
                "markov."
            )

    @property
    def files(self) -> list[Path]:
        """The files that it reads."""
        one = [] if self.transitions is None else [Path(self.transitions)]
        return [*map(Path, self.confusion), *map(Path, self.probabilities), *one]


@dataclass(frozen=True)
class Cleaned:
    """A block made consistent.

    Attributes:
        block: The block; with probabilities, its trajectories are those of the result.
        rows: Trajectories ``(trajectory, date)`` that can be, in the order of the block's.
        sure: How sure the Markov model is of each date's class, in per cent ``(date, row,
            column)``, 255 without a class; None of other methods.
    """

    block: Block
    rows: Codes
    sure: NDArray[np.uint8] | None


class Cleaning:
    """Trajectories made consistent, then brought to what can be.

    Args:
        stack: The maps.
        consistency: How.
        rules: What can't be; the Markov model knows it, too.

    Raises:
        ParameterError: A matrix that can't be read, or a model without the maps' errors.
        RasterError: Probabilities that can't be read.
    """

    def __init__(
        self, stack: MapSeries, consistency: Consistency, rules: trajectories.Rules
    ) -> None:
        self._stack, self._given, self._rules = stack, consistency, rules
        self._prior = np.zeros(0)
        self.model: consistent.Markov | None = None
        self.history: list[float] = []
        if consistency.consistent == "markov":
            self.model = self._fitted()
        elif consistency.consistent == "majority":
            consistent.check_window(consistency.window)

    @property
    def changes_maps(self) -> bool:
        """Whether maps can differ from those that were read."""
        rules = self._rules
        ruled = bool(rules.forbidden.any() or (rules.least > 1).any())
        return ruled or self._given.consistent != "no"

    def __call__(self, block: Block) -> Cleaned:
        """Make a block consistent."""
        classes, rows, sure = self._stack.classes, block.mapped, None
        given = self._given
        if self.model is not None:
            evidence = self._evidence(block)
            if block.shares is not None:
                rows = rows[block.number.ravel()]
            how = {"marginal": given.states == "date", "fill": given.fill}
            rows, posterior = self.model.classes_of(rows, evidence, **how)
            sure = np.where(rows != classes, np.rint(100 * posterior), 255).astype(np.uint8)
        elif given.consistent == "majority":
            rows = consistent.majority(rows, classes, given.window, fill=given.fill)
        rows = trajectories.ruled(rows, classes, self._rules)
        if sure is not None and block.shares is not None:
            block = self._stack.block(block.window, np.ascontiguousarray(rows.T))
            rows, sure = block.mapped, sure.T.reshape(-1, *block.number.shape)
        elif sure is not None:
            sure = np.moveaxis(sure[block.number], -1, 0)
        return Cleaned(block, rows, sure)

    def _evidence(self, block: Block, pixels: slice | NDArray[Any] = slice(None)) -> Any:
        """The evidence of a block's trajectories, or of its pixels where it has probabilities."""
        if block.shares is None:
            return consistent.evidence_of(self._emissions, block.mapped)
        shares = block.shares[:, :, pixels]
        return consistent.evidence_of_probabilities(shares, _said(shares), self._prior)

    def _fitted(self) -> consistent.Markov:
        """The model, with the transitions given or estimated."""
        stack, given = self._stack, self._given
        if given.probabilities:
            stack.read_along(given.probabilities)
            evidence, weights = self._sampled_shares()
        else:
            rates = (
                [_share(t) for t in given.accuracy.split(",")]
                if isinstance(given.accuracy, str) else list(given.accuracy or ())
            )  # fmt: skip
            tables = [
                matrix(Path(path), stack.scheme.names, stack.find) for path in given.confusion
            ]
            self._emissions = consistent.emissions_of(
                stack.classes, len(stack.paths), rates, tables
            )
            evidence, weights = None, None
        possible = ~self._rules.forbidden
        if given.transitions is not None:
            table = matrix(Path(given.transitions), stack.scheme.names, stack.find) * possible
            rows = table.sum(axis=1, keepdims=True)
            if not (rows > 0).all():
                raise ParameterError(
                    "Each class must have transitions above 0, got a row of 0 in "
                    f"{given.transitions}."
                )
            return consistent.Markov(np.full(stack.classes, 1 / stack.classes), table / rows)
        if not given.confusion and not given.probabilities:
            return consistent.steady(possible)
        if evidence is None or weights is None:
            evidence, weights = self._sampled()
        model, self.history = consistent.estimated(evidence, weights, possible)
        return model

    def _sampled(self) -> tuple[consistent.Evidence, NDArray[np.int64]]:
        """Evidence and pixels of the trajectories of a sample of blocks."""
        counted, stack = Distinct(self._stack.classes), self._stack

        def work(block: Block, every: int) -> tuple[Codes, NDArray[np.int64]]:
            numbers = block.number[::every, ::every].ravel()
            return block.mapped, np.bincount(numbers, minlength=len(block.mapped))

        for mapped, pixels in self._sample(work, _SAMPLE):
            counted.add(mapped, pixels, pixels.astype(float))
        counted.merge()
        classed = (counted.rows != stack.classes).any(axis=1)
        if not classed.any():
            raise ClassError("A Markov model must be estimated from classes, got none in the maps.")
        rows = counted.rows[classed]
        return consistent.evidence_of(self._emissions, rows), counted.pixels[classed]

    def _sampled_shares(self) -> tuple[consistent.Evidence, NDArray[np.int64]]:
        """Evidence of pixels of a sample of blocks; the share of each class becomes known."""

        def work(block: Block, every: int) -> NDArray[np.float32]:
            assert block.shares is not None
            shape = (*block.shares.shape[:2], *block.number.shape)
            shares = block.shares.reshape(shape)[:, :, ::every, ::every]
            return shares.reshape(*shape[:2], -1)

        shares = np.concatenate(list(self._sample(work, _SAMPLE_SHARES)), axis=2)
        said = _said(shares)
        if not said.any():
            raise ClassError("A Markov model must be estimated from probabilities, got none.")
        self._prior = np.moveaxis(shares, 1, 2)[said].mean(axis=0, dtype=np.float64)
        shares, said = shares[:, :, said.any(axis=0)], said[:, said.any(axis=0)]
        evidence = consistent.evidence_of_probabilities(shares, said, self._prior)
        return evidence, np.ones(shares.shape[2], np.int64)

    def _sample(self, work: Callable[[Block, int], Any], most: int) -> list[Any]:
        """Results of a sample of blocks, of each pixel in so many rows and columns."""
        windows = self._stack.windows
        chosen = np.arange(len(windows))
        if len(windows) > _BLOCKS:  # at random, so that they aren't those of a column
            chosen = np.sort(np.random.default_rng(0).choice(chosen, _BLOCKS, replace=False))
        pixels = sum(windows[k].width * windows[k].height for k in chosen)
        every = int(np.ceil(np.sqrt(max(pixels / most, 1))))
        with self._stack.blocks("transitions", lambda b: work(b, every), chosen) as parts:
            return list(parts)


def _said(shares: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where there are probabilities, ``(date, pixel)``."""
    return np.asarray(shares.any(axis=1))


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ParameterError(f"`accuracy` must be numbers with commas, got {text!r}.") from None


def matrix(path: Path, names: Sequence[str], find: Callable[[str], list[int]]) -> Floats:
    """Read a matrix of classes from a CSV: columns named in the header, rows by their first cell.

    Args:
        path: The file.
        names: The classes.
        find: Finds the place of a name, or of a value.

    Raises:
        ParameterError: It can't be read, or lacks a class.
    """
    classes = len(names)
    try:
        head, *rows = [row for row in texts.rows(texts.read_text(path)) if row]
        columns = [find(name)[0] for name in head[1:]]
        table = np.full((classes, classes), np.nan)
        for row in rows:
            table[find(row[0])[0], columns] = [float(cell) for cell in row[1:]]
    except (OSError, ValueError) as error:
        raise ParameterError(
            f"A matrix must be a CSV of classes in rows and columns, got '{error}' in {path}."
        ) from error
    if not np.isfinite(table).all() or (table < 0).any():
        raise ParameterError(
            f"A matrix must have a number from 0 up for each pair of {classes} classes, got "
            f"{int((table >= 0).sum())} in {path}; add the classes that are missing."
        )
    return table


def write_matrix(path: Path, names: Sequence[str], table: Floats) -> None:
    """Write transitions as `matrix` reads them."""
    rows = [
        {"from": name, **dict(zip(names, map(float, row), strict=True))}
        for name, row in zip(names, table, strict=True)
    ]
    write_csv(path, ["from", *names], rows, overwrite=False)
