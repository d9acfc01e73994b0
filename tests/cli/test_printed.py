"""--print json: the result as one JSON object; --quiet and --verbose."""

import json
import logging
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import run
from landshift.classes import ClassScheme
from landshift.cli import lines, printed
from landshift.files.rows import Rows
from scenes import write


@dataclass(frozen=True, repr=False)
class Measured(Rows):
    """A result with all kinds of values."""

    path: Path
    scheme: ClassScheme
    matrix: Any
    pairs: dict[tuple[str, str], float]
    day: date
    crs: object = field(default_factory=object)
    many: tuple[int, ...] = tuple(range(2000))
    deep: tuple[tuple[int, ...], ...] = ((0,) * 600,) * 2
    _private: int = 7

    @property
    def files(self):
        return (self.path,)

    def rows(self):
        return [{"class": "forest", "hectares": np.float64(2.5)}, {"class": "é", "hectares": None}]


def test_a_result_becomes_an_object():
    result = Measured(
        Path("a/b.tif"), ClassScheme.from_mapping({1: "forest", 4: "crop"}),
        np.array([[1, 2], [3, 4]], np.uint8), {("a", "b"): float("nan")}, date(2005, 7, 1),
    )  # fmt: skip
    text = printed.as_json(result)
    assert "é" in text
    assert json.loads(text) == {
        "path": "a/b.tif",
        "scheme": {"1": "forest", "4": "crop"},
        "matrix": [[1, 2], [3, 4]],
        "pairs": {"a->b": None},
        "day": "2005-07-01",
        "many": {"left_out": 2000},
        "deep": {"left_out": 2},
        "rows": [{"class": "forest", "hectares": 2.5}, {"class": "é", "hectares": None}],
        "files": ["a/b.tif"],
    }


def test_paths_and_numbers_become_objects_too():
    assert json.loads(printed.as_json(Path("c.tif"))) == {"path": "c.tif"}
    assert json.loads(printed.as_json(3)) == {"result": 3}


@pytest.fixture
def pair(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    codes = np.ones((40, 40), np.uint8)
    for name, value in (("a", 2), ("b", 3)):
        codes[:10] = value
        write(tmp_path / f"{name}.tif", codes)
    return "label", "a.tif", "b.tif", "--classes", "c.csv", "-o", "l.tif"


def test_the_result_alone_is_on_standard_output(pair, tmp_path):
    (tmp_path / "c.csv").write_text("1,forest\n2,crop\n3,water\n")
    ended = run(*pair, "--print", "json")
    result = json.loads(ended.stdout)
    assert (ended.exit_code, ended.stdout.count("\n"), result["files"]) == (0, 1, ["l.tif"])
    (changed,) = [r for r in result["rows"] if r["from"] != r["to"] and r["pixels"]]
    assert (changed["from"], changed["to"], changed["pixels"]) == ("crop", "water", 400)
    ended = run(*pair, "--print", "json")  # it is there already
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Error: ")


def test_a_quiet_command_prints_paths_and_errors_alone(pair, tmp_path, caplog):
    (tmp_path / "c.csv").write_text("1,forest\n2,crop\n3,water\n")
    ended = run(*pair, "--quiet")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "l.tif\n", "")
    ended = run(*pair, "--quiet")
    assert (ended.exit_code, ended.stderr.count("\n")) == (2, 1)
    assert "water" in run(*pair, "--overwrite").stdout


@pytest.mark.parametrize(
    ("output", "level"),
    [
        (lines.Output(quiet=True), logging.ERROR),
        (lines.Output(), logging.WARNING),
        (lines.Output(verbose=True), logging.INFO),
    ],
)
def test_a_command_shows_remarks_as_wished_and_leaves_the_logger_as_it_was(output, level):
    logger = logging.getLogger("landshift")
    before = logger.level
    with pytest.raises(KeyError, match="gone"), lines.printing(output):
        assert logger.getEffectiveLevel() == level
        raise KeyError("gone")
    assert logger.level == before


def test_more_and_less_exclude_each_other(pair):
    ended = run(*pair, "--quiet", "--verbose")
    assert ended.exit_code == 2
    assert "got both --quiet and --verbose; give one" in ended.stderr
