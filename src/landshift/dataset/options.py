"""Options of a training set: how it is split, and how its tiles become batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from landshift.errors import ParameterError, check_number
from landshift.files import options

Splitting = Literal["ground", "random"]


def _by_band(_: object, tokens: Sequence[Any]) -> str | list[str | None]:
    """One word for all bands, or one for each of them with commas between."""
    words = [word.strip() or None for word in tokens[0].value.split(",")]
    return words[0] or "" if len(words) == 1 else words


if TYPE_CHECKING:
    NamesLike = Mapping[int, str] | Path | str | None
    Values = Sequence[int]
    OfBands = Sequence[str | None] | str | None
else:  # as the command line gives them
    NamesLike = Path | None
    Values = str
    OfBands = Annotated[
        Any, Parameter(converter=_by_band, n_tokens=1, metavar="TEXT", show_default=False)
    ]


@dataclass(frozen=True)
class DataOptions:
    """How a tile set is split into training and validation, and drawn from."""

    val_split_pct: float = 0.1
    """Share of tiles for validation, between 0 and 1."""
    split: Splitting = "ground"
    """ground: by blocks of ground, so that no validation pixel is seen in training; random: tile by
    tile, which leaks where tiles overlap and warns of it."""
    augment: Annotated[bool, Parameter(parse=False)] = True
    """Whether training samples are random parts of the tiles, where smaller than them."""
    seed: int = 42
    """Seed of the split, the shuffle, the augmentation and a network's random start."""
    ignore_classes: Annotated[Values, Parameter(show_default=False)] = ""  # type: ignore[assignment]
    """Label values whose pixels count neither in training nor in scores, such as 3,7."""
    stratify: bool = False
    """Split by ground so that both sides have similar shares of each class."""

    def __post_init__(self) -> None:
        given: object = self.ignore_classes
        if isinstance(given, str):
            object.__setattr__(self, "ignore_classes", _values(given))
        check_number("`val_split_pct`", self.val_split_pct)
        check_number("`seed`", self.seed, whole=True)
        if not 0 < self.val_split_pct < 1:
            raise ParameterError(
                f"`val_split_pct` must lie between 0 and 1, got {self.val_split_pct}."
            )
        options.check_choice("split", self.split, Splitting)
        if not isinstance(self.stratify, bool) or (self.stratify and self.split != "ground"):
            raise ParameterError(
                "`stratify` must be True or False, and chooses among splits by ground, got "
                f"{self.stratify!r:.80} with {self.split}; leave one of them out."
            )


@dataclass(frozen=True)
class TrainingTiles:
    """How the tiles of a training set are read and batched."""

    classes: NamesLike = None
    """Classes of the labels, names by value; a file: CSV value,name or JSON. Left out: as the tile
    set states."""
    chip_size: int | None = None
    """Rows and columns of a sample, a random part of its tile; left out: the whole tile."""
    batch_size: int = 8
    """Tiles a batch."""
    num_workers: Annotated[int, Parameter(name="--workers")] = 0
    """Processes that load tiles; 0 loads in the training process."""
    dates: Annotated[Sequence[str] | None, Parameter(parse=False)] = None
    """Names of the dates whose bands the tiles stack, the same number each; None: as the bands'
    names state (``before:red``)."""
    sensor: OfBands = ""
    """Sensor of the images, for all bands, or for each with commas between them; left out: as the
    tile set states."""
    units: OfBands = ""
    """Units of the values, such as 'reflectance * 10000', for all bands, or for each with commas
    between them; left out: as the tiles' files state."""
    bands: Annotated[Sequence[int | str] | None, Parameter(parse=False)] = None
    """Bands that a network sees, by name or by position from 0; None: all."""
    resize_to: Annotated[int | None, Parameter(parse=False)] = None
    """Rows and columns that each tile is resized to; None: as it is."""

    def __post_init__(self) -> None:
        if self.chip_size is not None:
            check_number("`chip_size`", self.chip_size, whole=True)
        if self.resize_to is not None:
            check_number("`resize_to`", self.resize_to, whole=True)
        check_number("`batch_size`", self.batch_size, whole=True)
        check_number("`num_workers`", self.num_workers, whole=True)


def _values(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(value) for value in text.split(",") if value)
    except ValueError:
        raise ParameterError(
            f"`ignore_classes` must be numbers such as 3,7, got {text!r}."
        ) from None
