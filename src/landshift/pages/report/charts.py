"""Charts as SVG: lines, reliability, flows. Series differ by dash as well as by colour."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from landshift.classes import Colour
from landshift.pages.report import axis, svg
from landshift.pages.report.parts import chart, hexed

_WIDTH, _HEIGHT = 440, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 16, 42

_TICKS = 5  # most steps between ticks

_ROOM = 240.0  # height of all classes together in a chart of flows
_NODE = 12  # width of a class
_GAP = 16  # between classes: room for a line of text
_SHOWN = 26  # letters of a class name

_GREY: Colour = (128, 128, 128)


@dataclass(frozen=True)
class Series:
    """A series of a chart.

    Attributes:
        name: Its name.
        points: x and y of each point; None for y leaves a gap.
    """

    name: str
    points: Sequence[tuple[float, float | None]]


def lines(
    caption: str,
    series: Sequence[Series],
    *,
    x: str,
    y: str,
    limits: tuple[float, float] | None = None,
    whole: bool = False,
) -> Markup:
    """A line chart.

    Args:
        caption: Its caption.
        series: At most four.
        x: Label of the x axis.
        y: Label of the y axis.
        limits: Ends of the y axis; None: from the values.
        whole: Whether x holds integers.
    """
    known = [[(a, b) for a, b in s.points if b is not None and math.isfinite(b)] for s in series]
    every = [p for points in known for p in points]
    if not every:
        return Markup("")
    across = _ChartAxis(min(p[0] for p in every), max(p[0] for p in every), whole=whole)
    up = _ChartAxis(*(limits or (min(0.0, *(p[1] for p in every)), max(p[1] for p in every))))
    frame = _PlotArea(across, up)
    drawn = frame.axes(x, y)
    for k, points in enumerate(known):
        places = [(frame.x(a), frame.y(b)) for a, b in points]
        drawn.append(_path(places, f"series s{k}"))
        if len(places) <= 40:
            drawn += [svg.element("circle", cx=a, cy=b, r=3, class_=f"dot s{k}") for a, b in places]
    about = "; ".join(
        f"{s.name} from {points[0][1]:.3g} to {points[-1][1]:.3g}"
        for s, points in zip(series, known, strict=True)
        if points
    )
    return chart(caption, svg.drawing(_WIDTH, _HEIGHT, caption, *drawn, about=about), _keys(series))


def reliability(caption: str, series: Sequence[Series]) -> Markup:
    """A reliability diagram: accuracy of the likeliest class against its probability."""
    frame = _PlotArea(_ChartAxis(0, 1), _ChartAxis(0, 1))
    drawn = frame.axes("predicted probability", "accuracy")
    drawn.append(
        svg.element(
            "line", x1=frame.x(0), y1=frame.y(0), x2=frame.x(1), y2=frame.y(1), class_="ideal"
        )
    )
    for k, s in enumerate(series):
        places = [(frame.x(a), frame.y(b)) for a, b in s.points if b is not None]
        drawn.append(_path(places, f"series s{k}"))
        drawn += [svg.element("circle", cx=a, cy=b, r=3, class_=f"dot s{k}") for a, b in places]
    about = "Calibrated probabilities lie on the dotted diagonal, overconfident ones below it"
    return chart(caption, svg.drawing(_WIDTH, _HEIGHT, caption, *drawn, about=about), _keys(series))


def flows(
    caption: str,
    transitions: Sequence[tuple[str, str, float]],
    colours: Mapping[str, Colour],
    unit: str,
) -> Markup:
    """A flow chart of transitions: bands from classes before to classes after, width by amount.

    Args:
        caption: Its caption.
        transitions: Class before, class after, amount.
        colours: Colours of the classes; others are grey.
        unit: Unit of the amounts.
    """
    whole = sum(amount for *_, amount in transitions)
    if whole <= 0:
        return Markup("")
    amounts: tuple[dict[str, float], dict[str, float]] = {}, {}
    for before, after, amount in transitions:
        for side, name in zip(amounts, (before, after), strict=True):
            side[name] = side.get(name, 0.0) + amount
    height = _ROOM + _GAP * (max(map(len, amounts)) + 1)
    left, right = (_FlowSide(side, height, _ROOM / whole) for side in amounts)
    near, far = _NODE, _WIDTH - _NODE
    order = [list(side) for side in amounts]
    drawn = []
    for before, after, amount in sorted(
        transitions, key=lambda flow: (order[0].index(flow[0]), order[1].index(flow[1]))
    ):
        path = _band(near, left.take(before, amount), far, right.take(after, amount),
                     _ROOM * amount / whole)  # fmt: skip
        title = svg.element("title", f"{before} to {after}: {amount:,.1f} {unit}")
        fill = hexed(colours.get(before, _GREY))
        drawn.append(svg.element("path", title, class_="flow", fill=fill, d=path))
    for placed, x, text_x, anchor in (
        (left, 0, near + 6, "start"), (right, far, far - 6, "end"),
    ):  # fmt: skip
        for name, (top, tall) in placed.places.items():
            fill = hexed(colours.get(name, _GREY))
            drawn.append(
                svg.element(
                    "rect", x=x, y=top, width=_NODE, height=max(tall, 1), class_="swatch", fill=fill
                )
            )
            drawn.append(
                svg.element(
                    "text", f"{_cut(name)} {tall / _ROOM:.0%}", class_="halo", x=text_x,
                    y=top + tall / 2 + 4, text_anchor=anchor,
                )
            )  # fmt: skip
    largest = sorted(transitions, key=lambda flow: -flow[2])[:3]
    about = "Largest: " + "; ".join(f"{a} to {b}, {v:,.0f} {unit}" for a, b, v in largest)
    return chart(caption, svg.drawing(_WIDTH, height, caption, *drawn, about=about))


class _FlowSide:
    """The classes at one side of a flow chart: top and height of each."""

    def __init__(self, amounts: Mapping[str, float], height: float, scale: float) -> None:
        self._scale = scale
        self.places: dict[str, tuple[float, float]] = {}
        top = (height - _ROOM - _GAP * (len(amounts) - 1)) / 2
        for name, amount in amounts.items():
            self.places[name] = top, amount * scale
            top += amount * scale + _GAP
        self._free = {name: top for name, (top, _) in self.places.items()}

    def take(self, name: str, amount: float) -> float:
        """Top of the next band of a class."""
        start = self._free[name]
        self._free[name] += amount * self._scale
        return start


class _ChartAxis:
    """A range of values, widened to round ticks unless it holds integers such as epochs."""

    def __init__(self, low: float, high: float, *, whole: bool = False) -> None:
        span = high - low or abs(high) or 1.0
        step = axis.round_step(span, _TICKS)
        if whole:
            step = max(1.0, step)
        first = math.floor(low / step + 1e-9)
        count = max(1, math.ceil((low + span) / step - 1e-9) - first)
        ticks = [round((first + k) * step, 10) for k in range(count + 1)]
        self.low, self.high = (low, low + max(span, step)) if whole else (ticks[0], ticks[-1])
        self.ticks = [t for t in ticks if self.low <= t <= self.high]

    def share(self, value: float) -> float:
        """Position of a value along the axis, 0 to 1."""
        return (value - self.low) / (self.high - self.low)


class _PlotArea:
    """Positions of values in a drawing."""

    def __init__(self, across: _ChartAxis, up: _ChartAxis) -> None:
        self._across, self._up = across, up

    def x(self, value: float) -> float:
        return _LEFT + self._across.share(value) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - self._up.share(value) * (_HEIGHT - _TOP - _BOTTOM)

    def axes(self, x: str, y: str) -> list[Markup]:
        """Grid lines, ticks and axis labels."""
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        drawn = []
        for t in self._up.ticks:
            at = self.y(t)
            drawn.append(svg.element("line", x1=_LEFT, x2=right, y1=at, y2=at, class_="grid"))
            drawn.append(
                svg.element(
                    "text", f"{t:g}", x=_LEFT - 7, y=at + 4, text_anchor="end", class_="quiet"
                )
            )
        for t in self._across.ticks:
            drawn.append(
                svg.element(
                    "text", f"{t:g}", x=self.x(t), y=bottom + 17, text_anchor="middle",
                    class_="quiet",
                )
            )  # fmt: skip
        drawn.append(svg.element("line", x1=_LEFT, x2=right, y1=bottom, y2=bottom, class_="axis"))
        drawn.append(
            svg.element("text", x, x=(_LEFT + right) / 2, y=_HEIGHT - 7, text_anchor="middle")
        )
        middle = (_TOP + bottom) / 2
        drawn.append(
            svg.element(
                "text", y, x=13, y=middle, text_anchor="middle",
                transform=f"rotate(-90 13 {middle:g})",
            )
        )  # fmt: skip
        return drawn


def _path(places: Sequence[tuple[float, float]], kind: str) -> Markup:
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
    return svg.element("polyline", points=points, class_=kind)


def _band(left: float, start: float, right: float, end: float, thick: float) -> str:
    """Path of a band of constant thickness between two heights."""
    bend = (left + right) / 2
    return (
        f"M{left:g} {start:.2f}C{bend:g} {start:.2f} {bend:g} {end:.2f} {right:g} {end:.2f}"
        f"V{end + thick:.2f}C{bend:g} {end + thick:.2f} {bend:g} {start + thick:.2f} {left:g} "
        f"{start + thick:.2f}Z"
    )


def _cut(name: str) -> str:
    return name if len(name) <= _SHOWN else f"{name[: _SHOWN - 1]}…"


def _keys(series: Sequence[Series]) -> list[tuple[Markup, str]]:
    """A sample of each line and its name."""
    return [
        (
            svg.strip(
                svg.element("line", x1="0", x2="100%", y1="50%", y2="50%", class_=f"series s{k}")
            ),
            s.name,
        )
        for k, s in enumerate(series)
    ]
