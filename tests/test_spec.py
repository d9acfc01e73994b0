import json

import numpy as np
import pytest

from landshift.errors import ModelError
from landshift.spec import InputSpec

SPEC = InputSpec(
    ("red", "nir"), (10.0, 20.0), (2.0, 4.0), (0.0, 0.0), (99.0, 99.0), 64, "uint8", 30.0
)


def test_what_is_not_valid_enters_as_the_mean():
    values = np.full((2, 1, 2), 7, np.uint8)
    filled = SPEC.fill(values, np.array([[True, False]]))
    assert filled.tolist() == [[[7, 10]], [[7, 20]]]
    assert filled.dtype == np.float32


def test_nan_never_gets_through():
    values = np.full((2, 1, 2), np.nan, np.float32)
    assert np.isfinite(SPEC.fill(values, np.zeros((1, 2), bool))).all()


@pytest.mark.parametrize(
    "spec", [SPEC, InputSpec(("vv",), (10.0,), (2.0,), (0.0,), (99.0,), 64, "uint8", None)]
)
def test_it_survives_json(spec):
    assert InputSpec.from_dict(json.loads(json.dumps(spec.as_dict()))) == spec


@pytest.mark.parametrize(
    "change",
    [{"mean": [1.0]}, {"std": [0.0, 1.0]}, {"bands": []}, {"mean": "ab"}, {"tile_size": 0}],
)
def test_a_damaged_description_is_refused(change):
    with pytest.raises(ModelError, match="The model's input must"):
        InputSpec.from_dict(SPEC.as_dict() | change)
    with pytest.raises(ModelError, match="in full, got KeyError"):
        InputSpec.from_dict({})
