"""`landshift classify`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from landshift.cli.options import Overwrite


def classify(
    image: Annotated[
        str,
        typer.Argument(
            help="The composite to classify: a path or URL; or the images of its dates with commas "
            "between them, which are stacked on the fly."
        ),
    ],
    model: Annotated[
        Path, typer.Argument(help="A saved model: .emd, .dlpk, folder or hf://owner/repo.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The map to write.")],
    padding: Annotated[
        int | None, typer.Option(help="Pixels thrown away around a tile [default: as it needs].")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Tiles the model sees at once [default: by engine].")
    ] = None,
    tile_size: Annotated[
        int | None,
        typer.Option(help="Rows and columns of a tile [default: so that they divide the raster]."),
    ] = None,
    predict_background: Annotated[
        bool, typer.Option(help="Whether the class of value 0 may be the answer.")
    ] = True,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            help="Write beside the map, as OUT_LAYER: confidence, entropy or probabilities. Can "
            "be repeated."
        ),
    ] = None,
    blend: Annotated[
        bool, typer.Option("--blend", help="Average overlapping tiles instead of cutting them.")
    ] = False,
    turns: Annotated[
        bool,
        typer.Option("--turns", help="See each tile in eight flips and turns (8 times as long)."),
    ] = False,
    bounds: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(help="Left bottom right top of the part to map, in the raster's CRS."),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help="Polygons (GeoPackage, shapefile, ...); map inside only.")
    ] = None,
    mask_layer: Annotated[
        str | None, typer.Option(help="Layer of the polygons, of several.")
    ] = None,
    cell_size: Annotated[
        float | None, typer.Option(help="Size of a map pixel, to run at another resolution.")
    ] = None,
    engine: Annotated[str, typer.Option(help="auto, torch or openvino.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    precision: Annotated[
        str, typer.Option(help="auto, float32, bfloat16, or int8 (after landshift quantize).")
    ] = "auto",
    workers: Annotated[
        int,
        typer.Option(
            help="Processes that share the work; with --scheduler: how many must have joined it."
        ),
    ] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="tcp://HOST:PORT of a dask scheduler whose workers do the work; or local: a dask "
            "cluster of --workers processes here."
        ),
    ] = None,
    mosaic: Annotated[
        str,
        typer.Option(help="cog: one file; vrt: OUT.vrt and a folder with a file for each block."),
    ] = "cog",
    restart: Annotated[
        bool, typer.Option("--restart", help="Throw away what an earlier run left; start over.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Progress as lines of JSON on standard error.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Run a model over a raster of any size: a georeferenced class map.

    A run that was killed is taken up by the same command.
    """
    from landshift.classification import classify_pixels
    from landshift.cli import show

    logging.getLogger("landshift.engine").setLevel(logging.INFO)
    single = Path(image).exists() or "," not in image
    with show.block_progress("classify", as_json=json) as on_block:
        typer.echo(
            classify_pixels(
                image if single else image.split(","), model, out, padding, batch_size,
                predict_background, tile_size, layers=layer or (), blend=blend, turns=turns,
                bounds=bounds, polygons=mask, mask_layer=mask_layer, cell_size=cell_size,
                engine=engine, device=device, precision=precision, workers=workers,
                scheduler=scheduler, mosaic=mosaic, restart=restart, overwrite=overwrite,
                on_block=on_block,
            )
        )  # fmt: skip
