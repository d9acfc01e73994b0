import shutil

import numpy as np
import pytest
import rasterio
import torch

import commands
import hub_server
from landshift import bundle, classify_pixels, publish
from landshift.classes import ClassScheme
from landshift.errors import ModelError, OutputError, ParameterError, WeightsError
from landshift.files.hub import local
from landshift.models import ChangeModel
from landshift.spec import InputSpec

huggingface_hub = pytest.importorskip("huggingface_hub", reason="needs the extra hub")

# of huggingface_hub, about its own HTTP client
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

SCHEME = ClassScheme.from_mapping({1: "to crop", 2: "to | water\n<b>", 3: "No change"})


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    bands = ("before:red", "after:red")
    spec = InputSpec(
        bands, (100.0,) * 2, (10.0,) * 2, (0.0,) * 2, (255.0,) * 2, 64, "uint8", 30.0,
        band_sensors=("OLI", None),
    )  # fmt: skip
    network = ChangeModel("unet", spec, SCHEME, backbone="resnet18")
    scores = {
        "accuracy": 0.91, "miou": 0.5, "macro_f1": 0.62, "change_f1": None,
        "classes": [
            {"name": n, "precision": 0.5, "recall": 0.5, "f1": 0.5, "iou": None, "support": 7}
            for n in SCHEME.names
        ],
    }  # fmt: skip
    package = bundle.Package("tiny", network, {"lr": 0.001}, scores=scores)
    return bundle.save(package, tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub on this machine, a token of it, and a cache of one's own."""
    monkeypatch.delenv("LANDSHIFT_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setenv("HF_TOKEN", hub_server.TOKEN)
    with hub_server.serving() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


def test_a_model_goes_to_a_hub_and_comes_back(model, hub, tmp_path, write_raster, monkeypatch):
    address = publish.push(model, "me/tiny", licence="apache-2.0", message="First")
    assert address == f"{hub.url}/me/tiny"
    assert set(hub.repos["me/tiny"]) == {
        "README.md", "SHA256SUMS", "landshift.json", "tiny.emd", "tiny.safetensors"
    }  # fmt: skip
    publish.push(model, "me/tiny")  # again, where it is already
    result = bundle.load("hf://me/tiny")
    own, theirs = bundle.load(model).model.state_dict(), result.model.state_dict()
    assert all(torch.equal(own[k], theirs[k]) for k in own)
    assert bundle.verify(local("hf://me/tiny@main")).files
    values = np.random.default_rng(0).integers(1, 255, (2, 40, 40)).astype(np.uint8)
    image = write_raster("i.tif", values, nodata=0, bands=["before:red", "after:red"])
    out = classify_pixels(image, "hf://me/tiny", tmp_path / "map.tif", engine="torch")
    with rasterio.open(out) as written:
        assert written.read(1).any()
    hub.asked.clear()
    monkeypatch.setenv("LANDSHIFT_OFFLINE", "1")
    assert bundle.load("hf:/me/tiny").name == "tiny"  # as pathlib writes it
    assert hub.asked == []


def test_what_is_not_there_is_one_line(model, hub, monkeypatch):
    for path, message in (
        ("hf://me/none", "got no hf://me/none there for you"),
        ("hf://none", "must be named hf://owner/repo"),
        ("hf://../x", "must be named hf://owner/repo"),
        ("hf://a/b@../c", "must be named hf://owner/repo"),
    ):
        with pytest.raises(ModelError, match=message):
            bundle.load(path)
    hub.repos["me/bare"] = {"README.md": b"nothing"}
    with pytest.raises(ModelError, match=r"must hold landshift\.json"):
        bundle.load("hf://me/bare")
    with pytest.raises(ModelError, match="no hf://me/bare@v9 there"):
        bundle.load("hf://me/bare@v9")
    monkeypatch.setenv("LANDSHIFT_OFFLINE", "1")
    with pytest.raises(WeightsError, match="LANDSHIFT_OFFLINE is set"):
        bundle.load("hf://me/other")
    with pytest.raises(ParameterError, match="LANDSHIFT_OFFLINE set; give a folder as `to`"):
        publish.push(model, "me/tiny")


def test_where_no_network_answers_it_is_one_line(model, hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match=r"must come from http://127\.0\.0\.1:9, got none"):
        bundle.load("hf://me/tiny")
    with pytest.raises(OutputError, match=r"must be pushed to me/tiny on http://127\.0\.0\.1:9"):
        publish.push(model, "me/tiny")


def test_pushing_needs_a_valid_token(model, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(OutputError, match="401"):
        publish.push(model, "me/tiny")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(ParameterError, match="needs a token of the hub, got none"):
        publish.push(model, "me/tiny")
    assert hub.repos == {}


def test_a_hostile_hub_is_read_as_any_package(model, hub, tmp_path):
    publish.push(model, "me/tiny")
    files = hub.repos["me/tiny"]
    hub.repos["me/changed"] = files | {"tiny.safetensors": files["tiny.safetensors"][:-4] + b"evil"}
    with pytest.raises(ModelError, match=r"tiny\.safetensors changed"):
        bundle.load("hf://me/changed")
    hub.repos["me/paths"] = files | {"../../owned.json": b"{}", "sub/owned.json": b"{}"}
    with pytest.raises((ModelError, WeightsError)) as caught:
        bundle.load("hf://me/paths")
    assert "\n" not in str(caught.value)
    cache = tmp_path / "cache" / "models--me--paths"
    assert all(cache in p.parents for p in tmp_path.rglob("owned.json"))


def test_what_would_be_pushed_can_be_seen_before(model, tmp_path):
    done = commands.run(
        "model", "push", model.with_suffix(".dlpk"), "me/tiny", "--to", tmp_path / "out",
        "--license", "cc-by-4.0",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert bundle.verify(tmp_path / "out").files
    text = (tmp_path / "out" / "README.md").read_text()
    header, _, body = text.removeprefix("---\n").partition("\n---\n")
    yaml = pytest.importorskip("yaml")
    result = yaml.safe_load(header)
    assert result["license"] == "cc-by-4.0"
    assert result["library_name"] == "landshift"
    assert result["pipeline_tag"] == "image-segmentation"
    assert result["metrics"] == ["accuracy", "f1", "mean_iou"]
    assert "hf://me/tiny" in body
    assert "| before:red | OLI | 100 | 10 |" in body
    assert "| 2 | to \\| water \\<b\\> | " in body
    assert "| accuracy | 0.910 |" in body
    assert "change f1" not in body  # not defined, so not shown
    again = publish.write_for_hub(model, "me/tiny", tmp_path / "again", licence="cc-by-4.0")
    assert (again / "README.md").read_text() == text


def test_models_that_are_none_of_ours_are_not_pushed(model, tmp_path):
    folder = shutil.copytree(model.parent, tmp_path / "tiny")
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(ModelError, match="must hold SHA256SUMS"):
        publish.write_for_hub(folder, "me/tiny", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    for name in ("tiny", "a/b/c", "../x", "a/b..c", ""):
        with pytest.raises(ParameterError, match="must be named owner/name"):
            publish.write_for_hub(model, name, tmp_path / "out")
