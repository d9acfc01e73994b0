"""Outputs appear whole or not at all: written under a temporary name, renamed when finished.

Long ones note what is done, so that a run which was killed can be taken up where it ended.
"""

from __future__ import annotations

import csv
import ctypes
import glob
import json
import logging
import os
import re
import shutil
import socket
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

from landshift import containers
from landshift.errors import LandshiftError, OutputError, ParameterError

log = logging.getLogger(__name__)

MARK = "landshift"
"""How the program's name begins in pages (generator) and pictures (Software) that it made."""

_MARKS = (  # of HTML, PNG and SVG
    f'<meta name="generator" content="{MARK}'.encode(),
    f"tEXtSoftware\0{MARK}".encode(),
    f"<dc:title>{MARK}".encode(),
)
_HEAD = 4096  # bytes of a file in which its mark stands


def check_new(
    *paths: Path | str | None,
    inputs: Iterable[Path | str | None] = (),
    overwrite: bool = False,
) -> None:
    """Check, before any work, that no output is there already: the rule of every stage.

    Pages and pictures that carry our own mark are replaced without asking. Labels that people
    gave are named before they are lost.

    Args:
        paths: The files that will be written; None for one that won't.
        inputs: What they are made from.
        overwrite: Whether a file that is there is replaced.

    Raises:
        OutputError: A file is there and ``overwrite`` is off; or a folder is.
        ParameterError: An output is one of the inputs, or two outputs are one file.
    """
    outputs = [Path(path) for path in paths if path is not None]
    sources = [path for path in inputs if path is not None]
    for number, path in enumerate(outputs):
        check_apart(path, sources)
        _check_no_folder(path)
        if any(path.resolve() == other.resolve() for other in outputs[:number]):
            raise ParameterError(f"Outputs must be different files, got {path} twice; rename one.")
    there = [p for p in outputs if os.path.lexists(p) and not is_marked(p)]
    for path in there:
        labelled = labelled_units(path)
        labels = f" with the labels of {labelled:,} units" if labelled else ""
        if not overwrite:
            raise OutputError(
                f"The output must be new, got {path} that is there already{labels}; give another "
                "name, or replace it (overwrite=True, --overwrite)."
            )
        if labels:
            _say_lost(path, path.stat().st_mtime_ns, labels)


@cache  # a command checks all its outputs at once, and its parts check theirs again
def _say_lost(path: Path, changed: int, labels: str) -> None:
    log.warning("%s is replaced%s.", path, labels)


def check_new_folder(path: Path, *, overwrite: bool = False) -> None:
    """Check that a folder to be made is new or empty.

    Raises:
        OutputError: A file is there.
        ParameterError: The folder has something in it, and ``overwrite`` is off.
    """
    path = repaired(Path(path))
    if path.is_file():
        raise OutputError(f"The output must be a folder, got the file {path}; give another name.")
    if not overwrite and path.is_dir() and any(path.iterdir()):
        raise ParameterError(
            f"The output folder must be new or empty, got {path} with files in it; "
            "give another name, or replace it (overwrite=True, --overwrite)."
        )


def is_marked(path: Path) -> bool:
    """Whether a page or picture carries our own mark."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return any(mark in head for mark in _MARKS)


def labelled_units(path: Path) -> int:
    """Units of a sample that people have labelled, in its GeoPackage or CSV; 0 in other files."""
    if not path.is_file():
        return 0
    try:
        if path.suffix.lower() == ".gpkg":
            return _labelled_in_geopackage(path)
        return _labelled_in_table(path) if path.suffix.lower() == ".csv" else 0
    except (OSError, sqlite3.Error, csv.Error):
        return 0


def _labelled_in_geopackage(path: Path) -> int:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as base:
        columns = [row[1] for row in base.execute("PRAGMA table_info(units)")]
        labels = [name for name in ("before", "after") if name in columns]
        if not labels or not base.execute("PRAGMA table_info(design)").fetchall():
            return 0
        filled = " OR ".join(f"trim(\"{name}\") != ''" for name in labels)
        return int(base.execute(f"SELECT count(*) FROM units WHERE {filled}").fetchone()[0])


def _labelled_in_table(path: Path) -> int:
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        separator = max(",;\t", key=file.readline().count)
        file.seek(0)
        rows = csv.DictReader(file, delimiter=separator)
        if not {"unit", "after"} <= set(rows.fieldnames or ()):
            return 0
        return sum(bool((r.get("after") or r.get("before") or "").strip()) for r in rows)


_BESIDE = (".aux.xml", ".vat.dbf", ".vat.cpg", ".msk", ".ovr")
_INSTEAD = (".qml", ".clr", ".tfw")


def side_files(raster: Path) -> list[Path]:
    """The files beside a raster that belong to it: what GDAL, QGIS and ArcGIS read with it."""
    raster = Path(raster)
    beside = [raster.with_name(raster.name + suffix) for suffix in _BESIDE]
    return beside + [raster.with_suffix(suffix) for suffix in _INSTEAD]


def remove_raster(raster: Path) -> None:
    """Make room for a new raster where another one has files beside it that belong to it.

    The raster goes first: a run that is killed here leaves no raster without its mask, and no new
    one with the old files beside it. A raster that has none of them stays until it is replaced.
    """
    there = [path for path in side_files(raster) if path.exists()]
    if there:
        Path(raster).unlink(missing_ok=True)
    for path in there:
        path.unlink(missing_ok=True)


def check_apart(out: Path, inputs: Iterable[Path | str]) -> None:
    """Check that an output is none of the files that it is made from.

    Raises:
        ParameterError: It is one of them.
    """
    out = Path(out)
    for path in map(containers.file_of, inputs):
        if out.exists() and path.exists() and out.samefile(path):
            raise ParameterError(
                f"The output must not overwrite its input, got {out} as both; give another name."
            )


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``; renamed to it when the block ends well, else removed.

    The suffix is kept, so that drivers which look at it do as they would for the final name. What
    a run left that was killed on this machine is removed.

    Raises:
        OutputError: The folder can't be made or written, the disk is full, or ``path`` is a folder.
    """
    path = Path(path)
    _check_name(path)
    _check_no_folder(path)
    _make_folder(path.parent)
    start = f".{path.stem}.{_machine()}.part"
    _remove_left(path.parent, start)
    part = path.with_name(f"{start}{os.getpid()}{path.suffix}")
    try:
        with _disk_errors(path):
            yield part
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A temporary folder beside ``path``; renamed to it when the block ends well, else removed.

    Args:
        path: The folder to make.
        replace: Whether a folder that stands there already is replaced; else it must be empty.

    Raises:
        ParameterError: ``path`` is there, isn't empty, and ``replace`` is off.
        OutputError: The folder can't be made or written, or the disk is full.
    """
    path = repaired(Path(path))
    _check_name(path)
    check_new_folder(path, overwrite=replace)
    _make_folder(path.parent)
    for left in _left_over(path):
        shutil.rmtree(left, ignore_errors=True)
    start = f".{path.name}.{_machine()}.part"
    _remove_left(path.parent, start)
    part = path.with_name(f"{start}{os.getpid()}")
    try:
        with _disk_errors(path):
            part.mkdir()
            yield part
            _put_in_place(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def repaired(path: Path) -> Path:
    """A path, after a folder's name was given back where a run was killed while it replaced it.

    The new folder is whole by then and gets the name; where it is gone, the old one does.

    Args:
        path: The folder, or a file in it.
    """
    for folder in (path.parent, path):
        for old in [] if folder.exists() else _left_over(folder)[:1]:
            part = folder.with_name(f".{folder.name}.{_machine()}.part{_number(old)}")
            with suppress(OSError):  # who may not write there finds no folder
                os.replace(part if part.is_dir() else old, folder)
    return path


def _left_over(path: Path) -> list[Path]:
    """What runs that were killed left of a folder that they replaced; also without a machine."""
    if os.name == "nt":  # asking for a process there can end it
        return []
    return [
        left
        for left in sorted(path.parent.glob(f".{glob.escape(path.name)}.*"))
        if left.name in (f".{path.name}.{_machine()}.old{_number(left)}",
                         f".{path.name}.old{_number(left)}")
        and not _runs(int(_number(left)))
    ]  # fmt: skip


def _number(left: Path) -> str:
    """The number of the process at the end of a temporary name."""
    return left.name[len(left.name.rstrip("0123456789")) :]


def _put_in_place(part: Path, path: Path) -> None:
    """Give a whole folder its name, and remove the one that has it.

    Linux exchanges two names at once. Elsewhere there is a moment without a folder of the name; a
    run that is killed then is made good by `repaired`.
    """
    if not path.is_dir():
        os.replace(part, path)
    elif _exchanged(part, path):
        shutil.rmtree(part)
    else:
        old = path.with_name(f".{path.name}.{_machine()}.old{os.getpid()}")
        os.replace(path, old)
        os.replace(part, path)
        shutil.rmtree(old)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange the names of two folders at once; False where the system can't (renameat2(2))."""
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def _check_name(path: Path) -> None:
    strange = containers.not_utf8(path)
    if strange is not None:
        raise OutputError(f"An output's name must be UTF-8, got {strange}; choose another.")


def _machine() -> str:
    """This machine's name as part of a file's: numbers of processes are its own."""
    return re.sub(r"\W", "_", socket.gethostname())[-24:] or "_"


def _remove_left(folder: Path, start: str) -> None:
    """Remove temporary files and folders of processes that were killed.

    Args:
        folder: Where they lie.
        start: How their names begin; the number of the process follows.
    """
    if os.name == "nt":  # asking for a process there can end it
        return
    for left in folder.glob(f"{glob.escape(start)}*"):
        number = re.match(r"\d+", left.name[len(start) :])
        if number is None or _runs(int(number.group())):
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


def _check_no_folder(path: Path) -> None:
    if path.is_dir():
        raise OutputError(f"The output must be a file, got the folder {path}; add a file name.")


def _make_folder(folder: Path) -> None:
    with _disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"The output folder must be writable, got {folder}; choose another.")


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise  # not the file system's: a reader's own error
        raise OutputError(
            f"The output must be writable, got '{error.strerror or error}' at {path}; "
            "make room or choose another folder."
        ) from error


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
    _check_name(path)
    if not join:
        check_new_folder(path, overwrite=overwrite)
    _make_folder(path.parent)
    for left in _left_over(path):
        shutil.rmtree(left, ignore_errors=True)
    part = path.with_name(f".{path.name}.partial")
    whole = part / "whole"
    with _disk_errors(path):
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
            _put_in_place(whole, path)
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
    _check_name(path)
    _check_no_folder(path)
    _make_folder(path.parent)
    part = path.with_name(f".{path.name}.partial")
    whole = part / "whole"
    with _disk_errors(path):
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
                    + "or start over (restart=True, --restart)."
                )
            whole.mkdir(exist_ok=True)
            yield Unfinished(whole, entries[1:], file)
            (part / _LEDGER).unlink()
        shutil.rmtree(part)


@contextmanager
def durable_file(path: Path) -> Iterator[Path]:
    """As `whole_file`, and on the disk before it has its name, for entries of a ledger."""
    with whole_file(path) as part:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())


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
    with _disk_errors(path):
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
