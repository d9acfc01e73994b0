"""The main figures of a job: of the map itself, of its estimate, of its scores."""

from __future__ import annotations

from markupsafe import Markup

from landshift.classes import stays
from landshift.pages.report import parts
from landshift.pages.report.counts import MapClass, MapCounts
from landshift.pages.report.formats import AreaClass, Areas, EvaluationRecord, ScoresRecord
from landshift.pages.report.parts import Fact, share
from landshift.scores.comparison import ALL_NO_CHANGE

LARGEST = 3
"""Changes named at a glance, the largest first; the sections below have all."""


def facts(
    counted: MapCounts | None, assessment: Areas | None, evaluation: EvaluationRecord | None
) -> Markup:
    """The main figures: areas as estimated, else as counted in the map; then scores.

    Args:
        counted: The map's pixels.
        assessment: Areas of this map with intervals.
        evaluation: Scores against a reference.
    """
    entries = []
    if assessment is not None:
        entries += _estimated(assessment)
    elif counted is not None:
        entries += _counted(counted)
    if evaluation is not None:
        entries += _scored(evaluation)
    return parts.facts([entry for entry in entries if entry.value != parts.NONE])


def _estimated(assessment: Areas) -> list[Fact]:
    entries = []
    by = f"by {assessment.units:,} labelled units"
    stayed = [c for c in assessment.classes if stays(c.name)]
    changed = [c for c in assessment.classes if not stays(c.name)]
    if len(stayed) == 1 and stayed[0].hectares is not None and assessment.hectares > 0:
        whole, same = assessment.hectares, stayed[0].hectares
        # the rest of a known area; a normal interval may reach beyond it
        ends = (max(whole - same.upper, 0.0), min(whole - same.lower, whole))
        entries.append(
            Fact(
                "Changed",
                f"{1 - same.value / whole:.1%}",
                f"{_range(*(end / whole for end in ends), form='.1%')} "
                f"({assessment.level:.0%} interval), {by}",
            )
        )
    what = "changes" if stayed else "classes"
    for place, c in enumerate(_largest(changed)):
        assert c.hectares is not None, "classes without an estimate are left out"
        ends = (c.hectares.lower, c.hectares.upper)
        note = f"{_range(*ends, form=',.0f')} ha ({assessment.level:.0%} interval)"
        first = f"the largest of the {what}, " if not place else ""
        entries.append(Fact(c.name, f"{c.hectares.value:,.0f} ha", f"{first}{note}"))
    overall = assessment.overall
    entries.append(
        Fact(
            "Overall accuracy", f"{overall.value:.1%}",
            f"{_range(overall.lower, overall.upper, form='.1%')} "
            f"({assessment.level:.0%} interval), {by}",
        )
    )  # fmt: skip
    return entries


def _largest(classes: list[AreaClass]) -> list[AreaClass]:
    known = [c for c in classes if c.hectares is not None]
    return sorted(known, key=lambda c: -c.hectares.value if c.hectares else 0.0)[:LARGEST]


def _counted(counted: MapCounts) -> list[Fact]:
    entries = []
    changed = counted.changed
    if counted.is_change:
        amount = _amount(*changed, unknown="0 ha" if counted.hectares is not None else "0 pixels")
        entries.append(
            Fact("Changed in the map", f"{counted.share(*changed):.1%}", f"{amount}, counted")
        )
    for c in changed[:LARGEST]:
        entries.append(Fact(c.name, _amount(c), f"{counted.share(c):.1%} of the map, counted"))
    return entries


def _amount(*classes: MapClass, unknown: str = "0 pixels") -> str:
    """Hectares of classes, or their pixels where areas aren't known."""
    if not classes:
        return unknown
    if all(c.hectares is not None for c in classes):
        return f"{sum(c.hectares or 0.0 for c in classes):,.0f} ha"
    return f"{sum(c.pixels for c in classes):,} pixels"


def _scored(evaluation: EvaluationRecord) -> list[Fact]:
    """Scores, each beside that of a map without change, which many a score looks good beside."""
    still = evaluation.baselines.get(ALL_NO_CHANGE)
    names = (("Accuracy", "accuracy"), ("Macro F1", "macro_f1"), ("Change F1", "change_f1"))
    return [
        Fact(title, share(getattr(evaluation.scores, key)), _beside(still, key))
        for title, key in names
    ]


def _beside(still: ScoresRecord | None, key: str) -> str:
    against = "against the reference"
    if still is None:
        return against
    return f"{against}; no change everywhere: {share(getattr(still, key))}"


def _range(low: float, high: float, *, form: str) -> str:
    return f"{low:{form}} to {high:{form}}"
