"""Checks before any work: no input is overwritten, and what is asked for is in the model."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from landshift.classes import ClassScheme
from landshift.classification.mosaic import paths_of
from landshift.files import whole

log = logging.getLogger(__name__)


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
        beside = saved.suffix.lower() != ".dlpk" and folder.is_dir()
        package = [saved, *(folder.iterdir() if beside else ())]
    for path in paths_of(out, layers).values():
        whole.check_apart(path, [*inputs, *package])


def excluded_class(scheme: ClassScheme, predict_background: bool) -> int | None:
    """Index of the class that may not be predicted, or None."""
    if predict_background:
        return None
    if scheme.background is None:
        log.warning("predict_background=False changes nothing: the model has no class of value 0.")
    return scheme.background
