"""Scores of a map or a model against a reference, beside those of simpler methods."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from landshift import raster
from landshift.assess.points import PointColumns
from landshift.classes import Coding, class_options
from landshift.errors import ParameterError
from landshift.evaluation import maps
from landshift.evaluation.evaluation import Evaluation, figure_files
from landshift.evaluation.points import evaluate_points
from landshift.files import kinds, options, provenance, whole
from landshift.scores import comparability
from landshift.scores.comparison import POST_CLASSIFICATION
from landshift.scores.findings import Finding

_OF_POINTS = (".csv", ".geojson", ".shp", ".fgb", ".kml", ".gml", ".parquet", ".gpx")


@dataclass(frozen=True)
class ClassMaps:
    """Class maps of two dates, whose changes are scored: post-classification comparison."""

    before_map: Path | None = None
    """Class map of before, for post-classification comparison."""
    after_map: Path | None = None
    """Class map of after."""
    coding: Coding | None = None
    """Coding of the reference, if its file doesn't state it."""

    def __post_init__(self) -> None:
        if self.coding is not None:
            options.check_choice("coding", self.coding, Coding)
        if (self.before_map is None) != (self.after_map is None):
            raise ParameterError(
                "Class maps come in pairs: give both `before_map` and `after_map`."
            )


@dataclass(frozen=True)
class Baselines:
    """Per-pixel rules that are scored beside a map or model."""

    image: Path | None = None
    """Image that the map was made from, for per-pixel baselines."""
    tiles: Path | None = None
    """Tile set, on other ground, to fit those baselines on."""
    baselines: bool = True
    """Fit per-pixel rules beside a model: a minute or so."""


@dataclass(frozen=True)
class Comparison:
    """How a map, or two class maps, and their reference are read."""

    classes: class_options.ClassesLike = None
    """Classes of map and reference, or of the two class maps; a file: CSV value,name or JSON."""
    recode: class_options.RecodingLike = None
    """New value, or class name of the reference, for each value of the map; a file: CSV."""
    nodata: float | None = None
    """A value without a class, beside what the files state (not for models)."""
    bounds: options.Bounds | None = None
    """Left bottom right top of the part to compare (rasters only)."""


def evaluate(
    *paths: Annotated[options.FilePath, Parameter(name="[JUDGED] REFERENCE", required=True)],
    class_maps: Annotated[ClassMaps, options.GROUP] = ClassMaps(),
    comparison: Annotated[Comparison, options.GROUP] = Comparison(),
    points: Annotated[PointColumns, options.GROUP] = PointColumns(),  # noqa: B008
    baselines: Annotated[Baselines, options.GROUP] = Baselines(),
    out: Annotated[options.FilePath | None, Parameter(name=("--json", "--out", "-o"))] = None,
    figures: options.FilePath | None = None,
    overwrite: options.Flag = False,
) -> Evaluation:
    """Score a map against a reference, or a model on the validation tiles it was trained beside.

    docs/scores.md explains what each score means, and where it misleads.

    Args:
        paths: A class map (.tif) and its reference raster, or labelled points in any vector format
            or CSV with `reference_column`; or a model (.emd, .dlpk) and its tile set; or the
            reference alone with `before_map` and `after_map`.
        out: JSON to write, with all scores.
        figures: Folder for pictures: confusion, F1, reliability.
        overwrite: Replace what is there already under the same name.

    Raises:
        ParameterError: Nothing to judge; options that don't fit what is judged.
        LandshiftError: See `landshift.evaluate_map`, `landshift.evaluation.maps`,
            `landshift.evaluation.points` and `landshift.evaluation.models`.
    """
    if not 1 <= len(paths) <= 2:
        raise ParameterError(f"Give what is judged and its reference, got {len(paths)} paths.")
    mapped, reference = Path(paths[0]) if len(paths) == 2 else None, Path(paths[-1])
    pictures = () if figures is None else figure_files(figures)
    inputs = [
        mapped, reference, class_maps.before_map, class_maps.after_map, baselines.image,
        *map(class_options.file_of, (comparison.classes, comparison.recode)),
    ]  # fmt: skip
    kinds.JSON.check(out)
    whole.check_new(out, *pictures, inputs=inputs, overwrite=overwrite)
    if points.reference_column is not None:
        evaluation = _of_points(mapped, reference, points, class_maps, comparison, baselines)
    elif reference.suffix.lower() in _OF_POINTS:
        raise ParameterError(
            f"Points need the column of their classes, got {reference} without "
            "`reference_column`; name it."
        )
    elif mapped is not None and (reference.is_dir() or reference.suffix.lower() == ".zip"):
        evaluation = _of_model(mapped, reference, class_maps, comparison, baselines)
    else:
        evaluation = _of_rasters(mapped, reference, class_maps, comparison, baselines)
    written = []
    if out is not None:
        written.append(evaluation.write_json(out, overwrite=overwrite))
    if figures is not None:
        written += evaluation.write_figures(figures, overwrite=overwrite)
    return replace(evaluation, files=tuple(written))


def _of_points(
    mapped: Path | None,
    path: Path,
    points: PointColumns,
    class_maps: ClassMaps,
    comparison: Comparison,
    baselines: Baselines,
) -> Evaluation:
    """Scores of a map at labelled points."""
    stated = _stated(class_maps, comparison, baselines) - {"classes", "nodata"}
    if mapped is None or stated:
        raise ParameterError(
            "Points are compared with a map alone: give MAP POINTS, and none of `bounds`, "
            "`recode`, `before_map`, `after_map`, `coding`, `image` and `tiles`."
        )
    return evaluate_points(
        mapped, path, points, scheme=class_options.classes_of(comparison.classes),
        nodata=comparison.nodata,
    )  # fmt: skip


def _of_model(
    model: Path,
    tiles: Path,
    class_maps: ClassMaps,
    comparison: Comparison,
    baselines: Baselines,
) -> Evaluation:
    """Scores of a model on the validation tiles of its tile set."""
    if _stated(class_maps, comparison, baselines):
        raise ParameterError(
            "`bounds`, `classes`, `recode`, `nodata`, `before_map`, `after_map`, `coding`, "
            "`image` and `tiles` are for rasters; a model states its classes and its tiles."
        )
    from landshift.evaluation import models

    return models.evaluate_package(model, tiles, beside=baselines.baselines)


def _stated(*groups: ClassMaps | Comparison | Baselines) -> set[str]:
    """Names of the options of some groups that aren't left out, but for `baselines`."""
    return {f.name for g in groups for f in fields(g) if getattr(g, f.name) is not None} - {
        "baselines"
    }


def _of_rasters(
    mapped: Path | None,
    reference: Path,
    class_maps: ClassMaps,
    comparison: Comparison,
    baselines: Baselines,
) -> Evaluation:
    """Scores of a map, or of the change between two class maps, beside those of other methods."""
    if (baselines.image is None) != (baselines.tiles is None):
        raise ParameterError(
            "Per-pixel baselines need both `image` and the tile set to fit them on (`tiles`), got "
            "one; give both or neither."
        )
    scheme = class_options.classes_of(comparison.classes)
    recode = class_options.recoding_of(comparison.recode)
    nodata, bounds = comparison.nodata, comparison.bounds
    if recode is not None and mapped is None:
        raise ParameterError("A recoding is of the values of a map, got none; give the map.")
    compared = None
    if class_maps.before_map is not None and class_maps.after_map is not None:
        compared = maps.evaluate_class_maps(
            class_maps.before_map, class_maps.after_map, reference, classes=scheme, nodata=nodata,
            coding=class_maps.coding, bounds=bounds,
        )  # fmt: skip
        scheme = compared.scheme
    elif class_maps.coding is not None:
        raise ParameterError(
            "`coding` states how class maps are compared; give `before_map` and `after_map`."
        )
    if mapped is not None:
        evaluation = maps.evaluate_map(
            mapped, reference, scheme=scheme, recode=recode, nodata=nodata, bounds=bounds
        )
        if compared is not None:
            evaluation = evaluation.beside({POST_CLASSIFICATION: compared})
    elif compared is not None:
        evaluation = compared
    else:
        raise ParameterError("A map or two class maps must be given to be judged, got none.")
    if baselines.image is None or baselines.tiles is None:
        return evaluation
    beside = _rules(evaluation, reference, baselines.image, baselines.tiles, comparison)
    return replace(evaluation.beside(beside), images=tuple(_on_images(baselines.image)))


def _on_images(composite: Path) -> list[Finding]:
    """Findings on how well an image's dates compare; empty where `composite` didn't make it.

    The checks are those in its tags.
    """
    with raster.open_raster(composite) as source:
        checks = provenance.from_tags(source.tags()).get("checks")
    return comparability.not_comparable(checks) if isinstance(checks, dict) else []


def _rules(
    evaluation: Evaluation,
    reference: Path,
    image: Path,
    tiles: Path,
    comparison: Comparison,
) -> dict[str, Evaluation]:
    """Scores of per-pixel rules, fitted on the training tiles of a set on other ground."""
    from landshift.dataset import TrainingTiles, prepare
    from landshift.evaluation import baselines

    data = prepare(tiles, reading=TrainingTiles(evaluation.scheme.mapping))
    return maps.evaluate_rules(
        baselines.fit(data), data.spec, image, reference, scheme=evaluation.scheme,
        nodata=comparison.nodata, bounds=comparison.bounds,
    )  # fmt: skip
