"""`landshift train`."""

from __future__ import annotations

import os
from dataclasses import fields
from enum import StrEnum
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from landshift.cli.options import Overwrite

if TYPE_CHECKING:
    from landshift import learn
    from landshift.training import Augmentation


class Architecture(StrEnum):
    """The networks on offer."""

    unet = "unet"
    pspnet = "pspnet"
    deeplab = "deeplab"
    unetplusplus = "unetplusplus"
    fpn = "fpn"
    upernet = "upernet"
    segformer = "segformer"
    dynamic_unet = "dynamic_unet"
    siamese = "siamese"
    semantic = "semantic"


class Split(StrEnum):
    """How tiles are split into training and validation."""

    ground = "ground"
    random = "random"


def train(
    tiles: Annotated[Path, typer.Argument(help="Training set: a folder, or a zip of one.")],
    model: Annotated[Architecture, typer.Option(help="Architecture.")] = Architecture.unet,
    name: Annotated[
        str | None, typer.Option(help="Name or folder of the model; <tiles>/models/<name>.")
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training tiles.")] = 10,
    max_steps: Annotated[int | None, typer.Option(help="End after this many batches.")] = None,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate; left out, it is looked for.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Tiles a batch.")] = 8,
    chip_size: Annotated[
        int | None, typer.Option(help="Train on random parts of the tiles of this size.")
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="Encoder, by its name in timm.")] = None,
    pretrained: Annotated[bool, typer.Option(help="Start from ImageNet weights.")] = True,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Start from other encoder weights: a file, or a name of torchgeo's, as "
            "ResNet18_Weights.LANDSAT_ETM_SR_MOCO."
        ),
    ] = None,
    decoder: Annotated[
        str, typer.Option(help="Decoder of siamese and semantic networks.")
    ] = "unet",
    freeze: Annotated[bool, typer.Option(help="Leave the encoder as it is.")] = False,
    loss: Annotated[
        str, typer.Option(help="Such as focal+dice, or 0.7*cross_entropy+0.3*lovasz.")
    ] = "cross_entropy",
    class_balancing: Annotated[bool, typer.Option(help="Let rare classes count more.")] = False,
    ignore_classes: Annotated[
        str, typer.Option(help="Label values that count nowhere, such as 3,7.")
    ] = "",
    rare_classes: Annotated[
        float, typer.Option(help="Draw tiles more often whose classes lie in a smaller share.")
    ] = 0.0,
    augment: Annotated[
        str, typer.Option(help="'none', or variations such as shift=0.5,mixup=0.4.")
    ] = "",
    ema: Annotated[float, typer.Option(help="Decay of averaged weights, such as 0.99.")] = 0.0,
    accumulate: Annotated[int, typer.Option(help="Batches a step of the optimiser.")] = 1,
    early_stopping: Annotated[bool, typer.Option(help="End when nothing gets better.")] = False,
    split: Annotated[
        Split, typer.Option(help="By blocks of ground, or tile by tile.")
    ] = Split.ground,
    val_split_pct: Annotated[float, typer.Option(help="Share of tiles for validation.")] = 0.1,
    monitor: Annotated[str, typer.Option(help="What decides the best epoch.")] = "valid_loss",
    accelerator: Annotated[str, typer.Option(help="Lightning's: auto, cpu, gpu.")] = "auto",
    devices: Annotated[int, typer.Option(help="GPUs, or processes on CPUs.")] = 1,
    strategy: Annotated[str, typer.Option(help="Lightning's: auto, ddp, ddp_spawn.")] = "auto",
    precision: Annotated[str, typer.Option(help="Lightning's, or auto: the fastest.")] = "auto",
    compile: Annotated[bool, typer.Option(help="Compile the network first.")] = False,
    workers: Annotated[int, typer.Option(help="Processes that load tiles.")] = 0,
    sensor: Annotated[
        str, typer.Option(help="What took the images; one, or one a band, with commas between.")
    ] = "",
    units: Annotated[
        str, typer.Option(help="What their values count, such as 'reflectance * 10000'; likewise.")
    ] = "",
    log: Annotated[Path | None, typer.Option(help="Folder for training.csv.")] = None,
    tensorboard: Annotated[bool, typer.Option(help="TensorBoard's files too.")] = False,
    mlflow: Annotated[bool, typer.Option(help="Report to MLflow.")] = False,
    resume: Annotated[
        bool, typer.Option(help="Go on with the same training, which was interrupted.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 42,
    classes: Annotated[
        Path | None, typer.Option(help="Classes of the labels: CSV value,name or JSON.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Train a network on a tile set and save it."""
    from landshift import bundle, learn
    from landshift.classes import legend_readers
    from landshift.cli import show
    from landshift.errors import TrainingError
    from landshift.learn.classifiers import model_folder

    mapping = None if classes is None else legend_readers.read_classes(classes).mapping
    data = learn.prepare_data(
        tiles, class_mapping=mapping, chip_size=chip_size, val_split_pct=val_split_pct,
        batch_size=batch_size, seed=seed, split=split.value, transforms=_augmentation(augment),
        num_workers=workers, sensor=_words(sensor), units=_words(units),
    )  # fmt: skip
    first = int(os.environ.get("LOCAL_RANK", 0)) == 0  # Lightning's ddp starts this command again
    folder = model_folder(name or f"{model.value}_{epochs}", data.path)
    if first:
        bundle.check_new(folder, overwrite=overwrite)
    common = {
        "backbone": backbone, "pretrained_backbone": weights or pretrained, "loss": loss,
        "class_balancing": class_balancing, "ignore_classes": _values(ignore_classes),
    }  # fmt: skip
    classifier = _classifier(model.value, data, decoder, common)
    if freeze:
        classifier.freeze()
    state = folder.with_name(f".{folder.name}.unfinished.pt")
    if first:
        typer.echo(repr(data))
        if state.exists() and not resume:
            typer.echo(f"starting again: --resume would have gone on with {state}", err=True)
            state.unlink()
    try:
        classifier.fit(
            epochs=epochs, lr=lr, max_steps=max_steps, monitor=monitor,
            early_stopping=early_stopping, resume=state, ema=ema, accumulate=accumulate,
            rare_classes=rare_classes, accelerator=accelerator, devices=devices,
            strategy=strategy, precision=precision, compile=compile, log=log,
            tensorboard=tensorboard, mlflow=mlflow, overwrite=overwrite,
        )  # fmt: skip
    except TrainingError:
        if first and state.exists():  # an epoch was done before: an earlier model keeps its name
            kept = classifier.save(_free(folder.with_name(f"{folder.name}_stopped")))
            typer.echo(f"the best epoch before the error is kept: {kept}", err=True)
        raise
    if first:
        show.table(classifier.per_class_metrics())
        typer.echo(classifier.save(folder, overwrite=overwrite))
        state.unlink()


def _free(folder: Path) -> Path:
    """A folder's name, or the first one with a number behind it that isn't taken."""
    names = (folder.with_name(f"{folder.name}_{number}") for number in count(2))
    return next(path for path in chain([folder], names) if not path.exists())


def _classifier(model: str, data: learn.Data, decoder: str, common: dict[str, Any]) -> Any:
    from landshift import learn

    fixed: dict[str, Any] = {
        "unet": learn.UnetClassifier, "pspnet": learn.PSPNetClassifier, "deeplab": learn.DeepLab,
    }  # fmt: skip
    by_date: dict[str, Any] = {
        "siamese": learn.SiameseClassifier, "semantic": learn.SemanticChangeClassifier,
    }  # fmt: skip
    if model in fixed:
        return fixed[model](data, **common)
    if model in by_date:
        return by_date[model](data, decoder=decoder, **common)
    return learn.SegmentationModel(data, architecture=model, **common)


def _words(told: str) -> str | list[str | None] | None:
    """One word for all bands, or one for each of them; None where nothing is told."""
    words = [word.strip() or None for word in told.split(",")]
    return words[0] if len(words) == 1 else words


def _values(told: str) -> tuple[int, ...]:
    from landshift.errors import ParameterError

    try:
        return tuple(int(v) for v in told.split(",") if v)
    except ValueError:
        raise ParameterError(f"Classes must be numbers such as 3,7, got {told!r}.") from None


def _augmentation(told: str) -> Augmentation | bool:
    """The augmentation of ``shift=0.5,mixup=0.4``; what isn't named is as usual."""
    from landshift.errors import ParameterError
    from landshift.training import Augmentation

    if told == "none":
        return False
    try:
        numbers: dict[str, Any] = {
            k: float(v) for k, v in (part.split("=") for part in told.split(",") if part)
        }
        return Augmentation(**numbers)
    except (ValueError, TypeError) as error:
        if isinstance(error, ParameterError):
            raise
        names = ", ".join(f.name for f in fields(Augmentation))
        raise ParameterError(
            f"--augment must be 'none' or name=number for some of {names}, got {told!r}."
        ) from error
