"""Commands are the public functions: one set of names, one statement of each option."""

import ast
import importlib
import inspect
import json
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

import pytest
from cyclopts import CycloptsError, Parameter

import landshift
from commands import run
from landshift.classes import CODINGS, Coding, class_options
from landshift.cli import commands, lines, model, results
from landshift.errors import ParameterError
from landshift.files import options

LISTED = json.loads((Path(__file__).parent / "cli_options.json").read_text())
OWN = [c for c in commands.COMMANDS if c.name != "model"]
DESCRIBED = {c["name"]: c for c in commands.describe()["commands"]}
BEFORE_COMMANDS = {"classify_pixels", "evaluate_map", "prepare_data"}


def function_of(command):
    """The public function of a command."""
    return getattr(importlib.import_module(landshift.PUBLIC[command.function]), command.function)


# ---- One set of names


def test_commands_and_public_functions_are_one_set():
    functions = {name for name in landshift.PUBLIC if name.islower()} - BEFORE_COMMANDS
    assert functions == {c.function for c in OWN}


def test_public_names_are_those_that_editors_know():
    tree = ast.parse(Path(landshift.__file__).with_suffix(".pyi").read_text())
    imported = {
        alias.asname: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == landshift.PUBLIC
    assert set(landshift.__all__) == {*landshift.PUBLIC, "__version__"}
    assert set(landshift.__all__) <= set(dir(landshift))


def test_the_option_groups_are_these():
    """Users write these names: one that is renamed or gone belongs in the CHANGELOG."""
    assert sorted(name for name in landshift.PUBLIC if name[0].isupper()) == [
        "Auditing", "Augmentation", "Baselines", "Catalogued", "ChangeClasses",
        "ClassColumns", "ClassMaps", "Cleaning", "Companions", "Comparison",
        "CompositeOutput", "Consistency", "Cutting", "DataOptions", "DateImage",
        "DomainSource", "Encoding", "FetchGrid", "FileAccess", "Filters", "FoldModel",
        "Footprints", "ImageReading", "ItemFilter", "LastingChange", "Loss", "MapArea",
        "MapEngine", "MapOutputs", "MapReading", "MapRun", "MapTiling", "Network",
        "OwnFiles", "PairReading", "PictureOptions", "Place", "PointColumns",
        "PointDesign", "ReportFiles", "SamplePlan", "SceneConditions", "SearchFiles",
        "TargetGrid", "Training", "TrainingTiles", "Weighting",
    ]  # fmt: skip


def test_each_public_name_is_where_the_table_says():
    for name, module in landshift.PUBLIC.items():
        assert callable(getattr(importlib.import_module(module), name)), name


def test_no_module_hides_a_command():
    code = (
        "import importlib, pkgutil, landshift\n"
        "for m in pkgutil.walk_packages(landshift.__path__, 'landshift.'):\n"
        "    importlib.import_module(m.name)\n"
        f"names = {[n for n in landshift.PUBLIC]!r}\n"
        "print([n for n in names if not callable(getattr(landshift, n))])\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    modules = {m.name for m in pkgutil.iter_modules(landshift.__path__)}
    assert not modules & {c.function for c in commands.COMMANDS}


def test_a_name_that_is_not_public_is_refused():
    with pytest.raises(AttributeError, match="has no attribute 'lable'"):
        _ = landshift.lable


# ---- What commands say of themselves


@pytest.mark.parametrize("command", OWN, ids=lambda c: c.name)
def test_the_list_says_what_the_function_says(command):
    assert command.group in commands.GROUPS
    assert inspect.getdoc(function_of(command)).splitlines()[0] == command.summary


def test_every_printed_result_is_a_commands():
    printed = {n for n, f in inspect.getmembers(results, inspect.isfunction)
               if f.__module__ == results.__name__ and not n.startswith("_")}  # fmt: skip
    of_models = {model.function_of(name).__name__ for name in model.COMMANDS}
    assert printed - {"path"} <= {c.function for c in commands.COMMANDS} | of_models


@pytest.mark.parametrize("name", DESCRIBED)
def test_options_are_spelled_as_ever(name):
    listed, entry = LISTED[name], DESCRIBED[name]
    keys = ("name", "required", "repeated")
    assert [{k: a[k] for k in keys} for a in entry["arguments"]] == listed["arguments"]
    keys = ("names", "off", "values", "repeated", "required", "default")
    found = sorted(entry["options"], key=lambda o: o["names"][0])
    assert [{k: o[k] for k in keys} for o in found] == listed["options"]


@pytest.mark.parametrize("name", DESCRIBED)
def test_help_and_description_agree(name):
    shown = run(*name.split(), "--help")
    assert shown.exit_code == 0
    words = " ".join(shown.output.split())
    entry = DESCRIBED[name]
    assert entry["summary"].split(":")[0] in words
    for each in (*entry["arguments"], *entry["options"]):
        assert each["help"], each["name"]
        assert each["help"].split()[0] in words
        for text in (*each.get("names", [each["name"]]), *each["choices"]):
            assert text in words, text


def test_the_list_of_commands_is_the_table():
    shown = " ".join(run("--help").output.split())
    for command in commands.COMMANDS:
        assert f"{command.name} {command.summary.split()[0]}" in shown
        assert command.group in shown
    assert json.loads(run("--describe").stdout) == commands.describe()


@pytest.mark.parametrize(("words", "listed"), [((), "Prepare"), (("model",), "verify")])
def test_a_command_that_is_missing_shows_the_list(words, listed):
    ended = run(*words)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert listed in ended.stderr


# ---- Soon


SLOW = (
    "torch", "lightning_fabric", "rasterio", "odc.geo", "pyproj", "shapely", "pyogrio", "scipy",
    "sklearn", "pandas", "dask", "matplotlib", "PIL",
)  # fmt: skip
"""Packages that take long to import."""


def answer(*words):
    """Exit code and slow packages that were loaded, as a line; what is printed."""
    code = (
        "import sys\nfrom landshift.cli import main\n"
        f"try:\n    main({list(words)!r})\nexcept SystemExit as e:\n"
        f"    print('code', e.code, *(name for name in {SLOW!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *printed, last = done.stdout.splitlines()
    return last, "\n".join(printed), done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        *((w, 0) for w in (["--help"], ["--version"])),
        *(([*name.split(), "--help"], 0) for name in DESCRIBED),
        *(([*name.split(), "--no-such-option"], 2) for name in DESCRIBED),
        (["lable"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_answers_load_nothing_slow(words, code):
    last, printed, err = answer(*words)
    assert last == f"code {code}"
    assert printed if code == 0 else (err.startswith("Error: ") and err.count("\n") == 1)


def test_the_description_loads_nothing_slow():
    last, printed, _ = answer("--describe")
    assert last == "code 0"
    assert json.loads(printed)["version"] == landshift.__version__


# ---- What the user types


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("lable a b", "got 'lable'; did you mean label."),
        ("nothing", "got 'nothing'; see landshift --help."),
        ("model inf a", "got 'inf'; did you mean info."),
        ("model nothing", "got 'nothing'; see landshift model --help."),
        ("label a b -o c --smoth 3", "Unknown option: --smoth. Did you mean --smooth?"),
        ("label a -o c", "parameter AFTER requires an argument"),
        ("label a b", "parameter --out requires an argument"),
        ("label a b -o", "parameter -o requires an argument"),
        ("label a b c -o d", "takes no more arguments, got c"),
        ("label a b -o c --smooth x", "--smooth: it must be a whole number, got 'x'."),
        ("label a b -o c --smooth 2.7", "--smooth: it must be a whole number, got '2.7'."),
        ("label '' b -o c", "BEFORE: it must name a file or folder, got an empty text."),
        ("label a b --out=", "--out: it must name a file or folder, got an empty text."),
        ("label a b -o c --nodata x", '--nodata: unable to convert "x" into float'),
        ("label a b -o c --coding x", '--coding. Choose from: "to", "from-to", "binary"'),
        ("label a b -o c --bounds 1 2", "--bounds requires 4 values. Only got 2"),
        ("label a b -o c --min-pixels -3", "--min-pixels must be above 0, got -3"),
        ("label a b -o c --keep unchanged --from x", "(--from, --to) choose among the changes"),
        ("label a b -o c --no-overwrite", "Unknown option: --no-overwrite"),
        ("zonal a b --column x -o c --of s", "--of says what to draw, got 's' without --picture"),
    ],
)
def test_what_is_typed_wrongly_is_one_line(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = run(*shlex.split(words))
    assert (ended.exit_code, ended.stdout, ended.stderr.count("\n")) == (2, "", 1), ended.stderr
    assert ended.stderr.startswith("Error: ")
    assert message in ended.stderr


@dataclass(frozen=True)
class Some:
    """Options in a group."""

    least: int = 1
    """At least so many, before `many`."""
    from_classes: Annotated[class_options.Classes, Parameter(name="--from")] = ()
    """From these."""

    def __post_init__(self):
        if self.least > 9:
            raise ParameterError(f"`least` must be below 10, got {self.least}; see `nowhere`.")


def job(
    first: Path,
    more: Path | None = None,
    *,
    classes: class_options.ClassesLike = None,
    nodata: float | None = None,
    bounds: options.Bounds | None = None,
    dates: options.Dates = None,
    pairs: class_options.TransitionsLike = (),
    layers: Sequence[str] = (),
    how: Literal["a", "b"] = "a",
    fast: bool = True,
    many: options.Flag = False,
    some: Annotated[Some, options.GROUP] = Some(),
):
    """Do a job.

    `first` comes before
    `more`.

    Args:
        first: The first.
        more: The second.
    """
    return locals()


def given(*words):
    app = commands.command_app(job, "job")
    command, bound, _ = app.parse_args(list(words), exit_on_error=False, print_error=False)
    assert command.__wrapped__ is job
    return dict(zip(("first", "more"), bound.args, strict=False)) | bound.kwargs


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("a b", {"first": Path("a"), "more": Path("b")}),
        ("--classes c.csv a", {"first": Path("a"), "classes": Path("c.csv")}),
        ("a --nodata -9999", {"nodata": -9999.0}),
        ("a --nodata -1e3 b", {"nodata": -1000.0, "more": Path("b")}),
        ("a --bounds -74 4 -73 5", {"bounds": (-74.0, 4.0, -73.0, 5.0)}),
        ("a --dates - 2000", {"dates": ("-", "2000")}),
        ("--pairs a->b x --pairs b->*", {"first": Path("x"), "pairs": ["a->b", "b->*"]}),
        ("a --layers x b --layers -y", {"layers": ["x", "-y"], "more": Path("b")}),
        ("a --how b --how a", {"how": "a"}),
        ("a --no-fast --many --many", {"fast": False, "many": True}),
        ("a --from x --from 2 --least 3", {"some": Some(3, ["x", "2"])}),
        ("--many -- -a -b", {"first": Path("-a"), "more": Path("-b"), "many": True}),
    ],
)
def test_words_become_arguments(words, expected):
    found = given(*words.split())
    assert {k: found[k] for k in expected} == expected


def stack(
    images: Annotated[Sequence[Path], Parameter(name="IMAGES")],
    *,
    size: int = 8,
    like: Sequence[Path] = (),
):
    """Stack images.

    Args:
        images: The images.
        size: How many.
        like: More.
    """
    return images, size, like


def test_arguments_that_repeat_may_stand_around_options():
    app = commands.command_app(stack, "stack")

    def called(*words):
        _, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
        return [str(p) for p in bound.args], bound.kwargs

    assert called("[a.tif", "--size", "3", '["b"]') == (["[a.tif", '["b"]'], {"size": 3})
    assert called("a", "--like", "[b].tif")[1] == {"like": [Path("[b].tif")]}
    with pytest.raises(CycloptsError, match="IMAGES requires an argument"):
        called("--size", "3")
    assert called("a", "--size", "3.0")[1] == {"size": 3}
    for text in ("2.7", "1e1", "x"):  # cyclopts alone would round
        with pytest.raises(CycloptsError, match=f"--size.*{text}"):
            called("a", "--size", text)
    (entry,) = commands.described(app)["arguments"]
    assert (entry["name"], entry["required"], entry["repeated"]) == ("IMAGES", True, True)


@dataclass(frozen=True)
class Step:
    """How far a job is."""

    done: int
    blocks: int
    rate: float | None = None
    seconds_left: float | None = None


def mapped(
    image: Path,
    *,
    on_block: Annotated[Callable[[Step], None] | None, Parameter(parse=False)] = None,
):
    """Map an image.

    Args:
        image: The image.
    """
    on_block(Step(1, 2))
    return image


def test_progress_is_written_as_json_where_asked(capsys):
    app = commands.command_app(mapped, "mapped")
    for words, lines_of in ((("a.tif",), 0), (("a.tif", "--json"), 1)):
        command, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
        command(*bound.args, **bound.kwargs)
        printed = capsys.readouterr()
        assert (printed.out, printed.err.count('"blocks_done": 1')) == ("a.tif\n", lines_of)
    (json_option,) = commands.described(app)["options"]
    assert json_option["help"] == "Progress as lines of JSON on standard error."


def test_help_spells_parameters_as_the_user_types_them():
    app = commands.command_app(job, "job")
    assert app.help == "Do a job.\n\nFIRST comes before MORE."
    least = next(o for o in commands.described(app)["options"] if o["name"] == "--least")
    assert least["help"] == "At least so many, before --many."
    assert (least["type"], least["parameter"], least["group"]) == ("integer", "least", "some")


def test_errors_name_parameters_in_python_and_options_on_the_command_line():
    with pytest.raises(ParameterError, match="`least` must be below 10") as caught:
        given("a", "--least", "10")
    names = commands.spellings(commands.command_app(job, "job"))
    told = lines.spelled(str(caught.value), names)
    assert told == "--least must be below 10, got 10; see --nowhere."  # of another command


# ---- Who stops a command


def test_a_command_that_the_user_stops_ends_in_one_line(monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("landshift.prepare.label.class_options.file_of", stop)
    ended = run("label", "a", "b", "-o", "c")
    said = "Stopped. This run left no unfinished output.\n"
    assert (ended.exit_code, ended.output) == (130, said)


@pytest.mark.skipif(sys.platform == "win32", reason="no such pipes")
@pytest.mark.parametrize("words", [["--describe"], ["--help"], ["label", "--help"]], ids=" ".join)
def test_a_reader_that_has_ended_is_no_error(words):
    code = f"from landshift.cli import main\nmain({words!r})"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


# ---- Choices


def test_the_names_of_codings_are_stated_twice_alike():
    assert get_args(Coding) == tuple(CODINGS)


def test_a_choice_is_checked_in_python_too():
    options.check_choice("how", "a", Literal["a", "b"])
    with pytest.raises(ParameterError, match="`how` must be one of a, b, got 'c'; choose one"):
        options.check_choice("how", "c", Literal["a", "b"])


def test_each_line_reaches_a_pipe_when_it_is_said(tmp_path, monkeypatch):
    path = tmp_path / "log"
    with path.open("w") as log:
        monkeypatch.setattr("sys.stdout", log)
        lines.say("Label at http://127.0.0.1:1/")
        assert path.read_text() == "Label at http://127.0.0.1:1/\n"


# ---- Options of every command


def test_every_command_has_the_options_of_output_and_the_description_states_them_once():
    described = commands.describe()
    assert [o["name"] for o in described["options"]] == [
        "--quiet",
        "--verbose",
        "--print",
        "--progress",
    ]
    assert described["options"] == commands.of_every_command()
    for entry in described["commands"]:
        assert not {"--quiet", "--verbose", "--print", "--progress"} & {
            o["name"] for o in entry["options"]
        }
        shown = run(*entry["name"].split(), "--help").output
        output = shown[shown.index("─ Output ─") :]
        assert all(option in output for option in ("--quiet", "--verbose", "--print", "--progress"))


def test_help_names_only_options_that_there_are():
    every = [o for e in DESCRIBED.values() for o in e["options"]] + commands.of_every_command()
    known = {"--help"}.union(*(o["names"] + o["off"] for o in every))
    for name in DESCRIBED:
        text = re.sub(r"\n[│ ]*", " ", run(*name.split(), "--help").output)
        named = re.findall(r"(?<![\w-])--[A-Za-z][\w-]*", text)
        assert not set(named) - known, name


@pytest.mark.parametrize(
    ("words", "near"),
    [
        ("label a b -o c.tif --coding form-to", "from-to"),
        ("classify a b -o c.tif --layer confidnce", "confidence"),
        ("label a b -o c.tif --print jsn", "json"),
        ("label a b -o c.tif --quite", "--quiet"),
    ],
)
def test_near_choices_and_options_are_offered(words, near):
    ended = run(*words.split())
    assert (ended.exit_code, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert f"Did you mean {near}" in ended.stderr.replace('"', "")


def test_progress_is_lines_of_json_for_programs(tmp_path):
    ended = run(
        "simulate", "-o", tmp_path / "s", "--height", 40, "--width", 40, "--progress", "json"
    )
    assert ended.exit_code == 0
    reports = [json.loads(line) for line in ended.stderr.splitlines()]
    assert {r["step"] for r in reports} >= {"simulate", "simulating"}
    assert all(set(r) == {"step", "depth", "done", "total", "note", "over"} for r in reports)
    assert reports[0]["depth"] == 0
    assert reports[-1]["over"]
