"""Numbers as tables for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from landshift.calibration import Calibration
from landshift.confusion import Scores
from landshift.difference import Difference
from landshift.polygons import PolygonLabels
from landshift.radiometry import Normalisation
from landshift.transitions import TransitionTable

EPOCH_COLUMNS = (
    "epoch", "train_loss", "valid_loss", "accuracy", "dice", "mIoU", "change F1", "time",
)  # fmt: skip


def epochs(rows: Sequence[Sequence[str]] = ()) -> Table:
    """The training table."""
    table = Table(*EPOCH_COLUMNS, box=None, header_style="bold")
    for row in rows:
        table.add_row(*row)
    return table


def per_class(scores: Scores) -> Table:
    """Scores of each class; '-' where a score isn't defined."""
    table = _table("class", "precision", "recall", "F1", "IoU", "support")
    for c in scores.classes:
        table.add_row(
            c.name, *(_share(v) for v in (c.precision, c.recall, c.f1, c.iou)), f"{c.support:,}"
        )
    return table


def compare(methods: Mapping[str, Scores]) -> Table:
    """Scores of several methods over the same pixels, one a row."""
    table = _table(
        "method", "accuracy", "kappa", "macro F1", "mIoU", "change F1", "change\nmacro F1"
    )
    for name, s in methods.items():
        columns = (s.accuracy, s.kappa, s.macro_f1, s.miou, s.change_f1, s.change_macro_f1)
        table.add_row(name, *(_share(v) for v in columns))
    return table


def semantic(methods: Mapping[str, Scores]) -> Table | None:
    """Semantic change scores by protocol, one method a row; None where no method has them."""
    if all(s.pooled is None and s.from_to is None for s in methods.values()):
        return None
    table = _table("protocol", "method", "mIoU_bc", "Fscd", "SeK", "Score")
    for protocol, name_of in (("pooled", "pooled"), ("from-to", "from_to")):
        for method, s in methods.items():
            found = getattr(s, name_of)
            if found is not None:
                columns = (s.miou_bc, found.fscd, found.sek, found.score)
                table.add_row(protocol, method, *(_share(v) for v in columns))
    return table


def calibration(found: Calibration) -> Table:
    """Calibration of a model's probabilities as trained, and with its temperature."""
    table = _table("probabilities", "temperature", "ECE", "NLL")
    rows = {"as trained": (1.0, found.raw), "calibrated": (found.temperature, found.scaled)}
    for name, (temperature, curve) in rows.items():
        table.add_row(name, f"{temperature:.3f}", _share(curve.ece), _share(curve.nll))
    return table


def transitions(found: TransitionTable, most: int = 15) -> Table:
    """The largest changes, and how much stayed."""
    table = _table("from", "to", "pixels", "hectares", "%")
    rows = [r for r in found.rows() if r["from"] != r["to"]]
    rows.sort(key=lambda r: -r["pixels"])
    for r in rows[:most]:
        hectares = "-" if r["hectares"] == "" else f"{r['hectares']:,.1f}"
        table.add_row(r["from"], r["to"], f"{r['pixels']:,}", hectares, f"{r['percent']:.2f}")
    if len(rows) > most:
        rest = rows[most:]
        table.add_row(
            f"{len(rest)} more", "", f"{sum(r['pixels'] for r in rest):,}",
            "" if found.hectares is None else f"{sum(r['hectares'] for r in rest):,.1f}",
            f"{sum(r['percent'] for r in rest):.2f}",
        )  # fmt: skip
    return table


def class_changes(found: TransitionTable) -> Table:
    """What each class gained and lost."""
    unit = "pixels" if found.hectares is None else "hectares"
    table = _table(unit, "before", "after", "stayed", "gain", "loss", "net", "swap")
    for c in found.per_class():
        numbers = (c.before, c.after, c.persistence, c.gain, c.loss, c.net, c.swap)
        form = ",.0f" if found.hectares is None else ",.1f"
        table.add_row(c.name, *(f"{n:{form}}" for n in numbers))
    return table


def difference(found: Difference) -> Table:
    """Classes of a difference, or its statistics."""
    if found.classes:
        table = _table("class", "pixels", "hectares")
        for c in found.classes:
            table.add_row(
                c.name, f"{c.pixels:,}", "-" if c.hectares is None else f"{c.hectares:,.1f}"
            )
        return table
    table = _table("band", "minimum", "mean", "maximum", "std")
    for b in found.statistics:
        table.add_row(b.name, f"{b.minimum:g}", f"{b.mean:.4g}", f"{b.maximum:g}", f"{b.std:.4g}")
    return table


def normalisation(found: Normalisation) -> Table:
    """How each band was changed."""
    table = _table("band", "gain", "offset")
    for line in found.lines:
        table.add_row(line.name, f"{line.gain:.4f}", f"{line.offset:.4g}")
    return table


def polygon_labels(found: PolygonLabels) -> Table:
    """Polygons and pixels of each class."""
    table = _table("class", "value", "polygons", "pixels")
    for c, polygons, pixels in zip(found.scheme, found.polygons, found.pixels, strict=True):
        table.add_row(c.name, str(c.value), f"{polygons:,}", f"{pixels:,}")
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column(first, overflow="fold")
    for name in numbers:
        text = name in ("to", "method")
        table.add_column(name, justify="left" if text else "right", no_wrap=not text)
    return table
