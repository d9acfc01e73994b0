"""How far two labellers agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.assess.answers import Answers
from landshift.assess.response import Answer, Response
from landshift.errors import ParameterError
from landshift.files.rows import Rows
from landshift.scores import confusion


@dataclass(frozen=True)
class Agreement:
    """How far two labellers agree on one thing.

    Attributes:
        first: The one labeller.
        second: The other.
        on: Field compared: 'map' (the map's class that their labels stand for), 'before' or
            'after'.
        names: Classes that either gave.
        counts: ``(first, second)`` units, in the order of the names.
        share: Share of the units that they agree on; None without any.
        kappa: Cohen's kappa; None where it isn't defined.
    """

    first: str
    second: str
    on: str
    names: tuple[str, ...]
    counts: NDArray[np.int64]
    share: float | None
    kappa: float | None

    @property
    def units(self) -> int:
        """Units that both answered."""
        return int(self.counts.sum())


@dataclass(frozen=True, repr=False)
class AgreementTable(Rows):
    """How far the labellers of a sample agree.

    Attributes:
        agreements: Of each two labellers, on each field.
        disputed: Units that labellers answer differently.
        reviewed: How many of them somebody has reviewed.
    """

    agreements: tuple[Agreement, ...]
    disputed: int
    reviewed: int

    def rows(self) -> list[dict[str, Any]]:
        """A row per pair of labellers and field: both names, field, units, share, kappa."""
        return [
            {"first": a.first, "second": a.second, "on": a.on, "units": a.units, "share": a.share,
             "kappa": a.kappa}
            for a in self.agreements
        ]  # fmt: skip


def agreement_table(answers: Answers) -> AgreementTable:
    """How far the labellers of a sample agree, and how many units are in dispute.

    Raises:
        ParameterError: Fewer than two labellers.
    """
    compared = agreements(answers)
    if not compared:
        raise ParameterError(
            f"Agreement needs two labellers, got {len(answers.labellers())}; label with another "
            "`labeller`."
        )
    disputed, reviews = answers.disputed(), answers.reviews()
    return AgreementTable(compared, len(disputed), sum(n in reviews for n in disputed))


def agreements(answers: Answers) -> tuple[Agreement, ...]:
    """How far each two labellers agree, on the units that both answered; before any review."""
    response = answers.form.design.response
    by = {name: answers.of(name) for name in answers.labellers()}
    return tuple(
        _compare((first, by[first]), (second, by[second]), on, response)
        for first, second in combinations(by, 2)
        for on in ("map", *(response.asked if response.dates == 2 else ()))
    )


def _compare(
    one: tuple[str, Mapping[int, Answer]],
    other: tuple[str, Mapping[int, Answer]],
    on: str,
    response: Response,
) -> Agreement:
    def label(answer: Answer) -> str:
        return response.reference(*answer.labels) if on == "map" else str(getattr(answer, on))

    pairs = [(label(one[1][n]), label(other[1][n])) for n in one[1] if n in other[1]]
    known = dict.fromkeys((*response.classes, *response.choices))
    given = {name for pair in pairs for name in pair}
    names = [n for n in known if n in given] + sorted(given - known.keys())
    counts = np.zeros((len(names), len(names)), np.int64)
    for first, second in pairs:
        counts[names.index(first), names.index(second)] += 1
    share = float(np.trace(counts) / len(pairs)) if pairs else None
    return Agreement(one[0], other[0], on, tuple(names), counts, share, confusion.kappa(counts))
