"""Prometheus' configuration: which servers it asks, and which of their series it keeps.

The API server and the kubelets tell far more than experiments and dashboards ask for, and once a second it adds up.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chaoskit.cluster import network
from chaoskit.cluster.control_plane import MEMORY, Server
from chaoskit.cluster.state import Folder

RETENTION = "6h"
SCRAPE_INTERVAL = "1s"
# What these two tell of themselves is long (the API server: 1 MB), and no verdict rests on it.
LONGER_INTERVALS = {"kubelet": "5s", "apiserver": "2s"}

PROCESS = "process_(cpu_seconds_total|resident_memory_bytes|start_time_seconds)|go_goroutines"
KEPT = {
    "cadvisor": "container_(cpu_usage_seconds_total|cpu_cfs_(periods|throttled_periods|throttled_seconds)_total"
    "|memory_(working_set_bytes|rss|usage_bytes|cache)|oom_events_total|start_time_seconds|last_seen|processes"
    "|spec_(cpu_quota|cpu_period|memory_limit_bytes)|network_(receive|transmit)_(bytes|packets|packets_dropped|errors)_total"
    "|fs_(reads|writes)_bytes_total)|machine_(cpu_cores|memory_bytes)",
    "kubelet": "kubelet_(running_pods|running_containers|node_name|pleg_relist_duration_seconds_(sum|count)"
    "|pod_start_duration_seconds_(bucket|sum|count)|pod_worker_duration_seconds_(sum|count)|runtime_operations_(total|errors_total)"
    "|started_(containers|pods)(_errors)?_total|volume_stats_(available|capacity|used)_bytes|evictions)"
    f"|prober_probe_total|{PROCESS}",
    "apiserver": "apiserver_(request_total|request_duration_seconds_(bucket|sum|count)|current_inflight_requests"
    "|longrunning_requests|request_terminations_total|storage_objects)"
    f"|workqueue_(depth|adds_total)|{PROCESS}",
    "coredns": "coredns_(dns_requests_total|dns_responses_total|dns_request_duration_seconds_(bucket|sum|count)"
    "|panics_total|cache_(hits|misses|requests)_total|kubernetes_dns_programming_duration_seconds_(bucket|sum|count)"
    "|health_request_failures_total)"
    f"|{PROCESS}",
}


def prometheus(programs: Path, folder: Folder) -> Server:
    configuration = folder.path / "prometheus.yaml"
    configuration.write_text(json.dumps(scrape_configuration(folder), indent=1))
    argv = (
        f"{programs}/prometheus",
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder.prometheus}",
        f"--storage.tsdb.retention.time={RETENTION}",
        f"--web.listen-address={network.GATEWAY}:{network.PROMETHEUS_PORT}",
        "--log.level=warn",
    )
    return Server("prometheus", argv, {"GOGC": "30"})  # It does not know how to settle.


def state_metrics(programs: Path, folder: Folder) -> Server:
    argv = (
        f"{programs}/state-metrics",
        f"--kubeconfig={folder.keys}/state-metrics.kubeconfig",
        f"--listen-address=127.0.0.1:{network.STATE_METRICS_PORT}",
    )
    return Server("state-metrics", argv, MEMORY)


def scrape_configuration(folder: Folder) -> dict[str, Any]:
    return {
        "global": {
            "scrape_interval": SCRAPE_INTERVAL,
            "scrape_timeout": "900ms",
            "evaluation_interval": SCRAPE_INTERVAL,
        },
        "scrape_configs": [
            {
                **job,
                "scrape_interval": LONGER_INTERVALS.get(job["job_name"], SCRAPE_INTERVAL),
                # Nothing leaves the machine, so compressing would only cost time, twice.
                "enable_compression": False,
            }
            for job in _jobs(folder)
        ],
    }


def _jobs(folder: Folder) -> list[dict[str, Any]]:
    return [
        _pods(folder),
        _nodes(folder, "cadvisor", "/metrics/cadvisor"),
        _nodes(folder, "kubelet", "/metrics"),
        _api_server(folder),
        _dns(folder),
        _fixed("kube-state-metrics", f"127.0.0.1:{network.STATE_METRICS_PORT}", honor_labels=True),
        _fixed("chaoskit", f"{network.GATEWAY}:{network.PULSE_PORT}", honor_labels=True),
    ]


def _pods(folder: Folder) -> dict[str, Any]:
    """Every running pod that asks for it by annotation."""
    annotation = "__meta_kubernetes_pod_annotation_prometheus_io"
    return {
        "job_name": "pods",
        "kubernetes_sd_configs": [_discovery(folder, "pod")],
        "relabel_configs": [
            {"action": "keep", "source_labels": [f"{annotation}_scrape"], "regex": "true"},
            {"action": "drop", "source_labels": ["__meta_kubernetes_pod_phase"], "regex": "Pending|Succeeded|Failed"},
            # A pod is found once for each of its ports; with the same address and labels these become one target.
            {
                "source_labels": ["__meta_kubernetes_pod_ip", f"{annotation}_port"],
                "separator": ":",
                "regex": "(.+:[0-9]+)",
                "target_label": "__address__",
            },
            {"source_labels": [f"{annotation}_path"], "regex": "(.+)", "target_label": "__metrics_path__"},
            *_place_labels(),
            {"source_labels": ["__meta_kubernetes_pod_label_app_kubernetes_io_name"], "target_label": "app"},
        ],
    }


def _dns(folder: Folder) -> dict[str, Any]:
    return {
        "job_name": "coredns",
        "kubernetes_sd_configs": [{**_discovery(folder, "pod"), "namespaces": {"names": ["kube-system"]}}],
        "relabel_configs": [
            {"action": "keep", "source_labels": ["__meta_kubernetes_pod_label_k8s_app"], "regex": "kube-dns"},
            {"action": "keep", "source_labels": ["__meta_kubernetes_pod_container_port_name"], "regex": "metrics"},
            *_place_labels(),
        ],
        "metric_relabel_configs": _keep("coredns"),
    }


def _nodes(folder: Folder, job: str, path: str) -> dict[str, Any]:
    return {
        "job_name": job,
        "scheme": "https",
        "metrics_path": path,
        "honor_timestamps": False,  # cAdvisor's own times lag and hide that a container is gone.
        "tls_config": _identity(folder),
        "kubernetes_sd_configs": [_discovery(folder, "node")],
        "relabel_configs": [{"source_labels": ["__meta_kubernetes_node_name"], "target_label": "node"}],
        "metric_relabel_configs": _keep(job),
    }


def _api_server(folder: Folder) -> dict[str, Any]:
    return {
        **_fixed("apiserver", f"{network.GATEWAY}:{network.API_PORT}"),
        "scheme": "https",
        "tls_config": _identity(folder),
        "metric_relabel_configs": _keep("apiserver"),
    }


def _fixed(job: str, target: str, *, honor_labels: bool = False) -> dict[str, Any]:
    return {"job_name": job, "honor_labels": honor_labels, "static_configs": [{"targets": [target]}]}


def _place_labels() -> list[dict[str, Any]]:
    places = {"namespace": "namespace", "pod": "pod_name", "node": "pod_node_name"}
    return [
        {"source_labels": [f"__meta_kubernetes_{source}"], "target_label": target} for target, source in places.items()
    ]


def _discovery(folder: Folder, role: str) -> dict[str, Any]:
    return {"role": role, "kubeconfig_file": str(folder.keys / "prometheus.kubeconfig")}


def _identity(folder: Folder) -> dict[str, Any]:
    keys = folder.keys
    return {
        "ca_file": str(keys / "ca.crt"),
        "cert_file": str(keys / "prometheus.crt"),
        "key_file": str(keys / "prometheus.key"),
    }


def _keep(job: str) -> list[dict[str, Any]]:
    return [{"action": "keep", "source_labels": ["__name__"], "regex": KEPT[job]}]
