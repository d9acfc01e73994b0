"""Per-pixel rules fitted on the training tiles: the baseline that a network must beat."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift.classes import IGNORE_INDEX
from landshift.errors import ClassError
from landshift.machine import parallel, progress

if TYPE_CHECKING:
    from landshift.dataset import TrainingData

PIXELS = 200_000
"""Labelled training pixels that a rule is fitted on, at most."""

TREES = 60
"""Trees of the random forest."""

LEAF = 3
"""Training pixels in a leaf of a tree, at least."""

_SPREAD = 1e-4  # least variance of a class, of that of a band: bands are often collinear

Rule = Callable[[NDArray[np.float32]], NDArray[np.uint8]]
"""Class indices ``(row, column)`` of an image ``(band, row, column)`` as `InputSpec.fill` makes."""

_PART = 1 << 15  # pixels classified at once: memory doesn't grow with the image
_TREES_AT_ONCE = 6  # between two reports of progress, or one for each core


def fit(data: TrainingData, names: Sequence[str] | None = None) -> dict[str, Rule]:
    """Fit rules on the same labelled pixels of the training tiles, drawn with the data's seed.

    Args:
        data: The tiles.
        names: Which of `RULES`; None for those of `USUAL`.

    Raises:
        ClassError: No labelled pixel in the training tiles.
    """
    pixels, labels = training_pixels(data)
    rules: dict[str, Rule] = {}
    for name in USUAL if names is None else names:
        rules[name] = _by_pixel(RULES[name](pixels, labels, data.options.seed))
    return rules


def _discriminant(pixels: NDArray[Any], labels: NDArray[Any], seed: int) -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.dummy import DummyClassifier

    if len(np.unique(labels)) == 1:  # nothing to separate
        return DummyClassifier(strategy="most_frequent").fit(pixels, labels)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Variables are collinear")  # bands often are
        return LinearDiscriminantAnalysis().fit(pixels, labels)


def _quadratic(pixels: NDArray[Any], labels: NDArray[Any], seed: int) -> Any:
    from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
    from sklearn.dummy import DummyClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = np.flatnonzero(np.bincount(labels) > 1)  # one pixel gives no variance
    if len(known) < 2:
        return DummyClassifier(strategy="most_frequent").fit(pixels, labels)
    chosen = np.isin(labels, known)
    rule = make_pipeline(StandardScaler(), QuadraticDiscriminantAnalysis(reg_param=_SPREAD, tol=0))
    return rule.fit(pixels[chosen], labels[chosen])


def _forest(pixels: NDArray[Any], labels: NDArray[Any], seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        min_samples_leaf=LEAF, random_state=seed, n_jobs=-1, warm_start=True
    )
    some = max(_TREES_AT_ONCE, parallel.threads())
    with progress.step("fit random forest", TREES) as fitting:
        for trees in [*range(some, TREES, some), TREES]:  # the same trees as in one go
            forest.set_params(n_estimators=trees).fit(pixels, labels)
            fitting.to(trees)
    # trees in parallel add up their votes in any order, and ties would differ between runs
    return forest.set_params(n_jobs=1, warm_start=False)


LINEAR = "linear discriminant"
FOREST = "random forest"

RULES: dict[str, Callable[[NDArray[Any], NDArray[Any], int], Any]] = {
    LINEAR: _discriminant,
    "quadratic discriminant": _quadratic,
    FOREST: _forest,
}
"""Per-pixel rules by name: Fisher's linear discriminant; one normal distribution for each class
(the quadratic discriminant); a random forest (Breiman 2001)."""

USUAL = (LINEAR, FOREST)
"""Rules fitted where no names are given."""


def _by_pixel(classifier: Any) -> Rule:
    def rule(image: NDArray[np.float32]) -> NDArray[np.uint8]:
        flat = image.reshape(len(image), -1).T
        starts = range(0, len(flat), _PART)
        parts = [classifier.predict(flat[start : start + _PART]) for start in starts]
        return np.concatenate(parts).astype(np.uint8).reshape(image.shape[1:])

    return rule


def training_pixels(data: TrainingData) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The same share of labelled pixels from each training tile, by weight where they have one."""
    random = np.random.default_rng(data.options.seed)
    labelled = sum(
        n for v, n in data.tiles.class_pixels(data.split.train).items() if v in data.scheme.values
    )
    share = min(1.0, PIXELS / max(labelled * (data.mean_weight or 1.0), 1))
    samples = data.plain(data.split.train, weights=True)
    pixels, labels = [], []
    for image, targets, *weights in map(samples.__getitem__, range(len(samples))):
        target = targets[0].numpy().astype(np.uint8)
        chosen = (target != IGNORE_INDEX) & (random.random(target.shape) < share)
        if weights:
            chosen &= random.random(target.shape) < weights[0].numpy()
        pixels.append(image.numpy()[:, chosen].T)
        labels.append(target[chosen])
    if not sum(map(len, labels)):
        raise ClassError(
            f"The training tiles must hold labelled pixels, got none in {data.tiles.folder}; "
            "check the class mapping."
        )
    drawn, classes = np.concatenate(pixels), np.concatenate(labels)
    if len(classes) > PIXELS:  # the draw may exceed it a little by chance
        kept = random.permutation(len(classes))[:PIXELS]
        return drawn[kept], classes[kept]
    return drawn, classes
