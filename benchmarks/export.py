"""ONNX Runtime against torch: agreement, size, start-up time and speed.

    python benchmarks/export.py --backbone resnet18 --rounds 5

Every architecture in every combination, with random weights, on tiles of noise around the training
mean; probabilities of classes are closer together than those of a trained model. The runtimes run
in turn, in float32, on the same number of threads; read the ratios.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from landshift import bundle
from landshift.classes import ClassScheme, FromToScheme
from landshift.engine import TorchEngine
from landshift.export.graph import write_onnx
from landshift.models import ARCHITECTURES, COMBINATIONS, ChangeModel
from landshift.spec import InputSpec

BANDS = tuple(f"{d}:b{k}" for d in ("before", "after") for k in range(1, 7))
MAPS = ClassScheme.from_mapping({k: f"class {k}" for k in range(1, 4)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--backbone", default="resnet18", help="encoder of all but segformer, which has pvt_v2_b0"
    )
    parser.add_argument("--tile", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--combination", choices=tuple(COMBINATIONS), action="append")
    parser.add_argument("--architecture", choices=tuple(ARCHITECTURES), action="append")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    print("combination architecture  MB  of weights  same class  start-up, speed over torch")
    for combination in arguments.combination or COMBINATIONS:
        for architecture in arguments.architecture or ARCHITECTURES:
            backbone = "pvt_v2_b0" if architecture == "segformer" else arguments.backbone
            model = made(architecture, combination, backbone, arguments.tile)
            with tempfile.TemporaryDirectory() as folder:
                line = compare(model, Path(folder), arguments.rounds)
            print(combination, architecture, line, flush=True)


def made(architecture: str, combination: str, backbone: str, tile: int) -> ChangeModel:
    count = len(BANDS)
    spec = InputSpec(
        BANDS, (950.0,) * count, (360.0,) * count, (0.0,) * count, (2000.0,) * count, tile,
        "uint16", 30.0,
    )  # fmt: skip
    scheme = ClassScheme.from_mapping({k: f"to class {k}" for k in range(1, 12)})
    model = ChangeModel(
        architecture, spec, FromToScheme(MAPS) if combination == "semantic" else scheme,
        combination=combination, map_scheme=MAPS, backbone=backbone,
    )  # fmt: skip
    with (
        torch.no_grad()
    ):  # some batch norms start at 0, and layers before them would have no effect
        for weights in model.parameters():
            weights += 0.02 * torch.randn_like(weights)
    return model.eval()


def compare(model: ChangeModel, folder: Path, rounds: int) -> str:
    """One line of figures."""
    package = bundle.save(bundle.Package("m", model), folder / "m", overwrite=True)
    path = write_onnx(model, folder / "m.onnx", overwrite=True)
    weights = (folder / "m" / "m.safetensors").stat().st_size
    random = np.random.default_rng(0)
    size = model.spec.tile_size
    image = random.normal(950, 360, (1, len(BANDS), size, size)).clip(0).astype(np.uint16)

    def started_torch() -> Callable[[], np.ndarray]:
        engine = TorchEngine(bundle.load(package).model, device="cpu", precision="float32")
        return lambda: engine.predict(image)

    def started_onnx() -> Callable[[], np.ndarray]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )  # fmt: skip
        return lambda: session.run(None, {"image": image})[0]

    starts, speeds, alike = [], [], []
    for _ in range(rounds):
        took, ran, outputs = [], [], []
        for start in (started_torch, started_onnx):
            began = time.perf_counter()
            run = start()
            outputs.append(run())
            took.append(time.perf_counter() - began)
            began = time.perf_counter()
            run()
            ran.append(time.perf_counter() - began)
        starts.append(took[1] / took[0])
        speeds.append(ran[0] / ran[1])
        alike.append((outputs[0].argmax(1) == outputs[1].argmax(1)).mean())
    size_of = path.stat().st_size
    return (
        f"{size_of / 1e6:.1f} {size_of / weights:.2f} {min(alike):.5%} "
        f"{statistics.median(starts):.2f} ({min(starts):.2f} to {max(starts):.2f}) "
        f"{statistics.median(speeds):.2f} ({min(speeds):.2f} to {max(speeds):.2f})"
    )


if __name__ == "__main__":
    main()
