"""Size of packages, and time to load them.

    python benchmarks/packages.py
    python benchmarks/packages.py --architecture deeplab --backbone resnet101

A model with random weights is saved. Then a new process imports the package and loads the folder
and the .dlpk a few times, in turn with building the network with random weights, as a loader would
that initialises weights before it replaces them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHILD = """
import json, statistics, sys, time
start = time.perf_counter()
import torch
torch_alone = time.perf_counter() - start
from landshift import bundle
from landshift.models import ChangeModel
imports = time.perf_counter() - start
times = {"folder": [], "dlpk": [], "random start": []}
for _ in range(int(sys.argv[2])):
    for name, path in (("folder", sys.argv[1]), ("dlpk", sys.argv[1] + "/bench.dlpk")):
        start = time.perf_counter()
        model = bundle.load(path).model
        times[name].append(time.perf_counter() - start)
    start = time.perf_counter()
    ChangeModel(
        model.architecture, model.spec, model.scheme, backbone=model.backbone,
        combination=model.design.combination, options=model.design.options,
    )
    times["random start"].append(time.perf_counter() - start)
medians = {name: statistics.median(seconds) for name, seconds in times.items()}
first = times["folder"][0]
print(json.dumps({"torch": torch_alone, "imports": imports, "first load": first, **medians}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", default="unet")
    parser.add_argument("--backbone", default="resnet34")
    parser.add_argument("--bands", type=int, default=12, help="of two dates together")
    parser.add_argument("--classes", type=int, default=11)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()

    from landshift import bundle
    from landshift.classes import ClassScheme
    from landshift.models import ChangeModel
    from landshift.spec import InputSpec

    count = arguments.bands
    spec = InputSpec(
        bands=tuple(f"{d}:b{k}" for d in ("before", "after") for k in range(count // 2)),
        mean=(1000.0,) * count, std=(300.0,) * count, minimum=(0.0,) * count,
        maximum=(10_000.0,) * count, tile_size=256, dtype="uint16", cell_size=30.0,
    )  # fmt: skip
    scheme = ClassScheme.from_mapping({k + 1: f"to {k}" for k in range(arguments.classes)})
    model = ChangeModel(arguments.architecture, spec, scheme, backbone=arguments.backbone)
    weights = sum(v.numel() for v in model.state_dict().values())
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "bench"
        start = time.perf_counter()
        bundle.save(bundle.Package("bench", model), folder)
        saved = time.perf_counter() - start
        print(f"{arguments.architecture} over {arguments.backbone}: {weights / 1e6:.1f} million")
        print(f"saved in {saved:.2f} s:")
        for path in sorted(folder.iterdir()):
            print(f"  {path.name:20} {path.stat().st_size:>12,} bytes")
        command = [sys.executable, "-c", CHILD, str(folder), str(arguments.rounds)]
        child = subprocess.run(command, capture_output=True, text=True, check=True)
        for name, seconds in json.loads(child.stdout).items():
            print(f"{name:14} {seconds:6.2f} s")


if __name__ == "__main__":
    main()
