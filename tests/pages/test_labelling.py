"""Labelling: answers on disk, agreement, pictures, the server, and the page in Chromium."""

import csv
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from pyproj import Transformer

import landshift
from labelling_page import command, opened_page, wait
from landshift.assess import answers, forms
from landshift.assess.agreement import agreements
from landshift.assess.plan import SamplePlan
from landshift.assess.response import Answer
from landshift.classes import ClassScheme
from landshift.cli import main
from landshift.errors import (
    BandError,
    ClassError,
    GridError,
    OutputError,
    ParameterError,
    SampleError,
)
from landshift.pages import server
from landshift.pages.labelling import page as labelling
from landshift.pages.labelling import pictures
from landshift.pages.labelling.session import PictureOptions

CHANGE = ClassScheme.from_mapping({1: "to forest", 2: "to crop", 3: "No change"})
BANDS = ("blue", "green", "red", "nir")


def draw(mapped, out, plan, **options):
    return landshift.sample(mapped, out, plan=plan, **options)


@pytest.fixture
def change_map(write_raster):
    random = np.random.default_rng(3)
    codes = random.choice(4, (60, 50), p=[0.05, 0.15, 0.2, 0.6]).astype(np.uint8)
    return write_raster(
        "change.tif", codes, nodata=0, LANDSHIFT_CLASSES=json.dumps(CHANGE.as_list())
    )


@pytest.fixture
def sample(change_map, tmp_path):
    draw(change_map, tmp_path / "s.gpkg", SamplePlan(size=12, allocation="equal"))
    return tmp_path / "s.gpkg"


@pytest.fixture
def images(write_raster):
    """Two dates of 60 x 50 pixels; a strip of the second is nodata."""
    random = np.random.default_rng(0)
    before = random.integers(100, 4000, (4, 60, 50)).astype(np.uint16)
    after = before.copy()
    after[:, :, :5] = 0
    return [
        write_raster(f"{n}.tif", v, nodata=0, bands=BANDS)
        for n, v in (("before", before), ("after", after))
    ]


CROP = Answer("forest", "crop", "high", "cleared")
FOREST = Answer("crop", "forest", "low")


def in_form(sample):
    """The form's fields by unit, as another program reads them."""
    about, _, _, values = pyogrio.raw.read(sample, layer="units", read_geometry=False)
    columns = dict(zip(about["fields"], values, strict=True))
    fields = ("before", "after", "confidence", "notes")
    return {int(n): tuple(columns[f][k] for f in fields) for k, n in enumerate(columns["unit"])}


# ---- Answers


def test_an_answer_is_in_both_files_when_it_is_saved(sample):
    with answers.opened(sample) as opened:
        opened.save("ann", 3, CROP)
        assert in_form(sample)[3] == ("forest", "crop", "high", "cleared")
        with sqlite3.connect(sample.with_suffix(".answers.sqlite")) as other:
            rows = other.execute("SELECT unit, labeller, before, after FROM answers").fetchall()
        other.close()
        assert rows == [(3, "ann", "forest", "crop")]
    with sample.with_suffix(".csv").open() as file:
        assert [r["after"] for r in csv.DictReader(file)][:4] == ["", "", "crop", ""]
    # the outlines are as they were
    _, _, outlines, _ = pyogrio.raw.read(sample, layer="units")
    assert set(shapely.area(shapely.from_wkb(outlines)).tolist()) == {900.0}


def test_the_last_answer_counts_and_none_is_forgotten(sample):
    with answers.opened(sample) as opened:
        opened.skip("ann", 1)
        assert (opened.done("ann"), opened.of("ann")) == ((set(), {1}), {})
        opened.save("ann", 1, CROP)
        opened.save("ann", 1, FOREST)
        opened.skip("ann", 1)  # which is no answer: the one given stays
        assert (opened.done("ann"), opened.of("ann")) == (({1}, set()), {1: FOREST})
        assert in_form(sample)[1][:2] == ("crop", "forest")
    with sqlite3.connect(sample.with_suffix(".answers.sqlite")) as base:
        assert base.execute("SELECT count(*) FROM answers").fetchone() == (3,)
    base.close()
    with answers.opened(sample) as again:
        assert again.of("ann") == {1: FOREST}


def test_what_labellers_differ_on_waits_for_a_review(sample):
    with answers.opened(sample) as opened:
        opened.save("ann", 1, CROP)
        opened.save("ben", 1, Answer("forest", "crop", "medium", "edge"))
        opened.save("ann", 2, CROP)
        opened.save("ben", 2, FOREST)
        assert opened.disputed() == (2,)
        # agreed: the lesser confidence, both notes
        assert in_form(sample)[1] == ("forest", "crop", "medium", "cleared; edge")
        assert in_form(sample)[2] == (None,) * 4
        opened.save("cara", 2, Answer("crop", "crop", "high"), review=True)
        assert in_form(sample)[2] == ("crop", "crop", "high", None)
        opened.save("ben", 2, CROP)  # final is final
        assert opened.final()[2].labels == ("crop", "crop")
        assert opened.labellers() == ("ann", "ben")
    with pytest.raises(SampleError, match="got 10 of 12 without a label"):
        landshift.estimate(sample)


def test_agreement_by_hand(sample):
    with answers.opened(sample) as opened:
        for unit in range(1, 11):
            opened.save("ann", unit, CROP if unit <= 5 else FOREST)
            opened.save("ben", unit, CROP if unit <= 4 or unit > 8 else FOREST)
        opened.save("ben", 11, CROP)  # ann hasn't
        by_map, before, _ = agreements(opened)
    assert (by_map.on, by_map.units, by_map.share) == ("map", 10, 0.7)
    assert by_map.names == ("to forest", "to crop")
    assert by_map.counts.tolist() == [[3, 2], [1, 4]]
    # agreed 0.7, by chance (5 * 4 + 5 * 6) / 100 = 0.5
    assert by_map.kappa == pytest.approx(0.4)
    assert before.names == ("forest", "crop")


def test_labels_made_by_hand_are_kept(sample):
    def by_hand(unit, before, after):
        by_hand = {unit: Answer(before, after)}
        forms.fill_in(sample, forms.read_form(sample).design.response, lambda: by_hand)

    by_hand(4, "crop", "crop")
    with answers.opened(sample) as opened:
        assert opened.of(answers.BY_HAND) == {4: Answer("crop", "crop")}
        opened.save("ann", 4, CROP)
        assert opened.disputed() == (4,)
        assert in_form(sample)[4] == (None,) * 4
    by_hand(5, "crop", "sea")
    wrong = r"Unit 5 of .*must be one of forest, crop, got 'sea'"
    with pytest.raises(ClassError, match=wrong), answers.opened(sample):
        pass
    assert in_form(sample)[5][1] == "sea"


def test_a_table_with_labels_of_its_own_is_left_alone(sample):
    table = sample.with_suffix(".csv")
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0] |= {"before": "crop", "after": "crop"}
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    text = table.read_text()
    with answers.opened(sample) as opened:
        opened.save("ann", 2, CROP)
        assert opened.fill_table() is None
    assert table.read_text() == text


def test_a_locked_sample_waits_and_loses_nothing(sample, monkeypatch):
    monkeypatch.setattr(forms, "PATIENCE", 0.1)
    with answers.opened(sample) as opened:
        other = sqlite3.connect(sample, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        opened.save("ann", 1, CROP)
        assert "close the program that holds it open" in opened.unfilled
        other.execute("ROLLBACK")
        other.close()
        opened.save("ann", 2, FOREST)
        assert opened.unfilled is None
    assert [in_form(sample)[n][1] for n in (1, 2)] == ["crop", "forest"]


def test_a_kill_between_the_two_files_is_made_good(sample):
    with answers.opened(sample):
        pass
    with sqlite3.connect(sample.with_suffix(".answers.sqlite")) as base:
        base.execute(
            "INSERT INTO answers (unit, labeller, review, skipped, before, after) "
            "VALUES (6, 'ann', 0, 0, 'crop', 'forest')"
        )
    base.close()
    assert in_form(sample)[6] == (None,) * 4
    with answers.opened(sample) as opened:
        assert in_form(sample)[6][:2] == ("crop", "forest")
        assert opened.labellers() == ("ann",)


def test_two_processes_may_have_a_sample_open(sample):
    with answers.opened(sample) as one, answers.opened(sample) as other:
        workers = [
            threading.Thread(target=who.save, args=(name, unit, given))
            for unit in (1, 2, 3)
            for who, name, given in (
                (one, "ann", CROP),
                (other, "ben", CROP if unit < 3 else FOREST),
            )
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert one.final() == other.final()
        assert one.disputed() == (3,)
        assert [in_form(sample)[n][1] for n in (1, 2, 3)] == ["crop", "crop", None]


def test_bad_answers_are_refused(sample):
    with answers.opened(sample) as opened:
        with pytest.raises(ParameterError, match="one of the sample's 12, got 99"):
            opened.save("ann", 99, CROP)
        with pytest.raises(ClassError, match="must be one of forest, crop, got 'sea'"):
            opened.save("ann", 1, Answer("forest", "sea"))
        with pytest.raises(ParameterError, match="one of high, medium, low, got 'sure'"):
            opened.save("ann", 1, Answer("forest", "crop", "sure"))
        with pytest.raises(ParameterError, match="at most 2,000 characters, got 2,001"):
            opened.save("ann", 1, Answer("forest", "crop", "high", "x" * 2001))
        assert opened.given() == {}
    for name in ("", " ", "a\nb", "x" * 61):
        with pytest.raises(ParameterError, match="1 to 60 printable"):
            answers.check_name(name)


def test_answers_to_another_sample_are_refused(change_map, sample, tmp_path):
    with answers.opened(sample) as opened:
        opened.save("ann", 1, CROP)
    kept = sample.with_suffix(".answers.sqlite").read_bytes()
    draw(change_map, sample, SamplePlan(size=12, seed=1), overwrite=True)  # over it
    wrong = r"got those to another one .* move that file away"
    with pytest.raises(SampleError, match=wrong), answers.opened(sample):
        pass
    assert sample.with_suffix(".answers.sqlite").read_bytes() == kept
    sample.with_suffix(".answers.sqlite").write_bytes(b"no database" * 99)
    with pytest.raises(OutputError, match="file is not a database"), answers.opened(sample):
        pass
    with pytest.raises(SampleError, match="pixels counted"), answers.opened(change_map):
        pass


def test_a_sample_without_choices_is_refused(sample):
    with sqlite3.connect(sample) as base:
        record = json.loads(base.execute("SELECT record FROM record").fetchone()[0])
        record["design"]["response"]["choices"] = []
        base.execute("UPDATE record SET record = ?", (json.dumps(record),))
    base.close()
    with pytest.raises(SampleError, match="draw it with --choices"):
        forms.read_form(sample)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="Windows has no seteuid")
def test_a_folder_that_cannot_be_written_is_one_clear_line(sample):
    own = os.geteuid()
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are for one account
        kept = shutil.copy(sample, Path(name) / "s.gpkg")
        forms.read_form(kept)  # loads all that it needs before rights are given up
        kept.chmod(0o444)
        kept.parent.chmod(0o555)
        if own == 0:
            os.seteuid(65534)  # who is root may write anywhere
        try:
            clear = "make the folder writable"
            with pytest.raises(OutputError, match=clear), answers.opened(kept):
                pass
        finally:
            os.seteuid(own)
            kept.parent.chmod(0o755)


# ---- Pictures


def pixels(png):
    with rasterio.MemoryFile(png) as memory, memory.open() as source:
        return source.read()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_picture_shows_the_image_as_it_is(write_raster):
    values = np.zeros((3, 40, 40), np.uint8)
    values[0], values[1, 20:], values[2, :, 20:] = np.linspace(1, 255, 40), 200, 100
    values[:, 3, 3] = 255
    path = write_raster("image.tif", values)
    date = pictures.look("after", [path])
    # nothing says what the bands are; and there is no near infrared
    assert date.labels == {"first": "bands 1, 2, 3"}
    box = rasterio_box(path, 10, 10, 20)
    picture = date.picture(box, "first")
    assert picture.seen == "all"
    shown = pixels(picture.png)
    low, high = np.percentile(values.reshape(3, -1), (2, 98), axis=1)
    wanted = (values[:, 10:30, 10:30] - low[:, None, None]) / (high - low)[:, None, None]
    assert np.abs(shown[:3] / 255 - wanted.clip(0, 1)).max() < 0.003
    assert (shown[3] == 255).all()


def rasterio_box(path, row, column, size):
    from landshift import grid, raster
    from landshift.grid import Window

    return grid.window_geobox(raster.info(path).grid, Window(row, column, size, size))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_pictures_tell_what_is_not_known(images):
    date = pictures.look("after", [images[1]])
    for row, column, seen in ((20, 20, "all"), (0, 0, "part"), (0, -95, "outside")):
        picture = date.picture(rasterio_box(images[1], row, column, 20), "first")
        assert picture.seen == seen
        assert pixels(picture.png)[3].all() == (seen == "all")
    assert date.picture(rasterio_box(images[1], 10, 1, 3), "second").seen == "nothing"
    x, y = [500_010, 501_490, 501_510], [3_999_990, 3_998_210, 3_998_210]
    assert date.holds(x, y, "EPSG:32618").tolist() == [True, True, False]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_an_image_in_another_crs_shows_the_same_ground(write_raster):
    red = np.zeros((3, 400, 400), np.uint8)
    red[1:] = 10
    red[0, 200:] = 200  # the south is red, the east is green
    red[1, :, 200:] = 200
    path = write_raster("degrees.tif", red, crs="EPSG:4326", origin=(-75.01, 36.16), pixel=0.0001)
    x, y = Transformer.from_crs(4326, 32618, always_xy=True).transform(-75.01 + 0.02, 36.16 - 0.02)
    outline = shapely.box(x - 230, y + 100, x - 200, y + 130)  # the image's middle isn't ours
    frame = pictures.frames(pictures.ground(outline, "EPSG:32618"), (4, 40), size=80)["context"]
    shown = pixels(pictures.look("after", [path]).picture(frame.box, "first").png)
    column, row = ~frame.box.affine @ (x, y)
    row, column = round(row), round(column)
    assert 10 < row < 70
    assert 10 < column < 70
    assert shown[0, row - 6, column] == 0
    assert shown[0, row + 6, column] == 255
    assert shown[1, row, column - 6] < shown[1, row, column + 6]


def test_frames_are_square_on_the_ground():
    corner = shapely.box(10.0, 60.0, 10.001, 60.001)
    frames = pictures.frames(pictures.ground(corner, "EPSG:4326"), (10, 100))
    close, wide = frames["close"], frames["context"]
    assert wide.metres == pytest.approx(10 * close.metres, rel=1e-3)
    assert close.metres == pytest.approx(1114, rel=0.01)  # ten times a thousandth of latitude
    (left, bottom, right, top) = close.box.extent.boundingbox.bbox
    assert (right - left) / (top - bottom) == pytest.approx(2, rel=0.01)  # at 60 degrees
    xs = [x for x, _ in close.outline]
    assert (min(xs) + max(xs)) / 2 == pytest.approx(0.5)


def test_a_square_grows_around_its_middle_to_the_shape_of_a_frame(images):
    square = rasterio_box(images[0], 20, 10, 16)
    tall = pictures.widened(square, 1, 1.5)
    assert tall.shape == (24, 16)
    assert tall.affine.c == square.affine.c
    assert tall.affine.f == square.affine.f + 4 * 30
    assert pictures.widened(square, 3, 1).shape == (16, 48)
    assert pictures.widened(square, 1, 1) == square


def test_bands_follow_the_rule_for_colours(write_raster, images):
    def shown(*arguments, **options):
        date = pictures.look(*arguments, **options)
        return {w: (date.plans[w].names, date.labels[w]) for w in date.plans}

    true = ("red", "green", "blue"), "true colour"
    false = ("nir", "red", "green"), "false colour (nir, red, green)"
    four = write_raster("four.tif", np.ones((4, 9, 9), np.uint16))
    assert shown("after", [four]) == {"first": (("b1", "b2", "b3"), "bands 1, 2, 3")}
    assert shown("before", [images[0]]) == {"first": true, "second": false}
    # what the first picture shows isn't shown twice
    assert shown("before", [images[0]], rgb="nir,red,green") == {"first": false}
    assert shown("before", [images[0]], rgb=["nir", 2, 1], second_rgb="1") == {
        "first": (("nir", "green", "blue"), "nir, green, blue"),
        "second": (("blue",) * 3, "band blue"),
    }
    names = [f"{d}:{b}" for d in ("before", "after") for b in BANDS]
    stacked = write_raster("stacked.tif", np.ones((8, 9, 9), np.uint8), bands=names)
    assert shown("after", [stacked], rgb="1,2,3")["first"] == (
        ("after:blue", "after:green", "after:red"), "blue, green, red",
    )  # fmt: skip
    # the choice that a composite keeps, unless a session kept another one that fits
    keeping = write_raster("kept.tif", np.ones((4, 9, 9), np.uint16), LANDSHIFT_RGB="4,3,2")
    assert shown("after", [keeping])["first"][0] == ("b4", "b3", "b2")
    for kept, bands in (("1,2,3", ("b1", "b2", "b3")), ("nir,2,1", ("b4", "b3", "b2"))):
        assert shown("after", [keeping], kept={"first": kept})["first"][0] == bands
    with pytest.raises(BandError, match="`rgb` must be among blue, green, red, nir, got '7'"):
        pictures.look("before", [images[0]], rgb="7,2,1")
    with pytest.raises(ParameterError, match=r"`second_rgb` must be three bands, .*got 1, 2"):
        pictures.look("before", [images[0]], second_rgb="1,2")


def test_a_choice_of_bands_is_kept_for_the_next_session(sample, images):
    def labels(**options):
        with landshift.label_samples(
            sample, before=[images[0]], after=[images[1]], pictures=PictureOptions(**options)
        ) as session:
            return [d["pictures"]["first"] for d in json_of(session._site.get("asked"))["dates"]]

    assert labels() == ["true colour"] * 2
    assert labels(rgb="nir,green,blue") == ["nir, green, blue"] * 2
    assert labels() == ["nir, green, blue"] * 2
    with pytest.raises(BandError, match="got 'swir'"):
        labels(rgb="swir,1,2")
    assert labels() == ["nir, green, blue"] * 2
    assert labels(rgb="red,green,blue") == ["true colour"] * 2
    assert labels() == ["true colour"] * 2


def test_answers_from_before_choices_were_kept_are_read(sample):
    with answers.opened(sample) as opened:
        opened.save("ann", 1, CROP)
    with sqlite3.connect(sample.with_suffix(".answers.sqlite")) as base:
        base.execute("DROP TABLE settings")
    base.close()
    with answers.opened(sample) as opened:
        assert opened.of("ann") == {1: CROP}
        opened.keep({"first": "4,3,2"})
        assert opened.settings() == {"first": "4,3,2"}


@pytest.mark.parametrize("value", [3, b"\x00", "\u00b2", "9" * 5000, "red,,", "\x1b[31m"])
def test_choices_that_mean_nothing_are_left_aside(sample, images, value):
    with answers.opened(sample):
        pass
    with sqlite3.connect(sample.with_suffix(".answers.sqlite")) as base:
        base.execute("DROP TABLE settings")
        base.execute("CREATE TABLE settings (name, value)")  # of any type
        rows = [(name, value) for name in pictures.PICTURES]
        base.executemany("INSERT INTO settings VALUES (?, ?)", rows)
    base.close()
    with answers.opened(sample) as opened:
        kept = opened.settings()
    assert pictures.look("after", [images[1]], kept=kept).labels == (
        pictures.look("after", [images[1]]).labels
    )


def test_one_stretch_for_every_unit_and_few_pixels_read_for_it(write_raster, tmp_path):
    random = np.random.default_rng(0)
    tile = random.integers(1, 1001, (1, 64, 64)).astype(np.uint16)
    path = write_raster("large.tif", np.tile(tile, (1, 36, 36)))  # 2304^2, without overviews
    ((low, high),) = set(pictures.look("after", [path]).limits["first"])
    assert low == pytest.approx(20, abs=12)
    assert high == pytest.approx(980, abs=12)
    nothing = write_raster("nothing.tif", np.zeros((9, 9), np.uint8), nodata=0)
    assert pictures.look("after", [nothing]).limits["first"] == [(0.0, 1.0)] * 3


def test_images_that_cannot_be_shown_are_refused(sample, write_raster, images):
    bare = write_raster("bare.tif", np.ones((3, 9, 9), np.uint8), crs=None)
    with pytest.raises(GridError, match="must have a CRS, got none"):
        pictures.look("after", [bare])
    assert pictures.look("after", [bare], assume_crs="EPSG:32618").plans
    far = write_raster("far.tif", np.ones((3, 9, 9), np.uint8), origin=(600_000.0, 1_000_000.0))
    with answers.opened(sample) as opened, pytest.raises(GridError, match=r"none of 12 on far.tif"):
        labelling.Labelling(opened, [pictures.look("after", [far])], "ann", sides=(15, 120))
    for sides in ((15,), (120, 15), (0, 10), (float("nan"), 2)):
        with pytest.raises(ParameterError, match="two numbers from 1 to 10,000"):
            pictures.check_sides(sides)


# ---- What is asked of whom


@pytest.fixture
def asking(sample, images):
    """A function that gives the page of a labeller."""
    dates = [pictures.look(n, [p]) for n, p in zip(("before", "after"), images, strict=True)]
    with answers.opened(sample) as opened:
        yield lambda name, **options: labelling.Labelling(
            opened, dates, name, sides=(15, 60), **options
        )


def json_of(reply):
    return json.loads(reply.body)


ANSWER = {"before": "forest", "after": "crop", "confidence": "high", "notes": " a b "}


def test_units_left_for_later_come_last(asking):
    site = asking("ann", units=[2, 3, 5, 7])
    assert json_of(site.get("asked"))["first"] == 2
    assert json_of(site.post("skips/2", {}))["next"] == 3
    assert json_of(site.post("answers/3", ANSWER))["next"] == 5
    assert json_of(site.get("units/5"))["next"] == 7
    site.post("answers/7", ANSWER)
    left = json_of(site.post("answers/5", ANSWER))
    assert (left["next"], left["progress"]) == (
        2, {"units": 4, "answered": 3, "skipped": 1, "left": 0},
    )  # fmt: skip
    assert json_of(site.post("answers/2", ANSWER))["next"] is None
    assert json_of(site.get("units/3"))["answer"] == ANSWER | {"notes": "a b"}
    # another labeller has it all to do, and sees none of it
    other = asking("ben")
    assert json_of(other.get("asked"))["progress"]["left"] == 12
    assert json_of(other.get("units/3"))["answer"] is None
    assert json_of(other.get("units/3"))["others"] == []


def test_the_map_is_shown_on_request_alone(asking, sample):
    mapped = dict(
        zip(*(getattr(forms.read_form(sample), f) for f in ("numbers", "mapped")), strict=True)
    )
    assert json_of(asking("ann", show_map=True).get("units/4"))["map"] == mapped[4]
    blind = asking("ann")
    assert json_of(blind.get("units/4"))["map"] is None
    everything = b"".join(blind.get(p).body for p in ("asked", "units/4", ""))
    assert b"to crop" not in everything
    assert b"No change" not in everything


def test_a_review_shows_both_answers_of_what_is_in_dispute(asking):
    with pytest.raises(ParameterError, match="got none among 0 answered"):
        asking("cara", review=True)
    ann, ben = asking("ann"), asking("ben")
    for unit in (1, 2, 3):
        ann.post(f"answers/{unit}", ANSWER)
        ben.post(f"answers/{unit}", ANSWER | ({"after": "forest"} if unit > 1 else {}))
    site = asking("cara", review=True)
    assert site.get("units/1") is None
    assert json_of(site.get("asked"))["progress"]["units"] == 2
    others = json_of(site.get("units/2"))["others"]
    assert [(o["labeller"], o["after"]) for o in others] == [("ann", "crop"), ("ben", "forest")]
    assert json_of(site.post("answers/2", ANSWER))["next"] == 3
    assert json_of(asking("dan", review=True).get("asked"))["progress"]["answered"] == 1


def test_of_one_date_one_class_is_asked(write_raster, tmp_path, images):
    path = write_raster("one.tif", np.tile(np.uint8([[1, 2]]), (60, 25)))
    draw(path, tmp_path / "one.gpkg", SamplePlan(size=6))
    with answers.opened(tmp_path / "one.gpkg") as opened:
        site = labelling.Labelling(
            opened, [pictures.look("after", [images[1]])], "ann", sides=(15, 60)
        )
        assert json_of(site.get("asked"))["asked"] == ["after"]
        site.post("answers/1", {"before": "class 2", "after": "class 1", "confidence": "low"})
        assert opened.final()[1] == Answer(None, "class 1", "low")
        assert site.get("pictures/1/before/close/first/100x100") is None
        with pytest.raises(ParameterError, match="must have the class after, got none"):
            site.post("answers/1", {"before": "class 2"})
        with pytest.raises(ParameterError, match="after must be a text, got 1"):
            site.post("answers/1", {"after": 1})


# ---- The server


@contextmanager
def serving(site):
    with server.Server(site) as page:
        thread = threading.Thread(target=page.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield page.address
        finally:
            page.shutdown()
            thread.join()


def raw(address, request):
    """Status and head of the answer to bytes sent as they are."""
    port = int(re.search(r":(\d+)/", address)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        reply = connection.recv(65536).decode("latin-1")
    return int(reply.split()[1]), reply


def test_the_server_answers_who_knows_the_word_alone(asking):
    with serving(asking("ann")) as address:
        port, word = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/([\w-]{32})/", address).groups()
        host = f"Host: 127.0.0.1:{port}\r\n"
        json_head = "Content-Type: application/json\r\nContent-Length: "

        def get(path, head=host):
            return raw(address, f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())

        def post(path, head, body=b""):
            return raw(address, f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body)[0]

        status, head = get(f"/{word}/")
        assert status == 200
        policy = re.search(r"Content-Security-Policy: (.*)\r", head)[1]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        other = word[:-1] + ("y" if word.endswith("x") else "x")
        assert get("/")[0] == get("/asked")[0] == get(f"/{other}/asked")[0] == 404
        assert get(f"/{word}/pictures/1/after/close/first/150x100")[0] == 200
        for path in ("pictures/1/after/close/first/150x150", "pictures/1/after/close/first/100x999",
                     "../server.py", "%2e%2e/server.py", "/etc/passwd", "labelling.py",
                     "pictures/1/before/close/..%2f", "units/99", "units/1/"):  # fmt: skip
            assert get(f"/{word}/{path}")[0] == 404
        # another name for this machine, as when a page rebinds its own
        assert get(f"/{word}/asked", f"Host: evil.example:{port}\r\n")[0] == 421
        assert get(f"/{word}/asked", "")[0] == 421
        assert get(f"/{word}/asked", f"Host: localhost:{port}\r\n")[0] == 200
        assert get(f"/{word}/asked", host + "Origin: http://evil.example\r\n")[0] == 403
        answer = b'{"before": "forest", "after": "crop"}'
        size = f"{json_head}{len(answer)}\r\n"
        assert post("/answers/1", host + size, answer) == 404
        assert post(f"/{word}/answers/1", host + "Origin: null\r\n" + size, answer) == 403
        assert post(f"/{word}/answers/1", host) == 411
        assert post(f"/{word}/answers/1", host + f"{json_head}-1\r\n") == 411
        assert post(f"/{word}/answers/1", host + f"{json_head}70000\r\n") == 413
        assert post(f"/{word}/answers/1", host + f"{json_head}{'9' * 5000}\r\n") == 413
        plain = f"Content-Type: text/plain\r\nContent-Length: {len(answer)}\r\n"
        assert post(f"/{word}/answers/1", host + plain, answer) == 415
        halves = [
            json.dumps({"before": "forest", "after": "crop"} | part).encode()
            for part in ({"notes": "a\ud800"}, {"before": "\udfff"}, {"x": [{"\ud83d": 1}]})
        ]
        for body in (b"[1]", b"{", b"\xff\xfe", b"[" * 20_000, *halves):
            assert post(f"/{word}/answers/1", f"{host}{json_head}{len(body)}\r\n", body) == 400
        assert post(f"/{word}/answers/1", host + size, answer) == 200
        assert post(f"/{word}/answers/99", host + size, answer) == 404
        sea = answer.replace(b"crop", b"sea!")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(
                urllib.request.Request(
                    f"{address}answers/1", sea, {"Content-Type": "application/json"}
                )
            )
        with refused.value:
            assert "must be one of forest, crop, got 'sea!'" in json.load(refused.value)["error"]


IDLE = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({most}, {most}))
from landshift.pages import server

class Site:
    def get(self, path):
        return server.as_json(path)

    def post(self, path, values):
        return server.as_json(values)

with server.Server(Site()) as page:
    print(page.address, flush=True)
    page.serve_forever(poll_interval=0.2)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
@pytest.mark.parametrize(
    ("most", "count", "sent"), [(48, 100, b""), (256, 300, b"GET / HTTP/1.1\r\nHost: lo")]
)
def test_connections_that_stay_idle_make_room(most, count, sent):
    with (
        ExitStack() as stack,
        subprocess.Popen(
            [sys.executable, "-c", IDLE.format(most=most)], stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        try:
            address = process.stdout.readline().strip()
            port = int(re.search(r":(\d+)/", address)[1])
            for _ in range(count):
                idle = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
                idle.sendall(sent)
            for _ in range(3):
                with urllib.request.urlopen(f"{address}a", timeout=20) as reply:
                    assert json.load(reply) == "a"
        finally:
            process.kill()


def test_a_port_in_use_is_one_clear_line(asking):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ParameterError, match=r"must be free, got \d+, which is in use"):
            server.Server(asking("ann"), other.getsockname()[1])
    with pytest.raises(ParameterError, match="from 1 to 65535, got 70000"):
        server.Server(asking("ann"), 70_000)


# ---- The command and the page

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright isn't installed")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"Chromium isn't at {CHROMIUM}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        browser.close()


def progress(page):
    return tuple(map(int, re.findall(r"\d+", page.inner_text("#counts"))))


def test_fifty_units_by_keyboard_and_a_killed_server(change_map, write_raster, tmp_path, chromium):
    random = np.random.default_rng(0)
    images = [
        write_raster(f"{year}.tif", random.integers(1, 255, (3, 60, 50)).astype(np.uint8))
        for year in (1995, 2005)
    ]
    sample = tmp_path / "fifty.gpkg"
    draw(change_map, sample, SamplePlan(size=50, allocation="equal"))
    mapped = dict(
        zip(*(getattr(forms.read_form(sample), f) for f in ("numbers", "mapped")), strict=True)
    )
    keys = {"to forest": "21", "to crop": "12", "No change": "20"}  # 1 forest, 2 crop, 0 the same
    asked = (sample, "--before", images[0], "--after", images[1], "--labeller", "ann")
    with command(*asked) as (process, address):
        page = opened_page(chromium, address)
        assert page.inner_text("#unit") == "Unit 1"
        for unit in range(1, 26):
            for key in f"{keys[mapped[unit]]}{1 + unit % 3}":
                page.keyboard.press(key)
            assert progress(page)[0] == unit - 1  # nothing is sent before Enter
            page.keyboard.press("Enter")
            wait(page, unit + 1)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        for key in "121":
            page.keyboard.press(key)
        page.keyboard.press("Enter")
        page.wait_for_selector("#message:not([hidden])")
        assert "Not saved: the server doesn't answer" in page.inner_text("#message")
    assert sum(v[1] is not None for v in in_form(sample).values()) == 25
    with command(*asked) as (process, address):
        page = opened_page(chromium, address)
        assert progress(page) == (25, 50, 0, 25)
        assert page.inner_text("#unit") == "Unit 26"
        for unit in range(26, 51):
            for key in f"{keys[mapped[unit]]}1":
                page.keyboard.press(key)
            page.keyboard.press("Enter")
            wait(page, unit + 1 if unit < 50 else "end")
        assert progress(page) == (50, 50, 0, 0)
        assert page.problems == []
        process.terminate()
        assert process.wait(60) == 0
        printed = process.stdout.read()
        assert "50 of 50 units labelled." in printed
        assert "in dispute" not in printed
    kept = in_form(sample)
    assert [kept[n][2] for n in (1, 2, 3, 26)] == ["medium", "low", "high", "high"]
    assessment = landshift.estimate(sample, mapped=change_map)
    assert assessment.overall.value == pytest.approx(1)
    again = landshift.estimate(sample, labels=sample.with_suffix(".csv"))
    assert again.as_dict() == assessment.as_dict()


@pytest.mark.parametrize("maps", [True, False])
def test_the_page_by_keyboard_alone(sample, images, chromium, maps):
    with command(sample, "--before", images[0], "--after", images[1], maps=maps) as (_, address):
        page = opened_page(chromium, address, viewport={"width": 1000, "height": 700})
        press = page.keyboard.press

        def focused():
            return page.evaluate("document.activeElement.name || document.activeElement.id")

        assert focused() == "before"
        order = [focused()]
        for _ in range(7):
            press("Tab")
            order.append(focused())
        # no back: there is nothing before the first unit
        assert order[:6] == ["before", "after", "confidence", "notes", "save", "skip"]
        # what is lacking is said, and where
        press("Shift+Tab")
        page.evaluate("document.activeElement.blur()")
        press("Enter")
        assert page.inner_text("#message") == "Choose a class before."
        assert focused() == "before"
        # arrows and space choose as in any form; letters in notes are letters
        press("Space")
        press("ArrowDown")
        press("Tab")
        press("1")
        assert focused() == "confidence"
        press("2")
        press("n")
        page.keyboard.type("bosn 12")
        press("Escape")
        assert focused() == "confidence"
        press("o")
        assert not page.locator("#outlined").is_checked()
        press("o")
        press("Enter")
        wait(page, 2)
        press("s")
        wait(page, 3)
        assert progress(page) == (1, 12, 1, 10)
        press("b")
        wait(page, 2)
        press("b")
        wait(page, 1)
        assert page.input_value("#notes") == "bosn 12"
        press("1")
        assert page.locator("input[name=before]:checked").input_value() == "forest"
        press("Enter")
        wait(page, 3)  # 2 is left for later
        # single keys can be turned off
        page.locator("summary").click()
        page.locator("#keyed").uncheck()
        page.locator("input[name=before]").first.focus()
        press("2")
        assert page.locator("input[name=before]:checked").count() == 0
        assert page.problems == []
    assert in_form(sample)[1] == ("forest", "forest", "medium", "bosn 12")


def test_pictures_stand_where_the_maps_are_not_built(sample, images, chromium):
    with command(sample, "--before", images[0], "--after", images[1], maps=False) as (_, address):
        page = opened_page(chromium, address, viewport={"width": 1000, "height": 700})
        assert page.locator(".frame img").count() == 8
        assert page.locator(".frame svg polygon").count() == 16  # white on black
        page.keyboard.press("o")
        assert not page.locator(".frame svg").first.is_visible()
        assert not page.locator("#map-keys").is_visible()
        for path in ("explore.js", "licences.txt"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(address + path)
        assert page.problems == []


def test_every_control_has_a_name_and_the_page_fits_a_phone(sample, images, chromium):
    with command(sample, "--before", images[0], "--after", images[1], maps=False) as (_, address):
        page = opened_page(chromium, address, viewport={"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        tree = page.locator("body").aria_snapshot()
        for named in (
            'group "Class before"', 'radio "forest 1"', 'group "Confidence"', 'textbox "Notes n"',
            'button "Save and go on Enter"', 'button "Skip s"', "progressbar",
            'img "Unit 1 after, close, false colour (nir, red, green)"', 'heading "Unit 1"',
        ):  # fmt: skip
            assert named in tree, tree
        assert page.locator("[aria-live=polite]").inner_text().startswith("Unit 1.")
        assert page.problems == []


def test_pictures_fill_the_window_and_follow_its_size(sample, images, chromium):
    def ratios():
        """Width to height of each frame, and of the picture in it."""
        return page.evaluate(
            "[...document.querySelectorAll('.frame')].map(f => [f, f.querySelector('img')])"
            ".map(([f, i]) => [f.clientWidth / f.clientHeight,"
            " i ? i.naturalWidth / i.naturalHeight : 0])"
        )

    with command(sample, "--before", images[0], "--after", images[1], maps=False) as (_, address):
        page = opened_page(chromium, address, viewport={"width": 1400, "height": 900})
        for width, height in ((1400, 900), (1900, 700)):
            page.set_viewport_size({"width": width, "height": height})
            for _ in range(200):  # the page's policy forbids Playwright's own waiting
                if all(shown == pytest.approx(frame, rel=0.1) for frame, shown in ratios()):
                    break
                page.wait_for_timeout(50)
            else:
                pytest.fail(f"{ratios()}")
            lowest = page.evaluate(
                "Math.max(...[...document.querySelectorAll('figure')]"
                ".map(f => f.getBoundingClientRect().bottom))"
            )
            assert height - 30 < lowest <= height
            assert page.evaluate("document.documentElement.scrollHeight") == height
        assert page.problems == []


def test_the_place_is_a_link_and_nothing_is_loaded_from_elsewhere(sample, images, chromium):
    form = forms.read_form(sample)
    with command(sample, "--before", images[0], "--after", images[1]) as (_, address):
        page = opened_page(chromium, "about:blank", ready=False)
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        wait(page, 1)
        place, street = page.locator("#place"), page.locator("#street")
        at = form.numbers.index(1)
        scheme, latitude, longitude = re.split("[:,]", place.get_attribute("href"))
        assert scheme == "geo"
        # the map's WGS 84 / UTM zone 18 has the degrees of WGS 84
        assert float(latitude) == pytest.approx(form.latitude[at], abs=1e-6)
        assert float(longitude) == pytest.approx(form.longitude[at], abs=1e-6)
        assert place.inner_text() == f"{float(latitude):.5f}° N, {-float(longitude):.5f}° W"
        map_of = street.get_attribute("href")
        assert map_of.startswith("https://www.openstreetmap.org/?mlat=")
        assert f"/{latitude}/{longitude}" in map_of
        assert {link.get_attribute("rel") for link in (place, street)} == {"noreferrer"}
        assert all(url.startswith((address, "blob:")) for url in asked)
        assert page.problems == []


def test_two_windows_of_one_labeller_and_a_review(sample, images, chromium):
    asked = (sample, "--before", images[0], "--after", images[1])
    with command(*asked, "--labeller", "ann", "--units", "1-2") as (_, address):
        first, second = (opened_page(chromium, address) for _ in range(2))
        for page, keys in ((first, "121"), (second, "212")):
            for key in keys:
                page.keyboard.press(key)
            page.keyboard.press("Enter")
            wait(page, 2)
    assert in_form(sample)[1][:3] == ("crop", "forest", "medium")
    with answers.opened(sample) as opened:
        opened.save("ben", 1, CROP)
    with command(*asked, "--labeller", "cara", "--review") as (_, address):
        page = opened_page(chromium, address)
        assert page.locator("#others button").all_inner_texts()[0].startswith("ann: crop")
        page.keyboard.press(".")
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        wait(page, "end")
        assert "1 of 1 reviewed" in page.inner_text("#ended")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        wait(page, 1)
        assert page.problems == []
    assert in_form(sample)[1] == ("forest", "crop", "high", None)


def test_text_of_others_is_shown_as_text(write_raster, tmp_path, images, chromium):
    name = "<img src=x onerror=alert(1)>"
    scheme = ClassScheme.from_mapping({1: name, 2: "b&b"})
    path = write_raster("odd.tif", np.tile(np.uint8([[1, 2]]), (60, 25)))
    draw(path, tmp_path / "odd.gpkg", SamplePlan(size=6), classes=scheme)
    with answers.opened(tmp_path / "odd.gpkg") as opened:
        opened.save("</b><i>x", 1, Answer(None, name, "high", "<u>y"))
        opened.save("ben", 1, Answer(None, "b&b"))
    with command(tmp_path / "odd.gpkg", "--after", images[1], "--review") as (_, address):
        page = opened_page(chromium, address)
        assert page.locator("fieldset label span").first.inner_text() == name
        shown = page.locator("#others button").first.inner_text()
        assert shown.startswith(f"</b><i>x: {name}")
        assert "high confidence; <u>y" in shown
        assert page.problems == []


# ---- The command


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["landshift", "label-samples", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    return ended.value.code or 0, printed.out + printed.err


def test_agreement_is_printed(sample, monkeypatch, capsys):
    code, out = run(monkeypatch, capsys, sample, "--agreement")
    assert (code, "Agreement needs two labellers, got 0" in out) == (2, True)
    with answers.opened(sample) as opened:
        for unit in range(1, 11):
            opened.save("ann", unit, CROP if unit <= 5 else FOREST)
            opened.save("ben", unit, CROP if unit <= 4 or unit > 8 else FOREST)
    code, out = run(monkeypatch, capsys, sample, "--agreement")
    assert code == 0
    assert re.search(r"ann, ben\s+class of the map\s+10\s+0\.700\s+0\.400", out)
    assert "3 units in dispute, 0 of them reviewed." in out


def test_bad_options_are_one_clear_line(sample, images, monkeypatch, capsys):
    dates = ("--before", images[0], "--after", images[1])
    for options, message in (
        ((), "need an image of each, got none before; give it (--before)"),
        (("--before", images[0]), "got none after"),
        ((*dates, "--units", "5-99"), "ranges up to 12, as in '1-150,200', got '5-99'"),
        ((*dates, "--units", "0"), "among the sample's 12, got 0"),
        ((*dates, "--sides", "a,b"), "must be two numbers, got 'a,b'"),
        ((*dates, "--labeller", " "), "1 to 60 printable"),
        ((*dates, "--port", "99999"), "from 1 to 65535"),
        (("--before", images[0], "--after", "gone.tif"), "must exist, got gone.tif"),
    ):
        code, out = run(monkeypatch, capsys, sample, *options)
        assert (code, message in out) == (2, True), out


def test_a_composite_shows_both_dates(sample, write_raster):
    names = [f"{d}:{b}" for d in ("before", "after") for b in BANDS]
    values = np.random.default_rng(0).integers(1, 255, (8, 60, 50)).astype(np.uint8)
    stacked = write_raster("stacked.tif", values, bands=names)
    with (
        command(sample, "--after", stacked) as (_, address),
        urllib.request.urlopen(f"{address}asked") as reply,
    ):
        dates = json.load(reply)["dates"]
    assert [d["name"] for d in dates] == ["before", "after"]
    assert dates[0]["pictures"]["first"] == "true colour"


QGIS_FILLS_IN = """
import json, sys
from qgis.core import QgsApplication, QgsVectorLayer
application = QgsApplication([], False)
application.initQgis()
layer = QgsVectorLayer(sys.argv[1] + "|layername=units", "units", "ogr")
layer.loadDefaultStyle()
fields = layer.fields()
results = {}
for name in ("before", "after", "confidence", "notes"):
    form = layer.editorWidgetSetup(fields.indexOf(name))
    results[name] = [form.type(), [list(e)[0] for e in form.config().get("map", [])]]
feature = next(f for f in layer.getFeatures() if f["unit"] == 5)
layer.startEditing()
for name, value in (("before", "crop"), ("after", "forest")):
    layer.changeAttributeValue(feature.id(), fields.indexOf(name), value)
results["saved"] = layer.commitChanges()
print(json.dumps(results))
del layer
application.exitQgis()
"""


def test_qgis_shows_the_form_and_its_labels_are_kept(sample):
    python = "/usr/bin/python3"  # of the system, for which QGIS is built
    try:
        subprocess.run([python, "-c", "import qgis.core"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("QGIS isn't installed (apt install python3-qgis)")
    with answers.opened(sample) as opened:
        opened.save("ann", 4, CROP)
    done = subprocess.run(
        [python, "-c", QGIS_FILLS_IN, str(sample)], capture_output=True, text=True, timeout=120,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        | {"QT_QPA_PLATFORM": "offscreen"},
    )  # fmt: skip
    form = json.loads(done.stdout)
    assert form["before"] == form["after"] == ["ValueMap", ["forest", "crop"]]
    assert form["confidence"] == ["ValueMap", ["high", "medium", "low"]]
    assert form["notes"][0] == "TextEdit"
    assert form["saved"]
    with answers.opened(sample) as opened:
        assert opened.of(answers.BY_HAND) == {5: Answer("crop", "forest")}
        assert {n for n, a in opened.final().items() if a is not None} == {4, 5}


def test_python_gets_a_session_and_the_command_is_the_same_function(sample, images):
    job = {"before": [images[0]], "after": str(images[1]), "labeller": "ann"}
    shown = PictureOptions(rgb=["nir", "red", "blue"], sides=(10, 60))
    with landshift.label_samples(sample, units=[3, 5], pictures=shown, **job) as session:
        assert session.progress() == {"units": 2, "answered": 0, "skipped": 0, "left": 2}
        assert repr(session).startswith(f"LabellingSession at {session.address}")
        worker = threading.Thread(target=session.serve)
        worker.start()
        with urllib.request.urlopen(f"{session.address}asked") as reply:
            asked = json.load(reply)
        session.stop()
        worker.join(10)
    assert asked["first"] == 3
    assert [d["pictures"]["first"] for d in asked["dates"]] == ["nir, red, blue"] * 2
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{session.address}asked")


def test_agreement_is_a_table(sample):
    with answers.opened(sample) as opened:
        for unit in (1, 2):
            opened.save("ann", unit, CROP)
            opened.save("ben", unit, CROP if unit == 1 else FOREST)
    agreement = landshift.label_samples(sample, agreement=True)
    assert (agreement.disputed, agreement.reviewed) == (1, 0)
    assert agreement.rows()[0] == {
        "first": "ann", "second": "ben", "on": "map", "units": 2, "share": 0.5, "kappa": 0.0,
    }  # fmt: skip
    assert repr(agreement).splitlines()[0].split() == list(agreement.rows()[0])
