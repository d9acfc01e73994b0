"""The options of a training: what is minimised, how batches are varied, how long, on what."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from landshift.classes import same_name
from landshift.errors import ParameterError, check_number
from landshift.files import options, texts

LOSSES = (
    "cross_entropy", "focal", "dice", "lovasz", "generalised", "symmetric", "bootstrapped",
    "smoothed",
)  # fmt: skip
"""Losses that a formula may add up."""

Monitor = Literal["valid_loss", "accuracy", "dice", "miou", "change_f1"]

MONITORS = {"valid_loss": min, "accuracy": max, "dice": max, "miou": max, "change_f1": max}
"""The scores that can decide which epoch is best, and in which direction."""

_HIDDEN = Parameter(parse=False)  # for Python alone


@dataclass(frozen=True)
class Loss:
    """A weighted sum of losses over labelled pixels.

    Raises:
        ParameterError: An unknown loss, or a number out of its range.
    """

    formula: Annotated[str, Parameter(name="--loss")] = "cross_entropy"
    """Loss to minimise: names among cross_entropy, focal, dice, lovasz and, for labels that are
    wrong here and there, generalised (cross-entropy), symmetric (cross-entropy), bootstrapped and
    smoothed (by `confusion`); added up, each with a weight before it if not 1, as in focal+dice or
    0.7*cross_entropy+0.3*lovasz."""
    class_balancing: bool = False
    """Weigh rare classes more in cross-entropy and focal loss: by 1 / sqrt(share of pixels)."""
    confusion: Path | None = None
    """Confusion matrix of the labels, for the loss smoothed: CSV with the labels' classes in the
    first line and those of the reference in the first column; pixels or shares. Either the classes
    of the change map or, for models that learn from class maps, those of the class maps."""
    focal_gamma: Annotated[float, _HIDDEN] = 2.0
    """Exponent of the focal loss, 0 or more."""
    dice_average: Annotated[str, _HIDDEN] = "micro"
    """``micro`` (over the pixels of all classes at once) or ``macro`` (the mean over the classes
    that occur in a batch)."""

    def __post_init__(self) -> None:
        if not self.focal_gamma >= 0 or self.dice_average not in ("micro", "macro"):
            raise ParameterError(
                "`focal_gamma` must be at least 0 and `dice_average` micro or macro, got "
                f"{self.focal_gamma} and {self.dice_average!r}."
            )
        if ("smoothed" in self.terms) != (self.confusion is not None):
            raise ParameterError(
                "The loss smoothed and a confusion matrix (`confusion`) go together, got "
                f"{self.formula!r} and {self.confusion}; give both or neither."
            )
        assert self.matrix is None or len(self.matrix[0])

    @property
    def matrix(self) -> tuple[list[str], list[list[float]]] | None:
        """The confusion matrix: its classes; its rows, those of the reference in their order.

        Raises:
            ParameterError: The file is missing or holds no such matrix.
        """
        if self.confusion is None:
            return None
        path = Path(self.confusion)
        try:
            header, *rows = [r for r in texts.rows(texts.read_text(path)) if any(r)]
            names = [name.strip() for name in header[1:]]
            by_name = {same_name(row[0]): [float(cell) for cell in row[1:]] for row in rows}
            counts = [by_name[same_name(name)] for name in names]
            if len(rows) != len(names) or any(len(row) != len(names) for row in counts):
                raise ValueError("rows and columns differ")
            if not all(math.isfinite(cell) and cell >= 0 for row in counts for cell in row):
                raise ValueError("a cell below 0")
        except (OSError, ValueError, KeyError, csv.Error) as error:
            raise ParameterError(
                "`confusion` must be CSV with the same classes in the first line and the first "
                f"column, and numbers of 0 or more, got '{error}' in {path}."
            ) from error
        return names, counts

    @property
    def terms(self) -> dict[str, float]:
        """Weight of each loss of the formula."""
        weights: dict[str, float] = {}
        for term in self.formula.split("+"):
            match = re.fullmatch(r"\s*(?:(\d*\.?\d+)\s*\*)?\s*(\w+)\s*", term)
            if match is None or match[2] not in LOSSES or match[2] in weights:
                raise ParameterError(
                    f"The loss must add up some of {', '.join(LOSSES)}, each once, as in "
                    f"'0.7*cross_entropy + 0.3*dice', got {self.formula!r}; "
                    f"{options.advice(match[2] if match else self.formula, LOSSES)}."
                )
            weights[match[2]] = float(match[1] or 1)
        if not sum(weights.values()) > 0:
            raise ParameterError(f"A loss must have a weight above 0, got {self.formula!r}.")
        return weights


@dataclass(frozen=True)
class Augmentation:
    """How training batches are varied; 0 leaves a variation out.

    Each sample, and each of its dates where one is named, gets its own random numbers.

    Attributes:
        turns: Mirror and turn by quarters: one of the eight ways at random.
        brightness: Each date is brighter or darker by up to this many standard deviations of
            its bands, so that the network doesn't learn the season.
        contrast: Each date's values spread about the mean by a factor of up to 1 more or less this.
        noise: Standard deviation of Gaussian noise in every value, in those of the band.
        band_dropout: Probability that a band is replaced by its mean.
        shift: One date is moved by up to this many pixels, at most 1, by bilinear resampling.
        swap: Probability that the two dates are swapped; labels follow.
        mixup: Alpha of the beta distribution that two samples and their losses are mixed by
            (Zhang et al. 2018, arXiv:1710.09412).
        cutmix: Alpha of the beta distribution that decides the size of a rectangle that each
            sample takes from another, labels included (Yun et al. 2019, arXiv:1905.04899). With
            mixup too, each batch gets one of the two.

    Raises:
        ParameterError: A number out of its range.
    """

    turns: bool = True
    brightness: float = 0.1
    contrast: float = 0.1
    noise: float = 0.0
    band_dropout: float = 0.0
    shift: float = 0.0
    swap: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self)[1:]):
            highest = 1.0 if name in ("contrast", "band_dropout", "shift", "swap") else 10.0
            if not 0 <= getattr(self, name) <= highest:
                raise ParameterError(
                    f"Augmentation's {name} must lie between 0 and {highest:g}, got "
                    f"{getattr(self, name)}."
                )

    @staticmethod
    def parse(text: str) -> Augmentation | None:
        """The augmentation of 'shift=0.5,mixup=0.4', defaults for the rest; None for 'none'.

        Raises:
            ParameterError: It is not written so, or a number is out of its range.
        """
        if text == "none":
            return None
        try:
            numbers: dict[str, Any] = {
                name: float(number)
                for name, number in (part.split("=") for part in text.split(",") if part)
            }
            return Augmentation(**numbers)
        except (ValueError, TypeError) as error:
            if isinstance(error, ParameterError):
                raise
            names = ", ".join(f.name for f in fields(Augmentation))
            raise ParameterError(
                f"`augmentation` must be 'none' or name=number for some of {names}, got {text!r}."
            ) from error


if TYPE_CHECKING:
    AugmentationLike = Augmentation | None
    Devices = int | str | list[int]
else:  # as the command line gives them
    AugmentationLike = str
    Devices = int


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Raises:
        ParameterError: An option out of its range.
    """

    epochs: int | None = None
    """Passes over the training tiles; left out, as many steps as tiles and classes need, in epochs
    that may draw each tile several times."""
    lr: float | None = None
    """Learning rate, the peak of the one-cycle schedule; left out, a range test finds one."""
    encoder_lr: float | None = None
    """Learning rate of the encoder, whose weights may be good already; left out, that of all
    layers."""
    max_steps: int | None = None
    """At most this many batches in all: epochs become fewer, then shorter, to fit."""
    one_cycle: Annotated[bool, _HIDDEN] = True
    """Learning rate rises to ``lr`` over 30 % of the steps, then falls (Smith 2018,
    arXiv:1803.09820); else it is constant."""
    loss: Annotated[Loss, options.GROUP] = Loss()
    """Loss to minimise."""
    augmentation: Annotated[AugmentationLike, Parameter(name="--augment", show_default=False)] = ""  # type: ignore[assignment]
    """How training batches are varied: 'none', or variations such as shift=0.5,mixup=0.4; left
    out, flips, quarter turns and a little brightness and contrast of each date."""
    rare_classes: float = 0.0
    """Draw tiles more often whose classes lie in less than this share of the tiles; 0: each tile
    once an epoch."""
    ema: float = 0.98
    """Decay per step of an average of the weights, which is validated and kept in their place;
    0: none. The average of the first steps is over fewer."""
    accumulate: int = 1
    """Batches whose gradients are added up before each step of the optimiser."""
    early_stopping: bool = False
    """End after 5 epochs without a better monitored value."""
    checkpoint: Annotated[bool | Literal["all"], _HIDDEN] = True
    """True: end with the weights of the best epoch; ``all``: also save the model of each epoch,
    under ``<tiles>/models/checkpoints``; False: end with the last weights."""
    monitor: Monitor = "valid_loss"
    """Score that decides which epoch is best."""
    accelerator: str = "auto"
    """Lightning's accelerator: auto, cpu, gpu."""
    devices: Devices = 1
    """GPUs, or processes on CPUs; each gets batches of its own."""
    strategy: str = "auto"
    """Lightning's strategy: auto, ddp, ddp_spawn; auto is ddp_spawn for several devices."""
    precision: str = "auto"
    """Lightning's precision, or auto: bf16 where the processor computes in it, else float32."""
    compile: bool = False
    """Compile the network first (torch.compile): minutes, then perhaps faster on a GPU."""
    log: Path | None = None
    """Folder for training.csv, with a row an epoch."""
    tensorboard: bool = False
    """Also write TensorBoard's files into the folder `log`."""
    mlflow: bool = False
    """Also report to MLflow, by its own settings."""

    def __post_init__(self) -> None:
        augmentation: object = self.augmentation
        if isinstance(augmentation, str):
            object.__setattr__(self, "augmentation", Augmentation.parse(augmentation))
        for name in ("epochs", "max_steps", "accumulate"):
            value = getattr(self, name)
            if value is not None or name == "accumulate":
                check_number(f"`{name}`", value, whole=True)
                if value < 1:
                    raise ParameterError(
                        f"`{name}` must be at least 1, got {value}; leave it out or give more."
                    )
        for name in ("rare_classes", "ema"):
            check_number(f"`{name}`", getattr(self, name))
        for name, rate in (("lr", self.lr), ("encoder_lr", self.encoder_lr)):
            if rate is None:
                continue
            check_number(f"`{name}`", rate)
            if not 0 < rate < 10:
                raise ParameterError(f"`{name}` must lie between 0 and 10, got {rate}.")
        if not 0 <= self.rare_classes <= 1 or not 0 <= self.ema < 1:
            raise ParameterError(
                "`rare_classes` must lie between 0 and 1, and `ema` below 1, got "
                f"{self.rare_classes} and {self.ema}."
            )
        options.check_choice("monitor", self.monitor, Monitor)
        if not isinstance(self.checkpoint, bool | str) or self.checkpoint not in (
            True, False, "all"
        ):  # fmt: skip
            raise ParameterError(
                f"`checkpoint` must be True, 'all' or False, got {self.checkpoint!r}."
            )
        if self.tensorboard and self.log is None:
            raise ParameterError(
                "`tensorboard` needs a folder for its files, got none; give `log`."
            )

    def as_dict(self) -> dict[str, Any]:
        """Everything that decides the weights, as JSON holds it: all but the logs."""
        values = asdict(self)
        for name in ("log", "tensorboard", "mlflow"):
            del values[name]
        del values["loss"]["confusion"]
        if self.loss.matrix is not None:
            values["loss"]["confusion"] = list(self.loss.matrix)
        return values
