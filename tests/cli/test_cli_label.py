"""The commands that make labels: label, burn, difference."""

import csv
import json
import sys

import numpy as np
import pytest
import rasterio

from landshift.cli import main


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments):
        """Exit code, standard output and standard error of a command."""
        monkeypatch.setattr(sys, "argv", ["landshift", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run_command


def read(path):
    with rasterio.open(path) as source:
        return source.read(1)


def test_label_with_every_option(run, write_raster, tmp_path):
    random = np.random.default_rng(0)
    for name in "beal":
        values = np.kron(random.integers(1, 4, (8, 8)), np.ones((4, 4))).astype(np.uint8)
        write_raster(f"{name}.tif", values)
    (tmp_path / "a.csv").write_text("1,forest\n2,crop\n3,town\n")
    (tmp_path / "m.csv").write_text("1,forest\n2,crop\n3,3\n")
    code, out, err = run(
        "label", "b.tif", "a.tif", "-o", "c.tif", "--classes", "a.csv", "--coding", "from-to",
        "--keep", "changed", "--from", "forest", "--from", "3", "--to", "crop", "--forbid",
        "town->*", "--resampling", "nearest", "--nodata", "9", "--recode-before", "m.csv",
        "--recode-after", "m.csv", "--smooth", "3", "--min-hectares", "0.5", "--neighbours", "4",
        "--agree-before", "e.tif", "--agree-after", "l.tif", "--unconfirmed", "nodata", "--table",
        "t.csv", "--class-table", "k.csv", "--bounds", "500000", "3999100", "500900", "4000000",
    )  # fmt: skip
    assert code == 0, err
    assert "of the forbidden town->forest are nodata" in out
    assert "removed by the cleaning" in out
    assert "left out by the filter" in out
    assert read("c.tif").shape == (30, 30)
    assert set(np.unique(read("c.tif"))) <= {0, 2}
    rows = list(csv.DictReader((tmp_path / "k.csv").read_text().splitlines()))
    assert [r["class"] for r in rows] == ["forest", "crop", "town"]
    assert (tmp_path / "c.qml").exists()


def test_a_wrong_option_is_one_line(run, write_raster):
    write_raster("b.tif", np.ones((2, 2), np.uint8))
    code, _, err = run("label", "b.tif", "b.tif", "-o", "c.tif", "--forbid", "forest")
    assert code == 2
    assert err.startswith("Error: A transition must be written")
    assert err.count("\n") == 1


def test_difference_prints_classes_or_statistics(run, write_raster):
    write_raster("b.tif", np.array([[1, 1, 1, 9]], np.uint8))
    write_raster("a.tif", np.array([[1, 2, 1, 1]], np.uint8))
    code, out, err = run("difference", "b.tif", "a.tif", "-o", "d.tif")
    assert code == 0, err
    assert "-8" in out
    code, out, err = run(
        "difference", "b.tif", "a.tif", "-o", "d.tif", "--overwrite", "--threshold", "otsu"
    )
    assert code == 0, err
    assert "Change from" in out
    assert read("d.tif").tolist() == [[3, 3, 3, 1]]
    code, out, err = run(
        "difference", "b.tif", "a.tif", "-o", "d.tif", "--overwrite", "--threshold", "much"
    )
    assert code == 2
    assert "a number or 'otsu'" in err
    code, out, err = run(
        "difference", "b.tif", "a.tif", "-o", "d.tif", "--overwrite", "--band", "1",
        "--breaks", "0.5", "--breaks", "3", "--method", "euclidean",
    )  # fmt: skip
    assert code == 0, err
    assert read("d.tif").tolist() == [[1, 2, 1, 3]]


def test_polygons_become_labels(run, write_raster, tmp_path):
    write_raster("like.tif", np.ones((2, 2), np.uint8))
    ring = [[500000, 4000000], [500030, 4000000], [500030, 3999970], [500000, 4000000]]
    collection = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32618"}},
        "features": [
            {
                "type": "Feature",
                "properties": {"kind": kind},
                "geometry": {"type": "Polygon", "coordinates": [ring]},
            }
            for kind in ("forest", None)
        ],
    }
    (tmp_path / "p.geojson").write_text(json.dumps(collection))
    code, out, err = run(
        "burn", "p.geojson", "--like", "like.tif", "-o", "l.tif", "--name-column", "kind",
        "--all-touched",
    )  # fmt: skip
    assert code == 0, err
    assert "1 polygons have no class" in out
    assert read("l.tif")[0, 0] == 1
