"""Outputs on a disk that is nearly full: complete, or one line and no leftovers."""

import os
import sqlite3
import stat
import sys
from contextlib import closing

import numpy as np
import pyogrio
import pytest
import shapely
import torch

from landshift import bundle, training
from landshift.cli import main
from landshift.dataset import TrainingTiles, prepare
from landshift.errors import OutputError
from landshift.models import ChangeModel
from landshift.training import Training
from packages import save as save_model
from packages import untrained
from scenes import MAPPING, write


def run(monkeypatch, capsys, *arguments):
    """Exit code and standard error of a command."""
    monkeypatch.setattr(sys, "argv", ["landshift", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0, capsys.readouterr().err


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A class map of many patches, and many zones."""
    folder = tmp_path_factory.mktemp("place")
    values = np.random.default_rng(0).integers(1, 4, (60, 60)).astype(np.uint8)
    write(folder / "map.tif", values, nodata=0)
    (folder / "classes.csv").write_text("value,name\n1,to crop\n2,to forest\n3,No change\n")
    steps = np.arange(0.0, 1800, 60)
    left, bottom = (a.ravel() for a in np.meshgrid(500_000 + steps, 3_998_200 + steps))
    zones = shapely.box(left, bottom, left + 60, bottom + 60)
    pyogrio.raw.write(
        folder / "zones.gpkg", shapely.to_wkb(zones), [np.arange(zones.size).astype(str)],
        np.array(["name"], object), driver="GPKG", geometry_type="Polygon", crs="EPSG:32618",
    )  # fmt: skip
    return folder


def features(path):
    """Features of a file, each of them read, and those in the index of a GeoPackage."""
    layer = pyogrio.list_layers(path)[0][0]
    count = len(pyogrio.read_bounds(path, layer=layer)[0])
    if path.suffix != ".gpkg":
        return count, count
    with closing(sqlite3.connect(path)) as base:
        return count, base.execute(f"SELECT count(*) FROM rtree_{layer}_geom").fetchone()[0]


JOBS = {
    "polygons.gpkg": ("polygons", "map.tif", "--classes", "classes.csv", "-o"),
    "polygons.fgb": ("polygons", "map.tif", "--classes", "classes.csv", "-o"),
    "polygons.parquet": ("polygons", "map.tif", "--classes", "classes.csv", "-o"),
    "sample.gpkg": ("sample", "map.tif", "--size", "400", "-o"),
    "zones.gpkg": (
        "zonal", "map.tif", "zones.gpkg", "--column", "name", "-o", "{}.csv", "--geopackage",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", JOBS)
def test_vector_files_are_whole_or_an_error(name, place, disk, tmp_path, monkeypatch, capsys):
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    monkeypatch.chdir(place)

    def job(out):
        arguments = [a.format(tmp_path / out.parent.name) for a in JOBS[name]]
        return run(monkeypatch, capsys, *arguments, out)

    (tmp_path / "large").mkdir()
    code, err = job(tmp_path / "large" / name)
    assert code == 0, err
    size = sum(p.stat().st_size for p in (tmp_path / "large").iterdir()) / 1024
    expected = None if name.endswith(".parquet") else features(tmp_path / "large" / name)
    codes = []
    for share in (0.4, 0.97, 1.1, 1.3, 3):
        folder = disk(int(size * share) // 4 * 4 + 4)
        code, err = job(folder / name)
        codes.append(code)
        assert "Traceback" not in err
        if code:
            assert (code, len(err.splitlines())) == (2, 1), err
            assert "make room" in err
            assert not [p.name for p in folder.iterdir() if p.name != "sample.csv"]
        elif expected is not None:
            assert features(folder / name) == expected
    assert (codes[0], codes[-1]) == (2, 0)


def test_a_model_that_finds_no_room_leaves_the_one_before(disk, tmp_path):
    size = sum(p.stat().st_size for p in save_model(tmp_path).iterdir()) // 1024
    for share in (0.2, 0.5, 0.8, 1.5):  # in the weights, in the zip, in the next model
        folder = disk(int(size * share) + 8)
        if share > 1:
            save_model(folder)
        before = {p.name: p.read_bytes() for p in folder.glob("small/*")}
        with pytest.raises(OutputError, match=r"must be writable, got '.*(space|No space)"):
            bundle.save(bundle.Package("small", untrained()), folder / "small", overwrite=True)
        assert {p.name: p.read_bytes() for p in folder.glob("small/*")} == before
        assert [p.name for p in folder.iterdir()] == (["small"] if before else [])


def test_a_training_on_a_full_disk_continues_later(tiles, disk, tmp_path):
    data = prepare(tiles, reading=TrainingTiles(MAPPING, batch_size=8))
    options = Training(epochs=3, lr=2e-3, precision="32-true", checkpoint=False)

    def fresh():
        return ChangeModel("pspnet", data.spec, data.scheme, backbone="test_resnet")

    whole = fresh()
    expected = training.fit(whole, data, options, resume=tmp_path / "state.pt")
    size = (tmp_path / "state.pt").stat().st_size // 1024
    folder = disk(int(1.5 * size))  # room for one state, none for the next beside it
    with pytest.raises(OutputError, match=r"state of the training must be writable.*is kept"):
        training.fit(fresh(), data, options, resume=folder / "state.pt")
    assert [p.name for p in folder.iterdir()] == ["state.pt"]
    (tmp_path / "kept.pt").write_bytes((folder / "state.pt").read_bytes())
    taken_up = fresh()
    table = training.fit(taken_up, data, options, resume=tmp_path / "kept.pt")
    assert [row.valid_loss for row in table] == [row.valid_loss for row in expected]
    for one, other in zip(taken_up.parameters(), whole.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.skipif(os.name == "nt", reason="there are no modes there")
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_all_files_of_a_model_have_the_mode_that_the_umask_gives(umask, tmp_path):
    before = os.umask(umask)
    try:
        folder = save_model(tmp_path)
        bundle.keep_padding(folder, 16)
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()}
    assert modes == dict.fromkeys(modes, 0o666 & ~umask)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o777 & ~umask
