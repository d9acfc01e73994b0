"""Reading of tile sets, our own and those of ArcGIS Pro, with or without side files."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from landshift.classes import UNLABELLED, ClassScheme, Colour, colour_of
from landshift.errors import ClassError, OutputError, RasterError, TileSetError, listed
from landshift.files import archive, provenance, whole
from landshift.machine import parallel, progress
from landshift.tileset import esri
from landshift.tileset.index import read_index, read_provenance, write_index
from landshift.tileset.tiles import (
    BandFacts,
    Bounds,
    Contents,
    PixelFacts,
    SecondInput,
    Tile,
    TileFiles,
    TileSet,
    bounds_of,
    cell_size_of,
    count_values,
    measure_bands,
    open_tile,
    read_labels,
    read_whole,
    weights_fit,
)

logger = logging.getLogger(__name__)

_IMAGE_SUFFIXES = {".tif", ".tiff", ".png", ".jpg", ".jpeg", ".mrf"}
_NAMED_AT_MOST = 3  # files that an error lists for each kind of problem
_UNPACKED = ".landshift-unpacked"


def read(
    folder: Path,
    scheme: ClassScheme | None = None,
    *,
    on_tile: Callable[[int, int], None] | None = None,
) -> TileSet:
    """Read a tile set, without its pixels.

    The index beside the side files is used while it is up to date: the same files of the same
    sizes, none newer than the index. Otherwise every tile is opened and checked once, one error
    lists all problems, and the index is written if the folder is writable.

    Args:
        folder: A 'Classified Tiles' folder, or a zip of one, which is unpacked beside itself.
        scheme: Classes of the labels; None: those of the side files, else each value is named
            ``class N``.
        on_tile: Called after each opened tile with the tiles done and all tiles; not called if the
            index is up to date.

    Raises:
        TileSetError: No such folder, no tiles, an image without its label, tiles that can't be
            read or differ in size, bands or pixel type; a damaged side file or zip.
        ClassError: A label value outside the classes, if there is no other problem.
    """
    folder = root_of(Path(folder))
    files = _files_of(folder)
    stated = _stated_scheme(folder) if scheme is None else (scheme, "the class mapping")
    contents = read_index(folder, files)
    if contents is None:
        contents = scan(files, None if stated is None else stated[0], on_tile)
        _try_to_index(folder, contents)
    known, where = stated or (_scheme_of_labels(folder, contents), "the labels")
    check_values(contents.tiles, known, where)
    return TileSet(
        **{**vars(contents), "bands": _band_names(folder, contents)},
        folder=folder,
        scheme=known,
        map_scheme=_map_scheme(folder, contents),
    )


def class_colours(folder: Path) -> dict[int, Colour]:
    """Colours of label values in the side files of a tile set; empty if there are none.

    Args:
        folder: As in `read`.

    Raises:
        TileSetError: No such folder, or a damaged side file or zip.
    """
    classes = esri.read_classes(root_of(Path(folder)))
    if classes is None:
        return {}
    coloured = [e for e in classes[0] if colour_of(e) is not None]
    return ClassScheme.from_list(coloured).colours if coloured else {}


def has_class_maps(folder: Path) -> bool:
    """Whether a set carries class maps.

    Args:
        folder: The set's root.
    """
    return all((folder / name).is_dir() for name in (esri.BEFORE, esri.AFTER))


def sizes_of_set(folder: Path) -> tuple[tuple[int, int], tuple[int, int] | None]:
    """Tile size of a set, and its stride where its index states that, each as rows and columns.

    Args:
        folder: The set's root.

    Raises:
        TileSetError: It holds no tile.
        RasterError: Its first tile can't be read.
    """
    with open_tile(_files_of(folder)[0].image) as source:
        tile = (source.height, source.width)
    record = read_provenance(folder) or {}
    options = record.get("parameters")
    stride = options.get("stride") if isinstance(options, dict) else None
    if isinstance(stride, list) and len(stride) == 2 and all(isinstance(n, int) for n in stride):
        return tile, (stride[0], stride[1])
    return tile, (stride, stride) if isinstance(stride, int) else None


def read_sensor(folder: Path) -> str | None:
    """Name of the sensor in the side files of a tile set, or None.

    Args:
        folder: As in `read`.

    Raises:
        TileSetError: No such folder, or a damaged side file or zip.
    """
    return esri.read_sensor(root_of(Path(folder)))


def scan(
    files: Sequence[TileFiles],
    scheme: ClassScheme | None = None,
    on_tile: Callable[[int, int], None] | None = None,
) -> Contents:
    """Contents of tiles, by opening each of them.

    Args:
        files: Files of each tile; at least one tile.
        scheme: Classes of the labels, if known: values outside them are reported with other
            problems (alone, they are left to `check_values`).
        on_tile: Called after each tile with the tiles done and all tiles.

    Raises:
        TileSetError: Tiles that are missing, can't be read, or differ in size, bands or pixel
            type; one message counts them by kind of problem.
    """
    results: list[_Look | _Problem] = []
    with parallel.in_order(files, nullcontext, _look_at) as looked_at:
        for result in progress.each(looked_at, "index tiles", len(files)):
            results.append(result)
            if on_tile is not None:
                on_tile(len(results), len(files))
    looks = [r for r in results if isinstance(r, _Look)]
    problems = [r for r in results if isinstance(r, _Problem)]
    if looks:
        usual = _usual(looks)
        problems += [d for d in (_difference(look, usual) for look in looks) if d]
    if problems and scheme is not None:
        problems += [p for p in (_strange_values(look, scheme) for look in looks) if p]
    _refuse(problems, len(files))
    first = looks[0]
    cell_sizes = [look.cell_size for look in looks if look.cell_size]
    return Contents(
        bands=first.kind.bands,
        dtype=first.kind.dtype,
        nodata=first.nodata,
        height=first.kind.height,
        width=first.kind.width,
        cell_size=cell_sizes[0] if cell_sizes else None,
        tiles=tuple(look.tile() for look in looks),
        second=first.second,
    )


def check_values(tiles: Sequence[Tile], scheme: ClassScheme, where: str) -> None:
    """Check that labels have no value outside the classes.

    Args:
        tiles: The tiles.
        scheme: The classes.
        where: Source of the classes, for the error.

    Raises:
        ClassError: A tile has another value.
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


class _Problem(NamedTuple):
    """A problem with a tile."""

    what: str
    path: Path
    detail: str = ""


class _Kind(NamedTuple):
    """Properties that the tiles of a set share; band names may differ."""

    height: int
    width: int
    bands: tuple[str, ...]
    dtype: str
    second: tuple[int, str] | None

    @property
    def shape(self) -> tuple[Any, ...]:
        return self.height, self.width, len(self.bands), self.dtype, self.second


@dataclass(frozen=True)
class _Look:
    """Properties and statistics of one tile."""

    files: TileFiles
    kind: _Kind
    nodata: float | None
    second: SecondInput | None
    cell_size: tuple[float, float] | None
    bounds: Bounds | None
    crs: str | None
    facts: PixelFacts

    def tile(self) -> Tile:
        return Tile(
            name=self.files.image.stem,
            **self.files._asdict(),
            bounds=self.bounds,
            crs=self.crs,
            **vars(self.facts),
        )


def _look_at(_: None, files: TileFiles) -> _Look | _Problem:
    """Open a tile: its properties, or its problem."""
    gone = [p for p in files.there if not p.is_file()]
    if gone:
        return _Problem("missing", gone[0])
    opening = files.label
    try:
        labels = _look_at_labels(files.label)
        if isinstance(labels, _Problem):
            return labels
        maps = []
        for opening in filter(None, (files.before, files.after)):
            values = _look_at_labels(opening, labels.shape)
            if isinstance(values, _Problem):
                return values
            maps.append(count_values(values))
        weight: float | _Problem | None = None
        if files.weights is not None:
            opening = files.weights
            weight = _look_at_weights(opening, labels.shape)
        if isinstance(weight, _Problem):
            return weight
        opening = files.image
        with open_tile(files.image) as source:
            if labels.shape != source.shape:
                size = "x".join(map(str, source.shape))
                beside = f"{labels.shape[0]}x{labels.shape[1]} beside an image of {size}"
                return _Problem("of another size", files.label, beside)
            if len(set(source.dtypes)) > 1:
                return _Problem("of several pixel types", files.image)
            values, mask = read_whole(source)
            bands = tuple(d or "" for d in source.descriptions)
            dtype, nodata = str(source.dtypes[0]), source.nodata
            transform, crs = source.transform, source.crs
        second, second_facts = None, None
        if files.image2 is not None:
            opening = files.image2
            second, second_facts = _look_at_second(opening)
        kind = None if second is None else (len(second.bands), second.dtype)
        before, after = maps or (None, None)
        return _Look(
            files=files,
            kind=_Kind(labels.shape[0], labels.shape[1], bands, dtype, kind),
            nodata=nodata,
            second=second,
            cell_size=cell_size_of(transform),
            bounds=bounds_of(transform, *labels.shape),
            crs=None if crs is None else name_crs(crs.wkt),
            facts=PixelFacts(
                class_pixels=count_values(labels),
                second=second_facts,
                before_pixels=before,
                after_pixels=after,
                weight=weight,
                **vars(measure_bands(values, mask)),
            ),
        )
    except RasterError:
        return _Problem("unreadable", opening)


def _look_at_labels(path: Path, shape: tuple[int, ...] | None = None) -> Any:
    """The label values of a file, or its problem."""
    with open_tile(path) as source:
        if source.count != 1:
            return _Problem("of several bands", path, f"{source.count} bands instead of one")
        if not np.issubdtype(np.dtype(source.dtypes[0]), np.integer):
            return _Problem("no integers", path, f"{source.dtypes[0]}")
        if shape is not None and source.shape != shape:
            size = "x".join(map(str, source.shape))
            return _Problem("of another size", path, f"{size} beside labels of {shape}")
        return read_labels(source)


def _look_at_weights(path: Path, shape: tuple[int, ...]) -> float | _Problem:
    """The sum of the weights of a file, or its problem."""
    with open_tile(path) as source:
        if source.count != 1 or source.shape != shape:
            size = "x".join(map(str, (source.count, *source.shape)))
            return _Problem("of another size", path, f"{size} beside labels of {shape}")
        values, mask = read_whole(source)
    weights = np.where(mask, values[0], 0)
    if not weights_fit(weights):
        return _Problem("weights outside 0 to 1", path)
    return float(weights.sum(dtype=np.float64))


def _look_at_second(path: Path) -> tuple[SecondInput, BandFacts]:
    with open_tile(path) as source:
        values, mask = read_whole(source)
        second = SecondInput(
            tuple(d or "" for d in source.descriptions), str(source.dtypes[0]), source.nodata
        )
    return second, measure_bands(values, mask)


def _usual(looks: Sequence[_Look]) -> _Kind:
    """Properties of most tiles; an error lists the others."""
    kinds = Counter(look.kind.shape for look in looks)
    shape = kinds.most_common(1)[0][0]
    return next(look.kind for look in looks if look.kind.shape == shape)


def _difference(look: _Look, usual: _Kind) -> _Problem | None:
    """How a tile differs from most tiles, if it does."""
    kind, image = look.kind, look.files.image
    if (kind.height, kind.width) != (usual.height, usual.width):
        sizes = f"{kind.height}x{kind.width} and not {usual.height}x{usual.width}"
        return _Problem("of another size", image, sizes)
    if len(kind.bands) != len(usual.bands):
        counts = f"{len(kind.bands)} and not {len(usual.bands)}"
        return _Problem("of another number of bands", image, counts)
    if kind.dtype != usual.dtype:
        return _Problem("of another pixel type", image, f"{kind.dtype} and not {usual.dtype}")
    if kind.second != usual.second:
        return _Problem("unlike in the second input", look.files.image2 or image)
    return None


def _strange_values(look: _Look, scheme: ClassScheme) -> _Problem | None:
    strange = sorted(set(look.facts.class_pixels) - {UNLABELLED, *scheme.values})
    if not strange:
        return None
    return _Problem("of unknown classes", look.files.label, ", ".join(map(str, strange[:8])))


def _refuse(problems: Sequence[_Problem], count: int) -> None:
    """Raise one error with all problems by kind, and the first few files of each."""
    if not problems:
        return
    kinds: dict[str, list[_Problem]] = {}
    for problem in problems:
        kinds.setdefault(problem.what, []).append(problem)
    parts = []
    for what, own in kinds.items():
        named = [f"{p.path} ({p.detail})" if p.detail else str(p.path) for p in own]
        parts.append(f"{len(own)} {what}: {listed(named, _NAMED_AT_MOST)}")
    bad = len({p.path.stem for p in problems})
    raise TileSetError(
        "Tiles must exist, be readable (TIFF, PNG, JPEG) and alike, got "
        f"{bad} of {count} that aren't: {'; '.join(parts)}; export the set again or remove them."
    )


@lru_cache(maxsize=64)
def name_crs(wkt: str) -> str:
    """A CRS as ``EPSG:n`` if it has a code, else as WKT."""
    from rasterio.crs import CRS

    return str(CRS.from_wkt(wkt).to_string())


def root_of(path: Path) -> Path:
    """The folder with ``images``: the given one, one inside it, or an unpacked zip."""
    if not whole.repaired(path).exists():
        raise TileSetError(f"The tile set must exist, got {path}; check the path.")
    folder = _unpacked(path) if path.is_file() else path
    if not (folder / "images").is_dir():
        inside = [p for p in sorted(folder.iterdir()) if (p / "images").is_dir()]
        if len(inside) == 1:
            return inside[0]
    return folder


def _unpacked(path: Path) -> Path:
    """The folder beside a zip with its unpacked files."""
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
        return folder  # unpacked completely by us, or by hand
    with whole.whole_folder(folder) as part:
        archive.unpack(path, part, error=TileSetError)
        (part / _UNPACKED).write_text(digest)
    return folder


def _files_of(folder: Path) -> list[TileFiles]:
    """Files of each tile, by name."""
    for name in ("images", "labels"):
        if not (folder / name).is_dir():
            raise TileSetError(
                f"A tile set must hold the folders images and labels, got no {name} in {folder}; "
                "give the folder that Export Training Data (or landshift) wrote."
            )
    files = esri.read_map(folder)
    files = _files_by_stem(folder) if files is None else files
    if not files:
        raise TileSetError(f"A tile set must hold a tile, got none in {folder}; export it again.")
    before, after = folder / esri.BEFORE, folder / esri.AFTER
    if has_class_maps(folder):
        files = [
            f._replace(before=before / f.label.name, after=after / f.label.name) for f in files
        ]
    if (folder / esri.WEIGHTS).is_dir():
        weights = folder / esri.WEIGHTS
        files = [f._replace(weights=weights / f"{f.label.stem}.tif") for f in files]
    return sorted(set(files), key=lambda own: str(own.image))


def _files_by_stem(folder: Path) -> list[TileFiles]:
    images, labels = (_by_stem(folder / name) for name in ("images", "labels"))
    seconds = _by_stem(folder / "images2") if (folder / "images2").is_dir() else None
    spare = sorted(labels.keys() - images.keys())
    if spare and images:
        logger.warning("%s: %d labels without an image are left out.", folder, len(spare))
    missing, other = folder / "labels", folder / "images2"
    return [
        TileFiles(
            p,
            labels.get(s, missing / p.name),
            None if seconds is None else seconds.get(s, other / p.name),
        )
        for s, p in images.items()
    ]


def _by_stem(folder: Path) -> dict[str, Path]:
    return {p.stem: p for p in _files_below(folder) if p.suffix.lower() in _IMAGE_SUFFIXES}


def _files_below(folder: Path) -> list[Path]:
    """Files of a folder and its subfolders, without hidden ones."""
    files: list[Path] = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                files += _files_below(folder / entry.name)
            else:
                files.append(folder / entry.name)
    return files


def _try_to_index(folder: Path, contents: Contents) -> None:
    try:
        write_index(folder, contents, read_provenance(folder))
    except OutputError as error:
        logger.info("The tile set has no index: %s", error)


def _stated_scheme(folder: Path) -> tuple[ClassScheme, str] | None:
    """The classes in the side files, and the file that states them."""
    classes = esri.read_classes(folder)
    if classes is None:
        return None
    return ClassScheme.from_list(classes[0]), f"the classes of {classes[1]}"


def _scheme_of_labels(folder: Path, contents: Contents) -> ClassScheme:
    """The classes that occur in the labels, named by value."""
    values = set().union(*(t.class_pixels for t in contents.tiles)) - {UNLABELLED}
    if not values:
        raise TileSetError(
            f"Labels must hold a class, got only 0 (unlabelled) in {folder}; "
            "give a class mapping if 0 is a class."
        )
    return ClassScheme.from_mapping({v: f"class {v}" for v in values})


def _map_scheme(folder: Path, contents: Contents) -> ClassScheme | None:
    """The classes of the class maps, from the file beside them, else named by value."""
    if contents.tiles[0].before is None:
        return None
    entries = esri.read_map_classes(folder)
    if entries is not None:
        return ClassScheme.from_list(entries)
    counts = (c for t in contents.tiles for c in (t.before_pixels, t.after_pixels) if c)
    values = set().union(*counts) - {UNLABELLED}
    return ClassScheme.from_mapping({v: f"class {v}" for v in values}) if values else None


def _band_names(folder: Path, contents: Contents) -> tuple[str, ...]:
    if any(contents.bands):
        return contents.bands
    named = esri.read_band_names(folder)
    return named if len(named) == len(contents.bands) else contents.bands
