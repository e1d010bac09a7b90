"""What the audit log of an embedded cluster (`embedded.up(..., audit=True)`) tells of one account, beside the rights
that it was granted and beside the journals of its runs.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoskit import heal
from chaoskit import marks as marks_of
from chaoskit.adapters.kube import KubeCluster
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.journal import Entry
from chaoskit.model import Raw, Target

WRITES = ("create", "update", "patch", "delete")
REVIEW = "selfsubjectaccessreviews"
NO_OBJECTS = ("server", "load", "step")
"""Kinds of targets that the API server knows nothing of. What is put back of a step has lines of its own."""
ASKED_ELSEWHERE = ("call", "look_up", "reach", "kill_container", "power_off_node", "freeze_node", "unplug_node")
"""Acts on objects that are asked of pods, or of an embedded cluster's supervisor, and are no change by the API."""
HEALS = ("roll_back",)
"""Acts that heal an earlier one, which has a line of its own for that."""
UNMARKED = (heal.NAMESPACE, heal.LOAD_POD)
"""Acts of the engine's own on what it makes itself, and labels."""


@contextlib.contextmanager
def granting(roles: Sequence[Raw], api: KubeCluster) -> Iterator[None]:
    """Roles and their bindings, until the end."""
    for role in roles:
        api.apply(role)
    try:
        yield
    finally:
        for role in roles:
            about = role["metadata"]
            api.delete(role["kind"].lower(), about["name"], about.get("namespace", ""))


def log_size(cluster: EmbeddedCluster) -> int:
    """In bytes."""
    return _log(cluster).stat().st_size


def asked_by(user: str, cluster: EmbeddedCluster, skip: int = 0) -> list[Asked]:
    """What a user asked for since the log had `skip` bytes."""
    with _log(cluster).open("rb") as log:
        log.seek(skip)
        lines = map(json.loads, log.read().splitlines())
        once = {line["auditID"]: line for line in lines if line["user"]["username"] == user and "objectRef" in line}
    return [Asked.read(line) for line in once.values()]


def _log(cluster: EmbeddedCluster) -> Path:
    return cluster.state / "logs" / "audit.log"


@dataclass(frozen=True)
class Asked:
    """One request as the API server logged it."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    code: int

    @property
    def right(self) -> tuple[str, str, str, str]:
        return self.verb, self.group, self.resource, self.namespace

    @property
    def writes(self) -> bool:
        return self.verb in WRITES and self.code < 300 and self.resource != REVIEW

    @classmethod
    def read(cls, line: Mapping[str, Any]) -> Asked:
        ref = line["objectRef"]
        resource = "/".join(filter(None, (ref["resource"], ref.get("subresource", ""))))
        # A namespace is in itself, for the API server.
        space = "" if resource == "namespaces" else ref.get("namespace", "")
        named = ref.get("name", "")
        return cls(line["verb"], ref.get("apiGroup", ""), resource, space, named, line["responseStatus"]["code"])


def forbidden(asked: Iterable[Asked]) -> set[tuple[str, str, str, str]]:
    """The rights that were lacking. An API server that has just started again refuses some of what is granted, until it
    has read the roles."""
    asked = list(asked)
    return {one.right for one in asked if one.code == 403} - {one.right for one in asked if one.code < 400}


def granted(documents: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str, str, str]]:
    """(verb, group, resource, namespace) of all roles; the last is empty where it is granted in the whole cluster."""
    for role in (d for d in documents if "rules" in d):
        space = role["metadata"].get("namespace", "")
        for rule in role["rules"]:
            for verb in rule["verbs"]:
                for resource in rule["resources"]:
                    yield verb, rule["apiGroups"][0], resource, "" if resource == "namespaces" else space


def written(asked: list[Asked]) -> Counter[tuple[str, str]]:
    """How often each object was changed, beside what carries the run's own name (its Leases and Events), and what ended
    because its namespace did."""
    found: Counter[tuple[str, str]] = Counter()
    ended = set[str]()
    for one in (one for one in asked if one.writes and one.resource not in ("leases", "events")):
        if one.namespace not in ended:
            found[one.resource.split("/")[0], one.name] += 1
        if (one.verb, one.resource) == ("delete", "namespaces"):
            ended.add(one.name)
    return found


def announced(entries: tuple[Entry, ...]) -> Counter[tuple[str, str]]:
    """How often the journal says that each object was changed."""
    found: Counter[tuple[str, str]] = Counter()
    told = (e.data for e in entries if e.kind == "intent")
    intents = {data["n"]: data for data in told if data["target"]["kind"] not in NO_OBJECTS}
    done = {e.data["n"] for e in entries if e.kind == "outcome" and e.data["outcome"] == "done"}
    for n, intent in intents.items():
        target = intent["target"]
        key = (f"{target['kind']}s", target["name"])
        marks = 1 if intent["change"] and intent["verb"] not in UNMARKED else 0
        found[key] += marks + (n in done and intent["verb"] not in (*ASKED_ELSEWHERE, *HEALS))
        if intent["verb"] == "recreate_service" and n in done:
            # One act and four writes: deleted and made, while another stands in for it and goes again.
            found[key] += 1
            found[key[0], marks_of.stand_in(Target(**target))] += 2
    for entry in entries:
        if entry.kind == "healed" and entry.data["n"] in intents:
            target = intents[entry.data["n"]]["target"]
            found[f"{target['kind']}s", target["name"]] += 1
        if entry.kind == "deploying":
            kind, name = entry.data["what"].split("/")
            found[f"{kind}s", name] += 1
    return found
