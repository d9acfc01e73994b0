"""Progress of long work: reported where the work is done, drawn by whoever watches.

The library reports steps (`step`, `each`); without a watcher nothing happens. The command line and
notebooks watch (`watched`) and draw.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

Item = TypeVar("Item")


@dataclass(eq=False)
class Step:
    """A step of work that is under way.

    Attributes:
        what: What is done, in few words: 'learning rate', 'epoch 3'.
        total: Number of its parts; None: not known.
        done: Parts done.
        note: What else to show beside it, such as the loss.
        watcher: Who sees it; also what other threads report of it.
    """

    what: str
    total: int | None = None
    done: int = 0
    note: str = ""
    watcher: Watcher | None = field(default=None, repr=False)

    def to(self, done: int, total: int | None = None, note: str | None = None) -> None:
        """Report how far it is; what is left out stays."""
        self.done = done
        self.total = self.total if total is None else total
        self.note = self.note if note is None else note
        if self.watcher is not None:
            self.watcher.moved(self)

    def advance(self, parts: int = 1, note: str | None = None) -> None:
        """Report that further parts are done."""
        self.to(self.done + parts, note=note)


class Watcher(Protocol):
    """Draws steps; those that begin while another is under way belong to it.

    Steps begin and end in the thread that watches; `moved` is called from any.
    """

    def began(self, step: Step) -> None:
        """A step begins."""

    def moved(self, step: Step) -> None:
        """A step went on."""

    def ended(self, step: Step) -> None:
        """A step is over, also where an error ended it."""


_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched(watcher: Watcher | None) -> Iterator[None]:
    """Let a watcher see the steps of this thread; None: nobody does."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def is_watched() -> bool:
    """Whether somebody watches this thread."""
    return _watcher.get() is not None


@contextmanager
def step(what: str, total: int | None = None) -> Iterator[Step]:
    """A step of work; report with its `Step.advance` or `Step.to`."""
    watcher = _watcher.get()
    new = Step(what, total, watcher=watcher)
    if watcher is not None:
        watcher.began(new)
    try:
        yield new
    finally:
        if watcher is not None:
            watcher.ended(new)


def each(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """The items, each reported as done when the next one is asked for."""
    with step(what, total) as under_way:
        for item in items:
            yield item
            under_way.advance()
