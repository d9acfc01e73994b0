"""The steps of a job and their inputs, in words, from the provenance of its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from landshift.errors import listed
from landshift.files import provenance
from landshift.pages.report import parts
from landshift.pages.report.formats import Areas
from landshift.pages.report.job import JobFolder, Product
from landshift.pages.report.page import Section
from landshift.pages.report.parts import TableColumn

if TYPE_CHECKING:
    from landshift.bundle import Package

_ORDER = ("simulate", "composite", "normalise", "label", "burn", "difference", "classify")
_NAMED = 6  # files or dates that a sentence names

_CODINGS = {
    "to": "a changed pixel has its class after the change",
    "from-to": "each pair of classes before and after is a class",
    "binary": "its classes are changed and unchanged",
}


def section(job: JobFolder, package: Package | None, areas: Areas | None) -> Section:
    """The steps of a job, each with its inputs, and all options as a table."""
    ranked = sorted(chain(job), key=lambda m: _rank(m.stage))
    lines = [_step(m) for m in ranked if m.stage != "classify"]
    if package is not None:
        lines += _trained(package)
    lines += [_step(m) for m in ranked if m.stage == "classify"]
    if areas is not None:
        lines.append(
            f"{areas.units:,} units of {areas.map} were drawn ({areas.design} sample) and "
            "labelled; accuracies and areas with intervals are estimated from the labels."
        )
    if not lines:
        return Section(
            "steps", "What was done",
            missing="No file of the job has a provenance: only rasters and models that landshift "
            "wrote have one.",
        )  # fmt: skip
    shown: list[Markup] = [parts.steps(lines)]
    rows = [
        [product.path.name, product.stage, key, value]
        for product in ranked
        for key, value in parts.flat(product.parameters)
    ]
    if rows:
        columns = [TableColumn(title) for title in ("file", "stage", "option", "value")]
        shown.append(
            parts.table(
                "record", "Options of each step.", columns, rows, fold="Options of each step"
            )
        )
    return Section("steps", "What was done", shown)


def chain(job: JobFolder) -> list[Product]:
    """The rasters that the report shows, and their inputs of all generations in the folder."""
    by_fingerprint = {provenance.fingerprint(p.path): p for p in job.products}
    shown = {job.files.map, job.files.before, job.files.after, job.files.reference}
    ancestry: list[Product] = []
    queue = [p for p in job.products if p.path in shown]
    while queue:
        product = queue.pop()
        if product not in ancestry:
            ancestry.append(product)
            queue += [by_fingerprint[f] for _, f in product.inputs if f in by_fingerprint]
    return [p for p in job.products if p in ancestry]


def checks(job: JobFolder) -> list[dict[str, Any]]:
    """Checks of the composites that the report's rasters were made from."""
    measured = [product.record.get("checks") for product in chain(job)]
    return [known for known in measured if isinstance(known, dict)]


def limits(job: JobFolder) -> list[str]:
    """Warnings: inputs that have changed since; clouds and shifts of the dates."""
    lines = []
    present = {p.path.name: p.path for p in job.products}
    for product in chain(job):
        for name, fingerprint in product.inputs:
            path = present.get(name)
            if path is not None and provenance.fingerprint(path) != fingerprint:
                lines.append(
                    f"{name} isn't the file that {product.path.name} was made from: it has changed "
                    "since, or is another file of that name."
                )
    for measured in checks(job):
        lines += [*_clouds(measured), *_misalignment(measured)]
    return lines


def _rank(stage: str) -> int:
    return _ORDER.index(stage) if stage in _ORDER else len(_ORDER)


def _step(product: Product) -> str:
    return _WORDS.get(product.stage, _other)(product)


def _other(product: Product) -> str:
    return f"{product.path.name} was made by landshift {product.stage or '?'}{_from(product)}."


def _simulated(product: Product) -> str:
    return f"{product.path.name} was simulated: it shows no real place."


def _composed(product: Product) -> str:
    checks = product.record.get("checks")
    dates = checks.get("dates") if isinstance(checks, dict) else None
    named = list(map(str, dates)) if isinstance(dates, list) else []
    of = f" of {listed(named, _NAMED)}" if named else ""
    text = f"{product.path.name} stacks the images{of} on one grid{_from(product)}."
    for date, right, down, large in _shifts(checks if isinstance(checks, dict) else {}):
        if not large:
            text += (
                f" {date} lies {right:+.2f} pixels to the right and {down:+.2f} down of the first."
            )
    return text


def _labelled(product: Product) -> str:
    options = product.parameters
    text = f"{product.path.name} compares class maps{_from(product)}"
    coding = _CODINGS.get(str(options.get("coding")))
    text += f": {coding}." if coding else "."
    smooth, least, hectares = (options.get(k) for k in ("smooth", "min_pixels", "min_hectares"))
    if smooth:
        text += f" A majority filter of {smooth} x {smooth} pixels smoothed them."
    if least:
        text += f" Patches of change below {least} pixels were removed."
    if hectares:
        text += f" Patches of change below {hectares} ha were removed."
    return text


def _classified(product: Product) -> str:
    options = product.parameters
    text = f"{product.path.name} was mapped by a model{_from(product)}"
    tile, padding = options.get("tile"), options.get("padding")
    if isinstance(tile, list) and len(tile) == 2:
        text += f", in tiles of {tile[0]} x {tile[1]} pixels"
        text += f" with a padding of {padding} pixels" if padding else ""
    return f"{text} ({options.get('engine', '?')}, {options.get('precision', '?')})."


_WORDS: dict[str, Callable[[Product], str]] = {
    "simulate": _simulated,
    "composite": _composed,
    "label": _labelled,
    "classify": _classified,
}


def _from(product: Product) -> str:
    names = [name for name, _ in product.inputs if name]
    return f" from {listed(names, _NAMED)}" if names else ""


def _trained(package: Package) -> list[str]:
    """How the model was trained."""
    lines = []
    tiles = package.tiles
    if tiles is not None:
        sources = [str(s["name"]) for s in tiles["sources"]]
        cut = f" cut from {listed(sources, _NAMED)}" if sources else ""
        lines.append(
            f"Training tiles, '{tiles['name']}', were{cut or ' given'}: {tiles['training']:,} for "
            f"training, {tiles['validation']:,} for validation."
        )
    model, options = package.model, package.training
    stated = ", ".join(
        f"{words} {options[key]}"
        for key, words in (("epochs", "epochs"), ("lr", "learning rate"))
        if options.get(key) is not None
    )
    lines.append(
        f"The model {package.name}, {model.title}, was "
        f"trained on them{f' ({stated})' if stated else ''}."
    )
    return lines


def _clouds(checks: dict[str, Any]) -> list[str]:
    valid = checks.get("valid")
    share = valid.get("all") if isinstance(valid, dict) else None
    if not isinstance(share, float | int) or share > 0.999:
        return []
    return [
        f"{1 - share:.1%} of the pixels aren't valid on every date (clouds, their shadows, gaps, "
        "edges): the map has no class there, and its areas leave them out."
    ]


def _misalignment(checks: dict[str, Any]) -> list[str]:
    """Dates that are shifted against the first, or whose shift is unknown."""
    lines = [
        f"{date} lies {right:.2f} pixels to the right and {down:.2f} down of the first date: edges "
        "look like change."
        for date, right, down, large in _shifts(checks)
        if large
    ]
    shifts = checks.get("shifts")
    unknown = [d for d, s in shifts.items() if s is None] if isinstance(shifts, dict) else []
    lines += [
        f"The shift of {date} against the first date couldn't be measured." for date in unknown
    ]
    return lines


def _shifts(checks: dict[str, Any]) -> Iterator[tuple[str, float, float, bool]]:
    """Shift of each later date to the right and down in pixels, and whether it is large."""
    shifts = checks.get("shifts")
    for date, shift in shifts.items() if isinstance(shifts, dict) else ():
        if isinstance(shift, dict):
            right, down = shift.get("columns"), shift.get("rows")
            if isinstance(right, float | int) and isinstance(down, float | int):
                yield str(date), right, down, bool(shift.get("large"))
