"""The training loop: one-cycle, validated each epoch, the best weights kept."""

from __future__ import annotations

import copy
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import lightning
import numpy as np
import torch

from landshift import confusion
from landshift.classes import IGNORE_INDEX
from landshift.dataset import Sample, TrainingData
from landshift.engine import computes_in_bfloat16
from landshift.errors import ParameterError, TrainingError
from landshift.models import ChangeModel
from landshift.train.losses import HeadsLoss, loss_for

log = logging.getLogger(__name__)

WEIGHT_DECAY = 0.01
PATIENCE = 5
"""Epochs without a better monitored value after which early stopping ends the training."""

MONITORS = {"valid_loss": min, "accuracy": max, "dice": max, "miou": max, "change_f1": max}
"""What 'best' can mean, and in which direction."""


@dataclass(frozen=True)
class Epoch:
    """One row of the training table.

    Attributes:
        epoch: Number, from 0.
        train_loss: Mean loss of its training batches.
        valid_loss: Mean loss of the validation batches.
        accuracy: Right share of labelled validation pixels, 'No change' included.
        dice: Macro-averaged Dice (F1) over the classes that occur.
        miou: Macro-averaged IoU over the same classes.
        change_f1: F1 of 'any change'; None where it isn't defined (`landshift.confusion.Scores`).
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


def fit(
    model: ChangeModel,
    data: TrainingData,
    *,
    epochs: int = 10,
    lr: float = 1e-3,
    max_steps: int | None = None,
    one_cycle: bool = True,
    class_balancing: bool = False,
    early_stopping: bool = False,
    checkpoint: bool = True,
    monitor: str = "valid_loss",
    accelerator: str = "auto",
    precision: str = "auto",
    on_epoch: Callable[[Epoch], None] | None = None,
) -> list[Epoch]:
    """Train a model in place with AdamW.

    Args:
        model: What is trained.
        data: Training and validation tiles.
        epochs: Passes over the training tiles.
        lr: Peak of the one-cycle schedule, or the constant learning rate.
        max_steps: At most this many batches in all; epochs become fewer, then shorter, to fit.
        one_cycle: Learning rate rises to ``lr`` over 30 % of the steps, then falls (Smith 2018,
            arXiv:1803.09820).
        class_balancing: Weigh classes by `class_weights`.
        early_stopping: End after `PATIENCE` epochs without a better monitored value.
        checkpoint: End with the weights of the best epoch instead of those of the last.
        monitor: What decides which epoch is best, a key of `MONITORS`.
        accelerator: Lightning's: ``auto``, ``cpu``, ``gpu``.
        precision: Lightning's, or ``auto``: bf16 where the processor computes in it, else float32.
        on_epoch: Called with each row of the training table.

    Returns:
        The training table.

    Raises:
        ParameterError: An option out of its range.
        TrainingError: The loss is no longer a number; the model holds the last good weights.
    """
    _check(data, epochs, lr, max_steps, monitor)
    loss = loss_for(data, class_balancing=class_balancing, class_maps=model.class_maps)
    train = data.train_loader(class_maps=model.class_maps)
    valid = data.valid_loader(class_maps=model.class_maps)
    batches = len(train)
    if max_steps is not None:
        epochs = min(epochs, -(-max_steps // batches))
        batches = min(batches, max(1, max_steps // epochs))
    steps = epochs * batches
    task = _Task(model, loss, data, lr, steps, one_cycle, on_epoch)
    callbacks: list[lightning.Callback] = [_StopAtNaN()]
    if early_stopping:
        callbacks.append(_EarlyStopping(monitor))
    if checkpoint:
        callbacks.append(_KeepBest(monitor))
    with _quiet(), _seeded(data.options.seed):
        trainer = lightning.Trainer(
            max_epochs=epochs,
            limit_train_batches=batches,
            accelerator=accelerator,
            devices=1,
            precision=_precision(precision, accelerator),  # type: ignore[arg-type]
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            callbacks=callbacks,
        )
        trainer.fit(task, train, valid)
    model.to("cpu").eval()
    return task.table


class _Task(lightning.LightningModule):
    """Lightning's view of a training: a step, a validation, an optimiser."""

    def __init__(
        self,
        model: ChangeModel,
        loss: HeadsLoss,
        data: TrainingData,
        lr: float,
        steps: int,
        one_cycle: bool,
        on_epoch: Callable[[Epoch], None] | None,
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.scheme = data.scheme
        self.lr = lr
        self.steps = steps
        self.one_cycle = one_cycle
        self.on_epoch = on_epoch
        self.table: list[Epoch] = []

    def on_train_epoch_start(self) -> None:
        self.started = time.perf_counter()
        self.train_losses: list[float] = []

    def training_step(self, batch: Sample, _: int) -> torch.Tensor:
        images, targets = batch
        loss: torch.Tensor = self.loss(self.model.heads(images), targets)
        self.train_losses.append(float(loss.detach()))
        return loss

    def on_validation_epoch_start(self) -> None:
        n = len(self.scheme)
        self.matrix = np.zeros((n, n + 1), np.int64)
        self.valid_losses: list[tuple[float, int]] = []

    def validation_step(self, batch: Sample, _: int) -> None:
        images, targets = batch
        heads = self.model.heads(images)
        change = targets[:, 0]
        labelled = int((change != IGNORE_INDEX).sum())
        self.valid_losses.append((float(self.loss(heads, targets)), labelled))
        codes = heads["change"].argmax(1).to(torch.uint8).cpu().numpy()
        reference = change.to(torch.uint8).cpu().numpy()
        self.matrix += confusion.count(reference, codes, len(self.scheme))

    def on_validation_epoch_end(self) -> None:
        scores = confusion.score(self.matrix, self.scheme)
        pixels = sum(n for _, n in self.valid_losses)
        row = Epoch(
            epoch=self.current_epoch,
            train_loss=float(np.mean(self.train_losses)),
            valid_loss=sum(v * n for v, n in self.valid_losses) / max(pixels, 1),
            accuracy=scores.accuracy,
            dice=scores.macro_f1,
            miou=scores.miou,
            change_f1=scores.change_f1,
            seconds=time.perf_counter() - self.started,
        )
        self.table.append(row)
        if self.on_epoch is not None:
            self.on_epoch(row)

    def configure_optimizers(self) -> Any:
        optimiser = torch.optim.AdamW(
            self.model.parameters(), self.lr, weight_decay=WEIGHT_DECAY, fused=True
        )
        if not self.one_cycle:
            return optimiser
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, self.lr, total_steps=self.steps, pct_start=0.3
        )
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


class _KeepBest(lightning.Callback):
    """Keeps a copy of the weights of the best epoch, and puts them back at the end."""

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor
        self.best: dict[str, torch.Tensor] = {}

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: Any) -> None:
        if _is_best(task.table, self.monitor):
            self.best = copy.deepcopy(task.model.state_dict())

    def on_fit_end(self, trainer: lightning.Trainer, task: Any) -> None:
        if self.best:
            task.model.load_state_dict(self.best)


class _EarlyStopping(lightning.Callback):
    """Ends the training after `PATIENCE` epochs without a better monitored value."""

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor
        self.waited = 0

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: Any) -> None:
        self.waited = 0 if _is_best(task.table, self.monitor) else self.waited + 1
        trainer.should_stop = trainer.should_stop or self.waited >= PATIENCE


class _StopAtNaN(lightning.Callback):
    """Ends the training with a clear line as soon as a loss is no number; keeps good weights."""

    def __init__(self) -> None:
        self.good: dict[str, torch.Tensor] = {}

    def on_train_epoch_start(self, trainer: lightning.Trainer, task: Any) -> None:
        self.good = copy.deepcopy(task.model.state_dict())

    def on_train_batch_end(self, trainer: lightning.Trainer, task: Any, *_: Any) -> None:
        loss = task.train_losses[-1]
        if not np.isfinite(loss):
            task.model.load_state_dict(self.good)
            raise TrainingError(
                f"The loss must stay a number, got {loss} in epoch {task.current_epoch} with "
                f"learning rate {task.lr:g}; train with a smaller one (lr_find suggests one)."
            )


def _is_best(table: list[Epoch], monitor: str) -> bool:
    """Whether the last row is the best so far; the first of equals is."""
    values = [-math.inf if (v := getattr(row, monitor)) is None else v for row in table]
    best = MONITORS[monitor](values)
    return bool(values.index(best) == len(values) - 1)


def _check(data: TrainingData, epochs: int, lr: float, max_steps: int | None, monitor: str) -> None:
    if epochs < 1 or (max_steps is not None and max_steps < 1):
        raise ParameterError(f"epochs and max_steps must be at least 1, got {epochs}, {max_steps}.")
    if not 0 < lr < 10:
        raise ParameterError(f"The learning rate must lie between 0 and 10, got {lr}.")
    if monitor not in MONITORS:
        raise ParameterError(f"monitor must be one of {', '.join(MONITORS)}, got {monitor!r}.")
    if monitor == "change_f1" and not data.scheme.unchanged:
        raise ParameterError(
            "monitor='change_f1' needs a class 'No change' or 'forest->forest', got "
            f"{', '.join(data.scheme.names)}; monitor miou instead."
        )


def _precision(precision: str, accelerator: str) -> str:
    if precision != "auto":
        return precision
    on_gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    return "bf16-mixed" if computes_in_bfloat16(device) else "32-true"


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Random numbers from a seed; the caller's random state is left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's own notices away: the training table says what users need."""
    loggers = [logging.getLogger(n) for n in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
