"""What the checks share: turning a measured number and its uncertainty into a finding, and the no-evidence answers."""

from __future__ import annotations

from dataclasses import replace

from chaoskit import conditions, units, witness
from chaoskit.contracts import Check, Record, StepRecord
from chaoskit.model import Evidence, Finding, Verdict


def inconclusive(
    check: Check,
    reason: str,
    *,
    step: str = "",
    evidence: tuple[Evidence, ...] = (),
    value: float | None = None,
    unit: str = "",
) -> Finding:
    return Finding(
        check.title(), check.kind, Verdict.INCONCLUSIVE, reason, value=value, unit=unit, step=step, evidence=evidence
    )


def at_most(
    check: Check,
    value: float,
    limit: float,
    unit: str,
    *,
    uncertainty: float = 0.0,
    reason: str = "",
    step: str = "",
    evidence: tuple[Evidence, ...] = (),
) -> Finding:
    """Passed or failed only if the whole interval value ± uncertainty is on one side of the limit."""
    if value + uncertainty <= limit:
        verdict = Verdict.PASSED
    elif value - uncertainty > limit:
        verdict = Verdict.FAILED
    else:
        verdict = Verdict.INCONCLUSIVE
        reason = f"the limit lies within the uncertainty of the measurement; {reason}".rstrip("; ")
    return Finding(
        check.title(),
        check.kind,
        verdict,
        reason,
        value=value,
        unit=unit,
        uncertainty=uncertainty,
        limit=f"at most {units.exact(limit, unit)}",
        margin=limit - value,
        step=step,
        evidence=evidence,
    )


LONGEST_PAUSE_S = 3.0
"""Users may all be thinking for so long; and for longer where they did so before."""
PAUSES, PERIODS = 2.5, 5


def unseen(record: Record, of_pulse: bool, began: float, ended: float) -> str:
    """Why the recorded requests do not tell of the whole window, or empty: for a while there was none."""
    if of_pulse:
        allowed = max(1.0, PERIODS * record.pulse_period_s)
        streams = [[s for s in record.pulse if s.stream is stream] for stream in {s.stream for s in record.pulse}]
        silent = max((conditions.silence(stream, began, ended) for stream in streams), default=ended - began)
    else:
        first = min((s.intended for s in record.locust), default=began)
        before = conditions.silence(record.locust, first, began) if first < began else 0.0
        allowed = max(LONGEST_PAUSE_S, PAUSES * before)
        silent = conditions.silence(record.locust, began, ended)
    who = "the pulse" if of_pulse else "Locust"
    return f"{who} recorded nothing for {units.show(silent, 's')} of the window" if silent > allowed else ""


WITNESS = "PromQL of the app's own counters of answers, each as it is: the second witness of what the load recorded"


def asked_of(query: str) -> dict[str, str]:
    """The query of a second witness, by the name under which its answer is kept."""
    return {witness.PREFIX + query: query} if query else {}


def witnessed(finding: Finding, record: Record, query: str, began: float, ended: float) -> Finding:
    """The finding, if the second witness agrees with what the load recorded: else nobody knows what happened."""
    if not query:
        return finding
    heard = witness.hear(record, query, began, ended)
    shown = (*finding.evidence, heard.evidence)
    if not heard.doubt:
        return replace(finding, reason=f"{finding.reason}; {heard.told}", evidence=shown)
    if finding.verdict is Verdict.INCONCLUSIVE:
        return replace(finding, evidence=shown)
    reason = f"{heard.doubt}; {finding.reason}"
    return replace(finding, verdict=Verdict.INCONCLUSIVE, reason=reason, evidence=shown)


def landed_or_why(record: Record, name: str) -> tuple[StepRecord | None, str]:
    """The step, if it was taken and all of its faults landed; else why nothing can be concluded from it."""
    step = record.step(name)
    if step is None:
        return None, f"the step “{name}” was never reached"
    if step.refused:
        return None, f"the step “{name}” was refused: {step.refused}"
    missed = [act for act in step.acts if act.landed is None]
    if missed:
        error = f" ({missed[0].error})" if missed[0].error else ""
        return None, f"the fault of “{name}” did not land: {missed[0].what}{error}"
    if not step.acts:
        return None, f"the step “{name}” did nothing: it had nothing to act on"
    if step.ended is None:
        return None, f"the run ended before “{name}” had been watched"
    return step, ""
