"""Outputs appear whole or not at all: written under a temporary name, renamed when finished.

Long ones note what is done, so that a run which was killed can be taken up where it ended.
"""

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
            "give another name, or replace it (`overwrite`)."
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
    """A temporary folder beside ``path``; renamed to it when the block ends well, else removed.

    Args:
        path: The folder to make.
        replace: Whether a folder that stands there already is replaced; else it must be empty.

    Raises:
        ParameterError: ``path`` is there, isn't empty, and ``replace`` is off.
        OutputError: The folder can't be made or written, or the disk is full.
    """
    path = repaired(Path(path))
    check_name(path)
    check_new_folder(path, overwrite=replace)
    make_folder(path.parent)
    for left in left_over(path):
        shutil.rmtree(left, ignore_errors=True)
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
    """A path, after a folder's name was given back where a run was killed while it replaced it.

    The new folder is whole by then and gets the name; where it is gone, the old one does.

    Args:
        path: The folder, or a file in it.
    """
    for folder in (path.parent, path):
        for old in [] if folder.exists() else left_over(folder)[:1]:
            part = folder.with_name(f".{folder.name}.{_machine()}.part{_number(old)}")
            with suppress(OSError):  # who may not write there finds no folder
                os.replace(part if part.is_dir() else old, folder)
    return path


def left_over(path: Path) -> list[Path]:
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


def put_in_place(part: Path, path: Path) -> None:
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


def check_name(path: Path) -> None:
    """Refuse an output whose name is not UTF-8.

    Raises:
        OutputError: It is not.
    """
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


def check_no_folder(path: Path) -> None:
    """Refuse a folder where a file must be written.

    Raises:
        OutputError: The path is a folder.
    """
    if path.is_dir():
        raise OutputError(f"The output must be a file, got the folder {path}; add a file name.")


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, writable.

    Raises:
        OutputError: It cannot be made or written.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"The output folder must be writable, got {folder}; choose another.")


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Errors of the file system as one line of ours, with what to do.

    Raises:
        OutputError: The file system refused.
    """
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


@contextmanager
def durable_file(path: Path) -> Iterator[Path]:
    """As `whole_file`, and on the disk before it has its name, for entries of a ledger."""
    with whole_file(path) as part:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
