"""Options that commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Dates = Annotated[
    tuple[str, str] | None,
    typer.Option(
        metavar="BEFORE AFTER",
        help="What time the two are of, as in 1990 2000-07-15; '-' as the file states "
        "[default: as they state].",
    ),
]

XColumn = Annotated[
    str | None, typer.Option(help="CSV: column with x; none: x, longitude, lon or easting.")
]

YColumn = Annotated[str | None, typer.Option(help="CSV: column with y, likewise.")]

PointsCrs = Annotated[
    str | None,
    typer.Option(help="CSV: their CRS; none: EPSG:4326 for longitude, latitude, else the map's."),
]

PointsLayer = Annotated[str | None, typer.Option(help="Layer of the points, of several.")]

Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is there already under the same name.")
]
