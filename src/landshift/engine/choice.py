"""Which engine runs a model where the user names none."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from landshift.engine.openvino import OpenVinoEngine
from landshift.engine.protocol import Engine
from landshift.engine.pytorch import TorchEngine, torch_device
from landshift.errors import ModelError, ParameterError
from landshift.models import ChangeModel

log = logging.getLogger(__name__)

ENGINES = ("auto", "torch", "openvino")


def choose_engine(
    model: ChangeModel,
    engine: str = "auto",
    *,
    device: str = "auto",
    precision: str = "auto",
    quantised: Path | None = None,
    threads: int | None = None,
) -> Engine:
    """A model made ready to predict; what was chosen, and why, is logged.

    Args:
        model: The model.
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
    kind = torch_device(device).type
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
        return _told(TorchEngine(model, device=device, precision=precision), "asked for")
    if kind != "cpu":
        why = f"it computes on {kind}"
    elif precision != "int8" and find_spec("openvino") is None:
        why = "OpenVINO, which is faster here, isn't installed"
    else:
        try:
            return _told(OpenVinoEngine(model, **vino), "the fastest on CPUs")
        except ModelError as error:
            why = str(error)
    return _told(TorchEngine(model, device=device, precision=precision), why)


def _told(engine: Engine, why: str) -> Engine:
    log.info("engine: %s, %s on %s (%s)", engine.name, engine.precision, engine.device, why)
    return engine
