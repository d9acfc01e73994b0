"""Memory that was freed: kept for what comes next, or given back to the system.

The C library decides, by the size of a block and where it lies. Only glibc can be told otherwise;
elsewhere nothing changes.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# glibc's malloc.h: what mallopt sets, and what it comes to by itself once large blocks were freed
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_USUAL = {_TRIM_THRESHOLD: 64 << 20, _MMAP_THRESHOLD: 32 << 20, _MMAP_MAX: 65536}
_KEEPING = {_TRIM_THRESHOLD: -1, _MMAP_MAX: 0}


@contextmanager
def keeping_freed() -> Iterator[None]:
    """Keep what a step frees for the next one, which needs as much again.

    By itself the C library gives large blocks back when they are freed, and has to ask for them in
    the next step: hundreds of megabytes that the system clears page by page. What was kept is
    given back at the end.
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
    """Give back what was freed and lies between what is still in use."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> Any:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
