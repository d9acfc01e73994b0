"""`landshift tiles`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def tiles(
    rasters: Annotated[
        list[Path], typer.Argument(help="Composite and change map, or several such pairs.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the training set to make.")],
    tile_size: Annotated[int, typer.Option(help="Rows and columns of a tile.")] = 256,
    stride: Annotated[int, typer.Option(help="Pixels from one tile to the next.")] = 128,
    classes: Annotated[
        Path | None, typer.Option(help="Classes of the labels: CSV value,name or JSON.")
    ] = None,
) -> None:
    """Cut composites and change maps into a training set in Esri's 'Classified Tiles' layout."""
    from landshift import legend, tileset
    from landshift.cli import show
    from landshift.errors import ParameterError

    if len(rasters) % 2:
        raise ParameterError(
            f"Rasters must come in pairs of composite and change map, got {len(rasters)} of them."
        )
    scheme = None if classes is None else legend.read_classes(classes)
    with show.progress("tiles") as on_tile:
        made = tileset.cut(
            rasters[::2], rasters[1::2], out, scheme=scheme, tile_size=tile_size, stride=stride,
            on_tile=on_tile,
        )  # fmt: skip
    typer.echo(f"{len(made.tiles)} tiles")
    typer.echo(out)
