"""A trained model as files, written whole and read without trusting them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from landshift.bundle.checkpoint import read_checkpoint, read_input
    from landshift.bundle.contents import Extras, Package
    from landshift.bundle.hashes import Verified
    from landshift.bundle.package import (
        check_new,
        check_new_padding,
        copy_files,
        keep_padding,
        load,
        save,
        verify,
    )

__all__ = [
    "Extras", "Package", "Verified", "check_new", "check_new_padding", "copy_files",
    "keep_padding", "load", "read_checkpoint", "read_input", "save", "verify",
]  # fmt: skip

_MODULES = {
    "Extras": "contents", "Package": "contents", "Verified": "hashes",
    "read_checkpoint": "checkpoint", "read_input": "checkpoint",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Load a function when it is first used: it imports torch."""
    if name in __all__:
        module = import_module(f"landshift.bundle.{_MODULES.get(name, 'package')}")
        return getattr(module, name)
    raise AttributeError(f"module 'landshift.bundle' has no attribute {name!r}")
