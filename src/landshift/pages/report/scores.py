"""Sections of a page from scores, as `landshift evaluate --json` writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from landshift.pages.report import charts, parts
from landshift.pages.report.charts import Line
from landshift.pages.report.formats import Calibration, Judged, Scores, finite
from landshift.pages.report.page import Section
from landshift.pages.report.parts import Bar, Column, Fact, share

FEW_PIXELS = 1000
"""Reference pixels below which a page warns of a class: neighbours are alike, so that they stand
for far fewer independent ones."""

THIS = "this"
"""What tables call the map or model that is judged."""

_COLUMNS = (
    ("accuracy", "accuracy"), ("kappa", "kappa"), ("macro F1", "macro_f1"), ("mIoU", "miou"),
    ("change F1", "change_f1"), ("change macro F1", "change_macro_f1"),
)  # fmt: skip


def headline(scores: Scores) -> Markup:
    """The scores that a reader looks for first."""
    found = [
        Fact("Change F1", share(scores.change_f1), "finding any change, whichever"),
        Fact("mIoU", share(scores.miou), "mean over the classes"),
        Fact("Macro F1", share(scores.macro_f1), "mean over the classes"),
        Fact("Accuracy", share(scores.accuracy), "counts 'No change' like the rest"),
    ]
    return parts.facts([f for f in found if f.value != parts.NONE])


def per_class(scores: Scores) -> Section:
    """Precision, recall, F1 and IoU of each class."""
    columns = [
        Column("class"), *(Column(c, ".3f") for c in ("precision", "recall", "F1", "IoU")),
        Column("reference pixels", ",d"),
    ]  # fmt: skip
    rows = [[c.name, c.precision, c.recall, c.f1, c.iou, c.support] for c in scores.classes]
    drawn = [Bar(c.name, c.f1, share(c.f1)) for c in scores.classes]
    caption = (
        "Scores of each class. Precision (user's accuracy in pixels): the right share of what the "
        "map calls the class; recall (producer's): the found share of what is. '-' is a score that "
        "no pixel defines."
    )
    return Section(
        "classes", "Accuracy of each class",
        [
            headline(scores),
            parts.bars("F1 of each class, from 0 to 1.", drawn, 1.0),
            parts.table("class-scores", caption, columns, rows),
        ],
    )  # fmt: skip


def confusion(found: Judged) -> Section:
    """The confusion matrix, rows reference, columns map."""
    names = [c.Name for c in found.classes]
    counts = found.confusion.counts
    columns = [*names, "no class"]
    if not any(row[-1] for row in counts):
        counts, columns = [row[:-1] for row in counts], names
    return Section(
        "confusion", "Confusion matrix",
        [
            parts.matrix(
                "confusion-matrix",
                "Pixels by the class of the reference (rows) and of the map (columns). The darker "
                "a cell, the larger its share of the row; what is right is in bold.",
                names, columns, counts, corner="reference \\ map", form=",d",
            )
        ],
    )  # fmt: skip


def calibration(found: Calibration | None) -> Section:
    """Whether probabilities mean what they say."""
    if found is None:
        return Section(
            "calibration", "Calibration",
            missing="No calibration is known: a model's scores have one, a map's alone don't.",
        )  # fmt: skip
    curves = [("as trained", found.raw)]
    if found.temperature != 1:
        curves.append(("calibrated", found.scaled))
    series = [
        Line(
            f"{name}, ECE {share(curve.ece)}",
            [(b.confidence or 0.0, b.accuracy) for b in curve.filled],
        )
        for name, curve in curves
    ]
    rows = [
        [name, b.lower, b.upper, b.pixels, b.confidence, b.accuracy]
        for name, curve in curves
        for b in curve.filled
    ]
    columns = [
        Column("probabilities"), Column("from", ".2f"), Column("to", ".2f"), Column("pixels", ",d"),
        Column("mean said", ".3f"), Column("share right", ".3f"),
    ]  # fmt: skip
    facts = [
        Fact("Temperature", f"{found.temperature:.3f}", "above 1: the training was too sure"),
        Fact("Calibration error", share(curves[-1][1].ece), "mean gap of said and right (ECE)"),
    ]
    return Section(
        "calibration", "Calibration",
        [
            parts.facts(facts),
            parts.group(
                "charts",
                [charts.reliability("How often the likeliest class is right.", series)],
            ),
            parts.table(
                "calibration-bins", "The same in numbers, by bins of the likeliest class's "
                "probability.", columns, rows,
            ),
        ],
    )  # fmt: skip


def baselines(found: Judged) -> Section:
    """What simpler methods reach on the same pixels."""
    if not found.baselines:
        return Section(
            "baselines", "Beside simpler methods",
            missing="No simpler method was scored on the same pixels; landshift evaluate does it.",
        )  # fmt: skip
    methods = {THIS: found.scores, **found.baselines}
    columns = [Column("method"), *(Column(title, ".3f") for title, _ in _COLUMNS)]
    rows = [[name, *(getattr(s, key) for _, key in _COLUMNS)] for name, s in methods.items()]
    # change F1 where there is one, since accuracy rewards saying 'No change'
    by_change = found.scores.change_f1 is not None
    reached = {n: s.change_f1 if by_change else s.macro_f1 for n, s in methods.items()}
    drawn = [Bar(name, value, share(value)) for name, value in reached.items()]
    title = "F1 of any change" if by_change else "Mean F1 of the classes"
    return Section(
        "baselines", "Beside simpler methods",
        [
            parts.bars(f"{title}, over the same pixels.", drawn, 1.0),
            parts.table("methods", "Scores over the same pixels.", columns, rows),
        ],
    )  # fmt: skip


def limits(scores: Scores, others: Mapping[str, Scores]) -> list[str]:
    """What a reader of the scores must be warned of."""
    found = []
    rare = [c for c in scores.classes if 0 < c.support < FEW_PIXELS]
    absent = [c.name for c in scores.classes if not c.support]
    lost = [c.name for c in scores.classes if c.support and not c.f1]
    if rare:
        listed = ", ".join(f"{c.name} ({c.support:,})" for c in rare)
        found.append(f"Few reference pixels: {listed}. Scores of these classes say little.")
    if absent:
        found.append(f"No reference pixel: {', '.join(absent)}. Nothing is known of these classes.")
    if lost:
        found.append(f"Not a pixel right: {', '.join(lost)}.")
    if scores.unmapped:
        found.append(
            f"{scores.unmapped:,} labelled pixels have no class in the map and count nowhere."
        )
    ours = scores.change_f1
    found += [
        f"'{name}' reaches a change F1 of {share(other.change_f1)}, no less than the {share(ours)} "
        "judged here."
        for name, other in others.items()
        if ours is not None and other.change_f1 is not None and other.change_f1 >= ours
    ]
    return found


def training(history: Sequence[Mapping[str, Any]]) -> Section:
    """Loss and scores of each epoch."""
    if not history:
        return Section(
            "training", "Training", missing="No training table is known of this model."
        )  # fmt: skip

    def series(**keys: str) -> list[Line]:
        return [
            Line(name, [(row["epoch"], finite(row.get(key))) for row in history])
            for key, name in keys.items()
            if any(finite(row.get(key)) is not None for row in history)
        ]

    losses = series(train_loss="training", valid_loss="validation")
    scored = series(miou="mIoU", change_f1="change F1", dice="macro F1", accuracy="accuracy")
    drawn = [
        charts.lines("Loss of each epoch.", losses, x="epoch", y="loss", whole=True),
        charts.lines(
            "Scores on the validation tiles after each epoch.", scored, x="epoch", y="score",
            limits=(0, 1), whole=True,
        ),
    ]  # fmt: skip
    columns = [
        Column("epoch", "d"), *(
            Column(c, ".4f")
            for c in ("training loss", "validation loss", "accuracy", "macro F1", "mIoU",
                      "change F1")
        ),
    ]  # fmt: skip
    keys = ("epoch", "train_loss", "valid_loss", "accuracy", "dice", "miou", "change_f1")
    rows = [[finite(row.get(k)) for k in keys] for row in history]
    return Section(
        "training", "Training",
        [
            parts.group("charts", drawn),
            parts.table("training-table", "The training table.", columns, rows),
        ],
    )  # fmt: skip
