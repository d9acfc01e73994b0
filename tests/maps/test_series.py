"""`landshift series`: folders, tables, options, awkward input."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio

import landshift
from commands import run
from landshift.classes import ClassScheme, legend
from landshift.errors import (
    BandError,
    ClassError,
    DateError,
    GridError,
    ParameterError,
    RasterError,
)
from landshift.maps import intensity, series_folder

MATO_GROSSO = Path(__file__).parents[3] / "shared" / "data" / "mato_grosso_lulc"
YEARS = (2001, 2002, 2003, 2004, 2005)


def write(path, values, *, crs="EPSG:32721", nodata=0, **more):
    """A class map of 30 m."""
    values = np.asarray(values, np.uint8)
    profile = {
        "driver": "GTiff", "height": values.shape[0], "width": values.shape[1], "count": 1,
        "dtype": "uint8", "crs": crs, "nodata": nodata,
        "transform": rasterio.Affine(30, 0, 500_000, 0, -30, 9_000_000), **more,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as target:
        target.write(values, 1)
    return path


@pytest.fixture
def maps(tmp_path):
    """Five maps of one row: a pixel for each kind of trajectory."""
    kinds = ["11111", "11122", "11211", "11113", "12121", "10022", "00000"]
    columns = np.array([[int(c) for c in kind] for kind in kinds])
    return [write(tmp_path / f"map_{y}.tif", [columns[:, k]]) for k, y in enumerate(YEARS)]


def pixels(folder, name):
    with rasterio.open(folder / f"{name}.tif") as source:
        return source.read(1)[0].tolist()


def table(folder, name):
    with (folder / "tables" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_raster_by_hand(maps, tmp_path):
    out = tmp_path / "out"
    result = landshift.series(maps, out)
    no, unknown = 5, 6
    assert pixels(out, "period") == [no, 3, no, unknown, unknown, unknown, 0]
    assert pixels(out, "year") == [0, 2004, 0, 0, 0, 0, 0]
    assert pixels(out, "start") == [0, 2003, 0, 0, 0, 0, 0]
    assert pixels(out, "before") == [1, 1, 1, 1, 0, 2, 0]
    assert pixels(out, "after") == [1, 2, 1, 1, 0, 2, 0]
    assert pixels(out, "changes") == [0, 1, 2, 1, 4, 1, 255]
    assert pixels(out, "lasting") == [0, 1, 0, 0, 0, 0, 255]
    assert pixels(out, "flicker") == [1, 1, 2, 1, 2, 1, 0]
    assert result.summary["with a class"] == (6, pytest.approx(6 * 0.09, rel=1e-3))
    assert result.summary["not known"][0] == 3
    codes = pixels(out, "trajectory")
    assert codes[-1] == 0
    assert sorted(codes[:-1]) == [1, 2, 3, 4, 5, 6]
    names = {int(r["code"]): r["trajectory"] for r in table(out, "trajectories")}
    assert names[codes[1]] == "2001 class 1 > 2004 class 2"
    assert names[codes[5]] == "2001 class 1 > 2002 none > 2004 class 2"


def test_the_folder_is_read_back(maps, tmp_path):
    landshift.series(maps, tmp_path / "out")
    about = series_folder.read(tmp_path / "out")
    assert about.periods[0] == "2001 to 2002"
    assert about.map_paths() == tuple(path.absolute() for path in maps)
    assert about.scheme.values == (1, 2, 3)
    with rasterio.open(about.raster("period")) as source:
        assert json.loads(source.tags()["LANDSHIFT_PROVENANCE"])["stage"] == "series"


@pytest.mark.parametrize(
    "change",
    [{"format": 2}, {"maps": ["a.tif"]}, {"dates": ["x"]}, {"classes": 3},
     {"cleaned": True, "maps": ["../x.tif"] * 5}],
)  # fmt: skip
def test_a_damaged_folder_is_refused(change, maps, tmp_path):
    landshift.series(maps, tmp_path / "out")
    path = tmp_path / "out" / "series.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ParameterError, match="as `landshift series` wrote it"):
        series_folder.read(tmp_path / "out")
    with pytest.raises(ParameterError, match=r"without series\.json"):
        series_folder.read(tmp_path)


def test_dates_come_from_options(maps, tmp_path):
    landshift.series(maps, tmp_path / "out", dates="1990,1995,2000,2005,2010")
    assert pixels(tmp_path / "out", "year")[1] == 2005
    rates = [r for r in table(tmp_path / "out", "intensity") if r["level"] == "interval"]
    assert [r["period"] for r in rates][:2] == ["1990 to 1995", "1995 to 2000"]


def test_rules_and_recoding(maps, tmp_path):
    lasting = landshift.LastingChange(forbid=["2->1"], least=["3=2"], sustained_dates=1)
    result = landshift.series(
        maps, tmp_path / "out", lasting=lasting, recode={1: "a", 2: "b", 3: "c"}
    )
    assert pixels(tmp_path / "out", "period")[2] == 2  # b stays, since b->a can't be
    assert result.scheme.names == ("a", "b", "c")
    about = series_folder.read(tmp_path / "out")
    assert [p.name for p in about.map_paths()] == [f"{y}.tif" for y in YEARS]
    assert pixels(tmp_path / "out" / "maps", "2005") == [1, 2, 2, 3, 2, 2, 0]


def test_made_consistent(maps, tmp_path):
    majority = landshift.Consistency(consistent="majority")
    landshift.series(maps, tmp_path / "majority", consistency=majority)
    assert pixels(tmp_path / "majority/maps", "2003") == [1, 1, 1, 1, 2, 0, 0]
    codes = pixels(tmp_path / "majority", "trajectory")
    names = {r["code"]: r["trajectory"] for r in table(tmp_path / "majority", "trajectories")}
    assert [names.get(str(code)) for code in codes[:2]] == [
        "2001 class 1", "2001 class 1 > 2004 class 2",
    ]  # fmt: skip
    assert codes[0] == codes[2] != codes[3]
    markov = landshift.Consistency(consistent="markov", accuracy="0.8")
    result = landshift.series(maps, tmp_path / "markov", consistency=markov)
    assert result.mean_log_likelihood == ()
    assert pixels(tmp_path / "markov/maps", "2003")[2] == 1
    sure = pixels(tmp_path / "markov", "confidence")
    assert sure[-1] == 255
    assert all(0 <= v <= 100 for v in sure[:-1])
    assert float(table(tmp_path / "markov", "probabilities")[0]["class 1"]) == 0.95


def test_transitions_are_estimated_from_a_confusion(maps, tmp_path):
    matrix = tmp_path / "matrix.csv"
    matrix.write_text("true,class 1,class 2,class 3\n1,8,1,1\n2,1,8,1\n3,1,1,8\n")
    markov = landshift.Consistency(consistent="markov", confusion=[matrix])
    result = landshift.series(maps, tmp_path / "out", consistency=markov)
    assert len(result.mean_log_likelihood) > 1
    rows = [[float(v) for k, v in r.items() if k != "from"] for r in
            table(tmp_path / "out", "probabilities")]  # fmt: skip
    np.testing.assert_allclose(np.sum(rows, axis=1), 1)
    assert rows[0][1] > 0.05


def test_matrices_come_from_files(maps, tmp_path):
    matrix = tmp_path / "matrix.csv"
    matrix.write_text("true,class 1,class 2,class 3\nclass 2,5,90,5\nclass 1,95,5,0\n3,0,0,1\n")
    markov = landshift.Consistency(consistent="markov", confusion=[matrix], transitions=matrix)
    landshift.series(maps, tmp_path / "out", consistency=markov)
    assert float(table(tmp_path / "out", "probabilities")[0]["class 1"]) == 0.95
    matrix.write_text("true,class 1\nclass 1,1\n")
    with pytest.raises(ParameterError, match="a number from 0 up for each pair of 3 classes"):
        landshift.series(maps, tmp_path / "other", consistency=markov)
    matrix.write_text("true,class 9\nclass 1,1\n")
    with pytest.raises(ParameterError, match=r"A matrix must be a CSV .* got 'A class must be"):
        landshift.series(maps, tmp_path / "other", consistency=markov)


def shares(folder, maps, sure, *, names=("class 1", "class 2", "class 3"), scale=None):
    """Probabilities of three classes, in per cent: `sure` for the class of the map."""
    paths = []
    for path in maps:
        with rasterio.open(path) as source:
            values, profile = source.read(1), source.profile
        bands = [np.where(values == k, sure, (100 - sure) // 2) for k in (1, 2, 3)]
        paths.append(folder / f"shares_{path.stem}.tif")
        with rasterio.open(paths[-1], "w", **profile | {"count": 3, "nodata": 255}) as target:
            target.write(np.stack(bands).astype(np.uint8))
            target.descriptions = names
            if scale is not None:
                target.scales = [scale] * 3
    return paths


def test_probabilities_of_each_date(maps, tmp_path):
    """As an accuracy does, where they say the same of each class; and bands go by their names."""
    swapped = shares(tmp_path, maps, 80, names=("class 2", "class 1", "class 3"))
    wrong = landshift.Consistency(consistent="markov", probabilities=swapped)
    landshift.series(maps, tmp_path / "wrong", consistency=wrong)
    assert pixels(tmp_path / "wrong/maps", "2003")[0] == 2
    moves = tmp_path / "moves.csv"
    moves.write_text("from,class 1,class 2,class 3\n1,90,5,5\n2,5,90,5\n3,5,5,90\n")
    markov = landshift.Consistency(
        consistent="markov", probabilities=shares(tmp_path, maps, 80), transitions=moves, fill=True
    )
    result = landshift.series(maps, tmp_path / "out", consistency=markov)
    cleaned = [pixels(tmp_path / "out/maps", y) for y in YEARS]
    assert [row[0] for row in cleaned] == [1, 1, 1, 1, 1]
    assert [row[1] for row in cleaned] == [1, 1, 1, 2, 2]
    assert [row[2] for row in cleaned] == [1, 1, 1, 1, 1]
    assert all(row[5] in (1, 2) for row in cleaned)  # two dates without a class are filled
    assert [row[6] for row in cleaned] == [0] * 5
    assert result.summary["with a class"][0] == 6
    with rasterio.open(tmp_path / "out/confidence.tif") as source:
        sure = source.read()
        assert source.descriptions == tuple(map(str, YEARS))
    assert (sure[:, 0, 6] == 255).all()
    assert (sure[:, 0, 0] > 80).all()
    assert (sure[:, 0, 5] <= 100).all()  # of dates that say nothing, too


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"count": 4}, ParameterError, "a raster for each of 5 maps, got 4"),
        ({"names": ("class 1", "b", "c")}, BandError, "named as the classes, .* got class 1, b"),
        ({"scale": 0.1}, RasterError, "must lie between 0 and 1"),
    ],
)
def test_probabilities_are_checked(change, error, message, maps, tmp_path):
    count = change.pop("count", 5)
    paths = shares(tmp_path, maps, 80, **change)[:count]
    markov = landshift.Consistency(consistent="markov", probabilities=paths)
    with pytest.raises(error, match=message):
        landshift.series(maps, tmp_path / "out", consistency=markov)
    assert not (tmp_path / "out").exists()


def test_forbidden_changes_are_none_of_the_model(maps, tmp_path):
    markov = landshift.Consistency(consistent="markov", accuracy="0.8", states="date")
    lasting = landshift.LastingChange(forbid=["1->2"])
    landshift.series(maps, tmp_path / "out", consistency=markov, lasting=lasting)
    rows = table(tmp_path / "out", "probabilities")
    assert float(rows[0]["class 2"]) == 0
    assert float(rows[1]["class 1"]) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accuracy": "0.8"}, "belong to a Markov model, got `consistent` no"),
        ({"consistent": "majority", "states": "date"}, "belong to a Markov model"),
        ({"fill": True}, "`fill` takes classes from other dates, got `consistent` no"),
        ({"consistent": "markov", "accuracy": [0.8], "probabilities": ["a.tif"]}, "got both"),
        ({"consistent": "median"}, "must be one of no, majority, markov"),
        ({"consistent": "markov", "states": "all"}, "must be one of path, date"),
    ],
)
def test_options_that_contradict_each_other(options, message):
    with pytest.raises(ParameterError, match=message):
        landshift.Consistency(**options)


def test_intensity_by_hand():
    """A region of 100; the numbers by Aldwaik and Pontius' equations."""
    areas = np.array([[[40, 10], [0, 50]], [[40, 0], [20, 40]]], float)
    rows = intensity.rows(areas, [1, 2], ["a", "b"], ["forest", "farm"])
    at = {(r["level"], r["period"], r["class"], r["to"]): r for r in rows}
    assert at["interval", "a", "", ""]["intensity"] == 10
    assert at["interval", "b", "", ""] == {
        "level": "interval", "period": "b", "class": "", "to": "", "intensity": 10, "uniform": 10,
    }  # fmt: skip
    assert at["loss", "a", "forest", ""]["intensity"] == 20
    assert at["gain", "a", "farm", ""]["intensity"] == pytest.approx(100 * 10 / 60, abs=1e-6)
    assert at["gain", "b", "forest", ""]["intensity"] == pytest.approx(100 * 20 / 60 / 2, abs=1e-6)
    to_farm = at["transition", "a", "forest", "farm"]
    assert (to_farm["intensity"], to_farm["uniform"]) == (20, 20)


# ---- Real maps, beside plain numpy


@pytest.fixture(scope="module")
def mato_grosso(tmp_path_factory):
    """The series of 17 maps, and the maps as an array."""
    paths = sorted(MATO_GROSSO.glob("*.tif"))
    if not paths:
        pytest.skip("the maps of Mato Grosso aren't here")
    out = tmp_path_factory.mktemp("mt") / "out"
    result = landshift.series(paths, out)
    values = []
    for path in paths:
        with rasterio.open(path) as source:
            values.append(source.read(1))
    return result, np.stack(values), out


def test_tables_of_real_maps_are_those_of_numpy(mato_grosso):
    result, values, out = mato_grosso
    scheme, none = result.scheme, 15
    flows = table(out, "transitions")
    for k, period in enumerate(result.periods):
        a, b = values[k], values[k + 1]
        both = (a != none) & (b != none)
        pairs, counts = np.unique(np.stack([a[both], b[both]]), axis=1, return_counts=True)
        names = scheme.mapping
        expected = {
            (names[i], names[j]): n for (i, j), n in zip(pairs.T.tolist(), counts, strict=True)
        }
        rows = {(r["from"], r["to"]): int(r["pixels"]) for r in flows if r["period"] == period}
        assert rows == expected
    for row in table(out, "classes"):
        k = int(row["date"]) - 2001
        value = next(v for v, n in scheme.mapping.items() if n == row["class"])
        assert int(row["pixels"]) == (values[k] == value).sum()
    area = result.transitions[0].sum() / (values[0] != none).sum()
    for k in range(16):
        changed = ((values[k] != values[k + 1]) & (values[k] != none)).sum()
        flow = result.transitions[k]
        assert flow.sum() - np.trace(flow) == pytest.approx(changed * area, rel=1e-4)


def test_rasters_of_real_maps_are_those_of_numpy(mato_grosso):
    """Numbers of changes, and the lasting class of pixels that never change."""
    result, values, out = mato_grosso
    classed = values[0] != 15
    with rasterio.open(out / "changes.tif") as source:
        changes = source.read(1)
    assert (changes[classed] == (values[1:] != values[:-1]).sum(axis=0)[classed]).all()
    constant = classed & (values == values[0]).all(axis=0)
    with rasterio.open(out / "before.tif") as source:
        assert (source.read(1)[constant] == values[0][constant]).all()
    assert result.summary["never changed"][0] == constant.sum()
    with rasterio.open(out / "trajectory.tif") as source:
        codes = source.read(1)
    common = table(out, "trajectories")
    assert len(common) == 200
    rows, counts = np.unique(values[:, classed].T, axis=0, return_counts=True)
    assert [int(r["pixels"]) for r in common] == sorted(counts.tolist(), reverse=True)[:200]
    for code in (1, 50, 200):
        assert (codes == code).sum() == int(common[code - 1]["pixels"])
        assert len(np.unique(values[:, codes == code].T, axis=0)) == 1
    assert len(rows) > 200
    assert (codes == 201).sum() == sum(sorted(counts.tolist(), reverse=True)[200:])


def test_blocks_do_not_matter(mato_grosso, tmp_path, monkeypatch):
    from landshift.maps import series_stack

    result, _, out = mato_grosso
    monkeypatch.setattr(series_stack, "_BLOCK", 160)
    other = landshift.series(sorted(MATO_GROSSO.glob("*.tif")), tmp_path / "out")
    np.testing.assert_allclose(other.transitions, result.transitions)
    for path in sorted(out.glob("*.tif")):
        with rasterio.open(path) as a, rasterio.open(tmp_path / "out" / path.name) as b:
            assert (a.read() == b.read()).all(), path.name


# ---- Awkward input


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dates": "2001,2002,2004,2003,2005"}, DateError, "in order of time, got 2003"),
        ({"dates": "2001,2002,2002,2003,2005"}, DateError, "in order of time, got 2002"),
        ({"dates": "2001,2002"}, ParameterError, "Dates must be 5"),
        ({"lasting": landshift.LastingChange(sustained_dates=0)}, ParameterError, "1 or more"),
        (
            {"lasting": landshift.LastingChange(forbid=["1-2"])},
            ParameterError,
            "written 'from->to'",
        ),
        ({"lasting": landshift.LastingChange(forbid=["1->9"])}, ClassError, "got '9'"),
        ({"lasting": landshift.LastingChange(least=["1"])}, ParameterError, "CLASS=DATES"),
        (
            {"consistency": landshift.Consistency(consistent="markov")},
            ParameterError,
            "must know how right the maps are",
        ),
        (
            {"consistency": landshift.Consistency(consistent="majority", window=2)},
            ParameterError,
            "odd number",
        ),
        ({"classes": None, "nodata": 1}, None, None),
    ],
)
def test_options_are_checked_before_anything_is_written(options, error, message, maps, tmp_path):
    out = tmp_path / "out"
    if error is None:
        landshift.series(maps, out, **options)
        assert pixels(out, "changes")[0] == 255
        return
    with pytest.raises(error, match=message):
        landshift.series(maps, out, **options)
    assert not out.exists()


def test_maps_must_be_three_of_one_grid_with_dates(maps, tmp_path):
    with pytest.raises(ParameterError, match="3 to 200 maps, got 2"):
        landshift.series(maps[:2], tmp_path / "out")
    with pytest.raises(ParameterError, match="3 to 200 maps, got 1"):
        landshift.series(maps[:1], tmp_path / "out")
    wide = write(tmp_path / "wide_2006.tif", [[1] * 9])
    with pytest.raises(GridError, match="Maps of a series must share a grid"):
        landshift.series([*maps, wide], tmp_path / "out")
    undated = write(tmp_path / "undated.tif", [[1] * 7])
    with pytest.raises(DateError, match=r"must have a date, got none .*undated\.tif"):
        landshift.series([*maps, undated], tmp_path / "out")


def test_a_map_that_lacks_a_class_and_one_of_nodata_alone(maps, tmp_path):
    empty = write(tmp_path / "map_2006.tif", [[0] * 7])
    result = landshift.series([*maps, empty], tmp_path / "out")
    assert pixels(tmp_path / "out", "period")[1] == 3
    assert result.transitions[-1].sum() == 0
    assert "confidence.tif" not in {p.name for p in result.files}
    nothing = [write(tmp_path / f"none_{y}.tif", [[0] * 7]) for y in YEARS]
    with pytest.raises(ClassError, match="must hold classes, got only nodata"):
        landshift.series(nothing, tmp_path / "none")


def test_legends_that_disagree_are_refused(maps, tmp_path):
    names = {1: "forest", 2: "water"}, {1: "water", 2: "forest"}
    for path, each in zip(maps, names, strict=False):
        with rasterio.open(path, "r+") as source:
            listed = ClassScheme.from_mapping(each).as_list()
            source.update_tags(**{legend.TAG: json.dumps(listed)})
    with pytest.raises(ClassError, match="must agree on their classes, got 'forest' and 'water'"):
        landshift.series(maps, tmp_path / "out")


def test_without_a_crs_pixels_are_counted(tmp_path):
    maps = [write(tmp_path / f"m_{y}.tif", [[1, 1 + (y > 2002)]], crs=None) for y in YEARS]
    result = landshift.series(maps, tmp_path / "out")
    assert result.transitions[1].tolist() == [[1, 1], [0, 0]]


def test_a_folder_of_the_users_is_not_replaced(maps, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(ParameterError, match="must be new or empty"):
        landshift.series(maps, out)
    with pytest.raises(ParameterError, match="must not hold an input"):
        landshift.series(maps, tmp_path, overwrite=True)
    landshift.series(maps, out, overwrite=True)
    assert not (out / "mine.txt").exists()


def test_killed_and_run_again_gives_the_same_bytes(mato_grosso, tmp_path):
    _, _, whole = mato_grosso
    out = tmp_path / "out"
    command = [
        sys.executable, "-c", "from landshift.cli import main; main()", "series",
        *map(str, sorted(MATO_GROSSO.glob("*.tif"))), "-o", str(out),
    ]  # fmt: skip
    for seconds in (1.5, 2.5):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*command, "--overwrite"], check=True, capture_output=True)
    for path in sorted(p for p in whole.rglob("*") if p.suffix in (".tif", ".csv")):
        assert path.read_bytes() == (out / path.relative_to(whole)).read_bytes(), path.name
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_on_the_command_line(maps, tmp_path):
    ended = run("series", *maps, "-o", tmp_path / "out", "--sustained-dates", 1)
    assert ended.exit_code == 0
    assert "with a lasting change" in ended.stdout
    ended = run("series", *maps, "-o", tmp_path / "out")
    assert ended.exit_code == 2
    assert "--overwrite" in ended.stderr


def test_made_consistent_on_the_command_line(maps, tmp_path):
    words = ("--consistent", "markov", "--accuracy", "0.8,0.8,0.7,0.8,0.8", "--fill")
    ended = run("series", *maps, "-o", tmp_path / "out", *words, "--states", "date")
    assert ended.exit_code == 0, ended.stderr
    with rasterio.open(tmp_path / "out/maps/2003.tif") as source:
        stated = json.loads(source.tags()["LANDSHIFT_PROVENANCE"])["parameters"]
    assert (stated["consistent"], stated["fill"], stated["states"]) == ("markov", True, "date")
    ended = run("series", *maps, "-o", tmp_path / "other", "--consistent", "markov")
    assert ended.exit_code == 2
    assert "--accuracy, --confusion or --probabilities" in " ".join(ended.stderr.split())
