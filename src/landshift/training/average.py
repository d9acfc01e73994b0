"""A running average of weights over the steps of a training."""

from __future__ import annotations

import torch
from torch.optim.swa_utils import AveragedModel

from landshift.models import ChangeModel

_Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]


def averaged(model: ChangeModel, decay: float) -> AveragedModel:
    """An average of a model's weights and batch-norm statistics, which starts as a copy of them.

    At each `update_parameters` it moves by 1 - d towards the model, where d is the decay, or
    (1 + n) / (10 + n) after n steps while that is less, so that early weights are soon forgotten.
    `get_ema_multi_avg_fn` knows one decay alone, and would average the counts of batch norm too.

    Args:
        model: The model, on the device that it is trained on.
        decay: d, 0 to 1.
    """

    def move(mean: _Tensors, live: _Tensors, _: object) -> None:
        # the count that is passed may lie on a GPU, and reading it there waits for the step
        steps = int(average.n_averaged)
        if mean[0].is_floating_point():
            torch._foreach_lerp_(mean, live, 1 - min(decay, (1 + steps) / (10 + steps)))
        else:
            torch._foreach_copy_(mean, live)

    average = AveragedModel(model, multi_avg_fn=move, use_buffers=True)
    average.n_averaged.fill_(1)  # at 0, the first step's weights would replace those of the start
    return average
