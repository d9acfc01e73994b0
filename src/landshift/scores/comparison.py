"""Results compared with other methods over the same pixels, by more than one score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

ALL_NO_CHANGE = "all no change"
"""Name, in tables, of a map of no change."""
POST_CLASSIFICATION = "post-classification"
"""Name, in tables, of the change between two class maps."""

MEASURES = {"accuracy": "accuracy", "macro F1": "macro_f1", "change F1": "change_f1"}
"""The scores that results are compared by, and their names in `Scores`.

Each alone can mislead: accuracy favours maps that call everything unchanged, macro F1 weighs a
small class as a large one, change F1 forgives the wrong change."""

EQUAL = 0.005
"""Scores that differ by less are called equal: half of the second digit, and less than two
trainings of one network differ by."""


class ClassScoresLike(Protocol):
    """Scores of one class, as `landshift.scores.confusion.ClassScores`."""

    @property
    def name(self) -> str:
        """The class."""

    @property
    def precision(self) -> float | None:
        """None where it is never mapped."""

    @property
    def f1(self) -> float | None:
        """None where neither map nor reference has it."""

    @property
    def support(self) -> int:
        """Reference pixels of it."""


class ScoresLike(Protocol):
    """Scores of a map, as `landshift.scores.confusion.Scores`."""

    @property
    def classes(self) -> Sequence[ClassScoresLike]:
        """Scores of each class."""

    @property
    def accuracy(self) -> float:
        """Share of pixels that are right."""

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes."""

    @property
    def change_f1(self) -> float | None:
        """F1 of any change; None where no class means unchanged."""


AnyScores = TypeVar("AnyScores", bound=ScoresLike)


@dataclass(frozen=True)
class Standing:
    """On which of `MEASURES` a result does better, equally well and worse than another method.

    A measure that one of them doesn't have is in none.
    """

    better: tuple[str, ...]
    equal: tuple[str, ...]
    worse: tuple[str, ...]


def standing(scores: ScoresLike, other: ScoresLike) -> Standing:
    """Compare a result with another method over the same pixels."""
    sides: dict[int, list[str]] = {1: [], 0: [], -1: []}
    for measure in MEASURES:
        own, others = of_measure(scores, measure), of_measure(other, measure)
        if own is not None and others is not None:
            gap = own - others
            sides[0 if abs(gap) < EQUAL else 1 if gap > 0 else -1].append(measure)
    return Standing(tuple(sides[1]), tuple(sides[0]), tuple(sides[-1]))


def of_measure(scores: ScoresLike, measure: str) -> float | None:
    """A score by its name in `MEASURES`; None where it isn't defined."""
    value: float | None = getattr(scores, MEASURES[measure])
    return value


def by_rank(methods: Mapping[str, AnyScores]) -> dict[str, AnyScores]:
    """Methods by the mean of `MEASURES`, the highest first; equal ones stay in their order."""
    return dict(sorted(methods.items(), key=lambda item: -_mean(item[1])))


def best(methods: Mapping[str, ScoresLike]) -> dict[str, tuple[str, ...]]:
    """Names of the methods that are best on each of `MEASURES`, or equal to the best."""
    leaders = {}
    for measure in MEASURES:
        values = {name: of_measure(scores, measure) for name, scores in methods.items()}
        known = {name: value for name, value in values.items() if value is not None}
        least = max(known.values(), default=0.0) - EQUAL
        leaders[measure] = tuple(name for name, value in known.items() if value > least)
    return leaders


_SPOKEN = {
    ALL_NO_CHANGE: "no change",
    POST_CLASSIFICATION: "the two class maps",
    "linear discriminant": "the linear discriminant",
    "quadratic discriminant": "the quadratic discriminant",
    "random forest": "the random forest",
}


def spoken(method: str) -> str:
    """A method's name in a sentence."""
    return _SPOKEN.get(method, f"'{method}'")


def _mean(scores: ScoresLike) -> float:
    values = [of_measure(scores, measure) for measure in MEASURES]
    known = [value for value in values if value is not None]
    return sum(known) / len(known)
