"""What each command prints of its result: a function per command, of the command's name."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from landshift.cli.lines import say
from landshift.cli.show import table
from landshift.show import tables

if TYPE_CHECKING:
    from pathlib import Path

    from landshift.assess.agreement import AgreementTable
    from landshift.assess.assessment import Assessment
    from landshift.assess.sample import NewSample
    from landshift.evaluation.evaluation import Evaluation
    from landshift.maps.patches import Fragmentation
    from landshift.maps.polygons import Traced
    from landshift.maps.transitions import TransitionTable
    from landshift.maps.zonal import Zones
    from landshift.pages.labelling.session import LabellingSession


def path(written: object) -> None:
    """What commands print that have no function here: the path that they return."""
    say(written)


def _paths(files: Iterable[Path]) -> None:
    for file in files:
        say(file)


def label(found: TransitionTable) -> None:
    """Transitions, what each class gained and lost, what was left out, paths."""
    table(tables.transitions(found))
    table(tables.class_changes(found))
    for (first, second), pixels in found.forbidden.items():
        if pixels:
            say(f"{pixels:,} pixels of the forbidden {first}->{second} are nodata.")
    if found.removed:
        say(f"{found.removed:,} pixels of change were taken away by the cleaning.")
    if found.filtered:
        say(f"{found.filtered:,} pixels are left out by the filter.")
    say(f"{found.changed:.1%} of the classed pixels changed.")
    _paths(found.files)


def patches(found: Fragmentation) -> None:
    """Measures of each class, the path."""
    table(tables.fragmentation(found))
    _paths(found.files)


def polygons(found: Traced) -> None:
    """Polygons of each class, what is too small, the path."""
    table(tables.patches(found))
    if found.dropped:
        say(f"{found.dropped:,} patches are smaller than {found.min_hectares:g} ha.")
    say(found.path)


def zonal(found: Zones) -> None:
    """Classes in zones, the paths."""
    table(tables.zones(found))
    _paths(found.files)


def evaluate(judged: Evaluation) -> None:
    """Scores of each class and of each method, calibration, notes, the paths."""
    table(tables.per_class(judged.scores))
    table(tables.compare(judged.methods))
    semantic = tables.semantic(judged.methods)
    if semantic is not None:
        table(semantic)
    if judged.calibration is not None:
        table(tables.calibration(judged.calibration))
    if judged.scores.unmapped:
        say(f"{judged.scores.unmapped:,} labelled {judged.counted} have no class in the map.")
    for note in judged.notes:
        say(note)
    _paths(judged.files)


def sample(drawn: NewSample) -> None:
    """Strata, the floor, strata with few units, the expected error, the paths."""
    from landshift.assess.design import FEW

    table(tables.strata(drawn.design))
    if drawn.floor is not None:
        say(f"Allocation floor: at least {drawn.floor:,} units a stratum (or all it holds).")
    if drawn.few:
        few = ", ".join(f"{s.name} {s.sampled:,}" for s in drawn.few)
        say(
            f"Fewer than {FEW} units in: {few}. Intervals of these classes will be wide; give them "
            "more (--floor, --stratum-units)."
        )
    if drawn.expected_error is not None:
        say(f"Expected standard error: {drawn.expected_error:.4f} of the area.")
    _paths(drawn.files)


def estimate(assessment: Assessment) -> None:
    """Areas, accuracies, confusion and domains, the method, notes, the paths."""
    table(tables.areas(assessment))
    table(tables.accuracies(assessment))
    table(tables.area_confusion(assessment))
    if assessment.domains:
        table(tables.domains(assessment))
    say(f"{assessment.level:.0%} intervals. {assessment.method}")
    for note in assessment.notes:
        say(note)
    _paths(assessment.files)


def label_samples(session: LabellingSession | AgreementTable) -> None:
    """Serve the page until Ctrl+C, then print how much is labelled; or print the agreement."""
    from landshift.assess.agreement import AgreementTable

    if isinstance(session, AgreementTable):
        _print_agreement(session)
        return
    with session:
        for name, count in session.off.items():
            if count:
                say(f"{count:,} of {session.progress()['units']:,} units lie off the image {name}.")
        signal.signal(signal.SIGTERM, _interrupt)
        say(f"Label at {session.address} (this machine only; Ctrl+C ends).")
        sys.stdout.flush()
        session.serve()
        counts, disputed = session.progress(), session.in_dispute()
    done = "reviewed" if session.review else "labelled"
    say(f"{counts['answered']:,} of {counts['units']:,} units {done}.")
    if disputed:
        say(f"{disputed:,} units in dispute wait for a review (--review).")
    say(session.sample)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _print_agreement(agreement: AgreementTable) -> None:
    table(tables.agreements(agreement.agreements))
    for pair in agreement.agreements:
        if pair.on == "map" and pair.units:
            table(tables.agreement(pair))
    say(f"{agreement.disputed:,} units in dispute, {agreement.reviewed:,} of them reviewed.")
