"""The servers of the control side: etcd, API server, controller manager, scheduler, and the exporter and Prometheus."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chaoskit.cluster import network
from chaoskit.cluster.api import Api
from chaoskit.cluster.certificates import Authority, Pair, kubeconfig, signing_keys, write_pair, write_private
from chaoskit.cluster.profile import Profile
from chaoskit.cluster.state import Folder

API_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
API_ADDRESSES = ("localhost", "127.0.0.1", network.GATEWAY, network.SERVICE_API, *API_NAMES)
ETCD = "http://127.0.0.1:2379"  # Only the control side can reach this loopback.
ADMIN_GROUP = "system:masters"
# Users that are bound to roles of their own in addons/rights.yaml.
PROMETHEUS_USER = "chaoskit:prometheus"
STATE_METRICS_USER = "chaoskit:state-metrics"
KUBELET_CLIENT_USER = "chaoskit:api-server"
# How far a heap grows before it is collected: freely during the start and while a server uses more of a processor than
# this share, little otherwise (`servers/settle`). An idle kubelet uses 3 %, an idle API server as much.
MEMORY = {"GOGC": "200", "SETTLE_AFTER": "12s", "SETTLE_GOGC": "20", "SETTLE_BUSY": "0.042"}
# Histograms of the API server's inner life, which nobody asks for here: three quarters of the 3 MB that it would write
# at every scrape, once a second.
UNUSED_METRICS = (
    "apiserver_admission_controller_admission_duration_seconds",
    "apiserver_request_body_size_bytes",
    "apiserver_request_sli_duration_seconds",
    "apiserver_response_sizes",
    "apiserver_watch_cache_initialization_duration_seconds",
    "apiserver_watch_cache_read_wait_seconds",
    "apiserver_watch_events_dispatch_duration_seconds",
    "apiserver_watch_events_sizes",
    "apiserver_watch_list_duration_seconds",
    "etcd_request_duration_seconds",
    "informer_processing_latency_seconds",
    "workqueue_queue_duration_seconds",
    "workqueue_work_duration_seconds",
)


# The first rule that fits decides. Whoever is in `system:nodes` or a part of the platform asks all the time.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {
            "level": "None",
            "users": [
                "system:apiserver",
                "system:kube-controller-manager",
                "system:kube-scheduler",
                "system:kube-proxy",
                "system:anonymous",
                PROMETHEUS_USER,
                STATE_METRICS_USER,
            ],
        },
        {"level": "None", "userGroups": ["system:nodes", "system:serviceaccounts:kube-system"]},
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True)
class Server:
    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Keys:
    """What the supervisor itself needs of the keys it made."""

    authority: Authority
    admin: Pair


def make_keys(folder: Folder, api_port: int) -> Keys:
    """Write every key, certificate and kubeconfig of the control side."""
    authority, front = Authority("chaoskit"), Authority("chaoskit-front-proxy")
    keys, api = folder.keys, f"https://{network.GATEWAY}:{network.API_PORT}"
    root = authority.pair.certificate
    write_private(keys / "ca.crt", root)
    write_private(keys / "front-proxy-ca.crt", front.pair.certificate)
    write_pair(keys, "apiserver", authority.issue("kube-apiserver", addresses=API_ADDRESSES))
    write_pair(keys, "kubelet-client", authority.issue(KUBELET_CLIENT_USER))
    write_pair(keys, "prometheus", authority.issue(PROMETHEUS_USER))
    write_pair(keys, "front-proxy-client", front.issue("front-proxy-client"))
    private, public = signing_keys()
    write_private(keys / "sa.key", private)
    write_private(keys / "sa.pub", public)
    users = {
        "controller-manager": "system:kube-controller-manager",
        "scheduler": "system:kube-scheduler",
        "state-metrics": STATE_METRICS_USER,
        "prometheus": PROMETHEUS_USER,
    }
    for name, user in users.items():
        write_private(keys / f"{name}.kubeconfig", kubeconfig(api, root, name, authority.issue(user)))
    admin = authority.issue("chaoskit:admin", [ADMIN_GROUP])
    write_private(folder.kubeconfig_inside, kubeconfig(api, root, "admin", admin))
    outside = f"https://127.0.0.1:{api_port}"
    write_private(folder.kubeconfig, kubeconfig(outside, root, "admin", admin, name=context_name(folder.name)))
    return Keys(authority, admin)


def admin_api(folder: Folder, keys: Keys) -> Api:
    """The supervisor's own way to the API server."""
    write_pair(folder.keys, "admin", keys.admin)
    certificate, key = folder.keys / "admin.crt", folder.keys / "admin.key"
    return Api(network.GATEWAY, network.API_PORT, folder.keys / "ca.crt", certificate, key)


def context_name(cluster: str) -> str:
    return cluster if cluster == "chaoskit" else f"chaoskit-{cluster}"


def etcd(programs: Path, folder: Folder) -> Server:
    argv = (
        f"{programs}/etcd",
        f"--data-dir={folder.etcd}",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",  # The cluster does not outlive the machine's running, so nothing is lost with its power.
        "--snapshot-count=1000",  # So many entries of its log it keeps in memory.
        "--log-level=warn",
    )
    return Server("etcd", argv, MEMORY)


def auditing(folder: Folder) -> tuple[str, ...]:
    """The API server's flags to log every request of anybody but the platform's own parts, without its body."""
    policy = folder.keys / "audit.json"
    policy.write_text(json.dumps(AUDIT_POLICY))
    return (f"--audit-policy-file={policy}", f"--audit-log-path={folder.logs}/audit.log")


def api_server(
    programs: Path, folder: Folder, profile: Profile, *, store_prepared: bool, more: tuple[str, ...] = ()
) -> Server:
    """`store_prepared`: the store holds what an API server writes into a new one, a second after its start."""
    keys = folder.keys
    argv = (
        f"{programs}/kube-apiserver",
        f"--advertise-address={network.GATEWAY}",
        f"--bind-address={network.GATEWAY}",
        f"--secure-port={network.API_PORT}",
        f"--etcd-servers={ETCD}",
        f"--service-cluster-ip-range={network.SERVICE_NET}",
        f"--client-ca-file={keys}/ca.crt",
        f"--tls-cert-file={keys}/apiserver.crt",
        f"--tls-private-key-file={keys}/apiserver.key",
        f"--kubelet-certificate-authority={keys}/ca.crt",
        f"--kubelet-client-certificate={keys}/kubelet-client.crt",
        f"--kubelet-client-key={keys}/kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-key-file={keys}/sa.pub",
        f"--service-account-signing-key-file={keys}/sa.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--proxy-client-cert-file={keys}/front-proxy-client.crt",
        f"--proxy-client-key-file={keys}/front-proxy-client.key",
        "--enable-aggregator-routing",
        f"--requestheader-client-ca-file={keys}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged",
        f"--default-not-ready-toleration-seconds={profile.not_ready_toleration}",
        f"--default-unreachable-toleration-seconds={profile.unreachable_toleration}",
        f"--disabled-metrics={','.join(UNUSED_METRICS)}",
        "--profiling=false",
        f"--store-prepared={str(store_prepared).lower()}",
        *more,
    )
    return Server("kube-apiserver", argv, MEMORY | {"SETTLE_BUSY": "0.05"})


def controller_manager(programs: Path, folder: Folder, profile: Profile) -> Server:
    keys = folder.keys
    argv = (
        f"{programs}/kube-controller-manager",
        f"--kubeconfig={keys}/controller-manager.kubeconfig",
        f"--root-ca-file={keys}/ca.crt",
        f"--service-account-private-key-file={keys}/sa.key",
        "--use-service-account-credentials",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        f"--node-monitor-period={profile.node_monitor_period}s",
        f"--node-monitor-grace-period={profile.node_monitor_grace_period}s",
        f"--node-eviction-rate={1 / profile.node_eviction_interval}",
        f"--horizontal-pod-autoscaler-sync-period={profile.hpa_sync_period}s",
        f"--horizontal-pod-autoscaler-initial-readiness-delay={profile.hpa_initial_readiness_delay}s",
        f"--horizontal-pod-autoscaler-cpu-initialization-period={profile.hpa_cpu_initialization_period}s",
        f"--horizontal-pod-autoscaler-downscale-stabilization={profile.hpa_downscale_stabilization}s",
    )
    return Server("kube-controller-manager", argv, MEMORY)


def scheduler(programs: Path, folder: Folder) -> Server:
    argv = (
        f"{programs}/kube-scheduler",
        f"--kubeconfig={folder.keys}/scheduler.kubeconfig",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    )
    return Server("kube-scheduler", argv, MEMORY)
