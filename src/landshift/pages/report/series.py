"""The page of a series: what changed for good, when, how fast, and every date's map."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from landshift.errors import ParameterError, reason_of
from landshift.maps import series_folder
from landshift.pages.report import charts, maps, parts
from landshift.pages.report.page import Section, render
from landshift.pages.report.parts import Bar, Fact, TableColumn

_SMALL = 240  # rows and columns of a date's map

_FACTS = {
    "with a lasting change": "lasting change",
    "differ between the first and the last date": "differ between the first and the last date",
    "flicker": "flicker: a class that didn't last",
    "not known": "not known",
}

_NO_AREAS = (
    "Areas are counts of the maps' pixels: biased by the maps' errors, and without an interval. A "
    "sample of period.tif gives areas of each period with intervals (landshift sample, landshift "
    "estimate)."
)

Rows = list[dict[str, str]]


def page(folder: Path, *, title: str | None = None) -> str:
    """HTML of the page of a folder that `landshift series` wrote.

    Raises:
        ParameterError: It isn't one, or lacks a table.
        RasterError: A raster can't be read.
    """
    about = series_folder.read(folder)
    tables = {
        name: _read(folder / "tables" / f"{name}.csv")
        for name in ("summary", "classes", "periods", "lasting", "intensity", "trajectories")
    }
    period = maps.class_map(about.raster("period"), "The last lasting change", name="period")
    flicker = maps.class_map(about.raster("flicker"), "Flicker", name="flicker")
    dates = [
        maps.class_map(path, str(date), size=_SMALL, stated=about.scheme)
        for date, path in zip(about.dates, about.map_paths(), strict=True)
    ]
    first, last = about.dates[0], about.dates[-1]
    lead = (
        f"{len(about.dates)} class maps, {first} to {last}. A change is lasting where enough dates "
        "have the class before and the class after; what lies between is flicker."
    )
    sections = [
        Section("summary", "At a glance", [_facts(tables["summary"])]),
        Section(
            "when",
            "When it changed",
            [
                parts.group("pictures", [period.shown, flicker.shown]),
                maps.legend(period),
                maps.legend(flicker),
                _lasting(tables["lasting"], about.periods),
            ],
        ),
        Section(
            "dates",
            "The maps",
            [
                parts.group("samples", [each.shown for each in dates]),
                maps.legend(*dates),
            ],
        ),
        Section(
            "classes",
            "Classes in time",
            [
                _classes(tables["classes"], [d.first.year for d in about.dates]),
                _table("periods", "Gain and loss of each class", tables["periods"]),
            ],
        ),
        Section(
            "intensity",
            "How fast it changed",
            [
                _intervals(tables["intensity"]),
                _table(
                    "intensity-levels",
                    "Intensities of classes and transitions",
                    tables["intensity"],
                ),
            ],
        ),
        Section(
            "trajectories",
            "The commonest trajectories",
            [
                _table("common", "", tables["trajectories"], fold=False, most=20),
            ],
        ),
        Section(
            "limits",
            "Limits",
            [
                parts.warnings(
                    [
                        _NO_AREAS,
                        "Errors of single dates look like flicker, or like change where they last.",
                    ]
                )
            ],
        ),
        Section(
            "how",
            "How it was made",
            [
                parts.table(
                    "options",
                    "",
                    [TableColumn("option"), TableColumn("value")],
                    parts.flat(about.provenance.get("parameters", {})),
                )
            ],
        ),
    ]
    return render(title or f"Change from {first} to {last}", [lead], sections)


def _read(path: Path) -> Rows:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ParameterError(
            f"A series must have its tables, got '{reason_of(error)}' at {path}; make it again "
            "(`landshift series`)."
        ) from error


def _number(row: dict[str, str], name: str) -> float:
    try:
        return float(row[name])
    except (KeyError, TypeError, ValueError):
        raise ParameterError(
            f"A table of a series must hold numbers, got {row.get(name)!r} for {name}; make it "
            "again (`landshift series`)."
        ) from None


def _facts(summary: Rows) -> Markup:
    rows = {row["pixels that"]: row for row in summary}
    return parts.facts(
        [
            Fact(
                words,
                f"{_number(rows[name], 'percent'):.1f} %",
                f"{_number(rows[name], 'hectares'):,.0f} ha",
            )
            for name, words in _FACTS.items()
            if name in rows
        ]
    )


def _lasting(rows: Rows, periods: Sequence[str]) -> Markup:
    """Hectares of the last lasting change, by the period in which it ended."""
    sums = dict.fromkeys(periods, 0.0)
    for row in rows:
        sums[row["period"]] = sums.get(row["period"], 0.0) + _number(row, "hectares")
    bars = [Bar(name, area, f"{area:,.0f} ha") for name, area in sums.items()]
    return parts.bars("Lasting change by period, in hectares", bars, max(sums.values(), default=0))


def _classes(rows: Rows, years: Sequence[int]) -> Markup:
    """A chart for each class: its hectares at each date."""
    by_class: dict[str, list[float]] = {}
    for row in rows:
        by_class.setdefault(row["class"], []).append(_number(row, "hectares"))
    large = max((area for areas in by_class.values() for area in areas), default=0) >= 10_000
    unit, size = ("1,000 ha", 1000) if large else ("ha", 1)
    return parts.group(
        "charts",
        [
            charts.lines(
                name,
                [
                    charts.Series(
                        name, [(float(t), a / size) for t, a in zip(years, areas, strict=True)]
                    )
                ],
                x="year",
                y=unit,
                whole=True,
            )
            for name, areas in by_class.items()
        ],
    )


def _intervals(rows: Rows) -> Markup:
    """Change a year in each period, beside that of all."""
    bars = [
        Bar(row["period"], rate, f"{rate:.2f} %", mark=_number(row, "uniform"))
        for row in rows
        if row["level"] == "interval"
        for rate in [_number(row, "intensity")]
    ]
    most = max((max(bar.value or 0, bar.mark or 0) for bar in bars), default=0)
    return parts.bars("Change a year, in per cent of the area; the mark is the mean", bars, most)


def _table(
    name: str, title: str, rows: Rows, *, fold: bool = True, most: int | None = 50
) -> Markup:
    columns = list(rows[0]) if rows else ["none"]
    return parts.table(
        name,
        title,
        [TableColumn(c) for c in columns],
        [list(row.values()) for row in rows],
        most=most,
        fold=title if fold else "",
    )
