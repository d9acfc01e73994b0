"""Networks that turn a composite into a class per pixel."""

from landshift.models.architectures import ARCHITECTURES, COMBINATIONS, SMP, Architecture
from landshift.models.network import OWN, ChangeModel

__all__ = ["ARCHITECTURES", "COMBINATIONS", "OWN", "SMP", "Architecture", "ChangeModel"]
