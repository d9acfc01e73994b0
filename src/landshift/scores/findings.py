"""How a result went, in plain words, and the next thing to try."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Finding:
    """A remark on a result.

    Attributes:
        kind: What is remarked on, a short word that stays the same; docs/scores.md lists them.
        text: What was found, with its figures: one or two sentences.
        advice: The next thing to try: one sentence; empty where nothing needs mending.
    """

    kind: str
    text: str
    advice: str = ""

    def __str__(self) -> str:
        """Text and advice."""
        return f"{self.text} {self.advice}".rstrip()

    def as_dict(self) -> dict[str, str]:
        """Kind, text and advice, for JSON."""
        return asdict(self)


def listed(names: list[str], most: int = 4) -> str:
    """Names in a sentence: 'a, b and c', 'a, b, c, d and 3 more'."""
    shown = names if len(names) <= most + 1 else [*names[:most], f"{len(names) - most} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
