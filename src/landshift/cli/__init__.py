"""The command line: a table of commands, each of which is a public function."""

from __future__ import annotations

import io
import logging
import sys
import warnings
from collections.abc import Sequence

from cyclopts import CycloptsError
from cyclopts.exceptions import CoercionError, UnknownCommandError, UnusedCliTokensError

from landshift.cli import commands, lines
from landshift.errors import LandshiftError, OutOfMemoryError, plain, refuse_out_of_memory
from landshift.files.options import advice


def main(words: Sequence[str] | None = None) -> None:
    """Run a command; an error of ours becomes one line and exit code 2.

    Args:
        words: What the user typed after the program's name; None: as the process got it.
    """
    with lines.ours_alone():
        logging.basicConfig(level=logging.WARNING, handlers=[lines.Handler()])
        for name in ("rasterio", "pyogrio"):  # what matters comes as an error
            logging.getLogger(name).setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="pyogrio")
        sys.exit(_ended(list(sys.argv[1:] if words is None else words)))


def _ended(words: list[str]) -> int:
    """Run a command; its exit code, also where the user or whoever reads its output stopped it."""
    try:
        code = _run(words)
        sys.stdout.flush()
    except KeyboardInterrupt as stopped:
        kept = getattr(stopped, "__notes__", ["This run left no unfinished output."])
        said = lines.spelled(" ".join(["Stopped.", *kept]), lines.names)
        lines.say(said, err=True, always=True)
        return 130
    except BrokenPipeError:
        sys.stdout = io.StringIO()  # else Python complains when it ends
        return 1
    return code


def _run(words: list[str]) -> int:
    """Run a command; its exit code."""
    app = commands.application(listing=not words or words[0].startswith("-"))
    if words in ([], ["model"]):
        app.help_print(words, console=app.error_console)
        return 2
    lines.names = {}
    try:
        command, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
        lines.names = commands.spellings(app.parse_commands(words)[1][-1])
        command(*bound.args, **bound.kwargs)
    except CycloptsError as error:
        return _refuse(refusal(error))
    except Exception as error:
        lines.names = lines.names or commands.spellings(app.parse_commands(words)[1][-1])
        return _told(error)
    return 0


def refusal(error: CycloptsError) -> str:
    """What is wrong with what the user typed."""
    if isinstance(error, UnknownCommandError):  # its own message loads all commands
        typed = (error.unused_tokens or [""])[0]
        chain = error.command_chain or ()
        names: Sequence[str] = [c.name for c in commands.COMMANDS]
        if chain[:1] == ("model",):
            from landshift.cli import model

            names = list(model.COMMANDS)
        hint = advice(typed, names, f"see {' '.join(('landshift', *chain))} --help")
        return f"The command must be one of landshift's, got {typed!r}; {hint}."
    if isinstance(error, UnusedCliTokensError):
        more = " ".join(error.unused_tokens or ())
        return f"The command takes no more arguments, got {more}; see --help."
    if isinstance(error, CoercionError) and error.argument:
        option = error.token.keyword if error.token else None
        if option is None:  # cyclopts doesn't name an argument
            return f"Invalid value for {error.argument.name}: {error}"
    return str(error).replace(" positional arguments", " values")


def _told(error: Exception) -> int:
    """Say what ended a command, if that is one of ours or a want of memory."""
    if isinstance(error, BrokenPipeError):
        raise error
    if not isinstance(error, LandshiftError):
        try:
            refuse_out_of_memory(error)
        except OutOfMemoryError as named:
            error = named
        else:
            raise error
    return _refuse(lines.spelled(str(error), lines.names))


def _refuse(message: str) -> int:
    sys.stderr.write(f"Error: {plain(message, 5000)}\n")
    return 2
