import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from landshift import raster
from landshift.errors import ParameterError
from landshift.grid import Window
from landshift.maps.cleaning import Patches, majority, parts_of, remove_small
from landshift.maps.runs import Runs

NONE = 255


def test_majority_by_hand():
    indices = np.array([[0, 0, 1], [0, 2, 1], [NONE, 1, 1]], np.uint8)
    # the middle: 0 three times, 1 four times; the corners keep their own class in a draw
    assert majority(indices, 3, NONE).tolist() == [[0, 0, 1], [0, 1, 1], [NONE, 1, 1]]


def test_of_equally_common_classes_the_own_wins_else_the_lowest():
    assert majority(np.array([[0, 1]], np.uint8), 3, NONE).tolist() == [[0, 1]]
    assert majority(np.array([[1, 1, 2, 0, 0]], np.uint8), 5, NONE)[0, 2] == 0


@pytest.mark.parametrize("size", [1, 4, 13])
def test_other_sizes_of_the_filter_are_refused(size):
    with pytest.raises(ParameterError, match="3, 5, 7, 9 or 11"):
        majority(np.zeros((3, 3), np.uint8), size, NONE)


maps = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@settings(deadline=None)
@given(maps, st.sampled_from([3, 5, 11]), st.integers(1, 20), st.integers(1, 20))
def test_majority_is_that_of_a_brute_count_and_the_same_by_blocks(random, size, height, width):
    indices = random.choice(np.array([0, 1, 2, NONE], np.uint8), (height, width))
    whole = majority(indices, size, NONE)
    half = size // 2
    padded = np.pad(indices, half, constant_values=NONE)
    for row, column in np.ndindex(height, width):
        square = padded[row : row + size, column : column + size]
        own = indices[row, column]
        counts = np.bincount(square[square != NONE], minlength=3)
        draw = np.flatnonzero(counts == counts.max())
        expected = NONE if own == NONE else own if own in draw else draw[0]
        assert whole[row, column] == expected
    for window in raster.blocks(height, width, 7):
        grown = window.shifted(half, half).grown(half)
        block = majority(padded[grown.slices], size, NONE)
        inner = block[half : half + window.height, half : half + window.width]
        assert (inner == whole[window.slices]).all()


def small_by_blocks(codes, areas, size, least, neighbours):
    windows = list(raster.blocks(*codes.shape, size))
    own = [(codes[w.slices], areas[w.slices[0], None]) for w in windows]
    blocks = (parts_of(c, a, neighbours) for c, a in own)
    small = remove_small(windows, blocks, least=least, neighbours=neighbours)
    result = np.zeros(codes.shape, bool)
    for k, w in enumerate(windows):
        result[w.slices] = small(k, codes[w.slices], areas[w.slices[0], None])
    return result


def small_whole(codes, areas, least, neighbours):
    """The oracle: scipy's labels of each code on the whole map."""
    structure = np.ones((3, 3)) if neighbours == 8 else None
    result = np.zeros(codes.shape, bool)
    for code in np.unique(codes[codes != 0]):
        labels, n = ndimage.label(codes == code, structure)
        sums = ndimage.sum_labels(
            np.broadcast_to(areas[:, None], codes.shape), labels, np.arange(n + 1)
        )
        result |= (sums < least)[labels] & (codes == code)
    return result


@settings(deadline=None)
@given(
    maps,
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(1, 12),
    st.integers(1, 3),
    st.integers(1, 40),
    st.sampled_from([4, 8]),
)
def test_small_patches_by_blocks_are_those_of_the_whole_map(
    random, height, width, size, kinds, least, neighbours
):
    codes = random.integers(0, kinds + 1, (height, width))
    areas = np.ones(height)
    assert (
        small_by_blocks(codes, areas, size, least, neighbours)
        == small_whole(codes, areas, least, neighbours)
    ).all()


@settings(max_examples=12, deadline=None)
@given(maps, st.integers(3, 9), st.sampled_from([4, 8]))
def test_patches_that_wind_through_many_blocks_are_one(random, size, neighbours):
    codes = np.ones((31, 31), int)
    codes[1::4, :-1] = codes[3::4, 1:] = 0  # one snake
    codes[random.integers(0, 31), random.integers(0, 31)] = 2
    areas = random.random(31) + 0.5
    for least in (50.0, 200.0, 800.0):
        assert (
            small_by_blocks(codes, areas, size, least, neighbours)
            == small_whole(codes, areas, least, neighbours)
        ).all()


def test_a_patch_of_exactly_the_least_size_stays():
    codes = np.array([[1, 1, 0, 2], [0, 1, 0, 2]])
    result = small_by_blocks(codes, np.ones(2), 2, 3, 4)
    assert result.tolist() == [[False, False, False, True], [False, False, False, True]]


def test_other_neighbours_are_refused():
    with pytest.raises(ParameterError, match="4 or 8 neighbours, got 6"):
        remove_small([Window(0, 0, 1, 1)], [], least=1, neighbours=6)


def joined(codes, areas, size, neighbours):
    """The patches of a map taken by blocks: the pixels and area of each that meets a border."""
    windows = list(raster.blocks(*codes.shape, size))
    patches = Patches(windows, neighbours)
    complete = []
    rows, held, sums, first = [], [], [], 0
    for w in windows:
        own, pixels = codes[w.slices], []
        parts = parts_of(own, areas[w.slices], neighbours)
        labels = Runs.of(own)
        labels = labels.spread(labels.patches(neighbours))
        for part in parts.at_border:
            where = np.zeros(codes.shape, bool)
            where[w.slices] = labels == part
            pixels.append(where)
        held += pixels
        sums += parts.sums[parts.at_border].tolist()
        assert patches.count == first
        row = patches.add(parts)
        if row is None:
            first += len(pixels)
            continue
        union = [np.zeros(codes.shape, bool) for _ in range(int(row.whole.max(initial=-1)) + 1)]
        for number, where in zip(row.whole, held, strict=True):
            union[number] |= where
        totals = row.sums(np.array(sums))
        complete += list(zip(union[row.going_on :], totals[row.going_on :], strict=True))
        held, sums, first = union[: row.going_on], totals[: row.going_on].tolist(), row.going_on
        rows.append(row)
    assert not held
    return complete, rows


def test_joined_patches_by_hand():
    codes = np.array(
        [
            [1, 1, 1, 1, 0, 2],
            [1, 0, 0, 1, 0, 2],
            [1, 0, 3, 1, 0, 0],
            [0, 0, 0, 0, 0, 0],
            [4, 4, 0, 5, 0, 0],
            [0, 0, 0, 0, 0, 5],
        ]
    )
    areas = np.arange(1.0, 7.0)[:, np.newaxis] * np.ones(6)
    complete, (upper, lower) = joined(codes, areas, 3, 4)
    # 1 lies in both upper blocks; 1 and 3 may go on below, 2 doesn't
    assert (upper.whole.size, upper.going_on, lower.going_on) == (4, 2, 0)
    assert upper.whole[0] == upper.whole[2]
    assert len(complete) == 6
    areas_of = {(int(codes[where][0]), float(area)) for where, area in complete}
    assert areas_of == {(1, 14.0), (2, 3.0), (3, 3.0), (4, 10.0), (5, 5.0), (5, 6.0)}


def test_patches_inside_a_block_are_not_joined():
    codes = np.zeros((7, 14), int)
    codes[2, 2], codes[4, 4], codes[3, 0] = 1, 1, 1  # two inside, one at the border
    codes[3, 9] = 2
    ((where, area),), _ = joined(codes, np.ones((7, 14)), 7, 8)
    assert (np.argwhere(where).tolist(), area) == ([[3, 0]], 1)
    parts = parts_of(codes[:, :7], np.ones((1, 1)), 8)
    assert sorted(parts.sums[parts.codes == 1]) == [1, 1, 1]


@settings(deadline=None)
@given(
    maps, st.integers(1, 20), st.integers(1, 20), st.integers(1, 9), st.integers(1, 3),
    st.sampled_from([4, 8]),
)  # fmt: skip
def test_joined_patches_are_those_of_the_whole_map(random, height, width, size, kinds, neighbours):
    codes = random.integers(-1, kinds, (height, width))
    areas = random.integers(1, 9, (height, width)).astype(float)
    complete, rows = joined(codes, areas, size, neighbours)
    structure = np.ones((3, 3)) if neighbours == 8 else None
    at_border = np.zeros((height, width), bool)
    for w in raster.blocks(height, width, size):
        block = at_border[w.slices]
        block[[0, -1]] = block[:, [0, -1]] = True
    expected = []
    for code in np.unique(codes[codes != 0]):
        labels, count = ndimage.label(codes == code, structure)
        own = [labels == k for k in range(1, count + 1)]
        expected += [(where, areas[where].sum()) for where in own if (where & at_border).any()]

    def in_order(patches):
        return sorted((where.tobytes(), area) for where, area in patches)

    assert in_order(complete) == in_order(expected)
    assert all(row.going_on <= width for row in rows)  # memory follows the width


@settings(deadline=None)
@given(maps, st.integers(1, 12), st.integers(1, 12))
def test_runs_and_their_sums(random, height, width):
    codes = random.integers(0, 3, (height, width))
    values = random.integers(0, 9, (height, width))
    runs = Runs.of(codes)
    assert (runs.spread(runs.code) == codes).all()
    assert (runs.spread(np.arange(runs.first.size)) == runs.of_pixel).all()
    assert runs.lengths.sum() == codes.size
    expected = np.bincount(runs.of_pixel.ravel(), values.ravel())
    assert (runs.sums(values) == expected).all()
    by_row = values[:, :1]
    expected = np.bincount(runs.of_pixel.ravel(), np.broadcast_to(by_row, codes.shape).ravel())
    assert (runs.sums(by_row) == expected).all()
