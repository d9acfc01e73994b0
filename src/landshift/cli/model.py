"""`landshift model`: what a saved model is, whether it is whole, and files for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Saved models: what they are, whether they are whole, files for others.",
    no_args_is_help=True,
)

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


@app.command()
def export(
    model: Saved,
    out: Annotated[Path, typer.Option("--out", "-o", help="The .onnx file to write.")],
    host: Annotated[
        str,
        typer.Option(
            "--for", help="any runtime of ONNX, or deepness: QGIS' plugin, which feeds floats."
        ),
    ] = "any",
    nodata: Annotated[
        float | None,
        typer.Option(help="Value of pixels that aren't valid, where the host hands it over."),
    ] = None,
    tile_size: Annotated[
        int | None,
        typer.Option(
            help="Rows and columns, to fix them [default: free; deepness: the training tile's]."
        ),
    ] = None,
) -> None:
    """Write a model as one ONNX file: the raster's own values in, probabilities out."""
    from landshift.export import export_model

    typer.echo(export_model(model, out, host=host, nodata=nodata, tile_size=tile_size))
