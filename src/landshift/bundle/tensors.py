"""Weights of a package: safetensors, which can't run code."""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from landshift.errors import ModelError, OutputError, plain, reason_of, refuse_out_of_memory
from landshift.models import SMP, ChangeModel


def write_weights(model: ChangeModel, path: Path) -> None:
    """Write a model's weights; the same weights give the same bytes.

    Raises:
        OutputError: The file can't be written.
    """
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)  # as the umask gives it; the library sets 0600
    try:
        safetensors.torch.save_file(state, path, metadata={"format": "pt"})
    except safetensors.SafetensorError as error:
        raise OutputError(
            f"The weights must be writable, got '{reason_of(error)}'; make room or choose another "
            "folder."
        ) from error
    path.chmod(mode)


def with_weights(
    make: Callable[[], ChangeModel], backbone: str, path: Path, shown: Path
) -> ChangeModel:
    """A model with the weights of a file, see `filled`.

    Args:
        make: Makes the untrained model.
        backbone: Name of its encoder.
        path: The weights.
        shown: Name of the package in errors.

    Raises:
        ModelError: The file is damaged, or as for `filled`.
    """
    try:
        state = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
        refuse_out_of_memory(error, f" while reading {shown}")
        reason = plain(str(error) or type(error).__name__, 200)
        raise ModelError(
            f"The weights must be a whole safetensors file, got '{reason}' in {shown}; "
            "the package is damaged."
        ) from error
    return filled(make, backbone, state, shown)


def filled(
    make: Callable[[], ChangeModel],
    backbone: str,
    state: Mapping[str, torch.Tensor],
    shown: Path | str,
) -> ChangeModel:
    """A model with the weights of a state dict.

    The model is first made without memory (torch's device ``meta``) and compared with the weights,
    so that a description of a few bytes can't claim more memory than its weights take, and no time
    is spent on random initial weights.

    Args:
        make: Makes the untrained model.
        backbone: Name of its encoder.
        state: Tensors by name.
        shown: Name of the package in errors.

    Raises:
        ModelError: The tensors aren't those of the model, or hold numbers that aren't finite.
    """
    try:
        with torch.device("meta"):
            model = make()
    except ModelError:
        if not backbone.startswith(SMP):
            raise
        model = make()  # some of these compute while they are made; none of them is large
    _check(model, state, shown)
    model.load_state_dict({k: _own(v) for k, v in state.items()}, assign=True)
    if any(buffer.is_meta for buffer in model.buffers()):
        model = make()  # it computes tables from its design, which no file holds
        model.load_state_dict(state)
    return model.to(memory_format=torch.channels_last)


def _own(tensor: torch.Tensor) -> torch.Tensor:
    """A copy with memory of its own, in the layout that convolutions are fastest in."""
    fastest = torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
    return tensor.clone(memory_format=fastest)


def _check(model: ChangeModel, state: Mapping[str, torch.Tensor], shown: Path | str) -> None:
    own = model.state_dict()
    unfit = sorted(
        k
        for k in own.keys() | state.keys()
        if k not in own
        or k not in state
        or (own[k].shape, own[k].dtype) != (state[k].shape, state[k].dtype)
    )
    if unfit:
        raise ModelError(
            f"The weights must fit {model.architecture} over {model.backbone}, got {len(unfit)} "
            f"other tensors ({', '.join(map(plain, unfit[:3]))}{' ...' if unfit[3:] else ''}) "
            f"in {shown}; the package is damaged."
        )
    wild = [k for k, v in state.items() if v.is_floating_point() and not v.isfinite().all()]
    if wild:
        raise ModelError(
            f"Weights must be finite numbers, got others in {wild[0]} of {shown}; "
            "the package is damaged, or its training failed."
        )
