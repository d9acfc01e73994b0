import os
from pathlib import Path

import pytest

from landshift import ledger
from landshift.errors import OutputError, ParameterError


def test_a_file_appears_only_when_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with ledger.whole_file(path) as part:
        part.write_text("x")
        assert not path.exists()
    assert path.read_text() == "x"


def test_a_failure_leaves_nothing_and_keeps_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ValueError, match="mine"), ledger.whole_file(path) as part:
        part.write_text("half")
        raise ValueError("mine")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_only_when_whole(tmp_path):
    path = tmp_path / "set"
    with pytest.raises(ValueError, match="mine"), ledger.whole_folder(path) as part:
        (part / "a").write_text("half")
        raise ValueError("mine")
    assert list(tmp_path.iterdir()) == []
    with ledger.whole_folder(path) as part:
        (part / "a").write_text("x")
    assert [p.name for p in path.iterdir()] == ["a"]


def test_a_full_folder_is_kept_unless_replaced(tmp_path):
    path = tmp_path / "set"
    path.mkdir()
    (path / "mine").write_text("x")
    with pytest.raises(ParameterError, match="new or empty"), ledger.whole_folder(path):
        pass
    with ledger.whole_folder(path, replace=True) as part:
        (part / "a").write_text("y")
    assert [p.name for p in path.iterdir()] == ["a"]


def test_a_folder_in_the_place_of_a_file_and_the_reverse_are_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="must be a file"), ledger.whole_file(tmp_path / "folder"):
        pass
    with (
        pytest.raises(OutputError, match="must be a folder"),
        ledger.whole_folder(tmp_path / "file"),
    ):
        pass
    with (
        pytest.raises(OutputError, match="must be writable"),
        ledger.whole_file(tmp_path / "file" / "a.txt"),
    ):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="writable"), ledger.whole_file(tmp_path / "a.txt"):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_clear_line(tmp_path):
    with (
        pytest.raises(OutputError, match="No space left"),
        ledger.whole_file(tmp_path / "a.txt"),
        open("/dev/full", "w") as full,
    ):
        full.write("x" * 100_000)
    assert list(tmp_path.iterdir()) == []
