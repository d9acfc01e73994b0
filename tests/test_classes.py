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
    is_no_change,
    says_none,
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


def test_from_to_grows_to_two_bytes_and_says_that_a_network_cannot_learn_it():
    fifteen = ClassScheme.from_mapping({v: f"c{v}" for v in range(1, 16)})
    assert FromToScheme(fifteen).dtype == "uint8"
    classes = ClassScheme.from_mapping({v: f"c{v}" for v in range(10, 27)})
    change = FromToScheme(classes)
    code = change.code(np.array([26]), np.array([26]))
    assert code.dtype == np.uint16
    assert code.tolist() == [17 * 17]
    with pytest.raises(ClassError, match="at most 255 classes apart, got 289"):
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
def test_each_coding_says_what_is_unchanged(names):
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
    assert says_none(name)


@pytest.mark.parametrize("name", ["Background", "Unknown", "Landfill", "Datacentre", "No change"])
def test_names_that_are_classes(name):
    assert not says_none(name)


@pytest.mark.parametrize("bad", ["\0", "\x1b", "\ud800", "\uffff"])
def test_a_name_that_no_file_could_hold_is_refused(bad):
    with pytest.raises(ClassError, match="text that XML can hold, got a control character in 'a"):
        ClassScheme.from_mapping({1: f"a{bad}b"})
