"""How far a run is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        done: Blocks that are done, those of earlier runs too.
        blocks: Blocks in all.
        pixels: Pixels that this run has done.
        seconds: How long it took for them.
        left: Pixels that are left.
    """

    done: int
    blocks: int
    pixels: int
    seconds: float
    left: int

    @property
    def rate(self) -> float | None:
        """Megapixels a second; None before the first block."""
        return self.pixels / self.seconds / 1e6 if self.pixels and self.seconds else None

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at that rate; None before the first block."""
        return None if self.rate is None else self.left / self.rate / 1e6


class Counter:
    """Tells of progress, block by block.

    Args:
        blocks: Blocks in all.
        done: Blocks that earlier runs did.
        left: Pixels that are left.
        tell: Whom it tells, or None.
    """

    def __init__(
        self, blocks: int, done: int, left: int, tell: Callable[[Progress], None] | None
    ) -> None:
        self._start = time.monotonic()
        self._blocks, self._done, self._left, self._tell = blocks, done, left, tell
        self._pixels = 0
        self._say()

    def add(self, pixels: int) -> None:
        """Count one more block, of so many pixels."""
        self._done += 1
        self._pixels += pixels
        self._left -= pixels
        self._say()

    def _say(self) -> None:
        if self._tell is not None:
            seconds = time.monotonic() - self._start
            self._tell(Progress(self._done, self._blocks, self._pixels, seconds, self._left))
