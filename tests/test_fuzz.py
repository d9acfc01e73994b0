"""Files of packages and tile sets with bytes and values changed at random.

Whatever is in them, reading gives a result or an error of ours, and writes nothing outside.
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from torch import nn

import packages
from cutting import cut_tiles
from fuzzing import mutations, other_values
from landshift import bundle, tileset
from landshift.classes import ClassScheme
from landshift.errors import LandshiftError, TileSetError
from landshift.files import archive
from scenes import BANDS, MAPPING, striped_scene, write

DATA = Path(__file__).parents[2] / "shared" / "data"
INPUTS = 2_000
MANY = 100_000


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder around all that a target may touch: a package, a tile set, and where it works."""
    root = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("here", "temporary", "unpacked"):
            (root / name).mkdir()
        patch.chdir(root / "here")
        patch.setattr(tempfile, "tempdir", str(root / "temporary"))
        packages.save(root, packages.untrained(nn.Conv2d(6, 2, 1), backbone=None))
        composite, labels = striped_scene(32)
        image = write(root / "c.tif", composite, nodata=0, bands=BANDS)
        codes = write(root / "l.tif", labels, nodata=0)
        maps = write(root / "m.tif", np.ones_like(labels), nodata=0)
        cut_tiles(
            [image], [codes], root / "tiles", classes=ClassScheme.from_mapping(MAPPING),
            tile_size=16, stride=16, labels_before=[maps], labels_after=[maps],
            map_classes=ClassScheme.from_mapping({1: "crop", 2: "water"}),
        )  # fmt: skip
        if (DATA / "esri").is_dir():
            (root / "esri").mkdir()
            shutil.copy(DATA / "esri" / "unet_run_2.4.4.emd", root / "esri" / "model.emd")
        yield root


def load_package(root, name):
    bundle.load(root / "small", network=nn.Conv2d(6, 2, 1))
    bundle.verify(root / "small")


def load_weights(root, name):
    """Past the hashes, as one who can compute them."""
    packages.seal(root / "small")
    bundle.load(root / "small", network=nn.Conv2d(6, 2, 1))


def load_packed(root, name):
    bundle.load(root / "small" / name, network=nn.Conv2d(6, 2, 1))


def unpack(root, name):
    folder = root / "unpacked"
    try:
        archive.unpack(root / "small" / name, folder, error=TileSetError, max_bytes=1 << 24)
    finally:
        shutil.rmtree(folder)
        folder.mkdir()


def read_tiles(root, name):
    tileset.read(root / "tiles")
    tileset.class_colours(root / "tiles")
    tileset.read_sensor(root / "tiles")


def append_tiles(root, name):
    """What `tiles --append` reads of a set; where all is well, it would write another tile."""
    from landshift.tileset import esri

    esri.read_next_index(root / "tiles")
    esri.read_cell_sizes(root / "tiles")
    read_tiles(root, name)


def load_esri(root, name):
    """A model definition of Esri's; without its weights, no change of it makes a model."""
    bundle.load(root / "esri" / name)


TARGETS = {
    "landshift.json": ("small/landshift.json", load_package, 0.15),
    "SHA256SUMS": ("small/SHA256SUMS", load_package, 0.04),
    "weights": ("small/small.safetensors", load_weights, 0.05),
    "dlpk": ("small/small.dlpk", load_packed, 0.2),
    "zip": ("small/small.dlpk", unpack, 0.1),
    "map.txt": ("tiles/map.txt", read_tiles, 0.15),
    "emd": ("tiles/esri_model_definition.emd", append_tiles, 0.15),
    "statistics": ("tiles/esri_accumulated_stats.json", append_tiles, 0.05),
    "class maps": ("tiles/landshift_class_maps.json", read_tiles, 0.05),
    "index": ("tiles/landshift.sqlite", read_tiles, 0.01),
    "Esri's model": ("esri/model.emd", load_esri, 0.05),
}
"""File, what reads it, and its share of the inputs."""


def everything(root):
    return {str(p) for p in root.rglob("*") if "unpacked" not in p.parts}


def fuzz(root, target, inputs, **options):
    """Give a target so many inputs; the file is as it was in the end."""
    name, read, share = TARGETS[target]
    inputs = round(inputs * share)
    path = root / name
    if not path.is_file():
        pytest.skip("real model definitions aren't beside the project")
    data = path.read_bytes()
    kept = {p: p.read_bytes() for p in path.parent.iterdir() if p.is_file()}
    found = everything(root)
    tried = refused = 0

    @settings(
        max_examples=inputs, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        **options,
    )  # fmt: skip
    @given(mutations(data) | other_values(data) if data[:1] == b"{" else mutations(data))
    def give(changed):
        nonlocal tried, refused
        path.write_bytes(changed)
        tried += 1
        refused += 1
        with contextlib.suppress(LandshiftError):
            read(root, path.name)
            refused -= 1
        assert not os.listdir(root / "here")
        assert not os.listdir(root / "temporary")

    try:
        give()
    finally:
        for other, whole in kept.items():
            other.write_bytes(whole)
    assert everything(root) == found
    print(f"{target}: {tried} inputs, {refused} refused")
    assert tried >= inputs
    assert refused < tried or target == "Esri's model"


@pytest.mark.parametrize("target", TARGETS)
def test_files_changed_at_random_are_read_or_refused(work, target):
    fuzz(work, target, INPUTS, derandomize=True)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_many_files_changed_at_random_are_read_or_refused(work, target):
    fuzz(work, target, MANY)
