"""Switches a Service to other pods by its selector, as blue/green releases do, and switches it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from chaoskit import marks
from chaoskit.contracts import Action, Healed, Intent, RefField, Stage
from chaoskit.errors import UsageError
from chaoskit.model import Raw, Right, Target
from chaoskit.objects import Objects, labels, name, namespace, selects, uid
from chaoskit.ports import Cluster

SERVICE_LABEL = "kubernetes.io/service-name"


class SwitchService(Action):
    """Change labels of a Service's selector, so that it sends new connections to other pods."""

    verb: ClassVar[str] = "switch_service"
    annotates: ClassVar[tuple[str, ...]] = ("service",)

    of: RefField = Field(description="which one: service/NAME")
    to: dict[str, str] = Field(min_length=1, description="labels of its selector that change, as in {colour: green}")

    def rights(self, namespace: str) -> Sequence[Right]:
        return tuple(Right(verb, "", "services", namespace) for verb in ("get", "patch"))

    def candidates(self, objects: Objects, namespace: str) -> Sequence[Target]:
        found = objects.named("service", self.of.name, namespace) if self.of.kind == "service" else None
        if found is None:
            raise UsageError(
                f"there is no {self.of} that is a Service in namespace {namespace}",
                fix=f"kubectl get services -n {namespace}",
            )
        before = selector(found)
        if not before:
            raise UsageError(f"{self.of} has no selector", why="somebody else keeps its endpoints")
        prior = {"selector": {key: before.get(key) for key in self.to}}
        return (Target("service", name(found), namespace, uid(found), prior=prior),)

    def number(self, of: int) -> int:
        return 1

    def as_chosen(self, target: Target, present: Raw) -> bool:
        return _has(selector(present), target.prior["selector"])

    def perform(self, stage: Stage) -> None:
        (target,) = stage.targets
        stage.act(
            f"switch {target} to {', '.join(f'{key}={value}' for key, value in self.to.items())}",
            target,
            lambda: stage.cluster.patch("service", target.name, _body(self.to), target.namespace, uid=target.uid),
            change={"selector": self.to},
        )

    def landed(self, target: Target, objects: Objects) -> str:
        """The selector is the new one, and no pod that it does not select is among the endpoints any more."""
        service = objects.by_uid("service", target.uid)
        if service is None or not _has(selector(service), self.to):
            return ""
        there = {uid(p): p for p in objects.all("pod") if namespace(p) == target.namespace}
        listed = _listed(objects, target)
        if any(pod not in there or not selects(selector(service), labels(there[pod])) for pod in listed):
            return ""
        return f"its endpoints are {len(listed)} pods with the new labels" if listed else "it has no endpoint any more"

    def undo(self, target: Target) -> str:
        return _fix(target)

    @classmethod
    def heal(cls, cluster: Cluster, intent: Intent) -> Healed:
        wanted, prior = intent.change["selector"], intent.target.prior["selector"]
        return marks.restore(
            cluster,
            intent,
            ours=lambda o: _has(selector(o), wanted),
            back=lambda _: _body(prior),
            restored=lambda o: _has(selector(o), prior),
            fix=_fix(intent.target),
        )


def selector(service: Raw) -> Mapping[str, str]:
    found: Mapping[str, str] = service["spec"].get("selector") or {}
    return found


def _has(found: Mapping[str, str], wanted: Mapping[str, str | None]) -> bool:
    return all(found.get(key) == value for key, value in wanted.items())


def _listed(objects: Objects, service: Target) -> list[str]:
    """UIDs of all pods in the Service's slices, whether or not they are ready."""
    mine = [
        s
        for s in objects.all("endpointslice")
        if namespace(s) == service.namespace and labels(s).get(SERVICE_LABEL) == service.name
    ]
    endpoints = (endpoint for piece in mine for endpoint in piece.get("endpoints") or ())
    return [str((endpoint.get("targetRef") or {}).get("uid", "")) for endpoint in endpoints]


def _body(labels_: Mapping[str, str | None]) -> dict[str, Any]:
    return {"spec": {"selector": dict(labels_)}}


def _fix(service: Target) -> str:
    prior = service.prior["selector"].items()
    said = ",".join(f'"{key}":' + ("null" if value is None else f'"{value}"') for key, value in prior)
    patch = f'{{"spec":{{"selector":{{{said}}}}}}}'
    return f"kubectl patch {service} -n {service.namespace} --type merge -p '{patch}'"
