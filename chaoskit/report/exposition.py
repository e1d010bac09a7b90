"""A finished run as Prometheus' metrics, for a Pushgateway: the last result of each experiment, in base units.

Names and labels are those of a run that is under way (`chaoskit/load/metrics.py`) where both have them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Gauge

from chaoskit import units
from chaoskit.contracts import Record
from chaoskit.model import Finding, Verdict
from chaoskit.result import Result

UNITS = {"s": "seconds", "B": "bytes", "/s": "per_second", "%": "ratio", "": "none"}
"""As Prometheus names them; what a check counts (pods, times) keeps its word."""
_LIMIT = re.compile(r"(?:at most|within|at least|[<>]=?)\s*(\d[\d.]*)\s*(%|/s|[a-zA-Z]*)")


def registry(result: Result, record: Record) -> CollectorRegistry:
    """All series of the run. Which experiment it was is for who pushes them to say: it is the group's name."""
    found = CollectorRegistry()
    _run(found, result)
    _findings(found, result.findings)
    _steps(found, record)
    return found


def limit_of(finding: Finding) -> float | None:
    """The limit as a number, in the finding's base unit; None where it is none, as in `50 % ± 5 %`."""
    match = _LIMIT.search(finding.limit)
    if match is None:
        return None
    try:
        return units.quantity(f"{match[1]}{match[2]}")[0]
    except ValueError:  # What is counted, as in `3 pods`.
        return float(match[1])


def _gauge(registry: CollectorRegistry, name: str, meaning: str, *labels: str) -> Gauge:
    return Gauge(f"chaoskit_{name}", meaning, labels, registry=registry)


def _text(name: str) -> str:
    """A name as UTF-8 can carry it."""
    return name.encode("utf-8", "replace").decode()


def _run(registry: CollectorRegistry, result: Result) -> None:
    about = {
        "run": _text(result.run),
        "seed": str(result.seed),
        "app_namespace": _text(result.namespace),
        "cluster": _text(result.cluster.context),
    }
    _gauge(registry, "run_info", "The run.", *about).labels(*about.values()).set(1)
    _gauge(registry, "run_start_timestamp_seconds", "When the run began.").set(result.started_unix)
    ended = result.started_unix + result.seconds
    _gauge(registry, "run_end_timestamp_seconds", "When the run ended.").set(ended)
    _gauge(registry, "run_duration_seconds", "How long the run took.").set(result.seconds)
    _gauge(registry, "run_unhealed", "What the run left broken.").set(len(result.unhealed))
    verdict = _gauge(registry, "run_verdict", "1 for the run's verdict, 0 for the others.", "verdict")
    for each in Verdict:
        verdict.labels(each.value).set(each is result.verdict)


def _findings(registry: CollectorRegistry, findings: Iterable[Finding]) -> None:
    """What was asked; and of what chaoskit checks by itself, what is not in order."""
    labels = ("finding", "kind", "step")
    verdict = _gauge(registry, "finding_verdict", "1 for the finding's verdict, 0 for the others.", *labels, "verdict")
    value = _gauge(registry, "finding_value", "What was measured, in the base unit.", *labels, "unit")
    unsure = _gauge(registry, "finding_uncertainty", "How far the true value may be from it.", *labels, "unit")
    limit = _gauge(registry, "finding_limit", "The limit that the experiment sets.", *labels, "unit")
    for finding in findings:
        if not (finding.asked or finding.verdict is not Verdict.PASSED):
            continue
        known = tuple(map(_text, (finding.name, finding.kind, finding.step)))
        for each in Verdict:
            verdict.labels(*known, each.value).set(each is finding.verdict)
        unit = UNITS.get(finding.unit, finding.unit)
        for gauge, number in ((value, finding.value), (unsure, finding.uncertainty), (limit, limit_of(finding))):
            if number is not None:
                gauge.labels(*known, unit).set(number)


def _steps(registry: CollectorRegistry, record: Record) -> None:
    ordered = _gauge(registry, "step_ordered_timestamp_seconds", "When a step's first act was ordered.", "step")
    landed = _gauge(registry, "step_landed_timestamp_seconds", "When a step's last act was seen to land.", "step")
    healed = _gauge(registry, "step_healed_timestamp_seconds", "When what a step changed was last put back.", "step")
    for step in record.steps:
        for gauge, choose, times in (
            (ordered, min, [act.ordered for act in step.acts]),
            (landed, max, [act.landed for act in step.acts if act.landed is not None]),
            (healed, max, [act.healed for act in step.acts if act.healed is not None]),
        ):
            if times:
                gauge.labels(_text(step.name)).set(record.origin_unix + choose(times))
