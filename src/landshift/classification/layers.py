"""Layers of a map as bytes: class, confidence, entropy, probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import raster
from landshift.classes import UNLABELLED, ClassScheme

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

SHARES = 250
"""Byte of the share 1; shares are stored as bytes in steps of 1 / 250."""

NODATA = 255
"""Nodata of shares, and of maps whose value 0 is a class."""

_CACHE = 64 << 20  # bytes for GDAL's blocks: each is written once and not read again
_ROWS = 64  # rows reduced to bytes at once, which bounds the memory
_LEAST = 1e-12  # a smaller probability adds nothing to the entropy


def nodata_of(scheme: ClassScheme) -> int:
    """Nodata value of the map: 0, or 255 where 0 is a class."""
    return UNLABELLED if scheme.background is None else NODATA


def nodata_in(layer: str, scheme: ClassScheme) -> int:
    """Nodata value of a layer, ``class`` among them."""
    return nodata_of(scheme) if layer == "class" else NODATA


@contextmanager
def create(
    path: Path, layer: str, scheme: ClassScheme, box: GeoBox, *, alone: bool = False,
    tags: Mapping[str, str] | None = None,
) -> Iterator[Any]:  # fmt: skip
    """Open a new raster of a layer for writing.

    Args:
        path: The file to write.
        layer: ``class``, or a `LayerName`.
        scheme: Classes of the map.
        box: Grid of the raster.
        alone: Whether no sidecar files are written.
        tags: Tags of the raster.

    Raises:
        OutputError: The file can't be written.
    """
    names, is_map = bands_of(layer, scheme), layer == "class"
    with raster.create(
        path, box, count=len(names), dtype="uint8", nodata=nodata_in(layer, scheme), bands=names,
        tags=tags, scheme=scheme if is_map else None, alone=alone, cache=_CACHE,
    ) as target:  # fmt: skip
        if not is_map:
            target.file.scales = [1 / SHARES] * len(names)
        yield target


def bands_of(layer: str, scheme: ClassScheme) -> list[str]:
    """Names of a layer's bands."""
    return list(scheme.names) if layer == "probabilities" else [layer]


def places(layers: Sequence[str], scheme: ClassScheme) -> dict[str, slice]:
    """Bands of a block that hold each layer; the class comes first."""
    slices, first = {}, 0
    for layer in ("class", *layers):
        count = len(bands_of(layer, scheme))
        slices[layer] = slice(first, first + count)
        first += count
    return slices


def nodata_block(
    shape: tuple[int, int], layers: Sequence[str], scheme: ClassScheme
) -> NDArray[np.uint8]:
    """A block of nodata, ``(band, row, column)``."""
    bands = max(p.stop for p in places(layers, scheme).values())
    values = np.full((bands, *shape), NODATA, np.uint8)
    values[0] = nodata_of(scheme)
    return values


def from_codes(
    codes: NDArray[np.uint8], wanted: NDArray[np.bool_], scheme: ClassScheme
) -> NDArray[np.uint8]:
    """Map values ``(1, row, column)`` from class indices ``(row, column)``."""
    values = np.where(wanted, scheme.to_values(codes), np.uint8(nodata_of(scheme)))
    return values.astype(np.uint8, copy=False)[np.newaxis]


def from_probabilities(
    probabilities: NDArray[np.float32],
    wanted: NDArray[np.bool_],
    scheme: ClassScheme,
    layers: Sequence[str],
    excluded: int | None,
) -> NDArray[np.uint8]:
    """Map values and layers, ``(band, row, column)``.

    Args:
        probabilities: ``(class, row, column)``, adding up to 1 over the classes.
        wanted: ``(row, column)``, False where the map has nodata.
        scheme: Classes of the map.
        layers: Each a `LayerName`.
        excluded: Index of a class that may not be predicted, or None.
    """
    rows = probabilities.shape[1]
    bands = max(p.stop for p in places(layers, scheme).values())
    values = np.empty((bands, *wanted.shape), np.uint8)
    for first in range(0, rows, _ROWS):
        at = slice(first, first + _ROWS)
        values[:, at] = _reduced(probabilities[:, at], wanted[at], scheme, layers, excluded)
    return values


def _reduced(
    probabilities: NDArray[np.float32],
    wanted: NDArray[np.bool_],
    scheme: ClassScheme,
    layers: Sequence[str],
    excluded: int | None,
) -> NDArray[np.uint8]:
    rivals = probabilities
    if excluded is not None:
        rivals = probabilities.copy()
        rivals[excluded] = -1.0
    codes = rivals.argmax(0).astype(np.uint8)
    parts = [from_codes(codes, wanted, scheme)]
    for layer in layers:
        if layer == "confidence":
            shares = np.take_along_axis(probabilities, codes[np.newaxis].astype(np.intp), 0)
        elif layer == "entropy":
            known = np.maximum(probabilities, _LEAST)
            most = np.log(max(len(scheme), 2))
            shares = -(known * np.log(known)).sum(0, keepdims=True) / most
        else:
            shares = probabilities
        scaled = np.rint(np.clip(shares, 0.0, 1.0) * SHARES).astype(np.uint8)
        parts.append(np.where(wanted, scaled, np.uint8(NODATA)))
    return np.concatenate(parts)
