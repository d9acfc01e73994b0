"""Real class maps give what numpy counts in them."""

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window
from scipy import ndimage

import landshift
from landshift.assess.plan import SamplePlan
from landshift.maps import patches, polygons
from landshift.prepare import label

MATO_GROSSO = ("bb_recorte_13c_mt_2001_v4.tif", "bb_recorte_13c_mt_2017_v4.tif")
PARTS = {
    "mato_grosso_lulc": Window(100, 300, 200, 180),
    "newguinea_cci": Window(3000, 1500, 200, 180),
}


def files_of(data_folder, name):
    folder = data_folder / name
    if name == "mato_grosso_lulc":
        return [folder / n for n in MATO_GROSSO]
    listed = sorted(p for p in folder.glob("*.tif") if not p.stem.endswith("s"))
    return listed[:2]


@pytest.fixture(params=sorted(PARTS))
def pair(request, data_folder, tmp_path):
    """A part of two dates, as files and arrays; where there is no class, 0."""
    paths, arrays = [], []
    for k, file in enumerate(files_of(data_folder, request.param)):
        with rasterio.open(file) as source:
            window = PARTS[request.param]
            values = source.read(1, window=window)
            profile = {
                "driver": "GTiff", "count": 1, "dtype": source.dtypes[0], "crs": source.crs,
                "nodata": source.nodata, "width": window.width, "height": window.height,
                "transform": source.window_transform(window),
            }  # fmt: skip
        assert (values != 0).all()  # so that 0 can stand for nodata here
        arrays.append(np.where(values == profile["nodata"], 0, values))
        paths.append(tmp_path / f"{k}.tif")
        with rasterio.open(paths[-1], "w", **profile) as target:
            target.write(values, 1)
    return paths, arrays


def test_label_counts_the_transitions(pair, tmp_path):
    paths, (before, after) = pair
    table = label.label(*paths, tmp_path / "change.tif")
    valid = (before > 0) & (after > 0)
    values = np.union1d(before[valid | (before > 0)], after[after > 0])
    assert list(table.scheme.values) == [int(v) for v in values if v]
    for i, b in enumerate(table.scheme.values):
        for j, a in enumerate(table.scheme.values):
            assert table.pixels[i, j] == ((before == b) & (after == a)).sum()
    assert table.nodata == (~valid).sum()
    with rasterio.open(tmp_path / "change.tif") as source:
        codes = source.read(1)
    same = max(table.scheme.values) + 1
    assert (codes == np.where(valid, np.where(before == after, same, after), 0)).all()


def test_patches_polygons_and_strata_are_those_of_numpy(pair, tmp_path):
    (path, _), (codes, _) = pair
    present = [int(v) for v in np.unique(codes[codes > 0])]
    corners = {4: None, 8: np.ones((3, 3))}
    for neighbours, structure in corners.items():
        wanted = {f"class {v}": ndimage.label(codes == v, structure)[1] for v in present}
        measured = patches.patches(path, neighbours=neighbours)
        assert {c.name: c.patches for c in measured.classes} == wanted
        shares = {c.name: c.percent for c in measured.classes}
        assert shares == pytest.approx(
            {f"class {v}": 100 * (codes == v).sum() / (codes > 0).sum() for v in present}, rel=0.02
        )
        traced = polygons.polygons(path, tmp_path / f"{neighbours}.gpkg", neighbours=neighbours)
        assert traced.polygons == wanted
        assert sum(traced.hectares.values()) == pytest.approx(measured.hectares)
    least = min(int((codes == v).sum()) for v in present)
    plan = SamplePlan(size=len(present) * min(least, 3) or 3, allocation="equal")
    drawn = landshift.sample(path, tmp_path / "s.gpkg", plan=plan).design
    assert {s.value: s.units for s in drawn.strata} == {v: int((codes == v).sum()) for v in present}


def test_zones_hold_what_numpy_counts(pair, tmp_path):
    pytest.importorskip("exactextract")
    from landshift.maps.zonal import measure_zones

    (path, _), (codes, _) = pair
    with rasterio.open(path) as source:
        transform, crs = source.transform, source.crs
    # two zones of whole pixels, in the map's own CRS
    features = []
    for name, (left, right) in {"west": (0, 90), "east": (90, 200)}.items():
        corners = [(left, 0), (right, 0), (right, 180), (left, 180), (left, 0)]
        ring = [list(transform @ c) for c in corners]
        features.append((name, ring))
    import pyogrio
    import shapely

    zones = tmp_path / "zones.gpkg"
    pyogrio.raw.write(
        zones, shapely.to_wkb(np.array([shapely.Polygon(r) for _, r in features])),
        [np.array([n for n, _ in features], object)], np.array(["zone"]), driver="GPKG",
        geometry_type="Polygon", crs=crs.to_wkt(),
    )  # fmt: skip
    result = measure_zones(path, zones, "zone")
    for z, part in enumerate((codes[:, :90], codes[:, 90:])):
        whole = result.hectares[z].sum()
        for c, value in enumerate(result.classes):
            share = (part == value).sum() / (part > 0).sum()
            assert result.hectares[z, c] / whole == pytest.approx(share, rel=0.02, abs=1e-6)
