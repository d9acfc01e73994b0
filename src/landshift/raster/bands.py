"""Bands by name or number, matched between several rasters."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from landshift.errors import BandError, DateError
from landshift.files import dates
from landshift.raster.reader import RasterInfo, info

log = logging.getLogger(__name__)


def pick_bands(
    info: RasterInfo, wanted: Sequence[str], positions: Sequence[int] = ()
) -> tuple[int, ...]:
    """Numbers of the bands to read, from 1: by name if the file has names, else in order.

    An alpha band in addition to the wanted bands is left out.

    Args:
        info: The file.
        wanted: Name of each band.
        positions: Number of each band if the file lacks some names; empty: the file must then
            have exactly these bands.

    Raises:
        BandError: A named band is missing, or an unnamed file has a wrong number of bands.
    """
    numbers = list(range(1, len(info.bands) + 1))
    if (
        len(numbers) > len(wanted)
        and info.alpha is not None
        and (info.bands[info.alpha - 1] or None) not in wanted
    ):
        numbers.remove(info.alpha)
    names = [info.bands[k - 1] for k in numbers]
    if all(names) and all(wanted) and set(wanted) <= set(names):
        return tuple(numbers[names.index(name)] for name in wanted)
    if positions:
        if max(positions) > len(info.bands):
            raise BandError(
                f"The raster must have the bands {', '.join(map(str, positions))}, got "
                f"{len(info.bands)} in {info.path}; stack the dates as for training first."
            )
        return tuple(positions)
    if len(numbers) != len(wanted):
        have = f" ({', '.join(names)})" if any(names) else ""
        raise BandError(
            f"The raster must have {len(wanted)} bands ({', '.join(wanted)}), got "
            f"{len(numbers)}{have} in {info.path}; stack the dates as for training first."
        )
    missing = [name for name in wanted if name not in names]
    if all(names) and missing and all(wanted):
        raise BandError(
            f"The raster must have the bands {', '.join(wanted)}, got {', '.join(names)} "
            f"in {info.path}; name its bands as those of the training images."
        )
    return tuple(numbers)


def match_names(wanted: Sequence[str], names: Sequence[str]) -> list[int] | None:
    """Indices of the bands with the wanted names, in any case.

    Args:
        wanted: Names of the bands, in the wanted order.
        names: Name of each band of the file; '' if it has none.

    Returns:
        The indices, from 0; None if a name is missing or not unique.
    """
    own = [name.lower() for name in names]
    sought = [name.lower() for name in wanted]
    if not all(sought) or any(own.count(n) != 1 or sought.count(n) != 1 for n in sought):
        return None
    return [own.index(n) for n in sought]


def crossed(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Names with different positions in the two lists."""
    own, other = ([name.lower() for name in names] for names in (first, second))
    return [
        name
        for place, name in enumerate(first)
        if name and own[place] in other and other[place : place + 1] != [own[place]]
    ]


def in_step(first: Sequence[str], second: Sequence[str], *, what: str, instead: str) -> list[int]:
    """Indices of the bands of a second image that match those of a first one.

    They are matched by name if the second image has the name of every band of the first; else by
    position, with a warning if the same name then has different positions.

    Args:
        first: Name of each band; '' if it has none.
        second: Likewise, of as many bands.
        what: The images, for the warning.
        instead: A remedy, for the warning.
    """
    places = match_names(first, second)
    if places is not None:
        return places
    if crossing := crossed(first, second):
        log.warning(
            "The bands of %s are matched by position, though the same names have different "
            "positions: %s (%s; %s); %s.", what, ", ".join(crossing), ", ".join(first),
            ", ".join(second), instead,
        )  # fmt: skip
    return list(range(len(first)))


def check_order(before: RasterInfo, after: RasterInfo) -> None:
    """Check that before isn't later than after, if both files state their dates.

    Raises:
        DateError: Every day of before is later than every day of after.
    """
    if before.taken and after.taken and before.taken.first > after.taken.last:
        raise DateError(
            f"Before must be earlier than after, got {before.taken} ({before.path.name}) before "
            f"and {after.taken} ({after.path.name}) after; swap the two, or state their "
            "dates (`dates`)."
        )


def infos_in_order(
    before: Path | str, after: Path | str, stated: Sequence[str] | None = None
) -> tuple[RasterInfo, RasterInfo]:
    """Properties of two rasters, with the dates of an option in place of the files' own.

    Args:
        before: The earlier raster.
        after: The later one.
        stated: See `dates.stated`.

    Raises:
        DateError: See `check_order`.
        ParameterError: A date that isn't one.
        RasterError: See `open_raster`.
    """
    first, second = (
        about if period is None else replace(about, taken=period)
        for about, period in zip((info(before), info(after)), dates.stated(stated, 2), strict=True)
    )
    check_order(first, second)
    return first, second
