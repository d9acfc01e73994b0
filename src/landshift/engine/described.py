"""What a run needs to know of a model besides its weights, so that torch may stay away."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from landshift.classes import ClassScheme
from landshift.spec import InputSpec

if TYPE_CHECKING:
    from landshift.models import ChangeModel


@dataclass(frozen=True)
class Description:
    """A model's description, under the names that the model has.

    Attributes:
        spec: What it eats.
        scheme: Its classes.
        temperature: What its logits are divided by.
        architecture: Its name.
        backbone: Name of its encoder.
        fixed_tile: Whether its answer for a pixel changes with the size of the tile around it.
        digest: What tells the network from others, see `digest_of`.
    """

    spec: InputSpec
    scheme: ClassScheme
    temperature: float
    architecture: str
    backbone: str
    fixed_tile: bool
    digest: str

    @classmethod
    def of(cls, model: ChangeModel) -> Description:
        """The description of a model."""
        return cls(
            model.spec, model.scheme, model.temperature, model.architecture, model.backbone,
            model.fixed_tile, digest_of(model),
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """The description as plain JSON values."""
        return {**vars(self), "spec": self.spec.as_dict(), "scheme": self.scheme.as_list()}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Description:
        """The description of `as_dict`."""
        spec, scheme = (
            InputSpec.from_dict(entry["spec"]), ClassScheme.from_list(entry["scheme"])
        )  # fmt: skip
        return cls(**{**entry, "spec": spec, "scheme": scheme})


def digest_of(model: ChangeModel | Description) -> str:
    """What tells a network from others: its weights, input, classes and design."""
    if isinstance(model, Description):
        return model.digest
    found = hashlib.sha256()
    about = [
        {k: v for k, v in model.spec.as_dict().items() if k != "padding"},
        model.scheme.as_list(), repr(model.design), model.temperature,
    ]  # fmt: skip
    found.update(json.dumps(about).encode())
    for name, tensor in model.state_dict().items():
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().numpy())
    return found.hexdigest()
