"""Asks a Service by one of its ways in, and writes down who answered.

It breaks nothing: it is the look at a Service that a load, which knows one address, cannot give. The check `reached`
judges what was seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from chaoskit.actions.kill_pod import pods_as_targets
from chaoskit.contracts import LONGEST_CALL_S, Action, Count, RefField, Seconds, Stage
from chaoskit.errors import PortError, UsageError
from chaoskit.model import Raw, Reached, Right, Target
from chaoskit.objects import Objects, condition, name, ready, uid
from chaoskit.ports import REACH_WITHIN_S
from chaoskit.units import count

Way = Literal["load balancer", "node port", "cluster ip", "name"]
SEEN = "reach"
"""The kind of what it writes down."""
MOST_TIMES = 500


class Reach(Action):
    """Ask a Service by one of its ways in, each time by a new connection, and write down who answered."""

    verb: ClassVar[str] = "reach"

    of: RefField = Field(description="which one: service/NAME")
    by: Way = Field(description="its way in; a node port is asked on every node that is Ready")
    from_: RefField | None = Field(
        None,
        alias="from",
        description="from inside a pod of this workload; from where the users are where nothing is said",
    )
    times: Count = Field(30, ge=1, le=MOST_TIMES, description="how many requests (by node port: on each node)")
    path: str = Field("/", pattern=r"^/\S*$", description="what it is asked for")
    timeout: Seconds = Field(1.0, gt=0, le=REACH_WITHIN_S, description="so long each request may take")
    port: Count | None = Field(None, ge=1, le=65535, description="the Service's port; its first where nothing is said")

    @model_validator(mode="after")
    def _names_are_for_pods(self) -> Reach:
        if self.by == "name" and self.from_ is None:
            raise ValueError(
                "a name is known inside the cluster alone: say whose pods ask, as in from: deployment/front"
            )
        return self

    def rights(self, namespace: str) -> Sequence[Right]:
        if self.from_ is None:
            return ()
        return tuple(Right(verb, "", "pods", namespace, "exec") for verb in ("get", "create"))

    def candidates(self, objects: Objects, namespace: str) -> Sequence[Target]:
        service = objects.named("service", self.of.name, namespace) if self.of.kind == "service" else None
        if service is None:
            raise UsageError(
                f"there is no {self.of} that is a Service in namespace {namespace}",
                fix=f"kubectl get services -n {namespace}",
            )
        return (Target("service", name(service), namespace, uid(service)),)

    def number(self, of: int) -> int:
        return 1

    def longest_s(self, targets: int) -> float:
        return targets * (LONGEST_CALL_S + self.times * self.timeout)

    def perform(self, stage: Stage) -> None:
        (target,) = stage.targets
        whence = f" from a pod of {self.from_}" if self.from_ else ""
        what = f"ask {target} {count(self.times, 'time')} by its {self.by}{whence}"
        stage.act(what, target, lambda: self._ask(stage, target))

    def _ask(self, stage: Stage, target: Target) -> None:
        """What keeps it from asking at all is an error of the act: then nothing was seen."""
        pod = self._asking_pod(stage) if self.from_ else None
        for url, node in self._urls(stage, target):
            began = stage.now()
            found = stage.cluster.reach(url, self.times, self.timeout, pod)
            about = {"service": target.name, "by": self.by, "node": node, "from": name(pod) if pod else "", "url": url}
            stage.saw(SEEN, {**about, "began": began, "ended": stage.now(), **summed(found)})

    def _asking_pod(self, stage: Stage) -> Raw:
        assert self.from_ is not None  # noqa: S101 - the caller looked
        for target in pods_as_targets(self.from_, stage.objects, stage.namespace):
            pod = stage.objects.by_uid("pod", target.uid)
            if pod is not None and ready(pod):
                return pod
        raise PortError(f"no pod of {self.from_} is ready to ask from")

    def _urls(self, stage: Stage, target: Target) -> list[tuple[str, str]]:
        """(address, node) of each place to ask."""
        service = stage.objects.by_uid("service", target.uid)
        if service is None:
            raise PortError(f"{target} is gone")
        port = self._port(service)
        if self.by == "node port":
            return [(f"http://{a}:{_node_port(service, port)}{self.path}", n) for n, a in _nodes(stage.objects)]
        host = {
            "load balancer": _balancer(service),
            "cluster ip": str(service["spec"].get("clusterIP", "")),
            "name": target.name,
        }[self.by]
        if not host or host == "None":
            raise PortError(f"{target} has no {self.by}", fix=f"kubectl get {target} -n {target.namespace} -o yaml")
        return [(f"http://{host}:{port['port']}{self.path}", "")]

    def _port(self, service: Raw) -> Raw:
        ports = service["spec"].get("ports") or ()
        for port in ports:
            if self.port in (None, port["port"]):
                found: Raw = port
                return found
        raise PortError(f"{self.of} has no port {self.port or ''}".rstrip())

    def landed(self, target: Target, objects: Objects) -> str:
        return "it was asked"

    def undo(self, target: Target) -> str:
        return "nothing: asking changes nothing"


def summed(found: Sequence[Reached]) -> Mapping[str, Any]:
    """How many were asked, who answered well how often, and what else came back how often."""
    good = [r for r in found if 200 <= r.status < 400]
    bad = [r.error or f"status {r.status}" for r in found if r not in good]
    return {
        "asked": len(found),
        "answers": dict(sorted(Counter(r.who for r in good).items())),
        "failures": dict(sorted(Counter(bad).items())),
        "slowest_s": max((r.seconds for r in found), default=0.0),
    }


def _balancer(service: Raw) -> str:
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or [{}]
    return str(ingress[0].get("ip") or ingress[0].get("hostname") or "")


def _node_port(service: Raw, port: Raw) -> int:
    if not port.get("nodePort"):
        raise PortError(f"service/{name(service)} has no node port", why=f"its type is {service['spec'].get('type')}")
    return int(port["nodePort"])


def _nodes(objects: Objects) -> list[tuple[str, str]]:
    """(name, address) of the nodes that are Ready."""
    found = []
    for node in objects.all("node"):
        addresses = (node.get("status") or {}).get("addresses") or ()
        inner = next((str(a["address"]) for a in addresses if a["type"] == "InternalIP"), "")
        if inner and condition(node, "Ready"):
            found.append((name(node), inner))
    return found
