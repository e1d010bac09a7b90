package main

import (
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
)

var (
	claimInfo     = claimGauge("info", "Information about persistent volume claim.", "storageclass", "volumename", "volumemode")
	claimCreated  = claimGauge("created", "Unix creation timestamp.")
	claimDeletion = claimGauge("deletion_timestamp", "Unix deletion timestamp.")
	claimPhase    = claimGauge("status_phase", "The phase the persistent volume claim is currently in.", "phase")
	claimRequest  = claimGauge("resource_requests_storage_bytes", "The capacity of storage requested by the persistent volume claim.")
	claimAccess   = claimGauge("access_mode", "The access mode(s) specified by the persistent volume claim.", "access_mode")

	volumePhase    = gauge("kube_persistentvolume_status_phase", "The phase indicates if a volume is available, bound to a claim, or released by a claim.", "persistentvolume", "phase")
	volumeCapacity = gauge("kube_persistentvolume_capacity_bytes", "Persistentvolume capacity in bytes.", "persistentvolume")
	volumeClaim    = gauge("kube_persistentvolume_claim_ref", "Information about the Persistent Volume Claim Reference.", "persistentvolume", "name", "claim_namespace")
	volumeCreated  = gauge("kube_persistentvolume_created", "Unix creation timestamp.", "persistentvolume")
)

func claimGauge(name, help string, labels ...string) family {
	return gauge("kube_persistentvolumeclaim_"+name, help, append([]string{"namespace", "persistentvolumeclaim"}, labels...)...)
}

func claimSeries(claim *corev1.PersistentVolumeClaim) []prometheus.Metric {
	s := of(claim.Namespace, claim.Name)
	s.add(claimInfo, 1, dereference(claim.Spec.StorageClassName, ""), claim.Spec.VolumeName, string(dereference(claim.Spec.VolumeMode, "")))
	s.time(claimCreated, &claim.CreationTimestamp)
	s.time(claimDeletion, claim.DeletionTimestamp)
	if claim.Status.Phase != "" {
		s.oneOf(claimPhase, string(claim.Status.Phase), "Lost", "Bound", "Pending")
	}
	if request, present := claim.Spec.Resources.Requests[corev1.ResourceStorage]; present {
		s.add(claimRequest, float64(request.Value()))
	}
	for _, mode := range claim.Spec.AccessModes {
		s.add(claimAccess, 1, string(mode))
	}
	return s.metrics
}

func volumeSeries(volume *corev1.PersistentVolume) []prometheus.Metric {
	s := of(volume.Name)
	s.time(volumeCreated, &volume.CreationTimestamp)
	if volume.Status.Phase != "" {
		s.oneOf(volumePhase, string(volume.Status.Phase), "Pending", "Available", "Bound", "Released", "Failed")
	}
	if capacity, present := volume.Spec.Capacity[corev1.ResourceStorage]; present {
		s.add(volumeCapacity, float64(capacity.Value()))
	}
	if claim := volume.Spec.ClaimRef; claim != nil {
		s.add(volumeClaim, 1, claim.Name, claim.Namespace)
	}
	return s.metrics
}
