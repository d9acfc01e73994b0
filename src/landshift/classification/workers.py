"""Who does the blocks of a job: this process, or several of this machine."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from landshift.classification.blocks import Done, Job, run_blocks
from landshift.engine import Engine, choose_engine
from landshift.engine.prepared import Prepared
from landshift.engine.turning import TurningEngine
from landshift.errors import OutputError

if TYPE_CHECKING:
    from landshift.models import ChangeModel


@dataclass(frozen=True)
class Recipe:
    """How a process makes its engine.

    Attributes:
        model: The model; or where it is saved, for those who load it themselves.
        engine: ``auto``, ``torch`` or ``openvino``.
        device: Where it computes.
        precision: ``auto``, ``float32``, ``bfloat16`` or ``int8``.
        quantised: The int8 graph, if that is the precision.
        turns: Whether each tile is seen in its eight flips and turns.
    """

    model: ChangeModel | Prepared | Path
    engine: str
    device: str
    precision: str
    quantised: Path | None
    turns: bool

    def make(self, threads: int | None = None) -> Engine:
        """The engine, once the model is loaded.

        Args:
            threads: Threads that it computes with; None: as many as there are cores.
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
class Traits:
    """What of an engine decides the plan and the pixels; see `Engine`.

    Attributes:
        name: ``torch`` or ``openvino``.
        device: Where it computes.
        precision: ``float32``, ``bfloat16`` or ``int8``.
        core: Rows and columns that a tile keeps at most where the user names no tile size.
        batch_size: Tiles at once where the user names no number.
    """

    name: str
    device: str
    precision: str
    core: int
    batch_size: int

    @classmethod
    def of(cls, engine: Engine) -> Traits:
        """The traits of an engine."""
        return cls(engine.name, engine.device, engine.precision, engine.core, engine.batch_size)


class Workers(Protocol):
    """Who does the blocks."""

    @property
    def traits(self) -> Traits:
        """What their engines are, each like the others."""

    def run(self, job: Job, numbers: Sequence[int]) -> Iterator[Done]:
        """Classify blocks.

        Args:
            job: What decides the pixels.
            numbers: Numbers of the blocks.

        Yields:
            Each block when its files are whole, in any order.
        """


class Here:
    """This process.

    Args:
        recipe: How it makes its engine.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._engine = recipe.make()
        self.traits = Traits.of(self._engine)

    def run(self, job: Job, numbers: Sequence[int]) -> Iterator[Done]:
        """See `Workers`."""
        job.make_ready(self._engine)
        return run_blocks(job, self._engine, numbers)


class Processes:
    """Several processes of this machine, which share its cores.

    Args:
        recipe: How each makes its engine.
        count: How many.
    """

    def __init__(self, recipe: Recipe, count: int) -> None:
        self.traits = Traits.of(recipe.make())
        self._count = count
        self._recipe = Recipe(
            recipe.model, self.traits.name, self.traits.device, self.traits.precision,
            recipe.quantised, recipe.turns,
        )  # fmt: skip

    def run(self, job: Job, numbers: Sequence[int]) -> Iterator[Done]:
        """See `Workers`.

        Raises:
            OutputError: A process ended before its block was done.
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
                    "A worker must live until its blocks are done, got one that ended early "
                    "(killed, or short of memory); run again to take up where it ended, or with "
                    "fewer workers."
                ) from error
            finally:
                pool.shutdown(cancel_futures=True)


_own: tuple[Job, Engine]  # of this process


def _prepare(job: Job, recipe: Recipe, threads: int) -> None:
    global _own
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _own = job, recipe.make(threads)
    job.make_ready(_own[1])


def _end_with_parent() -> None:
    """End with the process that started this one, which when killed can't tell."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _run(number: int) -> Done:
    job, engine = _own
    (done,) = run_blocks(job, engine, [number])
    return done
