"""Batch norms folded into the convolutions before them: fewer passes over the same memory."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from landshift.models import ChangeModel

_EXAMPLE = 64  # rows and columns of the tile that shows which batch norm follows which convolution


def fold_batch_norms(model: ChangeModel) -> int:
    """Fold each batch norm of a model in evaluation mode into the convolution it follows.

    At inference a batch norm is a scale and an offset per channel (Ioffe and Szegedy 2015, eq. 11
    and Algorithm 2), which the convolution's own weights can hold. Which follows which is seen in
    a run over an example, so that any network will do.

    Args:
        model: Changed in place.

    Returns:
        How many were folded.
    """
    assert not model.training
    made: dict[int, tuple[nn.Conv2d, torch.Tensor]] = {}
    pairs: dict[nn.BatchNorm2d, nn.Conv2d] = {}
    calls: dict[nn.Module, int] = {}

    def after_convolution(module: nn.Module, _: object, out: torch.Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        calls[module] = calls.get(module, 0) + 1
        made[id(out)] = module, out  # kept, so that no later tensor gets its identity

    def before_norm(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(module, nn.BatchNorm2d)
        calls[module] = calls.get(module, 0) + 1
        if id(inputs[0]) in made:
            pairs[module] = made[id(inputs[0])][0]

    hooks = [
        module.register_forward_hook(after_convolution)
        if isinstance(module, nn.Conv2d)
        else module.register_forward_pre_hook(before_norm)
        for module in model.modules()
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d))
    ]
    try:
        example = model.mean.expand(1, -1, _EXAMPLE, _EXAMPLE)
        with torch.no_grad():
            model(example)
    finally:
        for hook in hooks:
            hook.remove()
    once = {n: c for n, c in pairs.items() if calls[n] == calls[c] == 1}
    names = {module: name for name, module in model.named_modules()}
    for norm, convolution in once.items():
        _replace(model, names[convolution], fuse_conv_bn_eval(convolution, norm))
        _replace(model, names[norm], _rest(norm))
    return len(once)


def _rest(norm: nn.BatchNorm2d) -> nn.Module:
    """What a batch norm does besides: timm's apply the activation too."""
    parts = [getattr(norm, name) for name in ("drop", "act") if hasattr(norm, name)]
    return nn.Sequential(*parts)


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module)
