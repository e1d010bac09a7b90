"""Kills a container's first process, so that the kubelet restarts the container inside its pod.

Two facts shape it. From inside its own PID namespace a KILL to the first process is ignored by the kernel, so on the
embedded cluster it is sent from outside; elsewhere choose a signal that the process handles. And a container that was
killed before waits for the back-off (10, 20, 40 s …), so `restart` reports the restart count beside the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from chaoskit.actions.kill_pod import pods_as_targets
from chaoskit.contracts import Action, Count, RefField, Stage
from chaoskit.errors import NotFoundError
from chaoskit.model import Raw, Right, Target
from chaoskit.objects import Objects, container_status


class KillContainer(Action):
    """Kill the first process of a container; its pod stays."""

    verb: ClassVar[str] = "kill_container"

    of: RefField = Field(description="whose pods: deployment/NAME, statefulset/NAME, service/NAME … or pod/NAME")
    count: Count = Field(1, ge=1, description="in how many pods")
    container: str = Field("", description="which container; the first where nothing is said")
    signal: Literal["KILL", "TERM", "INT", "QUIT", "ABRT", "SEGV"] = Field("KILL", description="what is sent")

    def rights(self, namespace: str) -> Sequence[Right]:
        return (Right("get", "", "pods", namespace, "exec"), Right("create", "", "pods", namespace, "exec"))

    def candidates(self, objects: Objects, namespace: str) -> Sequence[Target]:
        found = []
        for target in pods_as_targets(self.of, objects, namespace):
            pod = objects.by_uid("pod", target.uid)
            prior = self._state(pod) if pod else None
            if prior:
                found.append(Target("pod", target.name, namespace, target.uid, target.node, prior))
        return found

    def number(self, of: int) -> int:
        return self.count

    def perform(self, stage: Stage) -> None:
        for target in stage.targets:
            stage.act(
                f"send {self.signal} to {self.container or 'container'} of {target}", target, self._send(stage, target)
            )

    def _send(self, stage: Stage, target: Target) -> Any:  # noqa: ANN401 - what the call returns is of no interest
        def send() -> None:
            pod = stage.objects.by_uid("pod", target.uid)
            if pod is None:
                raise NotFoundError(f"{target} is gone")
            stage.cluster.signal(pod, str(target.prior["container"]), self.signal)

        return send

    def landed(self, target: Target, objects: Objects) -> str:
        pod = objects.by_uid("pod", target.uid)
        state = self._state(pod) if pod else None
        if state is None or state["id"] == target.prior["id"]:
            status = container_status(pod, self.container) if pod else None
            gone = bool(status and "running" not in (status.get("state") or {}))
            return "the container ended" if gone or pod is None else ""
        return f"container {str(target.prior['id'])[-12:]} was replaced by {str(state['id'])[-12:]}"

    def _state(self, pod: Raw) -> dict[str, Any] | None:
        status = container_status(pod, self.container)
        if status is None or not status.get("containerID"):
            return None
        return {
            "container": status["name"],
            "id": status["containerID"],
            "restarts": int(status.get("restartCount", 0)),
        }

    def undo(self, target: Target) -> str:
        return f"nothing: the kubelet restarts the container in {target.name} as its restart policy says"
