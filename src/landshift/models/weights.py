"""ImageNet weights of an encoder: from timm's hub once, from the local cache afterwards."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import timm

from landshift.errors import WeightsError

log = logging.getLogger(__name__)

OFFLINE = "LANDSHIFT_OFFLINE"
"""Environment variable; set, nothing is downloaded and training starts from random weights."""

_TIMEOUT = 5.0  # seconds to wait for the hub to answer at all


def encoder_weights(backbone: str, pretrained: bool | str | Path) -> str | None:
    """The file of weights that an encoder starts from; None for a random start.

    Args:
        backbone: Name of a timm encoder.
        pretrained: True for ImageNet weights, False for none, or a file (.safetensors or .pth)
            with the encoder's state dict.

    Raises:
        WeightsError: The file isn't there, the encoder has no weights, or no network answers.
    """
    if pretrained is False:
        return None
    if pretrained is not True:
        if not Path(pretrained).is_file():
            raise WeightsError(f"The weights file must exist, got {pretrained}; check the path.")
        return str(pretrained)
    if os.environ.get(OFFLINE):
        log.warning("%s is set: %s starts from random weights.", OFFLINE, backbone)
        return None
    return _from_hub(backbone)


def _from_hub(backbone: str) -> str:
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    known = timm.get_pretrained_cfg(backbone)
    if known is None or not known.hf_hub_id:
        raise WeightsError(
            f"ImageNet weights must exist for the backbone, got {backbone} without any; "
            "pass pretrained_backbone=False, or a weights file."
        )
    name = known.hf_hub_filename or "model.safetensors"
    cached = try_to_load_from_cache(known.hf_hub_id, name)
    if isinstance(cached, str):
        return cached
    try:
        _check_reachable(constants.ENDPOINT)
        return str(hf_hub_download(known.hf_hub_id, name))
    except OSError as error:
        raise WeightsError(
            f"ImageNet weights of {backbone} must come from {constants.ENDPOINT}, got no answer; "
            "pass pretrained_backbone=False for a random start, or the path of a weights file."
        ) from error


def _check_reachable(endpoint: str) -> None:
    """Fail in seconds where the hub's own client would retry for a minute."""
    if any(os.environ.get(v) for v in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return
    address = urlsplit(endpoint)
    port = address.port or (443 if address.scheme == "https" else 80)
    socket.create_connection((address.hostname, port), _TIMEOUT).close()
