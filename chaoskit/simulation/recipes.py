"""Steps at random: for each action one recipe, that draws its keys as experiments write them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaoskit.ports import CONTROL_SERVERS, NODE_SERVERS


@dataclass(frozen=True, slots=True)
class Ground:
    """What a recipe may name."""

    rng: random.Random
    nodes: Sequence[str]
    zones: Sequence[str]
    earlier: Sequence[tuple[str, str]]
    """(name, verb) of the steps before this one."""

    def workload(self) -> str:
        return self.rng.choice(("deployment/front", "deployment/front", "statefulset/store"))

    def pods(self) -> str:
        return self.rng.choice(("deployment/front", "service/front", "statefulset/store"))

    def number(self) -> int | str:
        return self.rng.choice((1, 1, 1, 2, 3, "34%", "50%", "100%"))

    def before(self, *verbs: str) -> str | None:
        """An earlier step of one of these actions, or of any."""
        found = [name for name, verb in self.earlier if not verbs or verb in verbs]
        return self.rng.choice(found) if found else None


Keys = dict[str, Any]
Recipe = Callable[[Ground], Keys | None]
"""The keys of a step; None where no such step can be taken here."""


def kill_pod(ground: Ground) -> Keys:
    rng = ground.rng
    if rng.random() < 0.1:
        return {"of": "deployment/dns", "namespace": "kube-system"}
    keys: Keys = {"of": ground.pods(), "count": ground.number(), "mode": rng.choice(("delete", "evict", "now"))}
    return keys | ({"grace": "1s"} if rng.random() < 0.3 else {})


def kill_container(ground: Ground) -> Keys:
    rng = ground.rng
    return {"of": ground.pods(), "count": rng.choice((1, 1, 2)), "signal": rng.choice(("KILL", "TERM"))}


def call(ground: Ground) -> Keys:
    path, until = ground.rng.choice((("/crash", "restarted"), ("/crash", "ended"), ("/work", "answered")))
    return {"of": ground.pods(), "count": ground.number(), "path": path, "port": 8080, "until": until}


def nodes(ground: Ground) -> Keys:
    keys = ground.rng.choice(
        (
            {"name": ground.rng.choice(ground.nodes)},
            {"of": ground.workload()},
            {"zone": ground.rng.choice(ground.zones)},
        )
    )
    return {**keys, "count": ground.number()} if "name" not in keys else {**keys}


def drain_node(ground: Ground) -> Keys:
    return {**nodes(ground), "within": ground.rng.choice(("500ms", "3s"))}


def scale(ground: Ground) -> Keys:
    return {"of": ground.workload(), "to": ground.rng.randint(0, 5)}


def roll_out(ground: Ground) -> Keys:
    change: Keys = ground.rng.choice(
        (
            {"image": "localhost/front:2"},
            {"env": {"VERSION": "2"}},
            {"env": {"VERSION": None}},
            {"patch": {"metadata": {"labels": {"release": "b"}}}},
            {"patch": {"spec": {"terminationGracePeriodSeconds": 5}}, "image": "localhost/front:3"},
        )
    )
    return {"of": "deployment/front", **change}


def roll_back(ground: Ground) -> Keys | None:
    before = ground.before("roll_out")
    return {"of": "deployment/front", "before": before} if before else None


def undo(ground: Ground) -> Keys | None:
    before = ground.before()
    return {"of": before} if before else None


def switch_service(ground: Ground) -> Keys:
    to = ground.rng.choice(({"colour": "green"}, {"app.kubernetes.io/name": "store"}, {"app.kubernetes.io/name": "x"}))
    return {"of": "service/front", "to": to}


def recreate_service(_ground: Ground) -> Keys:
    return {"of": "service/front"}


def change_load(ground: Ground) -> Keys:
    return {"users": ground.rng.randint(0, 4), "over": ground.rng.choice(("0s", "500ms"))}


def look_up(_ground: Ground) -> Keys:
    return {"of": "deployment/front", "name": "front", "for": "500ms", "every": "250ms"}


def reach(ground: Ground) -> Keys:
    keys = ground.rng.choice(({"by": "load balancer"}, {"by": "name", "from": "deployment/front"}))
    return {"of": "service/front", "times": 3, **keys}


def a_server(ground: Ground) -> Keys:
    on_node = f"{ground.rng.choice(NODE_SERVERS)}@{ground.rng.choice(ground.nodes)}"
    return {"of": ground.rng.choice((*CONTROL_SERVERS, on_node))}


def freeze_server(ground: Ground) -> Keys:
    return {**a_server(ground), "for": ground.rng.choice(("1s", "20s"))}


RECIPES: Mapping[str, Recipe] = {
    "kill_pod": kill_pod,
    "kill_container": kill_container,
    "call": call,
    "cordon_node": nodes,
    "drain_node": drain_node,
    "power_off_node": nodes,
    "freeze_node": nodes,
    "unplug_node": nodes,
    "scale": scale,
    "roll_out": roll_out,
    "roll_back": roll_back,
    "undo": undo,
    "switch_service": switch_service,
    "recreate_service": recreate_service,
    "change_load": change_load,
    "look_up": look_up,
    "reach": reach,
    "kill_server": a_server,
    "freeze_server": freeze_server,
}
"""By verb. A test holds it to be all that are registered."""
