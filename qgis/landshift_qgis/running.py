"""landshift as a process: started, watched, cancelled."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading

from qgis.core import QgsProcessingException

QGIS_OWN = (
    "PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "GDAL_DATA", "PROJ_LIB",
    "PROJ_DATA", "GDAL_DRIVER_PATH", "QT_PLUGIN_PATH", "O4W_QT_PLUGINS", "VIRTUAL_ENV",
)  # fmt: skip
"""Variables that QGIS sets for its own libraries; landshift has others."""

ERROR = "Error"
"""What the line of an error begins with."""

GRACE = 30.0
"""Seconds that a cancelled command gets to keep what is done."""


def environment():
    """The environment of the process: the user's, without what is QGIS' own."""
    kept = {name: value for name, value in os.environ.items() if name not in QGIS_OWN}
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}


def start(command, *, together=False):
    """Start a command; standard output and error are pipes of text.

    Args:
        command: Its words.
        together: Whether what it says on standard error comes on standard output too.
    """
    options = {"stderr": subprocess.STDOUT if together else subprocess.PIPE}
    if sys.platform == "win32":
        options["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        text=True, encoding="utf-8", errors="replace", env=environment(), **options,
    )  # fmt: skip


def stop(process):
    """Interrupt a process, as Ctrl-C does, and end it if it takes too long."""
    if process.poll() is not None:
        return
    event = signal.CTRL_BREAK_EVENT if sys.platform == "win32" else signal.SIGINT
    process.send_signal(event)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(command, feedback):
    """Run a command to its end; its lines, progress and errors go to a feedback.

    Raises:
        QgsProcessingException: It fails, with what it said; or it was cancelled.
    """
    feedback.pushCommandInfo(" ".join(_quoted(word) for word in command))
    try:
        process = start([*command, "--progress", "json"])
    except OSError as error:
        raise QgsProcessingException(
            f"landshift can't be started ({error}); install it: menu Raster, landshift, Install."
        ) from error
    lines = queue.Queue()
    for stream, name in ((process.stdout, "out"), (process.stderr, "error")):
        threading.Thread(target=_read, args=(stream, name, lines), daemon=True).start()
    said, open_streams = [], 2
    while open_streams:
        if feedback.isCanceled():
            stop(process)
        try:
            name, line = lines.get(timeout=0.2)
        except queue.Empty:
            continue
        if line is None:
            open_streams -= 1
        elif not _progress(line, feedback):
            said.append(line)
            if name == "out":
                feedback.pushInfo(line)
            elif not line.startswith(ERROR):  # which the exception says
                feedback.pushWarning(line)
    status = process.wait()
    if feedback.isCanceled():
        raise QgsProcessingException(
            "Cancelled. What is done is kept where the command can go on: run it again with the "
            "same outputs (train: with Resume)."
        )
    if status:
        errors = [line for line in said if line.startswith(ERROR)] or said[-3:]
        raise QgsProcessingException("\n".join(errors) or f"landshift ended with {status}.")


def _read(stream, name, lines):
    for line in stream:
        lines.put((name, line.rstrip("\n")))
    lines.put((name, None))


def _progress(line, feedback):
    """Take a line of progress; False if it is none."""
    if not line.startswith('{"step"'):
        return False
    try:
        report = json.loads(line)
    except ValueError:
        return False
    if report["over"]:
        return True
    if report["depth"] <= 1:
        if report["done"] == 0:
            feedback.setProgressText(report["step"])
        if report["total"]:
            feedback.setProgress(100 * report["done"] / report["total"])
    return True


def _quoted(word):
    return f'"{word}"' if " " in word or not word else word
