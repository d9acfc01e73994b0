import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import rasterio

import commands
from landshift import raster
from landshift.classes import IGNORE_INDEX, ClassScheme, MapScheme
from landshift.errors import ClassError, GridError, LandshiftError, ParameterError, VectorError
from landshift.prepare.burn import ClassColumns, Contradiction, Footprints, burn
from landshift.prepare.label import MapReading, label

LEFT, TOP = 500_000, 4_000_000


def square(column, row, size=1):
    """Ring of a square of 30 m pixels."""
    left, top = LEFT + 30 * column, TOP - 30 * row
    right, bottom = left + 30 * size, top - 30 * size
    return [[[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]]


@pytest.fixture
def write_polygons(tmp_path):
    def write(*features, crs="urn:ogc:def:crs:EPSG::32618", name="p.geojson"):
        content = {
            "type": "FeatureCollection",
            "crs": {"type": "name", "properties": {"name": crs}},
            "features": [
                {
                    "type": "Feature",
                    "properties": properties,
                    "geometry": {"type": "Polygon", "coordinates": ring},
                }
                for ring, properties in features
            ],
        }
        (tmp_path / name).write_text(json.dumps(content))
        return tmp_path / name

    return write


@pytest.fixture
def like(write_raster):
    return write_raster("like.tif", np.zeros((3, 4), np.uint16))


def read(path):
    with rasterio.open(path) as source:
        return source.read(1)


def test_pixels_outside_all_polygons_are_not_labelled(write_polygons, like, tmp_path):
    path = write_polygons(
        (square(0, 0, 2), {"what": "No change"}), (square(3, 2), {"what": "change"})
    )
    out = tmp_path / "l.tif"
    labels = burn(path, like, out, columns=ClassColumns(name_column="what"))
    assert read(out).tolist() == [[2, 2, 0, 0], [2, 2, 0, 0], [0, 0, 0, 1]]
    assert labels.scheme.mapping == {1: "change", 2: "No change"}
    assert (labels.pixels, labels.polygons, labels.skipped) == ((1, 4), (1, 1), 0)
    assert labels.rows() == [
        {"class": "change", "value": 1, "polygons": 1, "pixels": 1},
        {"class": "No change", "value": 2, "polygons": 1, "pixels": 4},
    ]
    scheme = raster.scheme_of(out)
    assert scheme == labels.scheme
    assert scheme.to_indices(read(out))[0, 2] == IGNORE_INDEX
    assert raster.info(out).nodata == 0


def test_values_alone_names_alone_and_a_scheme(write_polygons, like, tmp_path):
    path = write_polygons(
        (square(0, 0), {"code": 7, "what": "Water"}), (square(1, 0), {"code": None, "what": None})
    )
    labels = burn(path, like, tmp_path / "l.tif", columns=ClassColumns(value_column="code"))
    assert labels.scheme.mapping == {7: "class 7"}
    assert labels.skipped == 1
    scheme = ClassScheme.from_mapping({1: "forest", 4: "water"})
    burn(
        path,
        like,
        tmp_path / "l.tif",
        columns=ClassColumns(name_column="what"),
        classes=scheme,
        overwrite=True,
    )
    assert read(tmp_path / "l.tif")[0].tolist() == [4, 0, 0, 0]
    with pytest.raises(ClassError, match="one of 1 'forest', 4 'water', got 7"):
        burn(
            path,
            like,
            tmp_path / "l.tif",
            columns=ClassColumns(value_column="code"),
            classes=scheme,
            overwrite=True,
        )


def test_contradictions_are_named_and_decided(write_polygons, like, tmp_path, caplog):
    path = write_polygons(
        (square(0, 0), {"code": 1, "what": "urban"}),
        (square(1, 0), {"code": 1, "what": "urban"}),
        (square(2, 0), {"code": 2, "what": "soil"}),
        (square(3, 0), {"code": 2, "what": "soil"}),
        (square(0, 1), {"code": 1, "what": "soil"}),
    )
    columns = {"value_column": "code", "name_column": "what"}
    out = tmp_path / "l.tif"
    with pytest.raises(ClassError, match=r"1 'soil' in polygon 4 .* are 1 'urban', 2 'soil'"):
        burn(path, like, out, columns=ClassColumns(**columns))
    assert not out.exists()
    for decide, expected in (("value", 1), ("name", 2), ("drop", 0)):
        with caplog.at_level(logging.WARNING):
            labels = burn(
                path, like, out, columns=ClassColumns(**columns, decide=decide), overwrite=True
            )
        assert read(out)[:2].tolist() == [[1, 1, 2, 2], [expected, 0, 0, 0]]
        assert labels.contradictions == (Contradiction(4, 1, "soil"),)
        assert "polygon 4 has the value 1 and the name 'soil'" in caplog.text


def test_polygons_that_overlap_are_counted_and_the_last_counts(
    write_polygons, like, tmp_path, caplog
):
    path = write_polygons((square(0, 0, 2), {"code": 1}), (square(1, 1, 2), {"code": 2}))
    labels = burn(path, like, tmp_path / "l.tif", columns=ClassColumns(value_column="code"))
    assert read(tmp_path / "l.tif").tolist() == [[1, 1, 0, 0], [1, 2, 2, 0], [0, 2, 2, 0]]
    assert labels.overlapping == 1
    assert "1 pixels lie in polygons of different classes" in caplog.text


def test_blocks_burn_as_the_whole(write_polygons, write_raster, tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    rings = [
        [[[LEFT + x, TOP - y], [LEFT + x + a, TOP - y - b], [LEFT + x - b, TOP - y - a],
          [LEFT + x, TOP - y]]]
        for x, y, a, b in random.uniform(0, 1500, (40, 4))
    ]  # fmt: skip
    path = write_polygons(*((ring, {"code": k % 5 + 1}) for k, ring in enumerate(rings)))
    like = write_raster("like.tif", np.zeros((60, 60), np.uint8))
    whole = burn(path, like, tmp_path / "w.tif", columns=ClassColumns(value_column="code"))
    monkeypatch.setattr(raster.blocks, "__defaults__", (16,))
    blocks = burn(path, like, tmp_path / "b.tif", columns=ClassColumns(value_column="code"))
    assert (read(tmp_path / "w.tif") == read(tmp_path / "b.tif")).all()
    assert replace(whole, path=blocks.path) == blocks


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({}, ClassError, "name the column"),
        ({"value_column": "x"}, ClassError, "one of code, what, got 'x'"),
        ({"value_column": "what"}, ClassError, "whole numbers of four bytes, got 'urban'"),
        ({"value_column": "code", "decide": "name"}, ParameterError, "needs a value and a name"),
        (
            {"value_column": "code", "name_column": "what", "decide": "x"},
            ParameterError,
            "value, name, drop",
        ),
    ],
)
def test_bad_columns_are_one_line(write_polygons, like, tmp_path, options, error, why):
    path = write_polygons((square(0, 0), {"code": 1, "what": "urban"}))
    with pytest.raises(error, match=why):
        burn(path, like, tmp_path / "l.tif", columns=ClassColumns(**options))


def test_a_missing_layer_is_one_line(write_polygons, like, tmp_path):
    path = write_polygons((square(0, 0), {"code": 1}))
    with pytest.raises(VectorError, match="readable"):
        burn(
            path,
            like,
            tmp_path / "l.tif",
            columns=ClassColumns("code"),
            footprints=Footprints("none"),
        )
    assert not (tmp_path / "l.tif").exists()


def test_polygons_beside_the_raster_and_rasters_without_a_crs_are_one_line(
    write_polygons, write_raster, like, tmp_path
):
    path = write_polygons((square(90, 0), {"code": 1}))
    with pytest.raises(GridError, match="got none of 1 with a class"):
        burn(path, like, tmp_path / "l.tif", columns=ClassColumns(value_column="code"))
    bare = write_raster("bare.tif", np.zeros((3, 4), np.uint8), crs=None)
    with pytest.raises(LandshiftError, match="a raster with a CRS"):
        burn(path, bare, tmp_path / "l.tif", columns=ClassColumns(value_column="code"))


def test_chiapas_and_its_two_contradictory_polygons(data_folder, tmp_path):
    folder = data_folder / "chiapas_l7"
    arguments = (folder / "training_data.shp", folder / "t1_19991118.tif", tmp_path / "l.tif")
    columns = {"value_column": "id", "name_column": "class"}
    with pytest.raises(ClassError, match=r"5 'barren' in polygon 6, 4 'urban' in polygon 8"):
        burn(*arguments, columns=ClassColumns(**columns))
    labels = burn(*arguments, columns=ClassColumns(**columns, decide="value"))
    assert labels.scheme.names == ("forest", "water", "herbaceous", "barren", "urban")
    assert labels.pixels == (383, 16, 145, 106, 68)
    assert (read(tmp_path / "l.tif") == read(folder / "labels_1999_sparse.tif")).all()
    by_name = burn(*arguments, columns=ClassColumns(name_column="class"), overwrite=True)
    assert by_name.scheme.names == ("barren", "forest", "herbaceous", "urban", "water")


def test_taizhou_unlabelled_is_ignored_not_unchanged(data_folder):
    labels = read(data_folder / "taizhou" / "labels_0nodata_1nochange_2change.tif")
    indices = ClassScheme.from_mapping({1: "No change", 2: "Change"}).to_indices(labels)
    assert np.bincount(indices.ravel())[[0, 1, IGNORE_INDEX]].tolist() == [17163, 4227, 138610]


def test_values_that_labels_cannot_hold_are_moved_with_their_names(
    write_polygons, like, tmp_path, caplog
):
    path = write_polygons(
        (square(0, 0), {"code": 0, "what": "other"}),
        (square(1, 0), {"code": 1, "what": "forest"}),
        (square(2, 0), {"code": -1, "what": "lost"}),
        (square(3, 0), {"code": 523, "what": "sea"}),
        (square(0, 1), {"code": 0, "what": "other"}),
    )
    out = tmp_path / "l.tif"
    with caplog.at_level(logging.WARNING):
        labels = burn(
            path, like, out, columns=ClassColumns(value_column="code", name_column="what")
        )
    assert "-1 -> 2 'lost', 0 -> 3 'other', 523 -> 4 'sea'" in caplog.text
    assert labels.scheme.mapping == {1: "forest", 2: "lost", 3: "other", 4: "sea"}
    assert read(out)[:2].tolist() == [[3, 1, 2, 4], [3, 0, 0, 0]]
    assert (labels.polygons, labels.skipped) == ((1, 1, 2, 1), 0)


def test_polygons_of_value_0_are_a_class_unless_an_option_or_name_excludes_them(
    write_polygons, like, tmp_path, caplog
):
    path = write_polygons((square(0, 0), {"code": 0}), (square(1, 0), {"code": 5}))
    out = tmp_path / "l.tif"
    with caplog.at_level(logging.WARNING):
        labels = burn(path, like, out, columns=ClassColumns(value_column="code"))
    assert "1 polygons of value 0 count as a class" in caplog.text
    assert labels.scheme.mapping == {1: "class 0", 5: "class 5"}
    assert read(out)[0].tolist() == [1, 5, 0, 0]
    scheme = ClassScheme.from_mapping({5: "water"})
    for k, (nodata, classes) in enumerate(((0, None), (None, scheme))):
        out = tmp_path / f"{k}.tif"
        columns = ClassColumns(value_column="code", nodata=nodata)
        labels = burn(path, like, out, columns=columns, classes=classes)
        assert (labels.skipped, read(out)[0].tolist()) == (1, [0, 5, 0, 0])
    named = write_polygons(
        (square(0, 0), {"code": 0, "what": "No data"}), (square(1, 0), {"code": 5, "what": "x"})
    )
    out = tmp_path / "named.tif"
    labels = burn(named, like, out, columns=ClassColumns(value_column="code", name_column="what"))
    assert (labels.skipped, labels.scheme.mapping) == (1, {5: "x"})


def test_polygons_whose_class_means_no_data_are_not_labelled(write_polygons, like, tmp_path):
    path = write_polygons((square(0, 0), {"v": 3}), (square(1, 0), {"v": 255}))
    scheme = MapScheme.from_mapping({3: "forest", 255: "Fill"})
    labels = burn(
        path, like, tmp_path / "l.tif", columns=ClassColumns(value_column="v"), classes=scheme
    )
    assert labels.scheme.mapping == {3: "forest"}
    assert read(tmp_path / "l.tif")[0].tolist() == [3, 0, 0, 0]


def test_two_dates_share_one_legend(write_polygons, like, tmp_path, caplog):
    first = write_polygons(
        (square(0, 0), {"what": "forest"}), (square(1, 0), {"what": "water"}), name="1.geojson"
    )
    second = write_polygons(
        (square(0, 0), {"what": "crop"}), (square(1, 0), {"what": "Forest "}),
        (square(2, 0), {"what": "water"}), name="2.geojson",
    )  # fmt: skip
    burn(first, like, tmp_path / "1.tif", columns=ClassColumns(name_column="what"))
    alone = burn(second, like, tmp_path / "2.tif", columns=ClassColumns(name_column="what"))
    assert alone.scheme.mapping == {1: "Forest", 2: "crop", 3: "water"}
    with caplog.at_level(logging.WARNING):
        labels = burn(
            second,
            tmp_path / "1.tif",
            tmp_path / "shared.tif",
            columns=ClassColumns(name_column="what"),
        )
    assert "1.tif has no class 'crop'; each gets a free value" in caplog.text
    assert labels.scheme.mapping == {1: "forest", 2: "water", 3: "crop"}
    assert read(tmp_path / "shared.tif")[0].tolist() == [3, 1, 2, 0]
    # so that a change is one of classes, not of numbers
    changes = label(tmp_path / "1.tif", tmp_path / "shared.tif", tmp_path / "c.tif")
    assert [(r["from"], r["to"]) for r in changes.rows()] == [
        ("forest", "crop"), ("water", "forest")
    ]  # fmt: skip
    recode = {1: "forest", 2: "crop", 3: "water"}
    with pytest.raises(ClassError, match="'water' and 'crop' for value 2"):
        label(tmp_path / "1.tif", tmp_path / "2.tif", tmp_path / "d.tif")
    by_names = label(
        tmp_path / "1.tif",
        tmp_path / "2.tif",
        tmp_path / "d.tif",
        reading=MapReading(recode_after=recode),
    )
    assert by_names.rows() == changes.rows()


def test_labels_of_another_date_are_a_legend_on_the_command_line(write_polygons, like, tmp_path):
    first = write_polygons((square(0, 0), {"what": "water"}), name="1.geojson")
    scheme = ClassScheme.from_mapping({3: "forest", 7: "water"})
    burn(first, like, tmp_path / "1.tif", columns=ClassColumns(name_column="what"), classes=scheme)
    options = ["--name-column", "what", "--like", str(like), "-o", str(tmp_path / "2.tif")]
    run = commands.run("burn", str(first), *options, "--classes", str(tmp_path / "1.tif"))
    assert run.exit_code == 0, run.output
    assert raster.scheme_of(tmp_path / "2.tif") == scheme
    with pytest.raises(ClassError, match=r"must state its classes, got none in .*like\.tif"):
        raster.read_scheme(like)


def test_a_map_that_burn_did_not_write_gives_no_legend(write_polygons, write_raster, tmp_path):
    tag = json.dumps(ClassScheme.from_mapping({9: "forest"}).as_list())
    other = write_raster("o.tif", np.full((3, 4), 9, np.uint8), LANDSHIFT_CLASSES=tag)
    path = write_polygons((square(0, 0), {"what": "forest"}))
    labels = burn(path, other, tmp_path / "l.tif", columns=ClassColumns(name_column="what"))
    assert labels.scheme.mapping == {1: "forest"}


def write_features(path, shapes, names, crs="EPSG:32618", **more):
    import pyogrio
    import shapely

    pyogrio.raw.write(
        path, shapely.to_wkb(np.array(shapes, object)), [np.array(names, object)],
        np.array(["what"], object), geometry_type="Unknown", crs=crs, **more,
    )  # fmt: skip
    return path


def test_points_and_lines_label_their_pixels_or_those_within_a_buffer(tmp_path, like):
    import shapely

    centre = LEFT + 45, TOP - 45
    path = write_features(
        tmp_path / "p.gpkg",
        [shapely.Point(centre), shapely.LineString([(LEFT + 105, TOP), (LEFT + 105, TOP - 89)])],
        ["well", "road"],
    )
    burn(path, like, tmp_path / "l.tif", columns=ClassColumns(name_column="what"))
    assert read(tmp_path / "l.tif").tolist() == [[0, 0, 0, 1], [0, 2, 0, 1], [0, 0, 0, 1]]
    labels = burn(
        path,
        like,
        tmp_path / "b.tif",
        columns=ClassColumns(name_column="what"),
        footprints=Footprints(buffer=31.0),
    )
    # the well's neighbours over a side, 30 m away; the road's, over which the road counts
    assert read(tmp_path / "b.tif").tolist() == [[0, 2, 1, 1], [2, 2, 1, 1], [0, 2, 1, 1]]
    assert labels.overlapping == 1
    with pytest.raises(ParameterError, match="positive number of metres, got 0"):
        burn(
            path,
            like,
            tmp_path / "n.tif",
            columns=ClassColumns(name_column="what"),
            footprints=Footprints(buffer=0.0),
        )


def test_polygons_smaller_than_a_pixel_are_counted(tmp_path, like, caplog):
    import shapely

    shapes = [
        shapely.box(LEFT, TOP - 60, LEFT + 60, TOP),
        shapely.box(LEFT + 61, TOP - 10, LEFT + 70, TOP - 1),
        shapely.box(LEFT - 900, TOP - 10, LEFT - 890, TOP),  # not on the raster
    ]
    path = write_features(tmp_path / "p.gpkg", shapes, ["a", "b", "c"])
    labels = burn(path, like, tmp_path / "l.tif", columns=ClassColumns(name_column="what"))
    assert (labels.vanished, labels.pixels) == (1, (4, 0, 0))
    assert "1 polygons hold no pixel's centre and label nothing" in caplog.text
    caplog.clear()
    labels = burn(
        path,
        like,
        tmp_path / "t.tif",
        columns=ClassColumns(name_column="what"),
        footprints=Footprints(all_touched=True),
    )
    assert (labels.vanished, labels.pixels[1]) == (0, 1)
    assert caplog.text == ""


def test_a_layer_is_chosen_on_the_command_line(tmp_path, like):
    import shapely

    square = shapely.box(LEFT, TOP - 60, LEFT + 60, TOP)
    path = write_features(tmp_path / "p.gpkg", [square], ["a"], layer="fields")
    write_features(path, [square, square], ["a", "b"], layer="lakes", append=True)
    command = ["burn", str(path), "--like", str(like), "-o", str(tmp_path / "l.tif")]
    command += ["--name-column", "what"]
    refused = commands.run(*command)
    assert refused.exit_code == 2
    assert "One layer must be chosen, got fields, lakes" in refused.stderr
    done = commands.run(*command, "--layer", "fields")
    assert done.exit_code == 0, done.output
    assert read(tmp_path / "l.tif").sum() == 4
