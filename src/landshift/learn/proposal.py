"""Which small network suits few labels: cross-validation over ground."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

import numpy as np

from landshift import tileset, training
from landshift.dataset import TrainingData
from landshift.engine import TorchEngine
from landshift.errors import SplitError
from landshift.evaluation import baselines
from landshift.machine import progress
from landshift.models import ChangeModel
from landshift.scores import confusion
from landshift.training import Training

log = logging.getLogger(__name__)

SPARSE = 0.2
"""Share of labelled pixels below which labels are few: polygons drawn by hand cover 1 to 15 % of
the ground (Taizhou: 13 %), class maps nearly all of it."""

FOLDS = 4
"""Splits by ground; each trains on three quarters of the tiles or so."""

STEPS = 100
"""Training steps of a small network in a fold: discriminants need none, the others are near their
end."""

GAINS = (0.0, 0.05)
"""Largest change of each band's values, as a share, when a fold is judged: as it is, and as an
image of another day would show it once `normalise` has brought it close."""

MODELS = ("linear", "quadratic", "pixel", "conv3")
FEATURES = (("difference",), ("bands",), ("bands", "difference"))
"""Candidates, from those that hold best elsewhere to those that fit one place best: a constant
change of brightness in both dates leaves differences as they are."""


@dataclass(frozen=True)
class Candidate:
    """A small network, and how it did on ground that it wasn't trained on.

    Attributes:
        model: Its name in `landshift.models.ARCHITECTURES`.
        features: What it sees, see `InputSpec`.
        kappas: Cohen's kappa of each fold, the mean over `GAINS`.
    """

    model: str
    features: tuple[str, ...]
    kappas: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean kappa."""
        return fmean(self.kappas)

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return stdev(self.kappas) / len(self.kappas) ** 0.5 if len(self.kappas) > 1 else 0.0

    def __repr__(self) -> str:
        return f"{self.model} on {' and '.join(self.features)}"


def labelled_share(data: TrainingData) -> float:
    """Share of the training tiles' pixels that have a label."""
    pixels = sum(data.named_pixels().values())
    return pixels / max(len(data.split.train) * data.tiles.height * data.tiles.width, 1)


def propose(data: TrainingData) -> tuple[Candidate, list[Candidate]] | None:
    """The small network to take, and all that were compared; None where the tiles don't allow it.

    The best mean kappa over folds of the training ground decides; of those within one standard
    error of it, the first candidate is taken (Breiman et al. 1984, the one-standard-error rule).

    Args:
        data: The tiles; validation tiles take no part.
    """
    folds = _folds(data)
    if not folds:
        return None
    dates = len(data.spec.by_date())
    kinds = FEATURES if dates > 1 else (("bands",),)
    jobs = list(itertools.product(kinds, MODELS))
    candidates = []
    with progress.step("compare small networks", len(jobs)) as comparing:
        for features, model in jobs:
            kappas = [_kappa(fold, model, features) for fold in folds]
            known = tuple(k for k in kappas if k is not None)
            if known:
                candidates.append(Candidate(model, features, known))
            comparing.advance()
    if not candidates:
        return None
    best = max(candidates, key=lambda c: c.mean)
    chosen = next(c for c in candidates if c.mean >= best.mean - best.error)
    return chosen, candidates


def explained(chosen: Candidate, candidates: Sequence[Candidate], share: float) -> str:
    """Why a network is proposed, in a line."""
    others = sorted((c for c in candidates if c is not chosen), key=lambda c: -c.mean)[:3]
    listed = ", ".join(f"{c!r} {c.mean:.3f}" for c in others)
    return (
        f"{100 * share:.1f} % of the training pixels are labelled: the small network {chosen!r} is "
        f"taken, with a kappa of {chosen.mean:.3f} on ground apart from its training (mean of "
        f"{len(chosen.kappas)} splits; {listed}). `model` names another; bring the dates together "
        "first (`landshift normalise --method invariant`)."
    )


def _folds(data: TrainingData) -> list[TrainingData]:
    """Splits of the training tiles, each with both classes on either side where that can be."""
    chosen = tuple(data.tiles.tiles[k] for k in data.split.train)
    tiles = replace(data.tiles, tiles=chosen)
    try:
        splits = tileset.several_by_ground(
            tiles, FOLDS, valid_share=1 / FOLDS, seed=data.options.seed
        )
    except SplitError:
        return []
    plain = replace(data.options, augment=False)
    return [replace(data, tiles=tiles, split=split, options=plain) for split in splits]


def _kappa(data: TrainingData, name: str, features: Sequence[str]) -> float | None:
    """Kappa on a fold's validation tiles; None where one class alone is there."""
    pixels, labels = baselines.training_pixels(data)
    if len(np.unique(labels)) < 2:
        return None
    spec = replace(data.spec, features=tuple(features))
    model = ChangeModel(name, spec, data.scheme, pretrained=False, seed=data.options.seed)
    model.start(pixels, labels)
    if not model.starts_near:
        options = Training(max_steps=STEPS, checkpoint=False, augmentation=None)
        options = training.with_learning_rate(model, data, options)
        training.fit(model, data, options, checked=True)
    engine = TorchEngine(model)
    random = np.random.default_rng(data.options.seed)
    kappas = []
    for spread in GAINS:
        gains = random.uniform(1 - spread, 1 + spread, (len(data.spec.bands), 1, 1))
        counts = np.zeros((len(data.scheme), len(data.scheme) + 1), np.int64)
        for image, target in data.plain(data.split.valid).arrays():
            seen = (image * gains).astype(np.float32)[np.newaxis]
            mapped = engine.predict(seen).argmax(1)[0].astype(np.uint8)
            counts += confusion.count(target, mapped, len(data.scheme))
        kappa = confusion.kappa(counts[:, :-1])
        if kappa is None or (counts.sum(axis=1) > 0).sum() < 2:
            return None
        kappas.append(kappa)
    return fmean(kappas)
