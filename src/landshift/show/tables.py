"""Numbers as tables for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from landshift.assess.agreement import Agreement
from landshift.assess.assessment import Assessment, IntervalEstimate
from landshift.assess.contents import Design
from landshift.errors import plain, shown
from landshift.maps.patches import Fragmentation
from landshift.maps.polygons import Traced
from landshift.maps.transitions import TransitionTable
from landshift.maps.zonal import Zones
from landshift.prepare.burn import PolygonLabels
from landshift.prepare.difference import Difference
from landshift.prepare.normalise import Normalisation
from landshift.scores.calibration import Calibration
from landshift.scores.confusion import Scores

if TYPE_CHECKING:
    from landshift.bundle import Package

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
        "method", "accuracy", "kappa", "macro F1", "mIoU", "change F1", Text("change\nmacro F1")
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


def strata(found: Design) -> Table:
    """The strata of a sample."""
    table = _table("stratum", "units", "hectares", "% of area", "sampled", "1 unit in")
    total = sum(s.hectares for s in found.strata)
    for s in found.strata:
        table.add_row(
            s.name, f"{s.units:,}", f"{s.hectares:,.1f}", f"{100 * s.hectares / total:.2f}",
            f"{s.sampled:,}", f"{s.units / s.sampled:,.0f}" if s.sampled else "-",
        )  # fmt: skip
    return table


def areas(found: Assessment) -> Table:
    """Area of each class by the map and as estimated, with intervals."""
    table = _table("class", "map, ha", "estimate, ha", "±", "from", "to", "interval by")
    for c in found.classes:
        table.add_row(c.name, f"{c.map_hectares:,.1f}", *_interval(c.hectares, ",.1f"))
    return table


def accuracies(found: Assessment) -> Table:
    """User's and producer's accuracy of each class, and the overall accuracy."""
    table = _table("class", "whose", "units", "accuracy", "±", "from", "to", "interval by")
    for c in found.classes:
        for whose, units, figure in (
            ("user's", c.map_units, c.users), ("producer's", c.reference_units, c.producers)
        ):  # fmt: skip
            table.add_row(c.name, whose, f"{units:,}", *_interval(figure, ".3f"))
    table.add_row("", "overall", f"{found.units:,}", *_interval(found.overall, ".3f"))
    return table


def area_confusion(found: Assessment) -> Table:
    """The confusion matrix in per cent of the map's area: rows reference, columns map."""
    table = _table("% of area, by reference; map:", *(c.name for c in found.classes), "total")
    for c, row in zip(found.classes, found.confusion, strict=True):
        table.add_row(c.name, *(f"{100 * p:.2f}" for p in row), f"{100 * row.sum():.2f}")
    totals = found.confusion.sum(axis=0)
    table.add_row("total", *(f"{100 * p:.2f}" for p in totals), f"{100 * totals.sum():.2f}")
    return table


def domains(found: Assessment) -> Table:
    """Area of each class in each domain."""
    table = _table("domain", "units", "class", "estimate, ha", "±", "from", "to", "interval by")
    for d in found.domains:
        if not d.classes:
            table.add_row(d.name, str(d.units), "fewer than 2 units", *_interval(None, ""))
        for name, figure in d.classes.items():
            table.add_row(d.name, f"{d.units:,}", name, *_interval(figure, ",.1f"))
    return table


def agreements(found: Sequence[Agreement]) -> Table:
    """How far labellers agree: share of the units and kappa."""
    table = _table("labellers", "on", "units", "agree", "kappa")
    for a in found:
        on = "class of the map" if a.on == "map" else f"class {a.on}"
        table.add_row(
            f"{a.first}, {a.second}", on, f"{a.units:,}", _share(a.share), _share(a.kappa)
        )
    return table


def agreement(found: Agreement) -> Table:
    """Units by what the one labeller says, a row, and the other, a column."""
    table = _table(f"{found.first}, by row; {found.second}:", *found.names, "total")
    for name, row in zip(found.names, found.counts, strict=True):
        table.add_row(name, *(f"{n:,}" for n in row), f"{row.sum():,}")
    totals = found.counts.sum(axis=0)
    table.add_row("total", *(f"{n:,}" for n in totals), f"{found.units:,}")
    return table


def patches(found: Traced) -> Table:
    """Polygons of change of each class, the largest area first."""
    table = _table("class", "polygons", "hectares")
    for name, hectares in sorted(found.hectares.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{found.polygons[name]:,}", f"{hectares:,.1f}")
    return table


def fragmentation(found: Fragmentation) -> Table:
    """Patches of each class."""
    table = _table("class", "patches", "hectares", "mean, ha", "largest, %", "edge, m/ha")
    for c in found.classes:
        table.add_row(
            c.name, f"{c.patches:,}", f"{c.hectares:,.1f}", f"{c.mean:,.2f}",
            f"{c.largest_percent:.2f}", f"{c.edge_density:.2f}",
        )  # fmt: skip
    return table


def zones(found: Zones, most: int = 30) -> Table:
    """Hectares of each class in each zone."""
    table = _table("zone", *(f"{name}, ha" for name in found.classes.values()), "no class, %")
    for k, name in enumerate(found.names[:most]):
        table.add_row(
            name, *(f"{h:,.1f}" for h in found.hectares[k]), f"{100 * found.outside[k]:.1f}"
        )
    if len(found.names) > most:
        rest = found.hectares[most:].sum(axis=0)
        table.add_row(f"{len(found.names) - most} more", *(f"{h:,.1f}" for h in rest), "")
    return table


def model(package: Package, most: int = 20) -> Group:
    """What a person needs to know of a saved model, on one screen.

    Args:
        package: The model.
        most: Classes to show.
    """
    network, scores = package.model, package.scores or {}
    facts = _Texts(box=None, show_header=False)
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column()
    for name, value in _facts(package).items():
        facts.add_row(name, plain(value, 600))
    by_name = {c["name"]: c for c in scores.get("classes", ())}
    classes = _table("class", "value", "F1", "IoU", "support")
    for c in list(network.scheme)[:most]:
        score = by_name.get(c.name, {})
        swatch = Text.assemble(("  ", "on rgb({},{},{})".format(*c.colour)), " ", plain(c.name))
        support = "-" if not score else f"{score['support']:,}"
        classes.add_row(
            swatch, str(c.value), *(_share(score.get(k)) for k in ("f1", "iou")), support
        )
    rest = len(network.scheme) - most
    return Group(facts, "", classes, *([f"and {rest} classes more"] if rest > 0 else []))


def _facts(package: Package) -> dict[str, str]:
    """Everything but the classes, a line each."""
    network, tiles = package.model, package.tiles
    spec, design = network.spec, network.design
    weights = sum(p.numel() for p in network.parameters())
    options = ", ".join(f"{k} {v}" for k, v in design.options.items())
    padding = "not measured" if spec.padding is None else f"{spec.padding} (measured)"
    cells = "" if spec.cell_size is None else f", cells of {spec.cell_size:g} in units of the CRS"
    data = package.training.get("data")
    split = "" if data is None else f", split by {data['split']}, seed {data['seed']}"
    return {
        "model": package.name,
        "network": f"{network.architecture} over {network.backbone}, dates: {design.combination}"
        f"{f' ({options})' if options else ''}; {weights / 1e6:.1f} million weights",
        "bands": ", ".join(b or f"band {k}" for k, b in enumerate(spec.bands, start=1)),
        "sensor": _told(spec.band_sensors),
        "units": f"{_told(spec.band_units)}; {spec.dtype}, {min(spec.minimum):g} to "
        f"{max(spec.maximum):g} in training",
        "tiles": f"{spec.tile_size} x {spec.tile_size} pixels{cells}; padding {padding}",
        "trained": _trained(package),
        "on": "unknown tiles" if tiles is None else f"{tiles['training']} tiles of "
        f"{tiles['name']} (SHA-256 {tiles['sha256'][:12]}), scored on {tiles['validation']}{split}",
        "scores": _scores(package),
        "temperature": f"{network.temperature:g}",
        "made with": ", ".join(f"{k} {v}" for k, v in package.versions.items()),
    }  # fmt: skip


def _scores(package: Package) -> str:
    """Its scores on validation tiles; of a model of others, what it states of itself."""
    if package.scores is not None:
        names = (
            ("accuracy", "accuracy"), ("macro F1", "macro_f1"), ("mIoU", "miou"),
            ("change F1", "change_f1"),
        )  # fmt: skip
        return ", ".join(f"{name} {_share(package.scores[key])}" for name, key in names)
    stated = package.training.get("stated")
    if not isinstance(stated, Mapping) or not stated:
        return "none"
    told = [f"accuracy {_share(stated['accuracy'])}"] if "accuracy" in stated else []
    told += [f"F1 of {name} {_share(value)}" for name, value in stated.get("f1", {}).items()]
    return f"{', '.join(told)} (as {package.training.get('software', 'its .emd')} states)"


def _trained(package: Package) -> str:
    """How long and by what it learnt."""
    training = package.training
    loss = training.get("loss") or {}
    told = {
        "learning rate": training.get("lr"),
        "batches of": training.get("batch_size"),
        "loss": loss.get("formula"),
    }
    epochs = f"{len(package.history)} epochs"
    return ", ".join([epochs, *(f"{k} {v}" for k, v in told.items() if v is not None)])


def _told(words: Sequence[str | None]) -> str:
    """What is told of each band, once where it is the same for all."""
    found = dict.fromkeys(words)
    if not any(found):
        return "not told"
    return ", ".join(word or "not told" for word in (found if len(found) == 1 else words))


def _interval(figure: IntervalEstimate | None, form: str) -> tuple[str, str, str, str, str]:
    """An estimate, half of its interval's width if it is even, its ends, and what it is by."""
    if figure is None:
        return "-", "-", "-", "-", "-"
    return (
        f"{figure.value:{form}}", "-" if figure.is_exact else f"{figure.margin:{form}}",
        f"{figure.lower:{form}}", f"{figure.upper:{form}}", figure.method,
    )  # fmt: skip


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(first: str, *numbers: str | Text) -> Table:
    table = _Texts(box=None, header_style="bold")
    table.add_column(first, overflow="fold")
    for name in numbers:
        text = name in ("to", "method", "whose", "interval by")
        wraps = name in ("to", "method")
        table.add_column(name, justify="left" if text else "right", no_wrap=not wraps)
    return table


class _Texts(Table):
    """A table that shows texts as they are written: none is markup."""

    def add_column(self, header: RenderableType = "", *arguments: Any, **options: Any) -> None:
        super().add_column(_as_written(header), *arguments, **options)

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        super().add_row(*map(_as_written, cells), **options)


def _as_written(cell: Any) -> Any:
    return Text(shown(cell)) if isinstance(cell, str) else cell
