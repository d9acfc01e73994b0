"""Description of a model without its weights, so that a run needs no torch."""

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
    """A model's description, with the model's attribute names.

    Attributes:
        spec: Input of the model.
        scheme: Classes of the model.
        temperature: Divisor of the logits.
        architecture: Name of the architecture.
        backbone: Name of the encoder.
        fixed_tile: Whether the prediction for a pixel depends on the size of its tile.
        digest: SHA-256 of the network, see `digest_of`.
        exact: Whether it computes in float32 unless another precision is asked for.
    """

    spec: InputSpec
    scheme: ClassScheme
    temperature: float
    architecture: str
    backbone: str
    fixed_tile: bool
    digest: str
    exact: bool = False

    @classmethod
    def of(cls, model: ChangeModel) -> Description:
        """The description of a model."""
        return cls(
            model.spec, model.scheme, model.temperature, model.architecture, model.backbone,
            model.fixed_tile, digest_of(model), model.exact,
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """The description as plain JSON values."""
        return {**vars(self), "spec": self.spec.as_dict(), "scheme": self.scheme.as_list()}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Description:
        """The description from the values of `as_dict`."""
        spec, scheme = (
            InputSpec.from_dict(entry["spec"]), ClassScheme.from_list(entry["scheme"])
        )  # fmt: skip
        return cls(**{**entry, "spec": spec, "scheme": scheme})


def digest_of(model: ChangeModel | Description) -> str:
    """SHA-256 of a network's weights, input, classes and design."""
    if isinstance(model, Description):
        return model.digest
    digest = hashlib.sha256()
    about = [
        {k: v for k, v in model.spec.as_dict().items() if k != "padding"},
        model.scheme.as_list(), repr(model.design), model.temperature,
    ]  # fmt: skip
    digest.update(json.dumps(about).encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy())
    return digest.hexdigest()
