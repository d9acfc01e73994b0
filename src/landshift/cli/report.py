"""`landshift report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from landshift.cli.options import Overwrite


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of the job's files.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write: .html.")],
    mapped: Annotated[Path | None, typer.Option("--map", help="The map.")] = None,
    before: Annotated[Path | None, typer.Option(help="Image or composite of before.")] = None,
    after: Annotated[Path | None, typer.Option(help="Image or composite of after.")] = None,
    reference: Annotated[Path | None, typer.Option(help="What the map is held against.")] = None,
    confidence: Annotated[Path | None, typer.Option(help="How sure the map is.")] = None,
    areas: Annotated[Path | None, typer.Option(help="JSON of landshift estimate.")] = None,
    scores: Annotated[Path | None, typer.Option(help="JSON of landshift evaluate.")] = None,
    model: Annotated[Path | None, typer.Option(help="The model: .emd, .dlpk or folder.")] = None,
    transitions: Annotated[
        Path | None, typer.Option(help="CSV of landshift label --table.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Explain a map on one page: what was done, maps, changes, areas, accuracy, limits."""
    from landshift.pages.report import ReportFiles
    from landshift.pages.report import report as write

    files = ReportFiles(
        map=mapped, before=before, after=after, reference=reference, confidence=confidence,
        areas=areas, scores=scores, model=model, transitions=transitions,
    )  # fmt: skip
    typer.echo(write(folder, out, files=files, overwrite=overwrite))
