"""Progress on a terminal, in a log and in a pipe, and what a stopped command says."""

import io
import logging
import re
import sys
import time

import pytest

from commands import run
from landshift.cli import lines, show
from landshift.files import resumable
from landshift.machine import progress


class Terminal(io.StringIO):
    """A terminal of 80 columns: what would be seen on it."""

    def isatty(self):
        return True

    def seen(self):
        """The lines on the screen, after all cursor movements."""
        screen, row, column = [""], 0, 0
        for part in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", self.getvalue()):
            if part == "\n":
                row, column = row + 1, 0
                screen += [""] * (row + 1 - len(screen))
            elif part == "\r":
                column = 0
            elif part.endswith("A"):
                row -= int(part[2:-1] or 1)
            elif part.endswith("K"):
                screen[row] = ""
            elif part[0] != "\x1b":
                line = screen[row].ljust(column)
                screen[row] = line[:column] + part + line[column + len(part) :]
                column += len(part)
        return [line.rstrip() for line in screen if line.strip()]


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(show, "SHOWN_AFTER", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(lines, "output", lines.Output())

    def switched_on():  # in the test: pytest changes the streams after fixtures
        screen = Terminal()
        monkeypatch.setattr("sys.stdout", screen)
        monkeypatch.setattr("sys.stderr", screen)
        return screen

    return switched_on


def test_each_step_has_a_bar_below_that_of_its_parent(terminal):
    screen = terminal()
    with show.watching(), progress.step("classify", 8) as blocks:
        blocks.to(3, note="0.27 Mpixel/s")
        with progress.step("tiles") as tiles:
            tiles.to(35, 1049)
            lines.say("a line")
            time.sleep(0.3)
            said, first, second = screen.seen()
    assert said == "a line"
    assert re.fullmatch(r"classify [━╸╺]+ 3/8 +\d:\d\d( left)? 0.27 Mpixel/s", first)
    assert re.fullmatch(r"  tiles  [━╸╺]+ 35/1,049 \d:\d\d( left)?", second)
    assert screen.seen() == ["a line"]


def test_what_is_printed_stands_apart_from_the_bars(terminal):
    screen = terminal()
    handler = lines.Handler()
    log = logging.getLogger("landshift.test_show")
    log.addHandler(handler)
    with show.watching(), progress.step("train", 2) as step:
        step.advance()
        lines.say("left.tif")
        log.warning("few tiles")
        show.table("a table")
        print("a library's warning", file=sys.stderr)
        time.sleep(0.3)
        printed = ["left.tif", "few tiles", "a table", "a library's warning"]
        assert screen.seen()[:4] == printed
        assert screen.seen()[4].startswith("train ━")
    log.removeHandler(handler)
    lines.say("map.tif")
    assert screen.seen() == [*printed, "map.tif"]


def test_a_command_that_ends_soon_draws_nothing(terminal, monkeypatch):
    screen = terminal()
    monkeypatch.setattr(show, "SHOWN_AFTER", 100.0)
    with show.watching(), progress.step("label", 2) as step:
        step.advance()
        time.sleep(0.2)
    assert "label" not in screen.getvalue()


def test_bars_are_gone_after_an_error(terminal):
    screen = terminal()
    with pytest.raises(KeyError, match="gone"), show.watching(), progress.step("label"):
        raise KeyError("gone")
    assert screen.seen() == []
    assert lines.apart().__class__.__name__ == "nullcontext"


@pytest.mark.parametrize(
    ("output", "as_json"), [(lines.Output(quiet=True), False), (lines.Output(), True)]
)
def test_quiet_commands_and_lines_of_json_have_no_bars(terminal, monkeypatch, output, as_json):
    screen = terminal()
    monkeypatch.setattr(lines, "output", output)
    with show.watching(as_json=as_json), progress.step("label", 2) as step:
        step.advance()
    assert screen.getvalue() == ""


def test_a_log_gets_a_line_now_and_then_where_it_is_wanted(monkeypatch, capsys):
    monkeypatch.setattr(show, "LINE_SECONDS", 0.0)

    def work():
        with show.watching(), progress.step("train", 3) as epochs:
            epochs.advance()
            with progress.step("epoch 2") as batches:
                batches.to(5, 1200, "loss 0.31")

    monkeypatch.setattr(lines, "output", lines.Output())
    work()
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(lines, "output", lines.Output(verbose=True))
    work()
    assert capsys.readouterr().err.splitlines() == [
        "train 1/3", "train 1/3, epoch 2 5/1,200 loss 0.31"
    ]  # fmt: skip
    monkeypatch.setattr(show, "LINE_SECONDS", 60.0)
    work()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (725, "12:05"), (3725, "1:02:05")]
)
def test_times_are_short(seconds, text):
    assert show.clock(seconds) == text


# ---- Ctrl-C


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (None, "Stopped. This run left no unfinished output.\n"),
        (0, "Stopped. None of 40 blocks is finished; the same command starts again.\n"),
        (12, "Stopped. 12 of 40 blocks are kept in .c.tif.partial; the same command goes on.\n"),
    ],
)
def test_a_stopped_command_says_what_is_kept(done, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def stop(*_):
        with resumable.resumable_file("c.tif", {"a": 1}) as unfinished:
            if done is not None:
                unfinished.count(done, 40, "blocks")
            raise KeyboardInterrupt

    monkeypatch.setattr("landshift.prepare.label.class_options.file_of", stop)
    ended = run("label", "a", "b", "-o", "c", "--quiet")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (130, "", said)
