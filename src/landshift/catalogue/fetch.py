"""The items of each range -> one cloud-free image a date, on one grid."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from landshift import grid, images, raster
from landshift.catalogue import assets, choosing, hosts
from landshift.catalogue.assets import BandAsset
from landshift.catalogue.cache import GoneError, Kept, Store
from landshift.catalogue.choosing import Method
from landshift.catalogue.entries import Entry, read_list
from landshift.catalogue.place import outline_of
from landshift.catalogue.search import DateRange, Names, Ranges, periods_of, warn_of_seasons
from landshift.classes import class_options
from landshift.errors import CatalogueError, GridError, OutputError, ParameterError
from landshift.files import provenance
from landshift.files.dates import Period
from landshift.files.options import GROUP, Bounds, FilePath, Flag, OutFile, check_choice
from landshift.files.rows import Rows
from landshift.grid import Window
from landshift.images import BandFile, Image, ItemFiles, Plan, clouds
from landshift.images.quality import CODINGS, Rule
from landshift.machine import parallel, progress
from landshift.machine.extras import required
from landshift.raster import blockwise

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

log = logging.getLogger(__name__)

Signer = Literal["planetary-computer"]
"""Who signs addresses of files."""

SCALE = 0.0001
"""Unit of the stored values of surface reflectance: 0.0001, as Sentinel-2 and HLS store it; finer
than any sensor's noise."""

NODATA = -32768
"""Stored where no observation of a pixel is clear; reflectance never comes near it."""

_LARGEST = 32767
_BLOCK_BYTES = 192 << 20
"""Memory of the observations of one block in one thread; about four times as much is used while a
median or medoid is taken."""

_SMALLEST, _LARGEST_BLOCK, _STEP = 128, 1024, 128  # rows and columns of a block
_MIDDLE_SPREAD = 4.0  # a range's length is so many standard deviations of the days' score
_LEAST_SPREAD = 10.0  # days
_GIGABYTE = 10**9
_NONE = "none"


@dataclass(frozen=True)
class FetchGrid:
    """The grid of the images."""

    like: FilePath | None = None
    """Take the grid of this raster."""
    crs: str | None = None
    """CRS, as EPSG:32618; left out: that of most items."""
    resolution: float | None = None
    """Pixel size in CRS units, edges at whole multiples of it; left out: that of the items, whose
    pixels are then copied where they coincide."""
    bounds: Bounds | None = None
    """Left bottom right top in that CRS; left out: the place of the search."""

    def __post_init__(self) -> None:
        others = (self.crs, self.resolution, self.bounds)
        if self.like is not None and any(o is not None for o in others):
            raise ParameterError(
                "The grid must come from a raster (`like`), or from `crs`, `resolution` and "
                "`bounds`, got both; leave one out."
            )
        if self.resolution is not None and not 0 < self.resolution < np.inf:
            raise ParameterError(f"`resolution` must be above 0, got {self.resolution:g}.")


@dataclass(frozen=True)
class DateImage:
    """How the image of a date follows from its items."""

    bands: Names = ()
    """Bands by common name, with commas, as in red,nir; left out: the product's usual six."""
    method: Method = "median"
    """median of the clear observations, band by band; best: the one observation that is farthest
    from clouds and nearest to the middle of the range; medoid: the one that lies nearest to all
    others."""
    hide: str | None = None
    """Classes of the quality band that are hidden, with commas, as in cloud,shadow; none hides only
    what has no data. Left out: those that the table of sensors states for the product."""
    mask_clouds: Flag = False
    """Also hide clouds, shadows and their edges that a network finds (extra `clouds`), as
    `landshift composite` does; items may then lack the quality band. hide none leaves it to the
    network alone."""
    normalise: Literal["moments", "invariant"] | None = None
    """Also write each later image in the radiometry of the first, as `landshift normalise` does."""

    def __post_init__(self) -> None:
        check_choice("method", self.method, Method)
        check_choice("normalise", self.normalise, Literal["moments", "invariant", None])


@dataclass(frozen=True)
class FileAccess:
    """Which files are fetched."""

    allow_host: Names = ()
    """Hosts besides the catalogue's own and those of the table of sensors that items may name, or
    host:port; can be repeated."""
    max_item_gb: float = 8.0
    """Bytes that the files of one item may have, in units of 10^9."""
    whole_files: Flag = False
    """Fetch whole files, and check them against the checksums that items state; left out: of
    GeoTIFFs on servers that give ranges, the part that the grid needs."""
    sign: Signer | None = None
    """Who signs the addresses: planetary-computer, by its package."""

    def __post_init__(self) -> None:
        check_choice("sign", self.sign, Literal["planetary-computer", None])
        if not self.max_item_gb > 0:
            raise ParameterError(f"`max_item_gb` must be above 0, got {self.max_item_gb:g}.")


@dataclass(frozen=True)
class FetchedImage:
    """An image of a date.

    Attributes:
        path: Its file.
        clear: Raster of the number of clear observations of each pixel; None for a class map.
        period: The range.
        items: Number of items that it was made from.
        days: Number of days of these.
        observations: Mean number of clear observations of a pixel; None for a class map.
        without: Share of pixels without any.
        made: Whether it was made now; else it was there.
    """

    path: Path
    clear: Path | None
    period: Period
    items: int
    days: int
    observations: float | None
    without: float
    made: bool


@dataclass(frozen=True, repr=False)
class Fetched(Rows):
    """What `fetch` wrote.

    Attributes:
        images: The image of each range.
        gone: Items left out, because a file of theirs isn't there any more.
        fetched: Bytes that were fetched; the rest was in the cache.
        files: All files, in order.
    """

    images: tuple[FetchedImage, ...]
    gone: tuple[str, ...]
    fetched: int
    files: tuple[Path, ...]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each image."""
        return [
            {
                "range": str(i.period), "image": i.path.name, "items": i.items, "days": i.days,
                "clear_observations": i.observations, "without": i.without,
            }
            for i in self.images
        ]  # fmt: skip


@dataclass(frozen=True)
class _Local:
    """An item whose files are on this machine.

    Attributes:
        entry: The item.
        bands: Its bands.
        kept: The file of each.
    """

    entry: Entry
    bands: tuple[BandAsset, ...] = field(repr=False)
    kept: tuple[Kept, ...] = field(repr=False)

    @property
    def day(self) -> Any:
        """The first day of it."""
        return self.entry.taken.first

    def files(self) -> ItemFiles:
        """Its files as those of an image."""
        return ItemFiles(
            self.entry.id,
            tuple(
                BandFile(
                    href=str(kept.path), numbers=(band.number,), names=(band.name,),
                    nodata=band.nodata, scales=(band.scale,), offsets=(band.offset,), decided=True,
                )
                for band, kept in zip(self.bands, self.kept, strict=True)
            ),
            self.entry.taken,
        )  # fmt: skip

    def note(self) -> dict[str, Any]:
        """What provenance states of it."""
        return {
            "id": self.entry.id, "collection": self.entry.collection,
            "taken": str(self.entry.taken),
            "files": {
                band.name: {
                    "href": hosts.without_query(band.href), "sha256": kept.sha256,
                    **({"part": True} if kept.part else {}),
                }
                for band, kept in zip(self.bands, self.kept, strict=True)
            },
        }  # fmt: skip


def fetch(
    items: FilePath,
    out: OutFile,
    *,
    dates: Ranges = (),
    target: Annotated[FetchGrid, GROUP] = FetchGrid(),
    image: Annotated[DateImage, GROUP] = DateImage(),
    access: Annotated[FileAccess, GROUP] = FileAccess(),
    overwrite: Flag = False,
) -> Fetched:
    """Make one cloud-free image a date from the items of each range, on one grid.

    Files are fetched once and kept in the cache by their checksums; a run that was stopped goes on
    where it was, and images that are there already are not made again. Values are surface
    reflectance by the table of sensors, stored in units of 0.0001, with bands of the same names for
    Landsat and Sentinel-2. Beside each image, a raster counts each pixel's clear observations.
    Items of a class map become the map of each range instead.

    Args:
        items: List of items that `search` wrote.
        out: Folder for the images, each named after its range; other files in it stay.
        dates: Ranges of days, as for `search`; left out: those of the search.
        overwrite: Replace what is there already under the same name.

    Returns:
        The images, and what was fetched.

    Raises:
        CatalogueError: The list isn't one; a file mustn't or can't be had; a product isn't known.
        BandError: An item lacks a band.
        ParameterError: Ranges that overlap, or a range without an item; an unknown class to hide.
        GridError: The grid doesn't lie on the Earth.
        OutputError: An image exists already, from other items or options.
    """
    entries, notes = read_list(items)
    periods = periods_of(dates or notes.get("ranges") or ())
    by_range = [[e for e in entries if _within(e, period)] for period in periods]
    for period, of_range in zip(periods, by_range, strict=True):
        if not of_range:
            raise ParameterError(
                f"Each range must have an item, got none for {period} in {items}; search again, "
                "with more days or clouds."
            )
    paths = [Path(out) / f"{str(period).replace('/', '_')}.tif" for period in periods]
    _check_ours(paths, overwrite=overwrite)
    store = _store(str(notes.get("catalogue") or ""), access)
    chosen = [e for of_range in by_range for e in of_range]
    maps = [e.class_map is not None for e in chosen]
    if any(maps) and not all(maps):
        raise ParameterError(
            f"Items must be all images or all class maps, got both in {items}; search one "
            "collection at a time."
        )
    wanted = () if all(maps) else _wanted(image, chosen)
    read = (*wanted, *_for_clouds(wanted, chosen[0])) if image.mask_clouds else wanted
    needed = [
        [assets.class_band(e)]
        if all(maps)
        else assets.bands_of(e, read, quality=not image.mask_clouds)
        for e in chosen
    ]
    ground = None if access.whole_files else _ground(target, notes.get("place"))
    local, gone = _had(chosen, needed, store, access, ground)
    here = {id(one.entry): one for one in local}
    by_date = [[here[id(e)] for e in of_range if id(e) in here] for of_range in by_range]
    _check_left(periods, by_date)
    warn_of_seasons(
        [
            DateRange(p, tuple(o.entry for o in of), 0)
            for p, of in zip(periods, by_date, strict=True)
        ]
    )
    composited = _without_clouds if image.mask_clouds else _composited
    maker = _class_map if all(maps) else partial(composited, image=image, wanted=wanted)
    plans = [_plans(of_date, image, wanted, maps=all(maps)) for of_date in by_date]
    box = _grid(target, [p for of_date in plans for p in of_date], notes.get("place"))
    results = []
    for path, period, of_date, of_plans in zip(paths, periods, by_date, plans, strict=True):
        about = {
            **provenance.record("fetch", [], _parameters(image, box, wanted)),
            "items": [one.note() for one in of_date],
        }
        results.append(
            _made(path, period, of_date, about, overwrite, partial(maker, of_plans, box, about))
        )
    written = [p for i in results for p in (i.path, i.clear) if p is not None]
    written += _normalised(results, image, overwrite=overwrite)
    fetched = sum(kept.fetched for one in local for kept in one.kept)
    return Fetched(tuple(results), gone, fetched, tuple(written))


def _check_ours(paths: Sequence[Path], *, overwrite: bool) -> None:
    """Check, before any file is fetched, that what is there under the names of images is ours."""
    for path in paths:
        if path.is_file() and not overwrite:
            with raster.open_raster(path) as source:
                if provenance.from_tags(source.tags()).get("stage") == "fetch":
                    continue
        raster.check_new(path, overwrite=overwrite)


# ---- Items and their files


def _within(entry: Entry, period: Period) -> bool:
    return entry.taken.first <= period.last and period.first <= entry.taken.last


def _wanted(image: DateImage, entries: Sequence[Entry]) -> tuple[str, ...]:
    """The bands: those of the options, or the usual ones of the first item's product."""
    texts = [image.bands] if isinstance(image.bands, str) else image.bands
    names = tuple(n.strip() for text in texts for n in text.split(",") if n.strip())
    product = entries[0].product
    usual = () if product is None else product.usual
    if len(set(names)) != len(names):
        raise ParameterError(f"`bands` must be given once each, got {', '.join(names)}.")
    return names or usual


def _for_clouds(wanted: Sequence[str], entry: Entry) -> list[str]:
    """Bands besides, that clouds are found by: those that networks need, and the usual ones."""
    usual = () if entry.product is None else entry.product.usual
    bands = [b for b in clouds.BANDS if b in usual or b in clouds.BANDS[: clouds.NEEDED]]
    if clouds.NARROW in (*wanted, *usual):
        bands[bands.index("nir")] = clouds.NARROW
    return [band for band in bands if band not in wanted]


def _store(catalogue: str, access: FileAccess) -> Store:
    """Where files come from.

    Args:
        catalogue: That of the search; '' if the list states none.
        access: The options.
    """
    texts = [access.allow_host] if isinstance(access.allow_host, str) else access.allow_host
    allowed = hosts.hosts_of(catalogue, texts, table=True)

    def plain(href: str) -> str:
        return href

    sign = plain
    if access.sign is not None:
        package = required("planetary_computer", "planetary-computer", "Signed addresses")

        def sign(href: str) -> str:
            return str(package.sign(href))

    return Store(allowed, local=not hosts.is_url(catalogue), sign=sign)


def _had(
    entries: Sequence[Entry],
    bands: Sequence[Sequence[BandAsset]],
    store: Store,
    access: FileAccess,
    ground: Any,
) -> tuple[list[_Local], tuple[str, ...]]:
    """The items with the files of their bands on this machine, and those that are gone."""
    most = int(access.max_item_gb * _GIGABYTE)

    @contextmanager
    def session() -> Iterator[Any]:
        if not any(hosts.is_url(band.href) for of_item in bands for band in of_item):
            yield None
            return
        with hosts.session(store.hosts) as ask:
            yield ask

    def get(ask: Any, number: int) -> _Local | str:
        kept: list[Kept] = []
        known: dict[str, Kept] = {}
        try:
            for band in bands[number]:
                if band.href not in known:
                    left = most - sum(k.path.stat().st_size for k in known.values())
                    known[band.href] = store.get(
                        ask, band.href, most=left, sha256=band.sha256, place=ground
                    )
                    kept.append(known[band.href])
                else:
                    kept.append(Kept(known[band.href].path, known[band.href].sha256))
        except GoneError as error:
            return str(error)
        return _Local(entries[number], tuple(bands[number]), tuple(kept))

    local, gone = [], []
    with (
        progress.step("fetching items", len(entries)) as step,
        parallel.in_order(range(len(entries)), session, get) as done,
    ):
        for entry, result in zip(entries, done, strict=True):
            if isinstance(result, str):
                gone.append(entry.id)
                log.warning(
                    "The item %s is left out: its files aren't there (%s).", entry.id, result
                )
            else:
                local.append(result)
            step.advance()
    return local, tuple(gone)


def _check_left(periods: Sequence[Period], by_date: Sequence[Sequence[_Local]]) -> None:
    for period, of_date in zip(periods, by_date, strict=True):
        if not of_date:
            raise CatalogueError(
                f"Each range must have an item whose files are there, got none for {period}; "
                "search again."
            )


# ---- Plans and grid


def _plans(
    of_date: Sequence[_Local], image: DateImage, wanted: Sequence[str], *, maps: bool
) -> list[Plan]:
    """The image of each day and product: its items are tiles of a mosaic."""
    if maps:
        _check_one_map(of_date)
        files = tuple(one.files() for one in of_date)
        return [images.plan(Image((), resampling="nearest", items=files))]
    plans = []
    for _, day in groupby(sorted(of_date, key=_day_and_product), key=_day_and_product):
        items = list(day)
        rules = _rules(items[0], image)
        files = tuple(one.files() for one in items)
        plans.append(
            images.plan(Image((), bands=tuple(wanted), quality=rules, scaled=True, items=files))
        )
    return plans


def _check_one_map(of_date: Sequence[_Local]) -> None:
    days = sorted({str(one.entry.taken) for one in of_date})
    if len(days) > 1:
        raise ParameterError(
            f"Each range must hold one class map, got those of {', '.join(days)}; give one year a "
            "range (`dates`)."
        )


def _day_and_product(one: _Local) -> tuple[Any, str, str]:
    product = one.entry.product
    return one.day, "" if product is None else product.name, one.entry.platform


def _rules(one: _Local, image: DateImage) -> tuple[Rule, ...]:
    """What hides pixels of an item."""
    product = one.entry.product
    group = None if product is None else product.quality
    if group is None or all(band.name != group.quality for band in one.bands):
        return ()
    classes = group.hides
    if image.hide is not None:
        classes = tuple(c.strip() for c in image.hide.split(",") if c.strip())
        classes = (CODINGS[group.quality].fill,) if classes == (_NONE,) else classes
    return (Rule(group.quality, classes, group.quality),)


def _grid(target: FetchGrid, plans: Sequence[Plan], place: Any) -> GeoBox:
    """The grid of the images."""
    if target.like is not None:
        box = raster.info(target.like).grid
        if box.crs is None:
            raise GridError(
                f"The raster that the grid is like must have a CRS, got none in {target.like}."
            )
        return box
    crs = _crs(target, plans)
    base = next((p.grid for p in plans if grid.same_crs(p.grid.crs, crs)), None)
    if base is None and target.resolution is None:
        raise ParameterError(
            f"`resolution` must be given in a CRS that no item has, got {target.crs} alone."
        )
    if base is None or target.resolution is not None:
        from affine import Affine

        side = float(target.resolution or 0)
        base = grid.geobox(1, 1, Affine(side, 0, 0, 0, -side, 0), crs)
    return _around(base, target.bounds, place)


def _ground(target: FetchGrid, place: Any) -> Any:
    """The ground that the images need, in WGS 84; None where only files can tell."""
    if target.like is not None:
        box = raster.info(target.like).grid
        return None if box.crs is None else outline_of(box)
    if target.bounds is None and place is not None:
        from shapely.geometry import shape

        return shape(place)
    if target.bounds is None or target.crs is None:
        return None
    from affine import Affine

    left, bottom, right, top = target.bounds
    crs = images.crs_of(target.crs)
    return outline_of(grid.geobox(1, 1, Affine(right - left, 0, left, 0, bottom - top, top), crs))


def _crs(target: FetchGrid, plans: Sequence[Plan]) -> Any:
    if target.crs is not None:
        return images.crs_of(target.crs)
    return Counter(p.grid.crs for p in plans).most_common(1)[0][0]


def _around(base: GeoBox, bounds: Bounds | None, place: Any) -> GeoBox:
    """The grid of whole pixels of another that holds bounds in its CRS, or a place in WGS 84."""
    if bounds is not None:
        left, bottom, right, top = bounds
        x, y = np.array([left, left, right, right]), np.array([bottom, top, bottom, top])
    elif place is not None:
        import shapely
        from shapely.geometry import shape

        outline = shapely.segmentize(shape(place), shape(place).length / _OUTLINE or 1.0)
        at = shapely.get_coordinates(outline)
        x, y = grid.transformer("EPSG:4326", str(base.crs)).transform(at[:, 0], at[:, 1])
    else:
        raise ParameterError(
            "The grid must be stated where the list of items has no place, got none; give `like` "
            "or `bounds`."
        )
    columns, rows = grid.apply(~base.affine, np.asarray(x), np.asarray(y))
    if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
        raise GridError(f"The place must lie in the domain of {base.crs}, got points off it.")
    first_row, first_column = (
        int(np.floor(rows.min() + _SLACK)),
        int(np.floor(columns.min() + _SLACK)),
    )
    height = max(int(np.ceil(rows.max() - _SLACK)) - first_row, 1)
    width = max(int(np.ceil(columns.max() - _SLACK)) - first_column, 1)
    return grid.window_geobox(base, Window(first_row, first_column, height, width))


_OUTLINE = 200  # pieces of a place's outline, so that it stays true in another CRS
_SLACK = 0.1  # of a pixel that a place may lie outside: outlines in degrees are that inexact


# ---- Images


def _made(
    path: Path,
    period: Period,
    of_date: Sequence[_Local],
    about: Mapping[str, Any],
    overwrite: bool,
    make: Any,
) -> FetchedImage:
    """The image of a range: made, or as it is there from the same items and options."""
    measured = _measured(path, about)
    made = measured is None
    if measured is None:
        raster.check_new(path, _clear_path(path), overwrite=overwrite)
        path.parent.mkdir(parents=True, exist_ok=True)
        measured = make(path, period)
    else:
        log.info("%s is there already, from the same items and options.", path)
    clear = _clear_path(path)
    return FetchedImage(
        path=path, clear=clear if measured["observations"] is not None else None, period=period,
        items=len(of_date), days=len({one.day for one in of_date}),
        observations=measured["observations"], without=measured["without"], made=made,
    )  # fmt: skip


def _measured(path: Path, about: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was measured of an image that is there from the same job; None if there is none."""
    if not path.is_file():
        return None
    with raster.open_raster(path) as source:
        there = provenance.from_tags(source.tags())
    measured = there.pop("measured", None)
    same = provenance.from_tags(provenance.as_tag(about)) == there
    if not same or not isinstance(measured, dict):
        return None
    whole = measured["observations"] is None or _clear_path(path).is_file()
    return measured if whole else None


def _clear_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}_clear.tif")


def _composited(
    plans: Sequence[Plan],
    box: GeoBox,
    about: Mapping[str, Any],
    path: Path,
    period: Period,
    *,
    image: DateImage,
    wanted: Sequence[str],
    hidden: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Write the image of a range, block by block, and the number of clear observations."""
    side = _block_side(len(plans), len(wanted))
    windows = list(blockwise.blocks(box.height, box.width, side))
    job = partial(_block, plans=plans, box=box, method=image.method, period=period)
    counted, empty = 0, 0
    dated = {"ACQUISITION_DATE": str(period)}
    clear_path = _clear_path(path)
    with (
        raster.create(
            path, box, count=len(wanted), dtype="int16", nodata=NODATA, bands=list(wanted)
        ) as target,
        raster.create(
            clear_path, box, count=1, dtype="uint16", nodata=None, bands=["clear observations"]
        ) as counts,
        blockwise.results(windows, f"image of {period}", _nothing, job) as blocks,
    ):
        for block, (values, clear) in blocks:
            raster.write(target, values, block.window)
            raster.write(counts, clear[np.newaxis], block.window)
            counted += int(clear.sum())
            empty += int((clear == 0).sum())
        pixels = box.height * box.width
        measured: dict[str, Any] = {"observations": counted / pixels, "without": empty / pixels}
        measured |= {"clouds": list(hidden)} if hidden else {}
        target.file.scales = [SCALE] * len(wanted)
        target.file.units = ["surface reflectance"] * len(wanted)
        target.file.update_tags(**provenance.as_tag({**about, "measured": measured}), **dated)
        counts.file.update_tags(**provenance.as_tag(about), **dated)
    if empty:
        log.warning(
            "%.1f %% of the pixels of %s have no clear observation, and no data: give more days or "
            "items with more clouds.", 100 * empty / pixels, path.name,
        )  # fmt: skip
    return measured


def _without_clouds(
    plans: Sequence[Plan],
    box: GeoBox,
    about: Mapping[str, Any],
    path: Path,
    period: Period,
    *,
    image: DateImage,
    wanted: Sequence[str],
) -> dict[str, Any]:
    """As `_composited`, of observations that hide the clouds which a network finds."""
    reach = choosing.REACH if image.method == "best" else 0  # distances to clouds off the grid
    wide = grid.window_geobox(box, Window(0, 0, box.height, box.width).grown(reach))
    hiding, hidden = [], []
    with TemporaryDirectory() as folder:
        for number, plan in enumerate(plans):
            masked, share = clouds.hidden(plan, wide, 1.0, Path(folder) / f"{number}.tif")
            log.info("%s: %.1f %% of the valid pixels are cloud or shadow", plan.taken, 100 * share)
            hiding.append(masked)
            hidden.append({"taken": str(plan.taken), "hidden": round(share, 6)})
        return _composited(
            hiding, box, about, path, period, image=image, wanted=wanted, hidden=hidden
        )


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _block(
    _: None,
    block: blockwise.Block,
    *,
    plans: Sequence[Plan],
    box: GeoBox,
    method: Method,
    period: Period,
) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    """Stored values ``(band, row, column)`` and number of clear observations of a block."""
    halo = choosing.REACH if method == "best" else 0
    window = block.window.grown(halo)
    seen = [plan for plan in plans if _touches(plan, box, window)]
    bands = len(plans[0].names)
    stack = np.zeros((len(seen), bands, window.height, window.width), np.float32)
    clear = np.zeros((len(seen), window.height, window.width), np.bool_)
    for number, plan in enumerate(seen):  # opened one by one: a year has more files than a process
        with images.opened(plan, box) as reader:
            stack[number], clear[number] = reader.read(window)
    if not seen:
        empty = np.full((bands, block.window.height, block.window.width), NODATA, np.int16)
        return empty, np.zeros(empty.shape[1:], np.uint16)
    if method == "best":
        ordinals = np.array([_ordinal(plan, period) for plan in seen])
        middle = (period.first.toordinal() + period.last.toordinal()) / 2
        length = period.last.toordinal() - period.first.toordinal()
        spread = max(length / _MIDDLE_SPREAD, _LEAST_SPREAD)
        rated = choosing.scores(clear, ordinals, middle, spread)
        inner = (slice(halo, -halo), slice(halo, -halo))
        clear, rated = clear[:, *inner], rated[:, *inner]
        values = choosing.best(stack[:, :, *inner], clear, rated)
    else:
        values = (choosing.median if method == "median" else choosing.medoid)(stack, clear)
    return _stored(values), clear.sum(axis=0).astype(np.uint16)


def _touches(plan: Plan, box: GeoBox, window: Window) -> bool:
    """Whether an image may have a pixel in a window of a grid."""
    top, left, bottom, right = plan.extent(box)
    return (
        top < window.row + window.height
        and bottom > window.row
        and left < window.column + window.width
        and right > window.column
    )


def _ordinal(plan: Plan, period: Period) -> float:
    taken = plan.taken or period
    return (taken.first.toordinal() + taken.last.toordinal()) / 2


def _stored(values: NDArray[np.float32]) -> NDArray[np.int16]:
    """Reflectance in stored units, within the type; NaN as nodata."""
    units = np.clip(np.rint(values / np.float32(SCALE)), NODATA + 1, _LARGEST)
    return np.where(np.isnan(units), NODATA, units).astype(np.int16)


def _block_side(times: int, bands: int) -> int:
    """Rows and columns of a block, so that its observations fit the memory of a thread."""
    side = int((_BLOCK_BYTES / (4 * times * max(bands, 1))) ** 0.5) // _STEP * _STEP
    return min(max(side, _SMALLEST), _LARGEST_BLOCK)


def _class_map(
    plans: Sequence[Plan], box: GeoBox, about: Mapping[str, Any], path: Path, period: Period
) -> dict[str, Any]:
    """Write the class map of a range: its tiles joined, no value changed."""
    plan = plans[0]
    known = next(m for m in _maps_of(about))
    scheme = class_options.classes_of(known.classes)
    nodata = 0 if known.nodata is None else int(known.nodata)
    windows = list(blockwise.blocks(box.height, box.width))

    def read(reader: images.ImageReader, block: blockwise.Block) -> NDArray[Any]:
        values, mask = reader.read(block.window)
        return np.where(mask, values, nodata)

    empty = 0
    with (
        raster.create(
            path, box, count=1, dtype=plan.dtype, nodata=nodata, bands=["classes"], scheme=scheme
        ) as target,
        blockwise.results(
            windows, f"map of {period}", lambda: images.opened(plan, box), read
        ) as all_,
    ):
        for block, values in all_:
            raster.write(target, values, block.window)
            empty += int((values == nodata).sum())
        measured = {"observations": None, "without": empty / (box.height * box.width)}
        taken = str(plan.taken or period)
        target.file.update_tags(**provenance.as_tag({**about, "measured": measured}),
                         ACQUISITION_DATE=taken)  # fmt: skip
    if known.note:
        log.warning("%s", known.note)
    return measured


def _maps_of(about: Mapping[str, Any]) -> Iterator[Any]:
    from landshift import sensors

    for class_map in sensors.known().maps.values():
        if about["items"][0]["collection"] in class_map.collections:
            yield class_map


def _normalised(
    results: Sequence[FetchedImage], image: DateImage, *, overwrite: bool
) -> list[Path]:
    """Later images in the radiometry of the first, if asked for."""
    if image.normalise is None or results[0].clear is None:
        return []
    from landshift.prepare.normalise import normalise  # here: --help answers at once

    paths = []
    for later in results[1:]:
        path = later.path.with_name(f"{later.path.stem}_normalised.tif")
        try:
            normalise(
                later.path, results[0].path, path, method=image.normalise, overwrite=overwrite
            )
        except OutputError:
            if later.made:
                raise
        paths.append(path)
    return paths


def _parameters(image: DateImage, box: GeoBox, wanted: Sequence[str]) -> dict[str, Any]:
    """The options that decide an image."""
    return {
        "bands": list(wanted), "method": image.method, "hide": image.hide,
        **({"mask_clouds": True} if image.mask_clouds else {}),
        "crs": str(box.crs), "transform": list(box.affine)[:6], "shape": [box.height, box.width],
    }  # fmt: skip
