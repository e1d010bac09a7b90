"""Where the API server keeps each kind of object: group, version, plural, with or without a namespace. Pure.

The kinds that chaoskit itself reads are in a table, so that reading them costs no discovery; every other kind is
found by asking the server (`kube.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from chaoskit.errors import PortError


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind as the API server's addresses name it."""

    kind: str
    """As manifests write it: `Deployment`."""
    group: str
    """Empty for the core group."""
    version: str
    plural: str
    namespaced: bool
    bookmarks: bool = True
    """Whether its watches carry bookmarks. Those of events do not: the API server keeps no cache of them."""

    @property
    def singular(self) -> str:
        return self.kind.lower()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def collection(self, namespace: str = "") -> str:
        """The path of all objects of this kind, in one namespace or in all."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{segment(namespace, 'namespace')}" if namespace and self.namespaced else ""
        return f"{root}{within}/{self.plural}"

    def object(self, name: str, namespace: str, subresource: str = "") -> str:
        """The path of one object.

        An empty name, or a dot that a client would fold away, would turn a request for one object into one for the
        whole collection (and a DELETE of it into the end of everything in it): refused here, for every verb.
        """
        if self.namespaced and not namespace:
            raise PortError(f"{self.singular}/{name} lives in a namespace, and none was given")
        path = f"{self.collection(namespace)}/{segment(name, self.singular)}"
        return f"{path}/{subresource}" if subresource else path


def segment(name: str, what: str) -> str:
    """`name` as one segment of a path. The rule is Kubernetes' own (apimachinery, IsValidPathSegmentName)."""
    if not name or name in (".", "..") or "/" in name or "%" in name:
        raise PortError(f"{name!r} cannot be the name of a {what}")
    return quote(name, safe="")


def _resource(kind: str, api_version: str, plural: str, *, namespaced: bool = True, bookmarks: bool = True) -> Resource:
    group, _, version = api_version.rpartition("/")
    return Resource(kind, group, version, plural, namespaced, bookmarks)


_TABLE = (
    _resource("Pod", "v1", "pods"),
    _resource("Node", "v1", "nodes", namespaced=False),
    _resource("Namespace", "v1", "namespaces", namespaced=False),
    _resource("Service", "v1", "services"),
    _resource("Endpoints", "v1", "endpoints"),
    _resource("ConfigMap", "v1", "configmaps"),
    _resource("Secret", "v1", "secrets"),
    _resource("ServiceAccount", "v1", "serviceaccounts"),
    _resource("PersistentVolumeClaim", "v1", "persistentvolumeclaims"),
    _resource("PersistentVolume", "v1", "persistentvolumes", namespaced=False),
    _resource("ResourceQuota", "v1", "resourcequotas"),
    _resource("LimitRange", "v1", "limitranges"),
    _resource("ReplicationController", "v1", "replicationcontrollers"),
    _resource("Event", "events.k8s.io/v1", "events", bookmarks=False),
    _resource("Deployment", "apps/v1", "deployments"),
    _resource("ReplicaSet", "apps/v1", "replicasets"),
    _resource("StatefulSet", "apps/v1", "statefulsets"),
    _resource("DaemonSet", "apps/v1", "daemonsets"),
    _resource("ControllerRevision", "apps/v1", "controllerrevisions"),
    _resource("Job", "batch/v1", "jobs"),
    _resource("CronJob", "batch/v1", "cronjobs"),
    _resource("EndpointSlice", "discovery.k8s.io/v1", "endpointslices"),
    _resource("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers"),
    _resource("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets"),
    _resource("Lease", "coordination.k8s.io/v1", "leases"),
    _resource("Role", "rbac.authorization.k8s.io/v1", "roles"),
    _resource("RoleBinding", "rbac.authorization.k8s.io/v1", "rolebindings"),
    _resource("ClusterRole", "rbac.authorization.k8s.io/v1", "clusterroles", namespaced=False),
    _resource("ClusterRoleBinding", "rbac.authorization.k8s.io/v1", "clusterrolebindings", namespaced=False),
    _resource("Ingress", "networking.k8s.io/v1", "ingresses"),
    _resource("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies"),
    _resource("StorageClass", "storage.k8s.io/v1", "storageclasses", namespaced=False),
    _resource("VolumeAttachment", "storage.k8s.io/v1", "volumeattachments", namespaced=False),
    _resource("APIService", "apiregistration.k8s.io/v1", "apiservices", namespaced=False),
    _resource("PriorityClass", "scheduling.k8s.io/v1", "priorityclasses", namespaced=False),
    _resource(
        "CustomResourceDefinition", "apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False
    ),
)  # fmt: skip
KNOWN: Mapping[str, Resource] = {resource.singular: resource for resource in _TABLE}
_BY_MANIFEST = {(resource.api_version, resource.kind): resource for resource in _TABLE}


def of_manifest(api_version: str, kind: str) -> Resource | None:
    """The table's answer for a manifest's `apiVersion` and `kind`, or None: ask the server."""
    return _BY_MANIFEST.get((api_version, kind))


def in_discovery(listing: Mapping[str, Any]) -> list[Resource]:
    """The kinds in an APIResourceList; subresources (`pods/log`) are none."""
    group, _, version = str(listing.get("groupVersion", "")).rpartition("/")
    return [
        Resource(str(r["kind"]), group, version, str(r["name"]), bool(r.get("namespaced")))
        for r in listing.get("resources") or ()
        if "/" not in str(r["name"])
    ]
