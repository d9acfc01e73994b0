"""Figures of samples, maps, curves and zones, drawn by matplotlib."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from landshift import raster
from landshift.classes import IGNORE_INDEX, ClassScheme, class_options
from landshift.errors import ClassError, ParameterError
from landshift.files import dates, kinds, options, whole
from landshift.raster import colours
from landshift.raster.stretch import Limits, limits_of
from landshift.show import panels
from landshift.show.panels import Panel
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

NUMBERED_CLASSES = 30
"""Largest number of classes of a confusion matrix with numbers in its cells."""

SIDE_BY_SIDE = 8
"""Largest number of classes whose two confusion matrices lie side by side: both then fit a page's
width at a size that can be read."""

NAMED_ZONES = 40
"""Largest number of zones with their names in a figure."""

_BAR = 0.14  # inches of a bar: its figure fits beside it
_ZONES = 6.0  # inches of a picture of zones, without its bar
_ZONE_NAME = 8  # points of a zone's name
_LABEL_LETTERS = 26  # of a line of a class's name along an axis

# Okabe & Ito (2008), without yellow, which is pale on white
_BARS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_DATES = ("Before", "After")
_DATELESS = "Image"  # bands without a date

Picture = panels.Picture


def view(
    images: Sequence[options.FilePath],
    mapped: Annotated[options.FilePath, Parameter(name=("--map", "-m"))],
    out: options.OutFile,
    *,
    reference: options.FilePath | None = None,
    rgb: options.BandChoice = None,
    classes: class_options.ClassesLike = None,
    overwrite: options.Flag = False,
) -> Path:
    """Show the images, the map and its reference side by side, with a legend.

    Titles have the dates that the files or their names state; below them stands which bands are
    shown. A scale bar and an arrow to true north stand under the first picture, and under those on
    another grid.

    Args:
        images: Image before, image after; or the image of one date, or a composite of several.
        mapped: The class map.
        out: The picture to write: .png, or another suffix that matplotlib knows.
        reference: Reference of the map.
        rgb: Bands of each date shown as red, green and blue, by name or number, such as
            nir,red,green or 4,3,2; or one band, in grey. Left out: red, green and blue by their
            names, else nir, red and green; else as the file states; else 1,2,3.
        classes: Classes of the map: CSV value,name or JSON; left out: those of its file.
        overwrite: Replace what is there already under the same name.

    Raises:
        ParameterError: Not one or two images; not one or three bands.
        BandError: A band of ``rgb`` is missing.
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
    figure = view_figure(images, mapped, scheme, reference=reference, rgb=rgb)
    return save(figure, out, overwrite=overwrite)


def view_figure(
    images: Sequence[Path | str],
    mapped: Path | str,
    scheme: ClassScheme,
    *,
    reference: Path | str | None = None,
    rgb: options.BandChoice = None,
) -> Figure:
    """The picture that `view` writes; arguments as there.

    Raises:
        ParameterError: Not one or three bands.
        BandError: A band of ``rgb`` is missing.
        RasterError: A file can't be read.
    """
    shown: list[Panel] = []
    empty = False
    for title, path in zip(_DATES if len(images) > 1 else ("Image",), images, strict=True):
        of_image, gaps = _image_panels(path, title, rgb)
        shown += of_image
        empty |= gaps
    pixels: Counter[int] = Counter()
    maps = [("Predicted" if reference else "Map", mapped)]
    maps += [("Reference", reference)] if reference else []
    for title, path in maps:
        codes = _preview_codes(path, scheme)
        pixels.update(_counted(codes))
        info = raster.info(path)
        shown.append(Panel(colour_classes(codes, scheme), _dated(title, info.taken), box=info.grid))
    nodata = "No data" if empty or IGNORE_INDEX in pixels else ""
    return panels.draw([shown], panels.entries(scheme, pixels, nodata=nodata))


def _image_panels(
    path: Path | str, title: str, rgb: options.BandChoice
) -> tuple[list[Panel], bool]:
    """A panel for each date of an image, and whether one shows pixels without data.

    Args:
        path: The image.
        title: Title of an image whose bands name no date.
        rgb: See `raster.colours.choose`.
    """
    shown, empty = [], False
    info = raster.info(path)
    taken = taken_of(path, info)
    for date, places in date_bands(info.names).items():
        numbers = [info.numbers[k] for k in places]
        with raster.open_raster(path) as source:
            chosen = colours.of_raster(source, rgb, numbers)
        values, mask = raster.preview(path, VIEW_SIZE, [numbers[k] for k in chosen.channels])
        empty |= not mask.all()
        heading = _dated(title if date == _DATELESS else date, taken.get(date))
        shown.append(Panel(picture(values, mask), heading, chosen.label, info.grid))
    return shown, empty


def taken_of(path: Path | str, info: raster.RasterInfo) -> dict[str, dates.Period]:
    """When each date of an image was taken, by the names of `date_bands`; as far as it is known."""
    with raster.open_raster(path) as source:
        tags = source.tags()
    try:
        known = {name.capitalize(): period for name, period in dates.of_each(tags).items()}
    except ParameterError:  # a picture without dates is better than none
        known = {}
    names = date_bands(info.names)
    if len(names) == 1 and info.taken is not None:
        known |= dict.fromkeys(names, info.taken)
    return known


def _dated(title: str, taken: dates.Period | None) -> str:
    """A title with a date: 'Before, 1995-08-12'."""
    when = "" if taken is None else str(taken).replace("/", " to ")
    return title if not when or when == title else f"{title}, {when}"


def _counted(codes: NDArray[np.uint8]) -> dict[int, int]:
    """Pixels of each class index that occurs."""
    values, counts = np.unique(codes, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


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
    sensors: Sequence[str | None] = (),
    rgb: options.BandChoice = None,
) -> Figure:
    """Samples, one a row: each date, the labels and the prediction.

    Args:
        images: ``(sample, band, row, column)`` in the raster's units; NaN where not valid.
        targets: ``(sample, row, column)`` class indices.
        bands: Names of the bands.
        scheme: The classes.
        alpha: Opacity of the labels over the last date's image, 0 to 1.
        predicted: ``(sample, row, column)`` predicted class indices.
        sensors: What each band's sensor is called; () if unknown.
        rgb: Bands of each date that are shown, see `raster.colours.choose`.
    """
    rows = []
    pixels: Counter[int] = Counter()
    for row, image in enumerate(images):
        shown = date_panels(image, bands, sensors, rgb)
        last = shown[-1].picture
        for title, layer in (("Labels", targets), ("Predicted", predicted)):
            if layer is not None:
                pixels.update(_counted(layer[row]))
                shown.append(Panel(_over(last, layer[row], scheme, alpha), title))
        rows.append(shown if row == 0 else [Panel(panel.picture) for panel in shown])
    nodata = "" if IGNORE_INDEX not in pixels and np.isfinite(images).all() else "No data or label"
    return panels.draw(rows, panels.entries(scheme, pixels, nodata=nodata))


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
    hue, for any colour vision and for print. The two lie side by side up to `SIDE_BY_SIDE`
    classes, else one below the other.

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
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(100 * counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    size = _matrix_size(n)
    names = [*scheme.names, "no class"] if unmapped else list(scheme.names)
    line = 2 * _LABEL_LETTERS // size.lines
    labels = [panels.written(name, line, size.lines) for name in names]
    letters = max(len(line) for label in labels for line in label.splitlines())
    around = letters * 0.6 * size.names / 72 + 0.5  # inches of the longest name, and of its axis
    side = max(size.cell * len(names), 2.4)
    beside = n <= SIDE_BY_SIDE
    width, height = side + around + 1.3, size.cell * n + around + 0.7
    figure = Figure(
        figsize=(2 * width, height) if beside else (width, 2 * height), layout="constrained"
    )
    shape: Any = {"ncols": 2} if beside else {"nrows": 2}
    drawn = figure.subplots(**shape)
    most = LogNorm(1, max(int(counts.max()), 2))
    pixels = [[_short(int(v)) if v else "" for v in row] for row in counts]
    percent = [
        [_percent(float(v)) if c else "" for v, c in zip(row, held, strict=True)]
        for row, held in zip(shares, counts, strict=True)
    ]
    views = (
        ("Pixels", "pixels", np.where(counts > 0, counts, np.nan), most, pixels),
        ("Share of the reference's class", "share of the reference's row, %", shares,
         Normalize(0, 100), percent),
    )  # fmt: skip
    for axes, (title, unit, values, norm, texts) in zip(drawn, views, strict=True):
        image = axes.imshow(values, cmap="Blues", norm=norm, aspect="auto")
        axes.set_title(title, fontsize=size.names + 3)
        axes.set_xlabel("map", fontsize=size.names + 1)
        axes.set_ylabel("reference", fontsize=size.names + 1)
        turn = 0 if letters * 0.6 * size.names / 72 < size.cell else 90
        axes.set_xticks(
            range(len(names)), labels, rotation=turn, fontsize=size.names, parse_math=False
        )
        axes.set_yticks(range(n), labels[:n], fontsize=size.names, parse_math=False)
        bar = figure.colorbar(image, ax=axes, fraction=0.3 / width, pad=0.1 / width)
        bar.set_label(unit, fontsize=size.names)
        bar.ax.tick_params(labelsize=size.names)
        if n <= NUMBERED_CLASSES:
            _number_cells(axes, norm(values), texts, size.numbers)
    return figure


@dataclass(frozen=True)
class _MatrixSize:
    """Sizes of a confusion matrix of so many classes.

    Attributes:
        cell: Inches of a cell's side.
        names: Points of a class's name.
        numbers: Points of a number in a cell.
        lines: Lines of a name that a cell has room for.
    """

    cell: float
    names: float
    numbers: float
    lines: int


def _matrix_size(classes: int) -> _MatrixSize:
    """Cells that hold four characters; fewer classes have larger ones."""
    if classes <= SIDE_BY_SIDE:
        return _MatrixSize(0.6, 10, 10, 2)
    if classes <= NUMBERED_CLASSES:
        return _MatrixSize(0.42, 10, 10, 2)
    return _MatrixSize(0.2, 8, 0, 1)


def _number_cells(
    axes: Axes, darkness: NDArray[Any], texts: Sequence[Sequence[str]], points: float
) -> None:
    """Write a number into each cell that has one: white where the cell is dark."""
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            if text:
                axes.text(
                    column, row, text, ha="center", va="center", fontsize=points,
                    color="white" if darkness[row, column] > 0.6 else "black",
                )  # fmt: skip


def show_f1(methods: Mapping[str, Scores]) -> Figure:
    """F1 of each class, a bar for each method with its figure, or 'not defined'.

    Args:
        methods: Scores over the same classes by name of the method; the evaluated one first.
    """
    from matplotlib.figure import Figure

    names = [c.name for c in next(iter(methods.values())).classes]
    bars = len(methods)
    height = 1.2 + len(names) * (_BAR * bars + 0.15)
    figure = Figure(figsize=(7, height), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(names))
    thick = 0.8 / bars
    for k, (method, scores) in enumerate(methods.items()):
        values = [np.nan if c.f1 is None else c.f1 for c in scores.classes]
        at = places + (k - (bars - 1) / 2) * thick
        axes.barh(at, values, thick, label=method, color=_BARS[k % len(_BARS)])
        for place, value in zip(at, values, strict=True):
            text = f"{value:.2f}" if np.isfinite(value) else "not defined"
            axes.text(np.nan_to_num(value) + 0.01, place, text, va="center", fontsize=7)
    axes.set_yticks(places, [panels.written(name, _LABEL_LETTERS) for name in names])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set_xlim(0, 1.08)  # with room for the figure beside a whole bar
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlabel("F1")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=min(bars, 2), frameon=False)
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

    Up to `NAMED_ZONES` zones have their names and shares, small zones a number whose meaning stands
    below; zones off the map are hatched.

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
    width, height = (right - left) * shrink, top - bottom
    high = _ZONES * min(max(height / max(width, 1e-12), 0.4), 1.8)
    inches = min(_ZONES / max(width, 1e-12), high / max(height, 1e-12))  # of a unit of the CRS
    figure = Figure(figsize=(_ZONES + 1.9, 1.0 + high), layout="constrained")
    axes = figure.subplots()
    _draw_outlines(axes, zones, shares, norm, colours)
    if len(shares) <= NAMED_ZONES:
        key = _name_zones(axes, zones, shares, norm, (inches * shrink, inches))
        _draw_key(figure, key)
    edge = 0.01  # room for the outermost lines
    axes.set_xlim(left - edge * (right - left), right + edge * (right - left))
    axes.set_ylim(bottom - edge * height, top + edge * height)
    axes.set_aspect(1 / shrink)
    axes.set_axis_off()
    title = "Share that changed" if of is None else f"Share of {of}"
    axes.set_title(title, parse_math=False)
    if not known.all():
        nowhere = Patch(facecolor="white", edgecolor="grey", hatch="////", label="no class")
        figure.legend(handles=[nowhere], loc="outside upper left", frameon=False)
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


def _name_zones(
    axes: Axes,
    zones: Zones,
    shares: NDArray[np.float64],
    norm: Normalize,
    inches: tuple[float, float],
) -> list[str]:
    """Write name and share into each zone that has room for them, else a number.

    Args:
        axes: The zones' axes.
        zones: The zones.
        shares: Share of each in percent.
        norm: Brightness of a share.
        inches: Size of a unit of the CRS in the figure, across and up.

    Returns:
        A line for each number: number, name and share.
    """
    key: list[str] = []
    for outline, name, share in zip(zones.outlines, zones.names, shares, strict=True):
        point = outline.representative_point()
        bright = np.isfinite(share) and norm(share) > 0.5
        text = f"{share:.1f} %" if np.isfinite(share) else "no class"
        across, up = _room(outline, point)
        label = _fitted(name, text, across * inches[0], up * inches[1])
        if label is None:
            label = str(len(key) + 1)
            key.append(panels.written(f"{label}  {name}, {text}", 2 * _LABEL_LETTERS))
        axes.annotate(
            label, (point.x, point.y), ha="center", va="center", fontsize=_ZONE_NAME,
            color="black" if bright or not np.isfinite(share) else "white", parse_math=False,
        )  # fmt: skip
    return key


def _room(outline: Any, point: Any) -> tuple[float, float]:
    """Lengths of the horizontal and vertical line through a point inside a polygon."""
    import shapely

    left, bottom, right, top = outline.bounds
    lines = (
        shapely.LineString([(left, point.y), (right, point.y)]),
        shapely.LineString([(point.x, bottom), (point.x, top)]),
    )
    lengths = []
    for line in lines:
        inside = shapely.get_parts(outline.intersection(line))
        lengths.append(max((p.length for p in inside if p.distance(point) == 0), default=0.0))
    return lengths[0], lengths[1]


def _fitted(name: str, share: str, across: float, up: float) -> str | None:
    """Name and share on lines that fit into so many inches; None where they don't."""
    letters = int(across * 72 / _ZONE_NAME / 0.6)
    longest = max(map(len, [*name.split(), share]))
    if longest > letters:
        return None
    text = f"{panels.written(name, letters, lines=max(len(name), 1))}\n{share}"
    lines = len(text.splitlines())
    return text if lines * _ZONE_NAME * 1.3 / 72 <= up else None


def _draw_key(figure: Figure, key: Sequence[str]) -> None:
    """Write what the numbers of zones mean below them, and make the figure higher by as much."""
    from matplotlib.lines import Line2D

    if not key:
        return
    columns = 2 if len(key) > 1 else 1
    lines = sum(len(line.splitlines()) for line in key)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + (lines / columns + 1) * _ZONE_NAME * 1.4 / 72)
    nothing = [Line2D([], [], linestyle="none", label=line) for line in key]
    box = figure.legend(
        handles=nothing, loc="outside lower center", frameon=False, fontsize=_ZONE_NAME,
        ncols=columns, handlelength=0, handletextpad=0, labelspacing=0.2,
    )  # fmt: skip
    for text in box.get_texts():
        text.set_parse_math(False)


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
    dated: dict[str, list[int]] = {}
    for position, name in enumerate(bands):
        date = split_name(name)[0].capitalize() or _DATELESS
        dated.setdefault(date, []).append(position)
    return dated


def date_panels(
    image: NDArray[Any],
    bands: Sequence[str],
    sensors: Sequence[str | None] = (),
    rgb: options.BandChoice = None,
) -> list[Panel]:
    """A panel for each date of an image, captioned with the bands that it shows.

    Args:
        image: ``(band, row, column)``; NaN where not valid.
        bands: Names of the bands.
        sensors: What each band's sensor is called; () if unknown.
        rgb: See `show_samples`.
    """
    mask = np.isfinite(image).all(axis=0)
    shown = []
    for title, places in date_bands(bands).items():
        of_date = [sensors[k] for k in places] if sensors else ()
        chosen = colours.of_names([bands[k] for k in places], rgb, of_date)
        values = image[[places[k] for k in chosen.channels]]
        shown.append(Panel(picture(values, mask), title, chosen.label))
    return shown


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
    table = np.full((256, 3), panels.NODATA, np.float32)
    for k, c in enumerate(scheme):
        table[k] = panels.unit(c.colour)
    return table[codes]


def _over(image: Picture, codes: NDArray[np.uint8], scheme: ClassScheme, alpha: float) -> Picture:
    blended = alpha * colour_classes(codes, scheme) + (1 - alpha) * image
    return blended.astype(np.float32)


def _curves(x: str, y: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


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


def _percent(share: float) -> str:
    """A share above 0 in whole percent: 42, or <1."""
    return f"{share:.0f}" if share >= 0.5 else "<1"


def _figures(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _metadata(out: Path) -> dict[str, str | None] | None:
    """The mark; and no time of writing, so that the same picture gives the same bytes."""
    known: dict[str, dict[str, str | None]] = {
        ".png": {"Software": whole.MARK},
        ".svg": {"Creator": whole.MARK, "Date": None},
        ".pdf": {"CreationDate": None},
    }
    return known.get(out.suffix.lower())
