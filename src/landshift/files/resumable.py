"""Unfinished outputs of interrupted runs, which the next run of the same job continues."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from landshift.errors import LandshiftError, OutputError, ParameterError
from landshift.files.whole import (
    check_name,
    check_new_folder,
    check_no_folder,
    disk_errors,
    left_over,
    make_folder,
    put_in_place,
    repaired,
)

logger = logging.getLogger(__name__)

_LEDGER = "ledger.jsonl"
_JOINING = {"state": "joining"}


class Unfinished:
    """An output that several runs of one job may write to, with a ledger of its finished parts.

    Attributes:
        folder: Folder of the unfinished output.
        done: Entries that earlier runs recorded, in order.
        note: What a run that is stopped now keeps, and how to go on; empty if that isn't known.
    """

    def __init__(self, folder: Path, done: Sequence[Any], file: IO[bytes]) -> None:
        self.folder = folder
        self.done = tuple(done)
        self.note = ""
        self._file = file

    def count(self, done: int, total: int, what: str) -> None:
        """State how much is finished, for the user who stops the run.

        Args:
            done: Parts that are recorded.
            total: Parts in all.
            what: What they are: 'blocks'.
        """
        if done:
            kept = f"{done:,} of {total:,} {what} are kept in {self.folder.parent}"
            self.note = f"{kept}; the same command goes on."
        else:
            self.note = f"None of {total:,} {what} is finished; the same command starts again."

    def record(self, entry: Any) -> None:
        """Record a finished part; its files must be closed.

        Args:
            entry: Whatever a later run needs to know of it, as JSON values.
        """
        self._file.write(_line(entry))


@contextmanager
def resumable_folder(
    path: Path, job: Mapping[str, Any], *, join: bool = False, overwrite: bool = False
) -> Iterator[Unfinished]:
    """A folder made step by step beside ``path``, which survives an interrupted run.

    The folder ``.<name>.partial`` holds the unfinished output and a ledger of its finished parts.
    When the block ends without an error, the output is renamed to ``path`` (or its files are moved
    into ``path``). A run that is killed, interrupted or out of disk space leaves both, and the
    same job continues there; any other error of ours removes them.

    Args:
        path: The folder to make: new or empty.
        job: Everything that decides the output, as JSON values: options and inputs.
        join: Whether the files are moved into an existing folder. Files of the same name are
            replaced.
        overwrite: Whether an existing folder is replaced.

    Raises:
        ParameterError: ``path`` exists, isn't empty, and ``overwrite`` is off; or an unfinished
            folder of another job lies beside it.
        OutputError: The folder can't be made or written, the disk is full, or another run is
            writing it.
    """
    path = repaired(Path(path))
    check_name(path)
    if not join:
        check_new_folder(path, overwrite=overwrite)
    make_folder(path.parent)
    for left in left_over(path):
        shutil.rmtree(left, ignore_errors=True)
    with disk_errors(path):
        with _ledger(path) as (part, file):
            whole = part / "whole"
            done = _begun(file, part, job, "or remove it")
            assert _JOINING not in done, "finish_joining comes first"
            unfinished = Unfinished(whole, done, file)
            try:
                with _telling(unfinished):
                    yield unfinished
            except LandshiftError as error:
                if not isinstance(error, OutputError):
                    shutil.rmtree(part, ignore_errors=True)
                raise
            if join:
                file.write(_line(_JOINING))
                _move_into(whole, path)
        if not join:
            (part / _LEDGER).unlink()
            put_in_place(whole, path)
        shutil.rmtree(part)


@contextmanager
def resumable_file(
    path: Path, job: Mapping[str, Any], *, restart: bool = False
) -> Iterator[Unfinished]:
    """A folder ``.<name>.partial`` for the parts of a file, kept until the file is complete.

    It survives a run that is killed, interrupted, out of disk space or unable to read its input,
    and the same job continues there. When the block ends without an error, it is removed.

    Args:
        path: The file.
        job: Everything that decides the output, as JSON values: options and inputs.
        restart: Whether the unfinished output of an earlier run is discarded.

    Raises:
        ParameterError: The unfinished output belongs to another job.
        OutputError: The folder can't be made or written, the disk is full, ``path`` is a folder,
            or another run is writing it.
    """
    path = Path(path)
    check_name(path)
    check_no_folder(path)
    make_folder(path.parent)
    with disk_errors(path):
        with _ledger(path) as (part, file):
            if restart:
                file.truncate(0)
            done = _begun(file, part, job, "or start over (`restart`)")
            unfinished = Unfinished(part / "whole", done, file)
            with _telling(unfinished):
                yield unfinished
            (part / _LEDGER).unlink()
        shutil.rmtree(part)


def _part_of(path: Path) -> Path:
    """The folder beside an output for what is unfinished of it."""
    return path.with_name(f".{path.name}.partial")


@contextmanager
def _ledger(path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """The folder for what is unfinished of an output, and its ledger, which no other run has."""
    part = _part_of(path)
    part.mkdir(exist_ok=True)
    with (part / _LEDGER).open("a+b", buffering=0) as file:
        _lock(file, part)
        yield part, file


@contextmanager
def _telling(unfinished: Unfinished) -> Iterator[None]:
    """Tell the user who stops a run what is kept: a note on the `KeyboardInterrupt`."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        if unfinished.note:
            stopped.add_note(unfinished.note)
        raise


def is_unfinished(path: Path) -> bool:
    """Whether an earlier run of `resumable_file` left an unfinished output."""
    return (_part_of(path) / _LEDGER).is_file()


def finish_joining(path: Path, job: Mapping[str, Any]) -> bool:
    """Finish a run of a job that was killed while it moved its complete output into ``path``.

    Returns:
        Whether there was such a run.

    Raises:
        OutputError: The folder can't be written, or another run is writing it.
    """
    path = Path(path)
    if not (_part_of(path) / _LEDGER).is_file():
        return False
    with disk_errors(path):
        with _ledger(path) as (part, file):
            entries = _entries(file)
            if _JOINING not in entries or entries[0] != json.loads(json.dumps(dict(job))):
                return False
            _move_into(part / "whole", path)
        shutil.rmtree(part)
    return True


def _line(entry: Any) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def _begun(file: IO[bytes], part: Path, job: Mapping[str, Any], otherwise: str) -> Sequence[Any]:
    """Begin an unfinished output, or continue one of the same job.

    A job that states other options than this version does was left by another version; it starts
    anew.

    Args:
        file: The open ledger.
        part: The folder that holds it.
        job: Everything that decides the output, as JSON values.
        otherwise: What to do instead of finishing another job, for the error.

    Returns:
        Entries that earlier runs recorded.

    Raises:
        ParameterError: The unfinished output belongs to another job.
    """
    whole = part / "whole"
    entries = _entries(file)
    this = json.loads(json.dumps(dict(job)))
    if entries and not (isinstance(entries[0], dict) and entries[0].keys() == this.keys()):
        logger.warning("%s: left unfinished by another version; it starts anew.", part)
        file.truncate(0)
        entries = []
    if not entries:
        shutil.rmtree(whole, ignore_errors=True)
        file.write(_line(this))
    elif entries[0] != this:
        raise ParameterError(
            "An unfinished output must be of the same inputs and options, got "
            f"{differences(entries[0], this)} in {part}; finish it with those, {otherwise}."
        )
    whole.mkdir(exist_ok=True)
    return entries[1:]


def _entries(file: IO[bytes]) -> list[Any]:
    """Entries of a ledger; an incomplete last line is removed."""
    file.seek(0)
    text = file.read()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text) and file.writable():
        file.truncate(len(whole))
    return [json.loads(line) for line in whole.splitlines()]


def _lock(file: IO[bytes], part: Path) -> None:
    """Lock out other runs while the file is open; the lock ends with the process."""
    try:
        import fcntl
    except ImportError:  # Windows has no such lock
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(
            f"One run at a time must write an output, got another one at {part}; wait for it."
        ) from error


def differences(unfinished: Mapping[str, Any], job: Mapping[str, Any]) -> str:
    """Options and inputs in which an unfinished job differs from another, in words.

    Args:
        unfinished: Options and inputs of the unfinished job, as JSON values.
        job: Options and inputs of the other.
    """
    keys = [k for k in job if unfinished.get(k) != job[k]]
    keys += [k for k in unfinished if k not in job]
    return ", ".join(f"{k} {_short(unfinished.get(k))} and not {_short(job.get(k))}" for k in keys)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _move_into(whole: Path, path: Path) -> None:
    """Move files into a folder by name: those in subfolders first, then those in the root."""
    files = [p for p in sorted(whole.rglob("*")) if p.is_file()]
    for file in sorted(files, key=lambda p: p.parent == whole):
        target = path / file.relative_to(whole)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, target)
