import os
import subprocess
import sys
from pathlib import Path

import pytest

from landshift.errors import OutputError, ParameterError
from landshift.files import resumable, whole


def test_a_file_appears_only_when_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with whole.whole_file(path) as part:
        part.write_text("x")
        assert not path.exists()
    assert path.read_text() == "x"


def test_a_failure_leaves_nothing_and_keeps_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ValueError, match="mine"), whole.whole_file(path) as part:
        part.write_text("half")
        raise ValueError("mine")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_only_when_whole(tmp_path):
    path = tmp_path / "set"
    with pytest.raises(ValueError, match="mine"), whole.whole_folder(path) as part:
        (part / "a").write_text("half")
        raise ValueError("mine")
    assert list(tmp_path.iterdir()) == []
    with whole.whole_folder(path) as part:
        (part / "a").write_text("x")
    assert [p.name for p in path.iterdir()] == ["a"]


def test_a_full_folder_is_kept_unless_replaced(tmp_path):
    path = tmp_path / "set"
    path.mkdir()
    (path / "mine").write_text("x")
    with pytest.raises(ParameterError, match="new or empty"), whole.whole_folder(path):
        pass
    with whole.whole_folder(path, replace=True) as part:
        (part / "a").write_text("y")
    assert [p.name for p in path.iterdir()] == ["a"]


def test_a_folder_in_the_place_of_a_file_and_the_reverse_are_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="must be a file"), whole.whole_file(tmp_path / "folder"):
        pass
    with (
        pytest.raises(OutputError, match="must be a folder"),
        whole.whole_folder(tmp_path / "file"),
    ):
        pass
    with (
        pytest.raises(OutputError, match="must be writable"),
        whole.whole_file(tmp_path / "file" / "a.txt"),
    ):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="writable"), whole.whole_file(tmp_path / "a.txt"):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_clear_line(tmp_path):
    with (
        pytest.raises(OutputError, match="No space left"),
        whole.whole_file(tmp_path / "a.txt"),
        open("/dev/full", "w") as full,
    ):
        full.write("x" * 100_000)
    assert list(tmp_path.iterdir()) == []


def grow(path, job, entries, **options):
    """A run of a job that notes its entries, each with a file of its own."""
    with resumable.resumable_folder(path, job, **options) as unfinished:
        for entry in entries[len(unfinished.done) :]:
            (unfinished.folder / str(entry)).write_text(str(entry))
            unfinished.record(entry)
        return unfinished.done


class Killed(BaseException):
    """As an interrupt is: no error of ours."""


def test_an_interrupted_job_continues(tmp_path):
    path, job = tmp_path / "out", {"stride": 8}
    with pytest.raises(Killed), resumable.resumable_folder(path, job) as unfinished:
        assert unfinished.done == ()
        (unfinished.folder / "1").write_text("1")
        unfinished.record(1)
        raise Killed
    assert [p.name for p in tmp_path.iterdir()] == [".out.partial"]
    log = tmp_path / ".out.partial" / "ledger.jsonl"
    log.write_bytes(log.read_bytes() + b'{"cut sho')  # as a kill may leave it
    with pytest.raises(ParameterError, match=r"got stride 8 and not 16 in .*partial; finish it"):
        grow(path, {"stride": 16}, [1, 2, 3])
    assert grow(path, job, [1, 2, 3]) == (1,)
    assert sorted(p.name for p in path.iterdir()) == ["1", "2", "3"]
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ParameterError, match="new or empty"):
        grow(path, job, [1, 2, 3])


def test_a_job_with_the_options_of_another_version_starts_anew(tmp_path, caplog):
    path = tmp_path / "out"
    with pytest.raises(Killed), resumable.resumable_folder(path, {"step": 8}) as unfinished:
        (unfinished.folder / "1").write_text("1")
        unfinished.record(1)
        raise Killed
    assert grow(path, {"stride": 8}, [2, 3]) == ()
    assert "left unfinished by another version; it starts anew" in caplog.text
    assert sorted(p.name for p in path.iterdir()) == ["2", "3"]


def test_a_job_that_fails_for_good_leaves_nothing(tmp_path):
    with (
        pytest.raises(ParameterError, match="mine"),
        resumable.resumable_folder(tmp_path / "o", {}),
    ):
        raise ParameterError("mine")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError, match="full"), resumable.resumable_folder(tmp_path / "o", {}):
        raise OutputError("full")  # what was done is kept: make room and run again
    assert [p.name for p in tmp_path.iterdir()] == [".o.partial"]


def test_one_run_at_a_time(tmp_path):
    pytest.importorskip("fcntl")
    with (
        resumable.resumable_folder(tmp_path / "o", {}),
        pytest.raises(OutputError, match="One run at a time"),
        resumable.resumable_folder(tmp_path / "o", {}),
    ):
        pass


def test_files_join_a_folder_once_they_are_whole(tmp_path):
    path, job = tmp_path / "out", {"a": 1}
    path.mkdir()
    (path / "0").write_text("0")
    (path / "2").mkdir()  # in the way of a file: moving fails half way
    with pytest.raises(OutputError):
        grow(path, job, [1, 2, 3], join=True)
    assert sorted(p.name for p in path.iterdir()) == ["0", "1", "2"]
    (path / "2").rmdir()
    assert not resumable.finish_joining(path, {"a": 2})
    assert resumable.finish_joining(path, job)
    assert sorted(p.name for p in path.iterdir()) == ["0", "1", "2", "3"]
    assert list(tmp_path.iterdir()) == [path]
    assert not resumable.finish_joining(path, job)


def test_an_output_is_never_one_of_its_inputs(tmp_path):
    (tmp_path / "a.tif").write_text("x")
    (tmp_path / "link.tif").symlink_to(tmp_path / "a.tif")
    whole.check_apart(tmp_path / "b.tif", [tmp_path / "a.tif", "https://example.org/c.tif"])
    for name in ("a.tif", "link.tif"):
        with pytest.raises(ParameterError, match="must not overwrite its input"):
            whole.check_apart(tmp_path / name, [tmp_path / "a.tif"])


@pytest.mark.skipif(os.name == "nt", reason="processes can't be asked for there")
def test_what_a_killed_run_left_is_removed_by_the_next_one(tmp_path):
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from landshift.files import whole\n"
        "out = Path(sys.argv[1])\n"
        "with whole.whole_file(out / 'a.tif') as part, whole.whole_folder(out / 's') as folder:\n"
        "    part.write_text('half')\n"
        "    part.with_name(part.stem + '.draft.tif').write_text('half')\n"
        "    (folder / 'x').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert len(list(tmp_path.iterdir())) == 3
    mine = tmp_path / f".a.{whole._machine()}.part{os.getppid()}.tif"  # of a run that goes on
    mine.write_text("")
    with whole.whole_file(tmp_path / "a.tif") as part:
        part.write_text("whole")
    with whole.whole_folder(tmp_path / "s") as folder:
        (folder / "x").write_text("whole")
    assert {p.name for p in tmp_path.iterdir()} == {"a.tif", "s", mine.name}


KILLED = """
import ctypes, os, shutil, sys
from pathlib import Path
from landshift.files import whole

folder, exchanges = Path(sys.argv[1]), sys.argv[2] == "exchange"
if not exchanges:
    ctypes.CDLL = lambda name: None  # as where the system can't exchange names
path = folder / "model"
rename, remove, steps = os.replace, shutil.rmtree, 0

def counted(step):
    def taken(*args, **options):
        global steps
        steps -= 1
        if steps < 0:
            os.kill(os.getpid(), 9)
        return step(*args, **options)
    return taken

def write(path, text):
    with whole.whole_folder(path, replace=True) as part:
        (part / "text").write_text(text)

for number in range(9):
    write(path, "old")
    steps = number
    child = os.fork()
    if not child:
        os.replace, shutil.rmtree = counted(rename), counted(remove)
        write(path, "new")
        os._exit(0)
    ended = os.waitpid(child, 0)[1]
    named = path.exists()
    text = (whole.repaired(path / "text")).read_text()
    write(path, "last")
    left = [p.name for p in folder.iterdir() if p.name != "model"]
    print(named, text, (path / "text").read_text(), *left)
    if not ended:
        break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("way", ["exchange", "rename"])
def test_a_folder_keeps_its_name_whenever_the_run_that_replaces_it_is_killed(way, tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path), way]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    states = done.stdout.splitlines()
    if way == "exchange" and sys.platform == "linux":
        assert states == ["True new last", "True new last", "True new last"]
    else:
        assert states == [
            "True old last",  # before the old one is renamed
            "False new last",  # between the two renamings
            "True new last",  # before the old one is removed
            "True new last",
            "True new last",
        ]


def test_a_folder_that_an_earlier_version_left_without_a_name_gets_it_back(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    old = tmp_path / f".model.old{gone.pid}"
    old.mkdir()
    (old / "text").write_text("old")
    assert whole.repaired(tmp_path / "model").is_dir()
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    (tmp_path / "model").rename(tmp_path / f".model.old{os.getpid()}")
    assert not whole.repaired(tmp_path / "model").exists()  # that run is at it still
