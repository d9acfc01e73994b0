"""Where an encoder's weights come from: timm's ImageNet weights, torchgeo's, or a file."""

from __future__ import annotations

import logging
import math
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import safetensors.torch
import timm
import torch

from landshift import sensors
from landshift.errors import (
    ModelError,
    ParameterError,
    WeightsError,
    listed,
    plain,
    reason_of,
    refuse_out_of_memory,
)
from landshift.files.hub import OFFLINE, check_reachable
from landshift.machine.extras import required
from landshift.models import stated
from landshift.models.sensors import thermal
from landshift.models.transfer import EncoderWeights, Encoding, Scaling

log = logging.getLogger(__name__)

_WAYS_ON = "pass pretrained_backbone=False for a random start, or the path of a weights file"

_TORCHGEO = re.compile(r"(\w+)_Weights\.(\w+)")
_BACKBONES = {"ResNet18": "resnet18", "ResNet50": "resnet50", "ResNet152": "resnet152"}
"""torchgeo's models that are encoders of timm under the same names of tensors."""
_PUBLISHED = re.compile(r"(?=.*(?:landsat|sentinel|fmow))(?:.*_)?(resnet\d+)_.*-[0-9a-f]{8}\.pth")
"""File names that torchgeo's weights are published under."""

_MAX_BYTES = 16 << 30  # of a weights file; the largest encoders have a tenth

_NESTS = ("state_dict", "model_state_dict", "model", "teacher")  # where checkpoints keep tensors

_REFLECTANCE: tuple[Encoding, ...] = ((1.0, 0.0), (1e-4, 0.0))
_LEVEL_2 = (2.75e-5, -0.2)  # of Landsat Collection 2, surface reflectance (USGS LSDS-1619)
_OLI_LEVEL_1 = (2e-5, -0.1)  # at the top of the atmosphere, without the sun's elevation
_KELVIN = math.nan  # as the zero of bands that aren't reflectance


def backbone_of(pretrained: bool | str | Path, backbone: str | None) -> str | None:
    """The encoder that weights are for, where their name states it.

    Args:
        pretrained: As for `encoder_weights`.
        backbone: The encoder that the user named, if any.

    Raises:
        ModelError: The weights are for another encoder, or for none that we can use.
    """
    named = None if isinstance(pretrained, bool) else _torchgeo_name(pretrained)
    if named is not None:
        if named[1] not in _BACKBONES:
            raise ModelError(
                f"Weights of torchgeo must be those of {', '.join(_BACKBONES)}, got {pretrained}; "
                "its other models are no encoders of timm."
            )
        own = _BACKBONES[named[1]]
    else:
        published = _PUBLISHED.fullmatch(Path(str(pretrained)).name)
        if published is None:
            return backbone
        own = published[1]
    if backbone is not None and backbone.split(".")[0] != own:
        raise ModelError(
            f"The backbone must be {own} for {pretrained}, got {backbone}; leave it out."
        )
    return backbone or own


def check_file(pretrained: bool | str | Path) -> None:
    """Check that weights which are a file are there.

    Args:
        pretrained: As for `encoder_weights`.

    Raises:
        WeightsError: No such file.
    """
    if not isinstance(pretrained, bool) and _torchgeo_name(pretrained) is None:
        _check_exists(Path(pretrained))


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise WeightsError(f"The weights file must exist, got {path}; check the path.")


def encoder_weights(backbone: str, pretrained: bool | str | Path) -> EncoderWeights | None:
    """The weights that an encoder starts from; None for a random start.

    Args:
        backbone: Name of a timm encoder.
        pretrained: True for ImageNet weights; False for none; a name of torchgeo's, as
            ``ResNet18_Weights.LANDSAT_ETM_TOA_MOCO``; or a file (.safetensors, or .pth written by
            torch.save) with the encoder's state dict, and what `stated.of_file` reads of its
            input. A file that torchgeo publishes is known by its name, and counts as the weights
            of that name.

    Raises:
        WeightsError: The file isn't there, the encoder has no weights, or no network answers.
        ModelError: The file holds no state dict, or more than one.
        ParameterError: Weights of torchgeo, which isn't installed or lacks the name.
    """
    if pretrained is False:
        return None
    named = None if pretrained is True else _torchgeo_name(pretrained)
    if pretrained is not True and named is None:
        return _from_file(Path(pretrained))
    if os.environ.get(OFFLINE):
        log.warning("%s is set: %s starts from random weights.", OFFLINE, backbone)
        return None
    return _from_hub(backbone) if named is None else _from_torchgeo(named[0])


class _Skipped(dict[Any, Any]):
    """Stands for anything but tensors in a checkpoint; drops its contents."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __setitem__(self, key: Any, value: Any) -> None:
        """Keep nothing."""

    def __setstate__(self, state: Any) -> None:
        """Keep nothing."""


def read_state(path: Path, *, skip: bool = False) -> dict[str, torch.Tensor]:
    """The tensors of a state dict, by name; nothing in the file is run.

    Args:
        path: A .safetensors file, or one of torch.save, where they may lie under ``state_dict``.
        skip: Whether to skip objects other than tensors and plain values, such as training
            frameworks save beside them; else a file with such objects is refused.

    Raises:
        WeightsError: No such file.
        ModelError: It can't be read as tensors alone.
    """
    _check_exists(path)
    try:
        _check_size(path)
        if path.suffix.lower() == ".onnx":
            raise ValueError("an ONNX graph, whose tensors have to be taken out first")
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        strange = torch.serialization.get_unsafe_globals_in_checkpoint(path) if skip else []
        with torch.serialization.safe_globals([(_Skipped, name) for name in strange]):
            contents: Any = torch.load(path, map_location="cpu", weights_only=True)
        while isinstance(contents, Mapping):
            inner = next((n for n in _NESTS if isinstance(contents.get(n), Mapping)), None)
            if inner is None:
                break
            contents = contents[inner]
        state = {str(k): v for k, v in contents.items() if isinstance(v, torch.Tensor)}
        odd = [k for k, v in state.items() if v.layout != torch.strided or v.device.type != "cpu"]
        if odd:
            raise ValueError(f"{odd[0]:.60} is no plain tensor")
    except Exception as error:  # a damaged or hostile stream can fail in any way
        refuse_out_of_memory(error, f" while reading {path}")
        reason = _reason(path, error)
        raise ModelError(
            f"A weights file must hold a state dict, got {path} ({reason}); give one as "
            ".safetensors or by torch.save."
        ) from error
    if not state:
        raise ModelError(
            f"A weights file must hold a state dict, got no tensors in {path}; give one as "
            ".safetensors or by torch.save."
        )
    return state


def _reason(path: Path, error: Exception) -> str:
    """Why a file isn't read; torch's own text advises to run whatever it holds."""
    if "weights_only" not in str(error):
        return reason_of(error)
    try:
        others = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # damaged, as above
        others = []
    return f"it also holds {plain(listed(others))}" if others else "not a file of torch.save"


def _check_size(path: Path) -> None:
    """Refuse what wouldn't fit into memory, before it is read or unpacked."""
    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as members:
            size = max(size, sum(m.file_size for m in members.infolist()))
    if size > _MAX_BYTES:
        raise ValueError(f"{size} bytes, more than {_MAX_BYTES}")


def _from_file(path: Path) -> EncoderWeights:
    state = read_state(path)
    statement = stated.of_file(path)
    if statement is not None:
        return _stated(str(path), state, statement)
    if _PUBLISHED.fullmatch(path.name):
        try:
            entry = _published_as(path.name)
        except ParameterError as error:
            log.warning("Bands and scaling of %s stay unknown: %s", path.name, error)
        else:
            if entry is not None:
                return _described(entry, state)
    return EncoderWeights(str(path), state)


def _stated(name: str, state: dict[str, torch.Tensor], about: stated.Statement) -> EncoderWeights:
    """Weights together with what their file states."""
    count, scaling = len(about.bands), None
    if about.units is not None:
        encodings = (*_REFLECTANCE, _LEVEL_2) if about.units == "reflectance" else ((1.0, 0.0),)
        zero, unit = about.zero or (0.0,) * count, about.unit or (1.0,) * count
        scaling = Scaling(about.units, zero, unit, encodings)
    return EncoderWeights(name, state, about.bands, about.sensor, scaling)


def _from_hub(backbone: str) -> EncoderWeights:
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    known = timm.get_pretrained_cfg(backbone)
    if known is None or not known.hf_hub_id:
        raise WeightsError(
            f"ImageNet weights must exist for the backbone, got {backbone} without any; "
            "pass pretrained_backbone=False, or a weights file."
        )
    name = known.hf_hub_filename or "model.safetensors"
    path = try_to_load_from_cache(known.hf_hub_id, name)
    if not isinstance(path, str):
        try:
            check_reachable(constants.ENDPOINT)
            path = str(hf_hub_download(known.hf_hub_id, name))
        except OSError as error:
            raise _no_answer(f"ImageNet weights of {backbone}", constants.ENDPOINT) from error
    # Photographs had mean 0 and standard deviation 1: as our tiles by their own statistics.
    bands = ("red", "green", "blue")
    return EncoderWeights(f"ImageNet weights of {backbone}", read_state(Path(path)), bands)


def _from_torchgeo(name: str) -> EncoderWeights:
    models = _torchgeo()
    try:
        entry = models.get_weight(name)
    except ValueError as error:
        kind = name.split(".")[0]
        known = ", ".join(e.name for e in getattr(models, kind))
        raise ParameterError(
            f"torchgeo must know the weights, got {name}; {kind} has {known}."
        ) from error
    path = Path(torch.hub.get_dir()) / "checkpoints" / _file_name(entry)
    if not path.is_file():
        address = urlsplit(entry.url)
        digest = re.search(r"-([0-9a-f]{8,})\.", path.name)
        try:
            check_reachable(f"{address.scheme}://{address.netloc}")
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(
                entry.url, str(path), digest and digest[1], progress=False
            )
        except OSError as error:
            raise _no_answer(name, entry.url) from error
        except RuntimeError as error:  # of torch.hub, about its digest
            raise WeightsError(
                f"{entry.url} must be the file that was published, got '{error}'; {_WAYS_ON}."
            ) from error
    return _described(entry, read_state(path))


def _described(entry: Any, state: dict[str, torch.Tensor]) -> EncoderWeights:
    """Weights together with torchgeo's description of them."""
    bands = tuple(entry.meta.get("bands") or ("red", "green", "blue"))
    sensor = next((s for s in sensors.known().sensors if entry.name.startswith(s)), "")
    return EncoderWeights(str(entry), state, bands, sensor, _scaling(entry, bands, sensor))


def _scaling(entry: Any, bands: tuple[str, ...], sensor: str) -> Scaling | None:
    """The input that torchgeo's weights need, in units that rasters have.

    torchgeo states how the tensors of its data sets are scaled. SSL4EO-L holds Landsat in 8 bits:
    value = 256 (x - low) / (high - low), with low to high 0 to 0.3 of surface reflectance, 0 to
    0.4 at the top of the atmosphere, 248.15 to 318.15 K (its compress_*.sh; Stewart et al. 2023,
    arXiv:2306.09424). Sentinel-2 is reflectance times 10,000, except for pictures of red, green
    and blue (SeCo, Satlas). Radar is standardised, as our tiles are.
    """
    zero, unit = _normalisation(entry.transforms, len(bands))
    dataset, name = entry.meta.get("dataset", ""), entry.name
    if dataset == "SSL4EO-L":
        high = 0.3 if "_SR_" in name else 0.4
        step = high / 256
        encodings = _REFLECTANCE
        if sensor == "LANDSAT_OLI":
            encodings += (_OLI_LEVEL_1,) if "_TOA_" in name else (_LEVEL_2,)
        elif "_SR_" in name:
            encodings += (_LEVEL_2,)
        warm = [thermal(b, sensor) for b in bands]
        return Scaling(
            "reflectance",
            tuple(_KELVIN if w else z * step for w, z in zip(warm, zero, strict=True)),
            tuple(u * step for u in unit),
            encodings,
        )
    if sensor == "SENTINEL2" and "SATLAS" not in name and not name.endswith("_RGB_SECO"):
        reflected = [b != "NDVI" for b in bands]
        return Scaling(
            "reflectance",
            tuple(z * 1e-4 if r else _KELVIN for r, z in zip(reflected, zero, strict=True)),
            tuple(u * 1e-4 for u in unit),
            _REFLECTANCE,
        )
    if sensor == "SENTINEL2" or "RGB" in name:
        pictures = [u < 256 for u in unit]
        return Scaling(
            "8 bit",
            tuple(z if p else _KELVIN for p, z in zip(pictures, zero, strict=True)),
            unit,
        )
    return None


def _normalisation(transforms: Any, count: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Offset and divisor of all steps of torchgeo's transforms together."""
    zero, unit = torch.zeros(count, dtype=torch.float64), torch.ones(count, dtype=torch.float64)
    for step in transforms.children() if isinstance(transforms, torch.nn.Module) else ():
        if hasattr(step, "mean") and hasattr(step, "std"):
            zero = zero + unit * torch.as_tensor(step.mean, dtype=torch.float64)
            unit = unit * torch.as_tensor(step.std, dtype=torch.float64)
    return tuple(zero.tolist()), tuple(unit.tolist())


def _published_as(name: str) -> Any:
    """torchgeo's entry for a file name; None where it has none."""
    models = _torchgeo()
    for kind in _BACKBONES:
        for entry in getattr(models, f"{kind}_Weights"):
            if _file_name(entry) == name:
                return entry
    return None


def _torchgeo_name(pretrained: str | Path) -> tuple[str, str] | None:
    """A name of torchgeo's weights, and of its model; None for a path."""
    name = _TORCHGEO.fullmatch(str(pretrained))
    return None if name is None or Path(pretrained).is_file() else (name[0], name[1])


def _file_name(entry: Any) -> str:
    return Path(urlsplit(entry.url).path).name


def _torchgeo() -> Any:
    return required("torchgeo.models", "torchgeo", "Weights of torchgeo")


def _no_answer(what: str, address: str) -> WeightsError:
    return WeightsError(f"{what} must come from {address}, got no answer; {_WAYS_ON}.")
