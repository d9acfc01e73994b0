"""Saved models as people handle them: what one is, whether it is intact, models of other tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landshift import bundle
from landshift.bundle.hashes import Verified
from landshift.classes import ClassScheme, LandClass, legend_readers
from landshift.errors import ParameterError
from landshift.files import options

if TYPE_CHECKING:
    from landshift.bundle import Package


@dataclass(frozen=True)
class ModelClass:
    """A class of a model, with its scores on the validation tiles.

    Attributes:
        entry: The class.
        f1: Its F1; None if unknown.
        iou: Its IoU; None if unknown.
        support: Its pixels in the validation tiles; None if unknown.
    """

    entry: LandClass
    f1: float | None
    iou: float | None
    support: int | None


@dataclass(frozen=True)
class ModelFacts:
    """A saved model in brief.

    Attributes:
        facts: Lines of text by name: network, bands, tiles, training, scores, ...
        classes: Its classes.
    """

    facts: dict[str, str]
    classes: tuple[ModelClass, ...]

    def __repr__(self) -> str:
        """A fact a line."""
        return "\n".join(f"{name}: {value}" for name, value in self.facts.items())


def info(model: Path | str) -> ModelFacts:
    """Print a model's input, classes, training and scores.

    Args:
        model: A saved model: .emd, .dlpk, folder or hf://owner/repo.

    Raises:
        ModelError: The model can't be read.
    """
    return facts_of(bundle.load(model))


def verify(model: Path | str) -> Verified:
    """Check that every file of a model is as it was saved; print the digest of all.

    Args:
        model: A saved model: .emd, .dlpk or folder.

    Raises:
        ModelError: The model doesn't exist; a file is missing, changed or added.
    """
    return bundle.verify(model)


def import_model(
    weights: Path,
    out: options.OutFile,
    *,
    architecture: str | None = None,
    backbone: str | None = None,
    bands: Path | None = None,
    classes: Path | None = None,
    tile_size: int = 256,
    overwrite: options.Flag = False,
) -> Path:
    """Convert a model of another tool into a folder that landshift reads.

    Args:
        weights: A state dict of segmentation-models-pytorch or torchgeo (.pth, .ckpt,
            .safetensors), with the options below; or a model of arcgis.learn (.emd, .dlpk).
        out: The folder to write.
        architecture: unet, unetplusplus, fpn, pspnet, deeplabv3plus, ...
        backbone: Its encoder, by its name in segmentation-models-pytorch.
        bands: CSV with the header band,mean,std: a line for each band, in order.
        classes: Class of each output: CSV value,name[,red,green,blue] or JSON.
        tile_size: Rows and columns of the tiles it was trained on.
        overwrite: Replace what is there already under the same name.

    Returns:
        The path of the .emd.

    Raises:
        ParameterError: Options are missing, or given for a model that states them itself.
        WeightsError: The weights don't exist.
        ModelError: The file holds no such network, or one with other bands or classes.
        BandError: The CSV of bands is invalid.
        ClassError: The classes are invalid.
        OutputError: The folder can't be written.
    """
    weights, out = Path(weights), Path(out)
    bundle.check_new(out, overwrite=overwrite)
    if tile_size < 1:
        raise ParameterError(f"`tile_size` must be at least 1, got {tile_size}.")
    given = (architecture, backbone, bands, classes)
    if weights.suffix.lower() in (".emd", ".dlpk"):
        if given != (None,) * 4:
            raise ParameterError(
                "Options aren't needed for a model that states its input and classes, got some "
                f"for {weights}; leave them out."
            )
        package = bundle.load(weights)
    elif architecture is None or backbone is None or bands is None or classes is None:
        raise ParameterError(
            "Weights need `architecture`, `backbone`, `bands` and `classes`, got "
            f"{4 - given.count(None)} of them; give all four."
        )
    else:
        package = bundle.read_checkpoint(
            weights, architecture=architecture, backbone=backbone,
            spec=bundle.read_input(Path(bands), tile_size),
            scheme=ClassScheme(legend_readers.read_classes(classes)),
        )  # fmt: skip
    return bundle.save(replace(package, name=out.name), out, overwrite=overwrite)


def facts_of(package: Package) -> ModelFacts:
    """A model in brief.

    Args:
        package: The model.
    """
    scores = {c["name"]: c for c in (package.scores or {}).get("classes", ())}
    classes = []
    for entry in package.model.scheme:
        score = scores.get(entry.name, {})
        classes.append(ModelClass(entry, score.get("f1"), score.get("iou"), score.get("support")))
    return ModelFacts(_facts(package), tuple(classes))


def _facts(package: Package) -> dict[str, str]:
    network, tiles = package.model, package.tiles
    spec, design = network.spec, network.design
    weights = sum(p.numel() for p in network.parameters())
    settings = ", ".join(f"{k} {v}" for k, v in design.options.items())
    padding = "not measured" if spec.padding is None else f"{spec.padding} (measured)"
    cells = "" if spec.cell_size is None else f", cells of {spec.cell_size:g} in units of the CRS"
    data = package.training.get("data")
    split = "" if data is None else f", split by {data['split']}, seed {data['seed']}"
    return {
        "model": package.name,
        "network": f"{network.title}, dates: {design.combination}"
        f"{f' ({settings})' if settings else ''}; {weights / 1e6:.1f} million weights",
        "bands": ", ".join(b or f"band {k}" for k, b in enumerate(spec.bands, start=1)),
        "sensor": _of_bands(spec.band_sensors),
        "units": f"{_of_bands(spec.band_units)}; {spec.dtype}, {min(spec.minimum):g} to "
        f"{max(spec.maximum):g} in training",
        "tiles": f"{spec.tile_size} x {spec.tile_size} pixels{cells}; padding {padding}",
        "trained": _training(package),
        "on": "unknown tiles" if tiles is None else f"{tiles['training']} tiles of "
        f"{tiles['name']} (SHA-256 {tiles['sha256'][:12]}), scored on {tiles['validation']}{split}",
        "scores": _scores(package),
        "temperature": f"{network.temperature:g}",
        "made with": ", ".join(f"{k} {v}" for k, v in package.versions.items()),
    }  # fmt: skip


def _scores(package: Package) -> str:
    """Scores on validation tiles; for a model of another tool, those that it states."""
    if package.scores is not None:
        names = (
            ("accuracy", "accuracy"), ("macro F1", "macro_f1"), ("mIoU", "miou"),
            ("change F1", "change_f1"),
        )  # fmt: skip
        return ", ".join(f"{name} {_share(package.scores[key])}" for name, key in names)
    stated = package.training.get("stated")
    if not isinstance(stated, Mapping) or not stated:
        return "none"
    lines = [f"accuracy {_share(stated['accuracy'])}"] if "accuracy" in stated else []
    lines += [f"F1 of {name} {_share(value)}" for name, value in stated.get("f1", {}).items()]
    return f"{', '.join(lines)} (as {package.training.get('software', 'its .emd')} states)"


def _training(package: Package) -> str:
    """Epochs and main options of the training."""
    training = package.training
    loss = training.get("loss") or {}
    stated = {
        "learning rate": training.get("lr"),
        "batches of": training.get("batch_size"),
        "loss": loss.get("formula"),
    }
    epochs = f"{len(package.history)} epochs"
    return ", ".join([epochs, *(f"{k} {v}" for k, v in stated.items() if v is not None)])


def _of_bands(words: Sequence[str | None]) -> str:
    """A property of the bands, once if it is the same for all."""
    different = dict.fromkeys(words)
    if not any(different):
        return "unknown"
    return ", ".join(word or "unknown" for word in (different if len(different) == 1 else words))


def _share(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}"
