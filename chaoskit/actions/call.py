"""Asks pods for a path, so that an app's own fault endpoints (a crash, a hang, work for the CPU) are faults of a step.

The request goes through the API server to the pod itself, past its Service and past its readiness. What the endpoint
does is the app's own: chaoskit sees what comes of it (`until`), and cannot take it back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from chaoskit.actions.kill_pod import HowMany, how_many, pods_as_targets
from chaoskit.contracts import Action, Count, RefField, Stage
from chaoskit.errors import PortError
from chaoskit.model import Raw, Right, Target
from chaoskit.objects import Objects, container_status, ready

OK = range(200, 400)


class Call(Action):
    """Ask pods for a path through the API server, as for one that makes them crash, hang or work."""

    verb: ClassVar[str] = "call"

    of: RefField = Field(description="whose pods: deployment/NAME, statefulset/NAME, service/NAME … or pod/NAME")
    count: HowMany = Field(1, description="how many: a number, or a share as in 50%")
    path: str = Field(pattern=r"^/\S*$", description="what they are asked for, as in /crash?code=1")
    port: Count = Field(ge=1, le=65535, description="the port that the pod listens on")
    container: str = Field("", description="which container ends, for `until`; the first where nothing is said")
    until: Literal["answered", "not ready", "ended", "restarted"] = Field(
        "answered", description="what is to be seen of it: the answer, or what becomes of the pod or its container"
    )

    def rights(self, namespace: str) -> Sequence[Right]:
        return (Right("get", "", "pods", namespace, "proxy"),)

    def candidates(self, objects: Objects, namespace: str) -> Sequence[Target]:
        """Pods whose container runs: what is not there cannot answer."""
        found = []
        for target in pods_as_targets(self.of, objects, namespace):
            pod = objects.by_uid("pod", target.uid)
            prior = running(pod, self.container) if pod else None
            if prior:
                found.append(Target("pod", target.name, namespace, target.uid, target.node, prior))
        return found

    def number(self, of: int) -> int:
        return how_many(self.count, of)

    def perform(self, stage: Stage) -> None:
        for target in stage.targets:
            stage.act(f"ask {target} for {self.path}", target, self._ask(stage, target))

    def _ask(self, stage: Stage, target: Target) -> Callable[[], None]:
        def ask() -> None:
            try:
                status, body = stage.cluster.ask(target.name, target.namespace, self.path, self.port)
            except PortError as error:
                if self.until == "answered":
                    # Not even one that is only not known to have arrived may count as an answer.
                    raise PortError(error.what, where=error.where, why=error.why, fix=error.fix) from error
                stage.note(f"{target} gave no answer for {self.path}: {error.why or error.what}")
                return
            if status not in OK:
                raise PortError(f"{target} answered {status} for {self.path}", why=" ".join(body.split())[:200])

        return ask

    def landed(self, target: Target, objects: Objects) -> str:
        if self.until == "answered":
            return "the pod answered"
        pod = objects.by_uid("pod", target.uid)
        if pod is None:
            return "the pod is gone"
        if self.until == "not ready":
            return "" if ready(pod) else "the pod is not ready"
        now = running(pod, self.container)
        if now is not None and now["id"] != target.prior["id"]:
            return f"the container was restarted: {now['restarts']} times in all"
        return "the container ended" if now is None and self.until == "ended" else ""

    def undo(self, target: Target) -> str:
        return f"nothing: what {self.path} does to {target.name} ends as the app says"


def running(pod: Raw, container: str) -> dict[str, Any] | None:
    """The running container of a pod, as a target's prior state; None if it does not run."""
    status = container_status(pod, container)
    if status is None or "running" not in (status.get("state") or {}) or not status.get("containerID"):
        return None
    return {
        "container": status["name"],
        "id": status["containerID"],
        "restarts": int(status.get("restartCount", 0)),
    }
