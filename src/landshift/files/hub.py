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
"""Environment variable; set, nothing is downloaded and training starts from random weights."""

_TIMEOUT = 5.0  # seconds to wait for a server to answer at all

_PLACE = re.compile(r"hf:/{1,2}([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")  # a Path has one slash left
_FILES = [
    "SHA256SUMS", "*.json", "*.emd", "*.safetensors", "*.pth", "*.onnx", "*.dlpk", "*.html", "*.py",
]  # fmt: skip
"""What a model's files are called."""


def local(path: Path | str) -> Path:
    """The path of a model on this machine; one on a hub is fetched, once.

    Args:
        path: A path; or ``hf://owner/repo``, with ``@revision`` behind it for a branch, a tag or a
            commit. The hub is that of the environment's HF_ENDPOINT, else huggingface.co; the
            files lie in its client's cache.

    Raises:
        ParameterError: huggingface_hub isn't installed.
        ModelError: The name is none, or there is no such model for who asks.
        WeightsError: No network answers, or the environment says to ask none, and the model isn't
            in the cache.
    """
    if not str(path).startswith("hf:/"):
        return Path(path)
    found = _PLACE.fullmatch(str(path))
    if found is None or ".." in str(path):
        raise ModelError(
            f"A model on a hub must be named hf://owner/repo[@revision], got {path}; check it."
        )
    hub = import_hub()
    from huggingface_hub import errors

    repo, revision = found.groups()
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
    except Exception as error:  # its own and its HTTP client's have no common ancestor
        why = f"{OFFLINE} is set" if offline else reason_of(error)
        raise WeightsError(
            f"{path} must come from {endpoint()}, got none in the cache and no answer ({why}); "
            "fetch it where there is a network, or give a folder."
        ) from error
    folder = _plain(Path(snapshot), Path(hub.constants.HF_HUB_CACHE))
    packed = list(folder.glob("*.dlpk"))
    return packed[0] if len(packed) == 1 and not any(folder.glob("*.emd")) else folder


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
    """The files of a snapshot as files, which a cache keeps as links that no package may hold."""
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
    """Fail in seconds where a hub's own client would retry for a minute.

    Raises:
        OSError: Nothing answers there.
    """
    if any(os.environ.get(v) for v in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return
    address = urlsplit(endpoint)
    port = address.port or (443 if address.scheme == "https" else 80)
    socket.create_connection((address.hostname, port), _TIMEOUT).close()
