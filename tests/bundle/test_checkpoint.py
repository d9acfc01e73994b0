import enum

import numpy as np
import pytest
import rasterio
import segmentation_models_pytorch as smp
import torch

import commands
from landshift import bundle, classify_pixels
from landshift.classes import ClassScheme
from landshift.errors import BandError, LandshiftError, ModelError, WeightsError

SCHEME = ClassScheme.from_mapping({1: "crop", 4: "water", 9: "town"})
BANDS = "band, mean, std\nbefore:red, 1000, 200\nbefore:nir, 2500, 900\nafter:red, 0, 1\n"


def network(name, encoder, bands=3, classes=3):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = smp.create_model(
            name, encoder, encoder_weights=None, in_channels=bands, classes=classes
        )
        return model.eval()


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "bands.csv"
    path.write_text(BANDS)
    return bundle.read_input(path, 64)


def scaled(image):
    mean, std = torch.tensor([1000.0, 2500, 0]), torch.tensor([200.0, 900, 1])
    return (image - mean[:, None, None]) / std[:, None, None]


@pytest.mark.parametrize(
    ("name", "encoder", "architecture"),
    [
        ("unet", "resnet18", "unet"),
        ("unet", "mit_b0", "Unet"),
        ("unet", "mobilenet_v2", "unet"),
        ("unet", "tu-resnet18", "unet"),
        ("pspnet", "resnet18", "pspnet"),
        ("fpn", "resnet18", "fpn"),
        ("deeplabv3plus", "resnet18", "deeplabv3+"),
    ],
)
def test_networks_of_smp_answer_as_they_did(tmp_path, spec, name, encoder, architecture):
    theirs = network(name, encoder)
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    package = bundle.read_checkpoint(
        tmp_path / "w.pth", architecture=architecture, backbone=encoder, spec=spec, scheme=SCHEME
    )
    image = torch.rand(1, 3, 64, 64) * torch.tensor([2000.0, 5000, 50])[:, None, None]
    with torch.no_grad():
        torch.testing.assert_close(
            package.model(image), theirs(scaled(image)), atol=1e-4, rtol=1e-4
        )  # fmt: skip
    again = bundle.load(bundle.save(package, tmp_path / "ours"))
    assert again.model.spec == spec
    with torch.no_grad():
        assert torch.equal(again.model(image), package.model(image))
    again.model.freeze()
    assert not any(p.requires_grad for p in again.model.encoder.parameters())


class Weights(enum.Enum):
    SENTINEL2 = "url"


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_checkpoint_of_torchgeo_is_read_without_what_lies_beside(tmp_path, spec):
    theirs = network("unet", "resnet18")
    state = {f"model.{k}": v for k, v in theirs.state_dict().items()}
    checkpoint = {
        "state_dict": {**state, "criterion.weight": torch.ones(3)},
        "hyper_parameters": {"weights": Weights.SENTINEL2, "x": Hostile(str(tmp_path / "owned"))},
        "optimizer_states": [{"state": {}}],
        "epoch": 3,
    }
    torch.save(checkpoint, tmp_path / "last.ckpt")
    package = bundle.read_checkpoint(
        tmp_path / "last.ckpt", architecture="unet", backbone="resnet18", spec=spec, scheme=SCHEME
    )
    assert package.name == "last"
    assert not (tmp_path / "owned").exists()
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            package.model(image), theirs(scaled(image)), atol=1e-4, rtol=1e-4
        )  # fmt: skip


def test_the_command_makes_a_model_that_classifies(tmp_path, write_raster):
    torch.save(network("unet", "resnet18").state_dict(), tmp_path / "w.pth")
    (tmp_path / "bands.csv").write_text(BANDS)
    (tmp_path / "classes.csv").write_text("value,name\n1,crop\n4,water\n9,town\n")
    options = ["--architecture", "unet", "--backbone", "resnet18", "--bands", "bands.csv"]
    options += ["--classes", "classes.csv", "-o", "made", "--tile-size", "64"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        result = commands.run("model", "import", "w.pth", *options)
        assert result.exit_code == 0, result.output
        assert result.output.strip() == "made/made.emd"
        few = commands.run("model", "import", "w.pth", *options[:4], "-o", "none")
        options.append("--overwrite")
        many = commands.run("model", "import", "made/made.dlpk", *options)
    assert "Weights need --architecture, --backbone, --bands and --classes" in few.stderr
    assert "aren't needed for a model that states" in many.stderr
    values = np.random.default_rng(0).integers(1, 3000, (3, 64, 64)).astype(np.uint16)
    image = write_raster("r.tif", values, nodata=0, bands=["before:red", "before:nir", "after:red"])
    out = classify_pixels(image, tmp_path / "made", tmp_path / "map.tif", engine="torch")
    with rasterio.open(out) as mapped:
        assert set(np.unique(mapped.read(1))) <= {1, 4, 9}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scheme": ClassScheme.from_mapping({1: "a", 2: "b"})}, "got 3 outputs in .* 2 classes"),
        ({"backbone": "resnet34"}, r"must fit unet over smp:resnet34, got \d+ other tensors"),
        ({"backbone": "resnet_18"}, "must be an encoder of timm"),
        ({"architecture": "manet"}, "must be one of unet"),
        ({"architecture": "fpn"}, "must fit fpn over smp:resnet18"),
    ],
)
def test_weights_that_do_not_fit_are_one_line(tmp_path, spec, change, message):
    torch.save(network("unet", "resnet18").state_dict(), tmp_path / "w.pth")
    options = {"architecture": "unet", "backbone": "resnet18", "spec": spec, "scheme": SCHEME}
    with pytest.raises(ModelError, match=message) as caught:
        bundle.read_checkpoint(tmp_path / "w.pth", **options | change)
    assert "\n" not in str(caught.value)


def test_files_that_hold_no_network_are_one_line(tmp_path, spec):
    options = {"architecture": "unet", "backbone": "resnet18", "spec": spec, "scheme": SCHEME}
    with pytest.raises(WeightsError, match="must exist"):
        bundle.read_checkpoint(tmp_path / "none.pth", **options)
    for what in ({"a": torch.zeros(3)}, {}, Hostile(str(tmp_path / "owned")), "text", [1, 2]):
        torch.save(what, tmp_path / "w.pth")
        with pytest.raises(ModelError, match=r"must (be those of a network|hold a state dict)"):
            bundle.read_checkpoint(tmp_path / "w.pth", **options)
    (tmp_path / "w.pth").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelError, match="must hold a state dict"):
        bundle.read_checkpoint(tmp_path / "w.pth", **options)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got no line"),
        ("red,1,2\n", "got red,1,2 in|got no line"),
        ("band,mean\nred,1\n", "got band,mean"),
        ("band,mean,std\nred,1,x\n", "The std of red in .* must be a number, got 'x'"),
        ("band,mean,std\nred,1\n", "must be a number, got None"),
        ("band,mean,std\nred,nan,1\n", "must be a number, got 'nan'"),
        ("band,mean,std\nred,1,0\n", "a std above 0"),
        ("band,mean,std\nred,1,1\nred,1,1\n", "names that differ"),
        ("band,mean,std\n,1,1\n", "names that differ"),
        (b"\xff\xfe\x00", "must be a CSV file"),
    ],
)
def test_bands_that_are_not_described_are_one_line(tmp_path, text, message):
    path = tmp_path / "bands.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BandError, match=message):
        bundle.read_input(path, 64)
    with pytest.raises(LandshiftError, match="must be a CSV file"):
        bundle.read_input(tmp_path / "none.csv", 64)


def test_ranges_of_bands_are_kept(tmp_path):
    path = tmp_path / "bands.csv"
    path.write_text("band,mean,std,minimum,maximum\nred,1,2,-3,4\n")
    spec = bundle.read_input(path, 64)
    assert (spec.minimum, spec.maximum) == ((-3.0,), (4.0,))
    path.write_text("band,mean,std\nred,1,2\n")
    assert bundle.read_input(path, 64).maximum == (7.0,)
