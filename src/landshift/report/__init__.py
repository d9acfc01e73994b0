"""Pages that explain results: one HTML file each. They show what other rooms found."""

from landshift.report.model import METRICS_PAGE, Samples, model_page

__all__ = ["METRICS_PAGE", "Samples", "model_page"]
