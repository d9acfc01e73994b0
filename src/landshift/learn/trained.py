"""A network trained on a tile set in one call, and saved: the command `train`."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

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
    "unet", "pspnet", "deeplab", "unetplusplus", "fpn", "upernet", "segformer", "dynamic_unet",
    "deeplabv3", "dilated_pspnet",
]  # fmt: skip
"""The architectures of `landshift.models.ARCHITECTURES` that have an encoder, without torch."""

Small = Literal["linear", "quadratic", "pixel", "conv3"]
"""Those that have none."""


@dataclass(frozen=True)
class Network:
    """The network and its initial weights."""

    model: Literal[Decoder, Small, "siamese", "semantic"] | None = None
    """Architecture; siamese and semantic networks see each date by itself, linear, quadratic, pixel
    and conv3 are small networks for few labels. Left out: semantic where the tiles carry class
    maps; where few pixels are labelled, the small network that does best on ground it wasn't
    trained on; else unet."""
    features: Sequence[str] = ()
    """What the network sees: bands, difference or ratio of the dates, mad (multivariate alteration
    detection), indices, tasselled_cap; several add up. Left out: the bands."""
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

    def chosen(self, *, class_maps: bool) -> Network:
        """The network with its architecture, also where that is left out.

        Args:
            class_maps: Whether the tiles carry class maps.
        """
        return replace(self, model=self.model or ("semantic" if class_maps else "unet"))

    @property
    def combination(self) -> str:
        """How the dates are combined, a name in `landshift.models.COMBINATIONS`."""
        return self.model if self.model in ("siamese", "semantic") else "stack"

    @property
    def architecture(self) -> str:
        """A name in `landshift.models.ARCHITECTURES`."""
        return self.decoder if self.combination != "stack" else str(self.model)


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
    on_time: Annotated[Callable[[str], None] | None, Parameter(parse=False)] = None,
) -> TrainedModel:
    """Train a network on a tile set and save it.

    Where the tiles carry class maps, the network learns from them too (a semantic network). Without
    epochs, the training makes as many steps as tiles and classes need. Its state is kept after each
    epoch beside the model, until that is saved. With the strategy ddp, Lightning starts the whole
    program again for each process; only the first one saves the model and goes on.

    Args:
        tiles: Training set: a folder, or a zip of one.
        name: Name or folder of the model; a name lies in <tiles>/models. Left out: the
            architecture, and the epochs where these are given, such as semantic or unet_10.
        network: The network.
        data: How the tiles are split and drawn from.
        reading: How they are read and batched.
        training: How it is trained.
        resume: Go on with the same training, which was interrupted; without it, what that has done
            is discarded, and the training starts again.
        overwrite: Replace what is there already under the same name.
        on_data: Called with a line about the tiles before the training.
        on_epoch: Called with each row of the training table.
        on_time: Called once, after the first batches, with a line that says how long it will take.

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
    from landshift import dataset
    from landshift.evaluation import baselines
    from landshift.evaluation.models import evaluate_baselines
    from landshift.learn.session import model_folder, warn_of_tiles

    _check_network(network)
    data = replace(data, augment=training.augmentation is not None)
    first = int(os.environ.get("LOCAL_RANK", 0)) == 0  # Lightning's ddp starts this program again
    known = model_folder(name, Path(tiles) / "models") if name and Path(tiles).is_dir() else None
    if first and known is not None:
        _check_output(known, network, data, training, resume=resume, overwrite=overwrite)
    samples = dataset.prepare(Path(tiles), data, reading)
    network = _chosen(network, samples, log.warning if first else log.debug)
    folder = model_folder(name or _usual_name(network, training), samples.models)
    if first and folder != known:
        _check_output(folder, network, data, training, resume=resume, overwrite=overwrite)
    session = _session(samples, network, training)
    state = _state_of(folder)
    if first:
        if on_data is not None:
            on_data(repr(samples))
        warn_of_tiles(samples)
        if state.exists() and not resume:
            log.warning("Starting again: with `resume` the training goes on from %s.", state)
            state.unlink()
    try:
        session.fit(training, resume=state, overwrite=overwrite, on_epoch=on_epoch, on_time=on_time)
        if not first:
            raise SystemExit(0)
        # the random forest, which `evaluate` adds, takes as long as a small training
        evaluation = session.evaluate().beside(evaluate_baselines(samples, [baselines.LINEAR]))
        path = session.save(folder, overwrite=overwrite)
    except TrainingError:
        if first and state.exists():  # an epoch was done before: an earlier model keeps its name
            kept = session.save(_free(folder.with_name(f"{folder.name}_stopped")))
            log.warning("The best epoch before the error is kept: %s", kept)
        raise
    except KeyboardInterrupt as stop:
        stop.add_note(_kept(state))
        raise
    state.unlink()
    return TrainedModel((path,), evaluation, tuple(session.history))


def _check_network(network: Network) -> None:
    """Check the names of a network, before anything that takes long.

    Raises:
        ModelError: An unknown backbone, or one that isn't that of the weights.
    """
    from landshift.models import architectures, weights

    chosen = network.chosen(class_maps=False)
    pretrained = network.weights or network.pretrained
    backbone = weights.backbone_of(pretrained, network.backbone)
    architectures.design(chosen.architecture, chosen.combination, backbone, {})
    weights.check_file(pretrained)


def _chosen(network: Network, samples: TrainingData, say: Callable[[str, str], None]) -> Network:
    """The network with its architecture; the one proposed where labels are few and none is named.

    Options that only other networks have, such as weights, speak against a small one.

    Args:
        network: As asked for.
        samples: The tiles.
        say: Takes a line that says which network is proposed, and why.
    """
    class_maps = samples.tiles.map_scheme is not None
    named = network != Network(features=network.features)
    if named or class_maps:
        return network.chosen(class_maps=class_maps)
    from landshift.learn import proposal

    share = proposal.labelled_share(samples)
    few = share < proposal.SPARSE
    proposed = proposal.propose(samples, network.features) if few else None
    if proposed is None:
        return network.chosen(class_maps=False)
    say("%s", proposed.line(share))
    return replace(network, model=cast(Small, proposed.model), features=proposed.features)


def _check_output(
    folder: Path, network: Network, data: DataOptions, training: Training, *, resume: bool,
    overwrite: bool,
) -> None:  # fmt: skip
    """Check that a model can be written, and that an unfinished training is the same one.

    Raises:
        ParameterError: The model exists already, or ``resume`` is of another training.
    """
    from landshift import bundle
    from landshift.training import check_state

    bundle.check_new(folder, overwrite=overwrite)
    state = _state_of(folder)
    if resume and state.exists():
        split = {**vars(data), "ignore_classes": sorted(data.ignore_classes)}
        known = {**training.as_dict(), "data": split}
        if training.lr is None:
            del known["lr"]
        if network.model is not None:
            known |= {"architecture": network.architecture, "combination": network.combination}
        if network.backbone is not None:
            known["backbone"] = network.backbone
        check_state(state, known)


def _state_of(folder: Path) -> Path:
    """The file that keeps the state of the training of a model, until that is saved."""
    return folder.with_name(f".{folder.name}.unfinished.pt")


def _usual_name(network: Network, training: Training) -> str:
    """The name of a model that was given none."""
    return f"{network.model}_{training.epochs}" if training.epochs else str(network.model)


def _kept(state: Path) -> str:
    """Line on the state that an interrupted training keeps, and how to go on."""
    from landshift.training import epochs_of

    if not state.exists():
        return "No epoch was done: nothing is kept."
    done = epochs_of(state)
    return (
        f"The state after {done} {'epoch' if done == 1 else 'epochs'} is kept in {state}; the same "
        "command with `resume` goes on."
    )


def _session(data: TrainingData, network: Network, training: Training) -> Session:
    from landshift.learn.session import Session

    session = Session.start(
        data, network.architecture, network.combination, training.loss, backbone=network.backbone,
        pretrained=network.weights or network.pretrained, features=network.features,
    )  # fmt: skip
    if network.freeze:
        session.model.freeze()
    return session


def _free(folder: Path) -> Path:
    """A folder's name, or the first one with a number behind it that isn't taken."""
    names = (folder.with_name(f"{folder.name}_{number}") for number in count(2))
    return next(path for path in chain([folder], names) if not path.exists())
