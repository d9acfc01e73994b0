"""A trained model as files, written whole and read without trusting them."""

from landshift.bundle.contents import Package
from landshift.bundle.package import keep_padding, load, save

__all__ = ["Package", "keep_padding", "load", "save"]
