"""A sample labelled on a page of this machine: images, labeller, units, and the server."""

from __future__ import annotations

import csv
import getpass
import threading
import webbrowser
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from landshift.assess import answers
from landshift.assess.agreement import AgreementTable, agreement_table
from landshift.assess.answers import Answers
from landshift.errors import ParameterError
from landshift.files import options, texts
from landshift.images import Image, plan
from landshift.pages import server
from landshift.pages.labelling import page as labelling
from landshift.pages.labelling.pictures import PICTURES, DateImage, check_sides, look
from landshift.raster.colours import parts

if TYPE_CHECKING:
    ImageFiles = Sequence[Path | str] | Path | str | None
    Numbers = Sequence[int] | str | None
    Sides = Sequence[float] | str
else:  # as the command line takes them: one text, parts joined by commas
    ImageFiles = Numbers = str | None
    Sides = str


@dataclass(frozen=True)
class PictureOptions:
    """Colours and ground of the maps of a unit."""

    rgb: Annotated[options.BandChoice, Parameter(name=("--rgb", "--true-colour"))] = None
    """Bands shown as red, green and blue: three names or numbers, or one in grey; kept beside the
    answers for later sessions. Left out: as kept, as the image's file says, else by names or
    wavelengths, else the first three."""
    second_rgb: Annotated[
        options.BandChoice, Parameter(name=("--second-rgb", "--false-colour"))
    ] = None
    """Bands of a second view of each place, kept likewise; left out: nir,red,green where they
    are known."""
    sides: Sides = "15,120"
    """Sides of the close and of the wide view, in units."""
    assume_crs: str | None = None
    """CRS of images that state none."""


class LabellingSession:
    """A page on which people label a sample, served to this machine; a context manager.

    Answers are on disk when the page has taken them; closing the session writes the CSV beside the
    sample too.

    Args:
        sample: The sample's file.
        answers: The sample's answers.
        site: The page.
        running: Its server.
        stack: Closes the server and the answers.

    Attributes:
        sample: The sample's file.
        review: Whether this is a review.
        address: Address of the page.
        off: Units that lie off the image, by date.
    """

    def __init__(
        self,
        sample: Path,
        answers: Answers,
        site: labelling.Labelling,
        running: server.Server,
        stack: ExitStack,
    ) -> None:
        self._answers, self._site, self._server, self._stack = answers, site, running, stack
        self.sample, self.review = sample, site.review
        self.address = running.address
        self.off = site.off

    def __enter__(self) -> LabellingSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LabellingSession at {self.address}: call serve(), then close()"

    def serve(self) -> None:
        """Serve the page until the program is interrupted (Ctrl+C), or another thread stops it."""
        with suppress(KeyboardInterrupt):
            self._server.serve_forever(poll_interval=0.2)

    def stop(self) -> None:
        """Make `serve`, which runs in another thread, return."""
        self._server.shutdown()

    def progress(self) -> dict[str, int]:
        """Units in all, answered, left for later, and not seen yet."""
        return self._site.progress()

    def in_dispute(self) -> int:
        """Units that labellers answer differently and nobody has reviewed."""
        reviews = self._answers.reviews()
        return sum(n not in reviews for n in self._answers.disputed())

    def close(self) -> None:
        """End the server, and write the labels into the sample and its CSV."""
        self._stack.close()


def label_samples(
    sample: options.FilePath,
    *,
    before: ImageFiles = None,
    after: ImageFiles = None,
    pictures: Annotated[PictureOptions, options.GROUP] = PictureOptions(),
    labeller: str | None = None,
    units: Numbers = None,
    review: options.Flag = False,
    agreement: options.Flag = False,
    show_map: options.Flag = False,
    port: int = 0,
    open_page: Annotated[bool, Parameter(name="--open", negative=())] = False,
) -> LabellingSession | AgreementTable:
    """Label a sample's units on a page that this machine serves to itself alone.

    Args:
        sample: The sample (.gpkg) that `landshift sample` drew.
        before: Image before; files of one date joined by commas.
        after: Image after, or a composite whose bands name both dates.
        labeller: Name of the labeller; left out: the name of the account.
        units: Units to label, '1-150,200'; left out: all.
        review: Decide units on which labellers differ; their answers are shown.
        agreement: Print how far labellers agree, and end.
        show_map: Show the map's class; better not to.
        port: Port of the page; 0: any that is free.
        open_page: Open the page in this machine's browser.

    Returns:
        The session, to be served and closed; or how far labellers agree.

    Raises:
        SampleError: The file is no sample, or the answers beside it are to another one.
        ParameterError: An image is missing; units that there aren't; nothing to review; the port
            is in use.
        GridError: An image without a place on the ground, or off all units.
        BandError: A band is missing.
        RasterError: An image can't be read.
        OutputError: The folder or the sample can't be written.
    """
    with ExitStack() as stack:
        opened = stack.enter_context(answers.opened(Path(sample)))
        if agreement:
            return agreement_table(opened)
        site = labelling.Labelling(
            opened,
            _dates(opened, before, after, pictures),
            answers.check_name(_account() if labeller is None else labeller),
            sides=_sides(pictures.sides),
            units=_numbers(units, opened.form.numbers),
            review=review,
            show_map=show_map,
        )
        running = stack.enter_context(server.Server(site, port))
        session = LabellingSession(Path(sample), opened, site, running, stack.pop_all())
    if open_page:  # a browser in the terminal would hold this thread
        threading.Thread(target=webbrowser.open, args=(session.address,), daemon=True).start()
    return session


def _dates(
    opened: Answers, before: ImageFiles, after: ImageFiles, shown: PictureOptions
) -> list[DateImage]:
    """The images of the dates that labels are asked for; a choice of bands is kept."""
    asked = opened.form.design.response.asked
    files = {"before": _files(before), "after": _files(after)}
    for name, other in (("before", "after"), ("after", "before")):
        both = files[other]
        if files[name] is None and both is not None:
            bands = plan(Image(tuple(both), assume_crs=shown.assume_crs)).names
            if any(b.lower().startswith(f"{name}:") for b in bands):
                files[name] = both
    lacking = [name for name in asked if not files[name]]
    if lacking:
        raise ParameterError(
            f"Labels {' and '.join(asked)} need an image of each, got none {lacking[0]}; give it "
            f"(`{lacking[0]}`)."
        )
    kept = opened.settings()
    dates = [
        look(
            name, of_date, rgb=shown.rgb, second_rgb=shown.second_rgb, kept=kept,
            assume_crs=shown.assume_crs,
        )
        for name, of_date in files.items() if of_date
    ]  # fmt: skip
    chosen = zip(PICTURES, (shown.rgb, shown.second_rgb), strict=True)
    opened.keep({which: ",".join(parts(rgb)) for which, rgb in chosen if rgb is not None})
    return dates


def _files(given: ImageFiles) -> list[Path | str] | None:
    if given is None or isinstance(given, str):
        return None if given is None else list(_parts(given))
    return [given] if isinstance(given, Path) else list(given)


def _parts(text: str) -> list[str]:
    """The parts of a text that commas separate; those that hold commas are quoted."""
    try:
        return texts.cells(text)
    except csv.Error as error:
        raise ParameterError(f"Quotes must be closed, got '{error}' in {text!r}.") from error


def _sides(given: Sides) -> tuple[float, float]:
    if not isinstance(given, str):
        return check_sides(given)
    try:
        sides = [float(part) for part in given.split(",")]
    except ValueError:
        raise ParameterError(
            f"Sides must be two numbers, got {given!r}; 15,120 is usual."
        ) from None
    return check_sides(sides)


def _numbers(given: Numbers, numbers: tuple[int, ...]) -> list[int] | None:
    """Numbers of units: '1-3,7' is 1, 2, 3 and 7."""
    if given is None or not isinstance(given, str):
        return None if given is None else list(given)
    chosen: list[int] = []
    for part in given.split(","):
        first, dash, last = (p.strip() for p in part.partition("-"))
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and int(last) <= max(numbers)):
            raise ParameterError(
                f"Units must be numbers and ranges up to {max(numbers)}, as in '1-150,200', got "
                f"{given!r}."
            )
        chosen += range(int(first), int(last) + 1)
    return chosen


def _account() -> str:
    """Name of the account that runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError) as error:
        raise ParameterError("A labeller needs a name, got none; give `labeller`.") from error
