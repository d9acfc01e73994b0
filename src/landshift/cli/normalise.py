"""`landshift normalise`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from landshift.cli.options import Overwrite


def normalise(
    image: Annotated[Path, typer.Argument(help="Image to change.")],
    like: Annotated[Path, typer.Option(help="Reference whose radiometry it gets.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The image to write.")],
    method: Annotated[
        str, typer.Option(help="moments: mean and spread; invariant: through unchanged pixels.")
    ] = "moments",
    bounds: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(help="Ground to measure on: left bottom right top, in the image's CRS."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Bring an image of one date to the radiometry of another."""
    from landshift.cli import show
    from landshift.prepare import normalise as radiometry
    from landshift.show import tables

    with show.progress("normalise") as on_block:
        found = radiometry.normalise(
            image,
            like,
            out,
            method=method,  # type: ignore[arg-type]
            bounds=bounds,
            overwrite=overwrite,
            on_block=on_block,
        )
    show.table(tables.normalisation(found))
    typer.echo(out)
