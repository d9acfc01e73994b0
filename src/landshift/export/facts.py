"""Metadata of an ONNX file for its host: the keys that QGIS' plugin Deepness reads, and ours."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift import __version__
from landshift.models import ChangeModel

OURS = "landshift"
"""Key of a JSON object with the facts that Deepness has no key for."""

_BYTE = 255.0  # Deepness divides all values by it before it standardises them
_CENTIMETRE = 0.01  # metres; a smaller cell size is in degrees, which Deepness doesn't support


def facts(model: ChangeModel, dtype: str, size: int | None, nodata: float | None) -> dict[str, str]:
    """Metadata of a model's ONNX file: JSON text by key.

    Deepness (https://github.com/PUTvision/qgis-plugin-deepness) passes float32 values
    (x / 255 - standardization_mean) / standardization_std for any pixel type; a mean of 0 and a
    deviation of 1 / 255 keep x, the raster's own units. Its documentation names the tile size
    ``tiles_size``, its code reads ``tile_size``: both are written. A threshold of 0 and no smallest
    segment keep the most probable class of each pixel.

    Args:
        model: The model.
        dtype: Pixel type of the graph's input.
        size: Rows and columns of the input; None: any.
        nodata: Value of pixels that aren't valid; None: unknown.
    """
    spec = model.spec
    tile, padding = spec.hosted(size, fixed=model.fixed_tile or size is not None)
    about: dict[str, Any] = {
        "model_type": "Segmentor",
        "class_names": dict(enumerate(model.scheme.names)),
        "tile_size": tile,
        "tiles_size": tile,
        "tiles_overlap": math.ceil(200 * padding / tile),
        "standardization_mean": [0.0] * len(spec.bands),
        "standardization_std": [1 / _BYTE] * len(spec.bands),
        "seg_thresh": 0.0,
        "seg_small_segment": 0,
        OURS: {
            "version": __version__,
            "bands": list(spec.bands),
            "classes": model.scheme.as_list(),
            "fill": fill(model, dtype),
            "nodata": nodata,
            "padding": padding,
            "temperature": model.temperature,
        },
    }
    if spec.cell_size is not None and spec.cell_size >= _CENTIMETRE:
        about["resolution"] = 100 * spec.cell_size
    return {key: json.dumps(value) for key, value in sorted(about.items())}


def fill(model: ChangeModel, dtype: str) -> list[float]:
    """Values that replace pixels that aren't valid: each band's mean, in the graph's pixel type."""
    return [float(v) for v in as_dtype(np.array(model.spec.mean), dtype)]


def as_dtype(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Values in a pixel type, rounded and clipped for integers."""
    kind = np.dtype(dtype)
    if np.issubdtype(kind, np.floating):
        return values.astype(kind)
    limits = np.iinfo(kind)
    whole: NDArray[Any] = np.clip(np.rint(values), limits.min, limits.max).astype(kind)
    return whole
