"""What tests of data preparation share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from landshift.machine import progress
from landshift.machine.progress import Step


class Steps:
    """Notes the steps that begin."""

    def __init__(self) -> None:
        self.begun: list[Step] = []

    def began(self, step: Step) -> None:
        self.begun.append(step)

    def moved(self, step: Step) -> None:
        pass

    def ended(self, step: Step) -> None:
        pass


@pytest.fixture
def steps() -> Iterator[list[Step]]:
    """The steps of work that a test begins."""
    watcher = Steps()
    with progress.watched(watcher):
        yield watcher.begun
