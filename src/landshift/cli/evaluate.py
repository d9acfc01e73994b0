"""`landshift evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from landshift.cli.options import Overwrite, PointsCrs, PointsLayer, XColumn, YColumn

_OF_POINTS = (".csv", ".geojson", ".shp", ".fgb", ".kml", ".gml", ".parquet", ".gpx")


def evaluate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[JUDGED] REFERENCE",
            help="A class map (.tif) and its reference raster, or labelled points in any vector "
            "format or CSV with --reference-column; or a model (.emd, .dlpk) and its tile set; or "
            "the reference alone with --before-map and --after-map.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--json", "--out", "-o", help="Write everything as JSON.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Folder for pictures: confusion, F1, reliability.")
    ] = None,
    before_map: Annotated[
        Path | None, typer.Option(help="Class map of before, for post-classification comparison.")
    ] = None,
    after_map: Annotated[Path | None, typer.Option(help="Class map of after.")] = None,
    coding: Annotated[
        str | None,
        typer.Option(
            help="Coding of the reference, if its file doesn't tell: to, from-to, binary."
        ),
    ] = None,
    image: Annotated[
        Path | None, typer.Option(help="What the map was made from, for per-pixel baselines.")
    ] = None,
    tiles: Annotated[
        Path | None, typer.Option(help="Tile set, on other ground, to fit those baselines on.")
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="Classes of map and reference, or of the two class maps: CSV value,name or JSON."
        ),
    ] = None,
    recode: Annotated[
        Path | None,
        typer.Option(help="CSV: value of the map, new value or class name of the reference."),
    ] = None,
    nodata: Annotated[
        float | None,
        typer.Option(help="A value without a class, beside what the files say (not for models)."),
    ] = None,
    bounds: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(help="Left bottom right top of the part to compare (rasters only)."),
    ] = None,
    reference_column: Annotated[
        str | None,
        typer.Option(help="Points: column with the reference class, a name or a value."),
    ] = None,
    map_column: Annotated[
        str | None, typer.Option(help="Points without coordinates: column with the map's class.")
    ] = None,
    x_column: XColumn = None,
    y_column: YColumn = None,
    crs: PointsCrs = None,
    layer: PointsLayer = None,
    baselines: Annotated[
        bool, typer.Option(help="Fit per-pixel rules beside a model: a minute or so.")
    ] = True,
    overwrite: Overwrite = False,
) -> None:
    """Score a map against a reference, or a model on the validation tiles it was trained beside.

    docs/scores.md says what each score means, and where it misleads.
    """
    from landshift.assess.points import PointSource
    from landshift.classes import legend_readers
    from landshift.cli import show
    from landshift.errors import ParameterError
    from landshift.evaluation import evaluation, models
    from landshift.evaluation import maps as stage
    from landshift.files import whole
    from landshift.show import tables

    whole.check_new(
        out, *(() if figures is None else evaluation.figure_files(figures)),
        inputs=[*paths, before_map, after_map, image, classes], overwrite=overwrite,
    )  # fmt: skip
    if len(paths) > 2:
        raise ParameterError(f"Give what is judged and its reference, got {len(paths)} paths.")
    if (before_map is None) != (after_map is None):
        raise ParameterError("Class maps come in pairs: give both --before-map and --after-map.")
    judged, reference = paths[0] if len(paths) == 2 else None, paths[-1]
    for_rasters = (bounds, classes, recode, nodata, before_map, coding, image, tiles)
    notes: list[str] = []
    counted = "pixels"
    if reference_column is not None:
        others = (bounds, recode, before_map, coding, image, tiles)
        if judged is None or any(option is not None for option in others):
            raise ParameterError(
                "Points are held against a map alone: give MAP POINTS, and none of --bounds, "
                "--recode, --before-map, --after-map, --coding, --image and --tiles."
            )
        source = PointSource(
            reference, reference_column, map_column, None, x_column, y_column, crs, layer
        )
        found, notes = stage.evaluate_points(
            judged,
            source,
            scheme=None if classes is None else legend_readers.read_classes(classes),
            nodata=nodata,
        )
        counted = "points"
    elif any(option is not None for option in (map_column, x_column, y_column, crs, layer)):
        raise ParameterError(
            "--map-column, --x-column, --y-column, --crs and --layer are for points, got no "
            "--reference-column; name the column of their classes."
        )
    elif reference.suffix.lower() in _OF_POINTS:
        raise ParameterError(
            f"Points need the column of their classes, got {reference} without "
            "--reference-column; name it."
        )
    elif judged is not None and (reference.is_dir() or reference.suffix.lower() == ".zip"):
        if any(option is not None for option in for_rasters):
            raise ParameterError(
                "--bounds, --classes, --recode, --nodata, --before-map, --after-map, --coding, "
                "--image and --tiles are for rasters; a model knows its classes and its tiles."
            )
        found = models.evaluate_package(judged, reference, beside=baselines)
    else:
        with show.progress("evaluate") as on_block:
            found = stage.evaluate_rasters(
                judged, reference, image=image, tiles=tiles, coding=coding, bounds=bounds,
                class_maps=None if before_map is None or after_map is None
                else (before_map, after_map),
                classes=None if classes is None else legend_readers.read_classes(classes),
                recode=None if recode is None else legend_readers.read_recoding(recode),
                nodata=nodata,
                on_block=on_block,
            )  # fmt: skip
    show.table(tables.per_class(found.scores))
    show.table(tables.compare(found.methods))
    semantic = tables.semantic(found.methods)
    if semantic is not None:
        show.table(semantic)
    if found.calibration is not None:
        show.table(tables.calibration(found.calibration))
    if found.scores.unmapped:
        typer.echo(f"{found.scores.unmapped:,} labelled {counted} have no class in the map.")
    for note in notes:
        typer.echo(note)
    if out is not None:
        typer.echo(found.write_json(out, overwrite=overwrite))
    if figures is not None:
        for path in found.write_figures(figures, overwrite=overwrite):
            typer.echo(path)
