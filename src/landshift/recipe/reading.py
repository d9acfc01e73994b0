"""The text of a recipe: its keys, its variables, its places."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from landshift.errors import RecipeError, listed, reason_of
from landshift.files.options import advice

MAX_BYTES = 256 << 10
"""Largest recipe that is read."""

KEYS = ("recipe", "out", "variables", "places", "scheduler", "stages")

BUILT_IN = ("out", "place")
"""Variables that each recipe has: the folder of the results, the name of the place."""

_NAME = re.compile(r"[A-Za-z][\w-]*")
_REFERENCE = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True)
class StageText:
    """A stage as the recipe states it.

    Attributes:
        name: Its name in the recipe.
        command: The command that it runs.
        options: Options as written, by the name in the recipe.
    """

    name: str
    command: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """A recipe.

    Attributes:
        path: Its file; paths of inputs are relative to its folder.
        out: Folder of the results.
        variables: Values by name.
        places: Variables of each place, ``name`` among them; empty for a job of one place.
        scheduler: Scheduler of every stage that takes one and states none.
        stages: Its stages, in order.
    """

    path: Path
    out: Path
    variables: Mapping[str, Any]
    places: tuple[Mapping[str, Any], ...]
    scheduler: str | None
    stages: tuple[StageText, ...]


def read(path: Path, settings: Sequence[str] = (), out: Path | None = None) -> Recipe:
    """Read a recipe.

    Args:
        path: The file.
        settings: Variables that count instead of the recipe's own, as NAME=VALUE.
        out: Folder of the results instead of the recipe's own.

    Raises:
        RecipeError: The file can't be read, isn't YAML, or holds keys, names or values that a
            recipe can't have.
    """
    content = _mapping(_parse(path), str(path))
    _check_keys(content, KEYS, str(path))
    if content.get("recipe") != 1:
        raise RecipeError(
            f"A recipe must begin with 'recipe: 1', its format, got {content.get('recipe')!r} in "
            f"{path}; add the line, or update landshift."
        )
    stages = tuple(
        _stage(str(name), options)
        for name, options in _mapping(content.get("stages"), f"`stages` of {path}").items()
    )
    variables = _mapping(content.get("variables") or {}, f"`variables` of {path}")
    places = tuple(
        _mapping(place, f"each of `places` of {path}") for place in _list(content, "places")
    )
    _check_names(path, stages, variables, places)
    stated = dict(map(_setting, settings))
    known = {*variables, *(key for place in places for key in place)}
    for name in stated:
        if name not in known:
            raise RecipeError(
                f"A variable that is set must be one of the recipe's, got {name}; "
                f"{advice(name, sorted(map(str, known)), 'add it to `variables`')}."
            )
    folder = Path(str(content.get("out", "results")))
    return Recipe(
        path, path.parent / folder if out is None else out, {**variables, **stated},
        tuple({k: v for k, v in place.items() if k not in stated} for place in places),
        content.get("scheduler"), stages,
    )  # fmt: skip


def filled_in(value: Any, values: Mapping[str, Any], where: str, used: set[str]) -> Any:
    """A value with its variables filled in.

    A text that is one variable alone becomes the variable's value, of whatever kind.

    Args:
        value: As the recipe states it.
        values: Variables, and outputs of earlier stages.
        where: The place, for errors.
        used: Names that occurred are added.

    Raises:
        RecipeError: A name isn't known here.
    """
    if isinstance(value, list):
        return [filled_in(v, values, where, used) for v in value]
    if isinstance(value, date):  # YAML reads 2001-06-01 as a day
        return str(value)
    if not isinstance(value, str):
        return value

    def of(name: str) -> Any:
        if name not in values:
            raise RecipeError(
                f"A name in ${{}} must be a variable or an earlier stage, got {name!r} at {where}; "
                f"{advice(name, map(str, values))}."
            )
        used.add(name)
        return values[name]

    alone = _REFERENCE.fullmatch(value)
    if alone:
        inner = of(alone[1])
        return inner if inner is value else filled_in(inner, {}, where, used)
    return _REFERENCE.sub(lambda name: str(of(name[1])), value)


class _Loader(yaml.SafeLoader):  # type: ignore[misc, unused-ignore]
    """YAML's safe types, without aliases (which can grow without bound) and repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"no aliases (*name), got one{self.peek_event().start_mark}")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"each key once, got {key!r} twice{node.start_mark}")
        return dict(super().construct_mapping(node, deep))


def _parse(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RecipeError(
            f"A recipe must be a file that can be read, got '{reason_of(error)}' at {path}; "
            "`landshift init` writes one."
        ) from error
    if len(text) > MAX_BYTES:
        raise RecipeError(f"A recipe must be at most {MAX_BYTES:,} bytes, got more in {path}.")
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        raise RecipeError(
            f"A recipe must be plain YAML, got '{' '.join(str(error).split())}' in {path}; mend it."
        ) from error


def _stage(name: str, options: Any) -> StageText:
    where = f"stage {name}"
    stated = dict(_mapping({} if options is None else options, where))
    return StageText(name, str(stated.pop("command", name)).replace("_", "-"), stated)


def _check_names(
    path: Path,
    stages: tuple[StageText, ...],
    variables: Mapping[str, Any],
    places: tuple[Mapping[str, Any], ...],
) -> None:
    if not stages:
        raise RecipeError(f"A recipe must have stages, got none in {path}; add them.")
    names = [*(stage.name for stage in stages), *variables]
    for name in [*names, *(key for place in places for key in place)]:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise RecipeError(
                "A name in a recipe must begin with a letter and have letters, digits, _ and - "
                f"alone, got {name!r} in {path}; rename it."
            )
    for name in names:
        if name in BUILT_IN or names.count(name) > 1:
            raise RecipeError(
                f"Stages and variables must have names of their own, got {name} twice in {path}; "
                f"rename one ({listed(list(BUILT_IN))} are every recipe's)."
            )
    called = [str(place.get("name", "")) for place in places]
    for name in called:
        if not _NAME.fullmatch(name) or called.count(name) > 1:
            raise RecipeError(
                f"Each place must have a `name` of its own, got {name!r} in {path}; it becomes "
                "the folder of its results."
            )


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise RecipeError(f"A variable must be set as NAME=VALUE, got {text!r}.")
    try:
        return name.strip(), yaml.load(value, _Loader)
    except yaml.YAMLError:
        return name.strip(), value


def _list(content: Mapping[str, Any], key: str) -> list[Any]:
    value = content.get(key) or []
    if not isinstance(value, list):
        raise RecipeError(f"`{key}` of a recipe must be a list, got {value!r}; begin lines by '-'.")
    return value


def _mapping(value: Any, where: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise RecipeError(
            f"Names with values must stand in {where}, got {value!r}; write lines 'name: value'."
        )
    return value


def _check_keys(content: Mapping[Any, Any], keys: Sequence[str], where: str) -> None:
    for key in content:
        if key not in keys:
            raise RecipeError(
                f"A key must be one of {', '.join(keys)}, got {key!r} in {where}; "
                f"{advice(str(key), keys)}."
            )
