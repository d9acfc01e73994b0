"""The page of a model: how it was trained, how good it is, what it needs, where to be careful."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from landshift.classes import IGNORE_INDEX, ClassScheme
from landshift.errors import ModelError
from landshift.pages.report import formats, parts, pictures, scores
from landshift.pages.report.formats import Judged, Scores
from landshift.pages.report.page import Section, render
from landshift.pages.report.parts import Column, Fact
from landshift.scores.calibration import TEMPERATURES
from landshift.show import figures

if TYPE_CHECKING:  # both bring torch, which a page has no use for
    from landshift.bundle import Package
    from landshift.evaluation.evaluation import Evaluation

METRICS_PAGE = "model_metrics.html"
"""Name of the page in a model's package."""


@dataclass(frozen=True)
class Samples:
    """Tiles that a model was tried on.

    Attributes:
        images: ``(sample, band, row, column)`` in the raster's units; NaN where not valid.
        targets: ``(sample, row, column)`` class indices of the reference.
        predicted: The same of the model.
    """

    images: NDArray[np.float32]
    targets: NDArray[np.uint8]
    predicted: NDArray[np.uint8]


def model_page(
    package: Package, *, evaluation: Evaluation | None = None, samples: Samples | None = None
) -> str:
    """The page of a model; the same model and scores give the same page.

    Args:
        package: The model.
        evaluation: Its scores on validation tiles; None: those that the package holds.
        samples: Some of these tiles.

    Raises:
        ModelError: The package holds scores that aren't any.
    """
    model = package.model
    judged = scored = None
    if evaluation is not None:
        judged = formats.check(formats.Judged, evaluation.as_dict(), what="The evaluation")
        scored = judged.scores
    elif package.scores is not None:
        what = f"Scores of the model {package.name}"
        scored = formats.check(formats.Scores, package.scores, what=what, error=ModelError)
    lead = [
        f"A network ({_design(package)}), trained to tell {len(model.scheme)} classes: "
        f"{', '.join(model.scheme.names)}."
    ]
    if scored is not None:
        lead.append("All scores are those on validation tiles, which were not trained on.")
    sections = [
        *_scores(scored, judged),
        scores.training(package.history),
        _samples(samples, [f"{d}:{n}" if d else n for d, n in model.spec.inputs()], model.scheme),
        _input(package),
        _choices(package.training),
        _limits(package, scored, judged),
    ]
    return render(f"Model {package.name}", lead, sections)


def sections_of(package: Package) -> list[Section]:
    """What a page about more than the model says of it."""
    return [scores.training(package.history), _input(package)]


def limits(package: Package) -> list[str]:
    """What a reader must know of how the model was trained."""
    found = []
    data = package.training.get("data")
    split = data.get("split") if isinstance(data, Mapping) else None
    if split == "random":
        found.append(
            "Validation tiles were chosen at random: where tiles overlap or lie side by side, the "
            "model has seen their ground, and its scores are too good. Split by ground instead."
        )
    elif split is None:
        found.append("How training and validation tiles were split isn't known.")
    temperature = package.model.temperature
    if temperature == 1:
        found.append(
            "Probabilities are uncalibrated: a confidence of 0.9 need not be right 9 times in 10."
        )
    elif not TEMPERATURES[0] * 1.01 < temperature < TEMPERATURES[1] / 1.01:
        found.append(
            f"The temperature, {temperature:g}, lies at the end of its range: the validation tiles "
            "can't tell how sure the model is."
        )
    return found


def _scores(scored: Scores | None, judged: Judged | None) -> list[Section]:
    if scored is None:
        return [
            Section(
                "classes", "Accuracy of each class",
                missing="No scores are known: the model was saved without its tiles; landshift "
                "evaluate gives them.",
            )
        ]  # fmt: skip
    if judged is None:
        return [scores.per_class(scored)]
    return [
        scores.per_class(scored),
        scores.confusion(judged),
        scores.calibration(judged.calibration),
        scores.baselines(judged),
    ]


def _design(package: Package) -> str:
    model = package.model
    how = {"stack": "over the stacked dates", "siamese": "with one encoder for both dates"}
    told = how.get(model.design.combination, f"({model.design.combination})")
    return f"{model.architecture} {told}, encoder {model.backbone}"


def _samples(samples: Samples | None, bands: Sequence[str], scheme: ClassScheme) -> Section:
    if samples is None:
        return Section("samples", "Examples", missing="No tiles were given to show.")
    shown: list[Markup] = []
    present: set[int] = set()
    colours = [c.colour for c in scheme]
    for number, image in enumerate(samples.images, start=1):
        panels = [
            pictures.photo(seen, alt=f"Tile {number}, {title.lower()}", caption=title)
            for title, seen in figures.date_pictures(image, bands)
        ]
        for title, layer in (("Reference", samples.targets), ("Predicted", samples.predicted)):
            codes = layer[number - 1]
            present |= {int(k) for k in np.unique(codes)} - {IGNORE_INDEX}
            alt = f"Tile {number}, {title.lower()}: {_in_words(codes, scheme)}"
            panels.append(pictures.classes(codes, colours, alt=alt, caption=title))
        shown.append(parts.group("samples", panels))
    key = parts.legend([(c.name, c.colour) for k, c in enumerate(scheme) if k in present])
    words = "Validation tiles, evenly from first to last: not the best ones."
    return Section("samples", "Examples", [parts.text(words), *shown, key])


def _in_words(codes: NDArray[np.uint8], scheme: ClassScheme) -> str:
    """Shares of the classes of a tile."""
    counts = np.bincount(codes.ravel(), minlength=256)[: len(scheme)]
    total = max(int(counts.sum()), 1)
    order = np.argsort(-counts, kind="stable")[:3]
    told = [f"{scheme.names[k]} {counts[k] / total:.0%}" for k in order if counts[k]]
    return ", ".join(told) or "no class"


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
        Column("band"), *(
            Column(c, ".6g") for c in ("mean", "std", "smallest", "largest", "zero", "unit")
        ),
    ]  # fmt: skip
    caption = (
        "Its bands, in this order and in the training images' own units. A value enters as "
        "(value - zero) / unit; where it isn't valid, as the mean."
    )
    return Section(
        "input", "What the model eats",
        [parts.facts(facts), parts.table("bands", caption, columns, rows)],
    )  # fmt: skip


def _choices(training: Mapping[str, Any]) -> Section:
    if not training:
        return Section(
            "choices", "How it was trained", missing="The package doesn't tell how it was trained."
        )
    rows = [[name, value] for name, value in parts.flat(training)]
    columns = [Column("option"), Column("value")]
    table = parts.table("options", "Options of the training.", columns, rows)
    return Section("choices", "How it was trained", [table])


def _limits(package: Package, scored: Scores | None, judged: Judged | None) -> Section:
    found = limits(package)
    if scored is not None:
        found += scores.limits(scored, {} if judged is None else judged.baselines)
    if not found:
        return Section("limits", "Limits", missing="Nothing out of the ordinary was found.")
    return Section("limits", "Limits", [parts.warnings(found)])
