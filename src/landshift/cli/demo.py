"""`landshift demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for all results.")] = Path(
        "demo"
    ),
    size: Annotated[int, typer.Option(help="Rows and columns of the scene.")] = 1536,
    epochs: Annotated[int, typer.Option(help="Epochs of training.")] = 12,
    seed: Annotated[int, typer.Option(help="Seed of the scene and the training.")] = 0,
) -> None:
    """Run the whole chain on a simulated scene and say where each result lies."""
    from landshift import demonstration as chain
    from landshift.cli import show
    from landshift.show import tables

    found = chain.demo(out, size=size, epochs=epochs, seed=seed, on_stage=typer.echo)
    show.table(tables.transitions(found.transitions))
    show.table(tables.per_class(found.network.scores))
    show.table(tables.compare(found.methods))
    for stage, path in found.paths.items():
        typer.echo(f"{stage:<10} {path}")
