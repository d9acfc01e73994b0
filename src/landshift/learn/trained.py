"""A network trained on a tile set in one call, and saved: the command `train`."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from landshift.dataset import DataOptions, TrainingTiles
from landshift.errors import TrainingError
from landshift.files import options
from landshift.files.rows import Rows
from landshift.scores.confusion import Scores
from landshift.scores.findings import Finding
from landshift.training import Epoch, Training

if TYPE_CHECKING:
    from landshift.dataset import TrainingData
    from landshift.evaluation.evaluation import Evaluation
    from landshift.learn.session import Session

log = logging.getLogger(__name__)

_DATA = DataOptions()
_TILES = TrainingTiles()
_TRAINING = Training()

Decoder = Literal[
    "unet", "pspnet", "deeplab", "unetplusplus", "fpn", "upernet", "segformer", "dynamic_unet"
]
"""The architectures of `landshift.models.ARCHITECTURES`, without torch."""


@dataclass(frozen=True)
class Network:
    """The network and its initial weights."""

    model: Literal[Decoder, "siamese", "semantic"] = "unet"
    """Architecture; siamese and semantic networks see each date by itself."""
    decoder: Decoder = "unet"
    """Decoder of siamese and semantic networks."""
    backbone: str | None = None
    """Encoder, by its name in timm; left out, that of the weights or the architecture's default."""
    pretrained: bool = True
    """Start from ImageNet weights."""
    weights: str | Path | None = None
    """Start from other encoder weights: a file, or a name of torchgeo's, as
    ResNet18_Weights.LANDSAT_ETM_SR_MOCO."""
    freeze: bool = False
    """Keep the encoder as it is."""


@dataclass(frozen=True, repr=False)
class TrainedModel(Rows):
    """A network after its training.

    Attributes:
        files: The .emd of the saved model.
        evaluation: Scores on the validation tiles, beside no change and the linear discriminant.
        history: The training table, a row an epoch.
    """

    files: tuple[Path]
    evaluation: Evaluation
    history: tuple[Epoch, ...]

    @property
    def path(self) -> Path:
        """The .emd of the saved model."""
        return self.files[0]

    @property
    def scores(self) -> Scores:
        """Scores on the validation tiles."""
        return self.evaluation.scores

    @property
    def findings(self) -> tuple[Finding, ...]:
        """How the training went, in plain words, with the next thing to try."""
        return self.evaluation.findings

    def rows(self) -> list[dict[str, Any]]:
        """The training table."""
        return [asdict(epoch) for epoch in self.history]


def train(
    tiles: Path | str,
    *,
    name: str | Path | None = None,
    network: Annotated[Network, options.GROUP] = Network(),
    data: Annotated[DataOptions, options.GROUP] = _DATA,
    reading: Annotated[TrainingTiles, options.GROUP] = _TILES,
    training: Annotated[Training, options.GROUP] = _TRAINING,
    resume: bool = False,
    overwrite: options.Flag = False,
    on_data: Annotated[Callable[[str], None] | None, Parameter(parse=False)] = None,
    on_epoch: Annotated[Callable[[Epoch], None] | None, Parameter(parse=False)] = None,
) -> TrainedModel:
    """Train a network on a tile set and save it.

    The state of the training is kept after each epoch beside the model, until that is saved. With
    the strategy ddp, Lightning starts the whole program again for each process; only the first one
    saves the model and goes on.

    Args:
        tiles: Training set: a folder, or a zip of one.
        name: Name or folder of the model; a name lies in <tiles>/models. Left out: architecture and
            epochs, such as unet_10.
        network: The network.
        data: How the tiles are split and drawn from.
        reading: How they are read and batched.
        training: How it is trained.
        resume: Go on with the same training, which was interrupted.
        overwrite: Replace what is there already under the same name.
        on_data: Called with a line about the tiles before the training.
        on_epoch: Called with each row of the training table.

    Raises:
        ParameterError: Options that don't fit each other, the data or the machine; the model exists
            already; ``resume`` of another training.
        TileSetError: The set is empty, incomplete or damaged, or has nothing to learn from.
        ModelError: The network doesn't fit the tiles, or the weights the network.
        WeightsError: The encoder's weights can't be had.
        TrainingError: The loss is no longer a number, or a batch doesn't fit the memory; the best
            epoch before is saved as <name>_stopped.
        OutputError: The log exists already, or an output can't be written.
    """
    from landshift import bundle, dataset
    from landshift.evaluation import baselines
    from landshift.evaluation.models import evaluate_baselines
    from landshift.learn.session import model_folder

    data = replace(data, augment=training.augmentation is not None)
    samples = dataset.prepare(Path(tiles), data, reading)
    first = int(os.environ.get("LOCAL_RANK", 0)) == 0  # Lightning's ddp starts this program again
    folder = model_folder(name or f"{network.model}_{training.epochs}", samples.tiles.folder)
    if first:
        bundle.check_new(folder, overwrite=overwrite)
    session = _session(samples, network, training)
    state = folder.with_name(f".{folder.name}.unfinished.pt")
    if first:
        if on_data is not None:
            on_data(repr(samples))
        if state.exists() and not resume:
            log.warning("Starting again: with `resume` the training goes on from %s.", state)
            state.unlink()
    try:
        session.fit(training, resume=state, overwrite=overwrite, on_epoch=on_epoch)
    except TrainingError:
        if first and state.exists():  # an epoch was done before: an earlier model keeps its name
            kept = session.save(_free(folder.with_name(f"{folder.name}_stopped")))
            log.warning("The best epoch before the error is kept: %s", kept)
        raise
    if not first:
        raise SystemExit(0)
    # the random forest, which `evaluate` adds, takes as long as a small training
    evaluation = session.evaluate().beside(evaluate_baselines(samples, [baselines.LINEAR]))
    path = session.save(folder, overwrite=overwrite)
    state.unlink()
    return TrainedModel((path,), evaluation, tuple(session.history))


def _session(data: TrainingData, network: Network, training: Training) -> Session:
    from landshift.learn.session import Session

    by_date = network.model in ("siamese", "semantic")
    session = Session.start(
        data, network.decoder if by_date else network.model,
        network.model if by_date else "stack", training.loss, backbone=network.backbone,
        pretrained=network.weights or network.pretrained,
    )  # fmt: skip
    if network.freeze:
        session.model.freeze()
    return session


def _free(folder: Path) -> Path:
    """A folder's name, or the first one with a number behind it that isn't taken."""
    names = (folder.with_name(f"{folder.name}_{number}") for number in count(2))
    return next(path for path in chain([folder], names) if not path.exists())
