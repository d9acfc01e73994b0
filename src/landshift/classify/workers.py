"""Blocks spread over processes, each with the model loaded once."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from landshift.classify.blocks import Job, run_blocks
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
        model: The model.
        engine: ``torch`` or ``openvino``.
        device: Where it computes.
        precision: ``float32``, ``bfloat16`` or ``int8``.
        quantised: The int8 graph, if that is the precision.
        turns: Whether each tile is seen in its eight flips and turns.
    """

    model: ChangeModel | Prepared
    engine: str
    device: str
    precision: str
    quantised: Path | None
    turns: bool

    def make(self, threads: int | None = None) -> Engine:
        """The engine."""
        chosen = choose_engine(
            self.model, self.engine, device=self.device, precision=self.precision,
            quantised=self.quantised, threads=threads,
        )  # fmt: skip
        return TurningEngine(chosen) if self.turns else chosen


def run_in_processes(
    job: Job, recipe: Recipe, numbers: Sequence[int], workers: int
) -> Iterator[tuple[int, bool]]:
    """Classify blocks in several processes, which share the cores.

    Args:
        job: What decides the pixels.
        recipe: How each makes its engine.
        numbers: Numbers of the blocks.
        workers: Processes.

    Yields:
        As `run_blocks`, in the order in which they are done.

    Raises:
        OutputError: A process ended before its block was done.
    """
    threads = max(1, (os.cpu_count() or 1) // workers)
    with ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _prepare, (job, recipe, threads)
    ) as pool:
        try:
            for done in as_completed([pool.submit(_run, n) for n in numbers]):
                yield done.result()
        except BrokenProcessPool as error:
            raise OutputError(
                "A worker must live until its blocks are done, got one that ended early (killed, "
                "or short of memory); run again to take up where it ended, or with fewer workers."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


_own: tuple[Job, Engine]  # of this process


def _prepare(job: Job, recipe: Recipe, threads: int) -> None:
    global _own
    if recipe.engine == "torch":
        import torch

        torch.set_num_threads(threads)
    _own = job, recipe.make(threads)


def _run(number: int) -> tuple[int, bool]:
    job, engine = _own
    (done,) = run_blocks(job, engine, [number], readers=1)
    return done
