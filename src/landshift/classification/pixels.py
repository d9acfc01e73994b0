"""A model over a raster of any size, block by block, into georeferenced maps."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from landshift.classification.options import (
    ImagesLike,
    MapArea,
    MapEngine,
    MapOutputs,
    MapRun,
    MapTiling,
    ModelLike,
    OnMapBlock,
)
from landshift.files import options


def classify(
    image: ImagesLike,
    model: ModelLike,
    out: options.OutFile,
    *,
    tiling: Annotated[MapTiling, options.GROUP] = MapTiling(),  # noqa: B008
    outputs: Annotated[MapOutputs, options.GROUP] = MapOutputs(),  # noqa: B008
    area: Annotated[MapArea, options.GROUP] = MapArea(),  # noqa: B008
    engine: Annotated[MapEngine, options.GROUP] = MapEngine(),  # noqa: B008
    run: Annotated[MapRun, options.GROUP] = MapRun(),  # noqa: B008
    normalise: options.Flag = False,
    overwrite: options.Flag = False,
    on_block: OnMapBlock = None,
) -> Path:
    """Run a model over a raster of any size: a georeferenced class map.

    The map is a Cloud-Optimised GeoTIFF of class values with colours, names and an attribute
    table; nodata is 0, or 255 if the model has a class 0. Pixels that aren't valid in every band
    the model reads stay nodata. Tiles without a valid pixel cost no model call.

    The raster is read, predicted and written in blocks of tiles, so that memory depends on tile
    and engine and not on the raster. Finished blocks are kept in .OUT.partial beside the map: the
    same command continues a run that was interrupted, and gives the same bytes.

    Args:
        image: The composite to classify, a path or URL; or the images of its dates, separated by
            commas, which are stacked on the fly. Bands are picked by name if the raster has names.
        model: A saved model: .emd, .dlpk, folder or hf://owner/repo.
        out: The map to write.
        normalise: Bring each band to the mean and standard deviation of the training tiles, as the
            model keeps them, by one line over the whole raster. For images of other light, haze,
            season or sensor whose land is of the same kind; another mix of land cover would be
            taken for other light.
        overwrite: Replace a map that exists already.
        on_block: Called when a block is finished.

    Returns:
        The path of the map.

    Raises:
        ModelError: The model can't be read, or the engine can't take it.
        BandError: The raster lacks a band, or has another number of bands than the model.
        RasterError: The raster can't be read; finished blocks are kept.
        GridError: Bounds or polygons miss the raster, or there is no CRS where one is needed.
        VectorError: The polygons can't be read.
        ParameterError: An option out of its range; the map would overwrite an input; an
            unfinished map of other inputs or options exists; a raster without different values is
            to be normalised.
        OutputError: A map exists already and ``overwrite`` is off, or it can't be written;
            finished blocks are kept.
        ClusterError: The scheduler or its workers can't compute the map; finished blocks are kept.
    """
    from landshift.classification.job import prepare_map
    from landshift.classification.run import carry_out

    job = prepare_map(
        image, model, Path(out), area=area, tiling=tiling, engine=engine, outputs=outputs,
        run=run, normalise=normalise, overwrite=overwrite,
    )  # fmt: skip
    with job.workers() as workers:
        carry_out(job, workers, on_block)
    return job.out


def classify_pixels(
    image: ImagesLike,
    model: ModelLike,
    out: Path | str,
    *positional: Any,
    **keywords: Any,
) -> Path:
    """As `landshift.classify`, with the fields of all its option groups as plain keywords.

    Args:
        image: A raster, or one image per date.
        model: A classifier, a model, or the path of a saved one.
        out: The map to write.
        *positional: ``padding``, ``batch_size``, ``predict_background`` and ``tile_size``, in
            this order.
        **keywords: Fields of `MapTiling`, `MapOutputs`, `MapArea`, `MapEngine` and `MapRun`;
            ``normalise``, ``overwrite`` and ``on_block``.

    Returns:
        The path of the map.

    Raises:
        TypeError: A keyword that isn't one of those.
        LandshiftError: As for `landshift.classify`.
    """
    if len(positional) > len(_POSITIONAL) or keywords.keys() & set(_POSITIONAL[: len(positional)]):
        raise TypeError(
            f"classify_pixels() takes {', '.join(_POSITIONAL)} after `out`, each once, got "
            f"{len(positional)} values and {', '.join(keywords)}"
        )
    keywords |= zip(_POSITIONAL, positional, strict=False)
    return classify(image, model, Path(out), **grouped(classify, keywords))


_POSITIONAL = ("padding", "batch_size", "predict_background", "tile_size")


def grouped(function: Callable[..., Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a function from plain keywords: fields of its option groups go into these.

    Args:
        function: A function with dataclasses as defaults.
        keywords: Values by the names of fields or arguments.
    """
    rest, arguments = dict(keywords), {}
    for name, parameter in inspect.signature(function).parameters.items():
        if is_dataclass(parameter.default) and not isinstance(parameter.default, type):
            own = [f.name for f in fields(parameter.default) if f.name in rest]
            arguments[name] = replace(parameter.default, **{k: rest.pop(k) for k in own})
    return arguments | rest
