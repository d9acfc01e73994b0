"""`landshift estimate`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from landshift.cli.lines import say
from landshift.cli.options import Overwrite, PointsCrs, PointsLayer, XColumn, YColumn


def estimate(
    sample: Annotated[
        Path,
        typer.Argument(
            help="The labelled sample (.gpkg); or points that others drew and labelled, in any "
            "vector format or CSV, with --reference-column."
        ),
    ],
    labels: Annotated[
        Path | None, typer.Option(help="CSV with the labels; none: those in the sample.")
    ] = None,
    mapped: Annotated[
        Path | None,
        typer.Option("--map", help="The map: checked to be the one that the sample is of."),
    ] = None,
    reference_column: Annotated[
        str | None,
        typer.Option(help="Points of others: column with the reference class, a name or a value."),
    ] = None,
    design: Annotated[
        str | None,
        typer.Option(help="How they were drawn: stratified, simple or systematic; must be stated."),
    ] = None,
    strata: Annotated[
        Path | None,
        typer.Option(help="Class raster on the map's grid with their strata; none: the map."),
    ] = None,
    stratum_column: Annotated[
        str | None, typer.Option(help="Column with their stratum, checked against the raster.")
    ] = None,
    map_column: Annotated[
        str | None,
        typer.Option(help="Column with the map's class: needed where there are no coordinates."),
    ] = None,
    x_column: XColumn = None,
    y_column: YColumn = None,
    crs: PointsCrs = None,
    layer: PointsLayer = None,
    classes: Annotated[
        Path | None,
        typer.Option(help="Points of others: the map's classes; none: as its files tell."),
    ] = None,
    post_stratify: Annotated[
        bool,
        typer.Option(
            "--post-stratify", help="Simple and systematic samples: use the map's class areas."
        ),
    ] = False,
    merge: Annotated[
        list[str] | None,
        typer.Option(
            help="Count classes as one, 'loss=forest->crop,forest->urban'; repeat. Names that hold "
            "a comma or '=' are quoted: 'wet=\"rain, snow\",fog'."
        ),
    ] = None,
    domains: Annotated[
        Path | None, typer.Option(help="Polygons whose areas are wanted apart, such as provinces.")
    ] = None,
    domain_column: Annotated[
        str | None, typer.Option(help="Column with the name of each of them.")
    ] = None,
    domain_layer: Annotated[
        str | None, typer.Option(help="Layer of the polygons, of several.")
    ] = None,
    level: Annotated[float, typer.Option(help="Level of the intervals.")] = 0.95,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write all as JSON.")] = None,
    table: Annotated[Path | None, typer.Option(help="Write the figures as CSV.")] = None,
    nodata: Annotated[
        float | None, typer.Option(help="Points: a value of the map without a class.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Estimate areas and accuracies, with intervals, from a labelled sample."""
    from landshift.assess import estimate as stage
    from landshift.assess.points import PointSource
    from landshift.classes import legend_readers
    from landshift.cli import show
    from landshift.errors import ParameterError
    from landshift.files import whole
    from landshift.show import tables

    whole.check_new(out, table, inputs=[sample, labels, mapped, domains], overwrite=overwrite)
    if (domains is None) != (domain_column is None):
        raise ParameterError(
            f"Domains need their polygons and the column of their names, got {domains} and "
            f"{domain_column}; give both."
        )
    source = None
    if domains is not None and domain_column is not None:
        source = stage.DomainSource(domains, domain_column, domain_layer)
    merged = _groups(merge or ())
    for_points = {
        "--design": design, "--strata": strata, "--stratum-column": stratum_column,
        "--map-column": map_column, "--x-column": x_column, "--y-column": y_column, "--crs": crs,
        "--layer": layer, "--classes": classes, "--nodata": nodata,
    }  # fmt: skip
    if reference_column is None:
        given = [option for option, value in for_points.items() if value is not None]
        if given:
            raise ParameterError(
                f"{given[0]} is for points that others labelled, got no --reference-column; name "
                "the column of their classes."
            )
        with show.progress("estimate") as on_block:
            found = stage.estimate_areas(
                sample, labels=labels, mapped=mapped, post_stratify=post_stratify, merge=merged,
                domains=source, level=level, on_block=on_block,
            )  # fmt: skip
    else:
        if mapped is None or labels is not None:
            raise ParameterError(
                "Points that others labelled need --map and no --labels, got "
                f"{'no map' if mapped is None else f'labels {labels}'}; "
                + ("give the map." if mapped is None else "leave them out.")
            )
        points = PointSource(
            sample, reference_column, map_column, stratum_column, x_column, y_column, crs, layer
        )
        with show.progress("estimate") as on_block:
            found = stage.estimate_points(
                points, mapped, design, strata=strata,
                scheme=None if classes is None else legend_readers.read_classes(classes),
                nodata=nodata,
                post_stratify=post_stratify, merge=merged, domains=source, level=level,
                on_block=on_block,
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


_MERGED = re.compile(r'\s*("(?:[^"]|"")*"|[^="]*?)\s*=(.*)', re.DOTALL)


def _groups(texts_: list[str] | tuple[()]) -> dict[str, list[str]]:
    """Merged classes: the new name, and the names it takes in; both may be quoted."""
    import csv

    from landshift.errors import ParameterError
    from landshift.files import texts

    found: dict[str, list[str]] = {}
    for text in texts_:
        parted = _MERGED.fullmatch(text)
        try:
            name = "".join(texts.cells(parted[1])) if parted else ""
            names = [m for m in texts.cells(parted[2]) if m] if parted else []
        except csv.Error:
            name, names = "", []
        if not name or not names:
            raise ParameterError(
                f"Classes to merge must be written 'new=old,old', got {text!r}; quote names that "
                "hold a comma or '='."
            )
        found.setdefault(name, []).extend(names)
    return found
