"""The style that makes a sample a form in QGIS."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from landshift.assess.contents import CONFIDENCES, Design
from landshift.vector import styles

_RED = (255, 0, 80)


def form_style(columns: Iterable[str], design: Design) -> str:
    """A QGIS style of the layer of units: red outlines, and a form with lists to choose from."""
    response = design.response
    lists: dict[str, Sequence[str]] = dict.fromkeys(response.asked, response.choices)
    lists["confidence"] = CONFIDENCES
    aliases = {"after": "class"} if response.dates == 1 else {}
    fields = [
        styles.FieldStyle(
            name, choices=lists.get(name, ()), editable=name in lists or name == "notes",
            alias=aliases.get(name),
        )
        for name in columns
    ]  # fmt: skip
    return styles.style(styles.outlined(_RED), fields)
