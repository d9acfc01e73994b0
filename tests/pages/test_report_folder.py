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
from landshift import grid, raster
from landshift.assess.plan import SamplePlan
from landshift.classes import ClassScheme
from landshift.classification import classify_pixels
from landshift.errors import BandError, ClassError, ParameterError, RasterError
from landshift.evaluation import maps as evaluate
from landshift.machine import progress
from landshift.pages.report import ReportFiles, counts, report
from landshift.pages.report.folder import folder_page
from landshift.prepare.composite import CompositeOutput, composite
from landshift.prepare.label import label
from pages import browser, read
from scenes import BANDS, MAPPING, write
from watching import Steps

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


def sections(page):
    """Names of a page's sections, in order."""
    return [attributes["id"] for tag, attributes in page.tags if tag == "section"]


def part_of(page, title, next_title):
    """The words of a section, from its heading to that of the next one."""
    words = [w for w in page.words if w]
    after = words[len(words) - words[::-1].index(title) :]  # the contents list it before
    return " ".join(after[: after.index(next_title)])


def made_job(folder, mapped, reference):
    """A folder with a model's map and its scores against a reference."""
    tags = {
        "LANDSHIFT_CLASSES": json.dumps(CHANGES.as_list()),
        "LANDSHIFT_PROVENANCE": json.dumps({"stage": "classify", "layer": "class", "inputs": []}),
    }
    path = write(folder / "map.tif", mapped, nodata=0, **tags)
    truth = write(folder.parent / "reference.tif", reference, nodata=0)
    judged = evaluate.evaluate_map(path, truth, scheme=CHANGES)
    judged.write_json(folder / "scores.json")
    return folder


CHANGES = ClassScheme.from_mapping({1: "to crop", 2: "to water", 3: "No change"})


def test_a_report_is_made_from_the_files_of_a_folder(job, page):
    assert sections(page) == [
        "summary", "verdict", "maps", "flows", "areas", "accuracy", "classes", "baselines",
        "confusion", "limits", "steps", "training", "input",
    ]  # fmt: skip
    assert len([t for t, _ in page.tags if t == "img"]) == 5
    alts = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert alts[0].startswith("The map: map.tif, 256 by 256 pixels, about No change")
    assert alts[4].startswith("Confidence, from lowest to highest: map_confidence.tif")


def test_a_report_lists_the_steps(page):
    for words in (
        "composite.tif stacks the images of before and after on one grid from 2001.tif and 2016",
        "change.tif compares class maps from classes_2001.tif and classes_2016.tif: a changed",
        "Training tiles, 'tiles', were cut from composite.tif and change.tif:",
        "The model small, unet over resnet18, was trained on them (epochs 6, learning",
        "map.tif was mapped by a model from composite.tif and small.emd, in tiles of",
        "60 units of map.tif were drawn (stratified sample) and labelled",
    ):  # fmt: skip
        assert words in page.text
    assert page.text.index("composite.tif stacks") < page.text.index("map.tif was mapped")
    assert ["map.tif", "classify", "engine", "torch"] in page.tables["record.csv"]


def test_a_report_shows_the_figures_of_its_files(job, page):
    with (job / "transitions.csv").open() as file:
        rows = sorted(csv.reader(file), key=lambda r: -int(r[2]) if r[2].isdigit() else -(10**9))
    changed = [[r[0], r[1], r[2]] for r in rows[1:] if r[0] != r[1]]
    assert [[r[0], r[1], r[5]] for r in page.tables["transitions.csv"][1:]] == changed
    assert sum(float(r[3]) for r in page.tables["transitions.csv"][1:]) == pytest.approx(100)
    stayed = [[r[0], r[2]] for r in rows[1:] if r[0] == r[1]]
    assert [[r[0], r[3]] for r in page.tables["unchanged.csv"][1:]] == stayed
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
    unchanged = next(c["hectares"] for c in areas["classes"] if c["name"] == "No change")
    changed = 1 - unchanged["value"] / areas["hectares"]
    assert f"Changed {changed:.1%}" in part_of(page, "At a glance", "How it went")
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
    assert "38 ha the largest of the changes, 32 to 2,199 ha" in page.text  # at a glance
    assert "38 ± " not in page.text
    # files from before methods were named hold normal intervals
    page, row = shown({"value": 37.6, "error": 5.1, "margin": 10, "lower": 27.6, "upper": 47.6})
    assert (row["interval by"], float(row["±"])) == ("normal", 10)
    page, row = shown(None)
    assert row["estimate, ha"] == row["interval by"] == ""


def test_notes_of_intervals_are_folded_and_limits_name_them_once(job, tmp_path):
    areas = json.loads((job / "areas.json").read_text())
    areas["notes"] = ["A simple sample.", *(f"class {k}: interval by X." for k in range(9))]
    copy = shutil.copytree(job, tmp_path / "job")
    (copy / "areas.json").write_text(json.dumps(areas))
    page = read(folder_page(copy))
    assert "Notes on single intervals (9)" in page.text
    assert page.text.count("interval by X.") == 9
    limits = part_of(page, "Limits", "What was done")
    assert "A simple sample." in limits
    assert "interval by X" not in limits
    assert "the notes below the areas name them" in limits


def test_a_glance_counts_the_map_and_not_what_it_was_trained_on(job, tmp_path):
    (tmp_path / "job").mkdir()
    mapped = np.full((10, 10), 3, np.uint8)
    mapped[:2], mapped[2], mapped[9] = 1, 2, 0  # 20, 10 and 60 of 90 pixels of 0.09 ha
    folder = made_job(tmp_path / "job", mapped, mapped)
    shutil.copy(job / "transitions.csv", folder)
    page = read(folder_page(folder))
    glance = part_of(page, "At a glance", "Maps")
    assert "Changed in the map 33.3% 3 ha, counted" in glance
    assert "to crop 2 ha 22.2% of the map, counted" in glance
    assert "to water 1 ha 11.1% of the map, counted" in glance
    assert "Accuracy 1.000 against the reference; no change everywhere: 0.667" in glance
    assert "10 x 10 pixels of 30 x 30 m around 36.143° N, 74.998° W; 8 hectares have" in page.text
    assert "not in its map" in part_of(page, "Transitions between the class maps", "How it went")


def test_the_transitions_of_a_map_of_pairs_are_its_own(tmp_path):
    scheme = ClassScheme.from_mapping({1: "forest->water", 2: "crop->forest", 3: "crop->crop"})
    values = np.full((10, 10), 3, np.uint8)
    values[:3], values[3] = 1, 2
    mapped = write(
        tmp_path / "m.tif", values, nodata=0, LANDSHIFT_CLASSES=json.dumps(scheme.as_list())
    )
    (tmp_path / "t.csv").write_text("from,to,pixels,hectares,percent\na,b,3,0.27,100\n")
    page = read(folder_page(tmp_path, ReportFiles(map=mapped)))
    shown = [row[:2] + row[5:] for row in page.tables["transitions.csv"][1:]]
    assert shown == [["forest", "water", "30"], ["crop", "forest", "10"]]
    assert page.tables["unchanged.csv"][1][::3] == ["crop", "60"]
    assert "Counted in the map's pixels" in page.text


@pytest.mark.parametrize("kind", [np.uint8, np.int16])
def test_counts_do_not_depend_on_blocks(kind, tmp_path):
    values = np.random.default_rng(0).integers(0, 5, (1100, 1030)).astype(kind)
    mapped = write(tmp_path / "m.tif", values, nodata=0, crs="EPSG:4326", origin=(10, 60),
                   pixel=0.001)  # fmt: skip
    counted = counts.count(mapped)
    hectares = grid.ground(raster.info(mapped).grid).hectares(grid.Window(0, 0, 1100, 1030))
    assert counted.nothing == (values == 0).sum()
    for c in counted.classes:
        own = values == int(c.name.removeprefix("class "))
        assert (c.pixels, c.hectares) == (own.sum(), pytest.approx(hectares[own].sum(), rel=1e-8))


def test_a_glance_without_areas_on_the_ground_counts_pixels(tmp_path):
    mapped = write(tmp_path / "m.tif", np.full((4, 4), 7, np.uint8), nodata=0, crs=None)
    page = read(folder_page(tmp_path, ReportFiles(map=mapped)))
    assert "class 7 16 pixels 100.0% of the map, counted" in page.text


def test_areas_of_another_map_are_not_at_a_glance(job, tmp_path):
    copy = shutil.copytree(job, tmp_path / "job")
    areas = json.loads((job / "areas.json").read_text())
    areas["map_sha256"] = "0" * 64
    (copy / "areas.json").write_text(json.dumps(areas))
    page = read(folder_page(copy))
    assert "Changed in the map" in part_of(page, "At a glance", "How it went")
    assert "are those of another file than map.tif" in part_of(page, "Limits", "What was done")


def test_the_page_of_a_useless_map_says_so_before_the_map(tmp_path):
    (tmp_path / "job").mkdir()
    reference = np.full((50, 50), 3, np.uint8)
    reference[:10], reference[10:15] = 1, 2
    page = read(folder_page(made_job(tmp_path / "job", np.full((50, 50), 1, np.uint8), reference)))
    assert sections(page)[:3] == ["summary", "verdict", "maps"]
    assert "Changed in the map 100.0%" in part_of(page, "At a glance", "How it went")
    verdict = part_of(page, "How it went", "Maps")
    assert verdict.startswith("This map should not be used.")
    for words in (
        "100.0% of the map is 'to crop', but 20.0% of the reference",
        "Worse than no change on accuracy (0.200 against 0.700)",
        "Never mapped, though in the reference: No change (1,750) and to water (250).",
        "Try next: Train for longer ( --epochs of landshift train ), and check that the image",
    ):
        assert words in verdict
    # each is stated once
    assert page.text.count("Never mapped") == 1
    assert "to water" not in part_of(page, "Limits", "What was done")


def test_the_page_of_a_good_map_says_so_and_shows_the_map_first(tmp_path):
    (tmp_path / "job").mkdir()
    reference = np.full((60, 60), 3, np.uint8)
    reference[:20], reference[20:40] = 1, 2
    mapped = reference.copy()
    mapped[:, :3] = 3
    page = read(folder_page(made_job(tmp_path / "job", mapped, reference)))
    assert sections(page)[:4] == ["summary", "maps", "flows", "verdict"]
    verdict = part_of(page, "How it went", "Areas with intervals")
    assert verdict.startswith("The scores speak for this map.")
    assert "Better than no change on accuracy (0.967), macro F1" in verdict
    assert "Worse" not in page.text
    assert "this map is number 1 of 2" in page.text


def test_a_map_without_scores_is_not_praised(tmp_path):
    (tmp_path / "job").mkdir()
    mapped = np.full((10, 10), 3, np.uint8)
    (made_job(tmp_path / "job", mapped, mapped) / "scores.json").unlink()
    page = read(folder_page(tmp_path / "job"))
    assert "without scores it remains unknown how right it is" in page.text
    assert "Changed in the map 0.0% 0 ha, counted" in page.text


def test_images_that_cannot_be_compared_are_named_before_the_map(tmp_path):
    row = {"before": 100.0, "after": 180.0, "difference": 80.0, "deviation": 20.0,
           "correlation": 0.6}  # fmt: skip
    record = {
        "stage": "composite", "inputs": [], "parameters": {},
        "checks": {"dates": ["a", "b"], "bands": ["x"], "radiometry": {"b": {"x": row}}},
    }  # fmt: skip
    write(
        tmp_path / "c.tif", np.ones((2, 4, 4), np.uint8), bands=["a:x", "b:x"],
        LANDSHIFT_PROVENANCE=json.dumps(record),
    )  # fmt: skip
    mapped = write(tmp_path / "m.tif", np.eye(4, dtype=np.uint8) + 1, nodata=0)
    page = read(folder_page(tmp_path, ReportFiles(map=mapped)))
    assert sections(page)[:3] == ["summary", "verdict", "maps"]
    assert "brighter or darker than the first one in x" in page.text
    assert "landshift normalise" in page.text


def test_one_legend_explains_map_and_reference_and_pixels_without_a_class(page):
    words = part_of(page, "Maps", "Transitions between the class maps").split("The map")
    assert words[0] == "to crop No change to forest no class "
    assert "to crop" not in words[1]


def test_a_reference_of_other_classes_has_its_own_legend(job, tmp_path):
    values = np.ones((256, 256), np.uint8)
    other = ClassScheme.from_mapping({1: "rice"})
    reference = write(
        tmp_path / "r.tif", values, nodata=0, LANDSHIFT_CLASSES=json.dumps(other.as_list())
    )
    page = read(folder_page(job, ReportFiles(reference=reference)))
    assert "Classes of the reference: rice" in page.text


def test_title_and_colours_are_chosen(job, tmp_path, page):
    assert "Change map map.tif, 2001 to 2016" in page.text
    out = tmp_path / "r.html"
    run = commands.run(
        "report", str(job), "-o", str(out), "--title", "Crops & more", "--rgb", "blue,green,red"
    )
    assert run.exit_code == 0, run.output
    chosen = read(out.read_text(encoding="utf-8"))
    assert "Crops & more" in chosen.text
    assert "Change map" not in chosen.text
    assert "Before, true colour" in page.text
    assert "Before, blue, green, red" in chosen.text
    with pytest.raises(BandError, match="`rgb` must be among red, green, blue, got 'nir'"):
        report(job, tmp_path / "s.html", rgb="nir,red,green")


def test_a_picture_is_enlarged_by_its_address(page):
    links = {a["href"]: a.get("class") for t, a in page.tags if t == "a" and "class" in a}
    assert links["#map-picture"] == "enlarge"
    assert links["#map-picture-place"] == "shrink"
    assert {"map-picture", "map-picture-place"} <= set(page.ids)


def test_a_report_reports_its_progress(job):
    steps = Steps()
    with progress.watched(steps):
        folder_page(job)
    assert steps.parts == [
        ("finding the files", 0, None), ("counting the map", 1, 1), ("drawing the maps", 5, 5),
    ]  # fmt: skip


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


@pytest.mark.parametrize("stated", ["[" * 100_000, "[1]", '{"before": "soon", "after": "2016"}'])
def test_dates_that_cannot_be_read_are_left_out_of_the_title(stated, tmp_path):
    image = write(tmp_path / "c.tif", np.ones((20, 20), np.uint8), LANDSHIFT_DATES=stated)
    mapped = np.ones((20, 20), np.uint8)
    tags = {"LANDSHIFT_CLASSES": json.dumps(CHANGES.as_list())}
    files = ReportFiles(map=write(tmp_path / "m.tif", mapped, **tags), before=image, after=image)
    assert "Change map m.tif</h1>" in folder_page(tmp_path, files)


def test_points_are_called_points_on_the_page_too(tmp_path):
    (tmp_path / "job").mkdir()
    reference = np.full((10, 10), 3, np.uint8)
    reference[:5] = 1
    job = made_job(tmp_path / "job", reference, reference)
    record = json.loads((job / "scores.json").read_text())
    assert record["counted"] == "pixels"
    assert "Few reference pixels: No change (50) and to crop (50)." in read(folder_page(job)).text
    (job / "scores.json").write_text(json.dumps(record | {"counted": "points"}))
    assert "Few reference" not in read(folder_page(job)).text


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
    assert (ended.exit_code, ended.stdout.strip()) == (0, str(out))
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


def test_no_column_of_a_table_is_cut_off_on_a_phone(job, tmp_path):
    path = report(job, tmp_path / "report.html")
    with browser() as program:
        page = program.new_page(viewport={"width": 390, "height": 800})
        page.goto(path.as_uri())
        page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        cut = page.evaluate(
            "[...document.querySelectorAll('.scroll:has(table.plain)')]"
            ".filter(box => box.scrollWidth > box.clientWidth).map(box => box.innerText)"
        )
        assert cut == []
        # a matrix scrolls in its own box, and its names of rows stay
        matrix = page.locator(".scroll:has(table.matrix)").first
        assert matrix.evaluate("box => getComputedStyle(box).overflowX") == "auto"
        assert (
            matrix.locator("tbody th").first.evaluate("cell => getComputedStyle(cell).position")
            == "sticky"
        )


def test_a_map_is_enlarged_by_keyboard_and_without_scripts(job, tmp_path):
    path = report(job, tmp_path / "report.html")
    width = "document.querySelector('#before-picture img').clientWidth"
    with browser() as program:
        for scripts in (True, False):
            context = program.new_context(
                viewport={"width": 1280, "height": 800}, java_script_enabled=scripts
            )
            page = context.new_page()
            page.goto(path.as_uri())
            assert page.evaluate(width) < 640
            page.locator("#before-picture .enlarge").focus()
            page.keyboard.press("Enter")
            assert page.evaluate(width) > 1000
            assert page.locator("#before-picture .shrink").is_visible()
            if scripts:
                page.keyboard.press("Escape")
            else:
                page.locator("#before-picture .shrink").focus()
                page.keyboard.press("Enter")
            page.wait_for_function(f"{width} < 640")
            assert page.locator("#before-picture .shrink").is_hidden()


def test_pixels_without_a_class_look_alike_in_light_and_dark(job, tmp_path):
    path = report(job, tmp_path / "report.html")
    shown = set()
    with browser() as program:
        for scheme in ("light", "dark"):
            page = program.new_page(color_scheme=scheme)
            page.goto(path.as_uri())
            for place in ("#map-picture img", "ul.key .nothing"):
                shown.add(
                    page.locator(place).first.evaluate("e => getComputedStyle(e).backgroundImage")
                )
    assert len(shown) == 1
    assert "repeating-linear-gradient" in shown.pop()


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
