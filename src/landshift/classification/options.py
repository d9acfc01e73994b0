"""Options of `landshift.classify`, grouped by what they decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeAlias, get_args

from cyclopts import Parameter

from landshift.classification.progress import Progress
from landshift.engine.names import EngineName, Precision
from landshift.errors import ParameterError
from landshift.files import options

if TYPE_CHECKING:
    from landshift.images import Image
    from landshift.models import ChangeModel


LayerName = Literal["confidence", "entropy", "probabilities"]
"""Layers beside the class: the probability of the predicted class; the entropy of the
probabilities divided by that of equal ones (0 certain, 1 uniform; Shannon 1948); each class's
probability."""

Mosaic = Literal["cog", "vrt"]
"""The form of a map: one Cloud-Optimised GeoTIFF, or a VRT that names one per block."""


class Trained(Protocol):
    """Anything that holds a trained model, such as the classifiers of `landshift.learn`."""

    @property
    def model(self) -> ChangeModel:
        """The model."""


def _as_images(_: object, tokens: Sequence[Any]) -> str | list[str]:
    """A path or URL; or, where no such file exists, the paths between commas."""
    text: str = tokens[0].value
    return text if Path(text).exists() or "," not in text else text.split(",")


if TYPE_CHECKING:
    ImagesLike = Path | str | Sequence[Path | str | Image]
    ModelLike: TypeAlias = Trained | ChangeModel | Path | str
else:  # as the command line gives them
    ImagesLike = Annotated[Any, Parameter(converter=_as_images, n_tokens=1, metavar="PATH")]
    """A raster, or one image per date."""
    ModelLike = Path
    """A model, or the path of a saved one."""

OnMapBlock = Annotated[Callable[[Progress], None] | None, Parameter(parse=False)]
"""Called when a block is done."""


def check_at_least_one(name: str, value: int | None) -> None:
    """Check a count.

    Raises:
        ParameterError: It is below 1.
    """
    if value is not None and value < 1:
        raise ParameterError(f"`{name}` must be at least 1, got {value}.")


@dataclass(frozen=True)
class MapArea:
    """The ground that is mapped, and its pixel size."""

    bounds: options.Bounds | None = None
    """Left, bottom, right, top of the part to map, in the raster's CRS."""
    polygons: Annotated[Path | str | None, Parameter(name="--mask", metavar="PATH")] = None
    """Polygons (GeoPackage, shapefile, ...). Only pixels inside them are mapped, and the map
    covers their bounding box."""
    mask_layer: str | None = None
    """Layer of the polygons, where the file has several."""
    cell_size: float | None = None
    """Size of a map pixel in CRS units, to run at another resolution than the raster's."""


@dataclass(frozen=True)
class MapTiling:
    """How the raster is cut into tiles, and how their predictions are joined."""

    padding: int | None = None
    """Pixels discarded on each side of a tile. By default the padding that was measured for the
    model, else a quarter of the tile."""
    batch_size: int | None = None
    """Tiles per model call. The default depends on the engine; OpenVINO takes one at a time."""
    tile_size: int | None = None
    """Rows and columns of a tile. By default chosen so that tiles divide the raster evenly; the
    training tile for models that pool over the whole tile."""
    blend: options.Flag = False
    """Average the probabilities of overlapping tiles, weighted towards their centres, instead of
    cutting each tile to its core."""
    turns: options.Flag = False
    """Predict each tile in its eight flips and rotations and average the probabilities. Takes
    eight times as long."""

    def __post_init__(self) -> None:
        check_at_least_one("batch_size", self.batch_size)
        check_at_least_one("tile_size", self.tile_size)


@dataclass(frozen=True)
class MapEngine:
    """What computes the predictions."""

    engine: EngineName = "auto"
    """Inference library: torch, openvino, or auto, the faster one on this machine."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, ..."""
    precision: Precision = "auto"
    """auto, float32, bfloat16, or int8 (after `landshift quantize`)."""


@dataclass(frozen=True)
class MapOutputs:
    """What is written."""

    layers: Annotated[Sequence[LayerName], Parameter(name="--layer")] = ()
    """Layer to write beside the map, as OUT_LAYER: confidence, entropy or probabilities. Can be
    repeated."""
    mosaic: Mosaic = "cog"
    """cog: one file. vrt: OUT.vrt and a folder with one file per block."""
    predict_background: bool = True
    """Whether the class of value 0 may be predicted; if not, each pixel gets its best other
    class."""

    def __post_init__(self) -> None:
        options.check_choice("mosaic", self.mosaic, Mosaic)
        known = get_args(LayerName)
        if set(self.layers) - set(known) or len(set(self.layers)) != len(self.layers):
            raise ParameterError(
                f"`layers` must be different ones of {', '.join(known)}, got "
                f"{', '.join(self.layers)}."
            )


@dataclass(frozen=True)
class MapRun:
    """Who computes a map. None of these options changes a pixel."""

    workers: int = 1
    """Processes that share the work and the cores; with a scheduler, workers that must have
    joined it before the run starts. More than one only pays where one engine leaves cores idle;
    a Python script then needs an `if __name__ == "__main__":` guard."""
    scheduler: str | None = None
    """tcp://HOST:PORT of a dask scheduler whose workers compute the blocks; they must see the same
    files. `local` starts a dask cluster of that many worker processes on this machine."""
    restart: options.Flag = False
    """Discard what an interrupted run left, and start over."""

    def __post_init__(self) -> None:
        check_at_least_one("workers", self.workers)
