"""Untrusted JSON, read within bounds: size, depth, finite numbers."""

from __future__ import annotations

import json
import math
from typing import Any

from landshift.errors import LandshiftError

MAX_BYTES = 16 << 20
MAX_DEPTH = 32


def parse(data: bytes, *, what: str, error: type[LandshiftError], most: int = MAX_BYTES) -> Any:
    """The value of a JSON text.

    Args:
        data: The text, UTF-8, with or without a byte order mark.
        what: Its name in errors.
        error: Class of the errors.
        most: Largest accepted number of bytes.

    Raises:
        LandshiftError: As ``error``: too long, not JSON, nested deeper than `MAX_DEPTH`, or a
            number that isn't finite.
    """
    if len(data) > most:
        raise error(f"{what} must be at most {most} bytes, got more; it is hostile or damaged.")
    try:
        value = json.loads(
            data.decode("utf-8-sig"), parse_constant=_not_finite, parse_float=_finite
        )
    except (ValueError, RecursionError) as problem:
        raise error(f"{what} must be whole JSON, got '{problem}'; fetch or write it again.") from (
            problem
        )
    if _depth(value) > MAX_DEPTH:
        raise error(f"{what} must be nested at most {MAX_DEPTH} deep, got more; it is hostile.")
    return value


def _not_finite(constant: str) -> float:
    raise ValueError(f"{constant} is no finite number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no finite number")
    return number


def _depth(value: Any) -> int:
    """Number of lists and objects around the innermost value."""
    depth, level = 0, [value]
    while level:
        inner = [
            v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)
        ]
        level = [v for values in inner for v in values]
        depth += bool(inner)
    return depth
