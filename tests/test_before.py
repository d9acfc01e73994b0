"""Files of version 0.1.0 still load, and give the results that were stored beside them.

tests/files/before/README.md says how they were made. Public names and the command line alone are
used, so that modules may move.
"""

import json
import os
import shutil
import sqlite3
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import rasterio

import landshift
from landshift.cli import main

BEFORE = Path(__file__).parent / "files" / "before"
DIGEST = "37b55f49850aa143c0461e5ebd8f43afb22e28324e77f2b00d184e48943407d1"
"""What `landshift model verify` printed then."""

CHANGED = 1796074015_457_051_122
"""When the raster of the unfinished map was written, in ns: what is unfinished states it."""

MADE_BY = {"provenance", "software", "versions", "inputs", "sources"}
"""Keys of JSON that tell of a file's making."""


@pytest.fixture
def before(tmp_path):
    """The files in a folder where they may be written to."""
    return Path(shutil.copytree(BEFORE, tmp_path / "before"))


@pytest.fixture(params=["package", "folder"])
def model(request, before):
    """The model as one file, and as a folder's .emd."""
    if request.param == "package":
        return before / "small.dlpk"
    with zipfile.ZipFile(before / "small.dlpk") as archive:
        archive.extractall(before / "small")
    return before / "small" / "small.emd"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command that must succeed; what it prints."""

    def command(*arguments):
        code, printed = call(arguments, monkeypatch, capsys)
        assert not code, printed.err
        return printed.out

    return command


def call(arguments, monkeypatch, capsys):
    """Exit code of a command, and what it prints."""
    monkeypatch.setattr(sys, "argv", ["landshift", *map(str, arguments)])
    code = None
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    return code or 0, capsys.readouterr()


def pixels(path):
    with rasterio.open(path) as source:
        return source.read()


def without_making(value):
    """JSON without what tells of its making."""
    if isinstance(value, dict):
        return {k: without_making(v) for k, v in value.items() if k not in MADE_BY}
    return [without_making(v) for v in value] if isinstance(value, list) else value


def assert_alike(value, stored, tolerance):
    """Assert the same keys, names and integers, and numbers within a relative tolerance.

    Sentences may be said in other words.
    """
    assert type(value) is type(stored)
    if isinstance(value, dict):
        assert list(value) == list(stored)
        for key in value:
            assert_alike(value[key], stored[key], tolerance)
    elif isinstance(value, list):
        assert len(value) == len(stored)
        for one, other in zip(value, stored, strict=True):
            assert_alike(one, other, tolerance)
    elif not (isinstance(value, str) and len(value.split()) > 5):
        is_float = isinstance(value, float)
        assert value == (pytest.approx(stored, tolerance, nan_ok=True) if is_float else stored)


def keys(value):
    """Keys of JSON, all the way down."""
    if isinstance(value, list):
        return [keys(v) for v in value]
    return {k: keys(v) for k, v in value.items()} if isinstance(value, dict) else None


def test_a_model_maps_as_it_did(before, model, tmp_path):
    out = landshift.classify_pixels(
        before / "composite.tif", model, tmp_path / "map.tif", padding=8, tile_size=48,
        engine="torch", device="cpu", precision="float32", layers=("probabilities",),
    )  # fmt: skip
    assert Path(out) == tmp_path / "map.tif"
    chances, stored = (pixels(p / "map_probabilities.tif") for p in (tmp_path, before))
    assert (chances.dtype, chances.shape) == (stored.dtype, stored.shape)
    # processors round sums each in its own way: a step of the stored integers
    np.testing.assert_allclose(chances, stored, atol=1 if stored.dtype.kind in "iu" else 1e-4)
    classes, stored = pixels(tmp_path / "map.tif"), pixels(before / "map.tif")
    assert (classes == stored).mean() > 0.999
    for name in ("map.tif", "map_probabilities.tif"):
        with rasterio.open(tmp_path / name) as one, rasterio.open(before / name) as other:
            assert (one.transform, one.crs, one.nodatavals) == (
                other.transform, other.crs, other.nodatavals
            )  # fmt: skip
            assert one.descriptions == other.descriptions
            assert one.tags().get("LANDSHIFT_CLASSES") == other.tags().get("LANDSHIFT_CLASSES")
    for name in ("map.qml", "map.tif.vat.dbf"):
        assert (tmp_path / name).read_bytes() == (before / name).read_bytes()


def test_a_map_left_unfinished_is_finished_or_refused_in_a_line(before, monkeypatch, capsys):
    folder = before / "unfinished"
    (folder / "partial").rename(folder / ".tall_map.tif.partial")
    os.utime(folder / "tall.tif", ns=(CHANGED, CHANGED))
    monkeypatch.chdir(folder)
    shutil.copy(before / "small.dlpk", folder)
    command = [
        "classify", "tall.tif", "small.dlpk", "-o", "tall_map.tif", "--padding", "8",
        "--tile-size", "48", "--engine", "torch", "--device", "cpu", "--precision", "float32",
    ]  # fmt: skip
    code, printed = call(command, monkeypatch, capsys)
    if code:
        assert len(printed.err.splitlines()) <= 2  # one of them tells of the tile size
        assert "--restart" in printed.err
        code, printed = call([*command, "--restart"], monkeypatch, capsys)
    assert not code, printed.err
    made, stored = pixels("tall_map.tif"), pixels("finished.tif")
    assert (made == stored).mean() > 0.999
    assert not (folder / ".tall_map.tif.partial").exists()


def test_a_model_is_whole_and_tells_of_itself(model, run):
    assert DIGEST in run("model", "verify", model)
    told = run("model", "info", model)
    for word in ("pspnet", "test_convnext", "greener", "before:red"):
        assert word in told


def test_a_model_has_the_scores_it_had_on_its_tiles(before, run):
    run("evaluate", before / "small.dlpk", before / "tiles", "--no-baselines", "-o",
        before / "new.json")  # fmt: skip
    new, stored = (json.loads((before / f"{n}.json").read_text()) for n in ("new", "scores"))
    assert new.pop("findings")
    assert new.pop("counted") == "pixels"
    assert keys(new) == keys(stored)
    assert new["classes"] == stored["classes"]
    # a pixel may change sides on another processor, which computes in another precision
    counts = (np.array(s["confusion"]["counts"]) for s in (new, stored))
    np.testing.assert_allclose(*counts, atol=15)
    assert new["scores"]["pixels"] == stored["scores"]["pixels"] == 3054
    assert new["scores"]["miou"] == pytest.approx(stored["scores"]["miou"], abs=0.005)
    assert new["calibration"]["temperature"] == stored["calibration"]["temperature"]
    for kind in ("raw", "scaled"):
        for what in ("ece", "nll"):
            measured, known = (s["calibration"][kind][what] for s in (new, stored))
            assert measured == pytest.approx(known, abs=0.005)


def test_a_tile_set_is_read_from_its_index(before):
    data = landshift.prepare_data(before / "tiles", batch_size=4, val_split_pct=0.3, split="random")
    assert data.class_mapping == {1: "greener", 2: "barer", 3: "No change"}
    assert data.chip_size == 32
    assert len(data.train_ds) + len(data.valid_ds) == 9
    image, labels = data.valid_ds[0]
    assert (tuple(image.shape), tuple(labels.shape)) == ((4, 32, 32), (1, 32, 32))


def test_tiles_cut_anew_are_those_cut_then(before, run):
    run(
        "tiles", before / "composite.tif", before / "change.tif", "-o", before / "new",
        "--tile-size", 32, "--stride", 32, "--classes", before / "classes.csv", "--recode",
        before / "recode.csv",
    )  # fmt: skip
    stored = sorted(p.relative_to(before / "tiles") for p in (before / "tiles").rglob("*.*"))
    assert stored == sorted(p.relative_to(before / "new") for p in (before / "new").rglob("*.*"))
    assert len(stored) == 4 * 9 + 5
    for name in stored:
        one, other = before / "new" / name, before / "tiles" / name
        if name.suffix == ".tif":
            np.testing.assert_array_equal(pixels(one), pixels(other))
        elif name.suffix == ".sqlite":
            assert rows(one) == rows(other)
        else:
            assert one.read_bytes() == other.read_bytes(), name


def rows(index):
    """Tiles of an index."""
    with closing(sqlite3.connect(index)) as base:
        return base.execute("select * from tile order by name").fetchall()


def test_a_tile_set_is_added_to(before, run):
    run(
        "tiles", before / "composite.tif", before / "change.tif", "-o", before / "tiles",
        "--append", "--tile-size", 32, "--stride", 32, "--classes", before / "classes.csv",
        "--recode", before / "recode.csv",
    )  # fmt: skip
    images = sorted((before / "tiles" / "images").glob("*.tif"))
    assert [p.stem for p in images] == [f"{k:09}" for k in range(18)]
    np.testing.assert_array_equal(pixels(images[0]), pixels(images[9]))


@pytest.mark.parametrize("labels", [(), ("--labels", "sample.csv")])
def test_a_sample_gives_the_estimates_it_gave(labels, before, run, monkeypatch):
    monkeypatch.chdir(before)
    run("estimate", "sample.gpkg", "--map", "change.tif", "-o", "new.json", *labels)
    new = json.loads((before / "new.json").read_text())
    stored = json.loads((before / "areas.json").read_text())
    assert new["classes"]
    assert_alike(without_making(new), without_making(stored), 1e-9)


def test_a_samples_answers_are_read(before, run):
    told = run("label-samples", before / "sample.gpkg", "--agreement")
    assert "3 units in dispute, 3 of them reviewed." in told
    numbers = [line.split() for line in told.splitlines() if line.lstrip().startswith("ann, ben")]
    assert [n[-3:] for n in numbers] == [
        ["30", "0.900", "0.820"], ["30", "0.900", "0.858"], ["30", "1.000", "1.000"]
    ]  # fmt: skip
