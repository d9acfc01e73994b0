"""What commands share: progress, and where results go on the screen."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from landshift.cli.lines import say
from landshift.files import options

if TYPE_CHECKING:
    from landshift.classification import Progress as Blocks
    from landshift.training import Epoch


@contextmanager
def callbacks(
    command: str, hints: Mapping[str, Any], *, as_json: bool
) -> Iterator[dict[str, Callable[..., None]]]:
    """Functions that draw a command's progress, by the name of the parameter that takes them.

    Args:
        command: Name of the command.
        hints: Types of its function's parameters.
        as_json: Whether progress by block is written as JSON.
    """
    if hints.get("on_block") == options.OnBlock:
        with progress(command) as on_block:
            yield {"on_block": on_block}
    elif "on_block" in hints:
        with block_progress(command, as_json=as_json) as on_progress:
            yield {"on_block": on_progress}
    elif "on_epoch" in hints:
        with epochs() as training:
            yield training
    elif "on_stage" in hints:
        yield {"on_stage": say}
    else:
        yield {}


@contextmanager
def epochs() -> Iterator[dict[str, Callable[..., None]]]:
    """A line about the data, then a table that grows by a row an epoch."""
    from landshift.learn.progress import live_table

    with ExitStack() as stack:
        rows: list[Callable[[Epoch], None]] = []

        def on_data(line: str) -> None:
            say(line)
            rows.append(stack.enter_context(live_table()))

        yield {"on_data": on_data, "on_time": say, "on_epoch": lambda epoch: rows[0](epoch)}


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, called with steps done and steps in all; silent in a pipe."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def block_progress(what: str, *, as_json: bool) -> Iterator[Callable[[Blocks], None]]:
    """Blocks done, Mpixel/s and time left on standard error: a bar, or a line of JSON a block.

    Args:
        what: What is done.
        as_json: Whether to write JSON, for schedulers; else a bar, and nothing in a pipe.
    """
    logging.getLogger("landshift.engine").setLevel(logging.INFO)  # names the engine, and why
    if as_json:

        def tell(found: Blocks) -> None:
            line = {
                "stage": what,
                "blocks_done": found.done,
                "blocks": found.blocks,
                "mpixel_per_second": None if found.rate is None else round(found.rate, 3),
                "seconds_left": None
                if found.seconds_left is None
                else round(found.seconds_left, 1),
            }
            sys.stderr.write(json.dumps(line) + "\n")
            sys.stderr.flush()

        yield tell
        return
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[at]}"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None, at="")

        def update(found: Blocks) -> None:
            at = ""
            if found.rate is not None and found.seconds_left is not None:
                minutes, seconds = divmod(round(found.seconds_left), 60)
                hours, minutes = divmod(minutes, 60)
                at = f"{found.rate:.2f} Mpixel/s, {hours}:{minutes:02d}:{seconds:02d} left"
            bar.update(task, completed=found.done, total=found.blocks, at=at)

        yield update


def table(content: RenderableType) -> None:
    """Print a table on standard output."""
    Console().print(content)
