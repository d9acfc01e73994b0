"""A map's classes in zones, as a table, as polygons and as a picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from landshift.classes import class_options
from landshift.errors import ParameterError
from landshift.files import kinds, options, whole
from landshift.maps.zonal import Zones, measure_zones
from landshift.show import figures


def zonal(
    mapped: options.MapFile,
    zones: Path | str,
    column: Annotated[str, Parameter(name="--column")],
    out: options.TableFile = None,
    *,
    geopackage: options.FilePath | None = None,
    picture: options.FilePath | None = None,
    of: str | None = None,
    layer: str | None = None,
    classes: class_options.ClassesLike = None,
    nodata: float | None = None,
    overwrite: options.Flag = False,
) -> Zones:
    """Measure a map's classes or transitions in polygons, border pixels by their part.

    A pixel that a zone's border cuts counts by the part inside (exactextract: the parts are exact
    to 1e-6 of a pixel), times its area. Zones may overlap.

    Args:
        mapped: The map: a class or change map with a CRS.
        zones: The zones: polygons of any vector format, in any CRS.
        column: Column with the name of each zone; polygons of one name are one zone.
        out: The CSV to write: zone, class, hectares, percent.
        geopackage: Write the zones with a column per class here too.
        picture: Draw the zones here, by their share of change: .png.
        of: Draw the share of this class; left out: of any change.
        layer: Name of the zones' layer; left out: the only one.
        classes: The map's classes, as for label; left out: as its files tell, else by value.
        nodata: A value without a class, beside what the file says.
        overwrite: Replace what is there already under the same name.

    Raises:
        ParameterError: exactextract isn't installed.
        ClassError: No such column; a map that is no class raster, or values outside the scheme.
        GridError: The map has no CRS, or no zone lies on it.
        VectorError: The polygons can't be read.
        RasterError: The map can't be read.
        OutputError: An output can't be written.
    """
    if of is not None and picture is None:
        raise ParameterError(f"`of` says what to draw, got {of!r} without `picture`; give both.")
    inputs = [mapped, zones, class_options.file_of(classes)]
    kinds.TABLE.check(out)
    kinds.GEOPACKAGE.check(geopackage)
    kinds.PICTURE.check(picture)
    whole.check_new(out, geopackage, picture, inputs=inputs, overwrite=overwrite)
    measured = measure_zones(
        Path(mapped), zones, column, layer=layer, classes=classes, nodata=nodata
    )
    files = []
    if picture is not None:
        files.append(figures.save(figures.show_zones(measured, of), picture, overwrite=overwrite))
    if geopackage is not None:
        files.append(measured.write_geopackage(geopackage, overwrite=overwrite))
    if out is not None:
        files.append(measured.write_csv(out, overwrite=overwrite))
    return replace(measured, files=tuple(files))
