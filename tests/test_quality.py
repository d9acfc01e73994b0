import numpy as np
import pytest

from landshift import quality
from landshift.errors import ParameterError


def test_values_hide_classes_and_fill():
    values = np.array([0, 1, 2, 3, 4, 255])
    found = quality.valid(values, "fmask", ["cloud", "shadow"])
    assert found.tolist() == [True, True, False, True, False, False]


def test_bits_hide_classes_and_fill():
    # of the Landsat 8-9 Collection 2 guide, table 6-3: clear, water, cloud, cloud shadow, fill
    values = np.array([21824, 21952, 22280, 23888, 1], np.uint16)
    found = quality.valid(values, "qa_pixel", ["cloud", "shadow"])
    assert found.tolist() == [True, True, False, False, False]
    assert quality.valid(values, "qa_pixel", ["water"]).tolist() == [True, False, True, True, False]


def test_sentinel_clouds_are_both_probabilities():
    found = quality.valid(np.arange(12), "scl", ["cloud", "cirrus"])
    assert np.flatnonzero(~found).tolist() == [0, 8, 9, 10]


def test_a_rule_is_read_from_text():
    assert quality.rule("fmask=cloud,shadow") == quality.Rule("fmask", ("cloud", "shadow"), "fmask")
    assert quality.rule("qa_pixel:QA_PIXEL=cloud").band == "QA_PIXEL"
    with pytest.raises(ParameterError, match="must read <coding>"):
        quality.rule("cloud")
    with pytest.raises(ParameterError, match="one of fmask, qa_pixel, scl, hls_fmask, got 'qa'"):
        quality.rule("qa=cloud")
    with pytest.raises(ParameterError, match=r"among clear, water, .* got fog"):
        quality.rule("fmask=fog")
    with pytest.raises(ParameterError, match="got none"):
        quality.rule("fmask=")
