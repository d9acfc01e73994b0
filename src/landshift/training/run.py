"""One process's part of a training: its steps, its epochs, the weights to keep."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.utils.data import DataLoader

from landshift import bundle
from landshift.classes import IGNORE_INDEX
from landshift.dataset import Draws, Sample, TrainingData
from landshift.errors import (
    ParameterError,
    TileSetError,
    TrainingError,
    is_out_of_memory,
    reason_of,
)
from landshift.machine import progress
from landshift.models import ChangeModel
from landshift.scores import confusion
from landshift.training.augment import BatchAugmentation, Varied, augmentation_of
from landshift.training.average import averaged
from landshift.training.logs import Epoch, Log, Watch
from landshift.training.losses import HeadsLoss, build_loss
from landshift.training.memory import largest_batch
from landshift.training.options import MONITORS, Training
from landshift.training.pace import Pace
from landshift.training.plan import duration_line
from landshift.training.resume import job_of, load_state, save_state
from landshift.training.sampling import plan_of, repeat_factors

WEIGHT_DECAY = 0.01
PATIENCE = 5
"""Epochs without a better monitored value after which early stopping ends the training."""

_CHECKED = 10  # steps between checks of the loss, each of which makes a GPU wait

State = dict[str, torch.Tensor]


class LossStep(nn.Module):
    """The loss of a batch: one training step as a module, for torch.compile and ddp.

    Args:
        model: The network.
        loss: The loss to minimise.
    """

    def __init__(self, model: ChangeModel, loss: HeadsLoss) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, batch: Varied) -> torch.Tensor:
        """The loss of a batch."""
        heads = self.model.heads(batch.images)
        loss: torch.Tensor = self.loss(heads, batch.targets, batch.weights)
        if batch.partners is not None:
            other = self.loss(heads, batch.partners, batch.partner_weights)
            loss = batch.share * loss + (1 - batch.share) * other
        return loss


class Run:
    """One process's part of a training.

    Args:
        fabric: Devices, precision and the other processes.
        model: The model to train.
        data: Its tiles.
        options: How.
    """

    def __init__(
        self, fabric: Fabric, model: ChangeModel, data: TrainingData, options: Training
    ) -> None:
        self.fabric = fabric
        self.model = model
        self.data = data
        self.options = options
        self.augment = BatchAugmentation(augmentation_of(model, options), data)
        process, processes = fabric.global_rank, fabric.world_size
        self.plan = plan_of(data, options, processes)
        self.batches = data.train_loader(
            class_maps=model.class_maps or self.augment.class_maps,
            factors=self.plan.passes * repeat_factors(data, options.rare_classes),
            process=process, processes=processes,
        )  # fmt: skip
        self.draws.batches = min(self.draws.batches, self.plan.batches)
        self.valid: DataLoader[Sample] = data.valid_loader(
            class_maps=model.class_maps, process=process, processes=processes
        )
        steps = self.plan.epochs * -(-self.draws.batches // options.accumulate)
        assert options.lr is not None
        self.loss = build_loss(options.loss, data, class_maps=model.class_maps)
        step: nn.Module = LossStep(model, self.loss)
        groups = _by_rate(model, options.lr, options.encoder_lr)
        optimiser = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY, fused=True)
        self.schedule: Any = torch.optim.lr_scheduler.ConstantLR(optimiser, 1.0, 1)
        if options.one_cycle:
            self.schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimiser, [g["lr"] for g in groups], total_steps=steps, pct_start=0.3
            )
        if options.compile:
            step = cast(nn.Module, torch.compile(step))
        self.step, self.optimiser = fabric.setup(step, optimiser)
        self.average = averaged(model, options.ema) if options.ema else None
        self.best: State = {}
        self.waited = 0
        self.table: list[Epoch] = []
        self.pace = Pace()

    @property
    def draws(self) -> Draws:
        """The sampler of the training tiles."""
        assert isinstance(self.batches.sampler, Draws)
        return self.batches.sampler

    def train(self, resume: Path | None, write: Log | None, watch: Watch) -> None:
        """Train all epochs that are left; the model ends with the weights to keep."""
        job = job_of(self.model, self.data, self.options, self.fabric.world_size)
        if resume is not None and resume.exists():
            self._load(load_state(resume, job))
        done = len(self.table)

        def tell_time(seconds: float) -> None:
            if watch.on_time is not None and self.fabric.is_global_zero:
                accumulate, validation = self.options.accumulate, len(self.valid)
                watch.on_time(duration_line(self.plan, seconds, done, accumulate, validation))

        self.pace = Pace(tell_time)
        while len(self.table) < self.plan.epochs and self.waited < self._patience:
            started = time.perf_counter()
            train_loss = self.train_epoch(len(self.table))
            self._share_buffers()
            row = replace(self._validate(train_loss), seconds=time.perf_counter() - started)
            self._note(row)
            if self.fabric.is_global_zero:
                if self.options.checkpoint == "all":
                    self._save_model()
                if write is not None:
                    write(self.table)
                if watch.on_epoch is not None:
                    watch.on_epoch(row)
                if resume is not None:
                    save_state(resume, job, self._state())
        self.model.load_state_dict(self.best or self.kept.state_dict())

    @property
    def kept(self) -> ChangeModel:
        """The model as it is validated and kept: the average of the weights, if there is one."""
        return self.model if self.average is None else cast(ChangeModel, self.average.module)

    @property
    def _patience(self) -> float:
        return PATIENCE if self.options.early_stopping else float("inf")

    def train_epoch(self, epoch: int) -> float:
        """Mean loss of the batches of an epoch."""
        good = self.best or _copied(self.model)
        self.draws.epoch = epoch
        torch.manual_seed(_seed(self.data.options.seed, epoch, self.fabric.global_rank))
        self.step.train()
        count, group = self.draws.batches, self.options.accumulate
        total = torch.zeros((), device=self.fabric.device)
        with progress.step(f"epoch {epoch}", count) as under_way:
            self.pace.begin()
            for number, batch in enumerate(self.batches):
                whole = number // group * group  # the batches from here on make one step
                last = number + 1 == min(whole + group, count)
                varied = self.augment(*self.fabric.to_device(batch))
                total += self._backward(varied, min(group, count - whole), last, good)
                if last:
                    self._step()
                self.pace.batch(total)
                note = None
                if (number + 1) % _CHECKED == 0:
                    loss = self._check_loss(total, epoch, good) / (number + 1)
                    note = f"loss {loss / self.fabric.world_size:.3f}"
                under_way.advance(note=note)
        if not all(p.isfinite().all() for p in self.model.parameters()):
            total += torch.nan  # no loss shows the result of the last step
        return self._check_loss(total, epoch, good) / (count * self.fabric.world_size)

    def _step(self) -> None:
        """A step of the optimiser, by the gradients that are there."""
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.model)

    def _backward(self, batch: Varied, group: int, last: bool, good: State) -> torch.Tensor:
        """Loss of a batch, its gradients added to those that are there."""
        reason = ""
        try:
            with self.fabric.no_backward_sync(self.step, enabled=not last):
                loss: torch.Tensor = self.step(batch)
                self.fabric.backward(loss / group)
            return loss.detach()
        except (MemoryError, RuntimeError, ValueError) as error:
            reason = reason_of(error)
            if "more than 1 value per channel" in reason:
                self.model.load_state_dict(good)
                raise ParameterError(
                    "A batch must hold two samples or more for this network's batch norm, got "
                    f"{len(batch.images)}; use a larger `batch_size` or `chip_size`."
                ) from error
            if not is_out_of_memory(error):
                raise
        self._refuse_batch(batch, reason, good)  # out here, the failed step's tensors are free

    def _refuse_batch(self, batch: Varied, reason: str, good: State) -> NoReturn:
        self.optimiser.zero_grad()
        self.model.load_state_dict(good)

        def step(size: int) -> None:
            weights = None if batch.weights is None else batch.weights[:size]
            part = Varied(batch.images[:size], batch.targets[:size], weights=weights)
            with self.fabric.autocast():
                loss = LossStep(self.model, self.loss)(part)
            loss.backward()
            self.optimiser.zero_grad()

        fits = largest_batch(step, len(batch.images))
        self.model.load_state_dict(good)
        advice = f"a step with {fits} fits" if fits else "not even one sample fits"
        raise TrainingError(
            f"A batch must fit the memory, got {len(batch.images)} samples of "
            f"{batch.images.shape[-1]} px ({reason}); {advice}"
            + (
                f", so use `batch_size` {fits} and `accumulate`."
                if fits
                else ": use a smaller `chip_size`."
            )
        )

    def _summed(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of each value over all processes."""
        if self.fabric.world_size == 1:
            return values
        total = self.fabric.all_reduce(values.to(self.fabric.device, copy=True), reduce_op="sum")
        assert isinstance(total, torch.Tensor)
        return total

    def _check_loss(self, total: torch.Tensor, epoch: int, good: State) -> float:
        """The sum of the losses of all processes; one that is no number ends the training."""
        loss = float(self._summed(total))
        if np.isfinite(loss):
            return loss
        self.model.load_state_dict(good)
        raise TrainingError(
            f"The loss must stay a number, got {loss} in epoch {epoch} with learning rate "
            f"{self.options.lr:g}; train with a smaller one (lr_find suggests one)."
        )

    def _share_buffers(self) -> None:
        """Give all processes the batch-norm statistics of the first; each saw other samples."""
        if self.fabric.world_size > 1:
            for model in [self.model] if self.average is None else [self.model, self.kept]:
                for buffer in model.buffers():
                    buffer.copy_(self.fabric.broadcast(buffer))

    @torch.no_grad()
    def _validate(self, train_loss: float) -> Epoch:
        """The row of the training table, scored over the validation tiles of all processes."""
        self.kept.eval()
        n = len(self.data.scheme)
        matrix = np.zeros((n, n + 1), np.int64)
        losses, pixels = 0.0, 0
        for batch in progress.each(self.valid, "validation", len(self.valid)):
            images, targets = self.fabric.to_device(batch)
            with self.fabric.autocast():
                heads = self.kept.heads(images)
                loss = self.loss(heads, targets)
            change = targets[:, 0]
            labelled = int((change != IGNORE_INDEX).sum())
            losses, pixels = losses + float(loss) * labelled, pixels + labelled
            codes = heads["change"].argmax(1).to(torch.uint8).cpu().numpy()
            matrix += confusion.count(change.to(torch.uint8).cpu().numpy(), codes, n)
        sums = torch.tensor([losses, pixels, *matrix.ravel().tolist()], dtype=torch.float64)
        sums = self._summed(sums).cpu()
        if not sums[1]:
            raise TileSetError(
                "Validation tiles must hold a labelled pixel where the image is valid, got none in "
                f"{len(self.data.split.valid)} tiles of {self.data.tiles.folder}; split with "
                "another `seed` or a larger `val_split_pct`."
            )
        matrix = sums[2:].numpy().astype(np.int64).reshape(n, n + 1)
        scores = confusion.score(matrix, self.data.scheme)
        return Epoch(
            epoch=len(self.table),
            train_loss=train_loss,
            valid_loss=float(sums[0] / sums[1]),
            accuracy=scores.accuracy,
            dice=scores.macro_f1,
            miou=scores.miou,
            change_f1=scores.change_f1,
            seconds=0.0,
        )

    def _note(self, row: Epoch) -> None:
        """Add a row to the table; keep the weights if it is the best, the first of equals."""
        self.table.append(row)
        best = is_best(self.table, self.options.monitor)
        self.waited = 0 if best else self.waited + 1
        if best and self.options.checkpoint:
            self.best = _copied(self.kept)

    def _save_model(self) -> None:
        folder = model_of_epoch(self.data, len(self.table) - 1)
        history = tuple(asdict(row) for row in self.table)
        package = bundle.Package(folder.name, self.kept, self.options.as_dict(), history)
        bundle.save(package, folder, overwrite=True)  # `fit` has checked it

    def _state(self) -> dict[str, Any]:
        """Everything that the coming epochs depend on."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "best": self.best,
            "waited": self.waited,
            "table": [asdict(row) for row in self.table],
        }

    def _load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.best = state["best"]
        self.waited = state["waited"]
        self.table = [Epoch(**row) for row in state["table"]]


def _by_rate(model: ChangeModel, lr: float, encoder_lr: float | None) -> list[dict[str, Any]]:
    """The parameters to train by their learning rate: all of them, or encoder and the rest."""
    learned = [p for p in model.parameters() if p.requires_grad]
    if encoder_lr is None or model.encoder is None:
        return [{"params": learned, "lr": lr}]
    encoder = set(model.encoder.parameters())
    return [
        {"params": [p for p in learned if p in encoder], "lr": encoder_lr},
        {"params": [p for p in learned if p not in encoder], "lr": lr},
    ]


def model_of_epoch(data: TrainingData, epoch: int) -> Path:
    """The folder of the model of an epoch, where all are kept."""
    return data.models / "checkpoints" / f"epoch_{epoch}"


def _seed(seed: int, epoch: int, process: int) -> int:
    """A seed for the random numbers of one process in one epoch."""
    return int(np.random.SeedSequence((seed, epoch, process)).generate_state(1)[0])


def is_best(table: Sequence[Epoch], monitor: str) -> bool:
    """Whether the last row is the best so far; the first of equals is; None and NaN never."""
    best = MONITORS[monitor]
    values = [getattr(row, monitor) for row in table]
    scored = [k for k, value in enumerate(values) if value is not None and not math.isnan(value)]
    if not scored:
        return len(table) == 1
    return best(scored, key=values.__getitem__) == len(table) - 1


def _copied(model: nn.Module) -> State:
    return {k: v.clone() for k, v in model.state_dict().items()}
