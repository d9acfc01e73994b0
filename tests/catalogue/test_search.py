import importlib.util
import json
import logging
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pystac
import pytest
import shapely

from commands import run
from landshift import ItemFilter, Place, SearchFiles, search
from landshift.catalogue import entries, hosts
from landshift.errors import CatalogueError, OutputError, ParameterError, VectorError
from landshift.images import Image, plan

sys.path.insert(0, str(Path(__file__).parent))
import stac_server
from stac_server import CORE, FILTER, QUERY, SEARCH, Api, item, serving

DAYS = [("06-01", 5.0), ("06-11", 80.0), ("07-01", 20.0), ("08-01", 3.0), ("11-01", 0.0)]
SUMMERS = ["2019-06/2019-09", "2023-06/2023-09"]
HERE = Place(bbox=(-75.0, 41.9, -74.8, 42.0))
WANTED = ItemFilter(dates=SUMMERS, collection=["sentinel-2-l2a"], max_cloud=50)
CLEAR = [f"S2A_{year}-{day}" for year in (2019, 2023) for day in ("06-01", "07-01", "08-01")]


def holdings():
    """Five days in each of two years; one elsewhere, one of another collection."""
    return [
        item(f"S2A_{year}-{day}", f"{year}-{day}", cloud=cloud)
        for year in (2019, 2023)
        for day, cloud in DAYS
    ] + [
        item("elsewhere", "2019-07-01", bounds=(10, 10, 11, 11)),
        item("LC08_X", "2019-07-01", collection="landsat-c2-l2"),
    ]


def names(result):
    return [e.id for e in result.entries]


# ---- APIs


@pytest.mark.parametrize("methods", [("GET", "POST"), ("GET",)])
@pytest.mark.parametrize("conforms", [[], [QUERY], [FILTER]])
def test_an_api_is_asked_for_what_it_says_that_it_can_do(online, conforms, methods):
    api = Api(holdings())
    api.conforms, api.methods = [CORE, SEARCH, *conforms], methods
    if methods == ("GET",):
        api.conforms = [CORE, SEARCH]
    with serving(api):
        result = search(api.url, place=HERE, wanted=WANTED)
    assert names(result) == CLEAR
    assert [len(r.entries) for r in result.ranges] == [3, 3]
    asked = [a for _, path, a in api.asked if path == "/search"]
    assert {m for m, path, _ in api.asked if path == "/search"} == {methods[-1]}
    assert all(("query" in a) == (QUERY in api.conforms) for a in asked)
    assert all(("filter" in a) == (FILTER in api.conforms) for a in asked)


def test_servers_that_ignore_what_they_are_asked_are_filtered_here(online):
    api = Api(holdings())
    api.conforms.append(QUERY)
    api.ignores = {"query", "intersects", "collections", "datetime"}
    with serving(api):
        assert names(search(api.url, place=HERE, wanted=WANTED)) == CLEAR


def test_servers_that_answer_a_query_with_nothing_are_asked_again_without_it(online):
    api = Api(holdings())
    api.conforms.append(QUERY)
    api.empty_with = {"query"}
    with serving(api):
        assert names(search(api.url, place=HERE, wanted=WANTED)) == CLEAR


def test_items_come_once_from_pages_that_repeat_them(online):
    api = Api([*holdings()[:5], *holdings()[:5]])
    api.page = 2
    with serving(api):
        result = search(api.url, place=HERE, wanted=ItemFilter(dates=["2019"]))
    assert names(result) == [f"S2A_2019-{day}" for day, _ in DAYS]


def test_more_items_than_wanted_are_left_out_with_a_line(online, caplog):
    api = Api(holdings())
    with serving(api), caplog.at_level(logging.WARNING):
        result = search(api.url, place=HERE, wanted=ItemFilter(dates=["2019"], most=3))
    assert len(result.entries) == 3
    assert "More than 3 items match 2019" in caplog.text


def test_items_that_can_t_be_understood_are_left_out_with_a_line(online, caplog):
    bad = [item("no time", "2019-06-02"), item("no place", "2019-06-03"), {"id": "no item"}]
    bad[0]["properties"]["datetime"] = None
    bad[1].update(geometry=None, bbox=None)
    api = Api(holdings()[:5])
    api.items, api.ignores = [*api.items, *bad[:2]], {"datetime", "intersects"}
    with serving(api), caplog.at_level(logging.WARNING):
        result = search(api.url, place=HERE, wanted=ItemFilter(dates=["2019"]))
    assert len(result.entries) == 5
    assert "2 items of the catalogue can't be understood" in caplog.text


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again(online, monkeypatch, status):
    monkeypatch.setattr(hosts, "_PAUSE", 0.01)
    api = Api(holdings())
    api.faults["/search"] = [lambda h: h.answer(status, Retry_After="0")] * 2
    with serving(api):
        assert names(search(api.url, place=HERE, wanted=WANTED)) == CLEAR


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda h: h.answer(404), "got 404 Not Found"),
        (lambda h: h.answer(200, b"<html>login</html>"), "must be readable"),
        (lambda h: h.answer(200, {"type": "Other"}), "must be readable"),
        (lambda h: h.answer(302, Location="http://169.254.169.254/x"), "169.254.169.254:80"),
        (lambda h: h.answer(302, Location="file:///etc/passwd"), "no web address"),
    ],
)
def test_what_is_no_catalogue_is_one_line(online, fault, reason):
    api = Api([])
    api.faults["/"] = [fault] * 9
    with serving(api), pytest.raises(CatalogueError, match=reason):
        search(api.url, place=HERE, wanted=WANTED)


def test_pages_may_not_lead_to_other_hosts_or_files(online, tmp_path):
    other = Api(holdings())
    for target in ("http://127.0.0.1:9/search", "/etc/passwd", str(tmp_path)):
        api = Api(holdings())
        page = {"type": "FeatureCollection", "features": holdings()[:1],
                "links": [{"rel": "next", "href": target}]}  # fmt: skip
        api.faults["/search"] = [lambda h, page=page: h.answer(200, page)]
        with serving(api), pytest.raises(CatalogueError, match=r"allowed|web addresses"):
            search(api.url, place=HERE, wanted=WANTED)
    assert not other.asked


def test_hosts_that_the_user_names_are_followed(online):
    api, moved = Api([]), Api(holdings())
    with serving(api), serving(moved):
        api.faults["/"] = [lambda h: h.answer(302, Location=moved.url)] * 2
        with pytest.raises(CatalogueError, match="name the host"):
            search(api.url, place=HERE, wanted=WANTED)
        api.faults["/"] = [lambda h: h.answer(302, Location=moved.url)] * 2
        allowed = ItemFilter(dates=SUMMERS, max_cloud=50, collection="sentinel-2-l2a",
                             allow_host=[moved.url.removeprefix("http://")])  # fmt: skip
        assert names(search(api.url, place=HERE, wanted=allowed)) == CLEAR


def test_an_answer_without_end_is_refused(online, monkeypatch):
    monkeypatch.setattr(entries, "_MOST_BYTES", 1000)
    api = Api(holdings())
    with serving(api), pytest.raises(CatalogueError, match="at most"):
        search(api.url, place=HERE, wanted=WANTED)


def test_a_server_that_doesn_t_answer_is_one_line(online, monkeypatch):
    monkeypatch.setattr(hosts, "_TRIES", 0)
    with pytest.raises(CatalogueError, match="must be readable"):
        search("http://127.0.0.1:9", place=HERE, wanted=WANTED)


def test_keys_in_addresses_are_never_shown(online, monkeypatch):
    monkeypatch.setattr(hosts, "_TRIES", 0)
    with pytest.raises(CatalogueError) as caught:
        search("http://me:secret@127.0.0.1:9/?key=secret", place=HERE, wanted=WANTED)
    assert "secret" not in str(caught.value)


def test_nothing_is_asked_while_the_network_is_switched_off():
    with pytest.raises(CatalogueError, match="got LANDSHIFT_OFFLINE set for http://127"):
        search("http://127.0.0.1:9", place=HERE, wanted=WANTED)


@pytest.mark.skipif(importlib.util.find_spec("rustac") is None, reason="rustac isn't installed")
def test_a_real_api_is_searched(online, tmp_path):
    beside = Path(importlib.util.find_spec("rustac").origin).parents[1] / "bin" / "rustac"
    program = shutil.which("rustac") or shutil.which(str(beside))
    if program is None:
        pytest.skip("rustac's program isn't on the path")
    (tmp_path / "items.json").write_text(
        json.dumps({"type": "FeatureCollection", "features": holdings()})
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--create-collections", "--use-duckdb", "false", "-a", f"127.0.0.1:{port}"]
    server = subprocess.Popen(
        [program, "serve", *options, str(tmp_path / "items.json")], stdout=subprocess.DEVNULL
    )
    try:
        for _ in range(100):
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        result = search(f"http://127.0.0.1:{port}", place=HERE, wanted=WANTED)
    finally:
        server.kill()
        server.wait()
    assert names(result) == CLEAR


# ---- Static catalogues, folders, lists


def static(folder):
    """A static catalogue with a collection for each of the items'."""
    root = pystac.Catalog("root", "-")
    for name in ("sentinel-2-l2a", "landsat-c2-l2"):
        of_name = [i for i in holdings() if i["collection"] == name]
        days = [pystac.utils.str_to_datetime(i["properties"]["datetime"]) for i in of_name]
        extent = pystac.Extent(
            pystac.SpatialExtent([[-180, -90, 180, 90]]),
            pystac.TemporalExtent([[min(days), max(days)]]),
        )
        collection = pystac.Collection(name, "-", extent)
        for document in of_name:
            collection.add_item(pystac.Item.from_dict(document))
        root.add_child(collection)
    root.normalize_and_save(str(folder), pystac.CatalogType.SELF_CONTAINED)
    return folder / "catalog.json"


def test_static_catalogues_and_folders_hold_the_same(tmp_path):
    catalogue = static(tmp_path / "static")
    (tmp_path / "static" / "other.json").write_text("{}")
    for source in (catalogue, tmp_path / "static"):
        assert names(search(str(source), place=HERE, wanted=WANTED)) == CLEAR


def test_a_static_catalogue_on_the_web_is_walked_once(online, tmp_path):
    static(tmp_path)
    api = Api([])
    api.folder = tmp_path
    with serving(api):
        result = search(f"{api.url}/files/catalog.json", place=HERE, wanted=WANTED)
    assert names(result) == CLEAR
    paths = [path for _, path, _ in api.asked]
    assert not any("LC08" in path for path in paths)
    assert len(paths) <= len(set(paths)) + 1


def test_static_catalogues_that_lead_in_a_circle_end(tmp_path):
    catalogue = static(tmp_path)
    child = tmp_path / "sentinel-2-l2a" / "collection.json"
    document = json.loads(child.read_text())
    document["links"].append({"rel": "child", "href": "../catalog.json"})
    child.write_text(json.dumps(document))
    assert names(search(str(catalogue), place=HERE, wanted=WANTED)) == CLEAR


def test_a_search_of_its_own_list_gives_the_same(tmp_path):
    catalogue = static(tmp_path / "static")
    found = tmp_path / "found.json"
    search(str(catalogue), place=HERE, wanted=WANTED, files=SearchFiles(out=found))
    assert names(search(str(found), place=HERE, wanted=WANTED)) == CLEAR
    kept, notes = entries.read_list(found)
    assert [e.id for e in kept] == CLEAR
    assert notes["ranges"] == ["2019-06-01/2019-09-30", "2023-06-01/2023-09-30"]
    assert notes["catalogue"] == str(catalogue)


@pytest.mark.parametrize("name", ["none", "text.json", "list.json"])
def test_files_that_are_no_catalogue_are_one_line(tmp_path, name):
    (tmp_path / "text.json").write_text("text")
    (tmp_path / "list.json").write_text('{"type": "Other"}')
    with pytest.raises(CatalogueError, match=name):
        search(str(tmp_path / name), place=HERE, wanted=WANTED)


# ---- Places, ranges, outputs


def test_a_place_is_a_shape_or_a_raster_s_ground(tmp_path, write_raster):
    catalogue = static(tmp_path / "static")
    like = write_raster("a.tif", np.ones((1, 8, 8), np.uint8), origin=(500_000, 4_640_000))
    (tmp_path / "place.geojson").write_text(
        json.dumps({"type": "Point", "coordinates": [-75.0, 41.9]})
    )
    for place in (Place(like=like), Place(shape=tmp_path / "place.geojson")):
        assert names(search(str(catalogue), place=place, wanted=WANTED)) == CLEAR
    far = write_raster("b.tif", np.ones((1, 8, 8), np.uint8), origin=(500_000, 1_000_000))
    assert not search(str(catalogue), place=Place(like=far), wanted=WANTED).entries


def test_a_place_may_cross_180_degrees():
    parts = Place(bbox=(179, -17, -179, -16)).outline()
    assert parts.area == pytest.approx(2)
    assert parts.intersects(shapely.Point(179.5, -16.5))
    assert parts.intersects(shapely.Point(-179.5, -16.5))
    assert not parts.intersects(shapely.Point(0, -16.5))


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (Place(), "got none"),
        (Place(bbox=(0, 0, 1, 1), like="a.tif"), "got `bbox` and `like`"),
        (Place(bbox=(0, 50, 1, 40)), "check the order"),
        (Place(bbox=(500_000, 0, 600_000, 1)), "in degrees"),
        (Place(bbox=(7, 0, 7, 1)), "a width"),
    ],
)
def test_wrong_places_are_one_line(place, reason):
    with pytest.raises(ParameterError, match=reason):
        place.outline()


def test_a_file_without_shapes_is_no_place(tmp_path):
    path = tmp_path / "empty.geojson"
    path.write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(VectorError, match="must have a shape"):
        Place(shape=path).outline()


@pytest.mark.parametrize(
    ("dates", "reason"),
    [([], "must be given"), (["2020", "2019"], "order"), (["2019", "2019-07"], "share no day"),
     (["soon"], "A date must be")],
)  # fmt: skip
def test_wrong_ranges_are_one_line(dates, reason):
    with pytest.raises(ParameterError, match=reason):
        search("x", place=HERE, wanted=ItemFilter(dates=dates))


def test_other_seasons_are_warned_of_with_figures(tmp_path, caplog):
    static(tmp_path)
    with caplog.at_level(logging.WARNING):
        search(str(tmp_path), place=HERE, wanted=ItemFilter(dates=SUMMERS))
        assert not caplog.records
        search(str(tmp_path), place=HERE, wanted=ItemFilter(dates=["2019-06", "2023-11"]))
    assert "months: 2019-06" not in caplog.text
    assert "148 days of the year apart (items a month: 06: 2; 11: 1)" in caplog.text


def test_counts_and_cover_of_each_range(tmp_path):
    half = item("half", "2020-06-01", bounds=(-75.0, 41.9, -74.9, 42.0), cloud=None)
    (tmp_path / "half.json").write_text(json.dumps(half))
    result = search(str(tmp_path), place=HERE, wanted=ItemFilter(dates=["2019", "2020"]))
    empty, one = result.ranges
    assert (len(empty.entries), empty.covered, empty.cloud, empty.months) == (0, 0.0, None, {})
    assert (len(one.entries), one.days, one.cloud, one.months) == (1, 1, None, {6: 1})
    assert one.covered == pytest.approx(0.5)


def test_items_become_images_for_composite(tmp_path, write_raster):
    write_raster("B04.tif", np.ones((1, 8, 8), np.uint16))
    document = item("a/b:c", "2019-06-01", assets={"B04": "./B04.tif"})
    document["assets"]["B04"]["eo:bands"] = [{"name": "B04", "common_name": "red"}]
    (tmp_path / "item.json").write_text(json.dumps(document))
    result = search(
        str(tmp_path / "item.json"), place=HERE, wanted=ItemFilter(dates=["2019"]),
        files=SearchFiles(items=tmp_path / "items"),
    )  # fmt: skip
    assert [f.name for f in result.files] == ["2019-06-01_a_b_c.json"]
    assert plan(Image(result.files)).names == ("red",)


def test_outputs_are_checked_before_anything_is_asked(tmp_path):
    (tmp_path / "found.json").write_text("mine")
    with pytest.raises(OutputError, match=r"found\.json"):
        search("http://127.0.0.1:9", place=HERE, wanted=WANTED,
               files=SearchFiles(out=tmp_path / "found.json"))  # fmt: skip
    with pytest.raises(ParameterError, match="picture"):
        search("http://127.0.0.1:9", place=HERE, wanted=WANTED,
               files=SearchFiles(picture=tmp_path / "found.txt"))  # fmt: skip
    assert (tmp_path / "found.json").read_text() == "mine"


def test_the_command_prints_ranges_and_items(tmp_path):
    static(tmp_path / "static")
    picture = tmp_path / "ground.png"
    words = ["search", str(tmp_path / "static"), "--bbox", "-75", "41.9", "-74.8", "42",
             "--dates", SUMMERS[0], "--dates", SUMMERS[1], "--max-cloud", "50",
             "--picture", str(picture)]  # fmt: skip
    result = run(*words)
    assert result.exit_code == 0, result.output
    assert "S2A_2019-06-01" in result.stdout
    assert "100%" in result.stdout
    assert picture.stat().st_size > 1000
    words[-1] = str(tmp_path / "other.png")
    printed = json.loads(run(*words, "--print", "json").stdout)
    assert [r["items"] for r in printed["ranges"]] == [4, 3]
    assert printed["rows"][0]["known_as"] == "sentinel-2-l2a"


def test_the_servers_of_tests_filter_as_asked():
    assert stac_server._is(holdings()[0], {"query": {"eo:cloud_cover": {"lte": 10}}})
    assert not stac_server._is(holdings()[1], {"query": {"eo:cloud_cover": {"lte": 10}}})
