"""`landshift view`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from landshift.cli.options import Overwrite


def view(
    images: Annotated[list[Path], typer.Argument(help="Image before, image after (or one date).")],
    mapped: Annotated[Path, typer.Option("--map", "-m", help="The class map.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture to write (PNG).")],
    reference: Annotated[Path | None, typer.Option(help="Reference of the map.")] = None,
    classes: Annotated[
        Path | None, typer.Option(help="Classes of the map: CSV value,name or JSON.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Show the images, the map and its reference side by side, with a legend."""
    from landshift.show import figures

    typer.echo(
        figures.view(images, mapped, out, reference=reference, classes=classes, overwrite=overwrite)
    )
