import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landshift.errors import ParameterError
from landshift.grid import Window
from landshift.tiling import inference_tiles, training_windows

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


@given(SIZE, SIZE, st.integers(1, 40), st.data())
def test_cores_cover_every_pixel_once_with_padding_around_them(height, width, tile_size, data):
    padding = data.draw(st.integers(0, (tile_size - 1) // 2))
    seen = np.zeros((height, width), int)
    for tile in inference_tiles(height, width, tile_size, padding):
        seen[tile.core.slices] += 1
        rows, columns = tile.crop
        assert rows.start == padding
        assert columns.start == padding
        assert rows.stop <= tile_size - padding
        assert tile.window.height == tile.window.width == tile_size
    assert (seen == 1).all()


def test_bad_sizes_are_refused():
    with pytest.raises(ParameterError, match="stride must be between"):
        list(training_windows(10, 10, 4, 5))
    with pytest.raises(ParameterError, match="below half the tile size"):
        list(inference_tiles(10, 10, 8, 4))


def test_rows_and_columns_have_their_own_size_and_stride():
    windows = list(training_windows(20, 30, (8, 10), (4, 10)))
    assert {(w.height, w.width) for w in windows} == {(8, 10)}
    assert sorted({w.row for w in windows}) == [0, 4, 8, 12]
    assert sorted({w.column for w in windows}) == [0, 10, 20]
    with pytest.raises(ParameterError, match="got 11 with tiles of 10"):
        list(training_windows(20, 30, (8, 10), (4, 11)))
