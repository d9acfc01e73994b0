"""`landshift simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from landshift.cli.options import Overwrite


def simulate(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the four rasters.")],
    height: Annotated[int, typer.Option(help="Rows.")] = 1024,
    width: Annotated[int, typer.Option(help="Columns.")] = 1024,
    seed: Annotated[int, typer.Option(help="Seed: the same one gives the same bytes.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Make images and class maps of two dates of a scene that doesn't exist."""
    from landshift.cli import show
    from landshift.simulation import scene as stage

    with show.progress("simulate") as on_block:
        scene = stage.simulate(
            out, height=height, width=width, seed=seed, overwrite=overwrite, on_block=on_block
        )
    for path in scene.files:
        typer.echo(path)
