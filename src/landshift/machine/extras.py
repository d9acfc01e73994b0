"""Optional packages: imported, or a clear error that names the extra to install."""

from __future__ import annotations

import importlib
from typing import Any

from landshift.errors import ParameterError


def required(package: str, extra: str, what: str, instead: str = "") -> Any:
    """A package of an extra, imported.

    Args:
        package: Its module.
        extra: The extra of landshift that installs it.
        what: The feature that needs it, for the error.
        instead: An alternative to installing it, as a clause.

    Raises:
        ParameterError: It isn't installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ParameterError(
            f"{what} must have the package {package.partition('.')[0]}, got '{error}'; "
            f"pip install 'landshift[{extra}]'{', or ' * bool(instead)}{instead}."
        ) from error
