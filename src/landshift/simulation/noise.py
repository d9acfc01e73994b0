"""Noise as a function of place and seed: any window of it alone is the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.grid import Window

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class LatticeCells:
    """Cells of a jittered lattice: each position belongs to the nearest of their centres.

    Attributes:
        nearest: Number of the cell that each position belongs to.
        identity: A hash that names each cell whatever window it is seen from.
        y: Row of each cell's centre, in pixels.
        x: Column of each cell's centre.
    """

    nearest: NDArray[np.intp]
    identity: Hashes
    y: Doubles
    x: Doubles


def stream_key(seed: int, name: str) -> int:
    """The number of one stream of random numbers among the many of a seed, below 2^56."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {name}".encode(), digest_size=7).digest(), "big")


def hash_integers(key: int, *integers: NDArray[Any]) -> Hashes:
    """A hash of integers, broadcast: the finaliser of splitmix64 (Steele et al. 2014).

    Doi 10.1145/2660193.2660195.
    """
    mixed: Hashes = np.array([key], np.uint64)
    for values in integers:
        mixed = mixed ^ (values.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
        mixed ^= mixed >> np.uint64(30)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(27)
        mixed *= np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed


def as_uniform(hashes: Hashes) -> Doubles:
    """Hashes as numbers from 0 up to 1."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53


def as_normal(hashes: Hashes) -> Floats:
    """Hashes as numbers that are about normal, mean 0, variance 1: sums of four uniform ones."""
    parts = np.ascontiguousarray(hashes).view(np.uint16).reshape(*hashes.shape, 4)
    total = parts[..., 0].astype(np.int32)
    for k in (1, 2, 3):
        total += parts[..., k]
    total -= 2 * 65_535
    deviation = np.sqrt(4 * (65_536**2 - 1) / 12)
    return total.astype(np.float32) * np.float32(1 / deviation)


def pixel_noise(window: Window, key: int) -> Floats:
    """Normal noise, each pixel its own."""
    rows, columns = window.slices
    return as_normal(
        hash_integers(
            key,
            np.arange(rows.start, rows.stop)[:, None],
            np.arange(columns.start, columns.stop)[None, :],
        )
    )


def fractal_noise(window: Window, wavelength: float, octaves: int, key: int) -> Floats:
    """Fractal noise of mean 0 and variance 1 on a window's pixels.

    Args:
        window: The pixels.
        wavelength: Pixels between the lattice points of the coarsest octave.
        octaves: Each next one has half the wavelength and half the amplitude.
        key: See `stream_key`.
    """
    rows, columns = pixel_centres(window)
    total = np.zeros((window.height, window.width), np.float32)
    for octave, spacing, amplitude in _octaves(wavelength, octaves):
        first_row, row_weights = _taps(rows / spacing)
        first_column, column_weights = _taps(columns / spacing)
        top, left = first_row[0], first_column[0]
        lattice = as_normal(
            hash_integers(
                key + octave,
                np.arange(top, first_row[-1] + 4)[:, None],
                np.arange(left, first_column[-1] + 4)[None, :],
            )
        )
        lattice *= np.float32(amplitude)
        lines = np.zeros((window.height, lattice.shape[1]), np.float32)
        for k, weights in enumerate(row_weights):
            lines += weights[:, None] * lattice[first_row - top + k]
        for k, weights in enumerate(column_weights):
            total += weights * lines.take(first_column - left + k, axis=1)
    return total


def fractal_noise_at(y: Doubles, x: Doubles, wavelength: float, octaves: int, key: int) -> Doubles:
    """The noise of `fractal_noise` at scattered positions."""
    total = np.zeros(y.shape)
    for octave, spacing, amplitude in _octaves(wavelength, octaves):
        row, row_weights = _taps(y / spacing)
        column, column_weights = _taps(x / spacing)
        for i, along in enumerate(row_weights):
            for j, across in enumerate(column_weights):
                value = as_normal(hash_integers(key + octave, row + i, column + j))
                total += amplitude * along * across * value
    return total


def _octaves(wavelength: float, octaves: int) -> list[tuple[int, float, float]]:
    """Number, spacing and amplitude of each octave, for a variance of 1 in sum."""
    kept = 151 / 315  # of a lattice's variance along each axis: the integral of the squared spline
    amplitudes = [0.5**k for k in range(octaves)]
    norm = kept * sum(a * a for a in amplitudes) ** 0.5
    return [(k, wavelength / 2**k, a / norm) for k, a in enumerate(amplitudes)]


def _taps(position: Doubles) -> tuple[Integers, list[Floats]]:
    """First of the four lattice points around each position, and their cubic B-spline weights."""
    node = np.floor(position)
    t = position - node
    s = 1.0 - t
    weights = (
        s * s * s / 6.0,
        (4.0 - 6.0 * t * t + 3.0 * t * t * t) / 6.0,
        (4.0 - 6.0 * s * s + 3.0 * s * s * s) / 6.0,
        t * t * t / 6.0,
    )
    return node.astype(np.int64) - 1, [w.astype(np.float32) for w in weights]


def jittered_cells(y: Doubles, x: Doubles, spacing: float, key: int) -> LatticeCells:
    """The jittered lattice's cells around positions, one cell in every square of ``spacing``.

    Cells (Worley 1996, doi 10.1145/237170.237267) whose centres keep off the squares' borders, so
    that the nearest is among the nine around a position.
    """
    y, x = y / spacing, x / spacing
    row, column = np.floor(y), np.floor(x)
    # Relative to the own square, single precision is the same in every window.
    y, x = (y - row).astype(np.float32), (x - column).astype(np.float32)
    top, left = int(row.min()) - 1, int(column.min()) - 1
    down = np.arange(top, int(row.max()) + 2)[:, None]
    along = np.arange(left, int(column.max()) + 2)[None, :]
    identity = hash_integers(key, down, along)
    centre_y = (0.1 + 0.8 * as_uniform(hash_integers(key + 1, identity))).astype(np.float32)
    centre_x = (0.1 + 0.8 * as_uniform(hash_integers(key + 2, identity))).astype(np.float32)
    own = (row.astype(np.intp) - top) * along.size + (column.astype(np.intp) - left)
    nearest, best = own, np.full(y.shape, np.inf, np.float32)
    flat_y, flat_x = centre_y.ravel(), centre_x.ravel()
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            cell = own + (i * along.size + j)
            dy = flat_y.take(cell) + (np.float32(i) - y)
            dx = flat_x.take(cell) + (np.float32(j) - x)
            distance = dy * dy + dx * dx
            nearest = np.where(distance < best, cell, nearest)
            best = np.minimum(distance, best)
    return LatticeCells(
        nearest,
        identity.ravel(),
        ((down + centre_y).astype(np.float64) * spacing).ravel(),
        ((along + centre_x).astype(np.float64) * spacing).ravel(),
    )


def pixel_centres(window: Window) -> tuple[Doubles, Doubles]:
    """Rows and columns of a window's pixel centres."""
    rows, columns = window.slices
    return (
        np.arange(rows.start, rows.stop) + 0.5,
        np.arange(columns.start, columns.stop) + 0.5,
    )
