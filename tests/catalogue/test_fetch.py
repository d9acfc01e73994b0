import importlib
import json
import logging
import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import rasterio

from commands import run
from landshift import (
    DateImage,
    FetchGrid,
    FileAccess,
    ItemFilter,
    Place,
    SearchFiles,
    composite,
    fetch,
    search,
)
from landshift.catalogue import cache, hosts
from landshift.errors import BandError, CatalogueError, OutputError, ParameterError
from landshift.files import provenance
from landshift.machine import parallel

sys.path.insert(0, str(Path(__file__).parent))
from archive import BANDS, CLEAR, CLOUD, NOISE, Archive, simulated
from stac_server import Api, serving

SUMMERS = ["2019-06/2019-09", "2023-06/2023-09"]
DAYS = ("06-05", "06-25", "07-05", "07-25", "08-05", "08-25", "09-05", "09-25")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Eight days of two sensors in each of two summers: overlapping tiles, two UTM zones.

    Of 2023, Sentinel-2 has the offset of baseline 04.00. Landsat and Sentinel-2 take turns.
    """
    made = simulated(tmp_path_factory.mktemp("archive"), 128)
    for number, day in enumerate(DAYS):
        sensor = ("landsat", "sentinel")[number % 2]
        for year in (2019, 2023):
            for columns in ((0, 80), (48, 128)) if sensor == "sentinel" else (None,):
                made.add(f"{year}-{day}", sensor=sensor, columns=columns)
    made.add("2023-07-15", crs="EPSG:32617")
    return made


def like(archive):
    return archive.folder.parent / "truth" / "before.tif"


def listed(archive, folder, catalogue=None, dates=SUMMERS, **wanted):
    """The list of a search."""
    path = folder / "items.json"
    search(
        str(catalogue or archive.folder), place=Place(like=like(archive)),
        wanted=ItemFilter(dates=dates, **wanted), files=SearchFiles(out=path), overwrite=True,
    )  # fmt: skip
    return path


def grid_of(archive):
    return FetchGrid(like=like(archive))


def errors(path, truth):
    """Errors of an image in reflectance, where it has data, and where that is."""
    with rasterio.open(path) as source:
        values = source.read()
    valid = values[0] != -32768
    return values[:, valid] * 1e-4 - truth[:, valid], valid


# ---- Images against the ground that is known


@pytest.mark.parametrize(
    ("method", "most"), [("median", 0.7 * NOISE), ("medoid", NOISE), ("best", 1.4 * NOISE)]
)
def test_images_of_two_sensors_show_the_ground(archive, tmp_path, method, most):
    result = fetch(
        listed(archive, tmp_path), tmp_path / "out", target=grid_of(archive),
        image=DateImage(method=method),
    )  # fmt: skip
    assert [i.path.name for i in result.images] == [
        "2019-06-01_2019-09-30.tif", "2023-06-01_2023-09-30.tif",
    ]  # fmt: skip
    for image in result.images:
        wrong, valid = errors(image.path, archive.truth)
        assert valid.mean() > 0.99
        assert image.without == pytest.approx(1 - valid.mean())
        assert np.sqrt((wrong**2).mean()) < most
        assert abs(wrong.mean()) < 0.0005
        with rasterio.open(image.path) as source:
            assert source.descriptions == BANDS
            assert set(source.scales) == {1e-4}
            assert set(source.units) == {"surface reflectance"}
        with rasterio.open(image.clear) as source:
            assert source.read(1).mean() == pytest.approx(image.observations)
    assert [(i.items, i.days) for i in result.images] == [(12, 8), (13, 9)]


def test_clouds_that_stay_in_are_seen(archive, tmp_path):
    result = fetch(
        listed(archive, tmp_path, dates=["2019-06-05"]), tmp_path / "out",
        target=grid_of(archive), image=DateImage(hide="none"),
    )  # fmt: skip
    wrong, valid = errors(result.images[0].path, archive.truth)
    assert valid.all()
    assert wrong.max() > 0.3
    assert result.images[0].observations == 1


def test_clouds_are_found_without_a_quality_band(archive, tmp_path):
    """The same ones, whichever bands the image has; on a ground of 128 pixels, most of them."""
    made = Archive(tmp_path / "archive", archive.truth, archive.transform)
    made.folder.mkdir()
    for day in DAYS[:3]:
        item = made.add(f"2019-{day}")
        del item["assets"]["qa_pixel"]
        made.save(item)
    items = tmp_path / "items.json"
    search(
        str(made.folder), place=Place(like=like(archive)),
        wanted=ItemFilter(dates=["2019-06-05"]), files=SearchFiles(out=items),
    )  # fmt: skip
    with pytest.raises(BandError, match=r"its quality band .* found without it \(`mask_clouds`\)"):
        fetch(items, tmp_path / "out", target=grid_of(archive))
    hidden = []
    for number, bands in enumerate(("", "red,nir")):
        result = fetch(
            items, tmp_path / str(number), target=grid_of(archive),
            image=DateImage(mask_clouds=True, bands=bands),
        )  # fmt: skip
        with rasterio.open(result.images[0].path) as source:
            assert source.count == (2 if bands else 6)
            hidden.append(source.read(1) == source.nodata)
            about = provenance.from_tags(source.tags())
        share = pytest.approx(hidden[-1].mean(), abs=1e-6)
        assert about["measured"]["clouds"] == [{"taken": "2019-06-05", "hidden": share}]
    with rasterio.open(made.folder / f"{made.items[0]['id']}_QA_PIXEL.TIF") as source:
        quality = source.read(1)
    assert np.array_equal(*hidden)
    assert hidden[0][quality == CLOUD].mean() > 0.5
    assert hidden[0][quality == CLEAR].mean() < 0.05


@pytest.mark.parametrize("method", ["median", "best"])
def test_a_network_finds_clouds_beside_the_quality_band(archive, tmp_path, method):
    items = listed(archive, tmp_path, dates=["2019-06-05"])
    without = []
    for hide, mask_clouds in ((None, False), (None, True), ("none", True)):
        result = fetch(
            items, tmp_path / f"{hide}{mask_clouds}", target=grid_of(archive),
            image=DateImage(hide=hide, mask_clouds=mask_clouds, method=method),
        )  # fmt: skip
        with rasterio.open(result.images[0].path) as source:
            without.append(source.read(1) == source.nodata)
    assert np.array_equal(without[1], without[0] | without[2])
    assert 0 < without[2].sum() < without[1].sum()


def test_pixels_without_a_clear_observation_have_no_data(archive, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        result = fetch(
            listed(archive, tmp_path, dates=["2019-06-05"]), tmp_path / "out",
            target=grid_of(archive),
        )  # fmt: skip
    image = result.images[0]
    _, valid = errors(image.path, archive.truth)
    with rasterio.open(image.clear) as source:
        assert np.array_equal(source.read(1) == 1, valid)
    assert 0.2 < image.without < 0.6
    assert "have no clear observation" in caplog.text


def test_the_place_of_the_search_is_the_grid_and_pixels_are_copied(archive, tmp_path):
    result = fetch(listed(archive, tmp_path), tmp_path / "out")
    with rasterio.open(result.images[0].path) as source, rasterio.open(like(archive)) as wanted:
        assert source.shape == wanted.shape
        assert source.transform == wanted.transform
        assert source.crs == wanted.crs


def test_another_grid_and_other_bands(archive, tmp_path):
    target = FetchGrid(
        crs="EPSG:32618", resolution=60, bounds=(300_000, 4_597_000, 302_000, 4_599_000)
    )
    result = fetch(
        listed(archive, tmp_path), tmp_path / "out", target=target,
        image=DateImage(bands="nir,red", normalise="moments"),
    )  # fmt: skip
    with rasterio.open(result.images[0].path) as source:
        assert source.descriptions == ("nir", "red")
        assert source.res == (60, 60)
        assert (source.bounds.left, source.bounds.top) == (300_000, 4_599_000)
    assert result.files[-1].name == "2023-06-01_2023-09-30_normalised.tif"
    first, last = result.images[0].path, result.files[-1]
    with rasterio.open(first) as before, rasterio.open(last) as after:
        values = before.read(masked=True), after.read(masked=True)
    assert values[0].mean() == pytest.approx(values[1].mean(), abs=10)


def test_images_become_a_composite(archive, tmp_path):
    result = fetch(listed(archive, tmp_path), tmp_path / "out", target=grid_of(archive))
    out = composite([i.path for i in result.images], tmp_path / "c.tif")
    with rasterio.open(out) as source:
        assert source.count == 12
        dates = json.loads(source.tags()["LANDSHIFT_DATES"])
    assert dates == {"before": "2019-06-01/2019-09-30", "after": "2023-06-01/2023-09-30"}


def test_blocks_don_t_show(archive, tmp_path, monkeypatch):
    found = listed(archive, tmp_path)
    module = importlib.import_module("landshift.catalogue.fetch")
    for method in ("median", "best"):
        pixels = []
        for side in (1024, 50):
            monkeypatch.setattr(module, "_block_side", lambda *_, side=side: side)
            result = fetch(
                found, tmp_path / f"{method}{side}", target=grid_of(archive),
                image=DateImage(method=method),
            )  # fmt: skip
            with rasterio.open(
                result.images[0].path
            ) as source:  # all in one CRS: nothing is warped
                pixels.append(source.read())
        assert np.array_equal(*pixels)


def test_every_item_and_its_checksums_are_in_the_provenance(archive, tmp_path):
    result = fetch(listed(archive, tmp_path), tmp_path / "out", target=grid_of(archive))
    with rasterio.open(result.images[0].path) as source:
        about = provenance.from_tags(source.tags())
    assert about["stage"] == "fetch"
    assert len(about["items"]) == 12
    stated = {i["id"]: i["assets"] for i in archive.items}
    for item in about["items"]:
        assert set(item["files"]) == {*BANDS, "scl" if item["id"][0] == "S" else "qa_pixel"}
        sums = {f["sha256"] for f in item["files"].values()}
        of_item = {a.get("file:checksum", "")[4:] for a in stated[item["id"]].values()}
        assert sums <= of_item


def test_a_second_run_makes_only_what_is_missing(archive, tmp_path):
    found, out = listed(archive, tmp_path), tmp_path / "out"
    first = fetch(found, out, target=grid_of(archive))
    assert [i.made for i in first.images] == [True, True]
    first.images[1].path.unlink()
    first.images[1].clear.unlink()
    before = first.images[0].path.stat().st_mtime_ns
    again = fetch(found, out, target=grid_of(archive))
    assert [i.made for i in again.images] == [False, True]
    assert first.images[0].path.stat().st_mtime_ns == before
    assert [i.observations for i in again.images] == [i.observations for i in first.images]
    with pytest.raises(OutputError, match="2019-06-01_2019-09-30"):
        fetch(found, out, target=grid_of(archive), image=DateImage(method="best"))
    fetch(found, out, target=grid_of(archive), image=DateImage(method="best"), overwrite=True)


def test_other_files_are_not_replaced_and_nothing_is_fetched_for_them(archive, tmp_path):
    (tmp_path / "2019-06-01_2019-09-30.tif").write_bytes(like(archive).read_bytes())
    with pytest.raises(OutputError, match="2019-06-01_2019-09-30"):
        fetch(listed(archive, tmp_path), tmp_path, target=grid_of(archive))


# ---- Class maps


def test_a_class_map_s_tiles_become_the_map_of_each_range(tmp_path, write_raster, caplog):
    from stac_server import item

    for year, first in ((2020, 10), (2021, 40)):
        for number in range(2):
            values = np.full((1, 8, 8), first + 10 * number, np.uint8)
            values[0, 0, 0] = 0
            name = f"ESA_WorldCover_{year}_{number}"
            write_raster(f"{name}.tif", values, origin=(500_000 + 240 * number, 4_649_000))
            document = item(
                name, f"{year}-01-01", collection="esa-worldcover", cloud=None,
                assets={"map": f"./{name}.tif", "input_quality": f"./{name}_q.tif"},
                start_datetime=f"{year}-01-01T00:00:00Z", end_datetime=f"{year}-12-31T00:00:00Z",
            )  # fmt: skip
            document["properties"]["datetime"] = None
            document["assets"]["rendered_preview"] = {"href": "./x.png", "roles": ["overview"]}
            (tmp_path / f"{name}.json").write_text(json.dumps(document))
    found = tmp_path / "found.json"
    search(str(tmp_path), place=Place(bbox=(-75.05, 41.9, -74.9, 42.05)),
           wanted=ItemFilter(dates=["2020", "2021"]), files=SearchFiles(out=found))  # fmt: skip
    bounds = (500_000, 4_648_760, 500_480, 4_649_000)
    result = fetch(found, tmp_path / "maps", target=FetchGrid(bounds=bounds))
    with rasterio.open(result.images[0].path) as source:
        values = source.read(1)
        assert source.shape == (8, 16)
        assert '"Tree cover"' in source.tags()["LANDSHIFT_CLASSES"]
    assert values[0, 0] == 0
    assert set(values[:, :8].ravel()) == {0, 10}
    assert set(values[:, 8:].ravel()) == {0, 20}
    assert "two versions of the algorithm" in caplog.text
    flows = run(
        "label", *(i.path for i in result.images), "--recode-before", "worldcover",
        "--recode-after", "worldcover", "--classes", "landcover", "-o", tmp_path / "change.tif",
    )  # fmt: skip
    assert flows.exit_code == 0, flows.output
    assert "cropland" in flows.stdout
    with pytest.raises(ParameterError, match="one class map, got those of 2020, 2021"):
        fetch(found, tmp_path / "both", dates=["2020/2021"], target=FetchGrid(bounds=bounds))


# ---- Archives on the web, and their faults


@pytest.fixture
def small(tmp_path, monkeypatch):
    """One day of one sensor, on the web, with a cache of its own."""
    monkeypatch.setenv("LANDSHIFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hosts, "_PAUSE", 0.01)
    made = simulated(tmp_path, 64)
    made.add("2019-06-05", cloud=0)
    made.add("2019-07-05", cloud=0)
    api = Api([])
    api.folder = made.folder
    with serving(api):
        for document in made.items:
            for asset in document["assets"].values():
                asset["href"] = asset["href"].replace("./", f"{api.url}/files/")
        api.items = made.items
        yield made, api


def found(small, tmp_path):
    made, api = small
    path = listed(made, tmp_path, api.url, dates=["2019"])
    api.asked.clear()
    return path


def paths_of(api):
    return [path for _, path, _ in api.asked]


def test_files_are_fetched_once(online, small, tmp_path):
    made, api = small
    items = found(small, tmp_path)
    first = fetch(items, tmp_path / "a", target=grid_of(made))
    assert first.fetched == sum(f.stat().st_size for f in made.folder.glob("*.TIF"))
    assert len(set(paths_of(api))) == 14
    assert len(paths_of(api)) <= 14 + parallel.threads()  # each thread may ask for a range once
    wrong, _ = errors(first.images[0].path, made.truth)
    assert np.sqrt((wrong**2).mean()) < NOISE
    api.asked.clear()
    os.environ["LANDSHIFT_OFFLINE"] = "1"
    try:
        second = fetch(items, tmp_path / "b", target=grid_of(made))
    finally:
        del os.environ["LANDSHIFT_OFFLINE"]
    assert second.fetched == 0
    assert not api.asked
    assert second.images[0].path.read_bytes() == first.images[0].path.read_bytes()


def test_a_file_that_was_spoilt_in_the_cache_is_fetched_again(online, small, tmp_path):
    made, _ = small
    items = found(small, tmp_path)
    fetch(items, tmp_path / "a", target=grid_of(made))
    spoilt = sorted((tmp_path / "cache" / "catalogue" / "files").iterdir())[0]
    spoilt.write_bytes(spoilt.read_bytes()[:-1])
    assert fetch(items, tmp_path / "b", target=grid_of(made)).fetched == spoilt.stat().st_size


def a_file(made, number=0):
    return next(f"/files/{f.name}" for f in sorted(made.folder.glob("*.TIF"))[number:])


@pytest.mark.parametrize(
    "fault",
    [
        lambda h: h.answer(429, Retry_After="0"),
        lambda h: h.answer(503),
        lambda h: (
            h.answer(200, b"II*\0" + bytes(50), Content_Length="5000") or h.connection.shutdown(2)
        ),
    ],
    ids=["429", "503", "half-sent"],
)
def test_faults_that_pass_are_overcome(online, small, tmp_path, fault):
    made, api = small
    items = found(small, tmp_path)
    api.faults[a_file(made)] = [fault, fault]
    result = fetch(items, tmp_path / "a", target=grid_of(made))
    assert result.images[0].items == 2
    assert not list((tmp_path / "cache").rglob("*.part"))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda h: h.answer(503), "got 503"),
        (lambda h: h.answer(403), "signature is missing or has expired"),
        (lambda h: h.answer(200, b"<html>log in</html>"), "must be a GeoTIFF"),
        (lambda h: h.answer(200, b'<VRTDataset rasterXSize="1">'), "must be a GeoTIFF"),
        (lambda h: h.answer(200, b"II*\0other"), "checksum that the item states"),
        (lambda h: h.answer(302, Location="http://169.254.169.254/latest"), "169.254.169.254"),
        (lambda h: h.answer(302, Location="http://127.0.0.1:9/x.tif"), "127.0.0.1:9"),
        (lambda h: h.answer(302, Location="file:///etc/passwd"), "no web address"),
        (
            lambda h: h.answer(200, b"II*\0" + bytes(9), Content_Length="5000")
            or h.connection.shutdown(2),
            "must come whole",
        ),
    ],
)  # fmt: skip
def test_faults_that_stay_are_one_line(online, small, tmp_path, fault, reason):
    made, api = small
    items = found(small, tmp_path)
    api.faults[a_file(made)] = [fault] * 30
    with pytest.raises(CatalogueError, match=reason):
        fetch(items, tmp_path / "a", target=grid_of(made))
    assert not list((tmp_path / "cache").rglob("*.part"))
    assert not (tmp_path / "a").exists()
    api.faults.clear()
    assert fetch(items, tmp_path / "a", target=grid_of(made)).images[0].items == 2


@pytest.mark.parametrize(
    "href",
    [
        "file:///etc/passwd", "/etc/passwd", "/vsicurl/http://127.0.0.1/x.tif", "s3://bucket/x.tif",
        "http://127.0.0.1:9/x.tif", "http://169.254.169.254/latest", "ftp://127.0.0.1/x.tif",
        "NETCDF:/etc/passwd:x",
    ],
)  # fmt: skip
def test_items_of_the_web_name_no_files_of_this_machine_and_no_other_hosts(
    online, small, tmp_path, href
):
    made, _ = small
    made.items[0]["assets"]["red"]["href"] = href
    items = found(small, tmp_path)
    with pytest.raises(CatalogueError, match=r"must lie on"):
        fetch(items, tmp_path / "a", target=grid_of(made))


def test_a_host_that_the_user_names_may_be_asked(online, small, tmp_path):
    made, api = small
    mirror = Api([])
    mirror.folder = made.folder
    with serving(mirror):
        asset = made.items[0]["assets"]["red"]
        asset["href"] = asset["href"].replace(api.url, mirror.url)
        items = found(small, tmp_path)
        with pytest.raises(CatalogueError, match="allow_host"):
            fetch(items, tmp_path / "a", target=grid_of(made))
        allowed = FileAccess(allow_host=[mirror.url.removeprefix("http://")])
        fetch(items, tmp_path / "a", target=grid_of(made), access=allowed)


def test_items_larger_than_the_bound_are_refused_before_they_are_fetched(online, small, tmp_path):
    made, api = small
    items = found(small, tmp_path)
    huge = [lambda h: h.answer(200, b"II*\0" + bytes(9), Content_Length=str(10**13))]
    api.faults[a_file(made)] = huge * 2
    with pytest.raises(CatalogueError, match="max_item_gb"):
        fetch(items, tmp_path / "a", target=grid_of(made))
    with pytest.raises(CatalogueError, match="max_item_gb"):
        fetch(items, tmp_path / "a", target=grid_of(made), access=FileAccess(max_item_gb=2e-5))


def test_an_item_whose_files_are_gone_is_left_out_with_a_line(online, small, tmp_path, caplog):
    made, _ = small
    items = found(small, tmp_path)
    next(made.folder.glob("*20190605*_SR_B4.TIF")).unlink()
    with caplog.at_level(logging.WARNING):
        result = fetch(items, tmp_path / "a", target=grid_of(made))
    assert result.gone == (made.items[0]["id"],)
    assert result.images[0].items == 1
    assert f"{made.items[0]['id']} is left out" in caplog.text
    for file in made.folder.glob("*_SR_B4.TIF"):
        file.unlink()
    os.environ["LANDSHIFT_CACHE"] = str(tmp_path / "other")
    with pytest.raises(CatalogueError, match="got none for 2019"):
        fetch(items, tmp_path / "b", target=grid_of(made))


def test_keys_are_neither_stored_nor_shown(online, small, tmp_path):
    made, api = small
    for asset in made.items[0]["assets"].values():
        asset["href"] += "?sig=secret"
    items = found(small, tmp_path)
    result = fetch(items, tmp_path / "a", target=grid_of(made))
    assert b"secret" not in result.images[0].path.read_bytes()
    notes = (tmp_path / "cache" / "catalogue" / "notes").iterdir()
    assert not any("secret" in note.read_text() for note in notes)
    api.faults[a_file(made)] = [lambda h: h.answer(403)]
    os.environ["LANDSHIFT_CACHE"] = str(tmp_path / "other")
    with pytest.raises(CatalogueError) as caught:
        fetch(items, tmp_path / "b", target=grid_of(made))
    assert "secret" not in str(caught.value)


def test_only_the_part_that_the_grid_needs_is_fetched(online, small, tmp_path):
    made, api = small
    api.ranges = True
    wide = simulated(tmp_path / "wide", 1400)
    wide.add("2019-06-05", cloud=0)
    made.folder, api.folder, api.items = wide.folder, wide.folder, wide.items
    for asset in wide.items[0]["assets"].values():
        asset["href"] = asset["href"].replace("./", f"{api.url}/files/")
    items = found(small, tmp_path)
    whole = sum(f.stat().st_size for f in wide.folder.glob("*.TIF"))
    grid = FetchGrid(crs="EPSG:32618", bounds=(305_000, 4_590_000, 307_100, 4_592_100))
    result = fetch(items, tmp_path / "a", target=grid)
    assert result.fetched == api.sent < 0.6 * whole
    with rasterio.open(result.images[0].path) as source:
        about = provenance.from_tags(source.tags())["items"][0]["files"]["red"]
        part = source.read()
    assert about["part"] is True
    api.sent = 0
    again = fetch(items, tmp_path / "b", target=grid)
    assert again.fetched == api.sent == 0
    files = FileAccess(whole_files=True)
    complete = fetch(items, tmp_path / "c", target=grid, access=files)
    assert complete.fetched == whole
    with rasterio.open(complete.images[0].path) as source:
        assert np.array_equal(source.read(), part)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda h: h.answer(403), "signature is missing or has expired"),
        (lambda h: h.answer(302, Location="http://169.254.169.254/latest"), "169.254.169.254"),
        (lambda h: h.answer(206, bytes(9), Content_Range="bytes 0-262143/900000"), "come whole"),
        (lambda h: h.answer(206, bytes(300_000), Content_Range="bytes 0-9/900000"), "too long"),
    ],
)  # fmt: skip
def test_faults_of_servers_with_ranges_are_one_line(online, small, tmp_path, fault, reason):
    made, api = small
    api.ranges = True
    items = found(small, tmp_path)
    api.faults[a_file(made)] = [fault] * 3
    with pytest.raises(CatalogueError, match=reason):
        fetch(items, tmp_path / "a", target=grid_of(made))
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_addresses_are_signed_when_they_are_asked(online, small, tmp_path, monkeypatch):
    made, api = small
    items = found(small, tmp_path)
    signer = types.ModuleType("planetary_computer")
    signer.sign = lambda href: f"{href}?sig=secret"
    monkeypatch.setitem(sys.modules, "planetary_computer", signer)
    result = fetch(
        items, tmp_path / "a", target=grid_of(made), access=FileAccess(sign="planetary-computer")
    )
    assert all(asked == {"sig": "secret"} for _, _, asked in api.asked)
    assert b"secret" not in result.images[0].path.read_bytes()
    monkeypatch.setitem(sys.modules, "planetary_computer", None)
    with pytest.raises(ParameterError, match=r"landshift\[planetary-computer\]"):
        fetch(items, tmp_path / "b", access=FileAccess(sign="planetary-computer"))


# ---- What can't be done


def test_unknown_products_and_missing_bands_are_one_line(archive, tmp_path):
    document = json.loads(json.dumps(archive.items[0]))
    folder = tmp_path / "one"
    folder.mkdir()
    one = Archive(folder, archive.truth, archive.transform)
    for asset in document["assets"].values():
        asset["href"] = str(archive.folder / asset["href"])
    path = one.save({**document, "id": "mine", "collection": "mine"})
    find = {"place": Place(like=like(archive)), "wanted": ItemFilter(dates=["2019"])}
    items = tmp_path / "items.json"
    search(str(folder), **find, files=SearchFiles(out=items))
    with pytest.raises(CatalogueError, match=r"must be of a known product .*got mine of mine"):
        fetch(items, tmp_path / "a")
    path.unlink()
    del document["assets"]["red"]
    one.save(document)
    search(str(folder), **find, files=SearchFiles(out=items), overwrite=True)
    with pytest.raises(BandError, match="must have the bands red"):
        fetch(items, tmp_path / "a")
    fetch(items, tmp_path / "a", image=DateImage(bands=["nir", "B3"]))


def test_wrong_options_are_one_line(archive, tmp_path):
    items = listed(archive, tmp_path)
    for options, reason in (
        ({"dates": ["2010"]}, "Each range must have an item, got none for 2010"),
        ({"target": FetchGrid(crs="EPSG:32619")}, "`resolution` must be given"),
        ({"image": DateImage(hide="fog")}, "fog"),
        ({"image": DateImage(bands="red,red")}, "once each"),
    ):
        with pytest.raises(ParameterError, match=reason):
            fetch(items, tmp_path / "a", **options)
    with pytest.raises(ParameterError, match="leave one out"):
        FetchGrid(like="a.tif", resolution=10)
    with pytest.raises(ParameterError, match="`method` must be"):
        DateImage(method="mean")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(CatalogueError, match="FeatureCollection"):
        fetch(tmp_path / "bad.json", tmp_path / "a")


def test_the_command_prints_the_images(archive, tmp_path):
    items = listed(archive, tmp_path)
    result = run("fetch", items, "--like", like(archive), "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "2019-06-01/2019-09-30" in result.stdout
    assert "0.0 MB were fetched" in result.stdout
    printed = json.loads(
        run(
            "fetch", items, "--like", like(archive), "-o", tmp_path / "out", "--print", "json"
        ).stdout
    )
    assert [row["items"] for row in printed["rows"]] == [12, 13]


def test_the_cache_has_a_folder_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("LANDSHIFT_CACHE", str(tmp_path))
    assert cache._files() == tmp_path / "catalogue" / "files"
