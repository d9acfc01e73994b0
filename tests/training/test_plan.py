"""How long a training lasts where nobody says."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from landshift.errors import ParameterError
from landshift.training import Training
from landshift.training import plan as plans
from landshift.training.pace import FIRST, Pace
from landshift.training.plan import TrainingPlan, duration_line, plan, steps_wanted


@pytest.mark.parametrize(
    ("tile_size", "classes", "steps"),
    [
        (128, 2, 200),  # change or none
        (128, 6, 400),
        (256, 6, 200),  # half of it with tiles twice as large
        (512, 6, 200),  # and never less
        (64, 6, 800),
        (32, 6, 800),
        (128, 100, 1000),
    ],
)
def test_steps_follow_from_tiles_and_classes(tile_size: int, classes: int, steps: int) -> None:
    assert steps_wanted(tile_size, classes) == steps


def test_a_small_set_is_drawn_several_times_in_each_epoch() -> None:
    planned = plan(Training(), 14, 8, tile_size=128, classes=6)
    assert planned == TrainingPlan(epochs=20, batches=21, passes=12)  # 12 x 14 tiles are 21 batches


def test_a_large_set_is_seen_at_least_a_few_times() -> None:
    planned = plan(Training(), 8000, 8, tile_size=128, classes=6)
    assert planned == TrainingPlan(epochs=plans.LEAST_PASSES, batches=1000)
    assert plan(Training(), 800_000, 8, tile_size=128, classes=6) == TrainingPlan(1, 100_000)


def test_given_epochs_pass_once_over_the_tiles() -> None:
    assert plan(Training(epochs=7), 30, 8, tile_size=128, classes=6) == TrainingPlan(7, 3)


def test_max_steps_makes_epochs_fewer_then_shorter() -> None:
    def limited(most: int, epochs: int | None = 7) -> TrainingPlan:
        options = Training(epochs=epochs, max_steps=most)
        return plan(options, 30, 8, tile_size=128, classes=6)

    assert limited(100) == TrainingPlan(7, 3)
    assert limited(10) == TrainingPlan(4, 2)
    assert limited(1) == TrainingPlan(1, 1)
    assert limited(50, None).steps == 48  # three epochs of 16


@given(
    tiles=st.integers(8, 100_000),
    tile_size=st.sampled_from([32, 64, 128, 256]),
    classes=st.integers(2, 60),
)
def test_a_planned_training_makes_the_steps_and_little_more(
    tiles: int, tile_size: int, classes: int
) -> None:
    planned = plan(Training(), tiles, 8, tile_size=tile_size, classes=classes)
    wanted = max(
        steps_wanted(tile_size, classes), min(plans.LEAST_PASSES * (tiles // 8), plans.LONGEST)
    )
    assert wanted <= planned.steps < wanted + planned.batches
    assert planned.batches >= plans.EPOCH_STEPS
    assert planned.batches * 8 <= planned.passes * tiles


def test_tiles_that_fill_no_batch_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"got 6 tiles for 8 samples a step; use fewer"):
        plan(Training(), 6, 8, tile_size=128, classes=2)


@pytest.mark.parametrize(
    ("seconds", "done", "accumulate", "validation", "line"),
    [
        (0.9, 0, 1, 0, "about 6 min: 50 epochs of 8 steps, 0.9 s a step"),
        (0.9, 49, 1, 0, "about 7 s: 1 epoch more of 8 steps, 0.9 s a step"),
        (0.9, 0, 4, 0, "about 6 min: 50 epochs of 2 steps, 3.6 s a step"),
        (0.9, 0, 1, 24, "about 12 min: 50 epochs of 8 steps, 0.9 s a step"),  # 24 as 8 steps
        (0.001, 0, 1, 0, "about 1 s: 50 epochs of 8 steps, 0.001 s a step"),
        (30.0, 0, 1, 0, "about 3 h 20 min: 50 epochs of 8 steps, 30 s a step"),
    ],
)
def test_a_line_says_how_long_it_takes(
    seconds: float, done: int, accumulate: int, validation: int, line: str
) -> None:
    assert duration_line(TrainingPlan(50, 8), seconds, done, accumulate, validation) == line


def test_the_pace_is_that_of_the_first_batches_without_the_very_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([0.0, 100.0, 101.0, 103.0, 1000.0, 1006.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    paces: list[float] = []
    pace = Pace(paces.append)
    pace.begin()
    for _ in range(3):
        pace.batch(torch.zeros(()))
    pace.begin()  # the next epoch; validation took 897 s
    for _ in range(FIRST):
        pace.batch(torch.zeros(()))
    assert paces == [3.0]  # of 1, 2 and 6 s
