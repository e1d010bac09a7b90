"""One run as a seed makes it up: the cluster and its app, the experiment, what goes wrong, and the death. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from chaoskit import spec
from chaoskit.adapters.fake import Fault
from chaoskit.simulation.recipes import RECIPES, Ground
from chaoskit.spec import Experiment

MOST_NODES = 5
MEDDLING = (
    "cordon",
    "label a node",
    "scale",
    "scale the store",
    "set a variable",
    "label a deployment",
    "select",
    "kill a pod",
)
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
LONGEST_S = 8.0
"""Most runs end within this; what is to happen at a moment happens before it, more often early than late."""
MOST_LINES, MOST_CALLS = 50, 60
HEALERS = ("folder", "cluster", "any", "janitor")
"""`chaoskit heal FOLDER`; `chaoskit heal RUN` without its folder; `chaoskit heal`, of all runs that have ended; and a
janitor in the cluster, that looks during the run already."""
BASE = spec.loads(
    """\
name: simulated
app: {service: front, ready_within: 12s}
load: none
steps: [{name: first, cordon_node: {name: node1}, watch: 300ms}]
expect: [{reached: {of: first}}]
"""
)


@dataclass(frozen=True, slots=True)
class Death:
    """When chaoskit is killed: at a `line` of its journal (before it, after it, or with half of it written), at a
    `call` of the cluster (before it, or after it took effect), or at a `moment`, whatever it is doing."""

    at: str
    number: float
    how: str = "before"

    def __str__(self) -> str:
        if self.at == "moment":
            return f"{self.number:.3f} s after its start"
        return f"{'in the midst of' if self.how == 'torn' else self.how} {self.at} {int(self.number)}"


@dataclass(frozen=True, slots=True)
class Shop:
    """The app under test, and the cluster that it is on."""

    nodes: int
    fronts: int
    stores: int
    probed: bool
    budget: int | None
    fresh: bool
    """chaoskit deploys it into a namespace of its own; else it is there already."""
    cordoned: frozenset[str] = frozenset()
    protected: frozenset[str] = frozenset()
    """Nodes with the annotation that protects them."""
    control: frozenset[str] = frozenset()
    """Control-plane nodes."""
    protected_pods: bool = False


@dataclass(frozen=True, slots=True)
class Meddling:
    """What somebody else does (bystanders.py) at a moment."""

    moment: float
    what: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong meanwhile, beside what the experiment does. Moments in seconds after the run's start."""

    chances: Mapping[Fault, float]
    away_s: float
    """How long the API is away when it is."""
    gaps: tuple[tuple[float, float], ...] = ()
    """(moment, seconds): every watch is broken for so long."""
    jumps: tuple[tuple[float, float], ...] = ()
    """(moment, seconds): the wall clock is set."""
    signals: tuple[tuple[float, str], ...] = ()
    meddling: tuple[Meddling, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    seed: int
    experiment: Experiment
    shop: Shop
    trouble: Trouble
    death: Death | None
    healer: str
    """Who heals what the run left: see HEALERS."""
    death_in_heal: Death | None
    """The first `chaoskit heal` is killed as well."""


def scenario(seed: int, verb: str = "") -> Scenario:
    """The run of a seed; with `verb`, one that takes a step of this action."""
    rng = random.Random(f"scenario {seed} {verb}")  # noqa: S311 - a simulation, and it must be repeatable
    shop = _shop(rng)
    made = Scenario(
        seed=seed,
        experiment=_experiment(rng, shop, verb),
        shop=shop,
        trouble=_trouble(rng),
        death=_death(rng) if rng.random() < 0.6 else None,
        healer=rng.choice(HEALERS),
        death_in_heal=Death("call", rng.randrange(12), _side(rng)) if rng.random() < 0.3 else None,
    )
    return replace(made, experiment=_from_inside(made.experiment)) if rng.random() < 0.3 else made


def _from_inside(experiment: Experiment) -> Experiment:
    """With its load in pods, where it has one that can be."""
    if experiment.load is None or any(step.action.hits_platform for step in experiment.steps):
        return experiment
    return replace(experiment, load=experiment.load.model_copy(update={"workers": 1}))


def undisturbed(made: Scenario) -> Scenario:
    """The same without any trouble and death."""
    return replace(made, trouble=Trouble({}, 1.0), death=None, death_in_heal=None)


def _shop(rng: random.Random) -> Shop:
    number = rng.randint(2, MOST_NODES)
    nodes = [f"node{i + 1}" for i in range(number)]
    rng.shuffle(nodes)
    some = [frozenset(nodes[i : i + 1]) if rng.random() < 0.25 and i < number - 1 else frozenset() for i in range(3)]
    fronts = rng.randint(1, 4)
    return Shop(
        nodes=number,
        fronts=fronts,
        stores=rng.choice((1, 1, 2)),
        probed=rng.random() < 0.5,
        budget=rng.randint(0, fronts) if rng.random() < 0.4 else None,
        fresh=rng.random() < 0.5,
        cordoned=some[0],
        protected=some[1],
        control=some[2],
        protected_pods=rng.random() < 0.05,
    )


def _experiment(rng: random.Random, shop: Shop, verb: str) -> Experiment:
    steps = _steps(rng, shop, verb)
    verbs = {next(key for key in step if key in RECIPES) for step in steps}
    users = "change_load" in verbs
    pulsed = users or rng.random() < 0.2
    load: Any = {"pulse": {"period": "200ms"}} | ({"users": 2} if users else {"locustfile": "none"})
    changes = {
        "app": {"namespace": "" if shop.fresh else "shop"},
        "load": load if pulsed else "none",
        "steps": steps,
        "safety": {
            "at_most": rng.choice(("50%", "50%", "34%", "100%")),
            "nodes_at_most": rng.choice(("34%", "34%", "67%", "100%")),
            "keep_ready": rng.choice((0, 0, 0, 1, 2)),
            "platform": bool(verbs & {"kill_server", "freeze_server"}) or rng.random() < 0.2,
        },
        "expect": [{"reached": {"of": steps[0]["name"]}}],
    }
    if pulsed and rng.random() < 0.5:
        changes["steady_state"] = {"hold": ["pulse_failures < 100%"], "for": "300ms", "within": "2s"}
    return spec.with_changes(BASE, changes)


def _steps(rng: random.Random, shop: Shop, verb: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    earlier: list[tuple[str, str]] = []
    wanted = rng.choice((1, 1, 2, 3))
    nodes = [f"node{i + 1}" for i in range(shop.nodes)]
    zones = [f"zone{i + 1}" for i in range(shop.nodes)]
    while len(found) < wanted or (verb and all(done != verb for _, done in earlier)):
        this = verb if verb and len(found) + 1 >= wanted else rng.choice(tuple(RECIPES))
        keys = RECIPES[this](Ground(rng, nodes, zones, earlier))
        if keys is None:
            this = {"roll_back": "roll_out"}.get(this, "scale")
            keys = RECIPES[this](Ground(rng, nodes, zones, earlier))
        name = f"{this.replace('_', ' ')} {len(found) + 1}"
        found.append({"name": name, this: keys, "watch": rng.choice(("100ms", "300ms", "1s"))})
        earlier.append((name, this))
    return found


def _trouble(rng: random.Random) -> Trouble:
    chance = rng.choice((0.0, 0.0, 0.01, 0.05))
    faults = (Fault.LOST, Fault.RESET, Fault.CONFLICT, Fault.BUDGET, Fault.ERROR, Fault.GAP)
    chances = {fault: chance for fault in faults if rng.random() < 0.7} if chance else {}
    if rng.random() < 0.1:
        chances[Fault.AWAY] = 0.01
    return Trouble(
        chances=chances,
        away_s=rng.choice((0.3, 2.0, 10.0)),
        gaps=tuple((_moment(rng), rng.choice((0.5, 5.0))) for _ in range(rng.choice((0, 0, 1, 2)))),
        jumps=tuple((rng.uniform(0, LONGEST_S), rng.uniform(-5000, 5000)) for _ in range(rng.choice((0, 0, 1, 2)))),
        signals=tuple((_moment(rng), rng.choice(SIGNALS)) for _ in range(rng.choice((0, 0, 0, 1, 2)))),
        meddling=tuple(Meddling(_moment(rng), rng.choice(MEDDLING)) for _ in range(rng.choice((0, 0, 1, 2, 3)))),
    )


def _death(rng: random.Random) -> Death:
    at = rng.choice(("line", "call", "moment"))
    if at == "line":
        return Death(at, _early(rng, MOST_LINES), rng.choice(("before", "after", "torn")))
    if at == "call":
        return Death(at, _early(rng, MOST_CALLS), _side(rng))
    return Death(at, _moment(rng))


def _side(rng: random.Random) -> str:
    return rng.choice(("before", "after"))


def _early(rng: random.Random, most: int) -> int:
    return min(rng.randrange(most), rng.randrange(most))


def _moment(rng: random.Random) -> float:
    return min(rng.uniform(0.0, LONGEST_S), rng.uniform(0.0, LONGEST_S))
