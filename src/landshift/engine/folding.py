"""The same network in fewer operations, for inference.

At inference a batch norm is a scale and an offset per channel (Ioffe and Szegedy 2015, eq. 11 and
Algorithm 2), which can be folded into the weights of the convolution before it. And where each
pixel is repeated as 2 x 2 before a convolution of 3 x 3, several of its weights are multiplied with
the same value: their sums, as a transposed convolution of 4 x 4 with stride 2, need 4
multiplications instead of 9 (the sub-pixel convolution of Shi et al. 2016, doi
10.1109/CVPR.2016.207).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock
from segmentation_models_pytorch.decoders.unetplusplus.decoder import DecoderBlock
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from landshift.models import ChangeModel

log = logging.getLogger(__name__)

_EXAMPLE = 64  # rows and columns of the tile on which the order of layers is recorded
_CLOSE = 1e-3  # largest change of logits, as a share of the largest logit; rounding is far below


def folded(load: Callable[[], ChangeModel]) -> ChangeModel:
    """A model with batch norms and doublings of size folded into the convolutions beside them.

    The order of layers is recorded in a run over an example, which works for any network. If the
    folded network predicts differently for the example, the model stays as it was.

    Args:
        load: Returns the model, which is changed in place. Called again if it can't be folded.
    """
    model = load().eval()
    random = torch.Generator().manual_seed(0)
    noise = torch.randn(1, len(model.mean), _EXAMPLE, _EXAMPLE, generator=random)
    example = model.mean + model.std * noise.to(model.mean.device)
    with torch.no_grad():
        seen, expected = _run(model, example)
        _fold(model, seen)
        change = (model(example) - expected).abs().max()
    if change <= _CLOSE * expected.abs().max():
        return model
    log.debug("%s predicts differently once folded: it stays as it was", model.architecture)
    return load().eval()


def _fold(model: ChangeModel, seen: _Seen) -> None:
    """Replace the layers that can be folded, in place."""
    names = {module: name for name, module in model.named_modules()}
    while seen.pairs:  # popped, so that old and new weights aren't both in memory
        norm, convolution = seen.pairs.popitem()
        _put(model, names.pop(convolution), fuse_conv_bn_eval(convolution, norm))
        _put(model, names.pop(norm), _rest(norm))
    while seen.doublings:
        block, features = seen.doublings.popitem()
        _put(model, names.pop(block), _Doubling(block, features))


@dataclass
class _Seen:
    """Layers that can be folded, as recorded in a run over an example.

    Attributes:
        pairs: Batch norms and the convolution each follows, if both run once.
        doublings: Decoder blocks that double the size of their input, and its channels.
    """

    pairs: dict[nn.BatchNorm2d, nn.Conv2d] = field(default_factory=dict)
    doublings: dict[nn.Module, int] = field(default_factory=dict)


def _run(model: ChangeModel, example: torch.Tensor) -> tuple[_Seen, torch.Tensor]:
    """The layers that can be folded, and the model's logits."""
    seen = _Seen()
    outputs: dict[int, tuple[nn.Conv2d, torch.Tensor]] = {}
    calls: dict[nn.Module, int] = {}

    def after(module: nn.Module, inputs: tuple[Any, ...], out: torch.Tensor) -> None:
        calls[module] = calls.get(module, 0) + 1
        if isinstance(module, nn.Conv2d):
            outputs[id(out)] = module, out  # kept, so that no later tensor gets the same id
        elif isinstance(module, nn.BatchNorm2d):
            if id(inputs[0]) in outputs:
                seen.pairs[module] = outputs[id(inputs[0])][0]
        elif inputs and _can_double(module) and out.shape[-1] == 2 * inputs[0].shape[-1]:
            seen.doublings[module] = inputs[0].shape[1]

    kinds = nn.Conv2d, nn.BatchNorm2d, UnetDecoderBlock, DecoderBlock
    hooks = [m.register_forward_hook(after) for m in model.modules() if isinstance(m, kinds)]
    try:
        expected = model(example)
    finally:
        for hook in hooks:
            hook.remove()
    seen.pairs = {n: c for n, c in seen.pairs.items() if calls[n] == calls[c] == 1}
    return seen, expected


def _can_double(block: Any) -> bool:
    """Whether a U-Net's block repeats pixels and then convolves them 3 x 3."""
    if block.interpolation_mode != "nearest" or block.conv1 is None:
        return False
    first, attention = block.conv1[0], block.attention1.attention
    return (
        isinstance(first, nn.Conv2d)
        and isinstance(attention, nn.Identity)
        and (first.kernel_size, first.stride, first.padding) == ((3, 3), (1, 1), (1, 1))
        and (first.dilation, first.groups, first.padding_mode) == ((1, 1), 1, "zeros")
    )


class _Doubling(nn.Module):
    """A U-Net's decoder block without repeated pixels.

    Args:
        block: The block; its first convolution takes the repeated pixels, then the skip's.
        features: Channels of the repeated pixels.
    """

    def __init__(self, block: Any, features: int) -> None:
        super().__init__()
        first, *rest = block.conv1
        weight, beside = first.weight[:, :features], first.weight[:, features:]
        # the sum of a 3 x 3 kernel and its copies one pixel down, right, and both: 4 x 4
        around = functional.pad(weight.flip(2, 3), (1, 1, 1, 1))
        sums = functional.avg_pool2d(around, 2, stride=1, divisor_override=1)
        empty: Any = {"device": "meta"}  # random weights would change torch's random state
        self.up = nn.ConvTranspose2d(features, len(weight), 4, stride=2, padding=1, **empty)
        self.up.weight = nn.Parameter(sums.transpose(0, 1).contiguous())
        bias = weight.new_zeros(len(weight)) if first.bias is None else first.bias
        self.up.bias = nn.Parameter(bias.detach().clone())
        self.skip: nn.Module | None = None
        if beside.shape[1]:
            self.skip = nn.Conv2d(beside.shape[1], len(weight), 3, padding=1, bias=False, **empty)
            self.skip.weight = nn.Parameter(beside.contiguous())
        self.rest = nn.Sequential(*rest, block.conv2, block.attention2)

    def forward(
        self, features: torch.Tensor, *others: Any, skip_connection: torch.Tensor | None = None
    ) -> torch.Tensor:
        """As the block's: U-Net passes size and skip by name, U-Net++ the skip alone."""
        larger = self.up(features)
        if self.skip is not None:
            larger += self.skip(others[-1] if skip_connection is None else skip_connection)
        result: torch.Tensor = self.rest(larger)
        return result


def _rest(norm: nn.BatchNorm2d) -> nn.Module:
    """The other steps of a batch norm: timm's also apply dropout and activation."""
    parts = [getattr(norm, name) for name in ("drop", "act") if hasattr(norm, name)]
    return nn.Sequential(*parts)


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module)
