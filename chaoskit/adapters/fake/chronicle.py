"""Events as `kubectl get events` shows them: what the scheduler and the kubelets say of pods."""

from __future__ import annotations

from chaoskit import objects
from chaoskit.adapters.fake.clock import FakeClock
from chaoskit.adapters.fake.store import Store
from chaoskit.adapters.kinds import KNOWN
from chaoskit.model import Raw


class Chronicle:
    """Writes events.k8s.io/v1 objects beside the pods that they concern."""

    def __init__(self, clock: FakeClock, store: Store) -> None:
        self._clock = clock
        self._store = store
        self._written = 0

    def write(self, pod: Raw, reason: str, note: str, *, by: str = "kubelet", warning: bool = False) -> None:
        """Nothing is written into a namespace that is being deleted."""
        namespace = objects.namespace(pod)
        holder = self._store.find("namespace", "", namespace)
        if holder is None or objects.terminating(holder):
            return
        self._written += 1
        stamp = self._clock.stamp()
        about = {"name": objects.name(pod), "namespace": namespace, "uid": objects.uid(pod)}
        self._store.create(
            {
                "apiVersion": KNOWN["event"].api_version,
                "kind": "Event",
                "metadata": {"name": f"{objects.name(pod)}.{self._written:016x}", "namespace": namespace},
                "regarding": {"apiVersion": "v1", "kind": "Pod", **about},
                "type": "Warning" if warning else "Normal",
                "reason": reason,
                "note": note,
                "reportingController": by,
                "eventTime": stamp,
                "deprecatedLastTimestamp": stamp,
                "deprecatedCount": 1,
            }
        )
