"""Sections of a page from areas with intervals, as `landshift estimate -o` writes them."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup

from landshift.classes import stays
from landshift.pages.report import parts
from landshift.pages.report.formats import AreaClass, Areas, Figure
from landshift.pages.report.page import Section
from landshift.pages.report.parts import NONE, Bar, Column, Fact

FEW_UNITS = 20
"""Units of a class below which a page warns that its intervals are wide (docs/assess.md)."""


def hectares(found: Areas) -> Section:
    """Area of each class: the estimate with its interval, and the map's count beside it."""
    changed = [c for c in found.classes if not stays(c.name)]
    stayed = [c for c in found.classes if stays(c.name)]
    names = ("estimate", f"{found.level:.0%} interval", "counted in the map")
    drawn = []
    for title, classes in (("what changed", changed), ("what stayed", stayed)):
        if classes:
            most = max(max(c.map_hectares, c.hectares.upper if c.hectares else 0) for c in classes)
            caption = f"Hectares of {title}, from 0 to {most:,.0f}."
            if not stayed:
                caption = f"Hectares of each class, from 0 to {most:,.0f}."
            drawn.append(parts.bars(caption, [_bar(c) for c in classes], most, names=names))
    columns = [
        Column("class"), *(
            Column(c, ",.1f")
            for c in ("counted in the map, ha", "estimate, ha", "standard error, ha", "±", "from",
                      "to")
        ), Column("interval by"), Column("units", ",d"),
    ]  # fmt: skip
    rows = [
        [c.name, c.map_hectares, *_figures(c.hectares), c.reference_units] for c in found.classes
    ]
    words = (
        f"{found.units:,} units of the map were labelled ({found.design} sample). The estimates "
        f"come from these labels; of 100 such samples about {100 * found.level:.0f} would give an "
        "interval that holds the true area. What is counted in the map is biased by its errors and "
        f"has no interval. {found.method}"
    )
    shown = [
        parts.text(words), *drawn,
        parts.table("areas", "Areas of the classes, in hectares.", columns, rows),
    ]  # fmt: skip
    if found.domains:
        shown.append(_domains(found))
    return Section("areas", "Areas with intervals", shown)


def accuracy(found: Areas) -> Section:
    """Accuracies by the sample, and the confusion matrix in shares of the area."""
    level = f"{found.level:.0%} interval"
    chart = [
        parts.bars(title, [_accuracy_bar(c.name, of(c)) for c in found.classes], 1.0)
        for title, of in _ACCURACIES
    ]
    columns = [
        Column("class"), Column("units in the map", ",d"),
    ]  # fmt: skip
    for whose in ("user's", "producer's"):
        columns.append(Column(whose, ".3f"))
        columns += [Column(f"{end} ({whose})", ".3f") for end in ("±", "from", "to")]
        columns.append(Column(f"interval by ({whose})"))
    rows = []
    for c in found.classes:
        (users, _, *ends), (producers, _, *others) = _figures(c.users), _figures(c.producers)
        rows.append([c.name, c.map_units, users, *ends, producers, *others])
    names = [c.name for c in found.classes]
    facts = [
        Fact(
            "Overall accuracy", with_interval(found.overall, ".3f"), f"share of the area, {level}"
        ),
        Fact("Units", f"{found.units:,}", f"{found.design} sample"),
    ]
    return Section(
        "accuracy", "Accuracy by the sample",
        [
            parts.facts(facts),
            parts.group("charts", chart),
            parts.table("accuracies", f"Accuracies with their {level}s.", columns, rows),
            parts.matrix(
                "area-confusion",
                "Per cent of the map's area by the class of the reference (rows) and of the map "
                "(columns). The darker a cell, the larger its share of the row; what is right is "
                "in bold.",
                names, names, [[100 * v for v in row] for row in found.confusion.shares],
                corner="% of area: reference \\ map", form=".2f",
            ),
        ],
    )  # fmt: skip


_NOTES = 6  # about single intervals: with many classes the tables say it better


def limits(found: Areas) -> list[str]:
    """What a reader of the figures must be warned of."""
    few = [f"{c.name} ({c.map_units:,})" for c in found.classes if c.map_units < FEW_UNITS]
    of_intervals = [note for note in found.notes if "interval by" in note.lower()]
    more = of_intervals[_NOTES:]
    lines = [note for note in found.notes if note not in more]
    if more:
        lines.append(
            f"{len(more)} more notes of this kind: few units decide many intervals here. "
            "'Interval by' in the tables below names each, and the estimate's JSON holds all notes."
        )
    if few:
        lines.append(f"Few sample units: {', '.join(few)}. Intervals of such classes are wide.")
    return lines


_ACCURACIES: tuple[tuple[str, Callable[[AreaClass], Figure | None]], ...] = (
    ("User's accuracy: the share of what the map calls so that is.", lambda c: c.users),
    ("Producer's accuracy: the share of what is that the map calls so.", lambda c: c.producers),
)


def _bar(c: AreaClass) -> Bar:
    if c.hectares is None:
        return Bar(c.name, None, f"{NONE} (map {c.map_hectares:,.0f})", mark=c.map_hectares)
    f = c.hectares
    return Bar(
        c.name, f.value, with_interval(f, ",.0f"), f.lower, f.upper, mark=c.map_hectares
    )  # fmt: skip


def _accuracy_bar(name: str, figure: Figure | None) -> Bar:
    if figure is None:
        return Bar(name, None, NONE)
    return Bar(name, figure.value, with_interval(figure, ".2f"), figure.lower, figure.upper)


def _domains(found: Areas) -> Markup:
    columns = [
        Column("domain"), Column("class"),
        *(Column(c, ",.1f") for c in ("estimate, ha", "standard error, ha", "±", "from", "to")),
        Column("interval by"), Column("units", ",d"),
    ]  # fmt: skip
    rows = [
        [d.name, name, *_figures(figure), d.units]
        for d in found.domains
        for name, figure in d.classes.items()
    ]
    return parts.table("domains", "Areas of the classes in each domain.", columns, rows, most=60)


def _figures(figure: Figure | None) -> list[float | str | None]:
    """Estimate, standard error, half of an even interval, its ends, and what it is by."""
    if figure is None:
        return [None] * 6
    margin = None if figure.is_exact else figure.margin
    return [figure.value, figure.error, margin, figure.lower, figure.upper, figure.method]


def with_interval(figure: Figure, form: str) -> str:
    """An estimate with its interval: an uneven one as its ends."""
    if figure.is_exact:
        return f"{figure.value:{form}} ({figure.lower:{form}} to {figure.upper:{form}})"
    return f"{figure.value:{form}} ± {figure.margin:{form}}"
