"""The least rights that experiments need, as objects of Kubernetes' RBAC: a ServiceAccount, and what it may do.

What happens in a namespace that is there is granted in it, by a Role. A ClusterRole holds what belongs to no namespace
(nodes, namespaces themselves), and what happens in a namespace that a run makes: no Role can be there before it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import yaml

from chaoskit import heal
from chaoskit.lease import SHARED
from chaoskit.model import MANAGED_BY, Raw, Right
from chaoskit.plan import Plan

GROUP = "rbac.authorization.k8s.io"
ACCOUNT = "chaoskit"


def stream(plans: Sequence[Plan]) -> str:
    """All of it as one text for `kubectl apply -f -`."""
    about = sorted({plan.experiment.name for plan in plans})
    head = "".join(f"# {line}\n" for line in ("The least that chaoskit needs for:", *(f"  {name}" for name in about)))
    return head + yaml.safe_dump_all(documents(plans), sort_keys=False, width=120)


def documents(plans: Sequence[Plan]) -> Iterator[Raw]:
    home = next((plan.namespace for plan in plans if not plan.fresh), SHARED)
    named = ACCOUNT if home == SHARED else f"{ACCOUNT}-{home}"
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta(ACCOUNT, home)}
    yield from roles(needed(plans), named, home)


def roles(rights: Iterable[Right], named: str, home: str) -> Iterator[Raw]:
    """What grants rights to the ServiceAccount of chaoskit in the namespace `home`."""
    for space, within in by_namespace(rights).items():
        kind = "Role" if space else "ClusterRole"
        meta = _meta(named, space)
        yield {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": meta, "rules": rules(within)}
        yield {
            "apiVersion": f"{GROUP}/v1",
            "kind": f"{kind}Binding",
            "metadata": meta,
            "roleRef": {"apiGroup": GROUP, "kind": kind, "name": named},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": home}],
        }


def needed(plans: Iterable[Plan]) -> tuple[Right, ...]:
    """The rights of all, and nothing in a namespace of that what is granted in the whole cluster anyway."""
    found = [_placed(right, plan) for plan in plans for right in heal.rights(plan)]
    everywhere = {right for right in found if not right.namespace}
    return tuple(dict.fromkeys(r for r in found if not r.namespace or replace(r, namespace="") not in everywhere))


def _placed(right: Right, plan: Plan) -> Right:
    return replace(right, namespace="") if plan.fresh and right.namespace == plan.namespace else right


def by_namespace(rights: Iterable[Right]) -> Mapping[str, Sequence[Right]]:
    found: dict[str, list[Right]] = {}
    for right in rights:
        found.setdefault(right.namespace, []).append(right)
    return dict(sorted(found.items()))


def rules(rights: Iterable[Right]) -> list[dict[str, list[str]]]:
    """As few rules as say it: resources of one group that need the same verbs are together."""
    verbs: dict[tuple[str, str], set[str]] = {}
    for right in rights:
        resource = f"{right.resource}/{right.subresource}" if right.subresource else right.resource
        verbs.setdefault((right.group, resource), set()).add(right.verb)
    together: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), needs in sorted(verbs.items()):
        together.setdefault((group, tuple(sorted(needs))), []).append(resource)
    return [
        {"apiGroups": [group], "resources": resources, "verbs": list(needs)}
        for (group, needs), resources in together.items()
    ]


def _meta(name: str, namespace: str) -> dict[str, object]:
    return {"name": name} | ({"namespace": namespace} if namespace else {}) | {"labels": {MANAGED_BY: ACCOUNT}}
