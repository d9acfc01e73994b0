"""Sections of a page from scores, as `landshift evaluate --json` writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from landshift.report import charts, parts
from landshift.report.charts import Line
from landshift.report.page import Section
from landshift.report.parts import Bar, Column, Fact, share

FEW_PIXELS = 1000
"""Reference pixels below which a page warns of a class: neighbours are alike, so that they stand
for far fewer independent ones."""

_COLUMNS = (
    ("accuracy", "accuracy"), ("kappa", "kappa"), ("macro F1", "macro_f1"), ("mIoU", "miou"),
    ("change F1", "change_f1"), ("change macro F1", "change_macro_f1"),
)  # fmt: skip


def headline(scores: Mapping[str, Any]) -> Markup:
    """The scores that a reader looks for first."""
    found = [
        Fact("Change F1", share(scores["change_f1"]), "finding any change, whichever"),
        Fact("mIoU", share(scores["miou"]), "mean over the classes"),
        Fact("Macro F1", share(scores["macro_f1"]), "mean over the classes"),
        Fact("Accuracy", share(scores["accuracy"]), "counts 'No change' like the rest"),
    ]
    return parts.facts([f for f in found if f.value != parts.NONE])


def per_class(scores: Mapping[str, Any]) -> Section:
    """Precision, recall, F1 and IoU of each class."""
    columns = [
        Column("class"), *(Column(c, ".3f") for c in ("precision", "recall", "F1", "IoU")),
        Column("reference pixels", ",d"),
    ]  # fmt: skip
    keys = ("name", "precision", "recall", "f1", "iou", "support")
    rows = [[c[k] for k in keys] for c in scores["classes"]]
    drawn = [Bar(c["name"], c["f1"], share(c["f1"])) for c in scores["classes"]]
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


def confusion(found: Mapping[str, Any]) -> Section:
    """The confusion matrix, rows reference, columns map."""
    names = [c["Name"] for c in found["classes"]]
    counts = found["confusion"]["counts"]
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


def calibration(found: Mapping[str, Any] | None) -> Section:
    """Whether probabilities mean what they say."""
    if found is None:
        return Section(
            "calibration", "Calibration",
            missing="No calibration is known: a model's scores have one, a map's alone don't.",
        )  # fmt: skip
    curves = [("as trained", 1.0, found["raw"])]
    if found["temperature"] != 1:
        curves.append(("calibrated", found["temperature"], found["scaled"]))
    series = [
        Line(
            f"{name}, ECE {share(curve['ece'])}",
            [(b["confidence"], b["accuracy"]) for b in curve["bins"] if b["pixels"]],
        )
        for name, _, curve in curves
    ]
    rows = [
        [name, b["from"], b["to"], b["pixels"], b["confidence"], b["accuracy"]]
        for name, _, curve in curves
        for b in curve["bins"]
        if b["pixels"]
    ]
    columns = [
        Column("probabilities"), Column("from", ".2f"), Column("to", ".2f"), Column("pixels", ",d"),
        Column("mean said", ".3f"), Column("share right", ".3f"),
    ]  # fmt: skip
    facts = [
        Fact("Temperature", f"{found['temperature']:.3f}", "above 1: the training was too sure"),
        Fact("Calibration error", share(curves[-1][2]["ece"]), "mean gap of said and right (ECE)"),
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


def baselines(found: Mapping[str, Any]) -> Section:
    """What simpler methods reach on the same pixels."""
    others = found["baselines"]
    if not others:
        return Section(
            "baselines", "Beside simpler methods",
            missing="No simpler method was scored on the same pixels; landshift evaluate does it.",
        )  # fmt: skip
    methods = {"this": found["scores"], **others}
    columns = [Column("method"), *(Column(title, ".3f") for title, _ in _COLUMNS)]
    rows = [[name, *(s[key] for _, key in _COLUMNS)] for name, s in methods.items()]
    # change F1 where there is one, since accuracy rewards saying 'No change'
    title, key = ("change F1", "change_f1")
    if found["scores"][key] is None:
        title, key = ("macro F1", "macro_f1")
    drawn = [Bar(name, s[key], share(s[key])) for name, s in methods.items()]
    return Section(
        "baselines", "Beside simpler methods",
        [
            parts.bars(f"{title[0].upper()}{title[1:]} over the same pixels.", drawn, 1.0),
            parts.table("methods", "Scores over the same pixels.", columns, rows),
        ],
    )  # fmt: skip


def limits(scores: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    """What a reader of the scores must be warned of."""
    found = []
    rare = [c for c in scores["classes"] if 0 < c["support"] < FEW_PIXELS]
    absent = [c["name"] for c in scores["classes"] if not c["support"]]
    lost = [c["name"] for c in scores["classes"] if c["support"] and not c["f1"]]
    if rare:
        listed = ", ".join(f"{c['name']} ({c['support']:,})" for c in rare)
        found.append(f"Few reference pixels: {listed}. Scores of these classes say little.")
    if absent:
        found.append(f"No reference pixel: {', '.join(absent)}. Nothing is known of these classes.")
    if lost:
        found.append(f"Not a pixel right: {', '.join(lost)}.")
    if scores["unmapped"]:
        found.append(
            f"{scores['unmapped']:,} labelled pixels have no class in the map and count nowhere."
        )
    found += [
        f"'{name}' reaches a change F1 of {share(other['change_f1'])}, no less than the "
        f"{share(scores['change_f1'])} judged here."
        for name, other in others.items()
        if scores["change_f1"] is not None
        and other["change_f1"] is not None
        and other["change_f1"] >= scores["change_f1"]
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
            Line(name, [(row["epoch"], row.get(key)) for row in history])
            for key, name in keys.items()
            if any(row.get(key) is not None for row in history)
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
    rows = [[row.get(k) for k in keys] for row in history]
    return Section(
        "training", "Training",
        [
            parts.group("charts", drawn),
            parts.table("training-table", "The training table.", columns, rows),
        ],
    )  # fmt: skip
