import pytest

from landshift import demonstration
from landshift.errors import ParameterError


def test_a_small_demo_makes_every_result(tmp_path, monkeypatch):
    monkeypatch.setattr(demonstration, "BACKBONE", "resnet10t")
    lines = []
    results = demonstration.demo(tmp_path / "demo", size=512, epochs=1, on_stage=lines.append)
    assert [line[:3] for line in lines] == [f"{k}/7" for k in range(1, 8)]
    assert all(path.exists() for path in results.paths.values())
    assert set(results.methods) == {
        demonstration.METHOD,
        "per-pixel linear discriminant",
        "all no change",
    }
    supports = {sum(c.support for c in s.classes) for s in results.methods.values()}
    assert len(supports) == 1  # judged on the same pixels
    (tmp_path / "demo" / "notes.txt").write_text("mine")
    again = demonstration.demo(tmp_path / "demo", size=512, epochs=1)
    assert (tmp_path / "demo" / "notes.txt").exists()
    assert again.network.matrix.tolist() == results.network.matrix.tolist()


OUTPUTS = ["composite.tif", "change.tif", "map.tif", "tiles", "scene", "view.png"]


def held(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("names", [["thesis.txt"], OUTPUTS, ["map.tif"], [".composite"]])
def test_a_folder_without_a_mark_is_left_alone(names, tmp_path):
    """Also one that holds only names that the demo uses, or files of an older demo."""
    for name in names:
        path = tmp_path / name
        if path.suffix or name.startswith("."):
            path.write_text("mine")
        else:
            (path / "models").mkdir(parents=True)
            (path / "models" / "mine").write_text("mine")
    before = held(tmp_path)
    with pytest.raises(
        ParameterError, match=r"\(`out`\) must be new or empty, or carry an earlier demo's mark"
    ):
        demonstration.demo(tmp_path)
    assert held(tmp_path) == before


@pytest.fixture
def marked(tmp_path):
    """A folder that a demo marked, with a composite, tiles and its model."""
    demonstration._make_room(tmp_path)
    (tmp_path / "composite.tif").write_text("composite")
    (tmp_path / "tiles" / "models" / "semantic").mkdir(parents=True)
    (tmp_path / "tiles" / "models" / "semantic" / "semantic.emd").write_text("model")
    return tmp_path


def test_in_its_own_folder_a_demo_removes_what_it_made_and_nothing_else(marked):
    for name in ("map_mine.tif", "map.gpkg", "notes.txt", ".hidden"):
        (marked / name).write_text("mine")
    demonstration._make_room(marked)
    names = {p.name for p in marked.iterdir()}
    assert names == {"map_mine.tif", "map.gpkg", "notes.txt", ".hidden", demonstration.MARK}


def test_files_that_are_no_longer_the_demos_own_are_not_removed(marked):
    (marked / "tiles" / "models" / "mine").mkdir()
    with pytest.raises(ParameterError, match="only its own files, got tiles/models/mine"):
        demonstration._make_room(marked)
    (marked / "tiles" / "models" / "mine").rmdir()
    made = demonstration._read_mark(marked)
    demonstration._write_mark(marked, {**made, "composite.tif": "another file's"})
    with pytest.raises(ParameterError, match=r"only its own files, got composite\.tif"):
        demonstration._make_room(marked)
    assert (marked / "composite.tif").exists()


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"made by landshift demo": {"../x": null}}', "null", "3"]
)
def test_a_mark_that_is_damaged_names_nothing(text, marked):
    (marked / demonstration.MARK).write_text(text)
    before = held(marked)
    with pytest.raises(ParameterError, match="damaged"):
        demonstration._make_room(marked)
    assert held(marked) == before
