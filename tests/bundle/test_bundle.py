import json
import shutil
import subprocess
import zipfile
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from landshift import bundle
from landshift.errors import ModelError, OutputError
from landshift.files import provenance

FOR_OTHERS = ("{}.onnx", "LandshiftClassifier.py") if find_spec("onnxruntime") else ()


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of a saved model's folder, free to be damaged."""
    return shutil.copytree(saved.parent, tmp_path / "small")


def edit(folder, **changes):
    path = folder / "landshift.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("which", ["small.emd", "small.dlpk", "."])
def test_a_saved_model_is_the_same_when_read_from_any_of_its_files(trained, saved, which):
    package = bundle.load(saved.parent / which)
    state, expected = package.model.state_dict(), trained.model.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[k], expected[k]) for k in state)
    assert package.model.spec == trained.model.spec
    assert package.model.scheme == trained.model.scheme
    assert package.model.temperature == trained.model.temperature != 1
    assert package.name == "small"
    assert package.training["lr"] == 2e-3
    assert len(package.history) == 6


def test_the_package_is_a_flat_zip_of_the_folder(saved):
    with zipfile.ZipFile(saved.with_suffix(".dlpk")) as package:
        names = set(package.namelist())
    own = {
        "small.emd", "small.safetensors", "landshift.json", "model_metrics.html", "SHA256SUMS",
    }  # fmt: skip
    assert names == own | {name.format("small") for name in FOR_OTHERS}
    assert {p.name for p in saved.parent.iterdir()} == names | {"small.dlpk", "log.json"}


def test_saving_again_gives_the_same_bytes(trained, saved, tmp_path):
    again = trained.save(tmp_path / "small")
    for name in ("small.emd", "small.safetensors", "landshift.json", "SHA256SUMS", "small.dlpk"):
        assert (again.parent / name).read_bytes() == (saved.parent / name).read_bytes()


def test_the_emd_has_the_keys_of_a_real_one(saved, data_folder):
    ours = json.loads(saved.read_text())
    real = json.loads((data_folder / "esri" / "unet_run_2.4.4.emd").read_text())
    shared = {
        "Framework", "ModelConfiguration", "ModelType", "ExtractBands", "Classes", "ModelFormat",
        "MinCellSize", "MaxCellSize", "ModelFile", "ImageHeight", "ImageWidth", "ImageSpaceUsed",
        "LearningRate", "ModelName", "ModelParameters", "accuracy", "IsMultispectral", "Bands",
        "NormalizationStats", "DoNormalize", "IsImageNetNormalization", "ImageryType",
        "SupportsVariableTileSize", "per_class_metrics",
    } | ({"InferenceFunction"} if FOR_OTHERS else set())  # fmt: skip
    assert shared <= ours.keys()
    assert shared <= real.keys()
    assert ours["ModelConfiguration"] == real["ModelConfiguration"]
    assert ours["ModelType"] == real["ModelType"]
    assert ours["NormalizationStats"].keys() == real["NormalizationStats"].keys()
    assert ours["Classes"][0].keys() == real["Classes"][0].keys()
    for key in shared - {"MinCellSize", "MaxCellSize"}:
        assert type(ours[key]) is type(real[key]), key


def test_a_missing_or_foreign_package_is_one_line(tmp_path, data_folder):
    with pytest.raises(ModelError, match="must exist"):
        bundle.load(tmp_path / "none.dlpk")
    shutil.copy(data_folder / "esri" / "unet_run_2.4.4.emd", tmp_path / "a.emd")
    with pytest.raises(ModelError, match=r"must lie beside its \.emd, got no file u244\.pth"):
        bundle.load(tmp_path / "a.emd")
    (tmp_path / "a.dlpk").write_bytes(b"no zip")
    with pytest.raises(ModelError, match="whole zip file"):
        bundle.load(tmp_path / "a.dlpk")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "format must be 3, got 99"),
        ({"architecture": "vnet"}, "must be one of unet"),
        ({"backbone": "resnet34"}, "weights must fit unet over resnet34"),
        ({"weights": "../../etc/passwd"}, "plain file name on every system at weights"),
        ({"weights": "none.safetensors"}, r"none\.safetensors missing"),
        ({"classes": []}, "at least one class"),
        ({"classes": [{"Value": "x"}]}, r"valid integer at classes\.0\.Value, got 'x'"),
        ({"input": {}}, r"Field required at input\.bands in"),
        ({"temperature": 0}, "greater than 0 at temperature, got 0"),
        ({"temperature": float("nan")}, "NaN is no finite number"),
        ({"temperature": "hot"}, "describe its model in full"),
        ({"history": 3}, "describe its model in full"),
    ],
)
def test_a_damaged_description_is_one_line(folder, changes, message):
    edit(folder, **changes)
    with pytest.raises(ModelError, match=message):
        bundle.load(folder)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"format": ' + "[" * 100_000])
def test_what_is_no_description_is_one_line(folder, text):
    (folder / "landshift.json").write_text(text)
    with pytest.raises(ModelError, match=r"landshift\.json must"):
        bundle.load(folder)


def test_weights_cut_short_are_one_line(folder):
    weights = folder / "small.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"small\.safetensors changed"):
        bundle.load(folder)


def test_a_link_to_another_file_is_not_followed(folder, tmp_path):
    weights = folder / "small.safetensors"
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match=r"small\.safetensors missing"):
        bundle.load(folder)


def test_a_package_that_reaches_out_writes_nothing(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.dlpk", "w") as package:
        package.writestr("../owned", "x")
    with pytest.raises(ModelError, match="plain files inside the folder"):
        bundle.load(tmp_path / "a.dlpk")
    assert {p.name for p in tmp_path.iterdir()} == {"a.dlpk"}


def test_a_model_goes_into_a_folder_of_its_own(trained, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(ModelError, match="new or hold a model"):
        trained.save(tmp_path / "mine")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="must be a folder"):
        trained.save(tmp_path / "file")
    with pytest.raises(ModelError, match="name must be"):
        trained.save(tmp_path / "a*b")
    trained.save(tmp_path / "small")
    trained.save(tmp_path / "small", overwrite=True)  # replaces the first
    assert np.isfinite(bundle.load(tmp_path / "small").model.spec.mean).all()


def test_extras_are_hashed_and_zipped_as_our_own_files(trained, tmp_path):
    (tmp_path / "page.html").write_text("<p>")
    extras = [
        bundle.Extras({"a.onnx": b"graph", "page.html": tmp_path / "page.html"}),
        bundle.Extras(emd={"InferenceFunction": "a.py"}),
    ]
    path = bundle.save(bundle.Package("m", trained.model), tmp_path / "m", extras=extras)
    own = {"m.emd", "m.safetensors", "landshift.json", "a.onnx", "page.html"}
    assert set(bundle.verify(path).files) == own
    with zipfile.ZipFile(path.with_suffix(".dlpk")) as package:
        assert set(package.namelist()) == own | {"SHA256SUMS"}
        assert package.read("page.html") == b"<p>"
    assert json.loads(path.read_text())["InferenceFunction"] == "a.py"


def test_the_hashes_are_those_of_sha256sum(saved):
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=saved.parent, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert checked.stdout.count(": OK") == 4 + len(FOR_OTHERS)


@pytest.mark.parametrize("which", ["small.emd", "small.dlpk", "."])
def test_a_whole_package_verifies_to_one_digest(saved, which):
    verified = bundle.verify(saved.parent / which)
    assert verified.digest == provenance.digest(saved.parent / "SHA256SUMS")


@pytest.mark.parametrize("name", ["small.emd", "landshift.json", "small.safetensors"])
def test_a_changed_or_missing_file_is_told(folder, name):
    path = folder / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-3] + b"}}}")
    with pytest.raises(ModelError, match=rf"{name} changed"):
        bundle.verify(folder)
    path.unlink()
    with pytest.raises(ModelError, match=rf"{name} missing"):
        bundle.verify(folder)


def test_what_was_added_to_a_packed_model_is_told(folder):
    with zipfile.ZipFile(folder / "small.dlpk", "a") as package:
        package.writestr("sub/added.py", "x")
    with pytest.raises(ModelError, match=r"sub/added\.py without a hash"):
        bundle.verify(folder / "small.dlpk")


def test_another_models_zip_in_the_folder_is_told(folder, trained):
    bundle.save(bundle.Package("small", trained.model), folder.parent / "other")
    shutil.copy(folder.parent / "other" / "small.dlpk", folder)
    with pytest.raises(ModelError, match="must hold the same files"):
        bundle.verify(folder)


@pytest.mark.parametrize("which", ["small.emd", "small.dlpk"])
def test_a_measured_padding_is_kept_and_hashed(folder, which):
    bundle.keep_padding(folder / which, 40)
    assert bundle.load(folder / which).model.spec.padding == 40
    bundle.verify(folder / which)


@pytest.mark.parametrize("text", ["x", "0" * 64 + "  ../a", ("0" * 64 + "  a\n") * 2])
def test_damaged_hashes_are_one_line(folder, text):
    (folder / "SHA256SUMS").write_text(text)
    with pytest.raises(ModelError, match="must give each file of the package one SHA-256"):
        bundle.load(folder)
