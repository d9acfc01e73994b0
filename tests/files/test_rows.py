import sys
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from landshift.errors import OutputError, ParameterError
from landshift.files.rows import Rows, write_csv


@dataclass(frozen=True, repr=False)
class Counts(Rows):
    """Counts by name."""

    counts: dict[str, float]

    def rows(self):
        return [{"class": name, "pixels": count} for name, count in self.counts.items()]


def test_a_table_is_shown_in_columns():
    assert repr(Counts({"forest": 12, "a\nb": 0.25})) == (
        "class   pixels\nforest  12\na\\nb    0.25"
    )  # fmt: skip
    assert repr(Counts({})) == "Counts: no rows"
    many = repr(Counts({str(k): k for k in range(25)})).splitlines()
    assert (len(many), many[-1]) == (22, "... 5 more rows")


def test_a_table_that_is_wider_than_the_terminal_is_shown_in_blocks(monkeypatch):
    counts = Counts({"evergreen forest": 12, "crop": 0.25})
    monkeypatch.setenv("COLUMNS", "20")
    assert repr(counts).splitlines() == [
        "class: evergreen forest", "  pixels: 12", "class: crop", "  pixels: 0.25"
    ]  # fmt: skip
    monkeypatch.setenv("COLUMNS", "24")
    assert repr(counts).splitlines()[0] == "class             pixels"
    assert repr(Counts({"森林": 1})).splitlines() == ["class  pixels", "森林   1"]


def test_a_table_becomes_a_data_frame_where_pandas_is_there(monkeypatch):
    rows = Counts({"forest": 12})
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=list))
    assert rows.to_pandas() == [{"class": "forest", "pixels": 12}]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ParameterError, match=r"must have the package pandas, got .*; pip install"):
        rows.to_pandas()


def test_a_table_is_written_as_csv(tmp_path):
    path = write_csv(tmp_path / "t.csv", ["a", "b"], [{"a": 1, "b": "x"}], overwrite=False)
    assert path.read_bytes() == b"a,b\n1,x\n"
    with pytest.raises(OutputError, match="must be new"):
        write_csv(path, ["a"], [], overwrite=False)
    write_csv(path, ["a"], [], overwrite=True)
    assert path.read_bytes() == b"a\n"
