"""Class maps of a series made consistent in time, trajectory by trajectory.

Trajectories are as in `maps.trajectories`: distinct ones ``(trajectory, date)``, classes 0 to
``classes - 1``, and ``classes`` for none. Dates without a class keep none.

A hidden Markov model takes the maps for observations of a true class that changes rarely (Rabiner
1989, doi 10.1109/5.18626; for land cover Abercrombie & Friedl 2016, doi 10.1109/TGRS.2015.2463689).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landshift.errors import ParameterError

Codes = NDArray[np.uint8]
Floats = NDArray[np.float64]

STAY = 0.95
"""Share of each class that stays from a date to the next one, from which the estimate starts."""

_TINY = 1e-12
_ROUNDS = 50
_ENOUGH = 1e-5  # change of the mean log likelihood of a trajectory at which the estimate ends
_CHUNK = 1 << 14  # trajectories worked on at once


def check_window(window: int) -> None:
    """Check the dates of a majority.

    Raises:
        ParameterError: They aren't an odd number from 3 up.
    """
    if window < 3 or window % 2 == 0:
        raise ParameterError(f"`window` must be an odd number from 3 up, got {window}.")


def majority(trajectories: Codes, classes: int, window: int) -> Codes:
    """The commonest class of the dates around each date; where several are, the date's own.

    Args:
        trajectories: Classes ``(trajectory, date)``.
        classes: Number of classes.
        window: Number of dates, odd.
    """
    half, dates = window // 2, trajectories.shape[1]
    each = np.stack([trajectories == k for k in range(classes)]).astype(np.int16)
    result = trajectories.copy()
    for date in range(dates):
        around = each[:, :, max(date - half, 0) : date + half + 1].sum(axis=2)
        own = trajectories[:, date]
        classed = own != classes
        rows = np.flatnonzero(classed)
        mine = around[own[rows], rows]
        most = around[:, rows].max(axis=0)
        best = around[:, rows].argmax(axis=0).astype(np.uint8)
        result[rows, date] = np.where(mine == most, own[rows], best)
    return result


@dataclass(frozen=True)
class Markov:
    """A hidden Markov model of classes in time.

    Attributes:
        start: Probability of each class at the first date.
        transitions: ``(from, to)``: probability of each class at the next date.
        emissions: ``(date, true class, mapped class)``: probability of what a map says; its last
            column, of dates without a class, is 1.
    """

    start: Floats
    transitions: Floats
    emissions: Floats

    def paths(self, trajectories: Codes) -> tuple[Codes, Floats]:
        """The likeliest classes of each trajectory (Viterbi), and how sure they are.

        Returns:
            Classes ``(trajectory, date)``, none where the map has none; the least posterior
            probability of a path's classes over the dates that have one.
        """
        count, dates = trajectories.shape
        paths = np.empty_like(trajectories)
        sure = np.ones(count)
        for at in range(0, count, _CHUNK):
            part = trajectories[at : at + _CHUNK]
            path = self._viterbi(part)
            posterior, _, _ = self.posteriors(part)
            rows = np.arange(len(part))
            classed = part != len(self.start)
            of_path = np.stack([posterior[rows, t, path[:, t]] for t in range(dates)], axis=1)
            sure[at : at + _CHUNK] = np.where(classed, of_path, 1).min(axis=1)
            paths[at : at + _CHUNK] = np.where(classed, path, part)
        return paths, sure

    def posteriors(self, trajectories: Codes) -> tuple[Floats, Floats, Floats]:
        """Probability of each class at each date (forward-backward, Rabiner's equations 19 to 27).

        Returns:
            Probabilities ``(trajectory, date, class)``; the forward and backward variables are
            scaled at each date. Expected changes ``(trajectory, from, to)`` over all dates; the
            log likelihood of each trajectory.
        """
        count, dates = trajectories.shape
        classes = len(self.start)
        seen = self._seen(trajectories)
        forward = np.empty((count, dates, classes))
        scale = np.empty((count, dates))
        at = self.start * seen[:, 0]
        for date in range(dates):
            if date:
                at = (forward[:, date - 1] @ self.transitions) * seen[:, date]
            scale[:, date] = np.maximum(at.sum(axis=1), _TINY)
            forward[:, date] = at / scale[:, date, None]
        changes = np.zeros((count, classes, classes))
        backward = np.ones((count, classes))
        posterior = np.empty_like(forward)
        posterior[:, -1] = forward[:, -1]
        for date in range(dates - 1, 0, -1):
            ahead = seen[:, date] * backward / scale[:, date, None]
            changes += forward[:, date - 1, :, None] * self.transitions * ahead[:, None, :]
            backward = ahead @ self.transitions.T
            posterior[:, date - 1] = forward[:, date - 1] * backward
        total = np.maximum(posterior.sum(axis=2, keepdims=True), _TINY)
        return posterior / total, changes, np.log(scale).sum(axis=1)

    def _seen(self, trajectories: Codes) -> Floats:
        """Probability of what is mapped, for each true class: ``(trajectory, date, class)``."""
        dates = np.arange(trajectories.shape[1])
        return np.asarray(np.moveaxis(self.emissions[dates, :, trajectories], -1, 2))

    def _viterbi(self, trajectories: Codes) -> Codes:
        """The likeliest path (Rabiner's equations 32 to 35), by logarithms."""
        count, dates = trajectories.shape
        step = np.log(np.maximum(self.transitions, _TINY))
        seen = np.log(np.maximum(self._seen(trajectories), _TINY))
        best = np.log(np.maximum(self.start, _TINY)) + seen[:, 0]
        back = np.zeros((dates, count, len(self.start)), np.uint8)
        for date in range(1, dates):
            ways = best[:, :, None] + step
            back[date] = ways.argmax(axis=1)
            best = ways.max(axis=1) + seen[:, date]
        path = np.empty((count, dates), np.uint8)
        path[:, -1] = best.argmax(axis=1)
        for date in range(dates - 1, 0, -1):
            path[:, date - 1] = np.take_along_axis(
                back[date], path[:, date, None].astype(np.intp), axis=1
            )[:, 0]
        return path


def emissions_of(
    classes: int, dates: int, accuracies: Sequence[float], confusions: Sequence[Floats]
) -> Floats:
    """What maps say of each true class, from their confusion matrices or accuracies.

    Args:
        classes: Number of classes.
        dates: Number of maps.
        accuracies: Share of each map, or of all, that is right; errors are spread evenly.
        confusions: Counts or areas ``(true, mapped)`` of each map, or of all. Each row is divided
            by its sum; a class that none of a reference had is taken for right.

    Returns:
        See `Markov.emissions`.

    Raises:
        ParameterError: Neither is given: without it, errors of maps can't be told from changes. Or
            both, another number of them, or values that can't be.
    """
    given = accuracies if len(accuracies) else confusions
    if bool(len(accuracies)) == bool(len(confusions)):
        raise ParameterError(
            "A Markov model must know how right the maps are, by `accuracy` or `confusion`, got "
            f"{'both' if len(accuracies) else 'neither'}; errors can't be told from changes."
        )
    if len(given) not in (1, dates):
        raise ParameterError(
            f"`accuracy` or `confusion` must be given once, or for each of {dates} maps, got "
            f"{len(given)}."
        )
    tables = []
    for each in given:
        if np.ndim(each) == 0:
            right = float(np.asarray(each))
            if not 1 / classes < right <= 1:
                raise ParameterError(
                    f"`accuracy` must be above that of guessing, {1 / classes:.3g}, and at most 1, "
                    f"got {right:g}."
                )
            table = np.full((classes, classes), (1 - right) / max(classes - 1, 1))
            np.fill_diagonal(table, right)
        else:
            table = np.asarray(each, float)
            if table.shape != (classes, classes) or not (table >= 0).all():
                raise ParameterError(
                    f"A confusion matrix must have {classes} rows and columns of numbers from 0 "
                    f"up, got {table.shape[0]} x {table.shape[1]}."
                )
            empty = table.sum(axis=1) == 0
            table = np.where(empty[:, None], np.eye(classes), table)
            table = table / table.sum(axis=1, keepdims=True)
        tables.append(np.concatenate([table, np.ones((classes, 1))], axis=1))
    return np.stack(tables * dates if len(tables) == 1 else tables)


def estimated(
    trajectories: Codes, weights: NDArray[np.int64], emissions: Floats
) -> tuple[Markov, list[float]]:
    """Start and transitions that make the maps likeliest, by expectation and maximisation.

    Baum & Welch's steps (Rabiner's equations 40a and 40b) over distinct trajectories.

    Args:
        trajectories: Classes ``(trajectory, date)``.
        weights: Pixels of each.
        emissions: See `Markov.emissions`; they stay as they are.

    Returns:
        The model, and the mean log likelihood of a trajectory after each round.
    """
    classes = emissions.shape[1]
    transitions = np.full((classes, classes), (1 - STAY) / max(classes - 1, 1))
    np.fill_diagonal(transitions, STAY if classes > 1 else 1)
    model = Markov(np.full(classes, 1 / classes), transitions, emissions)
    share = weights / weights.sum()
    history: list[float] = []
    for _ in range(_ROUNDS):
        start, changes, likelihood = np.zeros(classes), np.zeros((classes, classes)), 0.0
        for at in range(0, len(trajectories), _CHUNK):
            part = slice(at, at + _CHUNK)
            posterior, expected, logs = model.posteriors(trajectories[part])
            start += share[part] @ posterior[:, 0]
            changes += np.tensordot(share[part], expected, 1)
            likelihood += float(share[part] @ logs)
        history.append(likelihood)
        if len(history) > 1 and likelihood - history[-2] < _ENOUGH:
            break
        rows = changes.sum(axis=1, keepdims=True)
        model = Markov(
            start / start.sum(),
            np.where(rows > _TINY, changes / np.maximum(rows, _TINY), np.eye(classes)), emissions,
        )  # fmt: skip
    return model, history
