import json

import matplotlib.image
import numpy as np
import pytest

from landshift import grid, raster
from landshift.classes import ClassScheme
from landshift.errors import BandError, ClassError, ParameterError
from landshift.raster import colours
from landshift.scores import calibration, confusion
from landshift.show import figures, panels
from scenes import BANDS, MAPPING

SCHEME = ClassScheme.from_mapping(MAPPING)


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


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


def words(axes):
    """What is written around a picture: caption, scale and north."""
    return [text.get_text() for text in axes.texts if text.get_text()]


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_view_has_a_panel_for_each_raster_and_the_colours_of_the_map(scene, tmp_path):
    args = ([scene[0]], scene[1], tmp_path / "v.png")
    three = matplotlib.image.imread(figures.view(*args, classes=SCHEME))
    four = matplotlib.image.imread(figures.view(*args, classes=SCHEME, reference=scene[1]))
    assert four.shape[1] > three.shape[1]
    seen = {tuple(c) for c in (four[..., :3].reshape(-1, 3) * 255).round().astype(int)}
    assert set(SCHEME.colours.values()) <= seen


def test_a_view_says_which_dates_and_bands_it_shows(scene, write_raster):
    days = json.dumps({"before": "1995-08-12", "after": "2005-06/2005-08"})
    values = np.random.default_rng(0).integers(1, 200, (6, 20, 30)).astype(np.uint16)
    composite = write_raster("c.tif", values, bands=BANDS, LANDSHIFT_DATES=days)
    mapped = write_raster("map_2005.tif", (values[0] % 2 + 1).astype(np.uint8))
    figure = figures.view_figure([composite], mapped, SCHEME, reference=mapped)
    assert titles(figure) == [
        "Before, 1995-08-12", "After, 2005-06-01 to 2005-08-31", "Predicted, 2005",
        "Reference, 2005",
    ]  # fmt: skip
    assert [words(axes)[0] for axes in figure.axes[:2]] == ["true colour"] * 2
    one, two = (write_raster(f"{year}.tif", values[:4]) for year in (1995, 2005))
    figure = figures.view_figure([one, two], mapped, SCHEME)
    assert titles(figure) == ["Before, 1995", "After, 2005", "Map, 2005"]
    assert [words(axes)[0] for axes in figure.axes[:2]] == ["bands 1, 2, 3"] * 2
    figure = figures.view_figure([one], mapped, SCHEME, rgb="4,3,2")
    assert titles(figure) == ["Image, 1995", "Map, 2005"]
    assert words(figure.axes[0])[0] == "bands 4, 3, 2"
    red = figure.axes[0].images[0].get_array()[..., 0]
    assert np.corrcoef(red.ravel(), values[3].ravel())[0, 1] > 0.99
    grey = figures.view_figure([one], mapped, SCHEME, rgb=["2"])
    assert words(grey.axes[0])[0] == "band 2"
    assert np.ptp(grey.axes[0].images[0].get_array(), axis=2).max() == 0


def test_a_view_follows_the_choice_that_a_composite_keeps(write_raster):
    values = np.ones((6, 8, 8), np.uint16)
    kept = write_raster("c.tif", values, bands=BANDS, **{colours.TAG: "blue,green,red"})
    for rgb, caption in ((None, "blue, green, red"), ("red,green,blue", "true colour")):
        figure = figures.view_figure([kept], write_raster("m.tif", values[0]), SCHEME, rgb=rgb)
        assert [words(axes)[0] for axes in figure.axes[:2]] == [caption] * 2


def test_a_view_of_a_composite_with_strange_dates_has_none(write_raster):
    values = np.ones((6, 8, 8), np.uint8)
    for text in ("{", '["2001"]', '{"before": 1}'):
        composite = write_raster("c.tif", values, bands=BANDS, LANDSHIFT_DATES=text)
        figure = figures.view_figure([composite], write_raster("m.tif", values[0]), SCHEME)
        assert titles(figure) == ["Before", "After", "Map"]


def test_a_missing_band_of_a_view_is_refused(scene):
    with pytest.raises(BandError, match=r"`rgb` must be among red, green, blue, got 'nir'"):
        figures.view_figure([scene[0]], scene[1], SCHEME, rgb="nir,red,green")


def test_scale_and_north_stand_under_the_first_picture_and_those_on_another_grid(write_raster):
    values = np.ones((3, 40, 50), np.uint8)
    image = write_raster("i.tif", values, pixel=30.0)
    same = write_raster("same.tif", values[0], pixel=30.0)
    other = write_raster("other.tif", values[0], pixel=60.0)
    figure = figures.view_figure([image, image], same, SCHEME, reference=other)
    scaled = ["200 m" in words(axes) for axes in figure.axes]
    assert scaled == [True, False, False, False]
    assert words(figure.axes[3]) == ["500 m", "N"]
    (bar,) = figure.axes[0].lines
    ends = bar.get_xdata()
    # in a UTM zone's middle, the ground is 1 / 0.9996 of the plane
    assert (ends[1] - ends[0]) * 50 * 30 / 0.9996 == pytest.approx(200, rel=1e-3)


def test_north_is_true_north(write_raster):
    values = np.ones((3, 40, 50), np.uint8)
    east = write_raster("e.tif", values, origin=(800_000.0, 7_000_000.0))
    figure = figures.view_figure([east], write_raster("m.tif", values[0]), SCHEME)
    figure.draw_without_rendering()
    (arrow,) = [t.arrow_patch for t in figure.axes[0].texts if getattr(t, "arrow_patch", None)]
    (x, y), *_, (to_x, to_y) = arrow.get_transform().transform(arrow.get_path().vertices)[:3]
    north = grid.bearing(raster.info(east).grid).north
    assert north < -4  # meridians lean to the left there
    assert np.degrees(np.arctan2(to_x - x, to_y - y)) == pytest.approx(north, abs=1)


def test_without_a_crs_scale_and_north_are_said_to_be_unknown(write_raster):
    values = np.ones((3, 8, 8), np.uint8)
    image = write_raster("i.tif", values, crs=None)
    figure = figures.view_figure([image], image, ClassScheme.from_mapping({1: "a"}))
    assert words(figure.axes[0])[-1] == "No CRS: scale and north are unknown"


def test_nodata_is_named_where_it_is_seen(write_raster, scene):
    values = np.ones((3, 8, 8), np.uint8)
    whole = write_raster("whole.tif", values), write_raster("m.tif", values[0])
    values[:, 0, 0] = 0
    holed = write_raster("holed.tif", values, nodata=0), write_raster("h.tif", values[0], nodata=0)
    assert legend_of(figures.view_figure(whole[:1], whole[1], SCHEME)) == ["to crop"]
    for image, mapped in ((holed[0], whole[1]), (whole[0], holed[1])):
        figure = figures.view_figure([image], mapped, SCHEME)
        assert legend_of(figure) == ["to crop", "No data"]
        pictures = [axes.images[0].get_array() for axes in figure.axes]
        assert any((picture[0, 0] == panels.NODATA).all() for picture in pictures)


def test_a_legend_of_many_long_names_fits_its_figure(write_raster):
    names = [f"{k} semideciduous forest of $the$ northern highlands, burnt" for k in range(1, 61)]
    scheme = ClassScheme.from_mapping(dict(enumerate(names, start=1)))
    codes = np.repeat(np.arange(1, 61), np.arange(60, 0, -1)).reshape(30, 61).astype(np.uint8)
    image = write_raster("i.tif", np.ones((3, 30, 61), np.uint8))
    figure = figures.view_figure([image], write_raster("m.tif", codes), scheme)
    figure.draw_without_rendering()
    listed = legend_of(figure)
    assert len(listed) == panels.LISTED + 1
    assert listed[-1] == "and 20 more"
    assert "1 semideciduous forest of\n$the$ northern highlands,\nburnt" in listed  # no formula
    assert not any(name.startswith("60 ") for name in listed)  # the rarest
    box = figure.legends[0].get_window_extent()
    assert box.min.min() >= 0
    assert (box.max <= figure.bbox.max).all()
    pictures = [axes.get_window_extent() for axes in figure.axes]
    assert box.x0 >= max(picture.x1 for picture in pictures)
    assert pictures[0].width > 0.6 * 3.6 * figure.dpi


def test_titles_and_captions_overlap_nothing(write_raster):
    values = np.ones((3, 20, 60), np.uint8)
    image = write_raster(
        "i.tif", values, bands=["a long name of a band " * 2, "b " * 30, "c " * 20]
    )
    figure = figures.view_figure([image] * 2, write_raster("m.tif", values[0]), SCHEME, rgb="1,2,3")
    figure.draw_without_rendering()
    boxes = []
    for axes in figure.axes:
        caption = [text for text in axes.texts if text.get_text() and text.get_position()[1] > 0]
        boxes += [text.get_window_extent() for text in (axes.title, *caption[:1])]
        boxes.append(axes.get_window_extent())
    for k, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[k + 1 :])
        assert box.y1 <= figure.bbox.y1


def test_samples_show_dates_labels_and_predictions_and_nothing_where_there_are_no_data():
    images = np.random.default_rng(0).normal(size=(2, 6, 8, 8))
    images[:, :, 0, 0] = np.nan
    targets = np.zeros((2, 8, 8), np.uint8)
    targets[:, 0, 0] = 255
    figure = figures.show_samples(images, targets, BANDS, SCHEME, predicted=targets)
    assert titles(figure)[:4] == ["Before", "After", "Labels", "Predicted"]
    assert titles(figure)[4:] == [""] * 4
    assert words(figure.axes[0]) == ["true colour"]
    assert legend_of(figure) == ["to crop", "No data or label"]
    assert all((axes.images[0].get_array()[0, 0] == 1).all() for axes in figure.axes)
    numbered = figures.show_samples(images, targets, [str(k) for k in range(6)], SCHEME)
    assert words(numbered.axes[0]) == ["bands 1, 2, 3"]
    sensed = [f"SR_B{k}" for k in range(1, 7)]
    shown = figures.show_samples(images, targets, sensed, SCHEME, sensors=["Landsat 8 OLI"] * 6)
    assert words(shown.axes[0]) == ["true colour"]


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
    assert drawn[1:].sum(axis=1).data == pytest.approx(np.full(classes - 1, 100))
    assert shares.images[0].colorbar.ax.get_ylabel() == "share of the reference's row, %"
    assert figures.save(figure, tmp_path / "c.png").stat().st_size > 10_000


@pytest.mark.parametrize("classes", [3, 14, 30, 40])
def test_numbers_and_names_of_a_confusion_matrix_fit_their_cells(classes):
    long = "semideciduous forest of $the$ northern hills"
    scheme = ClassScheme.from_mapping({k: f"{k} {long}" for k in range(1, classes + 1)})
    matrix = np.full((classes, classes + 1), 999_999)
    matrix[:, 0] = 1
    figure = figures.show_confusion(matrix, scheme)
    figure.draw_without_rendering()
    for axes in figure.axes[:2]:
        origin, end = axes.transData.transform([(0, 0), (1, 1)])
        cell = np.abs(end - origin)
        for text in axes.texts:
            assert text.get_fontsize() >= 8
            box = text.get_window_extent()
            assert (box.width < cell[0]) & (box.height < cell[1])
        for labels, side in ((axes.get_xticklabels(), "width"), (axes.get_yticklabels(), "height")):
            sizes = [getattr(label.get_window_extent(), side) for label in labels]
            assert max(sizes) < cell[0 if side == "width" else 1]
            assert "$" in labels[0].get_text()  # no formula
            assert not any("..." in label.get_text() for label in labels)
    first = [text.get_text() for text in figure.axes[1].texts[:2]]
    assert first == (["<1", str(round(100 / classes))] if classes <= 30 else [])


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
    assert [text.get_text() for text in figure.axes[0].texts[:2]] == ["0.89", "0.00"]
    none = confusion.score(np.zeros((2, 3), np.int64), SCHEME)
    (axes,) = figures.show_f1({"this": none}).axes
    assert [text.get_text() for text in axes.texts] == ["not defined"] * 2
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
