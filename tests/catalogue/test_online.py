"""Open catalogues as they are; run with LANDSHIFT_ONLINE=1, where there is a network."""

import os

import pytest

from landshift import ItemFilter, Place, search
from landshift.catalogue import assets

pytestmark = pytest.mark.skipif(
    not os.environ.get("LANDSHIFT_ONLINE"), reason="LANDSHIFT_ONLINE isn't set"
)

EARTH_SEARCH = "https://earth-search.aws.element84.com/v1"
PLANETARY_COMPUTER = "https://planetarycomputer.microsoft.com/api/stac/v1"
PUCALLPA = Place(bbox=(-74.62, -8.42, -74.52, -8.34))


@pytest.mark.parametrize(
    ("catalogue", "collection"),
    [
        (EARTH_SEARCH, "sentinel-2-l2a"),
        (EARTH_SEARCH, "sentinel-2-c1-l2a"),
        (PLANETARY_COMPUTER, "sentinel-2-l2a"),
        (PLANETARY_COMPUTER, "landsat-c2-l2"),
    ],
)
def test_items_of_open_catalogues_have_the_bands_of_the_table(online, catalogue, collection):
    wanted = ItemFilter(dates=["2021-07", "2023-07"], collection=collection, max_cloud=80)
    result = search(catalogue, place=PUCALLPA, wanted=wanted)
    assert all(r.entries for r in result.ranges)
    for entry in result.entries:
        bands = assets.bands_of(entry, entry.product.usual)
        assert [b.name for b in bands[:-1]] == list(entry.product.usual)
        assert all(b.href.startswith("https://") for b in bands)
    if collection == "sentinel-2-l2a" and catalogue == PLANETARY_COMPUTER:
        offsets = {assets.bands_of(r.entries[0], ["red"])[0].offset for r in result.ranges}
        assert offsets == {0.0, -0.1}


@pytest.mark.parametrize("collection", ["esa-worldcover", "io-lulc-annual-v02"])
def test_items_of_class_maps_have_one_raster(online, collection):
    wanted = ItemFilter(dates=["2021"], collection=collection)
    result = search(PLANETARY_COMPUTER, place=PUCALLPA, wanted=wanted)
    assert result.entries
    assert all(assets.class_band(entry).href for entry in result.entries)
