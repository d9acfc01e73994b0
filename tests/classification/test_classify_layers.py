"""What may be had beside the map, and of which part of the ground."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely
from pyogrio.raw import write as write_vector

import packages
from commands import run
from landshift import raster
from landshift.classes import ClassScheme, legend_readers
from landshift.classification import classify_pixels, padding, quantize
from landshift.classification.blocks import tile_weights
from landshift.classification.job import largest_core
from landshift.engine import TorchEngine
from landshift.errors import GridError, ModelError, ParameterError
from landshift.grid import Window
from landshift.models import ChangeModel
from landshift.prepare import composite
from landshift.raster.tiling import plan_inference
from scenes import BANDS, pack, spoil, striped_scene

OPTIONS = {"padding": 16, "tile_size": 96, "engine": "torch", "precision": "float32"}
WHOLE = {"padding": 32, "tile_size": 320, "engine": "torch", "precision": "float32"}


def read(path):
    with rasterio.open(path) as source:
        return source.read()


@pytest.fixture(scope="module")
def mapped(scene, trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("mapped") / "map.tif"
    layers = ("confidence", "entropy", "probabilities")
    return classify_pixels(scene[0], trained, out, layers=layers, **WHOLE)


def test_layers_are_what_the_probabilities_say(scene, trained, mapped):
    with raster.open_raster(scene[0]) as source:
        values, mask = raster.read(source, Window(-32, -32, 320, 320))
    engine = TorchEngine(trained.model, precision="float32")
    probabilities = engine.predict(values[np.newaxis], mask[np.newaxis])[0, :, 32:-32, 32:-32]
    valid = mask[32:-32, 32:-32]

    def layer(name):
        return read(mapped.with_name(f"map_{name}.tif"))[:, valid] / 250

    assert layer("probabilities") == pytest.approx(probabilities[:, valid], abs=0.0021)
    assert layer("confidence")[0] == pytest.approx(probabilities.max(0)[valid], abs=0.0021)
    # two classes: at most one bit
    entropy = -(probabilities * np.log2(probabilities)).sum(0)[valid]
    assert layer("entropy")[0] == pytest.approx(entropy, abs=0.0021)
    assert (read(mapped)[0][valid] == probabilities.argmax(0)[valid] + 1).all()


def test_layers_are_cogs_that_say_what_their_bytes_mean(trained, mapped):
    with rasterio.open(mapped.with_name("map_probabilities.tif")) as source:
        assert source.descriptions == ("to crop", "No change")
        assert source.scales == (0.004, 0.004)
        assert source.nodata == 255
        assert (source.read()[:, :, :6] == 255).all()
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    counts = np.bincount(read(mapped).ravel(), minlength=3)
    table = legend_readers.beside(mapped)
    assert table.scheme().names == trained.model.scheme.names
    text = mapped.with_name("map.tif.aux.xml").read_text()
    assert f"<F>{counts[1]}</F>" in text
    assert mapped.with_suffix(".qml").exists()


def test_bounds_map_a_part_as_the_whole_has_it(scene, trained, mapped, tmp_path):
    with rasterio.open(scene[0]) as source:
        left, top = source.transform @ (64, 96)
    bounds = (left, top - 30 * 64, left + 30 * 96, top)
    part, chosen = (
        classify_pixels(
            scene[0], trained, tmp_path / f"{size}.tif", bounds=bounds, padding=64, tile_size=size,
            engine="torch", precision="float32",
        )
        for size in (224, None)
    )  # fmt: skip
    with rasterio.open(part) as source:
        assert source.shape == (64, 96)
        assert source.bounds[:] == pytest.approx(bounds)
    assert (read(part)[0] == read(mapped)[0][96:160, 64:160]).mean() > 0.995
    assert (read(chosen) == read(part)).mean() > 0.995  # tiles see the ground beyond
    with pytest.raises(GridError, match="must hold a pixel"):
        classify_pixels(scene[0], trained, part, bounds=(0, 0, 10, 10), **OPTIONS, overwrite=True)


def test_a_mask_polygon_leaves_the_rest_out(scene, trained, mapped, tmp_path):
    with rasterio.open(scene[0]) as source:
        left, top = source.transform @ (40, 40)
    triangle = shapely.Polygon([(left, top), (left + 3000, top), (left, top - 3000)])
    path = tmp_path / "mask.gpkg"
    write_vector(
        path, np.array([shapely.to_wkb(triangle)]), [], [], geometry_type="Polygon",
        crs="EPSG:32618",
    )  # fmt: skip
    codes = read(classify_pixels(scene[0], trained, tmp_path / "m.tif", polygons=path, **WHOLE))[0]
    assert codes.shape == (100, 100)
    inside = np.add.outer(np.arange(100), np.arange(100)) < 99
    assert (codes[inside] > 0).all()
    assert (codes[np.add.outer(np.arange(100), np.arange(100)) > 99] == 0).all()
    assert (codes[inside] == read(mapped)[0][40:140, 40:140][inside]).mean() > 0.99


def test_what_no_polygon_touches_is_not_read(trained, write_raster, tmp_path):
    values, _ = striped_scene(512)
    packed = pack(write_raster("image.tif", values, bands=BANDS), tmp_path / "packed.tif")
    with rasterio.open(packed) as source:
        corners = [source.transform @ place for place in ((10, 10), (500, 500))]
    path = tmp_path / "mask.gpkg"
    squares = [shapely.Point(corner).buffer(60) for corner in corners]  # their box holds the block
    write_vector(
        path, np.array(shapely.to_wkb(squares)), [], [], geometry_type="Polygon", crs="EPSG:32618"
    )
    whole = classify_pixels(packed, trained, tmp_path / "whole.tif", polygons=path, **OPTIONS)
    spoil(packed, 7, 0)
    part = classify_pixels(packed, trained, tmp_path / "found.tif", polygons=path, **OPTIONS)
    assert read(part).any()
    assert (read(part) == read(whole)).all()


def test_two_dates_are_stacked_on_the_fly(trained, saved, write_raster, tmp_path):
    values, _ = striped_scene(128)
    dates = [
        write_raster(f"{name}.tif", values[k : k + 3], nodata=0, bands=["red", "green", "blue"])
        for name, k in (("before", 0), ("after", 3))
    ]
    stacked = composite.composite(dates, tmp_path / "stacked.tif")
    expected = classify_pixels(stacked, trained, tmp_path / "1.tif", **OPTIONS)
    on_the_fly = classify_pixels(dates, trained, tmp_path / "2.tif", **OPTIONS)
    assert (read(on_the_fly) == read(expected)).all()
    words = [f"--{name.replace('_', '-')}={value}" for name, value in OPTIONS.items()]
    out = tmp_path / "3.tif"
    ended = run("classify", ",".join(map(str, dates)), saved, "-o", out, "--json", *words)
    assert ended.stdout == f"{out}\n", ended.stderr
    progress = [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{")]
    assert [line["blocks_done"] for line in progress] == [0, 1]
    assert (read(out) == read(expected)).all()


def test_weights_lose_no_outermost_row_or_column():
    plan = plan_inference(100, 100, padding=16, tile_size=64)
    weights = tile_weights(plan)
    assert (weights > 0).all()
    total = np.zeros((132, 132))
    for number in range(plan.blocks):
        for tile in plan.block(number).tiles:
            rows, columns = tile.window.shifted(16, 16).slices
            part = total[rows, columns]
            part += weights[: part.shape[0], : part.shape[1]]
    assert total[32:96, 32:96] == pytest.approx(1.0)  # neighbours' weights add up


def test_blended_maps_reach_the_edges_and_agree_with_the_whole(scene, trained, mapped, tmp_path):
    options = {**OPTIONS, "blend": True, "layers": ("confidence",)}
    out = classify_pixels(scene[0], trained, tmp_path / "map.tif", **options)
    blended, expected = read(out)[0], read(mapped)[0]
    assert ((blended > 0) == (expected > 0)).all()
    assert (blended[:, -1] > 0).all()
    assert (blended[0, 6:] > 0).all()
    assert (blended[-1, 6:] > 0).all()
    assert (blended == expected).mean() > 0.98


def test_turns_answer_the_same_to_a_turned_raster(trained, write_raster, tmp_path):
    values, _ = striped_scene(64)
    upright = write_raster("u.tif", values, nodata=0, bands=BANDS)
    turned = write_raster("t.tif", np.rot90(values, axes=(1, 2)).copy(), nodata=0, bands=BANDS)
    options = {**OPTIONS, "tile_size": 96, "turns": True, "layers": ("confidence",)}
    first = read(classify_pixels(upright, trained, tmp_path / "1.tif", **options))[0]
    second = read(classify_pixels(turned, trained, tmp_path / "2.tif", **options))[0]
    assert (np.rot90(first) == second).mean() > 0.999
    plain = read(classify_pixels(upright, trained, tmp_path / "3.tif", **OPTIONS))[0]
    assert (plain != first).any()


def test_the_padding_that_was_measured_is_kept_with_the_model(scene, trained, tmp_path):
    model = trained.save(tmp_path / "small")
    measured = padding(model, scene[0], engine="torch")
    assert measured.padding in (16, 32)
    assert measured.padding == 32 or measured.agreement[16] >= 0.998
    again = run("padding", model, scene[0])
    assert (again.exit_code, again.stderr.count("\n")) == (2, 1)
    assert "replace it with --overwrite" in again.stderr
    for k, path in enumerate((model, model.with_suffix(".dlpk"))):
        out = classify_pixels(scene[0], path, tmp_path / f"{k}.tif", engine="torch")
        with rasterio.open(out) as source:
            tag = json.loads(source.tags()["LANDSHIFT_PROVENANCE"])
        assert tag["parameters"]["padding"] == measured.padding
        assert tag["parameters"]["tile"] == [256, 256]  # all of it: no ground around to show


def test_other_units_and_a_missing_crs_are_told(trained, write_raster, tmp_path, caplog):
    values, _ = striped_scene(64)
    image = write_raster("r.tif", values / 10_000, crs=None, bands=BANDS)
    with caplog.at_level(logging.WARNING):
        classify_pixels(image, trained, tmp_path / "m.tif", **OPTIONS)
    assert "has no CRS" in caplog.text
    assert "before:red 0.099863 ± 0.00599 (trained on 999.6 ± 59.9)" in caplog.text
    assert "check units, bands, sensor and nodata" in caplog.text


def test_nan_and_infinity_are_nodata(trained, write_raster, tmp_path):
    values, _ = striped_scene(64)
    values = values.astype(np.float32)
    values[0, 5, 5], values[1, 6, 6] = np.nan, np.inf
    image = write_raster("f.tif", values, bands=BANDS)
    codes = read(classify_pixels(image, trained, tmp_path / "m.tif", **OPTIONS))[0]
    assert codes[5, 5] == codes[6, 6] == 0
    assert (codes > 0).sum() == 64 * 64 - 2


def test_impossible_layers_are_one_line(scene, trained, tmp_path):
    with pytest.raises(ParameterError, match="`layers` must be different ones of confidence"):
        classify_pixels(scene[0], trained, tmp_path / "m.tif", layers=("luck",))


def test_an_int8_network_is_checked_and_runs(scene, trained, tmp_path):
    pytest.importorskip("nncf", reason="the extra 'openvino' isn't installed")
    model = trained.save(tmp_path / "small")
    with pytest.raises(ModelError, match="make it with `landshift quantize`"):
        classify_pixels(scene[0], model, tmp_path / "map.tif", precision="int8")
    with pytest.raises(ParameterError, match=r"on 100.10% of pixels, got \d+"):
        quantize(model, scene[0], tiles=8, least=1.001)
    quantised = quantize(model, scene[0], tiles=8, least=0.9)
    assert quantised.agreement > 0.97
    assert set(quantised.shares) == {"to crop", "No change"}
    out = classify_pixels(scene[0], model, tmp_path / "map.tif", precision="int8")
    expected = classify_pixels(scene[0], model, tmp_path / "f.tif", precision="float32")
    assert (read(out) == read(expected)).mean() > 0.97
    with rasterio.open(out) as source:
        tag = json.loads(source.tags()["LANDSHIFT_PROVENANCE"])
    assert tag["parameters"]["precision"] == "int8"
    (tmp_path / "small" / "small.int8.json").write_text('{"model": "another"}')
    with pytest.raises(ModelError, match="made from this very model"):
        classify_pixels(scene[0], model, tmp_path / "map.tif", precision="int8", overwrite=True)


@pytest.mark.parametrize("classes", [2, 11, 40])
def test_tiles_shrink_where_probabilities_of_many_classes_are_held(classes):
    scheme = ClassScheme.from_mapping({k: f"class {k}" for k in range(1, classes + 1)})
    spec = replace(packages.spec(), padding=64)
    model = ChangeModel("pspnet", spec, scheme, backbone="test_resnet")
    assert largest_core(1504, model, probable=False) == 1504
    core = largest_core(1504, model, probable=True)
    assert 4 * classes * (core + 2 * 64) ** 2 <= 64 << 20 or core == 1504
    assert core == {2: 1504, 11: 1106, 40: 519}[classes]
