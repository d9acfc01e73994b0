"""Sections of a page from areas with intervals, as `landshift estimate -o` writes them."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup

from landshift.assess.design import FEW_SAMPLED
from landshift.classes import stays
from landshift.pages.report import parts
from landshift.pages.report.formats import AreaClass, Areas, FigureRecord
from landshift.pages.report.page import Section
from landshift.pages.report.parts import NONE, Bar, Fact, TableColumn

_FIGURES = ("estimate, ha", "standard error, ha", "±", "from", "to")


def hectares(areas: Areas) -> Section:
    """Area of each class: the estimate with its interval, and the map's count beside it."""
    changed = [c for c in areas.classes if not stays(c.name)]
    stayed = [c for c in areas.classes if stays(c.name)]
    names = ("estimate", f"{areas.level:.0%} interval", "counted in the map")
    drawn = []
    for title, classes in (("changed classes", changed), ("unchanged classes", stayed)):
        if classes:
            most = max(max(c.map_hectares, c.hectares.upper if c.hectares else 0) for c in classes)
            caption = f"Hectares of {title if stayed else 'each class'}."
            drawn.append(parts.bars(caption, [_bar(c) for c in classes], most, names=names))
    columns = [
        TableColumn("class"),
        *(TableColumn(c, ",.1f") for c in ("counted in the map, ha", *_FIGURES)),
        TableColumn("interval by"), TableColumn("units", ",d"),
    ]  # fmt: skip
    rows = [
        [c.name, c.map_hectares, *_figures(c.hectares), c.reference_units] for c in areas.classes
    ]
    words = (
        f"{areas.units:,} units of the map were labelled ({areas.design} sample). The estimates "
        f"come from these labels; about {100 * areas.level:.0f} of 100 such samples would give an "
        "interval that holds the true area. Areas counted in the map are biased by its errors and "
        f"have no interval. {areas.method}"
    )
    shown = [
        parts.text(words), *drawn,
        parts.table("areas", "Areas of the classes, in hectares.", columns, rows),
    ]  # fmt: skip
    if areas.domains:
        shown.append(_domains(areas))
    few = _few_decide(areas)
    if few:
        shown.append(parts.remarks(f"Notes on single intervals ({len(few)})", few))
    return Section("areas", "Areas with intervals", shown)


def accuracy(areas: Areas) -> Section:
    """Accuracies by the sample, and the confusion matrix in shares of the area."""
    level = f"{areas.level:.0%} interval"
    chart = [
        parts.bars(title, [_accuracy_bar(c.name, of(c)) for c in areas.classes], 1.0)
        for title, of in _ACCURACIES
    ]
    columns = [
        TableColumn("class"), TableColumn("units in the map", ",d"),
    ]  # fmt: skip
    for whose in ("user's", "producer's"):
        columns.append(TableColumn(whose, ".3f"))
        columns += [TableColumn(f"{end} ({whose})", ".3f") for end in ("±", "from", "to")]
        columns.append(TableColumn(f"interval by ({whose})"))
    rows = []
    for c in areas.classes:
        (users, _, *ends), (producers, _, *others) = _figures(c.users), _figures(c.producers)
        rows.append([c.name, c.map_units, users, *ends, producers, *others])
    names = [c.name for c in areas.classes]
    facts = [
        Fact(
            "Overall accuracy", with_interval(areas.overall, ".3f"), f"share of the area, {level}"
        ),
        Fact("Units", f"{areas.units:,}", f"{areas.design} sample"),
    ]
    return Section(
        "accuracy", "Accuracy by the sample",
        [
            parts.facts(facts),
            parts.group("charts", chart),
            parts.table(
                "accuracies", f"Accuracies with their {level}s.", columns, rows,
                fold="Accuracies as a table",
            ),
            parts.matrix(
                "area-confusion",
                "Per cent of the map's area by the class of the reference (rows) and of the map "
                "(columns). The stronger a cell's colour, the larger its share of the row; "
                "correct cells are in bold.",
                names, names, [[100 * v for v in row] for row in areas.confusion.shares],
                corner="% of area: reference \\ map", form=".2f",
            ),
        ],
    )  # fmt: skip


def limits(areas: Areas) -> list[str]:
    """Warnings about the estimates."""
    few = [f"{c.name} ({c.map_units:,})" for c in areas.classes if c.map_units < FEW_SAMPLED]
    decided = _few_decide(areas)
    lines = [note for note in areas.notes if note not in decided]
    if few:
        lines.append(f"Few sample units: {', '.join(few)}. Intervals of such classes are wide.")
    if decided:
        lines.append(
            "Some intervals are decided by few units, so they are exact and uneven: the notes "
            "below the areas name them."
        )
    return lines


def _few_decide(areas: Areas) -> list[str]:
    """The notes on single intervals that few units decide."""
    return [note for note in areas.notes if "interval by" in note.lower()]


_ACCURACIES: tuple[tuple[str, Callable[[AreaClass], FigureRecord | None]], ...] = (
    ("User's accuracy: share of the class in the map that is correct.", lambda c: c.users),
    (
        "Producer's accuracy: share of the class on the ground that is mapped.",
        lambda c: c.producers,
    ),
)


def _bar(c: AreaClass) -> Bar:
    if c.hectares is None:
        return Bar(c.name, None, f"{NONE} (map {c.map_hectares:,.0f})", mark=c.map_hectares)
    f = c.hectares
    return Bar(
        c.name, f.value, with_interval(f, ",.0f"), f.lower, f.upper, mark=c.map_hectares
    )  # fmt: skip


def _accuracy_bar(name: str, figure: FigureRecord | None) -> Bar:
    if figure is None:
        return Bar(name, None, NONE)
    return Bar(name, figure.value, with_interval(figure, ".2f"), figure.lower, figure.upper)


def _domains(areas: Areas) -> Markup:
    columns = [
        TableColumn("domain"), TableColumn("class"),
        *(TableColumn(c, ",.1f") for c in _FIGURES),
        TableColumn("interval by"), TableColumn("units", ",d"),
    ]  # fmt: skip
    rows = [
        [d.name, name, *_figures(figure), d.units]
        for d in areas.domains
        for name, figure in d.classes.items()
    ]
    return parts.table(
        "domains", "Areas of the classes in each domain.", columns, rows, most=60,
        fold="Areas of each domain",
    )  # fmt: skip


def _figures(figure: FigureRecord | None) -> list[float | str | None]:
    """Estimate, standard error, half of an even interval, its ends, and its method."""
    if figure is None:
        return [None] * 6
    margin = None if figure.is_exact else figure.margin
    return [figure.value, figure.error, margin, figure.lower, figure.upper, figure.method]


def with_interval(figure: FigureRecord, form: str) -> str:
    """An estimate with its interval: ± if even, else its ends."""
    if figure.is_exact:
        return f"{figure.value:{form}} ({figure.lower:{form}} to {figure.upper:{form}})"
    return f"{figure.value:{form}} ± {figure.margin:{form}}"
