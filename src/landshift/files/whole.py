"""Outputs that appear complete or not at all: written under a temporary name, then renamed."""

from __future__ import annotations

import csv
import ctypes
import glob
import logging
import os
import re
import shutil
import socket
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path

from landshift.errors import OutputError, ParameterError
from landshift.files import containers

log = logging.getLogger(__name__)

MARK = "landshift"
"""Start of the program's name in pages (generator) and pictures (Software) that it made."""

_MARKS = (  # of HTML, PNG and SVG
    f'<meta name="generator" content="{MARK}'.encode(),
    f"tEXtSoftware\0{MARK}".encode(),
    f"<dc:title>{MARK}".encode(),
)
_HEAD = 4096  # bytes at the start of a file that contain the mark


def check_new(
    *paths: Path | str | None,
    inputs: Iterable[Path | str | None] = (),
    overwrite: bool = False,
) -> None:
    """Check, before any work, that no output exists already; every stage calls it.

    Pages and pictures with our own mark are always replaced. A warning counts labels that people
    gave, before a file that holds them is replaced.

    Args:
        paths: The outputs; None for one that isn't written.
        inputs: The inputs.
        overwrite: Whether existing files are replaced.

    Raises:
        OutputError: A file exists and ``overwrite`` is off; or the path is a folder.
        ParameterError: An output is one of the inputs, or two outputs are the same file.
    """
    outputs = [Path(path) for path in paths if path is not None]
    sources = [path for path in inputs if path is not None]
    for number, path in enumerate(outputs):
        check_apart(path, sources)
        check_no_folder(path)
        if any(path.resolve() == other.resolve() for other in outputs[:number]):
            raise ParameterError(f"Outputs must be different files, got {path} twice; rename one.")
    there = [p for p in outputs if os.path.lexists(p) and not is_marked(p)]
    for path in there:
        labelled = labelled_units(path)
        labels = f" with the labels of {labelled:,} units" if labelled else ""
        if not overwrite:
            raise OutputError(
                f"The output must be new, got {path} that is there already{labels}; give another "
                "name, or replace it (`overwrite`)."
            )
        if labels:
            _say_lost(path, path.stat().st_mtime_ns, labels)


@cache  # a command checks all its outputs, and its parts check theirs again
def _say_lost(path: Path, changed: int, labels: str) -> None:
    log.warning("%s is replaced%s.", path, labels)


def check_new_folder(path: Path, *, overwrite: bool = False) -> None:
    """Check that an output folder is new or empty.

    Raises:
        OutputError: The path is a file.
        ParameterError: The folder isn't empty, and ``overwrite`` is off.
    """
    path = repaired(Path(path))
    if path.is_file():
        raise OutputError(f"The output must be a folder, got the file {path}; give another name.")
    if not overwrite and path.is_dir() and any(path.iterdir()):
        raise ParameterError(
            f"The output folder must be new or empty, got {path} with files in it; "
            "give another name, or replace it (`overwrite`)."
        )


def is_marked(path: Path) -> bool:
    """Whether a page or picture has our own mark."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return any(mark in head for mark in _MARKS)


def labelled_units(path: Path) -> int:
    """Number of labelled units in a sample's GeoPackage or CSV; 0 for other files."""
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
    """The files beside a raster that GDAL, QGIS and ArcGIS read with it."""
    raster = Path(raster)
    if not raster.name:  # '' or '.', which is refused as a folder
        return []
    beside = [raster.with_name(raster.name + suffix) for suffix in _BESIDE]
    return beside + [raster.with_suffix(suffix) for suffix in _INSTEAD]


def remove_raster(raster: Path) -> None:
    """Remove a raster and the files beside it, before a new one gets its name.

    The raster is removed first: a run that is killed here leaves neither a raster without its mask
    nor a new raster beside old files. A raster without side files stays until it is replaced.
    """
    there = [path for path in side_files(raster) if path.exists()]
    if there:
        Path(raster).unlink(missing_ok=True)
    for path in there:
        path.unlink(missing_ok=True)


def check_apart(out: Path, inputs: Iterable[Path | str]) -> None:
    """Check that an output is none of its inputs.

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
    """A temporary path beside ``path``; renamed to it after the block, removed after an error.

    It has the same suffix, which drivers may evaluate. Leftovers of runs that were killed on this
    machine are removed.

    Raises:
        OutputError: The folder can't be made or written, the disk is full, or ``path`` is a folder.
    """
    path = Path(path)
    check_name(path)
    check_no_folder(path)
    make_folder(path.parent)
    start = f".{path.stem}.{_machine()}.part"
    _remove_left(path.parent, start)
    part = path.with_name(f"{start}{os.getpid()}{path.suffix}")
    try:
        with disk_errors(path):
            yield part
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A temporary folder beside ``path``; renamed to it after the block, removed after an error.

    Args:
        path: The folder to make.
        replace: Whether an existing folder is replaced; else it must be empty.

    Raises:
        ParameterError: ``path`` exists, isn't empty, and ``replace`` is off.
        OutputError: The folder can't be made or written, or the disk is full.
    """
    path = repaired(Path(path))
    check_name(path)
    check_new_folder(path, overwrite=replace)
    make_folder(path.parent)
    for leftover in left_over(path):
        shutil.rmtree(leftover, ignore_errors=True)
    start = f".{path.name}.{_machine()}.part"
    _remove_left(path.parent, start)
    part = path.with_name(f"{start}{os.getpid()}")
    try:
        with disk_errors(path):
            part.mkdir()
            yield part
            put_in_place(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def repaired(path: Path) -> Path:
    """Restore a folder whose replacement was interrupted, and return the path.

    If the run was killed between the two renames, the new folder is complete and gets the name;
    if it is gone, the old folder does.

    Args:
        path: The folder, or a file in it.
    """
    for folder in (path.parent, path):
        for old in [] if folder.exists() else left_over(folder)[:1]:
            part = folder.with_name(f".{folder.name}.{_machine()}.part{_number(old)}")
            with suppress(OSError):  # without write permission, the folder stays missing
                os.replace(part if part.is_dir() else old, folder)
    return path


def left_over(path: Path) -> list[Path]:
    """Leftovers of killed runs that were replacing a folder; also names without a machine."""
    if os.name == "nt":  # os.kill(pid, 0) can end a process there
        return []
    return [
        old
        for old in sorted(path.parent.glob(f".{glob.escape(path.name)}.*"))
        if old.name in (f".{path.name}.{_machine()}.old{_number(old)}",
                        f".{path.name}.old{_number(old)}")
        and not _runs(int(_number(old)))
    ]  # fmt: skip


def _number(path: Path) -> str:
    """The process number at the end of a temporary name."""
    return path.name[len(path.name.rstrip("0123456789")) :]


def put_in_place(part: Path, path: Path) -> None:
    """Rename a complete folder to its final name, and remove the folder that had the name.

    Linux exchanges two names atomically. Other systems have a moment without a folder of the name;
    `repaired` restores it if the run is killed then.
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
    """Exchange the names of two folders atomically (renameat2(2)); False if it can't."""
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def check_name(path: Path) -> None:
    """Refuse an output whose name isn't UTF-8.

    Raises:
        OutputError: It isn't.
    """
    strange = containers.not_utf8(path)
    if strange is not None:
        raise OutputError(f"An output's name must be UTF-8, got {strange}; choose another.")


def _machine() -> str:
    """This machine's name for use in file names; process numbers are unique per machine."""
    return re.sub(r"\W", "_", socket.gethostname())[-24:] or "_"


def _remove_left(folder: Path, start: str) -> None:
    """Remove temporary files and folders of processes that were killed.

    Args:
        folder: The folder that holds them.
        start: Start of their names, before the process number.
    """
    if os.name == "nt":  # os.kill(pid, 0) can end a process there
        return
    for leftover in folder.glob(f"{glob.escape(start)}*"):
        number = re.match(r"\d+", leftover.name[len(start) :])
        if number is None or _runs(int(number.group())):
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


def check_no_folder(path: Path) -> None:
    """Refuse a folder where a file must be written.

    Raises:
        OutputError: The path is a folder.
    """
    if path.is_dir():
        raise OutputError(f"The output must be a file, got the folder {path}; add a file name.")


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, and check that it is writable.

    Raises:
        OutputError: It can't be made or written.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"The output folder must be writable, got {folder}; choose another.")


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn errors of the file system into one clear line.

    Raises:
        OutputError: The file system failed.
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise  # a reader's own error, not the file system's
        raise OutputError(
            f"The output must be writable, got '{error.strerror or error}' at {path}; "
            "make room or choose another folder."
        ) from error


@contextmanager
def durable_file(path: Path) -> Iterator[Path]:
    """As `whole_file`, but flushed to disk before it is renamed."""
    with whole_file(path) as part:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
