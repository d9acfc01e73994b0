"""Mean and standard deviation of an image's bands, and the lines that lead to those of another.

The line v -> gain * v + offset with gain = s / s0 and offset = m - gain * m0 takes values of mean
m0 and standard deviation s0 to mean m and standard deviation s (mean-standard deviation
normalisation: Yuan & Elvidge 1996, doi 10.1016/0924-2716(96)00018-4). It needs no common ground,
but takes another mix of land cover for another light, and removes the difference too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.errors import ParameterError
from landshift.grid import Window
from landshift.raster import blockwise
from landshift.raster.blockwise import Block
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


Reader = Callable[[Window], tuple[NDArray[Any], NDArray[np.bool_]]]
"""Reads a window: values ``(band, row, column)`` and mask ``(row, column)``, True where valid."""


@dataclass(frozen=True)
class Sums:
    """Sums over a part of an image.

    Attributes:
        pixels: Number of its pixels.
        values: Sum of each band's values, and of their squares: ``(2, band)``.
    """

    pixels: int
    values: NDArray[np.float64]


def sums_of(values: NDArray[Any], mask: NDArray[np.bool_]) -> Sums:
    """Sums over a window, or over some pixels.

    Args:
        values: ``(band, row, column)`` or ``(band, pixel)``.
        mask: The same without the band, True where valid. Pixels that aren't finite are left out.
    """
    if values.dtype.kind == "f":
        mask = mask & np.isfinite(values).all(axis=0)
    whole = bool(mask.all())
    sums = np.zeros((2, len(values)))
    for k, band in enumerate(values):
        wide = (band.ravel() if whole else band[mask]).astype(np.float64)
        with np.errstate(over="ignore"):  # a nodata of -1.8e308 that isn't declared
            sums[:, k] = wide.sum(), np.square(wide, out=wide).sum()
    return Sums(int(np.count_nonzero(mask)), sums)


def moments(parts: Iterable[Sums]) -> BandMoments:
    """Mean and standard deviation over parts of an image."""
    pixels, sums = 0, np.zeros((2, 1))
    for part in parts:
        pixels += part.pixels
        with np.errstate(over="ignore"):
            sums = sums + part.values
    with np.errstate(over="ignore", invalid="ignore"):
        mean, square = sums / max(pixels, 1)
        return BandMoments(mean, np.sqrt(np.maximum(square - mean**2, 0.0)), pixels)


def measured(
    windows: Sequence[Window], what: str, opened: Callable[[], AbstractContextManager[Reader]]
) -> BandMoments:
    """Mean and standard deviation over windows of an image, on all cores.

    Args:
        windows: The windows.
        what: What is done, for the progress.
        opened: Opens the image for one thread.
    """

    def sums(read: Reader, block: Block) -> Sums:
        return sums_of(*read(block.window))

    with blockwise.results(windows, what, opened, sums) as results:
        return moments(part for _, part in results)


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
