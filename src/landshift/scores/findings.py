"""How a result went, in plain words, and the next thing to try.

Everything here follows from figures alone: scores, pixels of classes and the training table.
`landshift.scores.comparability` does the same for the images. docs/scores.md lists the kinds.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from landshift.errors import listed
from landshift.scores.comparison import (
    ALL_NO_CHANGE,
    ScoresLike,
    Standing,
    of_measure,
    spoken,
    standing,
)

ONE_CLASS = 0.95
"""Share of a map above which one class fills it."""

OTHERS = 0.5
"""Share of their ground in the reference below which a map that one class fills has lost the
others; where the reference too is nearly of one class, the map may be."""

FALLING = 0.1
"""Share of its value by which the validation loss falls over the last quarter of the epochs in a
training that was too short. The learning rate falls to 0 there: trainings of pucallpa's tiles that
had enough steps lost 0.02 to 0.07, those of a few dozen steps 0.16 to 0.7."""

FEW_STEPS = 100
"""Steps in all below which a training is short: half of what is planned for two classes and tiles
of 128 pixels, and as many as are planned before classes are counted (`landshift.training.plan`)."""

RISEN = 1.1
"""Factor by which the validation loss at the end exceeds its least value in a training that was
too long; below it, the loss of a few validation tiles varies by chance."""

FEW_REFERENCE_PIXELS = 1000
"""Reference pixels of a class below which its scores are uncertain: neighbouring pixels aren't
independent, and a thousand are a few dozen patches."""

FEW_REFERENCE_POINTS = 20
"""Labelled points of a class below which its scores are uncertain: one more right or wrong moves
them by 0.05."""

Counted = Literal["pixels", "points"]
"""Unit of scores: each pixel of a reference raster, or each labelled point."""

MOST = 5
"""Findings that are shown of one result."""


@dataclass(frozen=True)
class Finding:
    """A remark on a result.

    Attributes:
        kind: What is remarked on: one of `KINDS`.
        text: What is so, with its figures: one or two sentences.
        advice: The next thing to try: one sentence, its parameters in backquotes; empty where
            there is none, or an earlier finding says it.
    """

    kind: str
    text: str
    advice: str = ""

    def __post_init__(self) -> None:
        assert self.kind in KINDS, self.kind

    def __str__(self) -> str:
        """Text and advice."""
        return f"{self.text} {self.advice}".rstrip()

    def as_dict(self) -> dict[str, str]:
        """Kind, text and advice, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class LearningRecord:
    """How a model learnt.

    Attributes:
        training: Training loss of each epoch.
        validation: Validation loss of each epoch.
        pixels: Labelled training pixels of each class, by name.
        steps: Steps in all; None: not known.
        semantic: Whether it learnt the classes of both dates beside the change.
    """

    training: Sequence[float] = ()
    validation: Sequence[float] = ()
    pixels: Mapping[str, int] = field(default_factory=dict)
    steps: int | None = None
    semantic: bool = False


KINDS = (
    "one-class", "worse-than-no-change", "worse-than-simpler", "better-than-simpler",
    "too-few-steps", "unseen", "unrelated", "shifted", "too-many-steps", "never-mapped",
    "never-right", "few-reference",
)  # fmt: skip
"""The kinds of findings: first how the result stands, then why, then what concerns single
classes."""


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """The findings in the order of `KINDS`, each once; the first `MOST` are shown."""
    return sorted(dict.fromkeys(findings), key=lambda f: KINDS.index(f.kind))


def of_scores(
    scores: ScoresLike,
    others: Mapping[str, ScoresLike],
    *,
    semantic: bool = False,
    counted: Counted = "pixels",
) -> list[Finding]:
    """Findings on the scores of a map or model, beside those of simpler methods.

    Args:
        scores: Its scores.
        others: Scores of simpler methods over the same pixels, by name.
        semantic: Whether it is of a model that learns the classes of both dates.
        counted: What the scores count.
    """
    few = FEW_REFERENCE_PIXELS if counted == "pixels" else FEW_REFERENCE_POINTS
    reference = sorted((c for c in scores.classes if c.support), key=lambda c: -c.support)
    findings = _comparisons(scores, others, semantic) if reference else []
    missing = [f"{c.name} ({c.support:,})" for c in reference if c.precision is None]
    wrong = [c.name for c in reference if c.precision is not None and not c.f1]
    rare = [f"{c.name} ({c.support:,})" for c in reversed(reference) if c.support < few]
    balance = (
        "Weigh rare classes more (`class_balancing` of `landshift train`), draw their tiles more "
        "often (`rare_classes`), or merge them with a class that resembles them."
    )
    if missing:
        text = f"Never mapped, though in the reference: {listed(missing)}."
        findings.append(Finding("never-mapped", text, balance))
    if wrong:
        text = f"Mapped, but nowhere right (F1 of 0): {listed(wrong)}."
        findings.append(Finding("never-right", text, "" if missing else balance))
    if rare:
        findings.append(
            Finding(
                "few-reference",
                f"Few reference {counted}: {listed(rare)}. Their scores are uncertain.",
                "Add reference ground of these classes; for a model, validate on more tiles "
                "(`val_split_pct` of `landshift train`).",
            )
        )
    return findings


def _comparisons(
    scores: ScoresLike, others: Mapping[str, ScoresLike], semantic: bool
) -> list[Finding]:
    standings = {name: standing(scores, other) for name, other in others.items()}
    worse = {name: _worse(scores, others[name], name, s) for name, s in standings.items()}
    of_no_change = worse.pop(ALL_NO_CHANGE, "")
    of_simpler = [text for text in worse.values() if text]
    advice = _learn_more(semantic or scores.change_f1 is None)
    findings = []
    if of_no_change:
        findings.append(Finding("worse-than-no-change", of_no_change, advice))
    if of_simpler:
        advice = "" if of_no_change else advice
        findings.append(Finding("worse-than-simpler", " ".join(of_simpler), advice))
    beaten: dict[tuple[str, ...], list[str]] = {}
    for name, s in standings.items():
        if s.better and not s.worse:
            beaten.setdefault(s.better, []).append(spoken(name))
    if beaten:
        text = " ".join(_better(scores, on, names) for on, names in beaten.items())
        findings.append(Finding("better-than-simpler", text))
    return findings


def _worse(scores: ScoresLike, other: ScoresLike, name: str, against: Standing) -> str:
    """The sentence on a method that does better somewhere, or equally well everywhere."""
    if against.worse:
        on = [
            f"{m} ({of_measure(scores, m):.3f} against {of_measure(other, m):.3f})"
            for m in against.worse
        ]
        rest = f"; better on {listed(against.better)}" if against.better else ""
        return f"Worse than {spoken(name)} on {listed(on)}{rest}."
    if against.better or not against.equal:
        return ""
    return f"No better than {spoken(name)} on {listed(against.equal)}."


def _better(scores: ScoresLike, on: Sequence[str], names: Sequence[str]) -> str:
    figures = [f"{measure} ({of_measure(scores, measure):.3f})" for measure in on]
    return f"Better than {listed(names)} on {listed(figures)}."


def _learn_more(plain: bool) -> str:
    """Advice to train on more; unless plain, also to learn the classes of both dates."""
    if plain:
        return "Train on more tiles (a smaller `stride` of `landshift tiles`)."
    return (
        "With class maps of both dates (`labels_before` and `labels_after` of `landshift tiles`), "
        "train the model that learns their classes (`model` semantic of `landshift train`); else "
        "train on more tiles (a smaller `stride`)."
    )


def shares(pixels: Mapping[str, int]) -> dict[str, float]:
    """Share of each class of a map, the largest first; empty without a pixel."""
    total = sum(pixels.values())
    ordered = sorted(pixels.items(), key=lambda item: -item[1])
    return {name: count / total for name, count in ordered} if total else {}


def mapped_and_reference(
    counts: Iterable[Sequence[int]], names: Sequence[str]
) -> tuple[dict[str, int], dict[str, int]]:
    """Pixels of each class in the map, and in the reference, where the map has a class.

    Args:
        counts: A confusion matrix as `landshift.scores.confusion.count` gives it: rows reference,
            columns map, the last one without a class.
        names: The classes.
    """
    square = [[int(n) for n in row][: len(names)] for row in counts]
    return (
        {name: sum(row[k] for row in square) for k, name in enumerate(names)},
        {name: sum(row) for name, row in zip(names, square, strict=True)},
    )


def of_pixels(
    mapped: Mapping[str, int],
    reference: Mapping[str, int] | None = None,
    *,
    unchanged: Collection[str] = (),
) -> list[Finding]:
    """Whether one class fills a map, though not the reference.

    Args:
        mapped: Pixels of each class in the map, by name.
        reference: Pixels of each class in the reference, over the same ground; None: there is none.
        unchanged: Names of the classes without change. Without a reference they may fill a map.
    """
    (name, share), *_ = [*shares(mapped).items(), ("", 0.0)]
    if share <= ONE_CLASS or (reference is None and name in unchanged):
        return []
    text = f"{share:.1%} of the map is '{name}'"
    if reference is not None:
        true = shares(reference).get(name, 0.0)
        if 1 - share >= OTHERS * (1 - true):
            return []
        text += f", but {true:.1%} of the reference"
    return [
        Finding(
            "one-class",
            f"{text}: the map hardly tells the classes apart.",
            "Train for longer (`epochs` of `landshift train`), and check that the image has the "
            "bands, the units and the radiometry of the training images (`landshift normalise`).",
        )
    ]


def of_learning(learning: LearningRecord) -> list[Finding]:
    """Whether a training was too short or too long, and classes that it never saw."""
    if learning.steps is not None and learning.steps < FEW_STEPS:
        counted = "1 step" if learning.steps == 1 else f"{learning.steps} steps"
        text = f"The training made {counted} in all, too few to learn from."
        advice = (
            "Leave out `epochs` and `max_steps` of `landshift train`: as many as the tiles need "
            "are planned."
        )
        length = [Finding("too-few-steps", text, advice)]
    else:
        length = _of_losses(learning.training, learning.validation)
    return [*_unseen(learning.pixels), *length]


def steps_of(record: Mapping[str, Any]) -> int | None:
    """Steps of a training that a package records; None where it doesn't say."""
    steps = record.get("steps")
    return steps if isinstance(steps, int) and steps >= 0 else None


def pixels_of(record: Mapping[str, Any]) -> dict[str, int]:
    """Labelled training pixels of each class that a package records; empty where it doesn't say."""
    pixels = record.get("pixels")
    return pixels if isinstance(pixels, dict) and all(map(_is_count, pixels.values())) else {}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 0


def _unseen(training: Mapping[str, int]) -> list[Finding]:
    names = [name for name, pixels in training.items() if not pixels]
    if not names:
        return []
    return [
        Finding(
            "unseen",
            f"No training pixel is of {listed(names)}: the model can't map what it never saw.",
            "Cut tiles where these classes occur, or split the tiles otherwise (`seed`, "
            "`val_split_pct` of `landshift train`).",
        )
    ]


def _of_losses(training: Sequence[float], validation: Sequence[float]) -> list[Finding]:
    pairs = zip(training, validation, strict=True)
    losses = [pair for pair in pairs if all(map(math.isfinite, pair))]
    if len(losses) < 2:
        return []
    late = 3 * (len(losses) - 1) // 4
    before, last = losses[late], losses[-1]
    least, epoch = min((valid, number) for number, (_, valid) in enumerate(losses))
    if epoch > late and last[0] < before[0] and last[1] < (1 - FALLING) * before[1]:
        return [
            Finding(
                "too-few-steps",
                f"The loss still falls: from epoch {late} to the last one in training from "
                f"{before[0]:.3g} to {last[0]:.3g}, in validation from {before[1]:.3g} to "
                f"{last[1]:.3g}.",
                f"Train for longer, say {4 * len(losses)} epochs (`epochs` of `landshift train`).",
            )
        ]
    if epoch < (len(losses) - 1) / 2 and last[1] > RISEN * least and last[0] < losses[epoch][0]:
        return [
            Finding(
                "too-many-steps",
                f"The validation loss was least, {least:.3g}, in epoch {epoch} and is "
                f"{last[1]:.3g} at the end: since then the network has overfitted the training "
                "tiles.",
                "More tiles (a smaller `stride` of `landshift tiles`) help more than further "
                "epochs.",
            )
        ]
    return []
