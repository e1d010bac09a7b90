from __future__ import annotations

from typing import Any

from chaoskit.cluster.volumes import is_released, is_waiting, volume_for

CLAIM: dict[str, Any] = {
    "metadata": {
        "name": "data",
        "namespace": "shop",
        "uid": "1234",
        "annotations": {"volume.kubernetes.io/storage-provisioner": "chaoskit.io/shared-folder"},
    },
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "standard",
        "resources": {"requests": {"storage": "1Gi"}},
    },
}


def test_a_claim_left_to_us_is_waiting_until_it_is_bound_or_deleted() -> None:
    assert is_waiting(CLAIM)
    assert not is_waiting({**CLAIM, "spec": {**CLAIM["spec"], "volumeName": "pvc-1234"}})
    assert not is_waiting({**CLAIM, "metadata": {**CLAIM["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}})
    assert not is_waiting({**CLAIM, "metadata": {"name": "data"}})


def test_a_volume_is_bound_to_its_claim_and_open_to_every_node() -> None:
    volume = volume_for(CLAIM)
    assert volume["spec"]["claimRef"]["uid"] == "1234"
    assert volume["spec"]["hostPath"]["path"].endswith("/pvc-1234")
    assert "nodeAffinity" not in volume["spec"]


def test_only_released_volumes_of_ours_are_removed() -> None:
    volume = {**volume_for(CLAIM), "status": {"phase": "Released"}}
    assert is_released(volume)
    assert not is_released({**volume, "status": {"phase": "Bound"}})
    assert not is_released({**volume, "metadata": {"name": "pvc-1234"}})
    kept = {**volume["spec"], "persistentVolumeReclaimPolicy": "Retain"}
    assert not is_released({**volume, "spec": kept})
