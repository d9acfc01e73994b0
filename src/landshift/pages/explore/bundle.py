"""The built page: the files that `web/` is bundled to, which the package carries."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

from landshift.errors import ParameterError

FILES: Mapping[str, str] = {
    "index.html": "text/html; charset=utf-8",
    "explore.js": "text/javascript; charset=utf-8",
    "explore.css": "text/css; charset=utf-8",
    "licences.txt": "text/plain; charset=utf-8",
}
"""Media type of each file of the page."""

KINDS: Mapping[str, str] = {
    ".tif": "image/tiff",
    ".geojson": "application/geo+json",
}
"""Media type of each file of its data."""

_FOLDER = "bundle"
_WASM = ("ZSTD",)  # their decoders are WebAssembly, which they fetch from an address that holds it
_CHARSET = '<meta charset="utf-8">'


def read() -> dict[str, bytes]:
    """The files of the page.

    Raises:
        ParameterError: The package was built without them.
    """
    folder = resources.files(__package__) / _FOLDER
    try:
        return {name: (folder / name).read_bytes() for name in FILES}
    except OSError as error:
        raise ParameterError(
            "The map page must have been built with the package, got none (npm's registry could "
            "not be reached then); install landshift again where it can, or run `make` in a "
            "checkout."
        ) from error


def policy(
    packed: set[str], *, scripts: str = "'self'", styles: str = "'self'", data: str = "'self'"
) -> str:
    """What the page may load and run (Content Security Policy, W3C).

    Args:
        packed: Compressions of the files that it opens.
        scripts: Sources of scripts, beside WebAssembly where a decoder needs it.
        styles: Sources of styles.
        data: Sources of layers.
    """
    wasm = bool(packed & set(_WASM))
    decoders, inside = (" 'wasm-unsafe-eval'", " data:") if wasm else ("", "")
    return (
        f"default-src 'none'; script-src {scripts}{decoders}; style-src {styles}; "
        f"img-src 'self' data: blob:; connect-src {data}{inside}; worker-src blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def with_policy(page: str, stated: str) -> str:
    """The page with its policy as a meta tag, for servers that send no header."""
    assert page.count(_CHARSET) == 1, "the page states its encoding once"
    tag = f'<meta http-equiv="Content-Security-Policy" content="{stated}">'
    return page.replace(_CHARSET, f"{_CHARSET}\n{tag}")
