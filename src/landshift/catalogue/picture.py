"""A picture of footprints: which ground the items of each range cover."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from landshift.files import whole

_PANEL = 4.2  # inches
_MARGIN = 1.0  # of the place's size, shown around it
_COLOUR = "#0072b2"
_PLACE = "#d55e00"
_NARROWEST = 0.1  # of a degree of longitude beside one of latitude; less near the poles
_FAINTEST = 0.03  # opacity of a footprint at least


def write(path: Path, place: Any, ranges: Sequence[tuple[str, Sequence[Any]]]) -> None:
    """Draw the footprints of each range, one panel a range, and the place.

    Where more items lie over each other, the blue is deeper.

    Args:
        path: The picture.
        place: The place in WGS 84, a shapely geometry.
        ranges: Title and footprints of each range.

    Raises:
        OutputError: It can't be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_PANEL * len(ranges), _PANEL + 0.4), layout="constrained")
    axes = figure.subplots(1, len(ranges), sharex=True, sharey=True, squeeze=False)[0]
    west, south, east, north = place.bounds
    wide, high = _MARGIN * (east - west), _MARGIN * (north - south)
    narrowing = max(math.cos(math.radians((south + north) / 2)), _NARROWEST)
    for panel, (title, footprints) in zip(axes, ranges, strict=True):
        opacity = max(0.6 / max(len(footprints), 1), _FAINTEST)
        for footprint in footprints:
            for ring in _rings(footprint):
                panel.fill(*ring, facecolor=_COLOUR, alpha=opacity, linewidth=0)
                panel.plot(*ring, color=_COLOUR, linewidth=0.6, alpha=0.6)
        for ring in _rings(place):
            panel.plot(*ring, color=_PLACE, linewidth=1.8)
        panel.set_title(title, fontsize=10)
        panel.set_xlim(west - wide, east + wide)
        panel.set_ylim(south - high, north + high)
        panel.set_aspect(1 / narrowing)
        panel.set_xlabel("longitude")
        panel.tick_params(labelsize=8)
    axes[0].set_ylabel("latitude")
    with whole.whole_file(path) as part:
        figure.savefig(part, format=path.suffix[1:].lower(), dpi=150)


def _rings(shape: Any) -> list[tuple[Any, Any]]:
    """Outlines of a shape's polygons, as longitudes and latitudes."""
    parts = getattr(shape, "geoms", [shape])
    return [p.exterior.coords.xy for p in parts if p.geom_type == "Polygon" and not p.is_empty]
