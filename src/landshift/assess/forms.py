"""The form of a sample: read for labelling, and filled in, in the GeoPackage and the CSV."""

from __future__ import annotations

import csv
import hashlib
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from landshift.assess.contents import BESIDE, Form
from landshift.assess.files import as_text, layer_table, read_sample, read_table
from landshift.assess.response import Answer, Response
from landshift.errors import OutputError, SampleError
from landshift.files import whole

PATIENCE = 5.0
"""Seconds to wait for another program that writes to the sample or its answers."""


def read_form(path: Path) -> Form:
    """Read the part of a sample that labellers see.

    Raises:
        SampleError: The file is no sample, or has no classes to choose from.
    """
    import pyogrio
    import shapely

    sample = read_sample(path)
    response = sample.design.response
    if not response.choices:
        raise SampleError(
            f"A sample must state the classes that labellers choose from, got none in {path}; draw "
            "it with --choices."
        )
    about, _, outlines, values = pyogrio.raw.read(path, layer="units")
    units = dict(zip(about["fields"], values, strict=True))
    lacking = [n for n in ("longitude", "latitude", *BESIDE) if n not in units]
    if lacking or about["crs"] is None:
        raise SampleError(
            f"A sample must hold what `landshift sample` wrote, got no {(*lacking, 'CRS')[0]} in "
            f"{path}; fill in the file itself, no export of it."
        )
    place = {int(n): k for k, n in enumerate(units["unit"])}
    at = [place[int(n)] for n in sample.numbers]
    filled = [[as_text(v) for v in units[name][at]] for name in BESIDE]
    rows = zip(sample.numbers, sample.before, sample.after, *filled, strict=True)
    return Form(
        design=sample.design,
        digest=hashlib.sha256(str(layer_table(path, "record")["record"][0]).encode()).hexdigest(),
        numbers=tuple(int(n) for n in sample.numbers),
        crs=str(about["crs"]),
        outlines=tuple(shapely.from_wkb(outlines[at])),
        longitude=tuple(units["longitude"][at].tolist()),
        latitude=tuple(units["latitude"][at].tolist()),
        mapped=tuple(sample.design.classes[int(v)] for v in sample.mapped),
        answers={
            int(number): Answer(before, after, *beside)
            for number, before, after, *beside in rows
            if after is not None and (before is not None or response.dates == 1)
        },
    )


def fill_in(path: Path, response: Response, ask: Callable[[], Mapping[int, Answer | None]]) -> None:
    """Write answers into a sample's form, all or none, and onto the disk before it returns.

    Args:
        path: The GeoPackage.
        response: The fields of the labels.
        ask: Returns the answers to fill in, by number of the unit, None to empty its fields. It is
            called while the file is locked, so that no process writes answers that another one
            has replaced.

    Raises:
        OutputError: The file can't be written, or another program keeps it locked.
    """
    fields = (*response.asked, *BESIDE)
    filled = ", ".join(f'"{name}" = ?' for name in fields)
    address = f"{path.absolute().as_uri()}?mode=rw"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=PATIENCE)) as base:
            base.execute("PRAGMA synchronous = FULL")
            # triggers of the outlines' index name GDAL's functions; they act where an outline or
            # an id changes, and neither does
            for function in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
                base.create_function(function, 1, _never)
            with base:
                base.execute("BEGIN IMMEDIATE")
                at = dict(base.execute("SELECT unit, rowid FROM units"))  # it has no index
                base.executemany(
                    f"UPDATE units SET {filled} WHERE rowid = ?",
                    (
                        (*(None if a is None else getattr(a, f) for f in fields), at[number])
                        for number, a in ask().items()
                        if number in at
                    ),
                )
    except sqlite3.Error as error:
        raise OutputError(
            f"The sample must be writable, got '{error}' for {path}; close the program that holds "
            "it open, or make it writable."
        ) from error


def _never(outline: bytes) -> None:
    raise AssertionError("no outline changes")


def fill_in_table(path: Path, response: Response, answers: Mapping[int, Answer | None]) -> None:
    """Write answers into the CSV beside a sample, whose other columns stay.

    Args:
        path: The CSV.
        response: The fields of the labels.
        answers: Answers by number of the unit; None empties its fields.

    Raises:
        SampleError: The CSV isn't the sample's.
        OutputError: It can't be written.
    """
    fields = (*response.asked, *BESIDE)
    header, rows = read_table(path)
    lacking = [f for f in ("unit", *fields) if f not in header]
    if lacking:
        raise SampleError(
            f"A sample's CSV must have the columns unit, {', '.join(fields)}, got none named "
            f"{', '.join(lacking)} in {path}."
        )
    for row in rows:
        if row["unit"].strip().isdecimal() and int(row["unit"]) in answers:
            answer = answers[int(row["unit"])]
            row.update({f: (answer and getattr(answer, f)) or "" for f in fields})
    with whole.whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
