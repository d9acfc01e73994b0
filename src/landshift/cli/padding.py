"""`landshift padding`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from landshift.cli.options import Overwrite


def padding(
    model: Annotated[
        Path, typer.Argument(help="A saved model: .emd, .dlpk, folder or hf://owner/repo.")
    ],
    image: Annotated[str, typer.Argument(help="A raster as the model will see them.")],
    engine: Annotated[str, typer.Option(help="auto, torch or openvino.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Measure how much ground around a tile a model needs, and note it in its package.

    `landshift classify` then takes that padding where none is given.
    """
    from landshift.classification import measure_halo

    found = measure_halo(image, model, engine=engine, device=device, overwrite=overwrite)
    for one, agreement in found.agreement.items():
        typer.echo(f"padding {one}: {agreement:.4%} of pixels as with {2 * one}", err=True)
    if not found.enough:
        typer.echo(
            "No padding up to half the training tile was enough: the model looks further.", err=True
        )
    typer.echo(found.padding)
