"""The plugin in PyQGIS: algorithms, what they type, progress, cancelling, views, installing."""

import json
import sys
import threading
import time
from pathlib import Path

import pytest
from landshift_qgis import commands, environment, parameters, running, views
from landshift_qgis.plugin import Installation
from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.gui import QgsMapCanvas
from qgis.PyQt.QtCore import QSize


class Feedback(QgsProcessingFeedback):
    """Keeps what is said."""

    def __init__(self):
        super().__init__()
        self.lines, self.steps, self.warnings = [], [], []
        self.progressChanged.connect(lambda share: self.lines.append(share))

    def setProgressText(self, text):
        self.steps.append(text)

    def pushWarning(self, text):
        self.warnings.append(text)


def words(provider, command, /, **values):
    """What an algorithm types."""
    algorithm = provider.algorithm(command).create()
    return algorithm.words(values, QgsProcessingContext())


def test_the_stored_description_is_that_of_landshift(landshift):
    stored, now = commands.read(), json.loads(landshift("--describe"))
    assert stored == now, "run `python qgis/build.py --describe`"


def test_every_command_of_the_job_is_an_algorithm(provider):
    names = {a.name() for a in provider.algorithms()}
    known = {c["name"].replace("-", "_") for c in commands.read()["commands"]}
    assert names == {n for n in commands.ORDER if n in known} | {"views"}
    for algorithm in provider.algorithms():
        assert algorithm.shortHelpString()
        assert algorithm.group()


def test_parameters_that_are_named_exist():
    known = {c["name"]: {p["parameter"] for p in c["arguments"] + c["options"]}
             for c in commands.read()["commands"]}  # fmt: skip
    for command, name in {*commands.OUTPUTS, *commands.REQUIRED}:
        if command in known:
            assert name in known[command], (command, name)
    every = set().union(*known.values())
    assert every >= commands.RASTER | commands.VECTOR | commands.FOLDER


def test_an_algorithm_types_what_a_person_would(provider, scene, tmp_path):
    before, after = (scene / f"{date}_classes.tif" for date in ("before", "after"))
    typed = words(
        provider, "label", before=str(before), after=str(after), out=str(tmp_path / "c.tif"),
        coding="binary", keep="all", forbidden="urban->forest\nwater->urban", min_pixels=4,
        nodata=-1.5, overwrite=True, dates="2001 2006",
        bounds="300000,303000,4597000,4600000 [EPSG:32618]",
    )  # fmt: skip
    assert typed[:3] == ["label", str(before), str(after)]
    pairs = " ".join(typed[3:])
    for part in (
        f"--out {tmp_path / 'c.tif'}", "--coding binary", "--forbid urban->forest --forbid "
        "water->urban", "--min-pixels 4", "--nodata -1.5", "--overwrite", "--dates 2001 2006",
        "--bounds 300000.0 4597000.0 303000.0 4600000.0",
    ):  # fmt: skip
        assert part in pairs


def test_what_is_left_out_is_not_typed(provider, scene, tmp_path):
    typed = words(
        provider, "train", tiles=str(scene), name=str(tmp_path / "m"), pretrained=False,
        freeze=False, model=None, epochs=None,
    )  # fmt: skip
    assert typed == ["train", str(scene), "--name", str(tmp_path / "m"), "--no-pretrained"]


def test_a_layer_that_is_no_file_is_refused(scene):
    layer = QgsVectorLayer("Point?crs=EPSG:4326", "drawn", "memory")
    with pytest.raises(
        QgsProcessingException, match=r"must lie in a file .* got drawn from memory"
    ):
        parameters.source(layer)
    raster = QgsRasterLayer(str(scene / "before.tif"), "before")
    assert parameters.source(raster) == str(scene / "before.tif")


def test_progress_and_lines_reach_the_feedback(scene, tmp_path):
    feedback = Feedback()
    running.run(
        [*environment.program(), "composite", str(scene / "before.tif"), str(scene / "after.tif"),
         "-o", str(tmp_path / "c.tif")], feedback,
    )  # fmt: skip
    assert (tmp_path / "c.tif").is_file()
    assert "composite" in feedback.steps
    assert max(feedback.lines) == 100


def test_an_error_is_what_landshift_says(scene, tmp_path):
    command = [*environment.program(), "composite", str(tmp_path / "missing.tif"), "-o",
               str(tmp_path / "c.tif")]  # fmt: skip
    with pytest.raises(QgsProcessingException, match=r"Error: .*missing.tif"):
        running.run(command, Feedback())
    with pytest.raises(QgsProcessingException, match=r"can't be started .*install it"):
        running.run([str(tmp_path / "nothing"), "composite"], Feedback())


def test_a_cancelled_command_ends_and_leaves_nothing_half_written(tmp_path):
    feedback = Feedback()
    threading.Timer(3.0, feedback.cancel).start()
    started = time.monotonic()
    with pytest.raises(QgsProcessingException, match="Cancelled"):
        running.run(
            [*environment.program(), "simulate", "-o", str(tmp_path / "s"), "--height", "8000",
             "--width", "8000"], feedback,
        )  # fmt: skip
    assert time.monotonic() - started < 30
    assert not list((tmp_path / "s").glob("*.tif"))


def test_other_versions_are_told_apart(monkeypatch):
    feedback = Feedback()
    program = environment.program()
    environment.compare_versions(program, environment.version_of(program), feedback)
    assert not feedback.warnings
    monkeypatch.setattr(environment, "_compared", set())
    environment.compare_versions(program, "99.0", feedback)
    assert "built for landshift 99.0" in feedback.warnings[0]


def test_only_the_wheel_is_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "HERE", tmp_path)
    with pytest.raises(QgsProcessingException, match="must carry landshift's wheel"):
        environment.wheel()
    (tmp_path / "wheel").mkdir()
    wheel = tmp_path / "wheel" / "landshift-0.1.0-py3-none-any.whl"
    wheel.touch()
    plain = environment.steps("python3")
    assert [step[-1] for step in plain] == [str(environment.folder()), str(wheel)]
    _, torch, last = environment.steps("python3", torch_index="https://index.example/cpu")
    assert torch[-2:] == ["torch", "torchvision"]
    assert "https://index.example/cpu" not in last
    for step in (*plain, torch):
        assert "landshift" not in step
    assert "--constraint" in plain[1]


def test_an_installation_says_what_its_steps_say_and_stops_at_the_first_that_fails():
    says = [sys.executable, "-c", "import sys; print('out'); print('warned', file=sys.stderr)"]
    fails = [sys.executable, "-c", "raise SystemExit(3)"]
    lines = []
    task = Installation([says, fails, says])
    task.said.connect(lines.append)
    assert not task.run()
    assert sorted(lines[1:3]) == ["out", "warned"]
    assert lines[-1].startswith("This step failed")
    assert len(lines) == 5
    assert Installation([says]).run()


def test_themes_and_a_view_that_follows(scene, qgis_new_project, monkeypatch, tmp_path):
    project = QgsProject.instance()
    layers = {
        "before": QgsRasterLayer(str(scene / "before.tif"), "image before"),
        "after": QgsRasterLayer(str(scene / "after.tif"), "image after"),
        "change": QgsRasterLayer(str(scene / "after_classes.tif"), "classes"),
    }
    polygons = QgsVectorLayer("Polygon?crs=EPSG:32618", "drawn", "memory")
    for layer in (*layers.values(), polygons):
        project.addMapLayer(layer)
    views.make_themes(project, layers)
    themes = project.mapThemeCollection()
    assert set(themes.mapThemes()) == {"before", "after", "change"}
    shown = {layer.name() for layer in themes.mapThemeVisibleLayers("after")}
    assert shown == {"image after", "drawn"}

    first, second = QgsMapCanvas(), QgsMapCanvas()
    monkeypatch.setattr(views, "iface", Interface(first, second))
    for canvas in (first, second):
        canvas.resize(QSize(400, 400))
    first.setExtent(layers["before"].extent())
    assert views.linked_view("after") is second
    box = layers["before"].extent()
    box.scale(0.25)
    first.setExtent(box)
    assert second.extent().center().distance(first.extent().center()) < 1
    second.zoomByFactor(0.5)
    assert first.extent().width() == pytest.approx(second.extent().width(), rel=0.01)
    second.waitWhileRendering()
    second.saveAsImage(str(tmp_path / "second.png"))
    assert (tmp_path / "second.png").stat().st_size > 5_000


class Interface:
    """What `linked_view` needs of QGIS' interface."""

    def __init__(self, first, second):
        self.first, self.second = first, second

    def mapCanvas(self):
        return self.first

    def createNewMapCanvas(self, name):
        assert name == "landshift: after"
        return self.second


def test_nothing_of_landshift_is_imported():
    folder = Path(commands.__file__).parent
    for file in folder.glob("*.py"):
        lines = file.read_text(encoding="utf-8").splitlines()
        assert not any(line.startswith(("import landshift", "from landshift")) for line in lines)
