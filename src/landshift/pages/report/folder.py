"""The report of a job: one page about a map, from the files that the job left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from landshift import grid, raster
from landshift.classes import TO, ClassScheme, Colour, ends_of, stays
from landshift.errors import ModelError
from landshift.files import whole
from landshift.pages.report import areas, charts, formats, history, job, maps, model, parts, scores
from landshift.pages.report.formats import Areas, Flow, Judged
from landshift.pages.report.job import Files
from landshift.pages.report.page import Section, render
from landshift.pages.report.parts import Column, Fact, share

if TYPE_CHECKING:  # it brings torch, which only a report of a model needs
    from landshift.bundle import Package


def write_report(
    folder: Path, out: Path, told: Files | None = None, *, overwrite: bool = False
) -> Path:
    """Write the report of a job as one HTML file that needs nothing else.

    Args:
        folder: Where the job's files lie; see `landshift.pages.report.job.find`.
        out: The page to write.
        told: Files that are known.
        overwrite: Whether another file than a page of ours is replaced.

    Raises:
        ParameterError: See `landshift.pages.report.job.find`; also a file that isn't what it
            must be.
        RasterError: A raster can't be read.
        ModelError: The model can't be read.
        ClassError: The map isn't one.
        OutputError: The page can't be written.
    """
    given = () if told is None else (getattr(told, field.name) for field in fields(told))
    whole.check_new(out, inputs=given, overwrite=overwrite)
    page = folder_page(folder, told)
    with whole.whole_file(Path(out)) as part:
        part.write_bytes(page.encode("utf-8", "replace"))  # names of files may be no text
    return Path(out)


def folder_page(folder: Path, told: Files | None = None) -> str:
    """The page that `write_report` writes; the same files give the same page."""
    found = job.find(Path(folder), told or Files())
    files = found.files
    judged = _read(formats.Judged, files.scores)
    assessed = _read(formats.Areas, files.areas)
    package, problem = _package(files.model)
    flows = [] if files.transitions is None else formats.read_flows(files.transitions)
    mapped = None if files.map is None else maps.class_map(files.map, "The map")
    warnings = [
        *history.limits(found),
        *([problem] if problem else []),
        *(areas.limits(assessed) if assessed is not None else [_NO_AREAS]),
        *(scores.limits(judged.scores, judged.baselines) if judged is not None else []),
        *(model.limits(package) if package is not None else []),
    ]
    sections = [
        Section("summary", "At a glance", [_facts(flows, assessed, judged)]),
        _limits(warnings),
        history.section(found, package, assessed),
        _maps(files, mapped),
        _flows(flows, {} if mapped is None else mapped.colours),
        *_assessed(assessed),
        *_judged(judged, package),
        *_trained(package, files),
    ]
    if files.map is None:
        return render(f"Job {Path(folder).resolve().name}", [], sections)
    where = grid.describe(raster.info(files.map).grid)
    return render(f"Change map {files.map.name}", [f"{where}."], sections)


_NO_AREAS = (
    "Areas on this page are counts of the map's pixels: biased by its errors, and without an "
    "interval. A labelled sample gives both (landshift sample, landshift estimate)."
)


def _read(kind: type[formats.Kind], path: Path | None) -> formats.Kind | None:
    if path is None:
        return None
    return formats.check(kind, formats.read_json(path), what=str(path))


def _package(path: Path | None) -> tuple[Package | None, str]:
    """The model, or why it can't be shown: its author's own network needs its code."""
    if path is None:
        return None, ""
    from landshift import bundle

    try:
        return bundle.load(path), ""
    except ModelError as error:
        return None, f"The model isn't shown: {error}"


def _facts(flows: Sequence[Flow], assessed: Areas | None, judged: Judged | None) -> Markup:
    """What a reader looks for first."""
    found = []
    if flows:
        changed = [f for f in flows if not f.stayed]
        percent = sum(f.percent for f in changed)
        found.append(Fact("Changed", f"{percent:.1f} %", "of the pixels that both class maps know"))
    if assessed is not None:
        overall = assessed.overall
        found.append(
            Fact(
                "Overall accuracy", areas.with_interval(overall, ".3f"),
                f"by {assessed.units:,} sample units",
            )
        )  # fmt: skip
        changes = [c for c in assessed.classes if not stays(c.name) and c.hectares is not None]
        if changes and len(changes) < len(assessed.classes):
            largest = max(changes, key=lambda c: c.hectares.value if c.hectares else 0)
            assert largest.hectares is not None, "classes without an estimate are left out"
            found.append(
                Fact(
                    largest.name,
                    f"{areas.with_interval(largest.hectares, ',.0f')} ha",
                    "the largest change, as estimated",
                )
            )
    if judged is not None:
        found.append(Fact("Change F1", share(judged.scores.change_f1), "against the reference"))
        found.append(Fact("mIoU", share(judged.scores.miou), "mean over the classes"))
    return parts.facts([f for f in found if f.value != parts.NONE])


def _limits(lines: Sequence[str]) -> Section:
    if not lines:
        return Section("limits", "Limits", missing="Nothing out of the ordinary was found.")
    return Section("limits", "Limits", [parts.warnings(list(dict.fromkeys(lines)))])


def _maps(files: Files, mapped: maps.ClassPicture | None) -> Section:
    """The dates, the map, its reference and how sure it is."""
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
        shown.append(
            maps.confidence(files.confidence, "Confidence, from not at all to wholly sure")
        )
    else:
        absent.append("confidence (landshift classify --layer confidence writes it)")
    missing = f"Not there: {', '.join(absent)}." if absent else ""
    return Section("maps", "Maps", [parts.group("pictures", shown)] if shown else [], missing)


def _flows(flows: Sequence[Flow], known: Mapping[str, Colour]) -> Section:
    """What became of what."""
    if not flows:
        return Section(
            "flows", "What became of what",
            missing="No table of transitions is there; landshift label --table writes one.",
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
        f"What changed, from left (before) to right (after). What stayed, {stayed:.1f} % of the "
        "pixels, is left out.",
        changed, _class_colours(names, known), unit,
    )  # fmt: skip
    columns = [
        Column("from"), Column("to"), Column("pixels", ",d"), Column("hectares", ",.1f"),
        Column("% of pixels", ".2f"),
    ]  # fmt: skip
    rows = [[f.before, f.after, f.pixels, f.hectares, f.percent] for f in flows]
    table = parts.table(
        "transitions", "Transitions in the class maps, the largest first. They are counts, without "
        "an interval.", columns, rows, most=15,
    )  # fmt: skip
    return Section("flows", "What became of what", [drawn, table])


def _class_colours(names: Sequence[str], known: Mapping[str, Colour]) -> dict[str, Colour]:
    """Colours of the classes of one date: those that the map gives what became of them."""
    told = {(ends_of(n)[1] or n) if n.startswith(TO) else n: c for n, c in known.items()}
    scheme = ClassScheme.from_mapping(
        dict(enumerate(names, start=1)),
        {k: told[n] for k, n in enumerate(names, start=1) if n in told},
    )
    return {c.name: c.colour for c in scheme}


def _assessed(found: Areas | None) -> list[Section]:
    if found is None:
        return [
            Section(
                "areas", "Areas with intervals",
                missing="No areas with intervals are there; landshift sample draws a sample, "
                "landshift estimate -o writes what follows from its labels.",
            )
        ]  # fmt: skip
    return [areas.hectares(found), areas.accuracy(found)]


def _judged(found: Judged | None, package: Package | None) -> list[Section]:
    if found is None:
        beside = f" Those on its validation tiles are in the model's {model.METRICS_PAGE}."
        return [
            Section(
                "classes", "Scores against a reference",
                missing="No scores are there; landshift evaluate --json writes them."
                + (beside if package is not None else ""),
            )
        ]  # fmt: skip
    return [
        scores.per_class(found.scores), scores.confusion(found),
        scores.calibration(found.calibration), scores.baselines(found),
    ]  # fmt: skip


def _trained(package: Package | None, files: Files) -> list[Section]:
    if package is not None:
        return model.sections_of(package)
    if files.model is not None:
        return []
    return [Section("training", "Training", missing="No model is there.")]
