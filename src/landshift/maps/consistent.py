"""Class maps of a series made consistent in time, trajectory by trajectory.

Trajectories are as in `maps.trajectories`: distinct ones ``(trajectory, date)``, classes 0 to
``classes - 1``, and ``classes`` for none. Dates without a class say nothing.

A hidden Markov model takes the maps for observations of a true class that changes rarely (Rabiner
1989, doi 10.1109/5.18626; for land cover Abercrombie & Friedl 2016, doi 10.1109/TGRS.2015.2463689).
Evidence is what is observed: ``(date, class, trajectory)``, the probability of the observation if
the class is the true one, but for a factor that all classes share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.errors import ParameterError

Codes = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]
Evidence = Callable[[slice], Floats]
"""The evidence of a slice of all trajectories, above 0."""

STAY = 0.95
"""Share of each class that stays from a date to the next one, if nothing else is known."""

_TINY = 1e-12
"""Probability of what can't be, so that every trajectory has a likeliest path."""
_ROUNDS = 50
_ENOUGH = 1e-5  # change of the mean log likelihood of a trajectory at which the estimate ends
_CHUNK = 1 << 11  # trajectories worked on at once; fits the CPU cache


def check_window(window: int) -> None:
    """Check the dates of a majority.

    Raises:
        ParameterError: They aren't an odd number from 3 up.
    """
    if window < 3 or window % 2 == 0:
        raise ParameterError(f"`window` must be an odd number from 3 up, got {window}.")


def majority(trajectories: Codes, classes: int, window: int, *, fill: bool = False) -> Codes:
    """The commonest class of the dates around each date; where several are, the date's own.

    Args:
        trajectories: Classes ``(trajectory, date)``.
        classes: Number of classes.
        window: Number of dates, odd.
        fill: Whether dates without a class get one, too: of several the one of the lowest index.
    """
    half, dates = window // 2, trajectories.shape[1]
    each = np.stack([trajectories == k for k in range(classes)]).astype(np.int16)
    result = trajectories.copy()
    for date in range(dates):
        # twice the votes, and one more for the own class, so that it wins a tie
        votes = 2 * each[:, :, max(date - half, 0) : date + half + 1].sum(axis=2)
        votes += each[:, :, date]
        changed = votes.any(axis=0) & (fill | (trajectories[:, date] != classes))
        result[changed, date] = votes.argmax(axis=0)[changed]
    return result


@dataclass(frozen=True)
class Markov:
    """A hidden Markov model of classes in time.

    Attributes:
        start: Probability of each class at the first date.
        transitions: ``(from, to)``: probability of each class at the next date.
    """

    start: Floats
    transitions: Floats

    def classes_of(
        self, trajectories: Codes, evidence: Evidence, *, marginal: bool = False, fill: bool = False
    ) -> tuple[Codes, NDArray[np.float32]]:
        """The likeliest classes of each trajectory, and how sure they are.

        Args:
            trajectories: Classes ``(trajectory, date)`` of the maps.
            evidence: The evidence.
            marginal: Whether each date gets its own likeliest class; else all get those of the
                likeliest path (Viterbi).
            fill: Whether dates without a class get one, too, where another date has one.

        Returns:
            Classes, none where the map has none; their posterior probabilities, there 0.
        """
        result, sure = trajectories.copy(), np.zeros(trajectories.shape, np.float32)
        for part in _parts(len(trajectories)):
            seen = evidence(part).astype(np.float32)  # faster, and exact enough
            posterior = self.posteriors(seen)[0]
            path = posterior.argmax(axis=1) if marginal else self._viterbi(seen)
            of_path = np.take_along_axis(posterior, path[:, None], axis=1)[:, 0]
            classed = trajectories[part] != len(self.start)
            if fill:
                classed |= classed.any(axis=1, keepdims=True)
            result[part] = np.where(classed, path.T, result[part])
            sure[part] = np.where(classed, of_path.T, 0)
        return result, sure

    def posteriors(
        self, seen: Floats, weights: Floats | None = None
    ) -> tuple[Floats, Floats, Floats]:
        """Probability of each class at each date (forward-backward, Rabiner's equations 19 to 27).

        The forward and backward variables are scaled at each date.

        Args:
            seen: Evidence ``(date, class, trajectory)``, above 0.
            weights: Weight of each trajectory in the expected changes; None: they aren't needed.

        Returns:
            Probabilities ``(date, class, trajectory)``; expected changes ``(from, to)`` over all
            dates and trajectories; the log likelihood of each trajectory.
        """
        moves = np.maximum(self.transitions, _TINY).astype(seen.dtype)
        forward, scale = np.empty_like(seen), np.empty_like(seen[:, 0])
        for date, each in enumerate(seen):
            ahead = (
                _product(moves.T, forward[date - 1])
                if date
                else self.start[:, None].astype(seen.dtype)
            )
            forward[date] = ahead * each
            scale[date] = forward[date].sum(axis=0)
            forward[date] /= scale[date]
        posterior, changes = forward.copy(), np.zeros_like(moves)
        backward = np.ones_like(seen[0])
        for date in range(len(seen) - 1, 0, -1):
            after = seen[date] * backward / scale[date]
            if weights is not None:
                changes += np.einsum("in,jn->ij", forward[date - 1] * weights, after)
            backward = _product(moves, after)
            posterior[date - 1] *= backward
        posterior /= posterior.sum(axis=1, keepdims=True)  # rounding alone
        return posterior, changes * moves, np.log(scale).sum(axis=0)

    def _viterbi(self, seen: Floats) -> NDArray[np.int64]:
        """The likeliest path ``(date, trajectory)`` (Rabiner's equations 32 to 35), by logarithms.

        The way back is looked up from the best scores, which is cheaper than keeping it.
        """
        moves = np.log(np.maximum(self.transitions, _TINY)).astype(seen.dtype)
        seen = np.log(seen)
        best = np.empty_like(seen)
        best[0] = np.log(np.maximum(self.start, _TINY))[:, None] + seen[0]
        ways = np.empty_like(seen[0])
        for date in range(1, len(seen)):
            best[date] = -np.inf
            for k, from_k in enumerate(moves):
                np.add(best[date - 1, k], from_k[:, None], out=ways)
                np.maximum(best[date], ways, out=best[date])
            best[date] += seen[date]
        path = np.empty((len(seen), seen.shape[2]), np.int64)
        path[-1] = best[-1].argmax(axis=0)
        for date in range(len(seen) - 1, 0, -1):
            path[date - 1] = (best[date - 1] + moves[:, path[date]]).argmax(axis=0)
        return path


def _parts(count: int) -> list[slice]:
    return [slice(at, at + _CHUNK) for at in range(0, count, _CHUNK)]


def _product(matrix: Floats, columns: Floats) -> Floats:
    """The product of two matrices; unlike `@`, without threads."""
    return np.asarray(np.einsum("ij,jn->in", matrix, columns))


def evidence_of(emissions: Floats, trajectories: Codes) -> Evidence:
    """The evidence of class maps.

    Args:
        emissions: See `emissions_of`.
        trajectories: Classes ``(trajectory, date)``.
    """

    tables = np.maximum(emissions, _TINY)

    def evidence(part: slice) -> Floats:
        dates = trajectories[part].T
        return np.stack([t.take(m, axis=1) for t, m in zip(tables, dates, strict=True)])

    return evidence


def evidence_of_probabilities(
    probabilities: NDArray[np.float32], classed: NDArray[np.bool_], prior: Floats
) -> Evidence:
    """The evidence of probabilities of each class, given the image of a date.

    They are divided by the share of the class, which they contain: P(image | class) is in
    proportion to P(class | image) / P(class) (Bourlard & Morgan 1994, doi
    10.1007/978-1-4615-3210-1). Else rare classes would be made rarer at each date.

    Args:
        probabilities: ``(date, class, pixel)``.
        classed: Where a date says anything, ``(date, pixel)``.
        prior: Share of each class.
    """
    weight = 1 / np.maximum(prior, _TINY)

    def evidence(part: slice) -> Floats:
        each = probabilities[:, :, part] * weight[:, None]
        return np.where(classed[:, None, part], np.maximum(each, _TINY), 1.0)

    return evidence


def emissions_of(
    classes: int, dates: int, accuracies: Sequence[float], confusions: Sequence[Floats]
) -> Floats:
    """What maps say of each true class, from their confusion matrices or accuracies.

    Args:
        classes: Number of classes.
        dates: Number of maps.
        accuracies: Share of each map, or of all, that is right.
        confusions: Counts or areas ``(true, mapped)`` of each map, or of all. Each row is divided
            by its sum, so that it is P(mapped | true); a class that none of a reference had is
            taken for right. With accuracies, their errors are spread as a row has them; else
            evenly.

    Returns:
        ``(date, true class, mapped class)``: probability of what a map says; its last column, of
        dates without a class, is 1.

    Raises:
        ParameterError: Neither is given: without it, errors of maps can't be told from changes. Or
            another number of them, or values that can't be.
    """
    if not len(accuracies) and not len(confusions):
        raise ParameterError(
            "A Markov model must know how right the maps are, by `accuracy`, `confusion` or "
            "`probabilities`, got neither; errors can't be told from changes."
        )
    for name, given in (("accuracy", accuracies), ("confusion", confusions)):
        if len(given) not in (0, 1, dates):
            raise ParameterError(
                f"`{name}` must be given once, or for each of {dates} maps, got {len(given)}."
            )
    even = np.ones((classes, classes))
    tables = [_checked(table, classes) for table in confusions] or [even]
    rates: list[float | None] = [*accuracies] or [None]
    every = range(dates)
    emissions = np.ones((dates, classes, classes + 1))
    for date, table, rate in zip(
        every, tables * dates if len(tables) == 1 else tables,
        rates * dates if len(rates) == 1 else rates, strict=False,
    ):  # fmt: skip
        emissions[date, :, :-1] = _by_row(table) if rate is None else _spread(rate, table)
    return emissions


def _checked(table: Floats, classes: int) -> Floats:
    table = np.asarray(table, float)
    if table.shape != (classes, classes) or not (table >= 0).all():
        raise ParameterError(
            f"A confusion matrix must have {classes} rows and columns of numbers from 0 up, got "
            f"{table.shape[0]} x {table.shape[1]} with a least number of {table.min():g}."
        )
    return table


def _by_row(table: Floats) -> Floats:
    """Each row over its sum; a row of zeros becomes that of a class that is always right."""
    sums = table.sum(axis=1, keepdims=True)
    return np.where(sums > 0, table / np.maximum(sums, _TINY), np.eye(len(table)))


def _spread(right: float, table: Floats) -> Floats:
    """An accuracy, and errors as the rows of a table have them; evenly where one has none."""
    classes = len(table)
    if not 1 / classes < right <= 1:
        raise ParameterError(
            f"`accuracy` must be above that of guessing, {1 / classes:.3g}, and at most 1, got "
            f"{right:g}."
        )
    others = 1 - np.eye(classes)
    wrong = table * others
    wrong = np.where(wrong.any(axis=1, keepdims=True), wrong, others)
    return (
        (1 - right) * _by_row(wrong) + right * np.eye(classes) if classes > 1 else np.ones((1, 1))
    )


def steady(possible: NDArray[np.bool_]) -> Markov:
    """A model of classes that mostly stay, and else become any other class.

    Args:
        possible: ``(from, to)``: transitions that can be; a class can always stay.
    """
    classes = len(possible)
    transitions = np.full((classes, classes), (1 - STAY) / max(classes - 1, 1))
    np.fill_diagonal(transitions, STAY)
    return Markov(np.full(classes, 1 / classes), _by_row(transitions * possible))


def estimated(
    evidence: Evidence, weights: NDArray[np.int64], possible: NDArray[np.bool_]
) -> tuple[Markov, list[float]]:
    """Start and transitions that make the evidence likeliest, by expectation and maximisation.

    Baum & Welch's steps (Rabiner's equations 40a and 40b) over distinct trajectories, from a
    `steady` model on. Evidence must know which classes are taken for which: else errors between two
    classes that look alike are taken for changes to and fro.

    Args:
        evidence: The evidence, which stays as it is.
        weights: Pixels of each trajectory.
        possible: ``(from, to)``: transitions that can be; a class can always stay.

    Returns:
        The model, and the mean log likelihood of a trajectory after each round.
    """
    classes, model = len(possible), steady(possible)
    share = weights / weights.sum()
    history: list[float] = []
    for _ in range(_ROUNDS):
        start, changes, likelihood = np.zeros(classes), np.zeros((classes, classes)), 0.0
        for part in _parts(len(weights)):
            posterior, expected, logs = model.posteriors(evidence(part), share[part])
            start += posterior[0] @ share[part]
            changes += expected
            likelihood += float(share[part] @ logs)
        history.append(likelihood)
        if len(history) > 1 and likelihood - history[-2] < _ENOUGH:
            break
        model = Markov(start / start.sum(), _by_row(changes * possible))
    return model, history
