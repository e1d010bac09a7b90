"""The manifests fit together, and keep what they teach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import chaoskit.refapp
from chaoskit.refapp.app.settings import read

MANIFESTS = Path(chaoskit.refapp.__file__).parent / "manifests"
FILES = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())["resources"]
OBJECTS: list[dict[str, Any]] = [
    found for file in FILES for found in yaml.safe_load_all((MANIFESTS / file).read_text())
]
WORKLOADS = [found for found in OBJECTS if found["kind"] == "Deployment"]
ROLES = ["front", "back", "store"]


def one(kind: str, name: str) -> dict[str, Any]:
    (found,) = [found for found in OBJECTS if found["kind"] == kind and found["metadata"]["name"] == name]
    return found


def pod(role: str) -> dict[str, Any]:
    return one("Deployment", role)["spec"]["template"]


def matches(selector: dict[str, str], role: str) -> bool:
    return selector.items() <= pod(role)["metadata"]["labels"].items()


def test_the_kustomization_names_every_file():
    assert sorted(FILES) == sorted(path.name for path in MANIFESTS.glob("*.yaml") if path.name != "kustomization.yaml")


def test_no_object_is_bound_to_a_namespace_or_named_twice():
    assert not [found for found in OBJECTS if "namespace" in found["metadata"]]
    named = [(found["kind"], found["metadata"]["name"]) for found in OBJECTS]
    assert len(named) == len(set(named))


def test_services_come_before_the_pods_that_are_to_have_their_variables():
    order = [(found["kind"], found["metadata"]["name"]) for found in OBJECTS]
    assert order.index(("Service", "store")) < order.index(("Deployment", "back"))
    assert order.index(("Service", "back")) < order.index(("Deployment", "front"))


@pytest.mark.parametrize("role", ROLES)
def test_all_that_selects_a_role_selects_its_pods_and_no_others(role):
    selectors = [one("Service", role)["spec"]["selector"], one("Deployment", role)["spec"]["selector"]["matchLabels"]]
    selectors += [
        rule["labelSelector"]["matchLabels"] for rule in pod(role)["spec"].get("topologySpreadConstraints", [])
    ]
    selectors += [
        found["spec"]["selector"]["matchLabels"]
        for found in OBJECTS
        if found["kind"] == "PodDisruptionBudget" and found["metadata"]["name"] == role
    ]
    for selector in selectors:
        assert [other for other in ROLES if matches(selector, other)] == [role]


@pytest.mark.parametrize("role", ROLES)
def test_ports_probes_and_scrapes_lead_to_the_port_that_is_served(role):
    (container,) = pod(role)["spec"]["containers"]
    (port,) = container["ports"]
    environment = {entry["name"]: entry.get("value", "") for entry in container["env"]}
    assert container["args"] == [role]
    assert read([role], environment).port == port["containerPort"]
    assert one("Service", role)["spec"]["ports"][0]["targetPort"] == port["name"] == "http"
    assert pod(role)["metadata"]["annotations"]["prometheus.io/port"] == str(port["containerPort"])
    for probe, path in (("startupProbe", "/startupz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        assert container[probe]["httpGet"] == {"path": path, "port": "http"}


def test_urls_lead_to_the_services():
    for role, variable, callee in (("front", "BACK_URL", "back"), ("back", "STORE_URL", "store")):
        (container,) = pod(role)["spec"]["containers"]
        environment = {entry["name"]: entry.get("value") for entry in container["env"]}
        assert environment[variable] == f"http://{callee}:{one('Service', callee)['spec']['ports'][0]['port']}"


@pytest.mark.parametrize("role", ROLES)
def test_a_pod_has_time_to_shut_down(role):
    (container,) = pod(role)["spec"]["containers"]
    settings = read([role], {entry["name"]: entry.get("value", "") for entry in container["env"]})
    needed = settings.drain_seconds + settings.finish_seconds
    assert needed < pod(role)["spec"]["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("role", ROLES)
def test_containers_have_requests_limits_and_few_rights(role):
    assert pod(role)["spec"]["automountServiceAccountToken"] is False
    assert pod(role)["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod(role)["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod(role)["spec"]["containers"]
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert set(container["resources"]["requests"]) == set(container["resources"]["limits"]) == {"cpu", "memory"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_autoscaler_starts_from_the_replicas_that_are_there():
    scaler = one("HorizontalPodAutoscaler", "front")["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "front"}
    assert scaler["minReplicas"] == one("Deployment", "front")["spec"]["replicas"] < scaler["maxReplicas"]


def test_the_store_keeps_its_data_on_a_claim_and_has_one_writer():
    volumes = pod("store")["spec"]["volumes"]
    assert volumes == [{"name": "data", "persistentVolumeClaim": {"claimName": "store"}}]
    assert one("PersistentVolumeClaim", "store")["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert one("Deployment", "store")["spec"]["replicas"] == 1
    assert one("Deployment", "store")["spec"]["strategy"] == {"type": "Recreate"}
