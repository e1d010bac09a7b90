"""Recorded streams with known answers: request samples around an outage, and what a watch tells of pods and slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chaoskit.contracts import Act, ConditionRecord, Record, StepRecord
from chaoskit.model import GAP, GONE, SEEN, Answer, ClusterInfo, Series, Target, WatchEvent
from chaoskit.samples import Outcome, Sample, Stream

NS = "shop"
ORIGIN_UNIX = 1_800_000_000.0
STEP = "lose a pod"


# ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def sample(intended, outcome=Outcome.OK, *, late=0.0005, took=0.004, stream=Stream.FRESH, answerer="front-1|1|blue"):
    sent = intended + late
    return Sample(intended, sent, sent + took, 200, outcome, stream, "/", answerer if outcome is Outcome.OK else "")


def paced(
    until,
    *,
    period=0.01,
    down: Sequence[tuple[float, float]] = (),
    unsent=(),
    late: Mapping[int, float] = {},
    stream=Stream.FRESH,
):
    """Requests every `period` from 0 to `until`; those sent while it is down are refused, those in `unsent` (spans) are
    not sent, and those numbered in `late` are sent that much later."""
    found = []
    for n in range(round(until / period)):
        at = n * period
        if any(a <= at < b for a, b in unsent):
            found.append(sample(at, Outcome.NOT_SENT, stream=stream))
            continue
        lag = late.get(n, 0.0005)
        bad = any(a <= at + lag < b for a, b in down)
        found.append(sample(at, Outcome.REFUSED if bad else Outcome.OK, late=lag, stream=stream))
    return tuple(found)


# ── watch events ─────────────────────────────────────────────────────────────────────────────────────────────────────


def pod(
    name,
    uid="",
    *,
    owner="rs-1",
    kind="ReplicaSet",
    node="node1",
    started=True,
    ready=True,
    terminating=False,
    restarts=0,
    policy="Always",
    container="c1",
):
    meta: dict[str, Any] = {"name": name, "namespace": NS, "uid": uid or name, "labels": {"app": "front"}}
    if owner:
        meta["ownerReferences"] = [{"kind": kind, "uid": owner, "controller": True}]
    if terminating:
        meta["deletionTimestamp"] = "2027-01-15T08:00:10Z"
    state = {"running": {}} if started else {"waiting": {"reason": "ContainerCreating"}}
    return {
        "metadata": meta,
        "spec": {"nodeName": node, "restartPolicy": policy} if node else {"restartPolicy": policy},
        "status": {
            "containerStatuses": [
                {"name": "front", "state": state, "restartCount": restarts, "containerID": f"containerd://{container}"}
            ],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def seen(at, o, kind="pod", *, first=False):
    return WatchEvent(at, SEEN, kind, o, first)


def gone(at, o, kind="pod", *, first=False):
    return WatchEvent(at, GONE, kind, o, first)


def gap(at, kind="pod"):
    return WatchEvent(at, GAP, kind, {})


def endpoints(at, *uids, name="front-abc", first=False):
    listed = [{"conditions": {"ready": True}, "targetRef": {"uid": uid}} for uid in uids]
    return seen(
        at,
        {"metadata": {"name": name, "namespace": NS, "uid": name}, "endpoints": listed},
        "endpointslice",
        first=first,
    )


def life(name, at, uid="", *, scheduled=0.02, started=0.5, ready=1.0, **more):
    """A new pod from its creation to its readiness."""
    return [
        seen(at, pod(name, uid, node="", started=False, ready=False, **more)),
        seen(at + scheduled, pod(name, uid, started=False, ready=False, **more)),
        seen(at + started, pod(name, uid, ready=False, **more)),
        seen(at + ready, pod(name, uid, **more)),
    ]


def kill(at=10.0, victim="front-1", heir="front-4", *, ready=1.0, others=("front-2", "front-3")):
    """What the watch tells when one of three pods is deleted and replaced."""
    first = [seen(0.0, pod(n), first=True) for n in (victim, *others)]
    first.append(endpoints(0.0, victim, *others, first=True))
    after = [
        gone(at + 0.01, pod(victim, terminating=True)),
        endpoints(at + 0.06, *others),
        *life(heir, at + 0.03, ready=ready),
        endpoints(at + 0.03 + ready + 0.05, heir, *others),
    ]
    return tuple(sorted((*first, *after), key=lambda e: e.at))


# ── the record ───────────────────────────────────────────────────────────────────────────────────────────────────────


def target(name="front-1", uid="", **prior):
    return Target("pod", name, NS, uid or name, "node1", prior)


def act(at=10.0, name="front-1", uid="", *, took=0.002, landed: float | None = 0.01, error="", **prior):
    return Act(
        f"delete pod/{name}",
        target(name, uid, **prior),
        at,
        at + took if not error else None,
        None if landed is None else at + landed,
        "the pod is gone" if landed is not None else "",
        error,
    )


def step(acts=None, *, began=10.0, ended: float | None = 20.0, refused=""):
    return StepRecord(STEP, "kill_pod", began, ended, (act(began),) if acts is None else tuple(acts), refused)


def points(value, *, start=0.0, end=25.0, every=1.0, leave_out=()):
    """(Unix time, value) each scrape; `value` may be a function of the run's time."""
    moments = [start + i * every for i in range(round((end - start) / every) + 1)]
    kept = [t for t in moments if not any(a <= t < b for a, b in leave_out)]
    return tuple((ORIGIN_UNIX + t, float(value(t) if callable(value) else value)) for t in kept)


def answer(*series, warnings=(), error="", query="q"):
    return Answer(query, tuple(Series({"i": str(i)}, p) for i, p in enumerate(series)), tuple(warnings), error)


def look(at, holds, *, phase="after", condition="errors < 1%", value=0.0, reason=""):
    return ConditionRecord(at, phase, condition, value if holds is not None else None, holds, reason)


PHASES = {
    "deploy": (0.0, 2.0),
    "load": (2.0, 3.0),
    "steady": (3.0, 10.0),
    "watched": (10.0, 20.0),
    "after": (20.0, 22.0),
    "steady again": (22.0, 22.0),
    "metrics": (22.0, 25.0),
    "heal": (25.0, 26.0),
}
STATUSES = tuple(
    {"at": float(t), "who": who, "cpu": 0.2, "users": 4} for t in range(3, 26) for who in ("pulse", "locust")
)


PULSE = paced(25.0)
LOCUST = paced(25.0, period=0.05, stream=Stream.LOCUST)


def record(**changes) -> Record:
    """A run in which all went well, but for what is changed."""
    given: dict[str, Any] = {
        "run": "r1",
        "namespace": NS,
        "info": ClusterInfo("fake", "fake", "https://fake.invalid", "v1.37.2"),
        "origin_unix": ORIGIN_UNIX,
        "scrape_interval_s": 1.0,
        "ended": 26.0,
        "steps": (step(),),
        "phases": PHASES,
        "conditions": (look(9.0, True, phase="steady"), look(21.0, True), look(22.0, True)),
        "events": kill(),
        "pulse": PULSE,
        "locust": LOCUST,
        "pulse_period_s": 0.01,
        "answers": {"errors": answer(points(0.0))},
        "metrics": {"errors": "q"},
        "statuses": STATUSES,
    }
    return Record(**{**given, **changes})
