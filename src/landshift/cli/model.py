"""`landshift model`: what a saved model is, and whether it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Saved models: what they are, whether they are whole.", no_args_is_help=True)

Saved = Annotated[Path, typer.Argument(help="A saved model: .emd, .dlpk or folder.")]


@app.command()
def info(model: Saved) -> None:
    """Print what a model eats, what its map says, how it was trained and how well it does."""
    from landshift import bundle, tables
    from landshift.cli import show

    show.table(tables.model(bundle.load(model)))


@app.command()
def verify(model: Saved) -> None:
    """Check that every file of a model is as it was saved; print the digest of all."""
    from landshift import bundle

    found = bundle.verify(model)
    typer.echo(f"{len(found.files)} files are as they were saved.", err=True)
    typer.echo(found.digest)
