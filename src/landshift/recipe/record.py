"""What a recipe has done: options, inputs and outputs of each stage, kept beside its results."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from landshift.errors import RecipeError
from landshift.files import containers, jsons, provenance, resumable, whole
from landshift.files.archive import inner_path
from landshift.recipe.stages import Stage

RECORD = "recipe-record.json"
"""File in the folder of results that lists what each stage read and wrote."""

_MOST = 256 << 20  # bytes: some 100 a file, of training sets of a million files


class Record:
    """The record of a folder of results.

    Files are known by size and time of change; where these differ, by SHA-256.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / RECORD
        self._stages: dict[str, dict[str, Any]] = {}
        if self._path.is_file():
            content = jsons.parse(
                self._path.read_bytes(), what=f"The record {self._path}", error=RecipeError,
                most=_MOST,
            )  # fmt: skip
            try:
                self._stages = {str(n): _checked(entry) for n, entry in content["stages"].items()}
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                raise RecipeError(
                    f"The record of a recipe must be whole, got a damaged one at {self._path}; "
                    "move it and the results elsewhere."
                ) from error

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep other runs out of the folder."""
        with resumable.resumable_file(self._path, {"recipe": 1}):
            yield

    def reason(self, stage: Stage) -> str | None:
        """Why a stage must run; None: it is done."""
        entry = self._stages.get(stage.name)
        if entry is None:
            return "not run yet"
        if entry["command"] != stage.command:
            return f"was {entry['command']}"
        options = _plain(stage.options)
        for name in sorted({*options, *entry["options"]}):
            was, now = entry["options"].get(name), options.get(name)
            if was != now:
                return f"{name.replace('_', '-')}: {_short(was)} before, {_short(now)} now"
        if not entry["done"]:
            return "interrupted"
        gone = [n for n in entry["outputs"] if not (self._folder / n).exists()]
        if gone:
            return f"{gone[0]} is missing"
        now = self._states(self._read_by(stage), entry["inputs"])
        for name in sorted({*now, *entry["inputs"]}):
            if name not in now:
                return f"{name} is missing"
            if name not in entry["inputs"]:
                return f"{name} is new"
            if now[name][2] != entry["inputs"][name][2]:
                return f"{name} changed"
        return None

    def begin(self, stage: Stage) -> Literal["new", "interrupted", "written"]:
        """Make room for a stage and note that it runs.

        Returns:
            Whether the same stage with the same options was interrupted before, and whether it
            had written all its files already.

        Raises:
            RecipeError: A file that would be replaced isn't the recipe's, or was changed since.
        """
        entry = self._stages.get(stage.name)
        same = False
        if entry is not None and not entry["done"]:
            same = entry["options"] == _plain(stage.options) and entry["command"] == stage.command
            if same and all(path.is_file() for path in stage.outputs):
                return "written"
            for path in map(self._folder.__truediv__, entry["outputs"]):
                self._remove(path.rglob("*") if path.is_dir() else [path, *whole.side_files(path)])
        elif entry is not None:
            self._check_unchanged(stage, entry["outputs"])
            self._remove(self._folder / name for name in entry["outputs"])
        for path in stage.outputs:
            there = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
            foreign = next((p for p in there if p.exists()), None)
            if foreign is not None:
                raise RecipeError(
                    f"A recipe must replace only what it made, got {foreign} where stage "
                    f"{stage.name} writes; move it elsewhere, or give another `out`."
                )
        self._note(stage, {self._name(path): None for path in stage.outputs}, done=False)
        return "interrupted" if same else "new"

    def end(self, stage: Stage) -> None:
        """Note that a stage is done: what it read and wrote."""
        self._note(stage, self._states(self._written_by(stage), {}), done=True)

    def _note(self, stage: Stage, outputs: Mapping[str, Any], *, done: bool) -> None:
        self._stages[stage.name] = {
            "command": stage.command, "options": _plain(stage.options), "done": done,
            "inputs": self._states(self._read_by(stage), {}) if done else {},
            "outputs": dict(outputs),
            "beside": self._stages[stage.name]["beside"] if done else [
                self._name(p) for path in stage.outputs for p in _beside(path)
            ],
        }  # fmt: skip
        with whole.durable_file(self._path) as part:
            part.write_text(json.dumps({"landshift recipe": 1, "stages": self._stages}) + "\n")

    def _check_unchanged(self, stage: Stage, outputs: Mapping[str, Any]) -> None:
        there = [self._folder / n for n in outputs if (self._folder / n).exists()]
        for name, state in self._states(there, outputs).items():
            if state[2] != outputs[name][2]:
                labelled = whole.labelled_units(self._folder / name)
                holds = f", with the labels of {labelled:,} units," if labelled else ""
                raise RecipeError(
                    f"A recipe must not replace what was changed since, got {name}{holds} of stage "
                    f"{stage.name} in {self._folder}; move it elsewhere, or give another `out`."
                )

    def _remove(self, paths: Iterable[Path]) -> None:
        """Remove files of the recipe's own, and the folders that they leave empty."""
        with whole.disk_errors(self._folder):
            folders: set[Path] = set()
            for path in list(paths):
                if path.is_file() or path.is_symlink():
                    path.unlink()
                    folders.update(p for p in path.parents if p.is_relative_to(self._folder))
            for folder in sorted(folders - {self._folder}, key=lambda p: -len(p.parts)):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()

    def _read_by(self, stage: Stage) -> list[Path]:
        """Files that a stage reads: in folders, all but those of later stages and its own."""
        earlier: dict[str, str] = {}
        for name, entry in self._stages.items():
            for output in entry["outputs"]:
                earlier[output] = name
        paths = []
        for path in map(containers.file_of, stage.inputs):
            if not path.is_dir():
                paths.append(path)
                continue
            for inner in sorted(path.rglob("*")):
                if inner.is_file() and not _hidden(inner.relative_to(path)):
                    maker = earlier.get(self._name(inner))
                    if maker in stage.before or not inner.is_relative_to(self._folder):
                        paths.append(inner)
        return [path for path in paths if path.is_file()]

    def _written_by(self, stage: Stage) -> list[Path]:
        """Files that a stage has written: its outputs, and those of their name beside them."""
        paths: set[Path] = set()
        for path in stage.outputs:
            paths.update(p for p in path.rglob("*") if p.is_file())
            paths.update({path, *_beside(path)} if path.is_file() else ())
        before = self._stages[stage.name]["beside"]
        return sorted(p for p in paths if self._name(p) not in before)

    def _states(self, paths: Iterable[Path], known: Mapping[str, Any]) -> dict[str, Any]:
        """Size, time of change and digest of files; digests that are known aren't made again."""
        states = {}
        for path in paths:
            name, status = self._name(path), path.stat()
            size, time = status.st_size, status.st_mtime_ns
            was = known.get(name) or [None] * 3
            same = was[:2] == [size, time]
            states[name] = [size, time, was[2] if same else provenance.digest(path)]
        return states

    def _name(self, path: Path) -> str:
        """A file's name in the record: relative to the folder, where it lies there."""
        inside = path.is_relative_to(self._folder)
        return (path.relative_to(self._folder) if inside else path).as_posix()


def _beside(path: Path) -> list[Path]:
    """Files beside a file that have its name with another ending, as `map_confidence.tif`."""
    found = path.parent.glob(f"{glob.escape(path.stem)}[._]*")
    return [p for p in found if p.is_file() and p != path]


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON gives them back."""
    return dict(json.loads(json.dumps(dict(options))))


def _short(value: Any) -> str:
    text = "not stated" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _checked(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of the record, whose outputs all lie in its folder.

    Raises:
        ValueError: It isn't one.
    """
    for key, kind in (("command", str), ("options", dict), ("done", bool), ("inputs", dict),
                      ("outputs", dict), ("beside", list)):  # fmt: skip
        if not isinstance(entry[key], kind):
            raise ValueError(key)
    for name in entry["outputs"]:
        if inner_path(name) is None:
            raise ValueError(name)
    states = [*entry["inputs"].values(), *(entry["outputs"].values() if entry["done"] else ())]
    if any(len(state) != 3 for state in states):
        raise ValueError("states")
    return dict(entry)
