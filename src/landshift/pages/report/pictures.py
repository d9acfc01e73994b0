"""Pictures embedded in a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from landshift.classes import IGNORE_INDEX, Colour
from landshift.pages.report.page import part

if TYPE_CHECKING:
    from PIL.Image import Image

_WIDE = 1.2  # columns to rows from which a picture may take the whole width of the page
_QUALITY = 82  # JPEG quality: a page of eight pictures stays below 6 MB


def photo(
    values: NDArray[np.float32],
    *,
    alt: str,
    caption: str,
    below: Markup | str = "",
    name: str = "",
) -> Markup:
    """A photograph-like image.

    Args:
        values: ``(row, column, 3)`` in 0 to 1, as `landshift.show.figures.picture` gives it.
        alt: Alternative text for screen readers.
        caption: Text above the picture.
        below: Text or markup below it.
        name: Its anchor, by which it can be enlarged; '' if it can't.
    """
    from PIL import Image

    shown = Image.fromarray(np.round(values * 255).astype(np.uint8))
    data = _encoded(shown, "jpeg", quality=_QUALITY)
    return _picture(data, values, alt, caption, below, name)


def classes(
    codes: NDArray[np.uint8],
    colours: Sequence[Colour],
    *,
    alt: str,
    caption: str,
    below: Markup | str = "",
    name: str = "",
) -> Markup:
    """A class map, transparent where it has no class.

    Args:
        codes: ``(row, column)`` class indices, `IGNORE_INDEX` for none.
        colours: Colour of each class.
        alt: Alternative text for screen readers.
        caption: Text above the picture.
        below: Text or markup below it.
        name: Its anchor, by which it can be enlarged; '' if it can't.
    """
    from PIL import Image

    shown = Image.fromarray(codes).convert("P")
    table = np.zeros((256, 3), np.uint8)
    table[: len(colours)] = colours
    shown.putpalette(table.tobytes())
    data = _encoded(shown, "png", optimize=True, transparency=IGNORE_INDEX)
    return _picture(data, codes, alt, caption, below, name, kind="classes")


def _encoded(shown: Image, kind: str, **options: Any) -> str:
    file = io.BytesIO()
    shown.save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def _picture(
    data: str,
    values: NDArray[Any],
    alt: str,
    caption: str,
    below: Markup | str,
    name: str,
    kind: str = "",
) -> Markup:
    height, width = values.shape[:2]
    return part(
        "picture", source=data, width=width, height=height, alt=alt, caption=caption, below=below,
        kind=f"{kind} wide".strip() if width >= _WIDE * height else kind, name=name,
    )  # fmt: skip
