import io
import json
import os
import shutil
import zipfile

import numpy as np
import pytest
import rasterio
import torch
from rich.console import Console

import arcgis
from landshift import bundle, classify_pixels
from landshift.bundle import saved
from landshift.engine import choose_engine
from landshift.errors import BandError, ModelError
from landshift.learn import DeepLab, PSPNetClassifier, UnetClassifier, prepare_data
from landshift.raster import scheme_of
from landshift.show import tables
from scenes import MAPPING


@pytest.fixture(scope="module")
def weights():
    return arcgis.state("resnet18", 4, 4)


@pytest.fixture(scope="module")
def model(weights, tmp_path_factory):
    """The .emd of a model of theirs; its weights are linked to by others."""
    return arcgis.write(tmp_path_factory.mktemp("arcgis") / "m", arcgis.definition(), weights)


@pytest.fixture(scope="module")
def pth(model):
    return model.with_name("m.pth")


def scaled_by_hand(values):
    """Values ``(band, row, column)`` as the guide of prepare_data says that they enter."""
    statistics = arcgis.definition()["NormalizationStats"]
    low, high, mean, std = (
        np.array(statistics[k])[:, None, None]
        for k in ("band_min_values", "band_max_values", "scaled_mean_values", "scaled_std_values")
    )
    return ((values - low) / (high - low + 1e-4)).clip(0, 1), mean, std


def test_the_network_is_theirs(data_folder, tmp_path):
    folder = data_folder / "esri" / "unet_resnet34_fixture"
    torch.save(arcgis.fixture(folder), tmp_path / "u244.pth")
    shutil.copy(data_folder / "esri" / "unet_run_2.4.4.emd", tmp_path / "u244.emd")
    package = bundle.load(tmp_path / "u244.emd")
    image = torch.randn(1, 12, 96, 64, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        logits = package.model.network(image)
    expected = torch.from_numpy(np.load(folder / "logits.npz")["logits"])
    assert (logits - expected).abs().max() < 1e-4
    assert package.model.scheme.names[:2] == ("NoData", "to forest")
    assert package.model.scheme.colours[11] == (225, 225, 225)
    assert package.model.spec.tile_size == 256
    assert package.name == "u244"


def dilated(kind, **parameters):
    """An .emd of a network over resnet50."""
    given = {"backbone": "resnet50", "backend": "pytorch", **parameters}
    return arcgis.definition(ModelConfiguration=kind, ModelParameters=given)


@pytest.mark.parametrize("kind", ["_deeplab_infrencing", "_psp"])
def test_published_layers_give_the_same_logits(tmp_path, kind):
    torch.manual_seed(0)
    deep = kind != "_psp"
    theirs = arcgis.deeplab(4, 4) if deep else arcgis.PSPNet(4, 4)
    emd = arcgis.write(tmp_path / "m", dilated(kind), theirs.state_dict())
    ours = bundle.load(emd).model
    image = torch.randn(2, 4, 96, 64)
    with torch.no_grad():
        expected = theirs(image)["out"] if deep else theirs(image)
        logits = ours.network(image)
    assert expected.std() > 1e-3  # the vector says something
    assert (logits - expected).abs().max() < 1e-5 * expected.abs().max()
    assert (logits - expected).abs().max() < 1e-5
    classifier, other = (DeepLab, UnetClassifier) if deep else (PSPNetClassifier, DeepLab)
    assert classifier.from_model(emd).model.architecture == ours.architecture
    with pytest.raises(ModelError, match="use the class for it"):
        other.from_model(emd)
    again = bundle.load(bundle.save(bundle.Package("ours", ours), tmp_path / "ours")).model
    with torch.no_grad():
        assert torch.equal(again.network(image), ours.network(image))


def test_a_dilated_network_classifies_by_the_ordinary_way(tmp_path, raster):
    torch.manual_seed(0)
    theirs = arcgis.PSPNet(4, 4, sizes=(1, 3))
    folder = arcgis.write(
        tmp_path / "m", dilated("_psp", pyramid_sizes=[1, 3]), theirs.state_dict()
    ).parent  # fmt: skip
    packed = tmp_path / "m.dlpk"
    with zipfile.ZipFile(packed, "w") as package:
        for name in ("m.emd", "m.pth"):
            package.write(folder / name, name)
    out = classify_pixels(raster, packed, tmp_path / "map.tif", engine="torch")
    assert scheme_of(out).mapping == {0: "NoData", 1: "forest", 2: "water", 3: "urban"}
    with rasterio.open(out) as mapped:
        assert len(np.unique(mapped.read(1)[5:])) > 1


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("_psp", {"use_unet": True}, "got one over fastai's DynamicUnet in m.pth"),
        ("_psp", {}, "A PSPNetClassifier of arcgis.learn must be one without a U-Net"),
        ("_psp", {"backbone": "resnet34"}, "of resnet50, resnet101, resnet152 in pytorch, got res"),
        ("_psp", {"pointrend": True}, "must be one without PointRend"),
        ("_psp", {"pyramid_sizes": ["a"]}, r"at ModelParameters\.pyramid_sizes"),
        ("_deeplab_infrencing", {"pointrend": "yes"}, "at ModelParameters.pointrend"),
        ("_deeplab_infrencing", {}, "A DeepLab of arcgis.learn must be one without a U-Net"),
    ],
)
def test_what_is_not_of_a_published_network_is_one_line(tmp_path, pth, kind, parameters, message):
    emd = arcgis.write(tmp_path / "m", dilated(kind, **parameters), pth)  # weights of a U-Net
    with pytest.raises(ModelError, match=message):
        bundle.load(emd)


@pytest.mark.parametrize("how", ["nothing", "more", "shape", "sizes", "code"])
def test_weights_that_no_published_network_has_are_refused(tmp_path, how):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    bias = {"final.4.bias": torch.zeros(4)}
    sizes = [1] * 17 if how == "sizes" else [1, 2, 3, 6]
    odd = {
        "nothing": {}, "more": {**bias, "ppm.extra": torch.zeros(1)}, "sizes": bias,
        "shape": {**bias, "ppm.features.0.1.weight": torch.zeros(1).expand(10**9)},
        "code": {**bias, "x": Hostile()},
    }[how]  # fmt: skip
    emd = arcgis.write(tmp_path / "m", dilated("_psp", pyramid_sizes=sizes), odd)
    with pytest.raises(ModelError, match=r"must (have an output|fit dilated|be 1 to 16|hold a st)"):
        bundle.load(emd)
    assert not (tmp_path / "owned").exists()


def test_values_are_clamped_to_the_range_then_standardised(model):
    network = bundle.load(model).model
    values = np.random.default_rng(0).uniform(-200, 5000, (4, 64, 64)).astype(np.float32)
    values[1, :8] = 500  # the highest: 30 deviations above the mean, and not clipped at 8
    shares, mean, std = scaled_by_hand(values)
    seen = []
    network.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network(torch.from_numpy(values)[None])
    np.testing.assert_allclose(seen[0][0], (shares - mean) / std, rtol=1e-5, atol=1e-5)
    assert seen[0].max() > 30


def test_bands_may_only_be_scaled_to_their_range(tmp_path, pth):
    emd = arcgis.write(tmp_path / "m", arcgis.definition(DoNormalize=False), pth)
    values = np.random.default_rng(0).uniform(-200, 5000, (4, 32, 32)).astype(np.float32)
    network = bundle.load(emd).model
    seen = []
    network.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.from_numpy(values)[None])
    np.testing.assert_allclose(seen[0][0], scaled_by_hand(values)[0], atol=1e-6)


def test_three_bands_without_statistics_are_scaled_as_photographs(data_folder, tmp_path):
    real = data_folder / "esri" / "classified_tiles_sidecars" / "models" / "30e" / "30e.emd"
    definition = json.loads(real.read_text())
    definition["ModelParameters"]["backbone"] = "resnet18"
    (tmp_path / "30e.emd").write_text(json.dumps(definition))
    torch.save(arcgis.state("resnet18", 3, 3), tmp_path / "30e.pth")
    network = bundle.load(tmp_path / "30e.emd").model
    assert network.scheme.mapping == {0: "NoData", 1: "1", 2: "2"}
    assert network.spec.tile_size == 400
    seen = []
    network.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.full((1, 3, 32, 32), 51.0))
    red, green, blue = seen[0][0, :, 0, 0].tolist()
    assert red == pytest.approx((0.2 - 0.485) / 0.229)
    assert green == pytest.approx((0.2 - 0.456) / 0.224)
    assert blue == pytest.approx((0.2 - 0.406) / 0.225)


@pytest.fixture
def raster(write_raster):
    values = np.random.default_rng(1).uniform(0, 600, (5, 90, 70)).astype(np.uint16)
    values[:, :5, :7] = 0
    return write_raster("r.tif", values, nodata=0)


def test_it_classifies_by_the_ordinary_way(model, raster, tmp_path):
    how = {"engine": "torch", "precision": "float32"}
    out = classify_pixels(raster, model, tmp_path / "map.tif", **how)
    with rasterio.open(out) as mapped, rasterio.open(raster) as source:
        codes, values = mapped.read(1), source.read()
    network = bundle.load(model).model
    filled = network.spec.fill(values[:4], (values != 0).all(0))
    with torch.no_grad():
        best = network(torch.from_numpy(filled)[None]).argmax(1)[0].numpy()
    assert (codes[:5, :7] == 255).all()  # nodata, since 0 is a class
    valid = codes != 255
    assert (codes == best)[valid].mean() > 0.99  # tiles end elsewhere
    assert scheme_of(out).mapping == {0: "NoData", 1: "forest", 2: "water", 3: "urban"}
    packed = tmp_path / "m.dlpk"
    with zipfile.ZipFile(packed, "w") as package:
        for name in ("m.emd", "m.pth"):
            package.write(model.with_name(name), name)
        package.writestr("ArcGISImageClassifier.py", "raise SystemExit")
    again = classify_pixels(raster, packed, tmp_path / "again.tif", **how)
    with rasterio.open(again) as mapped:
        assert (mapped.read(1) == codes).all()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_every_engine_gives_its_classes(model, name, precision):
    if name == "openvino":
        pytest.importorskip("openvino", reason="needs the extra openvino")
    network = bundle.load(model).model
    values = np.random.default_rng(2).uniform(0, 900, (1, 4, 64, 64)).astype(np.uint16)
    with torch.no_grad():
        logits = network(torch.from_numpy(values.astype(np.float32)))
    engine = choose_engine(network, name, device="cpu", precision=precision)
    expected = logits.softmax(1).numpy()
    atol = 1e-5 if precision == "float32" else 0.2
    np.testing.assert_allclose(engine.predict(values), expected, atol=atol)


def test_bands_are_extracted_by_their_place(tmp_path, raster):
    emd = arcgis.write(
        tmp_path / "m", arcgis.definition((2, 0)), arcgis.state("resnet18", 2, 4)
    )  # fmt: skip
    spec = bundle.load(emd).model.spec
    assert spec.bands == ("Band_3", "Band_1")
    assert spec.maximum == (4000.0, 1000.0)
    out = classify_pixels(raster, emd, tmp_path / "map.tif", engine="torch")
    with rasterio.open(raster) as source:
        profile, swapped = source.profile, source.read([3, 1])
    with rasterio.open(tmp_path / "two.tif", "w", **profile | {"count": 2}) as target:
        target.write(swapped)
        target.descriptions = ("Band_3", "Band_1")
    again = classify_pixels(tmp_path / "two.tif", emd, tmp_path / "again.tif", engine="torch")
    with rasterio.open(out) as one, rasterio.open(again) as other:
        assert (one.read(1) == other.read(1)).all()
    with rasterio.open(tmp_path / "nameless.tif", "w", **profile | {"count": 2}) as target:
        target.write(swapped)
    with pytest.raises(BandError, match="must have the bands 3, 1, got 2 in"):
        classify_pixels(tmp_path / "nameless.tif", emd, tmp_path / "c.tif")


def test_ignored_classes_and_values_out_of_order(tmp_path, pth, model):
    classes = [
        {"Value": v, "Name": n, "Color": [v, v, v]} for v, n in ((7, "a"), (2, "b"), (5, "c"))
    ]
    emd = arcgis.write(
        tmp_path / "m", arcgis.definition(Classes=classes, ignore_mapped_class=[0, 3]), pth
    )
    fewer, whole = bundle.load(emd).model, bundle.load(model).model
    assert fewer.scheme.mapping == {2: "b", 7: "a"}
    image = 500 * torch.rand(1, 4, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(fewer(image), whole(image)[:, [2, 1]])


def test_a_model_that_names_the_background_itself(tmp_path, pth):
    classes = [{"Value": v, "Name": f"c{v}", "Color": [v, v, v]} for v in range(4)]
    emd = arcgis.write(tmp_path / "m", arcgis.definition(Classes=classes), pth)
    assert bundle.load(emd).model.scheme.names == ("c0", "c1", "c2", "c3")


def test_tiles_that_were_resized_are_told(tmp_path, pth, caplog):
    emd = arcgis.write(tmp_path / "m", arcgis.definition(ImageHeight=128, ImageWidth=128), pth)
    assert bundle.load(emd).model.spec.tile_size == 64
    assert "run it at 2 times the cell size" in caplog.text


def test_it_goes_on_training_and_becomes_our_package(tiles, tmp_path):
    with rasterio.open(next((tiles / "images").glob("*.tif"))) as tile:
        bands = tile.count
    stats = {
        k: [v] * bands
        for k, v in (
            ("band_min_values", 0.0), ("band_max_values", 4000.0), ("band_mean_values", 1500.0),
            ("band_std_values", 800.0), ("scaled_mean_values", 0.4), ("scaled_std_values", 0.2),
        )
    }  # fmt: skip
    definition = arcgis.definition(
        tuple(range(bands)), NormalizationStats=stats, Bands=[f"B{k}" for k in range(bands)],
        Classes=[{"Value": v, "Name": n, "Color": [1, 2, v]} for v, n in MAPPING.items()],
    )  # fmt: skip
    emd = arcgis.write(
        tmp_path / "m", definition, arcgis.state("resnet18", bands, len(MAPPING) + 1)
    )  # fmt: skip
    data = prepare_data(tiles, class_mapping={0: "NoData", **MAPPING}, batch_size=2)
    with pytest.raises(ModelError, match="classes must be those of the tiles"):
        UnetClassifier.from_model(emd, prepare_data(tiles, class_mapping=MAPPING, batch_size=2))
    with pytest.raises(ModelError, match="DeepLab reads stack deeplab models"):
        DeepLab.from_model(emd)
    classifier = UnetClassifier.from_model(emd, data)
    before = classifier.model.network.classifier.weight.detach().clone()
    classifier.fit(epochs=1, lr=1e-3, max_steps=2, checkpoint=False)
    assert not torch.equal(before, classifier.model.network.classifier.weight)
    ours = bundle.load(classifier.save(tmp_path / "ours")).model
    assert ours.spec == classifier.model.spec
    image = 3000 * torch.rand(1, bands, 32, 32)
    with torch.no_grad():
        assert torch.equal(ours(image), classifier.model.eval()(image))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ModelConfiguration": "_mmseg"}, r"of landshift or of arcgis\.learn's UnetClass"),
        ({"ModelConfiguration": ["_unet"]}, r"of landshift or of arcgis\.learn's UnetClass"),
        ({"Framework": 3}, r"of landshift or of arcgis\.learn's UnetC"),
        ({"ModelParameters": {"backbone": "vgg16"}}, "must have a backbone of resnet18"),
        ({"ModelParameters": {"backbone": "resnet18", "backend": "tensorflow"}}, "in tensorflow"),
        (
            {"ModelParameters": {"backbone": "resnet34"}},
            r"must fit dynamic_unet over resnet34, got \d+ other",
        ),
        ({"ModelParameters": None}, "at ModelParameters in"),
        ({"ModelFile": "../../etc/passwd"}, "must lie beside its .emd, got no file passwd"),
        ({"ModelFile": ".\\none.pth"}, r"got no file none\.pth"),
        ({"ModelFile": ""}, "must lie beside its .emd"),
        ({"ExtractBands": [0, 1, 2]}, "must fit dynamic_unet over resnet18, got 6 other"),
        ({"ExtractBands": [0, 1, 2, -1]}, r"at ExtractBands\.3"),
        ({"ExtractBands": []}, "at ExtractBands"),
        ({"ExtractBands": [0, 1, 2, 9], "Bands": None}, None),
        ({"ExtractBands": [0, 1, 2, 3, 9]}, "a number for each band, got 4 for bands up to 10"),
        ({"Classes": []}, "at Classes"),
        ({"Classes": [{"Value": 1, "Name": "x"}]}, "got 4 outputs and the values"),
        ({"Classes": [{"Value": v, "Name": "x"} for v in (1, 1, 2)]}, "whose values must differ"),
        ({"Classes": [{"Value": v, "Name": "x"} for v in (1, 2, 300)]}, "must lie in 0 to 254"),
        ({"Classes": [{"Value": "1", "Name": "x"}]}, r"at Classes\.0\.Value"),
        ({"Classes": "many"}, "at Classes"),
        ({"ignore_mapped_class": [0, 1, 2, 3]}, "at least one class"),
        ({"ImageHeight": 0}, "at ImageHeight"),
        ({"ImageHeight": 1e9}, "at ImageHeight"),
        ({"NormalizationStats": None}, "must state how its bands are scaled"),
        ({"NormalizationStats": {"band_min_values": [0]}}, "at NormalizationStats"),
        ({"IsMultispectral": False}, "must state how its bands are scaled"),
        ({"resize_to": "64"}, "at resize_to"),
        ({"MinCellSize": 3}, "at MinCellSize"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, pth, changes, message):
    emd = arcgis.write(tmp_path / "m", arcgis.definition(**changes), pth)
    if message is None:
        assert bundle.load(emd).model.spec.bands[3] == "Band_10"
        return
    with pytest.raises(ModelError, match=message) as caught:
        bundle.load(emd)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1.0, 0.0, "x", None, True])
@pytest.mark.parametrize("key", ["scaled_std_values", "band_std_values", "band_max_values"])
def test_statistics_that_are_none_are_one_line(tmp_path, pth, key, number):
    definition = arcgis.definition()
    definition["NormalizationStats"][key] = [1.0, 1.0, number, 1.0]
    with pytest.raises(ModelError, match=r"NormalizationStats|whole JSON"):
        bundle.load(arcgis.write(tmp_path / "m", definition, pth))


def test_every_real_definition_of_another_network_is_one_line(data_folder):
    examples = sorted((data_folder / "esri" / "emd_examples").glob("*.emd"))
    assert len(examples) == 11
    for path in examples:
        with pytest.raises(
            ModelError, match=r"UnetClassifier, PSPNetClassifier, DeepLab, got \w+ of .* \(.*\) in"
        ):
            bundle.load(path)


@pytest.mark.parametrize(
    "how", ["code", "lists", "nothing", "more", "shape", "kind", "cut", "text"]
)
def test_weights_of_others_are_never_trusted(tmp_path, weights, how):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    odd = {
        "code": {**weights, "x": Hostile()},
        "lists": {k: v.tolist() for k, v in list(weights.items())[:3]},
        "nothing": {},
        "more": {**weights, "layers.12.weight": torch.zeros(3)},
        "shape": {**weights, "layers.1.bias": torch.zeros(1).expand(10**9)},
        "sparse": {**weights, "layers.1.bias": torch.zeros(512).to_sparse()},
        "wild": {**weights, "layers.1.bias": torch.full((512,), torch.nan)},
        "kind": {**weights, "layers.1.bias": torch.zeros(512, dtype=torch.int64)},
    }.get(how, weights)
    emd = arcgis.write(tmp_path / "m", arcgis.definition(), odd)
    path = emd.with_name("m.pth")
    if how == "cut":
        path.write_bytes(path.read_bytes()[:100_000])
    if how == "text":
        path.write_text("weights")
    with pytest.raises(
        ModelError,
        match=r"(must (hold a state dict|fit dynamic_unet|have an output)|no plain tensor)",
    ) as caught:
        bundle.load(emd)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "owned").exists()


def test_weights_that_claim_to_be_huge_are_not_unpacked(tmp_path, model):
    folder = shutil.copytree(model.parent, tmp_path / "m")
    with zipfile.ZipFile(folder / "m.pth", "w") as bomb:
        bomb.writestr("archive/data.pkl", b"x")
        bomb.infolist()[0].file_size = 1 << 45
    with pytest.raises(ModelError, match="more than"):
        bundle.load(folder / "m.emd")


def test_weights_behind_a_link_are_not_read(tmp_path, model):
    folder = tmp_path / "m"
    folder.mkdir()
    shutil.copy(model, folder / "m.emd")
    (folder / "m.pth").symlink_to(model.with_name("m.pth"))
    with pytest.raises(ModelError, match="must lie beside"):
        bundle.load(folder / "m.emd")


def test_an_emd_of_theirs_beside_a_model_of_ours_is_theirs(model, saved, tmp_path):
    folder = shutil.copytree(saved.parent, tmp_path / "small")
    shutil.copy(model, folder / "m.emd")
    os.link(model.with_name("m.pth"), folder / "m.pth")
    assert bundle.load(folder / "m.emd").model.architecture == "dynamic_unet"
    assert bundle.load(folder / "small.emd").name == "small"


def test_the_scores_that_it_states_are_shown(pth, tmp_path):
    stated = json.dumps({
        "NoData": {"precision": 0.0, "recall": 0.0, "f1": 0.0},
        "forest": {"precision": 0.9, "recall": 0.8, "f1": 0.847}, "odd": 3,
        "beyond": {"f1": 1.5},
    })  # fmt: skip
    keys = {"accuracy": "8.1763e-01", "per_class_metrics": stated}
    package = bundle.load(arcgis.write(tmp_path / "m", arcgis.definition(**keys), pth))
    assert package.training["stated"] == {"accuracy": 0.81763, "f1": {"NoData": 0, "forest": 0.847}}
    console = Console(file=io.StringIO(), width=200)
    console.print(tables.model(saved.facts_of(package)))
    text = console.file.getvalue()
    assert (
        "accuracy 0.818, F1 of NoData 0.000, F1 of forest 0.847 (as arcgis.learn 2.4.4 states)"
        in text
    )
    path = bundle.save(bundle.Package("again", package.model, package.training), tmp_path / "again")
    assert bundle.load(path).training["stated"] == package.training["stated"]
    for k, odd in enumerate(
        ({"accuracy": "high"}, {"per_class_metrics": "{"}, {"per_class_metrics": "[" * 99})
    ):
        bare = bundle.load(arcgis.write(tmp_path / f"n{k}", arcgis.definition(**odd), pth))
        assert "stated" not in bare.training
