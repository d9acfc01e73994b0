"""The client's side of a dask cluster: workers are checked, and blocks are handed out to them."""

from __future__ import annotations

import asyncio
import logging
import os
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from landshift.classification import cluster_worker
from landshift.classification.blocks import BlockJob, FinishedBlock
from landshift.classification.cluster_worker import (
    ClusterTask,
    Unprepared,
    WorkerReport,
    portable_error,
)
from landshift.classification.workers import EngineTraits
from landshift.errors import ClusterError, LandshiftError, ParameterError
from landshift.files import containers, provenance, whole
from landshift.machine.extras import required

log = logging.getLogger(__name__)

LOCAL = "local"
"""Scheduler name for a cluster on this machine, started for one run."""

_ALIKE = ("torch", "openvino", "rasterio", "numpy")  # packages that affect a map's bytes
_AHEAD = 2  # blocks that a worker has: one in progress, one waiting
_TRIES = 3  # workers on which a block may fail before the run does
_LOSSES = 4  # workers that may be lost with the same block
_PATIENCE = 600.0  # seconds to wait for a worker
_POLL = 0.5  # seconds between checks of the present workers


@contextmanager
def cluster(
    scheduler: str, task: ClusterTask, *, workers: int = 1, patience: float = _PATIENCE
) -> Iterator[Cluster]:
    """Connect to a cluster, and check that its workers are alike.

    Args:
        scheduler: Address of a dask scheduler, ``tcp://host:port``; or `LOCAL`.
        task: The inputs of the map.
        workers: Workers that must have joined before the run starts; the size of a local cluster.
        patience: Seconds to wait for them, and later for any worker.

    Raises:
        ParameterError: dask isn't installed, or the scheduler is no address.
        ClusterError: The scheduler doesn't answer; too few workers; a worker that sees other
            files, or computes differently from the rest.
        LandshiftError: A worker's error if it can't read the model or the scene.
    """
    distributed = _import_distributed()
    if scheduler != LOCAL and "://" not in scheduler:
        raise ParameterError(
            f"`scheduler` must be an address, tcp://HOST:PORT, or {LOCAL!r}, got {scheduler!r}."
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
            joined = len(client.nthreads())
            if joined < workers:
                log.warning(
                    "Waiting for %d workers at %s, %d have joined.", workers, scheduler, joined
                )
                client.wait_for_workers(workers, timeout=patience)
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"A scheduler with {workers} workers must answer, got '{error}' from {scheduler}; "
                "check the address and that workers have joined it."
            ) from error
        yield Cluster(client, task, patience)


def _answer_limit() -> float:
    """Seconds within which a scheduler must answer: a setting of dask, 30 by default."""
    import dask

    setting = dask.config.get("distributed.comm.timeouts.connect")
    return float(dask.utils.parse_timedelta(setting, default="seconds"))


def _greet(scheduler: str, limit: float) -> None:
    """Check that the listener at an address answers as a dask scheduler does.

    Without this check a client waits forever for a listener that accepts the connection and never
    answers.

    Raises:
        OSError: Nothing listens there, or it doesn't answer in time.
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
        task: The inputs of the map.
        patience: Seconds to wait for a worker if there is none.
    """

    def __init__(self, client: Any, task: ClusterTask, patience: float) -> None:
        self.client, self.patience = client, patience
        self._task = task
        self._known: set[str] = set()
        self._processors: set[str] = set()
        reports = self._reports(self.present)
        for report in reports.values():
            if isinstance(report, Exception):
                raise report
        if not reports:
            raise ClusterError(
                "A cluster must keep a worker, got all lost while they were checked."
            )
        self.traits = next(r.traits for r in reports.values() if isinstance(r, WorkerReport))
        self._known = self._alike(reports)

    def forget(self, worker: str) -> None:
        """Have a worker checked again before it gets more blocks."""
        self._known.discard(worker)

    @property
    def present(self) -> list[str]:
        """Addresses of the workers that are connected."""
        return list(self.client.nthreads())

    def run(self, job: BlockJob, numbers: Sequence[int]) -> Iterator[FinishedBlock]:
        """See `landshift.classification.workers.Workers`.

        Raises:
            ClusterError: The scheduler is lost, no worker is connected for long, or several were
                lost with the same block.
            LandshiftError: The error of a block that failed on every worker that tried it.
        """
        round_ = _Round(self, job, numbers)
        try:
            yield from round_.finished()
        except LandshiftError:
            raise
        except (OSError, CancelledError, asyncio.CancelledError) as error:
            raise ClusterError(
                f"The scheduler must run until the map is finished, got '{error or 'no answer'}'; "
                "start it, and run again to continue."
            ) from error
        finally:
            round_.end()

    def prepare(self, workers: list[str], key: str, job: BlockJob) -> set[str]:
        """Prepare workers for a job; an unfit one is reported, and gets no blocks.

        Returns:
            Workers that are ready.
        """
        self._known |= self._alike(self._reports([w for w in workers if w not in self._known]))
        fit = [w for w in workers if w in self._known]
        errors = self.call(cluster_worker.prepare, key, job, self._task, workers=fit)
        for worker, error in errors.items():
            if error is not None:
                log.warning("A worker gets no blocks: %s [worker %s]", error, worker)
        return {w for w, error in errors.items() if error is None}

    def _reports(self, workers: list[str]) -> dict[str, WorkerReport | Exception]:
        """Reports of workers, or the errors that keep them from the task; lost ones left out."""
        errors = self._version_errors(workers)
        rest = [w for w, error in errors.items() if error is None]
        probe = self._task.folder / f".landshift-{uuid.uuid4().hex}"
        with whole.whole_file(probe) as part:
            part.touch()
        try:
            prints = _fingerprints(self._task)
            reports = self.call(cluster_worker.report, self._task, prints, probe, workers=rest)
        finally:
            probe.unlink(missing_ok=True)
        answers: dict[str, WorkerReport | Exception] = {
            worker: error for worker, error in errors.items() if error is not None
        }
        answers |= {worker: _named(report, worker) for worker, report in reports.items()}
        present = self.present
        return {worker: answer for worker, answer in answers.items() if worker in present}

    def _version_errors(self, workers: list[str]) -> dict[str, ClusterError | None]:
        """An error for each worker whose packages differ from those of this process, else None."""
        reporter = cluster_worker.version_reporter(_ALIKE)
        own = reporter()
        errors: dict[str, ClusterError | None] = {}
        for worker, versions in self.call(reporter, workers=workers).items():
            failed = isinstance(versions, Exception)
            names = [k for k in own if failed or versions.get(k) != own[k]]
            theirs = f"'{versions}'" if failed else _listed(versions, names)
            errors[worker] = None if not names else ClusterError(
                f"Every worker must have what is installed here ({_listed(own, names)}), got "
                f"{theirs} at {worker}; install the same there."
            )  # fmt: skip
        return errors

    def _alike(self, reports: Mapping[str, WorkerReport | Exception]) -> set[str]:
        """Workers that compute like the first ones; a warning names the others.

        Raises:
            ClusterError: One of the first workers computes differently.
        """
        fit = set()
        for worker, report in reports.items():
            error: object = report
            if isinstance(report, WorkerReport):
                error = ClusterError(
                    f"All workers must compute alike ({_kind(self.traits)}), got "
                    f"{_kind(report.traits)} at {worker}; give `engine`, `device` and "
                    "`precision`, or let only workers of one kind join."
                )
                if report.traits == self.traits:
                    fit.add(worker)
                    self._warn_of(report.processor, worker)
                    continue
                if not self._known:
                    raise error
            log.warning("A worker gets no blocks: %s", error)
        return fit

    def _warn_of(self, processor: str, worker: str) -> None:
        """Warn once of each processor that differs from the others."""
        if self._processors and processor not in self._processors:
            log.warning(
                "Workers have different processors (%s, and %s at %s): pixels with two nearly "
                "equal classes may depend on the worker.",
                ", ".join(sorted(self._processors)), processor, worker,
            )  # fmt: skip
        self._processors.add(processor)

    def call(
        self, function: Callable[..., Any], *arguments: Any, workers: list[str]
    ) -> dict[str, Any]:
        """Result of a function on each worker, or the exception it raised there."""
        if not workers:
            return {}
        results: dict[str, Any] = self.client.run(
            function, *arguments, workers=workers, on_error="return"
        )
        return results


class _Round:
    """Hands out blocks to workers until all are finished.

    A worker gets its next block when it has finished one. Blocks of a worker that was lost, or on
    which they failed, go to others.

    Args:
        cluster: The workers.
        job: The inputs and options.
        numbers: Numbers of the blocks.
    """

    def __init__(self, cluster: Cluster, job: BlockJob, numbers: Sequence[int]) -> None:
        self._cluster, self._job = cluster, job
        self._key = uuid.uuid4().hex
        self._waiting = deque(numbers)
        self._given: dict[str, dict[Any, int]] = {}  # of each worker that is ready
        self._unfit: set[str] = set()
        self._failed: dict[int, dict[str, Exception]] = defaultdict(dict)
        self._lost: Counter[int] = Counter()
        self._checked = self._seen = 0.0  # times of the last check, and of the last worker seen
        self._error: Exception | None = None  # raised once the running blocks have ended

    def finished(self) -> Iterator[FinishedBlock]:
        """Each block when it is finished."""
        self._seen = time.monotonic()
        while (self._waiting and self._error is None) or any(self._given.values()):
            self._check_workers()
            if self._error is None:
                self._hand_out()
            for worker, number, outcome in self._outcomes():
                block = self._settled(worker, number, outcome)
                if block is not None:
                    yield block
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """Cancel the blocks that are handed out, and let workers drop the job."""
        futures = [f for given in self._given.values() for f in given]
        try:
            self._cluster.client.cancel(futures)
            self._cluster.call(cluster_worker.forget, self._key, workers=list(self._given))
        except (
            OSError,
            CancelledError,
            asyncio.CancelledError,
        ):  # without a scheduler there is nothing to cancel
            log.debug("The scheduler is gone: nothing was cancelled.")

    def _check_workers(self) -> None:
        """Take back the blocks of lost workers, and prepare new workers."""
        now = time.monotonic()
        if now - self._checked < _POLL:
            return
        self._checked = now
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
                f"Blocks need a worker, got none for {self._cluster.patience:.0f} s; start "
                "workers, and run again to continue."
            )

    def _lose(self, worker: str) -> None:
        """Take back the blocks of a lost worker."""
        log.warning("Worker %s was lost; its blocks go to others.", worker)
        for number in self._take_back(worker):
            self._lost[number] += 1
            if self._lost[number] >= _LOSSES:
                self._error = ClusterError(
                    f"A block must be finished by some worker, got {_LOSSES} lost at block "
                    f"{number} (killed, or short of memory); give them more memory, and run again "
                    "to continue."
                )

    def _take_back(self, worker: str) -> list[int]:
        """Take back the blocks of a worker, which must be prepared before it gets others."""
        taken = self._given.pop(worker)
        self._cluster.forget(worker)
        self._cluster.client.cancel(list(taken))
        self._waiting.extendleft(taken.values())
        return list(taken.values())

    def _hand_out(self) -> None:
        for depth in range(1, _AHEAD + 1):  # every worker's first block, then second ones
            for worker, given in self._given.items():
                if len(given) < depth:
                    number = self._next_for(worker)
                    if number is not None:
                        future = self._cluster.client.submit(
                            cluster_worker.classify_block, self._key, number, workers=[worker],
                            pure=False,
                        )  # fmt: skip
                        given[future] = number
        if self._given and self._waiting and not any(self._given.values()):
            failures = self._failed[self._waiting[0]]  # every worker has tried it
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

    def _outcomes(self) -> list[tuple[str, int, Any]]:
        """Worker, number and outcome of blocks that ended; waits briefly for one."""
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

    def _settled(self, worker: str, number: int, outcome: Any) -> FinishedBlock | None:
        """A finished block; None if it goes to another worker."""
        if isinstance(outcome, FinishedBlock):
            if not outcome.counts or self._job.holds(number):
                return outcome
            outcome = ClusterError(
                f"Every worker must write to the client's folder, {self._job.folder}, got "
                f"block {number} written elsewhere; mount the same storage there."
            )
        self._waiting.appendleft(number)
        if isinstance(outcome, Unprepared):  # it restarted at the same address
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
        return portable_error(error)


def _named(answer: Any, worker: str) -> Any:
    """A worker's answer; an exception gets the worker's name."""
    if isinstance(answer, Exception):
        error = portable_error(answer)
        return type(error)(f"{error} [worker {worker}]")
    return answer


def _listed(versions: Mapping[str, str | None], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {versions[name] or 'not at all'}" for name in names)


def _kind(traits: EngineTraits) -> str:
    return f"{traits.name}, {traits.precision} on {traits.device}"


def _fingerprints(task: ClusterTask) -> dict[Path, str]:
    """Fingerprints of the files that are read."""
    files = {containers.file_of(f) for f in task.scene.files}
    return {f: provenance.fingerprint(f) for f in sorted(files) if f.is_file()}
