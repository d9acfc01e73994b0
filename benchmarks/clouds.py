"""Clouds and shadows that `composite --mask-clouds` finds, beside those of a quality band.

    python benchmarks/clouds.py DATA

DATA holds chiapas_l7: two Landsat 7 images with Fmask, which is a peer and no truth. On simulated
ground, clouds and shadows lie where the simulator puts them (5 % of the land): a white veil of 30
to 100 % and ground at 40 % of its light; and the same ground is looked at without clouds.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from scipy import special

import landshift
from landshift import images
from landshift.grid import Window
from landshift.images import clouds
from landshift.simulation.noise import fractal_noise, stream_key
from landshift.simulation.tables import SHADOW

SIZE, SHARE = 768, 0.05


def found(plan, folder):
    """The mask of an image on its own grid."""
    path = folder / "mask.tif"
    clouds.hidden(plan, plan.layers[0].info.grid, 0.0001, path)
    with rasterio.open(path) as source:
        return source.read(1)


def painted(path, seed):
    """Clouds and shadows over a simulated image; where they are."""
    reach = max(SHADOW)
    wide = Window(0, 0, SIZE, SIZE).grown(reach)
    height = fractal_noise(wide, 90.0, 4, stream_key(seed, "clouds before"))
    height = height - special.ndtri(1 - SHARE)
    here, there = (
        height[reach + down : reach + down + SIZE, reach + right : reach + right + SIZE]
        for down, right in ((0, 0), SHADOW)
    )
    cloud, shadow = here > 0, (there > 0) & (here <= 0)
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as target:
        values = target.read().astype(np.float32)
        veil = np.where(cloud, np.clip(0.3 + here / 0.3, 0, 1), 0)
        values = np.where(shadow, 0.4 * values, (1 - veil) * values + veil * 6500)
        target.write(values.astype(target.dtypes[0]))
    return cloud, shadow


def report(name, mask, cloud, shadow, clear):
    """A line of a table."""
    hit = np.isin(mask, (clouds.CLOUD, clouds.SHADOW, clouds.EDGE))
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
                folder / str(seed), height=SIZE, width=SIZE, seed=seed,
                conditions=landshift.SceneConditions(clouds=0, scan_gaps=False),
            )  # fmt: skip
            mask = found(images.plan(images.Image((scene.before,))), folder)
            none = np.zeros(mask.shape, bool)
            report(f"simulated {seed}, no clouds", mask, none, none, ~none)
            cloud, shadow = painted(scene.before, seed)
            mask = found(images.plan(images.Image((scene.before,))), folder)
            report(f"simulated {seed}, clouds", mask, cloud, shadow, ~cloud & ~shadow)


if __name__ == "__main__":
    main()
