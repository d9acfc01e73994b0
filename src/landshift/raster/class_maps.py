"""Class rasters: which of their values are classes, and with which names and colours."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift.classes import (
    UNLABELLED,
    ClassScheme,
    Colour,
    MapScheme,
    check_names,
    legend,
    legend_readers,
    means_none,
)
from landshift.errors import ClassError
from landshift.grid import Window
from landshift.raster import blockwise
from landshift.raster.reader import (
    NAMELESS,
    check_one_band,
    open_raster,
    read,
    reading,
    without_place,
)

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClassValues:
    """Which values of a class raster are classes; see `class_values`.

    Attributes:
        names: Name of each class that has one.
        zero: Whether 0 is a class.
        nodata: A value without a class, in addition to those that the file states, or None.
        unstated: Values whose meaning neither the file nor the caller states.
        listed: Whether the caller listed all classes.
        path: The raster.
        fill: Values other than 0 whose name means that they are no class ('Fill').
    """

    names: Mapping[int, str]
    zero: bool
    nodata: float | None = None
    unstated: tuple[int, ...] = ()
    listed: bool = False
    path: str = ""
    fill: frozenset[int] = frozenset()

    def name(self, value: int) -> str:
        """The name of a class that occurs.

        Raises:
            ClassError: All classes were listed, and this one isn't among them.
        """
        name = self.names.get(value)
        if name is None and self.listed:
            raise ClassError(
                "The classes given must name every value of the map, got no name for "
                f"{value} in {self.path}; add it, or set `nodata` to {value} if it is no class."
            )
        return name or f"class {value}"

    def named(self, values: Iterable[int]) -> dict[int, str]:
        """Names of the classes that occur, by value, ascending.

        Raises:
            ClassError: See `name`; or two of them share a name.
        """
        names = {value: self.name(value) for value in sorted(values)}
        check_names(names, self.path)
        return names

    def classed(self, values: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Mask of the pixels with a class.

        Args:
            values: ``(row, column)``.
            mask: ``(row, column)``, True where the pixel is valid.
        """
        if not self.zero:
            mask = mask & (values != UNLABELLED)
        if self.nodata is not None:
            mask = mask & (values != self.nodata)
        for value in self.fill:
            mask = mask & (values != value)
        return mask


def class_values(
    source: DatasetReader,
    *,
    names: Mapping[int, str] | None = None,
    nodata: float | None = None,
    labels: bool = False,
) -> ClassValues:
    """Which values of an open class raster are classes.

    Every value is a class, also 0 and negative values, with these exceptions: the file's nodata
    value and mask; ``nodata``; values whose name means that they are no class ('No data', 'Fill'),
    by ``names`` or, if these omit the value, by the file. 0 is no class either if the file declares
    no nodata and the list of classes omits it; the list is ``names`` or that of our own tag. In
    label rasters without nodata, 0 is unlabelled unless such a list names it.

    Args:
        source: The open raster.
        names: Names of all classes; None: as the file and those beside it state, maybe not all.
        nodata: A value without a class, in addition to those that the file states.
        labels: Whether the raster holds training labels, which needn't cover the ground.

    Raises:
        ClassError: The tag or a file beside it is damaged.
    """
    listed = names is not None or legend.TAG in source.tags()
    known = dict(_stated(source, source.name).names if names is None else names)
    if names is not None:
        with suppress(ClassError):  # a given list replaces a damaged one
            filed = _stated(source, source.name).names
            known |= {v: n for v, n in filed.items() if v not in known and means_none(n)}
    declared = _declares_nodata(source)
    unstated: list[int] = []
    if nodata == UNLABELLED or means_none(known.get(UNLABELLED, "")):
        zero = False
    elif (UNLABELLED in known and (listed or not labels)) or declared:
        zero = True
    else:
        zero = not listed and not labels
        unstated.append(UNLABELLED)
    kind = np.dtype(source.dtypes[0])
    if not declared and not labels and kind.kind == "i" and kind.itemsize > 1:
        least = int(np.iinfo(kind).min)  # many programs write it for 'no data'
        if least not in known and least != nodata:
            unstated.append(least)
    fill = frozenset(v for v, name in known.items() if v != UNLABELLED and means_none(name))
    none = {source.nodata, nodata, *fill} | (set() if zero else {UNLABELLED})
    kept = {value: name for value, name in known.items() if value not in none}
    return ClassValues(kept, zero, nodata, tuple(unstated), names is not None, source.name, fill)


def _declares_nodata(source: DatasetReader) -> bool:
    """Whether a class raster has a mask, or a nodata value within its pixel type."""
    from rasterio.enums import MaskFlags

    flags = source.mask_flag_enums[0]
    kind = np.dtype(source.dtypes[0])
    if source.nodata is None or kind.kind not in "iu":
        return MaskFlags.all_valid not in flags
    limits = np.iinfo(kind)
    return MaskFlags.per_dataset in flags or limits.min <= source.nodata <= limits.max


def warn_of_unstated(known: ClassValues) -> None:
    """Warn of pixels with a value of unstated meaning, and how it is read.

    This reads the raster, but only if it declares no nodata.

    Args:
        known: Which values of the raster are classes.

    Raises:
        RasterError: It can't be read.
    """
    if not known.unstated:
        return

    def counted(source: DatasetReader, block: blockwise.Block) -> list[int]:
        values, mask = read(source, block.window)
        return [int(np.count_nonzero((values[0] == v) & mask)) for v in known.unstated]

    counts = [0] * len(known.unstated)
    opened = partial(open_raster, known.path)
    with blockwise.results(_windows(known.path), "checking values", opened, counted) as results:
        for _, held in results:
            counts = [total + pixels for total, pixels in zip(counts, held, strict=True)]
    for value, pixels in zip(known.unstated, counts, strict=True):
        if not pixels:
            continue
        if value == UNLABELLED and not known.zero:
            log.warning(
                "%s: %s pixels of 0 count as without a class, since the file declares no nodata "
                "value and the classes omit 0; name 0 among them if it is a class.",
                known.path, f"{pixels:,}",
            )  # fmt: skip
        else:
            log.warning(
                "%s: %s pixels of %d count as a class, since the file declares no nodata value; "
                "set `nodata` to %d if they have no class.",
                known.path, f"{pixels:,}", value, value,
            )  # fmt: skip


def read_classes(
    source: DatasetReader, window: Window, known: ClassValues
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read a window of a class raster.

    Args:
        source: An open raster.
        window: Pixels to read, as for `read`.
        known: Which of its values are classes.

    Returns:
        The values, ``(row, column)``, and a mask, True where there is a class.

    Raises:
        ClassError: More than one band, or values that aren't whole numbers.
    """
    check_class_raster(source)
    values, mask = read(source, window)
    return values[0], known.classed(values[0], mask)


def check_class_raster(source: DatasetReader) -> None:
    """Check that an open raster can hold classes: one band of whole numbers, perhaps with alpha.

    Raises:
        ClassError: It has more bands, or other numbers.
    """
    check_one_band(source)
    if np.dtype(source.dtypes[0]).kind not in "iu":
        raise ClassError(
            f"A class raster must hold whole numbers, got {source.dtypes[0]} in {source.name}; "
            "convert it first (gdal_translate -ot)."
        )


def map_classes(
    path: Path | str, scheme: ClassScheme | None = None, nodata: float | None = None
) -> ClassValues:
    """The values of a class map that are classes; warns of values of unstated meaning.

    Args:
        path: The map.
        scheme: All its classes; None: as its files state, maybe not all.
        nodata: A value without a class, in addition to those that the file states.

    Raises:
        RasterError: See `open_raster`.
        ClassError: More than one band, or values that aren't whole numbers; the tag or a file
            beside it is damaged.
    """
    with open_raster(path) as source:
        check_class_raster(source)
        known = class_values(
            source, names=None if scheme is None else scheme.mapping, nodata=nodata
        )
    warn_of_unstated(known)
    return known


def legend_of(path: Path | str) -> legend.Legend:
    """Names of a class raster's classes, and colours of its values.

    They come from our own tag, the files beside it (`legend_readers.beside`), names inside it
    (VRT, ENVI, HFA), and the colour table; the first wins. Values that are no class have no name;
    see `class_values`.

    Raises:
        RasterError: See `open_raster`.
        ClassError: The tag or a file beside it is damaged.
    """
    with open_raster(path) as source:
        return legend.Legend(dict(class_values(source).names), _stated(source, path).colours)


def scheme_of(
    path: Path | str, *, nodata: float | None = None, labels: bool = False
) -> ClassScheme | None:
    """The classes of a class raster, as the file and those beside it state them, or None.

    Our own tag lists all classes. Without it, each value with a name or a pixel is a class; see
    `class_values`.

    Args:
        path: The raster.
        nodata: A value without a class, in addition to those that the file states.
        labels: As for `class_values`.

    Raises:
        RasterError: See `open_raster`.
        ClassError: The tag or a file beside it is damaged; or values that can't be classes.
    """
    with open_raster(path) as source:
        tagged = legend_readers.from_tags(source.tags(), path)
        if tagged is not None:
            return tagged
        stated = _stated(source, path)
        if not stated or not np.issubdtype(np.dtype(source.dtypes[0]), np.integer):
            return None
        known = class_values(source, nodata=nodata, labels=labels)
    values = known.names.keys() | values_in(known)
    if not values:
        return None
    return MapScheme.from_mapping(
        {v: known.names.get(v) or f"class {v}" for v in values},
        {v: c for v, c in stated.colours.items() if v in values},
    )


def read_scheme(path: Path | str) -> ClassScheme:
    """The classes in a file: a legend (`legend_readers.read_legend`), or a class raster.

    Raises:
        ClassError: The file holds no classes.
        RasterError: The raster can't be read.
    """
    if Path(path).suffix.lower() not in (".tif", ".tiff", ".img", ".vrt"):
        return legend_readers.read_classes(path)
    scheme = scheme_of(path)
    if scheme is None:
        raise ClassError(f"The raster must state its classes, got none in {path}; give a CSV.")
    return scheme


def present(values: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """The values that occur in valid pixels, ascending.

    Args:
        values: ``(row, column)``.
        mask: ``(row, column)``, True where the pixel is valid.
    """
    if not mask.any():
        return values[mask]
    if not mask.all():
        values = np.where(mask, values, values.flat[mask.argmax()])
    kind = values.dtype
    if kind.kind not in "iu" or kind.itemsize > 2:
        return np.unique(values)
    # few possible values: counting is faster than sorting
    counts = np.bincount(values.ravel().view(f"u{kind.itemsize}"))
    return np.sort(np.flatnonzero(counts).astype(f"u{kind.itemsize}").view(kind))


def values_in(known: ClassValues) -> set[int]:
    """The classes that occur in a class raster.

    Args:
        known: Which of its values are classes.

    Raises:
        RasterError: It can't be read.
    """

    def occurring(source: DatasetReader, block: blockwise.Block) -> NDArray[Any]:
        codes, mask = read(source, block.window)
        return present(codes[0], known.classed(codes[0], mask))

    values: set[int] = set()
    opened = partial(open_raster, known.path)
    with blockwise.results(_windows(known.path), "looking for classes", opened, occurring) as parts:
        for _, part in parts:
            values.update(part.tolist())
    return values


def _windows(path: str) -> list[Window]:
    with open_raster(path) as source:
        return list(blockwise.blocks(source.height, source.width))


def ranked(
    codes: NDArray[Any], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The class values of a window, ascending, and the place of each pixel's among them.

    Where there is no class the place is one more than the last.

    Args:
        codes: Values, ``(row, column)``.
        mask: ``(row, column)``, True where there is a class; see `read_classes`.
    """
    values = present(codes, mask)
    if codes.dtype.itemsize > 2:
        ranks = np.searchsorted(values, codes)
    else:
        unsigned = f"u{codes.dtype.itemsize}"
        table = np.zeros(1 << 8 * codes.dtype.itemsize, np.intp)
        table[values.view(unsigned)] = np.arange(values.size)
        ranks = table[codes.view(unsigned)]
    if not mask.all():
        ranks[~mask] = values.size
    return values.astype(np.int64), ranks


def holds_classes(source: DatasetReader) -> bool:
    """Whether an open raster's values are classes, by the file and those beside it.

    It must have one integer band, and our tag, a colour table other than a grey ramp, or names of
    values in ``.aux.xml`` or ``.vat.dbf``. A style (``.qml``, ``.clr``) isn't enough: elevation
    rasters have them too.

    Raises:
        ClassError: A table beside it is damaged.
    """
    from rasterio.enums import ColorInterp

    if source.count != 1 or not np.issubdtype(np.dtype(source.dtypes[0]), np.integer):
        return False
    if legend.TAG in source.tags():
        return True
    if source.colorinterp[0] == ColorInterp.palette:
        colours = colours_of(source).values()
        if any(len(set(colour)) > 1 for colour in colours):
            return True
    return bool(
        legend_readers.tables_beside(Path(source.name)).or_else(_legend_inside(source)).names
    )


def _stated(source: DatasetReader, path: Path | str) -> legend.Legend:
    """Names and colours of values, classes or not, as the file and those beside it state."""
    tagged = legend_readers.from_tags(source.tags(), path)
    own = legend.Legend() if tagged is None else legend.Legend(tagged.mapping, tagged.colours)
    own = own.or_else(legend_readers.beside(Path(path))).or_else(_legend_inside(source))
    return own.or_else(legend.Legend({}, colours_of(source)))


def _legend_inside(source: DatasetReader) -> legend.Legend:
    """Category names and the attribute table inside a raster's format (VRT, ENVI, HFA).

    rasterio reads neither; GDAL writes both into the description of a virtual copy.
    """
    import rasterio.shutil

    if source.driver in NAMELESS:
        return legend.Legend()
    if source.driver == "VRT":
        return legend_readers.from_vrt(
            source.tags(ns="xml:VRT").get("xml:VRT", "<VRTDataset/>"), source.name
        )
    copy = f"/vsimem/{uuid.uuid4().hex}.vrt"
    with reading(source.name):
        try:
            rasterio.shutil.copy(source, copy, driver="VRT")
            with without_place():
                opened = rasterio.open(copy)
            with opened as virtual:
                description = virtual.tags(ns="xml:VRT")["xml:VRT"]
        finally:
            if rasterio.shutil.exists(copy):
                rasterio.shutil.delete(copy, driver="VRT")
    return legend_readers.from_vrt(description, source.name)


def colours_of(source: DatasetReader) -> dict[int, Colour]:
    """The colour of each value in an open raster's colour table; empty if it has none."""
    try:
        table = source.colormap(1)
    except ValueError:
        return {}
    return {value: (c[0], c[1], c[2]) for value, c in table.items()}
