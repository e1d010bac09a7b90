"""Asks pods, again and again, what they find of a Service: by DNS, and by the variables of their environment.

It breaks nothing. The app has to offer it as the reference app's /discovery does (`dns`, `environment`, `used`); it is
asked through the API server, past its own Service. The check `discovered` judges what was seen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from chaoskit.actions.kill_pod import pods_as_targets
from chaoskit.contracts import LONGEST_CALL_S, Action, Count, RefField, Seconds, Stage
from chaoskit.errors import PortError, UsageError
from chaoskit.model import Right, Target
from chaoskit.objects import Objects, name, uid

SEEN = "look up"
"""The kind of what it writes down."""


class LookUp(Action):
    """Ask all pods of a workload, again and again, what they find of a Service by DNS and by their environment."""

    verb: ClassVar[str] = "look_up"

    of: RefField = Field(description="whose pods look: deployment/NAME, statefulset/NAME …")
    name: str = Field(min_length=1, description="the Service that they look for")
    for_: Seconds = Field(10.0, alias="for", gt=0, description="how long they are asked")
    every: Seconds = Field(0.5, gt=0, description="one look of each pod")
    path: str = Field("/discovery", pattern=r"^/\S*$", description="where the app tells what it finds")
    port: Count = Field(8080, ge=1, le=65535, description="the port that the pods listen on")

    def rights(self, namespace: str) -> Sequence[Right]:
        return (Right("get", "", "pods", namespace, "proxy"),)

    def candidates(self, objects: Objects, namespace: str) -> Sequence[Target]:
        """The workload as a whole: its pods may be replaced while they are asked."""
        found = objects.named(self.of.kind, self.of.name, namespace)
        if found is None:
            raise UsageError(f"there is no {self.of} in namespace {namespace}", fix=f"kubectl get all -n {namespace}")
        return (Target(self.of.kind, name(found), namespace, uid(found)),)

    def number(self, of: int) -> int:
        return 1

    def longest_s(self, targets: int) -> float:
        return super().longest_s(targets) + self.for_ + LONGEST_CALL_S

    def perform(self, stage: Stage) -> None:
        (target,) = stage.targets
        stage.act(f"ask the pods of {target} what they find of {self.name}", target, lambda: self._look(stage))

    def _look(self, stage: Stage) -> None:
        until = stage.now() + self.for_
        looked = 0
        while stage.now() < until:
            began = stage.now()
            looked += sum(self._ask(stage, pod) for pod in pods_as_targets(self.of, stage.objects, stage.namespace))
            stage.wait_until(lambda: False, max(0.0, began + self.every - stage.now()), f"what finds {self.name}")
        if not looked:
            raise PortError(f"no pod of {self.of} told what it finds", fix=f"ask one for {self.path} on {self.port}")

    def _ask(self, stage: Stage, pod: Target) -> bool:
        """Whether the pod told. One that is just starting or ending need not."""
        began = stage.now()
        try:
            status, body = stage.cluster.ask(pod.name, pod.namespace, f"{self.path}?name={self.name}", self.port)
            told = found_by(json.loads(body), self.name) if status == 200 else None
        except (PortError, ValueError):
            return False
        if told is None:
            return False
        about = {"pod": pod.name, "uid": pod.uid, "service": self.name}
        stage.saw(SEEN, {**about, "began": began, "ended": stage.now(), **told})
        return True

    def landed(self, target: Target, objects: Objects) -> str:
        return f"its pods told what they find of {self.name}"

    def undo(self, target: Target) -> str:
        return "nothing: looking changes nothing"


def found_by(said: Mapping[str, Any], service: str) -> dict[str, Any] | None:
    """What one look tells; None if it is not of the form that the reference app's /discovery has."""
    try:
        by_name = said["dns"][service]
        variable = f"{service.upper().replace('-', '_')}_SERVICE_HOST"
        return {
            "dns": [str(address) for address in by_name["addresses"]],
            "error": str(by_name.get("error", "")),
            "took_s": float(by_name.get("seconds", 0.0)),
            "environment": str(said["environment"].get(variable, "")),
            "used": "environment" if said["used"]["by"] == "env" else "dns",
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
