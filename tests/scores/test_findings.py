"""How a result went, in plain words."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from landshift.classes import ClassScheme
from landshift.scores import confusion
from landshift.scores.comparability import not_comparable
from landshift.scores.findings import (
    FEW_STEPS,
    KINDS,
    Finding,
    LearningRecord,
    mapped_and_reference,
    of_learning,
    of_pixels,
    of_scores,
    pixels_of,
    ranked,
    steps_of,
)

NAMES = ("forest", "water", "No change")
SCHEME = ClassScheme.from_mapping(dict(enumerate(NAMES, start=1)))

GOOD = [[2000, 100, 300, 0], [100, 2000, 300, 0], [200, 200, 9000, 0]]
USELESS = [[10, 2290, 100, 0], [10, 2090, 300, 0], [20, 9280, 100, 0]]


def scored(counts):
    return confusion.score(np.array(counts), SCHEME)


def no_change(counts):
    return confusion.score(confusion.all_no_change(np.array(counts), SCHEME), SCHEME)


def kinds(findings):
    return [f.kind for f in findings]


def test_a_result_worse_than_no_change_says_on_which_scores_and_by_how_much():
    [first, *_] = of_scores(scored(USELESS), {"all no change": no_change(USELESS)})
    assert first.kind == "worse-than-no-change"
    assert first.text == (
        "Worse than no change on accuracy (0.155 against 0.662) and macro F1 (0.096 against "
        "0.266); better on change F1."
    )
    assert "semantic" in first.advice
    assert "`stride`" in first.advice


def test_a_good_result_is_called_so_in_one_sentence():
    simpler = [[1800, 200, 400, 0], [200, 1800, 400, 0], [300, 300, 8800, 0]]
    findings = of_scores(
        scored(GOOD), {"all no change": no_change(GOOD), "random forest": scored(simpler)}
    )
    assert kinds(findings) == ["better-than-simpler"]
    assert findings[0].text == (
        "Better than no change and the random forest on accuracy (0.915), macro F1 (0.883) and "
        "change F1 (0.894)."
    )
    assert findings[0].advice == ""


def test_rules_that_do_better_are_told_apart_from_those_that_do_worse():
    findings = of_scores(
        scored(GOOD), {"linear discriminant": scored(USELESS), "random forest": scored(GOOD)}
    )
    assert kinds(findings) == ["worse-than-simpler", "better-than-simpler"]
    assert findings[0].text == (
        "No better than the random forest on accuracy, macro F1 and change F1."
    )
    assert "Better than the linear discriminant on" in findings[1].text


def test_advice_is_given_once():
    findings = of_scores(
        scored(USELESS), {"all no change": no_change(USELESS), "random forest": scored(GOOD)}
    )
    assert [f.advice != "" for f in findings][:2] == [True, False]


def test_a_model_that_learns_the_classes_of_both_dates_is_not_advised_again():
    others = {"random forest": scored(GOOD)}
    assert "semantic" not in of_scores(scored(USELESS), others, semantic=True)[0].advice


def test_a_map_of_one_date_is_not_advised_to_learn_two():
    scheme = ClassScheme.from_mapping({1: "a", 2: "b"})
    worse, better = (
        confusion.score(np.array(m), scheme) for m in ([[1, 3, 0], [0, 4, 0]], [[4, 0, 0]] * 2)
    )
    assert "semantic" not in of_scores(worse, {"random forest": better})[0].advice


def test_classes_never_mapped_never_right_and_with_few_pixels_are_named():
    findings = of_scores(
        scored([[0, 0, 3000, 0], [0, 0, 200, 0], [0, 20, 5000, 0]]), {}
    )  # fmt: skip
    assert [(f.kind, f.text) for f in findings] == [
        ("never-mapped", "Never mapped, though in the reference: forest (3,000)."),
        ("never-right", "Mapped, but nowhere right (F1 of 0): water."),
        ("few-reference", "Few reference pixels: water (200). Their scores are uncertain."),
    ]
    assert findings[1].advice == ""


def test_without_a_reference_pixel_nothing_is_found():
    empty = np.zeros((3, 4), np.int64)
    assert of_scores(scored(empty), {"all no change": no_change(empty)}) == []


def test_few_points_are_fewer_than_few_pixels():
    counts = [[30, 0, 0, 0], [0, 9, 0, 0], [0, 0, 40, 0]]
    [finding] = of_scores(scored(counts), {}, counted="points")
    assert "Few reference points: water (9)." in finding.text


def test_one_class_that_fills_the_map_is_set_against_the_reference():
    mapped, reference = mapped_and_reference(USELESS, NAMES)
    assert mapped == {"forest": 40, "water": 13660, "No change": 500}
    assert reference == {"forest": 2400, "water": 2400, "No change": 9400}
    [finding] = of_pixels(mapped, reference)
    assert finding.kind == "one-class"
    assert finding.text.startswith("96.2% of the map is 'water', but 16.9% of the reference")


@pytest.mark.parametrize(
    ("share", "true", "kinds_"),
    [(0.94, 0.1, []), (0.96, 0.95, []), (0.96, 0.93, []), (0.97, 0.93, ["one-class"]),
     (1.0, 1.0, [])],
)  # fmt: skip
def test_a_map_may_be_as_uniform_as_its_reference(share, true, kinds_):
    mapped, reference = (
        {"a": round(10_000 * s), "b": round(10_000 * (1 - s))} for s in (share, true)
    )
    assert kinds(of_pixels(mapped, reference)) == kinds_


def test_without_a_reference_a_map_may_be_unchanged_but_not_one_change():
    pixels = {"to forest": 4, "No change": 996}
    assert of_pixels(pixels, unchanged=["No change"]) == []
    assert kinds(of_pixels(pixels)) == ["one-class"]
    assert of_pixels({}) == of_pixels({"a": 0}) == []


def test_classes_without_a_training_pixel_are_named():
    [finding] = of_learning(LearningRecord(pixels={"forest": 9, "water": 0}))
    assert (finding.kind, "is of water:" in finding.text) == ("unseen", True)


@pytest.mark.parametrize(
    ("training", "validation", "kinds_"),
    [
        ([1.9, 1.5, 1.1, 0.9, 0.8], [2.0, 5.0, 4.0, 2.5, 1.9], ["too-few-steps"]),
        ([1.9, 1.5, 1.1, 0.9, 0.8], [2.0, 1.5, 1.1, 1.0, 0.91], []),  # by a tenth
        ([1.9, 1.5, 1.1, 0.7, 0.8], [2.0, 1.5, 1.1, 1.0, 0.8], []),  # training has ended
        ([1.9, 1.0, 0.7, 0.4, 0.2], [2.0, 0.9, 1.0, 1.1, 1.3], ["too-many-steps"]),
        ([1.9, 1.0, 0.7, 0.4, 0.2], [2.0, 0.9, 0.95, 0.92, 0.95], []),  # no longer better
        ([1.9, 1.0], [2.0, 1.5], ["too-few-steps"]),
        ([1.9], [2.0], []),
        ([1.9, float("nan")], [2.0, 1.0], []),
        ([], [], []),
    ],
)
def test_the_training_table_says_whether_it_was_too_short_or_too_long(training, validation, kinds_):
    assert kinds(of_learning(LearningRecord(training, validation))) == kinds_


def test_a_training_that_was_too_short_shows_its_last_quarter():
    [finding] = of_learning(LearningRecord([1.9, 1.5, 1.1, 0.9, 0.8], [2.0, 5.0, 4.0, 2.5, 1.9]))
    assert finding.text == (
        "The loss still falls: from epoch 3 to the last one in training from 0.9 to 0.8, in "
        "validation from 2.5 to 1.9."
    )
    assert "20 epochs (`epochs` of `landshift train`)" in finding.advice


def test_findings_are_ranked_each_once():
    findings = [Finding(kind, "Text.") for kind in ("few-reference", "shifted", "one-class")]
    assert kinds(ranked(findings * 2)) == ["one-class", "shifted", "few-reference"]


def test_a_finding_is_a_line_and_a_json_object():
    assert str(Finding("unseen", "No pixel.")) == "No pixel."
    finding = Finding("unseen", "No pixel.", "Cut more.")
    assert str(finding) == "No pixel. Cut more."
    assert finding.as_dict() == {"kind": "unseen", "text": "No pixel.", "advice": "Cut more."}


def every_finding():
    """A finding of each kind, and each advice."""
    no_change_ = {"all no change": no_change(USELESS), "random forest": scored(GOOD)}
    band = {"difference": 30.0, "deviation": 5.0, "correlation": 0.1}
    findings = [
        *of_scores(scored(USELESS), no_change_),
        *of_scores(scored(USELESS), {"random forest": scored(GOOD)}, semantic=True),
        *of_scores(scored(GOOD), {"all no change": no_change(GOOD)}),
        *of_scores(scored([[0, 0, 3, 0], [0, 0, 2, 0], [0, 2, 5, 0]]), {}),
        *of_scores(scored([[0, 3, 3, 0], [0, 2, 2, 0], [0, 2, 5, 0]]), {}),
        *of_pixels({"a": 1}, {"a": 1, "b": 1}),
        *of_learning(LearningRecord([1.9, 1.0], [2.0, 1.5], {"a": 0})),
        *of_learning(LearningRecord([3, 2, 1, 0.5], [1, 2, 3, 4])),
        *not_comparable({"radiometry": {"2005": {"red": band}}}),
    ]
    assert {f.kind for f in findings} == set(KINDS)
    return findings


def test_advice_names_parameters_that_the_command_line_spells_alike():
    pinned = json.loads((Path(__file__).parents[1] / "cli" / "cli_options.json").read_text())
    spelled = re.findall(r"--[a-z-]+", json.dumps(pinned))
    for finding in every_finding():
        for name in re.findall(r"`(\w+)`", finding.advice):
            assert f"--{name.replace('_', '-')}" in spelled


def test_advice_says_whose_its_options_are():
    """`landshift evaluate` and pages print it too, which have none of them."""
    for finding in every_finding():
        if re.search(r"`\w+`", finding.advice):
            assert re.search(r"`\w+`[^`]* of `landshift \w+`", finding.advice), finding.advice


def test_texts_are_sentences():
    for finding in every_finding():
        assert re.fullmatch(r"[A-Z0-9].*\.", finding.text), finding
        assert re.fullmatch(r"([A-Z][^.]*\.)?", finding.advice), finding
        assert len(finding.text) < 400


def test_a_training_of_few_steps_is_too_short_whatever_its_loss() -> None:
    [finding] = of_learning(LearningRecord([1.9], [2.0], steps=10))
    assert finding.kind == "too-few-steps"
    assert finding.text == "The training made 10 steps in all, too few to learn from."
    assert not of_learning(LearningRecord([1.9], [2.0], steps=FEW_STEPS))


def test_a_record_of_a_training_gives_steps_and_pixels_or_nothing() -> None:
    assert steps_of({"steps": 7}) == 7
    assert pixels_of({"pixels": {"a": 0, "b": 3}}) == {"a": 0, "b": 3}
    for steps, pixels in (("7", [1]), (-1, {"a": "x"}), (None, {"a": -3})):
        assert steps_of({"steps": steps}) is None
        assert pixels_of({"pixels": pixels}) == {}
    assert (steps_of({}), pixels_of({})) == (None, {})
