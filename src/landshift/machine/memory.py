"""Freed memory: kept for the next step, or returned to the system.

By default the C library decides, by a block's size and address. Only glibc allows another rule; on
other systems these functions do nothing.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# parameters of mallopt (glibc's malloc.h), and the values that glibc reaches by itself
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_USUAL = {_TRIM_THRESHOLD: 64 << 20, _MMAP_THRESHOLD: 32 << 20, _MMAP_MAX: 65536}
_KEEPING = {_TRIM_THRESHOLD: -1, _MMAP_MAX: 0}


@contextmanager
def keeping_freed() -> Iterator[None]:
    """Keep the memory that a step frees for the next step, which needs the same amount.

    By default the C library returns large blocks to the system when they are freed, and requests
    them again in the next step: hundreds of megabytes that the system clears page by page. The
    memory is returned at the end of the context.
    """
    library = _glibc()
    if library is None:
        yield
        return
    for parameter, value in _KEEPING.items():
        library.mallopt(parameter, value)
    try:
        yield
    finally:
        for parameter, value in _USUAL.items():
            library.mallopt(parameter, value)
        give_back()


def give_back() -> None:
    """Return freed memory that lies between blocks still in use."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> Any:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
