"""`landshift evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    judged: Annotated[Path, typer.Argument(help="A class map (.tif), or a model (.emd, .dlpk).")],
    reference: Annotated[
        Path, typer.Argument(help="The map's reference raster; or the model's tile set.")
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write scores as JSON.")] = None,
    classes: Annotated[
        Path | None, typer.Option(help="Classes of map and reference: CSV value,name or JSON.")
    ] = None,
    bounds: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(help="Left bottom right top of the part to compare (maps only)."),
    ] = None,
) -> None:
    """Score a map against a reference, or a model on the validation tiles it was trained beside."""
    from landshift import evaluate as stage
    from landshift import legend, tables
    from landshift.cli import show
    from landshift.errors import ParameterError

    if reference.is_dir() or reference.suffix.lower() == ".zip":
        if bounds is not None or classes is not None:
            raise ParameterError("--bounds and --classes are for maps; a model knows its classes.")
        found = stage.evaluate_package(judged, reference)
    else:
        scheme = None if classes is None else legend.read_classes(classes)
        with show.progress("evaluate") as on_block:
            found = stage.evaluate_map(
                judged, reference, scheme=scheme, bounds=bounds, on_block=on_block
            )
    rows = {"this": found.scores}
    if found.no_change_baseline is not None:
        rows["all 'No change'"] = found.no_change_baseline
    show.table(tables.per_class(found.scores))
    show.table(tables.compare(rows))
    if found.scores.unmapped:
        typer.echo(f"{found.scores.unmapped:,} labelled pixels have no class in the map.")
    if out is not None:
        typer.echo(found.write_json(out))
