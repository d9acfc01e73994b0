import stat
import zipfile

import pytest

from landshift.errors import ModelError
from landshift.files import archive


def make(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in members:
            target.writestr(name, data)
    return path


def unpack(path, tmp_path, **options):
    folder = tmp_path / "out"
    folder.mkdir()
    archive.unpack(path, folder, error=ModelError, **options)
    return folder


def test_a_round_trip_keeps_files_and_gives_the_same_bytes(tmp_path):
    source = tmp_path / "in"
    (source / "images").mkdir(parents=True)
    (source / "images" / "a.txt").write_text("a")
    (source / "b.txt").write_text("b")
    files = [source / "b.txt", source / "images" / "a.txt"]
    archive.pack(tmp_path / "1.zip", source, files)
    (source / "b.txt").touch()
    archive.pack(tmp_path / "2.zip", source, files[::-1])
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    folder = unpack(tmp_path / "1.zip", tmp_path)
    assert (folder / "images" / "a.txt").read_text() == "a"


@pytest.mark.parametrize(
    "name", ["../evil", "/evil", "a/../../evil", "C:\\evil", "..\\evil", "a:b"]
)
def test_a_path_that_leaves_the_folder_is_refused(tmp_path, name):
    hostile = make(tmp_path / "a.zip", [("good", "x"), (name, "x")])
    with pytest.raises(ModelError, match="plain files inside the folder"):
        unpack(hostile, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"a.zip", "out"}
    assert not list((tmp_path / "out").iterdir())


def test_a_member_without_a_name_is_refused(tmp_path):
    path = make(tmp_path / "a.zip", [("x", "1")])
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 46] = 0  # zipfile ends a name at NUL
    path.write_bytes(data)
    with pytest.raises(ModelError, match="plain files inside the folder"):
        unpack(path, tmp_path)


def test_a_link_is_refused(tmp_path):
    member = zipfile.ZipInfo("link")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(ModelError, match="plain files"):
        unpack(make(tmp_path / "a.zip", [(member, "/etc/passwd")]), tmp_path)


def test_names_that_differ_in_case_alone_are_refused(tmp_path):
    with pytest.raises(ModelError, match="plain files"):
        unpack(make(tmp_path / "a.zip", [("a", "1"), ("A", "2")]), tmp_path)


def test_a_zip_bomb_is_refused(tmp_path):
    bomb = make(tmp_path / "a.zip", [("zeros", bytes(1 << 26))])
    with pytest.raises(ModelError, match="at most"):
        unpack(bomb, tmp_path, max_bytes=1 << 20)


def test_no_zip_and_a_damaged_zip_are_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"not a zip")
    with pytest.raises(ModelError, match="whole zip file"):
        unpack(tmp_path / "a.zip", tmp_path)
    good = make(tmp_path / "b.zip", [("data", bytes(range(256)) * 100)])
    damaged = bytearray(good.read_bytes())
    damaged[60] ^= 255
    good.write_bytes(damaged)
    (tmp_path / "out2").mkdir()
    with pytest.raises(ModelError, match="whole zip file"):
        archive.unpack(good, tmp_path / "out2", error=ModelError)
