"""The sections of a job's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from landshift.classes import TO, ClassScheme, Colour, ends_of
from landshift.errors import ModelError
from landshift.files import provenance
from landshift.files.options import BandChoice
from landshift.machine import progress
from landshift.maps import series_folder
from landshift.pages.report import (
    areas,
    charts,
    counts,
    formats,
    glance,
    heading,
    history,
    job,
    maps,
    model,
    parts,
    scores,
    series,
    verdict,
)
from landshift.pages.report.counts import MapCounts
from landshift.pages.report.files import ReportFiles
from landshift.pages.report.formats import Areas, EvaluationRecord, Flow
from landshift.pages.report.page import Section, render
from landshift.pages.report.parts import TableColumn

if TYPE_CHECKING:  # imports torch, which only a report of a model needs
    from landshift.bundle import Package


def folder_page(
    folder: Path | str,
    given: ReportFiles | None = None,
    *,
    title: str | None = None,
    rgb: BandChoice = None,
) -> str:
    """HTML of the page that `report` writes; the same files give the same page."""
    if series_folder.is_series(Path(folder)):
        return series.page(Path(folder), title=title)
    with progress.step("finding the files"):
        known = job.find(Path(folder), given or ReportFiles())
    files = known.files
    evaluation = _read(formats.EvaluationRecord, files.scores)
    assessment = _read(formats.Areas, files.areas)
    package, problem = _package(files.model)
    counted = None if files.map is None else counts.count(files.map)
    own, others = _of_the_map(assessment, files)
    judged = verdict.of_job(
        counted, evaluation, package, history.checks(known), sampled=own is not None
    )
    warnings = [
        *history.limits(known),
        *([problem] if problem else []),
        *others,
        *(areas.limits(assessment) if assessment is not None else [_NO_AREAS]),
        *(scores.limits(evaluation.scores) if evaluation is not None else []),
        *(model.limits(package) if package is not None else []),
    ]
    drawn, colours = _maps(files, rgb)
    went, pictures = judged.section("map"), [drawn, *_flows(counted, known, colours)]
    sections = [
        Section("summary", "At a glance", [glance.facts(counted, own, evaluation)]),
        *([went, *pictures] if judged.is_grave else [*pictures, went]),
        *_areas(assessment),
        *_scores(evaluation, package, "map"),
        _limits(warnings),
        history.section(known, package, assessment),
        *_training(package, files),
    ]
    if files.map is None or counted is None:
        return render(title or f"Job {Path(folder).resolve().name}", [], sections)
    named = title or heading.title(files, known.products, counted)
    return render(named, [heading.lead(files.map, counted)], sections)


_NO_AREAS = (
    "Areas on this page are counts of the map's pixels: biased by the map's errors, and without "
    "an interval. A labelled sample gives unbiased areas with intervals (landshift sample, "
    "landshift estimate)."
)


def _of_the_map(assessment: Areas | None, files: ReportFiles) -> tuple[Areas | None, list[str]]:
    """The assessment if it is of the map that is shown; a warning if it is of another file."""
    if assessment is None or files.map is None:
        return assessment, []
    if provenance.digest(files.map) == assessment.map_sha256:
        return assessment, []
    return None, [
        f"Areas and accuracies with intervals are those of another file than {files.map.name}, "
        f"called {assessment.map} when its sample was drawn: 'At a glance' leaves them out."
    ]


def _read(kind: type[formats.Kind], path: Path | None) -> formats.Kind | None:
    if path is None:
        return None
    return formats.check(kind, formats.read_json(path), what=str(path))


def _package(path: Path | None) -> tuple[Package | None, str]:
    """The model, or why it can't be shown: an author's own network needs its code."""
    if path is None:
        return None, ""
    from landshift import bundle

    try:
        return bundle.load(path), ""
    except ModelError as error:
        return None, f"The model isn't shown: {error}"


def _limits(lines: Sequence[str]) -> Section:
    if not lines:
        return Section("limits", "Limits", missing="No check gave a warning.")
    return Section("limits", "Limits", [parts.warnings(list(dict.fromkeys(lines)))])


def _maps(files: ReportFiles, rgb: BandChoice) -> tuple[Section, dict[str, Colour]]:
    """The map, the images, its reference and its confidence; the colours of the map's classes."""
    shown, absent = [], []
    with progress.step("drawing the maps", sum(map(bool, _drawn(files)))) as step:
        mapped = None
        if files.map is not None:
            mapped = maps.class_map(files.map, "The map", name="map-picture")
            shown.append(mapped.shown)
            step.advance()
        else:
            absent.append("map")
        for title, path, place in (("Before", files.before, 0), ("After", files.after, -1)):
            if path is None:
                absent.append(f"image of {title.lower()}")
            else:
                name = f"{title.lower()}-picture"
                shown.append(maps.image(path, title, place, rgb=rgb, name=name))
                step.advance()
        reference = None
        if files.reference is not None:
            reference = maps.class_map(files.reference, "The reference", name="reference-picture")
            shown.append(reference.shown)
            step.advance()
        if files.confidence is not None:
            title = "Confidence, from lowest to highest"
            shown.append(maps.confidence(files.confidence, title, name="confidence-picture"))
            step.advance()
        else:
            absent.append("confidence (landshift classify --layer confidence writes it)")
    missing = f"Missing: {', '.join(absent)}." if absent else ""
    contents = [*_legends(mapped, reference), parts.group("pictures", shown)] if shown else []
    return Section("maps", "Maps", contents, missing), mapped.colours if mapped else {}


def _legends(mapped: maps.ClassPicture | None, reference: maps.ClassPicture | None) -> list[Markup]:
    """One legend for map and reference; two where a class has another colour in each."""
    both = [picture for picture in (mapped, reference) if picture is not None]
    if len(both) < 2 or both[0].agrees(both[1]):
        return [maps.legend(*both)] if both else []
    return [maps.legend(both[0]), parts.text("Classes of the reference:"), maps.legend(both[1])]


def _drawn(files: ReportFiles) -> tuple[Path | None, ...]:
    return (files.map, files.before, files.after, files.reference, files.confidence)


def _flows(
    counted: MapCounts | None, known: job.JobFolder, colours: Mapping[str, Colour]
) -> list[Section]:
    """Transitions: of the map itself where its classes are pairs, else of two class maps."""
    files = known.files
    flows = [] if counted is None else _transitions_of(counted)
    title, words = "Transitions", "Counted in the map's pixels, without intervals."
    if not flows:
        title = "Transitions between the class maps"
        words = "Counted in the two class maps, without intervals."
        if any(p.path == files.map and p.stage == "classify" for p in known.products):
            words = (
                "Counted in the two class maps that the model learnt from, not in its map, and "
                "without intervals."
            )
        if files.transitions is not None:
            flows = formats.read_flows(files.transitions)
    if not flows:
        return [
            Section(
                "flows", title,
                missing="The table of transitions is missing; landshift label --table writes one.",
            )
        ]  # fmt: skip
    in_hectares = all(f.hectares is not None for f in flows)
    unit = "ha" if in_hectares else "pixels"
    changed = [f for f in flows if not f.stayed]
    stayed = [f for f in flows if f.stayed]
    names = list(dict.fromkeys(n for f in flows for n in (f.before, f.after)))
    drawn = charts.flows(
        "Changes from the class before (left) to the class after (right). Unchanged pixels, "
        f"{sum(f.percent for f in stayed):.1f} %, are left out.",
        [(f.before, f.after, _amount(f)) for f in changed], _class_colours(names, colours), unit,
    )  # fmt: skip
    whole = sum(_amount(f) for f in changed) or 1.0
    columns = [
        TableColumn("from"), TableColumn("to"), TableColumn("hectares", ",.1f"),
        TableColumn("% of the change", ".1f"), TableColumn("% of pixels", ".2f"),
        TableColumn("pixels", ",d"),
    ]  # fmt: skip
    rows = [
        [f.before, f.after, f.hectares, 100 * _amount(f) / whole, f.percent, f.pixels]
        for f in changed
    ]
    unchanged = [TableColumn("class"), *columns[2:3], *columns[4:]]
    shown = [
        parts.text(words), drawn,
        parts.table("transitions", "Changes, the largest first.", columns, rows, most=10),
    ]  # fmt: skip
    if stayed:
        lines = [[f.before, f.hectares, f.percent, f.pixels] for f in stayed]
        shown.append(
            parts.table(
                "unchanged", "Classes that stayed.", unchanged, lines,
                fold="Unchanged, by class",
            )
        )  # fmt: skip
    return [Section("flows", title, shown)]


def _transitions_of(counted: MapCounts) -> list[Flow]:
    """The transitions in a map whose classes are pairs such as 'forest->water'."""
    pairs = [(c, *ends_of(c.name)) for c in counted.classes]
    return [
        Flow(
            before=before, after=after, pixels=c.pixels, hectares=c.hectares,
            percent=100 * c.pixels / counted.pixels,
        )
        for c, before, after in pairs
        if before is not None and after is not None
    ]  # fmt: skip


def _amount(flow: Flow) -> float:
    """Hectares, or pixels where they aren't known."""
    return float(flow.pixels if flow.hectares is None else flow.hectares)


def _class_colours(names: Sequence[str], known: Mapping[str, Colour]) -> dict[str, Colour]:
    """Colours of the classes of one date: those of the map's classes with the same end."""
    of_ends = {(ends_of(n)[1] or n) if n.startswith(TO) else n: c for n, c in known.items()}
    scheme = ClassScheme.from_mapping(
        dict(enumerate(names, start=1)),
        {k: of_ends[n] for k, n in enumerate(names, start=1) if n in of_ends},
    )
    return {c.name: c.colour for c in scheme}


def _areas(assessment: Areas | None) -> list[Section]:
    if assessment is None:
        return [
            Section(
                "areas", "Areas with intervals",
                missing="Areas with intervals are missing; landshift sample draws a sample, and "
                "landshift estimate -o writes areas from its labels.",
            )
        ]  # fmt: skip
    return [areas.hectares(assessment), areas.accuracy(assessment)]


def _scores(
    evaluation: EvaluationRecord | None, package: Package | None, subject: str
) -> list[Section]:
    if evaluation is None:
        beside = f" The model's {model.METRICS_PAGE} has those on its validation tiles."
        return [
            Section(
                "classes", "Scores against a reference",
                missing="Scores are missing; landshift evaluate --json writes them."
                + (beside if package is not None else ""),
            )
        ]  # fmt: skip
    return [
        scores.per_class(evaluation.scores), scores.baselines(evaluation, subject),
        scores.confusion(evaluation), *scores.calibration(evaluation.calibration),
    ]  # fmt: skip


def _training(package: Package | None, files: ReportFiles) -> list[Section]:
    if package is not None:
        return model.sections_of(package)
    if files.model is not None:
        return []
    return [Section("training", "Training", missing="The model is missing.")]
