"""A trained model as files, written whole and read without trusting them."""

from landshift.bundle.contents import Package
from landshift.bundle.package import load, save

__all__ = ["Package", "load", "save"]
