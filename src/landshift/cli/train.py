"""`landshift train`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Architecture(StrEnum):
    """The networks on offer."""

    unet = "unet"
    pspnet = "pspnet"
    deeplab = "deeplab"


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
    class_balancing: Annotated[bool, typer.Option(help="Let rare classes count more.")] = False,
    split: Annotated[
        Split, typer.Option(help="By blocks of ground, or tile by tile.")
    ] = Split.ground,
    val_split_pct: Annotated[float, typer.Option(help="Share of tiles for validation.")] = 0.1,
    monitor: Annotated[str, typer.Option(help="What decides the best epoch.")] = "valid_loss",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 42,
    classes: Annotated[
        Path | None, typer.Option(help="Classes of the labels: CSV value,name or JSON.")
    ] = None,
) -> None:
    """Train a network on a tile set and save it."""
    from landshift import learn, legend
    from landshift.cli import show

    classifiers = {
        "unet": learn.UnetClassifier,
        "pspnet": learn.PSPNetClassifier,
        "deeplab": learn.DeepLab,
    }
    mapping = None if classes is None else legend.read_classes(classes).mapping
    data = learn.prepare_data(
        tiles, class_mapping=mapping, chip_size=chip_size, val_split_pct=val_split_pct,
        batch_size=batch_size, seed=seed, split=split.value,
    )  # fmt: skip
    typer.echo(repr(data))
    classifier = classifiers[model.value](
        data, backbone=backbone, pretrained_backbone=weights or pretrained,
        class_balancing=class_balancing,
    )  # fmt: skip
    classifier.fit(epochs=epochs, lr=lr, max_steps=max_steps, monitor=monitor)
    show.table(classifier.per_class_metrics())
    typer.echo(classifier.save(name or f"{model.value}_{epochs}"))
