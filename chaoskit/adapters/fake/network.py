"""The cluster's network: which pods a Service's new connections reach at this moment, and whether those answer."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable

from chaoskit import objects
from chaoskit.adapters.fake.clock import FakeClock
from chaoskit.adapters.fake.endpoints import SERVICE_LABEL, backends
from chaoskit.adapters.fake.kubelets import Kubelets
from chaoskit.adapters.fake.settings import Timings
from chaoskit.adapters.fake.store import Store
from chaoskit.model import Raw, Reached


class Reach(enum.Enum):
    """What happens to a packet sent to a pod."""

    SERVES = "serves"
    REFUSES = "refuses"
    """The pod is there, and nothing listens in it."""
    SILENT = "silent"
    """Nothing comes back: the pod's address is gone, or its node is off."""


class Network:
    """The nodes' forwarding rules, which follow the endpoint slices a little later."""

    def __init__(self, clock: FakeClock, store: Store, timings: Timings, kubelets: Kubelets) -> None:
        self._clock = clock
        self._store = store
        self._timings = timings
        self._kubelets = kubelets
        self._rules: dict[tuple[str, str], tuple[str, ...]] = {}
        self._turns = itertools.count()
        self.listeners: list[Callable[[], None]] = []
        """Called whenever a rule changed, or a process began or ceased to serve."""
        store.listeners.append(self._heard)
        kubelets.listeners.append(self.changed)

    def changed(self) -> None:
        for listener in self.listeners:
            listener()

    def service_at(self, host: str) -> tuple[str, str] | None:
        """Namespace and name of the Service that a host name or address leads to."""
        for service in reversed(self._store.all("service")):
            if host in _hosts(service):
                return objects.namespace(service), objects.name(service)
        return None

    def backends(self, namespace: str, service: str) -> tuple[str, ...]:
        """UIDs of the pods that new connections go to; empty: they are refused."""
        return self._rules.get((namespace, service), ())

    def connect(self, host: str, *, inside: bool) -> Reached:
        """One request by a connection of its own: to each ready pod in turn. Only a load balancer's address leads in
        from outside."""
        service = self.service_at(host)
        if service is None:
            return Reached(0, "", 0.0, "dns" if inside else "unreachable")
        if not inside and host not in self._balanced(*service):
            return Reached(0, "", 0.0, "unreachable")
        backends = self.backends(*service)
        if not backends:
            return Reached(0, "", 0.0, "refused")
        chosen = backends[next(self._turns) % len(backends)]
        if self.reach(chosen) is not Reach.SERVES:
            return Reached(0, "", 0.0, "refused" if self.reach(chosen) is Reach.REFUSES else "timeout")
        return Reached(200, self.answerer(chosen).split("|")[0], self._timings.call)

    def _balanced(self, namespace: str, service: str) -> tuple[str, ...]:
        found = self._store.find("service", namespace, service) or {}
        ingress = found.get("status", {}).get("loadBalancer", {}).get("ingress") or ()
        return tuple(str(i["ip"]) for i in ingress)

    def reach(self, uid: str) -> Reach:
        place = self._kubelets.place(uid)
        if place is None or self._kubelets.silent(place.node):
            return Reach.SILENT
        return Reach.SERVES if place.serves else Reach.REFUSES

    def answerer(self, uid: str) -> str:
        """What the pod says of itself: `pod|version|colour`."""
        place = self._kubelets.place(uid)
        if place is None:
            return ""
        environment = place.pod["spec"]["containers"][0].get("env") or ()
        said = {str(e["name"]).upper(): str(e.get("value", "")) for e in environment}
        version = next((value for key, value in said.items() if key.endswith("VERSION")), "1")
        colour = next((value for key, value in said.items() if key.endswith(("COLOUR", "COLOR"))), "blue")
        return f"{objects.name(place.pod)}|{version}|{colour}"

    def _heard(self, change: str, kind: str, o: Raw, old: Raw | None) -> None:
        if kind == "endpointslice":
            service = objects.labels(o).get(SERVICE_LABEL, "")
            self._clock.after(self._timings.proxy, lambda: self._follow(objects.namespace(o), service))

    def _follow(self, namespace: str, service: str) -> None:
        slices = self._store.all("endpointslice", namespace)
        self._rules[namespace, service] = backends(
            [s for s in slices if objects.labels(s).get(SERVICE_LABEL) == service]
        )
        self.changed()


def _hosts(service: Raw) -> tuple[str, ...]:
    name, namespace = objects.name(service), objects.namespace(service)
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or ()
    dns = (name, f"{name}.{namespace}", f"{name}.{namespace}.svc", f"{name}.{namespace}.svc.cluster.local")
    return (*dns, str(service["spec"].get("clusterIP", "")), *(str(i["ip"]) for i in ingress))
