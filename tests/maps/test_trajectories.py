"""Trajectories: what changed for good."""

from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landshift.maps import trajectories
from landshift.maps.trajectories import Lasting, Rules

CLASSES = 3
YEARS = tuple(range(20))


def codes(*texts):
    """Trajectories as 'AAB.B': a letter a date, '.' for none."""
    return np.array([[CLASSES if c == "." else "ABC".index(c) for c in t] for t in texts], np.uint8)


def words(rows):
    return ["".join("ABC."[c] for c in row) for row in rows]


def changes(text, **options):
    """What changed in one trajectory, as plain values."""
    row = codes(text)
    result = trajectories.changes_of(row, CLASSES, YEARS[: row.shape[1]], Lasting(**options))
    return {
        name: "ABC."[value[0]] if name in ("before", "after") else value[0].item()
        for name, value in vars(result).items()
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AAAA", {"known": True, "lasting": 0, "changes": 0, "before": "A", "after": "A"}),
        ("AABB", {"known": True, "lasting": 1, "start": 1, "end": 2, "before": "A", "after": "B"}),
        ("AABBCC", {"lasting": 2, "start": 3, "end": 4, "before": "B", "after": "C"}),
        # a short run between: the change lies between the two that last
        ("AACBB", {"lasting": 1, "changes": 2, "start": 1, "end": 3, "flicker": True}),
        # it comes back: flicker, no change
        ("AABAA", {"lasting": 0, "changes": 2, "flicker": True, "known": True, "after": "A"}),
        # too near the end, or the beginning
        ("AAAB", {"lasting": 0, "known": False, "flicker": False, "before": "A"}),
        ("BAAA", {"lasting": 0, "known": False, "flicker": False}),
        ("ABAAA", {"lasting": 0, "known": True, "flicker": True}),
        # a change that is known, then a class near the end
        ("AABBC", {"lasting": 1, "known": True, "after": "B"}),
        # nothing lasts
        ("ABCAB", {"lasting": 0, "known": False, "before": ".", "after": ".", "flicker": True}),
        # gaps are bridged
        ("AA.BB", {"lasting": 1, "start": 1, "end": 3, "changes": 1}),
        ("A.A.BB", {"lasting": 1, "start": 2, "end": 4}),
        ("....", {"known": False, "changes": 0, "before": "."}),
        (".AA.", {"known": True, "lasting": 0, "before": "A"}),
    ],
)
def test_changes_by_hand(text, expected):
    result = changes(text)
    assert {name: result[name] for name in expected} == expected


def test_years_must_pass_too():
    assert changes("AABB", years=1)["lasting"] == 1
    assert changes("AABB", years=2)["lasting"] == 0
    assert changes("AAABBB", years=2)["lasting"] == 1


def test_a_gap_makes_a_pixel_unknown_where_gaps_are_not_bridged():
    result = changes("AA.BB", bridge=False)
    assert (result["known"], result["lasting"], result["before"]) == (False, 0, ".")
    assert changes("AABB", bridge=False)["lasting"] == 1


def plainly(text, dates):
    """The same by lists: lasting changes, whether flicker, whether known."""
    seen = [(c, k) for k, c in enumerate(text) if c != "."]
    runs = [(c, [k for _, k in g]) for c, g in groupby(seen, key=lambda p: p[0])]
    lasts = [k for k, (_, at) in enumerate(runs) if len(at) >= dates]
    pairs = [(runs[a], runs[b]) for a, b in pairwise(lasts)]
    found = [(a[1][-1], b[1][0], a[0], b[0]) for a, b in pairs if a[0] != b[0]]
    flicker = any(k not in lasts for k in range(1, len(runs) - 1))
    if not lasts:
        return found, flicker, False
    first, last = runs[lasts[0]][0], runs[lasts[-1]][0]
    open_ends = (0 not in lasts and runs[0][0] != first) or (
        len(runs) - 1 not in lasts and runs[-1][0] != last
    )
    return found, flicker, bool(found) or not open_ends


TEXTS = st.text("ABC.", min_size=3, max_size=12)


@given(TEXTS, st.integers(1, 3))
def test_changes_as_by_lists(text, dates):
    result = changes(text, dates=dates)
    found, flicker, known = plainly(text, dates)
    assert result["lasting"] == len(found)
    assert result["known"] == known
    assert result["flicker"] == flicker
    if found:
        assert (
            result["start"], result["end"], result["before"], result["after"]
        ) == found[-1]  # fmt: skip


def ruled(text, forbidden=(), least=(1, 1, 1)):
    table = np.zeros((CLASSES, CLASSES), bool)
    for a, b in forbidden:
        table["ABC".index(a), "ABC".index(b)] = True
    return words(trajectories.ruled(codes(text), CLASSES, Rules(table, np.array(least))))[0]


@pytest.mark.parametrize(
    ("text", "result"), [("AABBC", "AAAAC"), ("BBAAB", "BBAAA"), ("A.BB", "A.AA"), ("CB", "CB")]
)
def test_a_forbidden_change_is_taken_back(text, result):
    assert ruled(text, forbidden=["AB"]) == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("AABAA", "AAAAA"),
        ("AABBA", "AAAAA"),
        ("AABBBA", "AABBBA"),
        ("BAAAA", "BAAAA"),  # the series begins with it
        ("AAAAB", "AAAAB"),  # or ends
        ("AABCBA", "AAACCA"),
        ("AAB.CC", "AAA.CC"),
        ("ABCBC", "AACCC"),
    ],
)
def test_a_class_that_is_too_brief_gives_way(text, result):
    assert ruled(text, least=(1, 3, 1)) == result


@given(TEXTS)
def test_rules_that_forbid_nothing_change_nothing(text):
    assert ruled(text) == text


@given(TEXTS, st.integers(2, 4))
def test_no_run_between_others_is_too_brief(text, least):
    """Of a class with a least duration; the other classes stay as they were or get longer."""
    result = ruled(text, least=(1, least, 1))
    seen = [c for c in result if c != "."]
    runs = [(c, len(list(g))) for c, g in groupby(seen)]
    assert all(n >= least for c, n in runs[1:-1] if c == "B")
    assert [c == "." for c in result] == [c == "." for c in text]


@given(st.lists(TEXTS.map(lambda t: (t * 4)[:6]), min_size=1, max_size=30))
def test_distinct_trajectories_give_the_pixels_back(texts):
    pixels = codes(*texts).T
    rows, number = trajectories.distinct(pixels, CLASSES)
    assert (rows[number] == pixels.T).all()
    assert len(np.unique(rows, axis=0)) == len(rows)


def test_trajectories_that_64_bits_do_not_hold():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 250, (20, 50), dtype=np.uint8)
    assert trajectories.keys_of(pixels, 250).dtype.kind == "V"
    rows, number = trajectories.distinct(pixels, 250)
    assert (rows[number] == pixels.T).all()
