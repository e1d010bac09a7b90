"""Puts things back, from the journal or from the cluster alone.

An intent holds all that its undoing needs. Healing goes through the intents in reverse order, is idempotent, verifies
by looking, treats what is gone as healed, and says of what it could not heal what to type.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from chaoskit import journal, lease, loadpods, marks, notices, plan
from chaoskit.actions import ACTIONS
from chaoskit.contracts import Action, Healed, Intent
from chaoskit.errors import ChaoskitError, ForbiddenError, NotFoundError, PortError, UsageError
from chaoskit.journal import Entry
from chaoskit.model import RUN_LABEL, UNDO_ANNOTATION, Raw, Right, Target
from chaoskit.objects import labels, name, namespace, uid
from chaoskit.plan import Plan
from chaoskit.ports import Cluster

NAMESPACE = "namespace"
"""The verb of the engine's own act: a fresh namespace for the app."""
LOAD_POD = "load_pod"
"""The verb of another: a pod that carries the load."""
UNREADABLE = "unreadable"
"""The verb that stands for an annotation of ours that somebody changed into something else."""
GONE_WITHIN_S = 90.0
SLOW_TO_GO = ("pod", "persistentvolumeclaim")
"""What a namespace waits for when it is deleted: pods for their grace, claims for the pods that use them."""
LOOK_EVERY_S = 0.25
SLOWEST_LOOK_S = 2.0
PATIENCE_S = 60.0
"""How long, over all that is to be healed, an API that does not answer is asked again."""
Sleep = Callable[[float], None]


def rights(planned: Plan) -> tuple[Right, ...]:
    """All that a run and its healing need to be allowed. What an action's healing takes is among the action's own."""
    own = _namespace_rights(planned.namespace) if planned.fresh else ()
    kinds = annotated_kinds(step.action for step in planned.experiment.steps)
    looks = (_look_right(kind, planned.namespace) for kind in (*kinds, "pod"))
    load = loadpods.rights(planned)
    return tuple(
        dict.fromkeys((*plan.rights(planned), *load, *lease.rights(planned), *notices.rights(planned), *own, *looks))
    )


def annotated_kinds(actions: Iterable[Action | type[Action]]) -> tuple[str, ...]:
    """The kinds of objects that carry intents of these actions."""
    return tuple(sorted({kind for action in actions for kind in action.annotates}))


def _look_right(kind: str, namespace: str) -> Right:
    """What `found_in` calls for, for one kind."""
    return Right("list", plan.GROUPS.get(kind, ""), plan.plural(kind), _place(kind, namespace))


def _place(kind: str, namespace: str) -> str:
    """Where objects of a kind are looked for; nodes are the only ones without a namespace that actions change."""
    return "" if kind == "node" else namespace


def _namespace_rights(namespace: str) -> tuple[Right, ...]:
    """What `found_in`, `remove_namespace` and `_hasten` call for."""
    space = (Right(verb, "", "namespaces") for verb in ("get", "list", "delete"))
    within = (Right(verb, "", plan.plural(kind), namespace) for kind in SLOW_TO_GO for verb in ("list", "delete"))
    return (*space, *within)


def as_data(intent: Intent) -> dict[str, Any]:
    """The intent as the journal and the cluster's annotations hold it."""
    target = intent.target
    return {
        "run": intent.run,
        "n": intent.n,
        "step": intent.step,
        "verb": intent.verb,
        "change": dict(intent.change),
        "target": {
            "kind": target.kind,
            "name": target.name,
            "namespace": target.namespace,
            "uid": target.uid,
            "node": target.node,
            "prior": dict(target.prior),
        },
    }


def from_data(data: Mapping[str, Any]) -> Intent:
    return Intent(
        run=str(data["run"]),
        n=int(data["n"]),
        step=str(data["step"]),
        verb=str(data["verb"]),
        target=Target(**data["target"]),
        change=dict(data["change"]),
    )


def open_intents(entries: Iterable[Entry]) -> list[Intent]:
    """The intents of a journal that change something and are not reported as healed, in their order."""
    waiting: dict[int, Intent] = {}
    for entry in entries:
        if entry.kind == "intent" and entry.data.get("change"):
            intent = from_data(entry.data)
            waiting[intent.n] = intent
        elif entry.kind == "healed" and entry.data.get("done"):
            waiting.pop(int(entry.data["n"]), None)
    return [waiting[n] for n in sorted(waiting)]


def note(folder: Path | None, done: Sequence[tuple[Intent, Healed]]) -> None:
    """Writes into a run's journal what became of its intents later. A run that is under way all the same writes its
    journal itself, and finds everything healed."""
    if folder is None:
        return
    entries = journal.read(folder / journal.FILE)
    try:
        writing = journal.Journal(folder / journal.FILE)
    except UsageError:
        return
    last = entries[-1].at if entries else 0.0
    for intent, healed in done:
        writing.write("healed", last, n=intent.n, done=healed.done, how=healed.how, fix=healed.fix)
    writing.close()


def found_in(cluster: Cluster, run: str = "", within: str = "") -> list[Intent]:
    """What runs left on the cluster itself: annotated objects, in the order in which they were changed, and namespaces
    made for them. `run` narrows it to one, and what its user may not even list it cannot have changed; `within`, a
    namespace, asks for less rights than looking into all. An intent that stands on two objects (a Service that is being
    made anew, and what stands in for it) is one."""
    seen: dict[tuple[str, int, str], Intent] = {}
    for kind in annotated_kinds(ACTIONS.values()):
        for o in _listed(cluster, kind, run, within):
            for intent in _annotated(kind, o, run):
                seen.setdefault((intent.run, intent.n, intent.target.uid), intent)
    found = sorted(seen.values(), key=lambda intent: intent.n)
    found += _load_pods(cluster, run, within)
    with suppress(*((ForbiddenError,) if run else ())):
        found += _spaces(cluster, run)
    return found


def _listed(cluster: Cluster, kind: str, run: str, within: str, selector: str = "") -> Sequence[Raw]:
    """Who may not look into all namespaces may be allowed to in that of the run, which has to be named then."""
    try:
        return cluster.list(kind, _place(kind, within), selector)
    except ForbiddenError as error:
        if run and (within or kind == "node"):
            return ()
        if run:
            fix = f"name the run's namespace: chaoskit heal {run} -n NAMESPACE"
            raise ForbiddenError(error.what, where=error.where, why=error.why, fix=fix) from error
        raise


def _load_pods(cluster: Cluster, run: str, within: str) -> Iterator[Intent]:
    selector = f"{loadpods.ROLE_LABEL},{RUN_LABEL}" + (f"={run}" if run else "")
    for pod in _listed(cluster, "pod", run, within, selector):
        target = Target("pod", name(pod), namespace(pod), uid(pod))
        yield Intent(labels(pod)[RUN_LABEL], -1, "", LOAD_POD, target, {"created": True})


def _spaces(cluster: Cluster, run: str) -> Iterator[Intent]:
    for space in cluster.list("namespace"):
        owner = labels(space).get(RUN_LABEL, "")
        if owner and (not run or owner == run):
            yield namespace_intent(owner, space)


def _annotated(kind: str, o: Raw, run: str) -> list[Intent]:
    held: list[Intent] = []
    for key in o["metadata"].get("annotations") or {}:
        owner = key.removeprefix(UNDO_ANNOTATION)
        if owner != key and (not run or owner == run):
            held += _read(kind, o, key)
    return held


def _read(kind: str, o: Raw, key: str) -> list[Intent]:
    """The intents in one annotation. One that is broken must not keep the others from being healed."""
    run = key.removeprefix(UNDO_ANNOTATION)
    try:
        found = [from_data(data) for data in marks.held(o, key)]
        why = "" if all(_speaks_of(intent, kind, o, run) for intent in found) else "it speaks of something else"
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        why = repr(error)
    if not why:
        return found
    return [
        Intent(run, -1, "", UNREADABLE, Target(kind, name(o), namespace(o), uid(o), prior={"key": key, "why": why}))
    ]


def _speaks_of(intent: Intent, kind: str, o: Raw, run: str) -> bool:
    """Whether a mark is about the object that it stands on (or that this stands in for), and of an action that writes
    marks there. Who may write on his own object must not make healing, which may do more than he, act on others."""
    target, action = intent.target, ACTIONS.get(intent.verb)
    here = (target.kind, target.namespace, intent.run) == (kind, namespace(o), run)
    named = target.name == name(o) or name(o) == marks.stand_in(target)
    return here and named and (action is None or kind in action.annotates) and intent.verb not in (NAMESPACE, LOAD_POD)


def namespace_intent(run: str, space: Raw) -> Intent:
    name = str(space["metadata"]["name"])
    return Intent(run, -1, "", NAMESPACE, Target(NAMESPACE, name, "", uid(space)), {"created": True})


def annotate(cluster: Cluster, intent: Intent, as_chosen: Callable[[Raw], bool] = lambda _: True) -> None:
    """Writes the intent on its target, beside those that the run has there already, and only while the target is as it
    was chosen. UsageError on an object of a kind where nobody would look for it."""
    target = intent.target
    if target.kind not in annotated_kinds(ACTIONS.values()):
        raise UsageError(
            f"the action {intent.verb} would mark {target}, where healing by the cluster alone looks for none",
            fix=f'give the action annotates = ("{target.kind}",)',
        )
    key = UNDO_ANNOTATION + intent.run

    def with_mark(present: Raw) -> dict[str, Any]:
        if not as_chosen(present):
            raise PortError(f"somebody changed {target} just now")
        text = json.dumps([*marks.held(present, key), as_data(intent)], separators=(",", ":"))
        return {"metadata": {"annotations": {key: text}}}

    marks.change(cluster, target.kind, target.name, target.namespace, target.uid, with_mark)


def heal(cluster: Cluster, intents: Sequence[Intent], sleep: Sleep) -> list[tuple[Intent, Healed]]:
    """Undoes them, the last first. Never raises for one of them: the others are healed all the same."""
    return list(healing(cluster, intents, sleep))


def healing(cluster: Cluster, intents: Sequence[Intent], sleep: Sleep) -> Iterator[tuple[Intent, Healed]]:
    """Like `heal`, and tells of each as soon as it is done."""
    patience = PATIENCE_S
    for intent in reversed(intents):
        healed, patience = _heal_one(cluster, intent, sleep, patience)
        yield intent, healed


def _heal_one(cluster: Cluster, intent: Intent, sleep: Sleep, patience: float) -> tuple[Healed, float]:
    """(what became of it, patience left). An answer that was lost says nothing about whether the call took effect, so
    it looks again, less and less often."""
    pause = LOOK_EVERY_S
    while True:
        healed, again = _attempt(cluster, intent, sleep)
        if healed.done or not again or patience <= 0:
            return healed, patience
        sleep(pause)
        patience -= pause
        pause = min(2 * pause, SLOWEST_LOOK_S)


def _attempt(cluster: Cluster, intent: Intent, sleep: Sleep) -> tuple[Healed, bool]:
    """(what became of it, whether it may be different if tried again)."""
    try:
        return _undo(cluster, intent, sleep)
    except PortError as error:
        return Healed(False, str(error), f"chaoskit heal {intent.run}"), not isinstance(error, ForbiddenError)
    except ChaoskitError as error:
        return Healed(False, str(error), f"chaoskit heal {intent.run}"), False
    except Exception as error:  # the border around one healing: a mark that somebody wrote may say anything
        return _incomprehensible(intent, error), False


def _undo(cluster: Cluster, intent: Intent, sleep: Sleep) -> tuple[Healed, bool]:
    if intent.verb == NAMESPACE:
        return remove_namespace(cluster, intent, sleep), False
    if intent.verb == LOAD_POD:
        return remove_pod(cluster, intent), True
    if intent.verb == UNREADABLE:
        return _unreadable(intent), False
    action = ACTIONS.get(intent.verb)
    if action is None:
        fix = "install the distribution that offers it"
        return Healed(False, f"no action is called {intent.verb}", fix), False
    return action.heal(cluster, intent), True


def _incomprehensible(intent: Intent, error: Exception) -> Healed:
    """The others are healed all the same."""
    target, key = intent.target, UNDO_ANNOTATION + intent.run
    where = f" -n {target.namespace}" if target.namespace else ""
    return Healed(
        False,
        f"what the mark of {target} says cannot be undone: {type(error).__name__}: {error}",
        f"put {target} back as it should be; then kubectl annotate {target.kind} {target.name}{where} {key}-",
    )


def _unreadable(intent: Intent) -> Healed:
    """What the run changed of the object is not known any more: people decide."""
    target, key = intent.target, intent.target.prior["key"]
    where = f" -n {target.namespace}" if target.namespace else ""
    first = (
        f"kubectl uncordon {target.name}, if the run cordoned it"
        if target.kind == "node"
        else f"put {target} back as it should be"
    )
    return Healed(
        False,
        f"the annotation {key} of {target} is not as chaoskit wrote it: {intent.target.prior['why']}",
        f"{first}; then kubectl annotate {target.kind} {target.name}{where} {key}-",
    )


def _hasten(cluster: Cluster, within: str) -> None:
    """Ends what keeps a namespace that is being deleted, before the namespace's controller first looks (5 s after the
    deletion, and again 5 s after each change; pkg/controller/namespace): nobody is served there any more, and nothing
    can take its place. That this fails costs only time."""
    for kind in SLOW_TO_GO:
        with suppress(PortError):
            for o in cluster.list(kind, within):
                with suppress(PortError):
                    cluster.delete(kind, name(o), within, uid=uid(o), grace_s=0)


def _made_by(intent: Intent, present: Raw) -> bool:
    """Whether it is what the run made, and no namesake. The intent may not know the UID, which came afterwards."""
    return labels(present).get(RUN_LABEL) == intent.run and intent.target.uid in ("", uid(present))


def remove_pod(cluster: Cluster, intent: Intent) -> Healed:
    """Deletes a pod that a run made for its load."""
    target = intent.target
    try:
        present = cluster.get("pod", target.name, target.namespace)
        if not _made_by(intent, present):
            return Healed(True, "the pod belongs to somebody else now")
        cluster.delete("pod", target.name, target.namespace, uid=uid(present), grace_s=0)
        cluster.get("pod", target.name, target.namespace)
    except NotFoundError:
        return Healed(True, "the pod is gone")
    return Healed(False, f"{target} is still there", f"kubectl delete pod {target.name} -n {target.namespace} --now")


def remove_namespace(cluster: Cluster, intent: Intent, sleep: Sleep) -> Healed:
    """Deletes a namespace that a run made, and waits until it is gone."""
    target = intent.target
    fix = f"kubectl delete namespace {target.name}"
    try:
        present = cluster.get(NAMESPACE, target.name)
        if not _made_by(intent, present):
            return Healed(True, "the namespace belongs to somebody else now")
        cluster.delete(NAMESPACE, target.name, uid=uid(present))
        _hasten(cluster, target.name)
        for _ in range(int(GONE_WITHIN_S / LOOK_EVERY_S)):
            cluster.get(NAMESPACE, target.name)
            sleep(LOOK_EVERY_S)
    except NotFoundError:
        return Healed(True, "the namespace is gone")
    return Healed(False, f"namespace {target.name} is still being deleted after {GONE_WITHIN_S:.0f} s", fix)
