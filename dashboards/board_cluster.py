"""The dashboard of the cluster under test: nodes, pods, and the platform's own servers."""

from __future__ import annotations

from board_run import MARKS, VARIABLES
from parts import CLUSTER, GREEN, RED, YELLOW, Board, Panel, Query, Row, Variable, most, quantile, rate, series, total

NAMESPACE = 'namespace=~"$namespace"'
CONTAINER = 'container!=""'
NO_WATCH = 'verb!~"WATCH|CONNECT"'
POD = "namespace, pod"
OF_POD = "{{namespace}} {{pod}}"
OF_NODE = "{{node}}"
READY = {"0": ("not ready", RED), "1": ("ready", GREEN)}
CORDONED = {"0": ("takes pods", GREEN), "1": ("cordoned", YELLOW)}


def here(name: str, *matchers: str) -> str:
    return series(name, CLUSTER, *matchers)


def pods(name: str, *matchers: str) -> str:
    return here(name, NAMESPACE, *matchers)


def rate_here(name: str, *matchers: str) -> str:
    return rate(name, CLUSTER, *matchers)


NODES = Row(
    "Nodes",
    (
        Panel(
            "Ready",
            "Whether each node is ready, as the control plane sees it: it notices a dead one after a grace period.",
            "cluster.md#timings",
            "none",
            (Query(most(here("kube_node_status_condition", 'condition="Ready"', 'status="true"'), "node"), OF_NODE),),
            kind="states",
            height=6,
            shown=READY,
        ),
        Panel(
            "Cordoned",
            "Whether new pods are scheduled onto each node.",
            "actions.md#cordon_node",
            "none",
            (Query(most(here("kube_node_spec_unschedulable"), "node"), OF_NODE),),
            kind="states",
            height=6,
            shown=CORDONED,
        ),
        Panel(
            "Pods by node",
            "How many pods each kubelet runs.",
            "checks.md#spread",
            "none",
            (Query(total(here("kubelet_running_pods"), "node"), OF_NODE),),
            kind="stack",
            width=8,
        ),
        Panel(
            "Processor by node",
            "Cores that the containers on each node use.",
            "cluster.md#what-runs-where",
            "none",
            (Query(total(rate_here("container_cpu_usage_seconds_total", CONTAINER), "node"), OF_NODE),),
            kind="stack",
            width=8,
        ),
        Panel(
            "Memory by node",
            "What the containers on each node hold and cannot give back.",
            "cluster.md#what-runs-where",
            "bytes",
            (Query(total(here("container_memory_working_set_bytes", CONTAINER), "node"), OF_NODE),),
            kind="stack",
            width=8,
        ),
    ),
)

PODS = Row(
    "Pods",
    (
        Panel(
            "Pods by phase",
            "Pending pods wait for a node, an image or a volume.",
            "checks.md#recovery",
            "none",
            (Query(total(pods("kube_pod_status_phase"), "phase"), "{{phase}}"),),
            kind="stack",
        ),
        Panel(
            "Replicas that are missing",
            "What each Deployment asks for and does not have ready.",
            "checks.md#rollout",
            "none",
            (
                Query(
                    f"{most(pods('kube_deployment_spec_replicas'), 'namespace, deployment')}"
                    f" - {most(pods('kube_deployment_status_replicas_ready'), 'namespace, deployment')}",
                    "{{namespace}} {{deployment}}",
                ),
            ),
        ),
        Panel(
            "Restarts",
            "How often the containers of each pod were started again since it began.",
            "checks.md#back_off",
            "none",
            (
                Query(
                    total(pods("kube_pod_container_status_restarts_total"), f"{POD}, container"),
                    "{{namespace}} {{pod}} {{container}}",
                ),
            ),
        ),
        Panel(
            "Memory of pods",
            "What each pod holds and cannot give back: at its limit a container is killed.",
            "checks.md#restart",
            "bytes",
            (Query(total(pods("container_memory_working_set_bytes", CONTAINER), POD), OF_POD),),
        ),
        Panel(
            "Throttled",
            "The share of its periods in which a container with a limit was kept waiting for its processor.",
            "checks.md#autoscale",
            "percentunit",
            (
                Query(
                    f"{total(rate_here('container_cpu_cfs_throttled_periods_total', NAMESPACE), POD)}"
                    f" / {total(rate_here('container_cpu_cfs_periods_total', NAMESPACE), POD)}",
                    OF_POD,
                ),
            ),
        ),
        Panel(
            "Network",
            "What each pod receives.",
            "load.md",
            "Bps",
            (Query(total(rate_here("container_network_receive_bytes_total", NAMESPACE), POD), OF_POD),),
        ),
    ),
)

PLATFORM = Row(
    "Platform",
    (
        Panel(
            "API server: requests",
            "By status. 429: it defends itself; 5xx: it cannot.",
            "checks.md#caught_up",
            "reqps",
            (Query(total(rate_here("apiserver_request_total"), "code"), "{{code}}"),),
            kind="stack",
            width=8,
        ),
        Panel(
            "API server: latency",
            "99 % of the requests that are no watches took no longer.",
            "checks.md#caught_up",
            "s",
            (
                Query(
                    quantile(0.99, rate_here("apiserver_request_duration_seconds_bucket", NO_WATCH), "verb"),
                    "{{verb}}",
                ),
            ),
            width=8,
        ),
        Panel(
            "API server: under way",
            "Requests that it is working on.",
            "checks.md#caught_up",
            "none",
            (Query(total(here("apiserver_current_inflight_requests"), "request_kind"), "{{request_kind}}"),),
            width=8,
        ),
        Panel(
            "Queues of the control plane",
            "What waits to be done, of the five longest queues: they grow while a server is away.",
            "checks.md#caught_up",
            "none",
            (Query(f"topk(5, {total(here('workqueue_depth'), 'job, name')})", "{{job}} {{name}}"),),
            width=8,
        ),
        Panel(
            "DNS answers",
            "By result. NXDOMAIN is usual: clients try their search domains first.",
            "checks.md#discovered",
            "reqps",
            (Query(total(rate_here("coredns_dns_responses_total"), "rcode"), "{{rcode}}"),),
            kind="stack",
            width=8,
        ),
        Panel(
            "Kubelets: starting a pod",
            "99 % of the pods that each kubelet started were running within this time, without pulling images.",
            "checks.md#recovery",
            "s",
            (Query(quantile(0.99, here("kubelet_pod_start_duration_seconds_bucket"), "node"), OF_NODE),),
            width=8,
        ),
    ),
)

BOARD = Board(
    uid="chaoskit-cluster",
    title="chaoskit: cluster under test",
    why="The nodes, the pods and the platform of the cluster on which experiments run, with what the experiments did.",
    since="now-1h",
    refresh="10s",
    variables=(*VARIABLES, Variable("namespace", "Namespace", "label_values(kube_pod_info, namespace)", multi=True)),
    rows=(NODES, PODS, PLATFORM),
    marks=MARKS,
)
