"""`landshift composite`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def composite(
    images: Annotated[list[Path], typer.Argument(help="Image before, image after (or one date).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The composite to write.")],
    bands: Annotated[
        str | None, typer.Option(help="Band names of a date, as in 'red,green,blue'.")
    ] = None,
    bounds: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(help="Left bottom right top, in the images' CRS."),
    ] = None,
) -> None:
    """Stack the images of two dates into one GeoTIFF, its bands named by date."""
    from landshift import composite as stage
    from landshift.cli import show

    names = None if bands is None else [b.strip() for b in bands.split(",")]
    with show.progress("composite") as on_block:
        typer.echo(stage.composite(images, out, bands=names, bounds=bounds, on_block=on_block))
