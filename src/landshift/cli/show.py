"""What commands share: progress, and where results go on the screen."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from landshift.cli import lines
from landshift.cli.lines import say
from landshift.errors import shown
from landshift.machine import progress

if TYPE_CHECKING:
    from landshift.classification import Progress as Blocks
    from landshift.machine.progress import Step
    from landshift.training import Epoch

SHOWN_AFTER = 0.5
"""Seconds until progress is drawn: a command that ends sooner draws nothing."""

LINE_SECONDS = 60.0
"""Seconds between lines of progress in a log, where there is no terminal to draw on."""

JSON_SECONDS = 0.2
"""Seconds between two reports of a step to a program."""

_SPEED_SECONDS = 600  # the time left follows from the parts of so many seconds


@contextmanager
def watching(*, as_json: bool = False) -> Iterator[None]:
    """Draw the steps of a command, see `machine.progress`: bars, lines in a log, or nothing.

    Args:
        as_json: Whether standard error is for lines of JSON.
    """
    console = Console(stderr=True)
    if as_json or progress.is_watched():  # a stage of a recipe: its steps are parts of the recipe's
        yield
    elif lines.output.progress == "json":
        with progress.watched(JsonLines()):
            yield
    elif lines.output.quiet:
        yield
    elif console.is_terminal:
        bars = Bars(console)
        lines.apart = bars.apart
        try:
            with progress.watched(bars):
                yield
        finally:
            bars.stop()
            lines.apart = nullcontext
    else:
        with progress.watched(PlainLines() if lines.output.verbose else None):
            yield


class JsonLines:
    """A line of JSON for each report, for a program that reads standard error.

    Keys: ``step``, ``depth`` (0 for a step that is part of no other), ``done``, ``total`` (null
    where it isn't known), ``note``, ``over``.
    """

    def __init__(self) -> None:
        self._depths: dict[Step, int] = {}
        self._said: dict[Step, float] = {}
        self._lock = threading.RLock()

    def began(self, step: Step) -> None:
        """See `machine.progress.Watcher`."""
        with self._lock:
            self._depths[step] = len(self._depths)
            self._say(step)

    def moved(self, step: Step) -> None:
        """See `machine.progress.Watcher`."""
        with self._lock:
            late = time.monotonic() - self._said.get(step, 0.0) >= JSON_SECONDS
            if step in self._depths and (late or step.done == step.total):
                self._say(step)

    def ended(self, step: Step) -> None:
        """See `machine.progress.Watcher`."""
        with self._lock:
            self._say(step, over=True)
            del self._depths[step], self._said[step]

    def _say(self, step: Step, *, over: bool = False) -> None:
        self._said[step] = time.monotonic()
        report = {
            "step": shown(step.what), "depth": self._depths[step], "done": step.done,
            "total": step.total, "note": shown(step.note), "over": over,
        }  # fmt: skip
        sys.stderr.write(json.dumps(report) + "\n")
        sys.stderr.flush()


class Bars:
    """A bar for each step that is under way, those of its parts below it; gone when it is over.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        self._drawn = _Drawn(
            TextColumn("{task.description}", markup=False), BarColumn(20), _Parts(), _Time(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console, speed_estimate_period=_SPEED_SECONDS,
        )  # fmt: skip
        self._tasks: dict[Step, TaskID] = {}
        self._lock = threading.RLock()

    def began(self, step: Step) -> None:
        """See `machine.progress.Watcher`."""
        with self._lock:
            what = "  " * len(self._tasks) + shown(step.what)
            self._tasks[step] = self._drawn.add_task(what, total=None, note="")
            self.moved(step)
            if not self._drawn.live.is_started:
                self._drawn.start_anew()

    def moved(self, step: Step) -> None:
        """See `machine.progress.Watcher`."""
        with self._lock:
            if step in self._tasks:
                self._drawn.update(
                    self._tasks[step], completed=step.done, total=step.total, note=shown(step.note)
                )

    def ended(self, step: Step) -> None:
        """See `machine.progress.Watcher`."""
        with self._lock:
            task = self._tasks.pop(step, None)
            if task is not None:
                self._drawn.remove_task(task)
            if not self._tasks:
                self.stop()

    def stop(self) -> None:
        """Remove the bars from the terminal."""
        with self._lock:
            self._drawn.stop()

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Take the bars off the terminal while something is printed there."""
        with self._lock:
            live = self._drawn.live.is_started
            if live:
                self._drawn.stop()
            try:
                yield
            finally:
                if live:
                    self._drawn.start_anew()


class _Drawn(Progress):
    """Bars that aren't drawn in the first moments."""

    def __init__(self, *columns: ProgressColumn, **settings: Any) -> None:
        self._begun = time.monotonic()
        super().__init__(*columns, **settings)

    def start_anew(self) -> None:
        """Draw again after a stop; the old display would remove lines that others printed.

        What other libraries write to standard error, such as warnings, stands above the bars.
        """
        self.live = Live(
            console=self.console, transient=True, redirect_stdout=False, redirect_stderr=True,
            refresh_per_second=10, get_renderable=self.get_renderable,
        )  # fmt: skip
        self.start()

    def get_renderables(self) -> Iterator[RenderableType]:
        """See `rich.progress.Progress`."""
        if time.monotonic() - self._begun >= SHOWN_AFTER:
            yield from super().get_renderables()


class _Parts(ProgressColumn):
    """Parts done and parts in all."""

    def render(self, task: Task) -> Text:
        """See `rich.progress.ProgressColumn`."""
        return Text("" if task.total is None else f"{task.completed:,.0f}/{task.total:,.0f}")


class _Time(ProgressColumn):
    """The time left; where that isn't known yet, the time that passed."""

    def render(self, task: Task) -> Text:
        """See `rich.progress.ProgressColumn`."""
        left = task.time_remaining
        if left is None or not task.completed:
            return Text(clock(task.elapsed or 0.0))
        return Text(f"{clock(left)} left")


def clock(seconds: float) -> str:
    """A time as 0:07, 12:30 or 1:02:30."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class PlainLines:
    """A line each minute for the step that moved, for logs."""

    def __init__(self) -> None:
        self._said = time.monotonic()
        self._steps: list[Step] = []

    def began(self, step: Step) -> None:
        """See `machine.progress.Watcher`."""
        self._steps.append(step)

    def moved(self, _: Step) -> None:
        """See `machine.progress.Watcher`."""
        if time.monotonic() - self._said >= LINE_SECONDS:
            self._said = time.monotonic()
            say(", ".join(map(_in_words, self._steps)), err=True)

    def ended(self, step: Step) -> None:
        """See `machine.progress.Watcher`."""
        self._steps.remove(step)


def _in_words(step: Step) -> str:
    parts = "" if step.total is None else f"{step.done:,}/{step.total:,}"
    return " ".join(filter(None, (step.what, parts, step.note)))


@contextmanager
def callbacks(
    command: str, hints: Mapping[str, Any], *, as_json: bool
) -> Iterator[dict[str, Callable[..., None]]]:
    """Functions that report a command's progress, by the name of the parameter that takes them.

    Args:
        command: Name of the command.
        hints: Types of its function's parameters.
        as_json: Whether progress by block is written as JSON.
    """
    with progress.step(command) as step:
        if "on_block" in hints:
            yield {"on_block": _say_json(command) if as_json else _blocks(step)}
        elif "on_epoch" in hints:
            yield {name: call for name, call in _epochs().items() if name in hints}
        elif "on_stage" in hints:
            yield {"on_stage": say}
        else:
            yield {}


def _blocks(step: Step) -> Callable[[Blocks], None]:
    """Reports blocks done, and Mpixel/s."""

    def report(blocks: Blocks) -> None:
        rate = "" if blocks.rate is None else f"{blocks.rate:.2f} Mpixel/s"
        step.to(blocks.done, blocks.blocks, rate)

    return report


def _say_json(what: str) -> Callable[[Blocks], None]:
    """Writes a line of JSON a block on standard error, for schedulers."""

    def report(blocks: Blocks) -> None:
        left = blocks.seconds_left
        line = {
            "stage": what,
            "blocks_done": blocks.done,
            "blocks": blocks.blocks,
            "mpixel_per_second": None if blocks.rate is None else round(blocks.rate, 3),
            "seconds_left": None if left is None else round(left, 1),
        }
        sys.stderr.write(json.dumps(line) + "\n")
        sys.stderr.flush()

    return report


def _epochs() -> dict[str, Callable[..., None]]:
    """Lines about data and time, then a line an epoch: on a terminal the rows of a table."""
    from landshift.learn.progress import row_of
    from landshift.show.tables import EPOCH_COLUMNS

    widths = [max(len(name), 7) for name in EPOCH_COLUMNS]
    on_terminal = Console().is_terminal

    def on_data(line: str) -> None:
        say(line)
        if on_terminal:
            say("  ".join(map(str.rjust, EPOCH_COLUMNS, widths)))

    def on_epoch(epoch: Epoch) -> None:
        row = row_of(epoch)
        if on_terminal:
            say("  ".join(map(str.rjust, row, widths)))
        else:
            say("  ".join(f"{n} {value}" for n, value in zip(EPOCH_COLUMNS, row, strict=True)))

    return {"on_data": on_data, "on_time": say, "on_epoch": on_epoch}


def table(content: RenderableType) -> None:
    """Print a table on standard output."""
    if not lines.output.quiet and lines.output.print_as is None:
        with lines.apart():  # a name longer than the terminal is wide is wrapped by the terminal
            Console().print(content, crop=False)
