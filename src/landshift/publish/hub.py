"""Models pushed to a Hugging Face Hub."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from landshift import bundle
from landshift.errors import OutputError, ParameterError, reason_of
from landshift.files import options, whole
from landshift.files.hub import OFFLINE, check_reachable, endpoint, import_hub, local
from landshift.publish.card import card

_REPO = re.compile(r"[\w.-]+/[\w.-]+")


def push(
    model: Path | str,
    repo: str,
    *,
    to: Path | None = None,
    private: options.Flag = False,
    licence: Annotated[str | None, Parameter(name="--license")] = None,
    message: str | None = None,
    overwrite: options.Flag = False,
) -> str:
    """Push a model with a model card to a Hugging Face Hub.

    `landshift classify image.tif hf://owner/name -o map.tif` then runs it anywhere. The hub is that
    of the environment variable HF_ENDPOINT, or huggingface.co.

    Args:
        model: A saved model: .emd, .dlpk, folder or hf://owner/repo.
        repo: owner/name on the hub (HF_ENDPOINT); created if it doesn't exist.
        to: Write the files into this new folder instead of pushing them.
        private: Create a private repository.
        licence: Licence of the model, as apache-2.0.
        message: Commit message in the hub's history.
        overwrite: Replace a model that is already in that folder.

    Returns:
        The address of the model, or the folder.

    Raises:
        ModelError: The model isn't a package of landshift, or its files have changed.
        ParameterError: The repository's name is invalid; the folder isn't empty; huggingface_hub
            isn't installed, there is no token, or LANDSHIFT_OFFLINE is set.
        OutputError: The hub doesn't answer or refuses; the folder can't be written.
    """
    if to is not None:
        return str(write_for_hub(model, repo, to, licence=licence, overwrite=overwrite))
    _check_name(repo)
    if os.environ.get(OFFLINE):
        raise ParameterError(
            f"Pushing needs a network, got {OFFLINE} set; give a folder as `to` to write the files "
            "there."
        )
    hub = import_hub()
    if hub.get_token() is None:
        raise ParameterError(
            "Pushing needs a token of the hub, got none; log in with `hf auth login`, or set "
            "HF_TOKEN."
        )
    with tempfile.TemporaryDirectory(prefix="landshift-") as temporary:
        folder = Path(temporary)
        name = _fill(folder, local(model), repo, licence)
        try:
            check_reachable(endpoint())
            api = hub.HfApi(endpoint=endpoint())
            api.create_repo(repo, private=private, exist_ok=True)
            api.upload_folder(
                repo_id=repo, folder_path=folder, commit_message=message or f"Model {name}"
            )
        except Exception as error:  # the hub's and the HTTP client's have no common base class
            reason = reason_of(error)
            raise OutputError(
                f"The model must be pushed to {repo} on {endpoint()}, got '{reason}'; check the "
                "name, the token's rights and the network."
            ) from error
    return f"{endpoint()}/{repo}"


def write_for_hub(
    model: Path | str,
    repo: str,
    folder: Path | str,
    *,
    licence: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the files that `push` pushes into a new folder: a model and its card.

    Args:
        model: See `push`.
        repo: See `push`.
        folder: The folder.
        licence: See `push`.
        overwrite: Whether a model in the folder is replaced.

    Raises:
        ModelError: The model isn't a package of landshift, or its files have changed.
        ParameterError: The repository's name is invalid, or the folder isn't empty.
        OutputError: The folder can't be written.
    """
    _check_name(repo)
    bundle.check_new(Path(folder), overwrite=overwrite)
    with whole.whole_folder(Path(folder), replace=overwrite) as part:
        _fill(part, local(model), repo, licence)
    return Path(folder)


def _fill(folder: Path, path: Path, repo: str, licence: str | None) -> str:
    """Put the files of a model and its card into a folder; return the model's name."""
    bundle.copy_files(path, folder)
    package = bundle.load(folder)
    (folder / "README.md").write_text(card(package, repo, licence=licence), encoding="utf-8")
    return package.name


def _check_name(repo: str) -> None:
    if not _REPO.fullmatch(repo) or ".." in repo or "--" in repo:
        raise ParameterError(f"A repository must be named owner/name, got {repo!r}.")
