"""Networks that turn a composite into a class per pixel."""

from landshift.models.architectures import ARCHITECTURES, Architecture
from landshift.models.network import ChangeModel

__all__ = ["ARCHITECTURES", "Architecture", "ChangeModel"]
