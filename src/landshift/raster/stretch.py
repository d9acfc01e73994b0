"""The contrast stretch of pictures: which values become black and white."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

STRETCH = (2.0, 98.0)
"""Percentiles of the valid pixels that become black and white: QGIS' default, which keeps few very
bright or dark pixels from taking all of the contrast."""

Limits = Sequence[tuple[float, float]]
"""Values of each band that become black and white."""


def limits_of(values: NDArray[Any]) -> Limits:
    """Values of each band that become black and white.

    Args:
        values: ``(band, pixel)``, valid pixels only; at least one.
    """
    return [(float(a), float(b)) for a, b in np.percentile(values, STRETCH, axis=1).T]
