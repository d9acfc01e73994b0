"""What was done and from what: the records of a job's files, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from landshift.files import provenance
from landshift.pages.report import parts
from landshift.pages.report.formats import Areas
from landshift.pages.report.job import Job, Made
from landshift.pages.report.page import Section
from landshift.pages.report.parts import Column

if TYPE_CHECKING:
    from landshift.bundle import Package

_ORDER = ("simulate", "composite", "normalise", "label", "burn", "difference", "classify")

_CODINGS = {
    "to": "each changed pixel gets the class that it became",
    "from-to": "each pair of classes before and after is a class",
    "binary": "pixels changed or didn't",
}


def section(job: Job, package: Package | None, areas: Areas | None) -> Section:
    """The steps of a job, each with its inputs, and all options as a table."""
    ranked = sorted(chain(job), key=lambda m: _rank(m.stage))
    lines = [_step(m) for m in ranked if m.stage != "classify"]
    if package is not None:
        lines += _trained(package)
    lines += [_step(m) for m in ranked if m.stage == "classify"]
    if areas is not None:
        lines.append(
            f"{areas.units:,} units of {areas.map} were drawn ({areas.design} sample) and "
            "labelled; accuracies and areas with intervals were estimated from the labels."
        )
    if not lines:
        return Section(
            "steps", "What was done",
            missing="No file of the job says what made it: only rasters and models that landshift "
            "wrote do.",
        )  # fmt: skip
    shown: list[Markup] = [parts.steps(lines)]
    rows = [
        [made.path.name, made.stage, key, value]
        for made in ranked
        for key, value in parts.flat(made.parameters)
    ]
    if rows:
        columns = [Column("file"), Column("stage"), Column("option"), Column("value")]
        shown.append(parts.table("record", "Options of each step.", columns, rows, most=8))
    return Section("steps", "What was done", shown)


def chain(job: Job) -> list[Made]:
    """The rasters that the report shows, and all that they were made from, as far as they tell."""
    prints = {provenance.fingerprint(m.path): m for m in job.made}
    shown = {job.files.map, job.files.before, job.files.after, job.files.reference}
    found, ahead = [], [m for m in job.made if m.path in shown]
    while ahead:
        made = ahead.pop()
        if made not in found:
            found.append(made)
            ahead += [prints[f] for _, f in made.inputs if f in prints]
    return [m for m in job.made if m in found]


def limits(job: Job) -> list[str]:
    """Files that others weren't made from as they are; clouds and shifts of the dates."""
    lines = []
    here = {m.path.name: m.path for m in job.made}
    for made in chain(job):
        for name, fingerprint in made.inputs:
            path = here.get(name)
            if path is not None and provenance.fingerprint(path) != fingerprint:
                lines.append(
                    f"{name} isn't the file that {made.path.name} was made from: it has changed "
                    "since, or another has its name."
                )
    for made in chain(job):
        checks = made.record.get("checks")
        if isinstance(checks, dict):
            lines += [*_clouds(checks), *_apart(checks)]
    return lines


def _rank(stage: str) -> int:
    return _ORDER.index(stage) if stage in _ORDER else len(_ORDER)


def _step(made: Made) -> str:
    return _WORDS.get(made.stage, _other)(made)


def _other(made: Made) -> str:
    return f"{made.path.name} was made by landshift {made.stage or '?'}{_from(made)}."


def _simulated(made: Made) -> str:
    return f"{made.path.name} was simulated: it shows no place on earth."


def _composed(made: Made) -> str:
    checks = made.record.get("checks")
    dates = checks.get("dates") if isinstance(checks, dict) else None
    of = f" of {_listed([str(d) for d in dates])}" if isinstance(dates, list) and dates else ""
    text = f"{made.path.name} stacks the images{of} on one grid{_from(made)}."
    for date, right, down, large in _shifts(checks if isinstance(checks, dict) else {}):
        if not large:
            text += (
                f" {date} lies {right:+.2f} pixels to the right and {down:+.2f} down of the first."
            )
    return text


def _labelled(made: Made) -> str:
    options = made.parameters
    text = f"{made.path.name} compares class maps{_from(made)}"
    coding = _CODINGS.get(str(options.get("coding")))
    text += f": {coding}." if coding else "."
    smooth, least, hectares = (options.get(k) for k in ("smooth", "min_pixels", "min_hectares"))
    if smooth:
        text += f" A majority filter of {smooth} x {smooth} pixels smoothed them."
    if least:
        text += f" Patches of change below {least} pixels were taken away."
    if hectares:
        text += f" Patches of change below {hectares} ha were taken away."
    return text


def _classified(made: Made) -> str:
    options = made.parameters
    text = f"{made.path.name} was mapped by a network{_from(made)}"
    tile, padding = options.get("tile"), options.get("padding")
    if isinstance(tile, list) and len(tile) == 2:
        text += f", in tiles of {tile[0]} x {tile[1]} pixels"
        text += f" of which {padding} at each side were thrown away" if padding else ""
    return f"{text} ({options.get('engine', '?')}, {options.get('precision', '?')})."


_WORDS: dict[str, Callable[[Made], str]] = {
    "simulate": _simulated,
    "composite": _composed,
    "label": _labelled,
    "classify": _classified,
}


def _from(made: Made) -> str:
    names = [name for name, _ in made.inputs if name]
    return f" from {_listed(names)}" if names else ""


def _listed(names: Sequence[str]) -> str:
    shown = [*names[:6], f"{len(names) - 6} more"] if len(names) > 7 else list(names)
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _trained(package: Package) -> list[str]:
    """How the model came about."""
    lines = []
    tiles = package.tiles
    if tiles is not None:
        sources = [str(s["name"]) for s in tiles["sources"]]
        cut = f" cut from {_listed(sources)}" if sources else ""
        lines.append(
            f"Training tiles, '{tiles['name']}', were{cut or ' given'}: {tiles['training']:,} to "
            f"learn from, {tiles['validation']:,} to judge by."
        )
    model, options = package.model, package.training
    told = ", ".join(
        f"{words} {options[key]}"
        for key, words in (("epochs", "epochs"), ("lr", "learning rate"))
        if options.get(key) is not None
    )
    lines.append(
        f"The model {package.name}, {model.architecture} with the encoder {model.backbone}, was "
        f"trained on them{f' ({told})' if told else ''}."
    )
    return lines


def _clouds(checks: dict[str, Any]) -> list[str]:
    valid = checks.get("valid")
    share = valid.get("all") if isinstance(valid, dict) else None
    if not isinstance(share, float | int) or share > 0.999:
        return []
    return [
        f"{1 - share:.1%} of the ground isn't valid on every date (clouds, their shadows, gaps, "
        "edges): the map says nothing of it, and its areas leave it out."
    ]


def _apart(checks: dict[str, Any]) -> list[str]:
    """Dates that lie too far from the first, or can't be told to lie on it."""
    lines = [
        f"{date} lies {right:.2f} pixels right and {down:.2f} down of the first date: "
        "edges look like change."
        for date, right, down, large in _shifts(checks)
        if large
    ]
    shifts = checks.get("shifts")
    unknown = [d for d, s in shifts.items() if s is None] if isinstance(shifts, dict) else []
    lines += [
        f"Whether {date} is shifted against the first date can't be told." for date in unknown
    ]
    return lines


def _shifts(checks: dict[str, Any]) -> Iterator[tuple[str, float, float, bool]]:
    """Of each later date how far it lies from the first, in pixels, and whether that is much."""
    shifts = checks.get("shifts")
    for date, found in shifts.items() if isinstance(shifts, dict) else ():
        if isinstance(found, dict):
            right, down = found.get("columns"), found.get("rows")
            if isinstance(right, float | int) and isinstance(down, float | int):
                yield str(date), right, down, bool(found.get("large"))
