"""`landshift zonal`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from landshift.cli.options import Overwrite


def zonal(
    mapped: Annotated[Path, typer.Argument(metavar="MAP", help="The class or change map.")],
    zones: Annotated[Path, typer.Argument(help="Polygons, in any vector format and CRS.")],
    column: Annotated[str, typer.Option(help="Column with the name of each zone.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The CSV to write: zone, class, hectares, percent.")
    ],
    geopackage: Annotated[
        Path | None, typer.Option(help="Write the zones with a column per class here too.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the zones here, by their share of change: .png.")
    ] = None,
    of: Annotated[
        str | None, typer.Option(help="Draw the share of this class; none: of any change.")
    ] = None,
    layer: Annotated[str | None, typer.Option(help="Layer of the zones, of several.")] = None,
    classes: Annotated[
        Path | None, typer.Option(help="The map's classes, as for label; none: as its files tell.")
    ] = None,
    nodata: Annotated[
        float | None, typer.Option(help="A value without a class, beside what the file says.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure a map's classes or transitions in polygons, border pixels by their part."""
    from landshift.classes import legend_readers
    from landshift.cli import show
    from landshift.errors import ParameterError
    from landshift.files import whole
    from landshift.maps import zonal as stage
    from landshift.show import figures, tables

    if of is not None and picture is None:
        raise ParameterError(f"--of says what to draw, got {of!r} without --picture; give both.")
    whole.check_new(out, geopackage, picture, inputs=[mapped, zones, classes], overwrite=overwrite)
    with show.progress("zonal") as on_block:
        found = stage.measure_zones(
            mapped, zones, column, layer=layer, on_block=on_block,
            scheme=None if classes is None else legend_readers.read_classes(classes), nodata=nodata,
        )  # fmt: skip
    show.table(tables.zones(found))
    if picture is not None:
        typer.echo(figures.save(figures.show_zones(found, of), picture, overwrite=overwrite))
    if geopackage is not None:
        typer.echo(found.write_geopackage(geopackage, overwrite=overwrite))
    typer.echo(found.write_csv(out, overwrite=overwrite))
