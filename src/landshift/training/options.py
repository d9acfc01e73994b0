"""What a training is asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from landshift.errors import ParameterError, check_number
from landshift.training.augment import Augmentation
from landshift.training.losses import Loss

MONITORS = {"valid_loss": min, "accuracy": max, "dice": max, "miou": max, "change_f1": max}
"""What 'best' can mean, and in which direction."""


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes:
        epochs: Passes over the training tiles.
        lr: Peak of the one-cycle schedule, or the constant learning rate.
        max_steps: At most this many batches in all; epochs become fewer, then shorter, to fit.
        one_cycle: Learning rate rises to ``lr`` over 30 % of the steps, then falls (Smith 2018,
            arXiv:1803.09820).
        loss: What is minimised.
        augmentation: How batches are varied; None: not at all.
        rare_classes: Tiles with classes that lie in fewer than this share of the tiles are drawn
            more often, as `landshift.training.repeat_factors` says; 0: each tile once an epoch.
        ema: Decay per step of a running average of the weights, which is then what is validated
            and kept; 0: none. The first steps average over fewer.
        accumulate: Batches whose gradients are added up before each step of the optimiser.
        early_stopping: End after `PATIENCE` epochs without a better monitored value.
        checkpoint: True: end with the weights of the best epoch; ``all``: also save the model of
            each epoch, under ``<tiles>/models/checkpoints``; False: end with the last weights.
        monitor: What decides which epoch is best, a key of `MONITORS`.
        accelerator: Lightning's: ``auto``, ``cpu``, ``gpu``.
        devices: Lightning's: how many, or which; each gets batches of its own.
        strategy: Lightning's; ``auto``: ``ddp_spawn`` for several devices.
        precision: Lightning's, or ``auto``: bf16 where the processor computes in it, else float32.
        compile: Compile the network first (torch.compile): minutes, then perhaps faster on a GPU.
        log: Folder for logs: ``training.csv``, with a row an epoch; None: none.
        tensorboard: Also write TensorBoard's files into that folder.
        mlflow: Also report to MLflow, where its own settings say.

    Raises:
        ParameterError: An option out of its range.
    """

    epochs: int = 10
    lr: float = 1e-3
    max_steps: int | None = None
    one_cycle: bool = True
    loss: Loss = field(default_factory=Loss)
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    rare_classes: float = 0.0
    ema: float = 0.0
    accumulate: int = 1
    early_stopping: bool = False
    checkpoint: bool | Literal["all"] = True
    monitor: str = "valid_loss"
    accelerator: str = "auto"
    devices: int | str | list[int] = 1
    strategy: str = "auto"
    precision: str = "auto"
    compile: bool = False
    log: Path | None = None
    tensorboard: bool = False
    mlflow: bool = False

    def __post_init__(self) -> None:
        lr: object = self.lr
        if isinstance(lr, slice):  # rates by layer, as arcgis.learn takes them
            raise ParameterError(
                f"The learning rate must be one number for all layers, got {lr}; give its end, "
                f"{lr.stop}, or freeze() the encoder."
            )
        for name in ("epochs", "accumulate", "max_steps"):
            if name != "max_steps" or self.max_steps is not None:
                check_number(name, getattr(self, name), whole=True)
        for name in ("lr", "rare_classes", "ema"):
            check_number(name, getattr(self, name))
        most = 1 if self.max_steps is None else self.max_steps
        if min(self.epochs, self.accumulate, most) < 1:
            raise ParameterError(
                "epochs, max_steps and accumulate must be at least 1, got "
                f"{self.epochs}, {self.max_steps} and {self.accumulate}."
            )
        if not 0 < self.lr < 10:
            raise ParameterError(f"The learning rate must lie between 0 and 10, got {self.lr}.")
        if not 0 <= self.rare_classes <= 1 or not 0 <= self.ema < 1:
            raise ParameterError(
                "rare_classes must lie between 0 and 1, and ema below 1, got "
                f"{self.rare_classes} and {self.ema}."
            )
        if not isinstance(self.monitor, str) or self.monitor not in MONITORS:
            raise ParameterError(
                f"monitor must be one of {', '.join(MONITORS)}, got {self.monitor!r}."
            )
        if not isinstance(self.checkpoint, bool | str) or self.checkpoint not in (
            True, False, "all"
        ):  # fmt: skip
            raise ParameterError(
                f"checkpoint must be True, 'all' or False, got {self.checkpoint!r}."
            )
        if self.tensorboard and self.log is None:
            raise ParameterError("tensorboard needs a folder for its files, got none; give log=.")

    def as_dict(self) -> dict[str, Any]:
        """What decides the weights, as JSON holds it: all but the logs."""
        told = asdict(self)
        for name in ("log", "tensorboard", "mlflow"):
            del told[name]
        return told
