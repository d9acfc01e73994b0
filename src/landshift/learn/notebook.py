"""Pictures and tables of scores in notebooks."""

from __future__ import annotations

import html
import importlib.util
import io
import logging
from collections.abc import Collection
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from landshift.errors import shown
from landshift.files.rows import Rows
from landshift.learn.progress import in_notebook
from landshift.scores.confusion import ClassScores, Scores
from landshift.show import tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)


class ClassMetrics(Rows):
    """Scores of each class, shown as a table; ``metrics['to forest'].recall`` gives one number.

    In a notebook it is shown as a pandas DataFrame where pandas is installed; `to_pandas` gives it.

    Args:
        scores: The scores.
        left_out: Names of classes that aren't shown.
    """

    def __init__(self, scores: Scores, left_out: Collection[str] = ()) -> None:
        shown = tuple(c for c in scores.classes if c.name not in left_out)
        self.scores = replace(scores, classes=shown)

    def __getitem__(self, name: str) -> ClassScores:
        for c in self.scores.classes:
            if c.name == name:
                return c
        raise KeyError(name)

    def rows(self) -> list[dict[str, Any]]:
        """Name, precision, recall, F1, IoU and support of each class."""
        return [asdict(c) for c in self.scores.classes]

    def _repr_html_(self) -> str:
        """The HTML that a notebook shows."""
        if importlib.util.find_spec("pandas") is None:
            return f"<pre>{html.escape(repr(self))}</pre>"
        frame = self.to_pandas().set_index("name").rename(index=shown)
        page: str = frame.to_html(float_format="{:.3f}".format)
        return page

    def __rich__(self) -> Table:
        return tables.per_class(self.scores)

    def __repr__(self) -> str:
        console = Console(
            width=100, file=io.StringIO(), force_jupyter=False, force_terminal=False,
            color_system=None,
        )  # fmt: skip
        with console.capture() as capture:
            console.print(self)
        return capture.get().rstrip()


def display(figure: Figure) -> None:
    """Show a figure in a notebook; elsewhere a line is logged."""
    if in_notebook():
        from IPython.display import Image
        from IPython.display import display as show

        png = io.BytesIO()
        figure.savefig(png, dpi=80)
        show(Image(png.getvalue()))  # type: ignore[no-untyped-call]
        return
    log.info("Pictures show in notebooks; elsewhere save those of batch_figure, results_figure.")
