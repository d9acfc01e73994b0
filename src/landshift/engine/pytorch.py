"""PyTorch as engine, on the CPU or a CUDA device."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from landshift.engine.folding import folded
from landshift.errors import ParameterError, reason_of, refuse_out_of_memory
from landshift.models import ChangeModel


class TorchEngine:
    """A model on a device, in the fastest precision that keeps its predictions.

    The network is folded (`landshift.engine.folding`); in bfloat16 its weights are stored in that
    precision. On CUDA each calling thread has a stream of its own and sends tiles from pinned
    memory, so that one batch is copied while another is computed.

    Args:
        model: The model. The engine works on a copy.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ...
        precision: ``float32``, ``bfloat16``, or ``auto``: bfloat16 if the device has instructions
            for it.

    Raises:
        ParameterError: A missing device, or an unknown precision.
    """

    name = "torch"
    core = 1024

    def __init__(
        self, model: ChangeModel, *, device: str = "auto", precision: str = "auto"
    ) -> None:
        self._device = torch_device(device)
        self.device = str(self._device)
        self.precision = _precision(precision, self._device, exact=model.exact)
        self._cuda = self._device.type == "cuda"
        self.streams = 2 if self._cuda else 1
        self.allocates = not self._cuda
        self.batch_size = 4 if self._cuda else 1
        ready = folded(lambda: copy.deepcopy(model))
        if self.precision == "bfloat16":
            ready.network.to(torch.bfloat16)
        self.model = ready.to(self._device)
        mean = torch.tensor(model.spec.mean, dtype=torch.float32)
        self._mean = mean[:, None, None].to(self._device)
        self._own = threading.local()

    def ready(
        self,
        shape: tuple[int, int, int],
        dtype: str,
        *,
        probabilities: bool = False,
        excluded: int | None = None,
    ) -> None:
        """See `landshift.engine.Engine`; torch needs no preparation for a shape."""

    def predict(
        self, values: NDArray[Any], mask: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """See `landshift.engine.Engine`."""
        probabilities: NDArray[np.float32] = self._run(values, mask, self._probabilities)
        return probabilities

    def one_by_one(
        self, values: NDArray[Any], mask: NDArray[np.bool_] | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """See `landshift.engine.Engine`."""
        yield from self.predict(values, mask)

    def best(
        self,
        values: NDArray[Any],
        mask: NDArray[np.bool_] | None = None,
        *,
        excluded: int | None = None,
    ) -> NDArray[np.uint8]:
        """See `landshift.engine.Engine`."""

        def choose(logits: torch.Tensor) -> torch.Tensor:
            if excluded is not None:
                logits[:, excluded] = -torch.inf
            return logits.argmax(1).to(torch.uint8)

        codes: NDArray[np.uint8] = self._run(values, mask, choose)
        return codes

    def _probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        return (logits.float() / self.model.temperature).softmax(1)

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of the network, before any temperature; arguments as in `predict`."""
        logits: NDArray[np.float32] = self._run(images, None, torch.Tensor.float)
        return logits

    def _run(self, values: NDArray[Any], mask: NDArray[np.bool_] | None, finish: Any) -> Any:
        """The logits after ``finish``, as an array."""
        autocast = torch.autocast(
            self._device.type, torch.bfloat16, enabled=self.precision == "bfloat16"
        )
        with torch.inference_mode(), self._stream():
            images = self._sent(values).to(torch.float32, memory_format=torch.channels_last)
            if mask is not None and not mask.all():
                images = torch.where(self._sent(mask)[:, None], images, self._mean)
            with autocast:
                logits = self.model(images)
            return finish(logits).cpu().numpy()

    def _sent(self, array: NDArray[Any]) -> torch.Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if not self._cuda:
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)

    def _stream(self) -> Any:
        """The calling thread's own CUDA stream; no stream on other devices."""
        if not self._cuda:
            return torch.cuda.stream(None)
        if not hasattr(self._own, "stream"):
            self._own.stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        return torch.cuda.stream(self._own.stream)


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16, which make it faster than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if device.type != "cpu" or not has_onednn:
        return False  # builds without oneDNN, as for some Macs, lack the function below
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def torch_device(name: str) -> torch.device:
    """The device of a name; ``auto`` is a GPU if there is one.

    Raises:
        ParameterError: This machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        refuse_out_of_memory(error)
        reason = reason_of(error)
        raise ParameterError(
            f"`device` must be on this machine, got {name!r} ({reason}); try 'auto'."
        ) from error
    return device


def _precision(name: str, device: torch.device, *, exact: bool) -> str:
    if name not in ("auto", "float32", "bfloat16"):
        raise ParameterError(f"`precision` must be auto, float32 or bfloat16, got {name!r}.")
    if name != "auto":
        return name
    return "bfloat16" if computes_in_bfloat16(device) and not exact else "float32"
