"""The land of a simulated scene: parcels, roads, rivers and their classes at both dates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landshift.grid import Window
from landshift.simulation.noise import (
    Doubles,
    Floats,
    Hashes,
    Integers,
    LatticeCells,
    Mask,
    as_normal,
    as_uniform,
    fractal_noise,
    fractal_noise_at,
    hash_integers,
    jittered_cells,
    pixel_centres,
    stream_key,
)
from landshift.simulation.tables import (
    BARREN,
    CROPLANDS,
    FLEETING,
    FLEETS,
    FOREST,
    GRASSLANDS,
    GREENNESS,
    HOLDING,
    MERGED,
    PARCEL,
    PASSING,
    PATCH_BRIGHTNESS,
    PATCH_GREENNESS,
    REFLECTANCE,
    REGION,
    RIVERS,
    ROADS,
    SAVANNAS,
    SHRUBLANDS,
    TRANSITIONS,
    TUNDRA,
    URBAN,
    WATER,
    WETLANDS,
    WITHERED,
    Date,
)


@dataclass(frozen=True)
class Cover:
    """Land cover at one date.

    Attributes:
        patch: Number of the patch that each pixel belongs to.
        classes: Class of each patch, 0 to 9.
        spectra: Mean reflectance x 10,000 of each patch, ``(band, patch)``.
    """

    patch: NDArray[np.intp]
    classes: Integers
    spectra: Floats


def make_land(window: Window, seed: int, dates: Sequence[Date]) -> Iterator[Cover]:
    """Land cover of a window at each date."""
    parcels = _parcels(window, seed)
    classes, elapsed = _first_cover(parcels, seed), 0.0
    roads = _roads(window, seed, [date.elapsed for date in dates])
    rivers = _rivers(window, seed, [date.elapsed for date in dates])
    for date, road, river in zip(dates, roads, rivers, strict=True):
        if date.elapsed > elapsed:
            classes = _next_cover(classes, parcels, date, date.elapsed - elapsed, seed)
            elapsed = date.elapsed
        shown = _fleeting(classes, parcels, date, seed) if date.fleeting else classes
        yield _cover(shown, parcels, (rivers[0] & ~river, river, road), date, seed)


def _cover(
    classes: Integers, parcels: _Parcels, lines: tuple[Mask, Mask, Mask], date: Date, seed: int
) -> Cover:
    """The mosaic of parcels with lines drawn over its land: dry river beds, rivers, roads."""
    patch = parcels.cells.nearest
    dry = classes[patch] != WATER
    kinds = np.array([BARREN, WATER, URBAN])
    for k, line in enumerate(lines):
        patch = np.where(line & dry, len(classes) + k, patch)
    spectra = np.concatenate([_spectra(classes, parcels, date, seed), REFLECTANCE[kinds].T], axis=1)
    return Cover(patch, np.concatenate([classes, kinds]), spectra.astype(np.float32))


@dataclass(frozen=True)
class _Parcels:
    """The parcels of a window and the patches they belong to.

    Attributes:
        cells: Parcel of each pixel.
        patch: Identity of each parcel's patch: its own, or that of its holding.
        y: Row of the patch's centre.
        x: Column of the patch's centre.
    """

    cells: LatticeCells
    patch: Hashes
    y: Doubles
    x: Doubles


def _parcels(window: Window, seed: int) -> _Parcels:
    rows, columns = pixel_centres(window)
    y = rows[:, None] + 8.0 * fractal_noise(window, 40.0, 5, stream_key(seed, "bend rows"))
    x = columns[None, :] + 8.0 * fractal_noise(window, 40.0, 5, stream_key(seed, "bend columns"))
    cells = jittered_cells(y, x, PARCEL, stream_key(seed, "parcels"))
    holdings = jittered_cells(cells.y, cells.x, HOLDING, stream_key(seed, "holdings"))
    merged = as_uniform(hash_integers(stream_key(seed, "merged"), cells.identity)) < MERGED
    return _Parcels(
        cells,
        np.where(merged, holdings.identity[holdings.nearest], cells.identity),
        np.where(merged, holdings.y[holdings.nearest], cells.y),
        np.where(merged, holdings.x[holdings.nearest], cells.x),
    )


def _first_cover(parcels: _Parcels, seed: int) -> Integers:
    """Class of each parcel at the earlier date, from where its patch lies."""
    height = _site(parcels, "height", 0.06, seed)
    moisture = _site(parcels, "moisture", 0.16, seed)
    settled = _site(parcels, "settlement", 0.10, seed)
    # fmt: off
    rules = (
        (height < 0.055, WATER),
        ((height < 0.14) & (moisture > 0.35), WETLANDS),
        (height > 0.91, TUNDRA),
        (height > 0.85, BARREN),
        (settled > 0.92, URBAN),
        ((settled > 0.70) & (height < 0.75), CROPLANDS),
        (moisture > 0.58, FOREST),
        (moisture > 0.44, SAVANNAS),
        (moisture > 0.26, GRASSLANDS),
        (moisture > 0.06, SHRUBLANDS),
    )
    # fmt: on
    where, classes = zip(*rules, strict=True)
    cover: Integers = np.select(where, classes, BARREN).astype(np.int64)
    return cover


def _next_cover(
    before: Integers, parcels: _Parcels, date: Date, elapsed: float, seed: int
) -> Integers:
    """Class of each parcel at a later date, drawn once per patch from `TRANSITIONS`.

    Args:
        before: Class of each parcel at the date before.
        parcels: The parcels.
        date: The later date.
        elapsed: Time between them, in the five years that `TRANSITIONS` are for.
        seed: The scene's seed.
    """
    settled = _site(parcels, "settlement", 0.10, seed)
    rates = TRANSITIONS[before] * elapsed
    rates[np.arange(len(before)), before] += 1 - elapsed
    built = np.where(before == URBAN, 0.0, rates[:, URBAN] * (2.0 * settled - 1.0))
    rates[:, URBAN] += built
    rates[np.arange(len(before)), before] -= built
    key = stream_key(seed, f"transition{date.suffix}")
    drawn = as_uniform(hash_integers(key, parcels.patch))
    after: Integers = (drawn[:, None] >= rates.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return after


def _fleeting(classes: Integers, parcels: _Parcels, date: Date, seed: int) -> Integers:
    """Classes with those of patches that are of another class at this date alone."""
    turned = np.arange(len(TRANSITIONS))
    turned[list(FLEETING)] = list(FLEETING.values())
    drawn = as_uniform(hash_integers(stream_key(seed, f"fleeting {date.name}"), parcels.patch))
    return np.where(drawn < FLEETS, turned[classes], classes)


def _site(parcels: _Parcels, name: str, jitter: float, seed: int) -> Doubles:
    """Rank among all land, 0 to 1, of each patch's height, moisture or nearness to settlements."""
    from scipy import special

    field = fractal_noise_at(parcels.y, parcels.x, REGION, 4, stream_key(seed, name))
    own = as_uniform(hash_integers(stream_key(seed, f"{name} of patch"), parcels.patch)) - 0.5
    site: Doubles = np.clip(special.ndtr(field) + jitter * own, 0.0, 1.0)
    return site


def _roads(window: Window, seed: int, elapsed: Sequence[float]) -> list[Mask]:
    """Where roads run at each date: between cells of a wide lattice, one pixel wide.

    Half of the borders have one at first, a tenth more after each five years.
    """
    wide = Window(window.row, window.column, window.height + 1, window.width + 1)
    rows, columns = pixel_centres(wide)
    y = rows[:, None] + 14.0 * fractal_noise(wide, 130.0, 1, stream_key(seed, "bend roads' rows"))
    bend = fractal_noise(wide, 130.0, 1, stream_key(seed, "bend roads' columns"))
    x = columns[None, :] + 14.0 * bend
    cells = jittered_cells(y, x, ROADS, stream_key(seed, "roads"))
    identity = cells.identity[cells.nearest]
    roads = [np.zeros((window.height, window.width), np.bool_) for _ in elapsed]
    here = identity[:-1, :-1]
    for beyond in (identity[1:, :-1], identity[:-1, 1:]):
        border = here != beyond
        # A sum names the pair whichever of the two cells comes first.
        built = as_uniform(hash_integers(stream_key(seed, "built"), here[border] + beyond[border]))
        for road, time in zip(roads, elapsed, strict=True):
            road[border] |= built < min(0.5 + 0.1 * time, 1.0)
    return roads


def _rivers(window: Window, seed: int, elapsed: Sequence[float]) -> list[Mask]:
    """Where rivers run at each date: along the zero line of a noise, moved by another."""
    field = fractal_noise(window.grown(1), RIVERS, 4, stream_key(seed, "rivers"))
    down = field[2:, 1:-1] - field[:-2, 1:-1]
    across = field[1:-1, 2:] - field[1:-1, :-2]
    slope = 0.5 * np.sqrt(down * down + across * across)
    distance = field[1:-1, 1:-1] / np.maximum(slope, np.float32(1e-6))
    width = 1.6 + 0.7 * fractal_noise(window, 300.0, 1, stream_key(seed, "rivers' width"))
    half = np.maximum(width, np.float32(0.8))  # a thinner line would break up
    pull = 3.5 * fractal_noise(window, 110.0, 2, stream_key(seed, "rivers' migration"))
    moved = pull - np.clip(pull, -2, 2)  # banks hold against a weak pull
    return [np.abs(distance + np.float32(time) * moved) < half for time in elapsed]


def _spectra(classes: Integers, parcels: _Parcels, date: Date, seed: int) -> Doubles:
    """Mean reflectance x 10,000 of each parcel, ``(band, parcel)``."""
    bright = 1.0 + PATCH_BRIGHTNESS[classes] * as_normal(
        hash_integers(stream_key(seed, "brightness"), parcels.patch)
    )
    lasting = as_normal(hash_integers(stream_key(seed, "greenness"), parcels.patch))
    passing = as_normal(hash_integers(stream_key(seed, f"greenness {date.name}"), parcels.patch))
    green = PATCH_GREENNESS[classes] * (0.8 * lasting + 0.6 * passing)
    green = green - date.withered * WITHERED[classes]
    spectra = REFLECTANCE[classes].T * bright + GREENNESS[:, None] * green
    state_key = stream_key(seed, f"state {date.name}")
    chance = as_uniform(hash_integers(state_key, parcels.cells.identity))
    for kind, (share_before, share_after, state) in PASSING.items():
        share = share_before + date.withered * (share_after - share_before)
        passing_state = np.array(state)[:, None] * bright
        mixed = 0.2 * spectra + 0.8 * passing_state
        spectra = np.where((classes == kind) & (chance < share), mixed, spectra)
    return spectra
