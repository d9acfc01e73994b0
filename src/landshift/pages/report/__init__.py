"""Pages that explain results: the report of a job and the page of a model, one HTML file each."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from landshift.pages.report.files import ReportFiles
    from landshift.pages.report.model import METRICS_PAGE, Samples, model_page
    from landshift.pages.report.writing import report

__all__ = ["METRICS_PAGE", "ReportFiles", "Samples", "model_page", "report"]


def __getattr__(name: str) -> Any:
    """Load a function when it is first used: the command's options need none of the page."""
    if name in __all__:
        module = {"ReportFiles": "files", "report": "writing"}.get(name, "model")
        return getattr(import_module(f"landshift.pages.report.{module}"), name)
    raise AttributeError(f"module 'landshift.pages.report' has no attribute {name!r}")
