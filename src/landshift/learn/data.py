"""Training sets as notebooks see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from landshift import dataset
from landshift.errors import ParameterError
from landshift.learn.notebook import display
from landshift.learn.progress import watching
from landshift.learn.session import read_samples, spread, warn_of_tiles
from landshift.show import figures
from landshift.training import Augmentation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_USUAL = Augmentation()


class Data:
    """A tile set ready for training, as `prepare_data` returns it.

    Args:
        training: The tiles, split and described.
        augmentation: How training batches are varied; None: not at all.
    """

    def __init__(
        self,
        training: dataset.TrainingData,
        augmentation: Augmentation | None = _USUAL,
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
        return repr(self.training)

    def show_batch(self, rows: int = 3, alpha: float = 0.6) -> None:
        """Show training tiles, one a row: each date, and the labels over the last date.

        Args:
            rows: Tiles to show.
            alpha: Opacity of the labels, 0 to 1.
        """
        display(self.batch_figure(rows, alpha))

    def batch_figure(self, rows: int = 3, alpha: float = 0.6) -> Figure:
        """The picture that `show_batch` shows."""
        chosen = spread(self.training.split.train, rows)
        images, targets = read_samples(self.training.plain(chosen))
        spec = self.training.spec
        return figures.show_samples(
            images, targets, spec.bands, self.training.scheme, alpha=alpha,
            sensors=spec.band_sensors,
        )  # fmt: skip


def prepare_data(
    path: str | Path,
    class_mapping: Mapping[int, str] | None = None,
    chip_size: int | None = None,
    val_split_pct: float = 0.1,
    batch_size: int | None = 8,
    transforms: Augmentation | bool | None = None,
    seed: int = 42,
    split: dataset.Splitting = "ground",
    num_workers: int = 0,
    dates: Sequence[str] | None = None,
    sensor: str | Sequence[str | None] | None = None,
    units: str | Sequence[str | None] | None = None,
) -> Data:
    """Read a training set in Esri's 'Classified Tiles' layout, and split it.

    What is too little to learn from is logged: few tiles, few labelled pixels of a class.

    Args:
        path: The folder, or a zip of it.
        class_mapping: Name of each label value. Label 0 is 'unlabelled' and never counts, unless
            the mapping names it. None: as the tile set states.
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
        dates: Names of the dates whose bands the tiles stack, where the bands' names don't state
            them (``before:red``), as in tiles of other programs.
        sensor: Sensor of the images, such as ``Landsat 8 OLI``, for all bands or for each: saved
            with the model. None: as the tile set states, if it does.
        units: Units of their values, such as ``reflectance * 10000``, likewise.

    Raises:
        TileSetError: The set is empty, incomplete or damaged.
        SplitError: No split by ground exists.
        ClassError: A label value outside the mapping.
        ParameterError: An option out of its range.
    """
    _check_types(path, class_mapping, transforms)
    options = dataset.DataOptions(val_split_pct, split, transforms is not False, seed)
    reading = dataset.TrainingTiles(
        class_mapping, chip_size, 8 if batch_size is None else batch_size, num_workers, dates,
        sensor, units,
    )  # fmt: skip
    with watching():
        training = dataset.prepare(Path(path), options, reading)
    warn_of_tiles(training)
    if transforms is None or transforms is True:
        return Data(training)
    return Data(training, None if transforms is False else transforms)


def _check_types(path: object, class_mapping: object, transforms: object) -> None:
    """Check arguments that notebooks of arcgis.learn may give in other types."""
    if not isinstance(path, str | Path):
        raise ParameterError(
            f"A tile set must be the path of one folder or zip, got {path!r:.80}; several are "
            "joined before (landshift tiles --append)."
        )
    if class_mapping is not None and not isinstance(class_mapping, Mapping):
        raise ParameterError(
            "`class_mapping` must give each label value its name, as {1: 'to forest'}, got "
            f"{class_mapping!r:.80}."
        )
    if not (transforms is None or isinstance(transforms, bool | Augmentation)):
        raise ParameterError(
            "`transforms` must be a landshift.training.Augmentation, None for the default, or "
            f"False for none, got {transforms!r:.80}."
        )
