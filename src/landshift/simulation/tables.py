"""Figures behind a simulated scene: classes, their spectra, rates of change, the sensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landshift.classes import ClassScheme
from landshift.errors import ParameterError
from landshift.simulation.noise import Doubles

# fmt: off
_CLASSES = (
    ("forest", (27, 104, 48)), ("savannas", (170, 166, 66)), ("grasslands", (178, 218, 110)),
    ("wetlands", (70, 165, 150)), ("croplands", (248, 200, 84)), ("urban", (212, 45, 52)),
    ("tundra", (180, 160, 205)), ("barren", (150, 142, 134)), ("water", (52, 104, 184)),
    ("open shrublands", (202, 146, 98)),
)
(FOREST, SAVANNAS, GRASSLANDS, WETLANDS, CROPLANDS,
 URBAN, TUNDRA, BARREN, WATER, SHRUBLANDS) = range(len(_CLASSES))
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
`REFLECTANCE` is. A rule for single pixels takes them for change.
"""
HAZE_COLOUR = np.array([1.0, 0.7, 0.5, 0.25, 0.1, 0.05])
"""Haze scatters blue light most."""
NOISE = np.array([35, 35, 35, 55, 50, 45.0])
"""Standard deviation of the sensor's noise, in reflectance x 10,000."""
SCALE = 10_000
PARCEL = 16.0  # pixels from one parcel's centre to the next
HOLDING = 36.0  # the same of holdings, into which neighbouring parcels merge
MERGED = 0.6  # share of parcels that are one patch with the rest of their holding
REGION = 160.0  # wavelength in pixels of height, moisture and settlement
ROADS = 180.0  # pixels between roads
RIVERS = 700.0  # wavelength of the rivers' course
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


FLEETING: dict[int, int] = {
    FOREST: BARREN, SAVANNAS: BARREN, GRASSLANDS: CROPLANDS, WETLANDS: WATER,
    CROPLANDS: GRASSLANDS, BARREN: GRASSLANDS, SHRUBLANDS: BARREN,
}  # fmt: skip
"""Classes that patches turn into for one date: clearings that grow back, fallow fields, floods."""
FLEETS = 0.015
"""Share of these patches that do so, at each of more than two dates: half of what changes for good
in a year. Made for this simulator."""


@dataclass(frozen=True)
class Date:
    """Differences between the dates, the same for every seed.

    Attributes:
        name: Names the date's own streams of random numbers.
        taken: Day of the image.
        withered: Share of `WITHERED` that the vegetation has lost by then.
        haze: Mean of what haze adds to the blue band, in reflectance x 10,000.
        relief: Standard deviation of the light on slopes; a lower sun has more.
        suffix: Sets the streams of change and shift of one of several later dates apart.
        elapsed: Time since the first date, in the five years that `TRANSITIONS` are for.
        fleeting: Whether some patches are of another class at this date alone.
        shifted: Whether its image is shifted against the first.
        gaps: Whether its image has the gaps of Landsat 7's broken scan-line corrector.
    """

    name: str
    taken: str
    withered: float
    haze: float
    relief: float
    suffix: str = ""
    elapsed: float = 0.0
    fleeting: bool = False
    shifted: bool = True
    gaps: bool = False


BEFORE = Date("before", "2001-07-14", 0.0, haze=120.0, relief=0.10, shifted=False)
AFTER = Date("after", "2006-09-02", 1.0, haze=220.0, relief=0.16, elapsed=1.0, gaps=True)

MOST_DATES = 100
"""Dates of a scene, at most."""

_SEASONS = (0.0, 0.6, 0.2, 1.0, 0.4)  # share of `WITHERED`, date after date
_HAZES = (120.0, 180.0, 80.0, 220.0, 140.0)


def dates_of(count: int, years: int) -> tuple[Date, ...]:
    """The dates of a scene: two as ever, five years apart, or more, some years apart.

    Args:
        count: Number of dates.
        years: Years between two of more than two dates.
    """
    if count == 2:
        return BEFORE, AFTER
    return tuple(
        Date(
            str(2001 + years * k), f"{2001 + years * k}-0{7 + k % 3}-14",
            _SEASONS[k % len(_SEASONS)], _HAZES[k % len(_HAZES)], 0.10 + 0.02 * (k % 3),
            suffix=f" {2001 + years * k}", elapsed=years * k / 5, fleeting=True, shifted=k > 0,
        )
        for k in range(count)
    )  # fmt: skip


@dataclass(frozen=True)
class SceneConditions:
    """Pixels of a simulated scene, and what its images suffer from.

    Attributes:
        cell_size: Metres of a pixel in the files' grid. The land's features are sized in pixels.
        clouds: Share of each date's ground under clouds, 0 to 0.5, on the mean of all land. Their
            shadows hide up to as much again.
        scan_gaps: Whether the later one of two images has the gaps of Landsat 7's broken scan-line
            corrector. Column 0 lies near the swath's whole middle; the gaps widen to the right.
        misregistration: Distance in pixels by which later images are shifted, 0 to 1.
    """

    cell_size: float = 30.0
    clouds: float = 0.025
    scan_gaps: bool = True
    misregistration: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.cell_size < float("inf"):
            raise ParameterError(f"`cell_size` must be above 0 metres, got {self.cell_size}.")
        if not 0 <= self.clouds <= 0.5:
            raise ParameterError(f"`clouds` must be a share from 0 to 0.5, got {self.clouds}.")
        if not 0 <= self.misregistration <= 1:
            raise ParameterError(
                f"`misregistration` must be 0 to 1 pixel, got {self.misregistration}."
            )
