"""`landshift stac`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from landshift.cli.options import Overwrite

Out = Annotated[Path, typer.Option("--out", "-o", help="The Item to write (.json).")]
Moment = Annotated[
    str | None, typer.Option("--datetime", help="Its day or time, as 2016-07-01 (UTC).")
]
Start = Annotated[str | None, typer.Option(help="First day that it tells of, instead.")]
End = Annotated[str | None, typer.Option(help="Last day that it tells of.")]


def stac(
    image: Annotated[Path, typer.Argument(metavar="MAP", help="A map, or another raster.")],
    out: Out,
    moment: Moment = None,
    start: Start = None,
    end: End = None,
    composite: Annotated[
        Path | None,
        typer.Option(help="The composite it was made from, if that knows the days of its dates."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Describe a map as a STAC Item: ground, time, classes, and the file with its checksum."""
    from landshift.publish import stac as write

    typer.echo(
        write(
            image, out, datetime=moment, start=start, end=end, composite=composite,
            overwrite=overwrite,
        )
    )  # fmt: skip
