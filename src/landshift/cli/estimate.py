"""`landshift estimate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from landshift.cli.lines import say
from landshift.cli.options import Overwrite


def estimate(
    sample: Annotated[Path, typer.Argument(help="The labelled sample (.gpkg).")],
    labels: Annotated[
        Path | None, typer.Option(help="CSV with the labels; none: those in the sample.")
    ] = None,
    mapped: Annotated[
        Path | None,
        typer.Option("--map", help="The map: checked to be the one that the sample is of."),
    ] = None,
    post_stratify: Annotated[
        bool,
        typer.Option(
            "--post-stratify", help="Simple and systematic samples: use the map's class areas."
        ),
    ] = False,
    merge: Annotated[
        list[str] | None,
        typer.Option(help="Count classes as one, 'loss=forest->crop,forest->urban'; repeat."),
    ] = None,
    domains: Annotated[
        Path | None, typer.Option(help="Polygons whose areas are wanted apart, such as provinces.")
    ] = None,
    domain_column: Annotated[
        str | None, typer.Option(help="Column with the name of each of them.")
    ] = None,
    domain_layer: Annotated[
        str | None, typer.Option(help="Layer of the polygons; none: the first.")
    ] = None,
    level: Annotated[float, typer.Option(help="Level of the intervals.")] = 0.95,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write all as JSON.")] = None,
    table: Annotated[Path | None, typer.Option(help="Write the figures as CSV.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Estimate areas and accuracies, with intervals, from a labelled sample."""
    from landshift import ledger, tables
    from landshift.assess import estimate as stage
    from landshift.cli import show
    from landshift.errors import ParameterError

    ledger.check_new(out, table, inputs=[sample, labels, mapped, domains], overwrite=overwrite)
    if (domains is None) != (domain_column is None):
        raise ParameterError(
            f"Domains need their polygons and the column of their names, got {domains} and "
            f"{domain_column}; give both."
        )
    source = None
    if domains is not None and domain_column is not None:
        source = stage.DomainSource(domains, domain_column, domain_layer)
    with show.progress("estimate") as on_block:
        found = stage.estimate_areas(
            sample, labels=labels, mapped=mapped, post_stratify=post_stratify,
            merge=_groups(merge or ()), domains=source, level=level, on_block=on_block,
        )  # fmt: skip
    show.table(tables.areas(found))
    show.table(tables.accuracies(found))
    show.table(tables.area_confusion(found))
    if found.domains:
        show.table(tables.domains(found))
    typer.echo(f"{level:.0%} intervals. {found.method}")
    for note in found.notes:
        say(note)
    if table is not None:
        typer.echo(found.write_csv(table, overwrite=overwrite))
    if out is not None:
        typer.echo(found.write_json(out, overwrite=overwrite))


def _groups(texts: list[str] | tuple[()]) -> dict[str, list[str]]:
    """Merged classes: the new name, and the names it takes in."""
    from landshift.errors import ParameterError

    found: dict[str, list[str]] = {}
    for text in texts:
        name, equals, members = text.partition("=")
        names = [m.strip() for m in members.split(",") if m.strip()]
        if not equals or not name.strip() or not names:
            raise ParameterError(f"Classes to merge must be written 'new=old,old', got {text!r}.")
        found.setdefault(name.strip(), []).extend(names)
    return found
