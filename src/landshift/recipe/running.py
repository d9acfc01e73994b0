"""`landshift run`: the stages of a recipe that aren't done, in order."""

from __future__ import annotations

import io
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from landshift.assess import files as assess_files
from landshift.cli import lines
from landshift.errors import LandshiftError, RecipeError, refuse_out_of_memory
from landshift.files import options, whole
from landshift.files.options import advice
from landshift.files.rows import Rows
from landshift.machine import progress
from landshift.recipe.reading import Recipe, read
from landshift.recipe.record import Record
from landshift.recipe.stages import BY_PEOPLE, Stage, planned


@dataclass(frozen=True)
class StageRun:
    """What became of a stage.

    Attributes:
        place: Name of the place; empty in a recipe of one.
        stage: Name of the stage.
        state: 'done': it was done before; 'ran'; 'to run': it would run; 'waits': for people;
            'left': after the last stage that was asked for.
        why: Why it ran or waits.
        seconds: How long it took.
    """

    place: str
    stage: str
    state: str
    why: str
    seconds: float | None = None


@dataclass(frozen=True, repr=False)
class RecipeRun(Rows):
    """What a recipe's run did.

    Attributes:
        folder: Folder of the results.
        stages: Each stage of each place, in order.
        outputs: Main output of each stage that has one, by place and stage.
        commands: What people have to type next: the sample to label.
    """

    folder: Path
    stages: tuple[StageRun, ...]
    outputs: dict[tuple[str, str], Path]
    commands: tuple[str, ...]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each stage."""
        return [
            {"place": s.place, "stage": s.stage, "state": s.state, "why": s.why,
             "seconds": None if s.seconds is None else round(s.seconds, 1)}
            for s in self.stages
        ]  # fmt: skip


def run(
    recipe: options.FilePath,
    *,
    out: Annotated[options.FilePath | None, Parameter(name=("--out", "-o"))] = None,
    settings: Annotated[Sequence[str], Parameter(name="--set", metavar="NAME=VALUE")] = (),
    first: Annotated[str | None, Parameter(name="--from")] = None,
    until: str | None = None,
    dry_run: options.Flag = False,
    on_stage: Annotated[Callable[[str], None] | None, Parameter(parse=False)] = None,
) -> RecipeRun:
    """Run the stages of a recipe that aren't done, or whose options or inputs have changed.

    A stage that is stopped goes on with the next run. Where the recipe asks for a labelled sample,
    the run ends by saying how to label it; once it is labelled, the same command goes on.

    Args:
        recipe: The recipe, a YAML file; see docs/recipe.md.
        out: Folder of the results. Left out: as the recipe states, beside it.
        settings: Set a variable of the recipe.
        first: Run this stage and all after it, also where they are done.
        until: Run no stage after this one.
        dry_run: Say what would run, and why; run nothing.
        on_stage: Called with a line before each stage.

    Raises:
        RecipeError: The recipe doesn't hold, a stage fails, or it would replace what isn't its own.
        OutputError: The folder can't be written, or another run is writing it.
    """
    text = read(Path(recipe), settings, None if out is None else Path(out))
    folder = Path(text.out).absolute()
    places = text.places or ({},)
    jobs = [
        _Job(text, str(place.get("name", "")), folder / str(place.get("name", "")), stages)
        for place in places
        for stages in [planned(text, place, (folder / str(place.get("name", ""))))]
    ]
    for name, value in (("first", first), ("until", until)):
        _check_stage(name, value, [s.name for s in jobs[0].stages])
    runs: list[StageRun] = []
    with progress.step(f"recipe {text.path.name}", sum(len(job.stages) for job in jobs)) as step:
        for job in jobs:
            record = Record(job.folder)
            if dry_run:
                runs += job.run(record, first, until, step, None, dry=True)
                continue
            whole.make_folder(job.folder)
            with record.kept():
                runs += job.run(record, first, until, step, on_stage, dry=False)
    outputs = {
        (job.place, stage.name): stage.outputs[0]
        for job in jobs for stage in job.stages if stage.outputs
    }  # fmt: skip
    todo = tuple(
        shlex.join(["landshift", stage.command, *stage.tokens])
        for job in jobs for stage in job.stages
        if stage.command == BY_PEOPLE and any(
            r.place == job.place and r.stage == stage.name and r.state == "waits" for r in runs
        )
    )  # fmt: skip
    return RecipeRun(folder, tuple(runs), outputs, todo)


def _check_stage(name: str, value: str | None, stages: Sequence[str]) -> None:
    if value is not None and value not in stages:
        raise RecipeError(
            f"`{name}` must be a stage of the recipe, got {value!r}; "
            f"{advice(value, stages, 'they are ' + ', '.join(stages))}."
        )


@dataclass(frozen=True)
class _Job:
    """The stages of one place."""

    recipe: Recipe
    place: str
    folder: Path
    stages: list[Stage]

    def run(
        self, record: Record, first: str | None, until: str | None, step: progress.Step,
        on_stage: Callable[[str], None] | None, *, dry: bool,
    ) -> list[StageRun]:  # fmt: skip
        """Run what isn't done."""
        runs: list[StageRun] = []
        states: dict[str, str] = {}
        asked = left = False
        for number, stage in enumerate(self.stages, 1):
            asked = asked or stage.name == first
            why = self._waits(stage, states) if not left else None
            seconds = None
            if left:
                state, why = "left", f"after {until}"
            elif why is not None:
                state = "waits"
            elif stage.command == BY_PEOPLE:
                state, why = "done", ""
            else:
                why = "asked for by --from" if asked else record.reason(stage)
                if why is None and dry:
                    why = self._after(stage, states)
                state = "done" if why is None else "to run" if dry else "ran"
                if state == "ran":
                    if on_stage is not None:
                        where = f"{self.place}: " if self.place else ""
                        on_stage(f"{where}{number}/{len(self.stages)} {stage.name} ({why})")
                    seconds = self._run(stage, record, shown=on_stage is not None)
            states[stage.name] = state
            runs.append(StageRun(self.place, stage.name, state, why or "", seconds))
            left = left or stage.name == until
            step.advance(note=stage.name)
        return runs

    def _waits(self, stage: Stage, states: dict[str, str]) -> str | None:
        """What a stage waits for."""
        waiting = sorted(name for name in stage.needs if states[name] == "waits")
        if waiting:
            return f"for {waiting[0]}"
        if stage.command != BY_PEOPLE:
            return None
        if not stage.inputs or not stage.inputs[0].is_file():
            return "for the sample"
        sample = assess_files.read_sample(stage.inputs[0])
        asked = sample.design.response.asked
        empty = sum(
            any(getattr(sample, name)[k] is None for name in asked) for k in range(len(sample))
        )
        return f"for the labels of {empty:,} of {len(sample):,} units" if empty else None

    def _after(self, stage: Stage, states: dict[str, str]) -> str | None:
        """The stage after which a dry run would run this one."""
        reads_all = any(self.folder == path for path in stage.inputs)
        for name in stage.before if reads_all else sorted(stage.needs):
            if states[name] == "to run":
                return f"after {name}"
        return None

    def _run(self, stage: Stage, record: Record, *, shown: bool) -> float:
        """Run a stage; its seconds."""
        begun = time.monotonic()
        where = f"Stage {stage.name} of {self.recipe.path}" + (
            f", {self.place}" if self.place else ""
        )
        try:
            state = record.begin(stage)
            if state != "written":
                resume = state == "interrupted" and stage.resumable
                self._call(stage, ["--resume"] if resume else [], shown=shown)
            record.end(stage)
        except LandshiftError as error:
            raise RecipeError(f"{where}: {stage.spelled(error)}") from error
        except Exception as error:
            refuse_out_of_memory(error)
            raise
        except KeyboardInterrupt as stopped:
            stopped.add_note(f"{where} isn't finished; the same command goes on.")
            raise
        return time.monotonic() - begun

    def _call(self, stage: Stage, more: Sequence[str], *, shown: bool) -> None:
        """Call a command; its tables are printed as if it had been typed, or not at all."""
        command, bound, _ = stage.app.parse_args(
            [*stage.tokens, *more, *_printing()], exit_on_error=False, print_error=False
        )
        aside = sys.stderr if shown and lines.output.print_as == "json" else io.StringIO()
        if shown and lines.output.print_as is None:
            command(*bound.args, **bound.kwargs)
        else:
            with redirect_stdout(aside):
                command(*bound.args, **bound.kwargs)


def _printing() -> list[str]:
    """Options of printing, as the recipe's own command got them."""
    given = lines.output
    return [
        *(["--quiet"] if given.quiet else []), *(["--verbose"] if given.verbose else []),
        *(["--progress", given.progress] if given.progress else []),
    ]  # fmt: skip
