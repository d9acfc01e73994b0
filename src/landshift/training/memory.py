"""The largest batch whose training step fits the memory."""

from __future__ import annotations

from collections.abc import Callable

from landshift.errors import is_out_of_memory


def largest_batch(step: Callable[[int], object], failed: int) -> int:
    """The largest of failed / 2, failed / 4, ... samples that one step fits the memory with.

    Args:
        step: Makes one training step with this many samples.
        failed: A batch size that didn't fit.

    Returns:
        Their number; 0 if not even one fits.
    """
    size = failed // 2
    while size:
        try:
            step(size)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            return size
        size //= 2
    return 0
