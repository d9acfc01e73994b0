import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.errors import ParameterError
from landshift.grid import Window
from landshift.raster.tiling import plan_inference, training_windows

SIZE = st.integers(1, 90)


def test_training_windows_by_hand():
    starts = [w.column for w in training_windows(256, 600, 256, 128)]
    assert starts == [0, 128, 256, 344]


def test_a_raster_smaller_than_a_tile_gives_one_window():
    assert list(training_windows(100, 80, 256, 128)) == [Window(0, 0, 256, 256)]


@given(SIZE, SIZE, st.integers(1, 40), st.integers(1, 40), st.data())
def test_training_windows_cover_every_pixel(height, width, rows, columns, data):
    stride = data.draw(st.integers(1, rows)), data.draw(st.integers(1, columns))
    seen = np.zeros((height, width), int)
    for window in training_windows(height, width, (rows, columns), stride):
        seen[window.slices] += 1
        assert (window.height, window.width) == (rows, columns)
        assert window.row == 0 or window.row + rows <= height
        assert window.column == 0 or window.column + columns <= width
    assert (seen > 0).all()


@settings(deadline=None)
@given(SIZE, SIZE, st.integers(1, 40), st.integers(1, 50), st.data())
def test_cores_cover_every_pixel_once_with_padding_around_them(
    height, width, tile_size, block, data
):
    padding = data.draw(st.integers(0, (tile_size - 1) // 2))
    plan = plan_inference(
        height, width, padding=padding, tile_size=tile_size, block_size=(block, 2 * block)
    )
    assert plan.tile == (tile_size, tile_size)
    seen = np.zeros((height, width), int)
    for number in range(plan.blocks):
        block = plan.block(number)
        assert block.number == number
        covered = np.zeros_like(seen)
        for tile in block.tiles:
            covered[tile.core.slices] += 1
            rows, columns = tile.crop
            assert rows.start == columns.start == padding
            assert rows.stop <= tile_size - padding
            assert tile.window.height == tile.window.width == tile_size
        seen += covered
        expected = np.zeros_like(seen)
        expected[block.window.slices] = 1
        assert (covered == expected).all()
    assert (seen == 1).all()


@given(st.integers(1, 20_000), st.integers(0, 200))
def test_a_chosen_core_divides_the_raster_evenly(length, padding):
    plan = plan_inference(length, length, padding=padding, most=1024)
    core, tiles = plan.core[0], plan.axes[0].count
    assert core % 32 == 0
    assert core <= 1024
    assert plan.padding >= padding
    assert plan.tile[0] % 32 == 0
    least = length / tiles + 2 * plan.padding * (1 - 1 / tiles)  # shared out without a remainder
    assert least <= plan.tile[0] < least + 32
    assert all(axis.seen(k) % 32 == 0 for axis in plan.axes for k in range(tiles - 1))


AROUND = st.integers(0, 300)


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 700), st.integers(0, 200), AROUND, AROUND, AROUND)
def test_windows_of_chosen_tiles_show_ground_alone_and_all_that_is_around(
    height, width, padding, above, below, beside
):
    ground = Window(-above, -beside, above + height + below, beside + width + beside)
    plan = plan_inference(height, width, padding=padding, most=512, ground=ground)
    kept = np.zeros((height, width), np.uint8)
    for number in range(plan.blocks):
        for tile in plan.block(number).tiles:
            window, core = tile.window, tile.core
            kept[core.slices] += 1
            for start, size, first, count, least, length in (
                (window.row, window.height, core.row, core.height, -above, ground.height),
                (window.column, window.width, core.column, core.width, -beside, ground.width),
            ):
                most = least + length
                assert start >= least
                assert start == least or start + size <= most
                assert size < length + 32
                assert start <= max(first - padding, least)
                assert start + size >= min(first + count + padding, most)
                assert first - start <= plan.reach
                assert start + size - first - count <= plan.reach or start + size >= most
    assert (kept == 1).all()


def test_chosen_cores_by_hand():
    def core(length):
        return plan_inference(length, length, padding=64, most=1024).core[0]

    assert core(4 * 1024 + 128) == 1024
    assert core(4 * 1024) == 992  # four tiles of 1120: borders keep their padding
    assert core(5000) == 992
    assert core(200) == 96  # one tile of 224, of which all is kept


def test_blocks_go_down_macro_columns():
    plan = plan_inference(3000, 9000, padding=64, most=1024)
    assert plan.group == (1, 4)
    corners = [plan.block(n).window for n in range(plan.blocks)]
    assert [(w.row > 0, w.column > 0) for w in corners[:4]] == [
        (False, False), (True, False), (True, False), (False, True),
    ]  # fmt: skip


def test_bad_sizes_are_refused():
    with pytest.raises(ParameterError, match="stride must be between"):
        list(training_windows(10, 10, 4, 5))
    with pytest.raises(ParameterError, match="below half the tile size"):
        plan_inference(10, 10, padding=4, tile_size=8)
    with pytest.raises(ParameterError, match="at least 0, got -1"):
        plan_inference(10, 10, padding=-1)


def test_rows_and_columns_have_their_own_size_and_stride():
    windows = list(training_windows(20, 30, (8, 10), (4, 10)))
    assert {(w.height, w.width) for w in windows} == {(8, 10)}
    assert sorted({w.row for w in windows}) == [0, 4, 8, 12]
    assert sorted({w.column for w in windows}) == [0, 10, 20]
    with pytest.raises(ParameterError, match="got 11 with tiles of 10"):
        list(training_windows(20, 30, (8, 10), (4, 11)))


@settings(deadline=None)
@given(
    st.integers(1, 2000), st.integers(1, 300), st.integers(0, 200), AROUND, AROUND, st.booleans()
)
def test_the_reach_is_that_of_the_tile_whose_window_reaches_furthest(
    height, width, padding, above, below, chosen
):
    if chosen:
        ground = Window(-above, 0, above + height + below, width)
        plan = plan_inference(height, width, padding=padding, most=256, ground=ground)
    else:
        plan = plan_inference(height, width, padding=padding, tile_size=2 * padding + 100)
    reached = [plan.padding]
    for number in range(plan.blocks):
        for tile in plan.block(number).tiles:
            window, core = tile.window, tile.core
            reached += [
                core.row - window.row, window.row + window.height - core.row - core.height,
                core.column - window.column,
                window.column + window.width - core.column - core.width,
            ]  # fmt: skip
    assert plan.reach == max(reached)


def test_chosen_cores_keep_at_most_1024_pixels():
    def core(length):
        return plan_inference(length, length, padding=64).core

    assert core(128 + 1024) == (1024, 1024)
    assert core(128 + 1025) == (544, 544)  # two tiles


@pytest.mark.parametrize(
    ("tile_size", "group"),
    [(512, (2, 8)), (205, (4, 19)), (241, (4, 16)), (2048, (1, 2)), (4096, (1, 1)), (8192, (1, 1))],
)
def test_blocks_are_1024_by_4096_pixels_or_a_tile(tile_size, group):
    assert plan_inference(9000, 9000, padding=0, tile_size=tile_size).group == group


def test_tiles_of_a_stated_size_by_hand():
    plan = plan_inference(100, 70, padding=10, tile_size=60, block_size=(80, 40))
    assert (plan.core, plan.tile, plan.group, plan.blocks) == ((40, 40), (60, 60), (2, 1), 4)
    assert [(t.window, t.core) for t in plan.block(3).tiles] == [
        (Window(70, 30, 60, 60), Window(80, 40, 20, 30)),
    ]
    assert plan.window(0) == Window(0, 0, 80, 40)
    assert plan.window(1) == Window(80, 0, 20, 40)
    over = [t.core for t in plan.tiles_over(Window(39, 40, 2, 30))]
    assert over == [Window(0, 40, 40, 30), Window(40, 40, 40, 30)]
    with pytest.raises(ParameterError, match="at least 0, got -1"):
        plan_inference(10, 10, padding=-1, tile_size=60)
    assert plan_inference(10, 10, padding=29, tile_size=60).core == (2, 2)
    with pytest.raises(ParameterError, match="below half the tile size, got 30"):
        plan_inference(10, 10, padding=30, tile_size=60)
