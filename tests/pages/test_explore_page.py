"""The map page in Chromium: what it draws, reads and counts, by pointer and by keys."""

import io
import json
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from pyproj import Transformer
from rasterio.features import geometry_mask

import landshift
import map_site
from landshift.prepare.burn import ClassColumns
from map_site import CHANGES, HOSTILE, ROW_HECTARES, TRANSFORM
from pages import browser

BUNDLE = Path(landshift.__file__).parent / "pages/explore/bundle"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; worker-src blob:"
)
GRAPHICS = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""WebGL without a graphics card."""

WIDE = {"width": 1000, "height": 640}

pytestmark = pytest.mark.skipif(
    not (BUNDLE / "explore.js").is_file(), reason="the map page isn't built: npm wasn't there"
)


@contextmanager
def served(folder):
    """The address of a folder, from a server that answers ranges."""
    program = Path(__file__).parents[1] / "range_server.py"
    with subprocess.Popen(
        [sys.executable, str(program), str(folder)], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = map_site.make(tmp_path_factory.mktemp("site") / "site", BUNDLE, POLICY)
    with served(folder) as address:
        yield address


@pytest.fixture(scope="module")
def chromium():
    with browser(*GRAPHICS) as program:
        yield program


@pytest.fixture
def show(chromium, site):
    """Opens the page; afterwards nothing may have gone wrong in it."""
    contexts, wrong = [], []

    def opened(hash="", address=site, viewport=WIDE, **options):
        context = chromium.new_context(viewport=viewport, **options)
        context.set_default_timeout(15_000)
        contexts.append(context)
        page, own = context.new_page(), (address, "blob:", "data:")
        page.on("console", lambda m: wrong.append(m.text) if is_wrong(m) else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith(own) else wrong.append(r.url))
        page.goto(f"{address}/index.html{hash}")
        settled(page)
        return page

    opened.wrong = wrong
    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def is_wrong(message):
    """Errors and warnings, but not that reading the screen for a test takes time."""
    return (
        message.type in ("error", "warning") and "GPU stall due to ReadPixels" not in message.text
    )


def settled(page):
    """Wait until everything that was asked for is drawn."""
    page.wait_for_selector("#map[aria-busy=false]")


def view(page):
    """Centre and resolution of the map, from the page's address, and the middle of the map."""
    settled(page)
    page.wait_for_timeout(200)  # the address follows when the map has rested
    page.wait_for_url(re.compile("#at="))
    address = re.search(r"at=([-\d.]+)%2C([-\d.]+)%2C([\d.]+)", page.url)
    x, y, resolution = (float(number) for number in address.groups())
    box = page.locator("#map").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    return (x, y), resolution, middle


def on_screen(page, *place, seen=None):
    """Where a place in pixels of the rasters lies on the screen."""
    (x, y), resolution, middle = seen or view(page)
    east, north = TRANSFORM @ place
    return middle[0] + (east - x) / resolution, middle[1] - (north - y) / resolution


class Shot:
    """A screenshot of the page once it is drawn, read by places of the rasters."""

    def __init__(self, page):
        self.page, self.seen = page, view(page)
        self.picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        self.ratio = self.picture.width / page.viewport_size["width"]

    def __getitem__(self, place):
        x, y = on_screen(self.page, *place, seen=self.seen)
        return self.picture.getpixel((int(x * self.ratio), int(y * self.ratio)))


def numbers(part):
    """The numbers that a part of the page says."""
    return [float(number) for number in re.findall(r"-?\d+\.?\d*", part.inner_text())]


def rgb(colour):
    return tuple(int(colour[k : k + 2], 16) for k in (1, 3, 5))


def image_colour(date, column, row):
    """What the stretch from 0 to 4,000 makes of the bands red, green and blue."""
    values = map_site.image(date)[[2, 1, 0], row, column]
    return tuple(round(255 * min(1, v / 4000)) for v in values)


def near(one, other, by=2):
    assert max(abs(a - b) for a, b in zip(one, other, strict=True)) <= by, (one, other)


def layer(page, title):
    return page.get_by_role("checkbox", name=title, exact=True)


def table(page):
    """The areas in the polygon, by name: the exact hectares."""
    rows = page.locator(".inside tbody tr")
    rows.first.wait_for()
    return {
        row.locator("td").first.inner_text(): float(
            row.locator("[data-exact]").get_attribute("data-exact")
        )
        for row in rows.all()
    }


def hectares(codes, polygon, names):
    """The same by numpy: pixels whose centre is inside, each with its row's area."""
    inside = geometry_mask([polygon], codes.shape, TRANSFORM, invert=True)
    area = np.broadcast_to(ROW_HECTARES[:, np.newaxis], codes.shape)
    sums = {code: float(area[inside & (codes == code)].sum()) for code in np.unique(codes[inside])}
    return {names.get(code, "no data"): total for code, total in sums.items()}


CHANGE_NAMES = {each["value"]: each["name"] for each in map_site.change_classes()}


def load(page, polygons, properties=None):
    """Load polygons, each a list of rings in pixels, through the page's file field."""
    features = [
        {
            "type": "Feature",
            "properties": properties or {},
            "geometry": {
                "type": "Polygon",
                "coordinates": [[list(TRANSFORM @ p) for p in r] for r in rings],
            },
        }
        for rings in polygons
    ]
    name = "urn:ogc:def:crs:EPSG::32618"
    content = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": name}},
        "features": features,
    }
    page.locator("input[type=file]").set_input_files(
        {
            "name": "p.geojson",
            "mimeType": "application/json",
            "buffer": json.dumps(content).encode(),
        }
    )
    return [feature["geometry"] for feature in features]


# ---- What is drawn


def test_the_change_map_lies_over_the_last_image(show):
    page = show()
    assert page.title() == page.get_by_role("heading", level=1).inner_text() == "A small scene"
    shot = Shot(page)
    near(shot[120, 150], rgb(CHANGES[12]))
    near(shot[480, 150], rgb(CHANGES[21]))
    near(shot[300, 60], image_colour(1, 300, 60))  # unchanged ground shows the image
    empty = page.evaluate("getComputedStyle(document.getElementById('map')).backgroundColor")
    near(shot[300, 8], [int(n) for n in re.findall(r"\d+", empty)])  # no data


def test_the_scale_bar_is_as_long_as_it_says(show):
    page = show()
    for _ in range(3):
        bar = page.locator(".scale")
        number, unit = bar.inner_text().split()
        metres = float(number) * {"m": 1, "km": 1000}[unit]
        assert bar.bounding_box()["width"] * view(page)[1] == pytest.approx(metres, rel=0.01)
        page.get_by_role("button", name="Zoom in").click()
        page.wait_for_timeout(600)


def test_layers_opacity_and_classes_are_switched(show):
    page = show()
    layer(page, "Change map").uncheck()
    shot = Shot(page)
    near(shot[120, 150], image_colour(1, 120, 150))
    layer(page, "Change map").check()
    page.get_by_role("slider", name="Opacity of Change map").fill("50")
    mixed = [(a + b) / 2 for a, b in zip(rgb(CHANGES[12]), image_colour(1, 120, 150), strict=True)]
    shot = Shot(page)
    near(shot[120, 150], mixed, by=3)
    page.get_by_role("slider", name="Opacity of Change map").fill("100")
    layer(page, "forest to crop").uncheck()
    shot = Shot(page)
    near(shot[120, 150], image_colour(1, 120, 150))
    near(shot[480, 150], rgb(CHANGES[21]))


def test_the_filter_shows_changes_from_one_class_to_another(show):
    page = show()
    page.get_by_label("From: Change map").select_option("crop")
    shot = Shot(page)
    near(shot[120, 150], image_colour(1, 120, 150))
    near(shot[480, 150], rgb(CHANGES[21]))
    layer(page, "Change map").uncheck()
    # two class maps filter as one
    layer(page, "Class before and after").check()
    page.get_by_role("button", name="Settings and legend of Class before and after").click()
    shot = Shot(page)
    near(shot[120, 150], rgb(map_site.COLOURS[2]))
    near(shot[300, 60], image_colour(1, 300, 60))
    page.get_by_label("From: Class before and after").select_option("crop")
    shot = Shot(page)
    near(shot[120, 150], image_colour(1, 120, 150))
    near(shot[480, 150], rgb(map_site.COLOURS[1]))


def test_confidence_is_how_opaque_the_map_is(show):
    page = show()
    page.get_by_label("Confidence as opacity").first.check()
    for column, code in ((120, 12), (480, 21)):
        share = max(0.12, column / map_site.COLUMNS)
        below, above = image_colour(1, column, 150), rgb(CHANGES[code])
        mixed = [share * a + (1 - share) * b for a, b in zip(above, below, strict=True)]
        shot = Shot(page)
        near(shot[column, 150], mixed, by=4)


def test_classes_have_colours_for_colour_blind_readers(show):
    page = show()
    layer(page, "Colours for colour-blind readers").check()
    shot = Shot(page)
    near(shot[120, 150], rgb("#e69f00"))
    near(shot[480, 150], rgb("#56b4e9"))
    swatch = page.locator("[data-layer=change] .legend .swatch").first
    assert swatch.evaluate("e => e.style.backgroundColor") == "rgb(230, 159, 0)"


def test_bands_are_chosen_and_stretched_to_the_view(show):
    page = show()
    layer(page, "Change map").uncheck()
    page.get_by_role("button", name="Settings and legend of Image, 2005").click()
    page.get_by_label("Red: band of Image, 2005").select_option("swir2")
    page.get_by_role("button", name="Stretch to the view").last.click()
    # swir2 holds 2,900 in forest, 3,400 in crop and 3,900 in water, shown in its own unit
    page.locator("[data-layer=i1] .triple .note", has_text="5810 to 7810").first.wait_for()
    shot = Shot(page)
    near(shot[450, 60][:1], [127.5])
    assert shot[100, 60][0] == 0
    page.get_by_label("Combination of bands: Image, 2005").select_option(
        "False colour, vegetation red"
    )
    page.locator("[data-layer=i1] .triple .note", has_text="4210 to 6210").first.wait_for()
    near(Shot(page)[450, 60], [127.5] * 3)
    page.get_by_role("button", name="As first shown").last.click()
    shot = Shot(page)
    near(shot[450, 60], image_colour(1, 450, 60))


# ---- Comparing


def test_the_divider_parts_two_layers(show):
    page = show()
    layer(page, "Divider between two layers").check()
    shot = Shot(page)
    near(shot[120, 150], image_colour(0, 120, 150))
    near(shot[480, 150], image_colour(1, 480, 150))
    handle = page.get_by_role("slider", name="Divider between two layers")
    assert handle.get_attribute("aria-valuenow") == "50"
    box, (x, y) = handle.bounding_box(), on_screen(page, 60, 250)
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(x, y, steps=4)
    page.mouse.up()
    shot = Shot(page)
    near(shot[120, 150], image_colour(1, 120, 150))
    page.get_by_label("Left", exact=True).select_option(label="Classes, 1995")
    handle.press("End")
    shot = Shot(page)
    near(shot[120, 150], rgb(map_site.COLOURS[1]))
    layer(page, "Divider between two layers").uncheck()
    assert layer(page, "Change map").is_checked()  # what was on before is on again


def test_dates_are_switched_and_blink(show):
    page = show()
    layer(page, "Change map").uncheck()
    page.get_by_role("radio", name="1995-08-12").check()
    shot = Shot(page)
    near(shot[120, 150], image_colour(0, 120, 150))
    assert not layer(page, "Image, 2005").is_checked()
    page.get_by_role("button", name="Blink").click()
    page.wait_for_selector("[data-layer=i1] .layer-row input:checked")
    page.wait_for_selector("[data-layer=i0] .layer-row input:checked")
    page.get_by_role("button", name="Blink").click()
    assert page.get_by_role("button", name="Blink").get_attribute("aria-pressed") == "false"


def test_many_dates_are_a_list_and_steps(show, tmp_path):
    known = map_site.description()
    maps = [layer for layer in known["layers"] if layer["id"] in ("m0", "m1")]
    years = [
        maps[k % 2] | {"id": f"y{k}", "title": f"Classes, {2000 + k}", "role": "classes", "date": k}
        for k in range(5)
    ]
    dates = [str(2000 + k) for k in range(5)]
    folder = map_site.make(tmp_path / "site", BUNDLE, POLICY, layers=years, dates=dates)
    with served(folder) as address:
        page = show(address=address)
        near(Shot(page)[120, 150], rgb(map_site.COLOURS[1]))
        page.get_by_role("button", name="Next date").click()
        near(Shot(page)[120, 150], rgb(map_site.COLOURS[2]))
        assert page.get_by_label("Date", exact=True).input_value() == "1"
        page.get_by_role("button", name="Date before").click()
        page.get_by_role("button", name="Date before").click()  # before the first comes the last
        assert layer(page, "Classes, 2004").is_checked()
        page.get_by_label("Date", exact=True).select_option("2003")
        near(Shot(page)[120, 150], rgb(map_site.COLOURS[2]))
        page.close()


# ---- Values at a place


def test_a_click_shows_classes_values_and_bands(show):
    page = show()
    page.mouse.click(*on_screen(page, 150.5, 150.5))
    card = page.get_by_role("region", name="Values at a place")
    card.locator("figure").wait_for()
    rows = dict(row.inner_text().split("\n", 1) for row in card.locator("dl > div").all())
    east, north = TRANSFORM @ (150.5, 150.5)
    x, y = numbers(card.locator(".coordinates").first)[:2]
    assert abs(x - east) < 30
    assert abs(y - north) < 30
    assert rows["Change map"].strip() == "forest to crop"
    assert rows["Classes, 1995"].strip() == "forest"
    assert rows["Classes, 2005"].strip() == "crop"
    assert float(rows["Confidence"]) == pytest.approx(150 / 599, abs=map_site.SURE)
    bands = {
        row.locator("th").inner_text(): [cell.inner_text() for cell in row.locator("td").all()]
        for row in card.locator("figure table tr").all()[1:]
    }
    before, after = map_site.image(0)[:, 150, 150], map_site.image(1)[:, 150, 150]
    assert bands == {
        name: [str(before[k]), str(2 * after[k] + 10)] for k, name in enumerate(map_site.BANDS)
    }
    # a sample unit lies there as well, once its layer is on
    layer(page, "Sample units").check()
    page.locator("#map").press("Escape")
    assert card.is_hidden()
    settled(page)
    page.mouse.click(*on_screen(page, 450.5, 150.5))
    card.get_by_role("heading", name="Sample units").wait_for()


# ---- Areas in polygons


def test_a_drawn_polygon_counts_what_numpy_counts(show, tmp_path):
    page = show()
    page.get_by_role("heading", name="Areas in a polygon").click()
    page.get_by_role("button", name="Draw a polygon").click()
    corners = [(130, 120), (520, 190), (430, 380), (240, 300), (90, 420)]
    for corner in [*corners, corners[0]]:
        page.mouse.click(*on_screen(page, *corner))
        page.wait_for_timeout(300)  # two clicks within 250 ms are a double click
    counted = table(page)
    page.get_by_label("Class of polygon 1").select_option("crop")
    page.get_by_label("Date of polygon 1").select_option("2005-07-24")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as GeoJSON").click()
    download.value.save_as(tmp_path / "drawn.geojson")
    saved = json.loads((tmp_path / "drawn.geojson").read_text())
    (feature,) = saved["features"]
    assert feature["properties"] == {"class": "crop", "date": "2005-07-24"}
    expected = hectares(map_site.change_codes(), feature["geometry"], CHANGE_NAMES)
    assert len(expected) >= 4
    assert counted == pytest.approx(expected, rel=1e-9)
    # the pair of class maps counts the same pixels as transitions
    page.get_by_label("Areas by").select_option(label="Class before and after")
    page.get_by_role("cell", name="forest → crop").wait_for()
    assert table(page)["forest → crop"] == pytest.approx(expected["forest to crop"], rel=1e-9)

    # burn reads what was saved
    image = map_site.write(
        tmp_path / "like.tif", map_site.image(1), nodata=0, origin=map_site.ORIGIN
    )
    landshift.burn(
        tmp_path / "drawn.geojson", image, tmp_path / "burnt.tif",
        columns=ClassColumns(name_column="class"),
    )  # fmt: skip
    with rasterio.open(tmp_path / "burnt.tif") as burnt:
        inside = geometry_mask([feature["geometry"]], burnt.shape, TRANSFORM, invert=True)
        assert np.array_equal(burnt.read(1) > 0, inside)


@pytest.mark.parametrize("seed", range(2))
def test_loaded_polygons_with_holes_count_what_numpy_counts(show, seed):
    random = np.random.default_rng(seed)
    angles = np.sort(random.uniform(0, 2 * np.pi, 24))
    ring = [
        (300 + r * np.cos(a), 260 + r * np.sin(a) * 0.8)
        for a, r in zip(angles, random.uniform(60, 290, 24), strict=True)
    ]
    hole = [(280, 230), (320, 231), (318, 281), (279, 280)]
    page = show()
    (geometry,) = load(page, [[[*ring, ring[0]], [*hole, hole[0]]]], {"class": "forest"})
    expected = hectares(map_site.change_codes(), geometry, CHANGE_NAMES)
    assert table(page) == pytest.approx(expected, rel=1e-9)
    assert page.get_by_label("Class of polygon 1").input_value() == "forest"


def test_large_polygons_are_counted_on_an_overview_which_the_page_says(chromium, show, tmp_path):
    folder = map_site.make(tmp_path / "site", BUNDLE, POLICY, full_pixels=60_000)
    with served(folder) as address:
        page = show(address=address)
        ring = [(20, 60), (580, 60), (580, 480), (20, 480), (20, 60)]
        (geometry,) = load(page, [[ring]])
        counted = table(page)
        assert "each of its pixels stands for 2 \u00d7 2" in page.locator(".overview").inner_text()
        expected = hectares(map_site.change_codes(), geometry, CHANGE_NAMES)
        assert sum(counted.values()) == pytest.approx(sum(expected.values()), rel=1e-3)
        assert counted["crop to forest"] == pytest.approx(expected["crop to forest"], rel=0.15)
        page.close()


def test_files_that_hold_no_polygons_are_refused(show):
    page = show()
    for content, message in (
        (b"{", "must be GeoJSON"),
        (b'{"type": "FeatureCollection", "features": []}', "must hold polygons"),
        (
            b'{"crs": {"properties": {"name": "EPSG:3857"}}, "features": []}',
            "longitude and latitude or in EPSG:32618",
        ),
    ):
        file = {"name": "p.geojson", "mimeType": "application/json", "buffer": content}
        page.locator("input[type=file]").set_input_files(file)
        page.locator(".notices .warning", has_text=message).wait_for()


# ---- Keys, addresses, pictures


def test_everything_goes_by_keys(show):
    page = show()
    page.locator("#map").focus()
    page.keyboard.press("3")  # the change map, third from the top
    assert not layer(page, "Change map").is_checked()
    page.keyboard.press("d")
    assert layer(page, "Image, 1995").is_checked()
    page.keyboard.press("s")
    handle = page.get_by_role("slider", name="Divider between two layers")
    page.keyboard.press("ArrowLeft")
    assert handle.get_attribute("aria-valuenow") == "48"
    page.locator("#map").focus()
    page.keyboard.press("s")
    assert handle.is_hidden()
    page.keyboard.press("Enter")
    page.get_by_role("region", name="Values at a place").locator("dl").first.wait_for()
    page.keyboard.press("Escape")
    # a triangle, its corners at the cross in the middle of the map
    page.keyboard.press("p")
    centres = []
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(" ")
        centres.append(view(page)[0])
        page.keyboard.press(key)
        page.wait_for_timeout(600)
    page.keyboard.press("Enter")
    assert sum(table(page).values()) > 0
    page.keyboard.press("l")
    assert not page.get_by_role("heading", name="Layers").is_visible()
    page.keyboard.press("g")
    page.get_by_label("Kind of coordinates").select_option("crs")
    page.get_by_label("Go to").fill("504515, 3995485")
    page.keyboard.press("Enter")
    card = page.get_by_role("region", name="Values at a place")
    card.get_by_text(re.compile(r"^504515(\.0+)?, 3995485")).wait_for()
    page.get_by_label("Kind of coordinates").select_option("degrees")
    page.get_by_label("Go to").fill("36.1 N, 74.95 W")
    page.keyboard.press("Enter")
    card.get_by_text("36.10000° N, 74.95000° W").wait_for()
    expected = Transformer.from_crs(4326, 32618, always_xy=True).transform(-74.95, 36.1)
    assert numbers(card.locator(".coordinates").first)[:2] == pytest.approx(expected, abs=1)
    # the place isn't hidden by what is said of it
    place, shown = page.locator(".marker").bounding_box(), card.bounding_box()
    assert place["x"] + place["width"] <= shown["x"]


def test_the_address_keeps_the_view(show):
    page = show()
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("radio", name="1995-08-12").check()
    layer(page, "forest to crop").uncheck()
    page.get_by_label("To: Change map").select_option(HOSTILE)
    page.get_by_role("slider", name="Opacity of Change map").fill("40")
    layer(page, "Divider between two layers").check()
    view(page)
    again = show("#" + page.url.split("#", 1)[1])
    for asked in (page, again):
        assert layer(asked, "Image, 1995").is_checked()
        assert not layer(asked, "forest to crop").is_checked()
        assert asked.get_by_label("To: Change map").input_value() == HOSTILE
        assert asked.get_by_role("slider", name="Opacity of Change map").input_value() == "40"
        assert asked.get_by_role("slider", name="Divider between two layers").is_visible()
    assert view(again)[:2] == view(page)[:2]
    # whatever an address says, the page comes up
    wrong = show(
        "#at=x,y&change=off;hide=a~b;opacity=9;from=%25&i0=on;bands=7.8.9&swipe=toString,change,2"
    )
    assert not layer(wrong, "Change map").is_checked()


def test_the_view_is_saved_as_a_picture(show):
    page = show()
    with page.expect_download() as download:
        page.get_by_role("heading", name="Place and link").click()
        page.get_by_role("button", name="Save picture").click()
    picture = Image.open(download.value.path()).convert("RGB")
    legend = picture.width - page.locator("#map").bounding_box()["width"]
    assert picture.height == WIDE["height"]
    assert 100 < legend < 700
    x, y = on_screen(page, 480, 150)
    left = page.locator("#map").bounding_box()["x"]
    near(picture.getpixel((int(x - left + legend), int(y))), rgb(CHANGES[21]))
    swatches = {picture.getpixel((20, row)) for row in range(20, 200, 2)}
    assert {rgb(CHANGES[12]), rgb(CHANGES[21])} <= swatches


# ---- Every reader and every file


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(show, scheme):
    page = show(
        viewport={"width": 375, "height": 700}, has_touch=True, is_mobile=True, color_scheme=scheme
    )
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    shot = Shot(page)
    near(shot[120, 150], rgb(CHANGES[12]))
    page.get_by_role("button", name="Panel").tap()
    layer(page, "Change map").tap()
    settled(page)
    shot = Shot(page)
    near(shot[120, 150], image_colour(1, 120, 150))
    small = [
        target.get_attribute("aria-label") or target.inner_text()
        for target in page.locator("button:visible").all()
        if target.bounding_box()["height"] < 28
    ]
    assert small == []
    ground = page.evaluate("getComputedStyle(document.querySelector('.panel')).backgroundColor")
    assert (int(re.findall(r"\d+", ground)[0]) < 60) == (scheme == "dark")
    page.get_by_role("button", name="Panel").tap()
    page.touchscreen.tap(*on_screen(page, 300, 250))
    page.get_by_role("region", name="Values at a place").locator("figure").wait_for()


def test_names_are_shown_as_they_are(show):
    page = show()
    page.get_by_text(f"forest to {HOSTILE}", exact=True).first.wait_for()
    assert page.locator("img").count() == 0
    assert page.title() == "A small scene"


def test_screen_readers_hear_every_control(show):
    page = show()
    for part in page.locator("details").all():
        part.evaluate("part => { part.open = true; }")
    page.evaluate(
        "document.querySelectorAll('.arrow[aria-expanded=false]').forEach((e) => e.click())"
    )
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input:not([type=file]), select')].filter(
            (e) => !(e.getAttribute('aria-label') || e.textContent.trim() && e.tagName === 'BUTTON'
                     || e.labels?.length)).map((e) => e.outerHTML)"""
    )
    assert nameless == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    estimate = page.get_by_text("1,100 to 1,371")
    assert estimate.is_visible()
    assert page.get_by_text("One file is left out").is_visible()


FORMATS = {
    "deflate1": ("uint8", {"compress": "DEFLATE", "predictor": "NO"}),
    "deflate2": ("int16", {"compress": "DEFLATE", "predictor": "STANDARD"}),
    "deflate3": ("float32", {"compress": "DEFLATE", "predictor": "FLOATING_POINT"}),
    "double": ("float64", {"compress": "DEFLATE", "predictor": "YES"}),
    "lzw": ("uint16", {"compress": "LZW", "predictor": "YES"}),
    "zstd": ("int32", {"compress": "ZSTD"}),
    "plain": ("uint32", {"compress": "NONE"}),
}
"""Types and compressions of files that a user may have."""


def test_files_of_many_formats_are_read(show, tmp_path):
    values = np.add.outer(np.arange(map_site.ROWS) * 3, np.arange(map_site.COLUMNS)) % 200 + 1
    values[100:110] = 0
    folder = tmp_path / "site"
    known = map_site.description()
    page_layers = [known["layers"][0]]
    for name, (dtype, _) in FORMATS.items():
        page_layers.append(
            {
                "id": name, "title": name, "kind": "values", "role": "value",
                "date": None, "url": f"data/{name}.tif", "grid": map_site.GRID, "range": [0, 200],
                "nodata": "nan" if dtype.startswith("float") else 0,
            }
        )  # fmt: skip
    photo = {**page_layers[0], "id": "photo", "title": "JPEG", "url": "data/photo.tif"}
    photo |= {"bands": ["r", "g", "b"], "date_bands": [1, 2, 3], "rgb": [1, 2, 3], "nodata": None}
    photo |= {"scale": None, "date": None, "stretch": [[0, 255]] * 3}
    masked = {
        **page_layers[1],
        "id": "masked",
        "title": "masked",
        "url": "data/masked.tif",
        "nodata": None,
    }
    # decoders in WebAssembly come from the bundle as data
    policy = POLICY.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'")
    policy = policy.replace("connect-src 'self'", "connect-src 'self' data:")
    map_site.make(folder, BUNDLE, policy, layers=[*page_layers[1:], masked, photo])
    for name, (dtype, options) in FORMATS.items():
        array = values.astype(dtype)
        if dtype.startswith("float"):
            array[values == 0] = np.nan
        map_site.as_cog(
            array,
            folder / f"data/{name}.tif",
            nodata=np.nan if dtype.startswith("float") else 0,
            **options,
        )
    map_site.as_cog(
        values.astype(np.uint8), folder / "data/masked.tif", mask=values > 0, compress="DEFLATE"
    )
    colours = np.stack([np.full(values.shape, v, np.uint8) for v in (180, 90, 30)])
    map_site.as_cog(colours, folder / "data/photo.tif", compress="JPEG", quality=95)
    with served(folder) as address:
        page = show(address=address)
        near(Shot(page)[300, 300], (180, 90, 30), by=4)
        card = page.get_by_role("region", name="Values at a place")
        for row in (250, 105):
            page.mouse.click(*on_screen(page, 150.5, row + 0.5))
            card.locator("dl > div").nth(len(FORMATS)).wait_for()
            settled(page)
            read = dict(line.inner_text().split("\n", 1) for line in card.locator("dl > div").all())
            text = "no data" if row == 105 else str(values[row, 150])
            assert {name: shown.strip() for name, shown in read.items()} == dict.fromkeys(
                [*FORMATS, "masked"], text
            )
            page.keyboard.press("Escape")
        page.close()


def test_a_file_that_is_missing_is_named_and_the_rest_shown(show, tmp_path):
    folder = map_site.make(tmp_path / "site", BUNDLE, POLICY)
    (folder / "data/change.tif").unlink()
    with served(folder) as address:
        page = show(address=address)
        page.locator(
            ".notices .warning", has_text="Change map can't be shown: the server answers 404"
        ).wait_for()
        shot = Shot(page)
        near(shot[480, 150], image_colour(1, 480, 150))
        page.close()
    show.wrong[:] = [text for text in show.wrong if "404" not in text]


def test_servers_without_ranges_give_small_files_whole(show, tmp_path):
    folder = map_site.make(tmp_path / "site", BUNDLE, POLICY)
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "-d", str(folder), "0"]
    with subprocess.Popen(
        [command[0], "-u", *command[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            port = re.search(r"port (\d+)", server.stdout.readline()).group(1)
            page = show(address=f"http://127.0.0.1:{port}")
            near(Shot(page)[480, 150], rgb(CHANGES[21]))
            page.close()
        finally:
            server.kill()


def test_memory_stays_bounded_while_the_map_is_panned(show):
    page = show()
    for _ in range(3):
        page.get_by_role("button", name="Zoom in").click()
    page.locator("#map").focus()

    def heap():
        page.evaluate("new Promise((done) => setTimeout(done, 300))")
        session = page.context.new_cdp_session(page)
        session.send("HeapProfiler.collectGarbage")
        return session.send("Runtime.getHeapUsage")["backingStorageSize"]

    sizes = []
    for _ in range(2):
        for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp") * 2:
            page.keyboard.press(key)
            page.wait_for_timeout(40)
        sizes.append(heap())
    assert sizes[-1] < sizes[0] + 20e6
