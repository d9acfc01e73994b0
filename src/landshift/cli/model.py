"""`landshift model`: commands on saved models, each a function of the package it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from cyclopts import App

from landshift.cli import commands

COMMANDS = {
    "info": "landshift.bundle.saved:info",
    "import": "landshift.bundle.saved:import_model",
    "push": "landshift.publish.hub:push",
    "stac": "landshift.publish.models:describe_model",
    "verify": "landshift.bundle.saved:verify",
    "export": "landshift.export.hosts:export_model",
}
"""The function of each command."""


def function_of(name: str) -> Callable[..., Any]:
    """The function of a command."""
    module, function = COMMANDS[name].split(":")
    imported: Callable[..., Any] = getattr(import_module(module), function)
    return imported


def _group() -> App:
    about = next(c for c in commands.COMMANDS if c.name == "model")
    group = App(name=about.name, help=about.summary, version_flags=(), help_format="plaintext")
    for place, name in enumerate(COMMANDS):
        command = commands.command_app(function_of(name), name)
        command.sort_key = place
        group.command(command)
    return group


app = _group()
