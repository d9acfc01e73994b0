import numpy as np
import pytest
from torch import tensor
from torch.nn import functional
from torchmetrics.functional.classification import multiclass_calibration_error

from landshift.scores import calibration


@pytest.fixture(scope="module")
def sure():
    """Logits of pixels drawn from their own softmax, made three times too sure, and classes."""
    random = np.random.default_rng(0)
    honest = random.normal(0, 1.5, (20_000, 4))
    odds = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    targets = (random.random((len(odds), 1)) > odds.cumsum(axis=1)).sum(axis=1).astype(np.uint8)
    return (3 * honest).astype(np.float32), targets.clip(max=3)


def test_bins_by_hand():
    logits = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]], np.float32))
    measured = calibration.reliability(logits, np.array([0, 1, 1], np.uint8))
    assert np.flatnonzero(measured.pixels).tolist() == [8, 13]  # 0.6 and 0.9, of 15
    assert measured.pixels[[8, 13]].tolist() == [1, 2]
    assert measured.right[[8, 13]].tolist() == [1, 1]
    assert measured.ece == pytest.approx((abs(1 - 0.6) + abs(1 - 1.8)) / 3)
    assert measured.nll == pytest.approx(-np.log([0.9, 0.1, 0.6]).mean(), rel=1e-5)


def test_the_error_equals_that_of_torchmetrics_and_the_loss_that_of_torch(sure):
    logits, targets = sure
    for temperature in (1.0, 2.5):
        measured = calibration.reliability(logits, targets, temperature)
        scaled, classes = tensor(logits) / temperature, tensor(targets.astype(int))
        theirs = multiclass_calibration_error(scaled.softmax(1), classes, 4, n_bins=15)
        assert measured.ece == pytest.approx(float(theirs), abs=1e-5)
        loss = float(functional.cross_entropy(scaled, classes))
        assert measured.nll == pytest.approx(loss, abs=1e-5)


def test_parts_add_up(sure):
    logits, targets = sure
    halves = [calibration.measure(logits[k::2], targets[k::2], 2.0) for k in (0, 1)]
    whole = calibration.measure(logits, targets, 2.0)
    assert (halves[0] + halves[1]).scaled.ece == pytest.approx(whole.scaled.ece)
    assert (halves[0] + halves[1]).raw.nll == pytest.approx(whole.raw.nll)


def test_the_temperature_undoes_what_made_the_logits_too_sure(sure):
    temperature = calibration.fit_temperature(*sure)
    assert temperature == pytest.approx(3, rel=0.05)
    measured = calibration.measure(*sure, temperature)
    assert measured.raw.ece > 0.1
    assert measured.scaled.ece < 0.01
    for other in (temperature * 0.95, temperature * 1.05):
        assert calibration.reliability(*sure, other).nll > measured.scaled.nll


def test_what_validation_cannot_tell_ends_at_a_bound():
    logits = np.array([[4.0, 0.0], [0.0, 3.0]], np.float32)
    low, high = calibration.TEMPERATURES
    assert calibration.fit_temperature(logits, np.array([0, 1])) == pytest.approx(low, rel=0.01)
    assert calibration.fit_temperature(logits, np.array([1, 0])) == pytest.approx(high, rel=0.01)


def test_nothing_measured_has_no_error():
    measured = calibration.reliability(np.zeros((0, 3), np.float32), np.zeros(0, np.uint8))
    assert (measured.ece, measured.nll) == (None, None)
    assert measured.as_dict()["bins"][0]["accuracy"] is None


def test_bins_as_numbers_by_hand():
    logits = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]], np.float32))
    targets = np.array([0, 1, 1], np.uint8)
    values = calibration.reliability(logits, targets).as_dict()
    assert len(values["bins"]) == 15
    assert [b["from"] for b in values["bins"]] == pytest.approx(np.arange(15) / 15)
    assert [b["to"] for b in values["bins"]] == pytest.approx(np.arange(1, 16) / 15)
    assert [b["pixels"] for b in values["bins"]] == [0] * 8 + [1] + [0] * 4 + [2, 0]
    assert values["bins"][13]["confidence"] == pytest.approx(0.9)
    assert (values["bins"][13]["accuracy"], values["bins"][8]["accuracy"]) == (0.5, 1)
    assert values["bins"][0] == {
        "from": 0, "to": pytest.approx(1 / 15), "pixels": 0, "confidence": None, "accuracy": None,
    }  # fmt: skip
    both = calibration.measure(logits, targets, 2.0).as_dict()
    assert both["temperature"] == 2
    assert both["raw"] == values
    assert both["scaled"] == calibration.reliability(logits, targets, 2.0).as_dict()
    # odds of 0.9 and 0.6 by roots: 3 / 4, and 0.6 ** 0.5 / (0.6 ** 0.5 + 0.4 ** 0.5)
    assert both["scaled"]["bins"][11]["confidence"] == pytest.approx(0.75)
    assert both["scaled"]["bins"][8]["confidence"] == pytest.approx(0.55051, abs=1e-5)


def test_bins_hold_certainty_and_the_least_sure_of_many_classes():
    certain = calibration.reliability(np.array([[200.0, 0]], np.float32), np.array([0], np.uint8))
    assert np.flatnonzero(certain.pixels).tolist() == [14]
    assert certain.ece == pytest.approx(0)
    many = calibration.reliability(np.zeros((1, 40), np.float32), np.array([1], np.uint8))
    assert np.flatnonzero(many.pixels).tolist() == [0]
    assert many.right.sum() == 0  # of equally likely classes the first is taken
    assert many.nll == pytest.approx(np.log(40))


def test_the_sums_of_parts_by_hand():
    logits = np.log(np.array([[0.9, 0.1], [0.4, 0.6]], np.float32))
    one, two = (calibration.reliability(logits[k : k + 1], np.array([0], np.uint8)) for k in (0, 1))
    both = one + two
    assert both.pixels.sum() == 2
    assert both.right.sum() == 1
    assert both.confidence.sum() == pytest.approx(1.5)
    assert both.loss == pytest.approx(-np.log(0.9) - np.log(0.4))


def test_temperatures_from_a_tenth_to_ten_are_searched():
    assert calibration.TEMPERATURES == (0.1, 10)
