"""A model over a raster of any size: a class map."""

from landshift.classify.pixels import classify_pixels

__all__ = ["classify_pixels"]
