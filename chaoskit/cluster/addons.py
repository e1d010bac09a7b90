"""What every cluster gets on top of bare Kubernetes: `addons/*.yaml`, posted as they are."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from chaoskit.cluster.api import Api, ApiError, Object
from chaoskit.cluster.certificates import Authority
from chaoskit.cluster.patience import allowed_s
from chaoskit.errors import ClusterError

FOLDER = Path(__file__).with_name("addons")
CREATE_DEADLINE_S = 20.0
# The collections of the kinds that add-ons use; "{}" stands for the namespace.
COLLECTIONS = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Service": "/api/v1/namespaces/{}/services",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "StorageClass": "/apis/storage.k8s.io/v1/storageclasses",
    "APIService": "/apis/apiregistration.k8s.io/v1/apiservices",
}


def objects() -> Iterator[Object]:
    for file in sorted(FOLDER.glob("*.yaml")):
        yield from yaml.load_all(file.read_text(), yaml.CSafeLoader)


def install(api: Api) -> None:
    """Create every object; one that is there already stays as it is."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda item: _create(api, item), objects()))


def personalise(api: Api, authority: Authority) -> None:
    """Give the add-ons what belongs to this cluster alone: its authority, and a certificate signed by it.

    Kubernetes publishes the authority too, but only once its controllers run; pods start earlier with this.
    """
    root = authority.pair.certificate
    for namespace in ("kube-system", "default"):
        _create(api, _named("ConfigMap", namespace, "kube-root-ca.crt", data={"ca.crt": root.decode()}))
    pair = authority.issue("metrics-server", addresses=["metrics-server.kube-system.svc"])
    data = {"tls.crt": _base64(pair.certificate), "tls.key": _base64(pair.key)}
    _create(api, _named("Secret", "kube-system", "metrics-server-tls", type="kubernetes.io/tls", data=data))
    path = f"{COLLECTIONS['APIService']}/v1beta1.metrics.k8s.io"
    api.merge(path, {"spec": {"caBundle": _base64(root)}})


def _named(kind: str, namespace: str, name: str, **rest: object) -> Object:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"namespace": namespace, "name": name}, **rest}


def _base64(data: bytes) -> str:
    return b64encode(data).decode()


def _create(api: Api, item: dict[str, Any]) -> None:
    path = COLLECTIONS[item["kind"]].format(item["metadata"].get("namespace", ""))
    end = time.monotonic() + allowed_s(CREATE_DEADLINE_S)
    while True:
        try:
            api.request("POST", path, item)
            return
        except ApiError as error:
            if error.status == 409:
                return
            # kube-system, priority classes and the roles of Kubernetes itself are made moments after the start.
            if error.status not in (403, 404) or time.monotonic() > end:
                raise ClusterError(
                    f"the add-on {item['kind']} {item['metadata']['name']} could not be created", why=str(error)
                ) from error
        time.sleep(0.05)
