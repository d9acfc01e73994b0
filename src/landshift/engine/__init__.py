"""Inference engines: a model prepared to predict batches of tiles on this machine."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from landshift.engine.choice import choose_engine, opened
    from landshift.engine.protocol import Engine
    from landshift.engine.pytorch import TorchEngine, computes_in_bfloat16

__all__ = ["Engine", "TorchEngine", "choose_engine", "computes_in_bfloat16", "opened"]

_MODULES = {
    "Engine": "protocol",
    "TorchEngine": "pytorch",
    "choose_engine": "choice",
    "computes_in_bfloat16": "pytorch",
    "opened": "choice",
}


def __getattr__(name: str) -> Any:
    """Import a name's module on first use: OpenVINO runs without torch, and --help without both."""
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
