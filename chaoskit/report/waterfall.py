"""Recovery, link by link: each link as a bar from the moment it waited for to the moment it came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from chaoskit import evidence, evidence_restarts, units
from chaoskit.contracts import Record, StepRecord
from chaoskit.evidence import Chain
from chaoskit.evidence_restarts import Pause, Restart
from chaoskit.model import Link, Raw
from chaoskit.objects import name
from chaoskit.report import picture, traffic, wording
from chaoskit.report.expected import Expected, expected
from chaoskit.report.picture import Axis, Box, Chart, Mark, Row
from chaoskit.samples import Stream

MOST_DRAWN = 4
LEAVING = ("endpoint removed", "pod gone")
"""Links of the victim's way; they run beside those of the replacement and start with the fault."""
ENOUGH_ROOM = 14.0
"""Percent of the width that the words beside a bar need."""
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
MEANINGS = {
    "node_status_update_frequency": "the kubelet reports its node’s state",
    "node_lease_duration": "how long a node’s lease is good for",
    "node_monitor_period": "the controller looks at the nodes",
    "node_monitor_grace_period": "a silent node is called not ready after",
    "node_eviction_interval": "pods leave one lost node of a zone, then the next, with a pause of",
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
class Again:
    """A container that ended, as a row of a table: what its policy and the kubelet ask for, and what came."""

    pod: str
    policy: str
    ended: str
    expected: str
    restarts: str
    paused: str
    running: str
    ready: str


@dataclass(frozen=True, slots=True)
class Recovery:
    """What came of one step: charts of the slowest chains, all chains as rows, restarts of containers as rows."""

    step: str
    falls: tuple[Fall, ...]
    others: tuple[tuple[str, str, str], ...]
    """(victim and replacement, seconds, slowest link) of those not drawn."""
    restarts: tuple[Again, ...]
    settings: tuple[tuple[str, str, str], ...]
    """(setting, value, what it decides) of the pods that were hit."""


def recoveries(record: Record) -> tuple[Recovery, ...]:
    found = [r for step in record.steps if (r := _recovery(record, step)).falls or r.restarts]
    told: list[tuple[tuple[str, str, str], ...]] = []
    for n, recovery in enumerate(found):
        if recovery.settings in told:
            found[n] = replace(recovery, settings=())
        told.append(recovery.settings)
    return tuple(found)


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
        tuple(_fall(record, chain, expected(record, step, chain)) for chain in chains[:MOST_DRAWN]),
        tuple((_pair(c), _took(c), c.slowest_link) for c in chains[MOST_DRAWN:]),
        tuple(_again(r) for r in evidence_restarts.container_restarts(record, step) if r.ended is not None or r.count),
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


def _again(found: Restart) -> Again:
    last = found.pauses[-1] if found.count and found.pauses else None
    over = found.due is False or found.replaced
    return Again(
        wording.one_line(f"{found.pod}{' (the whole pod was replaced)' if found.replaced else ''}"),
        found.policy,
        wording.one_line(found.how),
        _due(found, last),
        f"{found.count}{' (ended for good)' if found.final else ''}",
        f"{last.pause_s:.0f} s ± {units.exact(evidence_restarts.STAMP_S, 's')}" if last else "–",
        _after(found.running, over=over),
        _after(found.ready, over=over),
    )


def _due(found: Restart, last: Pause | None) -> str:
    if found.due is None:
        return "–"
    if not found.due:
        return "no restart"
    if last is None or last.predicted_s is None or last.latest_s is None:
        return "a restart"
    least, most = f"{last.predicted_s:.0f}", f"{last.latest_s:.0f}"
    return f"a restart after {least if least == most else f'{least}–{most}'} s"


def _after(seconds: float | None, *, over: bool) -> str:
    if seconds is None:
        return "–" if over else "not seen"
    return f"{seconds:.2f} s"


def _fall(record: Record, chain: Chain, due: Mapping[str, Expected]) -> Fall:
    seen = [link.at for link in chain.links if link.at is not None]
    lead = max(max(seen) - chain.accepted, 0.2) * 0.06
    axis = Axis(chain.accepted - lead, max(*seen, chain.accepted + 0.2) + lead)
    rows = [Row("link", "expected", 18, "link heads", end="after"), *_links(axis, chain, due)]
    pulse = traffic.pulse_row(record, axis, Stream.FRESH, "new connections")
    chart = Chart(
        "recovery",
        axis,
        (*rows, *([pulse] if pulse else [])),
        lines=(Mark(axis.x(chain.accepted), "", "the fault was accepted", css="fault"),),
        origin=chain.accepted,
    )
    return Fall(_pair(chain), _took(chain), chain.slowest_link, chart)


def _links(axis: Axis, chain: Chain, due: Mapping[str, Expected]) -> Iterator[Row]:
    before = chain.accepted
    slowest = chain.slowest_link.rpartition(" (")[0]
    for link in chain.links[1:]:
        began = chain.accepted if link.name in LEAVING else before
        wanted = due.get(link.name)
        note = wanted.text if wanted else "–"
        if link.at is None:
            yield Row(link.name, note, 18, "link", end="not seen")
            continue
        if link.name not in LEAVING:
            before = max(before, link.at)
        css = "leaving" if link.name in LEAVING else "slowest" if link.name == slowest else "came"
        took = picture.box(
            axis, min(began, link.at), link.at, css, _link_words(link, chain, began, wanted), top=20, height=60
        )
        until = max(link.at, began + wanted.most) if wanted else link.at
        said = _took_mark(axis, min(began, link.at), link.at, until, css)
        boxes = (*_outline(axis, began, wanted), took)
        yield Row(link.name, note, 18, "link", boxes, (said,), end=f"+{link.at - chain.accepted:.2f} s")


def _outline(axis: Axis, began: float, wanted: Expected | None) -> Iterator[Box]:
    """How long the link may take, drawn around it."""
    if wanted and wanted.most:
        title = f"expected {wanted.text}: {wanted.why}"
        yield picture.box(axis, began, began + wanted.most, "expected", title, top=6, height=88)


def _link_words(link: Link, chain: Chain, began: float, wanted: Expected | None) -> str:
    due = f", expected {wanted.text}: {wanted.why}" if wanted else ""
    after = (link.at or 0.0) - chain.accepted
    return f"{link.name}: {after:.2f} s after the fault, took {_seconds((link.at or 0.0) - began)}{due}"


def _seconds(took: float) -> str:
    """Two watch events are apart by no less than they may be late."""
    return f"under {units.exact(evidence.WATCH_LAG_S, 's')}" if took < evidence.WATCH_LAG_S else f"{took:.2f} s"


def _took_mark(axis: Axis, began: float, ended: float, until: float, css: str) -> Mark:
    """Beside what is drawn (until a moment), where there is room; in a bar that leaves none, at its end."""
    text = f"took {_seconds(ended - began)}{', the longest' if css == 'slowest' else ''}"
    left, right, free = axis.x(began), axis.x(ended), axis.x(until)
    if free <= picture.FAR_RIGHT:
        return Mark(free, "", text, text, 100 - free, f"took {css}")
    if left >= ENOUGH_ROOM:
        return Mark(left, "", text, text, left, f"took {css}", leftwards=True)
    return Mark(right, "", text, text, right - left, f"took inside {css}", leftwards=True)


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
