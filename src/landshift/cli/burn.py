"""`landshift burn`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from landshift.cli.options import Overwrite


def burn(
    source: Annotated[
        Path, typer.Argument(help="Polygons, lines or points, in any vector format.")
    ],
    like: Annotated[
        Path,
        typer.Option(
            help="The raster whose grid the labels get; of labels burnt by name, the classes too."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The label raster to write.")],
    value_column: Annotated[
        str | None, typer.Option(help="Column with the value of the class.")
    ] = None,
    name_column: Annotated[
        str | None, typer.Option(help="Column with the name of the class.")
    ] = None,
    decide: Annotated[
        str | None,
        typer.Option(help="What counts where the two columns contradict: value, name or drop."),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="The classes, as for label, or labels burnt before; none: those of the columns."
        ),
    ] = None,
    nodata: Annotated[
        int | None, typer.Option(help="A value of the column that means no class.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Name of the layer; none: the only one.")
    ] = None,
    all_touched: Annotated[
        bool, typer.Option("--all-touched", help="Label every pixel that a polygon touches.")
    ] = False,
    buffer: Annotated[
        float | None,
        typer.Option(
            help="Metres around points and lines; none: the pixel of a point, those that a line "
            "touches."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Burn polygons into a label raster; what no polygon covers is 0, not labelled."""
    from landshift.cli import show
    from landshift.prepare import burn as burning
    from landshift.show import tables

    with show.progress("burn") as on_block:
        found = burning.burn(
            source, like, out,
            columns=burning.ClassColumns(value_column, name_column, decide, nodata),  # type: ignore[arg-type]
            classes=classes, footprints=burning.Footprints(layer, all_touched, buffer),
            overwrite=overwrite, on_block=on_block,
        )  # fmt: skip
    show.table(tables.polygon_labels(found))
    if found.skipped:
        typer.echo(f"{found.skipped:,} polygons have no class and are left out.")
    typer.echo(out)
