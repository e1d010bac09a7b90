"""Kubernetes Events on what a run hits, so that `kubectl describe` tells an object's owner what happened and by whom.

They are told once the step has landed, never between an act and its consequences; one that is refused is left out.
"""

from __future__ import annotations

from chaoskit.contracts import Intent
from chaoskit.lease import SHARED, stamp
from chaoskit.model import Raw, Right
from chaoskit.plan import Plan, run_labels

REASON = "ChaosExperiment"
CONTROLLER = "chaoskit.io/chaoskit"
LONGEST_NOTE, LONGEST_INSTANCE = 1024, 128
"""In bytes (pkg/apis/core/validation, events.go)."""


def rights(planned: Plan) -> tuple[Right, ...]:
    return tuple(Right("create", "events.k8s.io", "events", space) for space in spaces(planned))


def spaces(planned: Plan) -> tuple[str, ...]:
    """Where Events are written: an action that takes no right in a namespace changes nothing there to tell of."""
    actions = [step.action for step in planned.experiment.steps]
    hit = [right.namespace for action in actions for right in action.rights(planned.namespace) if right.namespace]
    nodes = [SHARED] if any("node" in action.annotates for action in actions) else []
    return tuple(dict.fromkeys((*hit, *nodes)))


def name_of(run: str, n: int) -> str:
    """The Event that tells of the run's intent `n`."""
    return f"chaoskit.{run}.{n}"


def event(planned: Plan, intent: Intent, hit: Raw, what: str, at_unix: float) -> Raw:
    """An Event on the object `hit`; those of objects without a namespace are in `default`."""
    target = intent.target
    of = f"step “{intent.step}” of the experiment “{planned.experiment.name}”"
    note = f"{what}: {of}, run {planned.run} of {planned.who or 'somebody'}"
    regarding = {"apiVersion": hit.get("apiVersion"), "kind": hit.get("kind"), "name": target.name, "uid": target.uid}
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": name_of(planned.run, intent.n),
            "namespace": target.namespace or SHARED,
            "labels": run_labels(planned.run),
        },
        "eventTime": stamp(at_unix),
        "reportingController": CONTROLLER,
        "reportingInstance": cut(planned.who or "chaoskit", LONGEST_INSTANCE),
        "action": intent.verb,
        "reason": REASON,
        "regarding": regarding | ({"namespace": target.namespace} if target.namespace else {}),
        "note": cut(note, LONGEST_NOTE),
        "type": "Normal",
    }


def cut(text: str, most: int) -> str:
    """So many bytes of a text at most, and no half of a character."""
    return text.encode()[:most].decode(errors="ignore")
