"""The four ports through which the engine acts on the world and learns of it: Cluster, Load, Metrics and Clock.

Each has a real adapter in `adapters/`, and all four a public in-memory double in `adapters/fake.py`.
Everything that happens elsewhere (watch events, the load's statuses, signals) arrives through `Clock.wait`,
so that the engine has one queue, one order of events, and one place where it waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from chaoskit.model import Answer, ClusterInfo, LoadStatus, Raw, Reached, Right, WatchEvent
from chaoskit.samples import Sample


@dataclass(frozen=True, slots=True)
class Signalled:
    """The user or the system asked chaoskit to stop (`name` as in SIGINT)."""

    name: str


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """The run's Lease is not its own any more: whoever took it away took the run for ended, and may have healed it."""

    why: str


Happening: TypeAlias = WatchEvent | LoadStatus | Signalled | LeaseLost
Post: TypeAlias = Callable[[Happening], None]


MachineOrder = Literal["power_off", "power_on", "freeze", "thaw", "unplug", "plug"]
"""What can befall a node's machine from outside: power, a standstill of all it runs, its network cable."""


ServerOrder = Literal["kill", "freeze", "thaw"]
"""What can befall a program of the platform. One that is killed is started again, as a kubelet would."""
MASTER_PORT = 5557
"""Of a Locust master: Locust's own default."""
LONGEST_FREEZE_S = 60.0
"""A frozen server goes on after this by itself, should nobody be left to thaw it."""
REACH_WITHIN_S = 8.0
"""For all requests of one command in a pod, and so for each: it ends within its deadline if the last one times out."""
CONTROL_SERVERS = ("etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager")
NODE_SERVERS = ("kubelet", "containerd")
"""Named with their node, as in `kubelet@node1`."""


class Clock(Protocol):
    """Time, and the one queue on which the engine waits."""

    def now(self) -> float:
        """Seconds since the run's origin, monotonic."""

    def unix(self, at: float) -> float:
        """The wall clock's time, in Unix seconds, that belongs to a moment of the run."""

    @property
    def origin_ns(self) -> int:
        """The run's origin on CLOCK_MONOTONIC."""

    def post(self, happening: Happening) -> None:
        """Hands something to the engine; from any thread."""

    def wait(self, timeout_s: float) -> Happening | None:
        """The next happening, or None when nothing came for `timeout_s`."""


class Provider(Protocol):
    """What only who made a cluster can do to it; the Cluster of such a cluster hands these calls on."""

    def signal(self, pod: Raw, container: str, name: str) -> None: ...

    def machine(self, node: str, order: MachineOrder) -> None: ...

    def server(self, name: str, order: ServerOrder, for_s: float = LONGEST_FREEZE_S) -> None: ...

    def inside(self, argv: Sequence[str]) -> Sequence[str]:
        """The command that runs `argv` where the users are: in the cluster's network, but on no node."""

    def ended(self) -> tuple[str, str] | None:
        """(why, what to type) once the cluster has ended, with everything on it; None while it lives."""


class Watching(Protocol):
    """A running watch."""

    def wait_synced(self, timeout_s: float) -> bool:
        """Whether the first listing of every kind has been delivered."""

    def close(self) -> None:
        """Ends it; no event is delivered afterwards."""


class Cluster(Protocol):
    """A Kubernetes cluster. Kinds are singular and in lower case: pod, node, deployment, persistentvolumeclaim.

    Every call has a deadline of its own (a few seconds) and raises a PortError: NotFoundError, ConflictError,
    ForbiddenError, BudgetError, or UnreachableError when it is not known whether it took effect.
    """

    def info(self) -> ClusterInfo: ...

    def get(self, kind: str, name: str, namespace: str = "") -> Raw: ...

    def list(self, kind: str, namespace: str = "", selector: str = "") -> Sequence[Raw]:
        """All objects of a kind, read in pages; of all namespaces where none is given."""

    def create(self, manifest: Raw, namespace: str = "") -> Raw:
        """Creates what must not be there yet; ConflictError if it is."""

    def apply(self, manifest: Raw, namespace: str = "") -> Raw:
        """Server-side apply as field manager `chaoskit`; any kind that the server knows. `namespace` fills in where the
        manifest names none."""

    def patch(self, kind: str, name: str, patch: Raw, namespace: str = "", *, uid: str = "") -> Raw:
        """JSON merge patch; with `uid`, ConflictError if the name belongs to another object now."""

    def delete(
        self, kind: str, name: str, namespace: str = "", *, uid: str = "", grace_s: int | None = None
    ) -> None: ...

    def evict(self, name: str, namespace: str, *, uid: str, grace_s: int | None = None) -> None:
        """The eviction API; BudgetError when a disruption budget refuses it for now."""

    def signal(self, pod: Raw, container: str, signal: str) -> None:
        """Sends a signal (`KILL`, `TERM`) to a container's first process. The embedded cluster does it from outside the
        container; elsewhere it runs `kill` inside, where the kernel ignores a KILL to the first process."""

    def machine(self, node: str, order: MachineOrder) -> None:
        """Does something to a node's machine, as only who made the machines can: UsageError on any other cluster.
        Idempotent: what is off already stays off."""

    def server(self, name: str, order: ServerOrder, for_s: float = LONGEST_FREEZE_S) -> None:
        """Kills, freezes or thaws a server of the platform, and returns when that is seen to be so: UsageError on any
        cluster that chaoskit did not make. One that is frozen goes on by itself after `for_s`."""

    def ask(self, pod: str, namespace: str, path: str, port: int, method: str = "GET") -> tuple[int, str]:
        """An HTTP request to a pod through the API server: status and body, whatever the status is. PortError if no
        answer came from the pod."""

    def reach(self, url: str, times: int, timeout_s: float, pod: Raw | None = None) -> Sequence[Reached]:
        """Asks an address so many times, each time by a connection of its own and for so long: from inside a pod, or
        from where the users are. PortError if it could not even be tried."""

    def ended(self) -> tuple[str, str] | None:
        """(why, what to type) once the cluster is known to have ended for good; None while it may live. Asks no API."""

    def allowed(self, right: Right) -> bool:
        """SelfSubjectAccessReview."""

    def logs(
        self, pod: str, namespace: str, container: str = "", *, previous: bool = False, lines: int = 20
    ) -> str: ...

    def watch(self, kinds: Sequence[str], namespace: str, post: Post) -> Watching:
        """Lists and watches each kind in the namespace (nodes: in the cluster); events are stamped on arrival."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What the load does. `target` is the base URL that both Locust and the pulse send to."""

    target: str
    folder: Path
    """Where the recordings go: `pulse.bin`, `locust.bin`, `locust-1.bin` and so on, and their names."""
    locustfile: Path | None
    """None: no Locust, only the pulse."""
    users: int
    spawn_rate: float
    pulse_path: str
    pulse_period_s: float
    pulse_timeout_s: float
    stop_after_s: float
    """The load ends by itself after this, whatever happened to its parent."""
    experiment: str
    run: str
    seed: int
    namespace: str = ""
    cluster: str = ""
    metrics_address: str = ""
    """host:port on which the pulse serves chaoskit's own metrics; empty: nowhere."""
    environment: Mapping[str, str] | None = None
    pods: Mapping[str, str] = field(default_factory=dict)
    """The pods in which the load's processes are to run, by whose each is; none: on this machine."""
    master_host: str = ""
    """Where the workers find their Locust master."""
    master_port: int = MASTER_PORT


class Load(Protocol):
    """Locust users and the pulse."""

    def start(self, plan: LoadPlan, origin_ns: int, post: Post) -> None:
        """Starts both; their statuses are posted about four times a second, the last with `done`.

        Raises UsageError if the locustfile does not import, PortError if a process does not start."""

    def recent(self) -> Sequence[Sample]:
        """The samples recorded since the last call, of all recordings."""

    def set_users(self, users: int, spawn_rate: float) -> None:
        """From now on so many Locust users, started or stopped at this rate a second."""

    def tell(self, kind: str, at: float, data: Mapping[str, Any]) -> None:
        """What the run has just journalled, for chaoskit's own metrics. Never waits, never raises."""

    def lost(self) -> str:
        """Why the load is not what was asked for (a process died), or empty."""

    def stop(self) -> None:
        """Ends all within 3 s and flushes the recordings. Idempotent; never raises."""


class Metrics(Protocol):
    """Prometheus. Nothing is raised: an answer that could not be had carries its error."""

    def instant(self, query: str, at_unix: float) -> Answer: ...

    def range(self, query: str, start_unix: float, end_unix: float, step_s: float) -> Answer: ...

    def scrape_interval(self) -> float:
        """The longest scrape interval of the jobs that matter, in seconds; 15 where the server does not tell."""
