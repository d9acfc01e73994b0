import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk
from torch import tensor
from torchmetrics.functional.classification import multiclass_jaccard_index

from landshift.classes import CODINGS, IGNORE_INDEX, ClassScheme
from landshift.scores import confusion

SCHEME = ClassScheme.from_mapping({1: "to forest", 2: "to water", 3: "No change"})
CODES = hnp.arrays(np.uint8, 200, elements=st.integers(0, 2))
LAND = ClassScheme.from_mapping({1: "forest", 4: "urban", 9: "water"})
MAPS = hnp.arrays(np.uint8, (4, 60), elements=st.sampled_from(LAND.values))


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
    # by chance (8 * 6 + 2 * 0 + 10 * 14) / 400 = 0.47
    assert scores.kappa == pytest.approx((0.6 - 0.47) / (1 - 0.47))
    assert scores.classes[0].precision == pytest.approx(4 / 6)
    assert scores.classes[0].recall == pytest.approx(4 / 8)
    assert scores.classes[1].f1 == 0
    assert (scores.change_precision, scores.change_recall) == pytest.approx((4 / 6, 4 / 10))
    assert scores.change_f1 == pytest.approx(2 * 4 / (6 + 10))
    assert (scores.change_iou, scores.no_change_iou) == pytest.approx((4 / 12, 8 / 16))
    assert scores.miou_bc == pytest.approx((4 / 12 + 8 / 16) / 2)
    assert scores.change_macro_f1 == pytest.approx((2 * 4 / 14 + 0) / 2)
    assert (scores.pixels, scores.unmapped) == (20, 5)


def test_what_is_not_defined_is_none():
    absent = confusion.score(np.array([[4, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]), SCHEME)
    assert absent.classes[1] == confusion.ClassScores("to water", None, None, None, None, 0)
    assert (absent.classes[2].precision, absent.classes[2].recall) == (None, 0)
    assert absent.macro_f1 == pytest.approx((8 / 9 + 0) / 2)
    still = confusion.score(np.diag([0, 0, 7]) @ np.eye(3, 4, dtype=int), SCHEME)
    assert (still.change_f1, still.change_macro_f1, still.miou_bc) == (None, None, None)
    assert (still.kappa, still.accuracy, still.no_change_f1) == (None, 1, 1)
    empty = confusion.score(np.zeros((3, 4), int), SCHEME)
    assert (empty.accuracy, empty.macro_f1, empty.kappa) == (0, 0, None)
    one = confusion.score(np.array([[3, 1]]), ClassScheme.from_mapping({1: "forest"}))
    assert (one.accuracy, one.kappa, one.change_f1, one.unmapped) == (1, None, None, 1)


def test_a_to_class_map_has_no_semantic_scores_and_a_from_to_map_has_both():
    scores = [
        confusion.score(np.ones((len(s), len(s) + 1), int), s)
        for s in (coding(LAND) for coding in CODINGS.values())
    ]
    assert [s.miou_bc is not None for s in scores] == [True, True, True]
    assert [s.pooled is not None for s in scores] == [False, True, False]
    assert [s.from_to is not None for s in scores] == [False, True, False]


def test_the_all_no_change_map_scores_what_it_deserves():
    matrix = np.array([[4, 0, 4, 0], [0, 0, 2, 0], [2, 0, 8, 0]])
    baseline = confusion.score(confusion.all_no_change(matrix, SCHEME), SCHEME)
    assert baseline.accuracy == pytest.approx(0.5)
    assert baseline.change_f1 == 0
    assert confusion.all_no_change(matrix, ClassScheme.from_mapping({1: "a", 2: "b"})) is None


@given(MAPS)
def test_the_all_no_change_map_scores_the_same_in_every_coding(maps):
    before, after, *_ = maps
    scores = []
    for make in CODINGS.values():
        scheme = make(LAND)
        truth = scheme.to_indices(scheme.code(before, after))
        matrix = confusion.count(truth, truth, len(scheme))
        scores.append(confusion.score(confusion.all_no_change(matrix, scheme), scheme))
    assert len({s.accuracy for s in scores}) == 1
    assert scores[0].accuracy == pytest.approx((before == after).mean())
    assert {s.change_recall for s in scores} <= {0.0, None}
    assert scores[1].from_to.sek in (None, 0)


def test_an_all_no_change_map_without_the_class_before_takes_the_commonest():
    scheme = ClassScheme.from_mapping({1: "a->a", 2: "b->b", 3: "b->a", 4: "c->a"})
    matrix = np.diag([5, 1, 1, 1]) @ np.eye(4, 5, dtype=int)
    assert confusion.all_no_change(matrix, scheme)[:, :2].tolist() == [
        [5, 0], [0, 1], [0, 1], [1, 0]
    ]  # fmt: skip


@given(CODES, CODES)
def test_scores_equal_those_of_scikit_learn(reference, mapped):
    scores = confusion.score(confusion.count(reference, mapped, 3), SCHEME)
    assert scores.accuracy == pytest.approx(sk.accuracy_score(reference, mapped))
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        reference, mapped, labels=[0, 1, 2], zero_division=np.nan
    )
    for name, theirs in (("precision", precision), ("recall", recall), ("f1", f1)):
        ours = [np.nan if (v := getattr(c, name)) is None else v for c in scores.classes]
        assert ours == pytest.approx(theirs, nan_ok=True)
    assert [c.support for c in scores.classes] == support.tolist()
    present = np.union1d(reference, mapped)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(
        reference, mapped, labels=present, average="macro", zero_division=0
    )
    assert (scores.macro_precision, scores.macro_recall) == pytest.approx((precision, recall))
    assert scores.macro_f1 == pytest.approx(f1)
    assert scores.miou == pytest.approx(
        sk.jaccard_score(reference, mapped, labels=present, average="macro", zero_division=0)
    )
    if scores.kappa is not None:
        assert scores.kappa == pytest.approx(sk.cohen_kappa_score(reference, mapped))
    else:
        assert len(present) == 1
    change = sk.precision_recall_fscore_support(
        reference != 2, mapped != 2, average="binary", zero_division=np.nan
    )
    ours = (scores.change_precision, scores.change_recall, scores.change_f1)
    assert [np.nan if v is None else v for v in ours] == pytest.approx(change[:3], nan_ok=True)


def test_iou_equals_that_of_torchmetrics():
    random = np.random.default_rng(0)
    reference, mapped = random.integers(0, 3, (2, 500)).astype(np.uint8)
    scores = confusion.score(confusion.count(reference, mapped, 3), SCHEME)
    theirs = multiclass_jaccard_index(
        tensor(mapped.astype(int)), tensor(reference.astype(int)), 3, average="none"
    )
    assert [c.iou for c in scores.classes] == pytest.approx(theirs.tolist())


def slow_semantic(reference, mapped):
    """Fscd, kappa and SeK of two lists of labels, 0 no change, pixel by pixel, with sklearn."""
    pairs = [(r, m) for r, m in zip(reference, mapped, strict=True) if (r, m) != (0, 0)]
    both = sum(r != 0 and m != 0 for r, m in pairs)
    right = sum(r == m for r, m in pairs)
    changed, called = sum(r != 0 for r, _ in pairs), sum(m != 0 for _, m in pairs)
    if not pairs:
        return None, None, None
    fscd = 2 / (changed / right + called / right) if right else 0.0
    iou = both / len(pairs)
    if len(set(pairs)) == 1 and pairs[0][0] == pairs[0][1]:
        return fscd, None, None
    kappa = sk.cohen_kappa_score(*zip(*pairs, strict=True))
    return fscd, kappa, kappa * math.exp(iou) / math.e


@given(MAPS)
def test_semantic_scores_equal_a_slow_count_of_pixels_under_both_protocols(maps):
    before, after, before_map, after_map = maps
    scheme = CODINGS["from-to"](LAND)
    truth = scheme.to_indices(scheme.code(before, after))
    mapped = scheme.to_indices(scheme.code(before_map, after_map))
    scores = confusion.score(confusion.count(truth, mapped, len(scheme)), scheme)
    changed, called = before != after, before_map != after_map
    pooled = (
        [*np.where(changed, before, 0), *np.where(changed, after, 0)],
        [*np.where(called, before_map, 0), *np.where(called, after_map, 0)],
    )
    codes = np.where(changed, truth + 1, 0), np.where(called, mapped + 1, 0)
    for semantic, labels in ((scores.pooled, pooled), (scores.from_to, codes)):
        fscd, kappa, sek = slow_semantic(*labels)
        assert (semantic.fscd, semantic.kappa, semantic.sek) == pytest.approx((fscd, kappa, sek))
        if sek is not None and scores.miou_bc is not None:
            assert semantic.score == pytest.approx(0.3 * scores.miou_bc + 0.7 * sek)


def test_semantic_scores_by_hand():
    scheme = ClassScheme.from_mapping({1: "a->b", 2: "b->a", 3: "No change"})
    # 6 pixels a->b, of which 3 right, 1 called b->a, 2 missed; 2 false alarms; 92 unchanged
    matrix = np.array([[3, 1, 2, 0], [0, 0, 0, 0], [2, 0, 92, 0]])
    scores = confusion.score(matrix, scheme)
    iou, still = 4 / 8, 92 / 96
    assert scores.miou_bc == pytest.approx((iou + still) / 2)
    # Q with q00 = 0: rows (0, 2, 0), (2, 3, 1), (0, 0, 0)
    kappa = (3 / 8 - (2 * 2 + 6 * 5) / 64) / (1 - (2 * 2 + 6 * 5) / 64)
    assert scores.from_to.fscd == pytest.approx(2 * 3 / (6 + 6))
    assert scores.from_to.kappa == pytest.approx(kappa)
    assert scores.from_to.sek == pytest.approx(kappa * math.exp(iou - 1))
    # each pixel twice: 3 right as a and as b; a called b and b called a; misses; false alarms
    kappa = (6 / 16 - (4 * 4 + 6 * 6 + 6 * 6) / 256) / (1 - (4 * 4 + 6 * 6 + 6 * 6) / 256)
    assert scores.pooled.kappa == pytest.approx(kappa)
    assert scores.pooled.sek == pytest.approx(kappa * math.exp(iou - 1))
    assert scores.pooled.fscd == pytest.approx(scores.from_to.fscd)


def test_no_change_may_be_one_class_or_several():
    several = CODINGS["from-to"](LAND)
    one = ClassScheme.from_mapping({**several.mapping, 1: "No change"})  # forest->forest renamed
    matrix = np.arange(90).reshape(9, 10)
    of_one, expected = confusion.score(matrix, one), confusion.score(matrix, several)
    assert (of_one.from_to, of_one.pooled) == (expected.from_to, expected.pooled)
    assert of_one.change_f1 == expected.change_f1


def test_transitions_are_counted_in_the_reference_the_map_and_both():
    scheme = CODINGS["from-to"](ClassScheme.from_mapping({1: "a", 2: "b"}))
    matrix = np.array([[5, 1, 0, 0, 2], [0, 3, 0, 0, 0], [0, 0, 0, 4, 0], [1, 0, 0, 7, 0]])
    counts = confusion.transition_counts(matrix, scheme)
    assert counts.classes == ("a", "b")
    assert counts.reference.tolist() == [[6, 3], [4, 8]]
    assert counts.mapped.tolist() == [[6, 4], [0, 11]]
    assert counts.right.tolist() == [[5, 3], [0, 7]]
    assert confusion.transition_counts(np.ones((3, 4), int), SCHEME) is None
