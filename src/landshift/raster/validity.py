"""Valid pixels of a raster: one rule for every way of reading it.

A pixel is valid where every band read is valid: finite, different from that band's own nodata
value, and hidden neither by a mask (in the file, in a ``.msk`` beside it, or of a VRT) nor by an
alpha band. An alpha band counts for any number of bands, unless it is itself read as a band. A
nodata value from the user replaces those of the file.

When a raster is resampled, a band's values come from its own valid pixels alone. Their validity is
that of GDAL's warper: neither mask nor alpha hides the source pixel under the centre, and that
pixel (in files of several bands: one of those that contribute) isn't nodata; for methods that use
an area (average, mode, ...), any pixel of the area is valid.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift.machine import parallel

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

_ROWS = 32  # rows compared at once; they fit the CPU cache

_ALPHA_WORDS = ("alpha", "mask", "opacity", "transparen", "valid")


@dataclass(frozen=True)
class Validity:
    """The nodata values, masks and alpha that decide which pixels of some bands are valid.

    Attributes:
        bands: Numbers of the bands, from 1.
        nodata: Nodata value of each band; None if it has none that its pixel type can hold.
        also: A second nodata value of every band, or None.
        masks: Numbers of bands whose masks count; a single one if they share it.
        alpha: Number of the alpha band that counts, or None.
        hidden: Whether GDAL itself would apply a mask or alpha band that doesn't count here.
    """

    bands: tuple[int, ...]
    nodata: tuple[float | None, ...]
    also: float | None
    masks: tuple[int, ...]
    alpha: int | None
    hidden: bool

    def mask(self, source: DatasetReader, values: NDArray[Any], **where: Any) -> NDArray[np.bool_]:
        """Mask ``(row, column)`` of the pixels that are valid in all bands read.

        Args:
            source: The open raster.
            values: The values read, ``(band, row, column)``.
            where: The window and shape that they were read with.
        """
        valid = self.of_values(values)
        if "out_shape" in where:
            where = {**where, "out_shape": valid.shape}
        for number in self.masks:
            valid &= source.read_masks(number, **where) > 0
        if self.alpha is not None:
            valid &= source.read(self.alpha, **where) > 0
        return valid

    def of_values(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Mask ``(row, column)`` of the values that are finite and no nodata value."""
        valid = np.ones(values.shape[1:], np.bool_)
        floats = values.dtype.kind in "fc"
        if not floats and self.also is None and not any(n is not None for n in self.nodata):
            return valid
        for row in range(0, len(valid), _ROWS):
            rows = slice(row, row + _ROWS)
            for none, band in zip(self.nodata, values, strict=True):
                for value in (none, self.also):
                    if value is not None and math.isfinite(value):
                        valid[rows] &= _differs(band[rows], value)
                if floats:
                    valid[rows] &= np.isfinite(band[rows])
        return valid

    def pick(self, places: Sequence[int]) -> Validity:
        """The validity of some of the bands, by index in `bands`, from their values alone."""
        return Validity(
            tuple(self.bands[k] for k in places), tuple(self.nodata[k] for k in places), self.also,
            (), None, hidden=False,
        )  # fmt: skip


def of(
    source: DatasetReader,
    bands: Sequence[int] | None = None,
    *,
    nodata: float | None = None,
    also: float | None = None,
    alpha: bool = True,
) -> Validity:
    """The validity of some bands of a raster; see the module for the rule.

    Args:
        source: An open raster.
        bands: Numbers of the bands, from 1; None: all but an alpha band.
        nodata: Nodata value that replaces those of the file; None: those of the file.
        also: A further nodata value.
        alpha: Whether an alpha band counts; it never does if it is among the bands.
    """
    from rasterio.enums import ColorInterp, MaskFlags

    own = alpha_of(source)
    numbers = tuple(bands) if bands is not None else tuple(k for k in source.indexes if k != own)
    kind = np.dtype(source.dtypes[0])
    none = [nodata if nodata is not None else source.nodatavals[k - 1] for k in numbers]
    masks: list[int] = []
    taken_for_alpha = False
    flags = source.mask_flag_enums
    for number in numbers:
        kinds = set(flags[number - 1])
        if MaskFlags.alpha in kinds:
            taken_for_alpha = True
        elif kinds == {MaskFlags.per_dataset} or not kinds:
            if not kinds or not any(flags[k - 1] == flags[number - 1] for k in masks):
                masks.append(number)
        elif {MaskFlags.per_dataset, MaskFlags.nodata} <= kinds and nodata is None and not masks:
            masks.append(number)  # valid unless all bands have their value of NODATA_VALUES
    counted = own if alpha and own is not None and own not in numbers else None
    like_alpha = taken_for_alpha or ColorInterp.alpha in source.colorinterp
    return Validity(
        numbers,
        tuple(_held(value, kind) for value in none),
        _held(also, kind),
        tuple(masks),
        counted,
        hidden=like_alpha and counted is None,
    )


def alpha_of(source: DatasetReader) -> int | None:
    """Number of the alpha band, from 1, or None.

    It is the first band whose colour interpretation is alpha. Programs write a fourth band of
    bytes as alpha by default; if every band has a name, and that one's doesn't mean alpha, it is an
    ordinary band.
    """
    from rasterio.enums import ColorInterp

    if source.count == 1 or ColorInterp.alpha not in source.colorinterp:
        return None
    place = source.colorinterp.index(ColorInterp.alpha)
    name = (source.descriptions[place] or "").lower()
    if all(source.descriptions) and not any(word in name for word in _ALPHA_WORDS):
        return None
    return int(place) + 1


def data_bands(source: DatasetReader) -> tuple[int, ...]:
    """Numbers of the bands that aren't alpha, from 1."""
    alpha = alpha_of(source)
    return tuple(int(k) for k in source.indexes if k != alpha)


@contextmanager
def presented(
    source: DatasetReader, rule: Validity, *, averaged: bool = False
) -> Iterator[tuple[Any, int | None]]:
    """The raster in a form in which GDAL's warper applies our rule of valid pixels.

    GDAL uses nodata values or a mask, never both, and has its own rules for alpha bands. Where
    these differ from ours, masks and alpha become one alpha band, the last, of a VRT in memory,
    whose bands have the nodata values that count.

    Args:
        source: An open raster.
        rule: The validity of its bands.
        averaged: Whether GDAL averages pixels; it then uses the bands' own nodata values only.

    Yields:
        The raster to warp, and the number of its alpha band, or None.
    """
    from rasterio.enums import MaskFlags
    from rasterio.vrt import WarpedVRT

    twice = rule.also is not None and any(n not in (None, rule.also) for n in rule.nodata)
    kind = np.dtype(source.dtypes[0])
    values = kind.kind not in "iu" or any(n is not None for n in (*rule.nodata, rule.also))
    shared = all(source.mask_flag_enums[k - 1] == [MaskFlags.per_dataset] for k in rule.masks)
    alone = shared and rule.alpha is None and not values  # GDAL applies such a mask
    # in types larger than bytes, GDAL treats a small alpha as 0
    deep = rule.alpha is not None and kind != np.uint8
    needed = (bool(rule.masks) and not alone) or deep or rule.hidden or twice
    if averaged:
        own = [_held(source.nodatavals[k - 1], kind) for k in rule.bands]
        needed = twice or repr(own) != repr(list(rule.nodata))
    straightened = isinstance(source, WarpedVRT)  # its alpha is binary, and no VRT can refer to it
    if straightened or not needed:
        yield source, rule.alpha
        return
    import rasterio

    with parallel.FILTERS, warnings.catch_warnings():
        from rasterio.errors import NotGeoreferencedWarning

        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # placed by GCPs or RPCs
        shown = rasterio.open(_as_vrt(source, rule))
    with shown:
        veiled = bool(rule.masks) or rule.alpha is not None
        yield shown, shown.count if veiled else None


def _as_vrt(source: DatasetReader, rule: Validity) -> str:
    """A VRT of the raster whose last band combines masks and alpha; see `presented`."""
    from xml.etree import ElementTree as xml

    import rasterio.shutil
    from rasterio.io import MemoryFile

    with MemoryFile(ext=".vrt") as file:
        rasterio.shutil.copy(source, file.name, driver="VRT")
        root = xml.fromstring(file.read())
    for element in root.findall("MaskBand"):
        root.remove(element)
    for place, band in enumerate(root.findall("VRTRasterBand"), start=1):
        for name in ("ColorInterp", "NoDataValue", "MaskBand"):
            for element in band.findall(name):
                band.remove(element)
        if place not in rule.bands:
            continue
        value = rule.nodata[rule.bands.index(place)]
        if value is not None and rule.also is not None:
            for pixels in band.findall("SimpleSource"):
                pixels.tag = "ComplexSource"
                xml.SubElement(pixels, "NODATA").text = repr(rule.also)
        value = rule.also if value is None else value
        if value is not None:
            none = xml.Element("NoDataValue")
            none.text = repr(value)
            band.insert(0, none)
    parts = [f"mask,{k}" for k in rule.masks] + [str(k) for k in [rule.alpha] if k is not None]
    if parts:
        veil = xml.SubElement(root, "VRTRasterBand", dataType="Byte", band=str(source.count + 1))
        xml.SubElement(veil, "ColorInterp").text = "Alpha"
        if len(parts) > 1:
            veil.set("subClass", "VRTDerivedRasterBand")
            # products saturate at 255, so only a 0 hides a pixel
            xml.SubElement(veil, "PixelFunctionType").text = "mul"
            xml.SubElement(veil, "SourceTransferType").text = "Float64"
        for part in parts:
            pixels = xml.SubElement(veil, "ComplexSource")
            xml.SubElement(pixels, "SourceFilename", relativeToVRT="0").text = source.name
            xml.SubElement(pixels, "SourceBand").text = part
            xml.SubElement(
                pixels, "LUT"
            ).text = "0:0,1e-30:255"  # all values above 0 are fully valid
    return xml.tostring(root, encoding="unicode")


def _held(value: float | None, kind: np.dtype[Any]) -> float | None:
    """A nodata value, or None if pixels of this type can't hold it."""
    if value is None or kind.kind not in "iu":
        return None if value is None else float(value)
    if not (math.isfinite(value) and float(value).is_integer()):
        return None
    limits = np.iinfo(kind)
    return float(value) if limits.min <= value <= limits.max else None


def _differs(band: NDArray[Any], value: float) -> NDArray[np.bool_]:
    """Mask of pixels with another value; floats of any size are compared as GDAL does float32.

    GDAL, gdal_priv.h, ARE_REAL_EQUAL: equal below a difference of 2 epsilon times their sum.
    """
    if band.dtype.kind in "iu":
        return np.asarray(band != int(value))
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = band.dtype.type(value)
        spare = 4 * np.finfo(np.float32).eps * abs(wanted)
        return np.asarray(~(abs(band - wanted) <= spare))
