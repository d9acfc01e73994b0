import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from affine import Affine

import commands
from landshift import bundle, grid, raster
from landshift.classes import ClassScheme, legend_writers
from landshift.errors import GridError, ParameterError, RasterError
from landshift.models import ChangeModel
from landshift.publish import describe_model, items, stac
from landshift.spec import InputSpec

SCHEME = ClassScheme.from_mapping(
    {1: "to crop", 2: "to water/ice", 3: "No change"}, {1: (255, 128, 0)}
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A saved untrained model with all its files."""
    bands = ("before:red", "after:red")
    spec = InputSpec(
        bands, (100.0,) * 2, (10.0,) * 2, (0.0,) * 2, (255.0,) * 2, 64, "uint8", 30.0,
        band_sensors=("OLI", None), band_units=(None, "reflectance * 10000"),
    )  # fmt: skip
    network = ChangeModel("unet", spec, SCHEME, backbone="resnet18")
    package = bundle.Package("10e", network, {"lr": 0.001, "epochs": 3})
    return bundle.save(package, tmp_path_factory.mktemp("model") / "10e")


@pytest.fixture
def class_map(tmp_path):
    box = grid.geobox(20, 30, Affine(30, 0, 500_000, 0, -30, 4_000_000), "EPSG:32618")
    path = tmp_path / "maps" / "map.tif"
    path.parent.mkdir()
    with raster.create(path, box, count=1, dtype="uint8", nodata=0, scheme=SCHEME) as target:
        raster.write(target, np.ones((1, 20, 30), np.uint8), grid.Window(0, 0, 20, 30))
    return path


def validated(path):
    """The Item as read by pystac, checked against pystac's schemas."""
    pystac = pytest.importorskip("pystac")
    pytest.importorskip("jsonschema", reason="validation needs it")
    from pystac.validation import stac_validator

    content = json.loads(path.read_text())
    item = pystac.Item.from_dict(content)
    validator = stac_validator.JsonSchemaSTACValidator()
    validator.validate_core(content, pystac.STACObjectType.ITEM, "1.1.0")
    return item


def test_a_map_as_an_item(class_map, tmp_path):
    out = stac(class_map, tmp_path / "items" / "map.json", datetime="2016-07-01")
    item = validated(out)
    assert item.properties["datetime"] == "2016-07-01T00:00:00Z"
    west, _, east, north = item.bbox
    assert (west, north) == pytest.approx((-75.0, 36.14472), abs=1e-5)
    assert east - west == pytest.approx(900 / 90_000, rel=0.1)
    assert item.geometry["type"] == "Polygon"
    asset = item.assets["map"]
    assert asset.href == "../maps/map.tif"
    assert asset.media_type == "image/tiff; application=geotiff; profile=cloud-optimized"
    digest = hashlib.sha256(class_map.read_bytes()).hexdigest()
    assert asset.extra_fields["file:checksum"] == f"1220{digest}"
    assert item.assets["style"].href == "../maps/map.qml"


def test_pystac_reads_its_extensions(class_map, tmp_path):
    pytest.importorskip("pystac")
    from pystac.extensions.classification import ClassificationExtension
    from pystac.extensions.file import FileExtension
    from pystac.extensions.projection import ProjectionExtension
    from pystac.extensions.raster import RasterExtension

    item = validated(stac(class_map, tmp_path / "map.json", datetime="2016-07-01"))
    projection = ProjectionExtension.ext(item)
    assert projection.code == "EPSG:32618"
    assert projection.shape == [20, 30]
    assert projection.transform == [30, 0, 500_000, 0, -30, 4_000_000]
    band = RasterExtension.ext(item.assets["map"]).bands[0]
    assert (band.nodata, band.data_type, band.spatial_resolution) == (0, "uint8", 30)
    classes = ClassificationExtension.ext(item.assets["map"]).classes
    assert [c.value for c in classes] == [1, 2, 3]
    assert [c.name for c in classes] == ["to_crop", "to_water_ice", "No_change"]
    assert classes[1].description == "to water/ice"
    assert classes[0].color_hint == "FF8000"
    assert FileExtension.ext(item.assets["map"]).size == class_map.stat().st_size


def test_a_map_has_the_item_that_pystac_builds_of_the_same_facts(class_map, tmp_path):
    pystac = pytest.importorskip("pystac")
    from pystac.extensions.classification import Classification, ClassificationExtension
    from pystac.extensions.file import FileExtension
    from pystac.extensions.projection import ProjectionExtension
    from pystac.extensions.raster import RasterBand, RasterExtension

    out = stac(class_map, tmp_path / "map.json", start="2001-01-01", end="2015-12-31")
    ours = json.loads(out.read_text())
    days = (datetime(2001, 1, 1, tzinfo=UTC), datetime(2015, 12, 31, 23, 59, 59, tzinfo=UTC))
    item = pystac.Item(
        "map", ours["geometry"], ours["bbox"], None, {"title": "map"},
        start_datetime=days[0], end_datetime=days[1],
    )  # fmt: skip
    item.set_self_href(str(out))
    ProjectionExtension.ext(item, add_if_missing=True).apply(
        code="EPSG:32618", shape=[20, 30], transform=[30, 0, 500_000, 0, -30, 4_000_000],
        bbox=[500_000, 3_999_400, 500_900, 4_000_000],
    )  # fmt: skip
    for key, path, kind, role, title in (
        ("map", class_map, pystac.MediaType.COG, "data", "map.tif"),
        ("style", class_map.with_suffix(".qml"), "application/xml", "style", "Style for QGIS"),
    ):
        asset = pystac.Asset(str(path), title=title, media_type=kind, roles=[role])
        item.add_asset(key, asset)
        FileExtension.ext(asset, add_if_missing=True).apply(
            checksum="1220" + hashlib.sha256(path.read_bytes()).hexdigest(),
            size=path.stat().st_size,
        )
    asset = item.assets["map"]
    band = RasterBand.create(nodata=0, data_type="uint8", spatial_resolution=30)
    RasterExtension.ext(asset, add_if_missing=True).apply([band])
    ClassificationExtension.ext(asset, add_if_missing=True).apply(
        [
            Classification.create(1, name="to_crop", description="to crop", color_hint="FF8000"),
            Classification.create(
                2, name="to_water_ice", description="to water/ice", color_hint=colour(2)
            ),
            Classification.create(
                3, name="No_change", description="No change", color_hint=colour(3)
            ),
        ]
    )
    item.make_asset_hrefs_relative()
    theirs = item.to_dict(include_self_link=False, transform_hrefs=False)
    theirs["stac_extensions"].sort()
    assert ours == json.loads(json.dumps(theirs))


def colour(value):
    return "".join(f"{part:02X}" for part in SCHEME.colours[value])


def test_landshift_reads_the_bands_of_its_items(tmp_path, write_raster):
    pytest.importorskip("pystac")
    from landshift.images.stac import band_files

    image = write_raster("i.tif", np.ones((2, 8, 8), np.uint16), nodata=0, bands=["red", "nir"])
    out = stac(image, tmp_path / "i.json", start="2016-01-01", end="2016-12-31")
    item = validated(out)
    assert item.properties["datetime"] is None
    assert item.properties["end_datetime"] == "2016-12-31T23:59:59Z"
    files, taken = band_files(out, ["nir"])
    assert str(taken) == "2016"
    assert (files[0].numbers, files[0].nodata) == ((2,), 0)


@pytest.mark.parametrize("name", ["a b#1%.tif", "r\u00e9gion 50%25.tif", "a;b,c+d&e=f.tif"])
def test_file_names_are_percent_encoded_and_read_back(tmp_path, write_raster, name):
    from urllib.parse import unquote, urljoin, urlsplit

    from landshift.images.stac import band_files

    image = write_raster("i.tif", np.ones((1, 8, 8), np.uint16), nodata=0, bands=["red"])
    image = image.rename(tmp_path / name)
    out = stac(image, tmp_path / "items" / "i.json", datetime="2016-07-01")
    href = json.loads(out.read_text())["assets"]["map"]["href"]
    # a web client resolves it to the file's path
    assert unquote(urlsplit(urljoin(out.as_uri(), href)).path) == str(image)
    assert band_files(out, ["red"])[0][0].href == str(image)


def test_the_dates_of_a_composite_are_used(tmp_path, write_raster, class_map):
    days = json.dumps({"before": "2001-07-04", "after": "2016-08-01"})
    composite = write_raster("c.tif", np.ones((2, 8, 8)), LANDSHIFT_DATES=days)
    for image, source in ((composite, None), (class_map, composite)):
        out = stac(image, tmp_path / "c.json", composite=source, overwrite=True)
        properties = json.loads(out.read_text())["properties"]
        assert properties["start_datetime"] == "2001-07-04T00:00:00Z"
        assert properties["end_datetime"] == "2016-08-01T23:59:59Z"


def test_the_same_map_gives_the_same_bytes(class_map, tmp_path):
    first, second = (stac(class_map, tmp_path / f"{k}.json", datetime="2016-07-01") for k in (1, 2))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "must have a datetime, or a start and an end, got none"),
        ({"start": "2016-01-01"}, "got start 2016-01-01"),
        ({"datetime": "2016-01-01", "end": "2016-01-01"}, "got datetime 2016-01-01, end 2016"),
        ({"datetime": "1.7.2016"}, "must be written as 2016-07-01 or .* got '1.7.2016'"),
        ({"datetime": "2016-02-30"}, "got '2016-02-30'"),
        ({"datetime": ""}, "got ''"),
        ({"start": "2016-01-02", "end": "2016-01-01"}, "start must be before the end"),
    ],
)
def test_missing_or_invalid_dates_are_refused(class_map, tmp_path, given, message):
    with pytest.raises(ParameterError, match=message):
        stac(class_map, tmp_path / "map.json", **given)
    assert not (tmp_path / "map.json").exists()


def test_times_keep_their_offset():
    assert items.times("2016-07-01T12:30:00+02:00", None, None) == {
        "datetime": "2016-07-01T10:30:00Z"
    }
    assert items.times("2016-07-01T12:30:00", None, None) == {"datetime": "2016-07-01T12:30:00Z"}


def test_a_raster_without_a_crs_is_refused(tmp_path, write_raster):
    image = write_raster("i.tif", np.ones((8, 8), np.uint8), crs=None)
    with pytest.raises(GridError, match="must have a CRS, got none"):
        stac(image, tmp_path / "i.json", datetime="2016-07-01")
    far = write_raster("f.tif", np.ones((8, 8), np.uint8), origin=(1e12, 0))
    with pytest.raises(GridError, match="within the area of its CRS"):
        stac(far, tmp_path / "i.json", datetime="2016-07-01")
    with pytest.raises(RasterError, match="needs a local file"):
        stac(tmp_path / "none.tif", tmp_path / "i.json", datetime="2016-07-01")


def outline(shape, transform, crs, tmp_path):
    geometry, bounds = items.ground(grid.geobox(*shape, transform, crs), tmp_path)
    from shapely.geometry import shape as shaped

    shape = shaped(geometry)
    assert shape.is_valid
    return geometry["type"], bounds, shape


def test_outlines_across_the_antimeridian_and_around_a_pole(tmp_path):
    across = Affine(30, 0, 550_000, 0, -30, 7_000_000)
    kind, (west, _, east, _), shape = outline((4000, 8000), across, "EPSG:32660", tmp_path)
    assert kind == "MultiPolygon"
    assert 177 < west < 180
    assert -180 < east < -177
    assert shape.bounds[0] == -180
    south = Affine(1000, 0, -50_000, 0, -1000, 50_000)
    _, bounds, _ = outline((100, 100), south, "EPSG:3031", tmp_path)
    assert bounds[:3] == [-180, -90, 180]
    world = Affine(1, 0, -180, 0, -1, 90)
    _, bounds, _ = outline((180, 360), world, "EPSG:4326", tmp_path)
    assert bounds == [-180, -90, 180, 90]


def test_a_model_as_an_item(model, tmp_path):
    out = describe_model(
        model, tmp_path / "10e.json", start="2000-01-01", end="2020-12-31",
        bounds=(-80.0, 30.0, -70.0, 40.0),
    )  # fmt: skip
    item = validated(out)
    properties = item.properties
    assert properties["mlm:name"] == "landshift_10e"
    assert properties["mlm:hyperparameters"] == {"lr": 0.001, "epochs": 3}
    inputs = properties["mlm:input"][0]
    assert inputs["bands"] == ["before:red", "after:red"]
    assert inputs["input"] == {
        "shape": [-1, 2, -1, -1],
        "dim_order": ["batch", "bands", "height", "width"],
        "data_type": "uint8",
    }
    assert inputs["value_scaling"][0] == {"type": "z-score", "mean": 100.0, "stddev": 10.0}
    assert [b["name"] for b in properties["bands"]] == inputs["bands"]
    assert properties["bands"][1]["unit"] == "reflectance * 10000"
    outputs = properties["mlm:output"][0]
    assert outputs["result"]["shape"] == [-1, 3, -1, -1]
    assert [c["value"] for c in outputs["classification:classes"]] == [1, 2, 3]
    weights = item.assets["10e.safetensors"]
    assert weights.href.endswith("10e/10e.safetensors")
    assert weights.extra_fields["mlm:artifact_type"] == "safetensors.torch.save_file"
    for asset in item.assets.values():
        ours = "mlm:model" in asset.roles
        assert ours == ("mlm:artifact_type" in asset.extra_fields)
    assert set(item.assets) == {"10e.safetensors", "10e.emd", "10e.dlpk", "landshift.json"}


def test_stac_model_accepts_the_item(model, tmp_path):
    schema = pytest.importorskip("stac_model.schema")
    item = validated(describe_model(model, tmp_path / "10e.json", datetime="2020-01-01"))
    assert schema.SCHEMA_URI in item.stac_extensions
    read = schema.MLModelProperties(**item.properties)
    assert read.architecture.startswith("unet over resnet18")
    assert list(read.input[0].bands) == ["before:red", "after:red"]
    assert [c.description for c in read.output[0].classes] == list(SCHEME.names)
    assert schema.MLModelExtension.ext(item).name == "mlm"


def test_a_packed_model_is_one_asset_and_needs_a_date(model, tmp_path):
    packed = model.with_suffix(".dlpk")
    with pytest.raises(ParameterError, match="must have a datetime"):
        describe_model(packed, tmp_path / "p.json")
    item = validated(describe_model(packed, tmp_path / "p.json", datetime="2020-01-01"))
    assert list(item.assets) == ["10e.dlpk"]
    folder = validated(describe_model(model.parent, tmp_path / "f.json"))
    assert folder.properties["datetime"] is not None  # of log.json
    with pytest.raises(ParameterError, match="in degrees"):
        describe_model(
            packed, tmp_path / "p.json", datetime="2020-01-01", bounds=(5, 0, 4, 1), overwrite=True
        )


@pytest.mark.parametrize(
    ("name", "expected"),
    [("unet 10", "unet 10"), ("10", "landshift_10"), ("ä", "landshift"), ("a-", "landshift_a")],
)
def test_names_become_valid_for_the_extension(model, tmp_path, name, expected):
    package = replace(bundle.load(model), name=name)
    from landshift.publish import models

    assert models._properties(package)["mlm:name"] == expected


def test_the_commands(model, class_map, tmp_path):
    out = tmp_path / "item.json"
    done = commands.run("stac", class_map, "-o", out, "--datetime", "2016-07-01")
    assert done.exit_code == 0, done.output
    assert done.output.strip() == str(out)
    times = ["--start", "2001-01-01", "--end", "2016-12-31"]
    ground = ["--bounds", "-80", "30", "-70", "40"]
    again = ["--overwrite"]
    done = commands.run("model", "stac", model, "-o", out, *times, *ground, *again)
    assert done.exit_code == 0, done.output
    assert validated(out).bbox == [-80, 30, -70, 40]


def test_equal_names_get_a_suffix():
    scheme = ClassScheme.from_mapping({1: "a b", 2: "a/b", 3: "ä"})
    assert [c["name"] for c in items.classes(scheme)] == ["a_b", "a_b_2", "class_3"]
    assert legend_writers.colour_table(scheme)  # files accept the same scheme
