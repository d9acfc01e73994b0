"""`landshift label-samples`."""

from __future__ import annotations

import getpass
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from landshift.assess.answers import Answers


def label_samples(
    sample: Annotated[Path, typer.Argument(help="The sample (.gpkg) that `sample` drew.")],
    before: Annotated[
        str | None, typer.Option(help="Image before; files of one date joined by commas.")
    ] = None,
    after: Annotated[
        str | None, typer.Option(help="Image after, or a composite whose bands name both dates.")
    ] = None,
    labeller: Annotated[
        str | None, typer.Option(help="Who labels; none: the name of the account.")
    ] = None,
    units: Annotated[
        str | None, typer.Option(help="Units to label, '1-150,200'; none: all.")
    ] = None,
    review: Annotated[
        bool,
        typer.Option("--review", help="Settle what labellers answer differently, both shown."),
    ] = False,
    agreement: Annotated[
        bool, typer.Option("--agreement", help="Print how far labellers agree, and end.")
    ] = False,
    show_map: Annotated[
        bool, typer.Option("--show-map", help="Show the map's class; better not to.")
    ] = False,
    true_colour: Annotated[
        str | None,
        typer.Option(help="Bands, by name or number; none: red,green,blue, else 3,2,1."),
    ] = None,
    false_colour: Annotated[
        str | None, typer.Option(help="The same; none: nir,red,green, else 4,3,2.")
    ] = None,
    sides: Annotated[
        str, typer.Option(help="Sides of the close and of the wide picture, in units.")
    ] = "15,120",
    assume_crs: Annotated[str | None, typer.Option(help="CRS of images that state none.")] = None,
    port: Annotated[int, typer.Option(help="Port of the page; 0: any that is free.")] = 0,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in this machine's browser.")
    ] = False,
) -> None:
    """Label a sample's units on a page that this machine serves to itself alone."""
    from landshift.assess import answers

    with answers.opened(sample) as found:
        if agreement:
            _print_agreement(found)
            return
        from landshift.pages.labelling import page as labelling
        from landshift.pages.labelling import pictures, server

        options: dict[str, Any] = {
            "true_colour": _list(true_colour), "false_colour": _list(false_colour),
            "assume_crs": assume_crs,
        }  # fmt: skip
        dates = [
            pictures.look(name, files, **options)
            for name, files in _images(found.form.design.response.asked, before, after, assume_crs)
        ]
        site = labelling.Labelling(
            found,
            dates,
            answers.check_name(_account() if labeller is None else labeller),
            sides=pictures.check_sides(_numbers(sides)),
            units=_units(units, found.form.numbers),
            review=review,
            show_map=show_map,
        )

        for name, count in site.off.items():
            if count:
                typer.echo(
                    f"{count:,} of {site.progress()['units']:,} units lie off the image {name}."
                )

        signal.signal(signal.SIGTERM, _interrupt)
        with server.Server(site, port) as page, suppress(KeyboardInterrupt):
            typer.echo(f"Label at {page.address} (this machine only; Ctrl+C ends).")
            if open_page:
                typer.launch(page.address)
            page.serve_forever(poll_interval=0.2)
        done = site.progress()
        waiting = _in_dispute(found)[1]
    typer.echo(
        f"{done['answered']:,} of {done['units']:,} units {'reviewed' if review else 'labelled'}."
    )
    if waiting:
        typer.echo(f"{waiting:,} units in dispute wait for a review (--review).")
    typer.echo(sample)


def _in_dispute(found: Answers) -> tuple[int, int]:
    """Units that labellers answer differently, and how many of them nobody has reviewed."""
    disputed, reviews = found.disputed(), found.reviews()
    return len(disputed), sum(n not in reviews for n in disputed)


def _account() -> str:
    """Name of the account that runs this."""
    from landshift.errors import ParameterError

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError) as error:
        raise ParameterError("A labeller needs a name, got none; give it (--labeller).") from error


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _print_agreement(found: Answers) -> None:
    from landshift.assess.agreement import agreements
    from landshift.cli import show
    from landshift.errors import ParameterError
    from landshift.show import tables

    compared = agreements(found)
    if not compared:
        raise ParameterError(
            f"Agreement needs two labellers, got {len(found.labellers())}; label with another "
            "--labeller."
        )
    show.table(tables.agreements(compared))
    for one in compared:
        if one.on == "map" and one.units:
            show.table(tables.agreement(one))
    disputed, waiting = _in_dispute(found)
    typer.echo(f"{disputed:,} units in dispute, {disputed - waiting:,} of them reviewed.")


def _images(
    asked: tuple[str, ...], before: str | None, after: str | None, assume_crs: str | None
) -> list[tuple[str, list[str]]]:
    """The files of each date."""
    from landshift.errors import ParameterError
    from landshift.images import Image, plan

    given = {"before": _list(before), "after": _list(after)}
    for name, other in (("before", "after"), ("after", "before")):
        files = given[other]
        if given[name] is None and files is not None:
            bands = plan(Image(tuple(files), assume_crs=assume_crs)).names
            if any(b.lower().startswith(f"{name}:") for b in bands):
                given[name] = files
    lacking = [name for name in asked if not given[name]]
    if lacking:
        raise ParameterError(
            f"Labels {' and '.join(asked)} need an image of each, got none {lacking[0]}; give it "
            f"(--{lacking[0]})."
        )
    return [(name, files) for name, files in given.items() if files]


def _list(text: str | None) -> list[str] | None:
    import csv

    from landshift.errors import ParameterError
    from landshift.files import texts

    try:
        return None if text is None else texts.cells(text)
    except csv.Error as error:
        raise ParameterError(f"Quotes must be closed, got '{error}' in {text!r}.") from error


def _numbers(text: str) -> list[float]:
    from landshift.errors import ParameterError

    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ParameterError(f"Sides must be two numbers, got {text!r}; 15,120 is usual.") from None


def _units(text: str | None, numbers: tuple[int, ...]) -> list[int] | None:
    """Numbers of units: '1-3,7' is 1, 2, 3 and 7."""
    from landshift.errors import ParameterError

    if text is None:
        return None
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = (p.strip() for p in part.partition("-"))
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and int(last) <= max(numbers)):
            raise ParameterError(
                f"Units must be numbers and ranges up to {max(numbers)}, as in '1-150,200', got "
                f"{text!r}."
            )
        found += range(int(first), int(last) + 1)
    return found
