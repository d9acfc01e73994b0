"""The sections of a job's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from landshift import grid, raster
from landshift.classes import TO, ClassScheme, Colour, ends_of, stays
from landshift.errors import ModelError
from landshift.pages.report import areas, charts, formats, history, job, maps, model, parts, scores
from landshift.pages.report.files import ReportFiles
from landshift.pages.report.formats import Areas, EvaluationRecord, Flow
from landshift.pages.report.page import Section, render
from landshift.pages.report.parts import Fact, TableColumn, share

if TYPE_CHECKING:  # imports torch, which only a report of a model needs
    from landshift.bundle import Package


def folder_page(folder: Path | str, given: ReportFiles | None = None) -> str:
    """HTML of the page that `report` writes; the same files give the same page."""
    known = job.find(Path(folder), given or ReportFiles())
    files = known.files
    evaluation = _read(formats.EvaluationRecord, files.scores)
    assessment = _read(formats.Areas, files.areas)
    package, problem = _package(files.model)
    flows = [] if files.transitions is None else formats.read_flows(files.transitions)
    mapped = None if files.map is None else maps.class_map(files.map, "The map")
    warnings = [
        *history.limits(known),
        *([problem] if problem else []),
        *(areas.limits(assessment) if assessment is not None else [_NO_AREAS]),
        *(scores.limits(evaluation.scores, evaluation.baselines) if evaluation is not None else []),
        *(model.limits(package) if package is not None else []),
    ]
    sections = [
        Section("summary", "At a glance", [_facts(flows, assessment, evaluation)]),
        _limits(warnings),
        history.section(known, package, assessment),
        _maps(files, mapped),
        _flows(flows, {} if mapped is None else mapped.colours),
        *_areas(assessment),
        *_scores(evaluation, package),
        *_training(package, files),
    ]
    if files.map is None:
        return render(f"Job {Path(folder).resolve().name}", [], sections)
    where = grid.describe(raster.info(files.map).grid)
    return render(f"Change map {files.map.name}", [f"{where}."], sections)


_NO_AREAS = (
    "Areas on this page are counts of the map's pixels: biased by the map's errors, and without "
    "an interval. A labelled sample gives unbiased areas with intervals (landshift sample, "
    "landshift estimate)."
)


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


def _facts(
    flows: Sequence[Flow], assessment: Areas | None, evaluation: EvaluationRecord | None
) -> Markup:
    """The main figures of the page."""
    facts = []
    if flows:
        changed = [f for f in flows if not f.stayed]
        percent = sum(f.percent for f in changed)
        facts.append(
            Fact("Changed", f"{percent:.1f} %", "of the pixels with a class in both class maps")
        )
    if assessment is not None:
        overall = assessment.overall
        facts.append(
            Fact(
                "Overall accuracy", areas.with_interval(overall, ".3f"),
                f"by {assessment.units:,} sample units",
            )
        )  # fmt: skip
        changes = [c for c in assessment.classes if not stays(c.name) and c.hectares is not None]
        if changes and len(changes) < len(assessment.classes):
            largest = max(changes, key=lambda c: c.hectares.value if c.hectares else 0)
            assert largest.hectares is not None, "classes without an estimate are left out"
            facts.append(
                Fact(
                    largest.name,
                    f"{areas.with_interval(largest.hectares, ',.0f')} ha",
                    "the largest change, as estimated",
                )
            )
    if evaluation is not None:
        facts.append(Fact("Change F1", share(evaluation.scores.change_f1), "against the reference"))
        facts.append(Fact("mIoU", share(evaluation.scores.miou), "mean over the classes"))
    return parts.facts([f for f in facts if f.value != parts.NONE])


def _limits(lines: Sequence[str]) -> Section:
    if not lines:
        return Section("limits", "Limits", missing="No check gave a warning.")
    return Section("limits", "Limits", [parts.warnings(list(dict.fromkeys(lines)))])


def _maps(files: ReportFiles, mapped: maps.ClassPicture | None) -> Section:
    """The images, the map, its reference and its confidence."""
    shown, absent = [], []
    for title, path, place in (("Before", files.before, 0), ("After", files.after, -1)):
        if path is None:
            absent.append(f"image of {title.lower()}")
        else:
            shown.append(maps.image(path, title, place))
    if mapped is not None:
        shown.append(mapped.shown)
    else:
        absent.append("map")
    if files.reference is not None:
        shown.append(maps.class_map(files.reference, "The reference").shown)
    if files.confidence is not None:
        shown.append(maps.confidence(files.confidence, "Confidence, from lowest to highest"))
    else:
        absent.append("confidence (landshift classify --layer confidence writes it)")
    missing = f"Missing: {', '.join(absent)}." if absent else ""
    return Section("maps", "Maps", [parts.group("pictures", shown)] if shown else [], missing)


def _flows(flows: Sequence[Flow], known: Mapping[str, Colour]) -> Section:
    """Transitions between classes."""
    if not flows:
        return Section(
            "flows", "Transitions",
            missing="The table of transitions is missing; landshift label --table writes one.",
        )  # fmt: skip
    in_hectares = all(f.hectares is not None for f in flows)
    unit = "ha" if in_hectares else "pixels"
    changed = [
        (f.before, f.after, float(f.pixels if f.hectares is None else f.hectares))
        for f in flows
        if not f.stayed
    ]
    names = list(dict.fromkeys(n for f in flows for n in (f.before, f.after)))
    stayed = sum(f.percent for f in flows if f.stayed)
    drawn = charts.flows(
        "Changes from the class before (left) to the class after (right). Unchanged pixels, "
        f"{stayed:.1f} %, are left out.",
        changed, _class_colours(names, known), unit,
    )  # fmt: skip
    columns = [
        TableColumn("from"), TableColumn("to"), TableColumn("pixels", ",d"),
        TableColumn("hectares", ",.1f"), TableColumn("% of pixels", ".2f"),
    ]  # fmt: skip
    rows = [[f.before, f.after, f.pixels, f.hectares, f.percent] for f in flows]
    table = parts.table(
        "transitions", "Transitions in the class maps, the largest first. These are pixel counts, "
        "without intervals.", columns, rows, most=15,
    )  # fmt: skip
    return Section("flows", "Transitions", [drawn, table])


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


def _scores(evaluation: EvaluationRecord | None, package: Package | None) -> list[Section]:
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
        scores.per_class(evaluation.scores), scores.confusion(evaluation),
        scores.calibration(evaluation.calibration), scores.baselines(evaluation),
    ]  # fmt: skip


def _training(package: Package | None, files: ReportFiles) -> list[Section]:
    if package is not None:
        return model.sections_of(package)
    if files.model is not None:
        return []
    return [Section("training", "Training", missing="The model is missing.")]
