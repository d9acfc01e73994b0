"""Series made consistent in time."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from landshift.errors import ParameterError
from landshift.maps import consistent

RATES = [0.8, 0.6, 0.9, 0.7]
ROWS = arrays.arrays(np.uint8, (5, 4), elements=st.integers(0, 2))


def model(dates=4):
    """Two classes; code 2 is none."""
    return consistent.Markov(
        np.array([0.7, 0.3]), np.array([[0.9, 0.1], [0.2, 0.8]]),
        consistent.emissions_of(2, dates, RATES[:dates], []),
    )  # fmt: skip


def by_all_sequences(of, row):
    """Joint probability of every sequence of true classes, one after another."""
    sums = {}
    for path in product(range(2), repeat=len(row)):
        p = of.start[path[0]]
        for date, (true, seen) in enumerate(zip(path, row, strict=True)):
            p *= of.emissions[date, true, seen]
            if date:
                p *= of.transitions[path[date - 1], true]
        sums[path] = p
    return sums


@given(ROWS)
def test_posteriors_and_paths_as_by_all_sequences(rows):
    of = model()
    posterior, moves, logs = of.posteriors(rows)
    paths, sure = of.paths(rows)
    for k, row in enumerate(rows):
        sums = by_all_sequences(of, row)
        total = sum(sums.values())
        each = [[sum(p for s, p in sums.items() if s[t] == c) / total for c in (0, 1)]
                for t in range(4)]  # fmt: skip
        np.testing.assert_allclose(posterior[k], each, atol=1e-9)
        assert logs[k] == pytest.approx(np.log(total))
        assert moves[k].sum() == pytest.approx(3)
        pairs = sum(p for s, p in sums.items() for a, b in pairwise(s)
                    if (a, b) == (0, 1)) / total  # fmt: skip
        assert moves[k, 0, 1] == pytest.approx(pairs)
        best = max(sums.values())
        classed = row != 2
        assert (paths[k][~classed] == 2).all()
        if classed.all():
            assert sums[tuple(paths[k])] == pytest.approx(best)
            assert sure[k] == pytest.approx(min(each[t][paths[k][t]] for t in range(4)))


def test_by_hand():
    """One odd date among certain ones is an error; two dates of each are a change."""
    of = consistent.Markov(
        np.array([0.5, 0.5]), np.array([[0.95, 0.05], [0.05, 0.95]]),
        consistent.emissions_of(2, 5, [0.9], []),
    )  # fmt: skip
    rows = np.array([[0, 0, 1, 0, 0], [0, 0, 1, 1, 1], [0, 2, 1, 0, 0]], np.uint8)
    assert of.paths(rows)[0].tolist() == [[0, 0, 0, 0, 0], [0, 0, 1, 1, 1], [0, 2, 0, 0, 0]]


def test_estimated_transitions_are_those_of_the_truth():
    rng = np.random.default_rng(0)
    true = np.zeros((40_000, 8), np.uint8)
    moves = np.array([[0.9, 0.1, 0], [0.05, 0.9, 0.05], [0, 0.02, 0.98]])
    for date in range(8):
        chances = moves[true[:, date - 1]] if date else np.full((len(true), 3), 1 / 3)
        true[:, date] = (rng.random((len(true), 1)) > chances.cumsum(axis=1)).sum(axis=1)
    wrong = rng.random(true.shape) < 0.2
    mapped = np.where(wrong, (true + rng.integers(1, 3, true.shape)) % 3, true).astype(np.uint8)
    rows, counts = np.unique(mapped, axis=0, return_counts=True)
    of, history = consistent.estimated(rows, counts, consistent.emissions_of(3, 8, [0.8], []))
    np.testing.assert_allclose(of.transitions, moves, atol=0.03)
    assert all(b >= a - 1e-9 for a, b in pairwise(history))
    paths, _ = of.paths(mapped)
    assert (paths != true).mean() < 0.5 * wrong.mean()


@given(ROWS, st.integers(0, 10))
def test_the_likelihood_never_falls(rows, seed):
    weights = np.random.default_rng(seed).integers(1, 9, len(rows))
    of, history = consistent.estimated(rows, weights, consistent.emissions_of(2, 4, RATES, []))
    assert all(b >= a - 1e-9 for a, b in pairwise(history))
    np.testing.assert_allclose(of.transitions.sum(axis=1), 1)
    np.testing.assert_allclose(of.start.sum(), 1)


@pytest.mark.parametrize(
    ("row", "result"),
    [
        ("ABAAA", "AAAAA"),
        ("AABBB", "AABBB"),
        ("ABCAB", "ABCAB"),
        ("AB.AB", "AB.AB"),
        ("A.B.A", "A.B.A"),
    ],
)
def test_majority_by_hand(row, result):
    """Of three dates; where each has another class, a date keeps its own."""
    codes = np.array([["ABC.".index(c) for c in row]], np.uint8)
    assert "".join("ABC."[c] for c in consistent.majority(codes, 3, 3)[0]) == result


def test_confusion_counts_are_divided_by_row():
    table = consistent.emissions_of(2, 3, [], [np.array([[90, 10], [0, 0]])])
    assert table[1].tolist() == [[0.9, 0.1, 1], [0, 1, 1]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (([], []), "must know how right the maps are, .* got neither"),
        (([0.9], [np.eye(2)]), "got both"),
        (([0.9, 0.8], []), "given once, or for each of 4 maps, got 2"),
        (([0.5], []), r"above that of guessing, 0\.5"),
        (([1.5], []), "at most 1, got 1.5"),
        (([], [np.eye(3)]), "must have 2 rows and columns"),
        (([], [-np.eye(2)]), "numbers from 0 up"),
    ],
)
def test_what_is_known_of_errors_is_checked(given, message):
    with pytest.raises(ParameterError, match=message):
        consistent.emissions_of(2, 4, *given)


@pytest.mark.parametrize("window", [1, 2, 4, -3])
def test_a_window_is_odd(window):
    with pytest.raises(ParameterError, match="`window` must be an odd number"):
        consistent.check_window(window)
