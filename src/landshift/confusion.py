"""The confusion matrix, and every score that follows from it.

Rows are the reference, columns are the map; everything here is derived from one matrix of counts.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """Scores of one class.

    Attributes:
        name: The class.
        precision: Right share of what the map calls the class (user's accuracy in pixels).
        recall: Found share of what the reference calls the class (producer's accuracy in pixels).
        f1: Harmonic mean of the two.
        iou: Intersection over union.
        support: Reference pixels of the class.
    """

    name: str
    precision: float
    recall: float
    f1: float
    iou: float
    support: int


@dataclass(frozen=True)
class Scores:
    """Scores of a map against a reference, over labelled pixels that the map gives a class.

    Attributes:
        classes: Scores of each class, in the order of the scheme.
        accuracy: Right share of all pixels.
        macro_f1: Mean F1 over the classes that occur in the reference or the map.
        miou: Mean IoU over the same classes.
        change_f1: F1 of 'any change' against 'No change'; None without a class of that name.
        change_precision: Precision of 'any change'.
        change_recall: Recall of 'any change'.
        no_change_f1: F1 of 'No change'.
        pixels: Labelled pixels that the map gives a class.
        unmapped: Labelled pixels that the map leaves without a class; they count nowhere else.
    """

    classes: tuple[ClassScores, ...]
    accuracy: float
    macro_f1: float
    miou: float
    change_f1: float | None
    change_precision: float | None
    change_recall: float | None
    no_change_f1: float | None
    pixels: int
    unmapped: int

    def as_dict(self) -> dict[str, Any]:
        """All scores as plain numbers, for JSON."""
        return asdict(self)


def score(matrix: Matrix, scheme: ClassScheme) -> Scores:
    """The scores of a confusion matrix as `count` makes it.

    A ratio without any pixel in its denominator is 0, as in scikit-learn's ``zero_division=0``.
    """
    n = len(scheme)
    square = matrix[:, :n]
    right = np.diag(square)
    support, mapped = square.sum(axis=1), square.sum(axis=0)
    precision, recall = _ratio(right, mapped), _ratio(right, support)
    f1 = _ratio(2 * right, support + mapped)
    iou = _ratio(right, support + mapped - right)
    occurs = (support + mapped) > 0
    total = int(square.sum())
    change = _change_scores(square, scheme.no_change)
    return Scores(
        classes=tuple(
            ClassScores(
                name, float(precision[k]), float(recall[k]), float(f1[k]), float(iou[k]),
                int(support[k]),
            )
            for k, name in enumerate(scheme.names)
        ),
        accuracy=float(right.sum() / total) if total else 0.0,
        macro_f1=float(f1[occurs].mean()) if occurs.any() else 0.0,
        miou=float(iou[occurs].mean()) if occurs.any() else 0.0,
        change_f1=change.get("f1"),
        change_precision=change.get("precision"),
        change_recall=change.get("recall"),
        no_change_f1=change.get("no_change_f1"),
        pixels=total,
        unmapped=int(matrix[:, n:].sum()),
    )  # fmt: skip


def all_no_change(matrix: Matrix, scheme: ClassScheme) -> Matrix | None:
    """The matrix of a map that says 'No change' everywhere; None without a class of that name."""
    if scheme.no_change is None:
        return None
    n = len(scheme)
    baseline = np.zeros_like(matrix)
    baseline[:, scheme.no_change] = matrix[:, :n].sum(axis=1)
    return baseline


def _change_scores(square: Matrix, no_change: int | None) -> Mapping[str, float]:
    if no_change is None:
        return {}
    kept = square[no_change, no_change]
    false_alarms = square[no_change].sum() - kept
    missed = square[:, no_change].sum() - kept
    found = square.sum() - kept - false_alarms - missed
    return {
        "f1": float(_ratio(2 * found, 2 * found + false_alarms + missed)),
        "precision": float(_ratio(found, found + false_alarms)),
        "recall": float(_ratio(found, found + missed)),
        "no_change_f1": float(_ratio(2 * kept, 2 * kept + false_alarms + missed)),
    }


def _ratio(part: Any, whole: Any) -> NDArray[np.float64]:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    ratio: NDArray[np.float64] = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return ratio
