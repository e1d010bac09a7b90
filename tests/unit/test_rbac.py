"""The least rights as RBAC objects: all that is needed, nothing beside it, and as far down as it can be granted."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from stories import EXPERIMENT, NAMESPACE, RUN, SHOP

from chaoskit import heal, rbac, spec
from chaoskit.model import Right
from chaoskit.plan import Plan
from chaoskit.session import Options, Session

GALLERY = sorted((Path(__file__).parents[2] / "experiments").glob("*.yaml"))
DRAIN = EXPERIMENT.replace("kill_pod: {of: deployment/front, mode: now}", "drain_node: {of: deployment/front}")


def fresh(text=EXPERIMENT):
    return Plan(spec.loads(text), RUN, NAMESPACE, 1, SHOP)


def there(text=EXPERIMENT, namespace="shop"):
    return Plan(spec.loads(text.replace("load:", f"app: {{namespace: {namespace}}}\nload:")), RUN, namespace, 1)


def granted(documents):
    """(verb, group, resource, namespace) of all that the account may do, as the API server reads it."""
    accounts = {(d["metadata"]["name"], d["metadata"]["namespace"]) for d in documents if d["kind"] == "ServiceAccount"}
    roles = {
        (d["kind"], d["metadata"]["name"], d["metadata"].get("namespace", "")): d["rules"]
        for d in documents
        if "rules" in d
    }
    found = set()
    for binding in (d for d in documents if d["kind"].endswith("Binding")):
        assert {(s["name"], s["namespace"]) for s in binding["subjects"]} == accounts
        space = binding["metadata"].get("namespace", "")
        for rule in roles[binding["roleRef"]["kind"], binding["roleRef"]["name"], space]:
            found |= {
                (verb, group, resource, space)
                for verb in rule["verbs"]
                for group in rule["apiGroups"]
                for resource in rule["resources"]
            }
    return found


def as_granted(right, space):
    resource = f"{right.resource}/{right.subresource}" if right.subresource else right.resource
    return right.verb, right.group, resource, space


def test_in_a_namespace_that_is_there_a_role_grants_it_and_no_cluster_role_but_for_nodes():
    plan = there()
    found = granted(list(rbac.documents([plan])))
    assert found == {as_granted(right, right.namespace) for right in heal.rights(plan)}
    assert {(verb, resource) for verb, _, resource, space in found if not space} == {
        ("list", "nodes"),
        ("watch", "nodes"),
    }


def test_what_a_namespace_to_be_made_takes_is_granted_in_the_cluster():
    found = granted(list(rbac.documents([fresh(DRAIN)])))
    assert ("delete", "", "pods", "") in found
    assert ("create", "", "pods/eviction", "") in found
    assert {space for *_, space in found} == {"", "default"}
    assert {resource for *_, resource, space in found if space} == {"leases"}


def test_several_experiments_share_one_account():
    plans = [there(), there(DRAIN), there(namespace="mill")]
    documents = list(rbac.documents(plans))
    assert [d["kind"] for d in documents].count("ServiceAccount") == 1
    needed = {as_granted(right, right.namespace) for plan in plans for right in heal.rights(plan)}
    everywhere = {one[:3] for one in needed if not one[3]}
    assert granted(documents) == {one for one in needed if not one[3] or one[:3] not in everywhere}


def test_rules_are_few():
    rights = [Right(verb, "", kind) for verb in ("list", "watch") for kind in ("pods", "services")]
    assert rbac.rules(rights) == [{"apiGroups": [""], "resources": ["pods", "services"], "verbs": ["list", "watch"]}]


@pytest.mark.parametrize("file", GALLERY, ids=lambda file: file.stem)
def test_each_experiment_of_the_gallery_gets_what_it_needs(file):
    plan = Session(Options(), print).plan_anywhere(spec.load(file))
    documents = list(yaml.safe_load_all(rbac.stream([plan])))
    found = granted(documents)
    for right in heal.rights(plan):
        assert as_granted(right, right.namespace) in found or as_granted(right, "") in found, right
