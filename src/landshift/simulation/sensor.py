"""What the sensor of a simulated scene sees of its land."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from landshift.grid import Window
from landshift.simulation.land import Cover
from landshift.simulation.noise import (
    Doubles,
    Floats,
    Mask,
    axes,
    hashed,
    noise_key,
    noise_of,
    pixel_noise,
    uniform_of,
)
from landshift.simulation.tables import (
    AFTER,
    BANDS,
    BEFORE,
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
    Settings,
)


def surface_of(window: Window, cover: Cover, slope: Floats, date: Date, seed: int) -> list[Floats]:
    """Reflectance x 10,000 of each pixel before any of it reaches the sensor, by band."""

    def by_pixel(by_class: Doubles) -> Floats:
        return by_class.astype(np.float32)[cover.classes][cover.patch]

    mottle = 0.6 * noise_of(window, 3.0, 1, noise_key(seed, "mottle"))
    bright = mottle + 0.8 * pixel_noise(window, noise_key(seed, f"brightness {date.name}"))
    green = 0.8 * pixel_noise(window, noise_key(seed, f"greenness {date.name}")) - mottle
    drought = noise_of(window, 150.0, 2, noise_key(seed, f"drought {date.name}"))
    light = (1 + date.relief * slope) * (1 + by_pixel(FINE_BRIGHTNESS) * bright)
    green = by_pixel(FINE_GREENNESS) * green - by_pixel(DROUGHT) * drought
    return [
        (mean[cover.patch] + np.float32(axis) * green) * light
        for mean, axis in zip(cover.spectra, GREENNESS, strict=True)
    ]


def slope_of(window: Window, seed: int) -> Floats:
    """Slope towards the sun, which stands in the south-east: mean 0, variance about 1."""
    field = noise_of(window.grown(1), 48.0, 3, noise_key(seed, "relief"))
    towards: Floats = field[:-2, :-2] - field[2:, 2:]
    hilly = 1 + 0.6 * noise_of(window, 300.0, 1, noise_key(seed, "hilliness"))
    slope: Floats = np.maximum(hilly, 0) * towards * np.float32(9.0)
    return slope


def sense(
    window: Window, surface: list[Floats], date: Date, settings: Settings
) -> NDArray[np.uint16]:
    """What the sensor makes of a surface that is `HALO` pixels wider than the window."""
    seed = settings.seed
    rows, columns = (0.0, 0.0) if date is BEFORE else _shift(settings)
    veil = 1.0 + 0.4 * noise_of(window, 260.0, 2, noise_key(seed, f"haze {date.name}"))
    veil = np.maximum(date.haze * veil, 0)
    image = np.empty((len(BANDS), window.height, window.width), np.uint16)
    for k, (band, colour, noise) in enumerate(zip(surface, HAZE_COLOUR, NOISE, strict=True)):
        seen = _blur(_blur(band, rows).T, columns).T
        seen = seen + np.float32(colour) * veil
        speckle = pixel_noise(window, noise_key(seed, f"noise {date.name} {BANDS[k]}"))
        seen = seen + np.float32(noise) * speckle
        image[k] = np.clip(np.rint(seen), 1, SCALE)
    return image


def _shift(settings: Settings) -> tuple[float, float]:
    """Rows and columns by which the later image is shifted, in a direction of the seed's own."""
    direction = hashed(noise_key(settings.seed, "direction"), np.zeros(1, np.int64))
    angle = 2.0 * np.pi * float(uniform_of(direction)[0])
    return (
        settings.misregistration * float(np.sin(angle)),
        settings.misregistration * float(np.cos(angle)),
    )


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


def visible(window: Window, date: Date, settings: Settings) -> Mask:
    """True where neither cloud, shadow nor scan gap hides the ground."""
    seen = np.ones((window.height, window.width), np.bool_)
    if settings.clouds:
        reach = max(SHADOW)
        field = noise_of(
            window.grown(reach), 90.0, 4, noise_key(settings.seed, f"clouds {date.name}")
        )
        cloud = field > special.ndtri(1.0 - settings.clouds)
        for down, right in ((0, 0), SHADOW):
            there = Window(reach + down, reach + right, window.height, window.width)
            seen &= ~cloud[there.slices]
    if settings.scan_gaps and date is AFTER:
        seen &= ~_scan_gaps(window)
    return seen


def _scan_gaps(window: Window) -> Mask:
    """True in the gaps between scans; swaths lie side by side, the first one's middle at left."""
    rows, columns = axes(window)
    across = (columns + HALF_WHOLE + HALF_SWATH) % (2.0 * HALF_SWATH) - HALF_SWATH
    width = WIDEST_GAP * (np.abs(across) - HALF_WHOLE) / (HALF_SWATH - HALF_WHOLE)
    # Scans sweep there and back: gaps right of the middle lie between those left of it.
    phase = np.where(across > 0, 0.0, SCAN_PERIOD / 2.0)
    line = (rows[:, None] + (GAP_SLOPE * columns + phase)[None, :]) % SCAN_PERIOD
    return line < width[None, :]
