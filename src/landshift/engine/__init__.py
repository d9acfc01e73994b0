"""A model made ready to predict batches of tiles on this machine."""

from landshift.engine.choice import choose_engine
from landshift.engine.protocol import Engine
from landshift.engine.pytorch import TorchEngine, computes_in_bfloat16

__all__ = ["Engine", "TorchEngine", "choose_engine", "computes_in_bfloat16"]
