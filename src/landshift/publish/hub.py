"""Models pushed to a Hugging Face Hub."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from landshift import bundle
from landshift.errors import OutputError, ParameterError, reason_of
from landshift.files import whole
from landshift.files.hub import OFFLINE, check_reachable, endpoint, import_hub, local
from landshift.publish.card import card

_REPO = re.compile(r"[\w.-]+/[\w.-]+")


def write_for_hub(
    path: Path | str,
    repo: str,
    folder: Path | str,
    *,
    licence: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write what `push` would push: the files of a model, and its card.

    Args:
        path: The model: .emd, .dlpk or folder.
        repo: Where it shall go: ``owner/name``.
        folder: A new folder.
        licence: Its licence, as hubs call it.
        overwrite: Whether a model that is there already is replaced.

    Raises:
        ModelError: The model is none of ours, or its files aren't as they were saved.
        ParameterError: No such name can be, or the folder has something in it.
        OutputError: The folder can't be written.
    """
    _check_name(repo)
    bundle.check_new(Path(folder), overwrite=overwrite)
    with whole.whole_folder(Path(folder), replace=overwrite) as part:
        _fill(part, local(path), repo, licence)
    return Path(folder)


def push(
    path: Path | str,
    repo: str,
    *,
    private: bool = False,
    licence: str | None = None,
    message: str | None = None,
) -> str:
    """Push a model and its card to a hub, that of the environment's HF_ENDPOINT or huggingface.co.

    Args:
        path: The model: .emd, .dlpk or folder.
        repo: ``owner/name``; made if need be.
        private: Whether a repository that is made can be seen by its owner alone.
        licence: Its licence, as hubs call it.
        message: What the hub's history says.

    Returns:
        The address of the model.

    Raises:
        ModelError: The model is none of ours, or its files aren't as they were saved.
        ParameterError: huggingface_hub isn't installed; there is no token; the environment says to
            ask no network; no such name can be.
        OutputError: The hub doesn't answer, or refuses.
    """
    _check_name(repo)
    if os.environ.get(OFFLINE):
        raise ParameterError(
            f"Pushing needs a network, got {OFFLINE} set; --to FOLDER writes what would be pushed."
        )
    hub = import_hub()
    if hub.get_token() is None:
        raise ParameterError(
            "Pushing needs a token of the hub, got none; log in with `hf auth login`, or set "
            "HF_TOKEN."
        )
    with tempfile.TemporaryDirectory(prefix="landshift-") as temporary:
        folder = Path(temporary)
        name = _fill(folder, local(path), repo, licence)
        try:
            check_reachable(endpoint())
            api = hub.HfApi(endpoint=endpoint())
            api.create_repo(repo, private=private, exist_ok=True)
            api.upload_folder(
                repo_id=repo, folder_path=folder, commit_message=message or f"Model {name}"
            )
        except Exception as error:  # its own and its HTTP client's have no common ancestor
            reason = reason_of(error)
            raise OutputError(
                f"The model must be pushed to {repo} on {endpoint()}, got '{reason}'; check the "
                "name, the token's rights and the network."
            ) from error
    return f"{endpoint()}/{repo}"


def _fill(folder: Path, path: Path, repo: str, licence: str | None) -> str:
    """Put the files of a model and its card into a folder; the model's name."""
    bundle.copy_files(path, folder)
    package = bundle.load(folder)
    (folder / "README.md").write_text(card(package, repo, licence=licence), encoding="utf-8")
    return package.name


def _check_name(repo: str) -> None:
    if not _REPO.fullmatch(repo) or ".." in repo or "--" in repo:
        raise ParameterError(f"A repository must be named owner/name, got {repo!r}.")
