"""The report of a job, from a small one: composite, labels, map, scores, sample, areas."""

import csv
import json
import shutil

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import commands
import landshift
from landshift.assess.plan import SamplePlan
from landshift.classes import ClassScheme
from landshift.classification import classify_pixels
from landshift.errors import ClassError, ParameterError, RasterError
from landshift.evaluation import maps as evaluate
from landshift.pages.report import ReportFiles, report
from landshift.pages.report.folder import folder_page
from landshift.prepare.composite import CompositeOutput, composite
from landshift.prepare.label import label
from pages import browser, read
from scenes import BANDS, MAPPING, write

CLASSES = ClassScheme.from_mapping({1: "crop", 2: "forest"})


@pytest.fixture(scope="module")
def job(scene, saved, tmp_path_factory):
    """A folder with all files of a job, and its source images beside it."""
    folder = tmp_path_factory.mktemp("job") / "job"
    folder.mkdir()
    with rasterio.open(scene[0]) as source:
        values = source.read()
    names = [b.split(":")[1] for b in BANDS[:3]]
    dates = [
        write(folder.parent / f"{year}.tif", part, nodata=0, bands=names)
        for year, part in ((2001, values[:3]), (2016, values[3:]))
    ]
    composite(dates, folder / "composite.tif")
    with rasterio.open(scene[1]) as source:
        change = source.read(1)
    valid = change > 0
    maps = [
        write(folder.parent / f"classes_{year}.tif", codes.astype(np.uint8), nodata=0)
        for year, codes in ((2001, valid * 2), (2016, change))
    ]
    table = label(*maps, folder / "change.tif", classes=CLASSES)
    table.write_csv(folder / "transitions.csv")
    shutil.copytree(saved.parent, folder / "models" / "small")
    model = folder / "models" / "small" / "small.emd"
    mapped = classify_pixels(
        folder / "composite.tif", model, folder / "map.tif", engine="torch", layers=["confidence"]
    )
    scheme = ClassScheme.from_mapping(MAPPING)
    judged = evaluate.evaluate_map(mapped, scene[1], scheme=scheme)
    judged.write_json(folder / "scores.json")
    sample = folder / "sample.gpkg"
    landshift.sample(mapped, sample, plan=SamplePlan(size=60))
    sheet = folder / "sample.csv"
    with sheet.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["after"] = "No change" if int(row["unit"]) % 3 else "to crop"
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    landshift.estimate(sample, labels=sheet, mapped=mapped).write_json(folder / "areas.json")
    return folder


@pytest.fixture(scope="module")
def page(job):
    return read(folder_page(job))


def test_a_report_is_made_from_the_files_of_a_folder(job, page):
    assert [w for w in page.ids if "-" not in w and w not in ("contents", "main", "theme")] == [
        "summary", "limits", "steps", "maps", "flows", "areas", "accuracy", "classes", "confusion",
        "calibration", "baselines", "training", "input",
    ]  # fmt: skip
    assert len([t for t, _ in page.tags if t == "img"]) == 5
    alts = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert alts[2].startswith("The map: map.tif, 256 by 256 pixels, about No change")
    assert alts[4].startswith("Confidence, from lowest to highest: map_confidence.tif")


def test_a_report_lists_the_steps(page):
    for words in (
        "composite.tif stacks the images of before and after on one grid from 2001.tif and 2016",
        "change.tif compares class maps from classes_2001.tif and classes_2016.tif: a changed",
        "Training tiles, 'tiles', were cut from composite.tif and change.tif:",
        "The model small, unet with the encoder resnet18, was trained on them (epochs 6, learning",
        "map.tif was mapped by a model from composite.tif and small.emd, in tiles of",
        "60 units of map.tif were drawn (stratified sample) and labelled",
    ):  # fmt: skip
        assert words in page.text
    assert page.text.index("composite.tif stacks") < page.text.index("map.tif was mapped")
    assert ["map.tif", "classify", "engine", "torch"] in page.tables["record.csv"]


def test_a_report_shows_the_figures_of_its_files(job, page):
    with (job / "transitions.csv").open() as file:
        rows = sorted(csv.reader(file), key=lambda r: -int(r[2]) if r[2].isdigit() else -(10**9))
    assert [r[:3] for r in page.tables["transitions.csv"][1:]] == [r[:3] for r in rows[1:]]
    areas = json.loads((job / "areas.json").read_text())
    first = areas["classes"][0]
    shown = page.tables["areas.csv"][1]
    assert shown[0] == first["name"]
    assert float(shown[1]) == pytest.approx(first["map_hectares"])
    assert float(shown[5]) == pytest.approx(first["hectares"]["lower"])
    assert float(page.tables["area-confusion.csv"][1][1]) == pytest.approx(
        100 * areas["confusion"]["shares"][0][0]
    )
    overall = areas["overall"]
    uneven = f"{overall['value']:.3f} ({overall['lower']:.3f} to {overall['upper']:.3f})"
    even = f"{overall['value']:.3f} ± {overall['margin']:.3f}"
    assert (uneven if overall["method"] == "Clopper-Pearson" else even) in page.text
    scores = json.loads((job / "scores.json").read_text())
    assert page.tables["confusion-matrix.csv"][1][1] == str(scores["confusion"]["counts"][0][0])


def test_a_report_names_the_method_of_uneven_intervals(job, tmp_path):
    def shown(figures):
        areas = json.loads((job / "areas.json").read_text())
        copy = shutil.copytree(job, tmp_path / "job", dirs_exist_ok=True)
        for c in areas["classes"]:
            c["hectares"] = figures
        (copy / "areas.json").write_text(json.dumps(areas))
        page = read(folder_page(copy))
        return page, dict(zip(*page.tables["areas.csv"][:2], strict=True))

    exact = {
        "value": 37.6, "error": None, "margin": 1098.3, "lower": 31.6, "upper": 2199.3,
        "method": "Clopper-Pearson",
    }  # fmt: skip
    page, row = shown(exact)
    assert (row["interval by"], row["±"], row["standard error, ha"]) == ("Clopper-Pearson", "", "")
    assert (float(row["from"]), float(row["to"])) == (31.6, 2199.3)
    assert "38 (32 to 2,199)" in page.text
    assert "38 (32 to 2,199) ha" in page.text  # at a glance
    assert "38 ± " not in page.text
    # files from before methods were named hold normal intervals
    page, row = shown({"value": 37.6, "error": 5.1, "margin": 10, "lower": 27.6, "upper": 47.6})
    assert (row["interval by"], float(row["±"])) == ("normal", 10)
    page, row = shown(None)
    assert row["estimate, ha"] == row["interval by"] == ""


def test_many_notes_of_intervals_are_counted_and_not_all_listed(job, tmp_path):
    areas = json.loads((job / "areas.json").read_text())
    areas["notes"] = ["A simple sample.", *(f"class {k}: interval by X." for k in range(9))]
    copy = shutil.copytree(job, tmp_path / "job")
    (copy / "areas.json").write_text(json.dumps(areas))
    text = read(folder_page(copy)).text
    assert "A simple sample." in text
    assert [f"class {k}: interval by X." in text for k in range(9)] == [True] * 6 + [False] * 3
    assert "3 more notes of this kind" in text


def test_a_report_warns_of_clouds_and_of_files_that_changed(job, page, tmp_path):
    assert "2.3% of the pixels aren't valid on every date (clouds" in page.text
    assert "isn't the file" not in page.text
    copy = shutil.copytree(job, tmp_path / "job")
    with (copy / "composite.tif").open("ab") as file:
        file.write(b"more")
    assert "composite.tif isn't the file that map.tif was made from" in read(folder_page(copy)).text


def test_the_same_files_give_the_same_page(job, tmp_path):
    first = report(job, tmp_path / "a.html").read_bytes()
    assert report(job, tmp_path / "b.html").read_bytes() == first
    assert b"\r" not in first


def test_a_report_names_missing_files(job, tmp_path):
    shutil.copy(job / "change.tif", tmp_path)
    page = read(folder_page(tmp_path))
    for line in (
        "Missing: image of before, image of after, confidence",
        "The table of transitions is missing",
        "Areas with intervals are missing", "Scores are missing", "The model is missing",
        "counts of the map's pixels",
    ):  # fmt: skip
        assert line in page.text


def test_files_can_be_given(job, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    files = ReportFiles(
        map=job / "map.tif", before=job.parent / "2001.tif", after=job.parent / "2016.tif",
        scores=job / "scores.json",
    )  # fmt: skip
    page = read(folder_page(folder, files))
    assert "Before, true colour" in page.text
    assert "confusion-matrix.csv" in page.tables
    with pytest.raises(ParameterError, match=r"`areas` must exist, got nowhere\.json"):
        folder_page(folder, ReportFiles(areas=folder.__class__("nowhere.json")))
    with pytest.raises(ParameterError, match=r"got none in .*empty"):
        folder_page(folder)
    with pytest.raises(ParameterError, match="needs the folder of a job"):
        folder_page(tmp_path / "nowhere")


def test_paths_may_be_texts(job, tmp_path):
    out = report(str(job), str(tmp_path / "report.html"), files=ReportFiles(map=f"{job}/map.tif"))
    assert out == tmp_path / "report.html"
    assert out.read_text(encoding="utf-8") == folder_page(job)


def test_of_two_maps_the_assessed_one_is_shown_or_both_are_refused(job, tmp_path):
    copy = shutil.copytree(job, tmp_path / "job")
    with rasterio.open(job / "map.tif") as source:
        profile, tags, values = source.profile, source.tags(), source.read()
    with rasterio.open(copy / "other.tif", "w", **profile) as target:
        target.write(values[:, ::-1])
        target.update_tags(**tags)
    assert "Change map map.tif" in read(folder_page(copy)).text  # the one that was assessed
    (copy / "areas.json").unlink()
    with pytest.raises(ParameterError, match=r"must be the map, got .*map.tif, .*`map`"):
        folder_page(copy)


def test_hostile_files_do_no_harm(job, tmp_path):
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    scheme = ClassScheme.from_mapping({1: evil, 2: "No change"})
    record = {
        "stage": "label", "software": evil, "inputs": [{"name": evil, "fingerprint": "0"}, 7],
        "parameters": {evil: evil, "smooth": evil, "images": [evil]},
        "checks": {"valid": evil, "shifts": {evil: {"large": True, "columns": evil}}, "dates": 3},
    }  # fmt: skip
    write(
        tmp_path / f"{evil[:8]}&.tif", np.ones((4, 4), np.uint8), nodata=0,
        LANDSHIFT_CLASSES=json.dumps(scheme.as_list()), LANDSHIFT_PROVENANCE=json.dumps(record),
    )  # fmt: skip
    row = f'"{evil}","=cmd|x",3,1.5,100'
    (tmp_path / "t.csv").write_text(f"from,to,pixels,hectares,percent\n{row}\n")
    html = folder_page(tmp_path)
    page = read(html)
    assert html.count("<script") == 1
    assert page.text.count(evil) >= 4
    assert page.tables["transitions.csv"][1][:2] == [evil, "'=cmd|x"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("scores.json", '{"classes": 1}', "List should be|Input should be a valid"),
        ("areas.json", '{"map": "x"}', "must be as landshift writes it"),
        ("scores.json", "[" * 100, "must be whole JSON|nested"),
        ("scores.json", '{"a": NaN}', "no finite number"),
        ("transitions.csv", "a,b\n1,2\n", "first line isn't from,to"),
        ("transitions.csv", "from,to,pixels,hectares,percent\na,b,-3,1,1\n", "pixels"),
        ("transitions.csv", "from,to,pixels,hectares,percent\na,b,3\n", "expected 5"),
        ("transitions.csv", "from,to,pixels,hectares,percent\na,b,3,nan,1\n", "Nan|NaN|finite"),
    ],
)
def test_damaged_files_are_refused(job, tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    files = ReportFiles(map=job / "change.tif", **{name.split(".")[0]: path})
    with pytest.raises(ParameterError, match=message):
        folder_page(tmp_path, files)


def test_a_damaged_model_costs_only_its_sections(job, tmp_path):
    copy = shutil.copytree(job, tmp_path / "job")
    (copy / "models" / "small" / "small.safetensors").write_bytes(b"no weights")
    page = read(folder_page(copy))
    assert "The model isn't shown:" in page.text
    assert "training-table.csv" not in page.tables


def test_a_raster_that_cannot_be_shown_is_refused(job, tmp_path):
    (tmp_path / "m.tif").write_bytes(b"no raster")
    with pytest.raises(RasterError, match="must be readable"):
        folder_page(tmp_path, ReportFiles(map=tmp_path / "m.tif"))
    none = write(tmp_path / "n.tif", np.zeros((4, 4), np.uint8), nodata=0)
    with pytest.raises(ClassError, match="must hold a class"):
        folder_page(tmp_path, ReportFiles(map=none))
    with pytest.raises(ClassError, match="must have one band, got 6 in"):
        folder_page(tmp_path, ReportFiles(map=job / "composite.tif"))


def test_the_first_and_the_last_date_of_a_composite_are_shown(job, tmp_path):
    dates = [job.parent / f"{year}.tif" for year in (2001, 2016)]
    stack = composite(dates, tmp_path / "c.tif", output=CompositeOutput(names=["2001", "2016"]))
    page = read(folder_page(tmp_path, ReportFiles(map=job / "map.tif")))
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == 4
    assert sources[0] != sources[1]
    apart = read(
        folder_page(tmp_path, ReportFiles(map=job / "map.tif", before=dates[0], after=stack))
    )
    assert sources[:2] == [attributes["src"] for tag, attributes in apart.tags if tag == "img"][:2]


def test_many_classes_and_no_crs_are_shown(tmp_path):
    codes = np.arange(400, dtype=np.uint16).reshape(20, 20)
    codes[:4] = 300
    mapped = write(tmp_path / "m.tif", codes, nodata=0, crs=None)
    page = read(folder_page(tmp_path, ReportFiles(map=mapped)))
    assert "and 226 more" in page.text
    assert "scale and north are unknown" in page.text


def test_report_on_the_command_line(job, tmp_path):
    out = tmp_path / "report.html"
    ended = commands.run("report", str(job), "-o", str(out))
    assert (ended.exit_code, ended.output.strip()) == (0, str(out))
    assert out.stat().st_size > 50_000


def test_a_browser_shows_and_prints_a_report(job, tmp_path):
    path = report(job, tmp_path / "report.html")
    with browser() as program:
        for scheme, width in (("light", 375), ("dark", 1280)):
            context = program.new_context(
                viewport={"width": width, "height": 800}, color_scheme=scheme,
                java_script_enabled=scheme == "light",
            )  # fmt: skip
            page = context.new_page()
            messages = []
            page.on("console", lambda message, messages=messages: messages.append(message.text))
            page.on("request", lambda request, messages=messages: messages.append(request.url))
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.evaluate(
                "[...document.images].every(image => image.complete && image.naturalWidth > 0)"
            )
            outside = [s for s in messages if not s.startswith(("data:", path.as_uri()))]
            assert outside == []
        assert page.pdf(path=tmp_path / "report.pdf", format="A4").startswith(b"%PDF")


@pytest.mark.slow
def test_a_report_of_a_large_map_is_small(tmp_path):
    size = 10_000
    random = np.random.default_rng(0)
    tags = {"stage": "label", "inputs": [], "parameters": {}}
    profile = {
        "driver": "GTiff", "height": size, "width": size, "crs": "EPSG:32618", "nodata": 0,
        "transform": from_origin(500_000, 4_000_000, 30, 30), "tiled": True, "compress": "deflate",
        "zlevel": 1, "blockxsize": 512, "blockysize": 512,
    }  # fmt: skip
    noise = random.integers(1, 8, (size, size), np.uint8)  # nothing compresses worse
    with rasterio.open(tmp_path / "m.tif", "w", dtype="uint8", count=1, **profile) as target:
        target.write(noise, 1)
        target.update_tags(LANDSHIFT_PROVENANCE=json.dumps(tags))
    image = tmp_path / "i.tif"
    with rasterio.open(image, "w", dtype="uint8", count=3, **profile) as target:
        for band in (1, 2, 3):
            target.write(noise * 30, band)
        target.build_overviews([2, 4, 8])
    files = ReportFiles(
        before=image, after=image, reference=tmp_path / "m.tif", confidence=tmp_path / "m.tif"
    )
    out = report(tmp_path, tmp_path / "report.html", files=files)
    assert out.stat().st_size < 6_000_000
