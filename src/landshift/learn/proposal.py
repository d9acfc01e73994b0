"""Which small network suits few labels: cross-validation over ground."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

import numpy as np

from landshift import tileset
from landshift.dataset import TrainingData
from landshift.engine import TorchEngine
from landshift.errors import ModelError, SplitError
from landshift.evaluation import baselines
from landshift.learn.folds import quick_model
from landshift.machine import progress
from landshift.models.derived import Derived
from landshift.scores import confusion

SPARSE = 0.2
"""Share of the training tiles' pixels below which labels are few: Taizhou's polygons cover 17 % of
tiles of 25 pixels, class maps nearly all of them."""

FOLDS = 4
"""Splits by ground; each trains on three quarters of the tiles or so."""

STEPS = 100
"""Training steps of a small network in a fold, few since each candidate is trained in each fold;
discriminants start fitted and need none."""

LEAST_TILES = 16
"""Training tiles that hold each class, at least, for a comparison: four for each fold."""

USUAL = "quadratic"
"""The network where there are too few tiles to compare by: the best of the four on Taizhou with 1
or 5 polygons a class (docs/results.md)."""

GAINS = (0.0, 0.05)
"""Largest change of each band's values, as a share, when a fold is judged: as it is, and as an
image of another day would show it once `normalise` has brought it close."""

MODELS = ("linear", "quadratic", "pixel", "conv3")
FEATURES: tuple[tuple[str, ...], ...] = (("difference",), ("bands",), ("bands", "difference"))
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


@dataclass(frozen=True)
class Proposal:
    """A small network for few labels.

    Attributes:
        model: Its name in `landshift.models.ARCHITECTURES`.
        features: What it sees.
        why: Why it is taken.
        compared: All that were compared.
    """

    model: str
    features: tuple[str, ...]
    why: str
    compared: tuple[Candidate, ...] = ()

    def line(self, share: float) -> str:
        """What is taken and why, with the share of labelled pixels."""
        return (
            f"{100 * share:.1f} % of the training pixels are labelled: the small network "
            f"{self.model} on {' and '.join(self.features)} is taken ({self.why}). `model` names "
            "another; bring the dates together first (`landshift normalise --method invariant`)."
        )


def labelled_share(data: TrainingData) -> float:
    """Share of the training tiles' pixels that have a label."""
    pixels = sum(data.named_pixels().values())
    return pixels / max(len(data.split.train) * data.tiles.height * data.tiles.width, 1)


def propose(data: TrainingData, features: Sequence[str] = ()) -> Proposal | None:
    """The small network to take; None where the tiles can't be split.

    The best mean kappa over folds of the training ground decides; of those within one standard
    error of it, the first candidate is taken (Breiman et al. 1984, the one-standard-error rule).
    Where fewer than `LEAST_TILES` hold a class, nothing is compared: the quadratic discriminant
    is taken.

    Args:
        data: The tiles; validation tiles take no part.
        features: What the networks see; () compares those of `FEATURES` that the bands give.
    """
    kinds = [tuple(features)] if features else _possible(data)
    rarest, tiles = _rarest(data)
    if tiles < LEAST_TILES:
        why = f"{tiles} training tiles hold {rarest}, too few to compare networks by"
        return Proposal(USUAL, kinds[0], why)
    folds = _folds(data)
    jobs = list(itertools.product(kinds, MODELS)) if folds else []
    compared = []
    with progress.step("compare small networks", len(jobs)) as comparing:
        for seen, model in jobs:
            kappas = [_kappa(fold, model, seen) for fold in folds]
            known = tuple(k for k in kappas if k is not None)
            if known:
                compared.append(Candidate(model, seen, known))
            comparing.advance()
    if not compared:
        return None
    best = max(compared, key=lambda c: c.mean)
    chosen = next(c for c in compared if c.mean >= best.mean - best.error)
    others = sorted((c for c in compared if c is not chosen), key=lambda c: -c.mean)[:3]
    why = (
        f"a kappa of {chosen.mean:.3f} on ground apart from its training, the mean of "
        f"{len(chosen.kappas)} splits ({', '.join(f'{c!r} {c.mean:.3f}' for c in others)})"
    )
    return Proposal(chosen.model, chosen.features, why, tuple(compared))


def _possible(data: TrainingData) -> list[tuple[str, ...]]:
    """Those of `FEATURES` that the bands give."""
    possible: list[tuple[str, ...]] = []
    for features in FEATURES:
        try:
            Derived(replace(data.spec, features=features))
        except ModelError:
            continue
        possible.append(features)
    return possible


def _rarest(data: TrainingData) -> tuple[str, int]:
    """The class that fewest training tiles hold, of those that any holds, and their number."""
    held: Counter[int] = Counter()
    for k in data.split.train:
        held.update(v for v, pixels in data.tiles.tiles[k].class_pixels.items() if pixels)
    tiles = {c.name: held[c.value] for c in data.scheme if held[c.value]}
    name = min(tiles, key=lambda n: tiles[n], default="a class")
    return name, tiles.get(name, 0)


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
    if len(np.unique(baselines.training_pixels(data)[1])) < 2:
        return None
    engine = TorchEngine(quick_model(data, name, features, STEPS))
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
