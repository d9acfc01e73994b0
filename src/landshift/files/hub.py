"""Models on a Hugging Face Hub: ``hf://owner/repo[@revision]`` as the path of a model."""

from __future__ import annotations

import os
import re
import shutil
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from landshift.errors import ModelError, WeightsError, reason_of
from landshift.machine.extras import required

OFFLINE = "LANDSHIFT_OFFLINE"
"""Environment variable: while set, nothing is downloaded; training starts from random weights."""

_TIMEOUT = 5.0  # seconds to wait for a server's first answer

_PLACE = re.compile(r"hf:/{1,2}([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")  # pathlib reduces // to /
_FILES = [
    "SHA256SUMS", "*.json", "*.emd", "*.safetensors", "*.pth", "*.onnx", "*.dlpk", "*.html", "*.py",
]  # fmt: skip
"""Name patterns of a model's files."""


def local(path: Path | str) -> Path:
    """The local path of a model; a model on a hub is downloaded once.

    Args:
        path: A path, or ``hf://owner/repo[@revision]``; the revision is a branch, a tag or a
            commit. The hub is HF_ENDPOINT from the environment, else huggingface.co; the files
            are stored in its client's cache.

    Raises:
        ParameterError: huggingface_hub isn't installed.
        ModelError: The name is malformed, or the user has no access to such a model.
        WeightsError: The model isn't in the cache, and the network is down or switched off.
    """
    if not is_on_hub(path):
        return Path(path)
    place = _PLACE.fullmatch(str(path))
    if place is None or ".." in str(path):
        raise ModelError(
            f"A model on a hub must be named hf://owner/repo[@revision], got {path}; check it."
        )
    hub = import_hub()
    from huggingface_hub import errors

    repo, revision = place.groups()
    offline = bool(os.environ.get(OFFLINE))
    try:
        if not offline:
            check_reachable(endpoint())
        snapshot = hub.snapshot_download(
            repo, revision=revision, endpoint=endpoint(), allow_patterns=_FILES,
            local_files_only=offline,
        )  # fmt: skip
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise ModelError(
            f"The model must be on {endpoint()}, got no {path} there for you; check its name, or "
            "log in with `hf auth login`."
        ) from error
    except Exception as error:  # the hub's and its HTTP client's errors share no base class
        why = f"{OFFLINE} is set" if offline else reason_of(error)
        raise WeightsError(
            f"{path} must come from {endpoint()}, got none in the cache and no answer ({why}); "
            "fetch it where there is a network, or give a folder."
        ) from error
    folder = _plain(Path(snapshot), Path(hub.constants.HF_HUB_CACHE))
    packed = list(folder.glob("*.dlpk"))
    return packed[0] if len(packed) == 1 and not any(folder.glob("*.emd")) else folder


def is_on_hub(path: Path | str) -> bool:
    """Whether a path names a model on a hub."""
    return str(path).startswith("hf:/")


def endpoint() -> str:
    """The hub's address."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def import_hub() -> Any:
    """The huggingface_hub package.

    Raises:
        ParameterError: It isn't installed.
    """
    return required("huggingface_hub", "hub", "Models on a hub")


def _plain(snapshot: Path, cache: Path) -> Path:
    """A snapshot's files as plain files; the cache holds links, which packages must not contain."""
    folder = cache / ".landshift" / snapshot.parents[1].name / snapshot.name
    folder.mkdir(parents=True, exist_ok=True)
    for path in (p for p in snapshot.glob("*") if p.is_file()):
        target = folder / path.name
        if not target.exists():
            try:
                os.link(path.resolve(), target)
            except OSError:  # no hard links there
                shutil.copyfile(path, target)
    return folder


def check_reachable(endpoint: str) -> None:
    """Fail within seconds if a hub doesn't answer; its client would retry for a minute.

    Raises:
        OSError: The hub doesn't answer.
    """
    if any(os.environ.get(v) for v in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return
    address = urlsplit(endpoint)
    port = address.port or (443 if address.scheme == "https" else 80)
    socket.create_connection((address.hostname, port), _TIMEOUT).close()
