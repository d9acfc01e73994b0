"""The state of a training between two epochs, as a file to resume from."""

from __future__ import annotations

import hashlib
import json
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from landshift.dataset import TrainingData
from landshift.errors import OutputError, ParameterError, reason_of
from landshift.files import resumable
from landshift.files import whole as whole_files
from landshift.models import ChangeModel
from landshift.training.options import Training

_FORMAT = 2
_UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, ValueError, OSError,
)  # fmt: skip


def job_of(
    model: ChangeModel, data: TrainingData, options: Training, processes: int
) -> dict[str, Any]:
    """Everything that decides the outcome of a training, as JSON holds it."""
    tiles = data.tiles
    named = [
        (t.name, sorted(t.class_pixels.items()), *(() if t.weight is None else (t.weight,)))
        for t in map(tiles.tiles.__getitem__, (*data.split.train, *data.split.valid))
    ]
    layers = [(name, list(v.shape), v.dtype) for name, v in model.state_dict().items()]
    job = {
        "architecture": model.architecture,
        "combination": model.design.combination,
        "backbone": model.backbone,
        "network options": dict(model.design.options),
        "bands": list(model.spec.bands),
        "features": list(model.spec.features),
        "classes": model.scheme.mapping,
        "layers": _digest(layers),
        "frozen encoder": model.frozen,
        "training tiles": len(data.split.train),
        "validation tiles": len(data.split.valid),
        "tiles": _digest(named),
        "statistics of the tiles": _digest(data.spec.as_dict()),
        "batch_size": data.batch_size,
        "chip_size": data.chip_size,
        **({} if data.resize_to is None else {"resize_to": data.resize_to}),
        "data": vars(data.options),
        "processes": processes,
        **options.as_dict(),
    }
    as_json: dict[str, Any] = json.loads(json.dumps(job))
    return as_json


def save_state(path: Path, job: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write the state of a training, whole or not at all.

    Args:
        path: The file.
        job: The result of `job_of`.
        state: Tensors, numbers, text, and lists and mappings of them.

    Raises:
        OutputError: It can't be written.
    """
    with whole_files.whole_file(path) as part:
        try:
            torch.save({"format": _FORMAT, "job": json.dumps(job), "state": dict(state)}, part)
        except RuntimeError as error:  # of torch, where its file can't be written
            raise OutputError(
                f"The state of the training must be writable, got '{reason_of(error)}' at {path}; "
                "make room or choose another folder. That of the epoch before is kept."
            ) from error


def load_state(path: Path, job: Mapping[str, Any]) -> dict[str, Any]:
    """Read the state that `save_state` wrote; nothing in the file is run.

    Raises:
        ParameterError: It is no such file, or of another training.
    """
    contents = _read(path)
    _check_job(path, json.loads(contents["job"]), job)
    state: dict[str, Any] = contents["state"]
    return state


def check_state(path: Path, part: Mapping[str, Any]) -> None:
    """Check that an unfinished training is the one to go on with, as far as that is known.

    Args:
        path: The file of `save_state`.
        part: `job_of` the training, or the part of it that is known so far.

    Raises:
        ParameterError: It is no such file, or of another training.
    """
    saved = json.loads(_read(path)["job"])
    known: dict[str, Any] = json.loads(json.dumps(part))
    _check_job(path, {key: value for key, value in saved.items() if key in known}, known)


def epochs_of(path: Path) -> int:
    """Epochs that an unfinished training has done.

    Raises:
        ParameterError: The file is no unfinished training.
    """
    return len(_read(path)["state"]["table"])


def _check_job(path: Path, saved: Mapping[str, Any], job: Mapping[str, Any]) -> None:
    if saved != job:
        raise ParameterError(
            "An unfinished training must be of the same network, data and options, got "
            f"{resumable.differences(saved, job)} in {path}; go on with those, or remove it."
        )


def unfinished_lr(path: Path) -> float:
    """The learning rate that an unfinished training was started with.

    Raises:
        ParameterError: The file is no unfinished training.
    """
    return float(json.loads(_read(path)["job"])["lr"])


def _read(path: Path) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about files that aren't its own
            contents = torch.load(path, map_location="cpu", weights_only=True)
        whole = contents["format"] == _FORMAT and {"job", "state"} <= set(contents)
    except _UNREADABLE:
        whole = False
    if not whole:
        raise ParameterError(
            f"An unfinished training must be a file that this version wrote, got {path}; "
            "remove it to start again."
        )
    state: dict[str, Any] = contents
    return state


def _digest(value: Any) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]
