"""Workers that classify the blocks of a job: this process, or several local processes."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from landshift.classification.blocks import BlockJob, FinishedBlock, run_blocks
from landshift.engine import Engine, choose_engine
from landshift.engine.prepared import Prepared
from landshift.engine.turning import TurningEngine
from landshift.errors import OutputError
from landshift.machine import progress

if TYPE_CHECKING:
    from landshift.models import ChangeModel


@dataclass(frozen=True)
class EngineRecipe:
    """What a process needs to make its engine.

    Attributes:
        model: The model; or the path of a saved one, which the process loads.
        engine: ``auto``, ``torch`` or ``openvino``.
        device: Device that computes.
        precision: ``auto``, ``float32``, ``bfloat16`` or ``int8``.
        quantised: The int8 graph, for that precision.
        turns: Whether each tile is predicted in its eight flips and rotations.
    """

    model: ChangeModel | Prepared | Path
    engine: str
    device: str
    precision: str
    quantised: Path | None
    turns: bool

    def make(self, threads: int | None = None) -> Engine:
        """Make the engine of a loaded model.

        Args:
            threads: Threads that it computes with; None: one per core.
        """
        assert not isinstance(self.model, Path)
        chosen = choose_engine(
            self.model, self.engine, device=self.device, precision=self.precision,
            quantised=self.quantised, threads=threads,
        )  # fmt: skip
        if threads is not None and chosen.name == "torch":
            import torch

            torch.set_num_threads(threads)
        return TurningEngine(chosen) if self.turns else chosen


@dataclass(frozen=True)
class EngineTraits:
    """Properties of an engine that determine the plan and the pixels; see `Engine`.

    Attributes:
        name: ``torch`` or ``openvino``.
        device: Device that computes.
        precision: ``float32``, ``bfloat16`` or ``int8``.
        core: Largest rows and columns of a tile's core, if the user gives no tile size.
        batch_size: Tiles per call, if the user gives no number.
    """

    name: str
    device: str
    precision: str
    core: int
    batch_size: int

    @classmethod
    def of(cls, engine: Engine) -> EngineTraits:
        """The traits of an engine."""
        return cls(engine.name, engine.device, engine.precision, engine.core, engine.batch_size)


class Workers(Protocol):
    """Processes that classify blocks."""

    @property
    def traits(self) -> EngineTraits:
        """Traits of the workers' engines, the same for all."""

    def run(self, job: BlockJob, numbers: Sequence[int]) -> Iterator[FinishedBlock]:
        """Classify blocks.

        Args:
            job: The inputs and options.
            numbers: Numbers of the blocks.

        Yields:
            Each block once its files are complete, in any order.
        """


class ThisProcess:
    """This process.

    Args:
        recipe: Recipe of its engine.
    """

    def __init__(self, recipe: EngineRecipe) -> None:
        with progress.step("preparing the engine"):
            self._engine = recipe.make()
        self.traits = EngineTraits.of(self._engine)

    def run(self, job: BlockJob, numbers: Sequence[int]) -> Iterator[FinishedBlock]:
        """See `Workers`."""
        with progress.step("preparing the engine"):
            job.make_ready(self._engine)
        return run_blocks(job, self._engine, numbers)


class LocalProcesses:
    """Several processes of this machine, which share its cores.

    Args:
        recipe: Recipe of each process's engine.
        count: Number of processes.
    """

    def __init__(self, recipe: EngineRecipe, count: int) -> None:
        self.traits = EngineTraits.of(recipe.make())
        self._count = count
        self._recipe = replace(
            recipe, engine=self.traits.name, device=self.traits.device,
            precision=self.traits.precision,
        )  # fmt: skip

    def run(self, job: BlockJob, numbers: Sequence[int]) -> Iterator[FinishedBlock]:
        """See `Workers`.

        Raises:
            OutputError: A process ended before its block was finished.
        """
        threads = max(1, (os.cpu_count() or 1) // self._count)
        with ProcessPoolExecutor(
            self._count, multiprocessing.get_context("spawn"), _prepare,
            (job, self._recipe, threads),
        ) as pool:  # fmt: skip
            try:
                for done in as_completed([pool.submit(_run, n) for n in numbers]):
                    yield done.result()
            except BrokenProcessPool as error:
                raise OutputError(
                    "A worker must run until its blocks are finished, got one that ended early "
                    "(killed, or short of memory); run again to continue, or use fewer workers."
                ) from error
            finally:
                pool.shutdown(cancel_futures=True)


_own: tuple[BlockJob, Engine]  # of this process


def _prepare(job: BlockJob, recipe: EngineRecipe, threads: int) -> None:
    global _own
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _own = job, recipe.make(threads)
    job.make_ready(_own[1])


def _end_with_parent() -> None:
    """End when the parent process ends; a killed parent can't end its children."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _run(number: int) -> FinishedBlock:
    job, engine = _own
    (done,) = run_blocks(job, engine, [number])
    return done
