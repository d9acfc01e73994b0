"""Outputs that an interrupted run leaves behind and the next one takes up."""

from __future__ import annotations

import json
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


class Unfinished:
    """A folder that grows over several runs of one job, and the ledger of what is done.

    Attributes:
        folder: Where the output grows.
        done: What earlier runs recorded, in order.
    """

    def __init__(self, folder: Path, done: Sequence[Any], file: IO[bytes]) -> None:
        self.folder = folder
        self.done = tuple(done)
        self._file = file

    def record(self, entry: Any) -> None:
        """Note that a part is done, once its files are closed.

        Args:
            entry: What a later run needs to know of it; anything that JSON holds.
        """
        self._file.write(_line(entry))


@contextmanager
def resumable_folder(
    path: Path, job: Mapping[str, Any], *, join: bool = False, overwrite: bool = False
) -> Iterator[Unfinished]:
    """A folder made step by step beside ``path``, which outlives a run that was killed.

    It grows in ``.<name>.partial``, beside a ledger of what is done. When the block ends well it
    is renamed to ``path`` (or its files are moved into ``path``). A run that was killed, was
    interrupted or ran out of disk leaves both, and the same job takes up where it ended; any
    other error of ours leaves nothing.

    Args:
        path: The folder to make: new or empty.
        job: What decides the output, as JSON holds it: options and inputs.
        join: Whether the files are moved into a folder that is there already. No file of the
            same name may be there, but for those that are to be replaced.
        overwrite: Whether a folder that is there is replaced.

    Raises:
        ParameterError: ``path`` is there, isn't empty, and ``overwrite`` is off; or an unfinished
            folder of another job lies beside it.
        OutputError: The folder can't be made or written, the disk is full, or another run is at
            it.
    """
    path = repaired(Path(path))
    check_name(path)
    if not join:
        check_new_folder(path, overwrite=overwrite)
    make_folder(path.parent)
    for left in left_over(path):
        shutil.rmtree(left, ignore_errors=True)
    part = path.with_name(f".{path.name}.partial")
    whole = part / "whole"
    with disk_errors(path):
        part.mkdir(exist_ok=True)
        with (part / _LEDGER).open("a+b", buffering=0) as file:
            _lock(file, part)
            entries = _entries(file)
            if not entries:
                shutil.rmtree(whole, ignore_errors=True)  # of a run killed before its first line
                file.write(_line(dict(job)))
            elif entries[0] != json.loads(json.dumps(dict(job))):
                raise ParameterError(_other_job(part, entries[0], job))
            assert _JOINING not in entries, "finish_joining comes first"
            whole.mkdir(exist_ok=True)
            try:
                yield Unfinished(whole, entries[1:], file)
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
    """A folder ``.<name>.partial`` for what a file is made from, kept until the file is there.

    It outlives a run that was killed, was interrupted, ran out of disk or couldn't read its
    input, and the same job takes up where that ended. When the block ends well it is removed.

    Args:
        path: The file that is made.
        job: What decides it, as JSON holds it: options and inputs.
        restart: Whether what an earlier run left is thrown away.

    Raises:
        ParameterError: What lies there is of another job.
        OutputError: The folder can't be made or written, the disk is full, ``path`` is a folder,
            or another run is at it.
    """
    path = Path(path)
    check_name(path)
    check_no_folder(path)
    make_folder(path.parent)
    part = path.with_name(f".{path.name}.partial")
    whole = part / "whole"
    with disk_errors(path):
        part.mkdir(exist_ok=True)
        with (part / _LEDGER).open("a+b", buffering=0) as file:
            _lock(file, part)
            if restart:
                file.truncate(0)
            entries = _entries(file)
            if not entries:
                shutil.rmtree(whole, ignore_errors=True)
                file.write(_line(dict(job)))
            elif entries[0] != json.loads(json.dumps(dict(job))):
                raise ParameterError(
                    _other_job(part, entries[0], job).removesuffix("or remove it.")
                    + "or start over (`restart`)."
                )
            whole.mkdir(exist_ok=True)
            yield Unfinished(whole, entries[1:], file)
            (part / _LEDGER).unlink()
        shutil.rmtree(part)


def is_unfinished(path: Path) -> bool:
    """Whether a run of `resumable_file` left what the same job takes up."""
    return (path.with_name(f".{path.name}.partial") / _LEDGER).is_file()


def finish_joining(path: Path, job: Mapping[str, Any]) -> bool:
    """Finish a run of a job that was killed while it moved its whole output into ``path``.

    Returns:
        Whether there was one.

    Raises:
        OutputError: The folder can't be written, or another run is at it.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.partial")
    if not (part / _LEDGER).is_file():
        return False
    with disk_errors(path):
        with (part / _LEDGER).open("a+b", buffering=0) as file:
            _lock(file, part)
            entries = _entries(file)
            if _JOINING not in entries or entries[0] != json.loads(json.dumps(dict(job))):
                return False
            _move_into(part / "whole", path)
        shutil.rmtree(part)
    return True


_LEDGER = "ledger.jsonl"
_JOINING = {"state": "joining"}


def _line(entry: Any) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def _entries(file: IO[bytes]) -> list[Any]:
    """Entries of a ledger; a last line that was cut short is taken away."""
    file.seek(0)
    text = file.read()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text) and file.writable():
        file.truncate(len(whole))
    return [json.loads(line) for line in whole.splitlines()]


def _lock(file: IO[bytes], part: Path) -> None:
    """Keep other runs out for as long as the file is open, however this one ends."""
    try:
        import fcntl
    except ImportError:  # Windows: two runs at once go unseen
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(
            f"One run at a time must write an output, got another one at {part}; wait for it."
        ) from error


def differences(found: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """In what a job that was found is another than the one asked for, in words.

    Args:
        found: Options and inputs as JSON holds them.
        asked: The same of the job at hand.
    """
    other = [k for k in asked if found.get(k) != asked[k]] + [k for k in found if k not in asked]
    return ", ".join(f"{k} {_short(found.get(k))} and not {_short(asked.get(k))}" for k in other)


def _other_job(part: Path, found: Mapping[str, Any], job: Mapping[str, Any]) -> str:
    told = differences(found, json.loads(json.dumps(dict(job))))
    return (
        f"An unfinished output must be of the same inputs and options, got {told} in {part}; "
        "finish it with those, or remove it."
    )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _move_into(whole: Path, path: Path) -> None:
    """Move files into a folder: those in its folders first, then those in its root, by name."""
    files = [p for p in sorted(whole.rglob("*")) if p.is_file()]
    for file in sorted(files, key=lambda p: p.parent == whole):
        target = path / file.relative_to(whole)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, target)
