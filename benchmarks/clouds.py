"""Clouds and shadows that `composite --mask-clouds` finds, beside those of a quality band.

    python benchmarks/clouds.py DATA

DATA holds chiapas_l7: two Landsat 7 images with Fmask, which is a peer and no truth. The simulated
images have no clouds: what is hidden there is clear.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import rasterio

import landshift
from landshift import images
from landshift.images import clouds


def found(plan, folder):
    """The mask of an image on its own grid."""
    path = folder / "mask.tif"
    clouds.hidden(plan, plan.layers[0].info.grid, 0.0001, path)
    with rasterio.open(path) as source:
        return source.read(1)


def report(name, mask, cloud, shadow, clear):
    """A line of a table."""
    hit = np.isin(mask, (clouds.CLOUD, clouds.SHADOW))
    shares = [
        hit[where].mean() if where.any() else float("nan") for where in (cloud, shadow, clear)
    ]
    print(
        f"| {name} | " + " | ".join(f"{share:.1%}" for share in shares) + f" | {cloud.mean():.1%} |"
    )


def main() -> None:
    """Print the shares of cloud, shadow and clear ground that are hidden."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("data", type=Path)
    data = options.parse_args().data
    print("| image | cloud hidden | shadow hidden | clear hidden | cloud in the image |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for path in sorted((data / "chiapas_l7").glob("t?_*.tif")):
            with rasterio.open(path) as source:
                fmask, values = source.read(8), source.read(range(1, 7))
                profile = source.profile | {"count": 6}
            valid = (values > -9000).all(axis=0)
            with rasterio.open(folder / path.name, "w", **profile) as target:
                target.write(values)
                target.descriptions = ("blue", "green", "red", "nir", "swir1", "swir2")
            mask = found(images.plan(images.Image((folder / path.name,))), folder)
            clear = (fmask == 0) & valid
            report(path.stem, mask, (fmask == 4) & valid, (fmask == 2) & valid, clear)
        for seed in (1, 2, 3):
            scene = landshift.simulate(
                folder / str(seed), height=512, width=512, seed=seed,
                conditions=landshift.SceneConditions(clouds=0, scan_gaps=False),
            )  # fmt: skip
            mask = found(images.plan(images.Image((scene.before,))), folder)
            none = np.zeros(mask.shape, bool)
            report(f"simulated, cloudless, seed {seed}", mask, none, none, ~none)


if __name__ == "__main__":
    main()
