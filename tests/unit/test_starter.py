"""A first experiment from what is there: it is a valid one, and says what will most likely not hold."""

from __future__ import annotations

import pytest

from chaoskit import spec, starter
from chaoskit.adapters.fake import FakeWorld, manifests
from chaoskit.errors import UsageError

PROBE = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 5, "initialDelaySeconds": 30}


def world(*, replicas=3, probe=None, service="LoadBalancer", budget=None, scaler=None):
    made = FakeWorld(3)
    made.cluster.create(manifests.namespace("shop"))
    deployment = manifests.deployment("web", replicas)
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        container.pop("readinessProbe", None)
        container.update({"readinessProbe": probe} if probe else {})
    made.cluster.create(deployment, "shop")
    has = deployment["spec"]["template"]["metadata"]["labels"]
    if service:
        ports = [{"port": 8080}]
        spec_ = {"type": service, "selector": dict(has), "ports": ports}
        made.cluster.create({"kind": "Service", "metadata": {"name": "web"}, "spec": spec_}, "shop")
    if budget is not None:
        spec_ = {"minAvailable": budget, "selector": {"matchLabels": dict(has)}}
        made.cluster.create({"kind": "PodDisruptionBudget", "metadata": {"name": "web"}, "spec": spec_}, "shop")
    if scaler:
        spec_ = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "minReplicas": scaler, "maxReplicas": 9}
        made.cluster.create({"kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"}, "spec": spec_}, "shop")
    return made


def written(made):
    return starter.write(starter.find(made.cluster, "web", "shop"), "shop")


@pytest.mark.parametrize("service", ["LoadBalancer", "ClusterIP", "NodePort", ""])
@pytest.mark.parametrize("budget", [None, 2, "50%"])
@pytest.mark.parametrize("probe", [None, PROBE])
def test_whatever_is_there_the_file_is_a_valid_experiment(service, budget, probe):
    experiment = spec.loads(written(world(service=service, budget=budget, probe=probe)))
    assert experiment.app.namespace == "shop"
    assert [step.action.verb for step in experiment.steps] == (
        ["kill_pod"] if budget is None else ["kill_pod", "drain_node"]
    )
    assert bool(experiment.app.url) == (service != "LoadBalancer")


def test_the_limits_follow_from_the_manifests():
    experiment = spec.loads(written(world(probe=PROBE, budget=2)))
    assert experiment.expect[0].within == 55
    assert experiment.safety.keep_ready == 2
    assert experiment.app.port == 8080


def test_what_will_not_hold_is_said():
    text = written(world(replicas=1, service="ClusterIP"))
    assert "# Mind: there is 1 replica" in text
    assert "no readinessProbe" in text
    assert "no PodDisruptionBudget" in text
    assert "Mind" not in written(world(probe=PROBE, budget=2))


def test_an_autoscalers_least_counts():
    text = written(world(probe=PROBE, budget=1, scaler=2))
    assert "hpa/web scales it between 2 and 9" in text


def test_a_deployment_that_is_not_there_is_told():
    with pytest.raises(UsageError, match="there is no deployment/api in namespace shop") as told:
        starter.find(world().cluster, "api", "shop")
    assert told.value.fix == "kubectl get deployments -n shop"
