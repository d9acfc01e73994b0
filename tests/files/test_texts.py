import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landshift.files import texts

TABLE = "value,name\n1,forêt\n2,eau\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_text_is_read_whatever_its_unicode_encoding(tmp_path, encoding):
    path = tmp_path / "t.csv"
    path.write_bytes(TABLE.encode(encoding))
    assert texts.read_text(path) == TABLE


def test_the_mark_of_utf_32_is_not_taken_for_that_of_utf_16(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(TABLE.encode("utf-32"))
    assert texts.read_text(path) == TABLE
    path.write_bytes("\ufeff".encode("utf-16-be") + TABLE.encode("utf-16-be"))
    assert texts.read_text(path) == TABLE


def test_windows_1252_is_read_and_said(tmp_path, caplog):
    path = tmp_path / "t.csv"
    path.write_bytes(TABLE.encode("cp1252"))
    assert texts.read_text(path) == TABLE
    assert "read as Windows-1252" in caplog.text
    path.write_bytes(b"1,\x81\xff\n")  # 0x81 is no letter there
    with pytest.raises(UnicodeDecodeError, match="0x81"):
        texts.read_text(path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_cells_are_parted_by_what_most_rows_hold(delimiter, end):
    lines = ["value|name", "1|forest", "", '2|"open, dry; or\tbare"', "3|water"]
    text = end.join(lines).replace("|", delimiter) + end
    assert texts.rows(text) == [
        ["value", "name"], ["1", "forest"], [], ["2", "open, dry; or\tbare"], ["3", "water"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("1;0,5\n2;0,7\n", [["1", "0,5"], ["2", "0,7"]]),
        ("1;forest, dense\n2;water\n", [["1", "forest, dense"], ["2", "water"]]),
        ("1,forest; dense\n2,water\n", [["1", "forest; dense"], ["2", "water"]]),
        ("1,forest\n2,water,0,0,255\n", [["1", "forest"], ["2", "water", "0", "0", "255"]]),
        ("sep=;\n1;2,5\n", [[], ["1", "2,5"]]),
        ('1, "a, b"\n', [["1", "a, b"]]),
        ('"1";"a"\n', [["1", "a"]]),
        ("1,a\u2028b\n", [["1", "a\u2028b"]]),
        ("alone\nwords\n", [["alone"], ["words"]]),
        ("", []),
    ],
)
def test_cells_of_tables_as_they_are_met(text, cells):
    assert texts.rows(text) == cells


@pytest.mark.parametrize("text", ['1,"forest\n2,water\n', '"1",a\n"2"x,b\n'])
def test_a_quote_without_its_end_is_an_error(text):
    with pytest.raises(csv.Error, match=r"unexpected end of data|expected after"):
        texts.rows(text)


cell = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(
    lambda text: text == text.lstrip()
)


@given(st.lists(st.lists(cell, min_size=3, max_size=3), min_size=1), st.sampled_from(",;\t"))
def test_a_written_table_is_read_back(table, delimiter):
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(table)
    assert texts.rows(file.getvalue()) == table
