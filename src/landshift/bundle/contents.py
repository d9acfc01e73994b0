"""What a package holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landshift.models import ChangeModel


@dataclass(frozen=True)
class Package:
    """A trained model and what is known of its training.

    Attributes:
        name: Name of the model; its files are called so.
        model: The network with its input and classes.
        training: How it was trained: learning rate, batch size, split, ...
        history: The training table, a mapping per epoch.
        scores: Scores on the validation tiles, if known: see
            `landshift.scores.confusion.Scores.as_dict`.
        tiles: The tile set that it was trained on, if known: its name, SHA-256
            (`landshift.tileset.digest`), training and validation tiles, and the rasters that they
            were cut from, with their fingerprints.
        versions: Of what saved it, landshift and its libraries, where it was read.
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
    """What rooms above this one add to a package: they know it, it doesn't know them.

    Attributes:
        files: Files by their names in the package, as bytes or as the path of what is copied.
        emd: Keys that the .emd gets beside ours, or in the place of those with the same names.
    """

    files: Mapping[str, bytes | Path] = field(default_factory=dict)
    emd: Mapping[str, Any] = field(default_factory=dict)
