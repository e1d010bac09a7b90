"""Runs the experiments of one command one after another, and keeps the pages about all of them up to date.

The pages are written anew after each run: whoever opens them in the night, or after a power failure, sees how far it
came.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from chaoskit.batch import INDEX, JUNIT, STOPS, SUMMARY, Batch, Done, Part
from chaoskit.errors import ChaoskitError
from chaoskit.report import index, junit, markdown
from chaoskit.session import Run
from chaoskit.spec import Experiment

RunOne = Callable[[Experiment], Iterator[Run]]
"""Runs an experiment as often as it says."""


def run_all(
    experiments: Sequence[tuple[Path, Experiment]],
    folder: Path,
    run: RunOne,
    stop_at: str = "unhealed",
    now: Callable[[], float] = time.time,
) -> Batch:
    """Each has its turn, also after one that could not be run, until `stop_at` (a name in `STOPS`) says to leave the
    rest. `folder` is the batch's, and is there; the runs' folders lie in it."""
    parts = [Part(experiment.name, experiment.why, str(file)) for file, experiment in experiments]
    batch = Batch(tuple(parts), now(), now(), cut="broken off")
    write(replace(batch, cut=""), folder)
    try:
        for number, (_, experiment) in enumerate(experiments):
            for part, interrupted in _turn(parts[number], experiment, folder, run):
                parts[number] = part
                batch = replace(batch, parts=tuple(parts), ended_unix=now(), interrupted=interrupted)
                write(replace(batch, cut=""), folder)
            if why := _why_stop(batch, parts[number], stop_at):
                batch = replace(batch, cut=why)
                break
    finally:  # Also after an answer of Ctrl-C to a question, which no run hears.
        batch = replace(batch, over=True, cut=batch.cut if batch.left else "")
        write(batch, folder)
    return batch


def _turn(part: Part, experiment: Experiment, folder: Path, run: RunOne) -> Iterator[tuple[Part, bool]]:
    """The part as it grows by each run, and whether its user wants to stop."""
    try:
        for done in run(experiment):
            part = replace(part, runs=(*part.runs, Done(done.result, done.folder.relative_to(folder).as_posix())))
            yield part, done.interrupted
    except ChaoskitError as error:
        yield replace(part, error=str(error), error_code=error.exit_code), False


def _why_stop(batch: Batch, part: Part, stop_at: str) -> str:
    if batch.interrupted:
        return "interrupted"
    if set(part.codes) & set(STOPS[stop_at]):
        return f"“{part.name}” was the last, by --stop-at {stop_at}"
    return ""


def write(batch: Batch, folder: Path) -> None:
    (folder / JUNIT).write_text(junit.render_all(batch), encoding="utf-8")
    (folder / SUMMARY).write_text(markdown.render_all(batch), encoding="utf-8")
    (folder / INDEX).write_text(index.render(batch), encoding="utf-8")
