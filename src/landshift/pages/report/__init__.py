"""Pages that explain results: one HTML file each. They show what other rooms found."""

from landshift.pages.report.folder import write_report
from landshift.pages.report.job import Files
from landshift.pages.report.model import METRICS_PAGE, Samples, model_page

__all__ = ["METRICS_PAGE", "Files", "Samples", "model_page", "write_report"]
