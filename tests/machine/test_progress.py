from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from landshift.machine import progress
from watching import Steps


def test_a_watcher_sees_each_part_and_the_steps_inside() -> None:
    notes = Steps()
    with progress.watched(notes), progress.step("training", 2) as training:
        assert list(progress.each("ab", "epoch 0", 2)) == ["a", "b"]
        training.advance(note="loss 0.5")
    assert notes.lines == [
        "training of 2", "epoch 0 of 2", "epoch 0 1/2", "epoch 0 2/2", "epoch 0 over",
        "training 1/2 loss 0.5", "training over",
    ]  # fmt: skip


def test_what_other_threads_report_of_a_step_is_seen() -> None:
    notes = Steps()
    with (
        progress.watched(notes),
        progress.step("windows", 2) as windows,
        ThreadPoolExecutor(1) as pool,
    ):
        pool.submit(windows.advance).result()
    assert notes.lines == ["windows of 2", "windows 1/2", "windows over"]


def test_a_step_is_over_after_an_error_and_without_a_watcher_nothing_happens() -> None:
    notes = Steps()
    with pytest.raises(KeyError, match="gone"), progress.watched(notes), progress.step("a"):
        raise KeyError("gone")
    with progress.step("b") as unseen:
        unseen.to(3, 7)
    assert notes.lines == ["a of None", "a over"]
    assert (unseen.done, unseen.total) == (3, 7)
