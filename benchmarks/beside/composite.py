"""`composite` of two dates that are copied, beside a plain loop without checks and overviews."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from blockwise import Pair, script
from preparation import landshift, plain_loop, repeated, scene

BANDS = 4


def pairs(folder: Path, size: int) -> Iterator[Pair]:
    """Two aligned images of four bands, which the scene's VRT repeats."""
    images = [repeated(scene(folder / f"{k}.tif", BANDS, seed=k), size, 0) for k in (0, 1)]
    out, theirs = folder / "composite.tif", folder / "loop.tif"
    yield Pair(
        f"composite, 2 x {BANDS} bands of {size}^2 copied, with checks and overviews",
        landshift("composite", *images, "-o", out),
        "loop of rasterio without them",
        script("composite", "loop", *images, theirs),
    )


def loop(before: str, after: str, out: str) -> None:
    """The loop of `preparation.py` as it is: the same compression, no checks, no overviews."""
    plain_loop(Path(before), Path(after), Path(out))
