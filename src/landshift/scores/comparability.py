"""Whether the images of several dates can be compared, from what was measured of them."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from landshift.errors import listed
from landshift.scores.findings import Finding
from landshift.spec import InputSpec

SHIFTED = 1.0
"""Standard deviations by which a band's mean must differ to count as shifted.

Real change moves a part of the pixels and widens the deviation with it; light, haze and another
sensor move them all. Landsat pairs of one season have 0.0 to 0.6 here, pairs without a common
correction 1.0 to 3.3."""

UNRELATED = 0.2
"""Median correlation of the bands below which the dates hardly show the same ground.

Landsat pairs ten and twenty years apart with much change have 0.4 to 0.7, cloudy ones and those of
opposite seasons -0.05 to 0.1."""


def not_comparable(checks: Mapping[str, Any]) -> list[Finding]:
    """Findings against comparing the dates of a composite; empty where there are none.

    Args:
        checks: As `landshift.prepare.checks.checks_of` gives them.

    Returns:
        For each later date at most a finding of the kind 'unrelated', then one of the kind
        'shifted'.
    """
    findings = []
    for date, bands in _items(checks.get("radiometry")):
        measured = {str(name): row for name, row in _items(bands) if _is_whole(row)}
        apart = {name: (row["difference"], _spread(row)) for name, row in measured.items()}
        findings += [*_unrelated(str(date), measured), *_shifted(str(date), apart)]
    return findings


def shifted_input(spec: InputSpec) -> list[Finding]:
    """Findings against comparing the dates of training tiles, by the means of their bands.

    Args:
        spec: Input of a model for them.

    Returns:
        For each later date at most a finding of the kind 'shifted'.
    """
    names = [name for _, name in spec.inputs()]
    (_, first), *later = spec.by_date().items()
    findings = []
    for date, bands in later:
        apart = {
            names[k]: (spec.mean[k] - spec.mean[j], max(spec.std[j], spec.std[k]))
            for j, k in zip(first, bands, strict=False)
        }
        findings += _shifted(date, apart)
    return findings


def _unrelated(date: str, bands: Mapping[str, Mapping[str, float]]) -> list[Finding]:
    # a constant band, such as a quality band without clouds, has no correlation
    correlations = [r["correlation"] for r in bands.values() if r["correlation"]]
    if not correlations or median(correlations) >= UNRELATED:
        return []
    return [
        Finding(
            "unrelated",
            f"The image '{date}' hardly resembles the first one: the correlation of their bands "
            f"is {median(correlations):.2f} in median.",
            "Check the season of both dates, and hide clouds by their quality band (`mask_qa` of "
            "`landshift composite`).",
        )
    ]


def _shifted(date: str, bands: Mapping[str, tuple[float, float]]) -> list[Finding]:
    """Bands whose mean moved too far.

    Args:
        date: The later date.
        bands: Difference of the mean from the first date, and standard deviation, of each band.
    """
    apart = {
        name: abs(difference) / max(spread, 1e-9)
        for name, (difference, spread) in bands.items()
        if abs(difference) > SHIFTED * spread
    }
    if not apart:
        return []
    most = max(apart, key=lambda name: apart[name])
    difference, spread = bands[most]
    return [
        Finding(
            "shifted",
            f"The image '{date}' as a whole is brighter or darker than the first one in "
            f"{listed(list(apart))}: the mean of {most} differs by {difference:+.4g}, "
            f"where single pixels scatter by {spread:.4g}.",
            "Bring it to the first image with `landshift normalise`, and make the composite of the "
            "result.",
        )
    ]


def _spread(row: Mapping[str, float]) -> float:
    """Standard deviation of a band's differences, or of the band where that is larger.

    Dates of one variance v and the correlation r differ with the variance 2 v (1 - r).
    """
    unlike = 2 * (1 - min(row["correlation"], 0.999))
    deviation = row["deviation"]
    return max(deviation, deviation / math.sqrt(unlike))


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    return value.items() if isinstance(value, Mapping) else ()


def _is_whole(row: Any) -> bool:
    """Whether a band has the figures needed; checks may come from any file."""
    return isinstance(row, Mapping) and all(
        isinstance(row.get(key), float | int) and abs(row[key]) <= sys.float_info.max
        for key in ("difference", "deviation", "correlation")
    )
