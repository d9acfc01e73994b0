"""The result of an evaluation: scores of a map or model, beside those of simpler methods."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np

from landshift.classes import ClassScheme
from landshift.errors import ClassError
from landshift.files import whole
from landshift.files.rows import Rows
from landshift.scores import confusion, findings
from landshift.scores.calibration import Calibration
from landshift.scores.comparison import ALL_NO_CHANGE
from landshift.scores.confusion import Matrix, Scores
from landshift.scores.findings import Finding, LearningRecord
from landshift.show import figures

THIS = "this"
"""Name, in tables, of the map or model that is judged."""


@dataclass(frozen=True, repr=False)
class Evaluation(Rows):
    """A confusion matrix and the scores that follow from it.

    Attributes:
        scheme: The classes.
        matrix: As `landshift.scores.confusion.count` gives it: rows reference, columns map, and one
            more column for labelled pixels without a class in the map.
        calibration: How well a model's probabilities are calibrated; None for a map.
        others: Confusion matrices of other methods over the same pixels, by name.
        learning: How a model learnt; None for a map.
        images: What speaks against comparing the images that it was made from.
        counted: What the matrix counts.
        notes: Remarks that a reader of the scores needs.
        files: The files written.
    """

    scheme: ClassScheme
    matrix: Matrix
    calibration: Calibration | None = None
    others: Mapping[str, Matrix] = field(default_factory=dict)
    learning: LearningRecord | None = None
    images: tuple[Finding, ...] = ()
    counted: findings.Counted = "pixels"
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()

    @property
    def scores(self) -> Scores:
        """The map's scores."""
        return confusion.score(self.matrix, self.scheme)

    @property
    def no_change_baseline(self) -> Scores | None:
        """Scores of a map of no change; None without a class that means 'unchanged'."""
        matrix = confusion.all_no_change(self.matrix, self.scheme)
        return None if matrix is None else confusion.score(matrix, self.scheme)

    @property
    def baselines(self) -> dict[str, Scores]:
        """Scores of simpler methods over the same pixels, by name."""
        no_change = self.no_change_baseline
        scores = {} if no_change is None else {ALL_NO_CHANGE: no_change}
        return scores | {k: confusion.score(m, self.scheme) for k, m in self.others.items()}

    @property
    def methods(self) -> dict[str, Scores]:
        """The scores, `THIS`, and those of the baselines."""
        return {THIS: self.scores} | self.baselines

    @property
    def findings(self) -> tuple[Finding, ...]:
        """How it went, in plain words, with the next thing to try; what matters most first."""
        learning = LearningRecord() if self.learning is None else self.learning
        pixels = findings.mapped_and_reference(self.matrix.tolist(), self.scheme.names)
        remarks = [
            *findings.of_scores(
                self.scores, self.baselines, semantic=learning.semantic, counted=self.counted
            ),
            *findings.of_pixels(*pixels),
            *findings.of_learning(learning),
            *self.images,
        ]
        return tuple(findings.ranked(remarks))

    def beside(self, others: Mapping[str, Evaluation]) -> Evaluation:
        """This evaluation with those of other methods over the same pixels beside it."""
        matrices = {name: other.matrix for name, other in others.items()}
        return replace(self, others={**self.others, **matrices})

    def rows(self) -> list[dict[str, Any]]:
        """A row per class: its name, precision, recall, F1, IoU, support."""
        return [
            {"class": c.name, "precision": c.precision, "recall": c.recall, "f1": c.f1,
             "iou": c.iou, "support": c.support}
            for c in self.scores.classes
        ]  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values; None stands for undefined scores."""
        transitions = confusion.transition_counts(self.matrix, self.scheme)
        return {
            "classes": self.scheme.as_list(),
            "counted": self.counted,
            "unchanged": [self.scheme.names[k] for k in self.scheme.unchanged],
            "confusion": {
                "rows": "reference",
                "columns": "map; the last: labelled pixels without a class in the map",
                "counts": self.matrix.tolist(),
            },
            "transitions": None if transitions is None else transitions.as_dict(),
            "scores": self.scores.as_dict(),
            "baselines": {name: scores.as_dict() for name, scores in self.baselines.items()},
            "calibration": None if self.calibration is None else self.calibration.as_dict(),
            "findings": [finding.as_dict() for finding in self.findings],
        }

    def write_json(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write `as_dict` as JSON."""
        whole.check_new(path, overwrite=overwrite)
        text = json.dumps(self.as_dict(), indent=2, allow_nan=False) + "\n"
        with whole.whole_file(Path(path)) as part:
            part.write_text(text, encoding="utf-8")
        return Path(path)

    def write_figures(self, folder: Path | str, *, overwrite: bool = False) -> list[Path]:
        """Draw the confusion matrix, F1 of each class beside the baselines, and the reliability.

        Args:
            folder: Where ``confusion.png``, ``f1.png`` and, for a model, ``reliability.png`` go.
            overwrite: Whether pictures of these names without landshift's mark are replaced.
        """
        folder = Path(folder)
        whole.check_new(*figure_files(folder), overwrite=overwrite)
        drawn = {
            "confusion": figures.show_confusion(self.matrix, self.scheme),
            "f1": figures.show_f1(self.methods),
        }
        if self.calibration is not None:
            drawn["reliability"] = figures.show_reliability(self.calibration)
        return [
            figures.save(figure, folder / f"{name}.png", overwrite=overwrite)
            for name, figure in drawn.items()
        ]


def figure_files(folder: Path | str) -> list[Path]:
    """The pictures that `Evaluation.write_figures` may write."""
    return [Path(folder) / f"{name}.png" for name in ("confusion", "f1", "reliability")]


def pool(evaluations: Sequence[Evaluation]) -> Evaluation:
    """One evaluation over the pixels of several, of the same classes.

    Other methods are pooled where each evaluation has them, calibrations where they share a model.

    Raises:
        ClassError: The classes differ.
    """
    first = evaluations[0]
    if any(e.scheme.mapping != first.scheme.mapping for e in evaluations):
        raise ClassError("Evaluations must share their classes to be pooled; evaluate them apart.")
    shared = [name for name in first.others if all(name in e.others for e in evaluations)]
    known = [e.calibration for e in evaluations if e.calibration is not None]
    one_model = len(known) == len(evaluations) and len({c.temperature for c in known}) == 1
    return Evaluation(
        first.scheme,
        np.sum([e.matrix for e in evaluations], axis=0),
        reduce(add, known) if one_model else None,
        {name: np.sum([e.others[name] for e in evaluations], axis=0) for name in shared},
    )
