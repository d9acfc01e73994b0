"""Training sets as notebooks see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
_SHARE = 0.1  # of validation tiles, by default


class Data:
    """A tile set ready for training, as `prepare_data` returns it.

    Args:
        training: The tiles, split and described.
        augmentation: How training batches are varied; None: not at all.
        fits: Whether each classifier measures what batch fits the memory.
        rgb_bands: Bands of a date that pictures show, by name or by position from 0.
    """

    def __init__(
        self,
        training: dataset.TrainingData,
        augmentation: Augmentation | None = _USUAL,
        *,
        fits: bool = False,
        rgb_bands: Sequence[str | int] | None = None,
    ) -> None:
        self.training = training
        self.augmentation = augmentation
        self.fits = fits
        self.rgb = _shown(rgb_bands)

    def changed(
        self, training: dataset.TrainingData, augmentation: Augmentation | None, *, fits: bool
    ) -> Data:
        """The same data with other tiles, augmentation or measuring of batches."""
        data = Data(training, augmentation, fits=fits)
        data.rgb = self.rgb
        return data

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
    def batch_size(self) -> int | None:
        """Samples a batch; None: what fits, which each classifier measures."""
        return None if self.fits else self.training.batch_size

    @property
    def path(self) -> Path:
        """Folder of the tile set, of the first of several."""
        return self.training.tiles.folder

    @property
    def working_dir(self) -> Path | None:
        """Folder that models are saved in, if not that of the tiles."""
        return self.training.working_dir

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

    def show_batch(
        self, rows: int = 3, alpha: float = 0.6, rgb_bands: Sequence[str | int] | None = None
    ) -> None:
        """Show training tiles, one a row: each date, and the labels over the last date.

        Args:
            rows: Tiles to show.
            alpha: Opacity of the labels, 0 to 1.
            rgb_bands: Three bands of a date, or one, by name or by position from 0; None: those of
                `prepare_data`, else what is red, green and blue.
        """
        display(self.batch_figure(rows, alpha, rgb_bands))

    def batch_figure(
        self, rows: int = 3, alpha: float = 0.6, rgb_bands: Sequence[str | int] | None = None
    ) -> Figure:
        """The picture that `show_batch` shows."""
        rgb = self.rgb if rgb_bands is None else _shown(rgb_bands)
        chosen = spread(self.training.split.train, rows)
        images, targets = read_samples(self.training.plain(chosen))
        spec = self.training.spec
        return figures.show_samples(
            images, targets, spec.bands, self.training.scheme, alpha=alpha,
            sensors=spec.band_sensors, rgb=rgb,
        )  # fmt: skip


def _shown(bands: Sequence[str | int] | None) -> list[str | int] | None:
    """Bands to show, with numbers from 1 as `raster.colours.choose` takes them."""
    if bands is None:
        return None
    listed = isinstance(bands, Sequence) and not isinstance(bands, str)
    if not listed or not all(isinstance(b, str) or (type(b) is int and b >= 0) for b in bands):
        raise ParameterError(
            "`rgb_bands` must be a list of names or positions from 0 of a date's bands, got "
            f"{bands!r:.80}."
        )
    return [b if isinstance(b, str) else b + 1 for b in bands]


def prepare_data(
    path: str | Path | Sequence[str | Path],
    class_mapping: Mapping[int, str] | None = None,
    chip_size: int | None = None,
    val_split_pct: float = _SHARE,
    batch_size: int | None = 8,
    transforms: Augmentation | bool | None = None,
    seed: int = 42,
    split: dataset.Splitting = "ground",
    num_workers: int = 0,
    dates: Sequence[str] | None = None,
    sensor: str | Sequence[str | None] | None = None,
    units: str | Sequence[str | None] | None = None,
    *,
    stratify: bool = False,
    valid_path: str | Path | None = None,
    resize_to: int | None = None,
    working_dir: str | Path | None = None,
    extract_bands: Sequence[int | str] | None = None,
    rgb_bands: Sequence[int | str] | None = None,
) -> Data:
    """Read a training set in Esri's 'Classified Tiles' layout, and split it.

    What is too little to learn from is logged: few tiles, few labelled pixels of a class.

    Args:
        path: The folder, or a zip of it; several, of the same bands, classes and tile size, are
            joined: statistics are those of all their pixels together, and no ground is on both
            sides of the split, whichever folder it is from.
        class_mapping: Name of each label value. Label 0 is 'unlabelled' and never counts, unless
            the mapping names it. None: as the tile set states.
        chip_size: Rows and columns of a sample; None: the whole tile, as with a warning where it
            is more than that.
        val_split_pct: Share of tiles for validation.
        batch_size: Samples a batch; None: what fits the memory, up to 64 and a quarter of the
            training tiles, which each classifier measures by a step of its network.
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
        stratify: Split by ground so that both sides have similar shares of each class.
        valid_path: A set for validation alone, of the same bands, classes and tile size. Training
            tiles that share its ground are left out; ``val_split_pct`` is left out.
        resize_to: Rows and columns that each tile is resized to, before a sample of ``chip_size``
            is taken. The model must then run at that cell size.
        working_dir: Folder that models, checkpoints and logs are saved in, under ``models``; None:
            that of the tiles.
        extract_bands: Bands that the network sees, by name or by position from 0; None: all.
        rgb_bands: Bands of a date that pictures show, by name or by position from 0.

    Raises:
        TileSetError: The set is empty, incomplete or damaged.
        SplitError: No split by ground exists.
        ClassError: A label value outside the mapping.
        ParameterError: An option out of its range.
    """
    _check_types(class_mapping, transforms)
    _check_paths(path, valid_path, working_dir)
    if valid_path is not None and (val_split_pct != _SHARE or split != "ground" or stratify):
        raise ParameterError(
            "`valid_path` decides what validates, so `val_split_pct`, `split` and `stratify` must "
            f"be left out, got {val_split_pct}, {split} and {stratify}."
        )
    if extract_bands is not None and (
        isinstance(extract_bands, str) or not isinstance(extract_bands, Sequence)
    ):
        raise ParameterError(
            f"`extract_bands` must be a list of names or positions, got {extract_bands!r:.80}."
        )
    options = dataset.DataOptions(
        val_split_pct, split, transforms is not False, seed, stratify=stratify
    )
    reading = dataset.TrainingTiles(
        class_mapping, chip_size, 8 if batch_size is None else batch_size, num_workers, dates,
        sensor, units, extract_bands, resize_to,
    )  # fmt: skip
    paths = [Path(path)] if isinstance(path, str | Path) else [Path(own) for own in path]
    valid = None if valid_path is None else Path(valid_path)
    with watching():
        training = dataset.prepare(paths, options, reading, valid=valid)
    if working_dir is not None:
        training = replace(training, working_dir=Path(working_dir))
    warn_of_tiles(training)
    augmentation: Augmentation | None = _USUAL
    if transforms is not None and transforms is not True:
        augmentation = transforms or None
    return Data(training, augmentation, fits=batch_size is None, rgb_bands=rgb_bands)


def _check_paths(path: object, valid_path: object, working_dir: object) -> None:
    paths = path if isinstance(path, list | tuple) else [path]
    if not paths or not all(isinstance(own, str | Path) for own in paths):
        raise ParameterError(
            f"A tile set must be the path of a folder or zip, or a list of them, got {path!r:.80}."
        )
    for name, value in (("valid_path", valid_path), ("working_dir", working_dir)):
        if not (value is None or isinstance(value, str | Path)):
            raise ParameterError(f"`{name}` must be a path, got {value!r:.80}.")


def _check_types(class_mapping: object, transforms: object) -> None:
    """Check arguments that notebooks of arcgis.learn may give in other types."""
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
