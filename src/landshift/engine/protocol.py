"""The interface of all engines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Engine(Protocol):
    """A model on a device, in one precision, that predicts batches of tiles.

    The engine scales values, fills invalid pixels with the mean and chooses the best class, so that
    tiles go in as they were read.

    Attributes:
        name: ``torch`` or ``openvino``.
        device: Device that computes: ``cpu``, ``cuda:0``, ...
        precision: ``float32``, ``bfloat16`` or ``int8``.
        streams: Batches that it takes at once, from as many threads.
        core: Largest rows and columns of a tile's core, if the user gives no tile size: as many
            as it computes fast, in memory that every machine has.
        batch_size: Tiles per call, if the user gives no number.
        allocates: Whether it allocates memory for each tile, so that it is faster if freed memory
            is kept (`landshift.machine.memory.keeping_freed`).
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def device(self) -> str: ...  # noqa: D102

    @property
    def precision(self) -> str: ...  # noqa: D102

    @property
    def streams(self) -> int: ...  # noqa: D102

    @property
    def core(self) -> int: ...  # noqa: D102

    @property
    def batch_size(self) -> int: ...  # noqa: D102

    @property
    def allocates(self) -> bool: ...  # noqa: D102

    def ready(
        self,
        shape: tuple[int, int, int],
        dtype: str,
        *,
        probabilities: bool = False,
        excluded: int | None = None,
    ) -> None:
        """Prepare for tiles of a shape, so that the first takes no longer than the others.

        Args:
            shape: Bands, rows and columns of the tiles.
            dtype: Pixel type of the tiles.
            probabilities: Whether `predict` will be called; else `best`.
            excluded: As in `best`.
        """

    def predict(
        self, values: NDArray[Any], mask: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """Probabilities of classes: the softmax of the logits over the model's temperature.

        Args:
            values: ``(batch, band, row, column)`` in the raster's units and pixel type.
            mask: ``(batch, row, column)``, True where valid; None: everywhere.

        Returns:
            ``(batch, class, row, column)``, adding up to 1 over the classes.
        """

    def one_by_one(
        self, values: NDArray[Any], mask: NDArray[np.bool_] | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """As `predict`, tile by tile; a tile's array is valid until the next one is requested.

        Args:
            values: As in `predict`.
            mask: As in `predict`.

        Yields:
            ``(class, row, column)``.
        """

    def best(
        self,
        values: NDArray[Any],
        mask: NDArray[np.bool_] | None = None,
        *,
        excluded: int | None = None,
    ) -> NDArray[np.uint8]:
        """Index of the most probable class of each pixel, ``(batch, row, column)``.

        Args:
            values: As in `predict`.
            mask: As in `predict`.
            excluded: Index of a class that may not be predicted, or None.
        """
