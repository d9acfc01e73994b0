"""References to normalise to: another raster, or the images that a saved model learned from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from landshift import images, raster
from landshift.bundle import manifest
from landshift.errors import BandError, ParameterError
from landshift.files import hub
from landshift.grid import Window
from landshift.prepare.moments import BandMoments, Reader, measured, of_training
from landshift.spec import InputSpec

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox


def reference_of(like: Path | str) -> RasterReference | ModelReference:
    """The reference at a path: a saved model, or else a raster.

    Raises:
        ModelError: A saved model can't be read.
    """
    if manifest.is_model(like):
        return ModelReference(hub.local(like), manifest.input_of(like))
    return RasterReference(Path(like))


def parts_of(area: Window) -> list[Window]:
    """The windows in which a part of a raster is measured."""
    return [w.shifted(area.row, area.column) for w in raster.blocks(area.height, area.width)]


class RasterReference:
    """A raster whose radiometry an image gets.

    Args:
        path: The raster.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._numbers: tuple[int, ...] = ()

    @cached_property
    def info(self) -> raster.RasterInfo:
        """The raster's metadata."""
        return raster.info(self.path)

    @property
    def dtype(self) -> str:
        """Its pixel type."""
        return self.info.dtype

    def match(self, image: raster.RasterInfo) -> tuple[int, ...]:
        """The image's bands that are changed: all; the reference's are put in their order."""
        self._numbers = _reference_bands(image, self.info)
        return image.numbers

    @property
    def scaling(self) -> list[tuple[float, float]]:
        """Scale and offset of each band that is matched."""
        return [self.info.scaling[k - 1] for k in self._numbers]

    @cached_property
    def plan(self) -> images.Plan:
        """The bands that are matched, to be read on any grid."""
        return images.plan(images.Image((self.path,), bands=self._numbers))

    @contextmanager
    def opened(self, box: GeoBox) -> Iterator[Reader]:
        """The bands that are matched, open on a grid; for one thread."""
        with images.opened(self.plan, box) as reader:
            yield reader.read

    def moments(self) -> BandMoments:
        """Mean and standard deviation of each band over all valid pixels."""
        windows = parts_of(Window(0, 0, self.info.height, self.info.width))
        own = measured(windows, "measuring the reference", partial(self.opened, self.plan.grid))
        if not own.pixels:
            raise ParameterError(f"The reference must hold valid pixels, got none in {self.path}.")
        return own


@dataclass(frozen=True)
class ModelReference:
    """A saved model, whose training images' radiometry an image gets.

    Attributes:
        path: The model.
        spec: Its input.
    """

    path: Path
    spec: InputSpec

    @property
    def dtype(self) -> str:
        """Pixel type of its training tiles."""
        return self.spec.dtype

    def match(self, image: raster.RasterInfo) -> tuple[int, ...]:
        """The image's bands that the model reads, in the model's order."""
        return raster.pick_bands(image, self.spec.bands, self.spec.positions)

    @property
    def scaling(self) -> list[tuple[float, float]]:
        """Scale and offset of each band: a model states none."""
        return [(1.0, 0.0)] * len(self.spec.bands)

    def moments(self) -> BandMoments:
        """Mean and standard deviation of each band over the training tiles."""
        return of_training(self.spec)


Reference = RasterReference | ModelReference


def _reference_bands(image: raster.RasterInfo, like: raster.RasterInfo) -> tuple[int, ...]:
    """Numbers of the reference's bands that match the image's."""
    same = len(image.names) == len(like.names)
    if not same and raster.match_names(image.names, like.names) is None:
        raise BandError(
            f"The reference must have the image's bands, got {len(like.names)} in {like.path} for "
            f"{len(image.names)} in {image.path}; write the same bands of both first (composite)."
        )
    places = raster.in_step(
        image.names, like.names, what=f"{image.path} and {like.path}",
        instead="write the same bands of both first (composite)",
    )  # fmt: skip
    return tuple(like.numbers[k] for k in places)
