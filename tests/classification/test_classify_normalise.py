"""Scenes brought to the radiometry of a model's training, and scenes that aren't like it."""

import logging

import numpy as np
import pytest
import rasterio

import commands
from landshift.classification import classify_pixels, radiometry
from landshift.classification.scene import find_scene
from landshift.errors import ParameterError
from landshift.files import provenance
from landshift.machine import progress
from scenes import BANDS, outputs, striped_scene, write, write_tall
from watching import Steps

TILES = {"padding": 16, "tile_size": 64, "precision": "float32"}
OPTIONS = {**TILES, "engine": "torch"}
GAINS = np.array([0.5, 2, 0.1, 0.7, 1.5, 3])[:, None, None]
OFFSETS = np.array([300, -500, 7, 20, 0, -900])[:, None, None]


def read(path):
    with rasterio.open(path) as source:
        return source.read(1)


def lines_of(path):
    with rasterio.open(path) as source:
        return provenance.from_tags(source.tags())["parameters"]["normalise"]


@pytest.fixture(scope="module")
def dimmed(scene, tmp_path_factory):
    """The scene that the model was trained on, in another light in each band."""
    with rasterio.open(scene[0]) as source:
        values = source.read().astype(np.float32)
    values[:, :, 6:] = values[:, :, 6:] * GAINS + OFFSETS
    return write(tmp_path_factory.mktemp("dim") / "dim.tif", values, nodata=0, bands=BANDS)


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_the_same_ground_in_another_light_gets_the_same_map(scene, dimmed, saved, tmp_path, engine):
    options = {**TILES, "engine": engine}
    as_trained = read(classify_pixels(scene[0], saved, tmp_path / "a.tif", **options))
    wrong = read(classify_pixels(dimmed, saved, tmp_path / "b.tif", **options))
    out = classify_pixels(dimmed, saved, tmp_path / "c.tif", normalise=True, **options)
    again = read(out)
    both = read(classify_pixels(scene[0], saved, tmp_path / "d.tif", normalise=True, **options))
    valid = as_trained > 0
    assert (wrong == as_trained)[valid].mean() < 0.9
    assert (again == both)[valid].mean() > 0.9995
    assert (again == as_trained)[valid].mean() > 0.99  # the tiles' statistics aren't the scene's
    assert (again[~valid] == 0).all()
    lines = lines_of(out)
    assert lines["gains"] == pytest.approx(1 / GAINS.ravel(), rel=0.15)
    assert lines["pixels"] == 250 * 256


def test_the_command_says_how_values_were_normalised(dimmed, saved, tmp_path):
    out = tmp_path / "map.tif"
    result = commands.run(
        "classify", dimmed, saved, "-o", out, "--normalise", "--engine", "torch", "--padding", 16
    )
    assert "normalised to the training: gains 0." in result.stderr
    assert "from 64,000 pixels" in result.stderr
    assert result.stdout.strip() == str(out)


def test_lines_are_those_of_the_whole_raster_whatever_part_is_mapped(dimmed, saved, tmp_path):
    whole = classify_pixels(dimmed, saved, tmp_path / "a.tif", normalise=True, **OPTIONS)
    with rasterio.open(dimmed) as source:
        left, bottom, right, top = source.bounds
    bounds = ((left + right) / 2, bottom, right, top)
    part = classify_pixels(
        dimmed, saved, tmp_path / "b.tif", normalise=True, bounds=bounds, **OPTIONS
    )
    assert lines_of(part) == lines_of(whole)
    assert (read(part)[16:-16, 16:-16] == read(whole)[16:-16, 144:-16]).mean() > 0.999


def test_processes_dates_and_mosaics_give_the_same(dimmed, saved, tmp_path):
    whole = classify_pixels(dimmed, saved, tmp_path / "a.tif", normalise=True, **OPTIONS)
    several = classify_pixels(
        dimmed, saved, tmp_path / "b.tif", normalise=True, workers=2, **OPTIONS
    )
    assert (read(several) == read(whole)).all()
    with rasterio.open(dimmed) as source:
        values = source.read()
    dates = [
        write(tmp_path / f"{k}.tif", values[k : k + 3], nodata=0, bands=["red", "green", "blue"])
        for k in (0, 3)
    ]
    stacked = classify_pixels(dates, saved, tmp_path / "c.vrt", normalise=True, mosaic="vrt",
                              **OPTIONS)  # fmt: skip
    assert (read(stacked) == read(whole)).all()
    assert lines_of(stacked) == lines_of(whole)


def test_a_run_is_taken_up_with_the_same_lines_alone(saved, tmp_path):
    image = write_tall(tmp_path / "tall.tif", rows=2200)
    options = {**OPTIONS, "tile_size": 96}
    undisturbed = classify_pixels(image, saved, tmp_path / "w" / "map.tif", normalise=True,
                                  **options)  # fmt: skip

    def stop(so_far):
        if so_far.done == 1:
            raise KeyboardInterrupt

    out = tmp_path / "map.tif"
    with pytest.raises(KeyboardInterrupt):
        classify_pixels(image, saved, out, normalise=True, on_block=stop, **options)
    with pytest.raises(ParameterError, match="must be of the same inputs and options"):
        classify_pixels(image, saved, out, **options)
    seen = []
    classify_pixels(image, saved, out, normalise=True, on_block=seen.append, **options)
    assert seen[0].done == 1
    assert outputs(out) == outputs(undisturbed)


def test_a_large_raster_is_measured_in_windows_that_are_spread_over_it(
    saved, tmp_path, monkeypatch
):
    image = write_tall(tmp_path / "tall.tif", rows=2048)
    spec = _spec(saved)
    monkeypatch.setattr(radiometry, "WHOLE", 2048 * 64 - 1)
    monkeypatch.setattr(radiometry, "_WINDOW", 32)
    monkeypatch.setattr(radiometry, "_MOST", 3)
    steps = Steps()
    with progress.watched(steps):
        lines = radiometry.normalised(find_scene(image, spec), spec).lines
    assert lines.pixels == 6 * 32 * 32  # the last row of windows is nodata's neighbour: valid
    assert steps.parts == [("measuring", 6, 6)]
    with rasterio.open(image) as source:
        values = source.read().astype(float)
    rows = [0, 1008, 2016]
    sample = np.concatenate(
        [values[:, r : r + 32, c : c + 32].reshape(6, -1) for r in rows for c in (0, 32)], axis=1
    )
    assert lines.gains == pytest.approx(np.array(spec.std) / sample.std(axis=1), rel=1e-9)


def _spec(saved):
    from landshift.bundle import manifest

    return manifest.input_of(saved)


@pytest.mark.parametrize(
    ("shift", "gain", "told"),
    [(0, 1, False), (0.4, 1, False), (0.6, 1, True), (-0.6, 1, True), (0, 3, True), (0, 0.3, True)],
)
def test_values_far_from_the_training_are_told(saved, tmp_path, caplog, shift, gain, told):
    spec = _spec(saved)
    mean, std = (np.array(v)[:, None, None] for v in (spec.mean, spec.std))
    random = np.random.default_rng(0)
    values = mean + std * (random.normal(size=(6, 100, 100)) * gain + shift)
    image = write(tmp_path / "image.tif", values, bands=BANDS)
    with caplog.at_level(logging.WARNING):
        radiometry.warn_of_values(find_scene(image, spec), spec)
    assert ("isn't like the images that the model learned from" in caplog.text) == told
    assert ("try `normalise`" in caplog.text) == told


def test_one_band_far_off_is_named_alone(saved, tmp_path, caplog):
    spec = _spec(saved)
    mean, std = (np.array(v)[:, None, None] for v in (spec.mean, spec.std))
    values = mean + std * np.random.default_rng(0).normal(size=(6, 100, 100))
    values[4] += 1.1 * std[4]
    image = write(tmp_path / "image.tif", values, bands=BANDS)
    radiometry.warn_of_values(find_scene(image, spec), spec)
    assert caplog.text.count("trained on") == 1
    assert "after:green" in caplog.text


def test_what_cannot_or_need_not_be_normalised_is_told(scene, saved, tmp_path, caplog):
    options = {**OPTIONS, "normalise": True}
    flat = striped_scene(64)[0]
    flat[2] = 500
    image = write(tmp_path / "flat.tif", flat, bands=BANDS)
    with pytest.raises(ParameterError, match=r"got one alone in band 3 of .*flat\.tif"):
        classify_pixels(image, saved, tmp_path / "m.tif", **options)
    empty = write(tmp_path / "empty.tif", np.zeros_like(flat), nodata=0, bands=BANDS)
    with pytest.raises(ParameterError, match=r"must hold valid pixels, got none in .*empty\.tif"):
        classify_pixels(empty, saved, tmp_path / "m.tif", **options)
    huge = flat.astype(np.float64)
    huge[1, 0, 0] = np.finfo(np.float64).min
    image = write(tmp_path / "huge.tif", huge, bands=BANDS)
    with pytest.raises(ParameterError, match=r"band 2 of .*huge\.tif.*; state its nodata value"):
        classify_pixels(image, saved, tmp_path / "m.tif", **options)
    assert not (tmp_path / "m.tif").exists()
    caplog.clear()
    classify_pixels(scene[0], saved, tmp_path / "m.tif", **options)
    assert "was like the images that the model learned from already" in caplog.text
