"""A model over a raster of any size: a class map, and what else it says of each pixel."""

from landshift.classification.layers import LAYERS
from landshift.classification.pixels import classify_pixels, measure_halo, quantise_model
from landshift.classification.progress import Progress

__all__ = ["LAYERS", "Progress", "classify_pixels", "measure_halo", "quantise_model"]
