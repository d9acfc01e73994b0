"""`landshift train`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from landshift.cli.options import Overwrite


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
    from landshift.cli import show
    from landshift.dataset import DataOptions, TrainingTiles
    from landshift.learn import trained
    from landshift.learn.progress import live_table
    from landshift.show import tables
    from landshift.training import Loss, Training

    network = trained.Network(
        model=model.value, decoder=decoder,  # type: ignore[arg-type]
        backbone=backbone, pretrained=pretrained,
        weights=weights, freeze=freeze,
    )  # fmt: skip
    data = DataOptions(
        val_split_pct,
        split.value,
        seed=seed,
        ignore_classes=ignore_classes,  # type: ignore[arg-type]
    )
    reading = TrainingTiles(
        classes, chip_size, batch_size, workers, sensor=_words(sensor), units=_words(units)
    )
    training = Training(
        epochs=epochs, lr=lr, max_steps=max_steps, loss=Loss(loss, class_balancing),
        augmentation=augment,  # type: ignore[arg-type]
        rare_classes=rare_classes, ema=ema, accumulate=accumulate,
        early_stopping=early_stopping, monitor=monitor,  # type: ignore[arg-type]
        accelerator=accelerator, devices=devices,
        strategy=strategy, precision=precision, compile=compile, log=log,
        tensorboard=tensorboard, mlflow=mlflow,
    )  # fmt: skip
    with live_table() as add_row:
        result = trained.train(
            tiles, name=name, network=network, data=data, reading=reading, training=training, resume=resume,
            overwrite=overwrite, on_data=typer.echo, on_epoch=add_row,
        )  # fmt: skip
    show.table(tables.per_class(result.scores))
    typer.echo(result.path)


def _words(text: str) -> str | list[str | None] | None:
    words = [word.strip() or None for word in text.split(",")]
    return words[0] if len(words) == 1 else words
