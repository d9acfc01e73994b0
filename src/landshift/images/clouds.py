"""Clouds and their shadows in images without a quality band, found by the networks of ukis-csmask.

They see blue, green, red and near infrared, better with both short-wave infrared bands too, as
surface reflectance at about 30 m (https://github.com/dlr-eoc/ukis-csmask, Apache-2.0).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import raster, sensors
from landshift.errors import BandError, ParameterError, RasterError
from landshift.grid import Window
from landshift.images import planning, quality, reader
from landshift.images.planning import Image, Plan
from landshift.machine import extras
from landshift.raster import blockwise

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

CLEAR, CLOUD, SHADOW, EDGE, NODATA = 0, 1, 2, 3, 255
"""Values of a mask."""

BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
"""What the better networks see."""

NEEDED = 4
"""How many of these all networks see, from the first."""

NARROW = "nir08"
"""A narrow band of near infrared, as HLS has it alone."""

_TILE = 256  # pixels, as in the networks' training
_HALO = 32  # pixels of a tile's edge whose classes aren't taken
_STEP = _TILE - 2 * _HALO
_EDGE = 4  # pixels around clouds and shadows that are hidden with them, as ukis-csmask does
_BRIGHTEST = 1.6  # reflectance that half of a tile doesn't exceed, snow and sun glint included
_DARKEST = 0.3  # below it lies some pixel of every scene: shadow, water or forest in blue light

Predict = Callable[[NDArray[np.float32]], NDArray[np.uint8]]


def hidden(plan: Plan, box: GeoBox, factor: float, path: Path) -> tuple[Plan, float]:
    """An image that hides clouds, shadows and their edges, as by a quality band.

    Tiles lie at fixed places of the grid, and what a tile's network sees around its own pixels
    doesn't depend on blocks or threads.

    Args:
        plan: The image.
        box: The grid, on which clouds are looked for.
        factor: What makes reflectance of the image's values; scale and offset of its files are
            applied before.
        path: The mask to write, a raster of the values above.

    Returns:
        The image, and the share of its valid pixels that are hidden so.

    Raises:
        BandError: A band that the networks need is missing.
        RasterError: Values that aren't reflectance.
        ParameterError: The extra isn't installed.
    """
    seen = _seen(plan)
    _check_type(seen, plan)
    predict = _network(len(seen.names))
    windows = [
        Window(r, c, min(_STEP, box.height - r), min(_STEP, box.width - c))
        for r in range(0, box.height, _STEP)
        for c in range(0, box.width, _STEP)
    ]

    @contextmanager
    def opened() -> Iterator[reader.ImageReader]:
        with reader.opened(seen, box) as image:
            yield image

    def of_window(
        image: reader.ImageReader, block: blockwise.Block
    ) -> tuple[NDArray[np.uint8], float]:
        around = block.window.grown(_HALO)
        inside = around.clipped(box.height, box.width)
        values, valid = image.read(inside)
        tile = np.zeros((len(seen.names), _TILE, _TILE), np.float32)
        top, left = inside.row - around.row, inside.column - around.column
        part = (slice(top, top + inside.height), slice(left, left + inside.width))
        if not valid.any():
            size = (block.window.height, block.window.width)
            return np.full(size, NODATA, np.uint8), np.inf
        inner = tile[(slice(None), *part)]
        inner[:] = np.where(valid, values * np.float32(factor), 0)
        _check_reflectance(inner[:, valid], plan)
        rows, columns = (slice(_HALO, _HALO + n) for n in (block.window.height, block.window.width))
        known = np.zeros((_TILE, _TILE), np.bool_)
        known[part] = valid
        found = _with_edges(np.where(known, predict(tile), CLEAR))
        mask = np.where(known, found, NODATA)[rows, columns]
        return mask.astype(np.uint8), float(inner[:, valid].min(initial=np.inf))

    counts, darkest = np.zeros(256, np.int64), np.inf
    with (
        raster.create(path, box, count=1, dtype="uint8", nodata=None) as target,
        blockwise.results(windows, "clouds", opened, of_window) as results,
    ):
        for block, (mask, lowest) in results:
            raster.write(target, mask[np.newaxis], block.window)
            counts += np.bincount(mask.ravel(), minlength=256)
            darkest = min(darkest, lowest)
    if np.isfinite(darkest) and darkest > _DARKEST and _is_unscaled(seen):
        raise _no_reflectance(f"no value below {darkest:.4g}", plan)
    layer = planning.plan(Image((path,), bands=(1,))).layers[0]
    rule = (quality.Hidden("values", (CLOUD, SHADOW, EDGE)), (layer,))
    valid = int(counts[:NODATA].sum())
    share = 1.0 - float(counts[CLEAR] / valid) if valid else 0.0
    return replace(plan, quality=(*plan.quality, rule)), share


def _seen(plan: Plan) -> Plan:
    """The bands that the networks see, scaled; also where a quality band hides."""
    every = planning.plan(replace(plan.image, bands=None, scaled=True, quality=()))
    sensor = sensors.only_one_with(every.names)
    places: dict[str, int] = {}
    for place, name in enumerate(every.names):
        for known in sensors.names_of(name, sensor) & set(BANDS):
            places.setdefault(known, place)
    if NARROW in every.names:  # where an image has both, the wide one
        places.setdefault("nir", every.names.index(NARROW))
    lacking = [name for name in BANDS[:NEEDED] if name not in places]
    if lacking:
        raise BandError(
            f"Clouds are found by the bands {', '.join(BANDS[:NEEDED])}, got none named "
            f"{', '.join(lacking)} among {', '.join(every.names)} in {plan.files[0]}; name the "
            "bands in the file, or use a quality band (`mask_qa`)."
        )
    wanted = BANDS if all(name in places for name in BANDS) else BANDS[:NEEDED]
    return every.take([places[name] for name in wanted])


def _with_edges(found: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Classes of a tile with the edges of clouds and shadows."""
    from scipy import ndimage

    near = ndimage.binary_dilation(found != CLEAR, iterations=_EDGE)
    return np.where(near & (found == CLEAR), EDGE, found).astype(np.uint8)


def _is_unscaled(seen: Plan) -> bool:
    """Whether neither files nor products state the scale of some band."""
    return any(
        pair == (1, 0)
        for layer in seen.layers
        for pair in zip(layer.scales, layer.offsets, strict=True)
    )


def _check_type(seen: Plan, plan: Plan) -> None:
    """Check that values can be reflectance, before any is read."""
    if any(np.dtype(layer.info.dtype).itemsize == 1 for layer in seen.layers):
        raise _no_reflectance("8-bit values, which are stretched for display", plan)


def _check_reflectance(values: NDArray[Any], plan: Plan) -> None:
    """Check the values of a tile's valid pixels."""
    if values.size and not np.median(values) <= _BRIGHTEST:
        raise _no_reflectance(f"a median of {np.median(values):.4g} in a part", plan)


def _no_reflectance(got: str, plan: Plan) -> RasterError:
    return RasterError(
        f"Clouds are found in reflectance, from 0 to about 1, got {got} of {plan.files[0]}; give "
        "the factor that makes reflectance of its values (`mask_clouds` 0.0001), state the scale "
        "and offset in the file, or use a quality band (`mask_qa`)."
    )


def _network(bands: int) -> Predict:
    """The network for so many bands; may be called from several threads."""
    runtime = extras.required("onnxruntime", "clouds", "The search for clouds")
    package = extras.required("ukis_csmask", "clouds", "The search for clouds")
    model = Path(package.__file__).with_name(f"model_{bands}b_l2a.onnx")
    about = json.loads(model.with_suffix(".json").read_text(encoding="utf-8"))
    stated = about["data"]["dataset_statistics"]
    if stated["band_names"] != list(BANDS[:bands]):
        raise ParameterError(
            f"The network of ukis-csmask must see {', '.join(BANDS[:bands])}, got "
            f"{', '.join(map(str, stated['band_names']))}; install another version of it."
        )
    mean, std = (np.array(s, np.float32)[:, None, None] for s in stated["img"])
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = runtime.InferenceSession(
        str(model), sess_options=options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name

    def predict(tile: NDArray[np.float32]) -> NDArray[np.uint8]:
        logits = session.run(None, {name: ((tile - mean) / std)[np.newaxis]})[0][0]
        return np.asarray(logits.argmax(axis=0), np.uint8)

    return predict
