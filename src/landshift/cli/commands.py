"""The table of commands, and how each is read off its public function."""

from __future__ import annotations

import functools
import inspect
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from cyclopts import App, ArgumentCollection, Group, Parameter, Token

import landshift
from landshift.cli import lines
from landshift.files import options


@dataclass(frozen=True)
class Command:
    """A command; its function is the public one of the same name, which `cli.results` prints.

    Attributes:
        name: What the user types.
        group: The heading under which the list of commands shows it.
        summary: The first line of the function's docstring; the list doesn't load the function.
    """

    name: str
    group: str
    summary: str

    @property
    def function(self) -> str:
        """Name of its function in `landshift`."""
        return self.name.replace("-", "_")

    @property
    def path(self) -> str:
        """Where cyclopts finds the command."""
        if self.name == "model":
            return "landshift.cli.model:app"
        return f"{__name__}:{self.function}"


_TABLE = {
    "Whole job": {
        "init": "Write a first recipe for your files, or for a place, with comments.",
        "run":
            "Run the stages of a recipe that aren't done, or whose options or inputs have changed.",
        "demo": "Run the whole chain on a simulated scene, by its recipe.",
    },
    "Find": {
        "search":
            "Search a catalogue for images or class maps of a place, by ranges of days.",
        "fetch":
            "Make one cloud-free image a date from the items of each range, on one grid.",
    },
    "Prepare": {
        "composite":
            "Stack the images of one or more dates on one grid into a Cloud-Optimised GeoTIFF.",
        "normalise":
            "Bring an image to the radiometry of another, or of the images that a model learned "
            "from.",
        "label": "Compare two class maps: a change map, and the table of transitions.",
        "burn":
            "Burn polygons into a label raster; pixels outside all polygons are 0, not labelled.",
        "difference":
            "Compare two images pixel by pixel: how much changed, continuous or in classes.",
        "tiles":
            "Cut composites and change maps into a training set in Esri's 'Classified Tiles' "
            "layout.",
        "simulate":
            "Simulate a scene: images and class maps of two or more dates, with known truth.",
    },
    "Learn": {
        "train": "Train a network on a tile set and save it.",
        "suspects": "Find labels that are likely wrong, for people to look at.",
        "padding":
            "Measure how much ground around a tile a model needs, and note it in its package.",
        "quantize": "Make a model's int8 graph, for `landshift classify --precision int8`.",
    },
    "Map": {
        "classify": "Run a model over a raster of any size: a georeferenced class map.",
    },
    "Measure": {
        "series":
            "Find what changed for good in class maps of many dates, when, and what only "
            "flickered.",
        "polygons": "Write a map's patches of change as polygons: classes, hectares, confidence.",
        "patches": "Measure the patches of a map's classes: number, sizes, edges, the largest one.",
        "zonal": "Measure a map's classes or transitions in polygons, border pixels by their part.",
    },
    "Judge": {
        "evaluate":
            "Score a map against a reference, or a model on the validation tiles it was trained "
            "beside.",
        "sample":
            "Draw a probability sample of a map, to be labelled by people and then estimated "
            "from.",
        "label-samples":
            "Label a sample's units on a page that this machine serves to itself alone.",
        "estimate": "Estimate areas and accuracies, with intervals, from a labelled sample.",
    },
    "Show and share": {
        "view": "Show the images, the map and its reference side by side, with a legend.",
        "report":
            "Explain a map on one page: how it went, maps, changes, areas, accuracy, limits, "
            "steps.",
        "explore": "Show images, maps and polygons on a map page in the browser.",
        "stac":
            "Describe a map as a STAC Item: place, time, classes, and the file with its checksum.",
    },
    "Models": {
        "model": "Inspect, verify, import, export and publish saved models.",
    },
}  # fmt: skip

GROUPS = tuple(_TABLE)

COMMANDS = tuple(
    Command(name, group, summary)
    for group, commands in _TABLE.items()
    for name, summary in commands.items()
)

DESCRIPTION = "Land-cover change maps from images of two dates, end to end."


def application(*, listing: bool = False) -> App:
    """The command line; a command's function is loaded when the command is.

    Args:
        listing: Whether to state the summaries, which the help of a command would show alone.
    """
    app = App(
        name="landshift", help=DESCRIPTION, version=f"landshift {landshift.__version__}",
        help_format="plaintext",
    )  # fmt: skip
    groups = {name: Group(name, sort_key=place) for place, name in enumerate(GROUPS)}
    app.command(_describe, name="--describe", help="Print commands and options as JSON.")
    flags = Group("Options", sort_key=len(GROUPS))
    for flag in ("--help", "--version", "--describe"):
        app[flag].group = flags
    for place, command in enumerate(COMMANDS):
        app.command(
            command.path, name=command.name, help=command.summary if listing else None,
            group=groups[command.group], sort_key=place,
        )  # fmt: skip
    return app


def __getattr__(name: str) -> App:
    """The command of a public function, for the import paths of `application`."""
    for command in COMMANDS:
        if command.function == name and name in landshift.PUBLIC:
            function = getattr(import_module(landshift.PUBLIC[name]), name)
            return command_app(function, command.name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _CommandApp(App):
    """A command whose help spells parameters as the user types them."""

    def assemble_argument_collection(self, **settings: Any) -> ArgumentCollection:
        """As cyclopts; what a parameter means on one line, switches without a default."""
        arguments = super().assemble_argument_collection(**settings)
        names = _names(arguments)
        for argument in arguments:
            text = " ".join((argument.parameter.help or "").split())
            default = argument.field_info.default
            plain = default is False or default == ()
            own = argument.parameter.converter
            converter = _CONVERTERS.get(argument.resolved_hint) if own is None else own
            argument.parameter = Parameter.combine(
                argument.parameter,
                Parameter(help=lines.spelled(text, names, others=False), json_list=False),
                Parameter(show_default=False) if plain else None,
                Parameter(converter=converter) if converter is not None else None,
            )  # fmt: skip
        return arguments


def _whole(_: object, tokens: Sequence[Token]) -> int:
    """A whole number; cyclopts alone rounds 2.7 to 3."""
    text = tokens[0].value
    if not re.fullmatch(r"[+-]?\d+(\.0*)?", text):
        raise ValueError(f"it must be a whole number, got {text!r}.")
    return int(text.partition(".")[0])


def _path(_: object, tokens: Sequence[Token]) -> Path:
    """A path; an empty one would be the current folder."""
    if not tokens[0].value:
        raise ValueError("it must name a file or folder, got an empty text.")
    return Path(tokens[0].value)


_CONVERTERS: dict[Any, Callable[..., Any]] = {int: _whole, Path: _path}


def command_app(function: Callable[..., Any], name: str) -> App:
    """The command of a function, its description as paragraphs of one line each."""
    text = re.split(r"\n\n(?:Args|Returns|Raises|Yields):\n", inspect.getdoc(function) or "")[0]
    app = _CommandApp(
        name=name, version_flags=(), group_arguments=Group("Arguments", sort_key=0),
        group_parameters=Group("Options", sort_key=1),
    )  # fmt: skip
    app.default(command_of(function, name))
    paragraphs = [" ".join(p.split()) for p in text.split("\n\n")]
    app.help = lines.spelled("\n\n".join(paragraphs), spellings(app), others=False)
    return app


def command_of(function: Callable[..., Any], command: str) -> Callable[..., None]:
    """A public function as its command: arguments by place, options by name, the result printed.

    Steps that the function reports are drawn, and what it passes to a callback, see
    `cli.show.callbacks`; blocks that it passes are written by --json. What prints the result also
    gets the parameters that it names, and whether progress is JSON (``as_json``). Each command has
    the options of `cli.lines.Output` besides.
    """
    hints = get_type_hints(function, include_extras=True)
    parameters = [
        _parameter(parameter.replace(annotation=hints[parameter.name]))
        for parameter in inspect.signature(function).parameters.values()
    ]
    progress_in_json = "on_block" in hints
    if progress_in_json:
        parameters.append(_JSON)
    parameters.append(_PRINTING)
    arguments = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
    variadic = any(
        p.kind is p.VAR_POSITIONAL for p in inspect.signature(function).parameters.values()
    )

    @functools.wraps(function)
    def run(*given: Any, **named: Any) -> None:
        from landshift.cli import results, show

        named |= zip(arguments, given, strict=False)
        more = given[len(arguments) :]
        if rest is not None and not variadic:
            named[rest], more = more, ()
        as_json = progress_in_json and named.pop("json", False)
        with lines.printing(named.pop("printing", lines.Output())):
            with (
                show.watching(as_json=as_json),
                show.callbacks(command, hints, as_json=as_json) as callbacks,
            ):
                result = function(*more, **named, **callbacks)
            shown = getattr(results, function.__name__, results.path)
            known = {**named, "as_json": as_json}
            asked = inspect.signature(shown).parameters
            content = shown(result, **{n: value for n, value in known.items() if n in asked})
            if lines.output.print_as == "json":
                from landshift.cli import printed

                sys.stdout.write(printed.as_json(result if content is None else content) + "\n")

    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        sorted(parameters, key=lambda p: p.kind)
    )
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


_JSON = inspect.Parameter(
    "json", inspect.Parameter.KEYWORD_ONLY, default=False,
    annotation=Annotated[
        options.Flag, Parameter(help="Progress as lines of JSON on standard error.")
    ],
)  # fmt: skip

_PRINTING = inspect.Parameter(
    "printing", inspect.Parameter.KEYWORD_ONLY, default=lines.Output(),
    annotation=Annotated[lines.Output, options.GROUP, Parameter(group=lines.OUTPUT_GROUP)],
)  # fmt: skip


# as click reads them: whatever follows an option is its value, and the last one given counts
_AS_OPTION = Parameter(allow_leading_hyphen=True, allow_repeating=True, negative_iterable=())


def _parameter(parameter: inspect.Parameter) -> inspect.Parameter:
    """A parameter as the command line takes it: an argument by place alone, an option by name."""
    if parameter.kind is parameter.VAR_POSITIONAL:
        return parameter
    stated = [p for p in getattr(parameter.annotation, "__metadata__", ()) if type(p) is Parameter]
    parameter_options = Parameter.combine(*stated)
    spelled = any(name.startswith("-") for name in parameter_options.name or ())
    if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and not spelled:
        hint = parameter.annotation
        inner = get_args(hint)[0] if stated else hint
        if get_origin(inner) is not Sequence:
            return parameter.replace(kind=parameter.POSITIONAL_ONLY)
        needed = Parameter(required=parameter.default is parameter.empty)
        each: Any = Annotated[get_args(inner)[0], Parameter.combine(*stated, needed)]
        return parameter.replace(
            kind=parameter.VAR_POSITIONAL, annotation=each, default=parameter.empty
        )
    return parameter.replace(
        kind=parameter.KEYWORD_ONLY,
        annotation=Annotated[parameter.annotation, _AS_OPTION],
        default=parameter.empty if parameter_options.required else parameter.default,
    )


def spellings(app: App) -> dict[str, str]:
    """How a command spells each of its function's parameters: `min_pixels` is --min-pixels."""
    if not hasattr(app.default_command, "__wrapped__"):  # the list of commands, or --help
        return {}
    return _names(app.assemble_argument_collection())


def _names(arguments: ArgumentCollection) -> dict[str, str]:
    return {argument.field_info.name: argument.name for argument in arguments if argument.show}


def _describe() -> None:
    sys.stdout.write(json.dumps(describe(), indent=1) + "\n")


def describe() -> dict[str, Any]:
    """All commands with their arguments and options, for programs that call them."""
    app = application()
    entries = []
    for command in COMMANDS:
        own = app[command.name]
        parts = {command.name: own}
        if own.default_command is None:  # a group: `landshift model info`
            names = [name for name in own if not name.startswith("-")]
            parts = {f"{command.name} {name}": own[name] for name in names}
        for name, part in parts.items():
            summary = command.summary if part is own else part.help.splitlines()[0]
            entry = {"name": name, "group": command.group, "summary": summary}
            entries.append(entry | described(part))
    return {"version": landshift.__version__, "options": of_every_command(), "commands": entries}


def of_every_command() -> list[dict[str, Any]]:
    """The options that every command has."""
    own = _described(command_app(lambda: None, "every"))["options"]
    return [{**option, "group": None} for option in own]


def described(app: App) -> dict[str, list[dict[str, Any]]]:
    """Arguments and options of a command, without those that every command has."""
    kinds = _described(app)
    kinds["options"] = [o for o in kinds["options"] if o["group"] != _PRINTING.name]
    return kinds


def _described(app: App) -> dict[str, list[dict[str, Any]]]:
    kinds: dict[str, list[dict[str, Any]]] = {"arguments": [], "options": []}
    group = None
    for argument in app.assemble_argument_collection(parse_docstring=True):
        if not argument.keys:  # a parameter of the function; what follows it may be its fields
            group = argument.field_info.name
        if not argument.show:
            continue
        values, repeated = argument.token_count()
        off = argument.negatives
        entry: dict[str, Any] = {
            "name": argument.name,
            "parameter": argument.field_info.name,
            "group": group if argument.keys else None,
            "type": _type(argument.hint),
            "help": argument.parameter.help or "",
            "choices": list(argument.get_choices() or ()),
            "required": argument.required,
            "repeated": repeated,
        }
        if argument.index is None:
            default = argument.field_info.default
            default = str(default) if isinstance(default, Path) else default
            absent = default is inspect.Parameter.empty or default == ()
            entry |= {
                "names": [n for n in argument.names if n not in off],
                "off": list(off),
                "values": values,
                "default": None if absent else default,
            }
        kinds["arguments" if argument.index is not None else "options"].append(entry)
    return kinds


def _type(hint: Any) -> str:
    """The kind of value: flag, integer, number, path or text."""
    names = {bool: "flag", int: "integer", float: "number", Path: "path"}
    kinds = {hint, *_parts(hint)}
    return next((name for kind, name in names.items() if kind in kinds), "text")


def _parts(hint: Any) -> set[Any]:
    """The types that a type is made of."""
    return {part for each in get_args(hint) for part in (each, *_parts(each))}
