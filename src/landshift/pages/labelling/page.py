"""The page on which people label the units of a sample."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib import resources
from typing import Any

from landshift import grid
from landshift.assess.answers import NOTES, Answers
from landshift.assess.contents import CONFIDENCES
from landshift.assess.response import Answer
from landshift.errors import GridError, ParameterError
from landshift.pages.explore import bundle
from landshift.pages.labelling.pictures import (
    FARTHEST,
    LONGEST,
    MOST_PIXELS,
    ZOOMS,
    DateImage,
    Ground,
    Picture,
    UnitFrame,
    frames,
    ground,
    widened,
)
from landshift.pages.server import Reply, as_json

_PAGE = {
    "": ("labelling.html", "text/html; charset=utf-8"),
    "labelling.css": ("labelling.css", "text/css; charset=utf-8"),
    "labelling.js": ("labelling.js", "text/javascript; charset=utf-8"),
    "pictures.js": ("pictures.js", "text/javascript; charset=utf-8"),
    "labelling.svg": ("labelling.svg", "image/svg+xml"),
}
_UNIT = re.compile(r"units/(\d{1,9})")
_PICTURE = re.compile(
    r"pictures/(\d{1,9})/(before|after)/(close|context)/(first|second)/(\d{3})x(\d{3})"
)
_NUMBER = r"(-?\d{1,7}(?:\.\d{1,9})?)"
_VIEW = re.compile(
    rf"views/(\d{{1,9}})/(before|after)/(first|second)/{_NUMBER},{_NUMBER},{_NUMBER}"
    r"/(\d{1,5})x(\d{1,5})"
)
_MAP = '<script src="explore.js" defer></script>\n'  # the page's line that loads the maps
_MAP_FILES = ("explore.js", "licences.txt")
_POSTED = re.compile(r"(answers|skips)/(\d{1,9})")


MOST_DRAWN = 2
"""Most views drawn at once: those of two dates. A view that the page no longer wants may still be
drawn while the next one waits."""


class Labelling:
    """The page of one labeller, or of a reviewer; a `server.Site`.

    Args:
        answers: The sample's answers.
        dates: The images, before first.
        labeller: Name of the labeller.
        sides: Side of each of the pictures, in sides of a unit.
        units: Numbers of the units to label; None: all. A review takes those in dispute.
        review: Whether this is a review: both answers are shown, and the reviewer's is final.
        show_map: Whether the map's class is shown.

    Raises:
        ParameterError: Units that there aren't; nothing to review.
        GridError: An image that no unit lies on.
    """

    def __init__(
        self,
        answers: Answers,
        dates: Sequence[DateImage],
        labeller: str,
        *,
        sides: tuple[float, float],
        units: Sequence[int] | None = None,
        review: bool = False,
        show_map: bool = False,
    ) -> None:
        form = answers.form
        self._answers, self._form = answers, form
        self._labeller, self.review, self._show_map = labeller, review, show_map
        self._dates = {d.name: d for d in dates}
        self._sides = sides
        self._grounds: dict[int, tuple[Ground, dict[str, UnitFrame]]] = {}
        self._places = {n: k for k, n in enumerate(form.numbers)}
        asked = answers.disputed() if review else form.numbers
        unknown = sorted(set(units or ()) - set(form.numbers))
        if unknown:
            raise ParameterError(
                f"Units must be among the sample's {len(form.numbers):,}, got {unknown[0]}."
            )
        self._units = [n for n in asked if units is None or n in set(units)]
        if not self._units:
            raise ParameterError(
                "A review needs units that labellers answer differently, got none among "
                f"{len(answers.given()):,} answered."
            )
        self.off = {d.name: self._count_off(d) for d in dates}
        """Units that lie off the image, by date."""
        self._files = {
            path: Reply(resources.files(__package__).joinpath(name).read_bytes(), kind)
            for path, (name, kind) in _PAGE.items()
        }
        self._add_maps()
        self._drawing = threading.BoundedSemaphore(MOST_DRAWN)

    def get(self, path: str) -> Reply | None:
        """A file of the page, its settings, a unit, or a picture of one."""
        if path in self._files:
            return self._files[path]
        if path == "asked":
            return as_json(self.asked())
        unit = _UNIT.fullmatch(path)
        if unit and int(unit[1]) in self._units:
            return as_json(self.unit(int(unit[1])))
        asked = _PICTURE.fullmatch(path)
        if asked and int(asked[1]) in self._units:
            number, date, zoom, which, *sides = asked.groups()
            shape = int(sides[0]) / 100, int(sides[1]) / 100
            known = date in self._dates and which in self._dates[date].plans
            if known and min(shape) == 1 and max(shape) <= LONGEST:
                box = widened(self._ground(int(number))[1][zoom].box, *shape)
                return _reply(self._dates[date].picture(box, which))
        view = _VIEW.fullmatch(path)
        return None if view is None else self._view(*view.groups())

    def _view(
        self, number: str, date: str, which: str, left: str, top: str, pixel: str, *sides: str
    ) -> Reply | None:
        """A picture of a map's view; None where it is too large, or too far from its unit."""
        width, height = (int(s) for s in sides)
        west, north, step = float(left), float(top), float(pixel)
        ends = (west, west + width * step, north, north - height * step)
        farthest = FARTHEST * self._sides[1]
        if (
            int(number) not in self._units
            or date not in self._dates
            or which not in self._dates[date].plans
            or not 0 < width * height <= MOST_PIXELS
            or step <= 0
            or max(abs(end) for end in ends) > farthest + step  # of addresses, which are rounded
        ):
            return None
        box = self._ground(int(number))[0].box(west, north, step, (height, width))
        with self._drawing:
            return _reply(self._dates[date].picture(box, which))

    def post(self, path: str, values: Mapping[str, Any]) -> Reply | None:
        """Keep an answer, or leave a unit for later; reply with the progress and the next unit."""
        matched = _POSTED.fullmatch(path)
        if matched is None or int(matched[2]) not in self._units:
            return None
        unit = int(matched[2])
        if matched[1] == "skips":
            self._answers.skip(self._labeller, unit, review=self.review)
        else:
            self._answers.save(self._labeller, unit, self._answer(values), review=self.review)
        done = self._done()
        return as_json(
            {
                "progress": self._progress(*done),
                "next": self._next(unit, *done),
                "unfilled": self._answers.unfilled,
            }
        )

    def asked(self) -> dict[str, Any]:
        """Settings of the page: the sample, the labeller, the classes, the first unit."""
        response = self._form.design.response
        done = self._done()
        return {
            "map": self._form.design.map_name,
            "labeller": self._labeller,
            "review": self.review,
            "asked": list(response.asked),
            "choices": list(response.choices),
            "confidences": list(CONFIDENCES),
            "notes": NOTES,
            "zooms": list(ZOOMS),
            "longest": LONGEST,
            "sides": list(self._sides),
            "farthest": FARTHEST * self._sides[1],
            "most": MOST_PIXELS,
            "dates": [
                {"name": d.name, "files": list(d.files), "pictures": d.labels}
                for d in self._dates.values()
            ],
            "progress": self._progress(*done),
            "first": self._next(None, *done),
            "last": self._units[-1],
        }

    def unit(self, number: int) -> dict[str, Any]:
        """The data of a unit that the page shows beside its pictures."""
        place = self._places[number]
        answer = self._answers.answer(self._labeller, number, review=self.review)
        at = self._units.index(number)
        around, zooms = self._ground(number)
        return {
            "unit": number,
            "longitude": self._form.longitude[place],
            "latitude": self._form.latitude[place],
            "wgs84": self._wgs84(place),
            "frames": {
                zoom: {"outline": frame.outline, "metres": frame.metres}
                for zoom, frame in zooms.items()
            },
            "ground": {"outline": around.outline, "metres": around.metres},
            "answer": None if answer is None else asdict(answer),
            "others": [
                {"labeller": name, **asdict(a)}
                for name, a in self._answers.given(number).get(number, {}).items()
            ]
            if self.review
            else [],
            "map": self._form.mapped[place] if self._show_map else None,
            "next": self._next(number, *self._done()),
            "previous": self._units[at - 1] if at else None,
        }

    def progress(self) -> dict[str, int]:
        """Units in all, answered, left for later, and not seen yet."""
        return self._progress(*self._done())

    def _progress(self, answered: set[int], skipped: set[int]) -> dict[str, int]:
        asked = set(self._units)
        counts = {
            "units": len(asked),
            "answered": len(answered & asked),
            "skipped": len(skipped & asked),
        }
        left = counts["units"] - counts["answered"] - counts["skipped"]
        return counts | {"left": left}

    def _next(self, unit: int | None, answered: set[int], skipped: set[int]) -> int | None:
        """The unit to show after one: the next without an answer, those left for later last."""
        bare = [n for n in self._units if n not in answered and n != unit]
        waiting = [n for n in bare if n not in skipped] or bare
        if unit is not None:
            at = self._places[unit]
            waiting = [n for n in waiting if self._places[n] > at] or waiting
        return next(iter(waiting), None)

    def _done(self) -> tuple[set[int], set[int]]:
        return self._answers.done(self._labeller, review=self.review)

    def _answer(self, values: Mapping[str, Any]) -> Answer:
        fields = {}
        for name in ("before", "after", "confidence", "notes"):
            value = values.get(name)
            if value is not None and not isinstance(value, str):
                raise ParameterError(f"An answer's {name} must be a text, got {value!r}.")
            fields[name] = (value or "").strip() or None
        for name in self._form.design.response.asked:
            if fields[name] is None:
                raise ParameterError(f"An answer must have the class {name}, got none; choose one.")
        one_date = self._form.design.response.dates == 1
        return Answer(
            None if one_date else fields["before"], str(fields["after"]), fields["confidence"],
            fields["notes"],
        )  # fmt: skip

    def _centre(self, place: int) -> tuple[float, float]:
        west, south, east, north = self._form.outlines[place].bounds
        return (west + east) / 2, (south + north) / 2

    def _wgs84(self, place: int) -> tuple[float, float] | None:
        """Longitude and latitude for maps of others; None for a CRS of another body."""
        try:
            to_wgs84 = grid.transformer(self._form.crs, "EPSG:4326")
        except GridError:
            return None
        longitude, latitude = to_wgs84.transform(*self._centre(place))
        return float(longitude), float(latitude)

    def _count_off(self, date: DateImage) -> int:
        x, y = zip(*(self._centre(self._places[n]) for n in self._units), strict=True)
        held = date.holds(x, y, self._form.crs)
        if not held.any():
            raise GridError(
                f"An image must show some of the units, got none of {len(held):,} on "
                f"{', '.join(date.files)} ({date.name}); check that it is of the map's ground."
            )
        return int((~held).sum())

    def _ground(self, number: int) -> tuple[Ground, dict[str, UnitFrame]]:
        if number not in self._grounds:
            around = ground(self._form.outlines[self._places[number]], self._form.crs)
            self._grounds[number] = around, frames(around, self._sides)
        return self._grounds[number]

    def _add_maps(self) -> None:
        """The files of the maps; without them the page shows pictures of a unit as they are."""
        page = self._files[""]
        assert page.body.count(_MAP.encode()) == 1, "the page loads the maps once"
        try:
            built = bundle.read()
        except ParameterError:
            self._files[""] = replace(page, body=page.body.replace(_MAP.encode(), b""))
            return
        for name in _MAP_FILES:
            self._files[name] = Reply(built[name], bundle.FILES[name])


def _reply(picture: Picture) -> Reply:
    return Reply(picture.png, "image/png", (("Landshift-Seen", picture.seen),))
