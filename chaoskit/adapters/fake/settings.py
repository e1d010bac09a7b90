"""How long the parts of the simulated cluster take, and how the processes in its containers behave."""

from __future__ import annotations

from dataclasses import dataclass

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Timings:
    """Delays in seconds. The defaults are those of a small cluster with a fast kubelet; each is stretched at random
    by up to `jitter` (a share), except where an order of events hangs on it."""

    call: float = 0.002
    """One call of the API."""
    call_deadline: float = 5.0
    """How long a call whose answer is lost keeps its caller waiting."""
    refused: float = 0.05
    """How long a call takes to fail while the API is away."""
    api_start: float = 4.0
    """From the end of an API server until the next one answers."""
    watch: float = 0.004
    """From a change to its event."""
    reconcile: float = 0.02
    """A controller's answer to a change."""
    schedule: float = 0.02
    start: float = 0.7
    """From a pod's arrival at its node until its containers run."""
    boot: float = 0.4
    """From a container's start until its process serves; a Behaviour may say otherwise."""
    probe: float = 1.0
    """The period of readiness probes where the pod's own says nothing."""
    notice: float = 0.3
    """From a process's end until the kubelet knows."""
    restart: float = 0.3
    """From the kubelet's knowledge of an end to the next container, back-off apart."""
    stop: float = 0.4
    """What a process takes to end after TERM; a Behaviour may say otherwise."""
    kill: float = 0.05
    """From the order to end at once until the process is dead."""
    endpoints: float = 0.05
    """From a change of a pod to that of the endpoint slice."""
    proxy: float = 0.1
    """From a change of an endpoint slice until the nodes' rules follow."""
    back_off: float = 10.0
    """CrashLoopBackOff: the second restart waits this long, each one after it twice as long."""
    back_off_most: float = 300.0
    node_grace: float = 40.0
    """From a node's silence until it is marked NotReady (--node-monitor-grace-period)."""
    node_start: float = 5.0
    """From power on until its kubelet reports."""
    toleration: float = 300.0
    """How long pods stay on a node that does not answer, where they do not say so themselves."""
    jitter: float = 0.2


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the process of a pod's containers behaves. What is None follows the cluster's timings."""

    boot_s: float | None = None
    stop_s: float | None = None
    """NEVER: it ignores TERM, and ends by KILL when its grace is over."""
    ready: bool = True
    """False: its readiness probe never passes."""
    image: str = ""
    """Why the image cannot be had, in the kubelet's words (`ErrImagePull`); empty: it can."""
    crash_after_s: float | None = None
    """It ends by itself, with exit code 1, this long after its start."""
