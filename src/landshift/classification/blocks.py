"""Classification of blocks: tiles are read, predicted and written at the same time."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.classes import ClassScheme
from landshift.classification import layers as layering
from landshift.classification.scene import InputScene, SceneWindow
from landshift.engine import Engine
from landshift.errors import LandshiftError
from landshift.files import whole as whole_files
from landshift.grid import Window
from landshift.machine import memory, progress
from landshift.raster import cog
from landshift.raster.tiling import PaddedTile, TileBlock, TilePlan

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

_TINY = 1e-30  # divisor of pixels without any tile, whose sum is 0
_LEAST_CACHE = 32 << 20  # bytes for GDAL's blocks
_AHEAD = 1  # tiles that each reading thread may be ahead of the engine
_BEHIND = 2  # blocks that the writing thread may be behind the engine


@dataclass(frozen=True)
class BlockJob:
    """The inputs and options that determine the pixels of every block.

    Attributes:
        scene: Input of the map.
        plan: Tiles and blocks.
        scheme: Classes of the model.
        batch_size: Tiles per model call.
        excluded: Index of the class that may not be predicted, or None.
        layers: Layers to write beside the class.
        blend: Whether overlapping tiles are averaged, with weights that fall towards their edges;
            else each is cut to its core.
        folder: Folder of the blocks' files.
        whole: Whether each block becomes finished maps, one Cloud-Optimised GeoTIFF per layer, for
            a VRT that names them; else one plain file, to be joined with the others.
    """

    scene: InputScene
    plan: TilePlan
    scheme: ClassScheme
    batch_size: int
    excluded: int | None
    layers: tuple[str, ...]
    blend: bool
    folder: Path
    whole: bool = False

    def file(self, number: int) -> Path:
        """Path of a block's file."""
        return self.folder / name_of(number)

    def files(self, number: int) -> dict[str, Path]:
        """Paths of a block's maps, by layer; each layer has a folder."""
        name = name_of(number)
        return {layer: self.folder / layer / name for layer in ("class", *self.layers)}

    def holds(self, number: int) -> bool:
        """Whether all files of a block exist."""
        files = self.files(number).values() if self.whole else [self.file(number)]
        return all(file.is_file() for file in files)

    def tiles(self, block: TileBlock) -> tuple[PaddedTile, ...]:
        """Tiles that a block is made from; with blending also those of its neighbours."""
        if not self.blend:
            return block.tiles
        return tuple(self.plan.tiles_over(self._around(block.window)))

    def count(self, numbers: Sequence[int]) -> int:
        """Number of tiles that blocks are made from."""
        windows = map(self.plan.window, numbers)
        return sum(self.plan.count_over(self._around(w) if self.blend else w) for w in windows)

    def _around(self, window: Window) -> Window:
        """The ground on which a block's pixels depend with blending."""
        return window.grown(self.plan.reach).clipped(self.plan.height, self.plan.width)

    def make_ready(self, engine: Engine) -> None:
        """Prepare an engine for the tiles of the job."""
        engine.ready(
            (len(self.scene.bands), *self.plan.tile), self.scene.dtype,
            probabilities=self.probable, excluded=self.excluded,
        )  # fmt: skip

    @property
    def probable(self) -> bool:
        """Whether the engine computes probabilities; else only the best class."""
        return self.blend or bool(self.layers)

    def part(self, tile: PaddedTile) -> Window:
        """The part of a tile that is used."""
        return tile.window if self.blend else tile.core

    @property
    def cache(self) -> int:
        """Bytes of GDAL's cache: the file blocks under a row of cores, kept for the next row."""
        columns = self.plan.group[1] * self.plan.core[1] + 2 * self.plan.padding
        under = row_bytes(self.scene, self.plan.core[0], columns)
        return min(max(under, _LEAST_CACHE), raster.GDAL_CACHE)


@dataclass(frozen=True)
class FinishedBlock:
    """A block that is finished.

    Attributes:
        number: Number of the block.
        counts: Pixels of each class value; empty if the block has no valid pixel, and no file.
    """

    number: int
    counts: Mapping[int, int]


def name_of(number: int) -> str:
    """File name of a block."""
    return f"{number:07d}.tif"


def row_bytes(scene: InputScene, rows: int, columns: int) -> int:
    """Bytes of the file blocks that a window touches at most."""
    (down, right), pixel = scene.stored, len(scene.bands) * np.dtype(scene.dtype).itemsize
    met = (-(-rows // down) + 1) * down, (-(-columns // right) + 1) * right
    return met[0] * met[1] * pixel


def run_blocks(job: BlockJob, engine: Engine, numbers: Sequence[int]) -> Iterator[FinishedBlock]:
    """Classify blocks; each is written and renamed into place before it is yielded.

    Threads read ahead of the engine, the engine always has a batch waiting, and a thread finishes
    and writes blocks behind it. The queues are bounded, which bounds the memory. A batch never
    holds tiles of two blocks, so that a block's bytes don't depend on the other blocks of a run.

    Args:
        job: The inputs and options.
        engine: The model.
        numbers: Numbers of the blocks.

    Yields:
        Each block, in order.
    """
    readers = _readers(job.scene)
    tiles = (tile for n in numbers for tile in job.tiles(job.plan.block(n)))
    writing: deque[Future[FinishedBlock]] = deque()
    with (
        memory.keeping_freed() if engine.allocates else nullcontext(),
        _reading(job, readers) as submit,
        ThreadPoolExecutor(engine.streams, "engine") as engines,
        ThreadPoolExecutor(1, "writer") as writer,
    ):
        try:
            reads = _ahead(submit, tiles, _AHEAD * readers)
            failed: LandshiftError | None = None
            try:
                for canvas in _predicted(job, engine, engines, numbers, reads):
                    writing.append(writer.submit(_write, job, canvas))
                    while writing and (len(writing) > _BEHIND or writing[0].done()):
                        yield writing.popleft().result()
            except LandshiftError as error:
                failed = error  # blocks predicted before the error are still written and yielded
            while writing:
                yield writing.popleft().result()
            if failed is not None:
                raise failed
        except BaseException:
            engines.shutdown(wait=False, cancel_futures=True)
            writer.shutdown(wait=False, cancel_futures=True)
            raise


def _readers(scene: InputScene) -> int:
    """Number of reading threads: several for remote files, whose reads wait; else one."""
    remote = any("://" in str(f) or str(f).startswith("/vsi") for f in scene.files)
    return 4 if remote else 1


class _BlockCanvas:
    """The values of a block while its tiles are predicted.

    Attributes:
        block: The block.
        empty: Whether it has no wanted pixel so far.
        job: The job it belongs to.
    """

    def __init__(self, job: BlockJob, block: TileBlock) -> None:
        self.block = block
        self.empty = True
        self.job = job
        shape = (block.window.height, block.window.width)
        if job.blend:
            self._wanted = np.zeros(shape, np.bool_)
            self._sum = np.zeros((len(job.scheme), *shape), np.float32)
            self._weight = np.zeros(shape, np.float32)
        else:
            self._values = layering.nodata_block(shape, job.layers, job.scheme)

    def wants(self, tile: PaddedTile, read: SceneWindow) -> bool:
        """Whether a tile has wanted pixels in this block."""
        return bool(read.wanted[self._of(tile)[1]].any())

    def place(self, tile: PaddedTile, read: SceneWindow, prediction: NDArray[Any]) -> None:
        """Take over a tile's prediction, see `_predict`."""
        self.empty = False
        here, there = self._of(tile)
        job = self.job
        if job.layers and not job.blend:  # see `reduced`
            self._values[(slice(None), *here)] = prediction
            return
        wanted, prediction = read.wanted[there], prediction[(..., *there)]
        if job.blend:
            weight = tile_weights(job.plan)[there]
            self._wanted[here] = wanted
            self._sum[(slice(None), *here)] += prediction * weight
            self._weight[here] += weight
        else:
            values = layering.from_codes(prediction, wanted, job.scheme)
            self._values[(slice(None), *here)] = values

    def reduced(
        self, tile: PaddedTile, read: SceneWindow, probabilities: NDArray[Any]
    ) -> NDArray[np.uint8]:
        """Bytes of the layers, for the block's part of a tile."""
        there, job = self._of(tile)[1], self.job
        return layering.from_probabilities(
            probabilities[(..., *there)], read.wanted[there], job.scheme, job.layers, job.excluded
        )

    def values(self) -> NDArray[np.uint8]:
        """The block's bands, once all its tiles are placed."""
        job = self.job
        if not job.blend:
            return self._values
        mean = (self._sum / np.maximum(self._weight, _TINY)).astype(np.float32, copy=False)
        return layering.from_probabilities(mean, self._wanted, job.scheme, job.layers, job.excluded)

    def _of(self, tile: PaddedTile) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """The part of a tile that lies in the block: its slices in the block, and in the tile."""
        outer = self.block.window
        at = (
            self.job.part(tile)
            .shifted(-outer.row, -outer.column)
            .clipped(outer.height, outer.width)
        )
        there = at.shifted(outer.row - tile.window.row, outer.column - tile.window.column)
        return at.slices, there.slices


@lru_cache(maxsize=1)
def tile_weights(plan: TilePlan) -> NDArray[np.float32]:
    """Blending weights of a tile's pixels: above 0 everywhere, 1 far from its edges.

    They rise linearly over the width in which neighbours overlap, so that the weights of two
    neighbours add up to 1.

    Args:
        plan: The tiles.
    """

    def along(length: int) -> NDArray[np.float32]:
        inwards = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
        return np.minimum(inwards / max(2 * plan.padding, 0.5), 1.0).astype(np.float32)

    return np.outer(along(plan.tile[0]), along(plan.tile[1]))


def _predicted(
    job: BlockJob,
    engine: Engine,
    engines: ThreadPoolExecutor,
    numbers: Sequence[int],
    reads: Iterator[SceneWindow],
) -> Iterator[_BlockCanvas]:
    """Blocks in order, with all their tiles predicted; each batch of tiles is reported."""
    with progress.step("tiles", job.count(numbers)) as step:
        yield from _settled(job, engine, engines, numbers, reads, step)


def _settled(
    job: BlockJob,
    engine: Engine,
    engines: ThreadPoolExecutor,
    numbers: Sequence[int],
    reads: Iterator[SceneWindow],
    step: progress.Step,
) -> Iterator[_BlockCanvas]:
    pending: deque[Any] = deque()  # batches in the engine, each block after its last batch

    def settle(most: int) -> Iterator[_BlockCanvas]:
        while pending and (isinstance(pending[0], _BlockCanvas) or len(pending) > most):
            first = pending.popleft()
            if isinstance(first, _BlockCanvas):
                yield first
                continue
            canvas, batch, future, done = first
            for (tile, read), prediction in zip(batch, future.result(), strict=True):
                canvas.place(tile, read, prediction)
            step.to(done)

    def send(canvas: _BlockCanvas, batch: list[tuple[PaddedTile, SceneWindow]]) -> None:
        values, mask = _stacked([r.values for _, r in batch]), _stacked([r.mask for _, r in batch])
        future = engines.submit(_predict, engine, canvas, batch, values, mask)
        pending.append((canvas, batch, future, done))

    done = 0  # tiles that are read
    for number in numbers:
        block = job.plan.block(number)
        canvas = _BlockCanvas(job, block)
        batch: list[tuple[PaddedTile, SceneWindow]] = []
        for tile in job.tiles(block):
            read = next(reads)
            done += 1
            if canvas.wants(tile, read):
                batch.append((tile, read))
            if len(batch) == job.batch_size:
                send(canvas, batch)
                batch = []
                yield from settle(engine.streams)
        if batch:
            send(canvas, batch)
        pending.append(canvas)
        yield from settle(engine.streams)
    yield from settle(0)


def _stacked(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    return np.stack(arrays) if len(arrays) > 1 else arrays[0][np.newaxis]  # without a copy


def _predict(
    engine: Engine,
    canvas: _BlockCanvas,
    batch: Sequence[tuple[PaddedTile, SceneWindow]],
    values: NDArray[Any],
    mask: NDArray[np.bool_],
) -> Iterable[NDArray[Any]]:
    """The prediction for each tile of a batch.

    ``(row, column)`` indices of the best classes; with blending ``(class, row, column)``
    probabilities; with layers and no blending the bytes of the block's part, so that only the
    probabilities of one tile are in memory at a time, about 100 MB.
    """
    job = canvas.job
    if job.blend:
        return engine.predict(values, mask)
    if job.layers:
        pairs = zip(batch, engine.one_by_one(values, mask), strict=True)
        return [canvas.reduced(tile, read, shares) for (tile, read), shares in pairs]
    return engine.best(values, mask, excluded=job.excluded)


def _write(job: BlockJob, canvas: _BlockCanvas) -> FinishedBlock:
    """Write a block's files, each complete and on the disk before it gets its name."""
    number = canvas.block.number
    if canvas.empty:
        return FinishedBlock(number, {})
    values = canvas.values()
    box = grid.window_geobox(job.scene.box, canvas.block.window)
    if job.whole:
        for layer, bands in layering.places(job.layers, job.scheme).items():
            with (
                whole_files.durable_file(job.files(number)[layer]) as part,
                layering.create(part, layer, job.scheme, box, alone=True) as target,
            ):
                raster.write(target, values[bands], Window(0, 0, box.height, box.width))
    else:
        _write_plain(job.file(number), values, box)
    counts = np.bincount(values[0].ravel(), minlength=256)
    return FinishedBlock(number, {v: int(counts[v]) for v in job.scheme.values if counts[v]})


def _write_plain(path: Path, values: NDArray[np.uint8], box: GeoBox) -> None:
    import rasterio

    with whole_files.durable_file(path) as part, raster.writing(path):
        with rasterio.open(
            part, "w", driver="GTiff", count=len(values), height=box.height, width=box.width,
            dtype="uint8", crs=None if box.crs is None else str(box.crs), transform=box.affine,
            tiled=True, blockxsize=cog.BLOCK, blockysize=cog.BLOCK, compress="zstd", zstd_level=1,
            interleave="band", photometric="minisblack",
        ) as target:  # fmt: skip
            target.write(values)
        cog.check_written(part)


def _ahead(
    submit: Callable[[PaddedTile], Future[SceneWindow]], tiles: Iterable[PaddedTile], most: int
) -> Iterator[SceneWindow]:
    """Windows of tiles in order, with at most ``most`` of them read ahead."""
    waiting: deque[Future[SceneWindow]] = deque()
    for tile in tiles:
        waiting.append(submit(tile))
        if len(waiting) > most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@contextmanager
def _reading(job: BlockJob, count: int) -> Iterator[Callable[[PaddedTile], Future[SceneWindow]]]:
    """Threads that read tiles, each with its own open scene."""
    tasks: queue.SimpleQueue[tuple[PaddedTile, Future[SceneWindow]] | None] = queue.SimpleQueue()
    stop = threading.Event()

    def work() -> None:
        task = tasks.get()
        try:
            with job.scene.opened(job.cache) as read:
                while task is not None and not stop.is_set():
                    tile, future = task
                    future.set_result(read(tile.window, job.part(tile)))
                    task = tasks.get()
        except BaseException as error:  # raised again by the caller's `result()`
            while task is not None:
                if not task[1].done():
                    task[1].set_exception(error)
                task = tasks.get()

    def submit(tile: PaddedTile) -> Future[SceneWindow]:
        future: Future[SceneWindow] = Future()
        tasks.put((tile, future))
        return future

    threads = [threading.Thread(target=work, name="reader", daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield submit
    finally:
        stop.set()
        for _ in threads:
            tasks.put(None)
        for thread in threads:
            thread.join()
