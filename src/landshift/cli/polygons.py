"""`landshift polygons`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from landshift.cli.options import Overwrite


def polygons(
    mapped: Annotated[Path, typer.Argument(metavar="MAP", help="The change map, or a class map.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The file to write: .gpkg, .fgb or .parquet.")
    ],
    confidence: Annotated[
        Path | None, typer.Option(help="Raster on the map's grid: each polygon gets its mean.")
    ] = None,
    min_hectares: Annotated[float, typer.Option(help="Leave smaller patches out.")] = 0.0,
    simplify: Annotated[
        float | None,
        typer.Option(help="Simplify by this tolerance in CRS units; shared borders stay shared."),
    ] = None,
    neighbours: Annotated[
        int,
        typer.Option(
            "--neighbours",
            "--connectivity",
            help="4: pixels connect over sides; 8: over corners too, as multipolygons.",
        ),
    ] = 4,
    everything: Annotated[
        bool, typer.Option("--everything", help="Trace what stayed the same too.")
    ] = False,
    classes: Annotated[
        Path | None, typer.Option(help="The map's classes, as for label; none: as its files tell.")
    ] = None,
    nodata: Annotated[
        float | None, typer.Option(help="A value without a class, beside what the file says.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a map's patches of change as polygons: class, from, to, hectares, confidence."""
    from landshift.classes import legend_readers
    from landshift.cli import show
    from landshift.maps import polygons
    from landshift.show import tables

    with show.progress("polygons") as on_block:
        found = polygons.trace_changes(
            mapped, out, confidence=confidence, min_hectares=min_hectares, simplify=simplify,
            everything=everything, neighbours=neighbours, overwrite=overwrite, on_block=on_block,
            scheme=None if classes is None else legend_readers.read_classes(classes), nodata=nodata,
        )  # fmt: skip
    show.table(tables.patches(found))
    if found.dropped:
        typer.echo(f"{found.dropped:,} patches are smaller than {min_hectares:g} ha.")
    typer.echo(found.path)
