"""What each command prints of its result: a function per command, of the command's name.

What one returns is printed instead of the result with --print json.
"""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from landshift.cli import lines
from landshift.cli.lines import folded, say, spelled
from landshift.cli.show import table
from landshift.scores.comparison import by_rank
from landshift.scores.findings import MOST
from landshift.show import tables

if TYPE_CHECKING:
    from pathlib import Path

    from landshift.assess.agreement import AgreementTable
    from landshift.assess.assessment import Assessment
    from landshift.assess.sample import NewSample
    from landshift.bundle.hashes import Verified
    from landshift.bundle.saved import ModelFacts
    from landshift.catalogue.fetch import Fetched
    from landshift.catalogue.search import SearchResult
    from landshift.engine.padding import MeasuredPadding
    from landshift.engine.quantising import Quantised
    from landshift.evaluation.evaluation import Evaluation
    from landshift.learn.suspects import Suspects
    from landshift.learn.trained import TrainedModel
    from landshift.maps.patches import Fragmentation
    from landshift.maps.polygons import Traced
    from landshift.maps.series import SeriesTables
    from landshift.maps.transitions import TransitionTable
    from landshift.maps.zonal import Zones
    from landshift.pages.explore.session import Exploration
    from landshift.pages.labelling.session import LabellingSession
    from landshift.prepare.burn import PolygonLabels
    from landshift.prepare.difference import Difference
    from landshift.prepare.normalise import Normalisation
    from landshift.scores.findings import Finding
    from landshift.simulation.scene import Scene
    from landshift.tileset import Audit, AuditedSplit, CutTiles


class _RecipeRun(Protocol):
    """What is printed of a recipe's run; recipes stand above the command line."""

    folder: Path
    stages: Sequence[Any]
    commands: Sequence[str]


_ITEMS = 40  # items of a search that are listed
_PAIRS = 5  # pairs of classes taken for each other
_LEAKS = 40  # leaking pairs that are shown


def path(written: object) -> None:
    """What commands print that have no function here: the path that they return."""
    say(written)


def _paths(files: Iterable[Path]) -> None:
    for file in files:
        say(file)


def search(result: SearchResult) -> dict[str, object]:
    """Ranges, and their items if there are few; the paths.

    Returns:
        What --print json prints.
    """
    table(tables.date_ranges(result))
    if len(result.entries) <= _ITEMS:
        table(tables.items(result))
    else:
        say(f"{len(result.entries)} items; --out lists them.")
    _paths(result.files)
    ranges = [
        {
            "range": str(r.period), "items": len(r.entries), "days": r.days,
            "covered": r.covered, "median_cloud_percent": r.cloud,
        }
        for r in result.ranges
    ]  # fmt: skip
    files = [str(file) for file in result.files]
    return {"catalogue": result.catalogue, "ranges": ranges, "rows": result.rows(), "files": files}


def fetch(result: Fetched) -> None:
    """Each image with its clear observations, what was fetched and what is gone, the paths."""
    table(tables.fetched(result))
    say(f"{result.fetched / 1e6:,.1f} MB were fetched; the rest was here already.")
    if result.gone:
        say(f"{len(result.gone)} items were left out: their files aren't there any more.")
    _paths(result.files)


def composite(written: Path) -> None:
    """Checks on standard error, the path."""
    from landshift.prepare import checks

    for line in checks.describe(checks.checks_of(written)):
        say(line, err=True)
    say(written)


def normalise(result: Normalisation) -> None:
    """The line of each band, the path."""
    table(tables.normalisation(result))
    say(result.path)


def burn(labels: PolygonLabels) -> None:
    """Polygons and pixels of each class, the path."""
    table(tables.polygon_labels(labels))
    if labels.skipped:
        say(f"{labels.skipped:,} polygons have no class and are left out.")
    say(labels.path)


def difference(result: Difference) -> None:
    """Classes or statistics, the threshold, the path."""
    table(tables.difference(result))
    if result.threshold is not None:
        say(f"Change from {result.threshold:g} on.")
    say(result.path)


def simulate(scene: Scene) -> None:
    """The four paths."""
    _paths(scene.files)


def run(result: _RecipeRun, dry_run: bool = False) -> None:
    """What ran, what is left for people to do, the folder."""
    for stage in result.stages if dry_run else ():
        name = f"{stage.place} {stage.stage}".strip()
        say(f"{name:<16} {stage.state:<7} {stage.why}".rstrip())
    states = [stage.state for stage in result.stages]
    counts = {state: states.count(state) for state in dict.fromkeys(states)}
    say("; ".join(f"{state}: {count}" for state, count in counts.items()))
    for line in result.commands:
        say("Label the sample, then give the same command again:", err=True)
        say(f"  {line}", err=True)
    say(result.folder)


def demo(result: _RecipeRun) -> None:
    """As `run`; the next command."""
    run(result)
    _offer_page(result.folder)


def init(written: Path) -> None:
    """The recipe; the next commands."""
    say(written)
    say(f"See what it would do: landshift run {shlex.quote(str(written))} --dry-run", err=True)


def label(flows: TransitionTable) -> None:
    """Transitions, what each class gained and lost, what was left out, paths."""
    table(tables.transitions(flows))
    table(tables.class_changes(flows))
    for (first, second), pixels in flows.forbidden.items():
        if pixels:
            say(f"{pixels:,} pixels of the forbidden {first}->{second} are nodata.")
    if flows.removed:
        say(f"{flows.removed:,} pixels of change were removed by the cleaning.")
    if flows.filtered:
        say(f"{flows.filtered:,} pixels are left out by the filter.")
    say(f"{flows.changed:.1%} of the classed pixels changed.")
    _paths(flows.files)


def padding(measured: MeasuredPadding) -> None:
    """Agreement of each padding that was tried, on standard error; the padding."""
    for size, agreement in measured.agreement.items():
        say(f"padding {size}: {agreement:.4%} of pixels as with {2 * size}", err=True)
    if not measured.enough:
        say(
            "No padding up to half the training tile was enough: the model depends on pixels "
            "farther away.", err=True,
        )  # fmt: skip
    say(measured.padding)


def patches(measured: Fragmentation) -> None:
    """Measures of each class, the path."""
    table(tables.fragmentation(measured))
    _paths(measured.files)


def polygons(traced: Traced) -> None:
    """Polygons of each class, what is too small, the path."""
    table(tables.patches(traced))
    if traced.dropped:
        say(f"{traced.dropped:,} patches are smaller than {traced.min_hectares:g} ha.")
    say(traced.path)


def tiles(result: CutTiles | Audit) -> None:
    """Tiles, class maps, split and the folder; of an audit, what the splits let leak, the path."""
    from landshift import tileset
    from landshift.dataset import TrainingTiles

    if isinstance(result, tileset.CutTiles):
        stride = "x".join(str(n) for n in dict.fromkeys(reversed(result.sizes.stride)))
        why = f" ({result.sizes.why})" if result.sizes.why else ""
        say(
            f"{len(result.tiles):,} tiles of {result.width} x {result.height} pixels{why}, "
            f"stride {stride}"
        )
        if result.map_scheme is not None:
            say(f"class maps before and after: {', '.join(result.map_scheme.names)}")
        if result.summary is not None:
            for line in result.summary.lines(TrainingTiles().batch_size):
                say(line)
        say(result.folder)
        return
    of_set = result.tiles.tiles
    together = ", ".join(str(n) for n in result.groups[:8] if n > 1)
    say(
        f"{len(of_set)} tiles, {len(result.pairs)} pairs share ground; "
        + (f"tiles that hang together: {together}" if together else "all lie apart")
    )
    _split("random split", result.at_random)
    for a, b in result.at_random.leaks[:_LEAKS]:
        share = tileset.shared_ground(result.tiles, int(a), int(b))
        say(f"  leak: {of_set[a].name} {of_set[b].name} ({share:.0%} shared)")
    if len(result.at_random.leaks) > _LEAKS:
        say(f"  and {len(result.at_random.leaks) - _LEAKS} more; --pairs writes them all")
    if result.by_ground is None:
        say(f"split by ground: none. {result.why_not}")
    else:
        _split("split by ground", result.by_ground)
    _paths(result.files)


def _split(name: str, audited: AuditedSplit) -> None:
    split = audited.split
    say(
        f"{name}: {len(split.train)} training, {len(split.valid)} validation, "
        f"{len(split.dropped)} dropped; {len(audited.leaks)} leaking pairs, {audited.leaking} of "
        f"{len(split.valid)} validation tiles seen in training"
    )
    for side, names in audited.absent.items():
        if names:
            say(f"  no {side} tile holds {', '.join(names)}")


def quantize(quantised: Quantised) -> None:
    """Agreement with float32, in all and by class, on standard error; the path."""
    say(f"int8: {quantised.agreement:.3%} of pixels as with float32", err=True)
    say(f"bfloat16: {quantised.bfloat16:.3%}", err=True)
    for name, share in quantised.shares.items():
        if share == share:  # NaN: no pixel of it
            say(f"  {name}: {share:.3%} kept", err=True)
    say(quantised.path)


def train(trained: TrainedModel) -> None:
    """Scores of each class and of each method, how it went, the path."""
    table(tables.per_class(trained.scores))
    table(tables.compare(by_rank(trained.evaluation.methods)))
    _remarks(trained.findings)
    _paths(trained.files)


def classify(written: Path, as_json: bool = False) -> None:
    """How values were normalised, if they were, on standard error; the path; the next command."""
    from landshift import raster
    from landshift.files import provenance

    with raster.open_raster(written) as source:
        applied = provenance.from_tags(source.tags()).get("parameters", {}).get("normalise")
    if applied:
        gains, offsets = applied["gains"], applied["offsets"]
        say(
            f"normalised to the training: gains {min(gains):.4g} to {max(gains):.4g}, offsets "
            f"{min(offsets):.4g} to {max(offsets):.4g}, from {applied['pixels']:,} pixels",
            err=True,
        )  # fmt: skip
    say(written)
    if not as_json:  # standard error is for programs then
        _offer_page(written.parent)


def report(written: Path, folder: Path) -> None:
    """The path; the next command."""
    say(written)
    _offer_page(folder)


def _offer_page(folder: Path) -> None:
    """Say how the files of a folder are looked at on a map."""
    say(f"See them on a map: landshift explore {shlex.quote(str(folder))}", err=True)


def series(result: SeriesTables) -> None:
    """What became of the pixels, the folder."""
    table(tables.series(result))
    say(result.folder)


def zonal(measured: Zones) -> None:
    """Classes in zones, the paths."""
    table(tables.zones(measured))
    _paths(measured.files)


def suspects(found: Suspects) -> dict[str, object]:
    """How many labels are suspicious, which classes are taken for which, the paths.

    Returns:
        What --print json prints.
    """
    share = 100 * found.suspicious / max(found.labelled, 1)
    say(
        f"{found.suspicious:,} of {found.labelled:,} labelled pixels are suspicious "
        f"({share:.1f} %), in {len(found.places):,} places; {100 * found.wrong:.1f} % of the "
        "labels are estimated to be wrong."
    )
    names, pairs = found.scheme.names, found.joint.copy()
    np.fill_diagonal(pairs, 0)
    for k in np.argsort(-pairs, axis=None)[:_PAIRS]:
        label, likely = divmod(int(k), len(names))
        if pairs[label, likely] >= 1:
            pixels = round(float(pairs[label, likely]))
            say(f"about {pixels:,} pixels of {names[label]!r} are likely {names[likely]!r}")
    _paths(found.files)
    counts = {"labelled": found.labelled, "suspicious": found.suspicious, "wrong": found.wrong}
    return {**counts, "places": found.rows(), "files": [str(file) for file in found.files]}


def evaluate(judged: Evaluation) -> None:
    """Scores of each class and of each method, calibration, how it went, notes, the paths."""
    methods = by_rank(judged.methods)
    table(tables.per_class(judged.scores))
    table(tables.compare(methods))
    semantic = tables.semantic(methods)
    if semantic is not None:
        table(semantic)
    if judged.calibration is not None:
        table(tables.calibration(judged.calibration))
    _remarks(judged.findings)
    if judged.scores.unmapped:
        say(f"{judged.scores.unmapped:,} labelled {judged.counted} have no class in the map.")
    for note in judged.notes:
        say(note)
    _paths(judged.files)


def _remarks(findings: Sequence[Finding]) -> None:
    """The findings that matter most, each with the next thing to try."""
    for finding in findings[:MOST]:
        for line in folded(finding.text, "- "):
            say(line)
        for line in folded(spelled(finding.advice, lines.names), "  Next: "):
            say(line)


def sample(drawn: NewSample) -> None:
    """Strata, the floor, the expected error, the paths."""
    table(tables.strata(drawn.design))
    if drawn.floor is not None:
        say(f"Allocation floor: at least {drawn.floor:,} units a stratum (or all it holds).")
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


def label_samples(session: LabellingSession | AgreementTable) -> dict[str, object] | None:
    """Serve the page until Ctrl+C, then print how much is labelled; or print the agreement.

    Returns:
        What --print json prints of a session.
    """
    from landshift.assess.agreement import AgreementTable

    if isinstance(session, AgreementTable):
        _print_agreement(session)
        return None
    with session:
        for name, count in session.off.items():
            if count:
                say(f"{count:,} of {session.progress()['units']:,} units lie off the image {name}.")
        signal.signal(signal.SIGTERM, _interrupt)
        say(f"Label at {session.address} (this machine only; Ctrl+C ends).", always=True)
        session.serve()
        counts, disputed = session.progress(), session.in_dispute()
    done = "reviewed" if session.review else "labelled"
    say(f"{counts['answered']:,} of {counts['units']:,} units {done}.")
    if disputed:
        say(f"{disputed:,} units in dispute wait for a review (--review).")
    say(session.sample)
    return {"path": session.sample, **counts, "in_dispute": disputed}


def explore(shown: Exploration | Path) -> dict[str, object] | None:
    """Serve the page until Ctrl+C; or print the folder that it was written to.

    Returns:
        What --print json prints of a served page.
    """
    from landshift.pages.explore.session import Exploration

    if not isinstance(shown, Exploration):
        say(shown)
        return None
    with shown:
        signal.signal(signal.SIGTERM, _interrupt)
        address = shown.address
        layers = [layer["title"] for layer in shown.description["layers"]]
        say(f"The map is at {address} (this machine only; Ctrl+C ends).", always=True)
        shown.serve()
    return {"layers": layers}


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _print_agreement(agreement: AgreementTable) -> None:
    table(tables.agreements(agreement.agreements))
    for pair in agreement.agreements:
        if pair.on == "map" and pair.units:
            table(tables.agreement(pair))
    say(f"{agreement.disputed:,} units in dispute, {agreement.reviewed:,} of them reviewed.")


def info(facts: ModelFacts) -> None:
    """A saved model on one screen."""
    table(tables.model(facts))


def verify(verified: Verified) -> None:
    """The digest; the number of files on standard error."""
    say(f"{len(verified.files)} files are as they were saved.", err=True)
    say(verified.digest, always=True)
