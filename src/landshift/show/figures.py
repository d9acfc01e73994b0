"""Figures of samples, maps, curves and zones, drawn by matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from landshift import raster
from landshift.classes import IGNORE_INDEX, ClassScheme, Colour, class_options
from landshift.errors import ClassError, ParameterError
from landshift.files import kinds, options, whole
from landshift.spec import split_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

    from landshift.maps.zonal import Zones
    from landshift.scores.calibration import Calibration, Reliability
    from landshift.scores.confusion import Matrix, Scores

VIEW_SIZE = 1200
"""Largest number of rows and columns of a shown raster."""

_STRETCH = (2.0, 98.0)  # percentiles of valid pixels that become black and white

NUMBERED_CLASSES = 30
"""Largest number of classes of a confusion matrix with numbers in its cells."""

NAMED_ZONES = 40
"""Largest number of zones with their names in a figure."""

# Okabe & Ito (2008), without yellow, which is pale on white
_BARS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_DATES = ("Before", "After")
_TRUE_COLOUR = ("red", "green", "blue")

Picture = NDArray[np.float32]


def view(
    images: Sequence[options.FilePath],
    mapped: Annotated[options.FilePath, Parameter(name=("--map", "-m"))],
    out: options.OutFile,
    *,
    reference: options.FilePath | None = None,
    classes: class_options.ClassesLike = None,
    overwrite: options.Flag = False,
) -> Path:
    """Show the images, the map and its reference side by side, with a legend.

    Args:
        images: Image before, image after; or the image of one date.
        mapped: The class map.
        out: The picture to write: .png, or another suffix that matplotlib knows.
        reference: Reference of the map.
        classes: Classes of the map: CSV value,name or JSON; left out: those of its file.
        overwrite: Replace what is there already under the same name.

    Raises:
        ParameterError: Not one or two images.
        ClassError: The map's file states no classes and none are given.
        RasterError: A file can't be read.
        OutputError: The picture can't be written.
    """
    inputs = [*images, mapped, reference, class_options.file_of(classes)]
    kinds.PICTURE.check(out)
    whole.check_new(out, inputs=inputs, overwrite=overwrite)
    scheme = class_options.classes_of(classes) or raster.scheme_of(mapped)
    if scheme is None:
        raise ClassError(f"The map must state its classes, got none in {mapped}; give `classes`.")
    if not 1 <= len(images) <= len(_DATES):
        raise ParameterError(f"`images` must be one or two, got {len(images)}.")
    panels: list[tuple[str, NDArray[Any]]] = []
    for title, path in zip(_DATES if len(images) > 1 else ("Image",), images, strict=True):
        chosen = [k + 1 for k in rgb_bands(raster.info(path).bands)]
        panels.append((title, picture(*raster.preview(path, VIEW_SIZE, chosen))))
    present: set[int] = set()
    maps = [("Predicted" if reference else "Map", mapped)]
    maps += [("Reference", reference)] if reference else []
    for title, path in maps:
        codes = _preview_codes(path, scheme)
        present.update(int(k) for k in np.unique(codes))
        panels.append((title, colour_classes(codes, scheme)))
    figure = _figure(len(panels), 1, panels[0][1].shape)
    for axes, (title, image) in zip(figure.axes, panels, strict=True):
        _show(axes, image, title)
    _legend(figure, scheme, present)
    return save(figure, out, overwrite=overwrite)


def _preview_codes(path: Path | str, scheme: ClassScheme) -> NDArray[np.uint8]:
    """Class indices ``(row, column)`` of a map's preview; `IGNORE_INDEX` where it has no class."""
    values, mask = raster.preview(path, VIEW_SIZE, [1], classes=True)
    with raster.open_raster(path) as source:
        known = raster.class_values(source, names=scheme.mapping)
    classed = known.classed(values[0], mask)
    codes = scheme.to_indices(np.where(classed, values[0], 0), where=str(path))
    codes[~classed] = IGNORE_INDEX
    return codes


def show_samples(
    images: NDArray[Any],
    targets: NDArray[np.uint8],
    bands: Sequence[str],
    scheme: ClassScheme,
    *,
    alpha: float = 1.0,
    predicted: NDArray[np.uint8] | None = None,
) -> Figure:
    """Samples, one a row: each date, the labels and the prediction.

    Args:
        images: ``(sample, band, row, column)`` in the raster's units; NaN where not valid.
        targets: ``(sample, row, column)`` class indices.
        bands: Names of the bands.
        scheme: The classes.
        alpha: Opacity of the labels over the last date's image, 0 to 1.
        predicted: ``(sample, row, column)`` predicted class indices.
    """
    columns = len(date_bands(bands)) + 1 + (predicted is not None)
    figure = _figure(columns, len(images), images.shape[-2:])
    present: set[int] = set()
    for row, image in enumerate(images):
        pictures = date_pictures(image, bands)
        last = pictures[-1][1]
        pictures.append(("Labels", _over(last, targets[row], scheme, alpha)))
        present.update(int(k) for k in np.unique(targets[row]))
        if predicted is not None:
            pictures.append(("Predicted", _over(last, predicted[row], scheme, alpha)))
            present.update(int(k) for k in np.unique(predicted[row]))
        for column, (title, shown) in enumerate(pictures):
            _show(figure.axes[row * columns + column], shown, title if row == 0 else "")
    _legend(figure, scheme, present)
    return figure


def show_learning_rates(
    rates: Sequence[float], losses: Sequence[float], suggestion: float
) -> Figure:
    """Smoothed loss against learning rate, with the suggestion marked."""
    figure, axes = _curves("learning rate", "loss")
    axes.plot(rates, losses)
    axes.set_xscale("log")
    axes.axvline(suggestion, color="tab:red", linestyle="--", label=f"suggestion {suggestion:.2g}")
    axes.legend()
    return figure


def show_losses(train: Sequence[float], valid: Sequence[float]) -> Figure:
    """Training and validation loss of each epoch."""
    figure, axes = _curves("epoch", "loss")
    axes.plot(train, label="training")
    axes.plot(valid, label="validation")
    axes.legend()
    return figure


def show_confusion(matrix: Matrix, scheme: ClassScheme) -> Figure:
    """A confusion matrix in pixels and in shares of each row; rows reference, columns map.

    Cells have numbers up to `NUMBERED_CLASSES` classes. The colours go from light to dark in one
    hue, for any colour vision and for print.

    Args:
        matrix: As from `landshift.scores.confusion.count`; its last column is shown if it has
            pixels.
        scheme: The classes.
    """
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.figure import Figure

    n = len(scheme)
    unmapped = bool(matrix[:, n:].any())
    counts = matrix if unmapped else matrix[:, :n]
    columns = [*scheme.names, "no class"] if unmapped else list(scheme.names)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    cell = 0.55 if n <= 8 else 0.36 if n <= NUMBERED_CLASSES else 0.16
    names = 0.3 + 0.07 * max(len(name) for name in columns)  # inches of the longest name
    side = max(cell * len(columns), 2.5)
    figure = Figure(figsize=(2 * side + names + 2.4, side + names + 0.9), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    shown = (
        ("Pixels", np.where(counts > 0, counts, np.nan), LogNorm(1, max(int(counts.max()), 2))),
        ("Share of the reference's class", shares, Normalize(0, 1)),
    )
    for axes, (title, values, norm) in zip(panels, shown, strict=True):
        image = axes.imshow(values, cmap="Blues", norm=norm)
        axes.set_title(title)
        axes.set_xlabel("map")
        axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=8)
        figure.colorbar(image, ax=axes, shrink=0.6)
    panels[0].set_ylabel("reference")
    panels[0].set_yticks(range(n), scheme.names, fontsize=8)
    if n <= NUMBERED_CLASSES:
        for row, column in np.ndindex(*counts.shape):
            if counts[row, column]:
                texts = _short(int(counts[row, column])), f"{shares[row, column]:.2f}".lstrip("0")
                for axes, text, (_, values, norm) in zip(panels, texts, shown, strict=True):
                    dark = norm(values[row, column]) > 0.6
                    axes.text(
                        column, row, text, ha="center", va="center", fontsize=7,
                        color="white" if dark else "black",
                    )  # fmt: skip
    return figure


def show_f1(methods: Mapping[str, Scores]) -> Figure:
    """F1 of each class, a bar for each method; no bar where F1 isn't defined.

    Args:
        methods: Scores over the same classes by name of the method; the evaluated one first.
    """
    from matplotlib.figure import Figure

    names = [c.name for c in next(iter(methods.values())).classes]
    bars = len(methods)
    height = 1.2 + len(names) * (0.12 * bars + 0.15)
    figure = Figure(figsize=(7, height), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(names))
    thick = 0.8 / bars
    for k, (method, scores) in enumerate(methods.items()):
        values = [np.nan if c.f1 is None else c.f1 for c in scores.classes]
        colour = _BARS[k % len(_BARS)]
        axes.barh(places + (k - (bars - 1) / 2) * thick, values, thick, label=method, color=colour)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set_xlim(0, 1)
    axes.set_xlabel("F1")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=min(bars, 3), frameon=False)
    return figure


def show_reliability(calibration: Calibration) -> Figure:
    """A reliability diagram: accuracy of the likeliest class against its probability.

    Calibrated probabilities lie on the diagonal, overconfident ones below it. The lower panel shows
    the share of pixels in each bin.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 7), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":")
    raw, scaled = calibration.raw, calibration.scaled
    curves = [(f"as trained, ECE {_figures(raw.ece)}", raw, _BARS[1], "s--")]
    if calibration.temperature != 1:
        name = f"temperature {calibration.temperature:.2f}, ECE {_figures(scaled.ece)}"
        curves.append((name, scaled, _BARS[0], "o-"))
    for name, curve, colour, style in curves:
        filled = curve.pixels > 0
        confidence = curve.confidence[filled] / curve.pixels[filled]
        accuracy = curve.right[filled] / curve.pixels[filled]
        axes.plot(confidence, accuracy, style, color=colour, label=name, markersize=4)
        _draw_shares(below, curve, colour)
    axes.set_ylabel("share that is right")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.legend(loc="upper left")
    below.set_xlabel("probability of the likeliest class")
    below.set_ylabel("share of pixels")
    return figure


def _draw_shares(axes: Axes, curve: Reliability, colour: str) -> None:
    bins = len(curve.pixels)
    edges = np.linspace(0, 1, bins + 1)
    axes.stairs(curve.pixels / max(int(curve.pixels.sum()), 1), edges, color=colour)


def show_zones(zones: Zones, of: str | None = None) -> Figure:
    """Zones coloured by the share of one class, or of change: the brighter, the larger.

    Up to `NAMED_ZONES` zones have their names and shares; zones off the map are hatched.

    Args:
        zones: As from `landshift.zonal`.
        of: The class; None: any change.

    Raises:
        ClassError: No such class; or no class of unchanged pixels.
    """
    import matplotlib
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    shares = zones.percent(of)
    known = np.isfinite(shares)
    norm = Normalize(0, max(float(shares[known].max()), 1e-9))
    colours = matplotlib.colormaps["cividis"]
    left, bottom, right, top = _total_bounds(zones)
    # degrees of longitude shrink towards the poles
    shrink = np.cos(np.radians((bottom + top) / 2)) if zones.crs.proj.is_geographic else 1.0
    ratio = (top - bottom) / max((right - left) * shrink, 1e-12)
    figure = Figure(figsize=(7.5, 1.0 + 5.6 * min(max(ratio, 0.4), 1.8)), layout="constrained")
    axes = figure.subplots()
    _draw_outlines(axes, zones, shares, norm, colours)
    if len(shares) <= NAMED_ZONES:
        _name_zones(axes, zones, shares, norm)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.margins(0.02)
    axes.set_aspect(1 / shrink)
    axes.set_axis_off()
    title = "Share that changed" if of is None else f"Share of {of}"
    axes.set_title(title, parse_math=False)
    if not known.all():
        nowhere = Patch(facecolor="white", edgecolor="grey", hatch="////", label="no class")
        figure.legend(handles=[nowhere], loc="outside lower left", frameon=False)
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes, shrink=0.7)
    bar.set_label("% of the zone's classed area")
    return figure


def _draw_outlines(
    axes: Axes, zones: Zones, shares: NDArray[np.float64], norm: Normalize, colours: Colormap
) -> None:
    """Fill the zones by their shares; hatch those without one."""
    from matplotlib.collections import PathCollection

    known = np.isfinite(shares)
    for of_known in (True, False):
        chosen = np.flatnonzero(known == of_known)
        axes.add_collection(
            PathCollection(
                [_path_of(zones.outlines[k]) for k in chosen],
                facecolors=colours(norm(shares[chosen])) if of_known else "white",
                edgecolors="black" if of_known else "grey",
                linewidths=0.6, hatch=None if of_known else "////",
            )
        )  # fmt: skip


def _name_zones(axes: Axes, zones: Zones, shares: NDArray[np.float64], norm: Normalize) -> None:
    """Write name and share into each zone."""
    for outline, name, share in zip(zones.outlines, zones.names, shares, strict=True):
        point = outline.representative_point()
        bright = np.isfinite(share) and norm(share) > 0.5
        text = f"{name}\n{share:.1f} %" if np.isfinite(share) else f"{name}\nno class"
        axes.annotate(
            text, (point.x, point.y), ha="center", va="center", fontsize=8,
            color="black" if bright or not np.isfinite(share) else "white", parse_math=False,
        )  # fmt: skip


def _total_bounds(zones: Zones) -> tuple[float, float, float, float]:
    import shapely

    left, bottom, right, top = shapely.total_bounds(zones.outlines)
    return float(left), float(bottom), float(right), float(top)


def _path_of(outline: Any) -> Any:
    """A polygon with any number of parts and holes as one path."""
    import shapely
    from matplotlib.path import Path as Outline

    rings = shapely.get_rings(shapely.get_parts(outline))
    return Outline.make_compound_path(*(Outline(shapely.get_coordinates(r)) for r in rings))


def save(figure: Figure, out: Path | str, *, overwrite: bool = False) -> Path:
    """Write a figure as a picture; PNG and SVG files carry landshift's mark.

    Args:
        figure: The figure.
        out: The file; its suffix decides the format.
        overwrite: Whether a file without the mark is replaced.

    Raises:
        OutputError: The file exists and ``overwrite`` is off; or it can't be written.
    """
    kinds.PICTURE.check(out)
    whole.check_new(out, overwrite=overwrite)
    with whole.whole_file(Path(out)) as part:
        figure.savefig(part, dpi=130, metadata=_metadata(Path(out)))
    return Path(out)


def date_bands(bands: Sequence[str]) -> dict[str, list[int]]:
    """Positions of the bands of each date: ``before:red`` belongs to ``Before``."""
    dates: dict[str, list[int]] = {}
    for position, name in enumerate(bands):
        date = split_name(name)[0] or "image"
        dates.setdefault(date.capitalize(), []).append(position)
    return dates


def date_pictures(image: NDArray[Any], bands: Sequence[str]) -> list[tuple[str, Picture]]:
    """Title and RGB picture of each date of an image.

    Args:
        image: ``(band, row, column)``; NaN where not valid.
        bands: Names of the bands.
    """
    mask = np.isfinite(image).all(axis=0)
    pictures = []
    for title, numbers in date_bands(bands).items():
        chosen = [numbers[k] for k in rgb_bands([bands[n] for n in numbers])]
        pictures.append((title, picture(image[chosen], mask)))
    return pictures


def rgb_bands(names: Sequence[str]) -> tuple[int, int, int]:
    """Positions of the bands shown as red, green and blue.

    The bands named red, green and blue; else the first three, or the first one in grey.
    """
    plain = [split_name(name)[1].lower() for name in names]
    if set(_TRUE_COLOUR) <= set(plain):
        red, green, blue = (plain.index(c) for c in _TRUE_COLOUR)
        return red, green, blue
    return (0, 1, 2) if len(names) >= 3 else (0, 0, 0)


Limits = Sequence[tuple[float, float]]


def limits_of(values: NDArray[Any]) -> Limits:
    """Values of each band that become black and white.

    Args:
        values: ``(band, pixel)``, valid pixels only; at least one.
    """
    return [(float(a), float(b)) for a, b in np.percentile(values, _STRETCH, axis=1).T]


def picture(values: NDArray[Any], mask: NDArray[np.bool_], limits: Limits | None = None) -> Picture:
    """Three bands with a contrast stretch: ``(row, column, 3)`` in 0 to 1, white where not valid.

    Args:
        values: ``(band, row, column)``.
        mask: ``(row, column)``, True where valid.
        limits: See `limits_of`; None: those of the picture itself.
    """
    shown = np.ones((*mask.shape, 3), np.float32)
    if not mask.any():
        return shown
    limits = limits or limits_of(values[:, mask])
    for channel, (band, (low, high)) in enumerate(zip(values, limits, strict=True)):
        scaled = (band.astype(np.float32) - low) / max(high - low, 1e-6)
        shown[..., channel] = np.where(mask, scaled.clip(0, 1), 1)
    return shown


def colour_classes(codes: NDArray[np.uint8], scheme: ClassScheme) -> Picture:
    """Class indices in their colours, as ``(row, column, 3)`` in 0 to 1; white where unlabelled."""
    table = np.ones((256, 3), np.float32)
    for k, c in enumerate(scheme):
        table[k] = _unit(c.colour)
    return table[codes]


def _over(image: Picture, codes: NDArray[np.uint8], scheme: ClassScheme, alpha: float) -> Picture:
    blended = alpha * colour_classes(codes, scheme) + (1 - alpha) * image
    return blended.astype(np.float32)


def _figure(columns: int, rows: int, shape: tuple[int, ...]) -> Figure:
    """Panels for pictures of a shape, with space for a legend on the right."""
    from matplotlib.figure import Figure

    height = 3.6 * min(max(shape[0] / shape[1], 0.5), 2.0)
    figure = Figure(figsize=(3.6 * columns + 2.2, height * rows + 0.3), layout="constrained")
    figure.subplots(rows, columns, squeeze=False)
    for axes in figure.axes:
        axes.set_axis_off()
    return figure


def _curves(x: str, y: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _show(axes: Axes, image: Picture, title: str) -> None:
    axes.imshow(image, interpolation="nearest")
    axes.set_title(title)


def _legend(figure: Figure, scheme: ClassScheme, present: set[int]) -> None:
    from matplotlib.patches import Patch

    entries = [
        Patch(facecolor=_unit(c.colour), edgecolor="black", linewidth=0.4, label=c.name)
        for k, c in enumerate(scheme)
        if k in present
    ]
    if IGNORE_INDEX in present:
        entries.append(Patch(facecolor="white", edgecolor="black", linewidth=0.4, label="No data"))
    figure.legend(handles=entries, loc="outside right center", frameon=False)


def _short(number: int) -> str:
    """A count in four characters: 950, 12k, 1.2M."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return (
                f"{number / size:.1f}{letter}"
                if number < 10 * size
                else f"{number // size}{letter}"
            )
    return str(number)


def _figures(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _unit(colour: Colour) -> tuple[float, float, float]:
    red, green, blue = (v / 255 for v in colour)
    return red, green, blue


def _metadata(out: Path) -> dict[str, str | None] | None:
    """The mark; and no time of writing, so that the same picture gives the same bytes."""
    known: dict[str, dict[str, str | None]] = {
        ".png": {"Software": whole.MARK},
        ".svg": {"Creator": whole.MARK, "Date": None},
        ".pdf": {"CreationDate": None},
    }
    return known.get(out.suffix.lower())
