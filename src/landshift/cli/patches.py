"""`landshift patches`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from landshift.cli.options import Overwrite


def patches(
    mapped: Annotated[Path, typer.Argument(metavar="MAP", help="The class or change map.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The CSV to write: a line per class.")],
    neighbours: Annotated[
        int,
        typer.Option(
            "--neighbours",
            "--connectivity",
            help="4: pixels connect over sides; 8: over corners too.",
        ),
    ] = 8,
    classes: Annotated[
        Path | None, typer.Option(help="The map's classes, as for label; none: as its files tell.")
    ] = None,
    nodata: Annotated[
        float | None, typer.Option(help="A value without a class, beside what the file says.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure the patches of a map's classes: number, sizes, edges, the largest one."""
    from landshift.classes import legend_readers
    from landshift.cli import show
    from landshift.files import whole
    from landshift.maps import patches as stage
    from landshift.show import tables

    whole.check_new(out, inputs=[mapped, classes], overwrite=overwrite)
    with show.progress("patches") as on_block:
        found = stage.measure_patches(
            mapped, neighbours=neighbours, on_block=on_block,
            scheme=None if classes is None else legend_readers.read_classes(classes), nodata=nodata,
        )  # fmt: skip
    show.table(tables.fragmentation(found))
    typer.echo(found.write_csv(out, overwrite=overwrite))
