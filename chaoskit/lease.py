"""The Leases of a run: the object by which the cluster itself knows that it is under way, and what it tests.

A run takes them before its first change and lets them go once all is put back. So one run at a time tests a place; who
finds a Lease that is renewed no more knows that something may be left; and a run whose Lease was taken away (by
`chaoskit heal RUN`, or by a janitor that took it for dead) learns of it at its next renewal, and ends.

Where a Lease is: that of a namespace that was there before is in it, so that whoever may test it needs no right beside
it. The one of a namespace that the run makes, and the one of what belongs to the whole cluster (nodes, the platform),
are in `default`: it is on every cluster, cannot be deleted, and no server elects its leader by a Lease there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from chaoskit.errors import ConflictError, ForbiddenError, NotFoundError, PortError, RefusedError, UnreachableError
from chaoskit.model import MANAGED_BY, Raw, Right
from chaoskit.objects import annotation, uid
from chaoskit.plan import Plan, run_labels, touches_cluster
from chaoskit.ports import Cluster
from chaoskit.silence import LOOK_EVERY_S, SILENT_AFTER_S, Life, Silence, run_of

KIND = "lease"
NAME = "chaoskit"
SHARED = "default"
RELEASE_WITHIN_S, AGAIN_S = 30.0, 1.0
HEALED_WITHIN_S = 20.0
"""How long a janitor is waited for, where a run that is silent left something."""
WHO, EXPERIMENT = "chaoskit.io/by", "chaoskit.io/experiment"
"""Annotations: the user and machine of a run, and the name of its experiment."""


@dataclass(frozen=True, slots=True)
class Time:
    """How whoever waits here waits: `now` is monotonic, `unix` is the wall clock."""

    now: Callable[[], float]
    sleep: Callable[[float], None]
    unix: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Place:
    """What one run at a time may test, and where its Lease is."""

    what: str
    name: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Held:
    """A Lease that a run has."""

    place: Place
    uid: str


def places(planned: Plan) -> tuple[Place, ...]:
    """What a run takes, in this order."""
    space, what = planned.namespace, f"namespace {planned.namespace}"
    own = Place(what, f"{NAME}.namespace.{space}", SHARED) if planned.fresh else Place(what, NAME, space)
    whole = Place("what belongs to the whole cluster", f"{NAME}.cluster", SHARED)
    return (own, whole) if touches_cluster(planned.experiment) else (own,)


def rights(planned: Plan) -> tuple[Right, ...]:
    """`list` is for healing, which finds a run's Leases by its label."""
    spaces = dict.fromkeys(place.namespace for place in places(planned))
    verbs = ("get", "list", "create", "patch", "delete")
    return tuple(Right(verb, "coordination.k8s.io", "leases", space) for space in spaces for verb in verbs)


# ── a run's own ──────────────────────────────────────────────────────────────────────────────────────────────────────


def take(cluster: Cluster, planned: Plan, time: Time, left: Callable[[str], bool]) -> tuple[Held, ...]:
    """All Leases of a run, or none. `left`: whether a run that is silent left something to heal.

    RefusedError where another run is under way there, or has left something. A Lease that is there is looked at for up
    to 15 s, until it is renewed, or is silent for so long; then a janitor has some time to heal what is left. What is
    taken by then is renewed meanwhile, or the run would be taken for dead itself."""
    wanted, held = places(planned), list[Held]()

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        for one in held:
            with suppress(PortError):  # If it is lost, the next renewal says so.
                renew(cluster, one, time.unix())

    try:
        for place in wanted:
            held.append(_take(cluster, place, planned, replace(time, sleep=sleep), left))
        return tuple(held)
    except BaseException:
        # The answer that tells of one may have been lost.
        _withdraw(cluster, wanted, lambda there: run_of(there) == planned.run, time.sleep)
        raise


def renew(cluster: Cluster, held: Held, at_unix: float) -> None:
    """NotFoundError or ConflictError when it is not ours any more."""
    patch = {"spec": {"renewTime": stamp(at_unix)}}
    cluster.patch(KIND, held.place.name, patch, held.place.namespace, uid=held.uid)


def release(cluster: Cluster, held: Sequence[Held], sleep: Callable[[float], None]) -> None:
    """Lets them go."""
    uids = {one.uid for one in held}
    _withdraw(cluster, [one.place for one in held], lambda there: uid(there) in uids, sleep)


def _withdraw(
    cluster: Cluster, wanted: Sequence[Place], ours: Callable[[Raw], bool], sleep: Callable[[float], None]
) -> None:
    """Takes away those that are ours. One that cannot be for half a minute is silent by then: nothing is behind it."""
    left = RELEASE_WITHIN_S
    for place in wanted:
        while not _withdrawn(cluster, place, ours) and left > 0:
            sleep(AGAIN_S)
            left -= AGAIN_S


def _withdrawn(cluster: Cluster, place: Place, ours: Callable[[Raw], bool]) -> bool:
    """Whether it is gone, or was never ours to delete."""
    try:
        there = _there(cluster, place)
        if there is not None and ours(there):
            cluster.delete(KIND, place.name, place.namespace, uid=uid(there))
    except (NotFoundError, ForbiddenError):
        return True
    except PortError:
        return False
    return True


def _take(cluster: Cluster, place: Place, planned: Plan, time: Time, left: Callable[[str], bool]) -> Held:
    while True:
        try:
            return Held(place, uid(cluster.create(manifest(place, planned, time.unix()))))
        except (ConflictError, UnreachableError) as error:
            there = _there(cluster, place)
            if there is not None and run_of(there) == planned.run:  # The answer was lost, and the call made again.
                return Held(place, uid(there))
            if isinstance(error, UnreachableError):
                raise
        if there is not None:
            _outlive(cluster, place, there, time, left)


def _outlive(cluster: Cluster, place: Place, there: Raw, time: Time, left: Callable[[str], bool]) -> None:
    """Returns when the Lease is gone, or was silent and is taken away."""
    run, silence = run_of(there), Silence()
    while (life := silence.look([there], time.now())[run]) is Life.UNSURE:
        time.sleep(LOOK_EVERY_S)
        present = _there(cluster, place)
        if present is None or uid(present) != uid(there):
            return
        there = present
    if life is Life.UNDER_WAY:
        raise RefusedError(
            f"{place.what} is being tested by another run",
            why=_whose(there),
            fix=f"wait for its end; or undo what it did, which ends it: chaoskit heal {run}",
        )
    _await_janitor(place, there, time, left)
    with suppress(NotFoundError, ConflictError):
        cluster.delete(KIND, place.name, place.namespace, uid=uid(there))


def _await_janitor(place: Place, there: Raw, time: Time, left: Callable[[str], bool]) -> None:
    """Where there is a janitor, it begins at the moment at which we know that the run is silent, too."""
    run, deadline = run_of(there), time.now() + HEALED_WITHIN_S
    while left(run):
        if time.now() >= deadline:
            raise RefusedError(
                f"{place.what} is not as it was: a run ended there without putting everything back",
                why=_whose(there),
                fix=f"chaoskit heal {run}",
            )
        time.sleep(LOOK_EVERY_S)


def _there(cluster: Cluster, place: Place) -> Raw | None:
    with suppress(NotFoundError):
        return cluster.get(KIND, place.name, place.namespace)
    return None


def _whose(lease: Raw) -> str:
    since = str(lease["spec"].get("acquireTime", ""))[:19].replace("T", " ")
    return f"run {run_of(lease)} of {annotation(lease, WHO) or 'somebody'}, since {since} UTC"


def manifest(place: Place, planned: Plan, at_unix: float) -> Raw:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": place.name,
            "namespace": place.namespace,
            "labels": run_labels(planned.run),
            "annotations": {WHO: planned.who, EXPERIMENT: planned.experiment.name},
        },
        "spec": {
            "holderIdentity": planned.run,
            "leaseDurationSeconds": int(SILENT_AFTER_S),
            "acquireTime": stamp(at_unix),
            "renewTime": stamp(at_unix),
        },
    }


def stamp(at_unix: float) -> str:
    """As the API writes a MicroTime."""
    return datetime.fromtimestamp(at_unix, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# ── those of others ──────────────────────────────────────────────────────────────────────────────────────────────────


def found_in(cluster: Cluster, run: str = "", within: str = "") -> list[Raw]:
    """The Leases of runs, or of one; `within`, a namespace, asks for less rights than looking into all. Where it is not
    named, and its user may not look into all, those of one run are looked for where a run in a fresh namespace has
    them; where one that was there before is not named, healing itself has told so already."""
    found: list[Raw] = []
    for space in dict.fromkeys((within, SHARED)) if within else ("",):
        try:
            found += cluster.list(KIND, space, f"{MANAGED_BY}=chaoskit")
        except ForbiddenError:
            if not run:
                raise
            if not within:
                return found_in(cluster, run, SHARED)
    return [lease for lease in found if run_of(lease) and run in ("", run_of(lease))]


def lives(cluster: Cluster, time: Time, within: str = "") -> dict[str, Life]:
    """Of each run that holds a Lease, whether it is under way. Looks until that is sure, for 15 s at the most."""
    silence = Silence()
    while Life.UNSURE in (found := silence.look(found_in(cluster, within=within), time.now())).values():
        time.sleep(LOOK_EVERY_S)
    return found


def drop(cluster: Cluster, run: str, sleep: Callable[[float], None], within: str = "") -> None:
    """Takes a run's Leases away: all that it changed is put back. One that is under way all the same ends by that."""
    there = [(lease["metadata"], uid(lease)) for lease in found_in(cluster, run, within)]
    release(cluster, [Held(Place("", str(m["name"]), str(m["namespace"])), uid_) for m, uid_ in there], sleep)
