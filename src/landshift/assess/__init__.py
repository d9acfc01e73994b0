"""Accuracies of a map and areas of its classes, estimated from a labelled sample.

Any class raster is a map; models play no part.
"""
