import matplotlib.image
import numpy as np
import pytest

from landshift.classes import ClassScheme
from landshift.errors import ClassError, ParameterError
from landshift.scores import calibration, confusion
from landshift.show import figures
from scenes import BANDS, MAPPING

SCHEME = ClassScheme.from_mapping(MAPPING)


def test_bands_named_red_green_and_blue_are_shown_in_true_colour():
    assert figures.rgb_bands(["blue", "green", "red", "nir"]) == (2, 1, 0)
    assert figures.rgb_bands(["after:Blue", "after:Green", "after:Red"]) == (2, 1, 0)
    assert figures.rgb_bands(["swir1", "nir", "red", "other"]) == (0, 1, 2)
    assert figures.rgb_bands(["one", "two"]) == (0, 0, 0)


def test_bands_are_grouped_by_date():
    assert figures.date_bands(BANDS) == {"Before": [0, 1, 2], "After": [3, 4, 5]}
    assert figures.date_bands(["b1", "b2"]) == {"Image": [0, 1]}


def test_a_picture_is_stretched_over_valid_pixels_only():
    values = np.full((3, 10, 10), 5.0)
    values[:, 0] = np.arange(10)
    values[:, 5] = 1e9
    mask = np.ones((10, 10), bool)
    mask[5] = False
    shown = figures.picture(values, mask)
    assert (shown[5] == 1).all()
    assert shown.min() == 0
    assert np.isfinite(shown).all()
    assert (figures.picture(values, ~np.ones((10, 10), bool)) == 1).all()


def test_classes_have_their_colours_and_unlabelled_pixels_are_white():
    shown = figures.colour_classes(np.array([[0, 1, 255]], np.uint8), SCHEME)
    assert (shown[0, 0] * 255).round().tolist() == list(SCHEME.colours[1])
    assert (shown[0, 2] == 1).all()


def test_a_view_has_a_panel_for_each_raster_and_the_colours_of_the_map(scene, tmp_path):
    args = ([scene[0], scene[0]], scene[1], tmp_path / "v.png")
    three = matplotlib.image.imread(figures.view(*args, classes=SCHEME))
    four = matplotlib.image.imread(figures.view(*args, classes=SCHEME, reference=scene[1]))
    assert four.shape[1] > three.shape[1]
    colours = {tuple(c) for c in (four[..., :3].reshape(-1, 3) * 255).round().astype(int)}
    assert set(SCHEME.colours.values()) <= colours


def test_a_view_takes_one_or_two_dates(scene, tmp_path):
    one = matplotlib.image.imread(
        figures.view([scene[0]], scene[1], tmp_path / "v.png", classes=SCHEME)
    )
    two = matplotlib.image.imread(
        figures.view([scene[0]] * 2, scene[1], tmp_path / "v.png", classes=SCHEME)
    )
    assert one.shape[1] < two.shape[1]
    with pytest.raises(ParameterError, match="must be one or two, got 3"):
        figures.view([scene[0]] * 3, scene[1], tmp_path / "v.png", classes=SCHEME)


def test_a_view_of_a_map_without_classes_is_refused(scene, tmp_path):
    with pytest.raises(ClassError, match="must state its classes"):
        figures.view([scene[0]], scene[1], tmp_path / "v.png")


@pytest.mark.parametrize(("classes", "numbered"), [(2, True), (25, True), (40, False)])
def test_a_confusion_matrix_is_drawn_as_pixels_and_as_shares(classes, numbered, tmp_path):
    scheme = ClassScheme.from_mapping({k: f"class {k}" for k in range(1, classes + 1)})
    matrix = np.random.default_rng(0).integers(1, 10**5, (classes, classes + 1))
    matrix[0] = 0  # a class without reference pixels
    figure = figures.show_confusion(matrix, scheme)
    pixels, shares = figure.axes[:2]
    assert [a.get_title() for a in (pixels, shares)] == ["Pixels", "Share of the reference's class"]
    assert pixels.get_xticklabels()[-1].get_text() == "no class"
    assert len(shares.texts) == (classes * (classes + 1) - classes - 1 if numbered else 0)
    drawn = shares.images[0].get_array()
    assert drawn.mask[0].all()
    assert drawn[1:].sum(axis=1).data == pytest.approx(np.ones(classes - 1))
    assert figures.save(figure, tmp_path / "c.png").stat().st_size > 10_000


def test_counts_are_abbreviated():
    numbers = (7, 999, 1000, 12_345, 999_999, 1_234_567, 12_345_678_901)
    assert [figures._short(n) for n in numbers] == [
        "7", "999", "1.0k", "12k", "999k", "1.2M", "12G"
    ]  # fmt: skip


def test_bars_show_each_method_and_none_where_f1_is_not_defined(tmp_path):
    matrix = np.array([[4, 1, 0], [0, 0, 0]])
    scores = confusion.score(matrix, SCHEME)
    figure = figures.show_f1({"this": scores, "other": scores})
    bars = figure.axes[0].patches
    assert len(bars) == 4
    assert [bars[0].get_width(), bars[1].get_width()] == pytest.approx([8 / 9, 0])
    figures.save(figure, tmp_path / "f.png")


def test_a_reliability_curve_shows_probabilities_as_trained_and_calibrated(tmp_path):
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (500, 3)).astype(np.float32)
    targets = random.integers(0, 3, 500).astype(np.uint8)
    figure = figures.show_reliability(calibration.measure(logits, targets, 4.0))
    lines = figure.axes[0].lines
    assert len(lines) == 3  # the diagonal and two curves
    assert "ECE" in lines[1].get_label()
    plain = figures.show_reliability(calibration.measure(logits, targets, 1.0))
    assert len(plain.axes[0].lines) == 2
    figures.save(figure, tmp_path / "r.png")
