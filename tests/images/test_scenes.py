import logging
import tarfile
from datetime import date

import numpy as np
import pytest
import rasterio

import deliveries
from landshift import ImageReading, TargetGrid, composite
from landshift.errors import BandError, RasterError
from landshift.files import provenance
from landshift.files.dates import Period
from landshift.images import Image, plan, scenes
from landshift.images.quality import rule

SIX = ["blue", "green", "red", "nir", "swir16", "swir22"]


def day(*parts):
    return Period(date(*parts), date(*parts))


@pytest.mark.parametrize("form", ["folder", "tar"])
@pytest.mark.parametrize(
    ("name", "first", "taken"),
    [
        (deliveries.LANDSAT_8, 2, day(2021, 7, 21)),
        (deliveries.LANDSAT_5, 1, day(1990, 7, 21)),
    ],
)
def test_landsat_scenes_have_six_bands_by_common_name(tmp_path, form, name, first, taken):
    scene = deliveries.landsat(tmp_path, name)
    scene = deliveries.tar(scene) if form == "tar" else scene
    planned = plan(Image((scene,), quality=(rule("qa_pixel=cloud,shadow"),), scaled=True))
    assert list(planned.names) == SIX
    assert planned.taken == taken
    with rasterio.open(planned.layers[0].path) as source:
        assert source.read(1)[0, 0] == 7000 + 1000 * first
    assert not list(tmp_path.glob("*.aux.xml"))


def test_bands_come_by_common_or_own_name_with_the_scaling_of_level_2(tmp_path):
    scene = deliveries.landsat(tmp_path)
    files, _ = scenes.band_files(scene, ["nir08", "SR_B4", "coastal", "ST_B10"], ["QA_PIXEL"])
    assert [f.href.rpartition("_")[2] for f in files] == [
        "B5.TIF", "B4.TIF", "B1.TIF", "B10.TIF", "PIXEL.TIF",
    ]  # fmt: skip
    assert [(f.scales[0], f.offsets[0]) for f in files] == [
        (2.75e-05, -0.2), (2.75e-05, -0.2), (2.75e-05, -0.2), (0.00341802, 149.0), (1.0, 0.0),
    ]  # fmt: skip
    assert files[3].unit == "kelvin"


def test_two_landsat_scenes_become_a_composite_of_reflectance(tmp_path):
    old = deliveries.landsat(tmp_path, deliveries.LANDSAT_5)
    new = deliveries.tar(deliveries.landsat(tmp_path, deliveries.LANDSAT_8))
    out = composite(
        [old, new], tmp_path / "c.tif",
        reading=ImageReading(mask_qa=["qa_pixel=cloud,shadow"], scaled=True),
    )  # fmt: skip
    with rasterio.open(out) as written:
        values = written.read()
        assert written.descriptions == tuple(f"{d}:{b}" for d in ("before", "after") for b in SIX)
        assert set(written.units) == {"surface reflectance"}
        assert '"before": "1990-07-21"' in written.tags()["LANDSHIFT_DATES"]
        inputs = provenance.from_tags(written.tags())["inputs"]
    assert np.isnan(values[:, :4, :4]).all()
    assert np.isnan(values[:, :, -1]).all()
    assert np.isfinite(values).sum() == 12 * (16 * 15 - 16)
    assert values[0, 8, 8] == pytest.approx(8000 * 2.75e-05 - 0.2)
    assert values[6, 8, 8] == pytest.approx(9000 * 2.75e-05 - 0.2)
    assert len(inputs) == 8
    assert inputs[-1]["name"] == f"{deliveries.LANDSAT_8}.tar"


@pytest.mark.parametrize("form", ["folder", "zip"])
@pytest.mark.parametrize(("baseline", "reflectance"), [("N0400", 0.15), ("N0212", 0.25)])
def test_sentinel_2_has_the_offset_of_its_baseline(tmp_path, form, baseline, reflectance):
    safe = deliveries.sentinel2(tmp_path, deliveries.SENTINEL_2.replace("N0400", baseline))
    safe = deliveries.zipped(safe) if form == "zip" else safe
    out = composite(
        [safe], tmp_path / "c.tif",
        reading=ImageReading(mask_qa=["scl=cloud"], scaled=True, resampling="nearest"),
    )  # fmt: skip
    with rasterio.open(out) as written:
        values = written.read()
        assert written.descriptions == tuple(SIX)
        assert written.res == (10, 10)
        assert written.tags()["ACQUISITION_DATE"] == "2022-06-25"
    assert np.isnan(values[:, :8, :8]).all()
    assert values[0, 12, 12] == pytest.approx(reflectance)
    assert values[4, 12, 12] == pytest.approx(reflectance)
    assert np.isnan(values[:, :, -2:]).all()


def test_the_finest_file_of_a_band_counts(tmp_path):
    safe = deliveries.sentinel2(tmp_path)
    files, taken = scenes.band_files(safe, ["red", "coastal", "nir09", "nir08"], ["scl"])
    assert [f.href.rpartition("_")[2] for f in files] == [
        "10m.jp2", "20m.jp2", "60m.jp2", "20m.jp2", "20m.jp2",
    ]  # fmt: skip
    assert taken == day(2022, 6, 25)


def test_renamed_folders_are_known_by_their_files(tmp_path):
    scene = deliveries.landsat(tmp_path).rename(tmp_path / "my scene")
    assert list(plan(Image((scene,))).names) == SIX
    safe = deliveries.sentinel2(tmp_path).rename(tmp_path / "my other")
    assert list(plan(Image((safe,))).names) == SIX


def test_a_scene_without_metadata_has_the_table_s_scaling_and_the_name_s_date(tmp_path):
    scene = deliveries.landsat(tmp_path)
    (scene / f"{scene.name}_MTL.txt").unlink()
    files, taken = scenes.band_files(scene)
    assert {(f.scales, f.offsets) for f in files} == {((2.75e-05,), (-0.2,))}
    assert taken == day(2021, 7, 21)


def test_an_unused_quality_band_is_warned_of(tmp_path, caplog):
    scene = deliveries.landsat(tmp_path)
    with caplog.at_level(logging.WARNING):
        plan(Image((scene,), quality=(rule("qa_pixel=cloud"),)))
        assert not caplog.records
        plan(Image((scene,)))
    assert "`mask_qa` qa_pixel=dilated_cloud,cloud,cirrus,shadow does" in caplog.text


def test_scenes_side_by_side_are_one_mosaic(tmp_path):
    first = deliveries.landsat(tmp_path / "a", B4=10000)
    second = deliveries.landsat(tmp_path / "b", B4=20000)
    image = Image((first, second), bands=("red",), quality=(rule("qa_pixel=cloud"),))
    assert len(plan(image).stack) == 1
    out = composite([image], tmp_path / "c.tif", target=TargetGrid(extent="union"))
    with rasterio.open(out) as written:
        assert written.count == 1
        assert written.read(1)[8, 8] == 10000


def test_what_isn_t_a_scene_is_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RasterError, match=r"must hold one scene of a known product.*empty"):
        plan(Image((tmp_path / "empty",)))
    level_1 = deliveries.landsat(tmp_path, "LC08_L1TP_018030_20210721_20210911_02_T1")
    with pytest.raises(RasterError, match="known product"):
        plan(Image((level_1,)))
    (tmp_path / "a.tar").write_bytes(b"no archive" * 100)
    with pytest.raises(RasterError, match=r"must be whole and readable.*a\.tar"):
        plan(Image((tmp_path / "a.tar",)))
    (tmp_path / "a.zip").write_bytes(b"no archive" * 100)
    with pytest.raises(RasterError, match=r"must be whole and readable.*a\.zip"):
        plan(Image((tmp_path / "a.zip",)))
    with pytest.raises(RasterError, match=r"plain \.tar or a \.zip, got a\.tar\.gz"):
        plan(Image((tmp_path / "a.tar.gz",)))


def test_missing_bands_name_those_that_are_there(tmp_path):
    scene = deliveries.landsat(tmp_path)
    with pytest.raises(BandError, match=r"must have the bands scl, got coastal, blue, .*qa_pixel"):
        plan(Image((scene,), quality=(rule("scl=cloud"),)))
    (scene / f"{scene.name}_SR_B4.TIF").unlink()
    assert list(plan(Image((scene,))).names) == [n for n in SIX if n != "red"]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("DATE_ACQUIRED = 2021-07-21", "DATE_ACQUIRED = soon", "A date must be"),
        ("DATE_ACQUIRED", "DATE", "no DATE_ACQUIRED"),
        ("REFLECTANCE_MULT_BAND_4 = 2.75e-05", "REFLECTANCE_MULT_BAND_4 = many", "many"),
    ],
)
def test_damaged_metadata_is_one_line(tmp_path, old, new, reason):
    scene = deliveries.landsat(tmp_path)
    mtl = scene / f"{scene.name}_MTL.txt"
    mtl.write_text(mtl.read_text().replace(old, new))
    with pytest.raises(RasterError, match=rf"metadata of a scene must be whole, got '.*{reason}"):
        plan(Image((scene,)))


def test_members_of_a_hostile_tar_stay_inside_it(tmp_path):
    scene = deliveries.landsat(tmp_path / "s")
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as archive:
        for file in sorted(scene.iterdir()):
            archive.add(file, f"../../{file.name}")
        link = tarfile.TarInfo(f"{scene.name}_SR_B9.TIF")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    before = sorted(tmp_path.rglob("*"))
    files, _ = scenes.band_files(path)
    assert all(f.href.startswith(f"/vsitar/{{{path}}}/") for f in files)
    assert sorted(tmp_path.rglob("*")) == before
