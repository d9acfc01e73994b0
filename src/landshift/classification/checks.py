"""Checks before any work: no input is overwritten, and the scene fits the model."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from landshift.classes import ClassScheme
from landshift.classification.mosaic import paths_of
from landshift.classification.scene import InputScene
from landshift.files import whole
from landshift.grid import Window
from landshift.spec import InputSpec

log = logging.getLogger(__name__)

_SAMPLE = 64  # rows and columns of the windows that are sampled
_SAMPLES = 4  # sampled windows, down and across
_FAR = 3.0  # distance of means in training deviations, and ratio of deviations, that is reported


def check_apart(
    out: Path, layers: Sequence[str], inputs: Iterable[Path], saved: Path | None
) -> None:
    """Check that no map overwrites one of its inputs.

    Args:
        out: The class map.
        layers: Layers that are written beside it.
        inputs: Files that are read.
        saved: The saved model, if it is one.

    Raises:
        ParameterError: A map has the name of an input.
    """
    package: list[Path] = []
    if saved is not None:
        folder = saved if saved.is_dir() else saved.parent
        package = [saved, *(folder.iterdir() if saved.suffix.lower() != ".dlpk" else ())]
    for path in paths_of(out, layers).values():
        whole.check_apart(path, [*inputs, *package])


def excluded_class(scheme: ClassScheme, predict_background: bool) -> int | None:
    """Index of the class that may not be predicted, or None."""
    if predict_background:
        return None
    if scheme.background is None:
        log.warning("predict_background=False changes nothing: the model has no class of value 0.")
    return scheme.background


def warn_of_scene(scene: InputScene, spec: InputSpec) -> None:
    """Warn if the scene has no CRS, or if its values are far from those of the training data."""
    if scene.box.crs is None:
        log.warning("%s has no CRS; the map won't have one either.", scene.files[0])
    values = _sampled(scene)
    if not values.size:
        return
    with np.errstate(over="ignore", invalid="ignore"):  # a nodata of -1.8e308 that isn't declared
        means, deviations = values.mean(1), values.std(1)
    far = []
    for k, band in enumerate(spec.bands):
        apart = abs(means[k] - spec.mean[k]) / spec.std[k]
        wider = max(deviations[k], 1e-9) / spec.std[k]
        if not (apart <= _FAR and wider <= _FAR):
            far.append(
                f"{band} {means[k]:.5g} ± {deviations[k]:.3g} (trained on {spec.mean[k]:.5g} ± "
                f"{spec.std[k]:.3g})"
            )
    if far:
        more = f" and {len(far) - 3} more bands" if len(far) > 3 else ""
        log.warning(
            "%s is far from what the model was trained on: %s%s; check units, bands, sensor and "
            "nodata.",
            scene.files[0], "; ".join(far[:3]), more,
        )  # fmt: skip


def _sampled(scene: InputScene) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Valid pixels ``(band, pixel)`` of a few windows, evenly spread."""
    height, width = scene.box.height, scene.box.width
    size = (min(_SAMPLE, height), min(_SAMPLE, width))
    rows = np.unique(np.linspace(0, height - size[0], _SAMPLES).astype(int))
    columns = np.unique(np.linspace(0, width - size[1], _SAMPLES).astype(int))
    samples = [np.zeros((len(scene.bands), 0))]
    with scene.opened(64 << 20) as read:
        for row in rows:
            for column in columns:
                window = read(Window(int(row), int(column), *size))
                samples.append(window.values[:, window.mask].astype(np.float64))
    return np.concatenate(samples, axis=1)
