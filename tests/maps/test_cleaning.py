import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from landshift import raster
from landshift.errors import ParameterError
from landshift.grid import Window
from landshift.maps.cleaning import Patches, majority, parts_of, remove_small

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
    blocks = ((c, parts_of(c, a, neighbours)) for c, a in own)
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


def numbered(codes, areas, size, neighbours):
    """The patches of a map taken by blocks, and each block's numbers."""
    windows = list(raster.blocks(*codes.shape, size))
    patches = Patches(windows, neighbours)
    for w in windows:
        patches.add(codes[w.slices], parts_of(codes[w.slices], areas[w.slices], neighbours))
    patches.join()
    numbers = [patches.numbers(k, codes[w.slices], areas[w.slices]) for k, w in enumerate(windows)]
    return windows, patches, numbers


def test_patch_numbers_by_hand():
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
    windows, patches, numbers = numbered(codes, areas, 3, 4)
    assert [(w.row, w.column) for w in windows] == [(0, 0), (0, 3), (3, 0), (3, 3)]
    # 1 lies in both upper blocks; 3, 2, 4 and both of 5 touch the border of their only block
    assert patches.count == 6
    one, three = numbers[0][0, 0], numbers[0][2, 2]
    assert numbers[0].tolist() == [[one, one, one], [one, -1, -1], [one, -1, three]]
    assert numbers[1][:, 0].tolist() == [one] * 3
    assert patches.areas[one] == 4 * 1 + 2 * 2 + 2 * 3
    assert patches.areas[three] == 3
    assert patches.last[one] == 1
    assert patches.last[three] == 0
    four = numbers[2][1, 0]
    assert numbers[2].tolist() == [[-1, -1, -1], [four, four, -1], [-1, -1, -1]]
    assert (patches.areas[four], patches.last[four]) == (10, 2)
    fives = {numbers[3][1, 0], numbers[3][2, 2]}
    assert len(fives) == 2
    assert sorted(patches.areas[list(fives)]) == [5, 6]
    assert len({one, three, four, numbers[1][0, 2]} | fives) == 6


def test_patches_inside_a_block_are_numbered_after_those_at_borders():
    codes = np.zeros((7, 14), int)
    codes[2, 2], codes[4, 4], codes[3, 0] = 1, 1, 1  # two inside, one at the border
    codes[3, 9] = 2
    _, patches, numbers = numbered(codes, np.ones((7, 14)), 7, 8)
    assert patches.count == 1
    assert patches.whole.tolist() == [0]
    assert (numbers[0][3, 0], numbers[0][2, 2], numbers[0][4, 4]) == (0, 1, 2)
    assert numbers[1][3, 2] == 1  # numbers above the count are of the block alone
    assert (numbers[1] >= 0).sum() == 1


@settings(deadline=None)
@given(
    maps, st.integers(1, 20), st.integers(1, 20), st.integers(1, 9), st.integers(1, 3),
    st.sampled_from([4, 8]),
)  # fmt: skip
def test_patch_numbers_by_blocks_are_those_of_the_whole_map(
    random, height, width, size, kinds, neighbours
):
    codes = random.integers(0, kinds + 1, (height, width))
    areas = random.integers(1, 9, (height, width)).astype(float)
    windows, patches, numbers = numbered(codes, areas, size, neighbours)
    structure = np.ones((3, 3)) if neighbours == 8 else None
    whole = np.zeros((height, width), int)
    for code in np.unique(codes[codes != 0]):
        labels, count = ndimage.label(codes == code, structure)
        whole[labels > 0] = labels[labels > 0] + whole.max()
        assert count
    number_of = {}
    for k, window in enumerate(windows):
        own, labels = numbers[k], whole[window.slices]
        assert ((own < 0) == (labels == 0)).all()
        border = np.ones(own.shape, bool)
        border[1:-1, 1:-1] = False
        at_border = np.unique(own[border & (own >= 0)])
        assert (at_border < patches.count).all()
        assert set(np.unique(own[own >= 0])) - set(at_border) <= set(
            range(patches.count, patches.count + own.size)
        )
        for number, label in zip(own[own >= 0], labels[own >= 0], strict=True):
            name = number if number < patches.count else (k, number)
            assert number_of.setdefault(label, name) == name
            if number < patches.count:
                assert patches.last[number] >= k
    assert len(set(number_of.values())) == len(number_of)  # no two patches share a number
    for label, name in number_of.items():
        if not isinstance(name, tuple):
            assert patches.areas[name] == areas[whole == label].sum()
            reached = [k for k, w in enumerate(windows) if (whole[w.slices] == label).any()]
            assert patches.last[name] == max(reached)
