"""The memory of training steps: kept from one to the next; what to say when a batch doesn't fit."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

# glibc's malloc.h: what mallopt sets, and what it comes to by itself once large blocks were freed
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_USUAL = {_TRIM_THRESHOLD: 64 << 20, _MMAP_THRESHOLD: 32 << 20, _MMAP_MAX: 65536}
_KEEPING = {_TRIM_THRESHOLD: -1, _MMAP_MAX: 0}


@contextmanager
def keeping_freed() -> Iterator[None]:
    """Keep what a training step frees for the next one, which needs as much again.

    By itself the C library gives large blocks back to the system when they are freed, and has to
    ask for them in the next step: hundreds of megabytes that the system clears page by page. What
    was kept is given back at the end. Only glibc can be told so; elsewhere nothing changes.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    library = ctypes.CDLL(None)
    for parameter, value in _KEEPING.items():
        library.mallopt(parameter, value)
    try:
        yield
    finally:
        for parameter, value in _USUAL.items():
            library.mallopt(parameter, value)
        library.malloc_trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of a GPU or of the machine, ran out."""
    told = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError)
        and any(t in told for t in ("out of memory", "can't allocate memory", "not enough memory"))
    )


def largest_batch(step: Callable[[int], object], failed: int) -> int:
    """The largest of failed / 2, failed / 4, ... samples that one step fits the memory with.

    Args:
        step: Makes one training step of so many samples.
        failed: Samples that were too many.

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
