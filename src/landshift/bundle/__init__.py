"""A trained model as files, written whole and read without trusting them."""

from landshift.bundle.checkpoint import read_checkpoint, read_input
from landshift.bundle.contents import Extras, Package
from landshift.bundle.package import (
    Verified,
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
