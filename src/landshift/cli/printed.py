"""The result of a command as one JSON object, for --print json."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import fields, is_dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from landshift.classes import ClassScheme
from landshift.files.rows import Rows

MOST_VALUES = 1000
"""Values of a list that are written, and rows of a table; of longer ones, such as the tiles of a
set, their number alone: ``{"left_out": 5230}``. A confusion matrix of 30 classes has 900 values."""


def as_json(result: object) -> str:
    """A result as one JSON object: its fields by name, and the rows of its table as ``rows``.

    A path becomes ``{"path": ...}``, classes ``{"1": "forest"}``. Fields that aren't data are left
    out: private ones, and types of other libraries such as a CRS. Figures that aren't defined are
    null.
    """
    content = _content(result)
    if not isinstance(content, dict):
        content = {"path" if isinstance(result, Path) else "result": content}
    return json.dumps(content, ensure_ascii=False)


class _NoDataError(Exception):
    """A value isn't data."""


def _content(value: object) -> Any:
    """A value as JSON holds it.

    Raises:
        _NoDataError: It isn't data.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path | date):
        return str(value)
    if isinstance(value, np.ndarray) and value.dtype != object:
        return _list(value.tolist())
    if isinstance(value, ClassScheme):
        value = value.mapping
    if isinstance(value, Mapping):
        return {_key(k): content for k, content in _data(value.items())}
    if isinstance(value, list | tuple):
        return _list(value)
    if isinstance(value, Set):
        return _list(sorted(value))
    if is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    raise _NoDataError


def _fields(value: Any) -> dict[str, Any]:
    """The public fields of a result; its rows, and its files, where it has them."""
    if hasattr(value, "as_dict"):
        content = dict(_data(value.as_dict().items()))
    else:
        named = [(f.name, getattr(value, f.name)) for f in fields(value) if f.name[0] != "_"]
        content = dict(_data(named))
        if isinstance(value, Rows):
            rows = value.rows()
            few = len(rows) <= MOST_VALUES
            content["rows"] = [_content(row) for row in rows] if few else {"left_out": len(rows)}
    if hasattr(value, "files"):
        content["files"] = _content(value.files)
    return content


def _data(items: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Those whose values are data, as JSON holds them."""
    kept = []
    for name, value in items:
        try:
            kept.append((name, _content(value)))
        except _NoDataError:
            continue
    return kept


def _list(values: Any) -> Any:
    if len(values) > MOST_VALUES:
        return {"left_out": len(values)}
    content = [_content(value) for value in values]
    return content if _size(content) <= MOST_VALUES else {"left_out": len(values)}


def _size(content: Any) -> int:
    """Number of single values."""
    if isinstance(content, dict):
        return sum(map(_size, content.values()))
    return sum(map(_size, content)) if isinstance(content, list) else 1


def _key(key: object) -> str:
    return "->".join(map(str, key)) if isinstance(key, tuple) else str(key)
