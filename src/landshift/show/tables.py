"""Results as tables for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Column, Table
from rich.text import Text

from landshift.errors import plain, shown
from landshift.files.rows import block

if TYPE_CHECKING:
    from landshift.assess.agreement import Agreement
    from landshift.assess.assessment import Assessment, IntervalEstimate
    from landshift.assess.contents import Design
    from landshift.bundle.saved import ModelFacts
    from landshift.catalogue.fetch import Fetched
    from landshift.catalogue.search import SearchResult
    from landshift.maps.patches import Fragmentation
    from landshift.maps.polygons import Traced
    from landshift.maps.series import SeriesTables
    from landshift.maps.transitions import TransitionTable
    from landshift.maps.zonal import Zones
    from landshift.prepare.burn import PolygonLabels
    from landshift.prepare.difference import Difference
    from landshift.prepare.normalise import Normalisation
    from landshift.scores.calibration import Calibration
    from landshift.scores.confusion import Scores

EPOCH_COLUMNS = (
    "epoch", "train_loss", "valid_loss", "accuracy", "dice", "mIoU", "change F1", "time",
)  # fmt: skip

_ZONES = 5  # in blocks; all are in the CSV


def epochs(rows: Sequence[Sequence[str]] = ()) -> Table:
    """The training table."""
    table = Table(*EPOCH_COLUMNS, box=None, header_style="bold")
    for row in rows:
        table.add_row(*row)
    return table


def date_ranges(result: SearchResult) -> Table:
    """The ranges of a search: how many items, on how many days, the place covered, clouds."""
    table = _table("range", "items", "days", "covered", "median cloud")
    for r in result.ranges:
        cloud = "" if r.cloud is None else f"{r.cloud:.0f} %"
        table.add_row(
            str(r.period), f"{len(r.entries):,}", f"{r.days:,}", f"{r.covered:.0%}", cloud
        )
    return table


def items(result: SearchResult) -> Table:
    """The items of a search by time."""
    table = _table("date", "cloud", "item", "collection", "known as")
    for row in result.rows():
        cloud = "" if row["cloud_percent"] is None else f"{row['cloud_percent']:.0f} %"
        table.add_row(row["date"], cloud, row["item"], row["collection"], row["known_as"])
    return table


def fetched(result: Fetched) -> Table:
    """The image of each range: its items and days, clear observations a pixel, pixels without."""
    table = _table("range", "items", "days", "clear observations", "without any")
    for i in result.images:
        mean = "" if i.observations is None else f"{i.observations:.1f}"
        table.add_row(str(i.period), f"{i.items:,}", f"{i.days:,}", mean, f"{i.without:.1%}")
    return table


def series(result: SeriesTables) -> Table:
    """What became of the pixels of a series."""
    table = _table("pixels that", "pixels", "hectares", "%")
    for row in result.rows():
        table.add_row(
            row["pixels that"], f"{row['pixels']:,}", f"{row['hectares']:,.0f}",
            f"{row['percent']:.2f}",
        )  # fmt: skip
    return table


def per_class(scores: Scores) -> Table:
    """Scores of each class that occurs; '-' where a score isn't defined."""
    table = _table("class", "precision", "recall", "F1", "IoU", "support")
    absent = 0
    for c in scores.classes:
        if not c.support and c.precision is None:
            absent += 1
            continue
        table.add_row(
            c.name, *(_share(v) for v in (c.precision, c.recall, c.f1, c.iou)), f"{c.support:,}"
        )
    table.without(absent, "in neither the reference nor the map")
    return table


def compare(methods: Mapping[str, Scores]) -> Table:
    """Scores of several methods over the same pixels, a row each; of change if there are any."""
    columns: list[tuple[str | Text, str]] = [
        ("accuracy", "accuracy"), ("kappa", "kappa"), ("macro F1", "macro_f1"), ("mIoU", "miou")
    ]  # fmt: skip
    if any(s.change_f1 is not None for s in methods.values()):
        columns += [("change F1", "change_f1"), (Text("change\nmacro F1"), "change_macro_f1")]
    table = _table("method", *(title for title, _ in columns))
    for name, s in methods.items():
        table.add_row(name, *(_share(getattr(s, score)) for _, score in columns))
    return table


def semantic(methods: Mapping[str, Scores]) -> Table | None:
    """Semantic change scores by protocol, one method a row; None where no method has them."""
    if all(s.pooled is None and s.from_to is None for s in methods.values()):
        return None
    table = _table("protocol", "method", "mIoU_bc", "Fscd", "SeK", "Score")
    for protocol, name_of in (("pooled", "pooled"), ("from-to", "from_to")):
        for method, s in methods.items():
            scores = getattr(s, name_of)
            if scores is not None:
                columns = (s.miou_bc, scores.fscd, scores.sek, scores.score)
                table.add_row(protocol, method, *(_share(v) for v in columns))
    return table


def calibration(result: Calibration) -> Table:
    """Calibration of a model's probabilities as trained, and with its temperature."""
    table = _table("probabilities", "temperature", "ECE", "NLL")
    rows = {"as trained": (1.0, result.raw), "calibrated": (result.temperature, result.scaled)}
    for name, (temperature, curve) in rows.items():
        table.add_row(name, f"{temperature:.3f}", _share(curve.ece), _share(curve.nll))
    return table


def transitions(flows: TransitionTable, most: int = 15) -> Table:
    """The largest transitions."""
    table = _table("from", "to", "pixels", "hectares", "%")
    rows = [r for r in flows.rows() if r["from"] != r["to"] and r["pixels"]]
    rows.sort(key=lambda r: -r["pixels"])
    for r in rows[:most]:
        hectares = "-" if r["hectares"] == "" else f"{r['hectares']:,.1f}"
        table.add_row(r["from"], r["to"], f"{r['pixels']:,}", hectares, f"{r['percent']:.2f}")
    if len(rows) > most:
        rest = rows[most:]
        table.add_row(
            f"{len(rest)} more", "", f"{sum(r['pixels'] for r in rest):,}",
            "" if flows.hectares is None else f"{sum(r['hectares'] for r in rest):,.1f}",
            f"{sum(r['percent'] for r in rest):.2f}",
        )  # fmt: skip
    return table


def class_changes(flows: TransitionTable) -> Table:
    """Gains and losses of each class."""
    unit = "pixels" if flows.hectares is None else "hectares"
    columns = ("before", "after", "stayed", "gain", "loss", "net", "swap")
    table = _table(unit, *columns, row=f"class, {unit}")
    absent, changes = 0, flows.per_class()
    form = ",.0f" if flows.hectares is None else _hectares(c.before for c in changes)
    for c in changes:
        if not c.before and not c.after:
            absent += 1
            continue
        numbers = (c.before, c.after, c.persistence, c.gain, c.loss, c.net, c.swap)
        table.add_row(c.name, *(f"{n:{form}}" for n in numbers))
    table.without(absent, "on neither date")
    return table


def difference(result: Difference) -> Table:
    """Classes of a difference, or statistics of its bands."""
    if result.classes:
        table = _table("class", "pixels", "hectares")
        for c in result.classes:
            table.add_row(
                c.name, f"{c.pixels:,}", "-" if c.hectares is None else f"{c.hectares:,.1f}"
            )
        return table
    table = _table("band", "minimum", "mean", "maximum", "std")
    for b in result.statistics:
        table.add_row(b.name, f"{b.minimum:g}", f"{b.mean:.4g}", f"{b.maximum:g}", f"{b.std:.4g}")
    return table


def normalisation(result: Normalisation) -> Table:
    """Gain and offset of each band."""
    table = _table("band", "gain", "offset")
    for line in result.lines:
        table.add_row(line.name, f"{line.gain:.4f}", f"{line.offset:.4g}")
    return table


def polygon_labels(labels: PolygonLabels) -> Table:
    """Polygons and pixels of each class."""
    table = _table("class", "value", "polygons", "pixels")
    for c, polygons, pixels in zip(labels.scheme, labels.polygons, labels.pixels, strict=True):
        table.add_row(c.name, str(c.value), f"{polygons:,}", f"{pixels:,}")
    return table


def strata(design: Design) -> Table:
    """The strata of a sample."""
    table = _table("stratum", "units", "hectares", "% of area", "sampled", "1 unit in")
    total = sum(s.hectares for s in design.strata)
    for s in design.strata:
        table.add_row(
            s.name, f"{s.units:,}", f"{s.hectares:,.1f}", f"{100 * s.hectares / total:.2f}",
            f"{s.sampled:,}", f"{s.units / s.sampled:,.0f}" if s.sampled else "-",
        )  # fmt: skip
    return table


def areas(assessment: Assessment) -> Table:
    """Area of each class by the map and as estimated, with intervals."""
    table = _table("class", "map, ha", "estimate, ha", "±", "from", "to", "interval by")
    form = _hectares(c.map_hectares for c in assessment.classes)
    for c in assessment.classes:
        table.add_row(c.name, f"{c.map_hectares:{form}}", *_interval(c.hectares, form))
    return table


def accuracies(assessment: Assessment) -> Table:
    """User's and producer's accuracy of each class, and the overall accuracy."""
    table = _table("class", "whose", "units", "accuracy", "±", "from", "to", "interval by")
    for c in assessment.classes:
        for whose, units, figure in (
            ("user's", c.map_units, c.users), ("producer's", c.reference_units, c.producers)
        ):  # fmt: skip
            table.add_row(c.name, whose, f"{units:,}", *_interval(figure, ".3f"))
    table.add_row("", "overall", f"{assessment.units:,}", *_interval(assessment.overall, ".3f"))
    return table


def area_confusion(assessment: Assessment) -> Table:
    """The confusion matrix in per cent of the map's area: rows reference, columns map."""
    table = _table(
        "% of area, by reference; map:", *(c.name for c in assessment.classes), "total",
        row="reference, % of area", column="map ", sparse=True,
    )  # fmt: skip
    for c, row in zip(assessment.classes, assessment.confusion, strict=True):
        table.add_row(c.name, *(f"{100 * p:.2f}" for p in row), f"{100 * row.sum():.2f}")
    totals = assessment.confusion.sum(axis=0)
    table.add_row("total", *(f"{100 * p:.2f}" for p in totals), f"{100 * totals.sum():.2f}")
    return table


def domains(assessment: Assessment) -> Table:
    """Area of each class in each domain."""
    table = _table("domain", "units", "class", "estimate, ha", "±", "from", "to", "interval by")
    for d in assessment.domains:
        if not d.classes:
            table.add_row(d.name, str(d.units), "fewer than 2 units", *_interval(None, ""))
        for name, figure in d.classes.items():
            table.add_row(d.name, f"{d.units:,}", name, *_interval(figure, ",.1f"))
    return table


def agreements(pairs: Sequence[Agreement]) -> Table:
    """Agreement of labellers: share of the units, and kappa."""
    table = _table("labellers", "on", "units", "agree", "kappa")
    for a in pairs:
        on = "class of the map" if a.on == "map" else f"class {a.on}"
        table.add_row(
            f"{a.first}, {a.second}", on, f"{a.units:,}", _share(a.share), _share(a.kappa)
        )
    return table


def agreement(pair: Agreement) -> Table:
    """Units by label of the first labeller (rows) and of the second (columns)."""
    table = _table(
        f"{pair.first}, by row; {pair.second}:", *pair.names, "total",
        row=pair.first, column=f"{pair.second} ", sparse=True,
    )  # fmt: skip
    for name, row in zip(pair.names, pair.counts, strict=True):
        table.add_row(name, *(f"{n:,}" for n in row), f"{row.sum():,}")
    totals = pair.counts.sum(axis=0)
    table.add_row("total", *(f"{n:,}" for n in totals), f"{pair.units:,}")
    return table


def patches(polygons: Traced) -> Table:
    """Polygons of change of each class, the largest area first."""
    table = _table("class", "polygons", "hectares")
    for name, hectares in sorted(polygons.hectares.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{polygons.polygons[name]:,}", f"{hectares:,.1f}")
    return table


def fragmentation(result: Fragmentation) -> Table:
    """Patches of each class."""
    table = _table("class", "patches", "hectares", "mean, ha", "largest, %", "edge, m/ha")
    for c in result.classes:
        table.add_row(
            c.name, f"{c.patches:,}", f"{c.hectares:,.1f}", f"{c.mean:,.2f}",
            f"{c.largest_percent:.2f}", f"{c.edge_density:.2f}",
        )  # fmt: skip
    return table


def zones(measured: Zones, most: int = 30) -> Table:
    """Hectares of each class in each zone."""
    table = _table(
        "zone", *(f"{name}, ha" for name in measured.classes.values()), "no class, %",
        sparse=True, blocks=_ZONES,
    )  # fmt: skip
    for k, name in enumerate(measured.names[:most]):
        table.add_row(
            name, *(f"{h:,.1f}" for h in measured.hectares[k]), f"{100 * measured.outside[k]:.1f}"
        )
    if len(measured.names) > most:
        rest = measured.hectares[most:].sum(axis=0)
        table.add_row(f"{len(measured.names) - most} more", *(f"{h:,.1f}" for h in rest), "")
    return table


def model(info: ModelFacts, most: int = 20) -> Group:
    """A saved model in brief, for one screen.

    Args:
        info: The model.
        most: Largest number of classes.
    """
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")  # a word that is longer than the line goes on in the next
    for name, value in info.facts.items():
        facts.add_row(Text(name), Text(plain(value, 600)))
    classes = _table("class", "value", "F1", "IoU", "support")
    for c in info.classes[:most]:
        swatch = Text.assemble(
            ("  ", "on rgb({},{},{})".format(*c.entry.colour)), " ", plain(c.entry.name)
        )
        support = "-" if c.support is None else f"{c.support:,}"
        classes.add_row(swatch, str(c.entry.value), _share(c.f1), _share(c.iou), support)
    rest = len(info.classes) - most
    return Group(facts, "", classes, *([f"and {rest} more classes"] if rest > 0 else []))


def _interval(figure: IntervalEstimate | None, form: str) -> tuple[str, str, str, str, str]:
    """An estimate, half of an even interval's width, the interval's ends, and its method."""
    if figure is None:
        return "-", "-", "-", "-", "-"
    return (
        f"{figure.value:{form}}", "-" if figure.is_exact else f"{figure.margin:{form}}",
        f"{figure.lower:{form}}", f"{figure.upper:{form}}", figure.method,
    )  # fmt: skip


WHOLE_FROM = 10_000
"""Hectares of the largest class from which on areas of all classes are shown without a decimal: a
tenth of a hectare is then less than a pixel of most maps, and far less than any interval."""


def _hectares(areas: Iterable[float]) -> str:
    """The form in which areas of classes are written."""
    return ",.0f" if max(areas, default=0.0) >= WHOLE_FROM else ",.1f"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(first: str, *others: str | Text, **traits: Any) -> Results:
    """A table with names in the first column and numbers or texts in the others."""
    table = Results(box=None, header_style="bold", pad_edge=False, **traits)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="left" if name in _OF_TEXT else "right", no_wrap=True)
    return table


_OF_TEXT = (  # columns that hold texts
    "to", "method", "whose", "interval by", "class", "on", "item", "collection", "known as",
)  # fmt: skip

WRAPPED = 12
"""Least width of a column of names whose names are wrapped between words; a narrower one would
make columns of single words."""


class Results(Table):
    """A table that shows texts literally, and that fits the terminal.

    Where its columns are wider than the terminal, or than 80 characters in a pipe, the names in the
    first one are wrapped between words. Where that isn't enough, each row becomes a block, see
    `files.rows.block`. No word and no number is ever cut or broken.

    Args:
        row: What a row is, in blocks; None: as the header of the first column says.
        column: What the columns are, before their names in blocks; the last one is a total.
        sparse: Whether blocks leave out zeros, apart from the last column.
        blocks: Largest number of blocks.
        settings: As for `rich.table.Table`.
    """

    def __init__(
        self, *, row: str | None = None, column: str = "", sparse: bool = False,
        blocks: int | None = None, **settings: Any,
    ) -> None:  # fmt: skip
        super().__init__(**settings)
        self._row, self._column, self._sparse, self._most = row, column, sparse, blocks
        self._absent = ""

    def add_column(self, header: RenderableType = "", *arguments: Any, **options: Any) -> None:
        """See `rich.table.Table`."""
        super().add_column(_as_written(header), *arguments, **options)

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """See `rich.table.Table`."""
        super().add_row(*map(_as_written, cells), **options)

    def without(self, count: int, where: str) -> None:
        """Count rows that are left out, for classes that occur nowhere."""
        self._absent = f"and {count} more that {_occur(count)} {where}" if count else ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Columns, or blocks."""
        first, *others = map(self._width, self.columns)
        names = self.columns[0]
        left = options.max_width - sum(others) - _PADDING * len(self.columns)
        wrapped = max(WRAPPED, self._width(names, by_word=True))
        if first > left and wrapped > left:
            yield from self._in_blocks(options.max_width)
        else:
            names.width = min(first, left)
            yield from super().__rich_console__(console, options)
        if self._absent:
            yield _unbroken(self._absent)

    def _width(self, column: Column, *, by_word: bool = False) -> int:
        """Width of a column's widest line, or word."""
        texts = [_plain(column.header), *map(_plain, column.cells)]
        parts = [part for text in texts for part in (text.split() if by_word else text.split("\n"))]
        return max(map(cell_len, parts), default=0)

    def _in_blocks(self, width: int) -> Iterator[Text]:
        headers = [_plain(column.header).replace("\n", " ") for column in self.columns]
        first, *others = headers
        of_columns = [*(f"{self._column}{name}" for name in others[:-1]), *others[-1:]]
        names = [self._row or first, *of_columns]
        rows = list(zip(*(map(_plain, column.cells) for column in self.columns), strict=True))
        for row in rows[: self._most]:
            cells = [*("" if self._sparse and _is_zero(c) else c for c in row[:-1]), row[-1]]
            heading, *lines = block(names, cells, width)
            yield _unbroken(heading, "bold")
            for line in lines:
                yield _unbroken(line)
        if self._most is not None and len(rows) > self._most:
            yield _unbroken(f"and {len(rows) - self._most} more rows; the CSV has all")


_PADDING = 2  # of a cell in `rich.table.Table`: one space before it, one after it


def _occur(count: int) -> str:
    return "occurs" if count == 1 else "occur"


def _unbroken(line: str, style: str = "") -> Text:
    return Text(line, style, no_wrap=True, overflow="ignore")


def _is_zero(cell: str) -> bool:
    return bool(cell) and not cell.strip("0.")


def _plain(cell: RenderableType) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)


def _as_written(cell: Any) -> Any:
    return Text(shown(cell)) if isinstance(cell, str) else cell
