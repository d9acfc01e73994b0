"""Recipes: what is read, what runs, what is kept."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import landshift
from commands import run as typed
from landshift.assess import answers
from landshift.cli import commands
from landshift.errors import OutputError, ParameterError, RecipeError
from landshift.recipe import demo, reading, stages
from landshift.recipe.record import RECORD

SCENE = """
recipe: 1
variables: {size: 96}
stages:
  simulate: {height: "${size}", width: "${size}"}
  label:
    before: ${simulate}/before_classes.tif
    after: ${simulate}/after_classes.tif
    table: transitions.csv
"""
SAMPLED = (
    SCENE
    + """
  sample: {map: "${label}", size: 30, allocation: equal}
  label-samples: {sample: "${sample}", before: "${simulate}/before.tif"}
  estimate: {sample: "${label-samples}", map: "${label}"}
  patches: {map: "${label}"}
"""
)


@pytest.fixture
def recipe(tmp_path):
    """Writes a recipe."""

    def write(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return path

    return write


def states(result):
    return {s.stage: s.state for s in result.stages}


def fill_in(sample):
    """Label every unit, as people would."""
    with answers.opened(sample) as given:
        choice = given.form.design.response.choices[0]
        for number in given.form.numbers:
            given.save("me", number, answers.Answer(choice, choice))


def test_stages_run_once(recipe, tmp_path):
    path = recipe(SCENE)
    lines = []
    first = landshift.run(path, on_stage=lines.append)
    assert states(first) == {"simulate": "ran", "label": "ran"}
    assert lines == ["1/2 simulate (not run yet)", "2/2 label (not run yet)"]
    assert (tmp_path / "results/transitions.csv").is_file()
    assert set(states(landshift.run(path)).values()) == {"done"}


def test_a_stage_runs_again_when_an_option_an_input_or_an_output_changed(recipe, tmp_path):
    path = recipe(SCENE)
    landshift.run(path)
    path.write_text(SCENE + "    min-pixels: 4\n")
    why = {s.stage: s.why for s in landshift.run(path, dry_run=True).stages}
    assert why == {"simulate": "", "label": "min-pixels: not stated before, 4 now"}
    assert states(landshift.run(path)) == {"simulate": "done", "label": "ran"}
    before = (tmp_path / "results/change.tif").read_bytes()
    os.utime(tmp_path / "results/scene/before_classes.tif")  # the same content
    assert states(landshift.run(path))["label"] == "done"
    shutil.copy(
        tmp_path / "results/scene/after_classes.tif", tmp_path / "results/scene/before_classes.tif"
    )
    assert "before_classes.tif changed" in landshift.run(path, dry_run=True).stages[1].why
    landshift.run(path)
    assert (tmp_path / "results/change.tif").read_bytes() != before
    (tmp_path / "results/transitions.csv").unlink()
    assert landshift.run(path, dry_run=True).stages[1].why == "transitions.csv is missing"


def test_a_dry_run_writes_nothing_and_knows_what_follows(recipe, tmp_path):
    path = recipe(SCENE)
    landshift.run(path, dry_run=True)
    assert not (tmp_path / "results").exists()
    landshift.run(path)
    planned = landshift.run(path, settings=["size=64"], dry_run=True)
    assert [s.why for s in planned.stages] == ["height: 96 before, 64 now", "after simulate"]


def test_from_and_until(recipe):
    path = recipe(SCENE)
    assert states(landshift.run(path, until="simulate")) == {"simulate": "ran", "label": "left"}
    landshift.run(path)
    again = landshift.run(path, first="label")
    assert states(again) == {"simulate": "done", "label": "ran"}
    with pytest.raises(
        RecipeError, match="`until` must be a stage of the recipe, got 'lable'; did"
    ):
        landshift.run(path, until="lable")


def test_a_run_goes_on_once_people_labelled(recipe, tmp_path):
    path = recipe(SAMPLED)
    first = landshift.run(path)
    assert states(first)["label-samples"] == states(first)["estimate"] == "waits"
    assert states(first)["patches"] == "ran"  # it doesn't need the labels
    assert first.commands[0].startswith("landshift label-samples ")
    assert first.commands[0].endswith("before.tif")
    fill_in(tmp_path / "results/sample.gpkg")
    second = landshift.run(path)
    assert states(second)["sample"] == "done"
    assert states(second)["estimate"] == "ran"
    assert second.commands == ()
    assert json.loads((tmp_path / "results/areas.json").read_text())["map"] == "change.tif"


def test_labels_of_people_are_never_replaced(recipe, tmp_path):
    path = recipe(SAMPLED)
    landshift.run(path)
    fill_in(tmp_path / "results/sample.gpkg")
    before = (tmp_path / "results/sample.gpkg").read_bytes()
    with pytest.raises(
        RecipeError, match=r"got sample\.(csv|gpkg), with the labels of 30 units, of stage"
    ):
        landshift.run(path, settings=["size=80"])
    assert (tmp_path / "results/sample.gpkg").read_bytes() == before


@pytest.mark.parametrize("name", ["change.tif", "scene/mine.tif", "transitions.csv"])
def test_files_of_others_are_left_alone(name, recipe, tmp_path):
    path = recipe(SCENE)
    mine = tmp_path / "results" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(RecipeError, match=r"must replace only what it made, got .*; move it"):
        landshift.run(path)
    assert mine.read_text() == "mine"


def test_a_file_beside_an_output_is_not_taken_for_one(recipe, tmp_path):
    path = recipe(SCENE)
    beside = tmp_path / "results" / "change_mine.tif"
    beside.parent.mkdir()
    beside.write_text("mine")
    landshift.run(path)
    landshift.run(path, settings=["size=64"])
    assert beside.read_text() == "mine"


def test_a_changed_output_is_not_replaced(recipe, tmp_path):
    path = recipe(SCENE)
    landshift.run(path)
    (tmp_path / "results/transitions.csv").write_text("by hand")
    with pytest.raises(RecipeError, match=r"changed since, got transitions\.csv of stage label"):
        landshift.run(path, settings=["size=64"])
    assert (tmp_path / "results/transitions.csv").read_text() == "by hand"


def test_several_places(recipe, tmp_path):
    text = SCENE.replace(
        "variables: {size: 96}", "places: [{name: n, size: 64}, {name: s, size: 80}]"
    )
    result = landshift.run(recipe(text))
    assert [(s.place, s.state) for s in result.stages] == [
        ("n", "ran"), ("n", "ran"), ("s", "ran"), ("s", "ran"),
    ]  # fmt: skip
    assert result.outputs["s", "label"] == tmp_path / "results/s/change.tif"
    assert result.outputs["s", "label"].is_file()


def test_a_failing_stage_is_named_with_its_option(recipe):
    text = SCENE + "    bounds: [0, 0, 1, 1]\n"
    with pytest.raises(
        RecipeError, match=r"Stage label of .*recipe\.yaml: Bounds must hold a pixel"
    ):
        landshift.run(recipe(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Names with values must stand in"),
        ("recipe: 2\nstages: {}", "must begin with 'recipe: 1'"),
        ("recipe: 1\nstage: {}", "got 'stage' in .*; did you mean stages"),
        ("recipe: 1\nstages: {}", "must have stages, got none"),
        ("recipe: 1\nstages: [a]", "Names with values must stand in `stages`"),
        ("recipe: 1\nstages: {composit: {}}", "got 'composit' .*; did you mean composite"),
        (SCENE + "    min_pixel: 4", "got 'min_pixel' .*; did you mean min-pixels"),
        (SCENE + "    min-pixels: many", "Invalid value for --min-pixels"),
        (SCENE + "    out: ../elsewhere.tif", "Outputs of a recipe must lie in its folder"),
        (SCENE + "    out: /tmp/elsewhere.tif", "Outputs of a recipe must lie in its folder"),
        (
            SCENE + "    classes: ${clases}.csv",
            "must be a variable or an earlier stage, got 'clases'",
        ),
        (SCENE + "    from: no", "`from` must be a text or number, got False"),
        (SCENE + "    dates: {a: 1}", "`dates` must be a value or a list"),
        (SCENE + "    overwrite: 3", "`overwrite` must be true or false, got 3"),
        ("recipe: 1\nstages: {label: {before: a.tif}}", "A stage must state `after`"),
        ("recipe: 1\nout: a\nout: b\nstages: {}", "each key once, got 'out' twice"),
        ("recipe: 1\nvariables: {a: &x [1]}\nstages: {simulate: {seed: *x}}", "no aliases"),
        ("recipe: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("recipe: 1\nvariables: {out: 3}\nstages: {simulate: {}}", "names of their own, got out"),
        ("recipe: 1\nplaces: [{name: ../x}]\nstages: {simulate: {}}", "have a `name` of its own"),
        (SCENE.replace("transitions.csv", "change.tif"), "an output of its own, got change.tif"),
        ("#" * reading.MAX_BYTES + "\n", "must be at most 262,144 bytes"),
        (SCENE + "\n  " + "a: " * 60, "plain YAML"),
    ],
)
def test_a_wrong_recipe_is_refused_before_anything_runs(text, message, recipe, tmp_path):
    with pytest.raises(RecipeError, match=message):
        landshift.run(recipe(text))
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "text", ["", "[]", '{"stages": {"label": {}}}', '{"stages": {"label": 3}}']
)
def test_a_damaged_record_names_nothing(text, recipe, tmp_path):
    path = recipe(SCENE)
    landshift.run(path)
    (tmp_path / "results" / RECORD).write_text(text)
    with pytest.raises(RecipeError, match="record"):
        landshift.run(path)


def test_a_record_names_no_file_outside_its_folder(recipe, tmp_path):
    path = recipe(SCENE)
    landshift.run(path)
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    record = tmp_path / "results" / RECORD
    content = json.loads(record.read_text())
    content["stages"]["label"]["outputs"]["../mine.txt"] = [4, 0, "0"]
    record.write_text(json.dumps(content))
    with pytest.raises(RecipeError, match="damaged"):
        landshift.run(path, settings=["size=64"])
    assert mine.exists()


def test_a_killed_run_goes_on(recipe, tmp_path):
    """Killed at some moments; the end has the same bytes as one run."""
    path = recipe(SCENE.replace("96", "700"))
    whole = tmp_path / "whole"
    landshift.run(path, out=whole)
    command = [sys.executable, "-c", "from landshift.cli import main; main()", "run", str(path)]
    for seconds in (1.6, 2.0, 2.4):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    landshift.run(path)
    for name in ("scene/after.tif", "change.tif", "transitions.csv"):
        assert (tmp_path / "results" / name).read_bytes() == (whole / name).read_bytes()
    left = [p.name for p in (tmp_path / "results").iterdir() if p.name.startswith(".")]
    assert left == []


def test_two_runs_at_once_are_refused(recipe, tmp_path):
    from landshift.recipe.record import Record

    path = recipe(SCENE)
    (tmp_path / "results").mkdir()
    with (
        Record(tmp_path / "results").kept(),
        pytest.raises(OutputError, match="One run at a time"),
    ):
        landshift.run(path)


def test_every_path_of_a_command_is_known_as_input_or_output():
    """A new option that names an output must be in `stages.WRITES`."""
    inputs = {
        "probabilities",
        "after", "after_map", "agree_after", "agree_before", "areas", "audit", "before",
        "before_map", "choices", "class_table", "classes", "composite", "confidence",
        "confusion", "domains", "image", "images2", "items", "labels", "labels_after",
        "labels_before", "like", "map", "map_classes", "mapped", "mask_polygons", "model",
        "polygons", "recode", "recode_after", "recode_before", "reference", "scores",
        "shape", "strata", "tiles", "transitions", "weights",
    }  # fmt: skip
    for command in commands.describe()["commands"]:
        writes = stages.WRITES.get(command["name"], ())
        for option in command["options"]:
            if command["name"] in stages.WRITES and option["type"] == "path":
                name = option["parameter"]
                assert name in writes or name in inputs, (command["name"], name)
        assert set(writes) <= {o["parameter"] for o in command["options"]}


def test_on_the_command_line(recipe, tmp_path):
    path = recipe(SAMPLED)
    ended = typed("run", path, "--dry-run")
    assert "simulate         to run  not run yet" in ended.stdout
    ended = typed("run", path)
    assert ended.exit_code == 0
    assert "1/6 simulate (not run yet)" in ended.stdout
    assert "of the classed pixels changed" in ended.stdout  # what `label` prints
    assert "landshift label-samples" in ended.stderr
    answer = json.loads(typed("run", path, "--print", "json").stdout)
    assert [row["state"] for row in answer["rows"]][:2] == ["done", "done"]
    ended = typed("run", path, "--set", "sise=3")
    assert ended.exit_code == 2
    assert "got sise; did you mean size" in ended.stderr


def test_the_demo_is_its_recipe(tmp_path):
    result = landshift.demo(tmp_path / "demo", size=256, epochs=1)
    state = states(result)
    assert {state.pop("label-samples"), state.pop("estimate")} == {"waits"}
    assert set(state.values()) == {"ran"}
    assert all(path.exists() for (_, stage), path in result.outputs.items() if stage != "estimate")
    assert set(states(landshift.demo(tmp_path / "demo", size=256, epochs=1)).values()) == {
        "done", "waits",
    }  # fmt: skip
    assert demo.RECIPE.is_file()


def test_the_recipe_of_pucallpa_runs(tmp_path):
    data = Path(__file__).parents[3] / "shared" / "data" / "pucallpa"
    if not data.is_dir():
        pytest.skip("the images of Pucallpa aren't here")
    recipe = Path(__file__).parents[2] / "examples" / "pucallpa.yaml"
    settings = [f"data={data}", "steps=2", "stride=128"]
    result = landshift.run(recipe, out=tmp_path / "out", settings=settings, until="sample")
    assert states(result)["evaluate"] == states(result)["sample"] == "ran"
    scores = json.loads((tmp_path / "out/scores.json").read_text())
    assert scores["pixels"] > 60_000 if "pixels" in scores else scores


# ---- landshift init


def test_init_writes_a_recipe_for_files_that_runs(tmp_path):
    landshift.simulate(tmp_path / "scene", height=64, width=64)
    scene = tmp_path / "scene"
    files = landshift.OwnFiles(
        scene / "before.tif", scene / "after.tif",
        scene / "before_classes.tif", scene / "after_classes.tif",
    )  # fmt: skip
    path = landshift.init(tmp_path / "job" / "recipe.yaml", files=files)
    assert "../scene/before.tif" in path.read_text()
    result = landshift.run(path, until="label")
    assert list(states(result).values())[:2] == ["ran", "ran"]
    with pytest.raises(OutputError, match="must be new"):
        landshift.init(path, files=files)


def test_init_without_class_maps_asks_for_polygons(tmp_path):
    landshift.simulate(tmp_path / "scene", height=64, width=64)
    scene = tmp_path / "scene"
    files = landshift.OwnFiles(scene / "before.tif", scene / "after.tif")
    text = landshift.init(tmp_path / "recipe.yml", files=files).read_text()
    assert "source: polygons.gpkg" in text
    assert "${burn}" in text


def test_init_for_a_place(tmp_path):
    place = landshift.Place(bbox=(-74.7, -8.5, -74.4, -8.2))
    asked = landshift.Catalogued(
        "https://example.org/stac", ["landsat"], "io-lulc-annual-v02", ["2001-06/2001-09", "2016"]
    )
    path = landshift.init(tmp_path / "recipe.yaml", place=place, catalogued=asked)
    planned = landshift.run(path, dry_run=True)
    assert list(states(planned))[:5] == [
        "search",
        "fetch",
        "search_maps",
        "fetch_maps",
        "composite",
    ]
    assert "2001-06-01_2001-09-30.tif" in path.read_text()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ParameterError, "got neither"),
        ({"files": landshift.OwnFiles("a.tif")}, ParameterError, "needs `after`"),
        (
            {"files": landshift.OwnFiles("a.tif", "b.tif")},
            ParameterError,
            "must be there, got a.tif",
        ),
        ({"catalogued": landshift.Catalogued("https://x.org")}, ParameterError, "two ranges"),
        (
            {"catalogued": landshift.Catalogued("https://x.org", dates=["2001", "2002"])},
            ParameterError,
            "needs a place",
        ),
    ],
)
def test_init_says_what_it_lacks(options, error, message, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(error, match=message):
        landshift.init(tmp_path / "recipe.yaml", **options)
    assert not (tmp_path / "recipe.yaml").exists()


def test_questions(tmp_path):
    from landshift.recipe import starting

    answers = iter(["https://x.org/stac", "1, 2, 3, 4", "2001", "2002", ""])
    _, place, asked = starting._asked(lambda _: next(answers))
    assert place.bbox == (1, 2, 3, 4)
    assert asked.dates == ["2001", "2002"]
    answers = iter(["a.tif", "b.tif", "c.tif", "", ""])
    files, _, _ = starting._asked(lambda _: next(answers))
    assert [str(f) for f in (files.before, files.after, files.before_classes)] == [
        "a.tif", "b.tif", "c.tif",
    ]  # fmt: skip
    assert files.after_classes is None


def test_a_scheduler_goes_to_the_stages_that_take_one(recipe, tmp_path):
    text = SCENE.replace("variables:", "scheduler: tcp://10.0.0.1:8786\nvariables:") + (
        "  classify: {image: a.tif, model: m.emd}\n"
        "  other: {command: classify, image: a.tif, model: m.emd, scheduler: local}\n"
    )
    planned = stages.planned(reading.read(recipe(text)), {}, tmp_path / "results")
    asked = {s.name: s.options.get("scheduler") for s in planned}
    assert asked == {
        "simulate": None, "label": None, "classify": "tcp://10.0.0.1:8786", "other": "local",
    }  # fmt: skip
