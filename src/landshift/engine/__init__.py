"""Inference engines: a model prepared to predict batches of tiles on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from landshift.engine.choice import choose_engine, opened
from landshift.engine.protocol import Engine

if TYPE_CHECKING:
    from landshift.engine.pytorch import TorchEngine, computes_in_bfloat16

__all__ = ["Engine", "TorchEngine", "choose_engine", "computes_in_bfloat16", "opened"]


def __getattr__(name: str) -> Any:
    """Import what needs torch on first use: OpenVINO runs without torch."""
    if name in ("TorchEngine", "computes_in_bfloat16"):
        from landshift.engine import pytorch

        return getattr(pytorch, name)
    raise AttributeError(f"module 'landshift.engine' has no attribute {name!r}")
