"""How a result went, in plain words: the findings of `landshift.scores`, as a section of a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from landshift.classes import stays
from landshift.pages.report import parts
from landshift.pages.report.counts import MapCounts
from landshift.pages.report.formats import EvaluationRecord, finite
from landshift.pages.report.page import Section
from landshift.scores import comparability, findings
from landshift.scores.comparison import ALL_NO_CHANGE, standing
from landshift.scores.findings import Finding, LearningRecord

if TYPE_CHECKING:  # imports torch, which only a page of a model needs
    from landshift.bundle import Package

GRAVE = (
    "one-class", "worse-than-no-change", "worse-than-simpler", "too-few-steps", "unseen",
    "unrelated", "shifted", "never-mapped", "never-right",
)  # fmt: skip
"""Kinds of findings that a reader must know before looking at the map."""

_PRAISE = "better-than-simpler"


@dataclass(frozen=True)
class Verdict:
    """How a result went.

    Attributes:
        findings: In the order of their importance.
        measured: Whether its accuracy was measured, by a reference or a sample.
        useless: Whether a map of one class, or without change, would tell as much.
    """

    findings: Sequence[Finding]
    measured: bool
    useless: bool

    @property
    def is_grave(self) -> bool:
        """Whether a finding speaks against the result."""
        return any(f.kind in GRAVE for f in self.findings)

    def section(self, subject: str) -> Section:
        """The section 'How it went'.

        Args:
            subject: What the page is about: 'map' or 'model'.
        """
        if self.useless:
            lead = f"This {subject} should not be used."
        elif self.is_grave:
            lead = f"Read this before you use the {subject}."
        elif any(f.kind == _PRAISE for f in self.findings):
            lead = f"The scores speak for this {subject}."
        elif self.measured:
            lead = f"No finding speaks against this {subject}."
        else:
            lead = (
                f"No finding speaks against this {subject}, but without scores it remains unknown "
                "how right it is."
            )
        tone = "bad" if self.useless else "care" if self.is_grave else "good"
        tone = tone if self.measured or self.findings else "plain"
        entries = [(f.text, f.advice, _tone(f)) for f in self.findings]
        shown = [parts.verdict(lead, tone), *([parts.findings(entries)] if entries else [])]
        return Section("verdict", "How it went", shown)


def _tone(finding: Finding) -> str:
    if finding.kind in GRAVE:
        return "care"
    return "good" if finding.kind == _PRAISE else "plain"


def of_job(
    counted: MapCounts | None,
    evaluation: EvaluationRecord | None,
    package: Package | None,
    checks: Iterable[Mapping[str, Any]],
    *,
    sampled: bool,
) -> Verdict:
    """The findings on a map.

    Args:
        counted: The map's pixels.
        evaluation: Its scores.
        package: The model that made it.
        checks: What was measured of the composites it was made from.
        sampled: Whether its accuracy was estimated from a sample.
    """
    known: list[Finding] = []
    if counted is not None:
        known += _of_pixels(counted, evaluation)
    if evaluation is not None:
        known += _of_scores(evaluation, package)
    if package is not None:
        known += findings.of_learning(_learning(package))
    for of_composite in checks:
        known += comparability.not_comparable(of_composite)
    return _verdict(known, evaluation, measured=sampled or evaluation is not None)


def of_model(package: Package, evaluation: EvaluationRecord | None) -> Verdict:
    """The findings on a model."""
    known = findings.of_learning(_learning(package))
    if evaluation is not None:
        names = [c.Name for c in evaluation.classes]
        pixels = findings.mapped_and_reference(evaluation.confusion.counts, names)
        known += [*findings.of_pixels(*pixels), *_of_scores(evaluation, package)]
    return _verdict(known, evaluation, measured=evaluation is not None)


def _verdict(
    known: Iterable[Finding], evaluation: EvaluationRecord | None, *, measured: bool
) -> Verdict:
    ranked = findings.ranked(known)
    useless = any(f.kind == "one-class" for f in ranked)
    still = None if evaluation is None else evaluation.baselines.get(ALL_NO_CHANGE)
    if evaluation is not None and still is not None:
        against = standing(evaluation.scores, still)
        # any change at all gives a better change F1 than none
        useless = useless or len(against.worse) > len(against.better)
    return Verdict(ranked, measured, useless)


def _of_pixels(counted: MapCounts, evaluation: EvaluationRecord | None) -> list[Finding]:
    """Whether one class fills the map: beside the reference where there is one."""
    if evaluation is not None:
        names = [c.Name for c in evaluation.classes]
        pixels = findings.mapped_and_reference(evaluation.confusion.counts, names)
        return findings.of_pixels(*pixels)
    unchanged = [c.name for c in counted.classes if stays(c.name)]
    return findings.of_pixels({c.name: c.pixels for c in counted.classes}, unchanged=unchanged)


def _of_scores(evaluation: EvaluationRecord, package: Package | None) -> list[Finding]:
    semantic = package is not None and package.model.class_maps
    return findings.of_scores(
        evaluation.scores, evaluation.baselines, semantic=semantic, counted=evaluation.counted
    )


def _learning(package: Package) -> LearningRecord:
    """The losses of a training; epochs without both are left out."""
    losses = [
        (train, valid)
        for train, valid in (
            (finite(row.get("train_loss")), finite(row.get("valid_loss")))
            for row in package.history
        )
        if train is not None and valid is not None
    ]
    return LearningRecord(
        [train for train, _ in losses], [valid for _, valid in losses],
        findings.pixels_of(package.training), findings.steps_of(package.training),
        semantic=package.model.class_maps,
    )  # fmt: skip
