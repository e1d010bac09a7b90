"""From a run's record to findings and a verdict. Pure: the same folder gives the same answer, again and offline.

Beside what the experiment expects it looks at what any verdict rests on: that the run got to its end, that the steady
state was reached, that each fault landed, and that the load was really there. These can make a run inconclusive; none
of them can make it pass.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.metadata import version

from chaoskit import conditions, units
from chaoskit.checks.judging import landed_or_why
from chaoskit.contracts import Check, ConditionRecord, Record
from chaoskit.errors import EXIT_INTERRUPTED, EXIT_UNHEALED, RefusedError
from chaoskit.heal import open_intents
from chaoskit.journal import Entry
from chaoskit.model import Evidence, Finding, Verdict, worst
from chaoskit.pace import BUSIEST, Pace, pace
from chaoskit.result import Result
from chaoskit.spec import NO_LOCUST, Experiment, Load

LONGEST_UNSAID_S = 3.0
"""Locust says once a second how busy it is."""
KEPT_UP = "the load's own processes kept up"
KILLED = "chaoskit was killed, or its machine went down"
ENDINGS = {
    "interrupted": "the run was interrupted",
    "stopped": "the run was stopped by a safety limit",
    "broken": "the run broke off",
}
EXIT = {Verdict.PASSED: 0, Verdict.FAILED: 1, Verdict.INCONCLUSIVE: 3}
EXIT_BY_ENDING = {"interrupted": EXIT_INTERRUPTED, "stopped": RefusedError.exit_code}


def judge(experiment: Experiment, record: Record, entries: tuple[Entry, ...], seed: int) -> Result:
    """Judges a finished run. Never raises for what a check does: a crashed check is an inconclusive finding."""
    ending = next((e.data for e in reversed(entries) if e.kind == "ended"), {"how": "broken", "error": KILLED})
    kept = _paced(record)
    own = tuple(_preconditions(experiment, record, kept, str(ending["how"]), str(ending["error"])))
    findings = (*own, *_asked(experiment, record, own, kept))
    unhealed = _unhealed(entries)
    verdict = worst([f.verdict for f in findings])
    return Result(
        experiment=experiment.name,
        why=experiment.why,
        run=record.run,
        namespace=record.namespace,
        seed=seed,
        verdict=verdict,
        exit_code=_exit_code(verdict, str(ending["how"]), bool(unhealed)),
        sentence=_sentence(experiment, verdict, findings),
        findings=findings,
        targets=tuple(act.target for step in record.steps for act in step.acts),
        cluster=record.info,
        started_unix=record.origin_unix,
        seconds=record.ended,
        how=str(ending["how"]),
        error=str(ending["error"]),
        unhealed=unhealed,
        versions=versions(),
        notes=record.notes,
        commit=record.commit,
    )


def versions() -> dict[str, str]:
    return {"chaoskit": version("chaoskit"), "python": platform.python_version()}


def _asked(experiment: Experiment, record: Record, own: tuple[Finding, ...], kept: Pace) -> Iterable[Finding]:
    """Requests of a load that did not keep up tell of the load: they convict nobody, and acquit nobody. One that was
    held up now and then makes latencies longer, never shorter: those acquit, but do not convict."""
    doubt = next((f.reason for f in own if f.name == KEPT_UP and f.verdict is not Verdict.PASSED), "")
    for check in experiment.expect:
        found = _guarded(check, record)
        if doubt and check.rests_on_load() and found.verdict is not Verdict.INCONCLUSIVE:
            found = replace(found, verdict=Verdict.INCONCLUSIVE, reason=f"{doubt}; {found.reason}")
        elif found.verdict is Verdict.FAILED and check.times_requests() and kept.held_up:
            late = units.show(kept.late_s[1], "s")
            why = f"part of it may be the load's own: the pulse was late by {late} (99th percentile)"
            found = replace(found, verdict=Verdict.INCONCLUSIVE, reason=f"{why}; {found.reason}")
        yield found


def _guarded(check: Check, record: Record) -> Finding:
    """A check of somebody's may raise anything; what it did not decide stays undecided."""
    try:
        return check.judge(record)
    except Exception as error:  # the border around a check
        return Finding(
            check.kind, check.kind, Verdict.INCONCLUSIVE, f"the check crashed: {type(error).__name__}: {error}"
        )


# ── what any verdict rests on ────────────────────────────────────────────────────────────────────────────────────────


def _preconditions(experiment: Experiment, record: Record, kept: Pace, how: str, error: str) -> Iterable[Finding]:
    if how != "complete":
        what = ENDINGS.get(how, f"the run ended {how}")
        yield _own("the run came to its end", Verdict.INCONCLUSIVE, f"{what}: {error}" if error else what)
    if experiment.steady_state:
        yield _steady(record)
    for step in experiment.steps:
        found, why = landed_or_why(record, step.name)
        if found is None:
            yield _own(f"“{step.name}” landed", Verdict.INCONCLUSIVE, why, step=step.name)
        else:
            how_landed = "; ".join(sorted({f"{act.target}: {act.how}" for act in found.acts}))
            yield _own(f"“{step.name}” landed", Verdict.PASSED, how_landed, step=step.name)
    if experiment.load:
        yield _load(experiment.load, experiment, record)
        yield _generator(experiment.load, record, kept)


def _own(title: str, verdict: Verdict, reason: str, *, step: str = "", evidence: tuple[Evidence, ...] = ()) -> Finding:
    return Finding(title, "precondition", verdict, reason, step=step, evidence=evidence, asked=False)


def _steady(record: Record) -> Finding:
    looks = [c for c in record.conditions if c.phase == "steady"]
    title = "steady state before the first step"
    if "watched" in record.phases:
        return _own(title, Verdict.PASSED, f"reached after {units.count(len({c.at for c in looks}), 'look')}")
    last = [c for c in looks if c.at == looks[-1].at and not c.holds] if looks else []
    why = "; ".join(f"{c.condition} ({c.reason or _measured(c)})" for c in last)
    never = "the steady state was never reached"
    return _own(title, Verdict.INCONCLUSIVE, f"{never}: {why}" if why else never)


def _measured(look: ConditionRecord) -> str:
    return "no data" if look.value is None else conditions.shown(look.condition, look.value)


def _load(load: Load, experiment: Experiment, record: Record) -> Finding:
    """The load that was asked for, measured while the steady state held: later the fault itself may have lowered it."""
    title = "the load was there"
    if load.locustfile == NO_LOCUST and load.must_reach is None:
        return _own(title, Verdict.PASSED, "only the pulse was asked for")
    began, ended = _when_steady(experiment, record)
    rate = conditions.measure("rate", record.locust, began, ended)
    if load.must_reach is None:
        if not rate:
            return _own(title, Verdict.INCONCLUSIVE, "Locust's users had no good answer in the steady state")
        told = f"{units.show(rate, '/s')} good answers to Locust's users in the steady state; no rate was asked for"
        return _own(title, Verdict.PASSED, told)
    reached = rate is not None and rate >= load.must_reach
    return Finding(
        title,
        "precondition",
        Verdict.PASSED if reached else Verdict.INCONCLUSIVE,
        f"{_how_many(reached, rate)} to Locust's users in the steady state",
        value=rate,
        unit="/s",
        limit=f"at least {units.exact(load.must_reach, '/s')}",
        margin=None if rate is None else rate - load.must_reach,
        asked=False,
    )


def _how_many(reached: bool, rate: float | None) -> str:
    if reached:
        return "good answers"
    return "too few good answers" if rate else "no good answer"


def _when_steady(experiment: Experiment, record: Record) -> tuple[float, float]:
    """The time for which the steady state was held; without one, all the time from the first step on."""
    steady = experiment.steady_state
    if steady is None:
        return record.phases.get("watched", (0.0, 0.0))
    began, ended = record.phases.get("steady", (0.0, 0.0))
    return max(began, ended - steady.for_), ended


def _paced(record: Record) -> Pace:
    """How the pulse kept its schedule while the steps were watched."""
    began, ended = record.phases.get("watched", (0.0, record.ended))
    return pace([s for s in record.pulse if began <= s.intended < ended], record.pulse_period_s)


def _generator(load: Load, record: Record, kept: Pace) -> Finding:
    """Whether the load's own processes kept up: otherwise they measured themselves."""
    began, ended = record.phases.get("watched", (0.0, record.ended))
    within = [s for s in record.statuses if began <= s["at"] <= ended]
    trouble = list[str]()
    busy = [s["cpu"] for s in within if s["who"] == "locust"]
    if not busy and load.locustfile != NO_LOCUST and ended - began > LONGEST_UNSAID_S:
        trouble.append("Locust never said how busy it was")
    if busy and sorted(busy)[len(busy) // 2] > BUSIEST:
        trouble.append(f"Locust used {units.show(sorted(busy)[len(busy) // 2], '%')} of a core")
    if not kept.due:
        watched = "while the steps were watched" if "watched" in record.phases else "before the run ended"
        trouble.append(f"the pulse recorded nothing {watched}")
    elif not kept.kept:
        late = units.show(kept.limit_s, "s")
        of = units.count(kept.due, "request")
        trouble.append(f"{units.show(kept.behind, '%')} of the pulse's {of} were late by more than {late} or not sent")
    told = f"the pulse was late by {units.show(kept.late_s[1], 's')} (99th percentile)"
    not_sent = units.count(kept.not_sent, "request")
    return _own(
        KEPT_UP,
        Verdict.INCONCLUSIVE if trouble else Verdict.PASSED,
        "; ".join(trouble) or f"{told}, {not_sent} not sent",
    )


# ── the whole ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _unhealed(entries: Sequence[Entry]) -> tuple[tuple[str, str], ...]:
    """(what is left, what to type) of each intent that is not known to be healed."""
    said = {int(e.data["n"]): e.data for e in entries if e.kind == "healed"}
    left = []
    for intent in open_intents(entries):
        last = said.get(intent.n, {"how": "it was never healed", "fix": f"chaoskit heal {intent.run}"})
        left.append((f"{intent.verb} {intent.target}: {last['how']}", str(last["fix"])))
    return tuple(left)


def _exit_code(verdict: Verdict, how: str, unhealed: bool) -> int:
    if unhealed:
        return EXIT_UNHEALED
    return EXIT_BY_ENDING.get(how, EXIT[verdict])


def _sentence(experiment: Experiment, verdict: Verdict, findings: tuple[Finding, ...]) -> str:
    if verdict is Verdict.PASSED:
        asked = [f for f in findings if f.asked]
        held = "the expectation held" if len(asked) == 1 else f"all {len(asked)} expectations held"
        return f"passed: {experiment.name}; {held}{_nearest(asked)}"
    decisive = next((f for f in findings if f.verdict is verdict), None)
    if decisive is None:
        return f"{verdict.value}: {experiment.name}; nothing was expected"
    theirs = [f for f in findings if f.asked]
    check = next((c for c, f in zip(experiment.expect, theirs, strict=True) if f is decisive), None)
    return f"{verdict.value}: {_told(decisive, check)}"


def _nearest(held: Sequence[Finding]) -> str:
    """The number that decided: that of the expectation which used up most of its limit. One that is exactly at its
    limit, as a count of replicas often is, tells nothing."""
    measured = [(f, f.value, f.margin) for f in held if f.value is not None and f.margin is not None]
    used = [(margin / (abs(value) + margin), f) for f, value, margin in measured if 0 < margin < math.inf]
    if not used:
        return ""
    nearest = min(used, key=lambda found: found[0])[1]
    shown = units.show(nearest.value, nearest.unit, nearest.uncertainty, apart=nearest.margin)
    return f", nearest to its limit: {nearest.name}, measured {shown}"


def _told(finding: Finding, check: Check | None) -> str:
    """What was expected, what was measured, and why that is not good. What chaoskit looks at by itself (no `check`) is
    called by what should be so: of one that is not, only the reason can be said. A reason may have lines of details."""
    shown = units.show(finding.value, finding.unit, finding.uncertainty, apart=finding.margin)
    reason = finding.reason.split("\n", 1)[0]
    if check:
        happened = finding.name if finding.value is None else check.happened(finding, shown)
        return f"{happened}; {reason}"
    measured = "" if finding.value is None else f", measured {shown}"
    return f"{reason}{measured}{f', limit {finding.limit}' if measured and finding.limit else ''}"
