"""The run's folder: what the engine writes into it, and the Record that judging reads out of it.

experiment.yaml  run.json  journal.jsonl  events.jsonl  pulse.bin/.names  locust[-N].bin/.names  ledger.jsonl
metrics.json  result.json  junit.xml  summary.md  report.html  logs/
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from chaoskit import journal
from chaoskit.contracts import Act, ConditionRecord, Record, Sight, StepRecord
from chaoskit.errors import ToolError, UsageError
from chaoskit.journal import Entry
from chaoskit.model import Answer, ClusterInfo, Raw, Series, Target, WatchEvent
from chaoskit.plan import Plan
from chaoskit.samples import Sample, read_samples
from chaoskit.spec import Experiment, dumps
from chaoskit.spec import load as load_experiment

EXPERIMENT, RUN, EVENTS, METRICS = "experiment.yaml", "run.json", "events.jsonl", "metrics.json"
PULSE, LOCUST = "pulse", "locust"
LEDGER = "ledger.jsonl"
"""Kept by the built-in writers, where these are the load."""
_LEFT_OUT = ("managedFields",)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_SECRETIVE = ("env", "envFrom", "command", "args", "httpHeaders", "volumes", _LAST_APPLIED)
"""Keys of a pod's spec under which people write passwords, or tools repeat them."""


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class EventLog:
    """Appends watch events as lines of JSON, without what may hold secrets (environments, volumes) or only fills."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO = path.open("a", encoding="utf-8", errors="backslashreplace")

    def write(self, event: WatchEvent) -> None:
        body = {
            "at": round(event.at, 6),
            "change": event.change,
            "kind": event.kind,
            "first": event.first,
            "object": trimmed(event.object),
        }
        with _written(self._path):
            self._file.write(json.dumps(body, ensure_ascii=False, separators=(",", ":")) + "\n")

    def flush(self) -> None:
        with _written(self._path):
            self._file.flush()

    def close(self) -> None:
        with _written(self._path):
            self._file.close()


@contextlib.contextmanager
def _written(path: Path) -> Iterator[None]:
    """What the disk says against it, as an error of ours."""
    try:
        yield
    except OSError as error:
        raise ToolError("the run's record cannot be written", where=str(path), why=str(error), fix="df -h") from error


def trimmed(o: Raw) -> dict[str, Any]:
    """The object without managed fields, environments, volumes and node images."""
    kept = {key: value for key, value in o.items() if key not in ("data", "stringData")}
    meta = {key: value for key, value in (o.get("metadata") or {}).items() if key not in _LEFT_OUT}
    if _LAST_APPLIED in (meta.get("annotations") or {}):
        meta["annotations"] = {k: v for k, v in meta["annotations"].items() if k != _LAST_APPLIED}
    kept["metadata"] = meta
    if "spec" in kept:
        kept["spec"] = _without_secrets(kept["spec"])
    if "images" in (kept.get("status") or {}):
        kept["status"] = {key: value for key, value in kept["status"].items() if key != "images"}
    return kept


def _without_secrets(spec: Any) -> Any:  # noqa: ANN401 - raw JSON of any shape
    """A spec, of a pod or with a pod's template in it, without environments, commands, probes' headers and volumes."""
    if isinstance(spec, Mapping):
        return {k: _without_secrets(v) for k, v in spec.items() if k not in _SECRETIVE}
    return [_without_secrets(item) for item in spec] if isinstance(spec, list) else spec


def write_start(folder: Path, plan: Plan, info: ClusterInfo, origin_unix: float, scrape_interval_s: float) -> None:
    load = plan.experiment.load
    body = {
        "run": plan.run,
        "namespace": plan.namespace,
        "seed": plan.seed,
        "commit": plan.commit,
        "fresh": plan.fresh,
        "origin_unix": origin_unix,
        "scrape_interval_s": scrape_interval_s,
        "pulse_period_s": load.pulse.period if load else 0.0,
        "queries": dict(plan.queries),
        "cluster": asdict(info),
    }
    with _written(folder):
        (folder / EXPERIMENT).write_text(dumps(plan.experiment), encoding="utf-8")
        (folder / RUN).write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")


def write_answers(folder: Path, answers: Mapping[str, Answer]) -> None:
    body = {name: asdict(answer) for name, answer in answers.items()}
    with _written(folder):
        (folder / METRICS).write_text(json.dumps(body), encoding="utf-8")


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def about(folder: Path) -> Mapping[str, Any]:
    """What run.json says; empty where it cannot be read, as of a run that was killed early."""
    try:
        found = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read(folder: Path) -> tuple[Experiment, Record, int]:
    """(experiment, record, seed) of a run's folder. UsageError if it is none."""
    if not (folder / RUN).exists() or not (folder / journal.FILE).exists():
        raise UsageError("this is no run's folder", where=str(folder), fix="chaoskit judge runs/NAME")
    experiment = load_experiment(folder / EXPERIMENT)
    try:
        return experiment, *_read(folder, experiment)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise UsageError(
            "the run's folder is damaged",
            where=str(folder),
            why=f"{type(error).__name__}: {error}",
            fix="judge an unchanged copy of it",
        ) from error


def run_of(folder: Path) -> str:
    """The run whose folder it is, also where its journal says nothing of it. UsageError if it is none."""
    try:
        return str(json.loads((folder / RUN).read_text(encoding="utf-8"))["run"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UsageError("this is no run's folder", where=str(folder), fix="chaoskit heal RUN") from error


def _read(folder: Path, experiment: Experiment) -> tuple[Record, int]:
    about = json.loads((folder / RUN).read_text(encoding="utf-8"))
    entries = journal.read(folder / journal.FILE)
    record = Record(
        run=about["run"],
        namespace=about["namespace"],
        commit=str(about.get("commit", "")),
        info=_info(about["cluster"]),
        origin_unix=float(about["origin_unix"]),
        scrape_interval_s=float(about["scrape_interval_s"]),
        ended=entries[-1].at if entries else 0.0,
        steps=steps(entries, experiment),
        phases=_phases(entries),
        conditions=tuple(_condition(e) for e in entries if e.kind == "condition"),
        events=tuple(_events(folder / EVENTS)),
        pulse=tuple(sorted(read_samples(folder / PULSE), key=lambda s: s.intended)),
        locust=tuple(sorted(_locust(folder), key=lambda s: s.intended)),
        pulse_period_s=float(about["pulse_period_s"]),
        answers=_answers(folder / METRICS),
        metrics=about["queries"],
        statuses=tuple(dict(e.data) | {"at": e.at} for e in entries if e.kind == "load"),
        notes=tuple(str(e.data["text"]) for e in entries if e.kind == "note"),
        ledger=tuple(_ledger(folder / LEDGER)),
        sights=tuple(Sight(e.at, e.data["step"], e.data["what"], e.data["data"]) for e in entries if e.kind == "saw"),
    )
    return record, int(about["seed"])


def _locust(folder: Path) -> Iterator[Sample]:
    """Of Locust, or of all its workers."""
    for path in (folder / LOCUST, *sorted(p.with_suffix("") for p in folder.glob(f"{LOCUST}-*.bin"))):
        yield from read_samples(path)


def _info(data: Mapping[str, Any]) -> ClusterInfo:
    return ClusterInfo(**{**data, "nodes": tuple(data["nodes"])})


def _events(path: Path) -> Iterable[WatchEvent]:
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                body = json.loads(line)
                yield WatchEvent(body["at"], body["change"], body["kind"], body["object"], body["first"])


def _ledger(path: Path) -> Iterable[Mapping[str, Any]]:
    """Its last line may be torn, where its writer was killed."""
    if path.exists():
        with path.open(encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines if line.endswith("\n"))


def _answers(path: Path) -> dict[str, Answer]:
    if not path.exists():
        return {}
    return {name: _answer(body) for name, body in json.loads(path.read_text(encoding="utf-8")).items()}


def _answer(body: Mapping[str, Any]) -> Answer:
    series = tuple(Series(s["labels"], tuple((float(t), float(v)) for t, v in s["points"])) for s in body["series"])
    return Answer(body["query"], series, tuple(body["warnings"]), body["error"])


def _condition(entry: Entry) -> ConditionRecord:
    return ConditionRecord(entry.at, **entry.data)


def _phases(entries: Iterable[Entry]) -> dict[str, tuple[float, float]]:
    """Each phase lasts until the next one begins; the last until the last entry."""
    found: dict[str, tuple[float, float]] = {}
    current, last = "", 0.0
    for entry in entries:
        last = entry.at
        if entry.kind != "phase":
            continue
        if current:
            found[current] = (found[current][0], entry.at)
        current = str(entry.data["name"])
        found[current] = (entry.at, entry.at)
    if current:
        found[current] = (found[current][0], last)
    return found


def steps(entries: Iterable[Entry], experiment: Experiment) -> tuple[StepRecord, ...]:
    """The steps that a journal tells of, whole or as far as it goes."""
    verbs = {step.name: step.action.verb for step in experiment.steps}
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        name = str(entry.data.get("step", ""))
        if entry.kind == "step began":
            found[name] = {"began": entry.at, "ended": None, "acts": {}, "refused": ""}
        elif entry.kind == "step ended" and name in found:
            found[name]["ended"] = entry.at
        elif entry.kind == "refused" and name in found:
            found[name]["refused"] = entry.data["why"]
        elif entry.kind == "healed" and entry.data.get("done"):
            _take_healing([step["acts"] for step in found.values()], entry)
        elif name in found:
            _take_act(found[name]["acts"], entry)
    return tuple(
        StepRecord(name, verbs[name], s["began"], s["ended"], tuple(_act(a) for a in s["acts"].values()), s["refused"])
        for name, s in found.items()
        if name in verbs
    )


def _take_act(acts: dict[int, dict[str, Any]], entry: Entry) -> None:
    """Intents, outcomes and landings belong together by the intent's number. A try that a disruption budget refused is
    no act; the accepted one is."""
    n = int(entry.data.get("n", -1))
    if entry.kind == "intent":
        acts[n] = {"what": entry.data["what"], "target": entry.data["target"], "ordered": entry.at}
    elif entry.kind == "outcome" and n in acts:
        if entry.data["outcome"] == "refused":
            del acts[n]
        else:
            acts[n]["accepted"] = entry.at if entry.data["outcome"] == "done" else None
            acts[n]["error"] = entry.data.get("error", "")
    elif entry.kind == "landed" and n in acts:
        acts[n]["landed"], acts[n]["how"] = entry.at, entry.data["how"]


def _take_healing(acts_of_steps: Iterable[dict[int, dict[str, Any]]], entry: Entry) -> None:
    """Healing knows an intent by its number alone, whichever step it was of."""
    for acts in acts_of_steps:
        if (n := int(entry.data.get("n", -1))) in acts:
            acts[n]["healed"] = entry.at


def _act(data: Mapping[str, Any]) -> Act:
    return Act(
        what=data["what"],
        target=Target(**data["target"]),
        ordered=data["ordered"],
        accepted=data.get("accepted"),
        landed=data.get("landed"),
        how=data.get("how", ""),
        error=data.get("error", ""),
        healed=data.get("healed"),
    )
