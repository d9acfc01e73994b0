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
EMISSIONS = consistent.emissions_of(2, 4, RATES, [])
MODEL = consistent.Markov(np.array([0.7, 0.3]), np.array([[0.9, 0.1], [0.2, 0.8]]))
ROWS = arrays.arrays(np.uint8, (5, 4), elements=st.integers(0, 2))  # 2 is none
ANY = np.ones((2, 2), np.bool_)


def solved(rows, model=MODEL, emissions=EMISSIONS, **options):
    rows = np.asarray(rows, np.uint8)
    return model.classes_of(rows, consistent.evidence_of(emissions, rows), **options)


def by_all_sequences(evidence):
    """Joint probability of the evidence and every sequence of true classes."""
    sums = {}
    for path in product(range(2), repeat=len(evidence)):
        p = MODEL.start[path[0]]
        for date, (true, seen) in enumerate(zip(path, evidence, strict=True)):
            p *= seen[true]
            if date:
                p *= MODEL.transitions[path[date - 1], true]
        sums[path] = p
    return sums


@given(ROWS)
def test_posteriors_and_paths_as_by_all_sequences(rows):
    seen = consistent.evidence_of(EMISSIONS, rows)(slice(None))
    weights = np.arange(1.0, 6)
    posterior, moves, logs = MODEL.posteriors(seen, weights)
    paths, sure = solved(rows)
    filled, _ = solved(rows, fill=True)
    likeliest, of_each = solved(rows, marginal=True)
    expected = 0
    for k, row in enumerate(rows):
        sums = by_all_sequences(seen[:, :, k])
        total = sum(sums.values())
        each = np.array([[sum(p for s, p in sums.items() if s[t] == c) / total for c in (0, 1)]
                         for t in range(4)])  # fmt: skip
        np.testing.assert_allclose(posterior[:, :, k], each, atol=1e-9)
        assert logs[k] == pytest.approx(np.log(total))
        expected += weights[k] * sum(
            p / total for s, p in sums.items() for a, b in pairwise(s) if (a, b) == (0, 1)
        )
        classed = row != 2
        assert (paths[k] == np.where(classed, filled[k], 2)).all()
        assert (sure[k][~classed] == 0).all()
        if not classed.any():
            assert (filled[k] == 2).all()
            continue
        assert sums[tuple(filled[k])] == pytest.approx(max(sums.values()), rel=1e-5)
        np.testing.assert_allclose(
            sure[k][classed], each[np.arange(4), filled[k]][classed], rtol=1e-4
        )
        np.testing.assert_allclose(of_each[k][classed], each.max(axis=1)[classed], rtol=1e-4)
        assert (likeliest[k][~classed] == 2).all()
    assert moves[0, 1] == pytest.approx(expected)
    assert moves.sum() == pytest.approx(3 * weights.sum())


def test_three_dates_by_hand():
    """A B A: the middle is A with 0.1 * (0.8 * 0.9 + 0.2 * 0.1)^2, B with 0.9 * 0.26^2, by sums."""
    model = consistent.Markov(np.array([0.5, 0.5]), np.array([[0.8, 0.2], [0.2, 0.8]]))
    emissions = consistent.emissions_of(2, 3, [0.9], [])
    paths, sure = solved([[0, 1, 0]], model, emissions)
    assert paths.tolist() == [[0, 0, 0]]
    a, b = 0.1 * 0.74**2, 0.9 * 0.26**2
    assert sure[0, 1] == pytest.approx(a / (a + b))


def test_one_odd_date_is_an_error_and_two_of_each_a_change():
    model = consistent.Markov(np.array([0.5, 0.5]), np.array([[0.95, 0.05], [0.05, 0.95]]))
    emissions = consistent.emissions_of(2, 5, [0.9], [])
    rows = [[0, 0, 1, 0, 0], [0, 0, 1, 1, 1], [0, 2, 1, 0, 0], [2, 2, 2, 2, 2]]
    none = [2] * 5
    kept = [[0, 0, 0, 0, 0], [0, 0, 1, 1, 1], [0, 2, 0, 0, 0], none]
    filled = [[0, 0, 0, 0, 0], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0], none]
    assert solved(rows, model, emissions)[0].tolist() == kept
    assert solved(rows, model, emissions, fill=True)[0].tolist() == filled


def test_what_can_not_be_still_has_a_likeliest_path():
    model = consistent.Markov(np.array([0.5, 0.5]), np.array([[1.0, 0], [0, 1]]))
    emissions = consistent.emissions_of(2, 4, [1.0], [])
    paths, sure = solved([[0, 0, 0, 1]], model, emissions)
    assert paths.tolist() in ([[0, 0, 0, 0]], [[0, 0, 0, 1]])
    assert (sure > 0.4).all()


def test_probabilities_count_without_the_share_of_their_class():
    """Probabilities equal to the shares say nothing; nor do dates without a class."""
    prior = np.array([0.9, 0.1])
    shares = np.broadcast_to(np.float32([0.9, 0.1])[:, None], (3, 2, 2)).copy()
    shares[1, :, 0] = [0.3, 0.7]
    classed = np.array([[True, True], [True, False], [True, True]])
    seen = consistent.evidence_of_probabilities(shares, classed, prior)(slice(None))
    ratio = seen[:, 0] / seen[:, 1]
    np.testing.assert_allclose(ratio, [[1, 1], [1 / 21, 1], [1, 1]], rtol=1e-5)


@given(ROWS, st.integers(1, 4))
def test_parts_do_not_matter(rows, size):
    whole = solved(rows)
    kept, consistent._CHUNK = consistent._CHUNK, size
    try:
        parts = solved(rows)
    finally:
        consistent._CHUNK = kept
    assert (parts[0] == whole[0]).all()
    np.testing.assert_allclose(parts[1], whole[1], rtol=1e-5)


def drawn(moves, count=40_000, dates=8):
    """True classes of a Markov chain."""
    rng = np.random.default_rng(0)
    true = np.zeros((count, dates), np.uint8)
    for date in range(dates):
        chances = moves[true[:, date - 1]] if date else np.full((count, 3), 1 / 3)
        true[:, date] = (rng.random((count, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return true


def test_estimated_transitions_are_those_of_the_truth():
    moves = np.array([[0.9, 0.1, 0], [0.05, 0.9, 0.05], [0, 0.02, 0.98]])
    true = drawn(moves)
    rng = np.random.default_rng(1)
    wrong = rng.random(true.shape) < 0.2
    mapped = np.where(wrong, (true + rng.integers(1, 3, true.shape)) % 3, true).astype(np.uint8)
    rows, counts = np.unique(mapped, axis=0, return_counts=True)
    emissions = consistent.emissions_of(3, 8, [0.8], [])
    evidence = consistent.evidence_of(emissions, rows)
    model, history = consistent.estimated(evidence, counts, np.ones((3, 3), np.bool_))
    np.testing.assert_allclose(model.transitions, moves, atol=0.03)
    assert all(b >= a - 1e-9 for a, b in pairwise(history))
    paths, _ = solved(mapped, model, emissions)
    assert (paths != true).mean() < 0.5 * wrong.mean()
    possible = moves > 0
    model, _ = consistent.estimated(evidence, counts, possible)
    assert (model.transitions[~possible] == 0).all()
    assert model.transitions[0, 1] == pytest.approx(0.1, abs=0.02)


@given(ROWS, st.integers(0, 10))
def test_the_likelihood_never_falls(rows, seed):
    weights = np.random.default_rng(seed).integers(1, 9, len(rows))
    evidence = consistent.evidence_of(EMISSIONS, rows)
    model, history = consistent.estimated(evidence, weights, ANY)
    assert all(b >= a - 1e-9 for a, b in pairwise(history))
    np.testing.assert_allclose(model.transitions.sum(axis=1), 1)
    np.testing.assert_allclose(model.start.sum(), 1)


@pytest.mark.parametrize(
    ("row", "result", "filled"),
    [
        ("ABAAA", "AAAAA", "AAAAA"),
        ("AABBB", "AABBB", "AABBB"),
        ("ABCAB", "ABCAB", "ABCAB"),
        ("AB.AB", "AB.AB", "ABAAB"),
        ("A.B.A", "A.B.A", "AABAA"),
        ("A...B", "A...B", "AA.BB"),
    ],
)
def test_majority_by_hand(row, result, filled):
    """Of three dates; where each has another class, a date keeps its own."""
    codes = np.array([["ABC.".index(c) for c in row]], np.uint8)

    def letters(fill):
        return "".join("ABC."[c] for c in consistent.majority(codes, 3, 3, fill=fill)[0])

    assert (letters(fill=False), letters(fill=True)) == (result, filled)


def test_confusion_counts_are_divided_by_row():
    table = consistent.emissions_of(2, 3, [], [np.array([[90, 10], [0, 0]])])
    assert table[1].tolist() == [[0.9, 0.1, 1], [0, 1, 1]]


def test_accuracies_of_maps_take_the_kinds_of_errors_from_a_confusion():
    counts = np.array([[50, 30, 10], [0, 9, 0], [4, 0, 6]])
    tables = consistent.emissions_of(3, 2, [0.8, 0.6], [counts])
    np.testing.assert_allclose(
        tables[0, :, :3], [[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.2, 0, 0.8]]
    )
    np.testing.assert_allclose(tables[1, 2, :3], [0.4, 0, 0.6])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (([], []), "must know how right the maps are, .* got neither"),
        (([0.9, 0.8], []), "`accuracy` must be given once, or for each of 4 maps, got 2"),
        (([0.9], [np.eye(2)] * 3), "`confusion` must be given once, or for each of 4 maps, got 3"),
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
