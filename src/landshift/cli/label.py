"""`landshift label`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from landshift.cli.lines import say
from landshift.cli.options import Dates, Overwrite


def label(
    before: Annotated[Path, typer.Argument(help="Class map of the first date.")],
    after: Annotated[Path, typer.Argument(help="Class map of the second date.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The change map to write.")],
    classes: Annotated[
        Path | None,
        typer.Option(help="Classes of the maps: CSV value,name, JSON, .clr, .qml, .vat.dbf, ..."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="Write the transition table as CSV here.")
    ] = None,
    class_table: Annotated[
        Path | None, typer.Option(help="Write gain, loss, net change, swap per class as CSV here.")
    ] = None,
    bounds: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(help="Left bottom right top, in the CRS of the first map."),
    ] = None,
    coding: Annotated[
        str, typer.Option(help="What the codes tell: to (class), from-to or binary.")
    ] = "to",
    keep: Annotated[
        str, typer.Option(help="Pixels the map keeps: all, changed or unchanged.")
    ] = "all",
    from_class: Annotated[
        list[str] | None,
        typer.Option("--from", help="Keep changes from this class only; repeat for more."),
    ] = None,
    to_class: Annotated[
        list[str] | None,
        typer.Option("--to", help="Keep changes to this class only; repeat for more."),
    ] = None,
    forbid: Annotated[
        list[str] | None,
        typer.Option(help="A transition that can't be, 'urban->forest' or 'urban->*'; repeat."),
    ] = None,
    resampling: Annotated[
        str | None, typer.Option(help="Other grids are read on the first map's: nearest or mode.")
    ] = None,
    nodata: Annotated[
        float | None, typer.Option(help="A value without a class, beside what the files say.")
    ] = None,
    recode_before: Annotated[
        Path | None, typer.Option(help="CSV: value of the first map, new value or class name.")
    ] = None,
    recode_after: Annotated[
        Path | None, typer.Option(help="CSV: value of the second map, new value or class name.")
    ] = None,
    smooth: Annotated[
        int | None, typer.Option(help="Majority filter on each map: 3, 5, 7, 9 or 11 pixels wide.")
    ] = None,
    min_pixels: Annotated[
        int | None, typer.Option(help="Take changes in smaller patches away.")
    ] = None,
    min_hectares: Annotated[
        float | None, typer.Option(help="The same by area in hectares.")
    ] = None,
    neighbours: Annotated[
        int, typer.Option(help="Pixels of a patch connect over 4 sides, or 8 with corners.")
    ] = 8,
    agree_before: Annotated[
        list[Path] | None,
        typer.Option(help="One more map that must have the earlier class; repeat for more."),
    ] = None,
    agree_after: Annotated[
        list[Path] | None,
        typer.Option(help="One more map that must have the later class; repeat for more."),
    ] = None,
    unconfirmed: Annotated[
        str, typer.Option(help="What a change taken away becomes: unchanged or nodata.")
    ] = "unchanged",
    dates: Dates = None,
    overwrite: Overwrite = False,
) -> None:
    """Compare two class maps: a change map, and the table of transitions."""
    from landshift.classes import legend_readers
    from landshift.cli import show
    from landshift.files import whole
    from landshift.prepare import label as labels
    from landshift.show import tables

    maps = [before, after, *(agree_before or ()), *(agree_after or ())]
    whole.check_new(
        out, table, class_table, inputs=[*maps, classes, recode_before, recode_after],
        overwrite=overwrite,
    )  # fmt: skip
    with show.progress("label") as on_block:
        found = labels.label(
            before,
            after,
            out,
            scheme=None if classes is None else legend_readers.read_classes(classes),
            bounds=bounds,
            coding=coding,
            keep=keep,
            from_classes=from_class or (),
            to_classes=to_class or (),
            forbidden=[labels.parse_transition(t) for t in forbid or ()],
            resampling=resampling,
            nodata=nodata,
            recode_before=None
            if recode_before is None
            else legend_readers.read_recoding(recode_before),
            recode_after=None
            if recode_after is None
            else legend_readers.read_recoding(recode_after),
            smooth=smooth,
            min_pixels=min_pixels,
            min_hectares=min_hectares,
            neighbours=neighbours,
            agree_before=agree_before or (),
            agree_after=agree_after or (),
            unconfirmed=unconfirmed,
            dates=dates,
            overwrite=overwrite,
            on_block=on_block,
        )
    show.table(tables.transitions(found))
    show.table(tables.class_changes(found))
    for (first, second), pixels in found.forbidden.items():
        if pixels:
            say(f"{pixels:,} pixels of the forbidden {first}->{second} are nodata.")
    if found.removed:
        typer.echo(f"{found.removed:,} pixels of change were taken away by the cleaning.")
    if found.filtered:
        typer.echo(f"{found.filtered:,} pixels are left out by the filter.")
    typer.echo(f"{found.changed:.1%} of the classed pixels changed.")
    if table is not None:
        typer.echo(found.write_csv(table, overwrite=overwrite))
    if class_table is not None:
        typer.echo(found.write_class_csv(class_table, overwrite=overwrite))
    typer.echo(out)
