"""Rolls out a new version of a Deployment: another image, other environment variables, or any part of its pod template.

Undone by putting back what the step changed, and nothing beside it; whoever changed the same meanwhile is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, model_validator

from chaoskit import marks, templates
from chaoskit.contracts import Action, Healed, Intent, RefField, Stage
from chaoskit.errors import PortError, UsageError
from chaoskit.model import Raw, Right, Target
from chaoskit.objects import Objects, annotation, name, uid
from chaoskit.ports import Cluster

REVISION = "deployment.kubernetes.io/revision"
"""The Deployment controller counts its templates here (pkg/controller/deployment/util, RevisionAnnotation)."""


class RollOut(Action):
    """Change a Deployment's pod template, which begins a rollout."""

    verb: ClassVar[str] = "roll_out"
    annotates: ClassVar[tuple[str, ...]] = ("deployment",)

    of: RefField = Field(description="which one: deployment/NAME")
    image: str = Field("", description="the container's new image")
    env: dict[str, str | None] = Field({}, description="environment variables to set; null takes one away")
    container: str = Field("", description="whose image and env; the first container where nothing is said")
    patch: dict[str, Any] = Field({}, description="merged into the pod template; lists of named things by their name")

    @model_validator(mode="after")
    def _changes_something(self) -> RollOut:
        if not (self.image or self.env or self.patch):
            raise ValueError("say what changes: image, env or patch")
        return self

    def rights(self, namespace: str) -> Sequence[Right]:
        return tuple(Right(verb, "apps", "deployments", namespace) for verb in ("get", "patch"))

    def candidates(self, objects: Objects, namespace: str) -> Sequence[Target]:
        found = deployment(self.of, objects, namespace)
        prior = {**progress(found), "template": templates.inverse(template(found), self._whole_patch(found))}
        return (Target("deployment", name(found), namespace, uid(found), prior=prior),)

    def number(self, of: int) -> int:
        return 1

    def _whole_patch(self, found: Raw) -> dict[str, Any]:
        """All that changes, as one patch of the template."""
        containers = template(found)["spec"]["containers"]
        chosen = self.container or containers[0]["name"]
        if chosen not in {c["name"] for c in containers}:
            raise UsageError(
                f"{self.of} has no container called {chosen!r}",
                fix=f"name one of {', '.join(c['name'] for c in containers)}",
            )
        change: dict[str, Any] = {"name": chosen}
        if self.image:
            change["image"] = self.image
        if self.env:
            change["env"] = [_variable(key, value) for key, value in self.env.items()]
        if len(change) == 1:
            return self.patch
        return dict(templates.both({"spec": {"containers": [change]}}, self.patch))

    def as_chosen(self, target: Target, present: Raw) -> bool:
        prior = templates.inverse(template(present), self._whole_patch(present))
        return bool(prior == target.prior["template"])

    def perform(self, stage: Stage) -> None:
        (target,) = stage.targets
        patch = self._whole_patch(deployment(self.of, stage.objects, stage.namespace))
        stage.act(
            f"roll out a new template of {target}",
            target,
            lambda: _apply(stage.cluster, target, patch),
            change={"template": patch},
        )

    def landed(self, target: Target, objects: Objects) -> str:
        return rollout_begun(target, objects)

    def undo(self, target: Target) -> str:
        return f"kubectl rollout undo {target} -n {target.namespace}"

    @classmethod
    def heal(cls, cluster: Cluster, intent: Intent) -> Healed:
        target = intent.target
        patch, back = intent.change["template"], target.prior["template"]
        return marks.restore(
            cluster,
            intent,
            ours=lambda o: templates.applied(template(o), patch),
            back=lambda o: _body(o, back),
            restored=lambda o: templates.applied(template(o), back),
            fix=f"kubectl rollout undo {target} -n {target.namespace}",
        )


def deployment(of: RefField, objects: Objects, namespace: str) -> Raw:
    """The Deployment of that name. UsageError if it is none, or not there."""
    if of.kind != "deployment":
        raise UsageError(f"{of} is no Deployment", fix="name it as deployment/NAME")
    found = objects.named("deployment", of.name, namespace)
    if found is None:
        raise UsageError(f"there is no {of} in namespace {namespace}", fix=f"kubectl get deployments -n {namespace}")
    return found


def template(o: Raw) -> Mapping[str, Any]:
    found: Mapping[str, Any] = o["spec"]["template"]
    return found


def progress(o: Raw) -> dict[str, Any]:
    """What tells later that a rollout began since."""
    return {"revision": annotation(o, REVISION), "generation": int(o["metadata"].get("generation", 0))}


def rollout_begun(target: Target, objects: Objects) -> str:
    """How the controller is seen to have taken up a new template. With the strategy Recreate it makes the new set only
    when all the old pods have ended, but counts none of them as up to date at once."""
    found = objects.by_uid("deployment", target.uid)
    if found is None:
        return ""
    status, revision = found.get("status") or {}, annotation(found, REVISION)
    if int(status.get("observedGeneration", 0)) <= target.prior["generation"]:
        return ""
    if revision != target.prior["revision"]:
        return f"revision {revision} is being rolled out"
    behind = int(status.get("updatedReplicas", 0)) < int(found["spec"].get("replicas", 1))
    return "the old pods are being ended" if behind else ""


def _variable(key: str, value: str | None) -> dict[str, Any]:
    """A variable that took its value from elsewhere does so no more."""
    if value is None:
        return {"name": key, templates.DELETE: "delete"}
    return {"name": key, "value": value, "valueFrom": None}


def _body(o: Raw, patch: Mapping[str, Any]) -> dict[str, Any]:
    return {"spec": {"template": templates.difference(template(o), templates.merge(template(o), patch))}}


def _apply(cluster: Cluster, target: Target, patch: Mapping[str, Any]) -> None:
    """Writes the patch, and looks whether the server kept it as written: else healing could not know it again."""
    where = (target.kind, target.name, target.namespace, target.uid)

    def new(present: Raw) -> dict[str, Any]:
        if templates.inverse(template(present), patch) != target.prior["template"]:
            raise PortError(f"somebody changed {target} just now")
        return _body(present, patch)

    after = marks.change(cluster, *where, new)
    if not templates.applied(template(after), patch):
        marks.change(cluster, *where, lambda o: _body(o, target.prior["template"]))
        raise PortError(
            f"{target} was not changed",
            why="the server keeps the patch otherwise than it is written, so it could not be told apart from others'",
            fix="write its values as kubectl get shows them",
        )
