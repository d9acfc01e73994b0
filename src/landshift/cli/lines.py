"""Lines on the terminal: ours alone, and words of users and files as they are written."""

from __future__ import annotations

import faulthandler
import logging
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Annotated, Literal, TextIO

from cyclopts import Group, Parameter

from landshift.errors import ParameterError, shown
from landshift.files import options


@dataclass(frozen=True)
class Output:
    """How much a command prints; every command has these options."""

    quiet: options.Flag = False
    """Print only errors and what the command wrote: no progress, no tables, no remarks."""
    verbose: options.Flag = False
    """Print also what was decided on the way. Where standard error is no terminal, add a line of
    progress each minute."""
    print_as: Annotated[Literal["json"] | None, Parameter(name="--print")] = None
    """json: print the result as one JSON object on standard output, and nothing else there."""

    progress: Literal["json"] | None = None
    """json: report progress as lines of JSON on standard error, for a program that shows it."""

    def __post_init__(self) -> None:
        options.check_choice("print_as", self.print_as, Literal["json", None])
        options.check_choice("progress", self.progress, Literal["json", None])
        if self.quiet and self.verbose:
            raise ParameterError(
                "A command must print less or more, got both `quiet` and `verbose`; give one."
            )


OUTPUT_GROUP = Group("Output", sort_key=2)  # the last one of a command's help

output = Output()
"""The options of the command that runs."""

names: dict[str, str] = {}
"""How the command that runs spells the parameters of its function."""

apart: Callable[[], AbstractContextManager[None]] = nullcontext
"""Keeps progress off the terminal while a line is printed, see `cli.show.Bars`."""


def spelled(text: str, names: Mapping[str, str], *, others: bool = True) -> str:
    """A text whose parameters, in backquotes, are spelled as the user types them.

    Args:
        text: The text.
        names: The spelling of each parameter of the command.
        others: Whether other names are options of another command, as in messages; in a command's
            help they are values, and stay as they are.
    """

    def typed(name: re.Match[str]) -> str:
        return names.get(name[1], options.option_of(name[1]) if others else name[0])

    return options.PARAMETER.sub(typed, text)


def folded(text: str, lead: str = "") -> list[str]:
    """A text in lines that fit the terminal, the first one after a lead, the others below it."""
    width = shutil.get_terminal_size((80, 24)).columns
    return textwrap.wrap(
        text, max(width, 40), initial_indent=lead, subsequent_indent=" " * len(lead),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


@contextmanager
def ours_alone() -> Iterator[None]:
    """Standard error for what this program says; lines of GDAL, libtiff and others go nowhere.

    They write them past Python, before the error that says the same. A crash still says where the
    program was. Where CPL_DEBUG is set, GDAL's lines are wanted, and nothing changes.
    """
    if "CPL_DEBUG" in os.environ:
        yield
        return
    sys.stderr.flush()
    ours, before = os.dup(2), sys.stderr
    if _descriptor(before) == 2:
        sys.stderr = os.fdopen(ours, "w", 1, before.encoding, before.errors, closefd=False)
    watch = not faulthandler.is_enabled()
    if watch:
        faulthandler.enable(ours)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(ours, 2)
        if watch:
            faulthandler.disable()
        if sys.stderr is before:
            os.close(ours)  # else loggers hold what writes there
        sys.stderr = before


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):  # in a notebook or a test
        return None


def say(text: object, *, err: bool = False, always: bool = False) -> None:
    """Print a line that holds words of the user or of a file, see `errors.shown`.

    It is flushed: whoever reads a pipe or a log gets each line when it is said. With --quiet only
    paths and numbers are said; with --print json nothing is on standard output.

    Args:
        text: The line.
        err: Whether it goes to standard error.
        always: Whether it is said in any case.
    """
    if output.quiet and not always and isinstance(text, str):
        return
    if output.print_as == "json" and not err:
        if not always:
            return
        err = True
    with apart():
        print(shown(str(text)), file=sys.stderr if err else sys.stdout, flush=True)


@contextmanager
def printing(chosen: Output) -> Iterator[None]:
    """Print as the user chose; afterwards as before, and the library's logger too."""
    global output
    logger = logging.getLogger("landshift")
    level, before = logger.level, output
    output = chosen
    logger.setLevel(
        logging.ERROR if chosen.quiet else logging.INFO if chosen.verbose else logging.WARNING
    )
    try:
        yield
    finally:
        logger.setLevel(level)
        output = before


class Lines(logging.Formatter):
    """What is logged as lines that hold words of the user or of files."""

    def format(self, record: logging.LogRecord) -> str:
        """The message, see `errors.shown`; a traceback below it as it is."""
        message = spelled(super().format(record), names)
        return message if record.exc_info else shown(message)


class Handler(logging.StreamHandler[TextIO]):
    """Writes what is logged to standard error, apart from progress."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(Lines("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        with apart():
            super().emit(record)
