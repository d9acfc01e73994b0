"""`landshift composite`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from landshift.cli.lines import say
from landshift.cli.options import Overwrite


def composite(
    images: Annotated[
        list[str],
        typer.Argument(
            help="One argument a date, in order of time: a raster, URL or STAC Item (.json), or "
            "several with commas between them (bands to stack, tiles to join)."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The composite to write.")],
    select: Annotated[
        list[str] | None,
        typer.Option(
            help="Bands to take from each date: names or numbers, as in 'red,nir' or 4,3. Give it "
            "once for each date to take others of each."
        ),
    ] = None,
    bands: Annotated[
        str | None,
        typer.Option(
            help="Names for a date's bands, as in 'red,green,blue'; bands that have these names "
            "come in this order, others get them one by one."
        ),
    ] = None,
    names: Annotated[
        str | None, typer.Option(help="Names of the dates, as in 'y1990,y2000,y2010'.")
    ] = None,
    like: Annotated[
        str | None, typer.Option(help="Take the grid of this raster [default: the first file's].")
    ] = None,
    crs: Annotated[str | None, typer.Option(help="CRS of the composite, as EPSG:32618.")] = None,
    resolution: Annotated[
        str | None, typer.Option(help="Pixel size in CRS units: 10, or width,height.")
    ] = None,
    extent: Annotated[
        str | None,
        typer.Option(help="intersection or union of the dates [default: intersection; --like's]."),
    ] = None,
    bounds: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(help="Left bottom right top, in the composite's CRS."),
    ] = None,
    resampling: Annotated[
        str | None,
        typer.Option(
            help="nearest, bilinear, cubic, average, mode, ...; one, or one a date with commas, or "
            "of a date's files with plus signs, '-' for the default: bilinear+nearest,- "
            "[default: bilinear; nearest for class rasters]."
        ),
    ] = None,
    nodata: Annotated[
        str | None,
        typer.Option(help="Value that is no data in the images; one, or one a date, '-' as filed."),
    ] = None,
    mask_qa: Annotated[
        list[str] | None,
        typer.Option(
            help="Hide classes of a quality band: fmask, qa_pixel, scl, hls_fmask or udm2, then "
            "[:BAND]=CLASS,CLASS, as fmask:8=cloud,shadow; or its bits or values: "
            "bits:QA_PIXEL=3,4, values:8=2,4. Can be repeated."
        ),
    ] = None,
    assume_crs: Annotated[str | None, typer.Option(help="CRS of images that state none.")] = None,
    scaled: Annotated[
        bool, typer.Option("--scaled", help="Apply scale and offset (values become floats).")
    ] = False,
    dtype: Annotated[
        str | None, typer.Option(help="Pixel type of the composite [default: the images'].")
    ] = None,
    out_nodata: Annotated[
        float | None, typer.Option(help="Value that is no data in the composite.")
    ] = None,
    dates: Annotated[
        str | None,
        typer.Option(
            help="When each image was taken, as in '1990,2000-07,2010-07-15'; '-' as its files "
            "state [default: as they state]."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Stack the images of one or more dates on one grid into a Cloud-Optimised GeoTIFF."""
    from landshift.cli import show
    from landshift.prepare import checks
    from landshift.prepare import composite as stage

    with show.progress("composite") as on_block:
        path = stage.composite(
            images, out, on_block=on_block, overwrite=overwrite,
            reading=stage.ImageReading(
                select or (), resampling, nodata, mask_qa or (), assume_crs, scaled
            ),
            target=stage.TargetGrid(like, crs, resolution, extent, bounds),  # type: ignore[arg-type]
            output=stage.CompositeOutput(bands, names, dates, dtype, out_nodata),
        )  # fmt: skip
    for line in checks.describe(checks.checks_of(path)):
        say(line, err=True)
    typer.echo(path)
