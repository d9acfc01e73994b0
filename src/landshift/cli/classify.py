"""`landshift classify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def classify(
    image: Annotated[Path, typer.Argument(help="The composite to classify.")],
    model: Annotated[Path, typer.Argument(help="A saved model: .emd, .dlpk or folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The map to write.")],
    padding: Annotated[
        int | None, typer.Option(help="Pixels thrown away around a tile; left out: a quarter.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Tiles the model sees at once.")] = 4,
    tile_size: Annotated[
        int | None, typer.Option(help="Rows and columns of a tile; left out: as in training.")
    ] = None,
    predict_background: Annotated[
        bool, typer.Option(help="Whether the class of value 0 may be the answer.")
    ] = True,
    cell_size: Annotated[
        float | None, typer.Option(help="Size of a map pixel, to run at another resolution.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
) -> None:
    """Run a model over a raster of any size: a georeferenced class map."""
    from landshift.classify import classify_pixels
    from landshift.cli import show

    with show.progress("classify") as on_tile:
        typer.echo(
            classify_pixels(
                image, model, out, padding, batch_size, predict_background, tile_size,
                cell_size=cell_size, device=device, precision=precision, on_tile=on_tile,
            )
        )  # fmt: skip
