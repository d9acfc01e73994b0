import numpy as np
import pytest
import rasterio
from scipy import ndimage

from landshift.images import registration


def ground(size=160, seed=0):
    noise = np.random.default_rng(seed).normal(size=(size, size))
    return ndimage.gaussian_filter(noise, 1.5)


def moved(image, rows, columns):
    """The image moved by a Fourier shift, exact for a periodic one."""
    return np.fft.ifft2(ndimage.fourier_shift(np.fft.fft2(image), (rows, columns))).real


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (0.5, 0.25), (-1.3, 2.75), (0.1, -0.05)])
def test_a_known_shift_is_found_to_a_twentieth_of_a_pixel(shift):
    image = ground()
    crop = (slice(16, 144), slice(16, 144))
    before = np.stack([image[crop], 3 * image[crop] + 8])
    after = np.stack([moved(image, *shift)[crop], 5 * moved(image, *shift)[crop]])
    shift_2 = registration.block_shift(before, after, np.ones((128, 128), bool))
    assert shift_2 == pytest.approx(shift, abs=0.05)


def test_the_edge_of_a_mask_gives_no_shift():
    image = ground()
    mask = np.ones((160, 160), bool)
    mask[:, :30] = False
    mask[100:110, 100:110] = False
    before, after = image + 50, moved(image, 1.5, 0) + 80
    shift = registration.block_shift(before[np.newaxis], after[np.newaxis], mask)
    assert shift == pytest.approx((1.5, 0), abs=0.1)


def test_images_without_common_ground_show_no_shift():
    mask = np.ones((160, 160), bool)
    assert registration.block_shift(ground()[None], ground(seed=1)[None], mask) is None
    flat = np.ones((1, 160, 160))
    assert registration.block_shift(flat, flat, mask) is None
    assert registration.block_shift(ground()[None], ground()[None], ~mask) is None
    assert registration.combine([None, None]) is None


def test_blocks_are_combined_by_their_median_with_a_spread():
    shift = registration.combine([(1.0, 0.0)] * 6 + [(9.0, 9.0)] + [None])
    assert (shift.rows, shift.columns) == (1.0, 0.0)
    assert (shift.blocks, shift.tried) == (7, 8)
    assert shift.agreement == pytest.approx(6 / 7)
    assert shift.sure
    assert shift.large
    assert not registration.combine([(0.2, 0.1)]).large
    assert not registration.combine([(float(k), -3.0 * k) for k in range(5)]).sure


def test_blocks_lie_inside_the_raster_without_overlap():
    windows = registration.block_windows(400, 1000)
    assert len(windows) == 3 * 5
    covered = np.zeros((400, 1000), int)
    for window in windows:
        covered[window.slices] += 1
    assert covered.max() == 1
    assert covered.sum() == 15 * 128**2


def test_a_real_landsat_pair_lies_together_and_a_moved_copy_does_not(data_folder):
    images = []
    for name in ("t1_2000.tif", "t2_2003.tif"):
        with rasterio.open(data_folder / "taizhou" / name) as source:
            images.append(source.read([3, 4, 5]).astype(float))
    whole = np.ones((128, 128), bool)

    def shift(before, after):
        windows = registration.block_windows(*before.shape[1:])
        return registration.combine(
            [
                registration.block_shift(before[(..., *w.slices)], after[(..., *w.slices)], whole)
                for w in windows
            ]
        )

    near = shift(*images)
    assert near.sure
    assert near.distance < registration.LARGE_SHIFT
    far = shift(images[0][:, :-3, :-2], images[1][:, 3:, 2:])
    assert far.large
    assert (far.rows, far.columns) == pytest.approx((near.rows - 3, near.columns - 2), abs=0.1)
