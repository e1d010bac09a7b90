"""How fast the platform itself reacts: the timings that decide how long a node's death or a scaling decision takes.

The accelerated profile is the default, so that experiments take seconds; its numbers are recorded with the cluster, so
that a report can set a measured time beside the one to be expected. `--platform-defaults` leaves Kubernetes' own.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Profile:
    """Timings in seconds, named as in the flags and fields that they set."""

    name: str
    node_status_update_frequency: int
    node_lease_duration: int
    node_monitor_period: int
    node_monitor_grace_period: int
    node_eviction_interval: float
    """From one lost node of a zone until the pods of the next may be evicted: one over --node-eviction-rate.

    Never one second. While no node is ready, evictions are stopped by a limiter that says of itself that it lets one
    pass a second, so a limiter that really does is never put in its place, and no pod leaves a lost node any more
    (SwapLimiter, pkg/controller/nodelifecycle/scheduler; fakeNeverRateLimiter, client-go)."""
    not_ready_toleration: int
    unreachable_toleration: int
    hpa_sync_period: int
    hpa_initial_readiness_delay: int
    hpa_cpu_initialization_period: int
    hpa_downscale_stabilization: int
    crash_loop_back_off_max: int

    @property
    def timings(self) -> dict[str, float]:
        return {key: float(value) for key, value in asdict(self).items() if key != "name"}


# Kubernetes 1.37: cmd/kube-controller-manager/app/options, pkg/kubelet/apis/config/v1beta1/defaults.go,
# plugin/pkg/admission/defaulttolerationseconds.
PLATFORM_DEFAULTS = Profile(
    name="platform-defaults",
    node_status_update_frequency=10,
    node_lease_duration=40,
    node_monitor_period=5,
    node_monitor_grace_period=50,
    node_eviction_interval=10,
    not_ready_toleration=300,
    unreachable_toleration=300,
    hpa_sync_period=15,
    hpa_initial_readiness_delay=30,
    hpa_cpu_initialization_period=300,
    hpa_downscale_stabilization=300,
    crash_loop_back_off_max=300,
)

# The grace period is six renewals of the lease (one each quarter of its duration), where the defaults have five: a busy
# machine, or an API server that is away for some seconds, must not make living nodes look dead.
ACCELERATED = Profile(
    name="accelerated",
    node_status_update_frequency=4,
    node_lease_duration=8,
    node_monitor_period=1,
    node_monitor_grace_period=12,
    node_eviction_interval=0.5,
    not_ready_toleration=5,
    unreachable_toleration=5,
    hpa_sync_period=2,
    hpa_initial_readiness_delay=5,
    hpa_cpu_initialization_period=10,
    hpa_downscale_stabilization=30,
    crash_loop_back_off_max=10,
)


def named(name: str) -> Profile:
    return next(profile for profile in (ACCELERATED, PLATFORM_DEFAULTS) if profile.name == name)
