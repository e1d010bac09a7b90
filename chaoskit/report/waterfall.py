"""Recovery, link by link: each link as a bar from the moment it waited for to the moment it came."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chaoskit import evidence, evidence_restarts, units
from chaoskit.contracts import Record, StepRecord
from chaoskit.evidence import Chain
from chaoskit.evidence_restarts import Restart
from chaoskit.model import Raw
from chaoskit.objects import name
from chaoskit.report import picture, traffic, wording
from chaoskit.report.picture import Axis, Chart, Mark, Row
from chaoskit.samples import Stream

MOST_DRAWN = 4
LEAVING = ("endpoint removed", "pod gone")
"""Links of the victim's way; they run beside those of the replacement and start with the fault."""
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
MEANINGS = {
    "node_status_update_frequency": "the kubelet reports its node’s state",
    "node_lease_duration": "how long a node’s lease is good for",
    "node_monitor_period": "the controller looks at the nodes",
    "node_monitor_grace_period": "a silent node is called not ready after",
    "not_ready_toleration": "pods leave a node that is not ready after",
    "unreachable_toleration": "pods leave a node that cannot be reached after",
    "hpa_sync_period": "the autoscaler looks at its metrics",
    "hpa_initial_readiness_delay": "a fresh pod’s readiness is not trusted for",
    "hpa_cpu_initialization_period": "a fresh pod’s CPU use is not trusted for",
    "hpa_downscale_stabilization": "the autoscaler waits before it scales down",
    "crash_loop_back_off_max": "longest wait before a restart",
}


@dataclass(frozen=True, slots=True)
class Fall:
    """One chain as a chart, with what it took."""

    title: str
    took: str
    slowest: str
    chart: Chart


@dataclass(frozen=True, slots=True)
class Recovery:
    """What came of one step: charts of the slowest chains, all chains as rows, restarts of containers as rows."""

    step: str
    falls: tuple[Fall, ...]
    others: tuple[tuple[str, str, str], ...]
    """(victim and replacement, seconds, slowest link) of those not drawn."""
    restarts: tuple[Restart, ...]
    settings: tuple[tuple[str, str, str], ...]
    """(setting, value, what it decides) of the pods that were hit."""


def recoveries(record: Record) -> tuple[Recovery, ...]:
    found = (_recovery(record, step) for step in record.steps)
    return tuple(r for r in found if r.falls or r.restarts)


def platform(record: Record) -> tuple[tuple[str, str, str], ...]:
    """The platform's own timings: (setting, value, what it decides)."""
    return tuple(
        (setting.replace("_", " "), units.show(seconds, "s"), MEANINGS.get(setting, ""))
        for setting, seconds in record.info.timings.items()
    )


def _recovery(record: Record, step: StepRecord) -> Recovery:
    chains = sorted(evidence.recovery_chains(record, step), key=_slowness, reverse=True)
    return Recovery(
        step.name,
        tuple(_fall(record, chain) for chain in chains[:MOST_DRAWN]),
        tuple((_pair(c), _took(c), c.slowest_link) for c in chains[MOST_DRAWN:]),
        tuple(r for r in evidence_restarts.container_restarts(record, step) if r.ended is not None or r.count),
        tuple(_settings(_pod_named(record, step))),
    )


def _slowness(chain: Chain) -> float:
    return float("inf") if chain.seconds is None else chain.seconds


def _pair(chain: Chain) -> str:
    return wording.one_line(f"{chain.victim} → {chain.replacement or 'no replacement was seen'}")


def _took(chain: Chain) -> str:
    if chain.seconds is None:
        return f"not recovered: {chain.missing} was not seen"
    return wording.shown(chain.seconds, "s", chain.uncertainty)


def _fall(record: Record, chain: Chain) -> Fall:
    seen = [link.at for link in chain.links if link.at is not None]
    lead = max(max(seen) - chain.accepted, 0.2) * 0.06
    axis = Axis(chain.accepted - lead, max(*seen, chain.accepted + 0.2) + lead)
    rows = list(_links(axis, chain))
    pulse = traffic.pulse_row(record, axis, Stream.FRESH, "new connections")
    chart = Chart(
        "recovery",
        axis,
        (*rows, *([pulse] if pulse else [])),
        lines=(Mark(axis.x(chain.accepted), "", "the fault was accepted", css="fault"),),
        origin=chain.accepted,
    )
    return Fall(_pair(chain), _took(chain), chain.slowest_link, chart)


def _links(axis: Axis, chain: Chain) -> Iterator[Row]:
    before = chain.accepted
    slowest = chain.slowest_link.rpartition(" (")[0]
    for link in chain.links[1:]:
        began = chain.accepted if link.name in LEAVING else before
        if link.at is None:
            yield Row(link.name, height=18, css="link", end="not seen")
            continue
        if link.name not in LEAVING:
            before = max(before, link.at)
        took = max(link.at - began, 0.0)
        css = "leaving" if link.name in LEAVING else "slowest" if link.name == slowest else "came"
        title = f"{link.name}: {link.at - chain.accepted:.3f} s after the fault, took {took:.3f} s"
        text = f"took {units.show(took, 's')}{', the longest' if css == 'slowest' else ''}"
        bar = picture.box(axis, min(began, link.at), link.at, css, title, top=15, height=70)
        left = axis.x(link.at) > picture.FAR_RIGHT
        said = picture.with_room([Mark(axis.x(began if left else link.at), "", title, text, 0, f"took {css}", left)])
        yield Row(link.name, height=18, css="link", boxes=(bar,), marks=said, end=f"+{link.at - chain.accepted:.2f} s")


# ── what the pods themselves ask for ─────────────────────────────────────────────────────────────────────────────────


def _pod_named(record: Record, step: StepRecord) -> Raw | None:
    hit = {act.target.name for act in step.acts}
    return next(
        (e.object for e in record.events if e.kind == "pod" and e.object.get("spec") and name(e.object) in hit), None
    )


def _settings(pod: Raw | None) -> Iterator[tuple[str, str, str]]:
    if pod is None:
        return
    spec = pod["spec"]
    if "terminationGracePeriodSeconds" in spec:
        grace = units.show(float(spec["terminationGracePeriodSeconds"]), "s")
        yield "termination grace period", grace, "an ending pod may take this long before it is killed"
    for container in spec.get("containers") or ():
        for probe in PROBES:
            if probe in container:
                yield (
                    f"{container.get('name', '')} {probe}",
                    _probe_words(container[probe]),
                    "how soon a change is noticed",
                )


def _probe_words(probe: Raw) -> str:
    delay = float(probe.get("initialDelaySeconds", 0))
    after = f", first after {units.show(delay, 's')}" if delay else ""
    every = units.show(float(probe.get("periodSeconds", 10)), "s")
    return f"every {every}{after}, {wording.count(int(probe.get('failureThreshold', 3)), 'failure')} allowed"
