"""A map that is ready to be computed: inputs checked, model opened, scene placed on its grid."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from landshift.classification.blocks import BlockJob, row_bytes
from landshift.classification.checks import check_apart, excluded_class
from landshift.classification.cluster import cluster
from landshift.classification.cluster_worker import ClusterTask
from landshift.classification.mosaic import check_mosaic, check_new
from landshift.classification.options import (
    MapArea,
    MapEngine,
    MapOutputs,
    MapRun,
    MapTiling,
    ModelLike,
)
from landshift.classification.radiometry import normalised, warn_of_values
from landshift.classification.saved import int8_of, network_of, shared
from landshift.classification.scene import InputScene, find_scene
from landshift.classification.workers import (
    EngineRecipe,
    EngineTraits,
    LocalProcesses,
    ThisProcess,
    Workers,
)
from landshift.engine import opened
from landshift.engine.described import digest_of
from landshift.engine.prepared import Prepared
from landshift.engine.quantising import graph_of
from landshift.errors import ModelError
from landshift.files import containers, hub, provenance, resumable
from landshift.images import Image
from landshift.machine import progress
from landshift.raster import tiling as plans

if TYPE_CHECKING:
    from landshift.models import ChangeModel

log = logging.getLogger(__name__)

CACHE_BYTES = 128 << 20
"""Bytes for GDAL's blocks."""

_BLOCK = 1024  # rows of a block of tiles
_WIDEST, _NARROWEST = 4096, 1024  # columns of a block: as many as fit the cache
_PROBABILITIES = 64 << 20  # bytes of a tile's probabilities, if they are computed
_STATED_ELSEWHERE = {"polygons", "tile_size", "mosaic"}  # by the inputs, `tile` and the file itself


@dataclass(frozen=True)
class MapJob:
    """A map that is ready to be computed.

    Attributes:
        out: The class map to write.
        scene: Input of the map.
        network: The model, or its OpenVINO graph.
        weights: SHA-256 of the model's weights, input, classes and design.
        recipe: Recipe of the workers' engines.
        inputs: Files whose fingerprints the provenance states, without the model.
        saved: The saved model; None: it is in memory.
        excluded: Index of the class that may not be predicted, or None.
        area: The ground that is mapped.
        tiling: Tiles, as the user asked for them.
        outputs: Maps that are written.
        run: Who computes them.
    """

    out: Path
    scene: InputScene
    network: ChangeModel | Prepared
    weights: str
    recipe: EngineRecipe
    inputs: tuple[Path, ...]
    saved: Path | None
    excluded: int | None
    area: MapArea
    tiling: MapTiling
    outputs: MapOutputs
    run: MapRun

    @contextmanager
    def workers(self) -> Iterator[Workers]:
        """The workers of the run: a cluster if a scheduler is given, else local processes.

        Raises:
            ClusterError: The scheduler or its workers can't compute the map.
        """
        count = self.run.workers
        if self.run.scheduler is not None:
            task = ClusterTask(self.recipe, self.weights, self.scene, self.out.parent)
            with cluster(self.run.scheduler, task, workers=count) as workers:
                yield workers
        elif count > 1:
            yield LocalProcesses(self.recipe, count)
        else:
            yield ThisProcess(self.recipe)

    def blocks(self, traits: EngineTraits) -> BlockJob:
        """The blocks to compute with engines of these traits, in the current folder."""
        tiling, layers = self.tiling, tuple(self.outputs.layers)
        probable = tiling.blend or bool(layers)
        most = largest_core(traits.core, self.network, probable=probable)
        return BlockJob(
            scene=self.scene,
            plan=_plan(self.scene, self.network, most, tiling),
            scheme=self.network.scheme,
            batch_size=traits.batch_size if tiling.batch_size is None else tiling.batch_size,
            excluded=self.excluded,
            layers=layers,
            blend=tiling.blend,
            folder=Path(),
            whole=self.outputs.mosaic == "vrt",
        )

    def record(self, blocks: BlockJob, traits: EngineTraits) -> dict[str, Any]:
        """Provenance of the map: its inputs and all that determines its pixels."""
        asked = {**asdict(self.area), **asdict(self.tiling), **asdict(self.outputs)}
        parameters = {
            "tile": list(blocks.plan.tile),
            "padding": blocks.plan.padding,
            "batch_size": blocks.batch_size,
            "engine": traits.name,
            "device": traits.device,
            "precision": traits.precision,
            "architecture": self.network.architecture,
            "backbone": self.network.backbone,
            "normalise": None if self.scene.lines is None else self.scene.lines.as_dict(),
        }
        stated = parameters.keys() | _STATED_ELSEWHERE
        parameters |= {k: v for k, v in asked.items() if k not in stated}
        saved = [self.saved] if self.saved is not None else []
        return provenance.record("classify", [*self.inputs, *saved], parameters)

    def description(self, record: dict[str, Any], blocks: BlockJob) -> dict[str, Any]:
        """All that a later run must have in common with this one to continue it."""
        quantised = self.recipe.quantised
        return {
            **record,
            "model": self.weights,
            "inputs changed at": [_changed(p) for p in self.inputs],
            "images": [
                repr(replace(plan.image, files=_absolute_files(plan.image.files)))
                for plan in self.scene.plans
            ],
            "graph": None
            if quantised is None
            else provenance.fingerprint(quantised.with_suffix(".bin")),
            "group": list(blocks.plan.group),
            "mosaic": self.outputs.mosaic,
        }


def prepare_map(
    image: Path | str | Sequence[Path | str | Image],
    model: ModelLike,
    out: Path,
    *,
    area: MapArea,
    tiling: MapTiling,
    engine: MapEngine,
    outputs: MapOutputs,
    run: MapRun,
    normalise: bool,
    overwrite: bool,
) -> MapJob:
    """Check and open everything that a map needs; see `landshift.classify`.

    On a cluster all paths become absolute, and the model stays a path that each worker loads.

    Raises:
        LandshiftError: As for `landshift.classify`.
    """
    saved = hub.local(model) if isinstance(model, (str, Path)) else None
    check_mosaic(out, outputs.layers, outputs.mosaic)
    check_apart(out, outputs.layers, _files_of(image), saved)
    if run.restart or not resumable.is_unfinished(out):  # else the job continues, whatever exists
        check_new(out, outputs.layers, outputs.mosaic, overwrite=overwrite)
    on_cluster = run.scheduler is not None
    if on_cluster:
        image, out, saved = _absolute(image), out.absolute(), shared(saved)
    network: ChangeModel | Prepared
    if isinstance(model, (str, Path)):
        assert saved is not None
        device = "cpu" if on_cluster else engine.device  # a cluster's workers choose their engines
        with progress.step("loading the model"):
            network = opened(saved, engine.engine, device=device, precision=engine.precision)
    else:
        network = network_of(model)
    scene = find_scene(image, network.spec, area)
    inputs = (
        *map(Path, scene.files),
        *([Path(area.polygons)] if area.polygons is not None else []),
    )
    check_apart(out, outputs.layers, [*inputs, *scene.sources()], saved)
    if scene.box.crs is None:
        log.warning("%s has no CRS; the map won't have one either.", scene.files[0])
    if normalise:
        scene = normalised(scene, network.spec)
    else:
        warn_of_values(scene, network.spec)
    recipe = _recipe(network, saved, engine, turns=tiling.turns)
    if on_cluster:
        assert saved is not None
        recipe = replace(recipe, model=saved)
    return MapJob(
        out, scene, network, digest_of(network), recipe, inputs, saved,
        excluded_class(network.scheme, outputs.predict_background), area, tiling, outputs, run,
    )  # fmt: skip


def largest_core(most: int, network: ChangeModel | Prepared, *, probable: bool) -> int:
    """Largest rows and columns of a core: fewer if the probabilities of many classes are held.

    Args:
        most: The engine's limit.
        network: The model.
        probable: Whether probabilities are computed.
    """
    if not probable:
        return most
    tile = int((_PROBABILITIES / (4 * len(network.scheme))) ** 0.5)
    spec = network.spec
    padding = spec.tile_size // 4 if spec.padding is None else spec.padding
    return min(most, max(tile - 2 * padding, spec.tile_size))


def _plan(
    scene: InputScene, network: ChangeModel | Prepared, most: int, asked: MapTiling
) -> plans.TilePlan:
    """The tiles: as asked for, else as the model needs and the engine prefers them."""
    trained, tile_size, padding = network.spec.tile_size, asked.tile_size, asked.padding
    if network.fixed_tile:
        tile_size = trained if tile_size is None else tile_size
        if tile_size != trained:
            log.warning(
                "%s pools over the whole tile: its predictions at tile size %d differ from those "
                "at %d, on which it was trained.", network.architecture, tile_size, trained,
            )  # fmt: skip
    if padding is None:
        padding = (trained if tile_size is None else tile_size) // 4
        measured = network.spec.padding
        if measured is not None:
            padding = measured if tile_size is None else min(padding, measured)
    columns = _NARROWEST if asked.blend else _WIDEST
    rows = most if tile_size is None else tile_size
    while columns > _NARROWEST and row_bytes(scene, rows + 2 * padding, columns) > CACHE_BYTES:
        columns //= 2
    return plans.plan_inference(
        scene.box.height, scene.box.width, padding=padding, tile_size=tile_size,
        most=most, block_size=(_BLOCK, columns), ground=scene.ground,
    )  # fmt: skip


def _recipe(
    network: ChangeModel | Prepared, saved: Path | None, engine: MapEngine, *, turns: bool
) -> EngineRecipe:
    """Recipe of an engine, with the model's int8 graph for that precision."""
    quantised = None
    if engine.precision == "int8":
        if saved is None:
            raise ModelError(
                "`precision` 'int8' needs a saved model, whose int8 graph `landshift quantize` "
                "made; got one in memory: save it first."
            )
        quantised = graph_of(network, int8_of(saved))
    return EngineRecipe(
        network, engine.engine, engine.device, engine.precision, quantised, turns
    )  # fmt: skip


def _files_of(image: Path | str | Sequence[Path | str | Image]) -> list[Path]:
    """Files that the user names as input."""
    images = [image] if isinstance(image, (str, Path)) else image
    named = [i.files if isinstance(i, Image) else [i] for i in images]
    return [Path(file) for files in named for file in files]


def _absolute(
    image: Path | str | Sequence[Path | str | Image],
) -> Path | str | Sequence[Path | str | Image]:
    """The input by absolute paths, which are valid on every machine that shares them."""
    if isinstance(image, (str, Path)):
        return _absolute_files([image])[0]
    return [
        replace(i, files=_absolute_files(i.files))
        if isinstance(i, Image)
        else _absolute_files([i])[0]
        for i in image
    ]


def _absolute_files(files: Iterable[Path | str]) -> tuple[Path | str, ...]:
    return tuple(containers.absolute(f) for f in files)


def _changed(path: Path) -> str:
    """Time of the last change of a local file (UTC); the name of any other input."""
    if not path.is_file():
        return str(path)
    return str(np.datetime64(path.stat().st_mtime_ns, "ns"))
