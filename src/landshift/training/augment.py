"""Training batches varied at random: images, labels and class maps together."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from landshift.classes import IGNORE_INDEX, ClassScheme, code_table, reversed_codes
from landshift.dataset import TrainingData
from landshift.errors import ParameterError
from landshift.models import ChangeModel
from landshift.spec import InputSpec
from landshift.training.options import Augmentation, Training


def augmentation_of(model: ChangeModel, options: Training) -> Augmentation | None:
    """The augmentation of a training, without light for models that compare it."""
    augmentation = options.augmentation
    if augmentation is None or not model.compares_light:
        return augmentation
    return replace(augmentation, brightness=0.0, contrast=0.0)


class Varied(NamedTuple):
    """A batch after augmentation.

    Attributes:
        images: ``(batch, band, row, column)``.
        targets: ``(batch, layer, row, column)``.
        partners: Targets of the samples mixed into the images; None where none were.
        share: Weight of `targets` in the loss; that of `partners` is the rest.
        weights: Weights of the labels, ``(batch, row, column)``; None: all equal.
        partner_weights: Those of `partners`.
    """

    images: torch.Tensor
    targets: torch.Tensor
    partners: torch.Tensor | None = None
    share: float = 1.0
    weights: torch.Tensor | None = None
    partner_weights: torch.Tensor | None = None


class BatchAugmentation:
    """Varies batches with torch's random numbers.

    A pixel that isn't valid holds the mean in all bands and keeps it: brightness, noise and the
    like don't change it.

    Args:
        options: How batches are varied; None: not at all.
        data: The tiles that batches are made of.

    Raises:
        ParameterError: Bands of one date only to shift, or dates that can't be swapped.
    """

    def __init__(self, options: Augmentation | None, data: TrainingData) -> None:
        self.options = options
        self.spec = data.spec
        self.mean = torch.tensor(data.spec.mean)[:, None, None]
        self.std = torch.tensor(data.spec.std)[:, None, None]
        self.dates = tuple(data.spec.by_date().values())
        date_of = [next(d for d, own in enumerate(self.dates) if k in own) for k in self._bands]
        self.date_of = torch.tensor(date_of)
        self.swap = None
        if options is not None and options.swap:
            self.swap = _Swap(data.spec, data.scheme, data.tiles.map_scheme)
        if options is not None and options.shift and len(self.dates) < 2:
            raise ParameterError(
                "Augmentation's shift moves one date against another, got bands of one date: "
                f"{', '.join(data.spec.bands)}; name bands as in 'before:red', or give `dates`."
            )

    @property
    def _bands(self) -> range:
        return range(len(self.spec.bands))

    @property
    def class_maps(self) -> bool:
        """Whether it needs the class maps in the targets."""
        return self.swap is not None and self.swap.codes is None

    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
    ) -> Varied:
        """Vary a batch; the tensors given stay as they are."""
        if self.options is None:
            return Varied(images, targets, weights=weights)
        images = self._values(images)
        if self.swap is not None:
            chosen = torch.rand(len(images)) < self.options.swap
            images, targets = self.swap(images, targets, chosen)
        if self.options.turns:
            images, targets, *own = turn(images, targets, *([] if weights is None else [weights]))
            weights = own[0] if own else None
        return self._mixed(images, targets, weights)

    def _values(self, images: torch.Tensor) -> torch.Tensor:
        """Variations of the values; labels stay."""
        o, count, bands = self.options, len(images), len(self.spec.bands)
        assert o is not None
        mean, std = self.mean.to(images.device), self.std.to(images.device)
        original, unknown = images, self._unknown(images, mean)
        if o.brightness or o.contrast:
            sizes = (count, len(self.dates))
            scale = 1 + o.contrast * _around_zero(*sizes)[:, self.date_of, None, None]
            bright = o.brightness * _around_zero(*sizes)[:, self.date_of, None, None]
            scale, bright = scale.to(images.device), bright.to(images.device)
            images = torch.addcmul(mean * (1 - scale) + bright * std, images, scale)
        if o.noise:
            images = torch.addcmul(images, torch.randn_like(images), std, value=o.noise)
        if o.band_dropout:
            dropped = (torch.rand(count, bands, 1, 1) < o.band_dropout).to(images.device)
            images = torch.where(dropped, mean, images)
        if o.shift:
            moved = torch.randint(len(self.dates), (count, 1)) == self.date_of
            offsets = o.shift * _around_zero(count, 1, 2) * moved[..., None]
            images = shift(images, offsets)
        if unknown is not None and images is not original:
            images = torch.where(unknown, mean, images)
        return images

    def _unknown(self, images: torch.Tensor, mean: torch.Tensor) -> torch.Tensor | None:
        """Pixels ``(batch, 1, row, column)`` that hold the mean in all bands; None: there are none.

        A valid pixel rarely holds the exact mean of the first band, so most batches compare one
        band only.
        """
        unknown = images[:, :1] == mean[:1]
        for k in self._bands[1:]:
            if not unknown.any():
                return None
            unknown &= images[:, k : k + 1] == mean[k]
        return unknown if unknown.any() else None

    def _mixed(
        self, images: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None
    ) -> Varied:
        """Mixup or cutmix, each sample with the next one of the batch."""
        o = self.options
        assert o is not None
        ways = [name for name in ("mixup", "cutmix") if getattr(o, name)]
        if not ways or len(images) < 2:
            return Varied(images, targets, weights=weights)
        way = ways[int(torch.randint(len(ways), ()))]
        alpha = torch.tensor(float(getattr(o, way)))
        share = float(torch.distributions.Beta(alpha, alpha).sample())
        others, partners = images.roll(1, 0), targets.roll(1, 0)
        theirs = None if weights is None else weights.roll(1, 0)
        if way == "mixup":
            mixed = torch.lerp(others, images, share)
            return Varied(mixed, targets, partners, share, weights, theirs)
        rows, columns = (_span(n, (1 - share) ** 0.5) for n in images.shape[-2:])
        images, targets = images.clone(), targets.clone()
        images[..., rows, columns] = others[..., rows, columns]
        targets[..., rows, columns] = partners[..., rows, columns]
        if weights is not None and theirs is not None:
            weights = weights.clone()
            weights[..., rows, columns] = theirs[..., rows, columns]
        return Varied(images, targets, weights=weights)


def turn(*tensors: torch.Tensor) -> list[torch.Tensor]:
    """One of the eight flips and quarter turns for each sample, the same for all its tensors."""
    turned = [torch.empty_like(each) for each in tensors]
    for k, way in enumerate(torch.randint(8, (len(tensors[0]),)).tolist()):
        for source, target in zip(tensors, turned, strict=True):
            sample = source[k].flip(-1) if way >= 4 else source[k]
            target[k] = sample.rot90(way % 4, (-2, -1))
    return turned


def shift(images: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Bands moved by parts of a pixel, bilinearly; edges are extended.

    Args:
        images: ``(batch, band, row, column)``.
        offsets: ``(batch, band, 2)`` pixels down and to the right, each from -1 to 1.
    """
    count, bands, height, width = images.shape
    steps = torch.tensor([1.0, 0.0, -1.0])  # moved down by 1, a pixel holds the one above it
    hats = (1 - (offsets[..., None] - steps).abs()).clamp(min=0)
    down, right = hats[..., 0, :, None], hats[..., 1, None, :]
    kernels = (down * right).reshape(count * bands, 1, 3, 3)
    stacked = images.reshape(1, count * bands, height, width)
    padded = functional.pad(stacked, (1, 1, 1, 1), mode="replicate")
    moved = functional.conv2d(padded, kernels.to(images), groups=count * bands)
    return moved.reshape(images.shape)


class _Swap:
    """Swaps the two dates of samples.

    The new codes of the change map follow from their names where these state both classes, else
    from the class maps in the targets. There a label that doesn't agree with the class maps, as
    after a filter, becomes unlabelled.

    Args:
        spec: The bands.
        scheme: Classes of the change map.
        map_scheme: Classes before and after, if the tiles carry them.

    Raises:
        ParameterError: Other than two dates of the same bands; codes that can't be swapped.
    """

    def __init__(
        self, spec: InputSpec, scheme: ClassScheme, map_scheme: ClassScheme | None
    ) -> None:
        dates = list(spec.by_date().values())
        if len(dates) != 2 or len(dates[0]) != len(dates[1]):
            raise ParameterError(
                "Augmentation's swap needs two dates with the same bands, got "
                f"{', '.join(spec.bands)}; leave it out."
            )
        self.bands = list(range(len(spec.bands)))
        for first, second in zip(*dates, strict=True):
            self.bands[first], self.bands[second] = second, first
        codes = reversed_codes(scheme)
        self.codes = None if codes is None else _table(len(codes), codes)
        if codes is None:
            if map_scheme is None:
                raise ParameterError(
                    "Augmentation's swap needs codes that state the class before, or tiles with "
                    f"both class maps, got {', '.join(scheme.names)} without; leave it out."
                )
            self.pairs = torch.from_numpy(code_table(scheme, map_scheme).astype(np.int64))

    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor, chosen: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = chosen.to(images.device)[:, None, None, None]
        swapped = torch.where(chosen, images[:, self.bands], images)
        change = targets[:, :1]
        if self.codes is not None:
            change = self.codes.to(targets.device)[change]
        else:
            pairs = self.pairs.to(targets.device)
            before, after = targets[:, 1:2], targets[:, 2:3]
            change = pairs[after, before].where(change == pairs[before, after], IGNORE_INDEX)
        layers = torch.cat([change, targets[:, 1:].flip(1)], 1)
        return swapped, torch.where(chosen, layers, targets)


def _table(size: int, codes: tuple[int, ...]) -> torch.Tensor:
    """A table over all indices; `IGNORE_INDEX` stays itself."""
    table = torch.full((256,), IGNORE_INDEX)
    table[:size] = torch.tensor(codes)
    return table


def _around_zero(*shape: int) -> torch.Tensor:
    """Random numbers, even from -1 to 1."""
    return torch.rand(*shape) * 2 - 1


def _span(size: int, share: float) -> slice:
    """A random range of that share of ``size`` pixels."""
    length = round(size * share)
    start = int(torch.randint(size - length + 1, ()))
    return slice(start, start + length)
