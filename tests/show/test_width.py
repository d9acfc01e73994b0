"""Tables on narrow terminals and in pipes: no name and no number is cut or broken."""

import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from landshift.classes import ClassScheme
from landshift.files.rows import block
from landshift.scores import confusion
from landshift.show import tables

LONG = "Seasonally flooded evergreen broadleaved woodland on peat soils"  # 63 characters
NAMES = [LONG, "森林與農地交錯的丘陵地帶", *(f"to class {k}" for k in range(1, 12))]
HUGE = 12_345_678.9
SCHEME = ClassScheme.from_mapping(dict(enumerate(NAMES, start=1)))


def interval(value):
    return SimpleNamespace(
        value=value, is_exact=False, margin=value / 7, lower=value / 2, upper=2 * value,
        method="Clopper-Pearson",
    )  # fmt: skip


def assessment():
    classes = [
        SimpleNamespace(
            name=n, map_hectares=HUGE, hectares=interval(HUGE), users=interval(0.7),
            producers=interval(0.6), map_units=12_000, reference_units=13_000,
        )
        for n in NAMES
    ]  # fmt: skip
    count = len(NAMES)
    return SimpleNamespace(
        classes=classes, confusion=np.full((count, count), 1 / count**2), units=25_000,
        overall=interval(0.9),
        domains=[
            SimpleNamespace(name="north", units=1234, classes=dict.fromkeys(NAMES, interval(HUGE))),
            SimpleNamespace(name="south", units=1, classes={}),
        ],
    )  # fmt: skip


def change(name):
    return SimpleNamespace(
        name=name, before=HUGE, after=HUGE, persistence=HUGE / 2, gain=HUGE / 3, loss=HUGE / 4,
        net=-HUGE / 5, swap=HUGE / 6,
    )  # fmt: skip


def transitions():
    rows = [
        {"from": a, "to": b, "pixels": 123_456_789, "hectares": HUGE, "percent": 12.5}
        for a, b in zip(NAMES, NAMES[1:] + NAMES[:1], strict=True)
    ]
    return SimpleNamespace(
        rows=lambda: rows, per_class=lambda: list(map(change, NAMES)), hectares=np.ones(1)
    )


def scores():
    counts = np.full((len(NAMES), len(NAMES) + 1), 1_234_567, np.int64)
    return confusion.score(counts, SCHEME)


def of_class(**figures):
    return [SimpleNamespace(name=n, **figures) for n in NAMES]


PAIR = SimpleNamespace(
    first="anna", second="bert", names=NAMES, counts=np.full((13, 13), 1234), units=13 * 13 * 1234,
    on="map", share=0.5, kappa=0.4,
)  # fmt: skip
TABLES = {
    "per_class": lambda: tables.per_class(scores()),
    "compare": lambda: tables.compare({n: scores() for n in NAMES}),
    "calibration": lambda: tables.calibration(
        SimpleNamespace(
            temperature=1.5, raw=SimpleNamespace(ece=0.1, nll=0.2),
            scaled=SimpleNamespace(ece=0.1, nll=None),
        )
    ),
    "transitions": lambda: tables.transitions(transitions()),
    "class_changes": lambda: tables.class_changes(transitions()),
    "difference": lambda: tables.difference(
        SimpleNamespace(classes=of_class(pixels=123_456_789, hectares=HUGE))
    ),
    "statistics": lambda: tables.difference(
        SimpleNamespace(
            classes=(), statistics=of_class(minimum=-1e-7, mean=1.25, maximum=1e9, std=3e3)
        )
    ),
    "normalisation": lambda: tables.normalisation(
        SimpleNamespace(lines=of_class(gain=1.25, offset=-1234.5))
    ),
    "polygon_labels": lambda: tables.polygon_labels(
        SimpleNamespace(scheme=SCHEME, polygons=[12_345] * 13, pixels=[123_456_789] * 13)
    ),
    "strata": lambda: tables.strata(
        SimpleNamespace(strata=of_class(units=123_456_789, hectares=HUGE, sampled=1234))
    ),
    "areas": lambda: tables.areas(assessment()),
    "accuracies": lambda: tables.accuracies(assessment()),
    "area_confusion": lambda: tables.area_confusion(assessment()),
    "domains": lambda: tables.domains(assessment()),
    "agreements": lambda: tables.agreements([PAIR]),
    "agreement": lambda: tables.agreement(PAIR),
    "patches": lambda: tables.patches(
        SimpleNamespace(hectares=dict.fromkeys(NAMES, HUGE), polygons=dict.fromkeys(NAMES, 12_345))
    ),
    "fragmentation": lambda: tables.fragmentation(
        SimpleNamespace(
            classes=of_class(
                patches=12_345, hectares=HUGE, mean=123.4, largest_percent=99.9, edge_density=12.3
            )
        )
    ),
    "zones": lambda: tables.zones(
        SimpleNamespace(
            classes=dict(enumerate(NAMES)), names=["north", "south"],
            hectares=np.full((2, 13), HUGE), outside=[0.25, 0.5],
        )
    ),
}  # fmt: skip


def printed(table, width):
    """The text of a table where it is printed as `cli.show.table` does."""
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(table, crop=False)
    return file.getvalue()


def cells_of(table):
    texts = [tables._plain(cell) for column in table.columns for cell in column.cells]
    return {text for text in texts if text}


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("name", TABLES)
def test_every_name_and_number_is_whole(name, width):
    table = TABLES[name]()
    text = printed(table, width)
    words = text.split()
    for cell in cells_of(table):
        assert set(cell.split()) <= {word.removesuffix(":") for word in words}, cell
    for header in (tables._plain(column.header) for column in table.columns[1:]):
        assert set(header.split()) <= {word.removesuffix(":") for word in words}
    assert "…" not in text
    assert "..." not in text


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("name", TABLES)
def test_no_line_is_wider_than_the_terminal_unless_a_single_cell_is(name, width):
    table = TABLES[name]()
    widest = max(map(cell_len, cells_of(table)))
    header = max(cell_len(tables._plain(column.header)) for column in table.columns)
    for line in printed(table, width).splitlines():
        assert cell_len(line.rstrip()) <= max(width, widest + header + 12), line


def test_a_table_that_fits_has_columns_and_one_that_does_not_has_blocks():
    table = tables._table("class", "F1", "support")
    table.add_row("forest", "0.912", "1,234")
    table.add_row("crop", "-", "5")
    assert printed(table, 40).splitlines() == [
        "class      F1  support", "forest  0.912    1,234", "crop        -        5"
    ]  # fmt: skip
    assert printed(table, 16).splitlines() == [
        "class: forest", "  F1: 0.912", "  support: 1,234",
        "class: crop", "  F1: -", "  support: 5",
    ]  # fmt: skip


def test_names_are_wrapped_between_words_before_that():
    table = tables._table("class", "support")
    table.add_row("Seasonally flooded grassland", "1,234")
    assert [line.rstrip() for line in printed(table, 32).splitlines()] == [
        "class                  support", "Seasonally flooded       1,234", "grassland"
    ]  # fmt: skip


def test_zeros_of_a_matrix_are_left_out_of_blocks_but_totals_stay():
    table = tables._table("map:", "a", "b", "total", row="reference", column="map ", sparse=True)
    table.add_row("forest", "0.00", "1.20", "1.20")
    table.add_row("crop", "0", "0.0", "0.00")
    assert printed(table, 20).splitlines() == [
        "reference: forest", "  map b: 1.20", "  total: 1.20", "reference: crop", "  total: 0.00",
    ]  # fmt: skip


def test_classes_that_occur_nowhere_are_counted():
    counts = np.zeros((13, 14), np.int64)
    counts[0, 0] = counts[1, 2] = 5
    text = printed(tables.per_class(confusion.score(counts, SCHEME)), 80)
    assert text.splitlines()[-1] == "and 10 more that occur in neither the reference nor the map"
    assert len(text.splitlines()) < 10


@given(
    st.lists(
        st.tuples(
            st.text("abc ,.12森", max_size=30).map(str.strip), st.integers().map("{:,}".format)
        ),
        min_size=1, max_size=20,
    ),
    st.integers(10, 100),
)  # fmt: skip
@example([("a", "")], 10)
def test_blocks_hold_each_cell_whole_and_in_order(pairs, width):
    names, cells = zip(*pairs, strict=True)
    lines = block(names, cells, width)
    items = [f"{n}: {c}" for n, c in pairs if c]
    rest = " ".join(lines)
    for item in items:
        assert item in rest
        rest = rest[rest.index(item) + len(item) :]
    for line in lines:
        assert cell_len(line) <= width or any(line.strip() == item.strip() for item in items)
        assert re.sub(r"^  ", "", line) or not items
