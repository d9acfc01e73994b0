"""Pages that explain results: the report of a job and the page of a model, one HTML file each."""

from landshift.pages.report.folder import report
from landshift.pages.report.job import ReportFiles
from landshift.pages.report.model import METRICS_PAGE, Samples, model_page

__all__ = ["METRICS_PAGE", "ReportFiles", "Samples", "model_page", "report"]
