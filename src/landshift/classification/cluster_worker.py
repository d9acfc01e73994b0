"""The worker's side of a dask cluster: what runs on each of its workers.

A worker checks that it sees the same files and has the same model as the client before it
classifies any block.
"""

from __future__ import annotations

import asyncio
import platform
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from landshift.classification.blocks import BlockJob, FinishedBlock, run_blocks
from landshift.classification.scene import InputScene
from landshift.classification.workers import EngineRecipe, EngineTraits
from landshift.engine import Engine, opened
from landshift.engine.described import digest_of
from landshift.errors import (
    ClusterError,
    LandshiftError,
    OutOfMemoryError,
    refuse_out_of_memory,
)
from landshift.files import provenance
from landshift.grid import Window

_CACHE = 32 << 20  # bytes for GDAL's blocks


@dataclass(frozen=True)
class ClusterTask:
    """The inputs of a map, as all workers must see them.

    Attributes:
        recipe: Recipe of a worker's engine, from a saved model.
        weights: SHA-256 of that model's weights.
        scene: Input of the map, by paths that hold on any machine.
        folder: Folder of the map.
    """

    recipe: EngineRecipe
    weights: str
    scene: InputScene
    folder: Path


@dataclass(frozen=True)
class WorkerReport:
    """A worker's report on itself.

    Attributes:
        traits: Traits of its engine.
        processor: Name of its machine's processor.
    """

    traits: EngineTraits
    processor: str


class Unprepared:
    """A worker's answer when it is asked for a block before it was prepared."""


def version_reporter(packages: Sequence[str]) -> Callable[[], dict[str, str | None]]:
    """A function that reports versions, sent as code: a worker may lack this module."""

    def report_versions() -> dict[str, str | None]:
        from importlib.metadata import PackageNotFoundError, version

        import landshift

        versions: dict[str, str | None] = {"landshift": landshift.__version__}
        for name in packages:
            try:
                versions[name] = version(name)
            except PackageNotFoundError:
                versions[name] = None
        return versions

    return report_versions


async def report(
    task: ClusterTask, fingerprints: Mapping[Path, str], probe: Path, dask_worker: Any
) -> WorkerReport | Exception:
    """Check that this worker can compute a task.

    Args:
        task: The task.
        fingerprints: Fingerprints of the files that are read.
        probe: A file that the client wrote into the map's folder.
        dask_worker: The worker, from dask.

    Returns:
        The report; or the error that keeps this worker from the task.
    """
    threads = dask_worker.state.nthreads
    try:
        return await asyncio.to_thread(_checked, task, fingerprints, probe, threads)
    except Exception as error:
        return portable_error(error)


async def prepare(key: str, job: BlockJob, task: ClusterTask, dask_worker: Any) -> Exception | None:
    """Make the engine and keep the job under its key; the error if that fails."""
    try:
        await asyncio.to_thread(_take_up, key, job, task, dask_worker.state.nthreads)
    except Exception as error:
        return portable_error(error)
    return None


def classify_block(key: str, number: int) -> FinishedBlock | LandshiftError | Unprepared:
    """Classify one block of the job under a key."""
    with _turn:
        if key not in _jobs:
            return Unprepared()
        job, engine = _jobs[key]
        try:
            (block,) = run_blocks(job, engine, [number])
        except Exception as error:
            return portable_error(error)
        return block


async def forget(key: str) -> None:
    """Drop the job under a key, and the engine."""
    if _jobs.pop(key, None) is not None:
        _engine.cache_clear()


def portable_error(error: Exception) -> LandshiftError:
    """An exception as one of landshift's, without its cause, which may not be picklable."""
    if isinstance(error, LandshiftError):
        return type(error)(str(error))
    try:
        refuse_out_of_memory(error)
    except OutOfMemoryError as named:
        return OutOfMemoryError(str(named))
    return ClusterError(
        f"A worker must be able to compute its blocks, got {type(error).__name__}: {error}"
    )


_turn = threading.Lock()  # a worker computes one block at a time, with all its threads
_jobs: dict[str, tuple[BlockJob, Engine]] = {}  # the job of this worker, by its key


def _checked(
    task: ClusterTask, fingerprints: Mapping[Path, str], probe: Path, threads: int
) -> WorkerReport:
    try:
        probe.read_bytes()
        with tempfile.TemporaryFile(dir=probe.parent):
            pass
    except OSError as error:
        raise ClusterError(
            f"Every worker must see and write the map's folder, {probe.parent}, got "
            f"'{error.strerror}'; mount the same storage there."
        ) from error
    for path, fingerprint in fingerprints.items():
        if not path.is_file() or provenance.fingerprint(path) != fingerprint:
            raise ClusterError(
                f"Every worker must see the same input, {path}, got "
                f"{'another file' if path.is_file() else 'none'}; mount the same storage there."
            )
    with task.scene.opened(_CACHE) as read:
        read(Window(0, 0, 1, 1))
    with _turn:
        engine = _engine(task.recipe, task.weights, threads)
    return WorkerReport(EngineTraits.of(engine), _processor())


def _processor() -> str:
    """Name of this machine's processor."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


def _take_up(key: str, job: BlockJob, task: ClusterTask, threads: int) -> None:
    with _turn:
        _jobs.clear()
        engine = _engine(task.recipe, task.weights, threads)
        job.make_ready(engine)
        _jobs[key] = job, engine


@lru_cache(maxsize=1)
def _engine(recipe: EngineRecipe, weights: str, threads: int) -> Engine:
    """The engine of this worker, made once."""
    assert isinstance(recipe.model, Path), "models come to workers as files"
    model = opened(recipe.model, recipe.engine, device=recipe.device, precision=recipe.precision)
    if digest_of(model) != weights:
        raise ClusterError(
            f"Every worker must see the same model, {recipe.model}, got another one; "
            "mount the same storage there."
        )
    return replace(recipe, model=model).make(threads)
