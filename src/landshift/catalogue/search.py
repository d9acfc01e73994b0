"""Items of open catalogues for a place and two or more ranges of days."""

from __future__ import annotations

import json
import logging
import math
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from landshift.catalogue import entries as catalogue_entries
from landshift.catalogue import hosts, picture
from landshift.catalogue.entries import Entry, Query
from landshift.catalogue.place import Place
from landshift.errors import ParameterError
from landshift.files import dates as days
from landshift.files import kinds, whole
from landshift.files.dates import Period
from landshift.files.options import GROUP, FilePath, Flag
from landshift.files.rows import Rows

if TYPE_CHECKING:
    Ranges = Sequence[str] | str
    Names = Sequence[str] | str
else:
    Ranges = Sequence[str]
    """Ranges of days, or one."""
    Names = Sequence[str]
    """Names, or one."""

log = logging.getLogger(__name__)

SEASON = 45.0
"""Days of the year between the middles of two ranges' items above which seasons differ: half of the
three months that a season lasts."""

_YEAR = 365.25


@dataclass(frozen=True)
class ItemFilter:
    """Which items are searched."""

    dates: Annotated[Ranges, Parameter(required=True)] = ()
    """Days, as in 2019-06/2019-09 or 2019; give it once for each range, in order of time."""
    collection: Names = ()
    """Collections of the catalogue, as in sentinel-2-l2a; can be repeated. Left out: all."""
    max_cloud: float | None = None
    """Largest cloud cover in percent that an item states; items that state none pass."""
    most: int = 500
    """Items of a range at most."""
    allow_host: Names = ()
    """Hosts besides the catalogue's own that it may lead to; can be repeated."""

    def __post_init__(self) -> None:
        if self.max_cloud is not None and not 0 <= self.max_cloud <= 100:
            raise ParameterError(
                f"`max_cloud` must be a percentage from 0 to 100, got {self.max_cloud:g}."
            )
        if self.most < 1:
            raise ParameterError(f"`most` must be at least 1, got {self.most}.")

    @property
    def periods(self) -> list[Period]:
        """The ranges.

        Raises:
            ParameterError: None, a text that isn't a range, or two that overlap or are out of
                order.
        """
        return periods_of(self.dates)


def periods_of(dates: Ranges) -> list[Period]:
    """Ranges of days, checked: in order of time, none shares a day with the next.

    Raises:
        ParameterError: See `ItemFilter.periods`.
    """
    texts = [dates] if isinstance(dates, str) else list(dates)
    periods = [days.parse(text) for text in texts]
    if not periods:
        raise ParameterError(
            "`dates` must be given, once for each range, got none; an example is 2019-06/2019-09."
        )
    for first, second in pairwise(periods):
        if second.first <= first.last:
            raise ParameterError(
                f"`dates` must be in order of time and share no day, got {first} before {second}."
            )
    return periods


@dataclass(frozen=True)
class SearchFiles:
    """What is written of a search."""

    out: Annotated[FilePath | None, Parameter(name=("--out", "-o"))] = None
    """List of the items (.json), for `fetch`."""
    items: FilePath | None = None
    """Folder for a file of each item, for `composite`; other files in it stay."""
    picture: FilePath | None = None
    """Picture of the items' footprints."""


@dataclass(frozen=True, repr=False)
class DateRange:
    """The items of a range.

    Attributes:
        period: The range.
        entries: Its items, by time.
        covered: Share of the place that at least one of them covers.
    """

    period: Period
    entries: tuple[Entry, ...] = field(metadata={"data": False})
    covered: float

    @property
    def cloud(self) -> float | None:
        """Median of the items' cloud covers, in percent; None where none states one."""
        stated = [e.cloud for e in self.entries if e.cloud is not None]
        return statistics.median(stated) if stated else None

    @property
    def days(self) -> int:
        """Number of days with an item."""
        return len({e.taken for e in self.entries})

    @property
    def months(self) -> dict[int, int]:
        """Number of items in each month, from 1."""
        return dict(sorted(Counter(_middle(e).month for e in self.entries).items()))

    @property
    def day_of_year(self) -> float | None:
        """Circular mean of the items' days of the year; None where there is none."""
        angles = [2 * math.pi * _middle(e).timetuple().tm_yday / _YEAR for e in self.entries]
        if not angles:
            return None
        sine, cosine = (sum(map(f, angles)) for f in (math.sin, math.cos))
        return math.atan2(sine, cosine) / (2 * math.pi) * _YEAR % _YEAR


@dataclass(frozen=True, repr=False)
class SearchResult(Rows):
    """The items of a search.

    Attributes:
        catalogue: Where they were found, without a query.
        ranges: The items of each range.
        files: What was written.
    """

    catalogue: str
    ranges: tuple[DateRange, ...]
    files: tuple[Path, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """A row for each item."""
        return [
            {
                "range": str(r.period), "date": str(e.taken), "item": e.id,
                "collection": e.collection, "platform": e.platform, "cloud_percent": e.cloud,
                "known_as": _known_as(e),
            }
            for r in self.ranges
            for e in r.entries
        ]  # fmt: skip

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The items of all ranges."""
        return tuple(e for r in self.ranges for e in r.entries)


def search(
    catalogue: str,
    *,
    place: Annotated[Place, GROUP] = Place(),  # noqa: B008
    wanted: Annotated[ItemFilter, GROUP] = ItemFilter(),
    files: Annotated[SearchFiles, GROUP] = SearchFiles(),
    overwrite: Flag = False,
) -> SearchResult:
    """Search a catalogue for images or class maps of a place, by ranges of days.

    An API is asked only for what it says that it can do, and every item is checked here again:
    place, days, collection and cloud cover.

    Args:
        catalogue: A STAC API or static catalogue: its address, or the path of a catalogue, a list
            of items or a folder with items.
        overwrite: Replace what is there already under the same name.

    Returns:
        The items of each range.

    Raises:
        ParameterError: No or several places; ranges that overlap; pystac-client isn't installed.
        CatalogueError: The catalogue can't be read, or leads to a host that isn't allowed.
        VectorError: The place's file can't be read.
        RasterError: The place's raster can't be read.
        OutputError: A file exists already, or can't be written.
    """
    periods = wanted.periods
    kinds.ITEM.check(files.out)
    kinds.PICTURE.check(files.picture)
    outs = [f for f in (files.out, files.picture) if f is not None]
    whole.check_new(*outs, inputs=[place.shape, place.like], overwrite=overwrite)
    outline = place.outline()
    allowed = hosts.hosts_of(catalogue, _texts(wanted.allow_host), table=False)
    queries = [
        Query(outline, period, _texts(wanted.collection), wanted.max_cloud, wanted.most)
        for period in periods
    ]
    of_each = catalogue_entries.found(catalogue, queries, allowed)
    ranges = [
        DateRange(period, tuple(entries), _covered(outline, entries))
        for period, entries in zip(periods, of_each, strict=True)
    ]
    result = SearchResult(_shown(catalogue), tuple(ranges))
    warn_of_seasons(result.ranges)
    return _written(result, outline, files, wanted, overwrite=overwrite)


def warn_of_seasons(ranges: Sequence[DateRange]) -> None:
    """Warn where the items of two ranges come from other seasons."""
    known = [(r, r.day_of_year) for r in ranges if r.day_of_year is not None]
    for (first, early), (second, late) in pairwise(known):
        apart = abs((early or 0) - (late or 0))
        apart = min(apart, _YEAR - apart)
        if apart > SEASON:
            log.warning(
                "The items of %s and %s come from other seasons, %.0f days of the year apart "
                "(items a month: %s; %s): seasons will look like change; give ranges of the same "
                "months.", first.period, second.period, apart, _months(first), _months(second),
            )  # fmt: skip


def _months(of_range: DateRange) -> str:
    return ", ".join(f"{month:02}: {count}" for month, count in of_range.months.items())


def _middle(entry: Entry) -> Any:
    return entry.taken.first + (entry.taken.last - entry.taken.first) / 2


def _texts(given: Names) -> tuple[str, ...]:
    texts = [given] if isinstance(given, str) else given
    return tuple(part.strip() for text in texts for part in text.split(",") if part.strip())


def _shown(catalogue: str) -> str:
    return hosts.without_query(catalogue) if hosts.is_url(catalogue) else catalogue


def _known_as(entry: Entry) -> str:
    of_table = entry.product or entry.class_map
    return "" if of_table is None else of_table.name


def _covered(place: Any, entries: Sequence[Entry]) -> float:
    """Share of a place that items cover."""
    import shapely

    ground = shapely.union_all([e.footprint for e in entries])
    if place.area == 0:  # a point or line
        return float(bool(entries) and bool(ground.covers(place)))
    return float(ground.intersection(place).area / place.area)


def _written(
    result: SearchResult, place: Any, files: SearchFiles, wanted: ItemFilter, *, overwrite: bool
) -> SearchResult:
    """Write what is asked for; the result with the files."""
    paths: list[Path] = []
    if files.out is not None:
        paths.append(Path(files.out))
        _write_json(paths[-1], _as_list(result, place, wanted))
    if files.items is not None:
        folder = Path(files.items)
        named = {folder / _file_name(e): e for e in result.entries}
        whole.check_new(*named, overwrite=overwrite)
        folder.mkdir(parents=True, exist_ok=True)
        for path, entry in named.items():
            _write_json(path, entry.document)
            paths.append(path)
    if files.picture is not None:
        panels = [(_title(r), [e.footprint for e in r.entries]) for r in result.ranges]
        picture.write(Path(files.picture), place, panels)
        paths.append(Path(files.picture))
    return SearchResult(result.catalogue, result.ranges, tuple(paths))


def _title(of_range: DateRange) -> str:
    return f"{of_range.period}\n{len(of_range.entries)} items, {of_range.covered:.0%} covered"


def _as_list(result: SearchResult, place: Any, wanted: ItemFilter) -> dict[str, Any]:
    """The items as GeoJSON, with a note of the search, from which `fetch` goes on."""
    return {
        "type": "FeatureCollection",
        "landshift": {
            "catalogue": result.catalogue
            if hosts.is_url(result.catalogue)
            else str(Path(result.catalogue).absolute()),
            "place": place.__geo_interface__,
            "ranges": [str(r.period) for r in result.ranges],
            "wanted": {k: v for k, v in asdict(wanted).items() if k != "dates"},
        },
        "features": [dict(e.document) for e in result.entries],
    }


def _write_json(path: Path, document: Any) -> None:
    with whole.whole_file(path) as part:
        part.write_text(json.dumps(document, indent=1, default=list) + "\n", encoding="utf-8")


def _file_name(entry: Entry) -> str:
    """The name of an item's file: its day and identifier, without what systems don't allow."""
    return f"{entry.taken.first}_{re.sub(r'[^A-Za-z0-9._-]+', '_', entry.id)[:150]}.json"
