"""Commands that typer reads until each has its public function; then this module goes."""

from __future__ import annotations

from importlib import import_module

import typer

from landshift.cli import commands

app = typer.Typer(
    name="landshift", help=commands.DESCRIPTION, no_args_is_help=True, add_completion=False,
    pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip


@app.callback()
def _options() -> None:
    """Make even one command a subcommand."""


for _name in sorted(commands.UNPORTED):
    _module = import_module(f"landshift.cli.{_name.replace('-', '_')}")
    if _name == "model":
        app.add_typer(_module.app, name=_name)
    else:
        app.command(_name)(getattr(_module, _name.replace("-", "_")))
