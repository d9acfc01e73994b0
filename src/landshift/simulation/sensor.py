"""The sensor of a simulated scene: surface reflectance, image, clouds and gaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from landshift.grid import Window
from landshift.simulation.land import Cover
from landshift.simulation.noise import (
    Doubles,
    Floats,
    Mask,
    as_uniform,
    fractal_noise,
    hash_integers,
    pixel_centres,
    pixel_noise,
    stream_key,
)
from landshift.simulation.tables import (
    BANDS,
    DROUGHT,
    FINE_BRIGHTNESS,
    FINE_GREENNESS,
    GAP_SLOPE,
    GREENNESS,
    HALF_SWATH,
    HALF_WHOLE,
    HALO,
    HAZE_COLOUR,
    NOISE,
    SCALE,
    SCAN_PERIOD,
    SHADOW,
    WIDEST_GAP,
    Date,
    SceneConditions,
)


def ground_reflectance(
    window: Window, cover: Cover, slope: Floats, date: Date, seed: int
) -> list[Floats]:
    """Reflectance x 10,000 of each pixel at the ground, by band."""

    def by_pixel(by_class: Doubles) -> Floats:
        return by_class.astype(np.float32)[cover.classes][cover.patch]

    mottle = 0.6 * fractal_noise(window, 3.0, 1, stream_key(seed, "mottle"))
    bright = mottle + 0.8 * pixel_noise(window, stream_key(seed, f"brightness {date.name}"))
    green = 0.8 * pixel_noise(window, stream_key(seed, f"greenness {date.name}")) - mottle
    drought = fractal_noise(window, 150.0, 2, stream_key(seed, f"drought {date.name}"))
    light = (1 + date.relief * slope) * (1 + by_pixel(FINE_BRIGHTNESS) * bright)
    green = by_pixel(FINE_GREENNESS) * green - by_pixel(DROUGHT) * drought
    return [
        (mean[cover.patch] + np.float32(axis) * green) * light
        for mean, axis in zip(cover.spectra, GREENNESS, strict=True)
    ]


def sunward_slope(window: Window, seed: int) -> Floats:
    """Slope towards the sun, which stands in the south-east: mean 0, variance about 1."""
    field = fractal_noise(window.grown(1), 48.0, 3, stream_key(seed, "relief"))
    towards: Floats = field[:-2, :-2] - field[2:, 2:]
    hilly = 1 + 0.6 * fractal_noise(window, 300.0, 1, stream_key(seed, "hilliness"))
    slope: Floats = np.maximum(hilly, 0) * towards * np.float32(9.0)
    return slope


def sense(
    window: Window, surface: list[Floats], date: Date, seed: int, conditions: SceneConditions
) -> NDArray[np.uint16]:
    """The image that the sensor takes of a surface.

    Args:
        window: Pixels of the image.
        surface: Reflectance x 10,000 by band, `HALO` pixels wider than the window.
        date: When the image is taken.
        seed: The scene's seed.
        conditions: How the sensor sees.
    """
    shift = _shift(seed, date, conditions.misregistration) if date.shifted else (0.0, 0.0)
    rows, columns = shift
    veil = 1.0 + 0.4 * fractal_noise(window, 260.0, 2, stream_key(seed, f"haze {date.name}"))
    veil = np.maximum(date.haze * veil, 0)
    image = np.empty((len(BANDS), window.height, window.width), np.uint16)
    for k, (band, colour, noise) in enumerate(zip(surface, HAZE_COLOUR, NOISE, strict=True)):
        seen = _blur(_blur(band, rows).T, columns).T
        seen = seen + np.float32(colour) * veil
        speckle = pixel_noise(window, stream_key(seed, f"noise {date.name} {BANDS[k]}"))
        seen = seen + np.float32(noise) * speckle
        image[k] = np.clip(np.rint(seen), 1, SCALE)
    return image


def _shift(seed: int, date: Date, distance: float) -> tuple[float, float]:
    """Rows and columns by which an image is shifted; each seed and date has its own direction."""
    key = stream_key(seed, f"direction{date.suffix}")
    direction = hash_integers(key, np.zeros(1, np.int64))
    angle = 2.0 * np.pi * float(as_uniform(direction)[0])
    return distance * float(np.sin(angle)), distance * float(np.cos(angle))


def _blur(band: Floats, shift: float) -> Floats:
    """A band seen through the sensor's point spread, between its rows; loses `HALO` each side.

    A shift below a pixel is a linear mixture of two neighbouring rows.
    """
    spread = np.array([0.1, 0.8, 0.1])
    between = np.array([max(-shift, 0.0), 1.0 - abs(shift), max(shift, 0.0)])
    height = band.shape[0] - 2 * HALO
    seen = np.zeros((height, band.shape[1]), np.float32)
    for k, weight in enumerate(np.convolve(spread, between).astype(np.float32)):
        if weight:
            seen += weight * band[k : k + height]
    return seen


def visible_mask(window: Window, date: Date, seed: int, conditions: SceneConditions) -> Mask:
    """True where neither cloud, shadow nor scan gap hides the ground."""
    from scipy import special

    seen = np.ones((window.height, window.width), np.bool_)
    if conditions.clouds:
        reach = max(SHADOW)
        field = fractal_noise(window.grown(reach), 90.0, 4, stream_key(seed, f"clouds {date.name}"))
        cloud = field > special.ndtri(1.0 - conditions.clouds)
        for down, right in ((0, 0), SHADOW):
            there = Window(reach + down, reach + right, window.height, window.width)
            seen &= ~cloud[there.slices]
    if conditions.scan_gaps and date.gaps:
        seen &= ~_scan_gaps(window)
    return seen


def _scan_gaps(window: Window) -> Mask:
    """True in the gaps between scans; swaths lie side by side, the first one's middle at left."""
    rows, columns = pixel_centres(window)
    across = (columns + HALF_WHOLE + HALF_SWATH) % (2.0 * HALF_SWATH) - HALF_SWATH
    width = WIDEST_GAP * (np.abs(across) - HALF_WHOLE) / (HALF_SWATH - HALF_WHOLE)
    # Scans sweep there and back: gaps right of the middle lie between those left of it.
    phase = np.where(across > 0, 0.0, SCAN_PERIOD / 2.0)
    line = (rows[:, None] + (GAP_SLOPE * columns + phase)[None, :]) % SCAN_PERIOD
    return line < width[None, :]
