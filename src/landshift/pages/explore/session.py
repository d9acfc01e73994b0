"""A map page of a job: opened on this machine, written as a folder, or shown in a notebook."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
import threading
import weakref
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from landshift.classes import ClassScheme, class_options
from landshift.errors import ParameterError
from landshift.files import containers, options, whole
from landshift.pages.explore.store import Store

if TYPE_CHECKING:
    from landshift.pages.explore.described import Described
    from landshift.pages.explore.found import Found
    from landshift.pages.server import Server

log = logging.getLogger(__name__)


class Exploration:
    """A map page; a context manager.

    In a notebook it shows itself. `serve` opens it in a browser; copies of files that a browser
    can't read lie in a temporary folder until it is closed.

    Args:
        sources: What it shows.
        rgb: Bands shown first.
        title: Its title.
        classes: Classes of maps whose files name none.
        port: Port of its server; 0: any that is free.
        open_page: Whether `serve` opens this machine's browser.
    """

    def __init__(
        self,
        sources: Found,
        *,
        rgb: options.BandChoice = None,
        title: str | None = None,
        classes: ClassScheme | None = None,
        port: int = 0,
        open_page: bool = False,
    ) -> None:
        self._sources, self._rgb, self._title, self._classes = sources, rgb, title, classes
        self._port, self._open_page = port, open_page
        self._described: Described | None = None
        self._server: Server | None = None
        folder = Path(tempfile.mkdtemp(prefix="landshift-explore-"))
        self._store = Store(folder, "served")
        self._removal = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    def __enter__(self) -> Exploration:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        names = ", ".join(source.path.name for source in self._sources.rasters)
        return f"Exploration of {names}: call serve(), then close()"

    @property
    def description(self) -> dict[str, Any]:
        """What the page shows, as in its `layers.json`; files are copied when it is first asked.

        Raises:
            BandError: An image lacks a band of `rgb`.
            RasterError: A raster can't be read.
            OutputError: A copy can't be written.
        """
        return self._page().content

    def _page(self) -> Described:
        from landshift.pages.explore import described

        if self._described is None:
            self._described = described.describe(
                self._sources, self._store, rgb=self._rgb, title=self._title,
                classes=self._classes,
            )  # fmt: skip
            _report(self._described.remarks)
        return self._described

    @property
    def address(self) -> str:
        """Address of the page, which answers while `serve` runs.

        Raises:
            ParameterError: The port is in use.
        """
        return self._running().address

    def _running(self) -> Server:
        from landshift.pages import server
        from landshift.pages.explore import bundle, site

        if self._server is None:
            page = site.MapPage()
            running = server.Server(page, self._port)  # a port in use is said before any copy
            try:
                page.show(self._page(), self._store.files)
            except BaseException:
                running.server_close()
                raise
            running.policy = bundle.policy(self._page().packed)
            self._server = running
        return self._server

    def serve(self) -> None:
        """Serve the page until the program is interrupted (Ctrl+C), or another thread stops it."""
        running = self._running()
        if self._open_page and _has_screen():  # a browser in the terminal would hold this thread
            threading.Thread(target=webbrowser.open, args=(running.address,), daemon=True).start()
        with suppress(KeyboardInterrupt):
            running.serve_forever(poll_interval=0.2)

    def stop(self) -> None:
        """Make `serve`, which runs in another thread, return."""
        self._running().shutdown()

    def close(self) -> None:
        """End the server, and remove the copies."""
        if self._server is not None:
            self._server.server_close()
            self._server = None
        self._removal()

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        """The page and a picture of it, for notebooks: both of overviews alone."""
        from landshift.pages.explore import inline

        return inline.mimebundle(
            self._sources, rgb=self._rgb, title=self._title, classes=self._classes
        )


def explore(
    *files: Annotated[options.FilePath, Parameter(required=True)],
    out: Annotated[options.FilePath | None, Parameter(name=("--out", "-o"))] = None,
    copy: options.Flag = False,
    rgb: options.BandChoice = None,
    title: str | None = None,
    classes: class_options.ClassesLike = None,
    port: int = 0,
    open_page: Annotated[bool, Parameter(name="--open", negative="--no-open")] = True,
    overwrite: options.Flag = False,
) -> Exploration | Path:
    """Show images, maps and polygons on a map page in the browser.

    The page compares dates and maps, filters classes and transitions, and measures areas. It reads
    Cloud-Optimised GeoTIFFs as they are; of other files, and of pixel-interleaved images of many
    bands, it gets copies. Files are recognised by their contents, in a folder as by report. The
    first raster's CRS is the page's; rasters in another one are left out, polygons are reprojected.

    Args:
        files: The folder of a job, or files: images, class maps, quantities, polygons, samples,
            areas of estimate.
        out: Folder to write the page to, for any web server that answers byte ranges. Default: the
            page is served to this machine alone, until Ctrl+C.
        copy: Copy the rasters into the written folder; else the page refers to them where they
            are, by the way from the folder to them.
        rgb: Three bands of each image to show first as red, green and blue, or one to show in grey,
            by name or number from 1, as in nir,red,green. Default: true colour where the bands are
            known.
        title: Title of the page. Default: the folder's name and the dates.
        classes: Classes of maps whose files name none: CSV value,name or JSON. Default: by value.
        port: Port of the served page; 0: any that is free.
        open_page: Open the served page in this machine's browser.
        overwrite: Replace a page that was written to the same folder.

    Returns:
        The page, to be served and closed, which a notebook shows; or the folder written.

    Raises:
        ParameterError: No files; a file or folder doesn't exist; options of a written page for a
            served one, or the reverse; other files in the folder; the package was built without
            the page.
        RasterError: A raster can't be read, or is too large to look at without overviews.
        GridError: No raster can be shown.
        BandError: An image lacks a band of `rgb`.
        OutputError: The page or a copy can't be written.
    """
    from landshift.pages.explore import bundle, described, found, site

    paths = [Path(file) for file in files]
    scheme = class_options.classes_of(classes)
    if out is None:
        for name, given in (("copy", copy), ("overwrite", overwrite)):
            if given:
                raise ParameterError(
                    f"`{name}` is for a page that is written, got it without `out`; give `out`."
                )
        bundle.read()
        read = found.find(paths)
        described.that_fit(read)  # fails here, not when it is first looked at
        return Exploration(
            read, rgb=rgb, title=title, classes=scheme, port=port, open_page=open_page
        )
    if port:
        raise ParameterError(
            f"`port` is for a page that is served, got {port} with `out`; leave one out."
        )
    out = Path(out)
    inputs = [containers.file_of(p) for p in paths]
    site.check_folder(out, inputs, overwrite=overwrite)
    bundle.read()
    read = found.find(paths)
    site.check_folder(out, [*inputs, *(s.path for s in read.rasters)], overwrite=overwrite)
    with whole.whole_folder(out, replace=overwrite) as part:
        store = Store(part, "copied" if copy else "linked", out)
        page = described.describe(read, store, rgb=rgb, title=title, classes=scheme)
        site.write(page, part)
    _report(page.remarks)
    if store.linked:
        log.warning(
            "The page refers to %s outside its folder (%s): host them at the same places, or copy "
            "them (`copy`).", "a raster" if len(store.linked) == 1 else "rasters", store.linked[0],
        )  # fmt: skip
    return out


def _report(lines: Sequence[str]) -> None:
    """Tell the user what the page leaves out or copies."""
    for line in lines:
        log.warning("%s", line)


def _has_screen() -> bool:
    """Whether this machine shows windows: elsewhere a browser would open in the terminal."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
