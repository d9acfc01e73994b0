"""The workers of a dask cluster, which see the same files as this process."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import tempfile
import threading
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from landshift.classification.blocks import Done, Job, run_blocks
from landshift.classification.scene import Scene
from landshift.classification.workers import Recipe, Traits
from landshift.engine import Engine, opened
from landshift.engine.described import digest_of
from landshift.errors import (
    ClusterError,
    LandshiftError,
    OutOfMemoryError,
    ParameterError,
    refuse_out_of_memory,
)
from landshift.files import containers, provenance, whole
from landshift.grid import Window
from landshift.machine.extras import required

log = logging.getLogger(__name__)

LOCAL = "local"
"""The name that stands for a cluster of this machine, made for one run."""

_ALIKE = ("torch", "openvino", "rasterio", "numpy")  # what decides bytes, beside landshift itself
_AHEAD = 2  # blocks that a worker has: one at work, one that waits
_TRIES = 3  # workers on which a block may fail before the run does
_LOSSES = 4  # workers that may be lost with a block of theirs
_PATIENCE = 600.0  # seconds to wait for a worker
_POLL = 0.5  # seconds between looks at who is there
_CACHE = 32 << 20  # bytes for GDAL's blocks


@dataclass(frozen=True)
class Task:
    """What a cluster works at, as all of its workers must see it.

    Attributes:
        recipe: How a worker makes its engine, from a saved model.
        weights: Digest of that model's weights.
        scene: What is classified, by paths that hold on any machine.
        folder: Where the map will lie.
    """

    recipe: Recipe
    weights: str
    scene: Scene
    folder: Path


@dataclass(frozen=True)
class Report:
    """What a worker says of itself.

    Attributes:
        traits: What its engine is.
        processor: The name of its machine's processor.
    """

    traits: Traits
    processor: str


@contextmanager
def cluster(
    scheduler: str, task: Task, *, workers: int = 1, patience: float = _PATIENCE
) -> Iterator[Cluster]:
    """A cluster whose workers were looked at, and are alike.

    Args:
        scheduler: Address of a dask scheduler, ``tcp://host:port``; or `LOCAL`.
        task: What it is to work at.
        workers: How many workers must be there to begin; of a local cluster how many there are.
        patience: Seconds to wait for them, and later for any worker at all.

    Raises:
        ParameterError: dask isn't installed, or what isn't an address.
        ClusterError: The scheduler doesn't answer; too few workers; one that sees other files
            or computes otherwise than the rest.
        LandshiftError: What a worker says that can't read the model or the scene.
    """
    distributed = _import_distributed()
    if scheduler != LOCAL and "://" not in scheduler:
        raise ParameterError(
            f"The scheduler must be an address, tcp://HOST:PORT, or {LOCAL!r}, got {scheduler!r}."
        )
    with ExitStack() as stack:
        where: Any = scheduler
        if scheduler == LOCAL:
            threads = max(1, (os.cpu_count() or 1) // workers)
            where = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers, threads_per_worker=threads, host="127.0.0.1",
                    dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL,
                )
            )  # fmt: skip
        try:
            limit = _answer_limit()
            if scheduler != LOCAL:
                _greet(scheduler, limit)
            client = distributed.Client(
                where, timeout=limit, set_as_default=False, name="landshift"
            )
            stack.callback(client.close)
            there = len(client.nthreads())
            if there < workers:
                log.warning(
                    "Waiting for %d workers at %s, %d have joined.", workers, scheduler, there
                )
                client.wait_for_workers(workers, timeout=patience)
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"A scheduler with {workers} workers must answer, got '{error}' from {scheduler}; "
                "check the address and that workers have joined it."
            ) from error
        yield Cluster(client, task, patience)


def _answer_limit() -> float:
    """Seconds within which a scheduler must answer: dask's own setting, 30 by default."""
    import dask

    setting = dask.config.get("distributed.comm.timeouts.connect")
    return float(dask.utils.parse_timedelta(setting, default="seconds"))


def _greet(scheduler: str, limit: float) -> None:
    """Check that what listens at an address greets as dask's schedulers do.

    A client waits without end for the greeting of one that takes the connection and stays silent.

    Raises:
        OSError: Nothing listens there, or it says nothing in time.
    """
    distributed = _import_distributed()

    async def greet() -> None:
        options = distributed.Security().get_connection_args("client")
        comm = await distributed.comm.connect(scheduler, timeout=limit, **options)
        comm.abort()

    async def in_time() -> None:
        try:
            await asyncio.wait_for(greet(), limit)
        except TimeoutError as error:
            raise TimeoutError(f"no answer within {limit:g} s") from error

    with ThreadPoolExecutor(1) as pool:  # a notebook's thread has a loop of its own
        pool.submit(asyncio.run, in_time()).result()


def _import_distributed() -> Any:
    return required("distributed", "cluster", "A scheduler", instead="use workers alone")


class Cluster:
    """The workers of a cluster; see `landshift.classification.workers.Workers`.

    Args:
        client: A client of its scheduler.
        task: What it is to work at.
        patience: Seconds to wait for a worker where there is none.
    """

    def __init__(self, client: Any, task: Task, patience: float) -> None:
        self.client, self.patience = client, patience
        self._task = task
        self._known: set[str] = set()
        self._processors: set[str] = set()
        reports = self._reports(self.present)
        for report in reports.values():
            if isinstance(report, Exception):
                raise report
        if not reports:
            raise ClusterError("A cluster must keep a worker, got all lost while they were asked.")
        self.traits = next(r.traits for r in reports.values() if isinstance(r, Report))
        self._known = self._alike(reports)

    def forget(self, worker: str) -> None:
        """Look at a worker anew before it gets blocks again."""
        self._known.discard(worker)

    @property
    def present(self) -> list[str]:
        """Addresses of the workers that are there."""
        return list(self.client.nthreads())

    def run(self, job: Job, numbers: Sequence[int]) -> Iterator[Done]:
        """See `landshift.classification.workers.Workers`.

        Raises:
            ClusterError: The scheduler is lost, there is no worker for long, or several were
                lost with the same block.
            LandshiftError: What a block failed with on every worker that tried it.
        """
        round_ = _Round(self, job, numbers)
        try:
            yield from round_.done()
        except LandshiftError:
            raise
        except (OSError, CancelledError, asyncio.CancelledError) as error:
            raise ClusterError(
                f"The scheduler must live until the map is whole, got '{error or 'no answer'}'; "
                "start it and run again to take up where it ended."
            ) from error
        finally:
            round_.end()

    def prepare(self, workers: list[str], key: str, job: Job) -> set[str]:
        """Make workers ready for a job; one that isn't fit is told of, and gets no blocks.

        Returns:
            Those that are ready.
        """
        self._known |= self._alike(self._reports([w for w in workers if w not in self._known]))
        fit = [w for w in workers if w in self._known]
        told = self.call(_prepare, key, job, self._task, workers=fit)
        for worker, error in told.items():
            if error is not None:
                log.warning("A worker gets no blocks: %s [worker %s]", error, worker)
        return {w for w, error in told.items() if error is None}

    def _reports(self, workers: list[str]) -> dict[str, Report | Exception]:
        """What workers say of themselves, or what keeps them from the task; of those that stay."""
        versions, own = self.call(_asker(_ALIKE), workers=workers), _asker(_ALIKE)()
        found: dict[str, Report | Exception] = {}
        for worker, told in versions.items():
            names = list(own) if isinstance(told, Exception) else [
                k for k in own if told.get(k) != own[k]
            ]  # fmt: skip
            if names:
                got = f"'{told}'" if isinstance(told, Exception) else _listed(told, names)
                found[worker] = ClusterError(
                    f"Every worker must have what is installed here ({_listed(own, names)}), got "
                    f"{got} at {worker}; install the same there."
                )
        rest = [w for w in versions if w not in found]
        probe = self._task.folder / f".landshift-{uuid.uuid4().hex}"
        with whole.whole_file(probe) as part:
            part.touch()
        try:
            told = self.call(_report, self._task, _prints(self._task), probe, workers=rest)
        finally:
            probe.unlink(missing_ok=True)
        found |= {worker: _named(report, worker) for worker, report in told.items()}
        present = self.present
        return {worker: report for worker, report in found.items() if worker in present}

    def _alike(self, reports: Mapping[str, Report | Exception]) -> set[str]:
        """Those workers that compute as the first ones; of the others is told.

        Raises:
            ClusterError: One of the first ones computes otherwise.
        """
        fit = set()
        for worker, report in reports.items():
            error: object = report
            if isinstance(report, Report):
                error = ClusterError(
                    f"All workers must compute alike ({_told(self.traits)}), got "
                    f"{_told(report.traits)} at {worker}; name engine, device and precision, or "
                    "let only workers of one kind join."
                )
                if report.traits == self.traits:
                    fit.add(worker)
                    self._tell_of(report.processor, worker)
                    continue
                if not self._known:
                    raise error
            log.warning("A worker gets no blocks: %s", error)
        return fit

    def _tell_of(self, processor: str, worker: str) -> None:
        """Warn of a processor that others don't have, once."""
        if self._processors and processor not in self._processors:
            log.warning(
                "Workers have different processors (%s, and %s at %s): pixels where two classes "
                "are all but equal may depend on who does them.",
                ", ".join(sorted(self._processors)), processor, worker,
            )  # fmt: skip
        self._processors.add(processor)

    def call(
        self, function: Callable[..., Any], *arguments: Any, workers: list[str]
    ) -> dict[str, Any]:
        """What a function gives on each worker, or the exception it ends in there."""
        if not workers:
            return {}
        found: dict[str, Any] = self.client.run(
            function, *arguments, workers=workers, on_error="return"
        )
        return found


class _Round:
    """Blocks handed out to workers, until all are done.

    A worker gets its next block when it is done with one. Blocks of a worker that was lost, or on
    which they failed, go to others.

    Args:
        cluster: The workers.
        job: What decides the pixels.
        numbers: Numbers of the blocks.
    """

    def __init__(self, cluster: Cluster, job: Job, numbers: Sequence[int]) -> None:
        self._cluster, self._job = cluster, job
        self._key = uuid.uuid4().hex
        self._waiting = deque(numbers)
        self._given: dict[str, dict[Any, int]] = {}  # of each worker that is ready
        self._unfit: set[str] = set()
        self._failed: dict[int, dict[str, Exception]] = defaultdict(dict)
        self._lost: Counter[int] = Counter()
        self._looked = self._seen = 0.0  # when we last looked who is there, and saw someone
        self._error: Exception | None = None  # what ends the round once running blocks are done

    def done(self) -> Iterator[Done]:
        """Each block when it is done."""
        self._seen = time.monotonic()
        while (self._waiting and self._error is None) or any(self._given.values()):
            self._look()
            if self._error is None:
                self._hand_out()
            for worker, number, outcome in self._finished():
                found = self._settled(worker, number, outcome)
                if found is not None:
                    yield found
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """Take back what was handed out, and let workers forget the job."""
        futures = [f for given in self._given.values() for f in given]
        try:
            self._cluster.client.cancel(futures)
            self._cluster.call(_forget, self._key, workers=list(self._given))
        except (
            OSError,
            CancelledError,
            asyncio.CancelledError,
        ):  # no scheduler: nothing left to take back
            log.debug("The scheduler can't be told that the round is over.")

    def _look(self) -> None:
        """See who is there; take back the blocks of those who aren't, make newcomers ready."""
        now = time.monotonic()
        if now - self._looked < _POLL:
            return
        self._looked = now
        present = self._cluster.present
        for worker in [w for w in self._given if w not in present]:
            self._lose(worker)
        self._unfit &= set(present)
        new = [w for w in present if w not in self._given and w not in self._unfit]
        ready = self._cluster.prepare(new, self._key, self._job) if new else set()
        self._given |= {worker: {} for worker in ready}
        self._unfit |= set(new) - ready
        if self._given:
            self._seen = time.monotonic()
        elif now - self._seen > self._cluster.patience:
            raise ClusterError(
                f"Blocks need a worker, got none for {self._cluster.patience:.0f} s; start workers "
                "and run again to take up where it ended."
            )

    def _lose(self, worker: str) -> None:
        """Take back the blocks of a worker that is gone."""
        log.warning("Worker %s was lost; its blocks go to others.", worker)
        for number in self._take_back(worker):
            self._lost[number] += 1
            if self._lost[number] >= _LOSSES:
                self._error = ClusterError(
                    f"A block must be done by some worker, got {_LOSSES} lost at block {number} "
                    "(killed, or short of memory); give them more memory, and run again to take "
                    "up where it ended."
                )

    def _take_back(self, worker: str) -> list[int]:
        """Take back the blocks of a worker, which must be made ready before it gets others."""
        taken = self._given.pop(worker)
        self._cluster.forget(worker)
        self._cluster.client.cancel(list(taken))
        self._waiting.extendleft(taken.values())
        return list(taken.values())

    def _hand_out(self) -> None:
        for depth in range(1, _AHEAD + 1):  # each its first before any its second
            for worker, given in self._given.items():
                if len(given) < depth:
                    number = self._next_for(worker)
                    if number is not None:
                        future = self._cluster.client.submit(
                            _run, self._key, number, workers=[worker], pure=False
                        )
                        given[future] = number
        if self._given and self._waiting and not any(self._given.values()):
            failures = self._failed[self._waiting[0]]  # no one is left who hasn't tried it
            worker, error = next(iter(failures.items()))
            self._error = _named(error, worker)

    def _next_for(self, worker: str) -> int | None:
        """The next block that didn't fail on this worker."""
        for _ in range(len(self._waiting)):
            number = self._waiting.popleft()
            if worker not in self._failed.get(number, ()):
                return number
            self._waiting.append(number)
        return None

    def _finished(self) -> list[tuple[str, int, Any]]:
        """Whose blocks ended, and how; waits for one, but not for long."""
        futures = [f for given in self._given.values() for f in given]
        if not futures:
            time.sleep(_POLL)
            return []
        try:
            with self._cluster.client.as_current():
                _import_distributed().wait(futures, timeout=_POLL, return_when="FIRST_COMPLETED")
        except TimeoutError:
            return []
        return [
            (worker, given.pop(future), _outcome(future))
            for worker, given in self._given.items()
            for future in [f for f in given if f.done()]
        ]

    def _settled(self, worker: str, number: int, outcome: Any) -> Done | None:
        """A block that is done; None where it goes to another worker."""
        if isinstance(outcome, Done):
            if not outcome.counts or self._job.holds(number):
                return outcome
            outcome = ClusterError(
                f"Every worker must write to the folder that is seen here, {self._job.folder}, got "
                f"block {number} written elsewhere; mount the same storage there."
            )
        self._waiting.appendleft(number)
        if isinstance(outcome, _Unprepared):  # it began anew, at the same address
            if worker in self._given:
                self._take_back(worker)
            return None
        failures = self._failed[number]
        failures[worker] = outcome
        if len(failures) >= _TRIES or not set(self._given) - set(failures):
            self._error = _named(outcome, worker)
        else:
            log.warning("Block %d goes to another worker: %s [%s]", number, outcome, worker)
        return None


def _outcome(future: Any) -> Any:
    try:
        return future.result()
    except CancelledError:  # the scheduler is lost
        raise
    except Exception as error:  # dask's own: a task that outlived its workers, and the like
        return _ours(error)


def _ours(error: Exception) -> LandshiftError:
    """An exception as one of ours, without what made it: that may be beyond pickling."""
    if isinstance(error, LandshiftError):
        return type(error)(str(error))
    try:
        refuse_out_of_memory(error)
    except OutOfMemoryError as named:
        return OutOfMemoryError(str(named))
    return ClusterError(
        f"A worker must be able to do its part, got {type(error).__name__}: {error}"
    )


def _named(told: Any, worker: str) -> Any:
    """What a worker said; an exception with the worker's name."""
    if isinstance(told, Exception):
        error = _ours(told)
        return type(error)(f"{error} [worker {worker}]")
    return told


def _listed(versions: Mapping[str, str | None], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {versions[name] or 'not at all'}" for name in names)


def _told(traits: Traits) -> str:
    return f"{traits.name}, {traits.precision} on {traits.device}"


def _prints(task: Task) -> dict[Path, str]:
    """Fingerprints of the files that are read."""
    files = {containers.file_of(f) for f in task.scene.files}
    return {f: provenance.fingerprint(f) for f in sorted(files) if f.is_file()}


# ---- What runs on workers


def _asker(packages: Sequence[str]) -> Callable[[], dict[str, str | None]]:
    """A function that tells versions, sent as code: a worker may lack this module, or another."""

    def ask() -> dict[str, str | None]:
        from importlib.metadata import PackageNotFoundError, version

        import landshift

        found: dict[str, str | None] = {"landshift": landshift.__version__}
        for name in packages:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                found[name] = None
        return found

    return ask


async def _report(
    task: Task, prints: Mapping[Path, str], probe: Path, dask_worker: Any
) -> Report | Exception:
    try:
        return await asyncio.to_thread(_look, task, prints, probe, dask_worker.state.nthreads)
    except Exception as error:
        return _ours(error)


def _look(task: Task, prints: Mapping[Path, str], probe: Path, threads: int) -> Report:
    try:
        probe.read_bytes()
        with tempfile.TemporaryFile(dir=probe.parent):
            pass
    except OSError as error:
        raise ClusterError(
            f"Every worker must see and write the map's folder, {probe.parent}, got "
            f"'{error.strerror}'; mount the same storage there."
        ) from error
    for path, fingerprint in prints.items():
        if not path.is_file() or provenance.fingerprint(path) != fingerprint:
            raise ClusterError(
                f"Every worker must see the same input, {path}, got "
                f"{'another file' if path.is_file() else 'none'}; mount the same storage there."
            )
    with task.scene.opened(_CACHE) as read:
        read(Window(0, 0, 1, 1))
    with _turn:
        engine = _engine(task.recipe, task.weights, threads)
    return Report(Traits.of(engine), _processor())


def _processor() -> str:
    """The name of this machine's processor."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


_turn = threading.Lock()  # a worker does one block at a time, with all its threads
_own: dict[str, tuple[Job, Engine]] = {}  # the job of this worker, by its round


async def _prepare(key: str, job: Job, task: Task, dask_worker: Any) -> Exception | None:
    try:
        await asyncio.to_thread(_take_up, key, job, task, dask_worker.state.nthreads)
    except Exception as error:
        return _ours(error)
    return None


def _take_up(key: str, job: Job, task: Task, threads: int) -> None:
    with _turn:
        _own.clear()
        engine = _engine(task.recipe, task.weights, threads)
        job.make_ready(engine)
        _own[key] = job, engine


@lru_cache(maxsize=1)
def _engine(recipe: Recipe, weights: str, threads: int) -> Engine:
    """The engine of this worker, made once."""
    assert isinstance(recipe.model, Path), "models come to workers as files"
    model = opened(recipe.model, recipe.engine, device=recipe.device, precision=recipe.precision)
    if digest_of(model) != weights:
        raise ClusterError(
            f"Every worker must see the same model, {recipe.model}, got another one; "
            "mount the same storage there."
        )
    return replace(recipe, model=model).make(threads)


async def _forget(key: str) -> None:
    if _own.pop(key, None) is not None:
        _engine.cache_clear()


class _Unprepared:
    """What a worker says that was asked for a block before it was made ready."""


def _run(key: str, number: int) -> Done | LandshiftError | _Unprepared:
    with _turn:
        if key not in _own:
            return _Unprepared()
        job, engine = _own[key]
        try:
            (done,) = run_blocks(job, engine, [number])
        except Exception as error:
            return _ours(error)
        return done
