"""Models for other programs: ONNX, QGIS' Deepness, ArcGIS."""

import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from torch import nn

import commands
from landshift import bundle, classify_pixels, export
from landshift.bundle.emd import definition as definition_of
from landshift.classes import ClassScheme, FromToScheme
from landshift.engine import TorchEngine
from landshift.errors import ModelError, OutputError, ParameterError
from landshift.export.facts import facts
from landshift.export.graph import ENOUGH, onnx_bytes, probabilities, write_onnx
from landshift.export.hosts import write_for_host
from landshift.models import ARCHITECTURES, COMBINATIONS, ChangeModel
from landshift.spec import InputSpec
from packages import ENCODED
from scenes import BANDS

pytest.importorskip("onnx", reason="the extra 'onnx' isn't installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra 'onnx' isn't installed")

CLASSES = ClassScheme.from_mapping({1: "crop", 3: "forêt", 20: "No change"})
MAPS = ClassScheme.from_mapping({1: "crop", 2: "water"})
SPEC = InputSpec(("a",), (1.0,), (1.0,), (0.0,), (9.0,), 64, "uint16", 30.0)


def made(architecture="unet", combination="stack", *, tile_size=64, dtype="uint16", scheme=CLASSES):
    """A small network with random weights for two dates of three bands."""
    semantic = combination == "semantic"
    mean, std = (90.5, 30.0) if dtype == "uint8" else (1000.3, 310.0)
    spec = InputSpec(
        tuple(BANDS), (mean,) * 6, (std,) * 6, (0.0,) * 6, (3000.0,) * 6, tile_size, dtype, 30.0
    )
    model = ChangeModel(
        architecture, spec, FromToScheme(MAPS) if semantic else scheme, combination=combination,
        map_scheme=MAPS if semantic else None,
        backbone="pvt_v2_b0" if architecture == "segformer" else "resnet10t",
    )  # fmt: skip
    model.temperature = 1.7
    return stirred(model)


def stirred(model):
    """A model whose layers all have an effect: some batch norms start at 0."""
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in model.parameters():
            weights += 0.02 * torch.randn(weights.shape, generator=random)
    return model.eval()


def values(model, *shape, seed=1):
    """Tiles ``(batch, band, row, column)`` with values as in training."""
    random = np.random.default_rng(seed)
    mean, std = model.spec.mean[0], model.spec.std[0]
    return random.normal(mean, std, shape).clip(0, None).astype(model.spec.dtype)


def run(path, image):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})[0]


def check_agreement(model, path):
    size = model.spec.tile_size
    for batch, height, width in ((2, size, size), (1, size + 37, size + 15)):
        if model.fixed_tile:
            height = width = size
        image = values(model, batch, 6, height, width)
        output, expected = run(path, image), probabilities(model, image)
        assert output.shape == expected.shape == (batch, len(model.scheme), height, width)
        assert output == pytest.approx(expected, abs=1e-4)
        assert (output.argmax(1) == expected.argmax(1)).mean() >= ENOUGH


@pytest.mark.parametrize(
    ("architecture", "combination"),
    [("unet", "stack"), ("pspnet", "stack"), ("fpn", "siamese"), ("unet", "semantic")],
)
def test_onnx_runtime_agrees_with_torch(architecture, combination, tmp_path):
    model = made(architecture, combination, tile_size=48)  # no multiple of 32
    check_agreement(model, write_onnx(model, tmp_path / "m.onnx"))


@pytest.mark.slow
@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("architecture", ENCODED)
def test_onnx_runtime_agrees_with_torch_for_all_architectures(architecture, combination, tmp_path):
    model = made(architecture, combination, tile_size=96)
    check_agreement(model, write_onnx(model, tmp_path / "m.onnx"))


def test_one_file_takes_raster_values_and_names_no_path(tmp_path):
    import onnx

    model = made()
    path = write_onnx(model, tmp_path / "m.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (image,), (out,) = session.get_inputs(), session.get_outputs()
    assert image.type == "tensor(uint16)"
    assert image.shape == ["batch", 6, "rows", "columns"]
    assert out.shape == ["batch", 3, "rows", "columns"]
    data = path.read_bytes()
    assert onnx_bytes(model) == data
    graph = onnx.load_model_from_string(data)
    del graph.graph.initializer[:]
    text = str(graph)
    assert "site-packages" not in text
    assert str(Path(export.__file__).parents[2]) not in text


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float64"])
def test_each_pixel_type_is_an_input_type(dtype, tmp_path):
    model = made(dtype=dtype)
    path = write_onnx(model, tmp_path / "m.onnx")
    image = values(model, 1, 6, 40, 70)
    assert image.dtype == dtype
    assert run(path, image) == pytest.approx(probabilities(model, image), abs=1e-4)


@pytest.mark.parametrize(
    ("dtype", "nodata", "bad"),
    [
        ("float32", None, np.nan),
        ("float32", -9999.0, -9999.0),
        ("float32", -np.inf, -np.inf),
        ("uint16", 0, 0),
    ],
)
def test_pixels_that_are_not_valid_become_the_mean_in_all_bands(dtype, nodata, bad, tmp_path):
    model = made(dtype=dtype)
    path = write_onnx(model, tmp_path / "m.onnx", nodata=nodata)
    image = values(model, 1, 6, 64, 64)
    image[image == 0] = 1
    mask = np.ones((1, 64, 64), np.bool_)
    mask[0, 5:9, 40:] = False
    image[0, 2, ~mask[0]] = bad  # in one band
    filled = model.spec.fill(image[0], mask[0])[np.newaxis]
    output = run(path, image)
    assert np.isfinite(output).all()
    assert output == pytest.approx(probabilities(model, filled), abs=1e-4)


def test_options_out_of_range_are_refused(tmp_path):
    model, out = made(), tmp_path / "m.onnx"
    with pytest.raises(ParameterError, match=r"pixel type must be .* got 'complex64'"):
        write_onnx(model, out, dtype="complex64")
    with pytest.raises(ParameterError, match="`nodata` must fit uint16, got -1"):
        write_onnx(model, out, nodata=-1)
    with pytest.raises(ParameterError, match="`tile_size` must be at least 1, got 0"):
        write_onnx(model, out, tile_size=0)
    with pytest.raises(ParameterError, match=r"pspnet, which pools .* must be .* 64, got 96"):
        write_onnx(made("pspnet"), out, tile_size=96)
    with pytest.raises(ParameterError, match="`host` must be one of any, deepness"):
        export.export_model("m.emd", out, host="photoshop")
    with pytest.raises(OutputError, match="got the folder"):
        write_onnx(model, tmp_path)
    assert not list(tmp_path.iterdir())


class Moody(nn.Module):
    """A network whose layers depend on its input, which a trace can't represent."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(6, 3, 1)

    def forward(self, images):
        logits = self.layer(images)
        return logits if images.shape[-1] == 64 else -logits


class Shy(nn.Module):
    """A network with an operation that ONNX lacks."""

    def forward(self, images):
        return torch.linalg.qr(images)[0][:, :3]


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Moody(), "same output in ONNX Runtime and in torch, got the same class on"),
        (Shy(), r"must be representable in ONNX, got own over Shy \("),
    ],
)
def test_a_network_that_onnx_cannot_represent_is_refused(network, message, tmp_path):
    model = ChangeModel(network, made().spec, CLASSES)
    with pytest.raises(ModelError, match=message):
        write_onnx(model, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_a_model_in_training_stays_in_training(tmp_path):
    model = made().train()
    write_onnx(model, tmp_path / "m.onnx")
    assert model.training
    assert model.network.training


def deepness(path, tile):
    """What QGIS' plugin Deepness does to a tile ``(row, column, band)``: names, and the classes.

    After its published source (github.com/PUTvision/qgis-plugin-deepness: model_base.py,
    preprocessing_utils.py, segmentor.py, map_processor_segmentation.py).
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    ((name, shape, kind),) = ((i.name, i.shape, i.type) for i in session.get_inputs())
    assert kind == "tensor(float)"
    assert isinstance(shape[-1], int)
    assert shape[-2:] == [shape[-1]] * 2 == session.get_outputs()[0].shape[-2:]
    assert tile.shape[:2] == (shape[-1],) * 2
    assert json.loads(metadata["model_type"]).capitalize() == "Segmentor"
    names = sorted(json.loads(metadata["class_names"]).items(), key=lambda item: int(item[0]))
    assert [int(key) for key, _ in names] == list(range(len(names)))
    mean, std = (
        np.array(json.loads(metadata[f"standardization_{what}"]), np.float32)
        for what in ("mean", "std")
    )
    tiles = np.float32(tile[np.newaxis, :, :, : shape[-3]] * 1.0 / 255.0)
    output = session.run(None, {name: ((tiles - mean) / std).transpose(0, 3, 1, 2)})[0]
    output[output < float(json.loads(metadata["seg_thresh"]))] = 0
    assert int(json.loads(metadata["seg_small_segment"])) // 2 * 2 + 1 == 1  # its median filter
    return [label for _, label in names], output.argmax(1)[0]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_deepness_gives_the_same_classes_for_any_pixel_type(dtype, tmp_path):
    model = made(dtype=dtype, tile_size=80)
    path = write_for_host(model, tmp_path / "m.onnx", host="deepness", nodata=0)
    image = values(model, 1, 6, 80, 80)
    image[image == 0] = 1
    mask = np.ones((1, 80, 80), np.bool_)
    mask[0, :30, :10] = False
    image[0, :, ~mask[0]] = 0
    names, classes = deepness(path, np.moveaxis(image[0], 0, -1))
    assert names == list(model.scheme.names)
    expected = TorchEngine(model, device="cpu", precision="float32").best(image, mask)[0]
    assert (classes == expected).mean() >= ENOUGH


def test_deepness_reads_tile_size_overlap_and_resolution(tmp_path):
    import onnx

    path = write_for_host(made(), tmp_path / "m.onnx", host="deepness", tile_size=160)
    metadata = {p.key: json.loads(p.value) for p in onnx.load(path).metadata_props}
    assert metadata["tile_size"] == metadata["tiles_size"] == 160
    assert metadata["tiles_overlap"] == 50  # a quarter on each side
    assert metadata["resolution"] == 3000  # centimetres
    assert metadata["landshift"]["bands"] == BANDS
    assert metadata["landshift"]["classes"] == CLASSES.as_list()
    assert metadata["landshift"]["fill"] == pytest.approx([1000.3] * 6, abs=1e-3)


def test_the_example_of_the_documentation_agrees_with_classify(monkeypatch, tmp_path, write_raster):
    page = Path(__file__).parents[2] / "docs" / "export.md"
    lines = page.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    model = made()
    image = values(model, 6, 64, 64)
    image[:, :20, :20] = 0
    write_raster("composite.tif", image, nodata=0, bands=BANDS)
    write_onnx(model, tmp_path / "unet_10.onnx")
    monkeypatch.chdir(tmp_path)
    variables: dict = {}
    exec(lines, variables)
    mapped = classify_pixels(
        "composite.tif", model, "map.tif", 0, tile_size=64, engine="torch", precision="float32"
    )
    with rasterio.open(mapped) as source:
        assert (variables["classes"] == source.read(1)).mean() > 0.99  # the means are rounded


HOST = """
import importlib.util, json, sys
import numpy as np

class Alone:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "landshift", "onnx", "rasterio", "scipy"):
            raise ImportError(f"{name} isn't there")

sys.meta_path.insert(0, Alone())
emd, scene, out, given = sys.argv[1:]
definition = json.loads(open(emd, encoding="utf-8").read())
module = definition["InferenceFunction"].removesuffix(".py")
path = emd.rsplit("/", 1)[0] + "/" + definition["InferenceFunction"]
spec = importlib.util.spec_from_file_location(module, path)
loaded = importlib.util.module_from_spec(spec)
spec.loader.exec_module(loaded)
function = getattr(loaded, module)()
as_text = json.loads(given).pop("as_text", False)
masked = "nodata" not in json.loads(given)  # else pixels beyond the raster are nodata
function.initialize(model=json.dumps(definition) if as_text else emd, device=-1)
parameters = {p["name"]: p for p in function.getParameterInfo()}
scalars = {n: p["value"] for n, p in parameters.items() if "value" in p} | json.loads(given)
configuration = function.getConfiguration(**scalars)
information = function.updateRasterInfo(
    raster_info={}, output_info={"bandCount": 9, "pixelType": "f4", "noData": None}, **scalars
)["output_info"]
with np.load(scene) as held:
    pixels, mask = (held[n][list(configuration["extractBands"])] for n in ("pixels", "mask"))
height, width = pixels.shape[1:]
around = [(0, 0)] + [(configuration["padding"],) * 2] * 2
beyond = 0 if masked else json.loads(given)["nodata"]
pixels, mask = np.pad(pixels, around, constant_values=beyond), np.pad(mask, around)
classes = np.full((height, width), 77, information["pixelType"])
valid = np.full((height, width), 7, "u1")
down, right, halo = configuration["ty"], configuration["tx"], 2 * configuration["padding"]
for row in range(0, height, down):
    for column in range(0, width, right):
        rows, columns = min(down, height - row), min(right, width - column)
        at = (..., slice(row, row + rows + halo), slice(column, column + columns + halo))
        blocks = function.updatePixels(
            (column, row), (1, rows, columns), {"pixelType": information["pixelType"]},
            raster_pixels=pixels[at].copy(),
            **({"raster_mask": mask[at].copy()} if masked else {}),
        )
        here = slice(row, row + rows), slice(column, column + columns)
        classes[here], valid[here] = blocks["output_pixels"][0], blocks["output_mask"][0]
np.savez(out, classes=classes, valid=valid)
table = json.loads(information.pop("rasterAttributeTable"))
print(json.dumps({
    "parameters": parameters, "configuration": configuration, "table": table,
    "information": {k: np.array(v).tolist() for k, v in information.items() if k != "statistics"},
    "modules": sorted({m.split(".")[0] for m in sys.modules}),
}))
"""


def arcgis(emd, pixels, mask, tmp_path, **given):
    """Classes, mask and parameters of the raster function, called by a host as documented."""
    np.savez(tmp_path / "scene.npz", pixels=pixels, mask=mask.astype("u1"))
    done = subprocess.run(
        [sys.executable, "-I", "-c", HOST, str(emd), str(tmp_path / "scene.npz"),
         str(tmp_path / "out.npz"), json.dumps(given)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as held:
        return held["classes"], held["valid"], json.loads(done.stdout)


def real_model(path, scheme):
    """A small network of random weights for the bands and values of a raster, and its pixels.

    Its means are whole numbers, so that the function can fill with them in the raster's integers.
    """
    with rasterio.open(path) as source:
        pixels, mask = source.read(), source.read_masks() > 0
        dtype = source.dtypes[0]
    valid = pixels[:, mask.all(0)].astype(np.float64)
    mean, std = (tuple(map(float, v)) for v in (valid.mean(1).round(), valid.std(1) + 1))
    low, high = (tuple(map(float, v)) for v in (valid.min(1), valid.max(1)))
    names = tuple(f"b{k}" for k in range(1, len(pixels) + 1))
    spec = InputSpec(names, mean, std, low, high, 128, dtype, 30.0)
    return stirred(ChangeModel("unet", spec, scheme, backbone="resnet10t")), pixels, mask


def save(model, folder):
    extras = [export.for_arcgis(model, folder.name)]
    return bundle.save(bundle.Package(folder.name, model), folder, extras=extras)


def test_arcgis_agrees_with_classify_on_a_real_raster(data_folder, tmp_path):
    path = data_folder / "robustness_rasters" / "rasterio" / "RGB.byte.tif"  # a third is nodata
    model, pixels, mask = real_model(path, CLASSES)
    emd = save(model, tmp_path / "m")
    classes, valid, report = arcgis(emd, pixels, mask, tmp_path, batch_size="6", padding=16)
    mapped = classify_pixels(
        path, emd, tmp_path / "map.tif", 16, tile_size=128, engine="torch", precision="float32"
    )
    with rasterio.open(mapped) as source:
        expected = source.read(1)
    assert ((valid == 1) == mask.all(0)).all()
    assert (classes[valid == 0] == 0).all()
    assert (expected[valid == 0] == 0).all()
    assert (classes == expected).mean() >= ENOUGH
    assert set(np.unique(classes)) <= {0, *CLASSES.values}
    assert report["configuration"]["tx"] == 3 * 96
    assert report["configuration"]["ty"] == 2 * 96
    assert report["configuration"]["inputMask"] is True
    assert report["information"]["bandCount"] == 1
    assert report["information"]["pixelType"] == "u1"
    assert report["information"]["noData"] == [0]
    rows = [f["attributes"] for f in report["table"]["features"]]
    assert [(r["Value"], r["Class"]) for r in rows] == list(CLASSES.mapping.items())
    assert not {"torch", "landshift", "rasterio"} & set(report["modules"])


def test_arcgis_parameters_are_those_of_esris_functions(tmp_path):
    model = made()
    emd = save(model, tmp_path / "m")
    bundle.keep_padding(emd, 24)
    image = values(model, 6, 80, 70)
    _, _, report = arcgis(emd, image, np.ones((6, 80, 70), bool), tmp_path, as_text=True)
    offered = {n: p.get("value") for n, p in report["parameters"].items()}
    assert offered == {
        "raster": None, "model": None, "device": None, "padding": 24, "batch_size": 4,
        "predict_background": "True", "test_time_augmentation": "False", "tile_size": 96,
    }  # fmt: skip
    assert all(p["displayName"] and p["description"] for p in report["parameters"].values())
    definition = json.loads(emd.read_text())
    assert definition["InferenceFunction"] == "LandshiftClassifier.py"
    assert definition["ModelFile"] == "m.onnx"
    assert definition["Framework"] == "Onnx"
    assert bundle.load(emd).model.design == model.design


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("size", [64, 250, 256])
def test_arcgis_and_deepness_keep_a_core_of_half_the_tile(tmp_path, architecture, size):
    """At every padding that may have been measured, by the function's own defaults."""
    from landshift.export.LandshiftClassifier import LandshiftClassifier

    fixed = ARCHITECTURES[architecture].fixed_tile
    for padding in (None, *range(size // 2 + 1)):
        spec = replace(SPEC, tile_size=size, padding=padding)
        tile, halo = spec.hosted(fixed=fixed)
        assert tile - 2 * halo >= tile / 2
        assert (tile, halo) == spec.hosted(tile, fixed=fixed)
        assert halo == (padding if padding is not None and not fixed else min(
            size // 4, size if padding is None else padding
        ))  # fmt: skip
        (tmp_path / "landshift.json").write_text(json.dumps({"input": spec.as_dict()}))
        for height in (size, tile):  # as before the padding was measured, and after
            definition = {
                "ModelFile": "m.onnx", "LandshiftModel": "landshift.json", "ImageHeight": height,
                "ExtractBands": [0], "Classes": [], "SupportsVariableTileSize": not fixed,
            }  # fmt: skip
            (tmp_path / "m.emd").write_text(json.dumps(definition))
            function = LandshiftClassifier()
            function.initialize(model=str(tmp_path / "m.emd"))
            offered = {p["name"]: p["value"] for p in function.getParameterInfo() if "value" in p}
            assert (offered.get("tile_size", height), offered["padding"]) == (tile, halo)
            configuration = function.getConfiguration(**offered)
            assert configuration["padding"] == halo
            assert (configuration["ty"], configuration["tx"]) == (2 * (tile - 2 * halo),) * 2
            assert function.getConfiguration() == configuration
            assert (
                function.getConfiguration(**{k: str(v) for k, v in offered.items()})
                == configuration
            )


def test_package_and_deepness_state_the_tile_size_for_the_padding(tmp_path):
    for padding, tile in ((None, 64), (16, 64), (24, 96), (32, 128)):
        spec = replace(SPEC, tile_size=64, padding=padding)
        model = ChangeModel("unet", spec, CLASSES, backbone="resnet10t")
        emd = definition_of(bundle.Package("m", model), "m.pth", "landshift.json")
        assert (emd["ImageHeight"], emd["ImageWidth"]) == (tile, tile)
        about = {k: json.loads(v) for k, v in facts(model, "float32", tile, None).items()}
        assert (about["tile_size"], about["tiles_overlap"]) == (tile, 50)
        assert json.loads(facts(model, "uint16", None, None)["tile_size"]) == tile
    fixed = ChangeModel("pspnet", replace(SPEC, tile_size=64, padding=32), CLASSES,
                        backbone="resnet10t")  # fmt: skip
    about = {k: json.loads(v) for k, v in facts(fixed, "float32", None, None).items()}
    assert (about["tile_size"], about["tiles_overlap"]) == (64, 50)


@pytest.mark.parametrize("masked", [True, False])
def test_arcgis_treats_nodata_the_same_with_and_without_a_mask(write_raster, tmp_path, masked):
    model = made()
    model.spec = replace(model.spec, nodata=7.0, padding=32)
    image = values(model, 6, 90, 70)
    image[image == 7] = 8
    image[:, :20, :30] = 7
    image[2, 60:, 40:] = 7  # in one band only
    raster = write_raster("scene.tif", image, nodata=7, bands=BANDS)
    path = save(model, tmp_path / "m")
    mask = image != 7
    classes, valid, report = arcgis(
        path, image, mask, tmp_path, **({} if masked else {"nodata": 7})
    )
    assert report["configuration"]["padding"] == 32
    assert ((valid == 1) == mask.all(0)).all()
    assert (classes[valid == 0] == 0).all()
    mapped = classify_pixels(
        raster, path, tmp_path / "map.tif", 32, tile_size=128, engine="torch", precision="float32"
    )
    with rasterio.open(mapped) as source:
        assert (classes == source.read(1)).mean() >= 0.999
    graph = export.export_model(path, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["landshift"])["nodata"] == 7


def test_arcgis_augments_tiles_and_excludes_the_background(write_raster, tmp_path):
    scheme = ClassScheme.from_mapping({0: "background", 2: "crop", 7: "water"})
    model = made(scheme=scheme)
    image = values(model, 6, 90, 70)
    mask = np.ones((6, 90, 70), bool)
    mask[3, :20, :30] = False
    image[image == 0] = 1
    image[:, ~mask.all(0)] = 0
    raster = write_raster("scene.tif", image, nodata=0, bands=BANDS)
    emd = save(model, tmp_path / "m")
    given = {"padding": 0, "predict_background": "False", "test_time_augmentation": "True"}
    classes, valid, _ = arcgis(emd, image, mask, tmp_path, **given)
    mapped = classify_pixels(
        raster, emd, tmp_path / "map.tif", 0, tile_size=64, turns=True,
        predict_background=False, engine="torch", precision="float32",
    )  # fmt: skip
    with rasterio.open(mapped) as source:
        expected = source.read(1)
    assert (classes[valid == 0] == 255).all()
    assert set(np.unique(classes[valid == 1])) <= {2, 7}
    assert (classes == expected).mean() >= 0.999


def test_arcgis_refuses_invalid_parameters(tmp_path):
    from landshift.export.LandshiftClassifier import LandshiftClassifier

    function = LandshiftClassifier()
    function.initialize()  # as ArcGIS does when it inspects it
    assert len(function.getParameterInfo()) == 7
    with pytest.raises(ValueError, match=r"path of an \.emd or its JSON text, got nowhere"):
        function.initialize(model="nowhere")
    emd = save(made(), tmp_path / "m")
    function.initialize(model=emd, device="")
    for scalars in ({"padding": -1}, {"tile_size": 0, "padding": 0}):
        with pytest.raises(ValueError, match="padding must be from 0 to a quarter of the tile"):
            function.getConfiguration(**scalars)
    with pytest.raises(ValueError, match="batch size must be at least 1, got 0"):
        function.getConfiguration(batch_size=0)
    with pytest.raises(ValueError, match="padding must be a whole number, got 'wide'"):
        function.getConfiguration(padding="wide")
    function.getConfiguration()
    with pytest.raises(ValueError, match="must have the model's 6 bands, got 4"):
        function.updatePixels((0, 0), (1, 4, 4), {}, raster_pixels=np.zeros((4, 36, 36), "u2"))


def test_a_model_without_onnx_representation_is_saved_with_a_warning(tmp_path, caplog):
    model = ChangeModel(Moody(), made().spec, CLASSES)
    with caplog.at_level(logging.WARNING):
        emd = save(model, tmp_path / "m")
    assert "m is saved without ONNX file and ArcGIS function: The network must" in caplog.text
    assert "InferenceFunction" not in json.loads(emd.read_text())
    assert not (emd.parent / "m.onnx").exists()


def test_without_the_extra_a_warning_names_it(monkeypatch, tmp_path, caplog):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with caplog.at_level(logging.WARNING):
        emd = save(made(), tmp_path / "m")
    assert r"pip install 'landshift[onnx]'" in caplog.text
    assert json.loads(emd.read_text())["Framework"] == "landshift"
    with pytest.raises(ParameterError, match="must have the package onnxruntime, got"):
        write_onnx(made(), tmp_path / "m.onnx")


def test_the_command_writes_a_saved_model_for_a_host(saved, tmp_path):

    out = tmp_path / "d.onnx"
    asked = ["model", "export", str(saved), "-o", str(out), "--for", "deepness", "--nodata", "0"]
    done = commands.run(*asked)
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(out)
    names, classes = deepness(out, np.full((64, 64, 6), 1000, np.uint16))
    assert names == ["to crop", "No change"]
    assert classes.shape == (64, 64)
    packed = saved.with_suffix(".onnx")
    session = onnxruntime.InferenceSession(packed, providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].type == "tensor(uint16)"
