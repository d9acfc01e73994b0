"""Lines on the terminal: ours alone, and words of users and files as they are written."""

from __future__ import annotations

import faulthandler
import logging
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

from landshift.errors import shown

names: dict[str, str] = {}
"""How the command that runs spells the parameters of its function."""


def spelled(text: str, names: Mapping[str, str]) -> str:
    """A text whose parameters, in backquotes, are spelled as the user types them.

    Args:
        text: The text.
        names: The spelling of each parameter.
    """
    return re.sub(r"`(\w+)`", lambda name: names.get(name[1], name[0]), text)


def as_options(text: str) -> str:
    """A text whose parameters, in backquotes, are spelled as options, of whatever command."""
    return re.sub(r"`(\w+)`", lambda name: "--" + name[1].replace("_", "-"), text)


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


def say(text: object, *, err: bool = False) -> None:
    """Print a line that holds words of the user or of a file, see `errors.shown`.

    It is flushed: whoever reads a pipe or a log gets each line when it is said.
    """
    print(shown(str(text)), file=sys.stderr if err else sys.stdout, flush=True)


class Lines(logging.Formatter):
    """What is logged as lines that hold words of the user or of files."""

    def format(self, record: logging.LogRecord) -> str:
        """The message, see `errors.shown`; a traceback below it as it is."""
        message = spelled(super().format(record), names)
        return message if record.exc_info else shown(message)
