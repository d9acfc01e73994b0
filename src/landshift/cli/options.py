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

Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is there already under the same name.")
]
