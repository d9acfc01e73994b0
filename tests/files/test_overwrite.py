"""Existing outputs: refused before any work, or replaced completely."""

import csv
import json
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import rasterio

import landshift
from cutting import cut_tiles
from landshift import bundle, dataset, tileset, training
from landshift.assess.plan import SamplePlan
from landshift.classes import ClassScheme, legend, legend_writers
from landshift.cli import main
from landshift.errors import OutputError, ParameterError
from landshift.files import whole
from landshift.prepare.composite import TargetGrid, composite
from landshift.prepare.label import label
from landshift.raster import legend_of
from landshift.show import figures
from packages import save as save_model
from packages import untrained
from scenes import BANDS, MAPPING, striped_scene, write

MINE = b"mine"


def run(monkeypatch, capsys, *arguments):
    """Exit code and standard error of a command."""
    monkeypatch.setattr(sys, "argv", ["landshift", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0, capsys.readouterr().err


COMMANDS = {
    "composite": ["composite", "no.tif", "-o", "x.tif"],
    "normalise": ["normalise", "no.tif", "--like", "no2.tif", "-o", "x.tif"],
    "label": ["label", "no.tif", "no2.tif", "-o", "x.tif"],
    "label, table": ["label", "no.tif", "no2.tif", "-o", "new.tif", "--table", "x.csv"],
    "label, classes": ["label", "no.tif", "no2.tif", "-o", "new.tif", "--class-table", "x.csv"],
    "label, side file": ["label", "no.tif", "no2.tif", "-o", "style.tif"],
    "burn": ["burn", "no.gpkg", "--like", "no.tif", "-o", "x.tif", "--value-column", "v"],
    "difference": ["difference", "no.tif", "no2.tif", "-o", "x.tif"],
    "tiles": ["tiles", "no.tif", "no2.tif", "-o", "folder"],
    "tiles, pairs": ["tiles", "--audit", "no", "--pairs", "x.csv"],
    "evaluate": ["evaluate", "no.tif", "no2.tif", "--json", "x.json"],
    "evaluate, figures": ["evaluate", "no.tif", "no2.tif", "--figures", "."],
    "classify": ["classify", "no.tif", "no.dlpk", "-o", "x.tif"],
    "classify, layer": ["classify", "no.tif", "no.dlpk", "-o", "y.tif", "--layer", "entropy"],
    "classify, vrt": ["classify", "no.tif", "no.dlpk", "-o", "z.vrt", "--mosaic", "vrt"],
    "quantize": ["quantize", "no.dlpk", "no.tif"],
    "view": ["view", "no.tif", "--map", "no2.tif", "-o", "x.png"],
    "polygons": ["polygons", "no.tif", "-o", "x.gpkg"],
    "patches": ["patches", "no.tif", "-o", "x.csv"],
    "zonal": ["zonal", "no.tif", "no.gpkg", "--column", "n", "-o", "x.csv"],
    "zonal, zones": [
        "zonal", "no.tif", "no.gpkg", "--column", "n", "-o", "n.csv", "--geopackage", "x.gpkg",
    ],
    "zonal, picture": [
        "zonal", "no.tif", "no.gpkg", "--column", "n", "-o", "n.csv", "--picture", "x.png",
    ],
    "sample": ["sample", "no.tif", "-o", "x.gpkg", "--size", "9"],
    "sample, table": ["sample", "no.tif", "-o", "x2.gpkg", "--size", "9"],
    "estimate": ["estimate", "no.gpkg", "-o", "x.json"],
    "estimate, table": ["estimate", "no.gpkg", "--table", "x.csv"],
    "report": ["report", ".", "-o", "x.html"],
    "explore": ["explore", "no.tif", "-o", "folder"],
    "stac": ["stac", "no.tif", "-o", "x.json"],
    "simulate": ["simulate", "-o", ".", "--height", "32", "--width", "32"],
    "model import": ["model", "import", "no.dlpk", "-o", "model"],
    "model push": ["model", "push", "no.dlpk", "a/b", "--to", "model"],
    "model stac": ["model", "stac", "no.dlpk", "-o", "x.json"],
    "model export": ["model", "export", "no.dlpk", "-o", "x.onnx"],
}  # fmt: skip
THERE = [
    "x.tif", "x.csv", "x2.csv", "x.json", "x.png", "x.gpkg", "x.html", "x.onnx", "style.qml",
    "confusion.png", "after.tif", "y_entropy.tif", "no.int8.bin", "folder/images",
    "model/landshift.json", "z_blocks/0.tif",
]  # fmt: skip


@pytest.mark.parametrize("job", COMMANDS.values(), ids=list(COMMANDS))
def test_an_output_that_is_there_is_refused_before_inputs_are_looked_at(
    job, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for name in THERE:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(MINE)
    code, err = run(monkeypatch, capsys, *job)
    assert (code, len(err.splitlines())) == (2, 1), err
    assert "must be new" in err
    assert "--overwrite" in err
    assert all((tmp_path / name).read_bytes() == MINE for name in THERE)
    code, err = run(monkeypatch, capsys, *job, "--overwrite")
    assert "must be new" not in err  # the inputs aren't there, or it is done


def test_every_command_that_writes_has_the_option():
    listed = json.loads((Path(__file__).parents[1] / "cli" / "cli_options.json").read_text())
    without = {
        name
        for name, command in listed.items()
        if not any("--overwrite" in option["names"] for option in command["options"])
    }
    # demo and run replace only what their own record names, init never replaces a recipe,
    # label-samples adds what people say; the others write nothing
    assert without == {"demo", "init", "label-samples", "model info", "model verify", "run"}


def test_an_output_is_never_an_input_nor_two_outputs_one_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.tif", np.ones((8, 8), np.uint8), nodata=0)
    write(tmp_path / "b.tif", np.ones((8, 8), np.uint8), nodata=0)
    before = (tmp_path / "a.tif").read_bytes()
    job = ["label", "a.tif", "b.tif", "--overwrite", "-o"]
    code, err = run(monkeypatch, capsys, *job, "./a.tif")
    assert (code, "must not overwrite its input, got a.tif" in err) == (2, True)
    code, err = run(monkeypatch, capsys, *job, "c.tif", "--table", "./c.tif")
    assert (code, "The name of a table must end in .csv, got c.tif; give c.csv." in err) == (
        2,
        True,
    )
    with pytest.raises(ParameterError, match="must be different files"):
        whole.check_new("c.tif", "./c.tif", overwrite=True)
    assert (tmp_path / "a.tif").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "b.tif"]


def test_a_raster_that_is_replaced_takes_its_side_files_along(tmp_path):
    """An image written over a change map is resampled as an image, and all of it is valid."""
    random = np.random.default_rng(0)
    values = random.integers(1, 4, (64, 64)).astype(np.uint8)
    maps = [
        write(tmp_path / f"{n}.tif", v, nodata=0)
        for n, v in zip("ab", (values, values.T), strict=True)
    ]
    picture = random.integers(1, 255, (64, 64)).astype(np.uint8)
    image = write(tmp_path / "image.tif", picture)
    like = write(tmp_path / "like.tif", picture, origin=(500_015.0, 3_999_985.0))
    out = tmp_path / "x.tif"
    label(*maps, out)
    assert legend_of(out).names
    beside = [p for p in whole.side_files(out) if p.exists()]
    assert {p.name for p in beside} >= {"x.tif.aux.xml", "x.tif.vat.dbf", "x.qml"}
    for path in set(whole.side_files(out)) - set(beside):
        path.write_bytes(MINE)
    masked = write(tmp_path / "masked.tif", picture)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(masked, "r+") as target:
        target.write_mask(np.repeat(np.array([0, 255], np.uint8), 32)[:, np.newaxis].repeat(64, 1))
    (tmp_path / "masked.tif.msk").rename(tmp_path / "x.tif.msk")
    composite([image], out, overwrite=True)
    assert [p.name for p in whole.side_files(out) if p.exists()] == ["x.qml"]  # its own
    assert "paletted" not in out.with_suffix(".qml").read_text()
    with rasterio.open(out) as source:
        assert (source.read(1) == picture).all()
        assert source.read_masks(1).all()
    assert not legend_of(out).names
    moved = [tmp_path / "moved1.tif", tmp_path / "moved2.tif"]
    for source, target in zip((out, image), moved, strict=True):
        composite([source], target, target=TargetGrid(like=like, extent="intersection"))
    with rasterio.open(moved[0]) as one, rasterio.open(moved[1]) as other:
        assert (one.read(1) == other.read(1)).all()


KILLED = """
import os, shutil, sys
from pathlib import Path
from landshift import raster

folder = Path(sys.argv[1])
like, out, beside = folder / "like.tif", folder / "x.tif", [folder / "x.tif.msk", folder / "x.qml"]
with raster.open_raster(like) as source:
    box = raster.info_of(source).grid
unlink, rename, steps = Path.unlink, os.replace, 0

def counted(step):
    def taken(path, *others, **options):
        global steps
        if str(path).endswith(("x.tif", "x.tif.msk", "x.qml")) or others:
            steps -= 1
            if steps < 0:
                os.kill(os.getpid(), 9)
        return step(path, *others, **options)
    return taken

ended = None
for number in range(40):
    shutil.copyfile(like, out)
    for path in beside:
        path.write_text("of the old one")
    steps = number
    child = os.fork()
    if not child:
        Path.unlink, os.replace = counted(unlink), counted(rename)
        with raster.create(out, box, count=1, dtype="uint8", nodata=None) as target:
            pass
        os._exit(0)
    ended = os.waitpid(child, 0)[1]
    state = "none"
    if out.exists():
        state = "old" if out.read_bytes() == like.read_bytes() else "new"
    print(state, *(path.exists() for path in beside))
    if ended == 0:
        break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_while_a_raster_is_replaced_leaves_no_side_file_beside_a_new_one(tmp_path):
    """Killed before each removal and renaming in turn."""
    write(tmp_path / "like.tif", np.ones((16, 16), np.uint8))
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, check=True
    )
    states = done.stdout.splitlines()
    assert states == [
        "old True True",
        "none True True",
        "none False True",
        "none False False",
        "new False False",
    ]


@pytest.fixture
def sample(tmp_path):
    """A sample of nine units, three of them labelled."""
    values = np.random.default_rng(1).integers(1, 3, (40, 40)).astype(np.uint8)
    mapped = write(tmp_path / "map.tif", values, nodata=0)
    legend_writers.write_category_names(
        mapped, legend.Legend({1: "to crop", 2: "No change"}).scheme()
    )
    path = tmp_path / "sample.gpkg"
    landshift.sample(mapped, path, plan=SamplePlan(size=9, design="simple"))
    with closing(sqlite3.connect(path)) as base, base:
        for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
            base.create_function(name, 1, lambda _: None)
        base.execute("UPDATE units SET after = 'crop' WHERE unit <= 3")
    with path.with_suffix(".csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows[:2]:
        row["after"] = "crop"
    with path.with_suffix(".csv").open("w") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return mapped, path


def test_replacing_labels_is_warned_of(sample, caplog):
    mapped, path = sample
    plan = SamplePlan(size=9, design="simple", seed=1)
    with pytest.raises(OutputError, match=r"sample.gpkg .* with the labels of 3 units"):
        landshift.sample(mapped, path, plan=plan)
    assert whole.labelled_units(path) == 3
    path.with_suffix(".answers.sqlite").write_bytes(MINE)
    with caplog.at_level(logging.WARNING):
        landshift.sample(mapped, path, plan=plan, overwrite=True)
    assert path.with_suffix(".answers.sqlite").read_bytes() == MINE
    result = [r.getMessage() for r in caplog.records if "units in" not in r.getMessage()]
    assert result == [
        f"{path} is replaced with the labels of 3 units.",
        f"{path.with_suffix('.csv')} is replaced with the labels of 2 units.",
        f"{path.with_suffix('.answers.sqlite')} holds answers to an earlier sample, and stays; "
        "move it elsewhere.",
    ]
    assert whole.labelled_units(path) == 0


def test_labels_that_another_command_would_replace_are_named_once(
    sample, tmp_path, monkeypatch, capsys, caplog
):
    mapped, path = sample
    job = ["patches", mapped, "-o", path.with_suffix(".csv")]
    code, err = run(monkeypatch, capsys, *job)
    assert (code, "with the labels of 2 units" in err) == (2, True)
    with caplog.at_level(logging.WARNING):
        assert run(monkeypatch, capsys, *job, "--overwrite")[0] == 0
    assert sum("labels of 2 units" in r.getMessage() for r in caplog.records) == 1


@pytest.mark.parametrize(
    ("name", "text", "units"),
    [
        ("s.csv", "unit,before,after\n1,,\n2,a,b\n3,, \n", 1),
        ("s.csv", "\ufeffunit;after\n1;a\n2;b\n", 2),  # as spreadsheets save it
        ("s.csv", "unit\tafter\n1\ta\n", 1),
        ("s.csv", "class,hectares\n1,a\n", 0),
        ("s.csv", "", 0),
        ("s.gpkg", "unit,after\n1,a\n", 0),
        ("s.tif", "unit,after\n1,a\n", 0),
    ],
)
def test_labels_in_files(name, text, units, tmp_path):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert whole.labelled_units(path) == units


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_our_own_pictures_are_replaced_and_others_are_not(suffix, tmp_path):
    from matplotlib.figure import Figure

    out = tmp_path / f"picture{suffix}"
    figures.save(Figure(), out)
    figures.save(Figure(), out)
    Figure().savefig(out)  # as another program would
    before = out.read_bytes()
    with pytest.raises(OutputError, match="must be new"):
        figures.save(Figure(), out)
    assert out.read_bytes() == before
    figures.save(Figure(), out, overwrite=True)
    assert whole.is_marked(out)


def test_our_own_page_is_replaced_and_another_is_not(tmp_path, monkeypatch, capsys):
    write(tmp_path / "map.tif", np.ones((8, 8), np.uint8), nodata=0)
    page = tmp_path / "page.html"
    job = ["report", tmp_path, "-o", page, "--map", tmp_path / "map.tif"]
    assert run(monkeypatch, capsys, *job)[0] == 0
    assert run(monkeypatch, capsys, *job)[0] == 0
    page.write_text("<!doctype html><title>landshift: my notes</title>")
    assert run(monkeypatch, capsys, *job)[0] == 2


def test_a_tile_set_is_replaced_but_not_the_models_in_it(tmp_path):
    values, change = striped_scene(64)
    image = write(tmp_path / "i.tif", values, nodata=0, bands=BANDS)
    labels = write(tmp_path / "l.tif", change, nodata=0)
    folder = tmp_path / "set"
    cut = partial(cut_tiles, classes=ClassScheme.from_mapping(MAPPING))
    options = {"tile_size": 32, "stride": 32}
    first = cut([image], [labels], folder, **options)
    with pytest.raises(ParameterError, match="must be new or empty"):
        cut([image], [labels], folder, tile_size=64, stride=64)
    with pytest.raises(ParameterError, match="both `append` and `overwrite`"):
        cut([image], [labels], folder, append=True, overwrite=True)
    (folder / "models").mkdir()
    with pytest.raises(ParameterError, match="with models in it"):
        cut([image], [labels], folder, tile_size=64, stride=64, overwrite=True)
    (folder / "models").rmdir()
    again = cut([image], [labels], folder, tile_size=64, stride=64, overwrite=True)
    assert (len(first.tiles), len(again.tiles)) == (4, 1)
    assert len(list((folder / "images").glob("*.tif"))) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["i.tif", "l.tif", "set"]


def test_a_model_keeps_its_name_and_its_padding_unless_replaced(tmp_path):
    folder = save_model(tmp_path)
    sums = (folder / "SHA256SUMS").read_bytes()
    with pytest.raises(ParameterError, match="must be new or empty"):
        save_model(tmp_path)
    bundle.keep_padding(folder, 16)
    with pytest.raises(ParameterError, match="got 16 that is noted"):
        bundle.keep_padding(folder, 32)
    bundle.keep_padding(folder, 32, overwrite=True)
    assert bundle.load(folder).model.spec.padding == 32
    package = bundle.load(folder)
    bundle.save(package, folder, overwrite=True)
    assert (folder / "SHA256SUMS").read_bytes() != sums
    (folder / "landshift.json").unlink()
    with pytest.raises(bundle.package.ModelError, match="other files"):
        bundle.save(package, folder, overwrite=True)


def test_a_training_over_an_earlier_one_is_refused_before_it_begins(
    tiles, tmp_path, monkeypatch, capsys
):
    folder = shutil.copytree(tiles, tmp_path / "set")
    model = save_model(folder / "models")
    before = {p: p.read_bytes() for p in model.iterdir()}
    code, err = run(monkeypatch, capsys, "train", folder, "--name", "small", "--epochs", "1")
    assert (code, len(err.splitlines())) == (2, 1), err
    assert "--overwrite" in err
    assert {p: p.read_bytes() for p in model.iterdir()} == before
    data = dataset.prepare(folder, reading=dataset.TrainingTiles(MAPPING, batch_size=8))
    kept = tmp_path / "logs" / training.logs.TABLE
    kept.parent.mkdir()
    kept.write_bytes(MINE)
    with pytest.raises(OutputError, match=r"must be new, got .*training\.csv"):
        training.fit(untrained(), data, training.Training(epochs=1, lr=1e-3, log=kept.parent))
    save_model(folder / "models" / "checkpoints", name="epoch_1")
    with pytest.raises(ParameterError, match=r"got .*epoch_1 with files"):
        training.fit(untrained(), data, training.Training(epochs=2, lr=1e-3, checkpoint="all"))
    assert kept.read_bytes() == MINE


@pytest.mark.skipif(os.name == "nt", reason="processes can't be asked for there")
def test_models_and_tile_sets_are_read_where_a_killed_run_took_their_name(tiles, tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    shutil.copytree(tiles, tmp_path / "set")
    model = save_model(tmp_path)
    for folder, read in (
        (tmp_path / "set", lambda: tileset.read(tmp_path / "set")),
        (model, lambda: bundle.load(model / "small.emd")),
        (model, lambda: bundle.verify(model)),
    ):
        folder.rename(tmp_path / f".{folder.name}.old{gone.pid}")
        read()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["set", "small"]


def test_new_rasters_appear_beside_nothing_of_others(tmp_path):
    """Side files whose raster is gone belong to nobody: said, not taken over."""
    image = write(tmp_path / "image.tif", np.ones((8, 8), np.uint8))
    (tmp_path / "x.tif.aux.xml").write_bytes(MINE)
    with pytest.raises(OutputError, match=r"got .*x.tif.aux.xml that is there"):
        composite([image], tmp_path / "x.tif")
    composite([image], tmp_path / "x.tif", overwrite=True)
    assert not (tmp_path / "x.tif.aux.xml").exists()
