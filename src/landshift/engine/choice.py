"""Choice of the engine that runs a model."""

from __future__ import annotations

import logging
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from landshift.engine.names import EngineName
from landshift.engine.openvino import OpenVinoEngine
from landshift.engine.prepared import Prepared, prepare
from landshift.engine.protocol import Engine
from landshift.errors import ModelError, ParameterError

if TYPE_CHECKING:
    from landshift.models import ChangeModel

log = logging.getLogger(__name__)

_GPUS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # on Linux, torch finds no GPU without these


def choose_engine(
    model: ChangeModel | Prepared,
    engine: str = "auto",
    *,
    device: str = "auto",
    precision: str = "auto",
    quantised: Path | None = None,
    threads: int | None = None,
) -> Engine:
    """Prepare a model for prediction; the choice and its reason are logged.

    Args:
        model: The model; torch needs a loaded one, see `opened`.
        engine: ``torch``, ``openvino``, or ``auto``: torch on a GPU, else OpenVINO if it is
            installed and can convert the network.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda:1``, ...
        precision: ``auto``, ``float32``, ``bfloat16`` or ``int8``.
        quantised: The model's int8 graph, for that precision.
        threads: Threads of OpenVINO; None: one per core.

    Raises:
        ParameterError: An unknown name; a missing device; OpenVINO is asked for and isn't
            installed, or is to run on another device than the CPU; int8 without its graph.
        ModelError: OpenVINO is asked for, and can't convert the network.
    """
    names = get_args(EngineName)
    if engine not in names:
        raise ParameterError(f"`engine` must be one of {', '.join(names)}, got {engine!r}.")
    if precision == "int8" and device == "auto":
        device = "cpu"
    kind = _kind(device)
    if engine == "openvino" and kind != "cpu":
        if device != "auto":
            raise ParameterError(
                f"`device` must be the CPU if `engine` is 'openvino', got {device!r}."
            )
        kind = "cpu"
    if precision == "int8" and (quantised is None or engine == "torch" or kind != "cpu"):
        raise ParameterError(
            "`precision` 'int8' needs OpenVINO, the CPU and a graph made by `landshift quantize`, "
            f"got `engine` {engine!r}, `device` {device!r} and "
            f"{'no graph' if quantised is None else quantised.name}."
        )
    vino: dict[str, Any] = {
        "precision": precision, "threads": threads,
        "quantised": quantised if precision == "int8" else None,
    }  # fmt: skip
    if engine == "openvino":
        return _logged(OpenVinoEngine(model, **vino), "as asked for")
    if engine == "torch":
        return _logged(_torch(model, device, precision), "as asked for")
    if kind != "cpu":
        reason = f"it computes on {kind}"
    elif precision != "int8" and find_spec("openvino") is None:
        reason = "OpenVINO, which is faster here, isn't installed"
    else:
        try:
            return _logged(OpenVinoEngine(model, **vino), "the fastest on CPUs")
        except ModelError as error:
            reason = str(error)
    return _logged(_torch(model, device, precision), reason)


def opened(
    package: Path | str, engine: str = "auto", *, device: str = "auto", precision: str = "auto"
) -> ChangeModel | Prepared:
    """Open a saved model in the form that `choose_engine` needs with the same arguments.

    If OpenVINO will run it, this is its graph, and torch isn't imported; else the loaded model.

    Raises:
        ModelError: The model can't be read.
    """
    if engine != "torch" and find_spec("openvino") is not None:
        on_cpu = engine == "openvino" or precision == "int8" or _kind(device) == "cpu"
        prepared = prepare(package) if on_cpu else None
        if prepared is not None:
            return prepared
    from landshift import bundle

    return bundle.load(package).model


def _kind(device: str) -> str:
    """Kind of a device: cpu, cuda, ...; torch is imported only if it may be a GPU."""
    without_gpu = sys.platform == "linux" and not any(Path(p).exists() for p in _GPUS)
    if device == "cpu" or (device == "auto" and without_gpu):
        return "cpu"
    from landshift.engine.pytorch import torch_device

    return torch_device(device).type


def _torch(model: ChangeModel | Prepared, device: str, precision: str) -> Engine:
    from landshift import bundle
    from landshift.engine.pytorch import TorchEngine

    if isinstance(model, Prepared):
        model = bundle.load(model.package).model
    return TorchEngine(model, device=device, precision=precision)


def _logged(engine: Engine, reason: str) -> Engine:
    log.info("engine: %s, %s on %s (%s)", engine.name, engine.precision, engine.device, reason)
    return engine
