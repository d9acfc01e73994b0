"""Blocks of a plan, read, predicted and written at the same time, each into a file of its own."""

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
from landshift.classification.scene import Read, Scene
from landshift.engine import Engine
from landshift.errors import LandshiftError
from landshift.files import whole as whole_files
from landshift.grid import Window
from landshift.machine import memory
from landshift.raster import cog
from landshift.raster.tiling import PaddedTile as Tile
from landshift.raster.tiling import TileBlock as Block
from landshift.raster.tiling import TilePlan as Plan

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

_TINY = 1e-30  # where no tile was: any divisor will do
_LEAST_CACHE = 32 << 20  # bytes for GDAL's blocks
_AHEAD = 1  # tiles that each reading thread is ahead of the engine
_BEHIND = 2  # blocks that the writing thread may be behind it


@dataclass(frozen=True)
class Job:
    """What decides the pixels of every block.

    Attributes:
        scene: What is classified.
        plan: Its tiles and blocks.
        scheme: The model's classes.
        batch_size: Tiles the model sees at once.
        excluded: Index of the class that may not be the answer, or None.
        layers: What is wanted beside the class.
        blend: Whether tiles that overlap are averaged, by weights that fall towards their edges;
            else each is cut to its core.
        folder: Where the blocks' files go.
        whole: Whether each block becomes maps of its own, a Cloud-Optimised GeoTIFF a layer, for a
            mosaic that names them; else one plain file, to be put together with the others.
    """

    scene: Scene
    plan: Plan
    scheme: ClassScheme
    batch_size: int
    excluded: int | None
    layers: tuple[str, ...]
    blend: bool
    folder: Path
    whole: bool = False

    def file(self, number: int) -> Path:
        """Where a block's file lies."""
        return self.folder / name_of(number)

    def files(self, number: int) -> dict[str, Path]:
        """Where a block's maps lie, by layer; each layer has a folder."""
        name = name_of(number)
        return {layer: self.folder / layer / name for layer in ("class", *self.layers)}

    def holds(self, number: int) -> bool:
        """Whether all files of a block are there."""
        files = self.files(number).values() if self.whole else [self.file(number)]
        return all(file.is_file() for file in files)

    def tiles(self, block: Block) -> tuple[Tile, ...]:
        """The tiles that a block is made from; blended ones of its neighbours are among them."""
        if not self.blend:
            return block.tiles
        around = block.window.grown(self.plan.reach)
        return tuple(self.plan.tiles_over(around.clipped(self.plan.height, self.plan.width)))

    def make_ready(self, engine: Engine) -> None:
        """Let an engine prepare itself for the job's tiles."""
        engine.ready(
            (len(self.scene.bands), *self.plan.tile), self.scene.dtype,
            probabilities=self.probable, excluded=self.excluded,
        )  # fmt: skip

    @property
    def probable(self) -> bool:
        """Whether the engine is asked for probabilities, else for the best class alone."""
        return self.blend or bool(self.layers)

    def part(self, tile: Tile) -> Window:
        """What is taken from a tile."""
        return tile.window if self.blend else tile.core

    @property
    def cache(self) -> int:
        """Bytes for GDAL's blocks: the file's blocks under a row of cores, kept for the next."""
        columns = self.plan.group[1] * self.plan.core[1] + 2 * self.plan.padding
        under = row_bytes(self.scene, self.plan.core[0], columns)
        return min(max(under, _LEAST_CACHE), raster.GDAL_CACHE)


@dataclass(frozen=True)
class Done:
    """A block that is finished.

    Attributes:
        number: The block's.
        counts: Pixels of each class value in it; none where it is empty, and has no file.
    """

    number: int
    counts: Mapping[int, int]


def name_of(number: int) -> str:
    """A block's file name."""
    return f"{number:07d}.tif"


def row_bytes(scene: Scene, rows: int, columns: int) -> int:
    """Bytes of the file's blocks that a window meets at most."""
    (down, right), pixel = scene.stored, len(scene.bands) * np.dtype(scene.dtype).itemsize
    met = (-(-rows // down) + 1) * down, (-(-columns // right) + 1) * right
    return met[0] * met[1] * pixel


def run_blocks(job: Job, engine: Engine, numbers: Sequence[int]) -> Iterator[Done]:
    """Classify blocks; each is written and renamed into place before it is told of.

    Threads read ahead of the engine, the engine has always a batch waiting, and a thread
    finishes and writes blocks behind it; queues are bounded, and so is memory. Batches don't
    reach over blocks, so that a block's bytes don't depend on which others are run.

    Args:
        job: What decides the pixels.
        engine: The model.
        numbers: Numbers of the blocks.

    Yields:
        What was done, in order.
    """
    readers = _readers(job.scene)
    tiles = (tile for n in numbers for tile in job.tiles(job.plan.block(n)))
    writing: deque[Future[Done]] = deque()
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
                for made in _predicted(job, engine, engines, numbers, reads):
                    writing.append(writer.submit(_write, job, made))
                    while len(writing) > _BEHIND:
                        yield writing.popleft().result()
            except LandshiftError as error:
                failed = error  # what was predicted before is still written, and told of
            while writing:
                yield writing.popleft().result()
            if failed is not None:
                raise failed
        except BaseException:
            engines.shutdown(wait=False, cancel_futures=True)
            writer.shutdown(wait=False, cancel_futures=True)
            raise


def _readers(scene: Scene) -> int:
    """Threads that read: a few where each waits for a network, else one."""
    remote = any("://" in str(f) or str(f).startswith("/vsi") for f in scene.files)
    return 4 if remote else 1


class _Made:
    """A block while its tiles come in.

    Attributes:
        block: The block.
        empty: Whether no pixel of it is wanted so far.
        job: What it is part of.
    """

    def __init__(self, job: Job, block: Block) -> None:
        self.block = block
        self.empty = True
        self.job = job
        shape = (block.window.height, block.window.width)
        if job.blend:
            self._wanted = np.zeros(shape, np.bool_)
            self._sum = np.zeros((len(job.scheme), *shape), np.float32)
            self._weight = np.zeros(shape, np.float32)
        else:
            self._values = layering.nothing(shape, job.layers, job.scheme)

    def wants(self, tile: Tile, read: Read) -> bool:
        """Whether a tile has anything to say here."""
        return bool(read.wanted[self._of(tile)[1]].any())

    def place(self, tile: Tile, read: Read, found: NDArray[Any]) -> None:
        """Take over what a tile says, see `_predict`."""
        self.empty = False
        here, there = self._of(tile)
        job = self.job
        if job.layers and not job.blend:  # see `reduced`
            self._values[(slice(None), *here)] = found
            return
        wanted, found = read.wanted[there], found[(..., *there)]
        if job.blend:
            weight = tile_weights(job.plan)[there]
            self._wanted[here] = wanted
            self._sum[(slice(None), *here)] += found * weight
            self._weight[here] += weight
        else:
            self._values[(slice(None), *here)] = layering.from_codes(found, wanted, job.scheme)

    def reduced(self, tile: Tile, read: Read, found: NDArray[Any]) -> NDArray[np.uint8]:
        """The layers' bytes of what the block takes from a tile, of its probabilities."""
        there, job = self._of(tile)[1], self.job
        return layering.from_probabilities(
            found[(..., *there)], read.wanted[there], job.scheme, job.layers, job.excluded
        )

    def values(self) -> NDArray[np.uint8]:
        """The block's bands, once all its tiles were placed."""
        job = self.job
        if not job.blend:
            return self._values
        mean = (self._sum / np.maximum(self._weight, _TINY)).astype(np.float32, copy=False)
        return layering.from_probabilities(mean, self._wanted, job.scheme, job.layers, job.excluded)

    def _of(self, tile: Tile) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """What the block takes from a tile: by rows and columns of the block, and of the tile."""
        outer = self.block.window
        at = (
            self.job.part(tile)
            .shifted(-outer.row, -outer.column)
            .clipped(outer.height, outer.width)
        )
        there = at.shifted(outer.row - tile.window.row, outer.column - tile.window.column)
        return at.slices, there.slices


@lru_cache(maxsize=1)
def tile_weights(plan: Plan) -> NDArray[np.float32]:
    """Weights of a tile's pixels where tiles overlap: above 0 everywhere, 1 far from its edges.

    They rise in a straight line over the width in which neighbours overlap, so that those of two
    neighbours add up to 1.

    Args:
        plan: The tiles.
    """

    def along(length: int) -> NDArray[np.float32]:
        inwards = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
        return np.minimum(inwards / max(2 * plan.padding, 0.5), 1.0).astype(np.float32)

    return np.outer(along(plan.tile[0]), along(plan.tile[1]))


def _predicted(
    job: Job,
    engine: Engine,
    engines: ThreadPoolExecutor,
    numbers: Sequence[int],
    reads: Iterator[Read],
) -> Iterator[_Made]:
    """Blocks in order, their tiles predicted."""
    pending: deque[Any] = deque()  # batches in the engine, and blocks whose last batch is before

    def settle(most: int) -> Iterator[_Made]:
        while pending and (isinstance(pending[0], _Made) or len(pending) > most):
            first = pending.popleft()
            if isinstance(first, _Made):
                yield first
                continue
            made, batch, future = first
            for (tile, read), found in zip(batch, future.result(), strict=True):
                made.place(tile, read, found)

    def send(made: _Made, batch: list[tuple[Tile, Read]]) -> None:
        values, mask = _stacked([r.values for _, r in batch]), _stacked([r.mask for _, r in batch])
        pending.append((made, batch, engines.submit(_predict, engine, made, batch, values, mask)))

    for number in numbers:
        block = job.plan.block(number)
        made = _Made(job, block)
        batch: list[tuple[Tile, Read]] = []
        for tile in job.tiles(block):
            read = next(reads)
            if made.wants(tile, read):
                batch.append((tile, read))
            if len(batch) == job.batch_size:
                send(made, batch)
                batch = []
                yield from settle(engine.streams)
        if batch:
            send(made, batch)
        pending.append(made)
        yield from settle(engine.streams)
    yield from settle(0)


def _stacked(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    return np.stack(arrays) if len(arrays) > 1 else arrays[0][np.newaxis]  # without a copy


def _predict(
    engine: Engine,
    made: _Made,
    batch: Sequence[tuple[Tile, Read]],
    values: NDArray[Any],
    mask: NDArray[np.bool_],
) -> Iterable[NDArray[Any]]:
    """What each tile of a batch says.

    ``(row, column)`` indices of the best classes; ``(class, row, column)`` probabilities where
    tiles are blended; the bytes of the block's part where layers are wanted alone: the
    probabilities of one tile at a time are held, a hundred megabytes.
    """
    job = made.job
    if job.blend:
        return engine.predict(values, mask)
    if job.layers:
        told = zip(batch, engine.one_by_one(values, mask), strict=True)
        return [made.reduced(tile, read, found) for (tile, read), found in told]
    return engine.best(values, mask, excluded=job.excluded)


def _write(job: Job, made: _Made) -> Done:
    """Write a block's files, each whole and on the disk before it has its name."""
    number = made.block.number
    if made.empty:
        return Done(number, {})
    values = made.values()
    box = grid.window_geobox(job.scene.box, made.block.window)
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
    return Done(number, {v: int(counts[v]) for v in job.scheme.values if counts[v]})


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
    submit: Callable[[Tile], Future[Read]], tiles: Iterable[Tile], most: int
) -> Iterator[Read]:
    """What is read, in order; so many tiles are on the way."""
    waiting: deque[Future[Read]] = deque()
    for tile in tiles:
        waiting.append(submit(tile))
        if len(waiting) > most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@contextmanager
def _reading(job: Job, count: int) -> Iterator[Callable[[Tile], Future[Read]]]:
    """Threads that read tiles, each from a scene that it opened itself."""
    tasks: queue.SimpleQueue[tuple[Tile, Future[Read]] | None] = queue.SimpleQueue()
    stop = threading.Event()

    def work() -> None:
        task = tasks.get()
        try:
            with job.scene.opened(job.cache) as read:
                while task is not None and not stop.is_set():
                    tile, future = task
                    future.set_result(read(tile.window, job.part(tile)))
                    task = tasks.get()
        except BaseException as error:  # it is raised again where the result is waited for
            while task is not None:
                if not task[1].done():
                    task[1].set_exception(error)
                task = tasks.get()

    def submit(tile: Tile) -> Future[Read]:
        future: Future[Read] = Future()
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
