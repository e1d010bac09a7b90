"""The dashboard of one run: the report's timeline, while it happens."""

from __future__ import annotations

from parts import (
    BLUE,
    CLUSTER,
    GREEN,
    ORANGE,
    RED,
    UP,
    VERDICTS,
    YELLOW,
    Board,
    Mark,
    Panel,
    Query,
    Row,
    Variable,
    most,
    of_run,
    quantile,
    rate,
    series,
    total,
)

PHASE = {"1": ("●", BLUE)}
START = "chaoskit_run_start_timestamp_seconds"
NAMESPACE = 'namespace="$namespace"'
NODE_READY = series("kube_node_status_condition", CLUSTER, 'condition="Ready"', 'status="true"')
NODE_CORDONED = series("kube_node_spec_unschedulable", CLUSTER)
FAILED = 'outcome!~"ok|not_sent"'
EXPERIMENT = 'experiment="$experiment"'


def during(name: str, *matchers: str) -> str:
    return of_run(series(name, *matchers))


def anytime(name: str) -> str:
    """Of the run: scraped while it was on, which carries no experiment, or pushed at its end, which does."""
    scraped, pushed = series(name, 'experiment=""'), series(name, EXPERIMENT)
    return of_run(f"({scraped} or {pushed})")


def result(name: str) -> str:
    return of_run(series(name, EXPERIMENT))


def verdict(name: str) -> str:
    """0 passed, 1 inconclusive, 2 failed."""
    one, two = (series(name, EXPERIMENT, f'verdict="{word}"') for word in ("inconclusive", "failed"))
    return of_run(f"({one} + ignoring (verdict) 2 * {two})")


def app(name: str, *matchers: str) -> str:
    return series(name, CLUSTER, NAMESPACE, *matchers)


def latency(share: float) -> Query:
    buckets = of_run(rate("chaoskit_pulse_latency_seconds_bucket", 'stream="fresh"'))
    return Query(quantile(share, buckets), f"p{share * 100:g}")


THE_RUN = Row(
    "The run",
    (
        Panel(
            "Verdict",
            "What the run came to. It is known once the run was judged, and pushed to a Pushgateway.",
            "verdicts.md",
            "none",
            (Query(verdict("chaoskit_run_verdict"), "verdict"),),
            kind="number",
            width=5,
            height=4,
            shown=VERDICTS,
            none="not pushed",
        ),
        Panel(
            "Duration",
            "How long the run has been going on, or took.",
            "run-folder.md",
            "s",
            (
                Query(
                    f"{most(result('chaoskit_run_duration_seconds'))} or time() - {most(during(START))}",
                    "duration",
                ),
            ),
            kind="number",
            width=5,
            height=4,
            none="no run",
        ),
        Panel(
            "Still to be put back",
            "What the steps changed and the run has not put back yet. After a run it must be 0.",
            "safety.md",
            "none",
            (Query(f"{total(during('chaoskit_step_unhealed'))} or {total(result('chaoskit_run_unhealed'))}", "acts"),),
            kind="number",
            width=4,
            height=4,
            bad_from=1,
            none="no run",
        ),
        Panel(
            "Phase",
            "What the run is doing: the load starts, the steady state is awaited, the steps are watched, it recovers.",
            "run-folder.md#journaljsonl",
            "none",
            (Query(f"{during('chaoskit_run_phase')} == 1", "{{phase}}"),),
            kind="states",
            width=10,
            height=4,
            shown=PHASE,
        ),
    ),
)

USERS = Row(
    "What users saw",
    (
        Panel(
            "Pulse",
            "Whether a request every 10 ms was good: on a new connection, as a new user sees it, and on a kept one. "
            "It is as exact as the scrapes; the report has outages to 10 ms.",
            "outages.md",
            "none",
            (Query(during("chaoskit_pulse_up"), "{{stream}}"),),
            kind="states",
            width=24,
            height=4,
            shown=UP,
        ),
        Panel(
            "Requests of the users",
            "What Locust's users sent, what of it was good, and what failed. Users wait for answers: they offer less "
            "while the app is slow.",
            "load.md#locusts-users",
            "reqps",
            (
                Query(total(of_run(rate("chaoskit_load_requests_total"))), "offered"),
                Query(total(of_run(rate("chaoskit_load_requests_total", 'outcome="ok"'))), "good"),
                Query(total(of_run(rate("chaoskit_load_requests_total", FAILED))), "failed"),
            ),
        ),
        Panel(
            "Failed requests of the pulse",
            "By how they failed, on both streams. What could not be sent says nothing of the app and is left out.",
            "load.md#the-pulse",
            "reqps",
            (Query(total(of_run(rate("chaoskit_pulse_requests_total", FAILED)), "outcome"), "{{outcome}}"),),
            kind="stack",
        ),
        Panel(
            "Latency of the pulse",
            "From when a request was due, on a new connection, to its end. Percentiles are as exact as the histogram's "
            "buckets; the report has them from every sample.",
            "outages.md",
            "s",
            (latency(0.5), latency(0.95), latency(0.99)),
        ),
        Panel(
            "Users at work",
            "How many Locust users there are.",
            "load.md#locusts-users",
            "none",
            (Query(during("chaoskit_load_users"), "users"),),
        ),
    ),
)

APP = Row(
    "The app",
    (
        Panel(
            "Pods ready",
            "Each pod of the namespace: ready or not. A row that ends is a pod that went away.",
            "checks.md#recovery",
            "none",
            (Query(total(app("kube_pod_status_ready", 'condition="true"'), "pod"), "{{pod}}"),),
            kind="states",
            height=9,
            shown={"0": ("not ready", RED), "1": ("ready", GREEN)},
        ),
        Panel(
            "Replicas",
            "What each Deployment asks for, what its autoscaler wants, and what is ready.",
            "checks.md#autoscale",
            "none",
            (
                Query(most(app("kube_deployment_spec_replicas"), "deployment"), "{{deployment}} asked for"),
                Query(most(app("kube_deployment_status_replicas_ready"), "deployment"), "{{deployment}} ready"),
                Query(
                    most(app("kube_horizontalpodautoscaler_status_desired_replicas"), "horizontalpodautoscaler"),
                    "{{horizontalpodautoscaler}} (autoscaler) wants",
                ),
            ),
            height=9,
        ),
        Panel(
            "Nodes",
            "Whether each node is ready and takes new pods, as the control plane sees it.",
            "cluster.md#timings",
            "none",
            (Query(f"{most(NODE_READY, 'node')} * (1 + {most(NODE_CORDONED, 'node')})", "{{node}}"),),
            kind="states",
            width=24,
            height=5,
            shown={"0": ("not ready", RED), "1": ("ready", GREEN), "2": ("cordoned", YELLOW)},
        ),
        Panel(
            "Restarts",
            "How often the containers of each pod were started again since it began.",
            "checks.md#restart",
            "none",
            (Query(total(app("kube_pod_container_status_restarts_total"), "pod, container"), "{{pod}} {{container}}"),),
        ),
        Panel(
            "Processor",
            "Cores that each pod uses.",
            "checks.md#autoscale",
            "none",
            (
                Query(
                    total(rate("container_cpu_usage_seconds_total", CLUSTER, NAMESPACE, 'container!=""'), "pod"),
                    "{{pod}}",
                ),
            ),
        ),
    ),
)

RESULT = Row(
    "The result",
    (
        Panel(
            "Findings",
            "What each expectation came to.",
            "verdicts.md",
            "none",
            (Query(verdict("chaoskit_finding_verdict"), "{{finding}}"),),
            kind="number",
            width=10,
            height=8,
            shown=VERDICTS,
            none="not pushed",
        ),
        Panel(
            "Measured, and the limits",
            "What each expectation measured in its base unit, how far the true value may be from it, and the limit.",
            "checks.md",
            "none",
            (
                Query(result("chaoskit_finding_value"), "measured"),
                Query(result("chaoskit_finding_uncertainty"), "±"),
                Query(result("chaoskit_finding_limit"), "limit"),
            ),
            kind="table",
            width=14,
            height=8,
        ),
        Panel(
            "Lateness of the pulse",
            "How late 99 % of its requests are sent, at most. Beyond 10 ms the machine that runs the load is too busy "
            "to be believed.",
            "verdicts.md",
            "s",
            (Query(quantile(0.99, of_run(rate("chaoskit_pulse_lateness_seconds_bucket"))), "p99"),),
            bad_from=0.01,
        ),
        Panel(
            "Not sent by the pulse",
            "Requests that were due and could not be sent: for that time nothing is known of the app.",
            "load.md#the-pulse",
            "reqps",
            (
                Query(
                    total(of_run(rate("chaoskit_pulse_requests_total", 'outcome="not_sent"')), "stream"), "{{stream}}"
                ),
            ),
        ),
    ),
)


def once(name: str) -> str:
    """Scraped during the run or pushed after it, a step is one."""
    return most(anytime(name), "step")


def moment(name: str) -> str:
    """When something happened, in milliseconds, as Grafana wants it."""
    return f"1000 * {once(f'chaoskit_step_{name}_timestamp_seconds')}"


MARKS = (
    Mark("Step", once("chaoskit_step_active"), "{{step}} is under way, and its consequences are watched", BLUE),
    Mark("To be put back", once("chaoskit_step_unhealed"), "what {{step}} changed is not put back yet", ORANGE),
    Mark("Ordered", moment("ordered"), "{{step}} was ordered", ORANGE, points=True),
    Mark("Landed", moment("landed"), "{{step}} landed", RED, points=True),
    Mark("Put back", moment("healed"), "{{step}} was put back", GREEN, points=True),
)

VARIABLES = (
    Variable("cluster", "Cluster", "label_values(chaoskit_run_info, cluster)"),
    Variable("experiment", "Experiment", 'label_values(chaoskit_run_info{cluster="$cluster"}, experiment)'),
    Variable(
        "run",
        "Run",
        'label_values(chaoskit_run_info{cluster="$cluster",experiment="$experiment"}, run)',
        newest_first=True,
    ),
)

BOARD = Board(
    uid="chaoskit-run",
    title="chaoskit: run",
    why="One run of an experiment: what was broken when, what users saw, and how the app recovered.",
    since="now-15m",
    refresh="5s",
    variables=(
        *VARIABLES,
        Variable(
            "namespace",
            "Namespace",
            'label_values(chaoskit_run_info{cluster="$cluster",experiment="$experiment",run="$run"}, app_namespace)',
        ),
    ),
    rows=(THE_RUN, USERS, APP, RESULT),
    marks=MARKS,
    marked_by_api=True,
)
