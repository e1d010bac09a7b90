"""What a Deployment does next with its ReplicaSets. Pure; after pkg/controller/deployment/{rolling,recreate}.go."""

from __future__ import annotations

from chaoskit.adapters.fake.status import conditions, share_of
from chaoskit.adapters.fake.store import Object
from chaoskit.model import Raw


def may_begin(deployment: Raw, old: list[Object], pods_left: int) -> bool:
    """Whether the set of a new template may be made: at once, but after all the old pods with `Recreate`."""
    return _strategy(deployment).get("type") != "Recreate" or not old or pods_left == 0 or not _wanted(deployment)


def steps(deployment: Raw, new: Object, old: list[Object]) -> list[tuple[Object, int]]:
    """The ReplicaSets whose size is to change now, and to what."""
    wanted = _wanted(deployment)
    if _strategy(deployment).get("type") == "Recreate":
        return [*((s, 0) for s in old if _size(s)), *([(new, wanted)] if _size(new) != wanted else [])]
    surge, unavailable = _bounds(deployment)
    grown = _grown(wanted, surge, _size(new), sum(map(_size, old)))
    if grown != _size(new):
        return [(new, grown)]
    return _shrunk(wanted - unavailable, new, old)


def _grown(wanted: int, surge: int, new: int, old: int) -> int:
    """The new set's size: up as far as the surge allows, down at once when fewer are wanted."""
    if new > wanted:
        return wanted
    return new + max(0, min(wanted + surge - new - old, wanted - new))


def _shrunk(least: int, new: Object, old: list[Object]) -> list[tuple[Object, int]]:
    """Takes from old sets what is not available first, then what the floor of available pods allows."""
    spare = _size(new) + sum(map(_size, old)) - least - max(0, _size(new) - _available(new))
    sizes = _taken(spare, [_size(s) for s in old], [_size(s) - _available(s) for s in old])
    spare = min(spare - sum(map(_size, old)) + sum(sizes), _available(new) + sum(map(_available, old)) - least)
    sizes = _taken(spare, sizes, sizes)
    return [(s, size) for s, size in zip(old, sizes, strict=True) if size != _size(s)]


def _taken(spare: int, sizes: list[int], most: list[int]) -> list[int]:
    """The sizes less `spare` in all, from the first on, and no more than `most` from each."""
    left = []
    for size, limit in zip(sizes, most, strict=True):
        gone = max(0, min(spare, limit))
        spare -= gone
        left.append(size - gone)
    return left


def status(deployment: Raw, new: Object | None, old: list[Object], stamp: str) -> Object:
    sets = [*old, *([new] if new is not None else [])]
    wanted, available = _wanted(deployment), sum(map(_available, sets))
    total, updated = sum(map(_counted, sets)), _counted(new) if new is not None else 0
    complete = updated == wanted == total == available
    held = {"Available": available >= wanted - _bounds(deployment)[1], "Progressing": True}
    reason = "NewReplicaSetAvailable" if complete else "ReplicaSetUpdated"
    found = conditions(deployment, held, stamp)
    return {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": total,
        "updatedReplicas": updated,
        "readyReplicas": available,
        "availableReplicas": available,
        "unavailableReplicas": max(0, wanted - available),
        "conditions": [{**c, "reason": reason} if c["type"] == "Progressing" else c for c in found],
    }


def _strategy(deployment: Raw) -> Raw:
    found: Raw = deployment["spec"].get("strategy") or {}
    return found


def _bounds(deployment: Raw) -> tuple[int, int]:
    """Surge and unavailable pods; where both come to 0, one may be unavailable (util/deployment_util.go)."""
    rolling, wanted = _strategy(deployment).get("rollingUpdate") or {}, _wanted(deployment)
    surge = share_of(rolling.get("maxSurge", "25%"), wanted, up=True)
    unavailable = share_of(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    return surge, unavailable if surge or unavailable else 1


def _wanted(deployment: Raw) -> int:
    return int(deployment["spec"].get("replicas", 1))


def _size(replicaset: Raw) -> int:
    return int(replicaset["spec"].get("replicas", 1))


def _counted(replicaset: Raw) -> int:
    return int(replicaset.get("status", {}).get("replicas", 0))


def _available(replicaset: Raw) -> int:
    return min(_size(replicaset), int(replicaset.get("status", {}).get("availableReplicas", 0)))
