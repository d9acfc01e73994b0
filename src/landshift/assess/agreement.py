"""How far two labellers agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from landshift.assess.answers import Answers
from landshift.assess.response import Answer, Response
from landshift.scores import confusion


@dataclass(frozen=True)
class Agreement:
    """How far two labellers agree on one thing.

    Attributes:
        first: The one labeller.
        second: The other.
        on: What they were compared in: 'map' (the map's class that their labels stand for),
            'before' or 'after'.
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


def agreements(found: Answers) -> tuple[Agreement, ...]:
    """How far each two labellers agree, on the units that both answered; before any review."""
    response = found.form.design.response
    by = {name: found.of(name) for name in found.labellers()}
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
    def said(answer: Answer) -> str:
        return response.reference(*answer.labels) if on == "map" else str(getattr(answer, on))

    pairs = [(said(one[1][n]), said(other[1][n])) for n in one[1] if n in other[1]]
    known = dict.fromkeys((*response.classes, *response.choices))
    given = {name for pair in pairs for name in pair}
    names = [n for n in known if n in given] + sorted(given - known.keys())
    counts = np.zeros((len(names), len(names)), np.int64)
    for first, second in pairs:
        counts[names.index(first), names.index(second)] += 1
    share = float(np.trace(counts) / len(pairs)) if pairs else None
    return Agreement(one[0], other[0], on, tuple(names), counts, share, confusion.kappa(counts))
