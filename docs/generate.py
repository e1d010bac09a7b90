"""Writes the pages and the schema that follow from the code: `python docs/generate.py`.

Keys, defaults and descriptions come from the models of the experiment file and from the registries of actions and
checks; what no model knows (examples, what to watch for) stands in NOTES. A unit test fails when the files are stale.
"""

from __future__ import annotations

import re
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from chaoskit import spec
from chaoskit.actions import ACTIONS
from chaoskit.actions.kill_pod import HowMany
from chaoskit.checks import CHECKS
from chaoskit.checks.metric import ConditionField
from chaoskit.conditions import MEASURES
from chaoskit.contracts import Action, Check, Count, Part, Rate, RefField, Seconds, Share

ROOT = Path(__file__).parent.parent
MARK = "<!-- Written by docs/generate.py from the code; do not edit. -->\n"
WORDS: tuple[tuple[Any, str], ...] = (
    (Seconds, "duration"),
    (Share, "share"),
    (Rate, "rate"),
    (Count, "whole number"),
    (RefField, "kind/name"),
    (ConditionField, "condition"),
    (HowMany, "whole number or share"),
    (spec.Line, "one line of text"),
    (str, "text"),
    (bool, "true or false"),
    (int, "whole number"),
    (float, "number"),
    (dict[str, str], "mapping of texts"),
)


@dataclass(frozen=True)
class Note:
    """What no model knows of an action or a check: examples of its value in YAML, and what to watch for."""

    examples: tuple[str, ...]
    text: str


NOTES = {
    "change_load": Note(
        ("{users: 80}", "{users: 80, over: 30s}"),
        """\
        Landed: Locust says that it has so many users. Nothing is healed, for the load ends with the run. Two such steps
        are a spike. A `LoadTestShape` of the locustfile is followed until the first such step, and ends with it.

        A ramp comes in steps of at least one user a second, or of as many a second as it takes; the users that are too
        many finish what they are doing.""",
    ),
    "kill_server": Note(
        ("{of: kube-apiserver}", "{of: kubelet@node1}"),
        """\
        Landed: the process ended. It is started again by itself: a server of the control side two seconds later, as a
        kubelet would start a static pod again, one of a node half a second later by the node's first process.

        Only on the embedded cluster, and only with `safety: {platform: true}`.""",
    ),
    "freeze_server": Note(
        ("{of: etcd, for: 5s}", "{of: kube-controller-manager}"),
        """\
        Landed: the process stands still (SIGSTOP). It goes on by itself after `for`, or when the step is undone. The
        mark that other actions leave on what they change has no place on a server: none stands still for longer than
        a minute.

        Only on the embedded cluster, and only with `safety: {platform: true}`. While the API server or etcd stands
        still, chaoskit sees nothing and its own calls wait: a fault of the next step lands when it goes on, so let
        `for` be shorter than the 10 s within which faults must land.""",
    ),
    "reach": Note(
        (
            "{of: service/front, by: load balancer}",
            "{of: service/back, by: name, from: deployment/front, path: /items, times: 60}",
        ),
        """\
        Landed: it was asked. It breaks nothing, so nothing is healed; [`reached`](checks.md#reached) judges who
        answered. Each request has a connection of its own and a second. Who answered is the answer's header
        `x-served-by`.

        Without `from` it asks from where the users are: on the embedded cluster from its network, elsewhere from this
        machine. With `from` a Python (`python3`) inside a pod asks, so the pod's image needs one.""",
    ),
    "look_up": Note(
        ("{of: deployment/front, name: back, for: 15s}",),
        """\
        Landed: at least one pod told. It breaks nothing, so nothing is healed; [`discovered`](checks.md#discovered)
        judges what was found. The pods are asked through the API server for `path` with `?name=NAME`, and answer JSON
        as the reference app's /discovery does (`dns`, `environment`, `used`). A pod that does not tell is asked again.

        The step lasts as long as `for`, so what is to be seen of a fault goes into the step after it.""",
    ),
    "recreate_service": Note(
        ("{of: service/back}",),
        """\
        Landed: another Service has the name. It is written as before, without what the cluster had added: its cluster
        address and its node ports are other ones. Healed by chaoskit if it is away: then it is made.

        While it is away, a Service without an address and without pods (its name, and a part of its UID) stands in for
        it and carries its marks: if chaoskit is killed in between, the cluster alone tells how to make it again.""",
    ),
    "kill_pod": Note(
        ("{of: deployment/front, mode: now}", "{of: deployment/front, count: 50%, mode: evict}"),
        """\
        Landed: the pod is gone, or terminating. Undone by its controller, so chaoskit heals nothing.

        `delete` and `evict` send SIGTERM and wait for the grace period; `now` leaves no time to finish a request.
        `evict` is tried again for up to 30 s while a disruption budget refuses.

        Pods of the platform, as CoreDNS', are hit with `namespace: kube-system`, only on a cluster that chaoskit made
        and only with `safety: {platform: true}`.""",
    ),
    "kill_container": Note(
        ("{of: deployment/back, signal: KILL}",),
        """\
        Landed: the container's id changed, or it runs no more. Undone by the kubelet, as the restart policy says.

        On the embedded cluster the signal comes from outside the container. Elsewhere `kill` runs inside it, where the
        kernel ignores KILL for the first process: choose a signal that the process handles (TERM, INT, …), and an image
        with `kill` or `busybox` in it. If nothing happens, the step did not land and the run is inconclusive.

        The kubelet waits 10, 20, 40 s … before it restarts a container that ended before (at most 10 s with the
        embedded cluster's short timings): use a fresh pod for each repetition, or the back-off is what you measure.""",
    ),
    "call": Note(
        (
            '{of: deployment/front, path: "/crash?code=1", port: 8080, until: ended}',
            '{of: service/back, count: 50%, path: "/hang?seconds=20", port: 8080, until: not ready}',
        ),
        """\
        Landed: as `until` says. `answered`: the pod answered with a status from 200 to 399. `not ready`: it is not
        ready. `ended`: the container that ran has ended. `restarted`: another one runs in its place. For all but
        `answered` it does not matter whether an answer came: what was asked for may well have kept it from answering.

        The request is a GET that goes through the API server to the pod itself, past its Service and its readiness. A
        call that is not answered within some seconds counts as unanswered, so ask for what goes on by itself. chaoskit
        undoes nothing: bound what the endpoint does by its own parameters, as in `/hang?seconds=20`.""",
    ),
    "cordon_node": Note(
        ("{name: node2}", "{of: deployment/front, zone: zone-1}"),
        """\
        Landed: the node is unschedulable. Healed by chaoskit; a node that was cordoned before stays so.

        Without `name`, `of` or `zone` it is refused: nothing said would be every node.""",
    ),
    "roll_out": Note(
        (
            "{of: deployment/front, env: {VERSION: '2'}}",
            "{of: deployment/front, image: 'registry.example/shop:2', patch: {metadata: {labels: {release: july}}}}",
        ),
        """\
        Landed: the Deployment's controller has taken up the new template (its revision is another one). Healed by
        chaoskit: what the step changed in the template is put back, and nothing beside it; where somebody changed the
        same meanwhile, that stays.

        `patch` is merged into the pod template as kubectl's strategic merge does: lists of things with a `name` by
        their name, null takes a key away, `{name: x, $patch: delete}` an item; any other list is replaced. Write values
        as `kubectl get` shows them (`100m`, not `0.1`): what the server would write otherwise is refused.

        Where a fault is to strike during the rollout, let the step's `watch` be short and the next step the fault:
        [`rollout`](checks.md#rollout) judges until the rollout ended.""",
    ),
    "roll_back": Note(
        ("{of: deployment/front, before: new version}",),
        """\
        Landed: the Deployment's controller has taken up the template from before. It is the same template as then, so
        Kubernetes scales up the old ReplicaSet again, as `kubectl rollout undo` does. There is nothing to heal: it
        heals the earlier step.""",
    ),
    "scale": Note(
        ("{of: deployment/front-green, to: 3}",),
        """\
        Landed: so many replicas are there (of a StatefulSet: the first came or went). Healed by chaoskit, unless
        somebody changed the number meanwhile. An autoscaler does: scale what it does not own.""",
    ),
    "switch_service": Note(
        ("{of: service/front, to: {colour: green}}",),
        """\
        Landed: the selector is the new one and the endpoint slices name none but pods with the new labels (or none at
        all). Healed by chaoskit: the labels that it changed are put back, unless somebody changed them meanwhile.

        Connections that are open stay where they are: Services balance connections, not requests.""",
    ),
    "drain_node": Note(
        ("{of: deployment/front, within: 45s}",),
        """\
        Landed: the node is unschedulable, and each evicted pod is gone or terminating. Healed as `cordon_node` is; the
        pods stay where the scheduler put them.

        Only pods of the experiment's namespace are evicted; those of DaemonSets, and finished ones, stay. An eviction
        that a disruption budget refuses is tried again every 0.25 s. The step's notes tell when the node was empty. One
        that still carries pods after `within` was not drained: the step did not land, and the run is inconclusive.""",
    ),
    "recovery": Note(
        ("{of: lose a pod, within: 12s}", "{of: lose a node, pods: deployment/front, within: 1m}"),
        """\
        Each pod that the step took is paired with the first new pod of the same controller (a StatefulSet's with the
        one of the same name). The time runs from the moment at which the API server accepted the fault to the moment
        at which the replacement is ready and in the endpoints of its Service (only ready, where it has none). The
        slowest pair decides, and the evidence lists every link of the way.

        The times are those at which watch events arrived. The uncertainty is 50 ms, or as long as the call that made
        the fault took, where that is longer. A break of the watch in that time makes the finding inconclusive. So does
        a step that took no pod: nothing had to recover.

        The pods of a node that was lost count too, without those of DaemonSets. Such a pod is replaced once Kubernetes
        has noticed the node's silence (--node-monitor-grace-period) and the pod's own toleration of it
        (`tolerationSeconds` for node.kubernetes.io/unreachable) is over. Where the platform's timings are known, the
        finding says beside the measured time what they predict: the sum of both and of the start that pods of the same
        owner took earlier in the run.""",
    ),
    "drained": Note(
        ("{of: drain a node, within: 30s}",),
        """\
        From the moment at which the node was closed to the moment at which the last of the experiment's pods on it was
        gone; pods of DaemonSets and finished ones stay. A pod that never left fails it, with the name of the disruption
        budget that allowed no disruption. Unlike other expectations it is decided although the step did not land: a
        drain that empties nothing is what it looks for.""",
    ),
    "power_off_node": Note(
        ("{of: deployment/front}", "{zone: zone-2, count: 100%}"),
        """\
        Landed: the node is Ready no more, as Kubernetes itself sees it when the node has been silent for its grace
        period (12 s with the embedded cluster's short timings, 50 s by default). The step waits for that, and its
        `watch` counts from the power failure. Healed by chaoskit: the power is switched on, and the node is looked at
        until it is Ready.

        Only the embedded cluster can do it: a kubeconfig reaches no machines. Nodes that are not Ready before are no
        candidates. How many may be hit is limited by `safety.nodes_at_most`.""",
    ),
    "freeze_node": Note(
        ("{of: deployment/front}",),
        """\
        Landed and healed as `power_off_node` is, by a thaw. The node's processes go on where they stood, with pods that
        may have been replaced meanwhile. A freeze that is over before Kubernetes notices it cannot be had: the step
        waits until it is noticed.""",
    ),
    "unplug_node": Note(
        ("{name: node2}",),
        """\
        Landed and healed as `power_off_node` is, by plugging it in again. Pods of the node run on without network.""",
    ),
    "undo": Note(
        ("{of: lose a node}",),
        """\
        Landed: no object that the watch shows carries a mark of that step any more, and the nodes that did are Ready.
        It heals as the end of the run does, looking for up to a minute whether it worked; the end of the run tries
        again what was not. A step that left nothing to undo makes it fail, and the run inconclusive.""",
    ),
    "spread": Note(
        (
            "{of: deployment/front, after: lose a node}",
            "{of: deployment/front, over: zone, after: the zone is back, when: at the end}",
        ),
        """\
        Counts the workload's ready pods by node, or by the nodes' label topology.kubernetes.io/zone, as the watch told
        of them when the step's window ended (or at every change in it: `always`). It fails where the fullest place
        holds more than `skew` pods more than the emptiest, and where one place holds all of several pods, whatever
        `skew` says. Places that cannot take pods then (no node that is Ready, schedulable and without a taint that
        keeps pods off) do not count as empty. Fewer than two ready pods, or only one place: inconclusive.

        Kubernetes moves no pod by itself: after a zone has returned, a rollout or a scaling fills it.""",
    ),
    "restart": Note(
        ("{of: crash the back, within: 20s, times: 1}", "{of: crash the back, within: 20s, as: policy}"),
        """\
        For steps that make containers end (`kill_container`, `call`). Fails if the pod was replaced as a whole, if the
        container did not come back, or if it was restarted more often than `times`: a container that falls over again
        is not back.

        `as: policy` expects each container to do what its restart policy says of the exit code it had: `Always` brings
        it back, `OnFailure` after any code but 0, `Never` does not. It fails if one that is due is not ready again in
        time, and if one that is not due is restarted. That nothing follows is seen by the pod's phase, which it does
        not leave, or by a container that stays terminated to the end of the window.

        `as: none` is for faults that containers should live through, as a pause that a liveness probe must forgive:
        none of those that were hit may end. It takes no `within`.

        One surprise that this shows: the kubelet looks for ended containers once a second, and if a liveness probe
        fails on one before that, it is restarted as one that failed its probe, under `OnFailure` also after code 0.

        The evidence tells each exit code and reason (`Completed`, `Error`, `OOMKilled`), and the pauses before the
        restarts beside what the kubelet's settings predict.""",
    ),
    "out_of_endpoints": Note(
        ("{of: lose a pod, within: 3s}",),
        """\
        How long a pod that was hit (killed, hung, crashed) goes on getting new connections: from the moment at which
        the fault was accepted to the event that takes it out of the ready endpoints. The slowest pod decides. Nodes'
        rules follow some milliseconds later; what users met until then is told by `outage` and its `lost`.""",
    ),
    "caught_up": Note(
        ("{of: lose a pod, within: 10s}",),
        """\
        The time from the step's last act (for a frozen server, from when it goes on) until every Deployment and
        StatefulSet of the experiment's namespace has the ready pods that it asks for, its controller has seen its last
        change, and every Service leads to all ready pods and to no others, and it stays so to the end of the window.
        While the API server is away nobody tells: what was so in the meantime is known within that break alone, which
        is the uncertainty.""",
    ),
    "reached": Note(
        ("{of: lose a pod}", "{of: lose a pod, pods: none}"),
        """\
        Judges a step of `reach`. `all ready`: every request got a good answer, every pod that was a ready endpoint all
        the while gave at least one, and nobody else did. A pod that was ready within the last second may still answer:
        so long the nodes' rules may take. That a pod got none by chance must be less probable than 1 in 1,000, else the
        finding is inconclusive, and more should be asked.""",
    ),
    "distribution": Note(
        ("{of: lose a pod, over: service/front}", "{of: lose a pod, over: service/front, connections: kept}"),
        """\
        Judged is the longest time in the step in which the Service had the same ready pods. `fresh`: the pulse's new
        connections are put to a chi-square test against equal shares; what chance gives less often than in one of
        10,000 runs fails. Fewer than five answers a pod to be expected are too few to tell. `kept`: at most 10 % of the
        answers over connections that are used again come from another pod than before on that connection. Services
        share out connections and not requests, so kept ones do not find new pods.""",
    ),
    "discovered": Note(
        (
            "{of: lose a pod, service: service/back, within: 10s}",
            "{of: lose a pod, service: service/back, by: environment, within: 1s}",
        ),
        """\
        Judges the looks of steps of `look_up` since `of` began, against the address that the watch tells: the time from
        the last change of the Service (or from the begin of `of`) until every pod finds the right address and goes on
        finding it. Pods that were replaced meanwhile do not count. A look that was wrong and the next one bracket the
        moment, so the uncertainty is about `every` of `look_up`. What the other way found is shown beside it.""",
    ),
    "back_off": Note(
        ("{of: crash the back, within: 4s, restarts: 1}",),
        """\
        For a container that ends again and again. The kubelet restarts it at once the first time, then waits for 10,
        20, 40 s …, up to its setting `crashLoopBackOff.maxContainerRestartPeriod` (300 s; 10 s with the embedded
        cluster's short timings), from the container's end to the next start. The setting is one of the platform's
        timings that the run recorded; where it is not known, the finding is inconclusive.

        When such a wait is over, the kubelet looks again by chance up to half of it later (of a minute, where it is
        longer): 10 to 15 s, 20 to 30 s, 300 to 330 s are what is predicted. `within` is how far a pause may be outside
        of that, for a new container takes a moment to make. The API tells both times in whole seconds, so a pause is
        known to ±1 s, and `within` must be more. The pause that is furthest off decides.""",
    ),
    "outage": Note(
        ("{of: lose a pod, at_most: 1s}", "{of: lose a pod, at_most: 500ms, lost: 20, connections: kept}"),
        """\
        From the first request that failed to the next that was good, both ends in the middle of what is possible; see
        [how outages are measured](outages.md). `at_most` must be at least two periods of the pulse.

        `witness` asks the app's own counters as well: see [the second witness](verdicts.md#the-second-witness).""",
    ),
    "error_budget": Note(
        ("{slo: 99.9%, at_most: 1%}", "{slo: 99.5%, over: 7d, at_most: 5%, of: lose a pod}"),
        """\
        The share of bad requests, times the window's part of `over`, divided by 1 − `slo`: what this much trouble takes
        of the whole budget, at the same traffic all the time. The requests are those of Locust's users; where there are
        none, the pulse's. The burn rates (over the window, and the fastest over a minute) are as in "The Site
        Reliability Workbook", chapter 5: the share of bad requests divided by 1 − `slo`.""",
    ),
    "baseline": Note(
        ("{of: lose a pod, measure: p95, times: 2.0}", "{of: lose a pod, measure: rate, times: 0.9}"),
        """\
        The measure in the step's window beside the same measure in the steady state before it. Both are taken again and
        again from seconds drawn at random (a block bootstrap, 400 times); the middle 95 % of the ratios are what is
        certain. A limit inside of them is inconclusive: watch longer, or send more. `rate` must be *at least* so many
        times what it was.""",
    ),
    "autoscale": Note(
        (
            "{hpa: front, up_within: 10s, serve_within: 15s, settle_within: 24s, at_least: 4}",
            "{hpa: front, overshoot: 2, reversals: 0, formula: true}",
        ),
        """\
        Times run from the moment at which the step was accepted: until the autoscaler told its workload to have more
        (`up_within`) or fewer (`down_within`) replicas, until the first new one was among the ready endpoints
        (`serve_within`; the evidence has its first answer too), and until all that it asks for served, nothing changed
        any more to the end of the window, and its maximum was enough (`settle_within`). Where something never happened,
        the reason tells what the autoscaler read, or why it cannot decide, in its own words.

        `formula` computes each decision again, from the metrics that the autoscaler wrote into its status with it:
        ceil(replicas × usage / target), no change within the tolerance of 10 %, then stabilisation, policies, minimum
        and maximum ([Kubernetes](https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/)). Whether
        a pod that had just started counted already is not in the status: then the formula gives a range, and a
        decision within it is right.""",
    ),
    "durable": Note(
        ("{of: lose a pod, no_writes_for: 10s}",),
        """\
        For `locustfile: writer`, whose users write down in the run's folder (`ledger.jsonl`) which orders the shop
        acknowledged, what they found when they looked one up, and how many orders there were; at the end, when nobody
        writes any more, all orders that there are. It fails where an order that was ever acknowledged in the run is
        missing or there twice, where one that was looked up was gone, or where a read that began after another one had
        ended told of fewer orders. Orders that were sent and never acknowledged may be there or not.

        `no_writes_for` is the longest stretch without an acknowledged write, bracketed by the writers' own requests as
        outages are by the pulse's. Where all orders could not be read at the end, or no write was acknowledged before
        the step or in its window, it is inconclusive.""",
    ),
    "metric": Note(
        ("errors < 1%", "{holds: ready_fronts >= 3, of: lose a pod, when: at the end}"),
        """\
        `metric: errors < 1%` is short for `metric: {holds: errors < 1%}`. The name is one of `metrics`, or a
        [measure of the load](experiment-file.md#conditions).

        All series that the query gives must keep the limit at each of their samples: the worst decides. `at the end`
        looks at the last sample of each series in the last 2.5 scrape intervals of the window. No data, NaN, infinity,
        a gap, a partial answer: [inconclusive](verdicts.md#no-data).

        A measure of the load has one value for the whole window. It may have a
        [second witness](verdicts.md#the-second-witness).""",
    ),
    "rollout": Note(
        (
            "{of: new version, within: 40s, keep_ready: 3}",
            "{of: bad version, within: 10s, ends: stopped}",
        ),
        """\
        Looks from the change of the template to the end of the rollout, or to the next change of the same Deployment,
        whatever other steps do meanwhile. It fails where fewer pods are ready than the strategy allows
        (`maxUnavailable`, rounded down, of the replicas) or than `keep_ready` says, and where the ReplicaSets are made
        larger than it allows (`maxSurge`, rounded up). Pods that other steps hit are not counted as missing until they
        have been made up for once. If the number of replicas changes meanwhile, the smallest counts for the floor and
        the largest for the surge.

        `finished` is what `kubectl rollout status` waits for: all pods are of the new version and available, and none
        of the old is left but those that are ending. `stopped`: after `within` it is still not finished. Kubernetes
        itself calls a rollout stuck after `progressDeadlineSeconds`, and rolls nothing back: that is a `roll_back`.

        The evidence shows the pods at each moment, and the good answers of each version second by second.""",
    ),
    "switched": Note(
        (
            "{of: switch to green, to: green, within: 2s}",
            '{of: new version, by: version, to: "2", within: 30s, connections: all}',
        ),
        """\
        The value is when the last request was sent that another version or colour answered, counted from the switch. It
        passes if that is no later than `within`, if the new one answered afterwards, and if no more than `lost`
        requests of the step failed. Answers tell who gave them by the headers `x-version` and `x-color`; those that do
        not are counted, and make it inconclusive, as does a step before which nobody else answered.

        A Service balances connections: those that are open stay with the old pods. `fresh` looks at the pulse's new
        connections, `kept` at its kept one, `users` at Locust's, `all` at all of them.""",
    ),
    "share": Note(
        ('{of: new version, is: "2", expected: 25%, tolerance: 8%, settle: 5s}',),
        """\
        The share of good answers on new connections (the pulse's fresh stream): a kept connection stays with its pod,
        so its requests are no independent draws. The uncertainty is the Wilson score interval at 99.9 %. It passes if
        the whole interval lies within the tolerance, fails if the whole of it lies outside, and is inconclusive where
        so many requests cannot tell: 1,500 tell a quarter to about ± 4 points.""",
    ),
    "steady_state": Note(
        ("{}",),
        """\
        After the last step the conditions of `steady_state` have to hold for as long as they had to before (`for`),
        within the same time (`within`).""",
    ),
}


# ── words for types ──────────────────────────────────────────────────────────────────────────────────────────────────


def written(hint: Any) -> str:  # noqa: ANN401 - a type annotation
    """How a value of this type is written in an experiment file."""
    for known, word in WORDS:
        if hint == known:
            return word
    origin = get_origin(hint)
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(hint))
    if origin in (Union, types.UnionType):
        return " or ".join(written(part) for part in get_args(hint) if part is not type(None))
    if origin is tuple:
        return f"list of {written(get_args(hint)[0])}s"
    return "mapping"


def default(model: type[BaseModel], key: str, info: FieldInfo) -> str:
    """The value that counts where nothing is written."""
    if info.is_required():
        return "**required**"
    value = info.default
    if value in ("", None, (), {}) or isinstance(value, BaseModel):
        return ""
    shown = model.__pydantic_serializer__.to_python(model.model_construct(**{key: value}), mode="json", warnings=False)
    return f"`{shown[key]}`"


def keys(model: type[BaseModel], leave_out: tuple[str, ...] = ()) -> str:
    """The table of a model's keys; empty where it has none."""
    hints = get_type_hints(model, include_extras=True)
    rows = [
        f"| `{info.alias or key}` | {written(hints[key])} | {default(model, key, info)} | {cell(info.description)} |"
        for key, info in model.model_fields.items()
        if key not in leave_out
    ]
    return "\n".join(["| key | written as | default | meaning |", "|---|---|---|---|", *rows, ""]) if rows else ""


def cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


def about(part: type[BaseModel]) -> str:
    return (part.__doc__ or "").strip()


# ── actions and checks ───────────────────────────────────────────────────────────────────────────────────────────────


def section(name: str, part: type[Part], more: Callable[[Note], Iterator[str]]) -> str:
    """One action or check: what it does, an example, its keys, and what no model knows."""
    note = NOTES.get(name, Note((), ""))
    pieces = [f"## {name}\n", about(part) + "\n", *more(note), keys(part), textwrap.dedent(note.text) + "\n"]
    return "\n".join(piece for piece in pieces if piece.strip())


def action_section(verb: str, action: type[Action]) -> str:
    def more(note: Note) -> Iterator[str]:
        for example in note.examples:
            yield f"```yaml\n{verb}: {example}\n```\n"
        if note.examples:
            yield f"It needs the rights to {rights(action, note)}.\n"

    return section(verb, action, more)


def rights(action: type[Action], note: Note) -> str:
    """The rights that the examples take, beyond watching."""
    found: dict[str, None] = {}
    for example in note.examples:
        for right in action.model_validate(yaml.safe_load(example)).rights("NAMESPACE"):
            found[f"{right}".replace("in NAMESPACE", "in the namespace")] = None
    return "; ".join(found)


def check_section(kind: str, check: type[Check]) -> str:
    def more(note: Note) -> Iterator[str]:
        for example in note.examples:
            yield f"```yaml\n- {kind}: {example}\n```\n"

    return section(kind, check, more)


def actions_page() -> str:
    head = """\
        # Actions

        A step has one action. It says whom it could hit, hits some of them at random (the same ones for the same seed)
        within the limits of [`safety`](experiment-file.md#safety), and tells how it was seen to land. A fault that was
        not seen to land within 10 s makes the run inconclusive. To write one of your own: [adding an
        action](adding-an-action.md).
        """
    return page(head, (action_section(verb, action) for verb, action in ACTIONS.items() if is_ours(action)))


def checks_page() -> str:
    head = """\
        # Expectations

        Each item of `expect` is of one kind. Its finding is passed, failed or inconclusive, by the same
        [rules](verdicts.md) for all. `of` names the step whose window is looked at: from its begin until
        its `watch` is over.
        """
    return page(head, (check_section(kind, check) for kind, check in CHECKS.items() if is_ours(check)))


def is_ours(part: type[Part]) -> bool:
    """What other distributions offer has pages of its own."""
    return part.__module__.startswith("chaoskit.")


# ── the experiment file ──────────────────────────────────────────────────────────────────────────────────────────────

UNITS = """\
## Units

A number that has a unit is written with it; without, it is an error that says which units there are.

| written as | examples | means |
|---|---|---|
| duration | `250ms`, `30s`, `1m30s` | units `us`, `ms`, `s`, `m`, `h`, `d`; at most 30 days |
| share | `50%` | at most `100%` |
| rate | `200/s` | a second, always |
| kind/name | `deployment/front` | `deployment`, `statefulset`, `daemonset`, `replicaset`, `service`, `pod` or `node` |
| condition | `errors < 0.1%` | see below |
"""

READING = """\
## How the file is read

YAML with the scalars of version 1.2: `on` and `1:30` are texts. Anchors, aliases and tags are refused, as is a key that
stands twice or that is not known; the message names file, line and column, and the key that was probably meant. At most
128 KiB. Paths are relative to the file.
"""


def conditions_text() -> str:
    rows = "\n".join(
        f"| `{name}` | {'share' if unit == '%' else 'duration' if unit == 's' else 'rate'} | {cell(meaning)} |"
        for name, (unit, meaning, _) in MEASURES.items()
    )
    return f"""\
## Conditions

A condition is `NAME OPERATOR LIMIT`, as in `p99 < 300ms`; the operators are `<`, `<=`, `>`, `>=` and `==`. The limit
may have a unit: `0.1%`, `300ms`, `200/s`, `64Mi`. NAME is one of `metrics` (the query must then give base units:
seconds, bytes, and a fraction for `%`), or one of these measures, taken from every recorded request:

| measure | limit | |
|---|---|---|
{rows}

Latency counts from when the request should have been sent to its end. Where a query gives several series, all of them
must keep the limit. A condition without data neither holds nor is violated: it is [inconclusive](verdicts.md#no-data).
"""


APP = """\
`app: refapp` is short for `app: {manifests: refapp}`.

The app is ready once, in its namespace,

- each Deployment, StatefulSet, DaemonSet and ReplicaSet of nobody has as many ready pods as it wants;
- each other pod (one of nobody, of a Job, of a controller of another kind) is ready, or has ended well: a Job may still
  run, or be done. One that failed is made up for by a later one of the same controller; one of nobody that failed ends
  the run at once;
- each Service with a selector has a ready endpoint, and one of type LoadBalancer an address.
"""
METRICS = """\
## metrics

Named PromQL. These are filled in:

| variable | becomes |
|---|---|
| `$namespace` | the namespace that the run uses |
| `$service` | `app.service` |
| `$window` | four scrape intervals, at least 5 s: for `rate(x[$window])` |

`$$` is a single `$`; any other variable is an error. Each query is asked when a condition on it is looked at, and once
over the whole run when the last step's consequences have been scraped.

Refused, for no answer could be right: what is no PromQL, a rate over less than four seconds, and a rate of a sum (in
which a counter that starts anew is hidden). Warned of: a rate over a range that holds fewer than four scrapes of the
usual 15 s, and a division that can be by zero without saying what that means; `/ (… > 0)` makes it "no data", and
`or vector(0)` behind that makes it zero.

Warned of, too: a limit of a quantile of a histogram, for a quantile is known only to its bucket. Let the limit be one
of the boundaries ([why](verdicts.md#quantiles-of-histograms)). `chaoskit plan` asks Prometheus for them, names the two
beside a limit that is none, and holds ranges against the real scrape interval.
"""


def experiment_page() -> str:
    head = """\
        # The experiment file

        This is all that `experiments/pod-kill.yaml` says:

        ```yaml
        EXPERIMENT```

        Only `name`, `steps` and `expect` are required. `chaoskit validate FILE` checks a file without a cluster;
        `experiments/schema.json` (also: `chaoskit schema`) lets editors complete it: begin the file with
        `# yaml-language-server: $schema=schema.json`.
        """
    example = (ROOT / "experiments" / "pod-kill.yaml").read_text(encoding="utf-8")
    parts = (
        ("The whole", spec.ExperimentFile, ""),
        ("app", spec.App, APP),
        (
            "load",
            spec.Load,
            "`load: none` sends nothing at all; then no outage can be measured. See [the load](load.md).\n",
        ),
        ("load.pulse", spec.Pulse, ""),
        ("steady_state", spec.Steady, "Looked at once a second. Never reached: the run ends inconclusive.\n"),
        (
            "safety",
            spec.Safety,
            "A step that the limits forbid ends the run with exit code 4. See [safety](safety.md).\n",
        ),
    )
    pieces = [f"## {title}\n\n{about(part)}\n\n{keys(part)}\n{more}" for title, part, more in parts]
    pieces.insert(5, steps_text())
    return (
        textwrap.dedent(head).replace("EXPERIMENT", example).join([MARK, ""])
        + "\n"
        + "\n".join([*pieces, METRICS, conditions_text(), UNITS, READING])
    )


def steps_text() -> str:
    verbs = ", ".join(f"[`{verb}`](actions.md#{verb})" for verb, part in ACTIONS.items() if is_ours(part))
    kinds = ", ".join(f"[`{kind}`](checks.md#{kind})" for kind, part in CHECKS.items() if is_ours(part))
    table = keys(spec.StepFile, tuple(ACTIONS))
    return f"""\
## steps

{about(spec.StepFile)} They are taken one after the other.

{table}
Beside these, exactly one action: {verbs}.

## expect

{about(spec.ExpectationFile)} Each item is exactly one of {kinds}.
"""


# ── the gallery ──────────────────────────────────────────────────────────────────────────────────────────────────────

EXPORTERS = {"kube-state-metrics": "kube_", "cAdvisor": "container_"}
"""What gives Prometheus the series whose names begin like that."""
BEFORE_S, AFTER_S = 15.0, 12.0
"""What a run takes beside its windows, on the embedded cluster: deploying and starting the load; the last scrapes,
healing, and the namespace's end."""
GALLERY = """\
# Experiments

Each file asks one question, and its head says how. "Minutes" is about what a run takes on the embedded cluster, without
the cluster's own start; that cluster has all that any of them needs. "Seen to fail on" names the apps in `tests/weak`
that have the weakness which it catches.

```sh
chaoskit plan experiments/pod-kill.yaml    # who would be hit; touches nothing
chaoskit run experiments/pod-kill.yaml
chaoskit run experiments/ -l tier=nightly  # all that carry the label
chaoskit run experiments/pod-kill.yaml --app tests/weak/one-replica-unprobed
pytest experiments/                        # each file as a test
make tour                                  # one for each behaviour, in a quarter of an hour
make gallery                               # all of them, two at once, in a quarter of an hour
make weak                                  # each on the apps that it must fail on, in a quarter of an hour
```

The tour is what carries the label `tour: "yes"`: `chaoskit run experiments/ -l tour=yes`.

`schema.json` lets editors complete experiment files: begin yours with `# yaml-language-server: $schema=schema.json`.
All keys are in [the experiment file](../docs/experiment-file.md); how to write one, in
[your first experiment](../docs/first-experiment.md).
"""
COLUMNS = ("file", "what breaks or changes", "what is expected", "minutes", "needs", "seen to fail on")


def gallery_page() -> str:
    found = {path: spec.load(path) for path in sorted((ROOT / "experiments").glob("*.yaml"))}
    behaviours = sorted({experiment.labels["behaviour"] for experiment in found.values()})
    return page(GALLERY, (gallery_section(behaviour, found) for behaviour in behaviours))


def gallery_section(behaviour: str, found: Mapping[Path, spec.Experiment]) -> str:
    rows = [gallery_row(path, e) for path, e in found.items() if e.labels["behaviour"] == behaviour]
    head = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    return "\n".join([f"## {behaviour.replace('-', ' ').capitalize()}", "", *head, *rows, ""])


def gallery_row(path: Path, experiment: spec.Experiment) -> str:
    steps = "; ".join(f"{step.name} (`{step.action.verb}`)" for step in experiment.steps)
    kinds = ", ".join(dict.fromkeys(f"[{c.kind}](../docs/checks.md#{c.kind})" for c in experiment.expect))
    weak = ", ".join(f"[{name}](../tests/weak/{name})" for name in weak_apps(path.name)) or "–"
    expected = f"{experiment.name}: {kinds}"
    cells = (
        f"[{path.name}]({path.name})",
        steps,
        expected,
        f"{planned_s(experiment) / 60:.1f}",
        ", ".join(needs(experiment)),
        weak,
    )
    return f"| {' | '.join(cells)} |"


def needs(experiment: spec.Experiment) -> Iterator[str]:
    """What must be there beyond the app, in the embedded cluster or in another one."""
    made = experiment.safety.platform or any(step.action.own_cluster for step in experiment.steps)
    yield "the embedded cluster" if made else "a cluster"
    if experiment.from_inside:
        yield "chaoskit's own image"
    if any(getattr(step.action, "zone", "") for step in experiment.steps):
        yield "zones"
    if any(check.kind == "autoscale" for check in experiment.expect):
        yield "metrics-server"
    queries = [*experiment.metrics.values(), *(q for check in experiment.expect for q in check.metrics().values())]
    if queries:
        yield "Prometheus"
    for name, prefix in EXPORTERS.items():
        if any(re.search(rf"\b{prefix}", query) for query in queries):
            yield name


def planned_s(experiment: spec.Experiment) -> float:
    steady = 2 * experiment.steady_state.for_ if experiment.steady_state else 0.0
    return BEFORE_S + steady + sum(step.watch_s for step in experiment.steps) + AFTER_S


def weak_apps(experiment: str) -> list[str]:
    found = []
    for file in sorted((ROOT / "tests" / "weak").glob("*/fails.yaml")):
        told = yaml.safe_load(file.read_text(encoding="utf-8"))
        cases = told if isinstance(told, list) else [told]
        found += [file.parent.name for case in cases if case["experiment"] == experiment]
    return found


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def page(head: str, sections: Iterator[str]) -> str:
    return MARK + "\n".join([textwrap.dedent(head), *sections]).rstrip() + "\n"


def files() -> Mapping[Path, str]:
    """Every generated file with the text that it should have."""
    return {
        ROOT / "docs" / "experiment-file.md": experiment_page(),
        ROOT / "docs" / "actions.md": actions_page(),
        ROOT / "docs" / "checks.md": checks_page(),
        ROOT / "experiments" / "schema.json": spec.schema(),
        ROOT / "experiments" / "README.md": gallery_page(),
    }


def main() -> None:
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
