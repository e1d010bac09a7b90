"""Restarts of containers: why each run of one ended, whether its policy asks for another, and how long that took.

Pure, as all evidence. Times of a run's begin and end are the kubelet's own, which the API gives in whole seconds: what
is told of pauses is right to a second either way. Times of what was seen are arrivals of watch events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from chaoskit.contracts import Act, Record, StepRecord
from chaoskit.evidence import acceptance
from chaoskit.model import GAP, GONE, SEEN, Raw, WatchEvent
from chaoskit.objects import container_status, ready, restarts, started, uid

STAMP_S = 1.0
"""Two stamps in whole seconds, both cut off: their difference is wrong by less than this, either way."""
BACK_OFF_FIRST_S = 10.0
"""The second restart in a row waits this long, each one after it twice as long (pkg/kubelet/kubelet.go,
initialCrashLoopBackOff), counted from the container's end (kuberuntime_manager.go, doBackOff). The first waits for
nothing."""
RETRY_JITTER, RESYNC_S = 0.5, 60.0
"""The kubelet comes back to a container that has to wait when the wait is over, or by chance up to half of it later; of
long waits, up to half of its regular round (pkg/kubelet/pod_workers.go, completeWork; syncFrequency)."""
STABLE_S = 600.0
"""A container that ran for longer than this begins the sequence anew (pkg/kubelet/kubelet.go, HasExpiredFunc)."""
BACK_OFF_MOST = ("crash_loop_back_off_max", "max-container-restart-period")
"""The platform's timing that ends the doubling (KubeletConfiguration, crashLoopBackOff.maxContainerRestartPeriod)."""


@dataclass(frozen=True, slots=True)
class Life:
    """One run of a container, from its start to its end. Times in Unix seconds, whole; None: not known (yet)."""

    id: str
    number: int
    """Of the restart that began it; 0 for the first."""
    began_unix: float | None
    ended_unix: float | None = None
    exit_code: int | None = None
    reason: str = ""
    """In the kubelet's words: Completed, Error, OOMKilled."""


@dataclass(frozen=True, slots=True)
class Pause:
    """From a container's end to the start of the next one in its place."""

    restart: int
    """Its number in the pod's life, from 1."""
    exit_code: int
    reason: str
    pause_s: float
    predicted_s: float | None
    """The least, by the kubelet's settings; None where these are not known."""
    latest_s: float | None = None
    """The most, by the same; a new container takes a moment to be made besides."""

    @property
    def off_s(self) -> float:
        """How far the pause is outside of what is predicted."""
        return max((self.predicted_s or 0.0) - self.pause_s, self.pause_s - (self.latest_s or 0.0), 0.0)


@dataclass(frozen=True, slots=True)
class Restart:
    """What became of one container that was hit. Seconds from the fault's acceptance; None: not seen."""

    pod: str
    count: int
    """Restarts counted in the window."""
    running: float | None
    ready: float | None
    policy: str
    replaced: bool
    """The whole pod went away instead."""
    ended: float | None = None
    """When it was seen to have ended."""
    exit_code: int | None = None
    reason: str = ""
    final: bool = False
    """It ended for good: its pod is in a phase that it does not leave, or nothing was to follow when last seen."""
    killed: str = ""
    """Why the kubelet killed it, in its own words; empty where it did not."""
    pauses: tuple[Pause, ...] = ()
    """Of all its restarts since the run's begin."""

    @property
    def due(self) -> bool | None:
        """Whether its policy asks for a restart; None while it has not ended, or how is not known."""
        return None if self.exit_code is None else asks(self.policy, self.exit_code)

    @property
    def how(self) -> str:
        """How it ended, in a few words: `exit code 137 (OOMKilled)`."""
        if self.exit_code is None:
            return "an end that was not seen"
        killed = f"; {self.killed}" if self.killed else ""
        return f"exit code {self.exit_code}{f' ({self.reason}{killed})' if self.reason else ''}"

    def as_data(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value not in ((), "")}


def asks(policy: str, exit_code: int) -> bool:
    """Whether a restart policy asks for a new container (pkg/kubelet/container, ShouldContainerBeRestarted)."""
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def container_restarts(record: Record, step: StepRecord) -> tuple[Restart, ...]:
    """One for each container that the step hit, and for each one that it made end."""
    return tuple(_restart(record, step, act) for act in step.acts if "id" in act.target.prior)


def _restart(record: Record, step: StepRecord, act: Act) -> Restart:
    accepted, _ = acceptance(act)
    until = step.ended if step.ended is not None else record.ended
    prior = act.target.prior
    container, before = str(prior.get("container", "")), int(prior.get("restarts", 0))
    mine = [e for e in _of_pod(record, act.target.uid) if e.at <= until]
    after = [e for e in mine if e.at >= act.ordered]
    running = next((e for e in after if restarts(e.object) > before and started(e.object)), None)
    is_ready = next((e for e in after if running is not None and e.at >= running.at and ready(e.object)), None)
    lives = _lives(mine, container)
    hit = lives.get(str(prior["id"]))
    ended = next((e for e in after if _ended(e.object, container, str(prior["id"]))), None)
    return Restart(
        act.target.name,
        max((restarts(e.object) - before for e in after), default=0),
        running.at - accepted if running else None,
        is_ready.at - accepted if is_ready else None,
        _policy(mine[-1].object, container) if mine else "",
        any(e.change == GONE for e in after),
        ended.at - accepted if ended else None,
        hit.exit_code if hit else None,
        hit.reason if hit else "",
        bool(after) and _final(after[-1].object, container),
        _killed(record, act.target.uid, act.ordered, until),
        tuple(_pauses(lives.values(), _back_off_most(record.info.timings))),
    )


def _of_pod(record: Record, pod: str) -> Iterator[WatchEvent]:
    return (e for e in record.events if e.kind == "pod" and e.change != GAP and uid(e.object) == pod)


def _policy(pod: Raw, container: str) -> str:
    """The pod's restart policy, or the container's own (its `restartPolicy`, from Kubernetes 1.34)."""
    spec = pod["spec"]
    own = [c["restartPolicy"] for c in spec.get("containers") or () if c["name"] == container and "restartPolicy" in c]
    return str(own[0] if own else spec.get("restartPolicy", ""))


def _killed(record: Record, pod: str, since: float, until: float) -> str:
    """What the kubelet says of a container that it kills itself (reason Killing), as for a failed liveness probe."""
    for event in record.events:
        if event.kind == "event" and since <= event.at <= until and event.change == SEEN and not event.first:
            about = event.object.get("regarding") or event.object.get("involvedObject") or {}
            if about.get("uid") == pod and event.object.get("reason") == "Killing":
                return str(event.object.get("note") or event.object.get("message") or "")
    return ""


def _ended(pod: Raw, container: str, id_: str) -> bool:
    """Whether the status tells that this run of the container is over."""
    status = container_status(pod, container)
    if status is None:
        return False
    runs = "running" in (status.get("state") or {})
    return not runs or status.get("containerID") != id_


def _final(pod: Raw, container: str) -> bool:
    """Whether nothing follows: the kubelet restarts nothing in a pod that failed or succeeded, and shows a container
    that is to be restarted as waiting."""
    if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return True
    status = container_status(pod, container)
    return bool(status and "terminated" in (status.get("state") or {}))


# ── lives and pauses ─────────────────────────────────────────────────────────────────────────────────────────────────


def _lives(events: Iterable[WatchEvent], container: str) -> dict[str, Life]:
    """The container's runs by their ids, in order. One that began and ended between two reports is not among them."""
    found: dict[str, Life] = {}
    for event in events:
        status = container_status(event.object, container)
        for life in _told(status) if status else ():
            known = found.get(life.id)
            # A later report knows more, except that one of the last state does not know a number.
            if known is None or life.exit_code is not None:
                found[life.id] = life
    return dict(sorted(found.items(), key=lambda item: (item[1].number, item[1].began_unix or 0.0)))


def _told(status: Raw) -> Iterator[Life]:
    """The runs that one status tells of: the one before, and the present one."""
    count = int(status.get("restartCount", 0))
    state, before = status.get("state") or {}, (status.get("lastState") or {}).get("terminated")
    present = "running" in state or "terminated" in state
    if before:
        yield _over(before, max(0, count - 1) if present else count)
    if "terminated" in state:
        yield _over(state["terminated"], count)
    elif "running" in state and status.get("containerID"):
        yield Life(str(status["containerID"]), count, unix(state["running"].get("startedAt")))


def _over(end: Raw, number: int) -> Life:
    began, ended = unix(end.get("startedAt")), unix(end.get("finishedAt"))
    code = end.get("exitCode")
    return Life(
        str(end.get("containerID", "")),
        number,
        began,
        ended,
        None if code is None else int(code),
        str(end.get("reason", "")),
    )


def unix(stamp: object) -> float | None:
    """A time of the API in Unix seconds; None where there is none."""
    return datetime.fromisoformat(str(stamp).replace("Z", "+00:00")).timestamp() if stamp else None


def _pauses(lives: Iterable[Life], most: float | None) -> Iterator[Pause]:
    """Between runs that follow one another; the place in the sequence is the number of restarts since the last run
    that was long enough to be called stable."""
    before: Life | None = None
    forgotten = 0
    for life in lives:
        if before is not None and before.ended_unix is not None and life.began_unix is not None:
            if before.began_unix is not None and before.ended_unix - before.began_unix > STABLE_S:
                forgotten = before.number
            if life.number == before.number + 1:
                least = None if most is None else predicted(life.number - forgotten, most)
                yield Pause(
                    life.number,
                    before.exit_code or 0,
                    before.reason,
                    life.began_unix - before.ended_unix,
                    least,
                    None if least is None else latest(least),
                )
        before = life


def predicted(restart: int, most: float) -> float:
    """How long the kubelet lets the n-th restart in a row wait: not at all, then 10, 20, 40 s … up to `most`."""
    if restart <= 1:
        return 0.0
    doublings = min(restart - 2, 60)
    return min(min(BACK_OFF_FIRST_S, most) * 2.0**doublings, most)


def latest(least: float) -> float:
    """When the kubelet looks again at a container that is to wait for `least`, at the latest."""
    return least + RETRY_JITTER * min(least, RESYNC_S)


def _back_off_most(timings: Mapping[str, float]) -> float | None:
    return next((timings[name] for name in BACK_OFF_MOST if name in timings), None)
