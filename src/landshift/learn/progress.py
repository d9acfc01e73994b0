"""The training table while it grows: in a notebook, on a terminal, in a log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from landshift.show import tables
from landshift.training import Epoch


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
