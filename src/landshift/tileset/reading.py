"""Reading tile sets: ours, and those that ArcGIS Pro wrote, with or without side files."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from landshift import archive, ledger, provenance
from landshift.classes import UNLABELLED, ClassScheme, Colour
from landshift.errors import ClassError, OutputError, RasterError, TileSetError
from landshift.tileset import esri
from landshift.tileset.index import Pair, read_index, read_provenance, write_index
from landshift.tileset.tiles import (
    Bounds,
    Contents,
    PixelFacts,
    Tile,
    TileSet,
    bounds_of,
    cell_size_of,
    measure,
    open_tile,
    read_labels,
    read_whole,
)

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

logger = logging.getLogger(__name__)

_IMAGE_SUFFIXES = {".tif", ".tiff", ".png", ".jpg", ".jpeg", ".mrf"}
_NAMED_AT_MOST = 4  # files that an error names
_UNPACKED = ".landshift-unpacked"


def read(folder: Path, scheme: ClassScheme | None = None) -> TileSet:
    """Read a tile set: what it holds, not yet its pixels.

    The index beside the side files is used while it is up to date: the same files, the same
    sizes, none newer than the index. Else every tile is opened once, and the index written where
    the folder allows.

    Args:
        folder: A 'Classified Tiles' folder, or a zip of one, which is unpacked beside itself.
        scheme: Classes of the labels; None: those of the side files, else each value found is
            named ``class N``.

    Raises:
        TileSetError: No such folder, no tiles, an image without its label, tiles that can't be
            read or differ in size, bands or pixel type; a damaged side file or zip.
        ClassError: A label value outside the classes.
    """
    folder = _root_of(Path(folder))
    pairs = _pairs_of(folder)
    contents = read_index(folder, pairs)
    if contents is None:
        contents = scan(pairs)
        _try_to_index(folder, contents)
    known, where = _scheme_of(folder, contents) if scheme is None else (scheme, "the class mapping")
    check_values(contents.tiles, known, where)
    return TileSet(
        folder=folder,
        scheme=known,
        bands=_band_names(folder, contents),
        dtype=contents.dtype,
        nodata=contents.nodata,
        height=contents.height,
        width=contents.width,
        cell_size=contents.cell_size,
        tiles=contents.tiles,
    )


def class_colours(folder: Path) -> dict[int, Colour]:
    """Colours that the side files of a tile set give to label values; empty where they don't.

    Args:
        folder: As in `read`.

    Raises:
        TileSetError: No such folder, or a damaged side file or zip.
    """
    found = esri.read_classes(_root_of(Path(folder)))
    if found is None:
        return {}
    coloured = [e for e in found[0] if _has_colour(e)]
    return ClassScheme.from_list(coloured).colours if coloured else {}


def scan(pairs: Sequence[Pair]) -> Contents:
    """What tiles hold, found by opening each of them.

    Args:
        pairs: Image and label of each tile, at least one.

    Raises:
        TileSetError: Tiles that can't be read, or differ in size, bands or pixel type.
    """
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = list(pool.map(_look_at, pairs))
    looks = [f for f in found if isinstance(f, _Look)]
    problems = [f for f in found if isinstance(f, str)]
    problems += [d for d in (_difference(look, looks[0]) for look in looks[1:]) if d]
    _refuse(problems, "Tiles must be readable and alike", "export the set again or remove them")
    first = looks[0]
    cell_sizes = [look.cell_size for look in looks if look.cell_size]
    return Contents(
        bands=first.bands,
        dtype=first.dtype,
        nodata=first.nodata,
        height=first.height,
        width=first.width,
        cell_size=cell_sizes[0] if cell_sizes else None,
        tiles=tuple(look.tile() for look in looks),
    )


def check_values(tiles: Sequence[Tile], scheme: ClassScheme, where: str) -> None:
    """Check that labels hold no value outside the classes.

    Args:
        tiles: The tiles.
        scheme: The classes.
        where: Where the classes come from, for the error.

    Raises:
        ClassError: A tile holds another value.
    """
    known = {UNLABELLED, *scheme.values}
    bad = [t for t in tiles if not known.issuperset(t.class_pixels)]
    if bad:
        values = sorted(set().union(*(t.class_pixels for t in bad)) - known)
        raise ClassError(
            f"Label values must be in {where} {list(scheme.values)} (or 0, unlabelled), got "
            f"{', '.join(map(str, values[:8]))} in {bad[0].label} and {len(bad) - 1} more files; "
            "add them to the class mapping or recode them."
        )


@dataclass(frozen=True)
class _Look:
    """What one tile turned out to be."""

    image: Path
    label: Path
    bands: tuple[str, ...]
    dtype: str
    nodata: float | None
    height: int
    width: int
    cell_size: tuple[float, float] | None
    bounds: Bounds | None
    crs: str | None
    facts: PixelFacts

    def tile(self) -> Tile:
        return Tile(
            name=self.image.stem,
            image=self.image,
            label=self.label,
            bounds=self.bounds,
            crs=self.crs,
            **vars(self.facts),
        )


def _look_at(pair: Pair) -> _Look | str:
    """What a tile is, or what is wrong with it."""
    image, label = pair
    opening = label
    try:
        with open_tile(label) as source:
            problem = _label_problem(source)
            labels = None if problem else read_labels(source)
        if labels is None:
            return f"{label} {problem}"
        opening = image
        with open_tile(image) as source:
            if labels.shape != source.shape:
                size = "x".join(map(str, source.shape))
                return f"{label} is {labels.shape[0]}x{labels.shape[1]} beside an image of {size}"
            if len(set(source.dtypes)) > 1:
                return f"{image} has bands of several pixel types"
            values, mask = read_whole(source)
            return _Look(
                image=image,
                label=label,
                bands=tuple(d or "" for d in source.descriptions),
                dtype=str(source.dtypes[0]),
                nodata=source.nodata,
                height=source.height,
                width=source.width,
                cell_size=cell_size_of(source.transform),
                bounds=bounds_of(source.transform, source.height, source.width),
                crs=None if source.crs is None else name_crs(source.crs.wkt),
                facts=measure(values, mask, labels),
            )
    except RasterError:
        return f"{opening} can't be read"


def _label_problem(source: DatasetReader) -> str | None:
    if source.count != 1:
        return f"has {source.count} bands instead of one"
    if not np.issubdtype(np.dtype(source.dtypes[0]), np.integer):
        return f"holds {source.dtypes[0]} instead of integers"
    return None


def _difference(look: _Look, first: _Look) -> str | None:
    """How a tile differs from the first one, if it does."""
    if (look.height, look.width) != (first.height, first.width):
        return f"{look.image} is {look.height}x{look.width} and not {first.height}x{first.width}"
    if len(look.bands) != len(first.bands):
        return f"{look.image} has {len(look.bands)} bands and not {len(first.bands)}"
    if look.dtype != first.dtype:
        return f"{look.image} holds {look.dtype} and not {first.dtype}"
    return None


@lru_cache(maxsize=64)
def name_crs(wkt: str) -> str:
    """A CRS as ``EPSG:n`` where it has a code, else as WKT."""
    from rasterio.crs import CRS

    return str(CRS.from_wkt(wkt).to_string())


def _root_of(path: Path) -> Path:
    """The folder that holds ``images``: the one given, one inside it, or one unpacked."""
    if not path.exists():
        raise TileSetError(f"The tile set must exist, got {path}; check the path.")
    folder = _unpacked(path) if path.is_file() else path
    if not (folder / "images").is_dir():
        inside = [p for p in sorted(folder.iterdir()) if (p / "images").is_dir()]
        if len(inside) == 1:
            return inside[0]
    return folder


def _unpacked(path: Path) -> Path:
    """The folder beside a zip that holds its files."""
    folder = path.with_suffix("")
    if folder == path:
        raise TileSetError(f"A tile set must be a folder or a .zip, got the file {path}.")
    digest = provenance.fingerprint(path)
    if folder.is_dir() and any(folder.iterdir()):
        mark = folder / _UNPACKED
        if mark.is_file() and mark.read_text() != digest:
            raise TileSetError(
                f"The folder beside a zip must hold what the zip holds, got {folder} from an "
                f"earlier {path.name}; remove the folder, or give it instead of the zip."
            )
        return folder  # it was written whole by us, or unpacked by hand
    with ledger.whole_folder(folder) as part:
        archive.unpack(path, part, error=TileSetError)
        (part / _UNPACKED).write_text(digest)
    return folder


def _pairs_of(folder: Path) -> list[Pair]:
    """Image and label of each tile, by name."""
    for name in ("images", "labels"):
        if not (folder / name).is_dir():
            raise TileSetError(
                f"A tile set must hold the folders images and labels, got no {name} in {folder}; "
                "give the folder that Export Training Data (or landshift) wrote."
            )
    if (folder / "images2").is_dir():
        logger.warning("%s holds a second input (images2); only the first is read.", folder)
    pairs = esri.read_map(folder)
    pairs = _pairs_by_stem(folder) if pairs is None else pairs
    if not pairs:
        raise TileSetError(f"A tile set must hold a tile, got none in {folder}; export it again.")
    there = {p for name in ("images", "labels") for p in _files_below(folder / name)}
    gone = [f"{p} is missing" for pair in pairs for p in pair if p not in there]
    _refuse(gone, "Images and their labels must all be there", "export the set again")
    return sorted(set(pairs))


def _pairs_by_stem(folder: Path) -> list[Pair]:
    images, labels = (_by_stem(folder / name) for name in ("images", "labels"))
    spare = sorted(labels.keys() - images.keys())
    if spare and images:
        logger.warning("%s: %d labels without an image are left out.", folder, len(spare))
    missing = folder / "labels"
    return [(p, labels.get(s, missing / p.name)) for s, p in images.items()]


def _by_stem(folder: Path) -> dict[str, Path]:
    return {p.stem: p for p in _files_below(folder) if p.suffix.lower() in _IMAGE_SUFFIXES}


def _files_below(folder: Path) -> list[Path]:
    """Files of a folder and of those in it, hidden ones left out."""
    found: list[Path] = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                found += _files_below(folder / entry.name)
            else:
                found.append(folder / entry.name)
    return found


def _refuse(problems: Sequence[str], rule: str, cure: str) -> None:
    if problems:
        more = len(problems) - _NAMED_AT_MOST
        rest = f" and {more} more" if more > 0 else ""
        raise TileSetError(
            f"{rule}, got {len(problems)} that aren't: {', '.join(problems[:_NAMED_AT_MOST])}"
            f"{rest}; {cure}."
        )


def _try_to_index(folder: Path, contents: Contents) -> None:
    try:
        write_index(folder, contents, read_provenance(folder))
    except OutputError as error:
        logger.info("The tile set stays without an index: %s", error)


def _scheme_of(folder: Path, contents: Contents) -> tuple[ClassScheme, str]:
    """The classes of a set, and where they come from."""
    found = esri.read_classes(folder)
    if found is not None:
        return ClassScheme.from_list(found[0]), f"the classes of {found[1]}"
    values = set().union(*(t.class_pixels for t in contents.tiles)) - {UNLABELLED}
    if not values:
        raise TileSetError(
            f"Labels must hold a class, got only 0 (unlabelled) in {folder}; "
            "give a class mapping if 0 is a class."
        )
    return ClassScheme.from_mapping({v: f"class {v}" for v in values}), "the labels"


def _band_names(folder: Path, contents: Contents) -> tuple[str, ...]:
    if any(contents.bands):
        return contents.bands
    named = esri.read_band_names(folder)
    return named if len(named) == len(contents.bands) else contents.bands


def _has_colour(entry: dict[str, Any]) -> bool:
    colour = entry.get("Color")
    return isinstance(colour, list) and len(colour) >= 3 and all(0 <= c < 256 for c in colour)
