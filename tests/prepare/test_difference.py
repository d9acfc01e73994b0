from typing import get_args

import numpy as np
import pyogrio
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift import raster
from landshift.classes import legend_readers
from landshift.errors import BandError, GridError, LandshiftError, RasterError
from landshift.machine import parallel
from landshift.prepare.difference import ChangeClasses, Method, PairReading, difference, otsu

BEFORE = np.array([[[10, 0, 4, 0]], [[10, 0, 3, 0]]], np.uint8)
AFTER = np.array([[[5, 0, 0, 3]], [[30, 7, 6, 9]]], np.uint8)


def read(path):
    with rasterio.open(path) as source:
        return source.read()


@pytest.fixture
def images(write_raster):
    bands = ["red", "nir"]
    return write_raster("b.tif", BEFORE, bands=bands), write_raster("a.tif", AFTER, bands=bands)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("difference", [[[-5, 0, -4, 3]], [[20, 7, 3, 9]]]),
        ("relative", [[[-0.5, 0, -1, 1]], [[2 / 3, 1, 0.5, 1]]]),
        ("euclidean", [[[425**0.5, 7, 5, 90**0.5]]]),
        # (10, 10) and (5, 30); nothing is an angle from 0; (4, 3) and (0, 6)
        ("angle", [[[np.arctan2(30, 5) - np.pi / 4, np.nan, np.arccos(0.6), np.nan]]]),
    ],
)
def test_methods_by_hand(images, tmp_path, method, expected):
    result = difference(*images, tmp_path / "d.tif", method=method)
    assert np.allclose(read(tmp_path / "d.tif"), expected, rtol=1e-6, equal_nan=True)
    valid = np.array(expected)[0][~np.isnan(expected[0])]
    assert result.valid == valid.size
    assert result.statistics[0].mean == pytest.approx(valid.mean())
    assert result.statistics[0].std == pytest.approx(valid.std())
    assert result.statistics[0].minimum == pytest.approx(valid.min())
    info = raster.info(tmp_path / "d.tif")
    assert np.isnan(info.nodata)
    assert info.bands == (("red", "nir") if len(expected) == 2 else (method,))


def test_the_band_that_changed_most(write_raster, tmp_path):
    before = write_raster("b.tif", np.zeros((3, 1, 4), np.int16), bands=["x", "y", "z"])
    after = write_raster("a.tif", np.array([[[0, 3, -9, 2]], [[0, 3, 8, -1]], [[0, 0, 8, 4]]]))
    result = difference(before, after, tmp_path / "d.tif", method="band")
    assert read(tmp_path / "d.tif").tolist() == [[[4, 1, 1, 3]]]
    assert [(c.name, c.pixels) for c in result.classes] == [
        ("x", 2), ("y", 0), ("z", 1), ("No change", 1)
    ]  # fmt: skip
    assert result.classes[0].hectares == pytest.approx(0.18)


def test_a_threshold_and_breaks_make_classes(images, tmp_path):
    out = tmp_path / "d.tif"
    result = difference(
        *images, out, reading=PairReading(bands=["red"]), classes=ChangeClasses(threshold=4)
    )
    assert read(out).tolist() == [[[1, 3, 1, 3]]]  # decrease, no change; 4 itself is change
    assert result.classes[0].name == "decrease"
    assert raster.scheme_of(out).unchanged == (2,)
    difference(*images, out, method="euclidean", classes=ChangeClasses(threshold=7), overwrite=True)
    assert read(out).tolist() == [[[1, 1, 2, 1]]]
    result = difference(
        *images,
        out,
        reading=PairReading(bands=[1]),
        classes=ChangeClasses(breaks=[-4, 0, 2.5]),
        overwrite=True,
    )
    assert read(out).tolist() == [[[1, 3, 2, 4]]]
    assert [c.name for c in result.classes] == [
        "below -4", "-4 to 0", "0 to 2.5", "2.5 and above"
    ]  # fmt: skip
    _, _, _, values = pyogrio.raw.read(tmp_path / "d.tif.vat.dbf")
    assert values[2].tolist() == [1, 1, 1, 1]
    difference(*images, out, overwrite=True)  # continuous: no class is left beside it
    assert not legend_readers.beside(out)


def test_the_relative_difference_is_undefined_where_the_larger_is_0_alone(write_raster, tmp_path):
    before = write_raster("b.tif", np.array([[0, -2, 0, -4]], np.float32))
    after = write_raster("a.tif", np.array([[0, 0, -2, -2]], np.float32))
    difference(before, after, tmp_path / "d.tif", method="relative")
    assert np.allclose(
        read(tmp_path / "d.tif"), [[[0, np.nan, np.nan, -1]]], equal_nan=True
    )  # fmt: skip


def brute_otsu(values, edges):
    """Each edge tried on the values themselves."""
    best, where = -1.0, None
    for edge in edges[1:-1]:
        low, high = values[values < edge], values[values >= edge]
        if low.size and high.size:
            between = low.size * high.size * (high.mean() - low.mean()) ** 2
            if between > best * (1 + 1e-12):
                best, where = between, low.size
    return where


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 300), st.integers(2, 60))
def test_otsu_splits_as_trying_every_edge_does(seed, n, bins):
    random = np.random.default_rng(seed)
    values = np.where(random.random(n) < 0.3, random.normal(5, 1, n), random.normal(0, 1, n))
    edges = np.linspace(values.min(), values.max(), bins + 1)
    counts, _ = np.histogram(values, edges)
    sums, _ = np.histogram(values, edges, weights=values)
    threshold = otsu(counts, sums, edges)
    assert (values < threshold).sum() == brute_otsu(values, edges)


def test_otsu_lies_in_the_middle_of_an_empty_gap():
    edges = np.arange(11.0)
    counts = np.array([5, 5, 0, 0, 0, 0, 0, 0, 5, 5])
    assert otsu(counts, counts * (edges[:-1] + 0.5), edges) == 5.0


def test_otsu_streamed_over_blocks_separates_two_changes(write_raster, tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    before = random.normal(100, 1, (1, 60, 70))
    after = before + np.where(random.random((1, 60, 70)) < 0.2, -40, 0) + random.normal(0, 1)
    paths = write_raster("b.tif", before), write_raster("a.tif", after)
    whole = difference(*paths, tmp_path / "w.tif", classes=ChangeClasses(threshold="otsu"))
    monkeypatch.setattr("landshift.prepare.difference._BLOCK", 16)
    blocks = difference(*paths, tmp_path / "b2.tif", classes=ChangeClasses(threshold="otsu"))
    assert whole.threshold == pytest.approx(blocks.threshold, abs=1e-9)
    assert 5 < whole.threshold < 38
    assert (read(tmp_path / "w.tif") == read(tmp_path / "b2.tif")).all()
    assert whole.classes[1].pixels == 0
    assert whole.classes[0].pixels == (read(tmp_path / "w.tif") == 1).sum()


def test_another_grid_is_resampled_on_request_and_nodata_stays(images, write_raster, tmp_path):
    moved = write_raster("m.tif", AFTER, origin=(500_030.0, 4_000_000.0), bands=["red", "nir"])
    with pytest.raises(GridError, match="Images must share a grid"):
        difference(images[0], moved, tmp_path / "d.tif")
    result = difference(
        images[0], moved, tmp_path / "d.tif", reading=PairReading(resampling="nearest", nodata=4)
    )
    assert np.isnan(read(tmp_path / "d.tif")[0, 0]).tolist() == [True, False, True, False]
    assert result.nodata == 2


def test_many_bands_take_smaller_blocks_and_give_the_same(
    write_raster, tmp_path, monkeypatch, steps
):
    random = np.random.default_rng(0)
    paths = [write_raster(f"{n}.tif", random.normal(0, 1, (9, 50, 60))) for n in "ba"]
    difference(*paths, tmp_path / "w.tif", method="angle")
    monkeypatch.setattr("landshift.prepare.difference._MOST_VALUES", 9 * 17**2)
    difference(*paths, tmp_path / "s.tif", method="angle")
    written = [part[1:] for part in steps.parts if part[0] == "writing"]
    assert written == [(1, 1), (12, 12)]
    assert (read(tmp_path / "w.tif") == read(tmp_path / "s.tif")).all()


@pytest.mark.parametrize("kind", ["uint8", "int16", "int32", "float64"])
@pytest.mark.parametrize("method", get_args(Method))
def test_each_method_is_its_formula_whatever_the_pixel_type(kind, method, write_raster, tmp_path):
    random = np.random.default_rng(0)
    images = [random.integers(0, 120, (3, 20, 30)).astype(kind) for _ in "ba"]
    images[0][:, 0, 0] = images[1][1, 0, 1] = 119
    difference(
        *(write_raster(f"{k}.tif", v, nodata=119) for k, v in enumerate(images)),
        tmp_path / "d.tif", method=method,
    )  # fmt: skip
    a, b = (image.astype(float) for image in images)
    most = np.maximum(a, b)
    cosine = (a * b).sum(0) / np.sqrt((a**2).sum(0) * (b**2).sum(0))
    expected = {
        "difference": b - a,
        "relative": (b - a) / np.where(most == 0, 1, most),
        "euclidean": np.linalg.norm(b - a, axis=0)[np.newaxis],
        "angle": np.arccos(np.minimum(cosine, 1))[np.newaxis],
        "band": np.abs(b - a).argmax(axis=0)[np.newaxis] + 1,
    }[method]
    valid = ((a != 119) & (b != 119)).all(axis=0)
    written = read(tmp_path / "d.tif")
    assert written[:, valid] == pytest.approx(expected[:, valid], rel=1e-6, abs=1e-6)
    none = written[:, ~valid]
    assert ((none == 0) if method == "band" else np.isnan(none)).all()


def test_many_cores_write_the_same_as_one(write_raster, tmp_path, monkeypatch):
    monkeypatch.setattr("landshift.prepare.difference._BLOCK", 16)
    random = np.random.default_rng(0)
    paths = [write_raster(f"{n}.tif", random.normal(0, 1, (2, 90, 100))) for n in "ba"]
    for name, options in {
        "continuous": {},
        "classes": {"method": "euclidean", "classes": ChangeClasses(threshold="otsu")},
    }.items():
        results = []
        for cores in (1, 4):
            monkeypatch.setattr(parallel, "threads", lambda n=cores: n)
            out = tmp_path / f"{cores}" / f"{name}.tif"
            result = difference(*paths, out, **options)
            results.append((out.read_bytes(), result.statistics, result.threshold, result.rows()))
        assert results[0] == results[1]


def test_bands_are_matched_by_name(images, write_raster, tmp_path):
    turned = write_raster("t.tif", AFTER[::-1], bands=["nir", "red"])
    for after in (images[1], turned):
        difference(images[0], after, tmp_path / "d.tif", overwrite=True)
        assert read(tmp_path / "d.tif")[0].tolist() == [[-5, 0, -4, 3]]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"method": "x"}, "`method` must be one of difference"),
        ({"classes": {"threshold": 1}}, "Classes need a result of one band, got 2"),
        ({"method": "euclidean", "classes": {"threshold": "x"}}, "a number or 'otsu', got 'x'"),
        ({"method": "euclidean", "classes": {"threshold": -1}}, "above 0, got -1"),
        ({"method": "euclidean", "classes": {"threshold": 1, "breaks": [1]}}, "got both"),
        ({"method": "band", "classes": {"threshold": "otsu"}}, "leave them out"),
        ({"method": "euclidean", "classes": {"breaks": [2, 1]}}, "ascending order"),
        ({"reading": {"bands": ["blue"]}}, "one of red, nir or a number from 1 to 2, got 'blue'"),
        ({"reading": {"bands": [3]}}, "got '3'"),
        ({"reading": {"bands": []}}, "at least one band"),
        (
            {"reading": {"resampling": "mode"}},
            "one of nearest, bilinear, cubic, average, got 'mode'",
        ),
    ],
)
def test_options_out_of_range_are_one_line(images, tmp_path, options, why):
    groups = {"reading": PairReading, "classes": ChangeClasses}
    with pytest.raises(LandshiftError, match=why):
        given = {k: groups[k](**v) if k in groups else v for k, v in options.items()}
        difference(*images, tmp_path / "d.tif", **given)
    assert not (tmp_path / "d.tif").exists()


def test_images_that_cannot_be_divided_or_compared_are_one_line(images, write_raster, tmp_path):
    with pytest.raises(LandshiftError, match="got 0 everywhere; give `threshold`"):
        difference(
            images[0],
            images[0],
            tmp_path / "d.tif",
            method="euclidean",
            classes=ChangeClasses(threshold="otsu"),
        )
    one = write_raster("o.tif", BEFORE[:1])
    with pytest.raises(BandError, match=r"got 2 in .* and 1 in"):
        difference(images[0], one, tmp_path / "d.tif")


def test_a_damaged_image_is_named_in_the_error(data_folder, tmp_path):
    path = data_folder / "robustness_rasters" / "rasterio" / "corrupt.tif"
    with pytest.raises(RasterError, match=r"must be readable, got .*corrupt\.tif"):
        difference(path, path, tmp_path / "d.tif")
    assert not list(tmp_path.iterdir())


def test_taizhou_otsu_on_the_spectral_angle_finds_change(data_folder, tmp_path):
    folder = data_folder / "taizhou"
    result = difference(
        folder / "t1_2000.tif", folder / "t2_2003.tif", tmp_path / "d.tif", method="angle",
        classes=ChangeClasses(threshold="otsu"),
    )  # fmt: skip
    labels = read(folder / "labels_0nodata_1nochange_2change.tif")[0]
    codes = read(tmp_path / "d.tif")[0]
    recall = ((codes == 1) & (labels == 2)).sum() / (labels == 2).sum()
    false = ((codes == 1) & (labels == 1)).sum() / (labels == 1).sum()
    assert result.valid == 160_000
    assert recall > 0.6 > 0.2 > false


def test_rows_are_bands_or_classes(images, tmp_path):
    bands = difference(*images, tmp_path / "d.tif").rows()
    assert [row["band"] for row in bands] == ["red", "nir"]
    assert bands[1]["maximum"] == 20
    classes = ChangeClasses(threshold=4)
    result = difference(*images, tmp_path / "e.tif", method="euclidean", classes=classes)
    assert result.rows() == [
        {"class": c.name, "pixels": c.pixels, "hectares": c.hectares} for c in result.classes
    ]
    assert repr(result).splitlines()[0].split() == ["class", "pixels", "hectares"]
    assert result.path == tmp_path / "e.tif"


def test_values_whose_squares_are_too_large_have_no_deviation(write_raster, tmp_path):
    first = np.full((1, 8, 8), 1e300)
    second = np.full((1, 8, 8), 2e300)
    second[0, 0, 0] = 7e300
    paths = [write_raster(f"{k}.tif", image) for k, image in enumerate((first, second))]
    (row,) = difference(*paths, tmp_path / "d.tif").statistics
    assert row.maximum == pytest.approx(6e300)
    assert not np.isfinite(row.std)
