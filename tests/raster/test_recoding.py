"""Legends that disagree, values that an output can't hold."""

import json
import logging

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

import commands
from landshift.classes import MapScheme, check_names, legend_writers, same_name
from landshift.classes.legend import Legend
from landshift.errors import ClassError
from landshift.evaluation.maps import evaluate_class_maps, evaluate_map
from landshift.maps import patches, polygons
from landshift.prepare import label
from landshift.raster import recoding
from landshift.raster.recoding import MapLegend, coded, united
from scenes import write


def mapped(path, values, names):
    """A class map with a legend beside it."""
    write(path, np.array(values, np.int16), nodata=-9)
    legend_writers.write_category_names(path, MapScheme.from_mapping(names))
    return path


def told(names, values=None):
    return MapLegend("m.tif", Legend(names), frozenset(names if values is None else values))


# ---- One legend for several maps


def test_names_decide_by_hand():
    one = united([told({1: "forest", 2: "water"}), told({1: "Water", 2: " FOREST"})], "choose")
    assert one.legend.names == {1: "forest", 2: "water"}
    assert one.recodings == ({}, {1: 2, 2: 1})
    one = united([told({1: "forest"}), told({1: "Forest", 5: "maize"})], "choose")
    assert (one.legend.names, one.recodings) == ({1: "forest", 5: "maize"}, ({}, {}))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (told({1: "forest", 2: "maize"}), told({1: "cotton", 2: "forest"})),
        (told({1: "forest"}), told({1: "wood"})),
        # 'water' becomes 1, where this map has pixels without a name
        (told({1: "water"}), told({3: "water"}, {1, 3})),
    ],
)
def test_a_value_with_two_meanings_is_refused_with_both_tables(first, second):
    with pytest.raises(
        ClassError, match=r"got .* for value 1 \(m\.tif: 1 .*; m\.tif: .*\); choose"
    ):
        united([first, second], "choose")


def test_names_of_values_without_pixels_do_not_matter():
    first = told({1: "forest", 2: "reserved", 3: "reserved", 9: "sea"}, {1})
    one = united([first, told({1: "forest", 2: "maize"}, {1, 2})], "choose")
    assert one.legend.names == {1: "forest", 2: "maize", 3: "reserved", 9: "sea"}
    assert one.recodings == ({}, {})
    assert one.values == {1, 2}


def test_two_classes_of_one_name_in_a_map_are_refused():
    with pytest.raises(ClassError, match=r"names must differ, got 'Other' for 1, 3 in m\.tif"):
        united([told({1: "Other", 2: "x", 3: "other "})], "choose")
    check_names({1: "a", 2: "b"}, "x")


@given(st.permutations(range(6)), st.permutations(range(-3, 3)))
def test_a_legend_in_any_order_is_brought_back(first, second):
    names = "abcdef"
    a, b = dict(zip(first, names, strict=True)), dict(zip(second, names, strict=True))
    one = united([told(a), told(b)], "choose")
    assert one.legend.names == a
    for value, name in b.items():
        assert a[one.recodings[1].get(value, value)] == name


def test_spellings():
    assert same_name(" Mixed  Forest") == same_name("mixed forest")
    assert same_name("No change") == same_name("NO_CHANGE") == same_name("unchanged")
    assert same_name("mixed forest") != same_name("mixed-forest 2")


# ---- Values that an output can't hold


@settings(max_examples=50)
@given(st.sets(st.integers(-(1 << 31), (1 << 32) - 1), min_size=1, max_size=20))
def test_moved_values_stay_apart_and_named(values):
    scheme = MapScheme.from_mapping({v: f"n{v}" for v in values})
    coded_classes = coded(scheme)
    assert len(coded_classes.scheme) == len(values)
    assert all(1 <= v <= 253 for v in coded_classes.scheme.values)
    assert {coded_classes.values[v]: f"n{v}" for v in values} == coded_classes.scheme.mapping
    assert {v for v in values if 1 <= v <= 253} == values - coded_classes.moved.keys()
    for k, value in enumerate(coded_classes.sources):
        assert coded_classes.scheme.names[k] == f"n{value}"
        assert coded_classes.find(value) == coded_classes.find(f"N{value}") == [k]


def test_an_output_of_one_byte_is_filled_to_the_last_value():
    full = coded(MapScheme.from_mapping({1000 + k: f"n{k}" for k in range(253)}))
    assert full.scheme.values == tuple(range(1, 254))
    assert full.sources == tuple(range(1000, 1253))
    assert full.line().startswith("1000 -> 1 'n0', 1001 -> 2 'n1', ")
    assert full.line().endswith(", 1011 -> 12 'n11' and 241 more")
    kept = coded(MapScheme.from_mapping({k: f"n{k}" for k in range(1, 254)}))
    assert (kept.moved, kept.scheme.values, kept.line()) == ({}, tuple(range(1, 254)), "")
    twelve = coded(MapScheme.from_mapping({1000 + k: f"n{k}" for k in range(12)})).line()
    assert twelve.endswith("1011 -> 12 'n11'")
    few = coded(MapScheme.from_mapping({2: "a", 0: "b", -1: "c"}))
    assert few.line() == "-1 -> 1 'c', 0 -> 3 'b'"
    with pytest.raises(ClassError, match="at most 253 classes, got 254"):
        coded(MapScheme.from_mapping({1000 + k: f"n{k}" for k in range(254)}))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_a_table_holds_every_value_of_its_pixel_type(dtype):
    limits = np.iinfo(dtype)
    every = np.arange(limits.min, limits.max + 1)
    numbers = {int(limits.min): 1, int(limits.max): 2, 5: 3, 1 << 20: 4}
    result = recoding.Table(numbers, np.dtype(dtype))(every.astype(dtype))
    assert result.tolist() == [numbers.get(int(v), recoding.UNKNOWN) for v in every]


@given(
    st.dictionaries(st.integers(-40, 40), st.integers(0, 254), min_size=1),
    st.sampled_from([np.int8, np.int16, np.int32, np.int64, np.float32]),
)
def test_a_table_is_a_dictionary(numbers, dtype):
    values = np.arange(-50, 50).astype(dtype)
    result = recoding.Table(numbers, np.dtype(dtype))(values)
    assert result.tolist() == [numbers.get(int(v), recoding.UNKNOWN) for v in values]


@pytest.mark.parametrize(
    ("nodata", "told"),
    [(255, True), (255.0, True), (None, False), (1, False), (2, False), (3, False),
     (254.5, False), (float("nan"), False), (float("inf"), False)],
)  # fmt: skip
def test_a_recoding_of_the_nodata_value_is_warned_of_unless_it_stays_none(caplog, nodata, told):
    recoding.warn_of_nodata({254: "x", 255: "forest", 1: None, 2: 0}, nodata, "m.tif")
    assert ("the recoding makes 255 'forest', but the file declares 255" in caplog.text) == told
    assert bool(caplog.records) == told


def test_what_a_recoding_makes_of_values():
    coded_classes = coded(MapScheme.from_mapping({1: "forest", 300: "lake"}))
    wanted = {7: "Lake", 8: 300, 9: 1, 10: None, 11: 0}
    assert coded_classes.targets(wanted) == {7: 1, 8: 1, 9: 0, 10: None, 11: None}
    assert coded_classes.targets(None) == {1: 0, 300: 1}
    assert coded_classes.targets(None, {5: 300}) == {1: 0, 300: 1, 5: 1}
    with pytest.raises(ClassError, match="one of 1 'forest', 300 'lake', got 'sea'"):
        coded_classes.targets({7: "sea"})


# ---- label


def test_label_compares_classes_of_one_name(tmp_path, caplog):
    before = mapped(tmp_path / "b.tif", [[1, 1, 2, 2]], {1: "forest", 2: "water"})
    after = mapped(tmp_path / "a.tif", [[2, 1, 1, 2]], {1: "Water", 2: "Forest"})
    with caplog.at_level(logging.WARNING):
        table = label.label(before, after, tmp_path / "c.tif")
    assert "a.tif: recoded by name: 1 -> 2 'water', 2 -> 1 'forest'." in caplog.text
    assert table.scheme.mapping == {1: "forest", 2: "water"}
    assert table.pixels.tolist() == [[1, 1], [1, 1]]
    with rasterio.open(tmp_path / "c.tif") as source:
        assert source.read(1).tolist() == [[3, 2, 3, 1]]


def test_label_refuses_two_names_and_names_the_options(tmp_path):
    before = mapped(tmp_path / "b.tif", [[1, 2]], {1: "forest", 2: "maize"})
    after = mapped(tmp_path / "a.tif", [[1, 2]], {1: "cotton", 2: "forest"})
    out = tmp_path / "c.tif"
    with pytest.raises(
        ClassError,
        match=r"got 'forest' and 'cotton' for value 1 \(.*b\.tif: 1 'forest', 2 'maize'; .*a\.tif: "
        r"1 'cotton', 2 'forest'\); .*`classes`, .*`recode_before` or `recode_after`",
    ):
        label.label(before, after, out)
    assert not out.exists()
    table = label.label(
        before, after, out, reading=label.MapReading(recode_after={1: "cotton", 2: "forest"})
    )
    assert {(r["from"], r["to"]) for r in table.rows()} == {
        ("forest", "cotton"), ("maize", "forest")
    }  # fmt: skip
    scheme = MapScheme.from_mapping({1: "crop 1", 2: "crop 2"})
    assert label.label(before, after, tmp_path / "d.tif", classes=scheme).changed == 0


def test_a_recoding_of_the_declared_nodata_value_is_warned_of(tmp_path, caplog):
    path = write(tmp_path / "a.tif", np.array([[0, 1, 9]], np.uint8), nodata=9)
    with caplog.at_level(logging.WARNING):
        label.label(
            path,
            path,
            tmp_path / "b.tif",
            reading=label.MapReading(recode_before={0: "a", 1: "b", 9: None}),
        )
    assert "recoding makes" not in caplog.text
    with caplog.at_level(logging.WARNING):
        table = label.label(
            path,
            path,
            tmp_path / "c.tif",
            reading=label.MapReading(recode_after={0: "a", 1: "b", 9: "c"}),
        )
    assert "a.tif: the recoding makes 9 'c', but the file declares 9 as nodata" in caplog.text
    assert table.nodata == 1
    with caplog.at_level(logging.WARNING):
        caplog.clear()
        scheme = MapScheme.from_mapping({1: "a", 2: "b"})
        evaluate_map(path, path, scheme=scheme, nodata=0, recode={0: 1, 1: 1, 9: 2})
    assert "the recoding makes 9 2, but" in caplog.text


def test_a_recoding_to_0_is_the_class_0_that_other_maps_or_the_classes_have(tmp_path, caplog):
    before = write(tmp_path / "b.tif", np.array([[10, 10, 20, 20]], np.uint8), nodata=255)
    after = write(tmp_path / "a.tif", np.array([[0, 1, 0, 1]], np.uint8), nodata=255)
    recode = {10: 0, 20: 1}
    table = label.label(
        before, after, tmp_path / "1.tif", reading=label.MapReading(recode_before=recode)
    )
    assert (table.nodata, table.pixels.tolist()) == (0, [[1, 1], [1, 1]])
    scheme = MapScheme.from_mapping({0: "water", 1: "land"})
    table = label.label(
        before,
        after,
        tmp_path / "2.tif",
        classes=scheme,
        reading=label.MapReading(recode_before=recode),
    )
    assert (table.nodata, table.pixels.sum()) == (0, 4)
    matrix = evaluate_map(before, after, scheme=scheme, recode=recode).matrix
    assert matrix.tolist() == [[1, 1, 0], [1, 1, 0]]
    assert "which is no class here" not in caplog.text
    with caplog.at_level(logging.WARNING):
        table = label.label(
            before,
            before,
            tmp_path / "3.tif",
            reading=label.MapReading(recode_before=recode, recode_after=recode),
        )
    assert "b.tif: the recoding makes 10 0, which is no class here" in caplog.text
    assert table.nodata == 2


def test_names_that_say_no_data_are_no_class_wherever_they_stand(tmp_path):
    before = write(tmp_path / "b.tif", np.array([[7, 8, 255, 7]], np.uint8))
    after = write(tmp_path / "a.tif", np.array([[1, 2, 1, 255]], np.uint8))
    scheme = MapScheme.from_mapping({1: "water", 2: "land", 255: "Fill"})
    recode = {7: "water", 8: "land", 255: "No data"}
    table = label.label(
        before,
        after,
        tmp_path / "c.tif",
        reading=label.MapReading(
            recode_before=recode, recode_after={1: "water", 2: "land", 255: "no_data"}
        ),
    )
    assert (table.nodata, table.changed) == (2, 0)
    table = evaluate_map(before, after, scheme=scheme, recode=recode)
    assert table.scheme.names == ("water", "land")
    assert table.matrix.tolist() == [[1, 0, 1], [0, 1, 0]]
    # the file decides on values that the given list omits
    legend_writers.write_category_names(after, scheme)
    two = MapScheme.from_mapping({1: "water", 2: "land"})
    table = evaluate_map(before, after, scheme=two, recode=recode)
    assert table.matrix.tolist() == [[1, 0, 1], [0, 1, 0]]


def test_names_decide_among_values_that_a_change_map_cannot_hold(tmp_path):
    before = mapped(tmp_path / "b.tif", [[0, 1, 300, 300]], {0: "other", 1: "forest", 300: "sea"})
    after = mapped(tmp_path / "a.tif", [[300, 0, 1, 1]], {0: "forest", 1: "sea", 300: "other"})
    assert label.label(before, after, tmp_path / "c.tif").changed == 0


# ---- evaluate


def test_a_map_is_scored_by_the_names_of_its_reference(tmp_path, caplog):
    reference = mapped(tmp_path / "r.tif", [[1, 1, 2, 2]], {1: "forest", 2: "water"})
    judged = mapped(tmp_path / "m.tif", [[2, 2, 1, 7]], {1: "WATER", 2: "forest", 7: "ice"})
    with caplog.at_level(logging.WARNING):
        evaluation = evaluate_map(judged, reference)
    assert "m.tif: recoded by name: 1 -> 2 'water', 2 -> 1 'forest'." in caplog.text
    assert evaluation.scheme.mapping == {1: "forest", 2: "water", 7: "ice"}
    assert evaluation.matrix.tolist() == [[2, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


def test_a_map_with_another_meaning_of_a_value_is_refused(tmp_path):
    reference = mapped(tmp_path / "r.tif", [[1, 1, 2, 2]], {1: "forest", 2: "maize"})
    judged = mapped(tmp_path / "m.tif", [[1, 2, 2, 1]], {1: "cotton", 2: "forest"})
    with pytest.raises(
        ClassError, match=r"'forest' and 'cotton' for value 1 \(.*\); .*`classes`.*`recode`"
    ):
        evaluate_map(judged, reference)
    evaluation = evaluate_map(judged, reference, recode={1: "maize", 2: "forest"})
    assert evaluation.matrix.tolist() == [[1, 1, 0], [1, 1, 0]]
    evaluation = evaluate_map(judged, reference, recode={1: None, 2: 1})
    assert evaluation.matrix.tolist() == [[1, 0, 1], [1, 0, 1]]
    scheme = MapScheme.from_mapping({1: "a", 2: "b"})
    assert evaluate_map(judged, reference, scheme=scheme).matrix.tolist() == [[1, 1, 0], [1, 1, 0]]
    (tmp_path / "r.csv").write_text("value,class\n1,maize\n2,forest\n")
    run = commands.run(
        "evaluate", judged, reference, "--recode", tmp_path / "r.csv", "-o", tmp_path / "s.json"
    )
    assert run.exit_code == 0, run.output
    scores = json.loads((tmp_path / "s.json").read_text())
    assert scores["confusion"]["counts"] == [[1, 1, 0], [1, 1, 0]]


def test_class_maps_are_compared_by_their_names(tmp_path):
    names = {1: "forest", 2: "water"}
    before = mapped(tmp_path / "b.tif", [[1, 1, 2, 2]], names)
    plain = mapped(tmp_path / "p.tif", [[1, 2, 2, 1]], names)
    swapped = mapped(tmp_path / "a.tif", [[2, 1, 1, 2]], {1: "water", 2: "forest"})
    reference = tmp_path / "c.tif"
    label.label(before, plain, reference)
    result = evaluate_class_maps(before, swapped, reference)
    assert result.scores.accuracy == 1
    assert result.matrix.tolist() == evaluate_class_maps(before, plain, reference).matrix.tolist()


# ---- Two classes of one name


def test_two_classes_of_one_name_are_refused_in_every_table(tmp_path):
    names = {1: "Other", 2: "Forest", 3: "other"}
    path = mapped(tmp_path / "m.tif", [[1, 2, 3, 3], [1, 1, 2, 3]], names)
    match = r"names must differ, got 'Other' for 1, 3 in .*m\.tif; .*`classes`"
    with pytest.raises(ClassError, match=match):
        patches.patches(path)
    out = tmp_path / "m.gpkg"
    with pytest.raises(ClassError, match=match):
        polygons.polygons(path, out)
    assert not out.exists()
    with pytest.raises(ClassError, match=match):
        label.label(path, path, tmp_path / "c.tif")
    with pytest.raises(ClassError, match="names must differ"):
        label.label(path, path, tmp_path / "c.tif", classes=MapScheme.from_mapping(names))
    # a name of a value that no pixel has is no harm
    one = mapped(tmp_path / "n.tif", [[1, 2]], names)
    assert [c.name for c in patches.patches(one).classes] == ["Other", "Forest"]
