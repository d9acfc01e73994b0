"""A watcher of progress, for tests."""

from __future__ import annotations

from landshift.machine.progress import Step


class Steps:
    """Keeps what is reported: the steps in the order in which they began, and each move."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.moves: list[tuple[str, int, int | None]] = []
        self.lines: list[str] = []
        """A line for each report: 'cut of 4', 'cut 1/4 note', 'cut over'."""

    def began(self, step: Step) -> None:
        self.steps.append(step)
        self.lines.append(f"{step.what} of {step.total}")

    def moved(self, step: Step) -> None:
        self.moves.append((step.what, step.done, step.total))
        self.lines.append(f"{step.what} {step.done}/{step.total} {step.note}".strip())

    def ended(self, step: Step) -> None:
        self.lines.append(f"{step.what} over")

    @property
    def parts(self) -> list[tuple[str, int, int | None]]:
        """Name, parts done and parts in all of each step, as they are now."""
        return [(step.what, step.done, step.total) for step in self.steps]
