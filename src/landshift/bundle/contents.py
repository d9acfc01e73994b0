"""Contents of a model package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landshift.models import ChangeModel


@dataclass(frozen=True)
class Package:
    """A trained model and the record of its training.

    Attributes:
        name: Name of the model and of its files.
        model: The network with its input and classes.
        training: Options of the training: learning rate, batch size, split, ...
        history: The training table, a mapping per epoch.
        scores: Scores on the validation tiles, if known: see
            `landshift.scores.confusion.Scores.as_dict`.
        tiles: The tile set that it was trained on, if known: its name, SHA-256
            (`landshift.tileset.digest`), training and validation tiles, and the rasters that they
            were cut from, with their fingerprints.
        versions: Versions of landshift and its libraries that saved the package, if it was read.
    """

    name: str
    model: ChangeModel
    training: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()
    scores: Mapping[str, Any] | None = None
    tiles: Mapping[str, Any] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Extras:
    """Additions to a package by the packages of landshift that import this one.

    Attributes:
        files: Files by their names in the package, as bytes or as the path of a file to copy.
        emd: Further keys of the .emd; they replace ours of the same names.
    """

    files: Mapping[str, bytes | Path] = field(default_factory=dict)
    emd: Mapping[str, Any] = field(default_factory=dict)
