"""How far two images of the same ground lie apart, to a fraction of a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from landshift.grid import Window

LARGE_SHIFT = 0.5
"""Pixels beyond which a shift between dates shows as change along every edge."""

_VALID = 0.75  # share of a block that must be valid
_PEAK = 7.0  # correlation peak over the surface's standard deviation; noise gives 4 to 5
_AGREEMENT = 0.5  # share of the blocks that must show the same shift
_FINE = 20  # steps a pixel of the fine search


@dataclass(frozen=True)
class Shift:
    """How far the ground of one image lies from that of another.

    Attributes:
        columns: Pixels in x, positive where the second image lies to the right.
        rows: Pixels in y, positive where the second image lies further down.
        spread: How much the blocks differ, as a standard error, in pixels.
        agreement: Share of the blocks, 0 to 1, within half a pixel of the shift.
        blocks: Blocks that show a clear shift.
        tried: Blocks compared.
    """

    columns: float
    rows: float
    spread: float
    agreement: float
    blocks: int
    tried: int

    @property
    def distance(self) -> float:
        """Length of the shift, in pixels."""
        return float(np.hypot(self.columns, self.rows))

    @property
    def sure(self) -> bool:
        """Whether most blocks show this shift, and enough of all show one."""
        return self.agreement > _AGREEMENT and 3 * self.blocks >= self.tried

    @property
    def large(self) -> bool:
        """Whether the shift is sure, and larger than half a pixel."""
        return self.sure and self.distance > LARGE_SHIFT


def block_windows(height: int, width: int, most: int = 5) -> list[Window]:
    """Square blocks spread evenly over a raster: at most ``most`` a side, without overlap.

    Blocks have 256 pixels a side, 128 on rasters below 1024, 64 below 256, and are the whole of
    one below 128. They begin at multiples of their size, so that each mostly lies in one block of
    the file.
    """
    short = min(height, width)
    size = 256 if short >= 1024 else 128 if short >= 256 else 64 if short >= 128 else short
    rows, columns = (
        (np.linspace(0, n - size, min(most, n // size)) // size * size).astype(int)
        for n in (height, width)
    )
    return [Window(int(r), int(c), size, size) for r in rows for c in columns]


def block_shift(
    before: NDArray[np.floating], after: NDArray[np.floating], mask: NDArray[np.bool_]
) -> tuple[float, float] | None:
    """Shift of one block by phase correlation (Kuglin & Hines 1975), in rows and columns.

    The bands' normalised cross-power spectra are summed, so that each has the same weight whatever
    its contrast; the peak is refined with an upsampled Fourier transform around it
    (Guizar-Sicairos et al. 2008, doi:10.1364/OL.33.000156) and a parabola.

    Args:
        before: First image, ``(band, row, column)``.
        after: Second image, same shape.
        mask: Valid pixels, ``(row, column)``.

    Returns:
        Rows and columns by which the second lies further down and right; None where too little
        is valid, or no clear peak stands out.
    """
    if mask.mean() < _VALID or min(mask.shape) < 16:
        return None
    taper = _taper(mask)
    cross = np.zeros(mask.shape, np.complex128)
    for first, second in zip(before, after, strict=True):
        one, two = (
            np.fft.fft2((np.where(mask, v, 0) - v[mask].mean()) * taper) for v in (first, second)
        )
        power = two * one.conj()
        size = np.abs(power)
        if size.max() > 0:
            cross += np.where(size > 1e-9 * size.max(), power / np.maximum(size, 1e-300), 0)
    cross *= _weight(mask.shape)
    surface = np.fft.ifft2(cross).real
    peak = np.unravel_index(surface.argmax(), surface.shape)
    deviation = surface.std()
    if deviation == 0 or surface[peak] < _PEAK * deviation:
        return None
    coarse = [int(p) - n if p > n // 2 else int(p) for p, n in zip(peak, mask.shape, strict=True)]
    if max(abs(c) / n for c, n in zip(coarse, mask.shape, strict=True)) > 0.25:
        return None
    steps = np.arange(-_FINE, _FINE + 1) / _FINE
    rows, columns = (np.fft.fftfreq(n) for n in mask.shape)
    along_rows = np.exp(2j * np.pi * np.outer(coarse[0] + steps, rows))
    along_columns = np.exp(2j * np.pi * np.outer(coarse[1] + steps, columns))
    # a matrix product starts threads of its own, which wait for cores that compare other blocks
    along = np.einsum("sr,cr->sc", along_rows, np.ascontiguousarray(cross.T))
    fine = np.einsum("sc,tc->st", along, along_columns).real
    row, column = np.unravel_index(fine.argmax(), fine.shape)
    return (
        float(coarse[0] + steps[row] + _parabola(fine[:, column], int(row)) / _FINE),
        float(coarse[1] + steps[column] + _parabola(fine[row], int(column)) / _FINE),
    )


def combine(shifts: Sequence[tuple[float, float] | None]) -> Shift | None:
    """The median shift of the blocks that show one, and how sure it is; None where none does."""
    known = np.array([s for s in shifts if s is not None])
    if not len(known):
        return None
    middle = np.median(known, axis=0)
    apart = np.hypot(*(known - middle).T)
    agreeing = apart <= LARGE_SHIFT
    near = known[agreeing] if agreeing.any() else known
    spread = 1.4826 * np.median(np.hypot(*(near - middle).T)) / np.sqrt(len(near))
    return Shift(
        columns=float(middle[1]), rows=float(middle[0]), spread=float(spread),
        agreement=float(agreeing.mean()), blocks=len(known), tried=len(shifts),
    )  # fmt: skip


def _taper(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """A Hann window that also falls softly towards pixels that aren't valid.

    A hard edge of the mask, the same in both images, would look like ground that stays in place.
    """
    from scipy import ndimage

    rows, columns = (np.hanning(n) for n in mask.shape)
    taper = np.outer(rows, columns)
    if not mask.all():
        inside = ndimage.binary_erosion(mask, iterations=6, border_value=1)
        taper *= ndimage.gaussian_filter(inside.astype(np.float64), 2.0) * mask
    return np.asarray(taper)


@lru_cache(maxsize=8)
def _weight(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Weight of each wave of a block.

    The coarsest hold shading and the taper itself, the finest noise and aliasing.
    """
    rows, columns = (np.fft.fftfreq(n) for n in shape)
    radius = np.hypot(rows[:, np.newaxis], columns[np.newaxis])
    return np.where(radius < 2.5 / min(shape), 0.0, np.exp(-((radius / 0.25) ** 2)))


def _parabola(values: NDArray[np.float64], at: int) -> float:
    if not 0 < at < len(values) - 1:
        return 0.0
    left, middle, right = values[at - 1 : at + 2]
    bend = left - 2 * middle + right
    return float(0.5 * (left - right) / bend) if bend < 0 else 0.0
