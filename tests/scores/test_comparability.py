"""Whether the images of a composite can be compared."""

import numpy as np
import pytest

from landshift import composite
from landshift.prepare import checks
from landshift.scores.comparability import not_comparable, shifted_input
from landshift.spec import InputSpec


def measured(difference=0.0, deviation=10.0, correlation=0.5):
    return {"difference": difference, "deviation": deviation, "correlation": correlation}


def of(*bands, date="2005"):
    return not_comparable({"radiometry": {date: {f"b{k}": b for k, b in enumerate(bands, 1)}}})


def kinds(findings):
    return [f.kind for f in findings]


def test_dates_whose_means_differ_less_than_their_pixels_are_comparable():
    assert of(measured(9.9), measured(-9.9, correlation=0.1), measured()) == []


def test_a_band_that_moved_as_a_whole_is_named_with_the_largest_shift():
    [finding] = of(measured(11), measured(1), measured(-40, 8))
    assert finding.kind == "shifted"
    assert "2005" in finding.text
    assert "b1 and b3: the mean of b3 differs by -40" in finding.text
    assert "normalise" in finding.advice


def test_a_constant_step_is_a_shift_whatever_its_size():
    assert kinds(of(measured(0.5, 0.0), measured())) == ["shifted"]
    assert of(measured(0.0, 0.0, 0.0)) == []  # a band that is the same on both dates


def test_a_small_step_between_images_that_are_nearly_equal_is_no_shift():
    # 2 v (1 - 0.98) = 10 * 10, so the band itself scatters by 50
    assert of(measured(49, correlation=0.98)) == []
    assert kinds(of(measured(51, correlation=0.98))) == ["shifted"]


def test_dates_without_correlation_hardly_show_the_same_ground():
    [finding] = of(measured(correlation=0.1), measured(correlation=-0.2), measured())
    assert finding.kind == "unrelated"
    assert "0.10" in finding.text
    assert "`mask_qa`" in finding.advice


def test_a_band_without_a_correlation_has_no_say():
    assert of(measured(correlation=0.0), measured(), measured(correlation=0.0)) == []


@pytest.mark.parametrize(
    "checks",
    [
        {}, {"radiometry": 3}, {"radiometry": {"2005": {"b1": 4}}}, {"radiometry": {"2005": 7}},
        *(
            {"radiometry": {"2005": {"b1": {"difference": 9, "deviation": 1, "correlation": r}}}}
            for r in (10**400, -(10**400), float("nan"), float("-inf"), "0")
        ),
    ],
)  # fmt: skip
def test_checks_of_another_shape_say_nothing(checks):
    assert not_comparable(checks) == []


def test_what_composite_measured_is_understood(write_raster, tmp_path):
    random = np.random.default_rng(0)
    first = random.integers(50, 100, (2, 40, 40)).astype(np.uint8)
    same = first + random.integers(0, 3, first.shape).astype(np.uint8)
    paths = [
        write_raster(f"{name}.tif", image)
        for name, image in (("first", first), ("same", same), ("hazy", same + np.uint8(60)))
    ]
    for later, expected in ((paths[1], []), (paths[2], ["shifted"])):
        made = composite([paths[0], later], tmp_path / f"c{later.stem}.tif")
        assert kinds(not_comparable(checks.checks_of(made))) == expected


def input_of(means, spreads):
    names = [f"{date}:{band}" for date in ("1995", "2005") for band in ("red", "nir")]
    return InputSpec(
        tuple(names),
        means,
        spreads,
        (0.0,) * 4,
        (255.0,) * 4,
        tile_size=64,
        dtype="uint8",
        cell_size=None,
    )


def test_dates_of_tiles_are_compared_by_the_means_of_their_bands():
    spreads = (5.0, 9.0, 6.0, 9.0)
    assert shifted_input(input_of((40.0, 90.0, 45.9, 82.0), spreads)) == []
    [finding] = shifted_input(input_of((40.0, 90.0, 46.1, 82.0), spreads))
    assert finding.kind == "shifted"
    assert "The image '2005'" in finding.text
    assert "the mean of red differs by +6.1, where single pixels scatter by 6" in finding.text


def test_tiles_of_one_date_have_nothing_to_compare():
    assert (
        shifted_input(InputSpec(("red",), (9.0,), (1.0,), (0.0,), (9.0,), 64, "uint8", None)) == []
    )
