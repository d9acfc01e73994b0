"""The confusion matrix, and every score that follows from it.

Rows are the reference, columns are the map; everything here is derived from one matrix of counts.
docs/scores.md explains what each score is good for, and where it misleads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.classes import ClassScheme

Matrix = NDArray[np.int64]


def count(reference: NDArray[np.uint8], mapped: NDArray[np.uint8], classes: int) -> Matrix:
    """Count pairs of class indices.

    Args:
        reference: Indices of the reference; those of `IGNORE_INDEX` don't count.
        mapped: Indices of the map, of the same shape; `IGNORE_INDEX` where it has no class.
        classes: Number of classes.

    Returns:
        ``(classes, classes + 1)``: rows are the reference, columns the map; the last column
        counts labelled pixels that the map leaves without a class.
    """
    labelled = reference < classes
    columns = np.minimum(mapped[labelled].astype(np.int64), classes)
    pairs = reference[labelled].astype(np.int64) * (classes + 1) + columns
    counts = np.bincount(pairs, minlength=classes * (classes + 1))
    return counts.reshape(classes, classes + 1)


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class; None where a score has no pixel in its denominator.

    Attributes:
        name: The class.
        precision: TP / (TP + FP): the right share of the map's pixels of the class (user's
            accuracy in pixels).
        recall: TP / (TP + FN): the share of the reference's pixels of the class that the map has
            (producer's accuracy in pixels).
        f1: Harmonic mean of the two, 2 TP / (2 TP + FP + FN).
        iou: Intersection over union, TP / (TP + FP + FN).
        support: Reference pixels of the class.
    """

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    iou: float | None
    support: int


@dataclass(frozen=True)
class SemanticScores:
    """Semantic change scores of one protocol; None where a score isn't defined.

    With Q the histogram of the protocol, rows the reference, columns the map, index 0 'no change'.

    Attributes:
        fscd: Harmonic mean of TP / (pixels of change in the map) and TP / (pixels of change in
            the reference), where TP counts the changed pixels with the right change (Ding et al.
            2022, doi 10.1109/TGRS.2022.3154390).
        kappa: Cohen's kappa of Q with q00 = 0: of the pixels of change in either.
        sek: Separated kappa, kappa * exp(IoU of change - 1) (Yang et al. 2021, 'Asymmetric
            Siamese Networks for Semantic Change Detection in Aerial Images', arXiv:2010.05687).
        score: 0.3 mIoU_bc + 0.7 SeK, as the SECOND benchmark ranks (same source).
    """

    fscd: float | None
    kappa: float | None
    sek: float | None
    score: float | None


@dataclass(frozen=True)
class Scores:
    """Scores of a map against a reference, over labelled pixels that the map gives a class.

    None stands for undefined scores: change scores without a class that means 'unchanged'
    (`ClassScheme.unchanged`), semantic scores where the classes don't state the class before and
    after, and ratios without a pixel in their denominator.

    Attributes:
        classes: Scores of each class, in the order of the scheme.
        accuracy: Share of all pixels that are right; 0 without any.
        kappa: Cohen's kappa, (po - pe) / (1 - pe) (Cohen 1960, doi 10.1177/001316446002000104).
        macro_precision: Mean precision over the classes that occur in the reference or the map;
            one that is never mapped has 0 here.
        macro_recall: Mean recall over the same classes; one without reference pixels has 0 here.
        macro_f1: Mean F1 over the same classes; 0 without any.
        miou: Mean IoU over the same classes; 0 without any.
        change_precision: Precision of 'any change', whichever.
        change_recall: Recall of 'any change'.
        change_f1: F1 of 'any change'.
        change_iou: IoU of 'any change'.
        no_change_f1: F1 of 'unchanged', whichever class.
        no_change_iou: IoU of 'unchanged'.
        miou_bc: Mean of the IoU of 'any change' and of 'unchanged'.
        change_macro_f1: Mean F1 over the change classes that occur, each by itself.
        pooled: Semantic scores after the protocol of SCanNet and open-cd: the class before and
            the class after of changed pixels, 0 of others, counted in one histogram of C + 1
            classes, so that each pixel counts twice.
        from_to: Semantic scores after the protocol of ChangeMamba and torchange: each transition
            a class of its own, with 'no change' C * C + 1 of them.
        pixels: Labelled pixels that the map gives a class.
        unmapped: Labelled pixels that the map leaves without a class; they count nowhere else.
    """

    classes: tuple[ClassScores, ...]
    accuracy: float
    kappa: float | None
    macro_precision: float
    macro_recall: float
    macro_f1: float
    miou: float
    change_precision: float | None
    change_recall: float | None
    change_f1: float | None
    change_iou: float | None
    no_change_f1: float | None
    no_change_iou: float | None
    miou_bc: float | None
    change_macro_f1: float | None
    pooled: SemanticScores | None
    from_to: SemanticScores | None
    pixels: int
    unmapped: int

    def as_dict(self) -> dict[str, Any]:
        """All scores as plain numbers, for JSON."""
        return asdict(self)


def score(matrix: Matrix, scheme: ClassScheme) -> Scores:
    """The scores of a confusion matrix as `count` makes it."""
    n = len(scheme)
    square = matrix[:, :n]
    right = np.diag(square)
    support, mapped = square.sum(axis=1), square.sum(axis=0)
    precision, recall = _ratios(right, mapped), _ratios(right, support)
    f1 = _ratios(2 * right, support + mapped)
    iou = _ratios(right, support + mapped - right)
    total = int(square.sum())
    unchanged = scheme.unchanged
    change = _change_of(square, unchanged) if unchanged else _Change()
    changes_f1 = [f1[k] for k in range(n) if k not in unchanged]
    return Scores(
        classes=tuple(
            ClassScores(name, precision[k], recall[k], f1[k], iou[k], int(support[k]))
            for k, name in enumerate(scheme.names)
        ),
        accuracy=_ratio(right.sum(), total) or 0.0,
        kappa=kappa(square),
        macro_precision=_mean(precision, f1) or 0.0,
        macro_recall=_mean(recall, f1) or 0.0,
        macro_f1=_mean(f1, f1) or 0.0,
        miou=_mean(iou, f1) or 0.0,
        change_precision=change.precision,
        change_recall=change.recall,
        change_f1=change.f1,
        change_iou=change.iou,
        no_change_f1=change.no_change_f1,
        no_change_iou=change.no_change_iou,
        miou_bc=change.miou_bc,
        change_macro_f1=_mean(changes_f1, changes_f1) if unchanged else None,
        pooled=_semantic_of(_pooled_histogram(square, scheme)),
        from_to=_semantic_of(_from_to_histogram(square, scheme)),
        pixels=total,
        unmapped=int(matrix[:, n:].sum()),
    )


def all_no_change(matrix: Matrix, scheme: ClassScheme) -> Matrix | None:
    """The matrix of a map of no change; None without a class that means 'unchanged'.

    Where there are several, as in a from-to coding, each pixel keeps the class that the reference
    gives it before: 'forest->urban' becomes 'forest->forest'. Where there is no such class, it gets
    the commonest unchanged one.
    """
    unchanged = scheme.unchanged
    if not unchanged:
        return None
    support = matrix[:, : len(scheme)].sum(axis=1)
    commonest = max(unchanged, key=lambda k: support[k])
    before = [None if ends is None else ends[0] for ends in scheme.transitions]
    stays = {before[k]: k for k in unchanged if before[k] is not None}
    baseline = np.zeros_like(matrix)
    for k, pixels in enumerate(support):
        baseline[k, k if k in unchanged else stays.get(before[k], commonest)] += pixels
    return baseline


@dataclass(frozen=True)
class TransitionCounts:
    """A from-to confusion matrix seen as tables of transitions, rows before, columns after.

    Attributes:
        classes: Names of the classes of the two dates.
        reference: Pixels of each transition in the reference.
        mapped: Pixels of each transition in the map.
        right: Pixels of each transition on which both agree.
    """

    classes: tuple[str, ...]
    reference: Matrix
    mapped: Matrix
    right: Matrix

    def as_dict(self) -> dict[str, Any]:
        """The tables as plain numbers, for JSON."""
        return {
            "rows": "class before",
            "columns": "class after",
            "classes": list(self.classes),
            "reference": self.reference.tolist(),
            "map": self.mapped.tolist(),
            "right": self.right.tolist(),
        }


def transition_counts(matrix: Matrix, scheme: ClassScheme) -> TransitionCounts | None:
    """The transitions of a confusion matrix; None unless each class states before and after."""
    ends = [e for e in scheme.transitions if e is not None]
    if len(ends) != len(scheme):
        return None
    names = _dates_classes(ends)
    square = matrix[:, : len(scheme)]
    tables = []
    for pixels in (square.sum(axis=1), square.sum(axis=0), np.diag(square)):
        table = np.zeros((len(names), len(names)), np.int64)
        for (before, after), number in zip(ends, pixels, strict=True):
            table[names.index(before), names.index(after)] += number
        tables.append(table)
    return TransitionCounts(names, *tables)


@dataclass(frozen=True)
class _Change:
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    iou: float | None = None
    no_change_f1: float | None = None
    no_change_iou: float | None = None

    @property
    def miou_bc(self) -> float | None:
        if self.iou is None or self.no_change_iou is None:
            return None
        return (self.iou + self.no_change_iou) / 2


def _change_of(square: Matrix, unchanged: Sequence[int]) -> _Change:
    same = np.isin(np.arange(len(square)), unchanged)
    kept = square[same][:, same].sum()
    false_alarms = square[same][:, ~same].sum()
    missed = square[~same][:, same].sum()
    hits = square[~same][:, ~same].sum()
    wrong = false_alarms + missed
    return _Change(
        precision=_ratio(hits, hits + false_alarms),
        recall=_ratio(hits, hits + missed),
        f1=_ratio(2 * hits, 2 * hits + wrong),
        iou=_ratio(hits, hits + wrong),
        no_change_f1=_ratio(2 * kept, 2 * kept + wrong),
        no_change_iou=_ratio(kept, kept + wrong),
    )


def _pooled_histogram(square: Matrix, scheme: ClassScheme) -> Matrix | None:
    """C + 1 classes; the map of before and the map of after counted into one histogram."""
    ends = _changes_ends(scheme)
    if ends is None:
        return None
    names = _dates_classes([e for e in ends if e is not None])
    before, after = (
        [0 if e is None else names.index(e[date]) + 1 for e in ends] for date in (0, 1)
    )
    return _merged(square, before, len(names) + 1) + _merged(square, after, len(names) + 1)


def _from_to_histogram(square: Matrix, scheme: ClassScheme) -> Matrix | None:
    """A class for 'no change' and one for each transition."""
    ends = _changes_ends(scheme)
    if ends is None:
        return None
    kinds = list(dict.fromkeys(e for e in ends if e is not None))
    groups = [0 if e is None else kinds.index(e) + 1 for e in ends]
    return _merged(square, groups, len(kinds) + 1)


def _changes_ends(scheme: ClassScheme) -> list[tuple[str, str] | None] | None:
    """Class before and after of each change, None for unchanged classes.

    None in all where a change doesn't state both, or no class means 'unchanged'.
    """
    unchanged = scheme.unchanged
    ends = [None if k in unchanged else e for k, e in enumerate(scheme.transitions)]
    changes = sum(e is not None for e in ends)
    return ends if unchanged and changes and changes + len(unchanged) == len(scheme) else None


def _dates_classes(ends: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Names of the classes of the two dates, in the order of their first use."""
    return tuple(dict.fromkeys([e[0] for e in ends] + [e[1] for e in ends]))


def _merged(square: Matrix, groups: Sequence[int], number: int) -> Matrix:
    """The confusion matrix of groups of classes."""
    member = np.zeros((len(groups), number), np.int64)
    member[np.arange(len(groups)), list(groups)] = 1
    merged: Matrix = member.T @ square @ member
    return merged


def _semantic_of(histogram: Matrix | None) -> SemanticScores | None:
    """Fscd, SeK and Score of a histogram whose index 0 is 'no change'."""
    if histogram is None:
        return None
    change = _change_of(histogram, (0,))
    miou_bc = change.miou_bc
    right = np.diag(histogram)[1:].sum()
    changed, called = histogram[1:].sum(), histogram[:, 1:].sum()
    separated = histogram.copy()
    separated[0, 0] = 0
    agreed = kappa(separated)
    sek = None if agreed is None or change.iou is None else agreed * float(np.exp(change.iou - 1))
    return SemanticScores(
        fscd=_ratio(2 * right, changed + called),
        kappa=agreed,
        sek=sek,
        score=None if sek is None or miou_bc is None else 0.3 * miou_bc + 0.7 * sek,
    )


def kappa(square: Matrix) -> float | None:
    """Cohen's kappa; None without pixels, or where chance alone would be right everywhere."""
    rows, columns = square.sum(axis=1), square.sum(axis=0)
    total = int(square.sum())
    # in Python's integers, so that 'chance is always right' differs from 'nearly always'
    by_chance = sum(int(r) * int(c) for r, c in zip(rows, columns, strict=True))
    return _ratio(total * int(np.trace(square)) - by_chance, total * total - by_chance)


def _ratio(part: Any, whole: Any) -> float | None:
    return float(int(part) / int(whole)) if whole > 0 else None


def _ratios(parts: Matrix, wholes: Matrix) -> list[float | None]:
    return [_ratio(part, whole) for part, whole in zip(parts, wholes, strict=True)]


def _mean(values: Sequence[float | None], f1: Sequence[float | None]) -> float | None:
    """Mean over the classes that occur, which are those that have an F1; undefined counts 0."""
    known = [v or 0.0 for v, occurs in zip(values, f1, strict=True) if occurs is not None]
    return float(np.mean(known)) if known else None
