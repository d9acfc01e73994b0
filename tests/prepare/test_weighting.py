import numpy as np
import pytest
import rasterio

from commands import run
from landshift import MapReading
from landshift.classes import ClassScheme
from landshift.errors import ClassError, GridError, ParameterError, RasterError
from landshift.prepare.label import Cleaning, Filters, Weighting, label
from scenes import write

SCHEME = ClassScheme.from_mapping({1: "forest", 2: "urban", 3: "water"})
BEFORE = np.array([[1, 1, 2], [3, 0, 1]], np.uint8)
AFTER = np.array([[1, 2, 2], [1, 1, 255]], np.uint8)


@pytest.fixture
def maps(write_raster):
    return write_raster("b.tif", BEFORE, nodata=0), write_raster("a.tif", AFTER, nodata=255)


def weights_of(maps, folder, before, after, **options):
    path = folder / "weights.tif"
    weighting = Weighting(path, before, after)
    label(*maps, folder / "c.tif", classes=SCHEME, weighting=weighting, overwrite=True, **options)
    with rasterio.open(path) as source:
        assert (source.dtypes[0], source.nodata) == ("float32", None)
        return source.read(1)


def test_the_weight_is_the_chance_that_both_classes_are_right(maps, tmp_path, write_raster):
    stated = weights_of(maps, tmp_path, [0.9], [0.5])
    assert stated == pytest.approx(np.array([[0.45] * 3, [0.45, 0, 0]]))
    (tmp_path / "user.csv").write_text("class,accuracy\nforest,0.8\n*,0.5\n")
    by_class = weights_of(maps, tmp_path, [tmp_path / "user.csv"], [1.0])
    assert by_class == pytest.approx(np.array([[0.8, 0.8, 0.5], [0.5, 0, 0]]))
    shares = write_raster("p.tif", np.array([[1, 0.5, 0], [0.25, 1, 1]], np.float32))
    by_pixel = weights_of(maps, tmp_path, [shares], [{"forest": 0.5, "2": 1, "water": 0}])
    assert by_pixel == pytest.approx(np.array([[0.5, 0.5, 0], [0.125, 0, 0]]))


def test_maps_of_one_date_that_agree_raise_the_weight(maps, tmp_path, write_raster):
    # the confirming map says forest, forest, forest | water, water, nothing
    other = write_raster("o.tif", np.array([[1, 1, 1], [3, 3, 0]], np.uint8), nodata=0)
    cleaning = Cleaning(agree_before=[other])
    weights = weights_of(maps, tmp_path, [0.8, 0.6], [1], cleaning=cleaning)
    agree = 0.8 * 0.6 / (0.8 * 0.6 + 2 * 0.1 * 0.2)
    differ = 0.8 * 0.2 / (0.8 * 0.2 + 0.1 * 0.6 + 0.1 * 0.2)
    assert weights == pytest.approx(np.array([[agree, agree, differ], [agree, 0, 0]]))
    sure = weights_of(maps, tmp_path, [1], [1], cleaning=cleaning)
    assert sure.tolist() == [[1, 1, 0], [1, 0, 0]]  # sure maps that contradict each other


def test_labels_that_cleaning_made_weigh_as_little_as_the_maps_support_them(tmp_path):
    before = np.ones((5, 5), np.uint8)
    after = before.copy()
    after[2, 2] = 2
    maps = write(tmp_path / "b.tif", before), write(tmp_path / "a.tif", after)
    for cleaning in (Cleaning(min_pixels=2), Cleaning(smooth=3)):
        weights = weights_of(maps, tmp_path, [1], [0.8], cleaning=cleaning)
        assert weights[2, 2] == pytest.approx(0.1)  # one of two other classes
        assert np.delete(weights, 12) == pytest.approx(0.8)
    kept = weights_of(maps, tmp_path, [1], [0.8], filters=Filters(keep="changed"))
    assert np.flatnonzero(kept).tolist() == [12]


def test_bytes_of_classify_and_whole_per_cents_are_read_by_their_scale(maps, tmp_path):
    whole = write(tmp_path / "p.tif", np.full((2, 3), 40, np.uint8))
    assert weights_of(maps, tmp_path, [whole], [1])[0] == pytest.approx(0.4)
    with rasterio.open(whole, "r+") as file:
        file.scales = [1 / 250]
    assert weights_of(maps, tmp_path, [whole], [1])[0] == pytest.approx(0.16)
    unknown = write(tmp_path / "n.tif", np.full((2, 3), 40, np.uint8), nodata=40)
    assert weights_of(maps, tmp_path, [unknown], [1])[0] == pytest.approx(1 / 3)


def test_windows_don_t_change_the_weights(tmp_path):
    random = np.random.default_rng(0)
    maps = [random.integers(1, 4, (600, 700)).astype(np.uint8) for _ in range(3)]
    chance = random.random((600, 700), np.float32)
    paths = [write(tmp_path / f"{k}.tif", m) for k, m in enumerate(maps)]
    shares = write(tmp_path / "p.tif", chance)
    weights = weights_of(
        paths[:2], tmp_path, [0.7], [shares, 0.6],
        cleaning=Cleaning(agree_after=[paths[2]], unconfirmed="nodata"),
    )  # fmt: skip
    agree = maps[1] == maps[2]
    likely, wrong = chance * np.where(agree, 0.6, 0.2), (1 - chance) / 2
    rest = wrong * np.where(agree, 2 * 0.2, 0.6 + 0.2)
    changed = maps[0] != maps[1]
    expected = np.where(changed & ~agree, 0, 0.7 * likely / (likely + rest))
    assert weights == pytest.approx(expected, abs=1e-6)


def test_another_grid_is_resampled_as_the_maps_are(maps, tmp_path, write_raster):
    fine = write_raster("fine.tif", np.tile([[0.2, 0.4]], (4, 3)).astype(np.float32), pixel=15.0)
    with pytest.raises(GridError, match="A class map and its probabilities must share a grid"):
        weights_of(maps, tmp_path, [fine], [1])
    weights = weights_of(maps, tmp_path, [fine], [1], reading=MapReading(resampling="mode"))
    assert weights[0] == pytest.approx(0.3)


def test_statements_that_can_t_be_weights_are_refused(maps, tmp_path, write_raster):
    for given in ((None, [1], [1]), (tmp_path / "w.tif", [], [1]), (tmp_path / "w.tif", [1], [])):
        with pytest.raises(ParameterError, match="give all three or none"):
            Weighting(*given)
    with pytest.raises(ParameterError, match=r"`sure_before` must lie between 0 and 1, got 90"):
        weights_of(maps, tmp_path, ["90"], [1])
    with pytest.raises(ParameterError, match="once or for each of the 1 maps of its date, got 2"):
        weights_of(maps, tmp_path, [1, 1], [1])
    with pytest.raises(ClassError, match="accuracy of every class, got none of urban, water"):
        weights_of(maps, tmp_path, [{"forest": 1}], [1])
    with pytest.raises(ClassError, match="A class must be one of"):
        weights_of(maps, tmp_path, [{"lake": 1}], [1])
    (tmp_path / "bad.csv").write_text("forest\n")
    with pytest.raises(ClassError, match="class and accuracy a line"):
        weights_of(maps, tmp_path, [tmp_path / "bad.csv"], [1])
    counts = write_raster("n.tif", np.full((2, 3), 101, np.uint8))
    with pytest.raises(RasterError, match=r"whole per cents, got 101 in .*n\.tif"):
        weights_of(maps, tmp_path, [counts], [1])
    assert not (tmp_path / "weights.tif").exists()


def test_two_different_automatic_maps_become_labels_with_weights(tmp_path):
    """WorldCover before, Esri/IO after, each with its own codes, by the shipped cross-walks."""
    before = write(tmp_path / "wc.tif", np.array([[10, 20, 95], [50, 80, 0]], np.uint8), nodata=0)
    after = write(tmp_path / "io.tif", np.array([[2, 11, 2], [7, 1, 0]], np.uint8), nodata=0)
    (tmp_path / "wc.csv").write_text("class,accuracy\ntrees,0.9\nwater,0.95\n*,0.6\n")
    done = run(
        "label", before, after, "-o", tmp_path / "c.tif", "--coding", "from-to",
        "--recode-before", "worldcover", "--recode-after", "io", "--classes", "landcover",
        "--weights", tmp_path / "w.tif", "--sure-before", tmp_path / "wc.csv",
        "--sure-after", "0.8",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    with rasterio.open(tmp_path / "w.tif") as source:
        weights = source.read(1)
    assert weights == pytest.approx(np.array([[0.72, 0.48, 0.48], [0.48, 0.76, 0]]))
    from landshift import raster

    scheme = raster.scheme_of(tmp_path / "c.tif")
    with rasterio.open(tmp_path / "c.tif") as source:
        codes = source.read(1)
    names = [[scheme.mapping.get(int(v)) for v in row] for row in codes]
    assert names == [
        ["trees->trees", "rangeland->rangeland", "wetland->trees"],
        ["built-up->built-up", "water->water", None],
    ]
