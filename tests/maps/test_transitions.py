import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landshift.classes import ClassScheme
from landshift.maps.transitions import TransitionTable

SCHEME = ClassScheme.from_mapping({1: "forest", 2: "built", 3: "other"})
PLUM_ISLAND = np.array([[44107, 4250, 656], [11, 36957, 154], [1259, 2248, 23921]])


def test_gain_loss_net_and_swap_by_hand():
    forest, built, other = TransitionTable(SCHEME, PLUM_ISLAND, None, 0).per_class()
    # forest: loss 4250 + 656, gain 11 + 1259
    assert (forest.before, forest.after, forest.persistence) == (49013, 45377, 44107)
    assert (forest.loss, forest.gain, forest.net, forest.swap) == (4906, 1270, -3636, 2540)
    assert (built.loss, built.gain, built.net, built.swap) == (165, 6498, 6333, 330)
    assert (other.loss, other.gain, other.net, other.swap) == (3507, 810, -2697, 1620)
    assert forest.total == 4906 + 1270 == forest.swap + abs(forest.net)


@given(st.lists(st.integers(0, 10**6), min_size=9, max_size=9))
def test_what_one_class_loses_another_gains(counts):
    pixels = np.array(counts).reshape(3, 3)
    result = TransitionTable(SCHEME, pixels, pixels * 0.09, 0).per_class()
    changed = (pixels.sum() - np.trace(pixels)) * 0.09
    assert sum(c.gain for c in result) == pytest.approx(changed)
    assert sum(c.loss for c in result) == pytest.approx(changed)
    assert sum(c.net for c in result) == pytest.approx(0, abs=1e-6)
    for c in result:
        assert c.total == pytest.approx(c.swap + abs(c.net))
        assert c.after - c.before == pytest.approx(c.net, abs=1e-6)


def test_both_tables_as_csv(tmp_path):
    table = TransitionTable(SCHEME, PLUM_ISLAND, PLUM_ISLAND * 0.5, 7)
    rows = list(csv.DictReader(table.write_csv(tmp_path / "t.csv").read_text().splitlines()))
    assert rows[1] == {
        "from": "forest", "to": "built", "pixels": "4250", "hectares": "2125.0",
        "percent": "3.7424",
    }  # fmt: skip
    rows = list(csv.DictReader(table.write_class_csv(tmp_path / "c.csv").read_text().splitlines()))
    assert rows[0]["class"] == "forest"
    assert rows[0]["unit"] == "hectares"
    assert float(rows[0]["swap"]) == 1270
    assert len(rows) == 3
    assert rows[1]["before"] == "18561.0"
    assert rows[1]["gain"] == "3249.0"


def test_without_a_crs_hectares_are_empty_and_classes_are_in_pixels(tmp_path):
    table = TransitionTable(SCHEME, PLUM_ISLAND, None, 7)
    lines = table.write_csv(tmp_path / "t.csv").read_text().splitlines()
    assert lines[:2] == ["from,to,pixels,hectares,percent", "forest,forest,44107,,38.8392"]
    assert len(lines) == 10
    rows = list(csv.DictReader(table.write_class_csv(tmp_path / "c.csv").read_text().splitlines()))
    assert [r["unit"] for r in rows] == ["pixels"] * 3
    assert rows[0] == {
        "class": "forest", "unit": "pixels", "before": "49013", "after": "45377",
        "persistence": "44107", "gain": "1270", "loss": "4906", "net": "-3636", "swap": "2540",
        "total": "6176",
    }  # fmt: skip


def test_transitions_that_do_not_occur_have_no_row():
    pixels = np.array([[5, 0, 0], [1, 0, 0], [0, 0, 2]])
    rows = TransitionTable(SCHEME, pixels, pixels * 0.09, 0).rows()
    assert [(r["from"], r["to"], r["percent"]) for r in rows] == [
        ("forest", "forest", 62.5), ("built", "forest", 12.5), ("other", "other", 25.0),
    ]  # fmt: skip
    table = TransitionTable(SCHEME, pixels, pixels / 3, 0)
    assert [r["hectares"] for r in table.rows()] == [1.6667, 0.3333, 0.6667]
    assert [r["before"] for r in table.class_rows()] == [1.6667, 0.3333, 0.6667]


def test_the_share_that_changed():
    assert TransitionTable(SCHEME, PLUM_ISLAND, None, 0).changed == pytest.approx(
        (4250 + 656 + 11 + 154 + 1259 + 2248) / 113563
    )
    assert TransitionTable(SCHEME, np.zeros((3, 3), int), None, 9).changed == 0


def test_what_a_table_counts_starts_at_nothing():
    table = TransitionTable(SCHEME, PLUM_ISLAND, None, 0)
    assert (table.forbidden, table.filtered, table.removed) == ({}, 0, 0)


def test_gain_and_loss_never_fall_below_0():
    # three tenths, added up in two ways, differ by a hair
    hectares = np.array([[0.3, 0, 0], [0, 0.1 + 0.2 - 0.3, 0], [0, 0, 0.1]])
    hectares[0, 1] = -1e-17
    result = TransitionTable(SCHEME, PLUM_ISLAND, hectares, 0).per_class()
    assert min(min(c.gain, c.loss) for c in result) == 0
