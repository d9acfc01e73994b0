"""What each command prints of its result: a function per command, of the command's name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from landshift.cli.lines import say
from landshift.cli.show import table
from landshift.show import tables

if TYPE_CHECKING:
    from pathlib import Path

    from landshift.learn.trained import TrainedModel
    from landshift.maps.patches import Fragmentation
    from landshift.maps.polygons import Traced
    from landshift.maps.transitions import TransitionTable
    from landshift.maps.zonal import Zones


def path(written: object) -> None:
    """What commands print that have no function here: the path that they return."""
    say(written)


def _paths(files: Iterable[Path]) -> None:
    for file in files:
        say(file)


def label(found: TransitionTable) -> None:
    """Transitions, what each class gained and lost, what was left out, paths."""
    table(tables.transitions(found))
    table(tables.class_changes(found))
    for (first, second), pixels in found.forbidden.items():
        if pixels:
            say(f"{pixels:,} pixels of the forbidden {first}->{second} are nodata.")
    if found.removed:
        say(f"{found.removed:,} pixels of change were taken away by the cleaning.")
    if found.filtered:
        say(f"{found.filtered:,} pixels are left out by the filter.")
    say(f"{found.changed:.1%} of the classed pixels changed.")
    _paths(found.files)


def patches(found: Fragmentation) -> None:
    """Measures of each class, the path."""
    table(tables.fragmentation(found))
    _paths(found.files)


def polygons(found: Traced) -> None:
    """Polygons of each class, what is too small, the path."""
    table(tables.patches(found))
    if found.dropped:
        say(f"{found.dropped:,} patches are smaller than {found.min_hectares:g} ha.")
    say(found.path)


def train(found: TrainedModel) -> None:
    """Scores of each class, the path."""
    table(tables.per_class(found.scores))
    _paths(found.files)


def zonal(found: Zones) -> None:
    """Classes in zones, the paths."""
    table(tables.zones(found))
    _paths(found.files)
