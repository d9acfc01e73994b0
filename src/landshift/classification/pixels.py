"""A model over a raster of any size, block by block, into georeferenced maps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from landshift.classes import ClassScheme
from landshift.classification import layers as layering
from landshift.classification.blocks import Job, row_bytes
from landshift.classification.cluster import Task, cluster
from landshift.classification.mosaic import assemble, check_mosaic, check_new, paths_of
from landshift.classification.progress import Counter, Progress
from landshift.classification.scene import Bounds, Scene, find_scene
from landshift.classification.workers import Here, Processes, Recipe, Workers
from landshift.engine import choose_engine, opened
from landshift.engine.described import digest_of
from landshift.engine.padding import Measured, measure_padding
from landshift.engine.prepared import Prepared
from landshift.engine.quantising import (
    ENOUGH,
    SUFFIX,
    Quantised,
    check_new_graph,
    graph_of,
    quantise,
)
from landshift.errors import ModelError, ParameterError, RasterError
from landshift.files import containers, hub, provenance, resumable, whole
from landshift.grid import Window
from landshift.images import Image
from landshift.raster import tiling
from landshift.spec import InputSpec

if TYPE_CHECKING:
    from landshift.models import ChangeModel

log = logging.getLogger(__name__)

_CACHE = 128 << 20  # bytes for GDAL's blocks
_BLOCK = 1024  # rows of a block of tiles
_WIDEST, _NARROWEST = 4096, 1024  # its columns: as many as the cache holds file blocks under them
_PROBABILITIES = 64 << 20  # bytes of a tile's probabilities, where they are asked for
_SAMPLE = 64  # rows and columns of the windows that are looked at before
_SAMPLES = 4  # of them, down and across
_FAR = 3.0  # training deviations between means, and ratio of deviations, that are worth a warning


class Trained(Protocol):
    """Whatever holds a trained model, such as the classifiers of `landshift.learn.classifiers`."""

    @property
    def model(self) -> ChangeModel:
        """The model."""


def classify_pixels(
    image: Path | str | Sequence[Path | str | Image],
    model: Trained | ChangeModel | Path | str,
    out: Path | str,
    padding: int | None = None,
    batch_size: int | None = None,
    predict_background: bool = True,
    tile_size: int | None = None,
    *,
    layers: Sequence[str] = (),
    blend: bool = False,
    turns: bool = False,
    bounds: Bounds | None = None,
    polygons: Path | str | None = None,
    mask_layer: str | None = None,
    cell_size: float | None = None,
    engine: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    workers: int = 1,
    scheduler: str | None = None,
    mosaic: str = "cog",
    restart: bool = False,
    overwrite: bool = False,
    on_block: Callable[[Progress], None] | None = None,
) -> Path:
    """Run a model over a raster and write the class of each pixel.

    The raster is cut into blocks of tiles, which are read, predicted and written at the same
    time: memory is bounded by tile and engine, and doesn't grow with the raster. Finished blocks
    lie in ``.<out>.partial`` beside the map until all are there; a run that ended early for
    whatever reason is taken up by the same call, and gives the bytes of one that didn't. Tiles
    without any valid pixel cost no model call. Pixels that aren't valid in every band the model
    reads stay nodata.

    Args:
        image: The raster; the model's bands are picked by name where it has names. Or one image
            a date, which are stacked on the fly as `landshift.prepare.composite` would.
        model: A classifier, a model, or the path of a saved one (.emd, .dlpk, folder, or
            ``hf://owner/repo``).
        out: The map to write: a Cloud-Optimised GeoTIFF of class values with colours, names and
            attribute table, 0 where nodata (255 where the model has a class 0).
        padding: Pixels thrown away on each side of a tile; None: what was measured to be enough
            (`measure_halo`), else a quarter of the tile, or of the training tile.
        batch_size: Tiles the model sees at once; None: as the engine likes it. OpenVINO takes
            them one by one.
        predict_background: Whether the background (the class of value 0) may be the answer; if
            not, each pixel gets its best other class. Without such a class it changes nothing.
        tile_size: Rows and columns of a tile; None: chosen so that tiles divide the raster
            evenly and stay inside it, and the training tile for models that pool over the whole
            tile.
        layers: What to write beside the map, as ``<out>_<layer>``: names in `LAYERS`.
        blend: Whether the probabilities of overlapping tiles are averaged, by weights that fall
            towards their edges; else each tile is cut to its core.
        turns: Whether the model sees each tile in its eight flips and turns, and the mean of its
            probabilities counts; it takes eight times as long.
        bounds: Left, bottom, right, top of the part to map, in the raster's CRS.
        polygons: Vector file; pixels outside its polygons are nodata, and their bounding box is
            mapped.
        mask_layer: Name of the layer of the polygons; None: the only one.
        cell_size: Size of a map pixel in CRS units, to run at another resolution than the
            raster's; None: the raster's.
        engine: ``torch``, ``openvino``, or ``auto``: the faster one here.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...
        precision: ``auto``, ``float32``, ``bfloat16``, or ``int8`` after `landshift quantize`.
        workers: Processes that share the work and the cores. More than one only pays where one
            engine leaves cores idle; a script then needs ``if __name__ == "__main__":``. With a
            scheduler: how many workers must have joined it to begin.
        scheduler: Address of a dask scheduler, ``tcp://host:port``, whose workers do the blocks;
            they must see the same files. ``local``: a dask cluster of ``workers`` processes of
            this machine, made for this run.
        mosaic: ``cog``: a map is one file; ``vrt``: ``out`` ends in .vrt and names one
            Cloud-Optimised GeoTIFF for each block, in a folder beside it; nothing is put
            together at the end.
        restart: Whether to throw away what an earlier run left, and start over.
        overwrite: Whether what is there already is replaced.
        on_block: Called when a block is done.

    Returns:
        The path of the map.

    Raises:
        ModelError: The model can't be read, or the engine can't take it.
        BandError: The raster lacks a band, or has another number of them than the model.
        RasterError: The raster can't be read; finished blocks are kept.
        GridError: Bounds or polygons miss the raster, or there is no CRS where one is needed.
        VectorError: The polygons can't be read.
        ParameterError: An option out of its range; the map would overwrite the raster; an
            unfinished map of other inputs or options lies there.
        OutputError: The map can't be written; finished blocks are kept.
        ClusterError: The scheduler or its workers can't do the job; finished blocks are kept.
    """
    out = Path(out)
    saved = hub.local(model) if isinstance(model, (str, Path)) else None
    _check_options(batch_size, tile_size, workers, layers)
    check_mosaic(out, layers, mosaic)
    _check_apart(out, layers, _files_of(image), saved)
    if restart or not resumable.is_unfinished(out):  # else the job goes on, whatever it has written
        check_new(out, layers, mosaic, overwrite=overwrite)
    if scheduler is not None:
        image, out, saved = _absolute(image), out.absolute(), _shared(saved)
    network: ChangeModel | Prepared = (
        network_of(model)
        if saved is None  # on a cluster its workers say which engine they have
        else opened(saved, engine, device="cpu" if scheduler else device, precision=precision)
    )
    scene = find_scene(
        image, network.spec, bounds=bounds, polygons=polygons, mask_layer=mask_layer,
        cell_size=cell_size,
    )  # fmt: skip
    inputs = [*map(Path, scene.files), *([Path(polygons)] if polygons is not None else [])]
    _check_apart(out, layers, [*inputs, *scene.sources()], saved)
    _warn_of_scene(scene, network.spec)
    excluded = _excluded(network.scheme, predict_background)
    weights = digest_of(network)
    recipe = _recipe(network, saved, engine, device, precision, turns)
    if scheduler is not None:
        assert saved is not None
        recipe = replace(recipe, model=saved)
    with _workers(recipe, weights, scene, out, workers, scheduler) as crew:
        traits = crew.traits
        most = _core(traits.core, network, probable=blend or bool(layers))
        plan = _plan(scene, network, most, padding, tile_size, blend)
        batch_size = traits.batch_size if batch_size is None else batch_size
        parameters = {
            "tile": list(plan.tile), "padding": plan.padding, "batch_size": batch_size,
            "cell_size": cell_size, "predict_background": predict_background,
            "bounds": bounds, "mask_layer": mask_layer, "engine": traits.name,
            "device": traits.device, "precision": traits.precision,
            "architecture": network.architecture, "backbone": network.backbone,
            "layers": list(layers), "blend": blend, "turns": turns,
        }  # fmt: skip
        record = provenance.record(
            "classify",
            [*inputs, *([saved] if saved is not None else [])],
            parameters,
        )
        description = {
            **record,
            "model": weights,
            "inputs changed at": [_changed(p) for p in inputs],
            "images": [repr(replace(p.image, files=_placed(p.image.files))) for p in scene.plans],
            "graph": None
            if recipe.quantised is None
            else provenance.fingerprint(recipe.quantised.with_suffix(".bin")),
            "group": list(plan.group),
            "mosaic": mosaic,
        }
        with resumable.resumable_file(out, description, restart=restart) as unfinished:
            # a folder of the job's own: what a worker still writes of an earlier one stays apart
            folder = unfinished.folder / provenance.short(description)
            job = Job(
                scene, plan, network.scheme, batch_size, excluded, tuple(layers), blend, folder,
                mosaic == "vrt",
            )  # fmt: skip
            counts: dict[int, Mapping[int, int]] = {
                int(e["block"]): _counts(e) for e in unfinished.done
            }
            left = [n for n in range(plan.blocks) if n not in counts]
            areas = {n: _pixels(plan, n) for n in left}
            run = crew.run(job, left) if left else ()
            counter = Counter(plan.blocks, len(counts), sum(areas.values()), on_block)
            for done in run:
                unfinished.record({"block": done.number, "counts": done.counts})
                counts[done.number] = done.counts
                counter.add(areas[done.number])
            if not any(counts.values()):
                log.warning(
                    "%s has no valid pixel%s: the map is nodata everywhere.",
                    scene.files[0], "" if polygons is None else " inside the polygons",
                )  # fmt: skip
            assemble(job, counts, out, record)
    return out


def measure_halo(
    image: Path | str,
    model: Path | str,
    *,
    engine: str = "auto",
    device: str = "auto",
    overwrite: bool = False,
) -> Measured:
    """Measure which padding a saved model needs, and note it in its package.

    Args:
        image: A raster as the model will see them.
        model: The .emd, the .dlpk or the folder; from now on a padding left out is the one found.
        engine: As for `classify_pixels`.
        device: As for `classify_pixels`.
        overwrite: Whether a padding that the package notes already is replaced.

    Raises:
        RasterError: The raster can't be read, or has no valid pixel where it is looked at.
        ModelError: The model can't be read.
        OutputError: The package can't be written.
    """
    from landshift import bundle

    model = hub.local(model)
    network = network_of(model)
    bundle.check_new_padding(network.spec.padding, model, overwrite=overwrite)
    scene = find_scene(image, network.spec)
    ready = choose_engine(network, engine, device=device)
    size = network.spec.tile_size
    rows, columns = (
        np.linspace(0, max(n - size, 0), 4)[1:3].astype(int)
        for n in (scene.box.height, scene.box.width)
    )
    corners = sorted({(int(r), int(c)) for r in rows for c in columns})
    with scene.opened(_CACHE) as read:

        def values_of(window: Window) -> tuple[Any, Any]:
            got = read(window)
            return got.values, got.mask

        found = measure_padding(ready, network.spec, values_of, corners)
    bundle.keep_padding(model, found.padding, overwrite=True)
    return found


def quantise_model(
    image: Path | str,
    model: Path | str,
    *,
    tiles: int = 24,
    least: float = ENOUGH,
    overwrite: bool = False,
) -> Quantised:
    """Make a saved model's int8 graph beside it, calibrated on tiles of a raster.

    Args:
        image: A raster as the model will see them; tiles that are mostly nodata aren't taken.
        model: The .emd, the .dlpk or the folder.
        tiles: Tiles to calibrate on; as many others are checked.
        least: Share of pixels that must keep the class of the float32 network.
        overwrite: Whether an int8 graph that is there already is replaced.

    Raises:
        RasterError: The raster can't be read, or has no two tiles that are mostly valid.
        ParameterError: openvino or nncf isn't installed; the agreement is below ``least``.
        ModelError: The model can't be read, converted or quantised.
        OutputError: The graph can't be written.
    """
    model = hub.local(model)
    check_new_graph(int8_of(model), overwrite=overwrite)
    network = network_of(model)
    if tiles < 1:
        raise ParameterError(f"tiles must be at least 1, got {tiles}.")
    scene = find_scene(image, network.spec)
    size = network.spec.tile_size
    size += -size % 32
    found = []
    with scene.opened(_CACHE) as read:
        for window in _spread(scene, size, 2 * tiles):
            got = read(window)
            if got.mask.mean() > 0.5:
                found.append((got.values, got.mask))
    if len(found) < 2:
        raise RasterError(
            f"Quantising needs two tiles of {size} pixels that are mostly valid, got {len(found)} "
            f"in {scene.files[0]}; give another raster."
        )
    return quantise(
        network, int8_of(model), found[::2], found[1::2], least=least, overwrite=overwrite
    )


def int8_of(model: Path) -> Path:
    """Where a saved model's int8 graph is described: in its folder, or beside its .dlpk."""
    if model.is_dir():
        return model / f"{model.name}{SUFFIX}"
    if model.suffix.lower() == ".emd":
        return model.parent / f"{model.parent.name}{SUFFIX}"
    return model.with_name(f"{model.stem}{SUFFIX}")


def _spread(scene: Scene, size: int, count: int) -> list[Window]:
    """Windows evenly spread over a scene, about so many; fewer where it is small."""
    height, width = scene.box.height, scene.box.width
    across = max(1, min(round((count * width / height) ** 0.5), width // size or 1))
    down = max(1, min(-(-count // across), height // size or 1))
    rows = np.linspace(0, max(height - size, 0), down).astype(int)
    columns = np.linspace(0, max(width - size, 0), across).astype(int)
    return [Window(int(r), int(c), size, size) for r in rows for c in columns]


def network_of(model: Trained | ChangeModel | Path | str) -> ChangeModel:
    """The network of a classifier, a model, or a saved one."""
    from landshift import bundle
    from landshift.models import ChangeModel

    if isinstance(model, ChangeModel):
        return model
    if isinstance(model, (str, Path)):
        return bundle.load(model).model
    return model.model


def _check_options(
    batch_size: int | None, tile_size: int | None, workers: int, layers: Sequence[str]
) -> None:
    for name, value in (
        ("batch_size", batch_size), ("tile_size", tile_size), ("workers", workers)
    ):  # fmt: skip
        if value is not None and value < 1:
            raise ParameterError(f"{name} must be at least 1, got {value}.")
    if set(layers) - set(layering.LAYERS) or len(set(layers)) != len(layers):
        raise ParameterError(
            f"layers must be different ones of {', '.join(layering.LAYERS)}, got "
            f"{', '.join(layers)}."
        )


def _check_apart(
    out: Path, layers: Sequence[str], inputs: Iterable[Path], saved: Path | None
) -> None:
    """Check that no map overwrites what it is made from."""
    package: list[Path] = []
    if saved is not None:
        folder = saved if saved.is_dir() else saved.parent
        package = [saved, *(folder.iterdir() if saved.suffix.lower() != ".dlpk" else ())]
    for path in paths_of(out, layers).values():
        whole.check_apart(path, [*inputs, *package])


def _files_of(image: Path | str | Sequence[Path | str | Image]) -> list[Path]:
    """The files that name what is classified."""
    images = [image] if isinstance(image, (str, Path)) else image
    named = [i.files if isinstance(i, Image) else [i] for i in images]
    return [Path(file) for files in named for file in files]


def _changed(path: Path) -> str:
    """When a file of this machine was changed (UTC); the name of what is elsewhere."""
    if not path.is_file():
        return str(path)
    return str(np.datetime64(path.stat().st_mtime_ns, "ns"))


def _placed(files: Iterable[Path | str]) -> tuple[Path | str, ...]:
    """Files by names that hold in every folder, and on every machine that sees them."""
    return tuple(containers.absolute(f) for f in files)


def _absolute(
    image: Path | str | Sequence[Path | str | Image],
) -> Path | str | Sequence[Path | str | Image]:
    """What is classified, by names that hold on every machine that sees it."""
    if isinstance(image, (str, Path)):
        return _placed([image])[0]
    return [
        replace(i, files=_placed(i.files)) if isinstance(i, Image) else _placed([i])[0]
        for i in image
    ]


def _shared(saved: Path | None) -> Path:
    """The saved model as workers of a cluster find it."""
    if saved is None:
        raise ModelError(
            "A cluster needs a saved model, which each worker loads, got one in memory; save it "
            "first."
        )
    return saved.absolute()


def _counts(entry: Mapping[str, Any]) -> dict[int, int]:
    """Pixels of each class value in a block, as the ledger has them."""
    return {int(value): int(count) for value, count in entry["counts"].items()}


def _recipe(
    network: ChangeModel | Prepared,
    saved: Path | None,
    engine: str,
    device: str,
    precision: str,
    turns: bool,
) -> Recipe:
    """How a process makes its engine."""
    quantised = None
    if precision == "int8":
        if saved is None:
            raise ModelError(
                "precision='int8' needs a saved model, whose int8 graph `landshift quantize` made; "
                "got one in memory: save it first."
            )
        quantised = graph_of(network, int8_of(saved))
    return Recipe(network, engine, device, precision, quantised, turns)


@contextmanager
def _workers(
    recipe: Recipe, weights: str, scene: Scene, out: Path, count: int, scheduler: str | None
) -> Iterator[Workers]:
    """Who does the blocks: a cluster where a scheduler is named, else processes of our own."""
    if scheduler is not None:
        task = Task(recipe, weights, scene, out.parent)
        with cluster(scheduler, task, workers=count) as found:
            yield found
    elif count > 1:
        yield Processes(recipe, count)
    else:
        yield Here(recipe)


def _core(most: int, network: ChangeModel | Prepared, *, probable: bool) -> int:
    """Rows and columns of a core at most: fewer where many classes' probabilities are held."""
    if not probable:
        return most
    tile = int((_PROBABILITIES / (4 * len(network.scheme))) ** 0.5)
    spec = network.spec
    padding = spec.tile_size // 4 if spec.padding is None else spec.padding
    return min(most, max(tile - 2 * padding, spec.tile_size))


def _plan(
    scene: Scene,
    network: ChangeModel | Prepared,
    most: int,
    padding: int | None,
    tile_size: int | None,
    blend: bool,
) -> tiling.TilePlan:
    """The tiles: as asked for, else as the model needs and the engine likes them."""
    trained = network.spec.tile_size
    if network.fixed_tile:
        tile_size = trained if tile_size is None else tile_size
        if tile_size != trained:
            log.warning(
                "%s pools over the whole tile: its answers at tile size %d differ from those at "
                "%d, on which it was trained.", network.architecture, tile_size, trained,
            )  # fmt: skip
    if padding is None:
        padding = (trained if tile_size is None else tile_size) // 4
        measured = network.spec.padding
        if measured is not None:
            padding = measured if tile_size is None else min(padding, measured)
    columns = _NARROWEST if blend else _WIDEST
    rows = most if tile_size is None else tile_size
    while columns > _NARROWEST and row_bytes(scene, rows + 2 * padding, columns) > _CACHE:
        columns //= 2
    return tiling.plan_inference(
        scene.box.height, scene.box.width, padding=padding, tile_size=tile_size,
        most=most, block_size=(_BLOCK, columns), ground=scene.ground,
    )  # fmt: skip


def _pixels(plan: tiling.TilePlan, number: int) -> int:
    window = plan.window(number)
    return window.height * window.width


def _excluded(scheme: ClassScheme, predict_background: bool) -> int | None:
    """Index of the class that may not be the answer, if any."""
    if predict_background:
        return None
    if scheme.background is None:
        log.warning("predict_background=False changes nothing: the model has no class of value 0.")
    return scheme.background


def _warn_of_scene(scene: Scene, spec: InputSpec) -> None:
    """Warn where the scene is not what the model was trained on: units, bands, no place."""
    if scene.box.crs is None:
        log.warning("%s has no CRS; the map won't have one either.", scene.files[0])
    values = _sampled(scene)
    if not values.size:
        return
    with np.errstate(over="ignore", invalid="ignore"):  # a nodata of -1.8e308 that isn't declared
        means, deviations = values.mean(1), values.std(1)
    told = []
    for k, band in enumerate(spec.bands):
        apart = abs(means[k] - spec.mean[k]) / spec.std[k]
        wider = max(deviations[k], 1e-9) / spec.std[k]
        if not (apart <= _FAR and wider <= _FAR):
            told.append(
                f"{band} {means[k]:.5g} ± {deviations[k]:.3g} (trained on {spec.mean[k]:.5g} ± "
                f"{spec.std[k]:.3g})"
            )
    if told:
        more = f" and {len(told) - 3} more bands" if len(told) > 3 else ""
        log.warning(
            "%s is far from what the model was trained on: %s%s; check units, bands, sensor and "
            "nodata.",
            scene.files[0], "; ".join(told[:3]), more,
        )  # fmt: skip


def _sampled(scene: Scene) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Valid pixels ``(band, pixel)`` of a few windows, evenly spread."""
    height, width = scene.box.height, scene.box.width
    size = (min(_SAMPLE, height), min(_SAMPLE, width))
    rows = np.unique(np.linspace(0, height - size[0], _SAMPLES).astype(int))
    columns = np.unique(np.linspace(0, width - size[1], _SAMPLES).astype(int))
    found = [np.zeros((len(scene.bands), 0))]
    with scene.opened(64 << 20) as read:
        for row in rows:
            for column in columns:
                got = read(Window(int(row), int(column), *size))
                found.append(got.values[:, got.mask].astype(np.float64))
    return np.concatenate(found, axis=1)
