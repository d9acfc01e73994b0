import pytest

from landshift import demo
from landshift.errors import ParameterError


def test_a_small_demo_makes_every_result(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "BACKBONE", "resnet18")
    lines = []
    found = demo.run(tmp_path / "demo", size=512, epochs=1, on_stage=lines.append)
    assert [line[:3] for line in lines] == [f"{k}/7" for k in range(1, 8)]
    assert all(path.exists() for path in found.paths.values())
    assert set(found.methods) == {"U-Net", "per-pixel linear discriminant", "all no change"}
    supports = {sum(c.support for c in s.classes) for s in found.methods.values()}
    assert len(supports) == 1  # judged on the same pixels
    again = demo.run(tmp_path / "demo", size=512, epochs=1)
    assert again.network.matrix.tolist() == found.network.matrix.tolist()


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(ParameterError, match=r"earlier demo, got .*thesis\.txt"):
        demo.run(tmp_path)
    assert (tmp_path / "thesis.txt").exists()
