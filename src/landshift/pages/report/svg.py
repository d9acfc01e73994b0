"""SVG elements as markup; whatever text or attribute goes in is escaped."""

from __future__ import annotations

from markupsafe import Markup, escape

Value = str | float | int


def element(name: str, *children: Markup | str, **attributes: Value) -> Markup:
    """An element; ``stroke_width`` is the attribute stroke-width, ``class_`` is class.

    Colours of our own come from the page's style by class, so that they follow light and dark;
    ``style`` attributes would be refused by the page's policy.
    """
    assert "style" not in attributes, "styles go into style.css"
    told = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _plain(value))
        for key, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(
        Markup(name), told, Markup("").join(escape(c) for c in children)
    )


def drawing(width: float, height: float, title: str, *children: Markup, about: str = "") -> Markup:
    """A chart of this size in units of its own, which readers of screens hear as its title.

    Args:
        width: Its width; it scales with the page.
        height: Its height.
        title: What it is.
        children: What it shows.
        about: What it tells, in words.
    """
    label = f"{title}. {about}" if about else title
    return element(
        "svg", *children, class_="chart", viewBox=f"0 0 {_plain(width)} {_plain(height)}",
        role="img", aria_label=label,
    )  # fmt: skip


def strip(*children: Markup, **attributes: Value) -> Markup:
    """A drawing as wide as its place, whose text beside it says the same: places in per cent."""
    return element("svg", *children, aria_hidden="true", **attributes)


def _plain(value: Value) -> str:
    """A number in as few figures as a drawing needs."""
    if isinstance(value, str):
        return value
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
