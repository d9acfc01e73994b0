"""Mean and standard deviation of an image's bands, and the lines that lead to those of another.

The line v -> gain * v + offset with gain = s / s0 and offset = m - gain * m0 takes values of mean
m0 and standard deviation s0 to mean m and standard deviation s (mean-standard deviation
normalisation: Yuan & Elvidge 1996, doi 10.1016/0924-2716(96)00018-4). It needs no common ground,
but takes another mix of land cover for another light, and removes the difference too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.errors import ParameterError
from landshift.spec import InputSpec


@dataclass(frozen=True)
class BandMoments:
    """Mean and standard deviation of each band.

    Attributes:
        mean: ``(band,)``.
        std: ``(band,)``.
        pixels: Pixels that they rest on; 0: not known.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    pixels: int

    def check_varied(self, where: str) -> None:
        """Check that lines lead from all bands: none has one value alone.

        Args:
            where: The image, for the message.

        Raises:
            ParameterError: A band has, or values too large to be measured; or there is no pixel.
        """
        if not self.pixels:
            raise ParameterError(f"An image must hold valid pixels, got none in {where}.")
        if not np.isfinite(self.std).all():
            band = int(np.argmin(np.isfinite(self.std))) + 1
            raise ParameterError(
                f"A band's values must have a finite mean and deviation, got {self.mean[band - 1]} "
                f"and {self.std[band - 1]} in band {band} of {where}; state its nodata value."
            )
        if not (self.std > 0).all():
            band = int(np.argmin(self.std)) + 1
            raise ParameterError(
                f"A band must hold different values, got one alone in band {band} of {where}; "
                "leave the band out."
            )


@dataclass(frozen=True)
class BandLines:
    """A line for each band: value * gain + offset.

    Attributes:
        gains: ``(band,)``.
        offsets: ``(band,)``, in the units of the result.
        pixels: Pixels that they rest on.
    """

    gains: tuple[float, ...]
    offsets: tuple[float, ...]
    pixels: int

    def applied(self, values: NDArray[Any], dtype: type[np.floating[Any]]) -> NDArray[Any]:
        """Values on their lines, not rounded.

        Args:
            values: ``(band, row, column)``.
            dtype: Type of the result.
        """
        gains, offsets = (
            np.array(each, dtype)[:, None, None] for each in (self.gains, self.offsets)
        )
        with np.errstate(over="ignore", invalid="ignore"):  # values that aren't valid
            changed = values.astype(dtype)
            changed *= gains
            changed += offsets
        return changed

    def as_dict(self) -> dict[str, Any]:
        """The lines as JSON values, for the provenance."""
        return {
            "gains": list(self.gains), "offsets": list(self.offsets), "pixels": self.pixels
        }  # fmt: skip


def moments(parts: Iterable[NDArray[Any]]) -> BandMoments:
    """Mean and standard deviation over parts of an image.

    Args:
        parts: Valid values, ``(band, pixel)`` each. Pixels that aren't finite are left out.
    """
    count, sums = 0, np.zeros((2, 1))
    for part in parts:
        finite = np.isfinite(part).all(axis=0)
        values = (part if finite.all() else part[:, finite]).astype(np.float64)
        count += values.shape[1]
        with np.errstate(over="ignore"):  # a nodata of -1.8e308 that isn't declared
            sums = sums + np.stack([values.sum(axis=1), (values**2).sum(axis=1)])
    with np.errstate(over="ignore", invalid="ignore"):
        mean, square = sums / max(count, 1)
        return BandMoments(mean, np.sqrt(np.maximum(square - mean**2, 0.0)), count)


def of_training(spec: InputSpec) -> BandMoments:
    """Those of a model's training tiles, as its package keeps them."""
    return BandMoments(np.array(spec.mean), np.array(spec.std), 0)


def lines_between(own: BandMoments, wanted: BandMoments) -> BandLines:
    """The lines that give each band the wanted mean and standard deviation.

    Raises:
        ParameterError: A line's gain or offset is larger than float32 holds.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        gains = wanted.std / own.std
        offsets = wanted.mean - gains * own.mean
        held = np.maximum(np.abs(gains), np.abs(offsets)) <= np.finfo(np.float32).max
    if not held.all():
        band = int(np.argmin(held))
        raise ParameterError(
            "An image must be normalised to a mean and a deviation near its own, got "
            f"{wanted.mean[band]:.4g} and {wanted.std[band]:.4g} for {own.mean[band]:.4g} and "
            f"{own.std[band]:.4g} in band {band + 1}; the reference or the model is damaged."
        )
    return BandLines(tuple(map(float, gains)), tuple(map(float, offsets)), own.pixels)
