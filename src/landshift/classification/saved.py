"""Saved models: opened, and the files that belong to them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from landshift.classification.options import Trained
from landshift.engine.quantising import SUFFIX
from landshift.errors import ModelError

if TYPE_CHECKING:
    from landshift.models import ChangeModel


def network_of(model: Trained | ChangeModel | Path | str) -> ChangeModel:
    """The network of a classifier, a model, or a saved one.

    Raises:
        ModelError: A saved model can't be read.
    """
    from landshift import bundle
    from landshift.models import ChangeModel

    if isinstance(model, ChangeModel):
        return model
    if isinstance(model, (str, Path)):
        return bundle.load(model).model
    return model.model


def int8_of(model: Path) -> Path:
    """Path of the description of a saved model's int8 graph: in its folder, or beside its .dlpk."""
    if model.is_dir():
        return model / f"{model.name}{SUFFIX}"
    if model.suffix.lower() == ".emd":
        return model.parent / f"{model.parent.name}{SUFFIX}"
    return model.with_name(f"{model.stem}{SUFFIX}")


def shared(saved: Path | None) -> Path:
    """A saved model as the workers of a cluster find it.

    Raises:
        ModelError: The model is in memory.
    """
    if saved is None:
        raise ModelError(
            "A cluster needs a saved model, which each worker loads, got one in memory; save it "
            "first."
        )
    return saved.absolute()
