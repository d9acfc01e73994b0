"""Images and class maps of a made scene: two dates of Landsat-like ground with known truth.

The land is a mosaic of patches, cells of a jittered lattice whose borders are bent by noise into
fractal outlines. What covers a patch follows from its height, its moisture and how near it lies to
a settlement; what became of it is drawn from `TRANSITIONS`. Rivers, which move, and roads, some of
them new, are laid over it. The images are what a sensor might make of that land: spectra of
`REFLECTANCE` with their spread within a class, dry spells and the season, fields harvested and
grassland burnt (`PASSING`), light on slopes, a blurred and shifted pixel grid, haze, noise, clouds
and shadows, and the gaps of Landsat 7.

It is made so that single pixels say too little. Noise and mottle are as large as the differences
between classes, and average out over a patch; passing states, slopes and dry spells change a pixel
as much as a change of class does, and can be told from one by their surroundings.

Every value is a function of the pixel's row and column and of the seed alone, by hashing and not
by drawing one number after another. So the scene can be made in blocks of any size in any order,
a small scene is the corner of a large one of the same seed, and memory doesn't grow with size.
Only sums, products, quotients and roots are taken per pixel: their result doesn't depend on where
in an array a value lies, which can't be said of a matrix product.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from landshift import grid, provenance, raster
from landshift.classes import ClassScheme
from landshift.errors import ParameterError
from landshift.grid import Window

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Mask = NDArray[np.bool_]

# fmt: off
_CLASSES = (
    ("forest", (27, 104, 48)), ("savannas", (170, 166, 66)), ("grasslands", (178, 218, 110)),
    ("wetlands", (70, 165, 150)), ("croplands", (248, 200, 84)), ("urban", (212, 45, 52)),
    ("tundra", (180, 160, 205)), ("barren", (150, 142, 134)), ("water", (52, 104, 184)),
    ("open shrublands", (202, 146, 98)),
)
(FOREST, SAVANNAS, GRASSLANDS, WETLANDS, CROPLANDS,
 URBAN, TUNDRA, BARREN, WATER, SHRUBLANDS) = range(len(_CLASSES))
# fmt: on

LAND_COVER = ClassScheme.from_mapping(
    {value: name for value, (name, _) in enumerate(_CLASSES, start=1)},
    {value: colour for value, (_, colour) in enumerate(_CLASSES, start=1)},
)
"""The classes of the class maps, 1 to 10."""

BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
"""The bands of the images: 1, 2, 3, 4, 5 and 7 of ETM+."""

# fmt: off
TRANSITIONS: Doubles = np.array(
    [   # for  sav   gra   wet   cro   urb   tun   bar   wat   shr
        [.840, .040, .025, .010, .035, .020, .000, .020, .005, .005],  # forest: cleared, burnt
        [.050, .820, .035, .005, .040, .015, .000, .010, .005, .020],  # savannas: close or open
        [.030, .030, .830, .010, .050, .015, .005, .010, .005, .015],  # grasslands: ploughed
        [.030, .010, .030, .830, .030, .010, .010, .005, .045, .000],  # wetlands: flooded, drained
        [.025, .010, .050, .010, .840, .040, .000, .015, .005, .005],  # croplands: set aside, built
        [.005, .000, .010, .000, .005, .960, .000, .015, .005, .000],  # urban: stays
        [.015, .000, .030, .020, .000, .000, .860, .045, .005, .025],  # tundra: grows shrubs, thaws
        [.005, .005, .040, .005, .010, .030, .040, .820, .015, .030],  # barren: overgrown
        [.000, .000, .010, .040, .000, .005, .000, .025, .920, .000],  # water: silted up, dried out
        [.010, .040, .040, .000, .025, .015, .015, .030, .005, .820],  # shrublands: thicken, thin
    ]
)
"""Probability that a patch of the row's class is of the column's class at the later date.

Rows sum to 1. Made for this simulator: the directions are those that land-cover statistics report,
the rates are raised so that 10 to 20 % of the land changes, which leaves enough of each class to
learn from. The rates towards urban are the mean over all land; a patch near a settlement has up to
twice as much, one far from any has almost none. Rivers that move and new roads come on top.
"""

REFLECTANCE: Doubles = np.array(
    [   # blue  green   red    nir   swir1  swir2
        [ 300,   520,   360,  3000,  1550,   700],  # forest
        [ 520,   800,   800,  2500,  2250,  1350],  # savannas
        [ 600,   950,   950,  2700,  2600,  1600],  # grasslands
        [ 400,   640,   520,  2150,  1350,   700],  # wetlands
        [ 480,   830,   640,  3300,  2050,  1150],  # croplands, before harvest
        [1000,  1200,  1300,  2050,  2250,  1950],  # urban
        [ 560,   800,   850,  2050,  2150,  1450],  # tundra
        [1200,  1550,  1900,  2500,  3050,  2700],  # barren
        [ 520,   480,   320,   200,   120,    80],  # water
        [ 800,  1100,  1250,  2300,  2800,  2150],  # open shrublands
    ],
    dtype=np.float64,
)
"""Mean surface reflectance x 10,000 of each class in each band, in the growing season.

Rounded by hand to be plausible and not measured: after the shapes of the spectra of green and dry
vegetation, soil, water and man-made materials in the USGS Spectral Library, version 7 (Kokaly et
al. 2017, doi 10.3133/ds1035), mixed as a 30 m pixel of the class would mix them. Good for testing
software, not for physics.
"""

# Spread within a class, along two axes. Brightness scales all bands together, so that the visible
# bands vary as one; greenness moves near infrared against red and shortwave infrared. Of each, one
# part is a patch's own and one is texture within it: towns and open woodland are mottled.
GREENNESS: Doubles = np.array([-.10, -.05, -.25, 1., -.35, -.35])
#                                     for  sav  gra  wet  cro  urb  tun  bar  wat  shr
PATCH_BRIGHTNESS: Doubles = np.array([.04, .05, .05, .05, .05, .06, .05, .06, .09, .05])
PATCH_GREENNESS: Doubles = np.array([130, 150, 160, 150, 180,  80, 120,  50,  10, 100.])
FINE_BRIGHTNESS: Doubles = np.array([.12, .20, .09, .15, .09, .35, .19, .12, .12, .24])
FINE_GREENNESS: Doubles = np.array([300, 500, 220, 360, 220, 440, 310, 120,  20, 400.])
# Greenness that a dry spell takes, and greenness lost at the later date, seven weeks on.
DROUGHT: Doubles = np.array([ 80, 210, 290, 100, 210,  50, 160,  30,   0, 120.])
WITHERED: Doubles = np.array([150, 400, 550, 250, 250,  80, 350,   0,   0, 150.])

PASSING: dict[int, tuple[float, float, tuple[int, ...]]] = {
    CROPLANDS:  (.30, .55, ( 850, 1200, 1500, 2150, 2700, 2200)),  # harvested, bare soil
    GRASSLANDS: (.15, .40, ( 750, 1050, 1350, 2150, 2950, 2100)),  # cured or mown
    SAVANNAS:   (.08, .20, ( 420,  500,  560, 1050, 1500, 1350)),  # burnt
    SHRUBLANDS: (.05, .12, ( 450,  550,  620, 1000, 1500, 1400)),  # burnt
    WETLANDS:   (.10, .15, ( 430,  560,  420, 1000,  650,  350)),  # under water
}
# fmt: on
"""States that parcels of a class pass through and that are no change of land cover.

Share of the parcels at the earlier and at the later date, and reflectance x 10,000 in it; made as
`REFLECTANCE` is. They are what a rule for single pixels takes for change.
"""

HAZE_COLOUR = np.array([1.0, 0.7, 0.5, 0.25, 0.1, 0.05])
"""Haze scatters blue light most."""

NOISE = np.array([35, 35, 35, 55, 50, 45.0])
"""Standard deviation of the sensor's noise, in reflectance x 10,000."""

SCALE = 10_000
CRS = "EPSG:32618"
ORIGIN = (300_000.0, 4_600_000.0)

PARCEL = 16.0  # pixels from one parcel's centre to the next
HOLDING = 36.0  # the same of holdings, into which neighbouring parcels merge
MERGED = 0.6  # share of parcels that are one patch with the rest of their holding
REGION = 160.0  # wavelength in pixels of height, moisture and settlement
ROADS = 180.0  # pixels between roads
RIVERS = 700.0  # wavelength of the rivers' course
BLOCK = 512
CACHE = 32 << 20  # bytes for GDAL: whole blocks are written once, there is nothing to keep
SHADOW = (10, 14)  # rows and columns from a shadow to its cloud, towards the sun
HALO = 2  # pixels that blur and shift reach over a block's edge

# Scan gaps: ETM+ sweeps 16 lines a scan, there and back. With its scan-line corrector off, scans
# overlap at one side and miss ground at the other, up to 14 lines at the swath's edge, none in
# the middle 22 km; 22 % of a full scene (Storey et al. 2005, Pecora 16, 'Landsat 7 scan line
# corrector-off gap-filled product development'; USGS, Landsat 7 data users handbook).
SCAN_PERIOD = 32.0
WIDEST_GAP = 14.0
HALF_SWATH = 3080.0
HALF_WHOLE = 370.0
GAP_SLOPE = 0.15  # the swath's tilt against a grid that is north up


@dataclass(frozen=True)
class Scene:
    """The files of a made scene.

    Attributes:
        before: Image of the earlier date, reflectance x 10,000.
        after: Image of the later date.
        before_classes: Class map of the earlier date, complete.
        after_classes: Class map of the later date, complete.
    """

    before: Path
    after: Path
    before_classes: Path
    after_classes: Path


@dataclass(frozen=True)
class _Date:
    """What differs between the dates whatever the seed.

    Attributes:
        name: Names the date's own streams of random numbers.
        taken: Day of the image.
        withered: Share of `WITHERED` that has come by then.
        haze: Mean of what haze adds to the blue band, in reflectance x 10,000.
        relief: Standard deviation of the light on slopes; a lower sun has more.
    """

    name: str
    taken: str
    withered: float
    haze: float
    relief: float


_BEFORE = _Date("before", "2001-07-14", 0.0, haze=120.0, relief=0.10)
_AFTER = _Date("after", "2006-09-02", 1.0, haze=220.0, relief=0.16)


@dataclass(frozen=True)
class _Settings:
    """The options of `simulate` that every pixel depends on."""

    seed: int
    clouds: float
    scan_gaps: bool
    misregistration: float


def simulate(
    folder: Path,
    *,
    height: int = 1024,
    width: int = 1024,
    seed: int = 0,
    cell_size: float = 30.0,
    clouds: float = 0.025,
    scan_gaps: bool = True,
    misregistration: float = 0.3,
    overwrite: bool = False,
    on_block: Callable[[int, int], None] | None = None,
) -> Scene:
    """Make two images and two class maps of one piece of land.

    Writes ``before.tif`` and ``after.tif`` (reflectance x 10,000 in six bands, 0 is nodata) and
    ``before_classes.tif`` and ``after_classes.tif`` (`LAND_COVER`, complete) on one UTM grid.

    Args:
        folder: Where the files go; made where missing, other files in it are left alone.
        height: Rows.
        width: Columns.
        seed: Same seed, same land; a smaller scene is the upper left corner of a larger one.
        cell_size: Metres of a pixel in the files' grid. The land's features are sized in pixels.
        clouds: Share of each date's ground under clouds, 0 to 0.5, on the mean of all land. Their
            shadows hide up to as much again.
        scan_gaps: Whether the later image has the gaps of Landsat 7's broken scan-line corrector.
            Column 0 lies near the swath's whole middle; the gaps widen to the right.
        misregistration: Distance in pixels by which the later image is shifted, 0 to 1.
        overwrite: Whether what is there already is replaced.
        on_block: Called with the number of blocks done and of all blocks.

    Raises:
        ParameterError: A size below 1, a negative seed, or an option out of its range.
        OutputError: The files can't be written.
    """
    _check(height, width, seed, cell_size, clouds, misregistration)
    settings = _Settings(seed, clouds, scan_gaps, misregistration)
    folder = Path(folder)
    scene = Scene(*(folder / f"{field.name}.tif" for field in fields(Scene)))
    raster.check_new(*(getattr(scene, f.name) for f in fields(Scene)), overwrite=overwrite)
    size = {"height": height, "width": width, "cell_size": cell_size}
    made_by = provenance.record("simulate", [], {**size, **asdict(settings)})
    box = _geobox(height, width, cell_size)
    windows = list(raster.blocks(height, width, BLOCK))
    with ExitStack() as outputs:  # a failure in any block leaves none of the four files

        def create(path: Path, date: _Date, **options: Any) -> Any:
            tags = {**provenance.as_tag(made_by), "ACQUISITION_DATE": date.taken}
            return outputs.enter_context(
                raster.create(path, box, nodata=0, tags=tags, cache=CACHE, **options)
            )

        image = {"count": len(BANDS), "dtype": "uint16", "bands": BANDS}
        classes = {"count": 1, "dtype": "uint8", "bands": ("land cover",), "scheme": LAND_COVER}
        targets = (
            create(scene.before, _BEFORE, **image),
            create(scene.after, _AFTER, **image),
            create(scene.before_classes, _BEFORE, **classes),
            create(scene.after_classes, _AFTER, **classes),
        )
        for done, window in enumerate(windows, start=1):
            for target, values in zip(targets, _render(window, settings), strict=True):
                raster.write(target, values, window)
            if on_block is not None:
                on_block(done, len(windows))
    return scene


def _check(
    height: int, width: int, seed: int, cell_size: float, clouds: float, misregistration: float
) -> None:
    if height < 1 or width < 1:
        raise ParameterError(
            f"A scene must have at least 1 row and column, got {height} x {width}."
        )
    if seed < 0:
        raise ParameterError(f"The seed must be 0 or more, got {seed}.")
    if not 0 < cell_size < float("inf"):
        raise ParameterError(f"The cell size must be above 0 metres, got {cell_size}.")
    if not 0 <= clouds <= 0.5:
        raise ParameterError(f"The share of clouds must be 0 to 0.5, got {clouds}.")
    if not 0 <= misregistration <= 1:
        raise ParameterError(f"The misregistration must be 0 to 1 pixel, got {misregistration}.")


def _geobox(height: int, width: int, cell_size: float) -> Any:
    from affine import Affine

    west, north = ORIGIN
    return grid.geobox(height, width, Affine(cell_size, 0, west, 0, -cell_size, north), CRS)


def _render(window: Window, settings: _Settings) -> tuple[NDArray[Any], ...]:
    """The four files' pixels in a window, in the order of `Scene`, each ``(band, row, column)``."""
    wide = window.grown(HALO)
    slope = _slope(wide, settings.seed)
    images, maps = [], []
    for date, cover in zip((_BEFORE, _AFTER), _land(wide, settings.seed), strict=True):
        surface = _surface(wide, cover, slope, date, settings.seed)
        image = _sense(window, surface, date, settings)
        image[:, ~_visible(window, date, settings)] = 0
        images.append(image)
        values = (cover.classes + 1).astype(np.uint8)[cover.patch]
        maps.append(values[None, HALO:-HALO, HALO:-HALO])
    return *images, *maps


# The land


@dataclass(frozen=True)
class _Cover:
    """What lies on the ground at one date.

    Attributes:
        patch: Number of the patch that each pixel belongs to.
        classes: Class of each patch, 0 to 9.
        spectra: Mean reflectance x 10,000 of each patch, ``(band, patch)``.
    """

    patch: NDArray[np.intp]
    classes: Integers
    spectra: Floats


def _land(window: Window, seed: int) -> tuple[_Cover, _Cover]:
    """What lies in a window at the earlier and at the later date."""
    parcels = _parcels(window, seed)
    before = _first_cover(parcels, seed)
    after = _next_cover(before, parcels, seed)
    roads, later_roads = _roads(window, seed)
    rivers, later_rivers = _rivers(window, seed)
    no_bars, bars = np.zeros_like(rivers), rivers & ~later_rivers
    return (
        _cover(before, parcels, (no_bars, rivers, roads), _BEFORE, seed),
        _cover(after, parcels, (bars, later_rivers, later_roads), _AFTER, seed),
    )


def _cover(
    classes: Integers, parcels: _Parcels, lines: tuple[Mask, Mask, Mask], date: _Date, seed: int
) -> _Cover:
    """The mosaic of parcels with lines drawn over its land: dry river beds, rivers, roads."""
    patch = parcels.cells.nearest
    dry = classes[patch] != WATER
    kinds = np.array([BARREN, WATER, URBAN])
    for k, line in enumerate(lines):
        patch = np.where(line & dry, len(classes) + k, patch)
    spectra = np.concatenate([_spectra(classes, parcels, date, seed), REFLECTANCE[kinds].T], axis=1)
    return _Cover(patch, np.concatenate([classes, kinds]), spectra.astype(np.float32))


@dataclass(frozen=True)
class _Cells:
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


@dataclass(frozen=True)
class _Parcels:
    """The parcels of a window and the patches they belong to.

    Attributes:
        cells: Parcel of each pixel.
        patch: Identity of each parcel's patch: its own, or that of its holding.
        y: Row of the patch's centre.
        x: Column of the patch's centre.
    """

    cells: _Cells
    patch: Hashes
    y: Doubles
    x: Doubles


def _parcels(window: Window, seed: int) -> _Parcels:
    rows, columns = _axes(window)
    y = rows[:, None] + 8.0 * _noise(window, 40.0, 5, _key(seed, "bend rows"))
    x = columns[None, :] + 8.0 * _noise(window, 40.0, 5, _key(seed, "bend columns"))
    cells = _cells(y, x, PARCEL, _key(seed, "parcels"))
    holdings = _cells(cells.y, cells.x, HOLDING, _key(seed, "holdings"))
    merged = _uniform(_hash(_key(seed, "merged"), cells.identity)) < MERGED
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


def _next_cover(before: Integers, parcels: _Parcels, seed: int) -> Integers:
    """Class of each parcel at the later date, drawn once per patch from `TRANSITIONS`."""
    settled = _site(parcels, "settlement", 0.10, seed)
    rates = TRANSITIONS[before]
    built = np.where(before == URBAN, 0.0, rates[:, URBAN] * (2.0 * settled - 1.0))
    rates[:, URBAN] += built
    rates[np.arange(len(before)), before] -= built
    drawn = _uniform(_hash(_key(seed, "transition"), parcels.patch))
    after: Integers = (drawn[:, None] >= rates.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return after


def _site(parcels: _Parcels, name: str, jitter: float, seed: int) -> Doubles:
    """How high, moist or settled each patch's place is, as its rank among all land, 0 to 1."""
    field = _noise_at(parcels.y, parcels.x, REGION, 4, _key(seed, name))
    own = _uniform(_hash(_key(seed, f"{name} of patch"), parcels.patch)) - 0.5
    site: Doubles = np.clip(special.ndtr(field) + jitter * own, 0.0, 1.0)
    return site


def _roads(window: Window, seed: int) -> tuple[Mask, Mask]:
    """Where roads run at each date: between cells of a wide lattice, one pixel wide."""
    wide = Window(window.row, window.column, window.height + 1, window.width + 1)
    rows, columns = _axes(wide)
    y = rows[:, None] + 14.0 * _noise(wide, 130.0, 1, _key(seed, "bend roads' rows"))
    x = columns[None, :] + 14.0 * _noise(wide, 130.0, 1, _key(seed, "bend roads' columns"))
    cells = _cells(y, x, ROADS, _key(seed, "roads"))
    identity = cells.identity[cells.nearest]
    before = np.zeros((window.height, window.width), np.bool_)
    after = before.copy()
    here = identity[:-1, :-1]
    for beyond in (identity[1:, :-1], identity[:-1, 1:]):
        border = here != beyond
        # A sum names the pair whichever of the two cells comes first.
        built = _uniform(_hash(_key(seed, "built"), here[border] + beyond[border]))
        before[border] |= built < 0.5
        after[border] |= built < 0.6
    return before, after


def _rivers(window: Window, seed: int) -> tuple[Mask, Mask]:
    """Where rivers run at each date: along the zero line of a noise, moved by another."""
    field = _noise(window.grown(1), RIVERS, 4, _key(seed, "rivers"))
    down = field[2:, 1:-1] - field[:-2, 1:-1]
    across = field[1:-1, 2:] - field[1:-1, :-2]
    slope = 0.5 * np.sqrt(down * down + across * across)
    distance = field[1:-1, 1:-1] / np.maximum(slope, np.float32(1e-6))
    width = 1.6 + 0.7 * _noise(window, 300.0, 1, _key(seed, "rivers' width"))
    half = np.maximum(width, np.float32(0.8))  # a thinner line would break up
    pull = 3.5 * _noise(window, 110.0, 2, _key(seed, "rivers' migration"))
    moved = pull - np.clip(pull, -2, 2)  # banks hold against a weak pull
    return np.abs(distance) < half, np.abs(distance + moved) < half


# The images


def _spectra(classes: Integers, parcels: _Parcels, date: _Date, seed: int) -> Doubles:
    """Mean reflectance x 10,000 of each parcel, ``(band, parcel)``."""
    bright = 1.0 + PATCH_BRIGHTNESS[classes] * _gaussian(
        _hash(_key(seed, "brightness"), parcels.patch)
    )
    lasting = _gaussian(_hash(_key(seed, "greenness"), parcels.patch))
    passing = _gaussian(_hash(_key(seed, f"greenness {date.name}"), parcels.patch))
    green = PATCH_GREENNESS[classes] * (0.8 * lasting + 0.6 * passing)
    green = green - date.withered * WITHERED[classes]
    spectra = REFLECTANCE[classes].T * bright + GREENNESS[:, None] * green
    chance = _uniform(_hash(_key(seed, f"state {date.name}"), parcels.cells.identity))
    for kind, (share_before, share_after, state) in PASSING.items():
        share = share_before if date is _BEFORE else share_after
        passing_state = np.array(state)[:, None] * bright
        mixed = 0.2 * spectra + 0.8 * passing_state
        spectra = np.where((classes == kind) & (chance < share), mixed, spectra)
    return spectra


def _surface(window: Window, cover: _Cover, slope: Floats, date: _Date, seed: int) -> list[Floats]:
    """Reflectance x 10,000 of each pixel before any of it reaches the sensor, by band."""

    def by_pixel(by_class: Doubles) -> Floats:
        return by_class.astype(np.float32)[cover.classes][cover.patch]

    mottle = 0.6 * _noise(window, 3.0, 1, _key(seed, "mottle"))
    bright = mottle + 0.8 * _pixel_noise(window, _key(seed, f"brightness {date.name}"))
    green = 0.8 * _pixel_noise(window, _key(seed, f"greenness {date.name}")) - mottle
    drought = _noise(window, 150.0, 2, _key(seed, f"drought {date.name}"))
    light = (1 + date.relief * slope) * (1 + by_pixel(FINE_BRIGHTNESS) * bright)
    green = by_pixel(FINE_GREENNESS) * green - by_pixel(DROUGHT) * drought
    return [
        (mean[cover.patch] + np.float32(axis) * green) * light
        for mean, axis in zip(cover.spectra, GREENNESS, strict=True)
    ]


def _slope(window: Window, seed: int) -> Floats:
    """Slope towards the sun, which stands in the south-east: mean 0, variance about 1."""
    field = _noise(window.grown(1), 48.0, 3, _key(seed, "relief"))
    towards: Floats = field[:-2, :-2] - field[2:, 2:]
    hilly = 1 + 0.6 * _noise(window, 300.0, 1, _key(seed, "hilliness"))
    slope: Floats = np.maximum(hilly, 0) * towards * np.float32(9.0)
    return slope


def _sense(
    window: Window, surface: list[Floats], date: _Date, settings: _Settings
) -> NDArray[np.uint16]:
    """What the sensor makes of a surface that is `HALO` pixels wider than the window."""
    seed = settings.seed
    rows, columns = (0.0, 0.0) if date is _BEFORE else _shift(settings)
    veil = 1.0 + 0.4 * _noise(window, 260.0, 2, _key(seed, f"haze {date.name}"))
    veil = np.maximum(date.haze * veil, 0)
    image = np.empty((len(BANDS), window.height, window.width), np.uint16)
    for k, (band, colour, noise) in enumerate(zip(surface, HAZE_COLOUR, NOISE, strict=True)):
        seen = _blur(_blur(band, rows).T, columns).T
        seen = seen + np.float32(colour) * veil
        speckle = _pixel_noise(window, _key(seed, f"noise {date.name} {BANDS[k]}"))
        seen = seen + np.float32(noise) * speckle
        image[k] = np.clip(np.rint(seen), 1, SCALE)
    return image


def _shift(settings: _Settings) -> tuple[float, float]:
    """Rows and columns by which the later image is shifted, in a direction of the seed's own."""
    direction = _hash(_key(settings.seed, "direction"), np.zeros(1, np.int64))
    angle = 2.0 * np.pi * float(_uniform(direction)[0])
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


def _visible(window: Window, date: _Date, settings: _Settings) -> Mask:
    """True where neither cloud, shadow nor scan gap hides the ground."""
    seen = np.ones((window.height, window.width), np.bool_)
    if settings.clouds:
        reach = max(SHADOW)
        field = _noise(window.grown(reach), 90.0, 4, _key(settings.seed, f"clouds {date.name}"))
        cloud = field > special.ndtri(1.0 - settings.clouds)
        for down, right in ((0, 0), SHADOW):
            there = Window(reach + down, reach + right, window.height, window.width)
            seen &= ~cloud[there.slices]
    if settings.scan_gaps and date is _AFTER:
        seen &= ~_scan_gaps(window)
    return seen


def _scan_gaps(window: Window) -> Mask:
    """True in the gaps between scans; swaths lie side by side, the first one's middle at left."""
    rows, columns = _axes(window)
    across = (columns + HALF_WHOLE + HALF_SWATH) % (2.0 * HALF_SWATH) - HALF_SWATH
    width = WIDEST_GAP * (np.abs(across) - HALF_WHOLE) / (HALF_SWATH - HALF_WHOLE)
    # Scans sweep there and back: gaps right of the middle lie between those left of it.
    phase = np.where(across > 0, 0.0, SCAN_PERIOD / 2.0)
    line = (rows[:, None] + (GAP_SLOPE * columns + phase)[None, :]) % SCAN_PERIOD
    return line < width[None, :]


# Noise: numbers that depend on place and seed alone


def _key(seed: int, name: str) -> int:
    """The number of one stream of random numbers among the many of a seed, below 2^56."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {name}".encode(), digest_size=7).digest(), "big")


def _hash(key: int, *integers: NDArray[Any]) -> Hashes:
    """A hash of integers, broadcast: the finaliser of splitmix64 (Steele et al. 2014).

    Doi 10.1145/2660193.2660195.
    """
    hashed: Hashes = np.array([key], np.uint64)
    for values in integers:
        hashed = hashed ^ (values.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
        hashed ^= hashed >> np.uint64(30)
        hashed *= np.uint64(0xBF58476D1CE4E5B9)
        hashed ^= hashed >> np.uint64(27)
        hashed *= np.uint64(0x94D049BB133111EB)
        hashed ^= hashed >> np.uint64(31)
    return hashed


def _uniform(hashed: Hashes) -> Doubles:
    """Hashes as numbers from 0 up to 1."""
    return (hashed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _gaussian(hashed: Hashes) -> Floats:
    """Hashes as numbers that are about normal, mean 0, variance 1: sums of four uniform ones."""
    parts = np.ascontiguousarray(hashed).view(np.uint16).reshape(*hashed.shape, 4)
    total = parts[..., 0].astype(np.int32)
    for k in (1, 2, 3):
        total += parts[..., k]
    total -= 2 * 65_535
    deviation = np.sqrt(4 * (65_536**2 - 1) / 12)
    return total.astype(np.float32) * np.float32(1 / deviation)


def _pixel_noise(window: Window, key: int) -> Floats:
    """Normal noise, each pixel its own."""
    rows, columns = window.slices
    return _gaussian(
        _hash(
            key,
            np.arange(rows.start, rows.stop)[:, None],
            np.arange(columns.start, columns.stop)[None, :],
        )
    )


def _noise(window: Window, wavelength: float, octaves: int, key: int) -> Floats:
    """Fractal noise of mean 0 and variance 1 on a window's pixels.

    Args:
        window: The pixels.
        wavelength: Pixels between the lattice points of the coarsest octave.
        octaves: Each next one has half the wavelength and half the amplitude.
        key: See `_key`.
    """
    rows, columns = _axes(window)
    total = np.zeros((window.height, window.width), np.float32)
    for octave, spacing, amplitude in _octaves(wavelength, octaves):
        first_row, row_weights = _taps(rows / spacing)
        first_column, column_weights = _taps(columns / spacing)
        top, left = first_row[0], first_column[0]
        lattice = _gaussian(
            _hash(
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


def _noise_at(y: Doubles, x: Doubles, wavelength: float, octaves: int, key: int) -> Doubles:
    """The noise of `_noise` at scattered positions."""
    total = np.zeros(y.shape)
    for octave, spacing, amplitude in _octaves(wavelength, octaves):
        row, row_weights = _taps(y / spacing)
        column, column_weights = _taps(x / spacing)
        for i, along in enumerate(row_weights):
            for j, across in enumerate(column_weights):
                value = _gaussian(_hash(key + octave, row + i, column + j))
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


def _cells(y: Doubles, x: Doubles, spacing: float, key: int) -> _Cells:
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
    identity = _hash(key, down, along)
    centre_y = (0.1 + 0.8 * _uniform(_hash(key + 1, identity))).astype(np.float32)
    centre_x = (0.1 + 0.8 * _uniform(_hash(key + 2, identity))).astype(np.float32)
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
    return _Cells(
        nearest,
        identity.ravel(),
        ((down + centre_y).astype(np.float64) * spacing).ravel(),
        ((along + centre_x).astype(np.float64) * spacing).ravel(),
    )


def _axes(window: Window) -> tuple[Doubles, Doubles]:
    """Rows and columns of a window's pixel centres."""
    rows, columns = window.slices
    return (
        np.arange(rows.start, rows.stop) + 0.5,
        np.arange(columns.start, columns.stop) + 0.5,
    )
