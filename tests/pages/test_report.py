import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from markupsafe import Markup
from PIL import Image

import landshift
from landshift import bundle
from landshift.classes import ClassScheme
from landshift.errors import ParameterError
from landshift.evaluation.evaluation import Evaluation
from landshift.evaluation.models import evaluate_baselines
from landshift.pages import report
from landshift.pages.report import charts, parts, pictures, svg
from landshift.pages.report.charts import Series
from landshift.pages.report.page import Section, render
from landshift.pages.report.parts import Bar, Fact, TableColumn
from pages import browser, read

HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"


def page_of(*shown):
    return read(render("Title", ["Lead."], [Section("one", "One", shown)]))


def test_every_text_on_a_page_is_escaped():
    everything = [
        parts.facts([Fact(HOSTILE, HOSTILE, HOSTILE)]),
        parts.text(HOSTILE), parts.heading(HOSTILE), parts.steps([HOSTILE]),
        parts.warnings([HOSTILE]), parts.verdict(HOSTILE, "bad"), parts.remarks(HOSTILE, [HOSTILE]),
        parts.findings([(HOSTILE, f"{HOSTILE} `{HOSTILE}`", "care")]),
        parts.table(
            "t", HOSTILE, [TableColumn(HOSTILE), TableColumn("n", ".1f")], [[HOSTILE, 1.0]]
        ),
        parts.matrix("m", HOSTILE, [HOSTILE], [HOSTILE], [[3]], corner=HOSTILE, form="d"),
        parts.bars(HOSTILE, [Bar(HOSTILE, 0.5, HOSTILE, 0.1, 0.9, 0.2)], 1.0,
                   names=(HOSTILE, HOSTILE, HOSTILE)),
        parts.legend([(HOSTILE, (1, 2, 3))]),
        parts.legend([], none=HOSTILE),
        pictures.classes(np.zeros((2, 2), np.uint8), [(1, 2, 3)], alt=HOSTILE, caption=HOSTILE),
        charts.lines(HOSTILE, [Series(HOSTILE, [(0, 1.0), (1, 2.0)])], x=HOSTILE, y=HOSTILE),
        charts.reliability(HOSTILE, [Series(HOSTILE, [(0.5, 0.5)])]),
        charts.flows(HOSTILE, [(HOSTILE, HOSTILE, 2.0)], {}, HOSTILE),
    ]  # fmt: skip
    html = render(HOSTILE, [HOSTILE], [Section("one", HOSTILE, everything, HOSTILE)])
    page = read(html)  # which refuses attributes that the policy forbids
    assert [t for t, _ in page.tags].count("script") == 1
    assert page.text.count(HOSTILE) > 15
    assert html.count("<img") == 1


def test_a_table_is_a_csv_too():
    page = page_of(
        parts.table(
            "scores", "Scores.",
            [TableColumn("class"), TableColumn("F1", ".2f"), TableColumn("note")],
            [["forest, old", 0.98765, "=1+1"], ["water", None, None]],
        )
    )  # fmt: skip
    assert page.tables["scores.csv"] == [
        ["class", "F1", "note"], ["forest, old", "0.98765", "'=1+1"], ["water", "", ""],
    ]  # fmt: skip
    assert "0.99" in page.words
    assert page.words.count("-") == 2


def test_a_matrix_is_shaded_by_its_rows():
    shown = parts.matrix(
        "m", "Caption.", ["a", "b"], ["a", "b"], [[90, 10], [0, 0]], corner="x", form="d"
    )
    page = page_of(shown)
    cells = [attributes.get("class") for tag, attributes in page.tags if tag == "td"]
    assert cells == ["h7 right", "h1", None, "right"]
    assert page.tables["m.csv"] == [["x", "a", "b"], ["a", "90", "10"], ["b", "0", "0"]]


def test_a_matrix_of_many_classes_shows_the_largest():
    n = 100
    values = [[0] * n + [1] for _ in range(n)]
    for k in range(n):
        values[k][k] = 1000 - k
    names = [f"c{k}" for k in range(n)]
    page = page_of(
        parts.matrix("m", "Many.", names, [*names, "none"], values, corner="x", form="d")
    )
    assert len(page.tables["m.csv"]) == 101
    assert [t for t, _ in page.tags].count("td") == 40 * 41
    assert "The 40 largest of 100 classes" in page.text
    assert {"role": "table", "class": "matrix wide"} in [a for t, a in page.tags if t == "table"]


def test_bars_have_the_length_of_their_values():
    shown = parts.bars("Areas.", [Bar("a", 50.0, "50 ha", 25.0, 75.0, 100.0)], 100.0)
    page = page_of(shown)
    bar = next(attributes for tag, attributes in page.tags if attributes.get("class") == "bar")
    whisker = next(
        attributes for tag, attributes in page.tags if attributes.get("class") == "whisker"
    )
    assert bar["width"] == "50.00%"
    assert (whisker["x1"], whisker["x2"]) == ("25.00%", "75.00%")
    assert "50 ha" in page.words


def test_bars_stand_over_an_axis_of_round_numbers():
    page = page_of(parts.bars("Areas.", [Bar("a", 1.0, "1 ha")], 31_451.0))
    at = {
        attributes["x"]: attributes["text-anchor"]
        for tag, attributes in page.tags
        if tag == "text" and "quiet" in attributes["class"]
    }
    assert [w for w in page.words if w.replace(",", "").isdigit()] == [
        "0", "10,000", "20,000", "30,000",
    ]  # fmt: skip
    assert at == {"0.00%": "start", "31.80%": "middle", "63.59%": "middle", "95.39%": "end"}


def test_a_folded_table_keeps_its_title_and_its_csv():
    columns = [TableColumn("class"), TableColumn("F1", ".2f")]
    page = page_of(parts.table("t", "Scores.", columns, [["a", 0.5]], fold="Scores as a table"))
    names = [t for t, _ in page.tags]
    assert names.index("details") < names.index("summary") < names.index("table")
    assert "Scores as a table" in page.words
    assert page.tables["t.csv"] == [["class", "F1"], ["a", "0.5"]]
    cell = next(attributes for tag, attributes in page.tags if tag == "td")
    assert cell["data-label"] == "F1"  # which a phone shows before the number


def test_findings_show_options_as_typed():
    page = page_of(
        parts.findings([("Bad.", "Set `class_balancing`, then `landshift tiles`, `odd.", "care")])
    )
    codes = [page.words[k] for k, w in enumerate(page.words) if w.startswith(("--", "landshift "))]
    assert codes == ["--class-balancing", "landshift tiles"]
    assert "`odd." in page.text


def test_flows_have_the_width_of_their_amounts():
    transitions = [("forest", "crop", 30.0), ("forest", "urban", 10.0), ("crop", "urban", 60.0)]
    drawn = str(charts.flows("Flows.", transitions, {"forest": (0, 128, 0)}, "ha"))
    page = page_of(Markup(drawn))
    bands = {
        attributes["d"]: attributes["fill"]
        for _, attributes in page.tags
        if attributes.get("class") == "flow"
    }
    assert sorted(bands.values()) == ["#008000", "#008000", "#808080"]
    heights = [
        float(attributes["height"])
        for tag, attributes in page.tags
        if tag == "rect" and attributes.get("class") == "swatch"
    ]
    assert heights == pytest.approx([240 * share for share in (0.4, 0.6, 0.3, 0.7)], abs=0.01)
    assert "forest to crop: 30.0 ha" in page.words
    assert charts.flows("None.", [], {}, "ha") == ""


@pytest.mark.parametrize(
    ("values", "ticks"),
    [((0.0, 1.0), [0, 0.2, 0.4, 0.6, 0.8, 1]), ((0.13, 0.65), [0, 0.2, 0.4, 0.6, 0.8]),
     ((0.0, 0.0), [0, 0.2, 0.4, 0.6, 0.8, 1])],
)  # fmt: skip
def test_axes_have_round_ticks(values, ticks):
    series = [Series("a", list(enumerate(values)))]
    page = page_of(charts.lines("Loss.", series, x="epoch", y="loss", whole=True))
    numbers = [w for w in page.words if w.replace(".", "").isdigit()]
    assert numbers[: len(ticks)] == [f"{t:g}" for t in ticks]


def test_a_picture_of_classes_keeps_every_code():
    codes = np.arange(256, dtype=np.uint8).reshape(16, 16)
    colours = [(k, 255 - k, 7) for k in range(255)]
    page = page_of(pictures.classes(codes, colours, alt="Codes", caption="Codes"))
    source = next(attributes["src"] for tag, attributes in page.tags if tag == "img")
    shown = Image.open(io.BytesIO(base64.b64decode(source.partition("base64,")[2])))
    assert shown.info["transparency"] == 255
    assert (np.array(shown) == codes).all()
    assert (np.array(shown.convert("RGB"))[0, 3] == (3, 252, 7)).all()


def test_numbers_in_drawings_are_short():
    assert svg.element("rect", x=1 / 3, y=-0.001) == '<rect x="0.33" y="0"></rect>'


@pytest.fixture(scope="module")
def evaluation(trained):
    return trained.evaluate().beside(evaluate_baselines(trained.data.training))


@pytest.fixture(scope="module")
def samples(trained):
    dataset = trained.data.training.valid_ds
    read = [dataset.read(k) for k in range(2)]
    images = np.stack([np.where(mask, values, np.nan) for values, mask, *_ in read])
    targets = np.stack([layers[0] for _, _, layers, _ in read])
    return report.Samples(images.astype(np.float32), targets, targets)


def test_a_models_page_shows_scores_training_and_input(saved, evaluation, samples):
    package = bundle.load(saved)
    page = read(report.model_page(package, evaluation=evaluation, samples=samples))
    assert page.tables["confusion-matrix.csv"][1][1:] == [str(n) for n in evaluation.matrix[0, :2]]
    scores = evaluation.scores
    assert page.tables["class-scores.csv"][1][1] == f"{scores.classes[0].precision:.10g}"
    shown = {row[0] for row in page.tables["methods.csv"][1:]}
    assert shown == {"this model", *evaluation.baselines}
    by_mean = sorted(
        evaluation.methods.values(), key=lambda s: -(s.accuracy + s.macro_f1 + s.change_f1)
    )
    assert [float(row[1]) for row in page.tables["methods.csv"][1:]] == pytest.approx(
        [s.accuracy for s in by_mean]
    )
    for title in ("Accuracy.", "Macro F1.", "Change F1."):
        assert title in page.words
    assert len(page.tables["training-table.csv"]) == 1 + 6
    assert page.tables["bands.csv"][1][0] == "before red"
    assert ["lr", "0.002"] in page.tables["options.csv"]
    assert len([t for t, _ in page.tags if t == "img"]) == 2 * 4
    assert f"temperature {package.model.temperature:.3f}" in page.text.lower()


def test_the_same_model_gives_the_same_page(saved, evaluation, samples):
    first, second = (
        report.model_page(bundle.load(saved), evaluation=evaluation, samples=samples)
        for _ in range(2)
    )
    assert first == second


def test_a_models_page_names_missing_parts(saved):
    package = bundle.load(saved)
    package.model.temperature = 1.0
    bare = replace(package, training={}, history=(), scores=None)
    page = read(report.model_page(bare))
    for line in (
        "Scores are missing", "has no training table", "No tiles were given",
        "holds no training options", "are uncalibrated", "split is unknown",
    ):  # fmt: skip
        assert line in page.text


def test_a_models_page_warns(saved):
    package = bundle.load(saved)
    package = replace(package, training={"data": {"split": "random"}})
    scheme = ClassScheme.from_mapping({1: "to crop", 2: "No change", 3: "to ice"})
    matrix = np.array([[0, 20, 0, 5], [0, 9000, 0, 0], [0, 0, 0, 0]])
    evaluation = Evaluation(scheme, matrix, others={"rule": matrix})
    page = read(report.model_page(package, evaluation=evaluation))
    for line in (
        "chosen at random", "Few reference pixels: to crop (20)", "No reference pixel: to ice",
        "Never mapped, though in the reference: to crop (20)", "5 labelled pixels have no class",
        "This model should not be used.",
    ):  # fmt: skip
        assert page.text.count(line) == 1


def test_a_browser_shows_a_models_page(saved, evaluation, samples, tmp_path):
    path = tmp_path / "model.html"
    path.write_text(report.model_page(bundle.load(saved), evaluation=evaluation, samples=samples))
    with browser() as program:
        context = program.new_context(viewport={"width": 375, "height": 800}, color_scheme="light")
        page = context.new_page()
        messages = []
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 375
        background = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(background)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.evaluate(background) != light
        with page.expect_download() as download:
            page.click("a[download='confusion-matrix.csv']")
        text = download.value.path().read_text(encoding="utf-8-sig")
        assert text.startswith("reference \\ map,to crop,No change")
        assert messages == []


# ---- Series


def test_a_series_has_a_page_of_its_own(tmp_path):
    scene = landshift.simulate(tmp_path / "scene", height=64, width=64, dates=4, years=6)
    landshift.series(scene.class_maps, tmp_path / "series", dates="2001,2003,2005,2007")
    page = landshift.report(tmp_path / "series", tmp_path / "series.html").read_text()
    read(page)
    assert "Change from 2001 to 2007" in page
    assert page.count('alt="20') == 4  # a picture a date
    for words in ("2003 to 2005", "lasting change", "Classes in time", "Change a year"):
        assert words in page
    (tmp_path / "series/tables/lasting.csv").unlink()
    with pytest.raises(ParameterError, match=r"must have its tables, got .*lasting\.csv"):
        landshift.report(tmp_path / "series", tmp_path / "other.html")


def test_names_of_a_series_are_escaped_on_its_page(tmp_path):
    scene = landshift.simulate(tmp_path / "scene", height=64, width=64, dates=3, years=6)
    names = tmp_path / "classes.csv"
    rows = "".join(f"{k},<script>alert({k})</script>\n" for k in range(1, 18))
    names.write_text(f"value,name\n{rows}")
    landshift.series(scene.class_maps, tmp_path / "series", dates="2001,2003,2005", classes=names)
    page = landshift.report(tmp_path / "series", tmp_path / "series.html").read_text()
    read(page)
    assert "<script>alert" not in page
