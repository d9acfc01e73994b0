"""Commands that walk over a raster, each beside what a user would take instead.

    python benchmarks/blockwise.py [COMMAND ...] [--size 4000] [--runs 3] [--folder FOLDER]

Each command and its peer run in turn, in processes of their own: seconds, seconds of all cores
together over seconds (how many cores were busy), and peak memory. What is compared lies in
`beside/`, a module a command, whose `pairs` makes the inputs and states both lines. The result is a
table in Markdown. With `--alone` the peer is left out: for sizes that it doesn't hold in memory.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from preparation import measured

COMMANDS = sorted(p.stem for p in (Path(__file__).parent / "beside").glob("[a-z]*.py"))


@dataclass(frozen=True)
class Pair:
    """A command and what a user would take instead.

    Attributes:
        job: What both do, in few words.
        ours: The command.
        peer: Name of what is compared.
        theirs: Its command.
        outputs: Files that are removed before each run.
    """

    job: str
    ours: list[str]
    peer: str
    theirs: list[str]
    outputs: list[Path] = field(default_factory=list)


def script(module: str, function: str, *arguments: object) -> list[str]:
    """A call of a function in `beside/`, in a process of its own; arguments arrive as texts."""
    here = str(Path(__file__).parent)
    run = (
        f"import sys; sys.path[:0] = [{here!r}, {here + '/beside'!r}]; import {module}; "
        f"{module}.{function}(*sys.argv[1:])"
    )
    return [sys.executable, "-c", run, *map(str, arguments)]


def row(pair: Pair, runs: int, *, alone: bool) -> str:
    """A row of the table: medians of runs in turn, and the range of the ratio."""

    def run(command: list[str]) -> tuple[float, float, float]:
        for path in pair.outputs:
            path.unlink(missing_ok=True)
        return measured(command)

    commands = [pair.ours] if alone else [pair.ours, pair.theirs]
    figures = np.array([[run(command) for command in commands] for _ in range(runs)])
    median = np.median(figures, axis=0)
    texts = [f"{s:.1f} s, {cores / s:.2f} cores, {peak:.0f} MiB" for s, cores, peak in median]
    ratio = "-"
    if not alone:
        ratios = figures[:, 1, 0] / figures[:, 0, 0]
        ratio = f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"
    return " | ".join(
        ["", pair.job, texts[0], pair.peer, texts[1] if not alone else "-", ratio, ""]
    )


def main() -> None:
    """Measure the chosen commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commands", nargs="*", default=COMMANDS, metavar="COMMAND")
    parser.add_argument("--size", type=int, default=4000, help="rows and columns")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="without the peer")
    parser.add_argument("--folder", type=Path, help="folder for temporary inputs and outputs")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent / "beside"))
    print("| job | landshift | beside | which took | times its speed |\n|---|---|---|---|---|")
    for command in options.commands:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            pairs = importlib.import_module(command).pairs(Path(folder), options.size)
            for pair in pairs:
                print(row(pair, options.runs, alone=options.alone).strip(), flush=True)


if __name__ == "__main__":
    main()
