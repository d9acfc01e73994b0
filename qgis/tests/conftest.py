"""The plugin beside its tests, the program landshift, and rasters that it makes."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as of a job that a script runs behind it
    signal.signal(signal.SIGINT, signal.default_int_handler)  # programs under test are interrupted

ROOT = Path(__file__).parents[2]
os.environ.setdefault("LANDSHIFT_PROGRAM", str(ROOT / ".venv" / "bin" / "landshift"))
os.environ.setdefault("LANDSHIFT_OFFLINE", "1")


@pytest.fixture(scope="session")
def landshift():
    """Runs landshift, and gives its standard output."""
    from landshift_qgis import running

    def run(*words):
        asked = [os.environ["LANDSHIFT_PROGRAM"], *map(str, words)]
        return subprocess.run(
            asked, check=True, capture_output=True, text=True, env=running.environment()
        ).stdout

    return run


@pytest.fixture(scope="session")
def scene(landshift, tmp_path_factory):
    """The folder of a simulated scene of 192 x 192 pixels."""
    folder = tmp_path_factory.mktemp("scene")
    landshift("simulate", "-o", folder, "--height", 192, "--width", 192)
    return folder


@pytest.fixture(scope="session")
def provider(qgis_app, qgis_processing):
    """The plugin's provider, registered."""
    from landshift_qgis.provider import Provider

    made = Provider()
    qgis_app.processingRegistry().addProvider(made)
    return made
