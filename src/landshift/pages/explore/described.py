"""The description of a page, `layers.json`: its layers, their grids, classes, dates and areas."""

from __future__ import annotations

import logging
import shlex
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from landshift import __version__, grid, raster
from landshift.classes import ClassScheme, MapScheme, ends_of, stays
from landshift.classes.legend import Legend
from landshift.errors import GridError, LandshiftError, VectorError
from landshift.files import provenance
from landshift.grid import Window
from landshift.pages.explore import readable, roles, shapes
from landshift.pages.explore.found import Found, RasterSource
from landshift.pages.explore.readable import Copy, CopySize
from landshift.pages.explore.roles import ShownRaster
from landshift.pages.explore.store import Store
from landshift.pages.report import formats
from landshift.raster import colours
from landshift.raster.stretch import limits_of
from landshift.spec import split_name

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from landshift.files.options import BandChoice

VERSION = 1
"""Version of `layers.json`, which the page checks."""

MOST_CLASSES = 1000
"""Most classes of a layer's legend; a map with more values has those of its overview."""

_LOOKED_AT = 1024  # rows and columns in which classes and percentiles are looked for
_UNITS = {"metre": "m", "degree": "degrees", "US survey foot": "ft", "foot": "ft"}
_NAMELESS = ("unknown", "unnamed", "undefined", "")  # what PROJ and GDAL call a CRS without a name
_ACROSS = 17  # columns over which the area of a row's pixels is averaged

log = logging.getLogger(__name__)


@dataclass
class Described:
    """A page's description.

    Attributes:
        content: `layers.json`.
        packed: Compressions of the files that the page opens.
        copied: For each file of others that is copied, why.
    """

    content: dict[str, Any]
    packed: set[str] = field(default_factory=set)
    copied: dict[Path, str] = field(default_factory=dict)

    @property
    def remarks(self) -> list[str]:
        """What the user must know: files that aren't shown, and those that are copied each time."""
        if not self.copied:
            return list(self.content["left_out"])
        path, why = next(iter(self.copied.items()))
        many = len(self.copied) > 1
        files = f"{len(self.copied)} files, such as {path.name}" if many else path.name
        return [
            *self.content["left_out"],
            f"The page shows {'copies' if many else 'a copy'} of {files}, which {why}. "
            "gdal_translate -of COG writes a file that a browser reads as it is.",
        ]


def describe(
    found: Found,
    store: Store,
    *,
    rgb: BandChoice = None,
    title: str | None = None,
    classes: ClassScheme | None = None,
    size: CopySize = CopySize(),  # noqa: B008
) -> Described:
    """Describe a page, and put its files into the store.

    A raster of another CRS than the first one's, or whose rows don't run from north to south, is
    left out with a line; so are vector files that can't be shown.

    Args:
        found: The files.
        store: Where they go.
        rgb: Bands shown first, see `raster.colours`.
        title: Title of the page.
        classes: Classes of maps whose files name none.
        size: How large copies are.

    Raises:
        GridError: No raster can be shown.
        BandError: An image lacks a band of `rgb`.
        RasterError: A raster can't be read.
        OutputError: A file can't be written.
    """
    kept, left_out = that_fit(found)
    layers = roles.shown(kept)
    labels, places = roles.labels_of(layers)
    first = kept[0]
    box = readable.placed(first.info.grid)
    described = Described({})
    entries = []
    for number, layer in enumerate(layers, start=1):
        entries.append(_Entry(number, layer, places, size, classes).written(store, described, rgb))
    entries += _vectors(found, store, box, entries, left_out, first=len(entries) + 1)
    _name_apart(entries, layers)
    described.content = {
        "version": VERSION,
        "title": title or _title(first, labels),
        "crs": _crs(box),
        "extent": _extent(kept),
        "grid": _grid(box),
        "dates": labels,
        "layers": entries,
        "estimates": _estimates(found, layers, left_out),
        "left_out": left_out,
        "policy": _notes(entries),
    }
    return described


def that_fit(found: Found) -> tuple[list[RasterSource], list[str]]:
    """The rasters in the CRS of the first one that can be shown, and a line for each other.

    Raises:
        GridError: No raster can be shown.
    """
    kept: list[RasterSource] = []
    lines = list(found.left_out)
    for source in found.rasters:
        box = source.info.grid
        try:
            readable.check_upright(box)
        except GridError as error:
            lines.append(f"{source.path.name} isn't shown: {error}")
            continue
        if source.layer == "probabilities":
            lines.append(f"{source.path.name} isn't shown: it holds a band for each class.")
        elif kept and not grid.same_crs(box.crs, kept[0].info.grid.crs):
            lines.append(_other_crs(source, kept[0]))
        else:
            kept.append(source)
    if not kept:
        raise GridError(f"A map page needs a raster that it can show, got none. {lines[0]}")
    return kept, lines


def _other_crs(source: RasterSource, first: RasterSource) -> str:
    own, page = _crs_name(source.info.grid), _crs_name(first.info.grid)
    line = f"{source.path.name} lies in {own}, the page in {page}"
    if source.info.grid.crs is None:
        return f"{line}: it isn't shown; assign its CRS first (gdal_edit -a_srs)."
    if first.info.grid.crs is None:
        return f"{line}: it isn't shown; assign a CRS to {first.path.name} (gdal_edit -a_srs)."
    warped = source.path.with_name(f"{source.path.stem}_warped.tif")
    way = "near" if source.kind == "classes" else "bilinear"
    crs = page if page.startswith("EPSG:") else first.info.grid.crs.to_wkt()
    words = ("gdalwarp", "-t_srs", crs, "-r", way, str(source.path), str(warped))
    return f"{line}: it isn't shown; warp it first: {shlex.join(words)}"


@dataclass(frozen=True)
class _Entry:
    """A raster layer that is being described.

    Attributes:
        number: Its number on the page, from 1.
        layer: The layer.
        places: Place of each label among the page's dates.
        size: How large its copy is.
        classes: Classes of a map whose file names none.
    """

    number: int
    layer: ShownRaster
    places: Mapping[str, int]
    size: CopySize
    classes: ClassScheme | None

    def written(self, store: Store, described: Described, rgb: BandChoice) -> dict[str, Any]:
        """Its description; the file is put into the store."""
        source = self.layer.source
        name = f"{self.number}-{source.stem}"
        why = "" if self.size.always else readable.obstacle(source)
        copy = None
        if why or self.size.always:
            address, path = store.new(name, ".tif")
            copy = readable.copy_of(source, self.layer.numbers, path, self.size)
            if why:
                log.info("%s %s: the page shows a copy.", source.path, why)
            if why and not source.stage:
                described.copied[source.path] = why
        else:
            address, path = store.keep(source.path, name), source.path
        with raster.open_raster(path) as opened:
            described.packed.add(readable.packing(opened))
        info, label = source.info, self.layer.label
        note = None if copy is None else copy.note
        if why:
            note = f"{note} The file itself {why}."
        entry: dict[str, Any] = {
            "id": f"l{self.number}",
            "title": self._title(),
            "kind": source.kind,
            "role": self.layer.role or None,
            "date": self.places.get(label) if self.layer.is_of_a_date else None,
            "url": address,
            "grid": _grid(info.grid if copy is None else copy.box),
            "nodata": _number(info.nodata if copy is None else copy.nodata),
            "dtype": info.dtype if copy is None else copy.dtype,
            "note": note,
        }  # fmt: skip
        if source.kind == "image":
            return entry | self._bands(path, copy, rgb)
        if source.kind == "classes":
            scheme = _scheme(source, path, self.classes)
            return entry | _classes(scheme, info.grid if copy is None else copy.box)
        return entry | _quantity(path, info, self.layer)

    def _title(self) -> str:
        layer = self.layer
        if layer.source.kind == "image":
            return f"Image, {layer.label}" if layer.label else f"Image {layer.source.stem}"
        if layer.role in ("change", "reference"):
            return "Change map" if layer.role == "change" else "Reference"
        if layer.source.kind == "classes":
            return f"Classes, {layer.label or layer.source.stem}"
        return layer.role.capitalize() if layer.role != "value" else layer.source.stem

    def _bands(self, path: Path, copy: Copy | None, rgb: BandChoice) -> dict[str, Any]:
        """Bands of an image, those shown first, and the values that become black and white."""
        source, numbers = self.layer.source, self.layer.numbers
        with raster.open_raster(source.path) as opened:
            chosen = colours.of_raster(opened, rgb, numbers)
        own = numbers if copy is None else tuple(range(1, len(numbers) + 1))
        names = source.info.bands if copy is None else [source.info.bands[k - 1] for k in numbers]
        bands = [own[k] for k in chosen.channels]
        values, mask = raster.preview(path, _LOOKED_AT, bands)
        limits = limits_of(values[:, mask]) if mask.any() else [(0.0, 1.0)] * 3
        scale = None if copy is None or copy.scale is None else copy.scale
        return {
            "bands": [split_name(n)[1] or f"band {k}" for k, n in enumerate(names, 1)],
            "date_bands": list(own),
            "rgb": bands,
            "shown": chosen.label,
            "stretch": [[low, high] for low, high in limits],
            "scale": None if scale is None else [list(pair) for pair in scale],
        }


def _classes(scheme: ClassScheme, box: GeoBox) -> dict[str, Any]:
    """Classes of a map with their colours, and the area of its pixels."""
    classes = []
    for c in scheme:
        before, after = ends_of(c.name)
        classes.append(
            {
                "value": c.value, "name": c.name,
                "colour": "#{:02x}{:02x}{:02x}".format(*c.colour),
                "from": before, "to": after, "stays": stays(c.name),
            }
        )  # fmt: skip
    return {"classes": classes, "areas": _areas(box)}


def _scheme(source: RasterSource, path: Path, given: ClassScheme | None) -> ClassScheme:
    """Classes of a map: those that its files name, and those that its overview has.

    Args:
        source: The map.
        path: The file that the page reads.
        given: Classes of a map whose file names none.
    """
    legend = raster.legend_of(source.path)
    with raster.open_raster(source.path) as opened:
        known = raster.class_values(opened)
        if given is not None and not known.names:
            known = raster.class_values(opened, names=given.mapping)
            legend = Legend(given.mapping, given.colours | legend.colours)
    values, mask = raster.preview(path, _LOOKED_AT, [1], classes=True)
    seen = np.unique(values[0][known.classed(values[0], mask)])
    names = dict(known.names) | {
        int(v): f"class {int(v)}" for v in seen[:MOST_CLASSES] if int(v) not in known.names
    }
    if not names:
        return MapScheme.from_mapping({0: "no class"})
    kept = dict(sorted(names.items())[:MOST_CLASSES])
    return MapScheme.from_mapping(kept, {v: c for v, c in legend.colours.items() if v in kept})


@lru_cache(maxsize=4)  # the maps of a page mostly share a grid
def _areas(box: GeoBox) -> dict[str, Any] | None:
    """Hectares of a pixel of each row; one number where all are alike, None without an ellipsoid.

    Where they change along a row too, a row has the mean of its pixels.
    """
    try:
        ground = grid.known_ground(box)
    except GridError:
        return None
    if ground is None:
        return None
    columns = sorted({round(c) for c in np.linspace(0, box.width - 1, _ACROSS)})
    rows = np.mean(
        [ground.hectares(Window(0, c, box.height, 1))[:, 0] for c in columns], axis=0
    )  # fmt: skip
    alike = bool(np.ptp(rows) <= 1e-12 * rows.max())
    return {"row_hectares": float(rows[0]) if alike else [float(f"{v:.10g}") for v in rows]}


def _quantity(path: Path, info: raster.RasterInfo, layer: ShownRaster) -> dict[str, Any]:
    """Range and scale of a quantity: shares from 0 to 1 or 100, else what its overview has."""
    gain, offset = info.scaling[layer.numbers[0] - 1]
    values, mask = raster.preview(path, _LOOKED_AT, [1])
    seen = values[:, mask] * gain + offset
    ends = [0.0, 1.0]
    if layer.role == "value" and seen.size:
        ends = [float(end) for end in limits_of(seen)[0]]
    elif seen.size and seen.max() > 1:
        ends = [0.0, 100.0 if seen.max() <= 100 else float(seen.max())]
    plain = (gain, offset) == (1.0, 0.0)
    return {"range": ends, "scale": None if plain else [[gain, offset]]}


def _vectors(
    found: Found,
    store: Store,
    box: GeoBox,
    entries: Sequence[Mapping[str, Any]],
    left_out: list[str],
    *,
    first: int,
) -> list[dict[str, Any]]:
    """Layers of polygons and sample units; those that can't be shown become lines."""
    named = {c["name"]: c["colour"] for e in reversed(entries) for c in e.get("classes", ())}
    layers: list[dict[str, Any]] = []
    for path in found.shapes:
        try:
            if box.crs is None:
                raise VectorError(f"Polygons need a CRS of the page, got none for {path.name}.")
            read = shapes.read(path, box)
        except LandshiftError as error:
            left_out.append(f"{path.name} isn't shown: {error}")
            continue
        number = first + len(layers)
        address, file = store.new(f"{number}-{path.stem}", ".geojson")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(read.text, encoding="utf-8")
        spare = list(MapScheme.from_mapping(dict(enumerate(read.values)))) if read.values else []
        layers.append(
            {
                "id": f"l{number}",
                "title": "Sample units" if read.kind == "points" else f"{path.stem}, polygons",
                "kind": read.kind,
                "url": address,
                "colour_by": shapes.CLASS if read.values else None,
                "colours": {
                    c.name: named.get(c.name, "#{:02x}{:02x}{:02x}".format(*c.colour))
                    for c in spare
                },
                "features": read.count,
                "note": None,
            }
        )
    return layers


def _name_apart(entries: Sequence[dict[str, Any]], layers: Sequence[ShownRaster]) -> None:
    """Give layers of one title the names of their files, then of the folders, then numbers."""
    paths = [layer.source.path for layer in layers]
    for named in (
        [path.name for path in paths],
        [f"{path.absolute().parent.name}/{path.name}" for path in paths],
        [str(number) for number in range(1, len(paths) + 1)],
    ):
        titles = [entry["title"] for entry in entries]
        for entry, title, name in zip(entries, list(titles), named, strict=False):
            if titles.count(title) > 1:
                plain = entry.setdefault("plain", title)
                entry["title"] = f"{plain} ({name})"
    for entry in entries:
        entry.pop("plain", None)


def _estimates(
    found: Found, layers: Sequence[ShownRaster], left_out: list[str]
) -> list[dict[str, Any]] | None:
    """Areas with intervals, of a map that the page shows."""
    maps = [w.source.path for w in layers if w.role == "change"] or [
        w.source.path for w in layers if w.source.kind == "classes"
    ]
    digests = {provenance.digest(path) for path in maps if found.areas and path.is_file()}
    for path in found.areas:
        areas = formats.check(formats.Areas, formats.read_json(path), what=str(path))
        if areas.map_sha256 not in digests:
            left_out.append(
                f"{path.name} isn't shown: its areas are those of another map, called {areas.map} "
                "when its sample was drawn."
            )
            continue
        return [
            {
                "class": c.name, "hectares": c.hectares.value, "low": c.hectares.lower,
                "high": c.hectares.upper, "level": areas.level,
            }
            for c in areas.classes if c.hectares is not None
        ]  # fmt: skip
    return None


def _title(first: RasterSource, labels: Sequence[str]) -> str:
    folder = first.path.absolute().parent.name
    return f"{folder}, {labels[0]} to {labels[-1]}" if len(labels) > 1 else folder


def _notes(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    notes = [
        f"Made by landshift {__version__}. The page loads nothing from elsewhere.",
        "Areas that are counted in a map's pixels are biased by its errors, and have no interval.",
    ]
    if any(entry["note"] for entry in entries):
        notes.append("Some layers are copies; see their notes.")
    return notes


def _crs_name(box: GeoBox) -> str:
    if box.crs is None:
        return "no CRS"
    if box.crs.epsg:
        return f"EPSG:{box.crs.epsg}"
    name = str(box.crs.proj.name)
    return "own CRS" if name in _NAMELESS else name


def _crs(box: GeoBox) -> dict[str, Any] | None:
    """Name, definition and scale of a page's CRS; None where it has none."""
    if box.crs is None:
        return None
    definition = None
    from pyproj.exceptions import CRSError

    proj = box.crs.proj
    with warnings.catch_warnings(), suppress(CRSError):  # local CRSs have no such definition
        warnings.simplefilter("ignore", UserWarning)  # that WKT says more
        definition = proj.to_proj4()
    axis = proj.axis_info[0] if proj.axis_info else None
    unit = "" if axis is None else _UNITS.get(axis.unit_name, axis.unit_name)
    try:
        bearing = grid.bearing(box)
        metres, north = bearing.metres / abs(box.affine.a), bearing.north
    except GridError:
        metres, north = None, None
    return {
        "name": _crs_name(box), "proj4": definition or None, "unit": unit,
        "geographic": bool(proj.is_geographic and not proj.is_derived), "metres": metres,
        "north": north, "axis": "enu",
    }  # fmt: skip


def _extent(sources: Sequence[RasterSource]) -> list[float]:
    """Left, bottom, right and top of all rasters of a page."""
    ends = []
    for source in sources:
        box = readable.placed(source.info.grid)
        a = box.affine
        ends.append((a.c, a.f + a.e * box.height, a.c + a.a * box.width, a.f))
    left, bottom, right, top = zip(*ends, strict=True)
    return [round(v, 9) for v in (min(left), min(bottom), max(right), max(top))]


def _grid(box: GeoBox) -> dict[str, Any]:
    transform = [float(v) for v in tuple(readable.placed(box).affine)[:6]]
    return {"width": box.width, "height": box.height, "transform": transform}


def _number(nodata: float | None) -> float | str | None:
    """A nodata value as JSON holds it."""
    if nodata is None or not np.isfinite(nodata):
        return None if nodata is None else "nan"
    return int(nodata) if float(nodata).is_integer() and abs(nodata) < 1 << 53 else float(nodata)
