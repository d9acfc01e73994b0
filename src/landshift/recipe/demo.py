"""`landshift demo`: the recipe beside this file, on a simulated scene."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from landshift.files.options import OutFile
from landshift.recipe.running import RecipeRun, run

RECIPE = Path(__file__).with_name("demo.yaml")
"""The demo's recipe."""


def demo(
    out: OutFile = Path("demo"),
    *,
    size: int = 1536,
    epochs: int = 12,
    seed: int = 0,
    on_stage: Annotated[Callable[[str], None] | None, Parameter(parse=False)] = None,
) -> RecipeRun:
    """Run the whole chain on a simulated scene, by its recipe.

    Args:
        out: Folder of the results. What an earlier demo made there is replaced where it differs;
            other files stay.
        size: Rows and columns of the scene.
        epochs: Epochs of training.
        seed: Seed of the scene and the training.
        on_stage: Called with a line before each stage.

    Raises:
        RecipeError: A stage fails, or would replace a file that the demo didn't make.
    """
    settings = (f"size={size}", f"epochs={epochs}", f"seed={seed}")
    return run(RECIPE, out=out, settings=settings, on_stage=on_stage)
