"""Progress of a run over the blocks of a map."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Progress of a run.

    Attributes:
        done: Finished blocks, including those of earlier runs.
        blocks: All blocks of the map.
        pixels: Pixels that this run has classified.
        seconds: Time that took.
        left: Pixels that remain.
    """

    done: int
    blocks: int
    pixels: int
    seconds: float
    left: int

    @property
    def rate(self) -> float | None:
        """Megapixels per second; None before the first block."""
        return self.pixels / self.seconds / 1e6 if self.pixels and self.seconds else None

    @property
    def seconds_left(self) -> float | None:
        """Estimated time for the rest; None before the first block."""
        return None if self.rate is None else self.left / self.rate / 1e6


class ProgressCounter:
    """Counts finished blocks and reports each.

    Args:
        blocks: All blocks of the map.
        done: Blocks that earlier runs finished.
        left: Pixels that remain.
        report: Called at the start and after each block; None: nothing is reported.
    """

    def __init__(
        self, blocks: int, done: int, left: int, report: Callable[[Progress], None] | None
    ) -> None:
        self._start = time.monotonic()
        self._blocks, self._done, self._left, self._report = blocks, done, left, report
        self._pixels = 0
        self._send()

    def add(self, pixels: int) -> None:
        """Count one more block of that many pixels."""
        self._done += 1
        self._pixels += pixels
        self._left -= pixels
        self._send()

    def _send(self) -> None:
        if self._report is not None:
            seconds = time.monotonic() - self._start
            self._report(Progress(self._done, self._blocks, self._pixels, seconds, self._left))
