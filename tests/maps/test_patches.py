import csv
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

import commands
from landshift import grid, raster
from landshift.classes import ClassScheme
from landshift.errors import ClassError, GridError, ParameterError
from landshift.grid import Window
from landshift.maps.patches import patches
from scenes import write

BY_HAND = np.array([[1, 1, 2, 2], [1, 2, 2, 0], [3, 3, 2, 1], [3, 3, 1, 1]], np.uint8)


@pytest.mark.parametrize("block", [1, 2, 3, 1024])
def test_measures_by_hand(tmp_path, block):
    measures = patches(write(tmp_path / "m.tif", BY_HAND, nodata=0), block=block)
    one, two, three = measures.classes
    pixel, total = 0.09, 15 * 0.09
    assert measures.hectares == pytest.approx(total)
    assert [c.patches for c in measures.classes] == [2, 1, 1]
    assert [c.hectares for c in measures.classes] == pytest.approx(
        [6 * pixel, 5 * pixel, 4 * pixel]
    )
    assert two.percent == pytest.approx(100 * 5 / 15)
    assert one.density == pytest.approx(100 * 2 / total)
    assert (one.mean, one.deviation) == pytest.approx((3 * pixel, 0), abs=1e-7)
    assert (one.largest, one.largest_percent) == pytest.approx((3 * pixel, 20))
    assert [c.edge for c in measures.classes] == [210, 210, 120]  # sides of 30 m
    assert three.edge_density == pytest.approx(120 / total)


def test_sizes_of_unequal_patches_by_hand(tmp_path):
    codes = np.array([[1, 0, 1, 1, 1]], np.uint8)
    (only,) = patches(write(tmp_path / "m.tif", codes, nodata=0)).classes
    assert only.mean == pytest.approx(2 * 0.09)
    assert only.deviation == pytest.approx(0.09)  # of 1 and 3, about 2
    assert only.weighted_mean == pytest.approx(0.09 * (1 + 9) / 4)
    assert only.edge == 0  # what has no class is no other class


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)
@given(
    arrays(np.uint8, (9, 9), elements=st.integers(0, 3)), st.integers(1, 9),
    st.sampled_from([4, 8]),
)  # fmt: skip
def test_patches_are_those_of_the_whole_map(tmp_path, codes, block, neighbours):
    codes[0, 0] = 1
    mapped = write(tmp_path / "m.tif", codes, nodata=0)
    result = {c.name: c for c in patches(mapped, neighbours=neighbours, block=block).classes}
    for value in range(1, 4):
        labels, count = ndimage.label(codes == value, np.ones((3, 3)) if neighbours == 8 else None)
        if not count:
            assert f"class {value}" not in result
            continue
        own = result[f"class {value}"]
        sizes = np.bincount(labels[labels > 0])[1:] * 0.09
        assert own.patches == count
        assert own.hectares == pytest.approx(sizes.sum())
        assert own.largest == pytest.approx(sizes.max())
        assert own.deviation == pytest.approx(sizes.std(), abs=1e-6)
        assert own.weighted_mean == pytest.approx((sizes**2).sum() / sizes.sum())
        padded = np.pad(codes, 1)
        inner = padded[1:-1, 1:-1] == value
        around = [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]
        edges = sum((inner & (other > 0) & (other != value)).sum() for other in around)
        assert own.edge == pytest.approx(30 * edges)


def test_areas_and_edges_are_geodesic(tmp_path):
    codes = np.array([[1, 2], [1, 1]], np.uint8)
    mapped = write(
        tmp_path / "m.tif", codes, nodata=0, crs="EPSG:4326", origin=(10, 60), pixel=0.1
    )  # fmt: skip
    one, two = patches(mapped).classes
    ground, whole = grid.ground(raster.info(mapped).grid), Window(0, 0, 2, 2)
    areas, (below, right) = ground.hectares(whole)[:, 0], ground.sides(whole)
    assert two.hectares == pytest.approx(areas[0])
    assert one.hectares == pytest.approx(areas[0] + 2 * areas[1])
    assert one.edge == pytest.approx(below[0, 0] + right[0, 0])


def test_a_class_of_value_0_has_patches_too(tmp_path):
    scheme = ClassScheme.from_mapping({0: "background", 1: "change"})
    codes = np.array([[0, 1, 255, 0]], np.uint8)
    mapped = write(tmp_path / "m.tif", codes, nodata=255)
    measures = patches(mapped, classes=scheme)
    assert [(c.name, c.patches) for c in measures.classes] == [("background", 2), ("change", 1)]


def test_patches_on_the_command_line(tmp_path):
    scheme = ClassScheme.from_mapping({1: "to crop", 2: "No change", 3: "to urban"})
    mapped = write(
        tmp_path / "m.tif", BY_HAND, nodata=0, LANDSHIFT_CLASSES=json.dumps(scheme.as_list())
    )
    out = tmp_path / "p.csv"
    result = commands.run("patches", str(mapped), "-o", str(out))
    assert result.exit_code == 0, result.output
    assert "to crop" in result.output
    with out.open() as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert rows["to crop"]["patches"] == "2"
    assert float(rows["to urban"]["edge"]) == 120


def test_what_has_no_patches_is_refused(tmp_path):
    empty = write(tmp_path / "e.tif", np.zeros((3, 3), np.uint8), nodata=0)
    with pytest.raises(ClassError, match="must hold a class, got none"):
        patches(empty)
    with pytest.raises(ParameterError, match="4 or 8 neighbours, got 5"):
        patches(empty, neighbours=5)
    with pytest.raises(GridError, match="Areas need a CRS"):
        patches(write(tmp_path / "n.tif", BY_HAND, crs=None))
    with pytest.raises(ClassError, match="must hold whole numbers"):
        patches(write(tmp_path / "f.tif", BY_HAND.astype(np.float32)))


def test_classes_of_any_code_are_named(write_raster, tmp_path):

    mapped = write_raster("corine.tif", np.array([[[111, 111, 700]]], np.int16))
    (tmp_path / "c.csv").write_text("code;label\n111;urban\n700;glacier\n")
    out = tmp_path / "p.csv"
    done = commands.run("patches", mapped, "-o", out, "--classes", tmp_path / "c.csv")
    assert done.exit_code == 0, done.output
    assert [line.split(",")[0] for line in out.read_text().splitlines()[1:]] == ["urban", "glacier"]
