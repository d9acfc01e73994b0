"""`landshift model`."""

import sys

import pytest

import packages
from landshift import bundle
from landshift.classes import ClassScheme, LandClass
from landshift.cli import main
from landshift.models import ChangeModel


def run(monkeypatch, capsys, *arguments):
    """Exit code, standard output and standard error of a command."""
    monkeypatch.setattr(sys, "argv", ["landshift", "model", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    return ended.value.code or 0, printed.out, printed.err


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")


def test_info_shows_the_main_facts_on_one_screen(saved, monkeypatch, capsys, wide):
    code, out, _ = run(monkeypatch, capsys, "info", saved.with_suffix(".dlpk"))
    assert code == 0
    for text in (
        "unet over resnet18, dates: stack", "million weights", "before:red", "uint16",
        "64 x 64 pixels", "padding not measured", "6 epochs, learning rate 0.002",
        "cross_entropy", "scored on", "accuracy", "to crop", "No change", "torch", "by ground",
    ):  # fmt: skip
        assert text in out, text
    assert len(out.splitlines()) <= 24  # one screen


def test_info_of_a_model_without_training_facts(tmp_path, monkeypatch, capsys, wide):
    code, out, _ = run(monkeypatch, capsys, "info", packages.save(tmp_path))
    assert code == 0
    assert "unknown tiles" in out
    assert "sensor       unknown" in out


def test_info_escapes_untrusted_names(tmp_path, monkeypatch, capsys, wide):
    scheme = ClassScheme(
        [
            LandClass(1, "[red]x[/red]\u202e", (1, 2, 3)),
            LandClass(2, "[link=file:///]y", (1, 2, 3)),
        ]
    )
    spec = packages.spec(band_units=("[bold]\x1b[2J",) * 6)
    model = ChangeModel("pspnet", spec, scheme, backbone="test_resnet")
    code, out, _ = run(monkeypatch, capsys, "info", packages.save(tmp_path, model))
    assert code == 0
    assert not any(c in out for c in "\x1b\u202e")
    for text in ("[red]x[/red]", "[link=file:///]y", "[bold]"):
        assert text in out


def test_info_shortens_a_long_list_of_classes(tmp_path, monkeypatch, capsys, wide):
    scheme = ClassScheme.from_mapping({k: f"class {k}" for k in range(1, 41)})
    model = ChangeModel("pspnet", packages.spec(), scheme, backbone="test_resnet")
    _, out, _ = run(monkeypatch, capsys, "info", packages.save(tmp_path, model))
    assert "and 20 more classes" in out


def test_verify_prints_the_digest_of_a_whole_package(tmp_path, monkeypatch, capsys):
    folder = packages.save(tmp_path)
    for path in (folder, folder / "small.emd", folder / "small.dlpk"):
        code, out, err = run(monkeypatch, capsys, "verify", path)
        assert code == 0
        assert out.strip() == bundle.verify(folder).digest
        assert "3 files are as they were saved" in err


def test_verify_refuses_a_changed_file(tmp_path, monkeypatch, capsys):
    folder = packages.save(tmp_path)
    (folder / "small.emd").write_text("{}")
    code, out, err = run(monkeypatch, capsys, "verify", folder)
    assert (code, out) == (2, "")
    assert "small.emd changed" in err
    assert err.count("\n") == 1
