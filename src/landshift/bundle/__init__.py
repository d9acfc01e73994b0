"""A trained model as files, written whole and read without trusting them."""

from landshift.bundle.package import Package, load, save

__all__ = ["Package", "load", "save"]
