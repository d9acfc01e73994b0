"""Progress in notebooks, and the training table while it grows: also on a terminal, in a log."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live

from landshift.machine import progress
from landshift.machine.progress import Step
from landshift.show import tables
from landshift.training import Epoch

SHOWN_AFTER = 0.5
"""Seconds of a step before it is drawn: what ends sooner draws nothing."""

DRAWN_EVERY = 0.2
"""Seconds between two drawings, each of which is a message to the browser."""


@contextmanager
def watching() -> Iterator[None]:
    """Draw the steps of what runs inside, in a notebook; elsewhere nothing changes."""
    if not in_notebook():
        yield
        return
    bars = NotebookBars()
    with progress.watched(bars):
        try:
            yield
        finally:
            bars.close()


class NotebookBars:
    """A line for each step that is under way, below the cell; gone when all are over.

    It is one output that is replaced, as text and as HTML, and needs no widgets.
    """

    def __init__(self) -> None:
        self._steps: dict[Step, float] = {}
        self._shown: Any = None
        self._drawn = 0.0

    def began(self, step: Step) -> None:
        """See `machine.progress.Watcher`."""
        self._steps[step] = time.monotonic()

    def moved(self, step: Step) -> None:
        """See `machine.progress.Watcher`."""
        now = time.monotonic()
        began = min(self._steps.values(), default=now)
        if now - began >= SHOWN_AFTER and now - self._drawn >= DRAWN_EVERY:
            self._drawn = now
            self._draw([progress_line(s, now - since) for s, since in self._steps.items()])

    def ended(self, step: Step) -> None:
        """See `machine.progress.Watcher`."""
        self._steps.pop(step, None)

    def close(self) -> None:
        """Take the lines away."""
        if self._shown is not None:
            self._draw([])

    def _draw(self, lines: list[str]) -> None:
        from IPython.display import display

        text = "\n".join(lines)
        content = {"text/plain": text, "text/html": f"<pre>{html.escape(text)}</pre>" * bool(lines)}
        if self._shown is None:
            self._shown = display(content, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._shown.update(content, raw=True)


def progress_line(step: Step, seconds: float) -> str:
    """A step as a line of text: 'epoch 3: 12/20 (60 %), loss 0.83, 0:08 left'.

    Args:
        step: The step.
        seconds: How long it has been under way.
    """
    if step.total is None:
        parts = [f"{step.done:,}"] * bool(step.done)
    else:
        parts = [f"{step.done:,}/{step.total:,} ({step.done / max(step.total, 1):.0%})"]
    if step.note:
        parts.append(step.note)
    if step.total is not None and 0 < step.done < step.total:
        minutes, rest = divmod(round(seconds * (step.total - step.done) / step.done), 60)
        parts.append(f"{minutes}:{rest:02d} left")
    return f"{step.what}: {', '.join(parts)}" if parts else step.what


def say(line: str) -> None:
    """Print a line in a notebook or on a terminal."""
    Console().print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def live_table() -> Iterator[Callable[[Epoch], None]]:
    """A function that adds an epoch to a table, which is shown anew each time.

    A notebook or terminal shows one table, elsewhere each epoch gets a line.
    """
    rows: list[tuple[str, ...]] = []
    console = Console()
    if in_notebook():
        from IPython.display import display

        shown = display(tables.epochs(), display_id=True)  # type: ignore[no-untyped-call]

        def add(epoch: Epoch) -> None:
            rows.append(row_of(epoch))
            shown.update(tables.epochs(rows))

        yield add
    elif console.is_terminal:
        with Live(tables.epochs(), console=console, auto_refresh=False) as live:

            def refresh(epoch: Epoch) -> None:
                rows.append(row_of(epoch))
                live.update(tables.epochs(rows), refresh=True)

            yield refresh
    else:

        def write(epoch: Epoch) -> None:
            names = zip(tables.EPOCH_COLUMNS, row_of(epoch), strict=True)
            console.print("  ".join(f"{name} {value}" for name, value in names), soft_wrap=True)

        yield write


def in_notebook() -> bool:
    """Whether this is a notebook's kernel."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def row_of(epoch: Epoch) -> tuple[str, ...]:
    """An epoch's cells in the training table."""
    minutes, seconds = divmod(round(epoch.seconds), 60)
    return (
        str(epoch.epoch), f"{epoch.train_loss:.4f}", f"{epoch.valid_loss:.4f}",
        f"{epoch.accuracy:.4f}", f"{epoch.dice:.4f}", f"{epoch.miou:.4f}",
        "-" if epoch.change_f1 is None else f"{epoch.change_f1:.4f}",
        f"{minutes:02d}:{seconds:02d}",
    )  # fmt: skip
