"""Weights brought into an encoder: layers by name, the first convolution by band, the scaling."""

from __future__ import annotations

import logging
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import timm
import torch

from landshift.errors import ModelError, listed
from landshift.models.sensors import match
from landshift.spec import InputSpec, split_name

log = logging.getLogger(__name__)

_PREFIXES = ("module.", "model.", "encoder.", "backbone.", "network.", "features.", "encoder_q.")
_BLOCK = re.compile(r"(?<=_)\d+(?=_)")  # number of a block in a flat name
_COUNTER = "num_batches_tracked"  # of batch norm; older files lack it

Encoding = tuple[float, float]
"""Factor and offset that turn a raster's values into the units of a `Scaling`."""


@dataclass(frozen=True)
class Scaling:
    """The input that weights require: (x - zero) / unit, x in the units they were trained in.

    Attributes:
        units: ``reflectance``, or ``8 bit`` for pictures of values from 0 to 255.
        zero: Value of each band that enters as 0; NaN where it has other units (temperature).
        unit: Difference of each band that enters as 1.
        encodings: Ways in which rasters store these units.
    """

    units: str
    zero: tuple[float, ...]
    unit: tuple[float, ...]
    encodings: tuple[Encoding, ...] = ((1.0, 0.0),)


@dataclass(frozen=True)
class EncoderWeights:
    """Weights of an encoder for images of one date.

    Attributes:
        name: Their name or path, for messages.
        state: Tensors by name, as read.
        bands: Bands they were trained on, in order, those of several dates as DATE:BAND; ()
            where unknown.
        sensor: Name in `landshift.sensors.known` of the sensor behind them, or ''.
        scaling: The input they need; None: of mean 0 and standard deviation 1, as tiles have it
            anyway.
    """

    name: str
    state: Mapping[str, torch.Tensor]
    bands: tuple[str, ...] = ()
    sensor: str = ""
    scaling: Scaling | None = None


def fill(
    encoder: Any, backbone: str, weights: EncoderWeights, inputs: Sequence[tuple[str, str]]
) -> None:
    """Put weights into an encoder.

    Every layer but the first takes the tensor of its name; a classifier's head is left out, and
    layers that the features don't come from may be missing. The first convolution takes, for each
    date, the filters of the bands that `match` names as partners, divided by the number of dates:
    so that the sum over stacked dates is that over one.

    Args:
        encoder: Encoder of segmentation-models-pytorch, its own or around one of timm.
        backbone: Its name.
        weights: The weights.
        inputs: Date and name of each band that it sees.

    Raises:
        ModelError: Layers are missing, or have other shapes; bands that don't fit.
    """
    of_timm = hasattr(encoder, "model")
    module = encoder.model if of_timm else encoder
    own = {_flat(k): v for k, v in module.state_dict().items()}
    wanted = [k for k in own if not k.endswith(_COUNTER)]
    state = {_flat(k): v for k, v in _strip(weights.state, own).items()}
    if of_timm and not state.keys() >= set(wanted):
        state = {_flat(k): v for k, v in _as_of_today(weights.state, own, backbone).items()}
    seeing = {
        key
        for key in (_flat(f"{n}.weight") for n in _first_layers(module, backbone, len(inputs)))
        if key in own and own[key].dim() == 4 and own[key].shape[1] == len(inputs)
    }
    unfit = [
        k
        for k in wanted
        if k not in state or _shape(state[k], k in seeing) != _shape(own[k], k in seeing)
    ]
    if unfit and not of_timm and not set(unfit) & state.keys():
        idle = _idle(encoder, len(inputs))
        unfit = [k for k in unfit if k not in idle]
    if unfit:
        raise ModelError(
            f"The weights must fit {backbone}, got {len(wanted) - len(unfit)} of its "
            f"{len(wanted)} tensors in {weights.name} (not {', '.join(unfit[:3])}"
            f"{' ...' if len(unfit) > 3 else ''}); name the backbone that they were made for."
        )
    for key in seeing:
        state[key] = _first(state[key], weights, inputs)
    blocks = {_BLOCK.sub("#", k) for k in own}
    more = [k for k in state if k not in own and _BLOCK.sub("#", k) in blocks]
    if more:
        log.warning(
            "%s holds blocks that %s lacks, such as %s: they are left out. Was it trained in a "
            "larger backbone?", weights.name, backbone, more[0],
        )  # fmt: skip
    with torch.no_grad():
        for key, tensor in own.items():
            if key in state:
                tensor.copy_(state[key])
    log.info("%s: all %d tensors of %s.", weights.name, len(wanted), backbone)


def _shape(tensor: torch.Tensor, sees_bands: bool) -> tuple[int, ...]:
    """Shape of a tensor, without the number of bands where it sees them."""
    shape = tuple(tensor.shape)
    return (shape[0], *shape[2:]) if sees_bands else shape


def _first_layers(module: torch.nn.Module, backbone: str, bands: int) -> tuple[str, ...]:
    """Names of the convolutions that see the bands."""
    config = timm.get_pretrained_cfg(backbone)
    if config is not None:
        first = config.first_conv or ()
        return (first,) if isinstance(first, str) else tuple(first)
    layers = (
        name
        for name, layer in module.named_modules()
        if isinstance(layer, torch.nn.Conv2d) and layer.in_channels == bands
    )
    return tuple(islice(layers, 1))


def _idle(encoder: Any, bands: int) -> set[str]:
    """Flat names of the tensors that an encoder's features don't come from."""
    training = encoder.training
    encoder.eval()
    sum(f.sum() for f in encoder(torch.ones(1, bands, 64, 64))).backward()
    used = {
        _flat(k).rpartition("_")[0] for k, v in encoder.named_parameters() if v.grad is not None
    }
    encoder.zero_grad(set_to_none=True)
    encoder.train(training)
    return {
        _flat(k)
        for k in encoder.state_dict()
        if not any(_flat(k).startswith(f"{layer}_") for layer in used)
    }


def scale(spec: InputSpec, weights: EncoderWeights) -> InputSpec:
    """The input as weights need it.

    A band takes the scaling of its partner among the weights' bands, turned into the raster's
    units, which `_encoding` infers from the tiles' values. Bands without a partner,
    and thermal ones, are scaled to the average mean and standard deviation of the others, as they
    then enter the network. Where the values can't be in the weights' units, the input stays scaled
    by the tiles' own mean and standard deviation, with a warning.

    Args:
        spec: The input of the tiles.
        weights: The weights.
    """
    if weights.scaling is None:
        return spec
    scaling, known = weights.scaling, [split_name(band)[1] for band in weights.bands]
    inputs = spec.inputs()
    partners: list[int | None] = [None] * len(inputs)
    for positions in spec.by_date().values():
        matched = match([inputs[k][1] for k in positions], known, weights.sensor).partners
        for position, partner in zip(positions, matched, strict=True):
            if partner is not None and math.isfinite(scaling.zero[partner]):
                partners[position] = partner
    partnered = [k for k, partner in enumerate(partners) if partner is not None]
    encoding = _encoding(spec, partnered, scaling)
    if encoding is None:
        low, high = min(spec.minimum), max(spec.maximum)
        log.warning(
            "%s were trained on %s, got %s values of %g to %g (mean %g): scaled by the tiles' own "
            "mean and standard deviation instead.",
            weights.name, scaling.units, spec.dtype, low, high, sum(spec.mean) / len(spec.mean),
        )  # fmt: skip
        return spec
    factor, offset = encoding
    zero, unit = list(spec.mean), list(spec.std)
    for k in partnered:
        partner = partners[k]
        assert partner is not None
        zero[k] = (scaling.zero[partner] - offset) / factor
        unit[k] = scaling.unit[partner] / factor
    mean = sum((spec.mean[k] - zero[k]) / unit[k] for k in partnered) / len(partnered)
    std = sum(spec.std[k] / unit[k] for k in partnered) / len(partnered)
    for k in set(range(len(inputs))) - set(partnered):
        unit[k] = spec.std[k] / std
        zero[k] = spec.mean[k] - mean * unit[k]
    log.info(
        "%s: %s is value * %g %+g; enters as (value - %s) / %s.",
        weights.name, scaling.units, factor, offset, zero, unit,
    )  # fmt: skip
    return replace(spec, zero=tuple(zero), unit=tuple(unit))


def _encoding(spec: InputSpec, bands: Sequence[int], scaling: Scaling) -> Encoding | None:
    """How the raster stores the weights' units, by its values; None where it can't.

    Reflectance has a mean of 0.005 to 0.7 over the bands, no value below -0.3 and one of 0.1 or
    more, and is never stored in 8 bits. Where two encodings hold, the smallest value is nearer to
    0 in the right one: every scene has shadows.
    """
    if not bands:
        return None
    mean = sum(spec.mean[k] for k in bands) / len(bands)
    low, high = min(spec.minimum[k] for k in bands), max(spec.maximum[k] for k in bands)
    if scaling.units == "8 bit":
        return scaling.encodings[0] if low >= 0 and 25 <= high <= 255 else None
    if spec.dtype in ("uint8", "int8"):
        return None
    smallest: dict[Encoding, float] = {}
    for factor, offset in scaling.encodings:
        middle, bottom, top = (v * factor + offset for v in (mean, low, high))
        if 0.005 <= middle <= 0.7 and bottom >= -0.3 and top >= 0.1:
            smallest[factor, offset] = abs(bottom)
    return min(smallest, key=lambda encoding: smallest[encoding], default=None)


def _first(
    filters: torch.Tensor, weights: EncoderWeights, inputs: Sequence[tuple[str, str]]
) -> torch.Tensor:
    """Filters ``(out, band, row, column)`` for the bands at hand, from those of the weights."""
    filters, known = _of_one_date(filters, weights, inputs)
    if known == tuple(name for _, name in inputs):
        return filters
    mean = filters.mean(1)
    chosen = filters.new_empty(filters.shape[0], len(inputs), *filters.shape[2:])
    dates = dict.fromkeys(date for date, _ in inputs)
    for date in dates:
        positions = [k for k, (d, _) in enumerate(inputs) if d == date]
        if not weights.bands and len(positions) != len(known):
            names = listed([inputs[k][1] for k in positions])
            raise ModelError(
                f"Weights that state no bands must be for as many as the images have, got "
                f"{len(known)} in {weights.name} for {len(positions)} ({names}); state them in "
                f'{Path(weights.name).with_suffix(".json")}, as {{"bands": ["red", ...]}} '
                "(docs/models.md)."
            )
        matched = match([inputs[k][1] for k in positions], known, weights.sensor)
        for position, partner in zip(positions, matched.partners, strict=True):
            bank = mean if partner is None else filters[:, partner]
            chosen[:, position] = bank * (matched.factor / len(dates))
    return chosen


def _of_one_date(
    filters: torch.Tensor, weights: EncoderWeights, inputs: Sequence[tuple[str, str]]
) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Filters and names of one date's bands; of all dates, where the inputs have the same ones.

    A network of stacked dates that sees the same image on each answers with the sum of a band's
    filters over the dates.
    """
    count = filters.shape[1]
    if not weights.bands:
        return filters, ("",) * count
    names = tuple(split_name(band)[1] for band in weights.bands)
    own = tuple(dict.fromkeys(names))
    if count == len(own):  # of networks whose encoder sees one date, too
        return filters, own
    if count != len(names):
        raise ModelError(
            f"The bands of weights must be those of their first layer, got {len(weights.bands)} "
            f"names for filters of {count} bands in {weights.name}; correct what they state."
        )
    if names == tuple(name for _, name in inputs):
        return filters, names
    places = [[k for k, name in enumerate(names) if name == one] for one in own]
    return torch.stack([filters[:, p].sum(1) for p in places], 1), own


def _strip(
    state: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]
) -> Mapping[str, torch.Tensor]:
    """The encoder's tensors without the prefixes of the model it was a part of."""
    while not any(_flat(k) in own for k in state):
        prefix = next((p for p in _PREFIXES if any(k.startswith(p) for k in state)), None)
        if prefix is None:
            break
        state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    return state


def _as_of_today(
    state: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor], backbone: str
) -> Mapping[str, torch.Tensor]:
    """Tensors by timm's current names, where it can convert older or foreign ones."""
    module = sys.modules[timm.models.model_entrypoint(backbone).__module__]
    rename = getattr(module, "checkpoint_filter_fn", None)
    if rename is None:
        return _strip(state, own)
    try:
        with torch.random.fork_rng(devices=[]):
            renamed = rename(dict(state), timm.create_model(backbone, num_classes=0))
    except Exception:  # of timm, written for its own files: on others it may fail in any way
        return _strip(state, own)
    return _strip(renamed, own)


def _flat(name: str) -> str:
    """A tensor's name as an encoder of features has it, which joins some of its parts by '_'."""
    return name.removeprefix("model.").replace(".", "_")
