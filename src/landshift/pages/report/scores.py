"""Sections of a page from scores, as `landshift evaluate --json` writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from landshift.pages.report import charts, parts
from landshift.pages.report.charts import Series
from landshift.pages.report.formats import CalibrationRecord, EvaluationRecord, ScoresRecord, finite
from landshift.pages.report.page import Section
from landshift.pages.report.parts import Bar, Fact, TableColumn, share
from landshift.scores import comparison

_COLUMNS = (
    ("accuracy", "accuracy"), ("kappa", "kappa"), ("macro F1", "macro_f1"), ("mIoU", "miou"),
    ("change F1", "change_f1"), ("change macro F1", "change_macro_f1"),
)  # fmt: skip


def headline(scores: ScoresRecord) -> Markup:
    """The main scores."""
    facts = [
        Fact("Change F1", share(scores.change_f1), "any change against no change"),
        Fact("mIoU", share(scores.miou), "mean over the classes"),
        Fact("Macro F1", share(scores.macro_f1), "mean over the classes"),
        Fact("Accuracy", share(scores.accuracy), "over all pixels, with 'No change'"),
    ]
    return parts.facts([f for f in facts if f.value != parts.NONE])


def per_class(scores: ScoresRecord) -> Section:
    """Precision, recall, F1 and IoU of each class."""
    columns = [
        TableColumn("class"),
        *(TableColumn(c, ".3f") for c in ("precision", "recall", "F1", "IoU")),
        TableColumn("reference pixels", ",d"),
    ]  # fmt: skip
    rows = [[c.name, c.precision, c.recall, c.f1, c.iou, c.support] for c in scores.classes]
    drawn = [Bar(c.name, c.f1, share(c.f1)) for c in scores.classes]
    caption = (
        "Scores of each class. Precision (user's accuracy in pixels): correct share of the class "
        "in the map; recall (producer's accuracy): mapped share of the class in the reference. "
        "'-': not defined, no such pixels."
    )
    return Section(
        "classes", "Accuracy of each class",
        [
            headline(scores),
            parts.bars("F1 of each class.", drawn, 1.0),
            parts.table("class-scores", caption, columns, rows, fold="Scores as a table"),
        ],
    )  # fmt: skip


def confusion(evaluation: EvaluationRecord) -> Section:
    """The confusion matrix: rows reference, columns map."""
    names = [c.Name for c in evaluation.classes]
    counts = evaluation.confusion.counts
    columns = [*names, "no class"]
    if not any(row[-1] for row in counts):
        counts, columns = [row[:-1] for row in counts], names
    return Section(
        "confusion", "Confusion matrix",
        [
            parts.matrix(
                "confusion-matrix",
                "Pixels by the class of the reference (rows) and of the map (columns). The "
                "stronger a cell's colour, the larger its share of the row; correct cells are in "
                "bold.",
                names, columns, counts, corner="reference \\ map", form=",d",
            )
        ],
    )  # fmt: skip


def calibration(calibrated: CalibrationRecord | None) -> list[Section]:
    """Calibration: predicted probability of the likeliest class against its accuracy.

    Scores of a map have none, so that they have no such section.
    """
    if calibrated is None:
        return []
    curves = [("as trained", calibrated.raw)]
    if calibrated.temperature != 1:
        curves.append(("calibrated", calibrated.scaled))
    series = [
        Series(
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
        TableColumn("probabilities"), TableColumn("from", ".2f"), TableColumn("to", ".2f"),
        TableColumn("pixels", ",d"), TableColumn("mean probability", ".3f"),
        TableColumn("accuracy", ".3f"),
    ]  # fmt: skip
    facts = [
        Fact("Temperature", f"{calibrated.temperature:.3f}", _confident(calibrated.temperature)),
        Fact("ECE", share(curves[-1][1].ece), "expected calibration error"),
    ]
    drawn = charts.reliability("Accuracy of the likeliest class by its probability.", series)
    table = parts.table(
        "calibration-bins", "By bins of the likeliest class's probability.", columns, rows,
        fold="Calibration as a table",
    )  # fmt: skip
    shown = [parts.facts(facts), parts.group("charts", [drawn]), table]
    return [Section("calibration", "Calibration", shown)]


def _confident(temperature: float) -> str:
    """Sentence that explains a temperature."""
    if temperature == 1:
        return "the probabilities are as trained"
    return f"{'over' if temperature > 1 else 'under'}confident as trained"


def baselines(evaluation: EvaluationRecord, subject: str) -> Section:
    """Scores beside those of simpler methods on the same pixels.

    Args:
        evaluation: The scores.
        subject: What they are of: 'map' or 'model'.
    """
    title = "Beside simpler methods"
    if not evaluation.baselines:
        return Section(
            "baselines", title,
            missing="No simpler method was scored on the same pixels; landshift evaluate scores "
            "them.",
        )  # fmt: skip
    this = f"this {subject}"
    methods = comparison.by_rank({this: evaluation.scores, **evaluation.baselines})
    place = list(methods).index(this) + 1
    drawn = []
    for measure in comparison.MEASURES:
        values = {name: comparison.of_measure(s, measure) for name, s in methods.items()}
        if any(value is not None for value in values.values()):
            measured = [Bar(name, v, share(v), own=name == this) for name, v in values.items()]
            drawn.append(parts.bars(f"{measure[0].upper()}{measure[1:]}.", measured, 1.0))
    columns = [TableColumn("method"), *(TableColumn(title, ".3f") for title, _ in _COLUMNS)]
    rows = [[name, *(getattr(s, key) for _, key in _COLUMNS)] for name, s in methods.items()]
    words = (
        f"Over the same pixels, in the order of their mean: this {subject} is number {place} of "
        f"{len(methods)}. Each score alone can mislead: accuracy favours maps without change, "
        "macro F1 counts a small class as much as a large one, change F1 forgives the wrong change."
    )
    return Section(
        "baselines", title,
        [
            parts.text(words),
            parts.group("charts small", drawn),
            parts.table(
                "methods", "Scores over the same pixels.", columns, rows, fold="Scores as a table"
            ),
        ],
    )  # fmt: skip


def limits(scores: ScoresRecord) -> list[str]:
    """Warnings about what the scores don't cover."""
    lines = []
    absent = [c.name for c in scores.classes if not c.support]
    if absent:
        lines.append(f"No reference pixel: {', '.join(absent)}. These classes have no scores.")
    if scores.unmapped:
        lines.append(
            f"{scores.unmapped:,} labelled pixels have no class in the map and aren't scored."
        )
    return lines


def training(history: Sequence[Mapping[str, Any]]) -> Section:
    """Loss and scores of each epoch."""
    if not history:
        return Section(
            "training", "Training", missing="The model has no training table."
        )  # fmt: skip

    def series(**keys: str) -> list[Series]:
        return [
            Series(name, [(row["epoch"], finite(row.get(key))) for row in history])
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
        TableColumn("epoch", "d"), *(
            TableColumn(c, ".4f")
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
            parts.table(
                "training-table", "The training table.", columns, rows,
                fold="The training as a table",
            ),
        ],
    )  # fmt: skip
