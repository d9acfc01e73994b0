"""The options of `landshift.tiles`, each stated once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from landshift.classes.class_options import ClassesLike
from landshift.errors import ParameterError
from landshift.files import options
from landshift.raster.tiling import Size, both
from landshift.tileset.chips import ChipFormat
from landshift.tileset.search import check_share
from landshift.tileset.sizes import Sizes, choose_sizes

if TYPE_CHECKING:
    SizeLike = Size | str
else:  # as typed on the command line
    SizeLike = str
    """Rows and columns, one number for both, or text: '256', or '320x256', columns first."""


def _upper(_: Any, tokens: Sequence[Any]) -> str:
    return str(tokens[0].value).upper()


FormatName = Annotated[Literal["TIFF", "PNG", "JPEG"], Parameter(converter=_upper)]
"""Name of a `ChipFormat`, in any case."""


@dataclass(frozen=True)
class Cutting:
    """Which tiles are cut; sizes may also be numbers, or (rows, columns) in pixels."""

    tile_size: SizeLike | None = None
    """Pixels of a tile: 256, or columns x rows such as 320x256. Left out: 256, 128 or 64, the
    largest that gives 100 tiles, 32 on very small rasters; when appending, as in the set."""
    stride: SizeLike | None = None
    """Pixels from one tile to the next: 128, or right x down. Left out: half the tile; when
    appending, as in the set."""
    start_index: int | None = None
    """Number of the first tile. Default: 0, or the next number when appending."""
    unlabelled: options.Flag = False
    """Keep tiles without a labelled pixel too."""
    minimum_labelled: float = 0.0
    """Share of a tile that must be labelled, 0 to 1."""
    rotation_angle: float = 0.0
    """Degrees, from 0 to below 360: also cut each window turned clockwise about its centre by this
    angle and its multiples below 360."""
    mask_polygons: Path | None = None
    """Keep only tiles that lie wholly in the polygons of this vector file."""
    mask_layer: str | None = None
    """Layer of the polygons, if the file has several."""
    append: options.Flag = False
    """Add the tiles to the set that is there already."""

    def __post_init__(self) -> None:
        _size_or_none(self.tile_size, "tile_size")
        _size_or_none(self.stride, "stride")
        if self.start_index is not None and self.start_index < 0:
            raise ParameterError(f"`start_index` must be at least 0, got {self.start_index}.")
        if not 0 <= self.minimum_labelled <= 1:
            raise ParameterError(
                f"`minimum_labelled` must be a share from 0 to 1, got {self.minimum_labelled}."
            )
        if not 0 <= self.rotation_angle < 360:
            raise ParameterError(
                "`rotation_angle` must be at least 0 and below 360 degrees, got "
                f"{self.rotation_angle}."
            )

    def sizes_on(self, rasters: Sequence[tuple[int, int]]) -> Sizes:
        """Tile size and stride, chosen where they are left out; see `choose_sizes`.

        Args:
            rasters: Rows and columns of each raster.
        """
        tile_size = _size_or_none(self.tile_size, "tile_size")
        return choose_sizes(rasters, tile_size, _size_or_none(self.stride, "stride"))

    @property
    def sizes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Tile size and stride, each as rows and columns, where the tile size is given."""
        assert self.tile_size is not None, "`sizes_on` chooses it"
        sizes = self.sizes_on(())
        return sizes.tile, sizes.stride

    def as_json(self) -> dict[str, Any]:
        """The options as JSON holds them; the polygons are an input and not among them."""
        entry = asdict(self)
        del entry["mask_polygons"]
        for name, (rows, columns) in zip(("tile_size", "stride"), self.sizes, strict=True):
            entry[name] = rows if rows == columns else [rows, columns]
        return entry


@dataclass(frozen=True)
class Encoding:
    """How tiles are stored."""

    format: FormatName = "TIFF"
    """TIFF, PNG or JPEG. The labels beside JPEG tiles are PNG, without loss."""
    uncompressed: options.Flag = False
    """Write TIFF tiles without compression: faster, larger."""

    def __post_init__(self) -> None:
        if self.uncompressed and self.chips is not ChipFormat.tiff:
            raise ParameterError(
                f"Only TIFF tiles can be `uncompressed`, got `format` {self.chips}; choose TIFF."
            )

    @property
    def chips(self) -> ChipFormat:
        """The format, from its name in any case.

        Raises:
            ParameterError: There is none of that name.
        """
        try:
            return ChipFormat(self.format.upper())
        except ValueError as error:
            names = ", ".join(ChipFormat)
            raise ParameterError(
                f"`format` must be one of {names}, got {self.format!r}."
            ) from error

    def as_json(self) -> dict[str, Any]:
        """The options as JSON holds them."""
        return {**asdict(self), "format": self.chips.value}


@dataclass(frozen=True)
class Companions:
    """Rasters that are cut beside the composite and its labels."""

    images2: Sequence[Path] = ()
    """A second input raster; once for each composite, on its grid. A pixel is valid where it is
    valid in both."""
    labels_before: Sequence[Path] = ()
    """Class map before, stored with the tiles; once for each composite, on its grid or a larger
    one of the same pixels."""
    labels_after: Sequence[Path] = ()
    """Class map after; once for each composite."""
    map_classes: ClassesLike = None
    """Classes of the two class maps: CSV value,name or JSON. Default: as the maps state them."""
    weights: Sequence[Path] = ()
    """Weight of each label, 0 to 1, as `landshift label` writes it, which `train` multiplies the
    loss by; once for each composite, on its grid or a larger one of the same pixels."""
    class_maps: bool = True
    """Store with the tiles the class maps that each change map was made from, where its record
    states them and the options above don't; semantic models learn from them."""

    def __post_init__(self) -> None:
        if not self.class_maps and (self.labels_before or self.labels_after):
            raise ParameterError(
                "Class maps (`labels_before`, `labels_after`) are given or left out "
                "(`class_maps`), got both; choose one."
            )


@dataclass(frozen=True)
class Auditing:
    """Options of splits: of the audit, which looks for ground that training and validation tiles
    share, and of the summary of a set that is cut."""

    audit: Path | None = None
    """Cut nothing; list the tiles of this set that leak between training and validation."""
    pairs: Path | None = None
    """With audit: write every pair of tiles that shares ground to this CSV."""
    val_split_pct: float = 0.1
    """Share of tiles for validation in the audit, and in the summary of a set that is cut."""
    seed: int = 42
    """Seed of these splits."""

    def __post_init__(self) -> None:
        if self.pairs is not None and self.audit is None:
            raise ParameterError("`pairs` needs `audit`, got it alone; give the set to look at.")
        check_share(self.val_split_pct)


def _size_or_none(size: Size | str | None, name: str) -> tuple[int, int] | None:
    return None if size is None else size_of(size, name)


def size_of(size: Size | str, name: str) -> tuple[int, int]:
    """Rows and columns of a size.

    Args:
        size: One number, rows and columns, or text such as '256' or '320x256' (columns first).
        name: The option, for the error.

    Raises:
        ParameterError: The text is neither.
    """
    if not isinstance(size, str):
        return both(size)
    numbers = size.lower().split("x")
    if not 1 <= len(numbers) <= 2 or not all(n.strip().isdecimal() for n in numbers):
        raise ParameterError(
            f"`{name}` must be a number of pixels or columns x rows, got {size!r}; "
            "give for example 256 or 320x256."
        )
    return int(numbers[-1]), int(numbers[0])
