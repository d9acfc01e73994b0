"""Small rasters, tile sets and models that many tests share."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from cutting import cut_tiles
from landshift.machine import progress
from scenes import BANDS, MAPPING, striped_scene, write
from watching import Steps

if TYPE_CHECKING:
    from landshift.learn import UnetClassifier

os.environ["LANDSHIFT_OFFLINE"] = "1"
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as of a job that a script runs behind it
    signal.signal(signal.SIGINT, signal.default_int_handler)  # programs under test are interrupted
settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")

DATA = Path(__file__).parents[2] / "shared" / "data"

WriteRaster = Callable[..., Path]


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what can be made again, which processes that are started inherit."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["LANDSHIFT_CACHE"] = str(folder)
    return folder


@pytest.fixture
def steps() -> Iterator[Steps]:
    """Steps of work that a test reports."""
    watcher = Steps()
    with progress.watched(watcher):
        yield watcher


@pytest.fixture
def write_raster(tmp_path: Path) -> WriteRaster:
    """Write a raster under the test's folder, by name."""

    def write_named(name: str, values: Any, **options: Any) -> Path:
        return write(tmp_path / name, values, **options)

    return write_named


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes folders with a file system of so many KiB of their own."""
    folders: list[Path] = []

    def mounted(size: int) -> Path:
        folder = tmp_path / f"disk{len(folders)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(folder)]
        made = sys.platform == "linux" and shutil.which("mount")
        if not made or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("a file system of its own can't be mounted here")
        folders.append(folder)
        return folder

    yield mounted
    for folder in folders:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real rasters, or a skip where it isn't."""
    if not DATA.is_dir():
        pytest.skip(f"real rasters are not at {DATA}")
    return DATA


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Composite and change map of 256 x 256 pixels, a strip of nodata at the left."""
    folder = tmp_path_factory.mktemp("scene")
    composite, labels = striped_scene(256)
    composite[:, :, :6] = 0
    labels[:, :6] = 0
    return (
        write(folder / "composite.tif", composite, nodata=0, bands=BANDS),
        write(folder / "change.tif", labels, nodata=0),
    )


@pytest.fixture(scope="session")
def tiles(scene: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tile set of the scene: tiles of 64 pixels, stride 64."""
    from landshift.classes import ClassScheme

    folder = tmp_path_factory.mktemp("set") / "tiles"
    scheme = ClassScheme.from_mapping(MAPPING)
    cut_tiles([scene[0]], [scene[1]], folder, classes=scheme, tile_size=64, stride=64)
    return folder


@pytest.fixture(scope="session")
def trained(tiles: Path) -> UnetClassifier:
    """A small U-Net, trained until it knows the striped scene."""
    from landshift.learn import UnetClassifier, prepare_data

    data = prepare_data(tiles, class_mapping=MAPPING, batch_size=4)
    classifier = UnetClassifier(data, backbone="resnet18")
    classifier.fit(epochs=6, lr=2e-3, precision="32-true")
    return classifier


@pytest.fixture(scope="session")
def saved(trained: UnetClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The .emd of that U-Net."""
    return trained.save(tmp_path_factory.mktemp("models") / "small")
