"""Devices of a training, their precision, and the processes started for them."""

from __future__ import annotations

import copy
import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import multiprocessing
from torch.multiprocessing.spawn import ProcessRaisedException

from landshift.dataset import TrainingData
from landshift.engine import computes_in_bfloat16
from landshift.errors import LandshiftError, ParameterError, TrainingError
from landshift.machine.memory import keeping_freed
from landshift.models import ChangeModel
from landshift.training.logs import Epoch, Watch, logs
from landshift.training.options import Training
from landshift.training.run import Run


class Request(NamedTuple):
    """The arguments of `fit`."""

    model: ChangeModel
    data: TrainingData
    options: Training
    resume: Path | None


def train(request: Request, watch: Watch) -> list[Epoch]:
    """Train on the devices that the options name; result and errors are those of `fit`.

    The model is left on its device with the weights to keep.
    """
    fabric = _fabric(request.options, exact=request.model.exact)
    launch: Any = fabric.launch  # typed for functions without further arguments
    with _quiet():
        if any(word in _strategy(request.options) for word in ("spawn", "fork", "notebook")):
            return _launch(fabric, request, watch)
        table: list[Epoch] = launch(_train, request, watch)
        return table


def count(options: Training) -> int:
    """Processes of a training.

    Raises:
        ParameterError: Devices, strategy or precision that Lightning or this machine don't support.
    """
    return _fabric(options).world_size


def _fabric(options: Training, *, exact: bool = False) -> Fabric:
    try:
        with _quiet():
            return Fabric(
                accelerator=options.accelerator,
                devices=options.devices,
                strategy=_strategy(options),
                precision=_precision(options, exact=exact),  # type: ignore[arg-type]
            )
    except (MisconfigurationException, ValueError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ParameterError(
            "`accelerator`, `devices`, `strategy` and `precision` must be supported by Lightning "
            f"and this machine, got {options.accelerator!r}, {options.devices!r}, "
            f"{options.strategy!r} and {options.precision!r}: {reason}"
        ) from error


def one_device(options: Training, *, exact: bool) -> Fabric:
    """One device as `fit` would use it for a model (`ChangeModel.exact`)."""
    return _fabric(replace(options, devices=1, strategy="auto"), exact=exact)


def _strategy(options: Training) -> str:
    if options.strategy != "auto" or options.devices in (1, "1"):
        return options.strategy
    return "ddp_notebook" if hasattr(sys, "ps1") else "ddp_spawn"


def _precision(options: Training, *, exact: bool) -> str:
    if options.precision != "auto":
        return options.precision
    if exact:
        return "32-true"
    on_gpu = options.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    return "bf16-mixed" if computes_in_bfloat16(device) else "32-true"


def _train(fabric: Fabric, request: Request, watch: Watch) -> list[Epoch]:
    """Train in this process; the model is left with the weights to keep."""
    model, data, options, resume = request
    with _quiet(), keeping_freed():
        run = Run(fabric, model, data, options)
        with logs(options) if fabric.is_global_zero else nullcontext() as write:
            run.train(resume, write, watch)
    return run.table


def _launch(fabric: Fabric, request: Request, watch: Watch) -> list[Epoch]:
    """Train in new processes, which send back rows, the line of the time, weights and errors."""
    table: list[Epoch] = []
    failures: list[LandshiftError] = []
    messages = multiprocessing.get_context("spawn").SimpleQueue()

    def listen() -> None:
        for message in iter(messages.get, None):
            if isinstance(message, Epoch):
                table.append(message)
                if watch.on_epoch is not None:
                    watch.on_epoch(message)
            elif isinstance(message, str):
                if watch.on_time is not None:
                    watch.on_time(message)
            else:
                failures.append(message)

    listener = threading.Thread(target=listen)
    listener.start()
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        try:
            light = request._replace(data=replace(request.data))  # without the cached tiles
            fabric.launch(partial(_train_apart, request=light, messages=messages, weights=weights))
        except ProcessRaisedException as error:
            if not failures:
                failures.append(
                    TrainingError(
                        "Every process must train to the end, got "
                        f"'{str(error).strip().splitlines()[-1]}' in one of them."
                    )
                )
        finally:
            messages.put(None)
            listener.join()
        if weights.exists():
            request.model.load_state_dict(safetensors.torch.load_file(weights))
    if failures:
        raise failures[0]
    return table


def _train_apart(fabric: Fabric, *, request: Request, messages: Any, weights: Path) -> None:
    first = fabric.is_global_zero
    model = copy.deepcopy(request.model)  # tensors of the starting process share its memory
    if fabric.device.type == "cpu":
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // fabric.world_size))
    try:
        send = messages.put if first else None
        _train(fabric, request._replace(model=model), Watch(send, send))
    except LandshiftError as error:
        messages.put(error)
        raise
    finally:
        if first:
            state = {k: v.cpu().contiguous() for k, v in model.state_dict().items()}
            safetensors.torch.save_file(state, weights)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's own notices."""
    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning_fabric\..*")
            yield
    finally:
        logger.setLevel(level)
