"""Train and look at models as users of arcgis.learn know it: the notebook surface.

data = prepare_data(path, batch_size=2, class_mapping={...})
model = UnetClassifier(data)
model.fit(epochs=10, lr=model.lr_find())
model.save("unet_10")
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray
from torch import nn

from landshift import raster, training
from landshift.classes import IGNORE_INDEX, ClassScheme
from landshift.classification.pixels import classify_pixels
from landshift.errors import ClassError, ModelError, ParameterError, check_number
from landshift.evaluation.evaluation import Evaluation
from landshift.grid import Window
from landshift.learn.data import Data
from landshift.learn.notebook import ClassMetrics, display
from landshift.learn.progress import live_table, say, watching
from landshift.learn.session import Session, model_folder
from landshift.models import ARCHITECTURES, COMBINATIONS, OWN, ChangeModel
from landshift.models.architectures import well_known
from landshift.show import figures
from landshift.training import Augmentation, Epoch, Loss, Training

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Learning(TypedDict, total=False):
    """Options of learning that a classifier takes.

    Attributes:
        loss: Formula such as ``focal+dice`` or ``0.7*cross_entropy + 0.3*lovasz``; names are
            those of `landshift.training.LOSSES`.
        focal_loss: Focal loss instead of cross-entropy.
        dice_loss_fraction: Weight of the Dice loss, 0 to 1; the other loss has the rest.
        dice_loss_average: ``micro`` or ``macro``.
        ignore_classes: Label values whose pixels count neither in the loss nor in scores.
        mixup: Whether samples are mixed (`landshift.training.Augmentation` has this and more).
        pretrained_path: A saved model of the same network, bands and classes whose weights the
            training starts from: its .emd, its .dlpk or its folder.
        features: What the network sees, among ``bands``, ``difference``, ``ratio``, ``mad``,
            ``indices``, ``tasselled_cap`` (`landshift.models.derived`); left out: the bands.
    """

    loss: str
    focal_loss: bool
    dice_loss_fraction: float
    dice_loss_average: str
    ignore_classes: Sequence[int]
    mixup: bool
    pretrained_path: str | Path
    features: Sequence[str]


class _Classifier:
    """A network over a tile set, the base of all classifiers; see `UnetClassifier`."""

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
        features = learning.pop("features", ())
        saved = learning.pop("pretrained_path", None)
        if saved is not None and pretrained is not True:
            raise ParameterError(
                "Weights must be stated once, got `pretrained_path` beside `pretrained_backbone` "
                f"{pretrained}; leave one of them out."
            )
        self._data: Data | None = _varied(data, learning)
        pretrained = saved is None and pretrained
        self._session = Session.start(
            self._data.training, architecture, self.combination, _loss(class_balancing, **learning),
            backbone=backbone, pretrained=pretrained,
            options={k: v for k, v in options.items() if k not in known}, features=features,
        )  # fmt: skip
        if saved is not None:
            self._session.model = self._saved(saved).model
        self._measure_batch()

    @classmethod
    def from_model(
        cls, emd_path: str | Path, data: Data | None = None, *, network: nn.Module | None = None
    ) -> Self:
        """A saved model: its .emd, its .dlpk or its folder.

        `UnetClassifier`, `DeepLab` and `PSPNetClassifier` read those of arcgis.learn too. To go on
        training one, give `prepare_data` its class mapping, 'NoData' (`model.scheme.mapping`)
        included.

        Args:
            emd_path: Where it lies.
            data: Tiles to go on training or to show results with.
            network: For a user's own network, an untrained one of the same layers.

        Raises:
            ModelError: It can't be read, is of another architecture, or doesn't fit the tiles.
        """
        session = Session.read(emd_path, network=network)
        design = session.model.design
        wanted = cls.architecture or design.architecture
        known = design.architecture in (wanted, *cls.reads)
        if not (known and design.combination == cls.combination) and design.architecture != OWN:
            raise ModelError(
                f"{cls.__name__} reads {cls.combination} {wanted} models, got a "
                f"{design.combination} {design.architecture} in {emd_path}; use the class for it."
            )
        if data is not None:
            session.use(data.training)
        classifier = cls.__new__(cls)
        classifier._data = data
        classifier._session = session
        classifier._measure_batch()
        return classifier

    def _measure_batch(self) -> None:
        """Take the largest batch that fits the memory, where the data has none."""
        if self._data is None or not self._data.fits:
            return
        tiles = self._data.training
        with watching():
            size = training.batch_that_fits(self.model, tiles, Training(loss=self.loss))
        say(f"batches of {size} samples fit the memory")
        tiles = replace(tiles, batch_size=size)
        self._data = self._data.changed(tiles, self._data.augmentation, fits=False)
        self._session.use(tiles)

    def load(self, name_or_path: str | Path) -> None:
        """Go on with a saved model of the same network: its weights, training table and record.

        Args:
            name_or_path: A name that `save` was given; or the model's folder, .emd or .dlpk.

        Raises:
            ModelError: It can't be read, or is another network, of other bands or classes.
        """
        folder = self.folder_of(name_or_path)
        self._session = self._saved(folder if folder.exists() else name_or_path)

    def _saved(self, path: str | Path) -> Session:
        """A saved model of this network, with these tiles and this loss."""
        own = self.model
        network = copy.deepcopy(own.network) if own.architecture == OWN else None
        session = Session.read(path, network=network)
        features = (session.model.spec.features, own.spec.features)
        if session.model.design != own.design or features[0] != features[1]:
            raise ModelError(
                f"The saved model must be of the same network, {own.design.combination} "
                f"{own.title}, got {session.model.design.combination} {session.model.title} in "
                f"{path}; from_model reads it with its own, or give the same options."
            )
        if self._data is not None:
            session.use(self._data.training)
        session.loss = self._session.loss
        return session

    @property
    def supported_backbones(self) -> list[str]:
        """Well-known encoders that this network works with; any other of timm may.

        Each is built and tried with a tile, without the memory of its weights.
        """
        model = self.model
        if model.architecture == OWN:
            return []
        return well_known(model.design, len(model.spec.bands), model.spec.tile_size)

    @property
    def available_metrics(self) -> list[str]:
        """Scores of the training table that `fit` can monitor."""
        change = bool(self.model.scheme.unchanged)
        return [name for name in training.MONITORS if change or name != "change_f1"]

    @property
    def model(self) -> ChangeModel:
        """The network."""
        return self._session.model

    @property
    def loss(self) -> Loss:
        """The loss of its trainings."""
        return self._session.loss

    @property
    def history(self) -> list[Epoch]:
        """The training table."""
        return self._session.history

    @property
    def data(self) -> Data:
        """The tiles.

        Raises:
            ParameterError: The model was read from a file without any.
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
        options = Training(loss=self.loss, augmentation=self.data.augmentation)
        with watching():
            tested = training.lr_find(self.model, self.data.training, options)
        if allow_plot:
            display(figures.show_learning_rates(tested.rates, tested.losses, tested.suggestion))
        return tested.suggestion

    def fit(
        self,
        epochs: int | None = None,
        lr: float | slice | None = None,
        one_cycle: bool = True,
        early_stopping: bool = False,
        checkpoint: bool | Literal["all"] = True,
        tensorboard: bool = False,
        monitor: training.Monitor = "valid_loss",
        *,
        mixed_precision: bool | None = None,
        max_steps: int | None = None,
        resume: str | Path | None = None,
        overwrite: bool = False,
        **options: Any,
    ) -> None:
        """Train, with a line that says how long it will take, and a table with a row an epoch.

        Interrupted, the model keeps the weights of its last step.

        Args:
            epochs: Passes over the training tiles; None: as many steps as tiles and classes need,
                in epochs that may draw each tile several times.
            lr: Learning rate; None: that of `lr_find`; ``slice(a, b)``: a for the encoder, b for
                the rest; ``slice(b)``: a tenth of b for the encoder.
            one_cycle: Learning rate rises to ``lr`` and falls again; else it is constant.
            early_stopping: End when the monitored value has stopped getting better.
            checkpoint: End with the weights of the best epoch; ``all``: also save the model of each
                epoch, under ``<tiles>/models/checkpoints``; False: end with the last weights.
            tensorboard: Write TensorBoard's files to the folder ``log``, by default
                ``<tiles>/models/training_log``. Another ``working_dir`` of `prepare_data` counts
                in place of the tiles here, and for checkpoints.
            monitor: Score that decides which epoch is best: valid_loss, accuracy, dice, miou,
                change_f1.
            mixed_precision: True: bfloat16 beside float32; False: float32 alone; None: as
                ``precision`` says, by default bfloat16 where the processor computes in it.
            max_steps: At most this many batches in all; epochs become fewer, then shorter.
            resume: File that keeps the state after each epoch. The same training started again
                goes on from it; remove it when it isn't needed any more.
            overwrite: Whether the log and the models of each epoch that an earlier training left
                are replaced.
            options: More of `landshift.training.Training`: encoder_lr, accelerator, devices,
                strategy, precision, compile, accumulate, ema, rare_classes, log, mlflow.

        Raises:
            ParameterError: An option out of its range, or ``resume`` of another training.
            TrainingError: The loss is no longer a number, or a batch doesn't fit the memory.
        """
        _check_fit_options(resume, options)
        if isinstance(lr, slice):
            lr, options["encoder_lr"] = _rates(lr, options)
        if mixed_precision is not None:
            options["precision"] = _precision(mixed_precision, options)
        if options.get("log") is not None:
            options["log"] = Path(options["log"])
        elif tensorboard:
            options["log"] = self.data.training.models / "training_log"
        training_options = Training(
            epochs=epochs, lr=lr, one_cycle=one_cycle, early_stopping=early_stopping,
            checkpoint=checkpoint, tensorboard=tensorboard, monitor=monitor, max_steps=max_steps,
            loss=self.loss, augmentation=self.data.augmentation, **options,
        )  # fmt: skip
        state = None if resume is None else Path(resume)
        try:
            with watching(), live_table() as add_row:
                self._session.fit(
                    training_options, resume=state, overwrite=overwrite, on_epoch=add_row,
                    on_time=say,
                )  # fmt: skip
        except KeyboardInterrupt as stop:
            stop.add_note(_kept(state))
            raise

    def freeze(self) -> None:
        """Keep the encoder as it is in the trainings to come."""
        self.model.freeze()

    def unfreeze(self) -> None:
        """Train the encoder too, as a new model does."""
        self.model.freeze(False)

    def plot_losses(self) -> None:
        """Show training and validation loss of each epoch."""
        rows = self.history
        display(figures.show_losses([r.train_loss for r in rows], [r.valid_loss for r in rows]))

    def show_results(self, rows: int = 4, alpha: float = 1.0) -> None:
        """Show validation tiles, one a row: each date, the labels, and the model's classes.

        Args:
            rows: Tiles to show.
            alpha: Opacity of the classes over the last date, 0 to 1.
        """
        display(self.results_figure(rows, alpha))

    def results_figure(self, rows: int = 4, alpha: float = 1.0) -> Figure:
        """The picture that `show_results` shows."""
        data = self.data.training
        samples = self._session.samples(rows)
        return figures.show_samples(
            samples.images, samples.targets, data.spec.bands, data.scheme, alpha=alpha,
            predicted=samples.predicted, sensors=data.spec.band_sensors, rgb=self.data.rgb,
        )  # fmt: skip

    def evaluate(self) -> Evaluation:
        """Scores on the validation tiles."""
        with watching():
            return self._session.evaluate()

    def per_class_metrics(self, ignore_classes: Sequence[int] = ()) -> ClassMetrics:
        """Precision, recall, F1, IoU and support of each class on the validation tiles.

        Args:
            ignore_classes: Label values whose pixels don't count, and that aren't shown.
        """
        ignored = _label_values(ignore_classes)
        names = self.model.scheme.mapping
        scores = self._session.evaluate(ignored).scores if ignored else self.evaluate().scores
        return ClassMetrics(scores, {names[value] for value in ignored})

    def accuracy(self) -> float:
        """Share of the labelled validation pixels that are classified correctly."""
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
        models = None if self._data is None else self._data.training.models
        return model_folder(name_or_path, models)

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
        return self._session.save(self.folder_of(name_or_path), overwrite=overwrite)


class UnetClassifier(_Classifier):
    """A U-Net (Ronneberger 2015, doi 10.1007/978-3-319-24574-4_28), resnet34 by default.

    Args:
        data: Tiles to train on, from `prepare_data`.
        backbone: Encoder, by its name in timm; None: that of the weights, where their name states
            it, or the default one.
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

    architecture = "unet"
    reads = ("dynamic_unet",)


class PSPNetClassifier(_Classifier):
    """A pyramid scene parsing network (Zhao 2017, arXiv:1612.01105), resnet50 by default.

    Args:
        data: Tiles to train on.
        backbone: As in `UnetClassifier`.
        pretrained_backbone: As in `UnetClassifier`.
        class_balancing: As in `UnetClassifier`.
        pyramid_sizes: Rows and columns of the grids that features are pooled to.
        use_unet: Decode the pooled features by a U-Net's decoder.
        learning: As in `UnetClassifier`.
    """

    architecture = "pspnet"
    reads = ("dilated_pspnet",)

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
    """DeepLabV3+ (Chen 2018, arXiv:1802.02611), resnet101 by default.

    Args:
        data: Tiles to train on.
        backbone: As in `UnetClassifier`.
        pretrained_backbone: As in `UnetClassifier`.
        class_balancing: As in `UnetClassifier`.
        keep_dilation: Dilate the last two stages of the encoder instead of the last: more detail,
            more memory.
        learning: As in `UnetClassifier`.
    """

    architecture = "deeplab"
    reads = ("deeplabv3",)

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
    """Any architecture over the stacked dates, or a user's own network.

    Args:
        data: Tiles to train on.
        architecture: A name in `landshift.models.ARCHITECTURES`; or an ``nn.Module`` whose forward
            takes scaled tiles ``(batch, band, row, column)``, or two such arguments, before and
            after, and returns logits ``(batch, class, row, column)``.
        backbone: As in `UnetClassifier`.
        pretrained_backbone: As in `UnetClassifier`.
        class_balancing: As in `UnetClassifier`.
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

    The encoder's weights are those of one date, so weights made for single images fit.

    Args:
        data: Tiles to train on.
        decoder: Any architecture's, a name in `landshift.models.ARCHITECTURES`.
        fusion: ``concat``, ``difference`` or ``both``.
        backbone: As in `UnetClassifier`.
        pretrained_backbone: As in `UnetClassifier`.
        class_balancing: As in `UnetClassifier`.
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


class ChangeDetector(SiameseClassifier):
    """Change or none between two dates: a siamese network over tiles of two classes.

    Args:
        data: Tiles whose two classes are a change and 'No change', as `landshift label --coding
            binary` makes them.
        backbone: As in `UnetClassifier`.
        pretrained_backbone: As in `UnetClassifier`.
        class_balancing: As in `UnetClassifier`.
        options: As in `SiameseClassifier`, ``decoder`` and ``fusion`` included.

    Raises:
        ClassError: Other classes.
    """

    def __init__(
        self,
        data: Data,
        backbone: str | None = None,
        pretrained_backbone: bool | str | Path = True,
        class_balancing: bool = False,
        **options: Any,
    ) -> None:
        if isinstance(data, Data):
            _changed(data.training.scheme)
        super().__init__(
            data, backbone=backbone, pretrained_backbone=pretrained_backbone,
            class_balancing=class_balancing, **options,
        )  # fmt: skip

    def predict(
        self,
        before_image: str | Path,
        after_image: str | Path,
        crop_predict: bool = True,
        visualize: bool = False,
        save: str | Path | None = None,
    ) -> NDArray[np.uint8]:
        """Where two images differ by a change.

        Args:
            before_image: Raster of the first date.
            after_image: Raster of the second date.
            crop_predict: True: predicted tile by tile, which is the only way.
            visualize: Show the images and the map.
            save: Write the map to this file; None: keep it in memory alone.

        Returns:
            ``(row, column)``: 1 where changed, 0 where not, 255 where an image has no data.

        Raises:
            ClassError: The model has other classes than a change and 'No change'.
            ParameterError: A map is there already, or ``crop_predict`` isn't True.
            LandshiftError: As for `landshift.classify`.
        """
        changed = self.model.scheme.values[_changed(self.model.scheme)]
        if crop_predict is not True or isinstance(save, bool):
            raise ParameterError(
                "`crop_predict` must be True, as images are predicted tile by tile, and `save` a "
                f"file, got {crop_predict!r:.80} and {save!r:.80}; leave them out."
            )
        with tempfile.TemporaryDirectory() as folder, watching():
            out = Path(folder) / "change.tif" if save is None else Path(save)
            classify_pixels([before_image, after_image], self, out)
            with raster.open_raster(out) as source:
                window = Window(0, 0, source.height, source.width)
                codes, mask = raster.read(source, window, [1])
            if visualize:
                scheme = self.model.scheme
                display(figures.view_figure([before_image, after_image], out, scheme))
        return np.where(mask, codes[0] == changed, IGNORE_INDEX).astype(np.uint8)

    def precision_recall_score(self) -> dict[str, float | None]:
        """Precision, recall and F1 of change on the validation tiles."""
        change = self.evaluate().scores.classes[_changed(self.model.scheme)]
        return {"precision": change.precision, "recall": change.recall, "f1": change.f1}


def _changed(scheme: ClassScheme) -> int:
    """Index of the class that means change, of two classes.

    Raises:
        ClassError: There aren't two, or not one that means 'No change'.
    """
    if len(scheme) != 2 or len(scheme.unchanged) != 1:
        raise ClassError(
            "ChangeDetector needs two classes, a change and 'No change', got "
            f"{', '.join(scheme.names)}; label with the coding binary, or use SiameseClassifier."
        )
    return 1 - scheme.unchanged[0]


class SemanticChangeClassifier(_Classifier):
    """The class before, the class after and the change, learned together and made to agree.

    It needs tiles that carry both class maps (``labels_before``, ``labels_after``). Its map has
    the codes of the labels; from-to codes state both classes of every pixel.

    Args:
        data: Tiles to train on.
        decoder: Any architecture's, a name in `landshift.models.ARCHITECTURES`.
        backbone: As in `UnetClassifier`.
        pretrained_backbone: As in `UnetClassifier`.
        class_balancing: As in `UnetClassifier`.
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


_MIXUP = 0.4
"""Alpha of mixup where only its name is given, as in fastai."""


def _varied(data: Data, learning: dict[str, Any]) -> Data:
    """The data without ignored classes and with mixup; takes both out of the options."""
    ignored = _label_values(learning.pop("ignore_classes", ()) or ())
    if ignored:
        data = data.changed(data.training.ignoring(ignored), data.augmentation, fits=data.fits)
    if learning.pop("mixup", False):
        varied = data.augmentation or Augmentation(turns=False, brightness=0, contrast=0)
        mixed = replace(varied, mixup=varied.mixup or _MIXUP)
        data = data.changed(data.training, mixed, fits=data.fits)
    return data


def _label_values(ignored: object) -> Sequence[int]:
    """Label values of `ignore_classes`, checked to be a list of whole numbers."""
    if isinstance(ignored, str) or not isinstance(ignored, Sequence):
        raise ParameterError(
            f"`ignore_classes` must be a list of label values, got {ignored!r:.80}."
        )
    for value in ignored:
        check_number("A value of `ignore_classes`", value, whole=True)
    return ignored


def _rates(rates: slice, options: Mapping[str, Any]) -> tuple[float, float]:
    """The learning rates of the rest and of the encoder, out of a slice as fastai takes it."""
    if rates.step is not None or rates.stop is None or "encoder_lr" in options:
        raise ParameterError(
            "`lr` must be a number, slice(encoder, rest) or slice(rest), stated once, got "
            f"{rates}{' beside `encoder_lr`' if 'encoder_lr' in options else ''}."
        )
    for rate in (rates.start, rates.stop):
        if rate is not None:
            check_number("A learning rate of `lr`", rate)
    return rates.stop, rates.stop / 10 if rates.start is None else rates.start


def _precision(mixed: bool, options: Mapping[str, Any]) -> str:
    """Lightning's precision for arcgis.learn's option."""
    if not isinstance(mixed, bool) or "precision" in options:
        raise ParameterError(
            f"`mixed_precision` must be True, False or None, without `precision`, got {mixed!r:.80}"
            f"{' and ' + repr(options['precision']) if 'precision' in options else ''}."
        )
    return "bf16-mixed" if mixed else "32-true"


def _kept(state: Path | None) -> str:
    """Line on the weights that an interrupted `fit` keeps, and how to go on."""
    kept = "The model keeps the weights of its last step"
    if state is None or not state.exists():
        return f"{kept}; a training with a file for `resume` can be taken up after an epoch."
    done = training.epochs_of(state)
    return (
        f"{kept}; the state after {done} {'epoch' if done == 1 else 'epochs'} is kept in {state}: "
        "the same call goes on."
    )


def _check_fit_options(resume: object, options: Mapping[str, Any]) -> None:
    for name, value in (("resume", resume), ("log", options.get("log"))):
        if not (value is None or isinstance(value, str | Path)):
            raise ParameterError(f"`{name}` must be a path, got {value!r:.80}.")
    known = {f.name for f in fields(Training)} - {"loss", "augmentation"}
    if set(options) - known:
        raise ParameterError(
            f"Options of fit must be among {', '.join(sorted(known))}, got "
            f"{', '.join(sorted(set(options) - known))}."
        )


def _check_model_options(data: object, backbone: object, pretrained: object) -> None:
    if not isinstance(data, Data):
        raise ParameterError(f"`data` must come from prepare_data, got {data!r:.80}.")
    if not (backbone is None or isinstance(backbone, str)):
        raise ParameterError(
            f"`backbone` must be the name of an encoder, as 'resnet34', got {backbone!r:.80}."
        )
    if not isinstance(pretrained, bool | str | Path):
        raise ParameterError(
            "`pretrained_backbone` must be True, False, or the name or file of weights, got "
            f"{pretrained!r:.80}."
        )


def _check_names(architecture: str, combination: str, options: Mapping[str, Any]) -> None:
    """Check that each option of a classifier is one of its design or of its learning.

    Raises:
        ParameterError: One isn't.
    """
    if architecture not in ARCHITECTURES:
        return  # an error where the network is built
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
) -> Loss:
    """The loss of the options that arcgis.learn has, or of a formula."""
    if loss is not None and (focal_loss or dice_loss_fraction):
        raise ParameterError(
            f"A loss must be stated once, got `loss` {loss!r} beside `focal_loss` or "
            "`dice_loss_fraction`; put all of it into the formula."
        )
    check_number("`dice_loss_fraction`", dice_loss_fraction)
    if not (loss is None or isinstance(loss, str)):
        raise ParameterError(f"`loss` must be a formula, as 'focal+dice', got {loss!r:.80}.")
    if not 0 <= dice_loss_fraction <= 1:
        raise ParameterError(
            f"`dice_loss_fraction` must lie between 0 and 1, got {dice_loss_fraction}."
        )
    formula = "focal" if focal_loss else "cross_entropy"
    if dice_loss_fraction:
        formula = f"{1 - dice_loss_fraction:g}*{formula} + {dice_loss_fraction:g}*dice"
    return Loss(loss or formula, class_balancing, dice_average=dice_loss_average)
