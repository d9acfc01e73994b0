"""Training: the loop, losses, augmentation, sampling, the learning-rate finder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from landshift.training.logs import Epoch
from landshift.training.options import LOSSES, MONITORS, Augmentation, Loss, Monitor, Training

if TYPE_CHECKING:
    from landshift.training.batch_size import batch_that_fits
    from landshift.training.fitting import check, fit
    from landshift.training.range_test import LearningRates, lr_find, with_learning_rate
    from landshift.training.resume import check_state, epochs_of

_NEED_TORCH = {
    "LearningRates": "range_test",
    "batch_that_fits": "batch_size",
    "check": "fitting",
    "check_state": "resume",
    "epochs_of": "resume",
    "fit": "fitting",
    "lr_find": "range_test",
    "with_learning_rate": "range_test",
}

__all__ = [
    "LOSSES",
    "MONITORS",
    "Augmentation",
    "Epoch",
    "LearningRates",
    "Loss",
    "Monitor",
    "Training",
    "batch_that_fits",
    "check",
    "check_state",
    "epochs_of",
    "fit",
    "lr_find",
    "with_learning_rate",
]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first used: options are read without it."""
    if name in _NEED_TORCH:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_NEED_TORCH[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
