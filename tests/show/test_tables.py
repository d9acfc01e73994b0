"""What terminals and notebooks show: words of users and files as they are written."""

import io
import json
import logging
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from landshift import errors, learn
from landshift.classes import ClassScheme
from landshift.cli import lines, main
from landshift.scores import confusion
from landshift.show import tables
from scenes import write

NAMES = ["[irrigated]", "[/x]", "[red]maize[/red]", "a\x1b[31mb", "c\u202ed", ":smile:", r"e\[f"]
SHOWN = ["[irrigated]", "[/x]", "[red]maize[/red]", r"a\x1b[31mb", r"c\u202ed", ":smile:", r"e\[f"]


@pytest.fixture
def scores():
    names = [name for name in NAMES if "\x1b" not in name]  # not allowed in class names
    scheme = ClassScheme.from_mapping(dict(enumerate(names, start=1)))
    counts = np.eye(len(names), len(names) + 1, dtype=np.int64)
    return confusion.score(counts, scheme)


def printed(table, **options):
    """The text of a table on a terminal without colours."""
    file = io.StringIO()
    Console(file=file, width=200, force_terminal=True, color_system=None, **options).print(table)
    return file.getvalue()


def test_names_are_shown_literally(scores):
    text = printed(tables.per_class(scores))
    rows = [line.split("  ")[0].strip() for line in text.splitlines()[1:]]
    assert rows == [name for name in SHOWN if "x1b" not in name]
    assert printed(tables.compare({"[/m]": scores})).splitlines()[-1].split()[0] == "[/m]"
    text = printed(tables._table("first", *NAMES))
    assert text.split() == ["first", *SHOWN]
    assert not any(c in text for c in "\x1b\u202e")


def test_names_are_shown_literally_in_notebooks(scores):
    html = learn.ClassMetrics(scores)._repr_html_()
    for name in SHOWN:
        assert (name in html) == ("x1b" not in name)
    tagged = ClassScheme.from_mapping({1: "<script>alert(1)</script>"})
    html = learn.ClassMetrics(confusion.score(np.eye(1, 2, dtype=np.int64), tagged))
    assert "&lt;script&gt;alert(1)" in html._repr_html_()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("wheat, rain-fed", "wheat, rain-fed"),
        ("Größe 森林 غابة जंगल", "Größe 森林 غابة जंगल"),
        ("forêt\u00a0dense", "forêt\u00a0dense"),
        ("क\u200dष", "क\u200dष"),  # joiners are kept
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("a\x1b]0;title\x07", r"a\x1b]0;title\x07"),
        ("a\x9b2J\x7f", r"a\x9b2J\x7f"),
        ("a\u202eb\u2066c\u2069\u200e\u061c", r"a\u202eb\u2066c\u2069\u200e\u061c"),
        ("a\u2028b\u2029\ufeff\U000e0041", r"a\u2028b\u2029\ufeff\U000e0041"),
        ("a\ud800", r"a\ud800"),
    ],
)
def test_control_characters_are_escaped(text, shown):
    assert errors.shown(text) == shown


@given(st.text())
def test_escaped_text_moves_no_cursor_and_can_be_printed(text):
    shown = errors.shown(text)
    shown.encode("utf-8")
    assert len(shown.splitlines()) <= 1
    assert not set(shown) & {chr(c) for c in (*range(32), *range(127, 160), *range(0x202A, 0x202F))}
    assert len(errors.plain(text, 20)) <= 200


def test_a_plain_text_is_short_and_of_one_line():
    assert errors.plain("a\nb\x1b[2J") == r"a b\x1b[2J"
    assert errors.plain("x" * 100, 10) == "xxxxxxx..."


def test_warnings_and_lines_escape_too(capsys):
    record = logging.LogRecord("a", logging.WARNING, "a.py", 1, "%s is odd", ("b\x1b[2J",), None)
    assert lines.Lines("%(message)s").format(record) == r"b\x1b[2J is odd"
    lines.say("c\u202ed")
    assert capsys.readouterr().out == "c\\u202ed\n"


def test_zones_and_classes_with_special_characters_are_printed(tmp_path, monkeypatch, capsys):
    write(tmp_path / "m.tif", np.repeat([[1, 2], [2, 1]], 50, 0).repeat(50, 1).astype(np.uint8))
    (tmp_path / "c.csv").write_text("value,name\n1,[/x]\n2,[irrigated]\n")
    names = ["[north]", "[/south]", "a\x1b[31mb\u202e"]
    features = [
        {
            "type": "Feature", "properties": {"name": name},
            "geometry": {"type": "Polygon", "coordinates": [
                [[x, 3_997_500], [x + 900, 3_997_500], [x + 900, 3_999_000], [x, 3_997_500]]
            ]},
        }
        for name, x in zip(names, (500_000, 501_000, 502_000), strict=True)
    ]  # fmt: skip
    crs = {"type": "name", "properties": {"name": "EPSG:32618"}}
    zones = {"type": "FeatureCollection", "crs": crs, "features": features}
    (tmp_path / "z.geojson").write_text(json.dumps(zones))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    job = "zonal m.tif z.geojson --column name -o z.csv --classes c.csv"
    for given_, wanted in (
        (job, ["[/x], ha", "[irrigated], ha", "[north]", "[/south]", r"a\x1b[31mb\u202e"]),
        ("label m.tif m.tif -o l.tif --classes c.csv", ["[/x]", "[irrigated]"]),
        ("sample m.tif -o s.gpkg --size 60 --classes c.csv", ["[/x]", "[irrigated]"]),
        ("patches m.tif -o p.csv --classes c.csv", ["[/x]", "[irrigated]"]),
    ):
        monkeypatch.setattr(sys, "argv", ["landshift", *given_.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        out = capsys.readouterr().out
        assert ended.value.code in (0, None), given_
        assert all(name in out for name in wanted), (given_, out)
        assert "\x1b" not in out


def test_methods_without_a_class_of_no_change_have_no_columns_of_change():
    scores = confusion.score(
        np.eye(2, 3, dtype=np.int64), ClassScheme.from_mapping({1: "a", 2: "b"})
    )
    assert "change" not in printed(tables.compare({"this": scores}))
