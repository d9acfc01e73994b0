"""Parts of pages: facts, tables, bars, matrices, legends, warnings.

A part is markup. Its texts and numbers are escaped here and nowhere else.
"""

from __future__ import annotations

import base64
import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from landshift.classes import Colour
from landshift.files import options
from landshift.pages.report import axis, svg
from landshift.pages.report.page import part

NONE = "-"
"""Text in place of a missing number."""

Cell = str | float | int | None

_MATRIX = 40
"""Largest number of classes in a matrix on a page."""

_FITTING = 8  # columns of a matrix that a page of usual width shows without scrolling

_TICKS = 4
"""Most steps between the ticks of bars: their numbers don't meet on a phone."""

_AT_THE_END = 0.95  # share of an axis beyond which a tick's number ends at the tick

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class TableColumn:
    """A column of a table.

    Attributes:
        title: Its heading.
        form: Format of its numbers, as for format(); '' for texts.
    """

    title: str
    form: str = ""

    @property
    def is_text(self) -> bool:
        """Whether its cells are texts."""
        return not self.form


@dataclass(frozen=True)
class Fact:
    """A main figure of a page.

    Attributes:
        name: Its name.
        value: The formatted number.
        note: A remark on it.
    """

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """A row of a bar chart.

    Attributes:
        label: Name of the row.
        value: Length of the bar; None for no bar.
        text: Text beside it.
        lower: Lower end of the interval; None for no interval.
        upper: Upper end of the interval.
        mark: Another value of the same quantity, drawn as a mark.
        own: Whether it is what the page is about, among others.
    """

    label: str
    value: float | None
    text: str
    lower: float | None = None
    upper: float | None = None
    mark: float | None = None
    own: bool = False


def facts(entries: Sequence[Fact]) -> Markup:
    """The main figures of a page or section."""
    return part("facts", entries=entries)


def text(words: str) -> Markup:
    """A paragraph."""
    return part("text", words=words)


def heading(words: str) -> Markup:
    """A heading below that of a section."""
    return part("heading", words=words)


def steps(lines: Sequence[str]) -> Markup:
    """Steps in order."""
    return part("steps", lines=lines)


def warnings(lines: Sequence[str]) -> Markup:
    """Warnings about the results."""
    return part("warnings", lines=lines)


def verdict(words: str, tone: str) -> Markup:
    """How a result went, in a sentence that stands out.

    Args:
        words: The sentence.
        tone: 'bad', 'care', 'good' or 'plain'.
    """
    return part("verdict", words=words, tone=tone)


def findings(entries: Sequence[tuple[str, str, str]]) -> Markup:
    """How a result went: what is so, and what to try next.

    Args:
        entries: Text, advice ('' for none; names in backquotes are options or commands), and
            tone: 'care', 'good' or 'plain'.
    """
    return part(
        "findings", entries=[(text, _with_options(advice), tone) for text, advice, tone in entries]
    )


def remarks(title: str, lines: Sequence[str]) -> Markup:
    """A folded list of remarks.

    Args:
        title: What is in it; the reader unfolds it by this.
        lines: The remarks.
    """
    return folded(title, part("bullets", lines=lines))


def folded(title: str, contents: Markup) -> Markup:
    """Contents that the reader unfolds; print shows them.

    Args:
        title: What is in it.
        contents: The contents.
    """
    return part("folded", title=title, contents=contents)


def group(kind: str, members: Sequence[Markup]) -> Markup:
    """Parts side by side where there is room: ``charts``, ``pictures`` or ``samples``."""
    return part("group", kind=kind, members=members)


def table(
    name: str,
    caption: str,
    columns: Sequence[TableColumn],
    rows: Sequence[Sequence[Cell]],
    *,
    most: int | None = None,
    fold: str = "",
) -> Markup:
    """A table with a link to its CSV; the first column names the rows.

    On a narrow screen its rows become blocks of lines, so that no column is cut off.

    Args:
        name: Its anchor and the name of the CSV: letters and '-', unique on the page.
        caption: Its caption.
        columns: Headings and number formats.
        rows: Texts and numbers; None for an empty cell.
        most: Largest number of rows on the page; the CSV has all. None: all.
        fold: The table is folded under this title; '' shows it.
    """
    if most is not None and len(rows) > most:
        caption = f"{caption} The first {most} of {len(rows):,} rows; the CSV has all."
    shown = [
        [_Shown(_written(c, column), "text" if column.is_text else "") for c, column in cells]
        for cells in (list(zip(row, columns, strict=True)) for row in rows[:most])
    ]
    drawn = part(
        "table", name=name, caption=caption, columns=columns, rows=shown,
        csv=_as_csv(columns, rows), kind="plain",
    )  # fmt: skip
    return folded(fold, drawn) if fold else drawn


def matrix(
    name: str,
    caption: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float]],
    *,
    corner: str,
    form: str,
) -> Markup:
    """A matrix with cells shaded by their share of the row.

    Args:
        name: Its anchor and the name of the CSV.
        caption: Its caption.
        rows: Name of each row.
        columns: Name of each column.
        values: The cells.
        corner: Text of the upper left corner: what rows and columns are.
        form: Number format of the cells.
    """
    heads = [TableColumn(corner), *(TableColumn(c, form) for c in columns)]
    cells: list[list[Cell]] = [[r, *line] for r, line in zip(rows, values, strict=True)]
    totals = [sum(line) for line in values]
    kept = list(range(len(rows)))
    if len(rows) > _MATRIX:
        kept = sorted(sorted(kept, key=lambda k: -totals[k])[:_MATRIX])
        caption = f"{caption} The {_MATRIX} largest of {len(rows)} classes; the CSV has all."
    rest = list(range(len(rows), len(columns)))  # columns without a class
    shown = []
    for k in kept:
        line = [_Shown(rows[k], "text")]
        for j in (*kept, *rest):
            kind = _shade(values[k][j] / totals[k] if totals[k] else 0.0)
            text = f"{values[k][j]:{form}}" if values[k][j] else "0"
            line.append(_Shown(text, f"{kind} right".strip() if j == k else kind))
        shown.append(line)
    return part(
        "table", name=name, caption=caption, rows=shown, csv=_as_csv(heads, cells),
        columns=[heads[0], *(heads[k + 1] for k in (*kept, *rest))],
        kind="matrix wide" if len(kept) + len(rest) > _FITTING else "matrix",
    )  # fmt: skip


def bars(
    caption: str, rows: Sequence[Bar], most: float, *, names: tuple[str, str, str] | None = None
) -> Markup:
    """Bars from 0 with their intervals and numbers, over an axis with ticks.

    Args:
        caption: Their caption, with the unit.
        rows: The bars.
        most: The value at full width.
        names: Meaning of bar, interval and mark, for the key; None: no key.
    """
    most = most if most > 0 else 1.0
    at = axis.ticks(most, _TICKS)
    drawn = [
        {"label": row.label, "value": row.text, "drawing": _drawn(row, most, at), "own": row.own}
        for row in rows
    ]
    key = Markup("")
    if names is not None:
        samples = Bar("", 1.0, ""), Bar("", None, "", 0.1, 0.9), Bar("", None, "", mark=0.5)
        drawings = [_drawn(sample, 1.0, ()) for sample in samples]
        key = part("key", entries=list(zip(drawings, names, strict=True)))
    return part("bars", caption=caption, rows=drawn, ticks=_ticks(at, most), key=key)


def legend(entries: Sequence[tuple[str, Colour]], *, none: str = "") -> Markup:
    """Names of classes beside their colours.

    Args:
        entries: The classes.
        none: Name of the pixels without a class; '' where there are none.
    """
    swatches = [
        (
            svg.strip(svg.element(
                "rect", width="100%", height="100%", rx=2, class_="swatch", fill=hexed(colour)
            )),
            name,
        )
        for name, colour in entries
    ]  # fmt: skip
    return part("key", entries=[*swatches, *([(part("nothing"), none)] if none else [])])


def chart(caption: str, drawn: Markup, key: Sequence[tuple[Markup, str]] = ()) -> Markup:
    """A chart under its caption, with a key of its lines."""
    below = part("key", entries=key) if key else Markup("")
    return part("chart", caption=caption, drawing=drawn, key=below)


def flat(options: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Options with their values as texts, nested names joined by dots; empty ones are left out."""
    entries = []
    for key, value in options.items():
        if isinstance(value, Mapping):
            entries += flat(value, f"{before}{key}.")
        elif isinstance(value, list | tuple) and value:
            entries.append((f"{before}{key}", ", ".join(map(str, value))))
        elif value not in (None, "", [], ()):
            entries.append((f"{before}{key}", str(value)))
    return entries


def hexed(colour: Colour) -> str:
    """A colour as ``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def share(value: float | None) -> str:
    """A score from 0 to 1."""
    return NONE if value is None else f"{value:.3f}"


def _with_options(text: str) -> Markup:
    """A text whose names in backquotes are shown as code, parameters as the command line's."""
    typed = options.PARAMETER.sub(lambda name: f"`{options.option_of(name[1])}`", text)
    pieces = re.split("`([^`]*)`", typed)  # every second one was in backquotes
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(p) if k % 2 else p for k, p in enumerate(pieces))


def _drawn(row: Bar, most: float, at: Sequence[float]) -> Markup:
    """A bar, its interval and its mark, over the lines of the ticks."""
    elements = [
        svg.element(
            "line", x1=_across(t, most), x2=_across(t, most), y1="0", y2="100%",
            class_="grid" if t else "axis",
        )
        for t in at
    ]  # fmt: skip
    if row.value is not None:
        elements.append(
            svg.element(
                "rect", x="0", y="22%", height="56%", width=_across(row.value, most), rx=2,
                class_="bar own" if row.own else "bar",
            )
        )  # fmt: skip
    if row.lower is not None and row.upper is not None:
        ends = _across(row.lower, most), _across(row.upper, most)
        elements.append(
            svg.element("line", x1=ends[0], x2=ends[1], y1="50%", y2="50%", class_="whisker")
        )
        elements += [
            svg.element("line", x1=e, x2=e, y1="28%", y2="72%", class_="whisker") for e in ends
        ]
    if row.mark is not None:
        diamond = svg.element("path", d="M0 -6 6 0 0 6 -6 0Z", class_="mark")
        x = _across(row.mark, most)
        elements.append(svg.element("svg", diamond, x=x, y="50%", overflow="visible"))
    return svg.strip(*elements)


def _ticks(at: Sequence[float], most: float) -> Markup:
    """The numbers of an axis below its bars."""
    texts = []
    for t in at:
        anchor = "start" if t == 0 else "end" if t > _AT_THE_END * most else "middle"
        texts.append(
            svg.element(
                "text", f"{t:,.10g}", x=_across(t, most), y="80%", text_anchor=anchor,
                class_="quiet",
            )
        )  # fmt: skip
    return svg.strip(*texts)


def _across(value: float, most: float) -> str:
    """A position along the bars, 0 to 100 %."""
    return f"{100 * min(max(value / most, 0.0), 1.0):.2f}%"


@dataclass(frozen=True)
class _Shown:
    text: str
    kind: str


def _shade(part_of_row: float) -> str:
    """One of the shades h1 (almost nothing) to h7 (the whole row); '' for none."""
    return "" if part_of_row <= 0 else f"h{min(7, 1 + math.floor(part_of_row * 7))}"


def _written(value: Cell, column: TableColumn) -> str:
    if value is None or value == "":
        return NONE
    return f"{value:{column.form}}" if column.form else str(value)


def _as_csv(columns: Sequence[TableColumn], rows: Sequence[Sequence[Cell]]) -> str:
    """A table as a data link to its CSV."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for line in ([c.title for c in columns], *rows):
        writer.writerow([_in_csv(cell) for cell in line])
    encoded = base64.b64encode(file.getvalue().encode("utf-8-sig")).decode()
    return f"data:text/csv;charset=utf-8;base64,{encoded}"


def _in_csv(cell: Cell) -> Any:
    """A cell that no spreadsheet takes for a formula, whatever its class is named."""
    if isinstance(cell, str) and cell.startswith(_FORMULA):
        return f"'{cell}"
    return f"{cell:.10g}" if isinstance(cell, float) else cell
