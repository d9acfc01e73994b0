"""`tiles` without compression, beside a plain loop on two processes that doesn't compress.

Inputs and loop are those of `benchmarks/tiles.py`, which states what each writes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from blockwise import Pair, script
from preparation import landshift


def _benchmark() -> ModuleType:
    """`benchmarks/tiles.py`, by its path: this module has the same name."""
    spec = importlib.util.spec_from_file_location("cut", Path(__file__).parents[1] / "tiles.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pairs(folder: Path, size: int) -> Iterator[Pair]:
    """A composite of 12 bands and its change map, and tiles that overlap by half."""
    cut = _benchmark()
    image, labels = cut.make_scene(folder, size)
    classes = folder / "classes.csv"
    rows = (f"{value},{name}\n" for value, name in cut.SCHEME.mapping.items())
    classes.write_text("value,name\n" + "".join(rows))
    yield Pair(
        f"tiles of {cut.TILE} every {cut.STRIDE}, {cut.BANDS} bands of {size}^2, not compressed",
        landshift(
            "tiles", image, labels, "-o", folder / "set", "--classes", classes, "--tile-size",
            str(cut.TILE), "--stride", str(cut.STRIDE), "--uncompressed",
        ),
        "loop of rasterio on two processes",
        script("tiles", "not_compressed", image, labels, folder / "loop"),
    )  # fmt: skip
