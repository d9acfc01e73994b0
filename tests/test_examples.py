"""The examples run as they stand, but for where their files lie and how long they train."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the notebook machinery
def test_the_notebook_runs(tmp_path):
    notebook = nbformat.read(EXAMPLES / "multi_class_change.ipynb", as_version=4)
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) >= 5  # batch, learning rates, results, map, map page
    assert "srcdoc" in notebook.cells[-1].outputs[0].data["text/html"]
    assert (tmp_path / "scene" / "change_map.tif").is_file()


@pytest.mark.parametrize("script", ["pucallpa.py", "wake_county.py"])
def test_an_example_on_real_data_runs(script, data_folder, tmp_path):
    command = [sys.executable, EXAMPLES / script, data_folder, tmp_path / "out", "--max-steps", "2"]
    environment = os.environ | {"LANDSHIFT_OFFLINE": "1"}
    found = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert found.returncode == 0, found.stderr
    assert "macro F1" in found.stdout
    assert (tmp_path / "out" / "view.png").is_file()


def test_the_areas_of_pucallpa_are_estimated(data_folder, tmp_path):
    command = [
        sys.executable,
        EXAMPLES / "pucallpa_areas.py",
        data_folder,
        tmp_path,
        "--size",
        "200",
    ]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("the interval") == 6
    assert (tmp_path / "areas.json").is_file()


def test_methods_are_compared_on_few_polygons(data_folder, tmp_path):
    command = [
        sys.executable,
        EXAMPLES / "taizhou.py",
        data_folder,
        tmp_path / "out",
        *("--networks", "quadratic", "--seeds", "1", "--max-steps", "2"),
    ]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert "No change: 10,232 pixels in 33 polygons" in found.stdout
    assert "change: 1,702 pixels in 32 polygons" in found.stdout
    rows = [line.split() for line in found.stdout.splitlines()]
    (kappa,) = [float(r[3]) for r in rows if r[:1] == ["quadratic"] and r[1].startswith("0.")]
    assert kappa > 0.9  # it starts as the discriminant of the training pixels


def test_transfer_is_measured(data_folder, tmp_path):
    command = [
        sys.executable,
        EXAMPLES / "transfer.py",
        data_folder,
        tmp_path / "out",
        *("--only", "gains/unet", "chiapas-3/rules", "--seeds", "1", "--max-steps", "2"),
    ]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    runs = [p.name for p in (tmp_path / "out" / "runs" / "gains").iterdir()]
    assert sorted(runs) == ["unet_ceiling_1.json", "unet_transfer_1.json"]
    assert "elsewhere" in finished.stdout
    assert "macro F1, common" in finished.stdout


def test_a_place_and_two_years_become_areas(tmp_path):
    """A catalogue over HTTP, the recipe of `init`, labels, areas: one command."""
    command = [sys.executable, EXAMPLES / "place.py", tmp_path / "out"]
    environment = {k: v for k, v in os.environ.items() if k != "LANDSHIFT_OFFLINE"}
    ended = subprocess.run(
        [*command, "--size", "192", "--steps", "2"],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "14/16 estimate" in ended.stdout
    assert "No change: " in ended.stdout
    assert (tmp_path / "out" / "results" / "report.html").is_file()


def test_polygons_are_drawn_inside_their_class(tmp_path):
    import rasterio
    from rasterio.features import rasterize

    import landshift

    scene = landshift.simulate(tmp_path / "scene", height=192, width=192)
    out = tmp_path / "polygons.geojson"
    command = [sys.executable, EXAMPLES / "polygons.py", scene.before_classes, out, "--each", "2"]
    subprocess.run(command, check=True, capture_output=True)
    features = json.loads(out.read_text())["features"]
    with rasterio.open(scene.before_classes) as source:
        values, names = source.read(1), json.loads(source.tags()["LANDSHIFT_CLASSES"])
        value_of = {c["Name"]: c["Value"] for c in names}
        for each in features:
            inside = rasterize([each["geometry"]], values.shape, transform=source.transform)
            assert set(values[inside == 1]) == {value_of[each["properties"]["class"]]}
    assert len(features) > 10
