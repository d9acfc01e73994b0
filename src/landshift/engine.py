"""A model made ready to predict batches on a device."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from landshift.errors import ParameterError
from landshift.models import ChangeModel


class TorchEngine:
    """A model on a device, predicting in the fastest precision that keeps its answers.

    Args:
        model: The model; it stays as it is, the engine works on a copy.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:1``, ...
        precision: ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the device computes in it.

    Raises:
        ParameterError: A device that isn't there, or an unknown precision.
    """

    def __init__(
        self, model: ChangeModel, *, device: str = "auto", precision: str = "auto"
    ) -> None:
        self.device = _device(device)
        self.precision = _precision(precision, self.device)
        self.model = copy.deepcopy(model).to(self.device).eval()

    def predict(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of classes: the softmax of the logits, divided by the model's temperature.

        Args:
            images: ``(batch, band, row, column)`` as `landshift.spec.InputSpec.fill` gives them.

        Returns:
            ``(batch, class, row, column)``, adding up to 1 over the classes.
        """
        scaled = self._run(images) / self.model.temperature
        found: NDArray[np.float32] = scaled.softmax(1).cpu().numpy()
        return found

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the network says, before any temperature; `predict` has the arguments."""
        found: NDArray[np.float32] = self._run(images).cpu().numpy()
        return found

    def _run(self, images: NDArray[np.float32]) -> torch.Tensor:
        batch = torch.from_numpy(np.ascontiguousarray(images)).to(self.device)
        autocast = torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"
        )
        with torch.inference_mode(), autocast:
            logits: torch.Tensor = self.model(batch)
        return logits.float()


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16, so that it is faster than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if device.type != "cpu" or not has_onednn:
        return False  # builds without oneDNN, as for some Macs, don't have the question either
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ParameterError(
            f"The device must be on this machine, got {name!r} ({reason}); try device='auto'."
        ) from error
    return device


def _precision(name: str, device: torch.device) -> str:
    if name not in ("auto", "float32", "bfloat16"):
        raise ParameterError(f"precision must be auto, float32 or bfloat16, got {name!r}.")
    if name != "auto":
        return name
    return "bfloat16" if computes_in_bfloat16(device) else "float32"
