"""SVG elements as markup; texts and attributes are escaped."""

from __future__ import annotations

from markupsafe import Markup, escape

Value = str | float | int


def element(name: str, *children: Markup | str, **attributes: Value) -> Markup:
    """An element; ``stroke_width`` is the attribute stroke-width, ``class_`` is class.

    Colours come from the page's style by class, so that they follow light and dark mode; the page's
    policy refuses ``style`` attributes.
    """
    assert "style" not in attributes, "styles go into style.css"
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _plain(value))
        for key, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(
        Markup(name), written, Markup("").join(escape(c) for c in children)
    )


def drawing(width: float, height: float, title: str, *children: Markup, about: str = "") -> Markup:
    """A chart that scales with the page, with title and description for screen readers.

    Args:
        width: Width in the drawing's own units.
        height: Height in the same units.
        title: Title.
        children: Its elements.
        about: A description of its contents.
    """
    label = f"{title.removesuffix('.')}. {about}" if about else title
    return element(
        "svg", *children, class_="chart", viewBox=f"0 0 {_plain(width)} {_plain(height)}",
        role="img", aria_label=label,
    )  # fmt: skip


def strip(*children: Markup, **attributes: Value) -> Markup:
    """A drawing as wide as its place, positions in per cent; hidden from screen readers."""
    return element("svg", *children, aria_hidden="true", **attributes)


def _plain(value: Value) -> str:
    """A number with at most two decimals."""
    if isinstance(value, str):
        return value
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
