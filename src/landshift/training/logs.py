"""Logs of a training, epoch by epoch."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

from landshift.files import whole
from landshift.machine.extras import required
from landshift.training.options import Training

TABLE = "training.csv"
"""Name of the log's table."""


@dataclass(frozen=True)
class Epoch:
    """One row of the training table.

    Attributes:
        epoch: Number, from 0.
        train_loss: Mean loss of its training batches.
        valid_loss: Mean loss of the validation batches.
        accuracy: Share of labelled validation pixels classified correctly, 'No change' included.
        dice: Macro-averaged Dice (F1) over the classes that occur.
        miou: Macro-averaged IoU over the same classes.
        change_f1: F1 of 'any change'; None without a class 'No change'.
        seconds: Wall-clock time of the epoch.
    """

    epoch: int
    train_loss: float
    valid_loss: float
    accuracy: float
    dice: float
    miou: float
    change_f1: float | None
    seconds: float


class Watch(NamedTuple):
    """Who watches a training.

    Attributes:
        on_epoch: Called with each row of the training table.
        on_time: Called once, after the first batches, with a line that says how long it will take.
    """

    on_epoch: Callable[[Epoch], None] | None = None
    on_time: Callable[[str], None] | None = None


class Log(Protocol):
    """Takes the training table after each epoch."""

    def __call__(self, table: Sequence[Epoch]) -> None:
        """Write down the last row, or all of them."""


def check_packages(options: Training) -> None:
    """Check that the packages of a training's logs are there.

    Raises:
        ParameterError: One isn't installed.
    """
    for wanted, package in ((options.tensorboard, "tensorboard"), (options.mlflow, "mlflow")):
        if wanted:
            required(package, package, f"Logs for {package}")


@contextmanager
def logs(options: Training) -> Iterator[Log]:
    """The logs that a training's options name, as one; see `check_packages`."""
    writer: Any = None
    if options.tensorboard:
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(options.log)
    run: Any = None
    if options.mlflow:
        import mlflow

        run = mlflow
        run.start_run()
        run.log_params({k: v for k, v in options.as_dict().items() if not isinstance(v, dict)})

    def write(table: Sequence[Epoch]) -> None:
        row = table[-1]
        numbers = {k: v for k, v in asdict(row).items() if v is not None and k != "epoch"}
        if options.log is not None:
            _write_table(options, table)
        if writer is not None:
            for name, value in numbers.items():
                writer.add_scalar(name, value, row.epoch)
        if run is not None:
            run.log_metrics(numbers, step=row.epoch)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()
        if run is not None:
            run.end_run()


def _write_table(options: Training, table: Sequence[Epoch]) -> None:
    """Write the whole table, which may begin with epochs of an interrupted run."""
    assert options.log is not None
    with (
        whole.whole_file(options.log / TABLE) as part,
        part.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, asdict(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in table)
