"""The files of one date planned as one image: which band of which file, stacked or mosaicked."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from landshift import grid, raster
from landshift.errors import BandError, GridError, ParameterError
from landshift.files import containers, dates
from landshift.images import quality, scenes, stac
from landshift.images.stac import ItemFiles
from landshift.raster import validity

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from rasterio.io import DatasetReader

log = logging.getLogger(__name__)

RESAMPLING: dict[str, float] = {
    "nearest": 0.5, "bilinear": 1, "cubic": 2, "cubic_spline": 2, "lanczos": 3, "average": 1,
    "mode": 1, "max": 1, "min": 1, "med": 1,
}  # fmt: skip
"""Ways to resample, as GDAL names them, and how many pixels away the values they take lie."""

_OVERLAP = 0.5  # share of the smaller of two unnamed files above which they are bands, not tiles


@dataclass(frozen=True)
class Image:
    """The files of one date, and how to read them.

    Files with the same named bands, or unnamed ones that lie side by side, are tiles of a mosaic
    (the first file lies on top); others are bands of a stack.

    Attributes:
        files: Rasters (paths, VRT, http(s) URLs), STAC Items (.json), or scenes as agencies deliver
            them (folders, .tar, .zip; see `scenes`).
        bands: Bands to take, in this order: names, or numbers from 1; None: all but alpha bands
            and quality bands.
        nodata: Value that means 'no data' in place of those that the files state; masks and
            alpha bands count as well.
        quality: Classes of quality bands that hide pixels.
        resampling: A name in `RESAMPLING`, or one for each file; None: nearest for class rasters
            (`raster.holds_classes`), else bilinear.
        assume_crs: CRS of files that state none.
        scaled: Whether scale and offset of the files are applied (values are float32 then).
        items: Files of items that are known already, after the other files.
    """

    files: tuple[Path | str, ...]
    bands: tuple[str | int, ...] | None = None
    nodata: float | None = None
    quality: tuple[quality.Rule, ...] = ()
    resampling: str | tuple[str | None, ...] | None = None
    assume_crs: str | None = None
    scaled: bool = False
    items: tuple[ItemFiles, ...] = ()

    def __post_init__(self) -> None:
        if not self.sources:
            raise ParameterError("An image must have a file, got none.")
        if isinstance(self.resampling, tuple) and len(self.resampling) != len(self.sources):
            raise ParameterError(
                f"`resampling` must be one, or one for each of {len(self.sources)} files, got "
                f"{len(self.resampling)}."
            )
        for way in self.resamplings:
            if way is not None and way not in RESAMPLING:
                raise ParameterError(
                    f"`resampling` must be one of {', '.join(RESAMPLING)}, got '{way}'."
                )

    @property
    def sources(self) -> tuple[Path | str | ItemFiles, ...]:
        """The files, and the items whose files are known."""
        return (*self.files, *self.items)

    @property
    def resamplings(self) -> tuple[str | None, ...]:
        """How each file is resampled; None for the default."""
        if isinstance(self.resampling, tuple):
            return self.resampling
        return (self.resampling,) * len(self.sources)


@dataclass(frozen=True)
class Layer:
    """Bands of one file.

    Attributes:
        path: The file, as GDAL opens it.
        info: Its metadata; its grid has a CRS and a place on the ground.
        numbers: Numbers of the bands, from 1.
        names: A name for each.
        nodata: Value that means 'no data' in place of the file's own, or None.
        alpha: Whether an alpha band counts: not where it was taken as a band.
        classes: Whether values are classes, as far as the file states it.
        resampling: How the bands are resampled where they aren't copied; a name in `RESAMPLING`.
        scales: Factor of each band.
        offsets: Offset of each band, added after that.
        derived: Whether the grid comes from ground control points or RPCs.
        units: What the values of each band mean once scaled; '' where unknown.
        named: Whether an item or a product states the names, so that the same ones are one band.
    """

    path: str
    info: raster.RasterInfo
    numbers: tuple[int, ...]
    names: tuple[str, ...]
    nodata: float | None
    alpha: bool
    classes: bool
    resampling: str
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    derived: bool
    units: tuple[str, ...] = ()
    named: bool = False

    def pick(self, places: Sequence[int]) -> Layer:
        """Some of its bands, by place in `numbers`."""
        return replace(
            self,
            numbers=tuple(self.numbers[k] for k in places),
            names=tuple(self.names[k] for k in places),
            scales=tuple(self.scales[k] for k in places),
            offsets=tuple(self.offsets[k] for k in places),
            units=tuple(self.units[k] for k in places if self.units),
        )

    @property
    def invalid(self) -> float | None:
        """The value that means 'no data', from the option or the file."""
        return self.info.nodata if self.nodata is None else self.nodata


@dataclass(frozen=True)
class Plan:
    """An image whose files' metadata was read.

    Attributes:
        image: The image.
        stack: Groups of bands; each is a mosaic of layers with the same bands, the first on top.
        quality: Values that each quality band hides, and the mosaic of that one band.
        names: Names of the bands, group after group.
        taken: When the image was taken, as its files state: from the first day to the last.
    """

    image: Image
    stack: tuple[tuple[Layer, ...], ...]
    quality: tuple[tuple[quality.Hidden, tuple[Layer, ...]], ...]
    names: tuple[str, ...]
    taken: dates.Period | None

    @property
    def layers(self) -> list[Layer]:
        """Every layer with bands of the image."""
        return [layer for group in self.stack for layer in group]

    @property
    def grid(self) -> GeoBox:
        """Grid of the first file."""
        return self.stack[0][0].info.grid

    @property
    def scaling(self) -> list[set[tuple[float, float]]]:
        """Of each band, the scales and offsets that its values still need; one for most."""
        if self.image.scaled:
            return [{(1.0, 0.0)} for _ in self.names]
        return [
            {(layer.scales[k], layer.offsets[k]) for layer in group}
            for group in self.stack
            for k in range(len(group[0].numbers))
        ]

    @property
    def units(self) -> tuple[str, ...]:
        """What the values of each band mean once scaled; '' where unknown or mixed."""
        of_bands = []
        for group in self.stack:
            each = [layer.units or ("",) * len(layer.numbers) for layer in group]
            of_bands += [us[0] if len(set(us)) == 1 else "" for us in zip(*each, strict=True)]
        return tuple(of_bands)

    @property
    def files(self) -> list[Path | str]:
        """The files that it is made from: of a scene's folder its bands."""
        layers = [*self.layers, *(one for _, mosaic in self.quality for one in mosaic)]
        paths = sorted({layer.path for layer in layers})
        files: list[Path | str] = []
        for file in self.image.sources:
            if isinstance(file, ItemFiles):
                files += [Path(part.href) for part in file.files]
            else:
                files += scenes.scene_files(file, paths) if scenes.is_scene(file) else [file]
        return files

    @property
    def dtype(self) -> str:
        """Pixel type that holds every band."""
        if self.image.scaled:
            return "float32"
        return str(np.result_type(*(layer.info.dtype for layer in self.layers)))

    def take(self, places: Sequence[int]) -> Plan:
        """The image with some of its bands, by place in `names`."""
        every = [(group, k) for group in self.stack for k in range(len(group[0].numbers))]
        return replace(
            self,
            stack=_stack([every[p] for p in places]),
            names=tuple(self.names[p] for p in places),
        )

    def extent(self, on: GeoBox) -> tuple[float, float, float, float]:
        """The part of a grid that every band covers: first row and column, last row and column."""
        sides = []
        for group in self.stack:
            places = np.array([grid.extent(layer.info.grid, on) for layer in group])
            sides.append([*places[:, :2].min(axis=0), *places[:, 2:].max(axis=0)])
        corners = np.array(sides)
        first, last = corners[:, :2].max(axis=0), corners[:, 2:].min(axis=0)
        return float(first[0]), float(first[1]), float(last[0]), float(last[1])


def plan(image: Image) -> Plan:
    """Read the metadata of an image's files and decide which bands come from where.

    Raises:
        RasterError: A file can't be read.
        GridError: A file has no CRS or no place on the ground.
        BandError: A band is missing, or its name not unique.
        ParameterError: See `Image`.
    """
    layers: list[Layer] = []
    periods: list[dates.Period | None] = []
    for file, way in zip(image.sources, image.resamplings, strict=True):
        of_file, taken = _layers(image, file, way)
        layers += of_file
        periods.append(taken)
    bands = [(group, k) for group in _groups(_named(layers)) for k in range(len(group[0].names))]
    names = [group[0].names[k] for group, k in bands]
    rules, hidden = _quality(image, bands, names)
    chosen = (
        [_find(b, names, image) for b in image.bands]
        if image.bands is not None
        else [k for k in range(len(names)) if k not in hidden]
    )
    if not chosen:
        raise BandError(
            f"An image must have a band beside its quality bands, got {', '.join(names)} in "
            f"{image.sources[0]}."
        )
    return Plan(
        image=image, stack=_stack([bands[k] for k in chosen]), quality=rules,
        names=tuple(names[k] for k in chosen), taken=dates.spanning(periods),
    )  # fmt: skip


def _quality(
    image: Image, bands: Sequence[tuple[Sequence[Layer], int]], names: Sequence[str]
) -> tuple[tuple[tuple[quality.Hidden, tuple[Layer, ...]], ...], set[int]]:
    """The quality bands of an image's rules, and the places of all of them among the bands.

    Args:
        image: The image.
        bands: Mosaic of each band, and the band's place in it.
        names: Name of each band.
    """
    rules = []
    places: set[int] = set()
    for rule in image.quality:
        at = _find(rule.band, names, image)
        group, k = bands[at]
        if k + rule.bands > len(group[0].names):
            raise BandError(
                f"A {rule.coding} mask must have {rule.bands} bands from '{names[at]}' on, got "
                f"{len(group[0].names) - k} in {group[0].path}; name its first band "
                f"({rule.coding}:BAND=...)."
            )
        for codes in rule.hidden:
            codes.check_held(np.dtype(group[0].info.dtype), f"{names[at]!r} of {group[0].path}")
            rules.append((codes, tuple(_coded(layer.pick([k + codes.place])) for layer in group)))
        places |= set(range(at, at + rule.bands))
    return tuple(rules), places


def _coded(layer: Layer) -> Layer:
    """A quality band: its 0 is a class, though 0 is nodata in the image that holds it."""
    return replace(layer, nodata=float("nan")) if layer.invalid == 0 else layer


@contextmanager
def straightened(source: DatasetReader, nodata: float | None) -> Iterator[Any]:
    """A raster placed by ground control points or RPCs, on the north-up grid that GDAL gives it.

    Pixels that aren't valid have the nodata value there, if the bands share one, or an alpha of 0.
    """
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    rule = validity.of(source, nodata=nodata)
    shared = rule.nodata[0] if len({repr(n) for n in rule.nodata}) == 1 else None
    crs = source.gcps[1] if source.gcps[0] else "EPSG:4326"  # RPCs lead to WGS 84
    with validity.presented(source, rule) as (shown, alpha):
        options: dict[str, Any] = {} if shared is None else {"src_nodata": shared, "nodata": shared}
        if alpha is not None:
            options |= {"src_alpha": alpha, "dst_alpha": alpha, "UNIFIED_SRC_NODATA": "NO"}
        elif shared is None:
            options["add_alpha"] = True
        with WarpedVRT(shown, crs=crs, resampling=Resampling.bilinear, **options) as straight:
            yield straight


def _layers(
    image: Image, file: Path | str | ItemFiles, way: str | None
) -> tuple[list[Layer], dates.Period | None]:
    """The layers of a file, STAC Item or scene, and its date."""
    name = str(file)
    is_item = name.lower().endswith((".json", ".geojson"))
    files: Sequence[stac.BandFile]
    if isinstance(file, ItemFiles):
        files, taken = file.files, file.taken
    elif not is_item and not scenes.is_scene(name):
        layer = _layer(image, _gdal_name(name), way)
        return [layer], layer.info.taken
    else:
        wanted = None if image.bands is None else [str(b) for b in image.bands]
        also = [rule.band for rule in image.quality]
        files, taken = (stac if is_item else scenes).band_files(file, wanted, also)
    layers = []
    for part in files:
        layer = _layer(image, _gdal_name(part.href), way)
        if max(part.numbers) > len(layer.info.bands):
            raise BandError(
                f"A STAC asset must have band {max(part.numbers)} ({part.names[0]}), got "
                f"{len(layer.info.bands)} in {layer.path}."
            )
        stated = layer.info.nodata is None and image.nodata is None
        if not set(part.numbers) <= set(layer.numbers):
            layer = replace(layer, alpha=False)  # the item calls it a band
        scaling = [
            (scale, offset)
            if part.decided
            else _scaling(layer.info.scaling[number - 1], (scale, offset), shifted=part.shifted)
            for number, scale, offset in zip(part.numbers, part.scales, part.offsets, strict=True)
        ]
        layers.append(
            replace(
                layer,
                numbers=part.numbers,
                names=part.names,
                nodata=part.nodata if stated else layer.nodata,
                scales=tuple(scale for scale, _ in scaling),
                offsets=tuple(offset for _, offset in scaling),
                units=(part.unit,) * len(part.names),
                named=True,
            )
        )
    return layers, taken


def _scaling(
    own: tuple[float, float], stated: tuple[float, float], *, shifted: bool
) -> tuple[float, float]:
    """Scale and offset of a band of a STAC Item: the file's own tags, else what the item states.

    Args:
        own: The file's.
        stated: The item's.
        shifted: Whether the file's values include the offset already, by the item.
    """
    scale, offset = stated if own == (1, 0) else own
    return scale, 0.0 if shifted else offset


def warn_of_scaling(plans: Sequence[Plan], dates: Sequence[str]) -> None:
    """Warn where values that are joined as stored have different scales or offsets.

    These are files of one band, or the same bands of two dates.

    Args:
        plans: The image of each date.
        dates: Names of the dates.
    """
    for date, name in zip(plans, dates, strict=True):
        mixed = [band for band, tags in zip(date.names, date.scaling, strict=True) if len(tags) > 1]
        if mixed:
            log.warning(
                "Files of %s state different scales or offsets in %s, and are joined as stored: "
                "one value means several things; apply them (composite with `scaled`).",
                name, ", ".join(mixed),
            )  # fmt: skip
    for date, name in zip(plans[1:], dates[1:], strict=True):
        pairs = zip(plans[0].names, plans[0].scaling, date.scaling, strict=False)
        differ = [band for band, first, second in pairs if first != second]
        if differ:
            log.warning(
                "%s and %s state different scales or offsets in %s, and are stacked as stored: "
                "unchanged ground will look like change; apply them (composite with `scaled`).",
                dates[0], name, ", ".join(differ),
            )  # fmt: skip


def _gdal_name(name: str) -> str:
    """URLs as GDAL reads them, by ranges."""
    if name.startswith(("http://", "https://")):
        return f"/vsicurl/{name}"
    return f"/vsis3/{name[5:]}" if name.startswith("s3://") else name


def _layer(image: Image, path: str, way: str | None) -> Layer:
    with raster.open_raster(path) as source, ExitStack() as stack:
        derived = source.transform.is_identity and bool(source.gcps[0] or source.rpcs)
        if derived and source.gcps[0] and source.crs is not None:
            raise GridError(
                f"Ground control points must come without another CRS, got {source.crs} beside "
                f"them in {path}; warp it first (gdalwarp -tps)."
            )
        if source.transform.is_identity and not derived:
            raise GridError(
                f"An image must have a place on the ground, got no georeference in {path}; "
                "georeference it first (gdal_translate -a_ullr -a_srs, or QGIS' georeferencer)."
            )
        placed = stack.enter_context(straightened(source, image.nodata)) if derived else source
        info = raster.info_of(placed)
        box = info.grid
        if box.crs is None:
            if image.assume_crs is None:
                raise GridError(
                    f"An image must have a CRS, got none in {path}; state it with `assume_crs`."
                )
            box = grid.geobox(box.height, box.width, box.affine, crs_of(image.assume_crs))
        numbers = info.numbers
        as_band = info.alpha is not None and _takes(image, info.alpha, info.bands[info.alpha - 1])
        if as_band:  # a fourth band that a program took for alpha
            numbers = tuple(placed.indexes)
        if image.nodata is not None:
            _check_fits(image.nodata, info.dtype, path)
        own = info.nodata
        if own is not None and not fits(own, info.dtype):
            own = None
        scaling = (raster.info_of(source) if derived else info).scaling
        info = replace(info, path=Path(path), grid=box, nodata=own, scaling=scaling)
        classes = raster.holds_classes(source)
        return Layer(
            path=path, info=info, numbers=numbers,
            names=tuple(info.bands[k - 1] for k in numbers), nodata=image.nodata,
            alpha=not as_band, classes=classes,
            resampling=way or ("nearest" if classes else "bilinear"),
            scales=tuple(scaling[k - 1][0] for k in numbers),
            offsets=tuple(scaling[k - 1][1] for k in numbers), derived=derived,
        )  # fmt: skip


def _takes(image: Image, alpha: int, name: str) -> bool:
    """Whether the image takes an alpha band as a band, by its number or name."""
    return image.bands is not None and any(str(b) in (str(alpha), name) for b in image.bands)


def crs_of(text: str) -> Any:
    """The CRS that a text names.

    Raises:
        ParameterError: PROJ knows none.
    """
    from odc.geo import CRS
    from pyproj.exceptions import CRSError

    try:
        return CRS(text)
    except (CRSError, ValueError) as error:
        raise ParameterError(
            f"A CRS must be a code or WKT that PROJ knows, got '{text}'; an example is EPSG:32618."
        ) from error


def _named(layers: Sequence[Layer]) -> list[Layer]:
    """The layers with a name for every band: its own, of its file, or its number."""
    stems = [containers.short_name(layer.path) for layer in layers]
    short = _without_common(stems)
    named = []
    for layer, stem, brief in zip(layers, stems, short, strict=True):
        single = len(layer.numbers) == 1 and len(layers) > 1
        if single and layer.names[0] in ("", stem):
            names: tuple[str, ...] = (brief,)
        else:
            names = tuple(n or f"b{k}" for k, n in enumerate(layer.names, start=1))
        named.append(replace(layer, names=names))
    return named


def _without_common(stems: Sequence[str]) -> list[str]:
    """File names without the words that they all start with, as in LE07_..._B1, LE07_..._B2."""
    if len(set(stems)) < 2:
        return list(stems)
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*stems, strict=False))
    shared = "".join(letters[0] for letters in alike)
    cut = max(shared.rfind(c) for c in "_-. ") + 1
    return [s[cut:] or s for s in stems]


def _groups(layers: Sequence[Layer]) -> list[list[Layer]]:
    """Mosaics of layers with the same bands, in the order in which their first files come."""
    groups: list[list[Layer]] = []
    for layer in layers:
        unnamed = not layer.named and not any(layer.info.bands)
        home = None
        for group in groups:
            first = group[0]
            plain = unnamed and not first.named and not any(first.info.bands)
            if plain and len(first.numbers) == len(layer.numbers):
                if all(_overlap(other, layer) < _OVERLAP for other in group):
                    home = group
            elif not unnamed and sorted(first.names) == sorted(layer.names):
                places = raster.match_names(first.names, layer.names)
                layer = layer if places is None else layer.pick(places)
                home = group if first.names == layer.names else None
            if home is not None:
                break
        if home is not None:
            home.append(replace(layer, names=home[0].names))
        else:
            groups.append([layer])
    names = [n for group in groups for n in group[0].names]
    if len(set(names)) == len(names):
        return groups
    twice = {n for n in names if names.count(n) > 1}
    stems = [containers.short_name(group[0].path) for group in groups]
    return [
        [
            replace(
                layer,
                names=tuple(f"{stem}_{n}" if n in twice else n for n in layer.names),
            )
            for layer in group
        ]
        for group, stem in zip(groups, stems, strict=True)
    ]


def _overlap(first: Layer, second: Layer) -> float:
    """Share of the smaller of two files' outlines that lies in the other's."""
    top, left, bottom, right = grid.extent(second.info.grid, first.info.grid)
    height, width = first.info.height, first.info.width
    rows = min(bottom, height) - max(top, 0)
    columns = min(right, width) - max(left, 0)
    if rows <= 0 or columns <= 0:
        return 0.0
    return rows * columns / min(height * width, (bottom - top) * (right - left))


def _find(wanted: str | int, names: Sequence[str], image: Image) -> int:
    """Place of a band: by name (not of an int), by number from 1, or by a name's end after '_'."""
    text = str(wanted).lower()
    number = int(text) if text.isascii() and text.isdigit() else 0
    lower = ["" if isinstance(wanted, int) else n.lower() for n in names]
    for hits in (
        [k for k, n in enumerate(lower) if n == text],
        [number - 1] if 1 <= number <= len(names) else [],
        [k for k, n in enumerate(lower) if n.endswith(f"_{text}")],
    ):
        if len(hits) == 1:
            return hits[0]
    raise BandError(
        f"The image must have one band '{wanted}', got {', '.join(names)} in {image.sources[0]}; "
        "name one of these, or its number from 1."
    )


def _stack(chosen: Sequence[tuple[Sequence[Layer], int]]) -> tuple[tuple[Layer, ...], ...]:
    """Neighbouring bands of one mosaic are read together."""
    runs: list[tuple[Sequence[Layer], list[int]]] = []
    for group, k in chosen:
        if runs and runs[-1][0] is group:
            runs[-1][1].append(k)
        else:
            runs.append((group, [k]))
    return tuple(tuple(layer.pick(places) for layer in group) for group, places in runs)


def fits(nodata: float, dtype: str) -> bool:
    """Whether a pixel type can hold a nodata value."""
    kind = np.dtype(dtype)
    if np.issubdtype(kind, np.floating):
        return True
    limits = np.iinfo(kind)
    return bool(
        np.isfinite(nodata) and nodata == int(nodata) and limits.min <= nodata <= limits.max
    )


def _check_fits(nodata: float, dtype: str, path: str) -> None:
    if not fits(nodata, dtype):
        raise ParameterError(f"`nodata` must fit {dtype}, got {nodata:g} for {path}.")
