"""Test-time augmentation: mean probabilities over a tile's eight flips and rotations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.engine.protocol import Engine


class TurningEngine:
    """An engine that predicts each tile in its eight flips and rotations, and averages.

    It takes eight times as long.

    Args:
        engine: The engine that predicts them.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.device, self.precision = engine.name, engine.device, engine.precision
        self.streams, self.core, self.batch_size = engine.streams, engine.core, engine.batch_size
        self.allocates = engine.allocates

    def ready(
        self,
        shape: tuple[int, int, int],
        dtype: str,
        *,
        probabilities: bool = False,
        excluded: int | None = None,
    ) -> None:
        """See `landshift.engine.Engine`."""
        bands, height, width = shape
        for turned in {(bands, height, width), (bands, width, height)}:
            self._engine.ready(turned, dtype, probabilities=True)

    def predict(
        self, values: NDArray[Any], mask: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """See `landshift.engine.Engine`."""
        mask = np.ones((len(values), *values.shape[-2:]), np.bool_) if mask is None else mask
        total: NDArray[np.float32] | None = None
        for turns in range(4):
            for flip in (False, True):
                turned = _turned(values, turns, flip), _turned(mask, turns, flip)
                probabilities = _back(self._engine.predict(*turned), turns, flip)
                total = probabilities if total is None else total + probabilities
        assert total is not None
        return (total / 8).astype(np.float32)

    def one_by_one(
        self, values: NDArray[Any], mask: NDArray[np.bool_] | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """See `landshift.engine.Engine`."""
        yield from self.predict(values, mask)

    def best(
        self,
        values: NDArray[Any],
        mask: NDArray[np.bool_] | None = None,
        *,
        excluded: int | None = None,
    ) -> NDArray[np.uint8]:
        """See `landshift.engine.Engine`."""
        probabilities = self.predict(values, mask)
        if excluded is not None:
            probabilities[:, excluded] = -1.0
        codes: NDArray[np.uint8] = probabilities.argmax(1).astype(np.uint8)
        return codes


def _turned(array: NDArray[Any], turns: int, flip: bool) -> NDArray[Any]:
    turned = np.rot90(array, turns, axes=(-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if flip else turned)


def _back(array: NDArray[np.float32], turns: int, flip: bool) -> NDArray[np.float32]:
    return np.rot90(array[..., ::-1] if flip else array, -turns, axes=(-2, -1))
