"""The page on which people label the units of a sample."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from typing import Any

from landshift import grid
from landshift.assess.answers import NOTES, Answers
from landshift.assess.contents import CONFIDENCES
from landshift.assess.response import Answer
from landshift.errors import GridError, ParameterError
from landshift.pages.labelling.pictures import (
    LONGEST,
    ZOOMS,
    DateImage,
    UnitFrame,
    frames,
    widened,
)
from landshift.pages.server import Reply, as_json

_PAGE = {
    "": ("labelling.html", "text/html; charset=utf-8"),
    "labelling.css": ("labelling.css", "text/css; charset=utf-8"),
    "labelling.js": ("labelling.js", "text/javascript; charset=utf-8"),
    "labelling.svg": ("labelling.svg", "image/svg+xml"),
}
_UNIT = re.compile(r"units/(\d{1,9})")
_PICTURE = re.compile(
    r"pictures/(\d{1,9})/(before|after)/(close|context)/(first|second)/(\d{3})x(\d{3})"
)
_POSTED = re.compile(r"(answers|skips)/(\d{1,9})")


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
        self._frames: dict[int, dict[str, UnitFrame]] = {}
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
                box = widened(self._frame(int(number))[zoom].box, *shape)
                picture = self._dates[date].picture(box, which)
                return Reply(picture.png, "image/png", (("Landshift-Seen", picture.seen),))
        return None

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
        return {
            "unit": number,
            "longitude": self._form.longitude[place],
            "latitude": self._form.latitude[place],
            "wgs84": self._wgs84(place),
            "frames": {
                zoom: {"outline": frame.outline, "metres": frame.metres}
                for zoom, frame in self._frame(number).items()
            },
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

    def _frame(self, number: int) -> dict[str, UnitFrame]:
        if number not in self._frames:
            outline = self._form.outlines[self._places[number]]
            self._frames[number] = frames(outline, self._form.crs, self._sides)
        return self._frames[number]
