"""The command line: one file per command; each parses, calls one function and prints a path."""

from __future__ import annotations

import logging
import sys
import warnings

import typer

from landshift.cli import (
    burn,
    classify,
    composite,
    demo,
    difference,
    estimate,
    evaluate,
    label,
    label_samples,
    lines,
    model,
    normalise,
    padding,
    patches,
    polygons,
    quantize,
    report,
    sample,
    simulate,
    stac,
    tiles,
    train,
    view,
    zonal,
)
from landshift.errors import LandshiftError, OutOfMemoryError, plain, refuse_out_of_memory

app = typer.Typer(
    name="landshift",
    help="Land-cover change maps from images of two dates, end to end.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (
    composite, normalise, label, burn, difference, tiles, train, evaluate, classify, padding,
    quantize, view, polygons, patches, zonal, sample, label_samples, estimate, report, stac,
    simulate, demo,
):  # fmt: skip
    app.command()(getattr(module, module.__name__.rsplit(".", 1)[1]))
app.add_typer(model.app, name="model")


def _print_version(asked: bool) -> None:
    if asked:
        from landshift import __version__

        typer.echo(f"landshift {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", help="Print the version.", is_eager=True, callback=_print_version
    ),
) -> None:
    """Land-cover change maps from images of two dates, end to end."""


def main() -> None:
    """Run a command; an error of ours becomes one line and exit code 2."""
    with lines.ours_alone():
        handler = logging.StreamHandler()
        handler.setFormatter(lines.Lines("%(message)s"))
        logging.basicConfig(level=logging.WARNING, handlers=[handler])
        for name in ("rasterio", "pyogrio"):  # what matters comes as an error
            logging.getLogger(name).setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="pyogrio")
        try:
            app()
        except Exception as error:
            sys.exit(_told(error))


def _told(error: Exception) -> int:
    """Say what ended a command, if that is one of ours or a want of memory."""
    if not isinstance(error, LandshiftError):
        try:
            refuse_out_of_memory(error)
        except OutOfMemoryError as named:
            error = named
        else:
            raise error
    typer.echo(f"Error: {plain(str(error), 5000)}", err=True)
    return 2
