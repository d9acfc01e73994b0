"""Train and look at models as users of arcgis.learn know it: the notebook surface.

data = prepare_data(path, batch_size=2, class_mapping={...})
model = UnetClassifier(data)
model.fit(epochs=10, lr=model.lr_find())
model.save("unet_10")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypedDict, Unpack

from torch import nn

from landshift import training
from landshift.errors import ModelError, ParameterError, check_number
from landshift.evaluation.evaluation import Evaluation
from landshift.learn.data import Data
from landshift.learn.notebook import ClassMetrics, display
from landshift.learn.progress import live_table, say, watching
from landshift.learn.session import Session, model_folder
from landshift.models import ARCHITECTURES, COMBINATIONS, OWN, ChangeModel
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
        features: What the network sees, among ``bands``, ``difference``, ``ratio``, ``mad``,
            ``indices``, ``tasselled_cap`` (`landshift.models.derived`); left out: the bands.
    """

    loss: str
    focal_loss: bool
    dice_loss_fraction: float
    dice_loss_average: str
    ignore_classes: Sequence[int]
    mixup: bool
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
        self._data: Data | None = _varied(data, learning)
        self._session = Session.start(
            self._data.training, architecture, self.combination, _loss(class_balancing, **learning),
            backbone=backbone, pretrained=pretrained,
            options={k: v for k, v in options.items() if k not in known}, features=features,
        )  # fmt: skip

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
        return classifier

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
        lr: float | None = None,
        one_cycle: bool = True,
        early_stopping: bool = False,
        checkpoint: bool | Literal["all"] = True,
        tensorboard: bool = False,
        monitor: training.Monitor = "valid_loss",
        *,
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
            lr: Learning rate; None: that of `lr_find`.
            one_cycle: Learning rate rises to ``lr`` and falls again; else it is constant.
            early_stopping: End when the monitored value has stopped getting better.
            checkpoint: End with the weights of the best epoch; ``all``: also save the model of each
                epoch, under ``<tiles>/models/checkpoints``; False: end with the last weights.
            tensorboard: Write TensorBoard's files to the folder ``log``, by default
                ``<tiles>/models/training_log``.
            monitor: Score that decides which epoch is best: valid_loss, accuracy, dice, miou,
                change_f1.
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
        _check_fit_options(resume, options)
        if options.get("log") is not None:
            options["log"] = Path(options["log"])
        elif tensorboard:
            options["log"] = self.data.path / "models" / "training_log"
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
            predicted=samples.predicted, sensors=data.spec.band_sensors,
        )  # fmt: skip

    def evaluate(self) -> Evaluation:
        """Scores on the validation tiles."""
        with watching():
            return self._session.evaluate()

    def per_class_metrics(self) -> ClassMetrics:
        """Precision, recall, F1, IoU and support of each class on the validation tiles."""
        return ClassMetrics(self.evaluate().scores)

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
    ignored = learning.pop("ignore_classes", ()) or ()
    if isinstance(ignored, str) or not isinstance(ignored, Sequence):
        raise ParameterError(
            f"`ignore_classes` must be a list of label values, got {ignored!r:.80}."
        )
    for value in ignored:
        check_number("A value of `ignore_classes`", value, whole=True)
    if ignored:
        data = Data(data.training.ignoring(ignored), data.augmentation)
    if learning.pop("mixup", False):
        varied = data.augmentation or Augmentation(turns=False, brightness=0, contrast=0)
        data = Data(data.training, replace(varied, mixup=varied.mixup or _MIXUP))
    return data


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
