"""A model over a raster of any size: a class map, and layers of its certainty."""

from landshift.classification.options import MapArea, MapEngine, MapOutputs, MapRun, MapTiling
from landshift.classification.pixels import classify, classify_pixels
from landshift.classification.progress import Progress
from landshift.classification.tuning import padding, quantize

__all__ = [
    "MapArea", "MapEngine", "MapOutputs", "MapRun", "MapTiling", "Progress", "classify",
    "classify_pixels", "padding", "quantize",
]  # fmt: skip
