"""The labelling page served by the command, and shown in a browser."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

UNBUILT = """
from landshift.errors import ParameterError
from landshift.pages.explore import bundle
def read():
    raise ParameterError("unbuilt")
bundle.read = read
"""
"""Makes a package as one that was built where npm wasn't."""


@contextmanager
def command(*arguments: object, maps: bool = True) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command running, with the maps where they are built, and the address that it prints."""
    code = "from landshift.cli import main; main()"
    if not maps:
        code = UNBUILT + code
    with subprocess.Popen(
        [sys.executable, "-c", code, "label-samples", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            line = process.stdout.readline()
            address = re.search(r"http://\S+", line)
            assert address, process.stderr.read()
            yield process, address[0]
        finally:
            process.kill()


def opened_page(browser: Any, address: str, *, ready: bool = True, **options: Any) -> Any:
    """A page of the address, whose console and errors are kept in `problems`."""
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(120_000)  # of a machine that is busy with other work too
    page.problems = []
    page.on("console", lambda message: page.problems.append(message.text))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.goto(address)
    if ready:
        wait(page)
    return page


def wait(page: Any, unit: str | None = None) -> None:
    """Wait until a unit, or any, is shown with all its pictures."""
    page.wait_for_selector(
        f'body[data-ready="{unit}"]' if unit else 'body[data-ready]:not([data-ready=""])'
    )
