"""The maps of the labelling page: the pictures of their views, and both maps in Chromium."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image

import landshift
from labelling_page import command, opened_page, wait
from landshift.assess import answers, forms
from landshift.assess.plan import SamplePlan
from landshift.classes import ClassScheme
from landshift.pages.labelling import page as labelling
from landshift.pages.labelling import pictures
from pages import browser

BUNDLE = Path(landshift.__file__).parent / "pages/explore/bundle"
CHANGE = ClassScheme.from_mapping({1: "to forest", 2: "to crop", 3: "No change"})
BANDS = ("blue", "green", "red", "nir")
SIDE = 30.0
WIDE = {"width": 1400, "height": 900}

needs_maps = pytest.mark.skipif(
    not (BUNDLE / "explore.js").is_file(), reason="the maps aren't built: npm wasn't there"
)


@pytest.fixture(scope="module")
def chromium():
    with browser() as program:
        yield program


@pytest.fixture
def sample(write_raster, tmp_path):
    random = np.random.default_rng(3)
    codes = random.choice(4, (60, 50), p=[0.05, 0.15, 0.2, 0.6]).astype(np.uint8)
    path = write_raster(
        "change.tif", codes, nodata=0, LANDSHIFT_CLASSES=json.dumps(CHANGE.as_list())
    )
    landshift.sample(path, tmp_path / "s.gpkg", plan=SamplePlan(size=12, allocation="equal"))
    return tmp_path / "s.gpkg"


def scene(date):
    """Red grows eastwards and green southwards; blue and near infrared tell the dates apart."""
    rows, columns = np.mgrid[0:60, 0:50]
    stripes = 10 + 20 * ((rows + columns) % 5), 10 + 30 * ((rows + 2 * columns) % 7)
    blue, nir = stripes if date == "before" else stripes[::-1]
    return np.stack([blue, rows * 4 + 1, columns * 5 + 1, nir]).astype(np.uint8)


@pytest.fixture
def images(write_raster):
    return [write_raster(f"{d}.tif", scene(d), nodata=0, bands=BANDS) for d in ("before", "after")]


@pytest.fixture
def asking(sample, images):
    """The page of a labeller, in this process."""
    dates = [pictures.look(n, [p]) for n, p in zip(("before", "after"), images, strict=True)]
    with answers.opened(sample) as opened:
        yield labelling.Labelling(opened, dates, "ann", sides=(5, 20), units=[1, 2])


def pixels(png):
    return np.moveaxis(np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")), -1, 0)


def of_unit(sample, number, path):
    """Row and column of a unit in a raster."""
    form = forms.read_form(sample)
    west, south, east, north = form.outlines[form.numbers.index(number)].bounds
    with rasterio.open(path) as source:
        return source.index((west + east) / 2, (south + north) / 2)


# ---- Pictures of a view


def test_a_view_shows_the_pixels_around_its_unit(asking, sample, images):
    row, column = of_unit(sample, 1, images[1])
    reply = asking.get("views/1/after/first/-2.5,1.5,0.1/50x30")
    assert reply.kind == "image/png"
    shown = pixels(reply.body)
    assert shown.shape == (4, 30, 50)
    date = asking._dates["after"]
    (red, _, _), wanted = date.limits["first"], scene("after")
    for k in range(3):
        for m in range(5):  # a pixel of the image has ten of the picture
            there = row - 1 + k, column - 2 + m
            block = shown[:, 10 * k : 10 * k + 10, 10 * m : 10 * m + 10]
            if not (0 <= there[0] < 60 and 0 <= there[1] < 50):
                assert (block[3] == 0).all()
                continue
            assert (block == block[:, :1, :1]).all()
            level = (wanted[2][there] - red[0]) / (red[1] - red[0])
            assert block[0, 0, 0] == pytest.approx(255 * np.clip(level, 0, 1), abs=1)


def test_views_are_bounded(asking, monkeypatch):
    monkeypatch.setattr(labelling, "MOST_PIXELS", 10_000)
    assert asking.get("views/1/after/first/-80,80,1.6/100x100") is not None
    for path in (
        "views/1/after/first/-80,80,1.6/101x100",  # more pixels than are drawn
        "views/1/after/first/-80,80,1.63/100x100",  # farther than 4 times the wide picture
        "views/1/after/first/-99,80,0.1/10x10",
        "views/1/after/first/0,0,0/10x10",
        "views/1/after/first/0,0,-0.1/10x10",
        "views/1/after/first/0,0,0.1/0x10",
        "views/1/after/first/nan,0,0.1/10x10",
        "views/1/after/first/1e9,0,0.1/10x10",
        "views/1/after/third/0,0,0.1/10x10",
        "views/1/now/first/0,0,0.1/10x10",
        "views/3/after/first/0,0,0.1/10x10",  # a unit that isn't asked for
    ):
        assert asking.get(path) is None, path


def test_the_ground_is_as_long_eastwards_as_northwards():
    ground = pictures.ground(shapely.box(10.0, 60.0, 10.001, 60.001), "EPSG:4326")
    assert ground.metres == pytest.approx(111.4, rel=0.01)  # a thousandth of latitude
    left, bottom, right, top = ground.box(-1, 1, 0.1, (20, 20)).extent.boundingbox.bbox
    assert (right - left) / (top - bottom) == pytest.approx(2, rel=0.01)  # at 60 degrees
    assert ((left + right) / 2, (bottom + top) / 2) == pytest.approx((10.0005, 60.0005))
    # a thousandth of longitude is half as long there
    assert sorted(ground.outline)[0] == pytest.approx((-0.25, -0.5), abs=0.001)


def test_every_image_that_the_pictures_take_has_views(sample, write_raster):
    """An image in degrees, and one of two files of which one reaches the unit."""
    degrees = write_raster(
        "degrees.tif", np.full((3, 400, 400), 9, np.uint8), crs="EPSG:4326",
        origin=(-75.01, 36.16), pixel=0.0001,
    )  # fmt: skip
    far = write_raster("far.tif", np.full((3, 9, 9), 9, np.uint8), origin=(6e5, 1e6))
    near = write_raster("near.tif", np.full((3, 60, 50), 9, np.uint8))
    with answers.opened(sample) as opened:
        for files in ([degrees], [far, near]):
            site = labelling.Labelling(
                opened, [pictures.look("before", files), pictures.look("after", files)], "ann",
                sides=(5, 20),
            )  # fmt: skip
            reply = site.get("views/1/after/first/-0.5,0.5,0.1/10x10")
            assert dict(reply.headers)["Landshift-Seen"] == "all"


# ---- The maps


@pytest.fixture
def opened(chromium, sample, images):
    """The page, and what it asks the server for; nothing may go wrong in it."""
    asked = []
    with command(sample, "--before", images[0], "--after", images[1], "--sides", "5,20") as (
        process,
        address,
    ):
        page = opened_page(chromium, "about:blank", ready=False, viewport=WIDE)
        page.on("request", lambda request: asked.append(request.url.removeprefix(address)))
        page.goto(address)
        wait(page, 1)
        page.asked, page.process, page.address = asked, process, address
        yield page
        assert page.problems == []
        assert all(not url.startswith("http") for url in asked)
        page.context.close()


def settled(page):
    """Wait until the pictures of the view are drawn."""
    page.wait_for_timeout(200)
    page.wait_for_selector("#map-before[aria-busy=false]")
    page.wait_for_selector("#map-after[aria-busy=false]")
    page.wait_for_timeout(100)


def view(page):
    x, y, resolution = page.evaluate(
        "[...viewer.view.getCenter(), viewer.view.getResolution()]"
    )  # the page's own
    return (x, y), resolution


def middle(page, date):
    box = page.locator(f"#map-{date}").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def colour(page, date, right=0, down=0):
    """The colour on a map, so many pixels from its middle."""
    x, y = middle(page, date)
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    return shot.getpixel((round(x + right), round(y + down)))


def wanted(date, row, column, bands):
    """What the image's stretch makes of a pixel."""
    limits = pictures.look(date, [f"{date}.tif"]).limits[bands]
    values = scene(date)[[2, 1, 0] if bands == "first" else [3, 2, 1], row, column]
    return tuple(
        round(255 * min(max((v - low) / (high - low), 0), 1))
        for v, (low, high) in zip(values, limits, strict=True)
    )


@needs_maps
def test_both_dates_show_the_unit_and_move_together(opened, sample, images, monkeypatch):
    monkeypatch.chdir(images[0].parent)
    page = opened
    row, column = of_unit(sample, 1, images[0])
    place, resolution = view(page)
    assert place == (0, 0)
    # ten units across the shorter side: between 5 and 20
    sides = [page.locator(f"#map-{d}").bounding_box() for d in ("before", "after")]
    assert sides[0]["width"] == pytest.approx(sides[1]["width"], abs=1)
    assert min(sides[0]["width"], sides[0]["height"]) * resolution == pytest.approx(10, rel=0.01)
    assert sides[0]["height"] > 0.7 * WIDE["height"]
    for date in ("before", "after"):
        assert colour(page, date) == pytest.approx(wanted(date, row, column, "first"), abs=2)
    # a drag on one map moves both, and no picture is asked for until it rests
    before = len(page.asked)
    x, y = middle(page, "after")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 2, y)  # where the map begins to follow
    for step in range(1, 11):
        page.mouse.move(x + 2 + 20 * step, y)
    page.wait_for_timeout(250)  # held still, so that the map doesn't glide on
    page.mouse.up()
    settled(page)
    moved = [url for url in page.asked[before:] if url.startswith("views/1/")]
    assert len(moved) <= 8  # of two dates, in two combinations; a pause may have asked once more
    (east, north), _ = view(page)
    assert (east, north) == pytest.approx((-200 * resolution, 0), abs=0.2)
    for date in ("before", "after"):
        assert colour(page, date, right=200) == pytest.approx(
            wanted(date, row, column, "first"), abs=2
        )
    page.mouse.move(x, y)
    page.mouse.wheel(0, -300)
    settled(page)
    assert view(page)[1] < resolution
    # the pointer's place is marked on the other map
    page.mouse.move(x - 30, y + 20)
    page.mouse.move(x - 31, y + 21)
    box = page.locator("#map-before .cross").bounding_box()
    at = middle(page, "before")
    assert (box["x"], box["y"]) == pytest.approx((at[0] - 31, at[1] + 21), abs=2)


@needs_maps
def test_keys_of_the_maps_leave_the_answers_alone(opened, sample, images, monkeypatch):
    monkeypatch.chdir(images[0].parent)
    page, press = opened, opened.keyboard.press
    row, column = of_unit(sample, 1, images[0])
    start = view(page)
    focused = "document.activeElement.name || document.activeElement.id"
    press("Shift+ArrowRight")
    press("Shift+ArrowUp")
    (east, north), _ = view(page)
    assert east > 0
    assert north > 0
    press("+")
    assert view(page)[1] == pytest.approx(start[1] / 2)
    press("-")
    press("-")
    assert view(page)[1] == pytest.approx(start[1] * 2)
    shorter = min(page.locator("#map-before").bounding_box()[k] for k in ("width", "height"))
    for key, sides in (("End", 20), ("Home", 5)):
        press(key)
        assert view(page)[0] == (0, 0)
        assert view(page)[1] * shorter == pytest.approx(sides, rel=0.01)
    press("/")
    settled(page)
    assert colour(page, "after") == pytest.approx(wanted("after", row, column, "second"), abs=2)
    assert page.locator(".bands [aria-pressed=true]").inner_text().startswith("False colour")
    press("/")
    settled(page)
    assert colour(page, "after") == pytest.approx(wanted("after", row, column, "first"), abs=2)
    # the form is as it was
    assert page.evaluate(focused) == "before"
    assert page.locator("input:checked[type=radio]").count() == 0
    # on a map, arrows move it without Shift; the answers' keys go on
    page.locator("#map-after").focus()
    press("ArrowLeft")
    assert view(page)[0][0] < 0
    for key in "121":
        press(key)
    # single keys are off: those of a map count on it alone
    page.locator("summary").click()
    page.locator("#keyed").uncheck()
    resolution = view(page)[1]
    page.locator("input[name=before]").first.focus()
    press("+")
    assert view(page)[1] == resolution
    page.locator("#map-after").focus()
    press("+")
    assert view(page)[1] == pytest.approx(resolution / 2)
    page.locator("#keyed").check()
    # a click on a button of the maps doesn't take Enter from the form
    page.locator("input[name=confidence]").first.focus()
    page.get_by_role("button", name="Around the unit (End)").click()
    press("Enter")
    wait(page, 2)


@needs_maps
def test_the_next_unit_is_there_at_the_same_zoom(opened):
    page = opened
    page.keyboard.press("Home")
    page.keyboard.press("Shift+ArrowRight")
    settled(page)
    page.wait_for_timeout(500)
    resolution = view(page)[1]
    there = set(page.asked)
    before = len(page.asked)
    page.keyboard.press("s")
    wait(page, 2)
    assert view(page) == ((0, 0), resolution)
    settled(page)
    later = [url for url in page.asked[before:] if url.startswith("views/")]
    assert [u for u in later if u.startswith("views/2/") and "/first/" in u] == []
    assert len([u for u in there if u.startswith("views/2/")]) >= 2
    assert page.locator("#map-before").get_attribute("aria-label") == "Unit 2 before, true colour"


@needs_maps
def test_pictures_that_are_no_longer_wanted_are_cancelled(opened, sample, images, monkeypatch):
    monkeypatch.chdir(images[0].parent)
    page = opened
    waiting = []
    page.route("**/views/1/**", lambda route: waiting.append(route))  # a server that is slow
    cancelled = []
    page.on("requestfailed", lambda request: cancelled.append(request.failure))
    for key in ("+", "+", "-"):
        page.keyboard.press(key)
        page.wait_for_timeout(250)  # longer than the pause after which pictures are asked for
    assert len(waiting) == 6
    assert cancelled == ["net::ERR_ABORTED"] * 4  # all but those of the last view
    for route in waiting[4:]:
        route.continue_()
    page.unroute("**/views/1/**")
    settled(page)
    row, column = of_unit(sample, 1, images[0])
    for date in ("before", "after"):
        assert colour(page, date) == pytest.approx(wanted(date, row, column, "first"), abs=2)


@needs_maps
def test_one_date_of_one_combination_is_one_map(chromium, write_raster, tmp_path):
    codes = write_raster("one.tif", np.tile(np.uint8([[1, 2]]), (60, 25)))
    landshift.sample(codes, tmp_path / "one.gpkg", plan=SamplePlan(size=6))
    image = write_raster("grey.tif", scene("after")[:1])
    with command(tmp_path / "one.gpkg", "--after", image) as (_, address):
        page = opened_page(chromium, address, viewport=WIDE)
        assert page.locator(".map").count() == 1
        assert page.locator("#map-after").bounding_box()["width"] > 900
        assert page.locator(".bands").count() == 0
        page.keyboard.press("/")
        settled_one = page.locator("#map-after[aria-busy=false]")
        settled_one.wait_for()
        assert page.problems == []


@needs_maps
def test_the_outline_is_seen_on_both_and_can_be_hidden(opened):
    page = opened

    def edge(date):
        """The colours across the upper edge of the unit."""
        half = 0.5 / view(page)[1]
        return [colour(page, date, down=round(d - half)) for d in range(-4, 5)]

    for date in ("before", "after"):
        assert (255, 255, 255) in edge(date)
        assert (0, 0, 0) in edge(date)
    page.keyboard.press("o")
    page.wait_for_timeout(200)
    for date in ("before", "after"):
        assert (255, 255, 255) not in edge(date)


@needs_maps
def test_places_without_an_image_are_told(opened):
    page = opened
    for _ in range(60):
        page.keyboard.press("Shift+ArrowUp")
    settled(page)
    words = page.locator("#map-after .words")
    assert words.inner_text() == "Outside the image"
    page.keyboard.press("Home")
    settled(page)
    assert not words.is_visible()


@needs_maps
def test_a_server_that_is_gone_is_told_on_the_maps(opened):
    page = opened
    page.process.kill()
    page.process.wait(10)
    page.keyboard.press("Shift+ArrowDown")
    settled(page)
    assert "The server doesn't answer" in page.locator("#map-before .words").inner_text()
    lost = r"net::ERR_(CONNECTION|EMPTY_RESPONSE|SOCKET)"
    assert all(re.search(lost, problem) for problem in page.problems), page.problems
    page.problems.clear()


@needs_maps
def test_the_maps_follow_the_window_and_fit_a_phone(chromium, sample, images):
    with command(sample, "--before", images[0], "--after", images[1]) as (_, address):
        phone = {"width": 375, "height": 800}
        page = opened_page(chromium, address, viewport=phone, has_touch=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        above, below = (page.locator(f"#map-{d}").bounding_box() for d in ("before", "after"))
        assert above["y"] + above["height"] < below["y"]
        assert above["x"] == below["x"]
        assert page.locator("#form").bounding_box()["y"] < 800  # by which the page is moved
        tree = page.locator("body").aria_snapshot()
        for named in (
            'application "Unit 1 after, true colour"', 'group "Bands"', 'button "True colour"',
            'button "To the unit (Home)"', 'group "Zoom"', 'radio "forest"',
        ):  # fmt: skip
            assert named in tree, tree
        # a finger moves both maps
        x, y = middle(page, "before")
        touch = page.context.new_cdp_session(page)
        moves = [("touchStart", 0), *(("touchMove", at) for at in (20, 40, 60, 80, 80))]
        for kind, at in (*moves, ("touchEnd", None)):
            points = [] if at is None else [{"x": x + at, "y": y}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
            page.wait_for_timeout(80)
        settled(page)
        (east, _), resolution = view(page)
        assert -90 * resolution < east < -50 * resolution
        # a level with a name follows the size
        page.keyboard.press("End")
        page.set_viewport_size(WIDE)
        settled(page)
        boxes = [page.locator(f"#map-{d}").bounding_box() for d in ("before", "after")]
        assert boxes[0]["y"] == boxes[1]["y"]
        shorter = min(boxes[0]["width"], boxes[0]["height"])
        assert view(page)[1] * shorter == pytest.approx(120, rel=0.02)
        assert page.evaluate("document.documentElement.scrollHeight") == WIDE["height"]
        assert page.problems == []
