"""The default StorageClass: a folder on the host for each claim, which every node sees at the same place.

Kubernetes' own host-path provisioner writes to the host's /tmp; this one keeps the data in the cluster's state folder.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

from chaoskit.cluster.api import Api, ApiError, Mirror, Object
from chaoskit.cluster.nodes import VOLUMES

PROVISIONER = "chaoskit.io/shared-folder"
ANNOTATION = "volume.kubernetes.io/storage-provisioner"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
COLLECTION = "/api/v1/persistentvolumes"


class Volumes:
    """Makes a volume for each claim of the class, and removes it once it is released and to be deleted."""

    def __init__(self, api: Api, folder: Path) -> None:
        self._api = api
        self._folder = folder

    def run(self, stop: threading.Event) -> None:
        claims = Mirror(self._api, "/api/v1/persistentvolumeclaims", self._provide)
        volumes = Mirror(self._api, COLLECTION, self._reclaim)
        threading.Thread(target=volumes.run, args=(stop,), daemon=True).start()
        claims.run(stop)

    def _provide(self, claims: Mapping[str, Object]) -> None:
        for claim in claims.values():
            if is_waiting(claim):
                self._make(volume_for(claim))

    def _make(self, volume: Object) -> None:
        folder = self._folder / volume["metadata"]["name"]
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)  # Any user of any pod may write, as on a network disk without a group.
        try:
            self._api.request("POST", COLLECTION, volume)
        except ApiError as error:
            if error.status != 409:  # It was made when the claim was seen the last time.
                raise

    def _reclaim(self, volumes: Mapping[str, Object]) -> None:
        for volume in volumes.values():
            if is_released(volume):
                name = volume["metadata"]["name"]
                shutil.rmtree(self._folder / name, ignore_errors=True)
                self._delete(f"{COLLECTION}/{name}")

    def _delete(self, path: str) -> None:
        try:
            self._api.request("DELETE", path)
        except ApiError as error:
            if error.status != 404:
                raise


def is_waiting(claim: Object) -> bool:
    """Whether Kubernetes has left the claim to this provisioner."""
    meta = claim["metadata"]
    return (
        meta.get("annotations", {}).get(ANNOTATION) == PROVISIONER
        and not claim["spec"].get("volumeName")
        and "deletionTimestamp" not in meta
    )


def is_released(volume: Object) -> bool:
    meta = volume["metadata"]
    return (
        meta.get("annotations", {}).get(PROVISIONED_BY) == PROVISIONER
        and volume.get("status", {}).get("phase") == "Released"
        and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
        and "deletionTimestamp" not in meta
    )


def volume_for(claim: Object) -> Object:
    meta, spec = claim["metadata"], claim["spec"]
    name = f"pvc-{meta['uid']}"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": spec.get("storageClassName", ""),
            "volumeMode": "Filesystem",
            "hostPath": {"path": f"{VOLUMES}/{name}", "type": "Directory"},
            "claimRef": {
                "kind": "PersistentVolumeClaim",
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
            },
        },
    }
