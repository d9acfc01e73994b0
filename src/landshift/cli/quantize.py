"""`landshift quantize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from landshift.cli.lines import say
from landshift.cli.options import Overwrite


def quantize(
    model: Annotated[
        Path, typer.Argument(help="A saved model: .emd, .dlpk, folder or hf://owner/repo.")
    ],
    image: Annotated[str, typer.Argument(help="A raster as the model will see them.")],
    tiles: Annotated[int, typer.Option(help="Tiles to calibrate on; as many are checked.")] = 24,
    least: Annotated[
        float, typer.Option(help="Share of pixels that must keep their class, or it is refused.")
    ] = 0.995,
    overwrite: Overwrite = False,
) -> None:
    """Make a model's int8 graph, for `landshift classify --precision int8`.

    Half the time of bfloat16 on CPUs with instructions for it; the agreement with float32 is
    measured on other tiles than it was calibrated on.
    """
    from landshift.classification import quantise_model

    found = quantise_model(image, model, tiles=tiles, least=least, overwrite=overwrite)
    typer.echo(f"int8: {found.agreement:.3%} of pixels as with float32", err=True)
    typer.echo(f"bfloat16: {found.bfloat16:.3%}", err=True)
    for name, share in found.shares.items():
        if share == share:  # NaN: no pixel of it
            say(f"  {name}: {share:.3%} kept", err=True)
    typer.echo(found.path)
