"""A trained model as files, written whole and read without trusting them."""

from landshift.bundle.contents import Extras, Package
from landshift.bundle.package import Verified, keep_padding, load, save, verify

__all__ = ["Extras", "Package", "Verified", "keep_padding", "load", "save", "verify"]
