"""A model for other programs: ONNX for any host, for QGIS' Deepness, and a function for ArcGIS."""

from landshift.export.hosts import export_model, for_arcgis

__all__ = ["export_model", "for_arcgis"]
