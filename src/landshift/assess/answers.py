"""Answers of labellers to a sample's units, kept on disk, and the labels that follow from them.

A SQLite file beside the sample keeps every answer: the last one of a labeller counts, earlier ones
stay as the history of a label. Labels that labellers agree on, and those that a reviewer decided,
are filled into the sample itself, which `landshift.assess.estimate` reads.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple
from pathlib import Path
from typing import Any

from landshift.assess import files, forms
from landshift.assess.contents import CONFIDENCES, Form
from landshift.assess.response import Answer
from landshift.errors import ClassError, OutputError, ParameterError, SampleError

BY_HAND = "form"
"""Labeller of labels that were filled into the sample itself, in QGIS for instance."""

NOTES = 2000
"""Most characters of notes."""

_NAME = 60  # characters of a labeller's name
_FORMAT = 1
_TABLES = f"""
CREATE TABLE sample (digest TEXT NOT NULL);
CREATE TABLE answers (
    id INTEGER PRIMARY KEY, unit INTEGER NOT NULL, labeller TEXT NOT NULL,
    review INTEGER NOT NULL, skipped INTEGER NOT NULL,
    before TEXT, after TEXT, confidence TEXT, notes TEXT,
    said TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
);
CREATE INDEX by_unit ON answers (unit, review, labeller);
CREATE INDEX by_labeller ON answers (review, labeller, unit, skipped);
PRAGMA user_version = {_FORMAT};
"""


class Answers:
    """The answers of all labellers to one sample; see `opened`.

    Methods may be called from any thread. Several processes may have one sample open.

    Attributes:
        form: The sample's form as it was when it was opened.
        unfilled: Why labels couldn't be filled into the sample the last time; None where they
            could. The answers themselves are safe.
    """

    def __init__(self, sample: Path, form: Form, base: sqlite3.Connection) -> None:
        self.form = form
        self.unfilled: str | None = None
        self._sample = sample
        self._base = base
        self._lock = threading.RLock()
        self._waiting: set[int] = set()

    def save(self, labeller: str, unit: int, answer: Answer, *, review: bool = False) -> None:
        """Keep an answer: on return it is on disk, and in the sample where all labellers agree.

        Args:
            labeller: Name of the labeller.
            unit: Number of the unit.
            answer: The answer.
            review: Whether it decides between different answers.

        Raises:
            ClassError: A class that is none of the choices.
            ParameterError: No such unit; a confidence there isn't; notes too long.
            OutputError: The answers can't be written.
        """
        self._check(unit)
        self.form.design.response.reference(*answer.labels)
        if answer.confidence not in (None, *CONFIDENCES):
            raise ParameterError(
                f"A confidence must be one of {', '.join(CONFIDENCES)}, got {answer.confidence!r}."
            )
        if len(answer.notes or "") > NOTES:
            raise ParameterError(
                f"Notes must have at most {NOTES:,} characters, got {len(answer.notes or ''):,}; "
                "shorten them."
            )
        self._insert(labeller, {unit: answer}, review=review)
        self.fill([unit])

    def skip(self, labeller: str, unit: int, *, review: bool = False) -> None:
        """Leave a unit for later; an answer given already stays.

        Raises:
            ParameterError: No such unit.
            OutputError: The answers can't be written.
        """
        self._check(unit)
        if self.answer(labeller, unit, review=review) is None:
            self._insert(labeller, {unit: None}, review=review)

    def of(self, labeller: str) -> dict[int, Answer]:
        """The answers of a labeller, by number of the unit; reviews apart."""
        rows = self._last("NOT review AND labeller = ?", labeller)
        return {unit: answer for unit, _, answer in rows if answer is not None}

    def answer(self, labeller: str, unit: int, *, review: bool = False) -> Answer | None:
        """The answer of a labeller to a unit; in a review, that of the last reviewer."""
        if review:
            return self.reviews(unit).get(unit)
        return self.given(unit).get(unit, {}).get(labeller)

    def done(self, labeller: str, *, review: bool = False) -> tuple[set[int], set[int]]:
        """Units that a labeller has answered (in a review: that anyone has), or left for later."""
        rows = self._read(
            "SELECT unit, labeller, skipped FROM answers WHERE id IN (SELECT max(id) FROM answers "
            f"WHERE review = ? {'' if review else 'AND labeller = ?'} GROUP BY labeller, unit)",
            *((True,) if review else (False, labeller)),
        )
        answered = {unit for unit, _, skipped in rows if not skipped}
        left = {unit for unit, name, skipped in rows if skipped and name == labeller}
        return answered, left - answered

    def labellers(self) -> tuple[str, ...]:
        """Names of the labellers, in the order of their first answers; without reviewers."""
        rows = self._read(
            "SELECT labeller FROM answers WHERE NOT review AND NOT skipped "
            "GROUP BY labeller ORDER BY min(id)"
        )
        return tuple(name for (name,) in rows)

    def given(self, unit: int | None = None) -> dict[int, dict[str, Answer]]:
        """The answers of all labellers, by unit and labeller; reviews apart."""
        return self._by_unit("NOT review", unit)

    def reviews(self, unit: int | None = None) -> dict[int, Answer]:
        """Answers of reviewers, by unit; the last one counts."""
        by_unit = self._by_unit("review", unit)
        return {number: list(answers.values())[-1] for number, answers in by_unit.items()}

    def disputed(self) -> tuple[int, ...]:
        """Units that labellers answer differently, reviewed or not, in the order of the form."""
        given = self.given()
        return tuple(n for n in self.form.numbers if _differ(given.get(n, {})))

    def final(self, unit: int | None = None) -> dict[int, Answer | None]:
        """The answer of each unit: the reviewer's, or that on which all agree, or None."""
        reviews = self.reviews(unit)
        labels: dict[int, Answer | None] = {}
        for number, answers in self.given(unit).items():
            agreed = None if _differ(answers) else _together(list(answers.values()))
            labels[number] = reviews.get(number, agreed)
        return labels

    def fill(self, units: Sequence[int] = ()) -> None:
        """Fill the labels of units into the sample, with those that couldn't be filled before.

        Where another program keeps the sample locked, they wait, and `unfilled` says so.
        """
        with self._lock:
            self._waiting.update(units)
            one = next(iter(self._waiting)) if len(self._waiting) == 1 else None

            def labels() -> dict[int, Answer | None]:
                return {n: a for n, a in self.final(one).items() if n in self._waiting}

            try:
                forms.fill_in(self._sample, self.form.design.response, labels)
            except OutputError as error:
                self.unfilled = str(error)
            else:
                self.unfilled = None
                self._waiting.clear()

    def fill_table(self) -> Path | None:
        """Fill all labels into the CSV beside the sample.

        A CSV with labels that aren't among the answers is left alone: somebody filled them in.

        Returns:
            The CSV; None where there is none, or it was left alone.

        Raises:
            SampleError: The CSV isn't the sample's.
            OutputError: It can't be written.
        """
        path = self._sample.with_suffix(".csv")
        if not path.is_file():
            return None
        asked = self.form.design.response.asked
        known = self._ever()
        for row in files.read_table(path)[1]:
            labels = tuple((row.get(name) or "").strip() or None for name in asked)
            number = row.get("unit", "").strip()
            if any(labels) and (number, labels) not in known:
                return None
        forms.fill_in_table(path, self.form.design.response, self.final())
        return path

    def take_over(self) -> None:
        """Keep labels that were filled into the sample by hand, as answers of 'form'.

        Raises:
            ClassError: A label that is none of the choices.
        """
        known = self._ever()
        new = {
            unit: answer
            for unit, answer in self.form.answers.items()
            if (str(unit), self._asked(answer)) not in known
        }
        for unit, answer in new.items():
            try:
                self.form.design.response.reference(*answer.labels)
            except ClassError as error:
                raise ClassError(f"Unit {unit} of {self._sample}: {error}") from error
        self._insert(BY_HAND, new, review=False)

    def settings(self) -> dict[str, str]:
        """Choices that earlier sessions made for the page, by name."""
        rows = self._read("SELECT name, value FROM settings")
        return {name: value for name, value in rows if isinstance(value, str)}

    def keep(self, settings: Mapping[str, str]) -> None:
        """Keep choices for the page, for later sessions.

        Raises:
            OutputError: They can't be written.
        """
        with self._lock, _writing(self._sample), self._base:
            self._base.executemany(
                "INSERT OR REPLACE INTO settings VALUES (?, ?)", list(settings.items())
            )

    def _asked(self, answer: Answer) -> tuple[str | None, ...]:
        return tuple(getattr(answer, name) for name in self.form.design.response.asked)

    def _ever(self) -> set[tuple[str, tuple[str | None, ...]]]:
        """Every pair of a unit and labels among all answers, earlier ones too."""
        rows = self._read("SELECT unit, before, after FROM answers WHERE NOT skipped")
        return {(str(unit), self._asked(Answer(before, after))) for unit, before, after in rows}

    def _check(self, unit: int) -> None:
        if unit not in self.form.numbers:
            raise ParameterError(
                f"A unit must be one of the sample's {len(self.form.numbers):,}, got {unit}."
            )

    def _insert(self, labeller: str, answers: Mapping[int, Answer | None], *, review: bool) -> None:
        """Add answers, by number of the unit, None for a skip; all or none."""
        nothing = Answer(None, "")
        rows = [
            (unit, labeller, review, a is None, *astuple(a or nothing))
            for unit, a in answers.items()
        ]
        with self._lock, _writing(self._sample), self._base:
            self._base.executemany(
                "INSERT INTO answers (unit, labeller, review, skipped, before, after, confidence, "
                "notes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )

    def _by_unit(self, which: str, unit: int | None) -> dict[int, dict[str, Answer]]:
        rows = self._last(which) if unit is None else self._last(f"{which} AND unit = ?", unit)
        by_unit: dict[int, dict[str, Answer]] = {}
        for number, labeller, answer in rows:
            if answer is not None:
                by_unit.setdefault(number, {})[labeller] = answer
        return by_unit

    def _last(self, which: str, *values: object) -> list[tuple[int, str, Answer | None]]:
        """Last answers of each labeller to each unit, None for a skip, in the order of giving."""
        rows = self._read(
            "SELECT unit, labeller, skipped, before, after, confidence, notes FROM answers WHERE "
            f"id IN (SELECT max(id) FROM answers WHERE {which} GROUP BY unit, review, labeller) "
            "ORDER BY id",
            *values,
        )
        return [
            (unit, labeller, None if skipped else Answer(*fields))
            for unit, labeller, skipped, *fields in rows
        ]

    def _read(self, job: str, *values: object) -> list[Any]:
        with self._lock, _writing(self._sample):
            return self._base.execute(job, values).fetchall()


@contextmanager
def opened(sample: Path) -> Iterator[Answers]:
    """The answers to a sample, created where there are none yet, and filled into it at the end.

    Raises:
        SampleError: The file is no sample, or the answers beside it are to another one.
        OutputError: The folder or the sample can't be written.
        ClassError: A label in the sample that is none of its choices.
    """
    sample = Path(sample)
    form = forms.read_form(sample)
    path = files.answers_beside(sample)
    with _writing(sample):
        base = sqlite3.connect(path, timeout=forms.PATIENCE, check_same_thread=False)
    with closing(base):
        with _writing(sample):
            base.execute("PRAGMA synchronous = FULL")
            base.execute("PRAGMA trusted_schema = OFF")  # the file may come from elsewhere
            _make(base, form, path)
        answers = Answers(sample, form, base)
        answers.take_over()
        answers.fill(tuple(answers.given()))
        if answers.unfilled:
            raise OutputError(answers.unfilled)
        try:
            yield answers
        finally:
            answers.fill()
            with suppress(SampleError, OutputError):  # a copy for spreadsheets: the sample has all
                answers.fill_table()


def check_name(labeller: str) -> str:
    """The name of a labeller, checked.

    Raises:
        ParameterError: It is empty, long, or has characters that don't print.
    """
    name = labeller.strip()
    if not 0 < len(name) <= _NAME or not name.isprintable():
        raise ParameterError(
            f"A labeller's name must have 1 to {_NAME} printable characters, got {labeller!r}."
        )
    return name


def _make(base: sqlite3.Connection, form: Form, path: Path) -> None:
    """Create the tables where there are none, and check that they belong to this sample."""
    with base:
        base.execute("BEGIN IMMEDIATE")
        if not base.execute("PRAGMA user_version").fetchone()[0]:
            for job in _TABLES.strip().split(";\n"):
                base.execute(job)
            base.execute("INSERT INTO sample VALUES (?)", (form.digest,))
        version = base.execute("PRAGMA user_version").fetchone()[0]
        if version == _FORMAT:  # answers that were begun before choices were kept lack the table
            base.execute("CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT)")
        digest = base.execute("SELECT digest FROM sample").fetchone() if version == _FORMAT else ()
    if digest != (form.digest,):
        raise SampleError(
            f"Answers must be to the sample that they lie beside, got those to another one in "
            f"{path}; move that file away, or put its sample back."
        )


@contextmanager
def _writing(sample: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise OutputError(
            f"Answers must be kept beside the sample, got '{error}' for {sample}; make the folder "
            "writable, or copy the sample to one that is."
        ) from error


def _differ(answers: Mapping[str, Answer]) -> bool:
    return len({a.labels for a in answers.values()}) > 1


def _together(answers: Sequence[Answer]) -> Answer:
    """Answers with the same labels as one: the least confidence, all notes."""
    confidences = [a.confidence for a in answers if a.confidence is not None]
    notes = dict.fromkeys(a.notes for a in answers if a.notes)
    return Answer(
        *answers[0].labels,
        max(confidences, key=CONFIDENCES.index, default=None),
        "; ".join(notes) or None,
    )
