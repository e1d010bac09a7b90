"""The marks that a run leaves on what it changes: its intents, in an annotation of the object, and their taking away.

Each action says how it restores; what all of them owe (the object itself and no namesake of it, only what is still the
run's own change, the other intents left in place, a look before it says done) is here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from chaoskit.contracts import Healed, Intent
from chaoskit.errors import ConflictError, NotFoundError
from chaoskit.model import UNDO_ANNOTATION, Raw, Target
from chaoskit.objects import annotation, uid
from chaoskit.ports import Cluster

TRIES = 8
"""A controller may write an object's status between our look and our patch, again and again for a moment."""


LONGEST_STEM = 50
"""Of an object's name, in that of its stand-in: most names have at most 63 characters."""


def stand_in(target: Target) -> str:
    """The name of what carries an object's marks while it is away."""
    return f"{target.name[:LONGEST_STEM]}-{target.uid[:8]}"


def held(o: Raw, key: str) -> list[Mapping[str, Any]]:
    """The intents in one annotation."""
    found: list[Mapping[str, Any]] = json.loads(annotation(o, key) or "[]")
    return found


def remaining(o: Raw, key: str, n: int) -> str | None:
    """The annotation without intent `n`; None (which removes it) when it was the only one."""
    rest = [intent for intent in held(o, key) if intent.get("n") != n]
    return json.dumps(rest) if rest else None


def marked(o: Raw, intent: Intent) -> bool:
    """Whether the object still carries this intent."""
    return any(found.get("n") == intent.n for found in held(o, UNDO_ANNOTATION + intent.run))


def change(
    cluster: Cluster, kind: str, name: str, namespace: str, uid_: str, new: Callable[[Raw], dict[str, Any]]
) -> Raw:
    """Patches an object by what it is now: `new` makes the patch. Whoever changes it in between makes us look again, so
    nobody's change is overwritten. ConflictError if that happens again and again."""
    for left in reversed(range(TRIES)):
        present = cluster.get(kind, name, namespace)
        version = {"resourceVersion": present["metadata"]["resourceVersion"]}
        patch = new(present)
        patch = {**patch, "metadata": {**patch.get("metadata", {}), **version}}
        try:
            return cluster.patch(kind, name, patch, namespace, uid=uid_)
        except ConflictError:
            if not left or uid(cluster.get(kind, name, namespace)) != uid_:
                raise
    raise AssertionError("the last try returns or raises")


def restore(
    cluster: Cluster,
    intent: Intent,
    *,
    ours: Callable[[Raw], bool],
    back: Callable[[Raw], dict[str, Any]],
    restored: Callable[[Raw], bool],
    fix: str,
) -> Healed:
    """Undoes one intent on its object. `ours`: whether the object is still as the act left it; `back`: the patch that
    restores what was before; `restored`: whether that is so; `fix`: what to type where it did not work."""
    target = intent.target
    where = (target.kind, target.name, target.namespace)
    mine = False

    def new(present: Raw) -> dict[str, Any]:
        nonlocal mine
        mine = ours(present)
        return _without_mark(present, intent, back(present) if mine else {})

    try:
        present = cluster.get(*where)
        if not marked(present, intent):
            other = f"another {target.kind} carries the name now"
            return Healed(True, "nothing of it is left" if uid(present) == target.uid else other)
        # With another UID it was made anew by a later step, which handed the marks on.
        after = change(cluster, *where, uid(present), new)
    except NotFoundError:
        return Healed(True, f"the {target.kind} is gone")
    if mine and not restored(after):
        return Healed(False, f"{target} is not as it was before", fix)
    return Healed(True, "as it was before" if mine else "somebody changed it meanwhile, and it stays so")


def _without_mark(o: Raw, intent: Intent, patch: dict[str, Any]) -> dict[str, Any]:
    key = UNDO_ANNOTATION + intent.run
    return {**patch, "metadata": {"annotations": {key: remaining(o, key, intent.n)}}}
