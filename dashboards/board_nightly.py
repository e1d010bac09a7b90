"""The dashboard of all experiments over the nights: what was pushed at the end of each run."""

from __future__ import annotations

from parts import BLUE, VERDICTS, Board, Mark, Panel, Query, Row, Variable, most, series, total

DAY_S = 86_400
CHOSEN = 'experiment=~"$experiment"'
OF_STEPS = 'kind=~"recovery|outage"'


def last(name: str, *matchers: str) -> str:
    """Of the last run of each experiment that is chosen."""
    info = series("chaoskit_run_info", 'cluster=~"$cluster"', CHOSEN)
    return f"{series(name, CHOSEN, *matchers)} * on (job, instance, experiment) group_left () {info}"


def findings(kind: str) -> str:
    return most(last("chaoskit_finding_value", f'kind="{kind}"'), "experiment, step")


def runs(verdict: str) -> str:
    return last("chaoskit_run_verdict", f'verdict="{verdict}"')


VERDICT = most(f"{runs('inconclusive')} + ignoring (verdict) 2 * {runs('failed')}", "experiment")
ENDED = most(last("chaoskit_run_end_timestamp_seconds"), "experiment")
AGE = f"time() - {ENDED}"


def number(title: str, why: str, verdict: str) -> Panel:
    return Panel(
        title,
        why,
        "verdicts.md",
        "none",
        (Query(total(runs(verdict)), "experiments"),),
        kind="number",
        width=5,
        height=4,
        bad_from=None if verdict == "passed" else 1,
        none="nothing pushed",
    )


NOW = Row(
    "Now",
    (
        number("Held", "Experiments whose last run passed.", "passed"),
        number("Not known", "Experiments whose last run lacked something that its verdict rests on.", "inconclusive"),
        number("Failed", "Experiments of which an expectation failed in the last run.", "failed"),
        Panel(
            "Left broken",
            "What the last runs changed and did not put back. chaoskit heal shows it, and puts it back.",
            "safety.md#something-is-still-broken-what-now",
            "none",
            (Query(total(last("chaoskit_run_unhealed")), "acts"),),
            kind="number",
            width=4,
            height=4,
            bad_from=1,
            none="nothing pushed",
        ),
        Panel(
            "Longest not run",
            "How long ago the experiment was run that has waited longest. Two days: a night was left out.",
            "grafana.md#results-that-stay",
            "s",
            (Query(most(AGE), "since the last run"),),
            kind="number",
            width=5,
            height=4,
            bad_from=2 * DAY_S,
            none="nothing pushed",
        ),
    ),
)

NIGHTS = Row(
    "Night by night",
    (
        Panel(
            "Which held on which night",
            "The verdict of each experiment's last run at each time.",
            "verdicts.md",
            "none",
            (Query(VERDICT, "{{experiment}}"),),
            kind="states",
            width=24,
            height=12,
            shown=VERDICTS,
        ),
        Panel(
            "Since the last run",
            "How long each experiment has not been run.",
            "grafana.md#results-that-stay",
            "s",
            (Query(AGE, "{{experiment}}"),),
            bad_from=2 * DAY_S,
        ),
        Panel(
            "How long runs take",
            "The whole run, with deploying and healing.",
            "run-folder.md",
            "s",
            (Query(most(last("chaoskit_run_duration_seconds"), "experiment"), "{{experiment}}"),),
        ),
    ),
)

TRENDS = Row(
    "Trends",
    (
        Panel(
            "Recovery",
            "From when the fault was accepted until the last replacement served again.",
            "checks.md#recovery",
            "s",
            (Query(findings("recovery"), "{{experiment}}: {{step}}"),),
        ),
        Panel(
            "Outage",
            "For how long users were without an answer after a step, measured by requests every 10 ms.",
            "outages.md",
            "s",
            (Query(findings("outage"), "{{experiment}}: {{step}}"),),
        ),
        Panel(
            "Error budget spent",
            "The share of an objective's error budget that one run of the experiment spent.",
            "checks.md#error_budget",
            "percentunit",
            (Query(most(last("chaoskit_finding_value", 'kind="error_budget"'), "experiment"), "{{experiment}}"),),
        ),
        Panel(
            "Share of the limit used",
            "What recoveries and outages measured, as a share of what the experiment allows. At 100 % it fails.",
            "verdicts.md#the-limit-and-the-uncertainty",
            "percentunit",
            (
                Query(
                    most(
                        f"({last('chaoskit_finding_value', OF_STEPS)}) / ({last('chaoskit_finding_limit', OF_STEPS)})",
                        "experiment, step, kind",
                    ),
                    "{{experiment}}: {{kind}} {{step}}",
                ),
            ),
            bad_from=1,
        ),
    ),
)

DETAIL = Row(
    "What did not hold",
    (
        Panel(
            "Findings that did not pass",
            "Of each experiment's last run: what failed, and what could not be decided.",
            "verdicts.md",
            "none",
            (Query(last("chaoskit_finding_verdict", 'verdict!="passed"') + " == 1", "not passed"),),
            kind="table",
            width=24,
            height=8,
            none="all passed",
        ),
    ),
)

BOARD = Board(
    uid="chaoskit-nightly",
    title="chaoskit: nightly",
    why="Which experiments held on which night, how recovery and outages develop, and what was not run.",
    since="now-30d",
    refresh="5m",
    variables=(
        Variable("cluster", "Cluster", "label_values(chaoskit_run_info, cluster)", multi=True),
        Variable(
            "experiment", "Experiment", 'label_values(chaoskit_run_info{cluster=~"$cluster"}, experiment)', multi=True
        ),
    ),
    rows=(NOW, NIGHTS, TRENDS, DETAIL),
    marks=(Mark("Run", f"1000 * {ENDED}", "{{experiment}} was run", BLUE, points=True),),
)
