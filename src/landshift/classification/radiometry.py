"""A scene's values beside those that the model learned from: compared, and brought to them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift import raster
from landshift.classification.scene import InputScene
from landshift.grid import Window
from landshift.prepare.moments import BandMoments, Reader, lines_between, measured, of_training
from landshift.spec import InputSpec

log = logging.getLogger(__name__)

FAR = 1.0
"""Standard deviations of the training that one band's mean may lie off.

Halves of one Landsat or NAIP scene lie 0.1 to 1.1 apart, images of other light, season or sensor
1.0 to 5.3."""

FAR_TOGETHER = 0.5
"""The same, as root mean square over all bands, which other light moves together.

Halves of eight Landsat and NAIP scenes lie 0.1 to 0.8 apart, six of them below 0.5; images of other
light, season or with clouds 1.1 to 3.2. A network on Landsat bands lost half to three quarters of
its lead over 'no change' when all bands lay 0.5 off, and four fifths at 0.6."""

WIDER = 2.5
"""Ratio of a band's standard deviation to that of the training, either way.

Halves of one scene have 0.41 to 2.45."""

WHOLE = 1 << 24
"""Pixels up to which `normalised` measures all of a raster; beyond, `_MOST` windows a side."""

_WINDOW, _MOST = 256, 16  # rows and columns of its windows, evenly spread
_PROBE, _PROBES = 64, 4  # the same of the windows that every map is checked on
_CACHE = 64 << 20  # bytes for GDAL's blocks


def normalised(scene: InputScene, spec: InputSpec) -> InputScene:
    """A scene whose bands get the mean and standard deviation of the model's training tiles.

    They are measured over the valid pixels of the whole input, whatever part is mapped, so that
    maps of its parts fit together; see `landshift.prepare.moments` for the formula and its limits.

    Args:
        scene: The scene.
        spec: Input of the model.

    Raises:
        ParameterError: No pixel is valid, or a band has one value only.
        RasterError: A file can't be read.
    """
    whole = replace(scene, box=scene.whole, corner=(0, 0), polygons=None)
    height, width = whole.box.shape
    windows = list(raster.blocks(height, width))
    if height * width > WHOLE:
        windows = _spread(height, width, _WINDOW, _MOST)
    own = measured(windows, "measuring", partial(_opened, whole))
    own.check_varied(f"{scene.files[0]}, which is to be normalised")
    if not _far(own, of_training(spec)):
        log.warning(
            "%s was like the images that the model learned from already. Where its land cover is "
            "another mix, the map gets worse by `normalise`: compare one without.", scene.files[0],
        )  # fmt: skip
    return replace(scene, lines=lines_between(own, of_training(spec)), dtype="float32")


def warn_of_values(scene: InputScene, spec: InputSpec) -> None:
    """Warn if a scene's values are far from those that the model learned from.

    Args:
        scene: The scene; a few windows of it are read.
        spec: Input of the model.
    """
    windows = _spread(scene.box.height, scene.box.width, _PROBE, _PROBES)
    with _opened(scene) as read:
        samples = [values[:, mask].astype(np.float64) for values, mask in map(read, windows)]
    values = np.concatenate(samples, axis=1)
    if not values.size:
        return
    with np.errstate(over="ignore", invalid="ignore"):  # a nodata of -1.8e308 that isn't declared
        own = BandMoments(values.mean(1), values.std(1), values.shape[1])
        far = _far(own, of_training(spec))
    if far:
        named = [
            f"{spec.bands[k] or f'band {k + 1}'} {own.mean[k]:.5g} ± {own.std[k]:.3g} "
            f"(trained on {spec.mean[k]:.5g} ± {spec.std[k]:.3g})"
            for k in far
        ]
        more = f"; and {len(far) - 3} more" if len(far) > 3 else ""
        log.warning(
            "%s isn't like the images that the model learned from: %s%s. The map may be wrong: "
            "check units, bands, sensor and nodata; where light, haze or season differ and the "
            "land is of the same kind, try `normalise`.",
            scene.files[0], "; ".join(named[:3]), more,
        )  # fmt: skip


def _far(own: BandMoments, trained: BandMoments) -> list[int]:
    """Places of the bands that lie far off, the farthest first."""
    apart = np.abs(own.mean - trained.mean) / trained.std
    wider = np.maximum(own.std, 1e-9) / trained.std
    beyond = ~((apart <= FAR) & (wider <= WIDER) & (wider >= 1 / WIDER))
    if not beyond.any() and np.sqrt((apart**2).mean()) > FAR_TOGETHER:
        beyond = apart > FAR_TOGETHER
    order = np.argsort(-np.nan_to_num(apart, nan=np.inf), kind="stable")
    return [int(k) for k in order if beyond[k]]


def _spread(height: int, width: int, size: int, most: int) -> list[Window]:
    """Windows evenly spread over a raster, at most so many down and across."""
    rows, columns = (
        np.unique(np.linspace(0, n - min(size, n), min(most, -(-n // size))).astype(int))
        for n in (height, width)
    )
    return [
        Window(int(row), int(column), min(size, height), min(size, width))
        for row in rows
        for column in columns
    ]


@contextmanager
def _opened(scene: InputScene) -> Iterator[Reader]:
    """A scene, open to be read; for one thread."""
    with scene.opened(_CACHE) as read:

        def values(window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
            data = read(window)
            return data.values, data.mask

        yield values
