"""The report of a job: one page about a map, written from the files of the job."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated

from landshift.files import kinds, options, whole
from landshift.pages.report.files import ReportFiles


def report(
    folder: options.FilePath,
    out: options.OutFile,
    *,
    files: Annotated[ReportFiles, options.GROUP] = ReportFiles(),  # noqa: B008
    title: str | None = None,
    rgb: options.BandChoice = None,
    overwrite: options.Flag = False,
) -> Path:
    """Explain a map on one page: how it went, maps, changes, areas, accuracy, limits, steps.

    The page is one HTML file that loads nothing from elsewhere. Files are recognised in the folder
    by their contents; options name those that lie elsewhere, or choose among several. A folder of
    `landshift series` gets a page of its own.

    Args:
        folder: Folder of the job's files.
        out: The page to write: .html.
        files: Files that are known.
        title: Title of the page. Default: the map's name and the dates of its images.
        rgb: Three bands of each image to show as red, green and blue, or one to show in grey, by
            name or number from 1, as in nir,red,green. Default: true colour where the bands are
            known.
        overwrite: Replace what is there already under the same name.

    Raises:
        ParameterError: No such folder; a file doesn't exist or has other contents than expected;
            several files could be the map, or another of them; nothing to report.
        RasterError: A raster can't be read.
        BandError: An image lacks a band of `rgb`.
        ModelError: The model can't be read.
        ClassError: The map isn't a class map.
        OutputError: The page can't be written.
    """
    from landshift.pages.report.folder import folder_page

    given = (getattr(files, field.name) for field in fields(files))
    kinds.PAGE.check(out)
    whole.check_new(out, inputs=given, overwrite=overwrite)
    page = folder_page(folder, files, title=title, rgb=rgb)
    with whole.whole_file(Path(out)) as part:
        part.write_bytes(page.encode("utf-8", "replace"))  # file names may hold undecodable bytes
    return Path(out)
