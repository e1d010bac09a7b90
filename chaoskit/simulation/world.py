"""The world of a scenario: a cluster of the public fake, with the app on it, bystanders that must never be hit, and the
trouble on its agenda."""

from __future__ import annotations

import functools
import json

from chaoskit import objects
from chaoskit.adapters.fake import FakeWorld, Timings, manifests
from chaoskit.model import OPT_IN_LABEL, PROTECT_ANNOTATION, Raw
from chaoskit.ports import Signalled
from chaoskit.simulation.scenario import Scenario, Shop, Trouble

NAMESPACE = "shop"
QUICK = Timings(
    call_deadline=1.0,
    refused=0.02,
    api_start=1.0,
    start=0.1,
    boot=0.05,
    notice=0.05,
    restart=0.05,
    stop=0.1,
    back_off=0.5,
    back_off_most=2.0,
    node_grace=1.0,
    node_start=0.5,
    toleration=2.0,
)
"""Everything happens, and soon: a run is simulated for what chaoskit does, not for how long Kubernetes takes."""
SETTLED_WITHIN_S = 30.0


def build(made: Scenario) -> FakeWorld:
    """The world before the run, come to rest."""
    shop = made.shop
    world = FakeWorld(made.seed, nodes=[f"node{i + 1}" for i in range(shop.nodes)], timings=QUICK)
    _prepare_nodes(world, shop)
    for space in ("kube-system", "elsewhere"):
        if space == "elsewhere":
            world.cluster.create(manifests.namespace(space, {OPT_IN_LABEL: "true"}))
        world.cluster.create(manifests.deployment("dns" if space == "kube-system" else "front", 2, probe=False), space)
    world.cluster.create(manifests.service("front"), "elsewhere")
    if not shop.fresh:
        world.cluster.create(manifests.namespace(NAMESPACE, {OPT_IN_LABEL: "true"}))
        for manifest in app(shop):
            world.cluster.create(manifest, NAMESPACE)
    world.cluster.reply("/crash", functools.partial(_crash, world))
    world.cluster.reply("/discovery", _discovery)
    world.clock.advance_until(lambda: _at_rest(world), SETTLED_WITHIN_S)
    world.clock.advance(0.2)
    return world


def app(shop: Shop) -> tuple[Raw, ...]:
    """What is deployed: pods that users reach, pods with an order, and a budget."""
    front, store = _Fast(shop).deployment(), _Fast(shop).statefulset()
    found: list[Raw] = [front, manifests.service("front", kind="LoadBalancer"), store]
    if shop.budget is not None:
        found.append(manifests.budget("front", minAvailable=shop.budget))
    return tuple(found)


class _Fast:
    """Workloads of the shop."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def deployment(self) -> Raw:
        made = manifests.deployment("front", self._shop.fronts, probe=self._shop.probed)
        template = made["spec"]["template"]
        template["spec"]["containers"][0]["env"] = [{"name": "VERSION", "value": "1"}]
        template["spec"]["terminationGracePeriodSeconds"] = 2
        if self._shop.protected_pods:
            template["metadata"]["annotations"] = {PROTECT_ANNOTATION: "yes"}
        return made

    def statefulset(self) -> Raw:
        return manifests.statefulset("store", self._shop.stores, probe=self._shop.probed)


def trouble(world: FakeWorld, wanted: Trouble) -> None:
    """Puts on the world's agenda what goes wrong from now on."""
    began, clock = world.clock.now(), world.clock
    world.cluster.trouble.chances = dict(wanted.chances)
    world.cluster.trouble.away_s = wanted.away_s
    for moment, seconds in wanted.gaps:
        clock.at(began + moment, functools.partial(world.cluster.gap, seconds))
    for moment, seconds in wanted.jumps:
        clock.at(began + moment, functools.partial(clock.jump, seconds))
    for moment, name in wanted.signals:
        clock.at(began + moment, Signalled(name))


def calm(world: FakeWorld) -> None:
    """Nothing more goes wrong, and what is away comes back."""
    world.cluster.trouble.chances = {}
    world.clock.advance_until(lambda: not world.cluster.trouble.is_away(world.clock.now()), 600.0)


def _prepare_nodes(world: FakeWorld, shop: Shop) -> None:
    for node in shop.cordoned:
        world.cluster.patch("node", node, {"spec": {"unschedulable": True}})
    for node in shop.protected:
        world.cluster.patch("node", node, {"metadata": {"annotations": {PROTECT_ANNOTATION: "yes"}}})
    for node in shop.control:
        world.cluster.patch("node", node, {"metadata": {"labels": {objects.CONTROL_PLANE_LABEL: ""}}})


def _at_rest(world: FakeWorld) -> bool:
    pods = world.cluster.there("pod")
    owners = [o for kind in ("deployment", "statefulset") for o in world.cluster.there(kind)]
    return len(pods) == sum(int(o["spec"]["replicas"]) for o in owners) and all(map(objects.ready, pods))


def _crash(world: FakeWorld, pod: Raw) -> tuple[int, str]:
    world.cluster.end(pod, 1)
    return 200, ""


def _discovery(_pod: Raw) -> tuple[int, str]:
    told = {"dns": {"front": {"addresses": ["10.96.0.9"]}}, "environment": {}, "used": {"by": "dns"}}
    return 200, json.dumps(told)
