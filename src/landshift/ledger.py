"""Outputs appear whole or not at all: written under a temporary name, renamed when finished."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from landshift.errors import OutputError, ParameterError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``; renamed to it when the block ends well, else removed.

    The suffix is kept, so that drivers which look at it do as they would for the final name.

    Raises:
        OutputError: The folder can't be made or written, the disk is full, or ``path`` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"The output must be a file, got the folder {path}; add a file name.")
    _make_folder(path.parent)
    part = path.with_name(f".{path.stem}.part{os.getpid()}{path.suffix}")
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
    path = Path(path)
    if path.is_file():
        raise OutputError(f"The output must be a folder, got the file {path}; give another name.")
    if path.is_dir() and any(path.iterdir()) and not replace:
        raise ParameterError(
            f"The output folder must be new or empty, got {path} with files in it; "
            "give another name or remove it."
        )
    _make_folder(path.parent)
    part = path.with_name(f".{path.name}.part{os.getpid()}")
    try:
        with _disk_errors(path):
            part.mkdir()
            yield part
            if path.is_dir():
                old = path.with_name(f".{path.name}.old{os.getpid()}")
                os.replace(path, old)
                os.replace(part, path)
                shutil.rmtree(old)
            else:
                os.replace(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


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
