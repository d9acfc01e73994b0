"""`landshift composite`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from landshift.cli.lines import say
from landshift.cli.options import Overwrite
from landshift.errors import ParameterError


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
    from landshift.images import Image, quality
    from landshift.prepare import checks
    from landshift.prepare import composite as stage

    count = len(images)
    ways = _each_date(resampling, count, "resampling")
    chosen = _selected(select, count)
    missing = _each_date(nodata, count, "nodata")
    given = [
        Image(
            files=_files(text),
            bands=None if chosen is None else tuple(_list(chosen[k])),
            nodata=None if missing[k] in (None, "-") else _number(missing[k], "nodata"),
            quality=tuple(quality.rule(text) for text in mask_qa or ()),
            resampling=_ways(ways[k]),
            assume_crs=assume_crs,
            scaled=scaled,
        )
        for k, text in enumerate(images)
    ]
    with show.progress("composite") as on_block:
        path = stage.composite(
            given, out, bands=None if bands is None else _list(bands),
            names=None if names is None else _list(names), like=like, crs=crs,
            resolution=_resolution(resolution), extent=extent, bounds=bounds, nodata=out_nodata,
            dtype=dtype, dates=None if dates is None else _list(dates), overwrite=overwrite,
            on_block=on_block,
        )  # fmt: skip
    for line in checks.describe(checks.checks_of(path)):
        say(line, err=True)
    typer.echo(path)


def _files(text: str) -> tuple[str, ...]:
    """The files of one date; a comma in a file's own name is left alone."""
    return (text,) if Path(text).exists() else tuple(_list(text))


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _selected(select: list[str] | None, count: int) -> list[str] | None:
    """The bands of each date, from one list for all or one a date."""
    if not select:
        return None
    if len(select) not in (1, count):
        raise ParameterError(
            f"--select must be given once or {count} times, once a date, got {len(select)} times."
        )
    return select if len(select) == count else select * count


def _each_date(text: str | None, count: int, option: str) -> list[str | None]:
    if text is None:
        return [None] * count
    found = _list(text)
    if len(found) not in (1, count):
        raise ParameterError(f"--{option} must hold one value or {count}, one a date, got {text}.")
    return [*(found if len(found) == count else found * count)]


def _ways(text: str | None) -> str | tuple[str | None, ...] | None:
    """How a date is resampled: one way, or one for each file."""
    found = tuple(None if way in ("", "-") else way for way in (text or "").split("+"))
    return found if len(found) > 1 else found[0]


def _resolution(text: str | None) -> float | tuple[float, float] | None:
    if text is None:
        return None
    found = [_number(part, "resolution") for part in _list(text)]
    if len(found) not in (1, 2):
        raise ParameterError(f"--resolution must hold one size, or width,height, got {text}.")
    return found[0] if len(found) == 1 else (found[0], found[1])


def _number(text: str | None, option: str) -> float:
    try:
        return float(text or "")
    except ValueError as error:
        raise ParameterError(f"--{option} must be a number, got '{text}'.") from error
