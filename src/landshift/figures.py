"""Pictures of samples, maps and curves, as matplotlib figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import ledger, raster
from landshift.classes import IGNORE_INDEX, ClassScheme, Colour
from landshift.errors import ClassError, ParameterError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VIEW_SIZE = 1200
"""Rows and columns at most that a map is shown with."""

_STRETCH = (2.0, 98.0)  # percentiles of valid pixels that become black and white
_DATES = ("Before", "After")
_TRUE_COLOUR = ("red", "green", "blue")

Picture = NDArray[np.float32]


def view(
    images: Sequence[Path],
    mapped: Path,
    out: Path,
    *,
    reference: Path | None = None,
    scheme: ClassScheme | None = None,
) -> Path:
    """Save the images, the map and its reference side by side, with a legend.

    Args:
        images: Before and after; or the image of one date.
        mapped: Class map.
        out: The picture to write; PNG, or what its suffix says.
        reference: Reference of the map, if there is one.
        scheme: Classes of the map; None: as its file says.

    Raises:
        ParameterError: Not one or two images.
        ClassError: The map's file doesn't say its classes and none are given.
        RasterError: A file can't be read.
        OutputError: The picture can't be written.
    """
    scheme = scheme or raster.scheme_of(mapped)
    if scheme is None:
        raise ClassError(f"The map must say its classes, got none in {mapped}; give a mapping.")
    if not 1 <= len(images) <= len(_DATES):
        raise ParameterError(f"A view takes one or two images, got {len(images)}.")
    panels: list[tuple[str, NDArray[Any]]] = []
    for title, path in zip(_DATES if len(images) > 1 else ("Image",), images, strict=True):
        names = raster.info(path).bands
        chosen = [k + 1 for k in rgb_bands(names)]
        values, mask = raster.preview(path, VIEW_SIZE, chosen)
        panels.append((title, picture(values, mask)))
    present: set[int] = set()
    maps = [("Predicted" if reference else "Map", mapped)]
    maps += [("Reference", reference)] if reference else []
    for title, path in maps:
        values, mask = raster.preview(path, VIEW_SIZE, [1], classes=True)
        codes = scheme.to_indices(np.where(mask, values[0], 0), where=str(path))
        present.update(int(k) for k in np.unique(codes))
        panels.append((title, colour_classes(codes, scheme)))
    figure = _figure(len(panels), 1, panels[0][1].shape)
    for axes, (title, image) in zip(figure.axes, panels, strict=True):
        _show(axes, image, title)
    _legend(figure, scheme, present)
    return save(figure, out)


def show_samples(
    images: NDArray[Any],
    targets: NDArray[np.uint8],
    bands: Sequence[str],
    scheme: ClassScheme,
    *,
    alpha: float = 1.0,
    predicted: NDArray[np.uint8] | None = None,
) -> Figure:
    """Samples, one a row: each date, the labels, and what a model says.

    Args:
        images: ``(sample, band, row, column)`` in the raster's units; NaN where not valid.
        targets: ``(sample, row, column)`` class indices.
        bands: Names of the bands.
        scheme: The classes.
        alpha: Opacity of the labels over the last date's image, 0 to 1.
        predicted: ``(sample, row, column)`` class indices of a model.
    """
    dates = date_bands(bands)
    columns = len(dates) + 1 + (predicted is not None)
    figure = _figure(columns, len(images), images.shape[-2:])
    present: set[int] = set()
    for row, image in enumerate(images):
        mask = np.isfinite(image).all(axis=0)
        pictures = []
        for title, numbers in dates.items():
            chosen = [numbers[k] for k in rgb_bands([bands[n] for n in numbers])]
            pictures.append((title, picture(image[chosen], mask)))
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


def save(figure: Figure, out: Path) -> Path:
    """Write a figure as a picture."""
    with ledger.whole_file(Path(out)) as part:
        figure.savefig(part, dpi=130, metadata=_no_date(Path(out)))
    return Path(out)


def date_bands(bands: Sequence[str]) -> dict[str, list[int]]:
    """Positions of the bands of each date: ``before:red`` belongs to ``Before``."""
    dates: dict[str, list[int]] = {}
    for position, name in enumerate(bands):
        date = name.split(":")[0] if ":" in name else "image"
        dates.setdefault(date.capitalize(), []).append(position)
    return dates


def rgb_bands(names: Sequence[str]) -> tuple[int, int, int]:
    """Positions of the bands shown as red, green and blue.

    True colour where bands are named so; else the first three, or the first one in grey.
    """
    plain = [name.split(":")[-1].lower() for name in names]
    if set(_TRUE_COLOUR) <= set(plain):
        red, green, blue = (plain.index(c) for c in _TRUE_COLOUR)
        return red, green, blue
    return (0, 1, 2) if len(names) >= 3 else (0, 0, 0)


def picture(values: NDArray[Any], mask: NDArray[np.bool_]) -> Picture:
    """Three bands stretched for the eye: ``(row, column, 3)`` in 0 to 1, white where not valid."""
    shown = np.ones((*mask.shape, 3), np.float32)
    if not mask.any():
        return shown
    for channel, band in enumerate(values):
        low, high = np.percentile(band[mask], _STRETCH)
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
    """Panels for pictures of a shape, with room for a legend at their right."""
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


def _unit(colour: Colour) -> tuple[float, float, float]:
    red, green, blue = (v / 255 for v in colour)
    return red, green, blue


def _no_date(out: Path) -> dict[str, None] | None:
    """Metadata that keeps the time of day out of the file, so that same pictures are same bytes."""
    return {"CreationDate": None} if out.suffix.lower() == ".pdf" else None
