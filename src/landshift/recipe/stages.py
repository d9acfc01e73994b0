"""Stages of a recipe as calls of commands: options, inputs and outputs, checked before any runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError

from landshift.cli import commands, lines, refusal
from landshift.errors import LandshiftError, RecipeError
from landshift.files import containers
from landshift.files.options import advice
from landshift.recipe.reading import Recipe, StageText, filled_in

BY_PEOPLE = "label-samples"
"""The command that people carry out: its stage is done when every unit has a label."""

WRITES: Mapping[str, tuple[str, ...]] = {
    "search": ("out", "items", "picture"),
    "fetch": ("out",),
    "composite": ("out",),
    "normalise": ("out",),
    "label": ("out", "table", "weights"),
    "burn": ("out",),
    "difference": ("out",),
    "tiles": ("out", "pairs"),
    "suspects": ("out", "map_file", "weights"),
    "simulate": ("out",),
    "train": ("name", "log"),
    "classify": ("out",),
    "series": ("out",),
    "polygons": ("out",),
    "patches": ("out",),
    "zonal": ("out", "geopackage", "picture"),
    "evaluate": ("out", "figures"),
    "sample": ("out",),
    BY_PEOPLE: (),
    "estimate": ("out", "table"),
    "view": ("out",),
    "report": ("out",),
    "explore": ("out",),
    "stac": ("out",),
}
"""Parameters of each command that name outputs; the first one is what ``${stage}`` stands for."""

_USUAL = {
    "search": "items.json", "fetch": "images", "composite": "composite.tif", "label":
    "change.tif", "burn": "labels.tif", "tiles": "tiles", "suspects": "suspects.csv",
    "simulate": "scene", "train": "model", "classify": "map.tif", "polygons": "map.gpkg",
    "patches": "patches.csv", "evaluate": "scores.json", "sample": "sample.gpkg", "estimate":
    "areas.json", "view": "view.png", "report": "report.html", "explore": "site", "stac":
    "map.json",
}  # fmt: skip
"""Names of outputs where the recipe gives none."""


@dataclass(frozen=True)
class Stage:
    """A stage, ready to run.

    Attributes:
        name: Its name.
        command: Its command.
        app: The command, which parses ``tokens``.
        tokens: Arguments and options as the user would type them.
        options: The same, by parameter; what decides whether the stage must run again.
        inputs: Files and folders that are read.
        outputs: Files and folders that are written, the main one first.
        needs: Names of the stages whose outputs it names.
        resumable: Whether an interrupted run must be told to go on (--resume).
        before: Names of all stages before it; it reads what they wrote where it reads the folder
            of results.
    """

    name: str
    command: str
    app: App
    tokens: tuple[str, ...]
    options: Mapping[str, Any]
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]
    needs: frozenset[str]
    resumable: bool
    before: tuple[str, ...]

    def spelled(self, error: Exception) -> str:
        """What an error of the command says, with its options as the user writes them."""
        return lines.spelled(str(error), commands.spellings(self.app))


def planned(recipe: Recipe, place: Mapping[str, Any], folder: Path) -> list[Stage]:
    """The stages of a place.

    Args:
        recipe: The recipe.
        place: Variables of the place.
        folder: Folder of its results.

    Raises:
        RecipeError: A command or option isn't known, a value doesn't fit, or an output would lie
            outside the folder.
    """
    values: dict[str, Any] = {
        **recipe.variables, **{k: v for k, v in place.items() if k != "name"},
        "out": str(folder), "place": place.get("name", ""),
    }  # fmt: skip
    stages: list[Stage] = []
    for text in recipe.stages:
        stage = _planned(text, values, recipe, folder, tuple(s.name for s in stages))
        stages.append(stage)
        values[stage.name] = str(stage.outputs[0] if stage.outputs else stage.inputs[0])
    written = [path for stage in stages for path in stage.outputs]
    for stage in stages:
        for path in stage.outputs:
            if written.count(path) > 1:
                raise RecipeError(
                    f"Each stage must have an output of its own, got {path.name} of two stages, "
                    f"one of them {stage.name}; give one another `out`."
                )
    return stages


def _planned(
    text: StageText,
    values: Mapping[str, Any],
    recipe: Recipe,
    folder: Path,
    before: tuple[str, ...],
) -> Stage:
    where = f"stage {text.name} of {recipe.path}"
    if text.command not in WRITES:
        raise RecipeError(
            f"A stage must be one of {', '.join(WRITES)}, got {text.command!r} at {where}; "
            f"{advice(text.command, WRITES, 'or name one by `command`')}."
        )
    app = commands.application()[text.command]
    described = commands.described(app)
    entries = [*described["arguments"], *described["options"]]
    used: set[str] = set()
    options = {}
    for key, value in text.options.items():
        entry = _entry(str(key), entries, where)
        if value is not None:
            options[entry["parameter"]] = filled_in(value, values, f"`{key}`, {where}", used)
    if recipe.scheduler is not None and any(e["parameter"] == "scheduler" for e in entries):
        options.setdefault("scheduler", recipe.scheduler)
    writes = WRITES[text.command]
    if writes:
        usual = _USUAL[text.command]
        own = usual if text.name == text.command else f"{text.name}{Path(usual).suffix}"
        options.setdefault(writes[0], own)
    outputs, inputs, tokens = [], [], list[str]()
    for entry in entries:
        name = entry["parameter"]
        if name not in options:
            if entry["required"]:
                raise RecipeError(f"A stage must state `{_shown(entry)}`, got none at {where}.")
            continue
        if name in writes:
            options[name] = str(_inside(folder, options[name], where))
            outputs.append((writes.index(name), Path(options[name])))
        else:
            options[name] = _resolved(options[name], recipe.path.parent, entry)
            inputs += [
                Path(v) for v in _each(options[name]) if isinstance(v, str) and _is_file(v, folder)
            ]
        tokens += _tokens(entry, options[name], where)
    stage = Stage(
        text.name, text.command, app, tuple(tokens), options, tuple(inputs),
        tuple(path for _, path in sorted(outputs)), frozenset(used.intersection(before)),
        "resume" in {entry["parameter"] for entry in entries} - options.keys(), before,
    )  # fmt: skip
    try:
        app.parse_args(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise RecipeError(f"{refusal(error)} ({where})") from error
    except LandshiftError as error:
        raise RecipeError(f"{stage.spelled(error)} ({where})") from error
    if not inputs and not outputs:
        raise RecipeError(f"A stage must read or write a file, got none at {where}.")
    return stage


def _entry(key: str, entries: Sequence[Mapping[str, Any]], where: str) -> Mapping[str, Any]:
    """The argument or option of a key: its name on the command line, or in Python."""
    known: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        spellings = [n.removeprefix("--") for n in entry.get("names", ()) if n.startswith("--")]
        for name in (*spellings, _shown(entry)):
            known.setdefault(name, entry)
    for entry in entries:
        known.setdefault(entry["parameter"].replace("_", "-"), entry)
    word = key.replace("_", "-")
    if word not in known:
        raise RecipeError(
            f"An option must be one of the command's, got {key!r} at {where}; "
            f"{advice(word, known, 'see its --help')}."
        )
    return known[word]


def _shown(entry: Mapping[str, Any]) -> str:
    """How a recipe spells an argument or option."""
    if "names" in entry:
        return str(entry["name"]).removeprefix("--")
    name = str(entry["name"]).lower().replace("_", "-")
    return name if name.replace("-", "").isalnum() else str(entry["parameter"]).replace("_", "-")


def _each(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


def _inside(folder: Path, value: Any, where: str) -> Path:
    """An output, which must lie in the folder of results."""
    path = Path(folder, str(value)).absolute()
    if not path.resolve().is_relative_to(folder.resolve()) or path == folder:
        raise RecipeError(
            f"Outputs of a recipe must lie in its folder {folder}, got {value} at {where}; give "
            "a path below it."
        )
    return path


def _resolved(value: Any, base: Path, entry: Mapping[str, Any]) -> Any:
    """Inputs relative to the recipe's folder; words of a choice, addresses and the like as is."""
    if isinstance(value, list):
        return [_resolved(v, base, entry) for v in value]
    if not isinstance(value, str) or not value or entry["choices"] or "://" in value:
        return value
    named = entry["type"] == "path" and _dotted(value)
    there = named or containers.file_of(base / value).exists()
    return os.path.normpath(base / value) if there else value


def _dotted(text: str) -> bool:
    """Whether a text that names no file looks like one: it is refused as missing then."""
    return "/" in text or "." in text


def _is_file(text: str, folder: Path) -> bool:
    path = Path(text)
    return path.is_absolute() and (path.is_relative_to(folder) or containers.file_of(path).exists())


def _tokens(entry: Mapping[str, Any], value: Any, where: str) -> list[str]:
    """An option as typed."""
    shown = _shown(entry)
    if isinstance(value, dict):
        raise RecipeError(f"`{shown}` must be a value or a list, got {value!r} at {where}.")
    if "names" not in entry:
        return [str(v) for v in _each(value)]
    if entry["type"] == "flag":
        if not isinstance(value, bool):
            raise RecipeError(f"`{shown}` must be true or false, got {value!r} at {where}.")
        return [entry["names"][0]] if value else list(entry["off"])
    texts = [_as_text(v, shown, where) for v in _each(value)]
    name = entry["names"][0]
    if entry["repeated"]:
        return [token for text in texts for token in (name, text)]
    if entry["values"] == 1:
        return [name, ",".join(texts)]
    return [name, *texts]


def _as_text(value: Any, shown: str, where: str) -> str:
    if isinstance(value, bool):
        raise RecipeError(
            f"`{shown}` must be a text or number, got {value} at {where}; write words such as "
            "'no' and 'on' in quotes."
        )
    return str(value)
