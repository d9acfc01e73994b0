"""Dates of images and maps, from tags, file names and options."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, date, datetime, timedelta

from landshift.errors import ParameterError
from landshift.files import jsons


@dataclass(frozen=True, order=True)
class Period:
    """A day, a month, a year, or any other span of days.

    Attributes:
        first: First day.
        last: Last day.
    """

    first: date
    last: date

    def __str__(self) -> str:
        """As '2016-06-30', '2016-06', '2016', or 'FIRST/LAST'."""
        if self.first == self.last:
            return self.first.isoformat()
        for text in (f"{self.first.year:04}", f"{self.first.year:04}-{self.first.month:02}"):
            if parse(text) == self:
                return text
        return f"{self.first}/{self.last}"

    def years_to(self, later: Period) -> float:
        """Years from the middle of this period to the middle of another."""
        middles = (p.first.toordinal() + p.last.toordinal() for p in (self, later))
        before, after = middles
        return (after - before) / 2 / 365.25

    def within(self, other: Period) -> bool:
        """Whether another period contains it."""
        return other.first <= self.first and self.last <= other.last


def spanning(periods: Iterable[Period | None]) -> Period | None:
    """The span of several periods; None if there is none."""
    known = [p for p in periods if p is not None]
    if not known:
        return None
    return Period(min(p.first for p in known), max(p.last for p in known))


_STATED = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")


def parse(text: str) -> Period:
    """The period of an option: YYYY, YYYY-MM, YYYY-MM-DD, or two of them as FROM/TO.

    Raises:
        ParameterError: Another text, or a period that ends before it begins.
    """
    ends = []
    for part in text.strip().split("/"):
        match = _STATED.fullmatch(part)
        period = None if match is None else _period(*match.groups())
        if period is None:
            raise ParameterError(
                f"A date must be YYYY, YYYY-MM, YYYY-MM-DD or two of them as FROM/TO, got '{text}'."
            )
        ends.append(period)
    if len(ends) > 2 or ends[0] > ends[-1]:
        raise ParameterError(f"A period must go from its first day to its last, got '{text}'.")
    return Period(ends[0].first, ends[-1].last)


def stated(texts: Iterable[str] | None, count: int) -> list[Period | None]:
    """The periods of an option, one for each image or map.

    Args:
        texts: As for `parse`; '-' for a file's own date; None: all files' own.
        count: Number of images.

    Raises:
        ParameterError: A wrong number of dates, or a text that isn't a date.
    """
    if texts is None:
        return [None] * count
    texts = list(texts)
    if len(texts) != count:
        raise ParameterError(
            f"Dates must be {count}, one for each image or map, got {', '.join(texts) or 'none'}; "
            "write '-' for a file's own date."
        )
    return [None if t == "-" else parse(t) for t in texts]


_DAY = r"(?:19[5-9]|20\d)\d(?:0[1-9]|1[0-2])[0-3]\d"
_DAY_OF_YEAR = r"(?:19[5-9]|20\d)\d[0-3]\d\d"
_YEAR = r"(?:19[5-9]|20\d)\d"

_PRODUCTS = tuple(
    re.compile(pattern.format(day=_DAY, doy=_DAY_OF_YEAR, year=_YEAR), re.IGNORECASE)
    for pattern in (
        # Landsat Collections 1 and 2: path and row, acquisition, processing
        r"^L[COTEM]\d\d_L\w{{3}}_\d{{6}}_(?P<taken>{day})_{day}_\d\d_(?:T1|T2|RT|A1|A2)",
        # Landsat Analysis Ready Data: region, tile, acquisition, production
        r"^L[COTEM]\d\d_(?:CU|AK|HI)_\d{{6}}_(?P<taken>{day})_{day}_",
        # Landsat before collections: path and row, year and day, station, version
        r"^L[COTEM]\d\d{{6}}(?P<taken>{doy})[A-Z]{{3}}\d\d",
        # Sentinel-2 products: sensing, baseline, orbit, tile, discriminator (a second time)
        r"^S2[A-D]_MSI\w{{3}}_(?P<taken>{day})T\d{{6}}_N\d{{4}}_R\d{{3}}_T\d\d[A-Z]{{3}}_{day}T\d{{6}}",
        # Sentinel-2 products of before December 2016: creation, orbit, sensing
        r"^S2[A-D]_\w{{4}}_PRD_MSI\w{{3}}_\w{{4}}_{day}T\d{{6}}_R\d{{3}}_V(?P<taken>{day})T\d{{6}}",
        # their granules name the day of creation alone
        r"^S2[A-D]_\w{{4}}_MSI_\w{{3}}_\w\w_\w{{4}}_{day}T\d{{6}}_A\d{{6}}_T\d\d[A-Z]{{3}}",
        # Sentinel-1: start, stop
        r"^S1[A-D]_\w\w_\w{{4}}_\w{{4}}_(?P<taken>{day})T\d{{6}}_{day}T\d{{6}}_",
        # Harmonised Landsat Sentinel: tile, year and day
        r"^HLS\.[LS]30\.T\d\d[A-Z]{{3}}\.(?P<taken>{doy})T\d{{6}}\.",
        # MODIS and VIIRS: first day of the period; production after tile and collection
        r"^(?:M[OCY]D|VNP|VJ1)\w+\.A(?P<taken>{doy})\.",
        # MODIS and others as AppEEARS cuts them
        r"_doy(?P<taken>{doy})(?!\d{{4,6}}\.)",
        # Planet: scenes begin with day, time and satellite; mosaics of months
        r"^(?P<taken>{day})_\d{{6}}_(?:\d\d_)?[0-9a-f]{{4}}_[13][AB](?:_|$)",
        r"^(?:global|planet)_\w*?_(?P<taken>{year}[-_](?:0[1-9]|1[0-2]))(?:_{year}-\d\d)?_mosaic",
        # NAIP: quarter quadrangle, zone, resolution, day (and a day of revision)
        r"^[a-z]_\d{{7}}_(?:ne|nw|se|sw)_\d+_\w+?_(?P<taken>{day})(?:_{day})?(?!\d)",
        # maps of a year with a version's year or day beside it: NLCD, CORINE
        r"^nlcd_(?P<taken>{year})_",
        r"^U{year}_CLC(?P<taken>{year})_V{year}",
    )
)
"""Patterns of product names; a pattern without a group ``taken`` states no date."""

_NO_DATE = re.compile(
    r"""(?:epsg|esri|srid|crs|utm)[-_:. ]*\d+      # codes of CRSs
    | (?<![a-z])(?:tile|row|col|column|path|grid|block|chip|patch|zone|quad|sheet|id)
      [-_. ]?\d+(?!\d)                             # numbers of places
    | (?<![a-z])[xrhp]\d+[-_.]?[ycvr]\d+           # row and column of a tile
    | \d+x\d+                                      # sizes
    | (?<!\d)\d{1,5}(?:m|km|px|nm)(?![a-z])        # pixels
    """,
    re.IGNORECASE | re.VERBOSE,
)
_FULL = re.compile(rf"(?<!\d)({_YEAR})([-_.]?)(0[1-9]|1[0-2])\2([0-3]\d)(?:\d{{6}})?(?!\d)")
_ANY_DAY = re.compile(rf"(?<!\d)({_YEAR})(?:[-_.:/]?(0[1-9]|1[0-2])(?:[-_.:/]?([0-3]\d))?)?(?!\d)")
_LONE_YEAR = re.compile(rf"(?<!\d)({_YEAR})(?!\d)")


def of_name(name: str, *, today: date | None = None) -> Period | None:
    """The period in a file's name.

    For known products (Landsat, Sentinel, MODIS, Planet, NAIP, ...) their naming rule decides. In
    other names, each date (YYYYMMDD, YYYY-MM-DD) and lone year counts, unless it is a CRS code, a
    tile number, a size or lies in the future. If these disagree, there is no period.

    Args:
        name: The name, with or without its suffix.
        today: The last possible day; None: the current date.
    """
    today = today or date.today()
    for product in _PRODUCTS:
        match = product.search(name)
        if match is not None:
            text = match.groupdict().get("taken")
            stated = None if text is None else _of_digits(text)
            return None if stated is None or stated.first > today else stated
    rest = _NO_DATE.sub("~", _FULL.sub("~", name))  # keeps neighbouring digits apart
    known = [_period(y, m, d) for y, _, m, d in _FULL.findall(name)]
    known += [_period(year) for year in _LONE_YEAR.findall(rest)]
    past = [p for p in known if p is not None and p.first <= today]
    narrowest = min(past, key=lambda p: p.last - p.first, default=None)
    if narrowest is None or not all(narrowest.within(p) for p in past):
        return None
    return narrowest


def of_tags(tags: Mapping[str, str]) -> Period | None:
    """The period in a raster's tags: its acquisition date, or its time coverage (ACDD)."""
    for tag in ("ACQUISITION_DATE", "DATE_ACQUIRED"):
        period = _of_text(tags.get(tag, ""))
        if period is not None:
            return period
    ends = [_of_text(tags.get(f"NC_GLOBAL#time_coverage_{end}", "")) for end in ("start", "end")]
    return spanning(ends) if all(ends) else None


DATES_TAG = "LANDSHIFT_DATES"
"""Name of the raster tag of a composite that holds the day, year or period of each date as JSON."""


def of_each(tags: Mapping[str, str]) -> dict[str, Period]:
    """The period of each date of a composite by the date's name, as `DATES_TAG` states it.

    Raises:
        ParameterError: The tag isn't JSON, or holds something else than a date for each name.
    """
    if DATES_TAG not in tags:
        return {}
    text = tags[DATES_TAG]
    stated = jsons.parse(
        text.encode(errors="replace"), what="A raster's dates", error=ParameterError
    )
    if not isinstance(stated, dict):
        raise ParameterError(
            f"A raster's dates ({DATES_TAG}) must have a name each, got {text!r:.80}; write them "
            "again."
        )
    return {name: parse(str(period)) for name, period in stated.items()}


_UNITS = re.compile(
    r"(second|minute|hour|day)s? since (\d{4})-(\d{1,2})-(\d{1,2})(?:[T ](\d{1,2}):(\d{2}))?"
)
_CALENDARS = ("standard", "gregorian", "proleptic_gregorian")


def of_step(step: str, units: str | None, calendar: str | None) -> str | None:
    """A NetCDF time step as 'YYYY-MM-DD', with 'THHMM' unless it is midnight.

    After the CF conventions (cfconventions.org, 4.4). None for months, years and non-Gregorian
    calendars.

    Args:
        step: The time coordinate.
        units: For example 'days since 1970-01-01'.
        calendar: Name of the calendar; None: the standard one.
    """
    match = _UNITS.match(units or "")
    if match is None or (calendar or "standard") not in _CALENDARS:
        return None
    try:
        year, month, day, hour, minute = (int(number or 0) for number in match.groups()[1:])
        start = datetime(year, month, day, hour, minute)
        moment = start + timedelta(**{f"{match[1]}s": float(step)})
    except (ValueError, OverflowError):
        return None
    moment += timedelta(seconds=30)  # rounds to the minute
    return f"{moment:%Y-%m-%d}" + (f"T{moment:%H%M}" if moment.hour or moment.minute else "")


def _of_text(text: str) -> Period | None:
    """The span of the dates in a tag."""
    return spanning(_period(*match.groups()) for match in _ANY_DAY.finditer(text))


def _of_digits(text: str) -> Period | None:
    """The period of YYYY, YYYYDDD, YYYYMMDD or YYYY-MM."""
    year, rest = text[:4], text[4:].lstrip("-_")
    if len(rest) != 3:
        return _period(year, rest[:2] or None, rest[2:] or None)
    day = date(int(year), 1, 1) + timedelta(days=int(rest) - 1)
    return Period(day, day) if day.year == int(year) else None


def _period(year: str, month: str | None = None, day: str | None = None) -> Period | None:
    number = int(year)
    if not MINYEAR <= number <= MAXYEAR:
        return None
    try:
        first = date(number, int(month or 1), int(day or 1))
    except ValueError:
        return None
    if day is not None:
        return Period(first, first)
    if month is not None:
        return Period(first, first.replace(day=monthrange(number, first.month)[1]))
    return Period(first, first.replace(month=12, day=31))
