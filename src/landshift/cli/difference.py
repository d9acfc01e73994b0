"""`landshift difference`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from landshift.cli.options import Dates, Overwrite


def difference(
    before: Annotated[Path, typer.Argument(help="Image of the first date.")],
    after: Annotated[Path, typer.Argument(help="Image of the second date.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The raster to write.")],
    method: Annotated[
        str,
        typer.Option(help="difference, relative, euclidean, angle, or band (that changed most)."),
    ] = "difference",
    band: Annotated[
        list[str] | None,
        typer.Option(help="A band to compare, by name or number; repeat for more."),
    ] = None,
    threshold: Annotated[
        str | None, typer.Option(help="Make classes: a size from which it is change, or otsu.")
    ] = None,
    breaks: Annotated[
        list[float] | None, typer.Option(help="Make classes: divide at this value; repeat.")
    ] = None,
    resampling: Annotated[
        str | None,
        typer.Option(
            help="Another grid is read on the first's: nearest, bilinear, cubic, average."
        ),
    ] = None,
    nodata: Annotated[
        float | None, typer.Option(help="A value that is no data, beside what the files say.")
    ] = None,
    bounds: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(help="Left bottom right top, in the CRS of the first image."),
    ] = None,
    dates: Dates = None,
    overwrite: Overwrite = False,
) -> None:
    """Compare two images pixel by pixel: how much changed, continuous or in classes."""
    from landshift.cli import show
    from landshift.prepare import difference
    from landshift.show import tables

    limit: float | str | None = threshold
    if threshold is not None and threshold != "otsu":
        try:
            limit = float(threshold)
        except ValueError:
            limit = threshold  # refused below, with the other options
    with show.progress("difference") as on_block:
        found = difference.difference(
            before, after, out, method=method,  # type: ignore[arg-type]
            reading=difference.PairReading(band or None, resampling, nodata, bounds, dates),  # type: ignore[arg-type]
            classes=difference.ChangeClasses(limit, breaks or ()), overwrite=overwrite,
            on_block=on_block,
        )  # fmt: skip
    show.table(tables.difference(found))
    if found.threshold is not None:
        typer.echo(f"Change from {found.threshold:g} on.")
    typer.echo(out)
