import csv
import json
import re

import numpy as np
import pyogrio
import pyproj
import pytest
import shapely

import commands
import landshift
from landshift.assess.domains import DomainSource
from landshift.assess.estimate import merged_classes
from landshift.assess.files import read_sample
from landshift.assess.others import PointDesign
from landshift.assess.plan import SamplePlan
from landshift.assess.points import PointColumns
from landshift.classes import ClassScheme
from landshift.errors import ClassError, ParameterError, SampleError, VectorError
from landshift.evaluation.points import evaluate_points

LAND = ClassScheme.from_mapping({1: "forest", 2: "rain, snow", 3: "water"})
CORNER, PIXEL = (500_000.0, 4_000_000.0), 30.0  # of `scenes.write`


@pytest.fixture
def class_map(write_raster):
    random = np.random.default_rng(3)
    codes = random.choice(4, (60, 50), p=[0.05, 0.15, 0.2, 0.6]).astype(np.uint8)
    tags = {"LANDSHIFT_CLASSES": json.dumps(LAND.as_list())}
    return write_raster("map.tif", codes, nodata=0, **tags), codes


def drawn(class_map, tmp_path, **plan):
    """A sample that landshift drew, its labels, and the same as others would bring it."""
    path, _ = class_map
    gpkg = tmp_path / "ours.gpkg"
    landshift.sample(path, gpkg, plan=SamplePlan(**plan))
    sample = read_sample(gpkg)
    names = sample.design.classes
    reference = np.where(sample.numbers % 6 == 0, 3, sample.mapped)
    labels = tmp_path / "labels.csv"
    rows = zip(sample.numbers, (names[int(v)] for v in reference), strict=True)
    with labels.open("w", newline="") as file:
        csv.writer(file).writerows([("unit", "after"), *rows])
    x = CORNER[0] + (sample.columns + 0.5) * PIXEL
    y = CORNER[1] - (sample.rows + 0.5) * PIXEL
    columns = {
        "id": sample.numbers, "class": [names[int(v)] for v in reference],
        "map": [names[int(v)] for v in sample.mapped],
    }  # fmt: skip
    return landshift.estimate(gpkg, labels=labels, mapped=path), x, y, columns


def layer(path, x, y, columns, crs="EPSG:32618", driver="GPKG"):
    values = [np.array(v, object if isinstance(v[0], str) else None) for v in columns.values()]
    pyogrio.raw.write(
        path, shapely.to_wkb(shapely.points(x, y)), values, np.array(list(columns), object),
        driver=driver, geometry_type="Point", crs=crs,
    )  # fmt: skip
    return path


def table(path, columns, delimiter=",", encoding="utf-8"):
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def estimated(points, mapped, design, column="class", *, mapped_in=None, strata=None, **options):
    """The estimate from points of others."""
    stratum_column = options.pop("stratum_column", None)
    return landshift.estimate(
        points, mapped=mapped, points=PointColumns(column, map_column=mapped_in),
        drawn=PointDesign(design, strata, stratum_column), **options,
    )  # fmt: skip


def figures(assessment):
    return {
        (c.name, what): getattr(c, what)
        for c in assessment.classes
        for what in ("hectares", "users", "producers")
    } | {"overall": assessment.overall}


@pytest.mark.parametrize("kind", ["stratified", "simple", "systematic"])
def test_points_of_others_give_what_our_own_sample_gives(kind, class_map, tmp_path):
    ours, x, y, columns = drawn(class_map, tmp_path, design=kind, size=150)
    points = layer(tmp_path / "points.gpkg", x, y, columns)
    theirs = estimated(points, class_map[0], kind)
    assert figures(theirs) == figures(ours)
    assert theirs.notes == ours.notes


def test_points_are_read_in_their_own_crs_and_format(class_map, tmp_path):
    ours, x, y, columns = drawn(class_map, tmp_path, size=60)
    way = pyproj.Transformer.from_crs("EPSG:32618", "EPSG:4326", always_xy=True)
    points = layer(
        tmp_path / "p.geojson", *way.transform(x, y), columns, crs="EPSG:4326", driver="GeoJSON"
    )
    theirs = estimated(points, class_map[0], "stratified")
    assert figures(theirs) == figures(ours)


@pytest.mark.parametrize(
    ("delimiter", "encoding"),
    [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-16"), (";", "cp1252")],
)
@pytest.mark.parametrize("written", ["xy", "degrees", "map"])
def test_tables_of_others(delimiter, encoding, written, class_map, tmp_path):
    ours, x, y, columns = drawn(class_map, tmp_path, size=60)
    columns["Bemerkung"] = ["grün"] * 60
    if written == "xy":
        columns |= {"X": [f"{v:.1f}".replace(".", ",") for v in x], "Y": y}
    elif written == "degrees":
        way = pyproj.Transformer.from_crs("EPSG:32618", "EPSG:4326", always_xy=True)
        columns |= dict(zip(("lon", "lat"), way.transform(x, y), strict=True))
    path = table(tmp_path / "p.csv", columns, delimiter, encoding)
    theirs = estimated(path, class_map[0], "stratified", mapped_in="map")
    assert figures(theirs) == figures(ours)


def test_classes_may_be_values_of_the_map(class_map, tmp_path):
    ours, x, y, columns = drawn(class_map, tmp_path, size=60)
    values = {name: value for value, name in LAND.mapping.items()}
    columns["class"] = [float(values[n]) for n in columns["class"]]
    points = layer(tmp_path / "p.gpkg", x, y, columns)
    theirs = estimated(points, class_map[0], "stratified")
    assert figures(theirs) == figures(ours)


def test_strata_of_a_raster_and_of_a_column(class_map, tmp_path, write_raster):
    groups = np.ones((60, 50), np.uint8)
    groups[:, 20:] = 2
    strata = write_raster("strata.tif", groups)
    gpkg = tmp_path / "ours.gpkg"
    landshift.sample(class_map[0], gpkg, plan=SamplePlan(size=200), strata=strata)
    sample = read_sample(gpkg)
    names = sample.design.classes
    labels = tmp_path / "l.csv"
    reference = [names[3 if n % 5 == 0 else int(v)] for n, v in
                 zip(sample.numbers, sample.mapped, strict=True)]  # fmt: skip
    table(labels, {"unit": sample.numbers, "after": reference})
    ours = landshift.estimate(gpkg, labels=labels)
    x = CORNER[0] + (sample.columns + 0.5) * PIXEL
    y = CORNER[1] - (sample.rows + 0.5) * PIXEL
    columns = {
        "class": reference, "map": [names[int(v)] for v in sample.mapped],
        "group": sample.stratum.tolist(),
    }  # fmt: skip
    points = layer(tmp_path / "p.gpkg", x, y, columns)
    theirs = estimated(points, class_map[0], "stratified", strata=strata, stratum_column="group")
    assert figures(theirs) == figures(ours)
    bare = table(tmp_path / "p.csv", columns)
    theirs = estimated(
        bare, class_map[0], "stratified", mapped_in="map", strata=strata, stratum_column="group"
    )
    for name, figure in figures(theirs).items():  # areas are summed in another order
        assert figure.lower == pytest.approx(figures(ours)[name].lower)
        assert figure.upper == pytest.approx(figures(ours)[name].upper)
    with pytest.raises(SampleError, match="Without coordinates the strata need a column"):
        estimated(bare, class_map[0], "stratified", mapped_in="map",
                        strata=strata)  # fmt: skip
    with pytest.raises(SampleError, match=r"stratum of each point .* column 'group' for \d+ of 20"):
        columns["group"] = [3 - g for g in columns["group"]]
        moved = layer(tmp_path / "q.gpkg", x, y, columns)
        estimated(moved, class_map[0], "stratified", strata=strata, stratum_column="group")


def test_points_off_the_map_are_left_out_and_said(class_map, tmp_path):
    path, codes = class_map
    row, column = np.argwhere(codes == 0)[0]
    _, x, y, columns = drawn(class_map, tmp_path, design="simple", size=60)
    x = np.append(x, [CORNER[0] - 1, CORNER[0] + (column + 0.5) * PIXEL])
    y = np.append(y, [CORNER[1], CORNER[1] - (row + 0.5) * PIXEL])
    more = {name: [*values, values[0], values[0]] for name, values in columns.items()}
    points = layer(tmp_path / "p.gpkg", x, y, more)
    assessment = estimated(points, path, "simple")
    assert assessment.units == 60
    assert assessment.notes[0] == (
        "2 of 62 points were left out: each lies outside the map or where it has no class (61, 62)."
    )
    twice = layer(tmp_path / "q.gpkg", x[[0, *range(60)]], y[[0, *range(60)]],
                  {n: [v[0], *v[:60]] for n, v in more.items()})  # fmt: skip
    assessment = estimated(twice, path, "simple")
    assert assessment.notes[0].startswith("1 of 61 points lie in a pixel with another one (1)")


def test_what_does_not_carry_an_estimate_is_refused(class_map, tmp_path):
    path, _ = class_map
    _, x, y, columns = drawn(class_map, tmp_path, size=60)
    points = layer(tmp_path / "p.gpkg", x, y, columns)
    with pytest.raises(SampleError, match=r"got no design for .*p.gpkg; state `design`"):
        estimated(points, path, None)
    with pytest.raises(ParameterError, match=r"`design` must be one of .* got 'purposive'"):
        estimated(points, path, "purposive")
    with pytest.raises(ParameterError, match="Only a stratified design has strata"):
        estimated(points, path, "simple", strata=path)
    with pytest.raises(SampleError, match="columns are id, class, map, got no 'klass'"):
        estimated(points, path, "simple", "klass")
    with pytest.raises(VectorError, match="must exist"):
        estimated(tmp_path / "no.gpkg", path, "simple")
    wrong = dict(columns, **{"class": ["sea", "sea", *columns["class"][2:]]})
    other = layer(tmp_path / "sea.gpkg", x, y, wrong)
    with pytest.raises(ClassError, match=r"among forest, rain, snow, water.* got 'sea' \(2\)"):
        estimated(other, path, "simple")
    gaps = dict(columns, **{"class": ["", *columns["class"][1:]]})
    bare = layer(tmp_path / "gaps.gpkg", x, y, gaps)
    with pytest.raises(SampleError, match=r"\(units 1\) in .*; fill the column"):
        estimated(bare, path, "stratified")
    moved = layer(tmp_path / "far.gpkg", x + 1e6, y, columns)
    with pytest.raises(SampleError, match="got none that do of 60"):
        estimated(moved, path, "simple")
    shifted = dict(columns, map=[*columns["map"][1:], columns["map"][0]])
    unlike = layer(tmp_path / "unlike.gpkg", x, y, shifted)
    with pytest.raises(SampleError, match="class of the map of each point must be that of"):
        estimated(unlike, path, "stratified", mapped_in="map")
    nowhere = table(tmp_path / "n.csv", {"class": columns["class"]})
    with pytest.raises(SampleError, match="got neither"):
        estimated(nowhere, path, "simple")
    text = table(tmp_path / "t.csv", dict(columns, x=["?", *x[1:]], y=y))
    with pytest.raises(SampleError, match=r"must be numbers, got '\?', .* in row 1"):
        estimated(text, path, "simple")
    (tmp_path / "r.csv").write_text("x,y,class\n1,2,forest,dense\n")
    with pytest.raises(SampleError, match="got 4 cells in row 1"):
        estimated(tmp_path / "r.csv", path, "simple")
    squares = tmp_path / "s.gpkg"
    pyogrio.raw.write(
        squares, shapely.to_wkb(shapely.box(x, y, x + 1, y + 1)),
        [np.array(columns["class"], object)], np.array(["class"], object), driver="GPKG",
        geometry_type="Polygon", crs="EPSG:32618",
    )  # fmt: skip
    with pytest.raises(VectorError, match="one point a row, got Polygon"):
        estimated(squares, path, "simple")
    table(tmp_path / "m.csv", columns)
    with pytest.raises(ParameterError, match="Domains need points with coordinates"):
        estimated(
            tmp_path / "m.csv", path, "simple", mapped_in="map",
            domains=DomainSource(squares, "class"),
        )  # fmt: skip


def test_the_commands_take_points(class_map, tmp_path):
    path, _ = class_map
    ours, x, y, columns = drawn(class_map, tmp_path, size=60)
    points = layer(tmp_path / "p.gpkg", x, y, columns)
    done = commands.run(
        "estimate", points, "--map", path, "--reference-column", "class", "--design", "stratified",
        "--merge", 'wet="rain, snow",water', "-o", tmp_path / "e.json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    values = json.loads((tmp_path / "e.json").read_text())
    assert [c["name"] for c in values["classes"]] == ["forest", "wet"]
    assert values["hectares"] == pytest.approx(ours.hectares)
    refused = commands.run("estimate", points, "--reference-column", "class", "--design", "simple")
    assert refused.exit_code == 2
    assert "need --map and no --labels" in refused.stderr
    refused = commands.run("estimate", points, "--map", path, "--design", "simple")
    assert refused.exit_code == 2
    assert "--design is for points" in refused.stderr

    scored = commands.run("evaluate", path, points, "--reference-column", "class")
    assert scored.exit_code == 0, scored.output
    assert "Scores of 60 points" in " ".join(scored.output.split())
    refused = commands.run("evaluate", path, tmp_path / "p.csv")
    assert refused.exit_code == 2
    assert "Points need the column of their classes" in refused.stderr


def test_the_command_names_the_method_beside_the_interval(class_map, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    path, _ = class_map
    _, x, y, columns = drawn(class_map, tmp_path, size=60)
    right = layer(tmp_path / "p.gpkg", x, y, dict(columns, **{"class": columns["map"]}))
    done = commands.run(
        "estimate", right, "--map", path, "--reference-column", "class", "--design", "stratified",
        "--table", tmp_path / "e.csv",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    words = " ".join(done.output.split())
    assert "± 0.0" not in words
    users = re.search(r"forest user's (\d+) 1\.000 - (0\.\d+) 1\.000 Clopper-Pearson", words)
    assert users is not None, words
    left = 1 - int(users[1]) / (class_map[1] == 1).sum()  # of the stratum, not sampled
    assert float(users[2]) == pytest.approx(0.025 ** (left / int(users[1])), abs=6e-4)
    assert "'forest': fewer than 5 units found this class" in words
    assert "units that the map calls 'forest' are right: the sample met no error" in words
    with (tmp_path / "e.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {r["interval by"] for r in rows} == {"Clopper-Pearson"}
    assert {r["standard error"] for r in rows} == {""}
    assert all(float(r["lower"]) < float(r["upper"]) for r in rows)


def test_points_are_counted_one_by_one(class_map, tmp_path):
    path, codes = class_map
    places = [np.argwhere(codes == v)[0] for v in (1, 1, 2, 3, 0)]
    x = np.array([CORNER[0] + (c + 0.5) * PIXEL for _, c in places] + [CORNER[0] - 99])
    y = np.array([CORNER[1] - (r + 0.5) * PIXEL for r, _ in places] + [CORNER[1]])
    labels = ["forest", "water", "rain, snow", "", "water", "water"]
    points = layer(tmp_path / "p.gpkg", x, y, {"class": labels})
    evaluation = evaluate_points(path, points, PointColumns("class"))
    notes = evaluation.notes
    # rows reference, columns map, the last: no class there; one unlabelled, one outside
    assert evaluation.matrix.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 1]]
    assert notes[0].startswith("1 of 6 points lie outside the map (6)")
    assert notes[1].startswith("1 of 6 points have no label (4)")
    assert notes[2].startswith("Scores of 4 points")


@pytest.mark.parametrize(
    ("text", "merged"),
    [
        ("loss=forest->crop,forest->urban", {"loss": ["forest->crop", "forest->urban"]}),
        ('wet="rain, snow",fog', {"wet": ["rain, snow", "fog"]}),
        ('"a=b, c" = d , "e ""f"""', {"a=b, c": ["d", 'e "f"']}),
        ("new=x=1", {"new": ["x=1"]}),
    ],
)
def test_merged_classes_may_hold_commas(text, merged):
    assert merged_classes([text]) == merged


@pytest.mark.parametrize("text", ["loss", "=a", "new=", 'new="a', '"new=a'])
def test_merged_classes_that_are_written_otherwise_are_refused(text):
    with pytest.raises(ParameterError, match="must be written 'new=old,old'"):
        merged_classes([text])


@pytest.mark.parametrize(
    ("delimiter", "encoding"), [(";", "utf-8"), ("\t", "utf-16"), (",", "cp1252")]
)
def test_labels_come_in_any_delimiter_and_encoding(delimiter, encoding, class_map, tmp_path):
    ours, *_ = drawn(class_map, tmp_path, size=30)
    labels = tmp_path / "labels.csv"
    with labels.open(newline="") as file:
        rows = list(csv.reader(file))
    with labels.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows([[*row, "Notiz: grün"] for row in rows])
    again = landshift.estimate(tmp_path / "ours.gpkg", labels=labels)
    assert figures(again) == figures(ours)
    labels.write_bytes(b"unit,after\n1,\x81\xff\n")
    with pytest.raises(SampleError, match=r"UTF-8, UTF-16 or Windows-1252, got .*0x81"):
        landshift.estimate(tmp_path / "ours.gpkg", labels=labels)
