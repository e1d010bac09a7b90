"""Generated experiments: every action and every check, with values as people could write them."""

from __future__ import annotations

from hypothesis import strategies as st

from chaoskit import spec, units
from chaoskit.actions.call import Call
from chaoskit.actions.change_load import ChangeLoad
from chaoskit.actions.cordon_node import CordonNode
from chaoskit.actions.drain_node import DrainNode
from chaoskit.actions.kill_container import KillContainer
from chaoskit.actions.kill_pod import KillPod
from chaoskit.actions.look_up import LookUp
from chaoskit.actions.lose_node import FreezeNode, PowerOffNode, UnplugNode
from chaoskit.actions.platform_server import FreezeServer, KillServer
from chaoskit.actions.reach import Reach
from chaoskit.actions.recreate_service import RecreateService
from chaoskit.actions.roll_back import RollBack
from chaoskit.actions.roll_out import RollOut
from chaoskit.actions.scale import Scale
from chaoskit.actions.switch_service import SwitchService
from chaoskit.actions.undo import Undo
from chaoskit.checks.autoscale import Autoscale
from chaoskit.checks.back_off import BackOff
from chaoskit.checks.baseline import Baseline
from chaoskit.checks.caught_up import CaughtUp
from chaoskit.checks.discovered import Discovered
from chaoskit.checks.distribution import Distribution
from chaoskit.checks.drained import Drained
from chaoskit.checks.durable import Durable
from chaoskit.checks.error_budget import ErrorBudget
from chaoskit.checks.metric import Metric
from chaoskit.checks.out_of_endpoints import OutOfEndpoints
from chaoskit.checks.outage import Outage
from chaoskit.checks.reached import Reached
from chaoskit.checks.recovery import Recovery
from chaoskit.checks.restart import Restart
from chaoskit.checks.rollout import Rollout
from chaoskit.checks.share import Share
from chaoskit.checks.spread import Spread
from chaoskit.checks.steady_state import SteadyState
from chaoskit.checks.switched import Switched
from chaoskit.conditions import MEASURES
from chaoskit.contracts import Action, Check

LINES = st.text(st.characters(categories=("L", "N", "P", "S", "Zs"), max_codepoint=0x1F9FF), min_size=1, max_size=30)
NAMES = LINES.filter(lambda text: text.isprintable() and bool(text.strip()))
TEXTS = st.text(st.characters(categories=("L", "N", "P", "S", "Z"), include_characters="\n\t"), max_size=40)
TRICKY = st.sampled_from(
    ["", "on", "true", "1:30", "1e5", "08", ".5", "null", "~", "0x1f", "- a", "a: b", "#c", " x ", "'", "=", "<<"]
)
"""Texts that some YAML reads as something else."""
WORDS = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)

DURATIONS = st.one_of(
    st.builds("{}{}".format, st.integers(1, 700), st.sampled_from(["us", "ms", "s", "m", "h"])),
    st.builds("{}m{}s".format, st.integers(1, 59), st.integers(0, 59)),
    st.builds("{}.{}s".format, st.integers(0, 99), st.from_regex(r"[0-9]{0,8}[1-9]", fullmatch=True)),
)
SHORT = st.builds("{}ms".format, st.integers(2, 10_000))
SHARES = st.one_of(
    st.builds("{}%".format, st.integers(0, 100)),
    st.builds("{}.{}%".format, st.integers(0, 99), st.from_regex(r"[0-9]{1,16}", fullmatch=True)),
)
SLOS = st.builds("{}.{}%".format, st.integers(1, 99), st.integers(1, 99))
RATES = st.builds("{}.{}/s".format, st.integers(1, 10**9 - 1), st.from_regex(r"[0-9]{1,9}", fullmatch=True))
WORKLOADS = st.builds("{}/{}".format, st.sampled_from(["deployment", "statefulset", "service", "pod"]), WORDS)
LIMITS = st.one_of(
    st.integers(0, 10**9).map(str),
    SHARES,
    st.builds("{}{}".format, st.integers(0, 10**6), st.sampled_from(["ms", "s", "/s", "Mi", "KB", "GiB", " %"])),
    st.floats(0, 1e12).map(repr),
)


def _only(cls, **keys):
    """Instances of a part with some of its keys given."""
    return st.fixed_dictionaries({}, optional=keys).map(cls.model_validate)


def _with(cls, needed, **keys):
    return st.fixed_dictionaries(needed, optional=keys).map(cls.model_validate)


ACTIONS: st.SearchStrategy[Action] = st.one_of(
    _with(
        KillPod,
        {"of": WORKLOADS},
        count=st.one_of(st.integers(1, 99), SHARES),
        mode=st.sampled_from(["delete", "evict", "now"]),
        grace=DURATIONS,
    ),
    _with(
        KillContainer,
        {"of": WORKLOADS},
        count=st.integers(1, 99),
        container=WORDS,
        signal=st.sampled_from(["KILL", "TERM", "SEGV"]),
    ),
    _with(
        Reach,
        {
            "of": WORKLOADS,
            "by": st.sampled_from(["load balancer", "node port", "cluster ip", "name"]),
            "from": WORKLOADS,
        },
        times=st.integers(1, 500),
        path=st.just("/items"),
        port=st.integers(1, 65535),
    ),
    _with(Reach, {"of": WORKLOADS, "by": st.sampled_from(["load balancer", "node port", "cluster ip"])}),
    _with(
        LookUp,
        {"of": WORKLOADS, "name": WORDS},
        **{"for": DURATIONS.filter(lambda text: units.duration(text) > 0)},
        port=st.integers(1, 65535),
    ),
    _with(RecreateService, {"of": WORKLOADS}),
    _with(KillServer, {"of": st.sampled_from(["etcd", "kube-scheduler", "containerd@node2"])}),
    _with(FreezeServer, {"of": st.sampled_from(["kube-apiserver", "kubelet@node1"])}, **{"for": st.just("8.5s")}),
    _with(
        RollOut,
        {"of": WORKLOADS, "env": st.dictionaries(WORDS, st.none() | TRICKY, min_size=1, max_size=2)},
        image=WORDS,
        container=WORDS,
        patch=st.dictionaries(WORDS, TRICKY | st.integers() | st.lists(TRICKY, max_size=2), max_size=2),
    ),
    _with(Scale, {"of": WORKLOADS, "to": st.integers(0, 99)}),
    _with(SwitchService, {"of": WORKLOADS, "to": st.dictionaries(WORDS, TRICKY, min_size=1, max_size=2)}),
    _with(ChangeLoad, {"users": st.integers(0, 100_000)}, over=DURATIONS),
    _with(
        Call,
        {"of": WORKLOADS, "path": st.sampled_from(["/", "/crash?code=1"]), "port": st.integers(1, 65535)},
        count=st.one_of(st.integers(1, 99), SHARES),
        container=WORDS,
        until=st.sampled_from(["answered", "not ready", "ended", "restarted"]),
    ),
    *(
        _only(action, name=WORDS, of=WORKLOADS, zone=WORDS, count=st.one_of(st.integers(1, 9), SHARES))
        for action in (CordonNode, PowerOffNode, FreezeNode, UnplugNode)
    ),
    _only(DrainNode, name=WORDS, of=WORKLOADS, zone=WORDS, count=st.integers(1, 9), within=DURATIONS),
)


@st.composite
def conditions(draw, names):
    op = draw(st.sampled_from(["<", "<=", ">", ">=", "=="]))
    return f"{draw(names)} {op} {draw(LIMITS)}"


@st.composite
def checks(draw, steps, names) -> Check:
    of = st.sampled_from(steps)
    return draw(
        st.one_of(
            _with(
                Rollout,
                {"of": of, "within": DURATIONS},
                ends=st.sampled_from(["finished", "stopped"]),
                keep_ready=st.integers(0, 9),
            ),
            _with(
                Switched,
                {"of": of, "to": WORDS, "within": DURATIONS},
                by=st.sampled_from(["colour", "version"]),
                lost=st.integers(0, 9),
                connections=st.sampled_from(["fresh", "kept", "users", "all"]),
            ),
            _with(
                Share,
                {"of": of, "is": WORDS, "expected": SHARES},
                by=st.sampled_from(["version", "colour", "pod"]),
                tolerance=SHARES.filter(lambda text: units.share(text) > 0),
                settle=DURATIONS,
            ),
            _with(Recovery, {"of": of, "within": DURATIONS}, pods=WORKLOADS),
            _with(Drained, {"of": of, "within": DURATIONS}),
            _with(
                Spread,
                {"of": WORKLOADS, "after": of},
                over=st.sampled_from(["node", "zone"]),
                skew=st.integers(1, 9),
                when=st.sampled_from(["at the end", "always"]),
            ),
            _with(
                Restart,
                {"of": of, "within": DURATIONS, "as": st.sampled_from(["needed", "policy"])},
                times=st.integers(1, 9),
            ),
            _with(Restart, {"of": of, "as": st.just("none")}),
            _with(OutOfEndpoints, {"of": of, "within": DURATIONS}),
            _with(BackOff, {"of": of, "within": st.sampled_from(["2s", "4s", "1m"])}, restarts=st.integers(1, 9)),
            _with(CaughtUp, {"of": of, "within": DURATIONS}),
            _with(Reached, {"of": of}, pods=st.sampled_from(["all ready", "none"])),
            _with(Distribution, {"of": of, "over": WORKLOADS}, connections=st.sampled_from(["fresh", "kept"])),
            _with(
                Discovered,
                {"of": of, "service": WORKLOADS, "within": DURATIONS},
                by=st.sampled_from(["used", "dns", "environment"]),
            ),
            _with(
                Outage,
                {"of": of, "at_most": DURATIONS},
                lost=st.integers(0, 99),
                connections=st.sampled_from(["fresh", "kept"]),
            ),
            _with(
                Baseline,
                {"of": of, "measure": st.sampled_from(sorted(MEASURES)), "times": st.floats(0.01, 1e6)},
            ),
            _with(ErrorBudget, {"slo": SLOS, "at_most": SHARES}, of=of, over=DURATIONS),
            _with(Durable, {"of": of}, no_writes_for=DURATIONS),
            _with(
                Autoscale,
                {"hpa": WORDS, "at_most": st.integers(1, 99)},
                of=of,
                up_within=DURATIONS,
                settle_within=DURATIONS,
                reversals=st.integers(0, 9),
                formula=st.booleans(),
            ),
            _with(
                Metric,
                {"holds": conditions(names)},
                of=of,
                when=st.sampled_from(["always", "at the end"]),
            ),
            st.just(SteadyState()),
        )
    )


LOADS = st.one_of(
    st.none(),
    st.just(spec.Load(locustfile="none")),
    _only(spec.Load, must_reach=RATES),
    _only(
        spec.Load,
        locustfile=st.sampled_from(["shopper", "load/mine.py"]),
        users=st.integers(1, 100_000),
        spawn_rate=RATES,
        pulse=_only(spec.Pulse, path=st.sampled_from(["/", "/orders?x=1"]), period=SHORT, timeout=SHORT),
    ),
)


QUERIES = st.just('up{ns="$namespace"}') | TEXTS.map(
    lambda text: 'up{a="' + "".join(c for c in text if c.isprintable() and c not in '"\\$') + '"}\n'
)
"""PromQL with whatever can stand in a label's value."""


@st.composite
def experiments(draw) -> spec.Experiment:
    """Valid experiments."""
    load = draw(LOADS)
    own = draw(st.lists(st.from_regex(r"m_[A-Za-z0-9_]{0,8}", fullmatch=True), unique=True, max_size=3))
    queries = {name: draw(QUERIES) for name in own}
    known = [*own, *(m for m in MEASURES if load and (load.locustfile != "none" or m.startswith("pulse")))]
    names = st.sampled_from(known or ["none"])
    users = load is not None and load.locustfile != "none"
    actions = ACTIONS.filter(lambda action: users or not action.needs_users())
    steps = draw(st.lists(st.builds(spec.Step, NAMES, actions, DURATIONS.map(_seconds)), min_size=1, max_size=3))
    steps = list({step.name: step for step in steps}.values())
    if draw(st.booleans()):
        steps.append(spec.Step("put back what was done first", Undo(of=steps[0].name), 5.0))
    if draw(st.booleans()):
        back = RollBack.model_validate({"of": "deployment/front", "before": steps[0].name})
        steps.append(spec.Step("roll back what was done first", back, 5.0))
    steady = draw(st.none() | _steady(names)) if known else None
    stop_if = draw(st.lists(conditions(names), max_size=2)) if known else []
    return spec.Experiment(
        name=draw(NAMES | TRICKY.filter(lambda t: bool(t.strip()))),
        why=draw(TEXTS | TRICKY),
        app=draw(_only(spec.App, manifests=TRICKY, namespace=WORDS, service=WORDS, port=st.integers(1, 65535))),
        load=load,
        metrics=queries,
        steady_state=steady,
        steps=tuple(steps),
        expect=tuple(draw(st.lists(_checks([s.name for s in steps], names, known, load), min_size=1, max_size=4))),
        safety=draw(_safety(stop_if)),
        labels=draw(st.dictionaries(TRICKY | TEXTS, TRICKY | TEXTS, max_size=2)),
        repeat=draw(st.integers(1, 1000)),
    )


def _seconds(text: str) -> float:
    from chaoskit.units import duration

    return duration(text)


def _steady(names):
    return _with(spec.Steady, {"hold": st.lists(conditions(names), min_size=1, max_size=3), "for": DURATIONS})


def _safety(stop_if):
    return _with(spec.Safety, {"stop_if": st.just(stop_if)}, at_most=SHARES, keep_ready=st.integers(0, 9))


def _checks(steps, names, known, load):
    def possible(check: Check) -> bool:
        if isinstance(check, Outage):
            return load is not None and check.at_most >= 2 * load.pulse.period
        return bool(known) or not isinstance(check, Metric)

    return checks(steps, names).filter(possible)
