"""What is to be deployed, as it is read: in order, and with the place of whatever is wrong."""

from __future__ import annotations

import pytest

from chaoskit.adapters import manifests
from chaoskit.errors import ChaoskitError

GOOD = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: front
  annotations: {built: 2027-01-15, when: 2027-01-15T08:00:00Z}
spec: {template: {spec: {containers: [{name: shop, image: shop}]}}}
---
# nothing
---
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: Service, metadata: {name: front}}
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: words}}
"""


def error(path, **more):
    with pytest.raises(ChaoskitError) as caught:
        manifests.read(path, **more)
    return caught.value


def written(tmp_path, content):
    file = tmp_path / "shop.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def test_what_pods_refer_to_is_applied_first_and_dates_are_texts(tmp_path):
    found = manifests.read(written(tmp_path, GOOD))
    assert [m["kind"] for m in found] == ["ConfigMap", "Service", "Deployment"]
    assert found[2]["metadata"]["annotations"] == {"built": "2027-01-15", "when": "2027-01-15T08:00:00Z"}


@pytest.mark.parametrize(
    ("content", "place", "says"),
    [
        (b"kind: Service\nmetadata: {name: caf\xe9}\n", ":2:21", "not UTF-8"),
        ("kind: Service\nspec: [1, 2\nx: 1\n", ":3:2", "no YAML"),
        ("kind: Service\nname: é\x07\n", ":2:9", "control characters are not allowed"),
        ("a: !!python/object:os.system x\n", ":1:4", "no YAML"),
        ("{a: 1}: b\n", ":1:1", "no YAML"),
        ("just words\n", ":1:1", "no Kubernetes object"),
        ("apiVersion: v1\nmetadata: {name: a}\n", ":1:1", "kind is missing"),
        ("---\nkind: Service\nmetadata: {name: a}\n", ":2:1", "apiVersion is missing"),
        ("apiVersion: v1\nkind: [Service]\n", ":1:1", "kind is ['Service'], not a text"),
        ("apiVersion: v1\nkind: Service\n", ":1:1", "a Service without metadata.name"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: 5}\n", ":1:1", "metadata.name is 5, not a text"),
        ("apiVersion: v1\nkind: Service\nmetadata: front\n", ":1:1", "metadata.name is missing"),
        ("apiVersion: v1\nkind: List\nitems:\n  - {apiVersion: v1, kind: Pod}\n", ":4:5", "metadata.name is missing"),
        ("apiVersion: v1\nkind: List\nitems: 5\n", ":3:8", "no list"),
        ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {}\n", ":1:1", "containers"),
        ("apiVersion: v1\nkind: Node\nmetadata: {name: a}\n", ":1:1", "a Node is in it"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path, content, place, says):
    file = written(tmp_path, content)
    found = error(file)
    assert found.where == f"{file}{place}"
    assert says in str(found)


def test_a_folder_without_manifests_and_one_that_is_not_there_say_what_to_do(tmp_path):
    assert "put *.yaml files there" in str(error(tmp_path))
    assert "app.manifests" in str(error(tmp_path / "no"))


def kubectl(tmp_path, script):
    program = tmp_path / "kubectl"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "kustomization.yml").write_text("resources: [shop.yaml]\n", encoding="utf-8")
    return {"path": tmp_path / "app", "kubectl": program}


def test_a_kustomization_that_takes_too_long_is_given_up(tmp_path):
    found = error(**kubectl(tmp_path, "exec sleep 30"), within_s=0.2)
    assert "was not built within 0.2 s" in str(found)
    assert "next: kubectl kustomize" in str(found)


def test_what_kustomize_says_and_builds_is_told_of(tmp_path):
    given = kubectl(tmp_path, "echo 'no such file: shop.yaml' >&2; exit 1")
    assert "no such file: shop.yaml" in str(error(**given))
    given["kubectl"].write_text("#!/bin/sh\necho 'apiVersion: v1'; echo 'kind: Service'\n", encoding="utf-8")
    assert error(**given).where == f"{tmp_path / 'app'} as built:1:1"
    given["kubectl"].chmod(0o644)
    assert "kubectl could not be started" in str(error(**given))
