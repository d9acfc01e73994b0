"""The page of a model: training, scores, input, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from landshift.classes import IGNORE_INDEX, ClassScheme
from landshift.errors import ModelError
from landshift.pages.report import formats, parts, pictures, scores, verdict
from landshift.pages.report.formats import EvaluationRecord, ScoresRecord
from landshift.pages.report.page import Section, render
from landshift.pages.report.parts import Fact, TableColumn
from landshift.scores.calibration import TEMPERATURES
from landshift.show import figures

if TYPE_CHECKING:  # both import torch, which a page doesn't need
    from landshift.bundle import Package
    from landshift.evaluation.evaluation import Evaluation

METRICS_PAGE = "model_metrics.html"
"""Name of the page in a model's package."""


@dataclass(frozen=True)
class Samples:
    """Validation tiles with their labels and predictions.

    Attributes:
        images: ``(sample, band, row, column)`` in the raster's units; NaN where not valid.
        targets: ``(sample, row, column)`` class indices of the labels.
        predicted: ``(sample, row, column)`` predicted class indices.
    """

    images: NDArray[np.float32]
    targets: NDArray[np.uint8]
    predicted: NDArray[np.uint8]


def model_page(
    package: Package, *, evaluation: Evaluation | None = None, samples: Samples | None = None
) -> str:
    """HTML of the page of a model; the same model and scores give the same page.

    Args:
        package: The model.
        evaluation: Its scores on validation tiles; None: those of the package.
        samples: Some of these tiles.

    Raises:
        ModelError: The package holds invalid scores.
    """
    model = package.model
    checked = scored = None
    if evaluation is not None:
        checked = formats.check(
            formats.EvaluationRecord, evaluation.as_dict(), what="The evaluation"
        )
        scored = checked.scores
    elif package.scores is not None:
        what = f"Scores of the model {package.name}"
        scored = formats.check(formats.ScoresRecord, package.scores, what=what, error=ModelError)
    judged = verdict.of_model(package, checked)
    went = judged.section("model")
    lead = [
        f"A network ({_design(package)}), trained for {len(model.scheme)} classes: "
        f"{', '.join(model.scheme.names)}."
    ]
    if scored is not None:
        lead.append("All scores are from validation tiles, which were not used for training.")
    sections = [
        *([went] if judged.is_grave else []),
        *_scores(scored, checked),
        *([] if judged.is_grave else [went]),
        scores.training(package.history),
        _samples(samples, [f"{d}:{n}" if d else n for d, n in model.spec.inputs()], model.scheme),
        _input(package),
        _options(package.training),
        _limits(package, scored),
    ]
    return render(f"Model {package.name}", lead, sections)


def sections_of(package: Package) -> list[Section]:
    """Sections about the model on the page of a job."""
    return [scores.training(package.history), _input(package)]


def limits(package: Package) -> list[str]:
    """Warnings about the training."""
    lines = []
    data = package.training.get("data")
    split = data.get("split") if isinstance(data, Mapping) else None
    if split == "random":
        lines.append(
            "Validation tiles were chosen at random: where they overlap or touch training tiles, "
            "scores are too high. Split by ground instead."
        )
    elif split is None:
        lines.append("How training and validation tiles were split is unknown.")
    temperature = package.model.temperature
    if temperature == 1:
        lines.append(
            "Probabilities are uncalibrated: pixels with a confidence of 0.9 may be correct more "
            "or less often than 9 times in 10."
        )
    elif not TEMPERATURES[0] * 1.01 < temperature < TEMPERATURES[1] / 1.01:
        lines.append(
            f"The temperature, {temperature:g}, lies at the end of its range: the validation tiles "
            "can't determine it."
        )
    return lines


def _scores(scored: ScoresRecord | None, evaluation: EvaluationRecord | None) -> list[Section]:
    if scored is None:
        return [
            Section(
                "classes", "Accuracy of each class",
                missing="Scores are missing: the model was saved without its tiles; landshift "
                "evaluate computes them.",
            )
        ]  # fmt: skip
    if evaluation is None:
        return [scores.per_class(scored)]
    return [
        scores.per_class(scored),
        scores.baselines(evaluation, "model"),
        scores.confusion(evaluation),
        *scores.calibration(evaluation.calibration),
    ]


def _design(package: Package) -> str:
    model = package.model
    known = {
        "stack": "over the stacked dates",
        "siamese": "with one encoder for both dates",
        "semantic": "that learns the classes of both dates",
    }
    combination = known.get(model.design.combination, f"({model.design.combination})")
    return f"{model.title}, {combination}"


def _samples(samples: Samples | None, bands: Sequence[str], scheme: ClassScheme) -> Section:
    if samples is None:
        return Section("samples", "Examples", missing="No tiles were given.")
    shown: list[Markup] = []
    present: set[int] = set()
    nothing = ""
    colours = [c.colour for c in scheme]
    for number, image in enumerate(samples.images, start=1):
        panels = [
            pictures.photo(
                panel.picture,
                alt=f"Tile {number}, {panel.title.lower()}",
                caption=f"{panel.title}, {panel.caption}",
            )
            for panel in figures.date_panels(image, bands)
        ]
        for title, layer in (("Reference", samples.targets), ("Predicted", samples.predicted)):
            codes = layer[number - 1]
            present |= {int(k) for k in np.unique(codes)} - {IGNORE_INDEX}
            nothing = "no class" if (codes == IGNORE_INDEX).any() else nothing
            alt = f"Tile {number}, {title.lower()}: {_in_words(codes, scheme)}"
            panels.append(pictures.classes(codes, colours, alt=alt, caption=title))
        shown.append(parts.group("samples", panels))
    key = parts.legend(
        [(c.name, c.colour) for k, c in enumerate(scheme) if k in present], none=nothing
    )
    words = "Validation tiles, evenly spaced from first to last; not chosen by score."
    return Section("samples", "Examples", [parts.text(words), *shown, key])


def _in_words(codes: NDArray[np.uint8], scheme: ClassScheme) -> str:
    """Shares of the classes of a tile."""
    counts = np.bincount(codes.ravel(), minlength=256)[: len(scheme)]
    total = max(int(counts.sum()), 1)
    order = np.argsort(-counts, kind="stable")[:3]
    shares = [f"{scheme.names[k]} {counts[k] / total:.0%}" for k in order if counts[k]]
    return ", ".join(shares) or "no class"


def _input(package: Package) -> Section:
    spec = package.model.spec
    dates = [f"{date} {name}".strip() for date, name in spec.inputs()]
    zero, unit = spec.scaling
    rows = list(
        zip(dates, spec.mean, spec.std, spec.minimum, spec.maximum, zero, unit, strict=True)
    )
    facts = [
        Fact("Tiles", f"{spec.tile_size} x {spec.tile_size}", "pixels, as trained"),
        Fact("Pixel type", spec.dtype),
        Fact("Bands", str(len(spec.bands))),
    ]
    if spec.cell_size is not None:
        facts.append(Fact("Pixel size", f"{spec.cell_size:g}", "in units of the training images"))
    columns = [
        TableColumn("band"), *(
            TableColumn(c, ".6g") for c in ("mean", "std", "smallest", "largest", "zero", "unit")
        ),
    ]  # fmt: skip
    caption = (
        "Its bands, in this order and in the training images' own units. The network gets "
        "(value - zero) / unit, and the mean where a value isn't valid."
    )
    table = parts.table("bands", caption, columns, rows, fold="Bands and their scaling")
    return Section("input", "Model input", [parts.facts(facts), table])


def _options(training: Mapping[str, Any]) -> Section:
    if not training:
        return Section(
            "choices", "Training options", missing="The package holds no training options."
        )
    rows = [[name, value] for name, value in parts.flat(training)]
    columns = [TableColumn("option"), TableColumn("value")]
    table = parts.table(
        "options", "Options of the training.", columns, rows, fold="Options of the training"
    )
    return Section("choices", "Training options", [table])


def _limits(package: Package, scored: ScoresRecord | None) -> Section:
    lines = limits(package)
    if scored is not None:
        lines += scores.limits(scored)
    if not lines:
        return Section("limits", "Limits", missing="No check gave a warning.")
    return Section("limits", "Limits", [parts.warnings(lines)])
