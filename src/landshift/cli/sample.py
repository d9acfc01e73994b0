"""`landshift sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from landshift.cli.options import Overwrite


def sample(
    mapped: Annotated[Path, typer.Argument(metavar="MAP", help="The class or change map.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The GeoPackage to write; a CSV comes beside it.")
    ],
    size: Annotated[int | None, typer.Option(help="Units in all.")] = None,
    standard_error: Annotated[
        float | None,
        typer.Option(
            help="Or: the standard error to reach, as a share: of the overall accuracy, or of a "
            "class's area (see --expect)."
        ),
    ] = None,
    design: Annotated[str, typer.Option(help="stratified, simple or systematic.")] = "stratified",
    strata: Annotated[
        Path | None,
        typer.Option(help="Class raster on the map's grid: its values are the strata; none: map."),
    ] = None,
    allocation: Annotated[
        str | None,
        typer.Option(help="How strata share units: floor (none), proportional, equal or neyman."),
    ] = None,
    floor: Annotated[
        int | None,
        typer.Option(
            help="For the allocation floor: least units of a stratum; none: 50, or half of an "
            "equal share if that is less."
        ),
    ] = None,
    stratum_units: Annotated[
        list[str] | None,
        typer.Option(help="Units of a stratum, 'to water=75'; repeat. The others share the rest."),
    ] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            help="Share of a stratum likely to be right, 'to water=0.7'; 0.9 alone is for all "
            "others. For a class's area: share of the stratum likely to be that class."
        ),
    ] = None,
    unit_size: Annotated[int, typer.Option(help="Pixels a side of a unit.")] = 1,
    seed: Annotated[int, typer.Option(help="Another seed draws other units.")] = 0,
    classes: Annotated[
        Path | None, typer.Option(help="The map's classes, as for label; none: as its files tell.")
    ] = None,
    nodata: Annotated[
        float | None, typer.Option(help="A value without a class, beside what the file says.")
    ] = None,
    choices: Annotated[
        Path | None,
        typer.Option(help="Classes to choose from when labelling; none: as the map's tell."),
    ] = None,
    show_map: Annotated[
        bool, typer.Option("--show-map", help="Let labellers see the map's class.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Draw a probability sample of a map, to be labelled by people and then estimated from."""
    from landshift.assess import sample as stage
    from landshift.assess.design import FEW
    from landshift.classes import legend_readers
    from landshift.cli import show
    from landshift.show import tables

    plan = stage.Plan(
        kind=design, size=size, target=standard_error, allocation=allocation, floor=floor,
        units=_units(stratum_units or ()), expected=_shares(expect or ()), seed=seed,
        unit_size=unit_size,
    )  # fmt: skip
    with show.progress("sample") as on_block:
        found = stage.draw_sample(
            mapped, out, plan, strata=strata,
            scheme=None if classes is None else legend_readers.read_classes(classes), nodata=nodata,
            choices=None if choices is None else legend_readers.read_classes(choices),
            show_map=show_map, overwrite=overwrite, on_block=on_block,
        )  # fmt: skip
    show.table(tables.strata(found.design))
    if found.floor is not None:
        typer.echo(f"Allocation floor: at least {found.floor:,} units a stratum (or all it holds).")
    if found.few:
        few = ", ".join(f"{s.name} {s.sampled:,}" for s in found.few)
        typer.echo(
            f"Fewer than {FEW} units in: {few}. Intervals of these classes will be wide; give them "
            "more (--floor, --stratum-units)."
        )
    if found.expected_error is not None:
        typer.echo(f"Expected standard error: {found.expected_error:.4f} of the area.")
    for path in found.files:
        typer.echo(path)


def _units(texts: list[str] | tuple[()]) -> dict[str, int]:
    """Units stated by stratum, whose name may hold a '='."""
    from landshift.errors import ParameterError

    found: dict[str, int] = {}
    for text in texts:
        name, equals, units = text.rpartition("=")
        name = name.strip()
        if not equals or not name or not units.strip().isdecimal() or name in found:
            raise ParameterError(
                f"--stratum-units must be written 'stratum=75', each stratum once, got {text!r}."
            )
        found[name] = int(units)
    return found


def _shares(texts: list[str] | tuple[()]) -> dict[str | None, float]:
    """Expected shares by stratum; None for all others."""
    from landshift.errors import ParameterError

    found: dict[str | None, float] = {}
    for text in texts:
        name, equals, share = text.rpartition("=")
        try:
            found[name.strip() if equals else None] = float(share)
        except ValueError:
            raise ParameterError(
                f"An expected share must be 'stratum=0.7' or 0.9, got {text!r}."
            ) from None
    return found
