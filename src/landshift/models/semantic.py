"""A network of the classes at both dates and their change, which agree."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from landshift.models.dates import by_date, split_dates
from landshift.models.detail import FEATURES


class SemanticChange(nn.Module):
    """Classes before and after and their change, as one joint distribution over pairs of classes.

    One network, the same for both dates, gives each pixel's features; a head reads the class of
    each date from them, another the change from both dates' features. A pair (i, j) of classes
    scores log p_before(i) + log p_after(j), and the change head adds its logit where i differs
    from j. So the map's 'from' and 'to' differ exactly where it shows change, and each head can
    correct the others. (Heads as in Zheng et al. 2022, doi 10.1016/j.isprsjprs.2021.10.015, and
    Ding et al. 2022, doi 10.1109/TGRS.2022.3154390; the joint scores are ours.)

    Args:
        features: Network of one date: bands -> `FEATURES` a pixel.
        pairs: For each code of the change map, the pairs (i, j) of class indices it stands for.
        classes: Number of classes.
    """

    def __init__(
        self, features: nn.Module, pairs: Sequence[Sequence[tuple[int, int]]], classes: int
    ) -> None:
        super().__init__()
        self.features = features
        self.classes = nn.Conv2d(FEATURES, classes, 1)
        self.change = nn.Sequential(
            nn.Conv2d(3 * FEATURES, FEATURES, 1, bias=False),
            nn.BatchNorm2d(FEATURES),
            nn.ReLU(),
            nn.Conv2d(FEATURES, FEATURES, 3, padding=1, bias=False),
            nn.BatchNorm2d(FEATURES),
            nn.ReLU(),
            nn.Conv2d(FEATURES, 1, 1),
        )
        self.members = [[i * classes + j for i, j in code] for code in pairs]

    def heads(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits of the change map's codes, and of the classes before and after."""
        features = self.features(by_date(images, 2))  # (2 B, F, H, W)
        early, late = split_dates(features, 2)
        before, after = self.classes(early).float(), self.classes(late).float()
        change = self.change(torch.cat([early, late, (late - early).abs()], 1)).float()
        scores = before.log_softmax(1)[:, :, None] + after.log_softmax(1)[:, None]
        same = torch.eye(before.shape[1], device=scores.device)[None, :, :, None, None]
        scores = (scores + change[:, None] * (1 - same)).flatten(1, 2)  # (B, from * to, H, W)
        codes = [
            scores[:, members].logsumexp(1) if len(members) > 1 else scores[:, members[0]]
            for members in self.members
        ]
        return {"change": torch.stack(codes, 1), "before": before, "after": after}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of the change map's codes, from two stacked dates."""
        return self.heads(images)["change"]
