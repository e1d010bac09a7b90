"""A run with a known story, in memory: sixty seconds, one of three front pods killed, users without answer for a while.

0 s deploy · 8 s load · 12 s steady · 18 s the pod is killed · 0.8 s no answer · 18.09 s replacement created ·
21.3 s it serves · 33 s the step's window ends · 39 s steady again · 42 s healed
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from chaoskit import judge, spec
from chaoskit.contracts import Act, ConditionRecord, Record, StepRecord
from chaoskit.journal import Entry
from chaoskit.model import GAP, GONE, SEEN, Answer, ClusterInfo, Series, Target, WatchEvent
from chaoskit.result import Result
from chaoskit.samples import Outcome, Sample, Stream
from chaoskit.spec import Experiment

ORIGIN = 1_789_983_200.0
SPACE = "shop"
KILLED, OUTAGE_S = 18.0, 0.8
PHASES = {
    "deploy": (0.0, 8.0),
    "load": (8.0, 10.0),
    "steady": (10.0, 18.0),
    "watched": (18.0, 33.0),
    "after": (33.0, 39.0),
    "steady again": (39.0, 39.2),
    "metrics": (39.2, 41.4),
    "heal": (41.4, 45.0),
}
TEXT = """
name: the shop survives losing a pod
why: Losing one pod must not cost shoppers more than a second.
load: {users: 20, must_reach: 60/s}
metrics:
  errors: |
    (sum(rate(refapp_requests_total{namespace="$namespace",app="front",code=~"5.."}[$window])) or vector(0))
      / sum(rate(refapp_requests_total{namespace="$namespace",app="front"}[$window]))
  ready_fronts: kube_deployment_status_replicas_ready{namespace="$namespace",deployment="front"}
steady_state: {hold: [errors < 0.1%, p99 < 300ms, rate > 60/s], for: 5s}
steps:
  - name: lose a pod
    kill_pod: {of: deployment/front, mode: now}
    watch: 15s
expect:
  - recovery: {of: lose a pod, within: 12s}
  - outage: {of: lose a pod, at_most: LIMIT}
  - metric: errors < 1%
  - metric: {holds: ready_fronts >= 3, of: lose a pod, when: at the end}
  - metric: {holds: failures < 5%, of: lose a pod}
  - steady_state: {}
safety: {at_most: 50%}
"""


@dataclass(frozen=True)
class Told:
    """A story: all that a report is made from."""

    result: Result
    record: Record
    experiment: Experiment
    logs: Mapping[str, str]


def passing() -> Told:
    return told(limit="1s")


def failing() -> Told:
    """The same run against a limit that its outage breaks."""
    return told(limit="500ms")


def inconclusive() -> Told:
    """One query gave nothing, and Locust was the bottleneck."""
    seen = record()
    answers = {**seen.answers, "ready_fronts": Answer(seen.metrics["ready_fronts"], ())}
    busy = tuple({**s, "cpu": 0.97} if s["who"] == "locust" else s for s in seen.statuses)
    return told(replace(seen, answers=answers, statuses=busy), limit="1s")


def unstarted() -> Told:
    """The cluster went away before anything was seen."""
    seen = record()
    bare = replace(
        seen,
        ended=3.0,
        steps=(),
        phases={"deploy": (0.0, 3.0)},
        conditions=(),
        events=(),
        pulse=(),
        locust=(),
        answers={},
        statuses=(),
    )
    return told(bare, limit="1s", how="broken", error="no answer from https://127.0.0.1:6443")


def unhealed() -> Told:
    found = failing()
    left = (("uncordon node/node-2: no answer", "kubectl uncordon node-2"),)
    return replace(found, result=replace(found.result, unhealed=left, exit_code=5))


def hostile() -> Told:
    """What a cluster may call its things if it wants to deceive the reader of a report."""
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[2J\x07\ud800\u202e|`]]>&amp;"
    found = failing()
    findings = tuple(replace(f, name=f.name + evil, reason=f.reason + evil, limit=evil) for f in found.result.findings)
    events = tuple(_renamed(e, evil) for e in found.record.events)
    return Told(
        replace(found.result, experiment=evil, why=evil, sentence=evil, findings=findings, unhealed=((evil, evil),)),
        replace(found.record, events=events, notes=(evil,)),
        found.experiment,
        {evil: evil},
    )


def long(pods: int = 40, seconds: float = 600.0) -> Told:
    """Ten minutes with many pods, the pulse flapping all the time: the largest report that is to be expected."""
    seen = record()
    late = random.Random(5)  # noqa: S311 - a story, no secret
    pulse = tuple(s for i in range(int(seconds * 100)) for s in _pulse_at(i / 100, late, down=late.random() < 0.3))
    locust = tuple(_request(i / 20, late, failed=late.random() < 0.1) for i in range(int(seconds * 20)))
    crowd = tuple(e for n in range(pods) for e in _churn(f"front-6d5f7b9c4-{n:05d}", n, seconds))
    many = tuple(
        _event(10.0 + i, f"note-{i}", "Warning" if i % 3 else "Normal", "BackOff", f"front-{i}", "x" * 300)
        for i in range(900)
    )
    answers = {
        name: replace(a, series=tuple(_series(lambda t: t % 7, seconds, {"pod": f"front-{i}"}) for i in range(40)))
        for name, a in seen.answers.items()
    }
    steps = tuple(replace(seen.steps[0], name=f"step {i}", began=20.0 + i * 50, ended=60.0 + i * 50) for i in range(3))
    grown = replace(
        seen,
        ended=seconds,
        pulse=pulse,
        locust=locust,
        answers=answers,
        steps=(seen.steps[0], *steps),
        events=tuple(sorted((*seen.events, *crowd, *many), key=lambda e: e.at)),
        phases={"deploy": (0.0, 8.0), "watched": (18.0, seconds)},
    )
    return told(grown, limit="1s", logs={f"front-{i}": "line of a log\n" * 5000 for i in range(12)})


def told(
    seen: Record | None = None,
    *,
    limit: str,
    how: str = "complete",
    error: str = "",
    logs: Mapping[str, str] | None = None,
) -> Told:
    seen = seen or record()
    experiment = spec.loads(TEXT.replace("LIMIT", limit))
    ended = Entry(99, seen.ended, "ended", {"how": how, "error": error})
    died = {
        "back-5c8d-ccccc": "still there",
        "front-6d5f7b9c4-x2x4z": '{"level":"info","msg":"GET / 200"}\n{"level":"info","msg":"GET /cart 200"}',
    }
    return Told(judge.judge(experiment, seen, (ended,), 7), seen, experiment, died if logs is None else logs)


def record() -> Record:
    generator = random.Random(3)  # noqa: S311 - a story, no secret
    return Record(
        run="20260921-093320-the-shop-survives-losing-a-pod-1a2b",
        namespace=SPACE,
        info=ClusterInfo(
            "embedded",
            "chaoskit",
            "https://127.0.0.1:6443",
            "v1.37.0",
            "accelerated",
            ("node-1", "node-2", "node-3"),
            {"node_monitor_grace_period": 16.0, "not_ready_toleration": 10.0, "crash_loop_back_off_max": 300.0},
        ),
        origin_unix=ORIGIN,
        scrape_interval_s=1.0,
        ended=45.0,
        steps=(_step(),),
        phases=PHASES,
        conditions=tuple(_looks()),
        events=tuple(sorted(_events(), key=lambda e: e.at)),
        pulse=tuple(s for i in range(3140) for s in _pulse_at(8.0 + i / 100, generator, down=None)),
        locust=tuple(_request(8.2 + i / 80, generator, failed=None) for i in range(2480)),
        pulse_period_s=0.01,
        answers=_answers(),
        metrics={name: a.query for name, a in _answers().items()},
        statuses=tuple(_statuses()),
        commit="4f2c1e9a0b7d-dirty",
        notes=("lose a pod: front-6d5f7b9c4-x2x4z was chosen from 3",),
    )


# ── the step ─────────────────────────────────────────────────────────────────────────────────────────────────────────

VICTIM, HEIR = "front-6d5f7b9c4-x2x4z", "front-6d5f7b9c4-k9qpl"


def _step() -> StepRecord:
    target = Target("pod", VICTIM, SPACE, f"uid-{VICTIM}", "node-2", {"ready": True})
    act = Act(f"delete pod/{VICTIM}", target, 18.001, 18.012, 18.043, "it is gone")
    return StepRecord("lose a pod", "kill_pod", KILLED, 33.0, (act,))


def _looks() -> list[ConditionRecord]:
    values = {"errors < 0.1%": 0.0, "p99 < 300ms": 0.021, "rate > 60/s": 79.6}
    looks = [(t, "steady") for t in (10.5, 11.5, 12.5, 16.5)] + [(t, "after") for t in (33.5, 38.5)]
    return [ConditionRecord(t, phase, c, v, True) for t, phase in looks for c, v in values.items()]


# ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _is_down(at: float) -> bool:
    return KILLED + 0.03 <= at < KILLED + 0.03 + OUTAGE_S


def _pulse_at(at: float, chance: random.Random, down: bool | None) -> list[Sample]:
    down = _is_down(at) if down is None else down
    sent = at + chance.random() * 0.0006
    took = chance.lognormvariate(-5.2, 0.4)
    pod = HEIR if at > 21.4 and chance.random() < 1 / 3 else "front-6d5f7b9c4-aaaaa"
    if down:
        return [
            Sample(at, sent, sent + 0.0008, 0, Outcome.REFUSED, s, "GET /", "") for s in (Stream.FRESH, Stream.KEPT)
        ]
    return [
        Sample(at, sent, sent + took, 200, Outcome.OK, s, "GET /", f"{pod}|1|blue") for s in (Stream.FRESH, Stream.KEPT)
    ]


def _request(at: float, chance: random.Random, failed: bool | None) -> Sample:
    failed = _is_down(at) and chance.random() < 0.7 if failed is None else failed
    took = chance.lognormvariate(-4.9, 0.6) + (0.4 if abs(at - 19.2) < 0.4 else 0.0)
    name = chance.choice(("GET /", "GET /cart", "POST /orders"))
    if failed:
        outcome, status = chance.choice(((Outcome.REFUSED, 0), (Outcome.HTTP_ERROR, 503), (Outcome.TIMEOUT, 0)))
        return Sample(at, at + 0.0001, at + took, status, outcome, Stream.LOCUST, name, "")
    return Sample(at, at + 0.0001, at + took, 200, Outcome.OK, Stream.LOCUST, name, "front-6d5f7b9c4-aaaaa|1|blue")


def _statuses() -> list[dict[str, Any]]:
    rows = []
    for second in range(9, 41):
        rows.append(
            {
                "at": float(second),
                "who": "locust",
                "users": 20,
                "cpu": 0.31,
                "late_p99_s": 0.0,
                "sent": 0,
                "not_sent": 0,
            }
        )
        rows.append(
            {
                "at": float(second),
                "who": "pulse",
                "users": 0,
                "cpu": 0.12,
                "late_p99_s": 0.0011,
                "sent": 0,
                "not_sent": 0,
            }
        )
    return rows


def _series(value: Callable[[float], float], seconds: float, labels: Mapping[str, str]) -> Series:
    return Series(labels, tuple((ORIGIN + t, value(float(t))) for t in range(int(seconds))))


def _answers() -> dict[str, Answer]:
    errors = _series(lambda t: 0.0042 if 19 <= t <= 22 else 0.0, 41, {})
    ready = _series(lambda t: 2.0 if 18.5 < t < 21.5 else 3.0, 41, {"deployment": "front"})
    return {
        "errors": Answer('sum(rate(refapp_requests_total{namespace="shop",code=~"5.."}[5s]))', (errors,)),
        "ready_fronts": Answer('kube_deployment_status_replicas_ready{namespace="shop",deployment="front"}', (ready,)),
    }


# ── the cluster ──────────────────────────────────────────────────────────────────────────────────────────────────────


def pod(
    name: str, node: str, *, ready: bool, running: bool, ends: bool = False, restarted: int = 0, owner: str = "front"
) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "name": name,
        "namespace": SPACE,
        "uid": f"uid-{name}",
        "labels": {"app.kubernetes.io/name": owner, "pod-template-hash": "6d5f7b9c4"},
        "ownerReferences": [
            {"kind": "ReplicaSet", "name": f"{owner}-6d5f7b9c4", "uid": f"uid-rs-{owner}", "controller": True}
        ],
    }
    if ends:
        meta["deletionTimestamp"] = "2026-09-21T09:33:38Z"
    state = (
        {"running": {"startedAt": "2026-09-21T09:33:25Z"}} if running else {"waiting": {"reason": "ContainerCreating"}}
    )
    container = {
        "name": owner,
        "readinessProbe": {"periodSeconds": 1, "failureThreshold": 2},
        "startupProbe": {"periodSeconds": 1, "failureThreshold": 30},
    }
    return {
        "metadata": meta,
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 15,
            "restartPolicy": "Always",
            "containers": [container],
        },
        "status": {
            "phase": "Running" if running else "Pending",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"name": owner, "restartCount": restarted, "state": state}],
        },
    }


def _life(name: str, node: str, created: float, became_ready: float, owner: str = "front") -> list[WatchEvent]:
    waiting = pod(name, "", ready=False, running=False, owner=owner)
    waiting["status"]["containerStatuses"] = []
    return [
        WatchEvent(created, SEEN, "pod", waiting),
        WatchEvent(created + 0.02, SEEN, "pod", pod(name, node, ready=False, running=False, owner=owner)),
        WatchEvent(became_ready - 1.1, SEEN, "pod", pod(name, node, ready=False, running=True, owner=owner)),
        WatchEvent(became_ready, SEEN, "pod", pod(name, node, ready=True, running=True, owner=owner)),
    ]


def _churn(name: str, n: int, seconds: float) -> list[WatchEvent]:
    events = _life(name, f"node-{n % 3 + 1}", 10.0 + n, 14.0 + n)
    for i in range(int(seconds - 40 - n) // 6):
        ready = i % 2 == 1
        events.append(
            WatchEvent(20.0 + n + i * 6, SEEN, "pod", pod(name, "node-1", ready=ready, running=True, restarted=i))
        )
    return events


def _slice(at: float, *pods: str) -> WatchEvent:
    endpoints = [{"conditions": {"ready": True}, "targetRef": {"uid": f"uid-{p}"}} for p in pods]
    meta = {
        "name": "front-abcde",
        "namespace": SPACE,
        "uid": "uid-slice",
        "labels": {"kubernetes.io/service-name": "front"},
    }
    return WatchEvent(at, SEEN, "endpointslice", {"metadata": meta, "endpoints": endpoints})


def _deployment(at: float, named: str, wanted: int, ready: int) -> WatchEvent:
    meta = {"name": named, "namespace": SPACE, "uid": f"uid-{named}", "generation": 1}
    status = {"readyReplicas": ready, "replicas": wanted, "observedGeneration": 1}
    return WatchEvent(at, SEEN, "deployment", {"metadata": meta, "spec": {"replicas": wanted}, "status": status})


def node(name: str, *, ready: bool = True, cordoned: bool = False) -> dict[str, Any]:
    spec_: dict[str, Any] = {"unschedulable": True} if cordoned else {}
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": spec_, "status": {"conditions": conditions}}


def _event(at: float, uid: str, kind: str, reason: str, about: str, message: str) -> WatchEvent:
    meta = {"name": uid, "namespace": SPACE, "uid": f"uid-{uid}"}
    involved = {"kind": "Pod", "name": about}
    body = {
        "metadata": meta,
        "type": kind,
        "reason": reason,
        "message": message,
        "involvedObject": involved,
        "count": 1,
    }
    return WatchEvent(at, SEEN, "event", body)


def _events() -> list[WatchEvent]:
    rs = {
        "metadata": {
            "name": "front-6d5f7b9c4",
            "namespace": SPACE,
            "uid": "uid-rs-front",
            "ownerReferences": [{"kind": "Deployment", "name": "front", "uid": "uid-front", "controller": True}],
        },
        "spec": {},
        "status": {},
    }
    stay = ("front-6d5f7b9c4-aaaaa", "front-6d5f7b9c4-bbbbb")
    nodes = [WatchEvent(0.3, SEEN, "node", node(f"node-{i}"), first=True) for i in (1, 2, 3)]
    nodes += [
        WatchEvent(25.0, SEEN, "node", node("node-3", cordoned=True)),
        WatchEvent(29.0, SEEN, "node", node("node-3")),
    ]
    pods = [e for i, p in enumerate((*stay, VICTIM)) for e in _life(p, f"node-{(1, 3, 2)[i]}", 0.8, 4.1 + i * 0.4)]
    pods += _life("back-5c8d-ccccc", "node-1", 0.9, 4.4, "back") + _life("back-5c8d-ddddd", "node-3", 0.9, 4.9, "back")
    pods += [WatchEvent(27.0, SEEN, "pod", pod("back-5c8d-ddddd", "node-3", ready=False, running=False, owner="back"))]
    pods += [
        WatchEvent(
            28.0, SEEN, "pod", pod("back-5c8d-ddddd", "node-3", ready=True, running=True, owner="back", restarted=1)
        )
    ]
    pods += [
        WatchEvent(18.015, SEEN, "pod", pod(VICTIM, "node-2", ready=True, running=True, ends=True)),
        WatchEvent(18.16, GONE, "pod", pod(VICTIM, "node-2", ready=False, running=False, ends=True)),
    ]
    return [
        *nodes,
        *pods,
        *_life(HEIR, "node-2", 18.09, 21.1),
        WatchEvent(0.8, SEEN, "replicaset", rs),
        _slice(4.9, *stay, VICTIM),
        _slice(18.06, *stay),
        _slice(21.3, *stay, HEIR),
        _deployment(0.7, "front", 3, 0),
        _deployment(4.9, "front", 3, 3),
        _deployment(18.1, "front", 3, 2),
        _deployment(21.2, "front", 3, 3),
        _deployment(0.7, "back", 2, 0),
        _deployment(4.9, "back", 2, 2),
        _event(18.02, "a", "Normal", "Killing", VICTIM, "Stopping container front"),
        _event(18.09, "b", "Normal", "Scheduled", HEIR, f"Successfully assigned shop/{HEIR} to node-2"),
        _event(
            20.2,
            "c",
            "Warning",
            "Unhealthy",
            HEIR,
            "Readiness probe failed: Get http://10.88.1.9:8080/ready: connection refused",
        ),
        WatchEvent(30.5, GAP, "pod", {"metadata": {}}),
    ]


def _renamed(event: WatchEvent, evil: str) -> WatchEvent:
    o = dict(event.object)
    meta = dict(o["metadata"])
    meta["name"] = f"{meta.get('name', '')}{evil}"
    o["metadata"] = meta
    if "message" in o:
        o["message"] = evil
    return replace(event, object=o)
