"""Train and look at models as users of arcgis.learn know it: thin over the rooms below.

data = prepare_data(path, batch_size=2, class_mapping={...})
model = UnetClassifier(data)
model.fit(epochs=10, lr=model.lr_find())
model.save("unet_10")
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.jupyter import JupyterMixin
from rich.live import Live
from rich.table import Table
from torch import nn

from landshift import bundle, dataset, export, tileset
from landshift import training as train
from landshift.engine import TorchEngine
from landshift.engine.padding import measure_in_tiles
from landshift.errors import ModelError, ParameterError, check_number
from landshift.evaluation.evaluation import Evaluation
from landshift.evaluation.models import calibrate, evaluate_model
from landshift.models import ARCHITECTURES, COMBINATIONS, OWN, ChangeModel
from landshift.pages import report
from landshift.scores.confusion import ClassScores, Scores
from landshift.show import figures, tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

__all__ = [
    "ClassMetrics", "Data", "DeepLab", "PSPNetClassifier", "SegmentationModel",
    "SemanticChangeClassifier", "SiameseClassifier", "UnetClassifier", "prepare_data",
]  # fmt: skip

_USUAL = train.Augmentation()

_PAGE_ROWS = 4
"""Validation tiles that a model's page shows."""


class Learning(TypedDict, total=False):
    """What a classifier learns by, given when it is made.

    Attributes:
        loss: Formula such as ``focal+dice`` or ``0.7*cross_entropy + 0.3*lovasz``; names are
            those of `landshift.training.LOSSES`.
        focal_loss: Focal loss in the place of cross-entropy.
        dice_loss_fraction: Weight of the Dice loss, 0 to 1; the other loss has the rest.
        dice_loss_average: ``micro`` or ``macro``.
        ignore_classes: Label values whose pixels count neither in the loss nor in scores.
        mixup: Whether samples are mixed (`landshift.training.Augmentation` has this and more).
    """

    loss: str
    focal_loss: bool
    dice_loss_fraction: float
    dice_loss_average: str
    ignore_classes: Sequence[int]
    mixup: bool


class Data:
    """A tile set ready for training, as `prepare_data` returns it.

    Args:
        training: The tiles, split and described.
        augmentation: How training batches are varied; None: not at all.
    """

    def __init__(
        self,
        training: dataset.TrainingData,
        augmentation: train.Augmentation | None = _USUAL,
    ) -> None:
        self.training = training
        self.augmentation = augmentation

    @property
    def classes(self) -> list[str]:
        """Names of the classes, one per output of a network."""
        return list(self.training.scheme.names)

    @property
    def c(self) -> int:
        """Number of classes."""
        return len(self.training.scheme)

    @property
    def class_mapping(self) -> dict[int, str]:
        """Name of each label value."""
        return self.training.scheme.mapping

    @property
    def chip_size(self) -> int:
        """Rows and columns of a sample."""
        return self.training.chip_size

    @property
    def batch_size(self) -> int:
        """Samples a batch."""
        return self.training.batch_size

    @property
    def path(self) -> Path:
        """Folder of the tile set."""
        return self.training.tiles.folder

    @property
    def train_ds(self) -> dataset.TileDataset:
        """Training samples."""
        return self.training.train_ds

    @property
    def valid_ds(self) -> dataset.TileDataset:
        """Validation samples."""
        return self.training.valid_ds

    def __repr__(self) -> str:
        split = self.training.split
        return (
            f"{len(split.train)} training and {len(split.valid)} validation tiles"
            f"{f' ({len(split.dropped)} between them dropped)' if split.dropped else ''} of "
            f"{self.chip_size} px, {len(self.training.spec.bands)} bands, {self.c} classes, "
            f"in {self.path}"
        )

    def show_batch(self, rows: int = 3, alpha: float = 0.6) -> None:
        """Show training tiles, one a row: each date, and the labels over the last date.

        Args:
            rows: Tiles to show.
            alpha: Opacity of the labels, 0 to 1.
        """
        _display(self.batch_figure(rows, alpha))

    def batch_figure(self, rows: int = 3, alpha: float = 0.6) -> Figure:
        """The picture that `show_batch` shows."""
        chosen = _spread(self.training.split.train, rows)
        images, targets = _read(self.training.plain(chosen))
        return figures.show_samples(
            images, targets, self.training.spec.bands, self.training.scheme, alpha=alpha
        )


def prepare_data(
    path: str | Path,
    class_mapping: Mapping[int, str] | None = None,
    chip_size: int | None = None,
    val_split_pct: float = 0.1,
    batch_size: int | None = 8,
    transforms: train.Augmentation | bool | None = None,
    seed: int = 42,
    split: str = "ground",
    num_workers: int = 0,
    dates: Sequence[str] | None = None,
    sensor: str | Sequence[str | None] | None = None,
    units: str | Sequence[str | None] | None = None,
) -> Data:
    """Read a training set in Esri's 'Classified Tiles' layout, and split it.

    Args:
        path: The folder, or a zip of it.
        class_mapping: Name of each label value. Label 0 is 'unlabelled' and never counts, unless
            the mapping names it. None: as the tile set says.
        chip_size: Rows and columns of a sample; None: the whole tile.
        val_split_pct: Share of tiles for validation.
        batch_size: Samples a batch; None: 8.
        transforms: How training samples are varied, an `landshift.training.Augmentation`; None for
            flips, quarter turns and a little brightness and contrast of each date; False: not at
            all, and the middle of tiles larger than ``chip_size``.
        seed: Seed of split, shuffle, augmentation and of a network's random start.
        split: ``ground`` (default): by blocks of ground, so that no validation pixel was seen in
            training; ``random``: tile by tile, with a warning where tiles overlap.
        num_workers: Processes that load tiles; 0 loads in the training process.
        dates: Names of the dates whose bands the tiles stack, where the bands' names don't say it
            (``before:red``), as in tiles of others.
        sensor: What took the images, such as ``Landsat 8 OLI``, for all bands or for each: saved
            with the model. None: as the tile set says, if it does.
        units: What their values count, such as ``reflectance * 10000``, likewise.

    Raises:
        TileSetError: The set is empty, incomplete or damaged.
        SplitError: No split by ground exists.
        ClassError: A label value outside the mapping.
        ParameterError: An option out of its range.
    """
    _check_data_options(path, class_mapping, transforms)
    batch_size = 8 if batch_size is None else batch_size
    wholes = {
        "chip_size": chip_size, "batch_size": batch_size, "seed": seed, "num_workers": num_workers,
    }  # fmt: skip
    for name, value in wholes.items():
        if name != "chip_size" or chip_size is not None:
            check_number(name, value, whole=True)
    check_number("val_split_pct", val_split_pct)
    training = dataset.prepare(
        Path(path), class_mapping=class_mapping, chip_size=chip_size,
        val_split_pct=val_split_pct, batch_size=batch_size, split=split,
        augment=transforms is not False, seed=seed, num_workers=num_workers, dates=dates,
        sensor=sensor, units=units,
    )  # fmt: skip
    if transforms is None or transforms is True:
        return Data(training)
    return Data(training, None if transforms is False else transforms)


def model_folder(name_or_path: str | Path, tiles: Path | None) -> Path:
    """Where a model is saved: ``<tiles>/models/<name>``, or the path that is given.

    Raises:
        ParameterError: A name alone, and no tiles.
    """
    path = Path(name_or_path)
    if path.name != str(name_or_path):
        return path
    if tiles is None:
        raise ParameterError(
            f"A model's name needs tiles to lie beside, got {path} and none; give a path, or pass "
            "data= to from_model."
        )
    return tiles / "models" / path


def _check_data_options(path: object, class_mapping: object, transforms: object) -> None:
    """Check what notebooks of arcgis.learn may hand over otherwise."""
    if not isinstance(path, str | Path):
        raise ParameterError(
            f"A tile set must be the path of one folder or zip, got {path!r:.80}; several are "
            "joined before (landshift tiles --append)."
        )
    if class_mapping is not None and not isinstance(class_mapping, Mapping):
        raise ParameterError(
            "class_mapping must give each label value its name, as {1: 'to forest'}, got "
            f"{class_mapping!r:.80}."
        )
    if not (transforms is None or isinstance(transforms, bool | train.Augmentation)):
        raise ParameterError(
            "transforms must be a landshift.training.Augmentation, None for the usual, or False "
            f"for none, got {transforms!r:.80}."
        )


class ClassMetrics(JupyterMixin):
    """Scores of each class, shown as a table; ``metrics['to forest'].recall`` gives one number.

    Args:
        scores: The scores.
    """

    def __init__(self, scores: Scores) -> None:
        self.scores = scores

    def __getitem__(self, name: str) -> ClassScores:
        for c in self.scores.classes:
            if c.name == name:
                return c
        raise KeyError(name)

    def __rich__(self) -> Table:
        return tables.per_class(self.scores)

    def __repr__(self) -> str:
        console = Console(width=100, file=io.StringIO())
        with console.capture() as capture:
            console.print(self)
        return capture.get().rstrip()


class _Classifier:
    """A network over a tile set: what the three classifiers share.

    Args:
        data: Tiles to train on, from `prepare_data`.
        backbone: Encoder, by its name in timm; None: that of the weights, where their name says it,
            or the usual one.
        pretrained_backbone: True: ImageNet weights; False: random start; a name of torchgeo's, as
            ``ResNet18_Weights.LANDSAT_ETM_SR_MOCO`` (`pip install 'landshift[torchgeo]'`); or a
            weights file, .safetensors or .pth. Weights made with satellite images also decide how
            values are scaled, where these can be in their units (docs/models.md).
        class_balancing: Let rare classes count more: weights 1 / sqrt(share of pixels).
        learning: Loss and the like, see `Learning`.

    Raises:
        ModelError: An unknown backbone, or weights that don't fit it.
        ParameterError: A loss out of its range, or two that contradict each other; weights of
            torchgeo, which isn't installed.
        WeightsError: The encoder's weights can't be had.
    """

    architecture: ClassVar[str | None] = None
    """The one architecture that the class stands for; None: any."""
    reads: ClassVar[tuple[str, ...]] = ()
    """Other architectures whose models `from_model` takes."""
    combination: ClassVar[str] = "stack"

    def __init__(
        self,
        data: Data,
        backbone: str | None = None,
        pretrained_backbone: bool | str | Path = True,
        class_balancing: bool = False,
        **learning: Unpack[Learning],
    ) -> None:
        assert self.architecture is not None
        self._build(
            data, self.architecture, backbone, pretrained_backbone, class_balancing, learning
        )

    def _build(
        self,
        data: Data,
        architecture: str | nn.Module,
        backbone: str | None,
        pretrained: bool | str | Path,
        class_balancing: bool,
        options: Mapping[str, Any],
    ) -> None:
        known = Learning.__optional_keys__
        _check_model_options(data, backbone, pretrained)
        if isinstance(architecture, str):
            _check_names(architecture, self.combination, options)
        learning = {k: v for k, v in options.items() if k in known}
        ignored = learning.pop("ignore_classes", ()) or ()
        if isinstance(ignored, str) or not isinstance(ignored, Sequence):
            raise ParameterError(
                f"ignore_classes must be a list of label values, got {ignored!r:.80}."
            )
        for value in ignored:
            check_number("A value of ignore_classes", value, whole=True)
        if ignored:
            data = Data(data.training.ignoring(ignored), data.augmentation)
        if learning.pop("mixup", False):
            usual = data.augmentation or train.Augmentation(turns=False, brightness=0, contrast=0)
            data = Data(data.training, replace(usual, mixup=usual.mixup or _MIXUP))
        loss = _loss(class_balancing, **learning)
        training = data.training
        model = ChangeModel(
            architecture, training.spec, training.scheme, combination=self.combination,
            map_scheme=training.tiles.map_scheme, backbone=backbone,
            options={k: v for k, v in options.items() if k not in known},
            pretrained=pretrained, seed=training.options.seed,
        )  # fmt: skip
        self._setup(data, model, loss)

    def _setup(self, data: Data | None, model: ChangeModel, loss: train.Loss) -> None:
        self._data = data
        self._model = model
        self.loss = loss
        self.history: list[train.Epoch] = []
        self._training: dict[str, Any] = {}
        self._tiles: Mapping[str, Any] | None = None
        self._scores: Mapping[str, Any] | None = None

    @classmethod
    def from_model(
        cls, emd_path: str | Path, data: Data | None = None, *, network: nn.Module | None = None
    ) -> Self:
        """A saved model: its .emd, its .dlpk or its folder.

        `UnetClassifier` reads those of arcgis.learn too. To go on training one, give
        `prepare_data` its class mapping, 'NoData' (`model.scheme.mapping`) included.

        Args:
            emd_path: Where it lies.
            data: Tiles to go on training or to show results with.
            network: For a network of one's own, an untrained one of the same layers.

        Raises:
            ModelError: It can't be read, is of another architecture, or doesn't fit the tiles.
        """
        package = bundle.load(emd_path, network=network)
        found = package.model.design
        wanted = cls.architecture or found.architecture
        known = found.architecture in (wanted, *cls.reads) and found.combination == cls.combination
        if not known and found.architecture != OWN:
            raise ModelError(
                f"{cls.__name__} reads {cls.combination} {wanted} models, got a "
                f"{found.combination} {found.architecture} in {emd_path}; use the class for it."
            )
        if data is not None:
            _check_fits(package.model, data)
        made = cls.__new__(cls)
        made._setup(data, package.model, _told_loss(package.training))
        made._training = dict(package.training)
        made._tiles = package.tiles
        made._scores = package.scores
        made.history = [_epoch(row, emd_path) for row in package.history]
        return made

    @property
    def model(self) -> ChangeModel:
        """The network."""
        return self._model

    @property
    def data(self) -> Data:
        """The tiles.

        Raises:
            ParameterError: It was read from a file without any.
        """
        if self._data is None:
            raise ParameterError("This needs tiles, got a model without; pass data= to from_model.")
        return self._data

    def __repr__(self) -> str:
        bands, classes = len(self.model.spec.bands), len(self.model.scheme)
        return f"{type(self).__name__}({self.model.backbone}, {bands} bands, {classes} classes)"

    def lr_find(self, allow_plot: bool = True) -> float:
        """Find a learning rate by a range test; weights and random state stay as they were.

        Args:
            allow_plot: Show the loss at each learning rate.

        Returns:
            The suggested learning rate.
        """
        options = train.Training(loss=self.loss, augmentation=self.data.augmentation)
        found = train.lr_find(self.model, self.data.training, options)
        if allow_plot:
            _display(figures.show_learning_rates(found.rates, found.losses, found.suggestion))
        return found.suggestion

    def fit(
        self,
        epochs: int = 10,
        lr: float | None = None,
        one_cycle: bool = True,
        early_stopping: bool = False,
        checkpoint: bool | Literal["all"] = True,
        tensorboard: bool = False,
        monitor: str = "valid_loss",
        *,
        max_steps: int | None = None,
        resume: str | Path | None = None,
        overwrite: bool = False,
        **options: Any,
    ) -> None:
        """Train, with a table that grows by a row an epoch.

        Args:
            epochs: Passes over the training tiles.
            lr: Learning rate; None: that of `lr_find`.
            one_cycle: Learning rate rises to ``lr`` and falls again; else it is constant.
            early_stopping: End when the monitored value has stopped getting better.
            checkpoint: End with the weights of the best epoch; ``all``: also save the model of each
                epoch, under ``<tiles>/models/checkpoints``; False: end with the last weights.
            tensorboard: Write TensorBoard's files to the folder ``log``, if not said
                ``<tiles>/models/training_log``.
            monitor: What is best by: valid_loss, accuracy, dice, miou, change_f1.
            max_steps: At most this many batches in all; epochs become fewer, then shorter.
            resume: File that keeps the state after each epoch. The same training started again
                goes on from it; remove it when it isn't needed any more.
            overwrite: Whether the log and the models of each epoch that an earlier training left
                are replaced.
            options: More of `landshift.training.Training`: accelerator, devices, strategy,
                precision, compile, accumulate, ema, rare_classes, log, mlflow.

        Raises:
            ParameterError: An option out of its range, or ``resume`` of another training.
            TrainingError: The loss is no longer a number, or a batch doesn't fit the memory.
        """
        for name, value in (("resume", resume), ("log", options.get("log"))):
            if not (value is None or isinstance(value, str | Path)):
                raise ParameterError(f"{name} must be a path, got {value!r:.80}.")
        known = {f.name for f in fields(train.Training)} - {"loss", "augmentation"}
        if set(options) - known:
            raise ParameterError(
                f"Options of fit must be among {', '.join(sorted(known))}, got "
                f"{', '.join(sorted(set(options) - known))}."
            )
        training = self.data.training
        state = None if resume is None else Path(resume)
        if lr is None and state is not None and state.exists():
            lr = train.unfinished_lr(state)
        train.Training(epochs, 1e-3 if lr is None else lr, max_steps)  # before minutes of lr_find
        lr = self.lr_find(allow_plot=False) if lr is None else lr
        if options.get("log") is not None:
            options["log"] = Path(options["log"])
        elif tensorboard:
            options["log"] = self.data.path / "models" / "training_log"
        asked = train.Training(
            epochs=epochs, lr=lr, one_cycle=one_cycle, early_stopping=early_stopping,
            checkpoint=checkpoint, tensorboard=tensorboard, monitor=monitor, max_steps=max_steps,
            loss=self.loss, augmentation=self.data.augmentation, **options,
        )  # fmt: skip
        with _live_table() as add_row:
            self.history += train.fit(
                self.model, training, asked, resume=state, overwrite=overwrite, on_epoch=add_row
            )
        calibrate(self.model, training)
        self._measure_padding()
        self._training = {
            **asked.as_dict(),
            "lr": float(f"{lr:.6g}"),
            "epochs": len(self.history),
            "batch_size": training.batch_size,
            "frozen": self.model.frozen,
            "data": asdict(training.options),
        }
        self._tiles = _told_tiles(training)

    def _measure_padding(self) -> None:
        """Measure on validation tiles how much ground around a tile the model needs."""
        model, training = self.model, self.data.training
        if model.fixed_tile:
            return  # it runs at its training tile, whatever lies around
        samples = training.plain(_spread(training.split.valid, _PADDING_TILES))
        tiles = [samples.read(position)[:2] for position in range(len(samples))]
        found = measure_in_tiles(TorchEngine(model), model.spec, tiles)
        model.spec = replace(model.spec, padding=None if found is None else found.padding)
        if found is not None and not found.enough:
            most, share = list(found.agreement.items())[-1]
            log.warning(
                "The model looks further than tiles of %d pixels show: with %d around, %.2f %% of "
                "pixels keep their class. Maps take half a tile, %d; `landshift padding` measures "
                "on a raster whether less is enough.",
                model.spec.tile_size, most, 100 * share, found.padding,
            )  # fmt: skip

    def freeze(self) -> None:
        """Keep the encoder as it is in the trainings to come."""
        self.model.freeze()

    def unfreeze(self) -> None:
        """Train the encoder too, as a new model does."""
        self.model.freeze(False)

    def plot_losses(self) -> None:
        """Show training and validation loss of each epoch."""
        rows = self.history
        _display(figures.show_losses([r.train_loss for r in rows], [r.valid_loss for r in rows]))

    def show_results(self, rows: int = 4, alpha: float = 1.0) -> None:
        """Show validation tiles, one a row: each date, the labels, and what the model says.

        Args:
            rows: Tiles to show.
            alpha: Opacity of the classes over the last date, 0 to 1.
        """
        _display(self.results_figure(rows, alpha))

    def results_figure(self, rows: int = 4, alpha: float = 1.0) -> Figure:
        """The picture that `show_results` shows."""
        training = self.data.training
        shown = self._samples(rows)
        return figures.show_samples(
            shown.images, shown.targets, training.spec.bands, training.scheme, alpha=alpha,
            predicted=shown.predicted,
        )  # fmt: skip

    def _samples(self, count: int) -> report.Samples:
        """Validation tiles, evenly from first to last, and what the model says of them."""
        training = self.data.training
        samples = training.plain(_spread(training.split.valid, count))
        images, targets = _read(samples)
        engine = TorchEngine(self.model)
        predicted = np.concatenate(
            [engine.predict(image[np.newaxis]).argmax(1) for image, _ in samples.arrays()]
        ).astype(np.uint8)
        return report.Samples(images, targets, predicted)

    def evaluate(self) -> Evaluation:
        """Scores on the validation tiles."""
        return evaluate_model(TorchEngine(self.model), self.data.training)

    def per_class_metrics(self) -> ClassMetrics:
        """Precision, recall, F1, IoU and support of each class on the validation tiles."""
        return ClassMetrics(self.evaluate().scores)

    def accuracy(self) -> float:
        """Right share of the labelled validation pixels."""
        return self.evaluate().scores.accuracy

    def mIOU(self, mean: bool = False) -> dict[str, float | None] | float:
        """Intersection over union of each class on the validation tiles, or the mean of them.

        Args:
            mean: Whether the mean is returned.
        """
        scores = self.evaluate().scores
        return scores.miou if mean else {c.name: c.iou for c in scores.classes}

    def folder_of(self, name_or_path: str | Path) -> Path:
        """The folder that `save` writes."""
        if not isinstance(name_or_path, str | Path):
            raise ParameterError(f"A model needs a name or a path, got {name_or_path!r:.80}.")
        return model_folder(name_or_path, None if self._data is None else self._data.path)

    def save(self, name_or_path: str | Path, *, overwrite: bool = False) -> Path:
        """Save the model as a folder with an .emd, weights, a page that explains it and a .dlpk.

        Where onnx and onnxruntime are installed (`pip install 'landshift[onnx]'`), it also holds
        the model as ONNX, and the function with which ArcGIS runs that; else a line is logged.

        Args:
            name_or_path: A name: the folder is ``<tiles>/models/<name>``; or the folder's path.
            overwrite: Whether a model that is there already is replaced.

        Returns:
            The path of the .emd.

        Raises:
            ParameterError: A model is there already, and ``overwrite`` is off.
        """
        folder = self.folder_of(name_or_path)
        bundle.check_new(folder, overwrite=overwrite)
        judged = None if self._data is None else self.evaluate()
        package = bundle.Package(
            name=folder.name,
            model=self.model,
            training=self._training,
            history=tuple(asdict(row) for row in self.history),
            scores=self._scores if judged is None else judged.scores.as_dict(),
            tiles=self._tiles,
        )
        page = report.model_page(
            package,
            evaluation=judged,
            samples=None if judged is None else self._samples(_PAGE_ROWS),
        )
        extras = [
            bundle.Extras(files={report.METRICS_PAGE: page.encode()}),
            export.for_arcgis(self.model, folder.name),
        ]
        return bundle.save(package, folder, extras=extras, overwrite=overwrite)


class UnetClassifier(_Classifier):
    """A U-Net (Ronneberger 2015, doi 10.1007/978-3-319-24574-4_28), resnet34 if not said."""

    architecture = "unet"
    reads = ("dynamic_unet",)


class PSPNetClassifier(_Classifier):
    """A pyramid scene parsing network (Zhao 2017, arXiv:1612.01105), resnet50 if not said.

    Args:
        data: Tiles to train on.
        backbone: As for every classifier, like the next two.
        pretrained_backbone: See there.
        class_balancing: See there.
        pyramid_sizes: Rows and columns of the grids that features are pooled to.
        use_unet: Read the pooled features out by a U-Net's decoder.
        learning: See there.
    """

    architecture = "pspnet"

    def __init__(
        self,
        data: Data,
        backbone: str | None = None,
        pretrained_backbone: bool | str | Path = True,
        class_balancing: bool = False,
        pyramid_sizes: Sequence[int] = (1, 2, 3, 6),
        use_unet: bool = False,
        **learning: Unpack[Learning],
    ) -> None:
        options = {"pyramid_sizes": tuple(pyramid_sizes), "use_unet": use_unet, **learning}
        self._build(
            data, self.architecture, backbone, pretrained_backbone, class_balancing, options
        )


class DeepLab(_Classifier):
    """DeepLabV3+ (Chen 2018, arXiv:1802.02611), resnet101 if not said.

    Args:
        data: Tiles to train on.
        backbone: As for every classifier, like the next two.
        pretrained_backbone: See there.
        class_balancing: See there.
        keep_dilation: Dilate the last two stages of the encoder instead of the last: more detail,
            more memory.
        learning: As for every classifier.
    """

    architecture = "deeplab"

    def __init__(
        self,
        data: Data,
        backbone: str | None = None,
        pretrained_backbone: bool | str | Path = True,
        class_balancing: bool = False,
        keep_dilation: bool = False,
        **learning: Unpack[Learning],
    ) -> None:
        options = {"keep_dilation": keep_dilation, **learning}
        self._build(
            data, self.architecture, backbone, pretrained_backbone, class_balancing, options
        )


class SegmentationModel(_Classifier):
    """Any architecture over the stacked dates, or a network of one's own.

    Args:
        data: Tiles to train on.
        architecture: A name in `landshift.models.ARCHITECTURES`; or an ``nn.Module`` whose forward
            takes scaled tiles ``(batch, band, row, column)``, or two such arguments, before and
            after, and gives logits ``(batch, class, row, column)``.
        backbone: As for every classifier, like the next two.
        pretrained_backbone: See there.
        class_balancing: See there.
        options: Options of the architecture, and those of `Learning`.
    """

    def __init__(
        self,
        data: Data,
        architecture: str | nn.Module = "unet",
        backbone: str | None = None,
        pretrained_backbone: bool | str | Path = True,
        class_balancing: bool = False,
        **options: Any,
    ) -> None:
        self._build(data, architecture, backbone, pretrained_backbone, class_balancing, options)


class SiameseClassifier(_Classifier):
    """Each date through one shared encoder, fused at every scale, then a decoder.

    The encoder's weights are those of one date, so weights made for single images serve.

    Args:
        data: Tiles to train on.
        decoder: Any architecture's, a name in `landshift.models.ARCHITECTURES`.
        fusion: ``concat``, ``difference`` or ``both``.
        backbone: As for every classifier, like the next two.
        pretrained_backbone: See there.
        class_balancing: See there.
        options: Options of the decoder's architecture, and those of `Learning`.
    """

    combination = "siamese"

    def __init__(
        self,
        data: Data,
        decoder: str = "unet",
        fusion: str = "both",
        backbone: str | None = None,
        pretrained_backbone: bool | str | Path = True,
        class_balancing: bool = False,
        **options: Any,
    ) -> None:
        self._build(
            data, decoder, backbone, pretrained_backbone, class_balancing,
            {"fusion": fusion, **options},
        )  # fmt: skip


class SemanticChangeClassifier(_Classifier):
    """The class before, the class after and the change, learnt together and made to agree.

    It needs tiles that carry both class maps (``labels_before``, ``labels_after``). Its map has
    the codes of the labels; with from-to codes it tells both classes of every pixel.

    Args:
        data: Tiles to train on.
        decoder: Any architecture's, a name in `landshift.models.ARCHITECTURES`.
        backbone: As for every classifier, like the next two.
        pretrained_backbone: See there.
        class_balancing: See there.
        options: Options of the decoder's architecture, and those of `Learning`.
    """

    combination = "semantic"

    def __init__(
        self,
        data: Data,
        decoder: str = "unet",
        backbone: str | None = None,
        pretrained_backbone: bool | str | Path = True,
        class_balancing: bool = False,
        **options: Any,
    ) -> None:
        self._build(data, decoder, backbone, pretrained_backbone, class_balancing, options)


_PADDING_TILES = 16  # to measure the padding on

_MIXUP = 0.4
"""Alpha of mixup where it is asked for by name alone, as fastai has it."""


def _check_model_options(data: object, backbone: object, pretrained: object) -> None:
    if not isinstance(data, Data):
        raise ParameterError(f"data must come from prepare_data, got {data!r:.80}.")
    if not (backbone is None or isinstance(backbone, str)):
        raise ParameterError(
            f"backbone must be the name of an encoder, as 'resnet34', got {backbone!r:.80}."
        )
    if not isinstance(pretrained, bool | str | Path):
        raise ParameterError(
            "pretrained_backbone must be True, False, or the name or file of weights, got "
            f"{pretrained!r:.80}."
        )


def _check_names(architecture: str, combination: str, options: Mapping[str, Any]) -> None:
    """Check the names of a classifier's options, all of them: of its design and of its learning.

    Raises:
        ParameterError: One has another name.
    """
    if architecture not in ARCHITECTURES:
        return  # said where the network is made
    own = (*ARCHITECTURES[architecture].options, *COMBINATIONS[combination])
    unknown = sorted(set(options) - {*own, *Learning.__optional_keys__})
    if unknown:
        raise ParameterError(
            f"Options of {architecture} must be among {', '.join(own)}, or of its learning among "
            f"{', '.join(sorted(Learning.__optional_keys__))}, got {', '.join(unknown)}."
        )


def _loss(
    class_balancing: bool,
    *,
    loss: str | None = None,
    focal_loss: bool = False,
    dice_loss_fraction: float = 0.0,
    dice_loss_average: str = "micro",
) -> train.Loss:
    """The loss of the familiar options, or of a formula."""
    if loss is not None and (focal_loss or dice_loss_fraction):
        raise ParameterError(
            f"A loss must be told once, got loss={loss!r} beside focal_loss or dice_loss_fraction; "
            "put all of it into the formula."
        )
    check_number("dice_loss_fraction", dice_loss_fraction)
    if not (loss is None or isinstance(loss, str)):
        raise ParameterError(f"loss must be a formula, as 'focal+dice', got {loss!r:.80}.")
    if not 0 <= dice_loss_fraction <= 1:
        raise ParameterError(
            f"dice_loss_fraction must lie between 0 and 1, got {dice_loss_fraction}."
        )
    formula = "focal" if focal_loss else "cross_entropy"
    if dice_loss_fraction:
        formula = f"{1 - dice_loss_fraction:g}*{formula} + {dice_loss_fraction:g}*dice"
    return train.Loss(loss or formula, class_balancing, dice_average=dice_loss_average)


def _told_loss(training: Mapping[str, Any]) -> train.Loss:
    """The loss that a saved model was trained with; the usual one where it doesn't say."""
    told = training.get("loss")
    try:
        return train.Loss(**told) if isinstance(told, dict) else train.Loss()
    except (TypeError, ParameterError):
        return train.Loss()


def _told_tiles(training: dataset.TrainingData) -> dict[str, Any]:
    """What a package says of the tiles that a model was trained on."""
    tiles, split = training.tiles, training.split
    return {
        "name": tiles.folder.name,
        "sha256": tileset.digest(tiles),
        "training": len(split.train),
        "validation": len(split.valid),
        "sources": tileset.sources(tiles.folder),
    }


def _check_fits(model: ChangeModel, data: Data) -> None:
    bands, scheme = data.training.spec.bands, data.training.scheme
    positions = model.spec.positions  # of a model of others, whose bands have names of their own
    if model.spec.bands != bands and positions != tuple(range(1, len(bands) + 1)):
        raise ModelError(
            f"The model's bands must be those of the tiles, got {', '.join(model.spec.bands)} and "
            f"{', '.join(bands)}."
        )
    if model.scheme.mapping != scheme.mapping:
        raise ModelError(
            f"The model's classes must be those of the tiles, got {model.scheme.mapping} and "
            f"{scheme.mapping}; pass the model's mapping to prepare_data."
        )


def _epoch(row: Mapping[str, Any], path: str | Path) -> train.Epoch:
    """A row of a saved training table, which doesn't hold times."""
    try:
        return train.Epoch(seconds=0.0, **row)
    except TypeError as error:
        raise ModelError(f"The training table must be whole, got {error} in {path}.") from error


def _spread(indices: tuple[int, ...], count: int) -> list[int]:
    """Some of the tiles, evenly from first to last."""
    check_number("rows", count, whole=True)
    places = np.linspace(0, len(indices) - 1, min(count, len(indices)))
    return [indices[round(p)] for p in places]


def _read(samples: dataset.TileDataset) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Samples to look at: values that aren't valid are NaN."""
    images, targets = [], []
    for position in range(len(samples)):
        values, mask, layers = samples.read(position)
        images.append(np.where(mask, values, np.nan).astype(np.float32))
        targets.append(layers[0])
    return np.stack(images), np.stack(targets)


def _in_notebook() -> bool:
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def _display(figure: Figure) -> None:
    """Show a figure in a notebook."""
    if _in_notebook():
        from IPython.display import Image, display

        png = io.BytesIO()
        figure.savefig(png, dpi=80)
        display(Image(png.getvalue()))  # type: ignore[no-untyped-call]
        return
    log.info("Pictures show in notebooks; elsewhere save those of batch_figure, results_figure.")


def _row(epoch: train.Epoch) -> tuple[str, ...]:
    minutes, seconds = divmod(round(epoch.seconds), 60)
    return (
        str(epoch.epoch), f"{epoch.train_loss:.4f}", f"{epoch.valid_loss:.4f}",
        f"{epoch.accuracy:.4f}", f"{epoch.dice:.4f}", f"{epoch.miou:.4f}",
        "-" if epoch.change_f1 is None else f"{epoch.change_f1:.4f}",
        f"{minutes:02d}:{seconds:02d}",
    )  # fmt: skip


@contextmanager
def _live_table() -> Iterator[Any]:
    """A function that adds an epoch to a table, which is shown anew each time."""
    rows: list[tuple[str, ...]] = []
    if _in_notebook():
        from IPython.display import display

        shown = display(tables.epochs(), display_id=True)  # type: ignore[no-untyped-call]

        def add(epoch: train.Epoch) -> None:
            rows.append(_row(epoch))
            shown.update(tables.epochs(rows))

        yield add
        return
    console = Console()
    if not console.is_terminal:  # a log gets a line an epoch

        def say(epoch: train.Epoch) -> None:
            names = zip(tables.EPOCH_COLUMNS, _row(epoch), strict=True)
            console.print("  ".join(f"{name} {value}" for name, value in names), soft_wrap=True)

        yield say
        return
    with Live(tables.epochs(), console=console, auto_refresh=False) as live:

        def add(epoch: train.Epoch) -> None:
            rows.append(_row(epoch))
            live.update(tables.epochs(rows), refresh=True)

        yield add
