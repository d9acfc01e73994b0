import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import commands
from landshift import __version__
from landshift.cli import main
from scenes import BANDS, striped_scene, write


def run(monkeypatch, capsys, *arguments):
    """Exit code, standard output and standard error of a command."""
    monkeypatch.setattr(sys, "argv", ["landshift", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    return ended.value.code or 0, printed.out, printed.err


def test_files_of_a_date_are_resampled_each_in_its_own_way(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    values = np.arange(400, dtype=np.uint16).reshape(20, 20) + 1
    for name in "ab":
        write(tmp_path / f"{name}.tif", values, bands=[name], origin=(500_010.0, 4_000_000.0))
    write(tmp_path / "like.tif", values)
    job = ["composite", "a.tif,b.tif", "--like", "like.tif", "-o", "c.tif", "--overwrite"]
    job.append("--resampling")
    assert run(monkeypatch, capsys, *job, "nearest+-")[0] == 0
    assert run(monkeypatch, capsys, *job, "nearest")[0] == 0
    code, _, err = run(monkeypatch, capsys, *job, "nearest+mode+-")
    assert (code, "one for each of 2 files, got 3" in err) == (2, True)
    code, _, err = run(monkeypatch, capsys, *job, "nearest+best")
    assert (code, "must be one of nearest, bilinear" in err) == (2, True)


def test_the_chain_as_seven_commands(tmp_path, monkeypatch, capsys):
    random = np.random.default_rng(0)
    values, change = striped_scene(192)
    before = random.integers(1, 3, (192, 192)).astype(np.uint8)
    after = np.where(change == 1, 3 - before, before).astype(np.uint8)
    for name, image, classes in (("1", values[:3], before), ("2", values[3:], after)):
        bands = [b.split(":")[1] for b in BANDS[:3]]
        write(tmp_path / f"image{name}.tif", image, nodata=0, bands=bands)
        write(tmp_path / f"classes{name}.tif", classes, nodata=0)
    (tmp_path / "classes.csv").write_text("1,forest\n2,crop\n")
    monkeypatch.chdir(tmp_path)

    def ok(*arguments):
        code, out, err = run(monkeypatch, capsys, *arguments)
        assert code == 0, err
        return out

    assert "c.tif" in ok("composite", "image1.tif", "image2.tif", "-o", "c.tif")
    out = ok(
        "label", "classes1.tif", "classes2.tif", "-o", "change.tif", "--table", "t.csv",
        "--classes", "classes.csv",
    )  # fmt: skip
    assert "of the classed pixels changed" in out
    assert "tiles" in ok(
        "tiles", "c.tif", "change.tif", "-o", "set", "--tile-size", "64", "--stride", "64"
    )
    out = ok(
        "train", "set", "--epochs", "1", "--lr", "0.001", "--backbone", "resnet18",
        "--no-pretrained", "--name", "m",
    )  # fmt: skip
    assert out.strip().endswith("set/models/m/m.emd")
    out = ok(
        "evaluate", "set/models/m/m.emd", "set", "--json", "s.json", "--figures", "pictures",
    )  # fmt: skip
    for row in ("all no change", "linear discriminant", "random forest", "calibrated"):
        assert row in out
    assert (tmp_path / "pictures" / "reliability.png").stat().st_size > 10_000
    ok(
        "classify",
        "c.tif",
        "set/models/m/m.dlpk",
        "-o",
        "map.tif",
        "--padding",
        "16",
        "--tile-size",
        "64",
    )
    ok("evaluate", "map.tif", "change.tif", "-o", "whole.json")
    ok(
        "view",
        "image1.tif",
        "image2.tif",
        "--map",
        "map.tif",
        "--reference",
        "change.tif",
        "-o",
        "v.png",
    )
    validation = json.loads((tmp_path / "s.json").read_text())["scores"]["pixels"]
    assert 0 < validation < json.loads((tmp_path / "whole.json").read_text())["scores"]["pixels"]
    assert (tmp_path / "v.png").stat().st_size > 10_000
    assert (tmp_path / "t.csv").read_text().startswith("from,to,pixels")


def test_two_class_maps_are_scored_against_a_from_to_map(tmp_path, monkeypatch, capsys):
    random = np.random.default_rng(0)
    for k in (1, 2):
        write(tmp_path / f"c{k}.tif", random.integers(1, 3, (30, 30)).astype(np.uint8))
    (tmp_path / "classes.csv").write_text("1,forest\n2,crop\n")
    monkeypatch.chdir(tmp_path)
    classes = ("--classes", "classes.csv")
    run(monkeypatch, capsys, "label", "c1.tif", "c2.tif", "-o", "r.tif", "--coding", "from-to",
        *classes)  # fmt: skip
    maps = ("--before-map", "c1.tif", "--after-map", "c2.tif")
    code, out, err = run(monkeypatch, capsys, "evaluate", "r.tif", *maps, *classes)
    assert code == 0, err
    assert "forest->crop" in out
    first = [line.split()[0] for line in out.splitlines() if line.strip()]
    start = first.index("pooled")
    assert first[start : start + 4] == ["pooled"] * 2 + ["from-to"] * 2
    assert "post-classification" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("r.tif",), "A map or two class maps must be given to be judged"),
        (("r.tif", "--before-map", "a.tif"), "give both --before-map and --after-map"),
        (("a.tif", "b.tif", "c.tif"), "what is judged and its reference, got 3 paths"),
        (("m.emd", "s.zip", "--coding", "to"), "are for rasters"),
    ],
)
def test_evaluate_refuses(arguments, message, monkeypatch, capsys):
    code, _, err = run(monkeypatch, capsys, "evaluate", *arguments)
    assert (code, message in err) == (2, True)


def test_an_error_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, "composite", tmp_path / "none.tif", "-o", "x.tif")
    assert code == 2
    assert out == ""
    assert err.startswith("Error: The raster must exist, got ")
    assert err.count("\n") == 1


def test_rasters_that_are_no_pairs_are_refused(tmp_path, monkeypatch, capsys):
    code, _, err = run(monkeypatch, capsys, "tiles", "a.tif", "-o", tmp_path / "set")
    assert (code, "pairs of composite and change map" in err) == (2, True)


@pytest.mark.parametrize(
    "command",
    [
        "composite",
        "label",
        "tiles",
        "train",
        "evaluate",
        "classify",
        "view",
        "sample",
        "estimate",
        "simulate",
        "demo",
    ],
)
def test_every_command_says_what_it_does(command):
    result = commands.run(command, "--help")
    assert result.exit_code == 0
    assert "--out" in result.output or command == "train"


def test_the_version_is_the_packages():
    assert commands.run("--version").output == f"landshift {__version__}\n"


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom landshift.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as e:\n    assert e.code == 0\n"
        "heavy = {'torch', 'rasterio', 'odc', 'lightning_fabric', 'matplotlib'}\n"
        "heavy |= {'sklearn', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


def test_the_package_loads_nothing_heavy():
    code = (
        "import sys, landshift, landshift.prepare.label, landshift.prepare.composite\n"
        "import landshift.tileset\n"
        "print('torch' in sys.modules, 'rasterio' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False False"


def test_tiles_take_sizes_by_axis_and_are_audited(scene, tmp_path, monkeypatch, capsys):
    (tmp_path / "classes.csv").write_text("1,changed\n2,No change\n")
    classes = ("--classes", tmp_path / "classes.csv")
    made = tmp_path / "set"
    code, out, err = run(
        monkeypatch, capsys, "tiles", *scene, "-o", made, "--tile-size", "128x64", "--stride",
        "64x32", *classes,
    )  # fmt: skip
    assert code == 0, err
    assert "21 tiles" in out  # 3 columns of them, 7 rows
    code, out, err = run(monkeypatch, capsys, "tiles", "--audit", made, "--pairs",
                         tmp_path / "pairs.csv")  # fmt: skip
    assert code == 0, err
    assert "21 tiles, 56 pairs share ground; tiles that hang together: 21" in out
    assert "random split: 19 training, 2 validation" in out
    assert "leak: 0000000" in out
    assert "split by ground: " in out
    assert "0 leaking pairs" in out.split("split by ground")[1]
    assert len((tmp_path / "pairs.csv").read_text().splitlines()) == 1 + 56


def test_tiles_say_what_they_give_to_learn_from(tmp_path, monkeypatch, capsys, caplog):
    random = np.random.default_rng(0)
    classes = random.integers(1, 3, (2, 200, 240)).astype(np.uint8)
    classes[1, 20:23, 20:26] = 3
    paths = [write(tmp_path / f"{k}.tif", m, nodata=0) for k, m in enumerate(classes)]
    image = write(tmp_path / "c.tif", random.integers(1, 99, (6, 200, 240)).astype(np.uint8),
                  nodata=0, bands=BANDS)  # fmt: skip
    (tmp_path / "classes.csv").write_text("1,forest\n2,crop\n3,town\n4,mine\n")
    monkeypatch.chdir(tmp_path)
    code, _, err = run(
        monkeypatch, capsys, "label", *paths, "-o", "change.tif", "--classes", "classes.csv"
    )
    assert code == 0, err
    code, out, err = run(monkeypatch, capsys, "tiles", image, "change.tif", "-o", "set")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == (
        "42 tiles of 64 x 64 pixels (larger ones would be fewer than 100), stride 32"
    )
    assert lines[1] == "class maps before and after: forest, crop, town, mine"
    assert re.fullmatch(
        r"training: \d\d tiles, 8\d% of the ground, [234] steps an epoch \(batches of 8\)", lines[2]
    )
    assert re.fullmatch(r"validation: [3-6] tiles, 1\d% of the ground; \d+ dropped .*", lines[3])
    assert lines[4:] == ["classes without a labelled pixel: to mine", "set"]
    assert "set: fewer than 500 labelled pixels in training: to town (1" in caplog.text
    assert all(len(line) <= 80 for line in lines)
    code, out, err = run(
        monkeypatch, capsys, "tiles", image, "change.tif", "-o", "two", "--tile-size", "128x96",
        "--no-class-maps",
    )  # fmt: skip
    assert code == 0, err
    assert out.startswith("12 tiles of 128 x 96 pixels, stride 64x48\n")
    assert "class maps" not in out
    assert "cut smaller tiles (`tile_size` 64, `stride` 32), or add pairs" in caplog.text
    code, out, err = run(
        monkeypatch, capsys, "tiles", image, "change.tif", "-o", "one", "--tile-size", "200",
    )  # fmt: skip
    assert code == 0, err
    assert out.splitlines()[-1] == "one"
    assert "A split by ground needs two tiles apart from each other" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.tif", "b.tif"), "needs a folder, got none"),
        (("--audit", "set", "-o", "x"), "reads a set that exists"),
        (("--pairs", "p.csv"), "got it alone; give the set to look at"),
        (
            ("a.tif", "b.tif", "-o", "x", "--stride", "64y"),
            "must be a number of pixels or columns x rows, got '64y'",
        ),
        (("--audit", "nowhere"), "The tile set must exist, got nowhere"),
    ],
)
def test_tiles_refuses(arguments, message, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(monkeypatch, capsys, "tiles", *arguments)
    assert code == 2
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_a_map_is_sampled_and_estimated_from(tmp_path, monkeypatch, capsys):
    codes = np.repeat(np.array([[1, 2, 2, 2]], np.uint8), 40, axis=0).repeat(10, axis=1)
    write(tmp_path / "map.tif", codes, nodata=0)
    (tmp_path / "classes.csv").write_text("1,forest\n2,crop\n")
    monkeypatch.chdir(tmp_path)
    code, out, err = run(
        monkeypatch, capsys, "sample", "map.tif", "-o", "s.gpkg", "--standard-error", "0.02",
        "--allocation", "neyman", "--expect", "0.9", "--expect", "forest=0.7", "--classes",
        "classes.csv",
    )  # fmt: skip
    assert code == 0, err
    assert "Expected standard error: 0.0" in out
    assert out.split()[-2:] == ["s.gpkg", "s.csv"]
    rows = [line.split(",") for line in (tmp_path / "s.csv").read_text().splitlines()]
    at = rows[0].index("after")
    for number, row in enumerate(rows[1:]):
        row[at] = "forest" if number % 3 == 0 else "crop"
    (tmp_path / "labels.csv").write_text("\n".join(",".join(r) for r in rows))
    code, out, err = run(
        monkeypatch, capsys, "estimate", "s.gpkg", "--labels", "labels.csv", "--map", "map.tif",
        "--table", "t.csv", "-o", "e.json",
    )  # fmt: skip
    assert code == 0, err
    assert "95% intervals. Stratified random sampling" in out
    assert out.split()[-2:] == ["t.csv", "e.json"]
    assert json.loads((tmp_path / "e.json").read_text())["classes"][0]["name"] == "forest"
    code, out, err = run(monkeypatch, capsys, "estimate", "map.tif")
    assert (code, out) == (2, "")
    assert "pixels counted in a map have no interval" in err
    for arguments, message in (
        (("estimate", "s.gpkg", "--merge", "a"), "must be written 'new=old,old'"),
        (("estimate", "s.gpkg", "--domains", "p.gpkg"), "Domains need their polygons and"),
        (("sample", "map.tif", "-o", "x.gpkg", "--expect", "a=b"), "must be 'stratum=0.7'"),
    ):
        code, _, err = run(monkeypatch, capsys, *arguments)
        assert (code, message in err) == (2, True), err


def alone(*arguments, before="", **environment):
    """What the command line writes on standard error, in a process of its own."""
    code = f"from landshift.cli import main\n{before}\nmain()"
    found = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True,
        env=os.environ | environment, check=False,
    )  # fmt: skip
    return found.returncode, found.stderr


def test_no_line_of_gdal_comes_before_ours(tmp_path):
    values = np.random.default_rng(0).integers(0, 60_000, (2, 512, 512), np.uint16)
    path = write(tmp_path / "i.tif", values)
    small = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))"
    out = tmp_path / "c.tif"
    code, err = alone("composite", path, path, "-o", out, before=small)
    assert (code, err.count("\n")) == (2, 1), err
    assert err.startswith("Error: The output must be writable, got '")
    code, err = alone("composite", path, path, "-o", out, before=small, CPL_DEBUG="OFF")
    assert (code, err.splitlines()[0]) == (2, "_tiffWriteProc: File too large.")
    junk = tmp_path / "junk.gpkg"
    junk.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 16)
    code, err = alone("burn", junk, "--like", path, "-o", out, "--name-column", "class")
    assert (code, err.count("\n")) == (2, 1), err
    assert err.startswith("Error: The vector file must be readable, got ")


def test_a_crash_says_where_the_program_was(tmp_path):
    module = "landshift.prepare.label"
    crash = f"import os, {module}\n{module}.PairRules = lambda *_: os.abort()"
    maps = [write(tmp_path / f"{n}.tif", np.ones((3, 3), np.uint8)) for n in "ab"]
    code, err = alone("label", *maps, "-o", tmp_path / "c.tif", before=crash)
    assert code == -6
    assert err.startswith("Fatal Python error: Aborted")
