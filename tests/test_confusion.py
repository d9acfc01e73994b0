import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk
from torch import tensor
from torchmetrics.functional.classification import multiclass_jaccard_index

from landshift import confusion
from landshift.classes import IGNORE_INDEX, ClassScheme

SCHEME = ClassScheme.from_mapping({1: "to forest", 2: "to water", 3: "No change"})
CODES = hnp.arrays(np.uint8, 200, elements=st.integers(0, 2))


def test_pairs_are_counted_by_hand():
    reference = np.array([0, 0, 1, 2, IGNORE_INDEX], np.uint8)
    mapped = np.array([0, 1, 1, IGNORE_INDEX, 2], np.uint8)
    assert confusion.count(reference, mapped, 3).tolist() == [
        [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]
    ]  # fmt: skip


def test_scores_by_hand():
    matrix = np.array([[4, 0, 4, 0], [0, 0, 2, 0], [2, 0, 8, 5]])
    scores = confusion.score(matrix, SCHEME)
    assert scores.accuracy == pytest.approx(12 / 20)
    assert scores.classes[0].precision == pytest.approx(4 / 6)
    assert scores.classes[0].recall == pytest.approx(4 / 8)
    assert scores.classes[1].f1 == 0
    assert (scores.change_precision, scores.change_recall) == pytest.approx((4 / 6, 4 / 10))
    assert scores.change_f1 == pytest.approx(2 * 4 / (6 + 10))
    assert (scores.pixels, scores.unmapped) == (20, 5)


def test_the_all_no_change_map_scores_what_it_deserves():
    matrix = np.array([[4, 0, 4, 0], [0, 0, 2, 0], [2, 0, 8, 0]])
    baseline = confusion.score(confusion.all_no_change(matrix, SCHEME), SCHEME)
    assert baseline.accuracy == pytest.approx(0.5)
    assert baseline.change_f1 == 0
    assert confusion.all_no_change(matrix, ClassScheme.from_mapping({1: "a", 2: "b"})) is None


@given(CODES, CODES)
def test_scores_equal_those_of_scikit_learn(reference, mapped):
    scores = confusion.score(confusion.count(reference, mapped, 3), SCHEME)
    assert scores.accuracy == pytest.approx(sk.accuracy_score(reference, mapped))
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        reference, mapped, labels=[0, 1, 2], zero_division=0
    )
    assert [c.precision for c in scores.classes] == pytest.approx(precision)
    assert [c.recall for c in scores.classes] == pytest.approx(recall)
    assert [c.f1 for c in scores.classes] == pytest.approx(f1)
    assert [c.support for c in scores.classes] == support.tolist()
    assert scores.macro_f1 == pytest.approx(
        sk.f1_score(reference, mapped, average="macro", zero_division=0)
    )
    assert scores.change_f1 == pytest.approx(
        sk.f1_score(reference != 2, mapped != 2, zero_division=0)
    )
    present = np.union1d(reference, mapped)
    assert scores.miou == pytest.approx(
        sk.jaccard_score(reference, mapped, labels=present, average="macro", zero_division=0)
    )


def test_iou_equals_that_of_torchmetrics():
    random = np.random.default_rng(0)
    reference, mapped = random.integers(0, 3, (2, 500)).astype(np.uint8)
    scores = confusion.score(confusion.count(reference, mapped, 3), SCHEME)
    theirs = multiclass_jaccard_index(
        tensor(mapped.astype(int)), tensor(reference.astype(int)), 3, average="none"
    )
    assert [c.iou for c in scores.classes] == pytest.approx(theirs.tolist())
