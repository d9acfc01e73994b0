"""`landshift model`: what a saved model is, whether it is whole, and files for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from landshift.cli.options import Overwrite
from landshift.cli.stac import End, Moment, Out, Start

app = typer.Typer(
    help="Saved models: what they are, whether they are whole, files for others.",
    no_args_is_help=True,
)

Saved = Annotated[
    Path, typer.Argument(help="A saved model: .emd, .dlpk, folder or hf://owner/repo.")
]


@app.command()
def info(model: Saved) -> None:
    """Print what a model eats, what its map says, how it was trained and how well it does."""
    from landshift.bundle import saved
    from landshift.cli import show
    from landshift.show import tables

    show.table(tables.model(saved.info(model)))


@app.command("import")
def import_(
    weights: Annotated[
        Path,
        typer.Argument(
            help="A state dict of segmentation-models-pytorch or torchgeo (.pth, .ckpt, "
            ".safetensors), with the options below; or a model of arcgis.learn (.emd, .dlpk)."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    architecture: Annotated[
        str | None, typer.Option(help="unet, unetplusplus, fpn, pspnet, deeplabv3plus, ...")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Its encoder, as segmentation-models-pytorch calls it.")
    ] = None,
    bands: Annotated[
        Path | None,
        typer.Option(help="CSV with the header band,mean,std: a line for each band, in order."),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(help="Class of each output: CSV value,name[,red,green,blue] or JSON."),
    ] = None,
    tile_size: Annotated[
        int, typer.Option(help="Rows and columns of the tiles it was trained on.", min=1)
    ] = 256,
    overwrite: Overwrite = False,
) -> None:
    """Make a model of another tool one of ours: a folder that says what it eats and answers."""
    from landshift.bundle import saved

    typer.echo(
        saved.import_model(
            weights, out, architecture=architecture, backbone=backbone, bands=bands,
            classes=classes, tile_size=tile_size, overwrite=overwrite,
        )
    )  # fmt: skip


@app.command()
def push(
    model: Saved,
    repo: Annotated[str, typer.Argument(help="owner/name on the hub (HF_ENDPOINT).")],
    to: Annotated[
        Path | None, typer.Option(help="Write what would be pushed into a new folder instead.")
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make a repository for its owner alone.")
    ] = False,
    licence: Annotated[
        str | None, typer.Option("--license", help="Licence of the model, as apache-2.0.")
    ] = None,
    message: Annotated[str | None, typer.Option(help="What the hub's history says.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Push a model with a card of it to a Hugging Face Hub.

    `landshift classify image.tif hf://owner/name -o map.tif` then runs it anywhere.
    """
    from landshift import publish

    typer.echo(
        publish.push(
            model, repo, to=to, private=private, licence=licence, message=message,
            overwrite=overwrite,
        )
    )  # fmt: skip


@app.command()
def stac(
    model: Saved,
    out: Out,
    moment: Moment = None,
    start: Start = None,
    end: End = None,
    bounds: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(help="West south east north of the ground that it is for, in degrees."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Describe a model as a STAC Item with the Machine Learning Model extension."""
    from landshift.publish import describe_model

    typer.echo(
        describe_model(
            model, out, datetime=moment, start=start, end=end, bounds=bounds, overwrite=overwrite
        )
    )


@app.command()
def verify(model: Saved) -> None:
    """Check that every file of a model is as it was saved; print the digest of all."""
    from landshift import bundle

    verified = bundle.verify(model)
    typer.echo(f"{len(verified.files)} files are as they were saved.", err=True)
    typer.echo(verified.digest)


@app.command()
def export(
    model: Saved,
    out: Annotated[Path, typer.Option("--out", "-o", help="The .onnx file to write.")],
    host: Annotated[
        Literal["any", "deepness"],
        typer.Option(
            "--for", help="any runtime of ONNX, or deepness: QGIS' plugin, which feeds floats."
        ),
    ] = "any",
    nodata: Annotated[
        float | None,
        typer.Option(help="Value of pixels that aren't valid, where the host hands it over."),
    ] = None,
    tile_size: Annotated[
        int | None,
        typer.Option(
            help="Rows and columns, to fix them [default: free; deepness: the training tile's]."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a model as one ONNX file: the raster's own values in, probabilities out."""
    from landshift.export import export_model

    typer.echo(
        export_model(model, out, host=host, nodata=nodata, tile_size=tile_size, overwrite=overwrite)
    )
