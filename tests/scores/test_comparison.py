"""Results compared with other methods by more than one score."""

from dataclasses import dataclass

import pytest

from landshift.pages.report.formats import ScoresRecord
from landshift.scores.comparison import best, by_rank, spoken, standing


@dataclass
class Result:
    accuracy: float
    macro_f1: float
    change_f1: float | None
    classes: tuple = ()


def test_a_result_stands_better_equal_or_worse_on_each_score():
    ours, theirs = Result(0.81, 0.5, 0.70), Result(0.80, 0.504, 0.75)
    against = standing(ours, theirs)
    assert (against.better, against.equal, against.worse) == (
        ("accuracy",), ("macro F1",), ("change F1",)
    )  # fmt: skip
    turned = standing(theirs, ours)
    assert (turned.better, turned.worse) == (against.worse, against.better)


def test_a_score_that_one_of_them_lacks_is_not_compared():
    against = standing(Result(0.8, 0.5, None), Result(0.7, 0.6, 0.9))
    assert (against.better, against.equal, against.worse) == (("accuracy",), (), ("macro F1",))


def test_methods_rank_by_the_mean_of_the_scores_not_by_change_f1_alone():
    methods = {
        "this": Result(0.27, 0.13, 0.65), "all no change": Result(0.53, 0.12, 0.0),
        "forest": Result(0.7, 0.5, 0.6),
    }  # fmt: skip
    assert list(by_rank(methods)) == ["forest", "this", "all no change"]
    assert best(methods) == {
        "accuracy": ("forest",), "macro F1": ("forest",), "change F1": ("this",)
    }  # fmt: skip


def test_methods_that_are_equal_keep_their_order_and_are_best_together():
    methods = {"b": Result(0.5, 0.5, None), "a": Result(0.5, 0.5, None)}
    assert list(by_rank(methods)) == ["b", "a"]
    assert best(methods) == {"accuracy": ("b", "a"), "macro F1": ("b", "a"), "change F1": ()}


def test_records_of_the_report_are_compared_too():
    record = ScoresRecord(classes=[{"name": "a", "precision": 1.0, "recall": 1.0, "f1": 1.0,
                                    "iou": 1.0, "support": 3}],
                          accuracy=0.9, macro_f1=0.9, miou=0.9, change_f1=None)  # fmt: skip
    assert standing(record, Result(0.8, 0.95, None)).better == ("accuracy",)


@pytest.mark.parametrize(("method", "words"), [("all no change", "no change"),
                                               ("random forest", "the random forest"),
                                               ("mine", "'mine'")])  # fmt: skip
def test_methods_have_names_in_sentences(method, words):
    assert spoken(method) == words
