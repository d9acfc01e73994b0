"""What every engine does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Engine(Protocol):
    """A model on a device, in one precision, that predicts batches of tiles.

    Scaling, the mean where pixels aren't valid, and the choice of the best class are part of it,
    so that tiles go in as they were read.

    Attributes:
        name: ``torch`` or ``openvino``.
        device: Where it computes: ``cpu``, ``cuda:0``, ...
        precision: ``float32``, ``bfloat16`` or ``int8``.
        streams: Batches that it takes at once, from as many threads.
        core: Rows and columns that a tile keeps at most where the user names no tile size: as
            many as it computes fast, in memory that every machine has.
        batch_size: Tiles at once where the user names no number.
        allocates: Whether it asks for its memory anew for each tile, so that it is faster where
            what it frees is kept (`landshift.machine.memory.keeping_freed`).
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
        """Do before the first tile what needs its shape, so that it takes no longer than others.

        Args:
            shape: Bands, rows and columns of the tiles.
            dtype: Their pixel type.
            probabilities: Whether `predict` will be asked, else `best`.
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
        """What `predict` gives, tile by tile; a tile's array holds until the next is asked for.

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
            excluded: Index of a class that may not be the answer, or None.
        """
