"""A model for others: ONNX for any host, for QGIS' Deepness, and with a function for ArcGIS."""

from landshift.export.graph import onnx_bytes, write_onnx
from landshift.export.hosts import HOSTS, export_model, for_arcgis

__all__ = ["HOSTS", "export_model", "for_arcgis", "onnx_bytes", "write_onnx"]
