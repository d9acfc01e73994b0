"""How right a map is, and how large its classes are: samples, and what follows from their labels.

Knows nothing of models: any class raster is a map.
"""
