"""What every cluster gets on top of bare Kubernetes: `addons/*.yaml`, posted as they are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from chaoskit.cluster.api import Api, ApiError, Object
from chaoskit.errors import ClusterError

FOLDER = Path(__file__).with_name("addons")
CREATE_DEADLINE_S = 20.0
# The collections of the kinds that add-ons use; "{}" stands for the namespace.
COLLECTIONS = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
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


def _create(api: Api, item: dict[str, Any]) -> None:
    path = COLLECTIONS[item["kind"]].format(item["metadata"].get("namespace", ""))
    end = time.monotonic() + CREATE_DEADLINE_S
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
