from pathlib import Path

import pytest
from matplotlib.backend_bases import FigureCanvasBase

from commands import run
from landshift.errors import ParameterError
from landshift.files import kinds

KINDS = [k for k in vars(kinds).values() if isinstance(k, kinds.Kind)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.what)
def test_names_of_a_kind_end_in_its_suffixes(kind):
    for suffix in kind.suffixes:
        kind.check(f"a{suffix}", Path(f"b{suffix.upper()}"), None)
    with pytest.raises(ParameterError, match=f"{kind.what} must end in .*, got c.docx; give c"):
        kind.check(f"a{kind.suffixes[0]}", "c.docx")


@pytest.mark.parametrize(
    ("path", "name"),
    [("c.png", "c.tif"), ("c", "c.tif"), ("a/b.txt", "a/b.tif"), ("m.2005", "m.2005.tif")],
)
def test_the_error_says_what_name_fits(path, name):
    with pytest.raises(ParameterError, match=f"end in .tif or .tiff, got {path}; give {name}.$"):
        kinds.RASTER.check(path)


def test_pictures_are_those_that_matplotlib_writes():
    assert {suffix[1:] for suffix in kinds.PICTURE.suffixes} <= set(FigureCanvasBase.filetypes)


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        ("composite a.tif b.tif -o c.png", "c.tif"),
        ("normalise a.tif --like b.tif -o c.png", "c.tif"),
        ("label a.tif b.tif -o c.png", "c.tif"),
        ("label a.tif b.tif -o c.tif --table t.xlsx", "t.csv"),
        ("burn a.gpkg --like b.tif -o c.gpkg --name-column n", "c.tif"),
        ("difference a.tif b.tif -o c.jp2", "c.tif"),
        ("classify a.tif m.dlpk -o c.png", "c.tif"),
        ("polygons a.tif -o c.shp", "c.gpkg"),
        ("patches a.tif -o c.json", "c.csv"),
        ("zonal a.tif z.gpkg --column n -o c.gpkg", "c.csv"),
        ("zonal a.tif z.gpkg --column n -o c.csv --geopackage c.shp", "c.gpkg"),
        ("zonal a.tif z.gpkg --column n -o c.csv --picture c.bmp", "c.png"),
        ("evaluate a.tif b.tif --json c.csv", "c.json"),
        ("sample a.tif -o c.csv --size 50", "c.gpkg"),
        ("estimate a.gpkg -o c.csv", "c.json"),
        ("estimate a.gpkg --table c.json", "c.csv"),
        ("tiles --audit set --pairs c.json", "c.csv"),
        ("view a.tif --map b.tif -o c.tft", "c.png"),
        ("report folder -o x.txt", "x.html"),
        ("stac a.tif -o c.tif", "c.json"),
        ("model stac a.emd -o c.txt", "c.json"),
        ("model export a.emd -o c.pt", "c.onnx"),
    ],
)
def test_the_suffix_of_an_output_is_checked_before_any_work(words, fix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # none of the inputs exists
    ended = run(*words.split())
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Error: The name of ")
    assert ended.stderr.endswith(f"; give {fix}.\n")
    assert not list(tmp_path.iterdir())
