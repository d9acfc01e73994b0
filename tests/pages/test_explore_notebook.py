"""The map page in a notebook: one output that holds the page, its data, and a picture."""

import base64
import html
import io
import re
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pytest
from affine import Affine
from PIL import Image

import landshift
from landshift import grid, raster
from landshift.classes import ClassScheme
from landshift.pages.explore import bundle, inline
from pages import browser

pytestmark = pytest.mark.skipif(
    not (Path(bundle.__file__).parent / "bundle" / "explore.js").is_file(),
    reason="the page isn't built (web/)",
)

CHANGE = ClassScheme.from_mapping(
    {1: "to <b>forest</b>", 2: "</script><script>alert(1)", 3: "No change"}
)


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A composite of two dates and its change map, larger than what a notebook takes."""
    folder = tmp_path_factory.mktemp("job")
    random = np.random.default_rng(0)
    box = grid.geobox(700, 900, Affine(30, 0, 500_000, 0, -30, 4_000_000), "EPSG:32618")
    names = [f"{date}:{b}" for date in ("before", "after") for b in ("red", "green", "blue")]
    for name, values, options in (
        ("stack.tif", random.integers(1, 3000, (6, 700, 900), np.uint16), {"bands": names}),
        ("map.tif", random.integers(1, 4, (1, 700, 900), np.uint8), {"scheme": CHANGE}),
    ):
        with raster.create(
            folder / name, box, count=len(values), dtype=str(values.dtype), nodata=0, **options
        ) as target:
            raster.write(target, values, grid.Window(0, 0, 700, 900))
    return folder


@pytest.fixture(scope="module")
def output(job):
    """The page's output, by media type."""
    return landshift.explore(job)._repr_mimebundle_()


def inside(output):
    """The page within the frame."""
    return html.unescape(re.search(r'srcdoc="([^"]*)"', output["text/html"])[1])


def test_one_output_holds_the_page_and_a_picture_of_it(output):
    assert set(output) == {"text/html", "image/png", "text/plain"}
    with Image.open(io.BytesIO(base64.b64decode(output["image/png"]))) as picture:
        assert picture.width > picture.height > 200
    assert output["text/plain"] == "Map page: Image, before, Image, after, Change map"


def test_the_page_needs_no_server_and_its_layers_are_small(output, tmp_path):
    page = inside(output)
    assert not re.search(r"<link[^>]*stylesheet|<script[^>]*src=", page)
    policy = re.search(r'content="(default-src[^"]*)"', page)[1]
    assert "connect-src data:" in policy
    assert "unsafe" not in policy
    assert page.count("<script") == 2  # names can't end a script or begin one
    layers = re.findall(r'"url":"data:image/tiff;base64,([^"]*)"', page)
    assert len(layers) == 3
    for data in layers:
        (tmp_path / "layer.tif").write_bytes(base64.b64decode(data))
        with raster.open_raster(tmp_path / "layer.tif") as source:
            assert source.height * source.width <= inline.SIDE**2
    frame = output["text/html"].rpartition('" title')[2]
    assert 'sandbox="allow-scripts allow-downloads"' in frame


def test_a_notebook_keeps_the_output(job):
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(
                f"import landshift\nlandshift.explore({str(job)!r}, title='Both')"
            )
        ]
    )
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    (shown,) = notebook.cells[0].outputs
    assert shown.output_type == "execute_result"
    assert {"text/html", "image/png"} <= set(shown.data)
    assert 'title="Both"' in shown.data["text/html"]


def test_a_browser_shows_it_from_a_file(output, tmp_path):
    exported = tmp_path / "exported.html"
    exported.write_text(
        f"<!doctype html><meta charset=utf-8><title>n</title>{output['text/html']}",
        encoding="utf-8",
    )
    with browser() as program:
        page = program.new_page(viewport={"width": 1200, "height": 700})
        problems = []
        page.on("console", lambda m: m.type == "error" and problems.append(m.text))
        page.on("pageerror", lambda e: problems.append(str(e)))
        page.on("request", lambda r: r.url.startswith("http") and problems.append(r.url))
        page.goto(exported.as_uri())
        frame = page.frame_locator("iframe")
        frame.get_by_role("checkbox", name="Change map").first.wait_for(timeout=60_000)
        assert "to <b>forest</b>" in frame.locator("body").inner_text()
        for _ in range(50):
            drawn = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
            middle = drawn[300:400, 700:900].reshape(-1, 3)
            if len(np.unique(middle, axis=0)) > 2:
                break
            page.wait_for_timeout(200)
        assert len(np.unique(middle, axis=0)) > 2
        assert not problems
