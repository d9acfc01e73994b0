import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from landshift.assess import intervals
from landshift.assess.estimators import Estimator, Groups, Strata, judge, quantile
from landshift.assess.figures import Intervals

INFINITE = np.inf


def groups(areas, hits, units):
    areas, hits, units = (np.array(v, float) for v in (areas, hits, units))
    return Groups(areas, hits / units, units, hits.astype(int), units.astype(int))


def sample(areas, counts):
    """An estimator of a sample stratified by the map's classes, and both classes of its units.

    ``counts``: units by class of the map, a row, and of the reference.
    """
    counts = np.array(counts)
    mapped, reference = (np.repeat(k.ravel(), counts.ravel()) for k in np.indices(counts.shape))
    strata = Strata(np.full(len(areas), INFINITE), np.array(areas, float))
    return Estimator(strata, mapped, np.ones(mapped.size)), reference, mapped


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize(("hits", "units"), [(0, 30), (30, 30), (1, 300), (7, 20), (299, 300)])
def test_the_limits_of_a_share_are_those_of_scipy(hits, units, level):
    exact = stats.binomtest(hits, units).proportion_ci(level, method="exact")
    share = intervals.binomial(np.array([hits / units]), np.array([float(units)]), level)
    assert [v[0] for v in share] == pytest.approx([exact.low, exact.high], rel=1e-9)


def test_a_stratum_that_shows_none_is_bounded_as_by_the_rule_of_three():
    # the rule of three is one-sided, 3 / n; two-sided it is -ln 0.025 / n
    interval = intervals.share(groups([1], [0], [300]), 0.95)
    assert (interval.lower, interval.upper) == (0, pytest.approx(3.69 / 300, rel=0.01))
    one_sided = intervals.share(groups([1], [0], [300]), 0.90)
    assert one_sided.upper == pytest.approx(3 / 300, rel=0.01)


def test_strata_are_combined_by_the_distances_of_their_limits():
    # Zou, Huang & Zhang 2009, with exact limits; by hand from scipy's
    areas, hits, units = [100, 900], [18, 1], [20, 90]
    first, second = (
        stats.binomtest(f, n).proportion_ci(method="exact")
        for f, n in zip(hits, units, strict=True)
    )
    total = 100 * 0.9 + 900 / 90
    below = np.hypot(100 * (0.9 - first.low), 900 * (1 / 90 - second.low))
    above = np.hypot(100 * (first.high - 0.9), 900 * (second.high - 1 / 90))
    interval = intervals.share(groups(areas, hits, units), 0.95)
    assert interval.lower * 1000 == pytest.approx(total - below)
    assert interval.upper * 1000 == pytest.approx(total + above)
    assert (interval.strata, interval.hits, interval.units) == ((1, 0), (1, 18), (90, 20))


def test_a_ratio_solves_the_equation_of_donner_and_zou():
    # at a limit r of omitted over found area: (o - r f)^2 = (o - o')^2 + r^2 (f - f')^2
    part, rest = groups([100, 900], [18, 0], [20, 90]), groups([100, 900], [0, 2], [20, 90])
    interval = intervals.ratio(part, rest, 0.95)

    def total(g):
        one = intervals.share(g, 0.95)
        return g.areas @ g.shares, one.lower * 1000, one.upper * 1000

    (f, f_low, f_high), (o, o_low, o_high) = total(part), total(rest)
    most, least = 1 / interval.lower - 1, 1 / interval.upper - 1
    assert (o - most * f) ** 2 == pytest.approx((o_high - o) ** 2 + most**2 * (f - f_low) ** 2)
    assert (o - least * f) ** 2 == pytest.approx((o - o_low) ** 2 + least**2 * (f_high - f) ** 2)
    assert interval.lower < f / (f + o) < interval.upper


def test_a_class_that_the_map_never_finds_has_a_bound_too():
    interval = intervals.ratio(groups([100], [0], [30]), groups([900], [4], [90]), 0.95)
    assert interval.lower == 0
    assert 0 < interval.upper < 0.5


@given(
    st.lists(
        st.tuples(st.floats(0.1, 1e6), st.integers(2, 400), st.floats(0, 1)), min_size=1, max_size=5
    )
)
def test_an_interval_holds_its_estimate_and_stays_within_the_whole(strata):
    areas, units, shares = zip(*strata, strict=True)
    hits = [round(n * p) for n, p in zip(units, shares, strict=True)]
    g = groups(areas, hits, units)
    interval = intervals.share(g, 0.95)
    value = g.areas @ g.shares / g.areas.sum()
    assert 0 <= interval.lower <= value + 1e-9
    assert value - 1e-9 <= interval.upper <= 1
    assert interval.upper > interval.lower


def test_many_units_of_each_kind_leave_the_normal_interval():
    assert not intervals.share(groups([1, 1], [40, 60], [100, 100]), 0.95).strata
    assert intervals.share(groups([1, 1], [40, 4], [100, 100]), 0.95).strata == (1,)
    assert intervals.share(groups([1, 1], [40, 96], [100, 100]), 0.95).strata == (1,)
    # a small stratum decides nothing
    assert not intervals.share(groups([1, 0.01], [40, 0], [100, 100]), 0.95).strata


def test_a_stratum_sampled_whole_adds_nothing():
    strata = Strata(np.array([3.0, 1000]), np.array([3.0, 1000]))
    estimator = Estimator(strata, np.repeat([0, 1], [3, 100]), np.ones(103))
    holds = np.zeros(103)
    holds[0] = 1
    g = estimator.groups(holds, np.ones(103))
    assert g.sizes[0] == INFINITE
    assert g.sizes[1] == pytest.approx(100 / 0.9)
    lower, upper = intervals.binomial(g.shares, g.sizes, 0.95)
    assert lower[0] == upper[0] == pytest.approx(1 / 3)


def test_units_of_unequal_area_count_for_fewer():
    # Kish: (sum a)^2 / sum a^2 = 6^2 / 14
    strata = Strata(np.array([INFINITE]), np.array([60.0]))
    estimator = Estimator(strata, np.zeros(3, int), np.array([1.0, 2, 3]))
    g = estimator.groups(np.array([1.0, 0, 0]), np.ones(3))
    assert (g.sizes[0], g.shares[0]) == (pytest.approx(36 / 14), pytest.approx(1 / 6))


OLOFSSON = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]


def test_which_intervals_of_olofsson_2014_few_units_decide():
    # Areas of deforestation and forest gain rest on 3 units and 1 unit outside their strata; the
    # rest is ordinary, and keeps the interval that the paper prints.
    intervals = Intervals(*sample([18_000, 13_500, 288_000, 580_500], OLOFSSON), 0.95)
    assert [bool(intervals.area(k).strata) for k in range(4)] == [True, True, False, False]
    assert [bool(intervals.producers(k).strata) for k in range(4)] == [True, True, False, False]
    assert not any(intervals.users(k).strata for k in range(4))
    assert not intervals.overall().strata
    # the strata that decide: stable non-forest 2 of 325 and stable forest 1 of 165
    assert (intervals.area(0).strata, intervals.area(0).hits) == ((3, 2), (2, 1))
    assert intervals.area(1).strata == (3, 2)


def test_intervals_of_rare_omissions_hold_the_truth():
    # 37.6 ha of 'to water' on the map, all right; 1,058.2 ha of it in a stratum of 600,000 ha, of
    # whose 100 units most samples find none to be water: 37.6 +- 0.0 then, for 1,095.8 ha
    random = np.random.default_rng(5)
    areas, truth, draws = [37.6, 600_000], 1095.8, 300
    omitted = (truth - 37.6) / areas[1]
    before = after = 0
    for hits in random.binomial(100, omitted, draws):
        estimator, reference, mapped = sample(areas, [[30, 0], [hits, 100 - hits]])
        judged = judge(estimator, reference, mapped, 2).shares.scaled(sum(areas))
        reach = quantile(0.95) * judged.error[0]
        before += abs(judged.value[0] - truth) <= reach
        interval = Intervals(estimator, reference, mapped, 0.95).area(0)
        assert interval.strata == (1,)
        after += interval.lower * sum(areas) <= truth <= interval.upper * sum(areas)
    assert before / draws < 0.28
    assert after / draws > 0.95
