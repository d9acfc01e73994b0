"""The environment that landshift runs in: found, made, compared with the plugin."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from qgis.core import QgsApplication, QgsProcessingException, QgsSettings

from . import running

SETTING = "landshift/program"
"""The user's own landshift, in place of the installed one."""

OLDEST = (3, 11)
"""Python that landshift needs, at least."""

HERE = Path(__file__).parent


def folder():
    """The environment's folder, in the user's profile of QGIS."""
    return Path(QgsApplication.qgisSettingsDirPath()) / "landshift" / "environment"


def python_of(environment):
    """The Python of an environment."""
    windows = sys.platform == "win32"
    return environment / ("Scripts" if windows else "bin") / ("python.exe" if windows else "python")


def program():
    """The words that start landshift.

    Raises:
        QgsProcessingException: It isn't installed.
    """
    own = os.environ.get("LANDSHIFT_PROGRAM") or QgsSettings().value(SETTING, "")
    if own:
        return [own]
    python = python_of(folder())
    installed = python.with_name("landshift.exe" if sys.platform == "win32" else "landshift")
    if installed.is_file():
        return [str(installed)]
    raise QgsProcessingException(
        "landshift must be installed first, got no environment at "
        f"{folder()}; menu Raster, landshift, Install."
    )


def version_of(command):
    """The version that a program says it has; None where it says none."""
    try:
        asked = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, timeout=120, check=False,
            env=running.environment(),
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.split()[-1] if asked.returncode == 0 and asked.stdout.split() else None


_compared = set()


def compare_versions(command, stored, feedback):
    """Warn, once a session, where the program isn't of the version the plugin was built for."""
    known = tuple(command)
    if known in _compared:
        return
    _compared.add(known)
    installed = version_of(command)
    if installed is not None and installed != stored:
        feedback.pushWarning(
            f"This plugin was built for landshift {stored}, got {installed}: options may differ. "
            "Install again, or take the plugin of that version."
        )


def wheel():
    """The wheel that the plugin carries.

    Raises:
        QgsProcessingException: There is none: the plugin was taken from a source tree.
    """
    wheels = sorted((HERE / "wheel").glob("landshift-*.whl"))
    if not wheels:
        raise QgsProcessingException(
            "The plugin must carry landshift's wheel, got none; build the zip with "
            "`python qgis/build.py`, or name a program in the settings."
        )
    return wheels[-1]


def pythons():
    """Pythons on this machine that are new enough, best first."""
    names = ["python3.13", "python3.12", "python3.11", "python3", "python"]
    bundled = [Path(sys.prefix) / "python.exe", Path(sys.prefix) / "bin" / "python3"]
    tried = [shutil.which(name) for name in names] + [str(p) for p in bundled if p.is_file()]
    chosen = []
    for path in dict.fromkeys(p for p in tried if p):
        asked = subprocess.run(
            [path, "-c", "import sys, venv; print(*sys.version_info[:2])"], capture_output=True,
            text=True, check=False, env=running.environment(),
        )  # fmt: skip
        words = asked.stdout.split()
        if asked.returncode == 0 and tuple(map(int, words)) >= OLDEST:
            chosen.append(path)
    return chosen


def steps(python, *, torch_index=""):
    """The commands that make the environment, one after another.

    Only the wheel beside the plugin is installed as landshift, never a package of that name from
    an index; its dependencies come under the constraints that it was tested with.

    Args:
        python: The Python to make it with.
        torch_index: An index for torch's builds for CPUs, as PyTorch's page names it; '' for what
            the usual index has.
    """
    own, constraints = str(python_of(folder())), str(HERE / "constraints.txt")
    pip = [own, "-m", "pip", "--disable-pip-version-check", "install", "--no-input"]
    made = [[python, "-m", "venv", "--clear", str(folder())]]
    if torch_index:
        made.append([*pip, "--constraint", constraints, "--index-url", torch_index, "torch",
                     "torchvision"])  # fmt: skip
    made.append([*pip, "--constraint", constraints, str(wheel())])
    return made
