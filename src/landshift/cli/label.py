"""`landshift label`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def label(
    before: Annotated[Path, typer.Argument(help="Class map of the first date.")],
    after: Annotated[Path, typer.Argument(help="Class map of the second date.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The change map to write.")],
    classes: Annotated[
        Path | None, typer.Option(help="Classes of the maps: CSV value,name or JSON.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="Write the transition table as CSV here.")
    ] = None,
    bounds: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(help="Left bottom right top, in the maps' CRS."),
    ] = None,
) -> None:
    """Compare two class maps: a change map coded by 'to class', and the table of transitions."""
    from landshift import labels, legend, tables
    from landshift.cli import show

    scheme = None if classes is None else legend.read_classes(classes)
    with show.progress("label") as on_block:
        found = labels.label(before, after, out, scheme=scheme, bounds=bounds, on_block=on_block)
    show.table(tables.transitions(found))
    typer.echo(f"{found.changed:.1%} of the classed pixels changed.")
    if table is not None:
        typer.echo(found.write_csv(table))
    typer.echo(out)
