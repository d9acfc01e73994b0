"""Which engine runs a model where the user names none."""

from __future__ import annotations

import logging
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landshift.engine.openvino import OpenVinoEngine
from landshift.engine.prepared import Prepared, prepare
from landshift.engine.protocol import Engine
from landshift.errors import ModelError, ParameterError

if TYPE_CHECKING:
    from landshift.models import ChangeModel

log = logging.getLogger(__name__)

ENGINES = ("auto", "torch", "openvino")

_GPUS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # Linux has one of them where torch finds a GPU


def choose_engine(
    model: ChangeModel | Prepared,
    engine: str = "auto",
    *,
    device: str = "auto",
    precision: str = "auto",
    quantised: Path | None = None,
    threads: int | None = None,
) -> Engine:
    """A model made ready to predict; what was chosen, and why, is logged.

    Args:
        model: The model; for torch it must be loaded, see `opened`.
        engine: ``torch``, ``openvino``, or ``auto``: torch on a GPU, else OpenVINO where it is
            installed and takes the network.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda:1``, ...
        precision: ``auto``, ``float32``, ``bfloat16`` or ``int8``.
        quantised: The model's int8 graph, for that precision.
        threads: Threads of OpenVINO; None: one for each core.

    Raises:
        ParameterError: An unknown name; a device that isn't there; OpenVINO asked for and not
            installed, or on another device than the CPU; int8 without its graph.
        ModelError: OpenVINO asked for, and it can't take the network.
    """
    if engine not in ENGINES:
        raise ParameterError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}.")
    if precision == "int8" and device == "auto":
        device = "cpu"
    kind = _kind(device)
    if engine == "openvino" and kind != "cpu":
        if device != "auto":
            raise ParameterError(f"engine='openvino' runs on the CPU, got device={device!r}.")
        kind = "cpu"
    if precision == "int8" and (quantised is None or engine == "torch" or kind != "cpu"):
        raise ParameterError(
            "precision='int8' needs OpenVINO, the CPU and a graph made by `landshift quantize`, "
            f"got engine={engine!r}, device={device!r} and "
            f"{'no graph' if quantised is None else quantised.name}."
        )
    vino: dict[str, Any] = {
        "precision": precision, "threads": threads,
        "quantised": quantised if precision == "int8" else None,
    }  # fmt: skip
    if engine == "openvino":
        return _told(OpenVinoEngine(model, **vino), "asked for")
    if engine == "torch":
        return _told(_torch(model, device, precision), "asked for")
    if kind != "cpu":
        why = f"it computes on {kind}"
    elif precision != "int8" and find_spec("openvino") is None:
        why = "OpenVINO, which is faster here, isn't installed"
    else:
        try:
            return _told(OpenVinoEngine(model, **vino), "the fastest on CPUs")
        except ModelError as error:
            why = str(error)
    return _told(_torch(model, device, precision), why)


def opened(
    package: Path | str, engine: str = "auto", *, device: str = "auto", precision: str = "auto"
) -> ChangeModel | Prepared:
    """A saved model as `choose_engine` needs it with the same arguments.

    Where OpenVINO will run it, that is its graph, and torch isn't even imported; else it is loaded.

    Raises:
        ModelError: It can't be read.
    """
    if engine != "torch" and find_spec("openvino") is not None:
        on_cpu = engine == "openvino" or precision == "int8" or _kind(device) == "cpu"
        found = prepare(package) if on_cpu else None
        if found is not None:
            return found
    from landshift import bundle

    return bundle.load(package).model


def _kind(device: str) -> str:
    """What kind of device a name stands for here; torch is only asked where it may be a GPU."""
    none_there = sys.platform == "linux" and not any(Path(p).exists() for p in _GPUS)
    if device == "cpu" or (device == "auto" and none_there):
        return "cpu"
    from landshift.engine.pytorch import torch_device

    return torch_device(device).type


def _torch(model: ChangeModel | Prepared, device: str, precision: str) -> Engine:
    from landshift import bundle
    from landshift.engine.pytorch import TorchEngine

    if isinstance(model, Prepared):
        model = bundle.load(model.package).model
    return TorchEngine(model, device=device, precision=precision)


def _told(engine: Engine, why: str) -> Engine:
    log.info("engine: %s, %s on %s (%s)", engine.name, engine.precision, engine.device, why)
    return engine
