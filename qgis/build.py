"""Build the plugin's zip: the plugin, landshift's wheel, its constraints and its description.

python qgis/build.py --out dist            # from the root of the project, landshift installed
python qgis/build.py --describe            # renew commands.json alone
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
PLUGIN = HERE / "landshift_qgis"
EPOCH = (2026, 1, 1, 0, 0, 0)  # time of the files in the zip, so that the same files give the same


def description():
    """What `landshift --describe` prints, compact."""
    asked = [sys.executable, "-c", "from landshift.cli import main; main()", "--describe"]
    printed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    return json.dumps(json.loads(printed), indent=1, sort_keys=True) + "\n"


def build(out):
    """Write the zip; returns its path."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder) / PLUGIN.name
        shutil.copytree(PLUGIN, stage, ignore=shutil.ignore_patterns("__pycache__"))
        (stage / "commands.json").write_text(description(), encoding="utf-8")
        shutil.copy(ROOT / "constraints.txt", stage)
        shutil.copy(HERE / "LICENSE", stage)
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir",
             str(stage / "wheel"), str(ROOT)], check=True,
        )  # fmt: skip
        out.mkdir(parents=True, exist_ok=True)
        version = re.search(r"^version=(.+)$", (PLUGIN / "metadata.txt").read_text(), re.M)[1]
        path = out / f"landshift_qgis-{version}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
            for file in sorted(p for p in stage.rglob("*") if p.is_file()):
                entry = zipfile.ZipInfo(str(file.relative_to(stage.parent)), EPOCH)
                entry.external_attr = 0o644 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                target.writestr(entry, file.read_bytes())
    return path


def main():
    """Build, or renew the stored description."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, default=ROOT / "dist")
    options.add_argument("--describe", action="store_true", help="renew commands.json alone")
    asked = options.parse_args()
    if asked.describe:
        (PLUGIN / "commands.json").write_text(description(), encoding="utf-8")
        return
    print(build(asked.out))


if __name__ == "__main__":
    main()
