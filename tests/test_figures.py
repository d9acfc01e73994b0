import matplotlib.image
import numpy as np
import pytest

from landshift import figures
from landshift.classes import ClassScheme
from landshift.errors import ClassError, ParameterError
from scenes import BANDS, MAPPING

SCHEME = ClassScheme.from_mapping(MAPPING)


def test_bands_are_shown_in_true_colour_where_they_are_named_so():
    assert figures.rgb_bands(["blue", "green", "red", "nir"]) == (2, 1, 0)
    assert figures.rgb_bands(["after:Blue", "after:Green", "after:Red"]) == (2, 1, 0)
    assert figures.rgb_bands(["swir1", "nir", "red", "other"]) == (0, 1, 2)
    assert figures.rgb_bands(["one", "two"]) == (0, 0, 0)


def test_bands_are_grouped_by_date():
    assert figures.date_bands(BANDS) == {"Before": [0, 1, 2], "After": [3, 4, 5]}
    assert figures.date_bands(["b1", "b2"]) == {"Image": [0, 1]}


def test_a_picture_is_stretched_over_valid_pixels_alone():
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


def test_classes_have_their_colours_and_the_unlabelled_is_white():
    shown = figures.colour_classes(np.array([[0, 1, 255]], np.uint8), SCHEME)
    assert (shown[0, 0] * 255).round().tolist() == list(SCHEME.colours[1])
    assert (shown[0, 2] == 1).all()


def test_a_view_has_a_panel_for_each_raster_and_the_colours_of_the_map(scene, tmp_path):
    args = ([scene[0], scene[0]], scene[1], tmp_path / "v.png")
    three = matplotlib.image.imread(figures.view(*args, scheme=SCHEME))
    four = matplotlib.image.imread(figures.view(*args, scheme=SCHEME, reference=scene[1]))
    assert four.shape[1] > three.shape[1]
    colours = {tuple(c) for c in (four[..., :3].reshape(-1, 3) * 255).round().astype(int)}
    assert set(SCHEME.colours.values()) <= colours


def test_a_view_takes_one_or_two_dates(scene, tmp_path):
    one = matplotlib.image.imread(
        figures.view([scene[0]], scene[1], tmp_path / "v.png", scheme=SCHEME)
    )
    two = matplotlib.image.imread(
        figures.view([scene[0]] * 2, scene[1], tmp_path / "v.png", scheme=SCHEME)
    )
    assert one.shape[1] < two.shape[1]
    with pytest.raises(ParameterError, match="one or two images, got 3"):
        figures.view([scene[0]] * 3, scene[1], tmp_path / "v.png", scheme=SCHEME)


def test_a_view_of_a_map_without_classes_is_refused(scene, tmp_path):
    with pytest.raises(ClassError, match="must say its classes"):
        figures.view([scene[0]], scene[1], tmp_path / "v.png")
