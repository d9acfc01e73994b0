"""The page on which people label the units of a sample."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from typing import Any

from landshift.assess.answers import NOTES, Answers
from landshift.assess.contents import CONFIDENCES
from landshift.assess.response import Answer
from landshift.errors import GridError, ParameterError
from landshift.pages.labelling.pictures import ZOOMS, Date, Frame, frames
from landshift.pages.labelling.server import Reply, as_json
from landshift.spec import split_name

_PAGE = {
    "": ("labelling.html", "text/html; charset=utf-8"),
    "labelling.css": ("labelling.css", "text/css; charset=utf-8"),
    "labelling.js": ("labelling.js", "text/javascript; charset=utf-8"),
    "labelling.svg": ("labelling.svg", "image/svg+xml"),
}
_UNIT = re.compile(r"units/(\d{1,9})")
_PICTURE = re.compile(r"pictures/(\d{1,9})/(before|after)/(close|context)/(true|false)")
_TOLD = re.compile(r"(answers|skips)/(\d{1,9})")


class Labelling:
    """What one labeller, or a reviewer, is asked of a sample; a `server.Site`.

    Args:
        answers: Where answers go.
        dates: The images, before first.
        labeller: Who answers.
        sides: Side of each of the pictures, in sides of a unit.
        units: Numbers of the units to ask of; None: all. A review asks of those in dispute.
        review: Whether this is a review: both answers are shown, and the reviewer's is final.
        show_map: Whether the map's class is shown.

    Raises:
        ParameterError: Units that there aren't; nothing to review.
        GridError: An image that no unit lies on.
    """

    def __init__(
        self,
        answers: Answers,
        dates: Sequence[Date],
        labeller: str,
        *,
        sides: tuple[float, float],
        units: Sequence[int] | None = None,
        review: bool = False,
        show_map: bool = False,
    ) -> None:
        form = answers.form
        self._answers, self._form = answers, form
        self._labeller, self._review, self._show_map = labeller, review, show_map
        self._dates = {d.name: d for d in dates}
        self._sides = sides
        self._frames: dict[int, dict[str, Frame]] = {}
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
        """A file of the page, what it asks, a unit, or a picture of one."""
        if path in self._files:
            return self._files[path]
        if path == "asked":
            return as_json(self.asked())
        unit = _UNIT.fullmatch(path)
        if unit and int(unit[1]) in self._units:
            return as_json(self.unit(int(unit[1])))
        asked = _PICTURE.fullmatch(path)
        if asked and int(asked[1]) in self._units:
            number, date, zoom, colour = int(asked[1]), asked[2], asked[3], asked[4]
            if date in self._dates and colour in self._dates[date].plans:
                found = self._dates[date].picture(self._frame(number)[zoom].box, colour)
                return Reply(found.png, "image/png", (("Landshift-Seen", found.seen),))
        return None

    def post(self, path: str, told: Mapping[str, Any]) -> Reply | None:
        """An answer, or a unit left for later: kept, then what is left to do."""
        matched = _TOLD.fullmatch(path)
        if matched is None or int(matched[2]) not in self._units:
            return None
        unit = int(matched[2])
        if matched[1] == "skips":
            self._answers.skip(self._labeller, unit, review=self._review)
        else:
            self._answers.save(self._labeller, unit, self._answer(told), review=self._review)
        done = self._done()
        return as_json(
            {
                "progress": self._progress(*done),
                "next": self._next(unit, *done),
                "unfilled": self._answers.unfilled,
            }
        )

    def asked(self) -> dict[str, Any]:
        """What the page asks, of whom, and where it begins."""
        response = self._form.design.response
        done = self._done()
        return {
            "map": self._form.design.map_name,
            "labeller": self._labeller,
            "review": self._review,
            "asked": list(response.asked),
            "choices": list(response.choices),
            "confidences": list(CONFIDENCES),
            "notes": NOTES,
            "zooms": list(ZOOMS),
            "dates": [
                {
                    "name": d.name,
                    "files": list(d.files),
                    "colours": {c: [split_name(n)[1] for n in b] for c, b in d.bands.items()},
                }
                for d in self._dates.values()
            ],
            "progress": self._progress(*done),
            "first": self._next(None, *done),
            "last": self._units[-1],
        }

    def unit(self, number: int) -> dict[str, Any]:
        """What the page shows of a unit beside its pictures."""
        place = self._places[number]
        answer = self._answers.answer(self._labeller, number, review=self._review)
        at = self._units.index(number)
        return {
            "unit": number,
            "longitude": self._form.longitude[place],
            "latitude": self._form.latitude[place],
            "frames": {
                zoom: {"outline": frame.outline, "metres": frame.metres}
                for zoom, frame in self._frame(number).items()
            },
            "answer": None if answer is None else asdict(answer),
            "others": [
                {"labeller": name, **asdict(a)}
                for name, a in self._answers.given(number).get(number, {}).items()
            ]
            if self._review
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
        """The unit to ask of after one: the next without an answer, those left for later last."""
        bare = [n for n in self._units if n not in answered and n != unit]
        waiting = [n for n in bare if n not in skipped] or bare
        if unit is not None:
            at = self._places[unit]
            waiting = [n for n in waiting if self._places[n] > at] or waiting
        return next(iter(waiting), None)

    def _done(self) -> tuple[set[int], set[int]]:
        return self._answers.done(self._labeller, review=self._review)

    def _answer(self, told: Mapping[str, Any]) -> Answer:
        said = {}
        for name in ("before", "after", "confidence", "notes"):
            value = told.get(name)
            if value is not None and not isinstance(value, str):
                raise ParameterError(f"An answer's {name} must be a text, got {value!r}.")
            said[name] = (value or "").strip() or None
        for name in self._form.design.response.asked:
            if said[name] is None:
                raise ParameterError(f"An answer must say the class {name}, got none; choose one.")
        one_date = self._form.design.response.dates == 1
        return Answer(
            None if one_date else said["before"], str(said["after"]), said["confidence"],
            said["notes"],
        )  # fmt: skip

    def _count_off(self, date: Date) -> int:
        outlines = [self._form.outlines[self._places[n]] for n in self._units]
        centres = [((w + e) / 2, (s + n) / 2) for w, s, e, n in (o.bounds for o in outlines)]
        x, y = zip(*centres, strict=True)
        held = date.holds(x, y, self._form.crs)
        if not held.any():
            raise GridError(
                f"An image must show some of the units, got none of {len(held):,} on "
                f"{', '.join(date.files)} ({date.name}); check that it is of the map's ground."
            )
        return int((~held).sum())

    def _frame(self, number: int) -> dict[str, Frame]:
        if number not in self._frames:
            outline = self._form.outlines[self._places[number]]
            self._frames[number] = frames(outline, self._form.crs, self._sides)
        return self._frames[number]
