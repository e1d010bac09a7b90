"""What must hold of every run, whatever happens in it: nothing beyond the limits, and no act without its line.

It looks at the cluster itself, not at what chaoskit knows of it, and reads the limits with eyes of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaoskit import lease, marks, notices, objects
from chaoskit.adapters.fake import Acted, FakeWorld
from chaoskit.journal import Entry
from chaoskit.model import PROTECT_ANNOTATION, UNDO_ANNOTATION, Raw, Target
from chaoskit.objects import CONTROL_PLANE_LABEL, SERVER, controller, ready, uid
from chaoskit.plan import Plan

NODE_ORDERS = ("power_off", "freeze", "unplug")
LOOKS = ("ask",)
"""Calls that are acts of a step, though they change nothing by themselves."""
ACTS_OF = {
    "call": None,
    "recreate_service": 2,
    "look_up": None,
    "reach": 0,
    "change_load": 0,
    "undo": None,
    "roll_back": None,
}
"""How many calls one act of an action is, where it is not one; None: any number."""
EMPTIES = ("drain_node",)
"""Its share is of the nodes: it moves all that is on them, within the floor and the budgets."""
PLATFORM = "kube-system"
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Deed:
    """A call that took effect, and how much of the journal was written before it."""

    act: Acted
    lines: int


@dataclass
class Watcher:
    """Looks at each act of a run right before it is made, and notes which limit it breaks."""

    world: FakeWorld
    plan: Plan
    deeds: list[Deed] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    _seen: int = 0
    _others_began: int = 0
    _hit: dict[tuple[str, str], dict[str, None]] = field(default_factory=dict)
    """By step and kind: the UIDs that it hit."""
    _foreign: set[int] = field(default_factory=set)
    """The numbers of the acts that somebody else made."""
    _about: tuple[str, str, str, list[str]] | None = None
    """(step, kind, UID, limits that it breaks) of the call that is under way."""

    def note(self, entry: Entry) -> None:
        self.entries.append(entry)

    def call(self, verb: str, given: tuple[Any, ...], over: bool) -> None:
        """A Mortal's hook around the cluster."""
        acts = self.world.cluster.acts
        new = [act for i, act in enumerate(acts[self._seen :], self._seen) if i not in self._foreign]
        self._seen = len(acts)
        self.deeds += [Deed(act, len(self.entries)) for act in new]
        if over and new and self._about is not None:
            self._take(*self._about)
        self._about = None if over else self._look(verb, given)

    def forget(self) -> None:
        """What was done until now was not the run's doing."""
        self._seen = len(self.world.cluster.acts)

    def others(self, _verb: str, _given: tuple[Any, ...], over: bool) -> None:
        """A hook around what others do in the midst of the run."""
        number = len(self.world.cluster.acts)
        if not over:
            self._others_began = number
        self._foreign.update(range(self._others_began, number))

    def own_acts(self) -> int:
        """How many acts there were so far that nobody else made."""
        return len(self.world.cluster.acts) - len(self._foreign)

    # ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _take(self, step: str, kind: str, uid_: str, broken: list[str]) -> None:
        """The call took effect."""
        self._hit.setdefault((step, kind), {})[uid_] = None
        self.broken += [f"{step}: {why}" for why in broken]

    def _look(self, verb: str, given: tuple[Any, ...]) -> tuple[str, str, str, list[str]] | None:
        hit, step = _hit(verb, given), self._step()
        if hit is None or not step or self._undoing():
            return None
        kind, name, namespace = hit
        if kind == SERVER:
            allowed = self.plan.experiment.safety.platform
            return step, kind, name, [] if allowed else [f"{name} is hit, and safety.platform is false"]
        found = next((o for o in self.world.cluster.there(kind, namespace) if objects.name(o) == name), None)
        return (step, kind, uid(found), list(self._breaks(step, kind, found))) if found else None

    def _breaks(self, step: str, kind: str, o: Raw) -> Iterator[str]:
        told, safety = f"{kind}/{objects.name(o)}", self.plan.experiment.safety
        place, hit = objects.namespace(o), {*self._hit.get((step, kind), ()), uid(o)}
        if place != ("" if kind == "node" else self.plan.namespace) and not (place == PLATFORM and safety.platform):
            yield f"{told} is in namespace {place}"
        if CONTROL_PLANE_LABEL in objects.labels(o) or objects.annotation(o, PROTECT_ANNOTATION):
            yield f"{told} is protected"
        if kind == "node":
            most = max(1, int(safety.nodes_at_most * len(self.world.cluster.there("node")) + ROUNDING))
            if len(hit) > most:
                yield f"{told} is node {len(hit)}; {most} are allowed"
        if kind == "pod":
            yield from self._breaks_of_pod(step, told, o, hit)

    def _breaks_of_pod(self, step: str, told: str, pod: Raw, hit: Collection[str]) -> Iterator[str]:
        owner, safety = controller(pod)[1], self.plan.experiment.safety
        kin = [p for p in self.world.cluster.there("pod") if controller(p)[1] == owner]
        left = sum(1 for p in kin if ready(p) and uid(p) not in hit)
        if owner and left < safety.keep_ready:
            yield f"{told} is hit with {left} ready pods beside it; safety.keep_ready is {safety.keep_ready}"
        if self._verb(step) not in EMPTIES:
            most = max(1, int(safety.at_most * len(kin) + ROUNDING))
            if len([p for p in kin if uid(p) in hit]) > most:
                yield f"{told} is one of {len(hit)} of {len(kin)} pods; {most} are allowed"

    def _verb(self, step: str) -> str:
        return next(s.action.verb for s in self.plan.experiment.steps if s.name == step)

    def _step(self) -> str:
        """The step that is being taken, or empty."""
        for entry in reversed(self.entries):
            if entry.kind == "step began":
                return str(entry.data["step"])
            if entry.kind in ("step ended", "phase"):
                return ""
        return ""

    def _undoing(self) -> bool:
        """Whether the step puts back what another did: limits are for what breaks."""
        last = next((e for e in reversed(self.entries) if e.kind == "intent"), None)
        return last is not None and last.data["verb"] in ("undo", "roll_back")


def _hit(verb: str, given: tuple[Any, ...]) -> tuple[str, str, str] | None:
    """(kind, name, namespace) of what a call would hit; None for one that hits nothing. Marks are no hits."""
    found = None
    if verb == "delete" and given[0] != lease.KIND:
        found = (given[0], given[1], *given[2:3])
    elif verb == "evict":
        found = ("pod", *given)
    elif verb == "signal":
        found = ("pod", objects.name(given[0]), objects.namespace(given[0]))
    elif (verb == "machine" and given[1] in NODE_ORDERS) or (verb == "server" and given[1] != "thaw"):
        found = ("node" if verb == "machine" else SERVER, given[0])
    elif verb == "patch" and given[0] != lease.KIND and not is_mark(given[2]):
        found = (given[0], given[1], *given[3:4])
    return (found[0], found[1], found[2] if len(found) > 2 else "") if found else None


def is_mark(patch: Raw) -> bool:
    """Whether a patch changes the run's annotations and nothing else."""
    notes = (patch.get("metadata") or {}).get("annotations") or {}
    return "spec" not in patch and all(key.startswith(UNDO_ANNOTATION) for key in notes)


# ── one line, one act ────────────────────────────────────────────────────────────────────────────────────────────────


def unaccounted(entries: Sequence[Entry], deeds: Sequence[Deed], plan: Plan) -> list[str]:
    """Acts without their line in the journal, and lines whose acts were not made."""
    found = []
    made: dict[int, int] = {}
    named = {e.data["n"]: e.data["target"]["name"] for e in entries if e.kind == "intent"}
    for deed in (deed for deed in deeds if deed.act.kind != lease.KIND):
        n = _line_of(entries[: deed.lines], deed.act, plan)
        if n is None:
            found.append(f"no line stands for {told(deed.act)}")
        elif n >= 0 and not _aside(deed.act, named[n]):
            made[n] = made.get(n, 0) + 1
    outcomes = {e.data["n"]: e.data["outcome"] for e in entries if e.kind == "outcome"}
    for entry in entries:
        if entry.kind == "intent" and entry.data["n"] in outcomes:
            n = entry.data["n"]
            found += _miscounted(entry, outcomes[n], made.get(n, 0))
    return found


def _miscounted(intent: Entry, outcome: str, made: int) -> list[str]:
    wanted = ACTS_OF.get(intent.data["verb"], 1)
    if wanted is None:
        return []
    right = {"done": range(wanted, wanted + 1), "unknown": range(wanted + 1)}.get(outcome, range(1))
    if made in right:
        return []
    return [f"intent {intent.data['n']} ({intent.data['what']}) ended {outcome}, and {made} acts were made"]


def _line_of(entries: Sequence[Entry], act: Acted, plan: Plan) -> int | None:
    """The number of the intent that an act belongs to; -1 for what belongs to deploying or healing as a whole; None for
    one that nothing announces."""
    intents = [e.data for e in entries if e.kind == "intent"]
    phase = next((e.data["name"] for e in reversed(entries) if e.kind == "phase"), "")
    if act.kind == "event":
        return -1 if act.name in [notices.name_of(plan.run, i["n"]) for i in intents] else None
    if phase == "deploy" and act.verb == "apply":
        return -1 if plan.fresh and act.namespace == plan.namespace else None
    if phase != "heal" and intents and not _over(entries, intents[-1]["n"]):
        last = intents[-1]
        if last["verb"] in ("undo", "roll_back"):
            return -1 if healable(intents, act, plan) else None
        if last["verb"] == "look_up" and act.verb in LOOKS:
            return int(last["n"])
        return int(last["n"]) if _concerns(last["target"], act) else None
    return -1 if phase == "heal" and healable(intents, act, plan) else None


def _over(entries: Sequence[Entry], n: int) -> bool:
    return any(e.kind == "outcome" and e.data["n"] == n for e in entries)


def healable(intents: Sequence[Any], act: Acted, plan: Plan) -> bool:
    """Whether an act may be the undoing of one of these intents."""
    if act.kind == "pod" and act.verb == "delete" and plan.fresh and act.namespace == plan.namespace:
        return True
    changed = [i["target"] for i in intents if i["change"]]
    return any(_concerns(target, act) for target in changed)


def _concerns(target: Any, act: Acted) -> bool:  # noqa: ANN401 - JSON
    """Whether an act is one on a target, or on a Service that stands in for it."""
    return bool(target["kind"] == act.kind and act.name in (target["name"], marks.stand_in(Target(**target))))


def _aside(act: Acted, named: str) -> bool:
    """What goes with an act and is none by itself: the mark on its target, and what stands in for it."""
    return act.name != named or (act.verb == "patch" and is_mark(act.body))


def told(act: Acted) -> str:
    where = f" in {act.namespace}" if act.namespace else ""
    return f"{act.verb} {act.kind}/{act.name}{where} at {act.at:.3f} {dict(act.body) or ''}".rstrip()
