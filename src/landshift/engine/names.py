"""Names of engines and of the number formats that they compute in."""

from __future__ import annotations

from typing import Literal

EngineName = Literal["auto", "torch", "openvino"]
"""An engine; ``auto`` is the faster one on this machine."""

Precision = Literal["auto", "float32", "bfloat16", "int8"]
"""Number format of the computation; ``auto`` depends on engine and device."""
