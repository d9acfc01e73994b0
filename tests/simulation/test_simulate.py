"""The scene simulator: the same bytes from the same seed, and land as documented."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import rasterio

from landshift import raster
from landshift.errors import ParameterError
from landshift.files import provenance
from landshift.grid import Window
from landshift.machine import parallel, progress
from landshift.simulation import land, noise, scene, sensor, tables
from landshift.simulation.scene import Scene, simulate
from landshift.simulation.tables import BANDS, LAND_COVER, REFLECTANCE, TRANSITIONS, SceneConditions

CROPLANDS, URBAN, WATER = (LAND_COVER.names.index(n) for n in ("croplands", "urban", "water"))


class Made:
    """A scene in memory."""

    def __init__(self, files: Scene) -> None:
        self.scene = files
        self.before, self.after, before_classes, after_classes = map(_read, files.files)
        self.before_classes, self.after_classes = before_classes[0], after_classes[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(simulate(tmp_path_factory.mktemp("scene")))


def _read(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return source.read()


def _digests(made: Scene) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in made.files]


SEED = 3


def _conditions(**options: object) -> SceneConditions:
    return SceneConditions(**{"clouds": 0.05, **options})


def _render(window: Window, conditions: SceneConditions | None = None) -> tuple[np.ndarray, ...]:
    return scene._render(window, tables.dates_of(2, 1), SEED, conditions or _conditions())


def test_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    size = {"height": 300, "width": 600}
    first = _digests(simulate(tmp_path / "first", seed=7, **size))
    again = _digests(simulate(tmp_path / "again", seed=7, **size))
    other = _digests(simulate(tmp_path / "other", seed=8, **size))
    assert first == again
    assert not set(first) & set(other)


def test_values_do_not_depend_on_the_blocks_they_are_made_in() -> None:
    whole = _render(Window(900, 70, 150, 330))
    parts = [Window(900, 70, 61, 330), Window(961, 70, 89, 7), Window(961, 77, 89, 323)]
    for k in range(4):
        joined = np.zeros_like(whole[k])
        for part in parts:
            rows, columns = part.shifted(-900, -70).slices
            joined[:, rows, columns] = _render(part)[k]
        np.testing.assert_array_equal(joined, whole[k])


def test_a_small_scene_is_the_corner_of_a_large_one(tmp_path: Path, made: Made) -> None:
    small = Made(simulate(tmp_path, height=200, width=530))
    np.testing.assert_array_equal(small.after, made.after[:, :200, :530])
    np.testing.assert_array_equal(small.after_classes, made.after_classes[:200, :530])


def test_files_state_grid_dates_classes_and_provenance(made: Made) -> None:
    grids = set()
    for path in made.scene.files:
        about = raster.info(path)
        grids.add(about.grid)
        assert about.nodata == 0
        with raster.open_raster(path) as source:
            record = json.loads(source.tags()[provenance.TAG])
        assert record["stage"] == "simulate"
        assert record["parameters"]["seed"] == 0
    assert len(grids) == 1
    before, after = raster.info(made.scene.before), raster.info(made.scene.after)
    assert before.bands == after.bands == BANDS
    assert before.dtype == after.dtype == "uint16"
    raster.check_order(before, after)
    assert before.taken != after.taken
    assert raster.scheme_of(made.scene.before_classes) == LAND_COVER
    assert raster.scheme_of(made.scene.after_classes) == LAND_COVER


def test_truth_is_complete_and_holds_every_class(made: Made) -> None:
    everything = set(LAND_COVER.values)
    assert set(np.unique(made.before_classes)) == everything
    assert set(np.unique(made.after_classes)) == everything


def test_a_tenth_to_a_fifth_of_the_land_changes_to_every_class(made: Made) -> None:
    changed = made.before_classes != made.after_classes
    assert 0.10 < changed.mean() < 0.20
    became = np.bincount(made.after_classes[changed], minlength=11)[1:] / changed.size
    assert became.min() > 0.002


def test_transition_rates_are_probabilities() -> None:
    np.testing.assert_allclose(TRANSITIONS.sum(axis=1), 1.0, atol=1e-12)
    assert TRANSITIONS.min() >= 0
    assert np.diag(TRANSITIONS).min() > 0.8


def test_patches_change_at_the_documented_rates() -> None:
    """Four standard errors of a share among the patches of the class, and the lines on top."""
    counts = np.zeros((10, 10))
    for seed in range(4):
        parcels = land._parcels(Window(0, 0, 1024, 1024), seed)
        _, one_each = np.unique(parcels.patch, return_index=True)
        before = land._first_cover(parcels, seed)
        after = land._next_cover(before, parcels, tables.AFTER, 1.0, seed)
        np.add.at(counts, (before[one_each], after[one_each]), 1)
    support = counts.sum(axis=1, keepdims=True)
    assert support.min() > 100
    error = np.abs(counts / support - TRANSITIONS)
    # The rates towards urban, and what is left to stay, depend on settlements nearby.
    allowed = 4 * np.sqrt(TRANSITIONS * (1 - TRANSITIONS) / support) + 1e-3
    allowed[:, URBAN] += TRANSITIONS[:, URBAN]
    allowed[np.diag_indices(10)] += TRANSITIONS[:, URBAN]
    assert (error <= allowed).all()


def test_mapped_transitions_follow_the_documented_rates(made: Made) -> None:
    """Within 0.1: a scene holds some hundred patches of a class, rivers and roads come on top."""
    counts = np.zeros((11, 11))
    np.add.at(counts, (made.before_classes.ravel(), made.after_classes.ravel()), 1)
    observed = counts[1:, 1:] / counts[1:, 1:].sum(axis=1, keepdims=True)
    assert np.abs(observed - TRANSITIONS).max() < 0.1


def test_clouds_hide_both_dates_and_scan_gaps_the_later_only() -> None:
    window = Window(0, 0, 512, 1024)
    clear = _conditions(clouds=0.0)
    before, after, *_ = _render(window, clear)
    assert (before > 0).all()
    gaps = (after == 0).all(axis=0)
    assert ((after == 0).any(axis=0) == gaps).all()
    assert 0.05 < gaps.mean() < 0.12
    assert gaps[:, :15].mean() == 0
    assert gaps[:, 900:].mean() > 2 * gaps[:, 200:300].mean()
    before, after, *_ = _render(window, _conditions(scan_gaps=False, clouds=0.1))
    hidden, later = (before == 0).all(axis=0), (after == 0).all(axis=0)
    assert hidden.any()
    assert later.any()
    assert not (hidden & later)[hidden].all()


def test_clouds_cover_the_given_share() -> None:
    window, share = Window(0, 0, 1500, 1500), 0.1
    seen = [
        sensor.visible_mask(window, tables.BEFORE, seed, _conditions(clouds=share)).mean()
        for seed in range(3)
    ]
    # Shadows hide up to as much again; those that fall on clouds hide nothing more.
    assert share - 0.02 < 1 - np.mean(seen) < 2 * share


def test_a_full_scene_loses_about_a_fifth_to_scan_gaps() -> None:
    swath = int(2 * tables.HALF_SWATH)
    gaps = np.concatenate(
        [sensor._scan_gaps(Window(0, c, 128, 512)) for c in range(0, swath, 512)], axis=1
    )
    assert gaps.mean() == pytest.approx(0.2, abs=0.03)


def test_default_scene_is_mostly_visible_and_valid_pixels_are_never_zero(made: Made) -> None:
    for image, least, most in ((made.before, 0.01, 0.08), (made.after, 0.07, 0.18)):
        assert ((image == 0).all(axis=0) == (image == 0).any(axis=0)).all()
        assert least < (image[0] == 0).mean() < most
        assert image.max() <= tables.SCALE


def test_class_means_are_those_of_the_table(made: Made) -> None:
    """Within 15 % and 250: haze, weather, hills and mixed pixels at borders move them.

    Croplands are left out, since a third of the fields are bare; so is water, whose near infrared
    is that of its shores and of the haze as much as its own.
    """
    valid = made.before[0] > 0
    for k in range(10):
        if k in (CROPLANDS, WATER):
            continue
        mean = made.before[:, valid & (made.before_classes == k + 1)].mean(axis=1)
        np.testing.assert_allclose(mean, REFLECTANCE[k], rtol=0.15, atol=250)


def test_misregistration_shifts_the_later_image_only() -> None:
    window = Window(0, 0, 64, 64)
    still = _render(window, _conditions(clouds=0.0, scan_gaps=False, misregistration=0.0))
    moved = _render(window, _conditions(clouds=0.0, scan_gaps=False, misregistration=0.9))
    np.testing.assert_array_equal(still[0], moved[0])
    assert (still[1] != moved[1]).mean() > 0.9
    np.testing.assert_array_equal(still[3], moved[3])


def test_each_seed_shifts_in_its_own_direction() -> None:
    shifts = np.array([sensor._shift(seed, tables.AFTER, 0.3) for seed in range(40)])
    np.testing.assert_allclose(np.hypot(*shifts.T), 0.3)
    assert (shifts.min(axis=0) < -0.1).all()
    assert (shifts.max(axis=0) > 0.1).all()


def test_a_shift_of_a_whole_pixel_moves_a_band_by_one_row() -> None:
    band = np.random.default_rng(0).random((12, 5)).astype(np.float32)
    still, moved = sensor._blur(band, 0.0), sensor._blur(band, 1.0)
    np.testing.assert_allclose(moved[:-1], still[1:], rtol=1e-6)


@pytest.mark.parametrize("spacing", [5.0, 40.0])
def test_noise_has_the_same_value_in_windows_and_at_points(spacing: float) -> None:
    window = Window(-30, 1000, 200, 200)
    field = noise.fractal_noise(window, spacing, 3, 11)
    y, x = np.array([-29.5, 0.5, 100.5]), np.array([1000.5, 1100.5, 1199.5])
    at = noise.fractal_noise_at(y, x, spacing, 3, 11)
    rows, columns = (y - 0.5).astype(int) + 30, (x - 0.5).astype(int) - 1000
    np.testing.assert_allclose(field[rows, columns], at, atol=1e-5)
    assert noise.fractal_noise(Window(0, 0, 800, 800), 5.0, 3, 11).var() == pytest.approx(
        1, abs=0.1
    )


def test_memory_does_not_grow_with_the_scene(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene, "BLOCK", 128)
    monkeypatch.setattr(parallel, "threads", lambda: 2)  # which run at most 4 blocks ahead

    def peak(width: int) -> int:
        tracemalloc.start()
        simulate(tmp_path / str(width), height=128, width=width)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(128 * 18) < 1.3 * peak(128 * 6)


class Stopping:
    """A watcher who stops the simulation while its blocks are made."""

    def began(self, step: progress.Step) -> None:
        pass

    def moved(self, step: progress.Step) -> None:
        if step.what == "simulating":
            raise InterruptedError(f"after {step.done} of {step.total}")

    def ended(self, step: progress.Step) -> None:
        pass


def test_a_failure_leaves_no_file_and_spares_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with (
        pytest.raises(InterruptedError, match="after 1 of 2"),
        progress.watched(Stopping()),
    ):
        simulate(tmp_path, height=520, width=64)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height": 0}, "must be at least 1, got 0 x 1024"),
        ({"width": -5}, "must be at least 1, got 1024 x -5"),
        ({"seed": -1}, "`seed` must be 0 or more, got -1"),
    ],
)
def test_options_out_of_range_are_refused(
    tmp_path: Path, options: dict[str, float], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        simulate(tmp_path / "scene", **options)
    assert not (tmp_path / "scene").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell_size": 0.0}, "`cell_size` must be above 0"),
        ({"clouds": 0.7}, "`clouds` must be a share from 0 to 0.5, got 0.7"),
        ({"misregistration": 1.5}, "`misregistration` must be 0 to 1 pixel, got 1.5"),
        ({"misregistration": float("nan")}, "`misregistration` must be 0 to 1 pixel, got nan"),
    ],
)
def test_conditions_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        SceneConditions(**options)


def test_two_dates_have_the_pixels_that_they_always_had(tmp_path: Path) -> None:
    files = simulate(tmp_path, height=600, width=530, seed=3)
    digest = hashlib.sha256()
    for path in files.files:
        digest.update(_read(path).tobytes())
    assert digest.hexdigest().startswith("f78c67980ad4d872350fc345f54e31a3a5f08fcd1e7aa9f19b4d2bf")


def test_more_dates_change_for_good_or_for_one_date(tmp_path: Path) -> None:
    files = simulate(tmp_path / "whole", height=600, width=530, seed=3, dates=6)
    assert [p.name for p in files.images] == [f"{year}.tif" for year in range(2001, 2007)]
    maps = np.stack([_read(path)[0] for path in files.class_maps])
    yearly = (maps[1:] != maps[:-1]).mean((1, 2))
    assert (yearly > 0.02).all()
    assert (yearly < 0.12).all()
    fleeting = (maps[1:-1] != maps[:-2]) & (maps[2:] == maps[:-2])
    assert 0.004 < fleeting.mean() < 0.02
    lasting = (maps[2] != maps[3]) & (maps[1] == maps[2]) & (maps[3] == maps[4])
    assert 0.01 < lasting.mean() < 0.06
    assert [raster.info(p).taken.first.year for p in files.images] == list(range(2001, 2007))
    corner = simulate(tmp_path / "corner", height=64, width=70, seed=3, dates=6)
    for large, small in zip(files.files, corner.files, strict=True):
        assert (_read(large)[:, :64, :70] == _read(small)).all()


@pytest.mark.parametrize("options", [{"dates": 1}, {"dates": 101}, {"dates": 3, "years": 0}])
def test_dates_out_of_range_are_refused(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(ParameterError, match=r"`dates` must be 2 to 100, and `years` 1 to 100"):
        simulate(tmp_path, height=8, width=8, **options)
