"""The images of one or more dates -> one composite, its bands named by date."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from landshift import images as imagery
from landshift import raster
from landshift.classes import ClassScheme, Colour, legend
from landshift.errors import ParameterError, RasterError
from landshift.files import dates as days
from landshift.files import provenance
from landshift.files.options import GROUP, Flag, OutFile
from landshift.grid import Window
from landshift.images import Image, Plan, clouds, windows
from landshift.prepare.checks import (
    CompositeChecks,
    Measured,
    remarks,
    share_of_pixels,
    warn_of_quality,
)
from landshift.prepare.display import Display, display_of
from landshift.prepare.image_reading import ImageReading, Sources, split
from landshift.prepare.target import (
    CompositeOutput,
    Layout,
    TargetGrid,
    date_names,
    layout_of,
    match_bands,
    warn_of_clashes,
)
from landshift.raster.colours import parts

__all__ = ["CompositeOutput", "ImageReading", "TargetGrid", "composite"]

log = logging.getLogger(__name__)


def composite(
    images: Sources,
    out: OutFile,
    *,
    reading: Annotated[ImageReading, GROUP] = ImageReading(),  # noqa: B008
    target: Annotated[TargetGrid, GROUP] = TargetGrid(),  # noqa: B008
    output: Annotated[CompositeOutput, GROUP] = CompositeOutput(),  # noqa: B008
    overwrite: Flag = False,
) -> Path:
    """Stack the images of one or more dates on one grid into a Cloud-Optimised GeoTIFF.

    A pixel is valid only where it is valid in every band of every date; elsewhere all bands
    hold nodata. Images whose pixels coincide with the grid's are copied, others resampled.
    Pixels are read and written by windows, so that memory is bounded by bands, cores and GDAL's
    cache and not by the raster. Shifts between the dates, radiometric differences and
    shares of valid pixels are measured on the way and written to the provenance.

    Args:
        images: One argument a date, in order of time: a raster, URL, STAC Item (.json), or a
            Landsat or Sentinel-2 scene as delivered (folder, .tar, .zip), or several with commas
            between them (bands to stack, tiles to join).
        out: The composite to write. Its bands are described DATE:BAND, or BAND where there is one
            date.
        overwrite: Replace what is there already under the same name.

    Returns:
        The composite's path; `checks_of` reads what was measured.

    Raises:
        ParameterError: No image, or options that contradict each other or are out of range.
        GridError: An image has no CRS or place, or the images share no ground.
        BandError: The dates have another number of bands, or `bands` another number of names.
        DateError: A date is later than the next one, where the files state it.
        RasterError: An image can't be read, or no pixel is valid on every date.
        OutputError: The composite can't be written.
    """
    out = Path(out)
    dated = reading.images(images)
    if not dated:
        raise ParameterError("A composite takes at least one image, got none.")
    dates = date_names(len(dated), split(output.names))
    files = [f for image in dated for f in image.files]
    raster.check_new(out, inputs=[*files, target.like], overwrite=overwrite)
    plans = match_bands(_planned(dated, split(output.dates)), dates, split(output.bands))
    imagery.warn_of_scaling(plans, dates)
    warn_of_quality(plans, dates)
    layout = layout_of(plans, dates, target, output)
    inputs = [Path(f) for p in plans for f in p.files]
    parameters = _parameters(dated, dates, layout, target, output)
    display = display_of(plans, layout.bands, output.rgb)
    with ExitStack() as stack:
        if reading.mask_clouds is not None:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            plans, shares = _without_clouds(plans, dates, layout, reading.mask_clouds, folder)
            parameters["clouds"] = {"factor": reading.mask_clouds, "hidden": shares}
        _write(
            out, plans, dates, layout, display, provenance.record("composite", inputs, parameters)
        )
    return out


def _without_clouds(
    plans: Sequence[Plan], dates: Sequence[str], layout: Layout, factor: float, folder: Path
) -> tuple[list[Plan], dict[str, float]]:
    """The images, each hiding clouds that a network finds, and the share of each that is hidden."""
    if not 0 < factor <= 1:
        raise ParameterError(
            f"`mask_clouds` must be above 0 and at most 1, got {factor:g}; give the factor that "
            "makes reflectance of the values, such as 0.0001."
        )
    hidden, shares = [], {}
    for number, (plan, date) in enumerate(zip(plans, dates, strict=True)):
        path = folder / f"{number}.tif"
        masked, share = clouds.hidden(plan, layout.box, factor, path)
        log.info("%s: %.1f %% of the valid pixels are cloud or shadow", date, 100 * share)
        hidden.append(masked)
        shares[date] = round(share, 6)
    return hidden, shares


def _write(
    out: Path,
    plans: Sequence[Plan],
    dates: Sequence[str],
    layout: Layout,
    display: Display,
    record: dict[str, Any],
) -> None:
    """Write the composite, measured on the way, and the style in which QGIS opens it."""
    runs = windows.runs_of(plans, layout.box, layout.dtype)
    stack = _Stack(layout, CompositeChecks(plans, dates, layout.bands, layout.box))
    colours, scheme = _legend(plans, layout.dtype)
    clashes = 0
    with raster.create(
        out, layout.box, count=len(layout.bands), dtype=str(layout.dtype), nodata=layout.nodata,
        bands=layout.bands, classes=_classes(plans), scheme=scheme, colours=colours,
        cache=windows.cache_bytes(plans),
    ) as target:  # fmt: skip
        if not colours:
            display.mark(target.file)
        job = partial(stack.write, target)
        with windows.results(plans, layout.box, runs, "writing", job) as results:
            for _, (measured, clashing) in results:
                stack.checks.add(measured)
                clashes += clashing
        stack.checks.measure_rest()
        checks = stack.checks.result()
        _check_valid(checks, layout)
        tags = provenance.as_tag({**record, "checks": checks})
        target.file.update_tags(**tags, **_days(plans, dates))
        _keep_scaling(target.file, plans)
        if any(units := [u for p in plans for u in p.units]):
            target.file.units = units
    if not colours and scheme is None:
        display.write_style(out)
        log.info("shown in QGIS: %s", display.shown.label)
    warn_of_clashes(clashes, layout)
    _warn_of_dates(checks)


def _planned(images: Sequence[Image], dates: Sequence[str] | None) -> list[Plan]:
    """The images with their files looked at, in order of time."""
    periods = days.stated(dates, len(images))
    plans = [
        plan if period is None else replace(plan, taken=period)
        for plan, period in zip(map(imagery.plan, images), periods, strict=True)
    ]
    for first, second in pairwise(plans):
        raster.check_order(*(replace(p.layers[0].info, taken=p.taken) for p in (first, second)))
    return plans


@dataclass(frozen=True)
class _Stack:
    """The dates of a composite, stacked window by window, by several threads.

    Attributes:
        layout: What the composite holds.
        checks: What is measured on the way.
    """

    layout: Layout
    checks: CompositeChecks

    def write(
        self, target: raster.NewRaster, readers: Sequence[imagery.ImageReader], window: Window
    ) -> tuple[Measured, int]:
        """Write one window of all dates.

        Returns:
            What was measured, and the number of valid pixels that held the nodata value.
        """
        parts, masks = zip(*(r.read(window) for r in readers), strict=True)
        valid = np.logical_and.reduce(masks)
        measured = self.checks.measure(window, parts, masks, valid)
        stacked = _cast(np.concatenate(parts), self.layout.dtype)
        clashes = self._hide(stacked, valid)
        raster.write(target, stacked, window)
        return measured, clashes

    def _hide(self, stacked: NDArray[Any], valid: NDArray[np.bool_]) -> int:
        """Write nodata where pixels aren't valid; the number of valid pixels that held it."""
        nodata = self.layout.nodata
        if nodata is None:
            return 0
        clash = (stacked == nodata) & valid
        clashes = int(np.count_nonzero(clash.any(axis=0)))
        if clashes and self.layout.displaced:  # as gdalwarp does: next to it, rather than lost
            stacked[clash] = 1
        if not valid.all():
            stacked[:, ~valid] = nodata
        return clashes


def _check_valid(measured: dict[str, Any], layout: Layout) -> None:
    if not measured["valid"]["all"]:
        raise RasterError(
            f"A composite must have a pixel that is valid on every date, got none of "
            f"{layout.box.width} x {layout.box.height} (valid: {share_of_pixels(measured)}); check "
            "the nodata values and quality rules."
        )


def _warn_of_dates(measured: dict[str, Any]) -> None:
    """Warn where dates lie apart or can't be compared."""
    first = measured["dates"][0]
    for date, shift in measured["shifts"].items():
        if shift is not None and shift["large"]:
            log.warning(
                "%s lies %.2f pixels right and %.2f down of %s (%.0f %% of %d blocks agree): "
                "edges will look like change; register the images first.", date,
                shift["columns"], shift["rows"], first, 100 * shift["agreement"],
                shift["blocks"],
            )  # fmt: skip
    for remark in remarks(measured):
        log.warning("%s", remark)


def _cast(values: NDArray[Any], kind: np.dtype[Any]) -> NDArray[Any]:
    if values.dtype == kind or np.issubdtype(kind, np.floating):
        return values.astype(kind, copy=False)
    if np.issubdtype(values.dtype, np.floating):
        values = np.nan_to_num(np.rint(values), nan=0.0)
    if np.can_cast(values.dtype, kind):
        return values.astype(kind)
    limits = np.iinfo(kind)
    clipped: NDArray[Any] = np.clip(values, limits.min, limits.max).astype(kind)
    return clipped


def _classes(plans: Sequence[Plan]) -> list[bool]:
    """Of each band, whether values are classes: they are never mixed where resampled."""
    return [
        all(layer.resampling in ("nearest", "mode") for layer in group)
        for p in plans
        for group in p.stack
        for _ in group[0].numbers
    ]


def _legend(
    plans: Sequence[Plan], dtype: np.dtype[Any]
) -> tuple[dict[int, Colour], ClassScheme | None]:
    """Colours and classes of a composite that is one class map; else none."""
    known = legend.Legend()
    if sum(len(p.names) for p in plans) == 1 and dtype in (np.uint8, np.uint16):
        for layer in (layer for p in plans for layer in p.layers):
            if layer.classes:
                known = known.or_else(raster.legend_of(layer.path))
    if not known.names:
        return known.colours, None
    named = {value: colour for value, colour in known.colours.items() if value in known.names}
    return known.colours, legend.Legend(known.names, named).scheme()


def _keep_scaling(target: Any, plans: Sequence[Plan]) -> None:
    """Tag each band with the scale and offset that its stored values still need."""
    # a band whose files differ has no tag that is right for all of it
    tags = [next(iter(t)) if len(t) == 1 else (1.0, 0.0) for p in plans for t in p.scaling]
    if any(tag != (1, 0) for tag in tags):
        target.scales, target.offsets = zip(*tags, strict=True)


def _days(plans: Sequence[Plan], dates: Sequence[str]) -> dict[str, str]:
    """When each date was taken, where that is known."""
    taken = {d: str(p.taken) for d, p in zip(dates, plans, strict=True) if p.taken is not None}
    if not taken:
        return {}
    if len(plans) == 1:
        return {"ACQUISITION_DATE": taken[dates[0]]}
    return {days.DATES_TAG: json.dumps(taken)}


def _parameters(
    images: Sequence[Image],
    dates: Sequence[str],
    layout: Layout,
    target: TargetGrid,
    output: CompositeOutput,
) -> dict[str, Any]:
    """The options, as a composite's provenance states them."""
    pixel = target.pixel
    return {
        **asdict(target),
        "images": {d: _image_parameters(i) for d, i in zip(dates, images, strict=True)},
        "bands": list(layout.bands),
        "like": None if target.like is None else Path(target.like).name,
        "resolution": pixel[0] if pixel is not None and pixel[0] == pixel[1] else pixel,
        "nodata": output.out_nodata,
        "dtype": output.dtype,
        "dates": split(output.dates),
        "rgb": None if output.rgb is None else ",".join(parts(output.rgb)),
    }


def _image_parameters(image: Image) -> dict[str, Any]:
    return {
        "files": [str(f) if "://" in str(f) else Path(f).name for f in image.files],
        "select": image.bands, "nodata": image.nodata,
        "quality": [f"{r.coding}:{r.band}={','.join(r.classes)}" for r in image.quality],
        "resampling": image.resampling, "assume_crs": image.assume_crs, "scaled": image.scaled,
    }  # fmt: skip
