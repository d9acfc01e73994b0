"""A model over a raster, window by window, into a georeferenced class map."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from landshift import bundle, ledger, provenance, raster, tiling
from landshift.classes import IGNORE_INDEX, UNLABELLED, ClassScheme
from landshift.engine import TorchEngine
from landshift.errors import ParameterError
from landshift.grid import geobox
from landshift.models import ChangeModel

log = logging.getLogger(__name__)

BACKGROUND_NODATA = 255
"""Nodata of maps whose value 0 is a class."""


class Trained(Protocol):
    """Whatever holds a trained model, such as the classifiers of `landshift.learn`."""

    @property
    def model(self) -> ChangeModel:
        """The model."""


def classify_pixels(
    image: Path | str,
    model: Trained | ChangeModel | Path | str,
    out: Path | str,
    padding: int | None = None,
    batch_size: int = 4,
    predict_background: bool = True,
    tile_size: int | None = None,
    *,
    cell_size: float | None = None,
    device: str = "auto",
    precision: str = "auto",
    on_tile: Callable[[int, int], None] | None = None,
) -> Path:
    """Run a model over a raster and write the class of each pixel.

    The raster is read, classified and written tile by tile: memory does not grow with it. Tiles
    without any valid pixel are skipped. Pixels that aren't valid in every band the model reads
    stay nodata.

    Args:
        image: The raster; the model's bands are picked by name where it has names.
        model: A classifier, a model, or the path of a saved one (.emd, .dlpk or folder).
        out: The map to write: a GeoTIFF of class values with colours and names, 0 where nodata
            (255 where the model has a class 0).
        padding: Pixels thrown away on each side of a tile; None: a quarter of the tile.
        batch_size: Tiles the model sees at once.
        predict_background: Whether the background (the class of value 0) may be the answer; if
            not, each pixel gets its best other class. Without such a class it changes nothing.
        tile_size: Rows and columns of a tile; None: those of the training tiles.
        cell_size: Size of a map pixel in CRS units, to run at another resolution than the
            raster's; None: the raster's.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...
        precision: ``auto``, ``float32`` or ``bfloat16``.
        on_tile: Called with tiles done and tiles in all.

    Returns:
        The path of the map.

    Raises:
        ModelError: The model can't be read.
        BandError: The raster lacks a band, or has another number of them than the model.
        RasterError: The raster can't be read.
        ParameterError: An option out of its range; the map would overwrite the raster.
        OutputError: The map can't be written.
    """
    image, out = Path(image), Path(out)
    network = network_of(model)
    tile_size = network.spec.tile_size if tile_size is None else tile_size
    padding = tile_size // 4 if padding is None else padding
    if batch_size < 1 or tile_size < 1:
        raise ParameterError(
            f"batch_size and tile_size must be at least 1, got {batch_size} and {tile_size}."
        )
    ledger.check_apart(out, [image])
    if network.fixed_tile and tile_size != network.spec.tile_size:
        log.warning(
            "%s pools over the whole tile: its answers at tile size %d differ from those at %d, "
            "on which it was trained.", network.architecture, tile_size, network.spec.tile_size,
        )  # fmt: skip
    excluded = _excluded(network.scheme, predict_background)
    bands = raster.pick_bands(raster.info(image), network.spec.bands)
    engine = TorchEngine(network, device=device, precision=precision)
    nodata = UNLABELLED if network.scheme.background is None else BACKGROUND_NODATA
    record = provenance.record(
        "classify",
        [image, *([Path(model)] if isinstance(model, (str, Path)) else [])],
        {
            "tile_size": tile_size, "padding": padding, "batch_size": batch_size,
            "cell_size": cell_size, "predict_background": predict_background,
            "device": engine.device.type, "precision": engine.precision,
            "architecture": network.architecture, "backbone": network.backbone,
        },
    )  # fmt: skip
    with _source(image, cell_size) as source:
        box = geobox(source.height, source.width, source.transform, source.crs)
        plan = list(tiling.inference_tiles(source.height, source.width, tile_size, padding))
        with raster.create(
            out, box, count=1, dtype="uint8", nodata=nodata, bands=["class"],
            tags=provenance.as_tag(record), scheme=network.scheme,
        ) as target:  # fmt: skip
            for done, (tile, codes) in enumerate(
                _predicted(source, plan, bands, network, engine, batch_size, excluded), start=1
            ):
                values = np.where(
                    codes < len(network.scheme), network.scheme.to_values(codes), nodata
                )
                raster.write(target, values.astype(np.uint8)[np.newaxis], tile.core)
                if on_tile is not None:
                    on_tile(done, len(plan))
    return out


def network_of(model: Trained | ChangeModel | Path | str) -> ChangeModel:
    """The network of a classifier, a model, or a saved one."""
    if isinstance(model, ChangeModel):
        return model
    if isinstance(model, (str, Path)):
        return bundle.load(model).model
    return model.model


def _excluded(scheme: ClassScheme, predict_background: bool) -> int | None:
    """Index of the class that may not be the answer, if any."""
    if predict_background:
        return None
    if scheme.background is None:
        log.warning("predict_background=False changes nothing: the model has no class of value 0.")
    return scheme.background


def _predicted(
    source: Any,
    plan: Sequence[tiling.Tile],
    bands: Sequence[int],
    network: ChangeModel,
    engine: TorchEngine,
    batch_size: int,
    excluded: int | None,
) -> Iterator[tuple[tiling.Tile, NDArray[np.uint8]]]:
    """Class indices of each tile's core, `IGNORE_INDEX` where not valid, in plan order."""
    for first in range(0, len(plan), batch_size):
        tiles = plan[first : first + batch_size]
        read = [raster.read(source, tile.window, bands) for tile in tiles]
        busy = [k for k, (_, mask) in enumerate(read) if mask[tiles[k].crop].any()]
        codes = [np.full((t.core.height, t.core.width), IGNORE_INDEX, np.uint8) for t in tiles]
        if busy:
            images = np.stack([network.spec.fill(*read[k]) for k in busy])
            probabilities = engine.predict(images)  # (B, K, H, W)
            if excluded is not None:
                probabilities[:, excluded] = -1.0
            best = probabilities.argmax(1).astype(np.uint8)
            for found, k in zip(best, busy, strict=True):
                crop = tiles[k].crop
                codes[k] = np.where(read[k][1][crop], found[crop], IGNORE_INDEX).astype(np.uint8)
        yield from zip(tiles, codes, strict=True)


@contextmanager
def _source(image: Path, cell_size: float | None) -> Iterator[Any]:
    """The raster to classify, resampled bilinearly on the fly where another cell size is asked."""
    with raster.open_raster(image) as source:
        if cell_size is None:
            yield source
        else:
            with raster.at_cell_size(source, cell_size) as resampled:
                yield resampled
