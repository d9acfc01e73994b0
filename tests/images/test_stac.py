import json
from datetime import date

import numpy as np
import pytest

from landshift.errors import BandError, RasterError
from landshift.files.dates import Period
from landshift.images import Image, plan, stac
from landshift.images.quality import rule
from landshift.prepare.composite import composite


@pytest.fixture
def item(write_raster, tmp_path):
    """An item with two bands, a picture of them, and a scene classification of 20 m."""
    write_raster("B04.tif", np.full((1, 8, 8), 1500, np.uint16), pixel=10)
    write_raster("B08.tif", np.full((1, 8, 8), 4000, np.uint16), pixel=10)
    classes = np.full((1, 4, 4), 4, np.uint8)
    classes[0, 0, 0] = 9
    write_raster("SCL.tif", classes, pixel=20)
    write_raster("TCI.tif", np.full((3, 8, 8), 7, np.uint8), pixel=10)
    scaling = [{"nodata": 0, "scale": 0.0001, "offset": -0.1}]
    assets = {
        "visual": {
            "href": "./TCI.tif", "roles": ["visual"],
            "eo:bands": [{"common_name": n} for n in ("red", "green", "blue")],
        },
        "B04": {
            "href": "./B04.tif", "roles": ["data"],
            "eo:bands": [{"name": "B04", "common_name": "red"}], "raster:bands": scaling,
        },
        "B08": {
            "href": "./B08.tif", "roles": ["data"],
            "eo:bands": [{"name": "B08", "common_name": "nir"}], "raster:bands": scaling,
        },
        "SCL": {"href": "./SCL.tif", "roles": ["data"]},
    }  # fmt: skip
    path = tmp_path / "item.json"
    path.write_text(
        json.dumps(
            {
                "type": "Feature", "stac_version": "1.0.0", "id": "S2A", "geometry": None,
                "properties": {"datetime": "2021-07-01T10:00:00Z"}, "links": [],
                "stac_extensions": [
                    "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
                    "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
                ],
                "assets": assets,
            }
        )
    )  # fmt: skip
    return path


def test_bands_come_by_common_name_band_name_or_asset(item):
    files, taken = stac.band_files(item, ["nir", "B04"], ["scl"])
    assert taken == Period(date(2021, 7, 1), date(2021, 7, 1))
    assert [f.href.rpartition("/")[2] for f in files] == ["B08.tif", "B04.tif", "SCL.tif"]
    assert (files[0].nodata, files[0].scales, files[0].offsets) == (0.0, (0.0001,), (-0.1,))
    files, _ = stac.band_files(item)
    assert [f.names for f in files] == [("red",), ("nir",)]
    with pytest.raises(BandError, match="must have the bands swir16"):
        stac.band_files(item, ["swir16"])


def test_files_that_are_no_items_are_one_line(tmp_path):
    (tmp_path / "a.json").write_text('{"type": "Other"}')
    with pytest.raises(RasterError, match=r"must be a STAC Item, got .*a\.json"):
        stac.band_files(tmp_path / "a.json")
    with pytest.raises(RasterError, match=r"must be a STAC Item, got .*none\.json"):
        stac.band_files(tmp_path / "none.json")


def test_an_item_is_an_image(item, tmp_path):
    import rasterio

    image = Image(files=(item,), quality=(rule("scl=cloud"),), scaled=True)
    assert plan(image).names == ("red", "nir")
    with rasterio.open(composite([image], tmp_path / "c.tif")) as written:
        values = written.read()
        assert written.descriptions == ("red", "nir")
        assert written.tags()["ACQUISITION_DATE"] == "2021-07-01"
    assert np.isnan(values[:, :2, :2]).all()
    assert np.isfinite(values).sum() == 2 * (64 - 4)
    assert values[0, 5, 5] == pytest.approx(0.05)
    assert values[1, 5, 5] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("name", "href"),
    [
        ("a b.tif", "./a%20b.tif"),
        ("a b.tif", "./a b.tif"),
        ("50%25.tif", "./50%25.tif"),
        ("50%.tif", "./50%25.tif"),
        ("r\u00e9gion #1.tif", "./r%C3%A9gion%20%231.tif"),
        ("a b.tif", "file://{folder}/a%20b.tif"),
    ],
)
def test_hrefs_are_decoded(item, tmp_path, name, href):
    (tmp_path / "B04.tif").rename(tmp_path / name)
    text = item.read_text().replace("./B04.tif", href.replace("{folder}", str(tmp_path)))
    item.write_text(text)
    files, _ = stac.band_files(item, ["red"])
    assert files[0].href == str(tmp_path / name)
    assert plan(Image(files=(item,), bands=["red"])).layers[0].path == files[0].href


def test_urls_stay_encoded(item):
    item.write_text(
        item.read_text().replace("./B04.tif", "https://example.org/a%20b c.tif?x=1&y=2")
    )
    files, _ = stac.band_files(item, ["red"])
    assert files[0].href == "https://example.org/a%20b%20c.tif?x=1&y=2"


def test_an_item_s_nodata_counts_where_no_file_or_option_states_one(item, write_raster):
    assert [layer.invalid for layer in plan(Image(files=(item,))).layers] == [0, 0]
    write_raster("B04.tif", np.full((1, 8, 8), 1500, np.uint16), pixel=10, nodata=7)
    assert [layer.invalid for layer in plan(Image(files=(item,))).layers] == [7, 0]
    users = plan(Image(files=(item,), nodata=9))
    assert [layer.invalid for layer in users.layers] == [9, 9]
