import colorsys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landshift.classes import (
    CODINGS,
    IGNORE_INDEX,
    BinaryScheme,
    ChangeScheme,
    ClassScheme,
    FromToScheme,
    LandClass,
    colour_of,
    ends_of,
    is_no_change,
    means_none,
    pairs_of,
    reversed_codes,
    stays,
)
from landshift.errors import ClassError

MAPPING = {1: "forest", 3: "water", 7: "urban"}


def test_classes_come_in_the_order_of_their_values():
    scheme = ClassScheme.from_mapping({7: "urban", 1: "forest", 3: "water"})
    assert scheme.values == (1, 3, 7)
    assert scheme.names == ("forest", "water", "urban")


def test_zero_is_unlabelled_unless_the_mapping_names_it():
    labels = np.array([0, 1, 3], np.uint8)
    plain = ClassScheme.from_mapping(MAPPING)
    named = ClassScheme.from_mapping({0: "background", **MAPPING})
    assert plain.to_indices(labels).tolist() == [IGNORE_INDEX, 0, 1]
    assert named.to_indices(labels).tolist() == [0, 1, 2]
    assert plain.background is None
    assert named.background == 0


@given(st.lists(st.sampled_from([0, *MAPPING]), min_size=1, max_size=50))
def test_values_survive_the_way_to_indices_and_back(values):
    scheme = ClassScheme.from_mapping(MAPPING)
    assert scheme.to_values(scheme.to_indices(np.array(values))).tolist() == values


def test_a_value_outside_the_mapping_is_named():
    with pytest.raises(ClassError, match=r"got \[9\] in tile 4"):
        ClassScheme.from_mapping(MAPPING).to_indices(np.array([1, 9]), where="tile 4")


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "at least one"),
        ({300: "a"}, "0 to 254"),
        ({1: " "}, "needs a name"),
        ({"x": "a"}, "integers"),
    ],
)
def test_a_bad_mapping_is_refused(mapping, message):
    with pytest.raises(ClassError, match=message):
        ClassScheme.from_mapping(mapping)


def test_a_value_twice_is_refused():
    with pytest.raises(ClassError, match="differ"):
        ClassScheme([LandClass(1, "a", (0, 0, 0)), LandClass(1, "b", (0, 0, 0))])


def test_missing_colours_become_distinct_ones():
    scheme = ClassScheme.from_mapping({v: f"class {v}" for v in range(1, 31)}, {1: (1, 2, 3)})
    assert scheme.colours[1] == (1, 2, 3)
    assert len(set(scheme.colours.values())) == 30


def test_the_list_form_round_trips_and_reads_esris_missing_colour():
    scheme = ClassScheme.from_mapping(MAPPING)
    assert ClassScheme.from_list(scheme.as_list()) == scheme
    esri = [{"ClassValue": 1, "ClassName": "forest", "Color": [-1, -1, -1]}]
    assert ClassScheme.from_list(esri).names == ("forest",)


def test_change_codes_by_hand():
    change = ChangeScheme(ClassScheme.from_mapping(MAPPING))
    before = np.array([1, 1, 3, 0, 7])
    after = np.array([1, 3, 7, 1, 0])
    assert change.code(before, after).tolist() == [8, 3, 7, 0, 0]
    assert change.mapping == {1: "to forest", 3: "to water", 7: "to urban", 8: "No change"}
    assert change.unchanged == (3,)


def test_a_change_scheme_needs_a_free_value_and_no_class_zero():
    with pytest.raises(ClassError, match="free value"):
        ChangeScheme(ClassScheme.from_mapping({254: "a"}))
    with pytest.raises(ClassError, match="value 0 must mean"):
        ChangeScheme(ClassScheme.from_mapping({0: "a", 1: "b"}))


@pytest.mark.parametrize("name", ["No change", "no_change", "NO-CHANGE", "NoChange", "unchanged"])
def test_no_change_is_found_in_any_spelling(name):
    assert is_no_change(name)
    assert not is_no_change("to " + name)


def test_from_to_codes_by_hand():
    classes = ClassScheme.from_mapping({2: "forest", 7: "urban", 9: "water"})
    change = FromToScheme(classes)
    before, after = np.array([2, 2, 9, 0, 7]), np.array([2, 9, 2, 7, 0])
    assert change.code(before, after).tolist() == [1, 3, 7, 0, 0]
    assert change.mapping[3] == "forest->water"
    assert change.ends[7] == ("water", "forest")
    assert change.dtype == "uint8"
    assert change.colours[3] != change.colours[7]


def test_from_to_grows_to_two_bytes_which_a_network_cannot_learn():
    fifteen = ClassScheme.from_mapping({v: f"c{v}" for v in range(1, 16)})
    assert FromToScheme(fifteen).dtype == "uint8"
    classes = ClassScheme.from_mapping({v: f"c{v}" for v in range(10, 27)})
    change = FromToScheme(classes)
    code = change.code(np.array([26]), np.array([26]))
    assert code.dtype == np.uint16
    assert code.tolist() == [17 * 17]
    with pytest.raises(ClassError, match="at most 255 classes, got 289"):
        change.to_indices(code)


def test_binary_codes_by_hand():
    change = BinaryScheme(ClassScheme.from_mapping(MAPPING))
    assert change.code(np.array([1, 1, 0]), np.array([1, 2, 1])).tolist() == [2, 1, 0]
    assert change.unchanged == (1,)


@pytest.mark.parametrize("coding", CODINGS.values())
def test_no_coding_takes_a_class_of_value_0(coding):
    with pytest.raises(ClassError, match="must mean 'no data'"):
        coding(ClassScheme.from_mapping({0: "a", 1: "b"}))


def test_unchanged_classes_and_transitions_are_read_from_the_names():
    names = ["forest->forest", "forest->urban", "urban -> urban", "No change", "a->b->a->b", "x"]
    scheme = ClassScheme.from_mapping(dict(enumerate(names, start=1)))
    assert scheme.unchanged == (0, 2, 3, 4)
    assert scheme.transitions == (
        ("forest", "forest"), ("forest", "urban"), ("urban", "urban"), None, None, None,
    )  # fmt: skip


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6, unique=True))
def test_each_coding_marks_unchanged_classes(names):
    classes = ClassScheme.from_mapping(dict(enumerate(names, start=1)))
    values = np.array(classes.values)
    before, after = (a.ravel() for a in np.meshgrid(values, values))
    for make in CODINGS.values():
        change = make(classes)
        indices = change.to_indices(change.code(before, after))
        assert (np.isin(indices, change.unchanged) == (before == after)).all()


@pytest.mark.parametrize(
    "name", ["No Data", "NODATA", "no-data", "Background/no data", "Fill", "Fill Value",
             "Unclassified", "Not labelled", "unlabeled", "Missing data"],
)  # fmt: skip
def test_names_that_say_that_there_is_no_class(name):
    assert means_none(name)


@pytest.mark.parametrize("name", ["Background", "Unknown", "Landfill", "Datacentre", "No change"])
def test_names_that_are_classes(name):
    assert not means_none(name)


@pytest.mark.parametrize("bad", ["\0", "\x1b", "\ud800", "\uffff"])
def test_a_name_that_no_file_could_hold_is_refused(bad):
    with pytest.raises(ClassError, match="text that XML can hold, got a control character in 'a"):
        ClassScheme.from_mapping({1: f"a{bad}b"})


def test_values_up_to_254_may_be_classes():
    assert ClassScheme.from_mapping({0: "a", 254: "b"}).values == (0, 254)
    for value in (-1, 255):
        with pytest.raises(ClassError, match=f"lie in 0 to 254, got {min(value, 5)} to "):
            ClassScheme([LandClass(v, "a", (0, 0, 0)) for v in (value, 5)])
    assert ChangeScheme(ClassScheme.from_mapping({253: "a"})).no_change_value == 254


def test_colours_come_in_the_order_of_the_palette_and_spare_those_given():
    names = {1: "a", 2: "no change", 3: "b", 4: "c"}
    given = {4: (0, 158, 115), 9: (230, 159, 0)}  # the palette's first; 9 is no class
    scheme = ClassScheme.from_mapping(names, given)
    assert scheme.colours == {
        1: (230, 159, 0), 2: (221, 221, 221), 3: (86, 180, 233), 4: (0, 158, 115),
    }  # fmt: skip


def test_colours_beyond_the_palette_turn_by_the_golden_angle():
    scheme = ClassScheme.from_mapping({v: f"class {v}" for v in range(1, 20)})
    for k, value in enumerate(range(16, 20)):
        hue, light, saturation = colorsys.rgb_to_hls(*(c / 255 for c in scheme.colours[value]))
        assert hue == pytest.approx((k * 0.381966) % 1, abs=0.01)
        assert light == pytest.approx((0.35, 0.55, 0.75)[k % 3], abs=0.01)
        assert saturation == pytest.approx(0.65, abs=0.02)


@pytest.mark.parametrize(
    ("colour", "read"),
    [
        ([1, 2, 3], (1, 2, 3)),
        ([0, 255, 254.7, 128], (0, 255, 254)),
        ([-1, -1, -1], None),
        ([1, 2, 256], None),
        ([1, 2], None),
        (["1", 2, 3], None),
        ("123", None),
        (None, None),
    ],
)
def test_a_colour_is_three_numbers_of_a_byte(colour, read):
    assert colour_of({"Color": colour}) == read


def test_an_entry_needs_an_integer_value_and_a_name():
    for entry in ({"Value": 1}, {"Value": True, "Name": "a"}, {"Value": "1", "Name": "a"}, {}):
        with pytest.raises(ClassError, match="needs an integer Value and a Name"):
            ClassScheme.from_list([entry])
    entries = [{"Value": 3, "Name": "a", "Color": [9, 8, 7]}, {"ClassValue": 5, "ClassName": "b"}]
    scheme = ClassScheme.from_list(entries)
    assert scheme.mapping == {3: "a", 5: "b"}
    assert scheme.colours[3] == (9, 8, 7)
    assert scheme.as_list()[0] == {"Value": 3, "Name": "a", "Color": [9, 8, 7]}


def test_schemes_are_the_same_where_values_names_and_colours_are():
    first, second = (ClassScheme.from_mapping(MAPPING) for _ in range(2))
    other = ClassScheme.from_mapping(MAPPING, {1: (1, 2, 3)})
    assert first == second
    assert hash(first) == hash(second)
    assert first != other
    assert first != MAPPING


def test_from_to_colours_lean_to_the_later_class_and_are_pale_where_nothing_changed():
    colours = {1: (0, 30, 90), 2: (255, 60, 3)}
    change = FromToScheme(ClassScheme.from_mapping({1: "a", 2: "b"}, colours))
    assert change.colours == {
        1: (147, 157, 177),  # (0 + 2 * 221) / 3, ...
        2: (170, 50, 32),
        3: (85, 40, 61),
        4: (232, 167, 148),
    }
    assert change.ends == {1: ("a", "a"), 2: ("a", "b"), 3: ("b", "a"), 4: ("b", "b")}


def test_pairs_of_each_coding_by_hand():
    classes = ClassScheme.from_mapping({2: "a", 5: "b"})
    assert pairs_of(ChangeScheme(classes), classes) == (((1, 0),), ((0, 1),), ((0, 0), (1, 1)))
    assert pairs_of(FromToScheme(classes), classes) == (
        ((0, 0),), ((0, 1),), ((1, 0),), ((1, 1),),
    )  # fmt: skip
    assert pairs_of(BinaryScheme(classes), classes) == (((0, 1), (1, 0)), ((0, 0), (1, 1)))
    with pytest.raises(ClassError, match="must be those of to, from-to, binary for the classes a"):
        pairs_of(ClassScheme.from_mapping({1: "a", 9: "b"}), classes)


def test_codes_with_the_dates_swapped_by_hand():
    classes = ClassScheme.from_mapping({2: "a", 5: "b"})
    assert reversed_codes(FromToScheme(classes)) == (0, 2, 1, 3)
    assert reversed_codes(BinaryScheme(classes)) == (0, 1)
    assert reversed_codes(ChangeScheme(classes)) is None
    some = ClassScheme.from_mapping({1: "a->b", 2: "No change"})  # nothing is b->a
    assert reversed_codes(some) is None


def test_ends_are_read_from_a_name():
    assert ends_of("a->b") == ("a", "b")
    assert ends_of(" a -> b ") == ("a", "b")
    assert ends_of("to forest") == (None, "forest")
    assert ends_of("forest") == ends_of("a->") == ends_of("->b") == (None, None)
    assert ends_of("a->b->c") == (None, None)


def test_nothing_changed_where_both_ends_are_one_name():
    assert stays("a->a")
    assert stays(" old forest -> old forest ")
    assert not stays("a->ab")
    assert not stays("aa->a")
    assert stays("unchanged")


def test_indices_beyond_the_classes_have_no_value():
    scheme = ClassScheme.from_mapping(MAPPING)
    indices = np.array([[2, 0], [IGNORE_INDEX, 1]])
    assert scheme.to_values(indices).tolist() == [[7, 1], [0, 3]]
    assert scheme.to_values(indices).dtype == np.uint8
    assert scheme.unknown(np.array([9, 1, 0, 8, 9])) == [8, 9]


def test_the_largest_number_of_classes_of_a_network():
    most = FromToScheme(ClassScheme.from_mapping({v: f"c{v}" for v in range(1, 16)}))
    assert most.to_indices(np.array([1, 225])).tolist() == [0, 224]
    wide = ClassScheme.from_mapping({v: f"c{v}" for v in range(255)})
    assert wide.to_indices(np.array([254])).tolist() == [254]


def test_the_palette_is_that_of_okabe_and_ito_and_of_tols_muted_scheme():
    published = (
        "009E73 E69F00 56B4E9 D55E00 F0E442 CC79A7 0072B2"  # Okabe & Ito 2008, but for black
        " 882255 999933 332288 117733 CC6677 88CCEE DDCC77 44AA99"  # Tol 2021, 'muted'
    )
    scheme = ClassScheme.from_mapping({v: f"class {v}" for v in range(1, 16)})
    written = ["".join(f"{c:02X}" for c in colour) for colour in scheme.colours.values()]
    assert " ".join(written) == published


@pytest.mark.parametrize("coding", [ChangeScheme, BinaryScheme])
def test_what_is_unchanged_has_the_value_that_the_scheme_names(coding):
    scheme = coding(ClassScheme.from_mapping(MAPPING))
    same = scheme.code(np.array([3]), np.array([3]))
    assert same.tolist() == [scheme.no_change_value]
    assert scheme.mapping[scheme.no_change_value] == "No change"
    assert scheme.colours[scheme.no_change_value] == (221, 221, 221)
