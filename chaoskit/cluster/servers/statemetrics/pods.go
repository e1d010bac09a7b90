package main

import (
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var (
	podInfo         = podGauge("info", "Information about pod.", "host_ip", "pod_ip", "node", "created_by_kind", "created_by_name", "priority_class", "host_network")
	podIPs          = podGauge("ips", "Pod IP addresses.", "ip", "ip_family")
	podOwner        = podGauge("owner", "Information about the Pod's owner.", "owner_kind", "owner_name", "owner_is_controller")
	podCreated      = podGauge("created", "Unix creation timestamp.")
	podStart        = podGauge("start_time", "Start time in unix timestamp for a pod.")
	podCompletion   = podGauge("completion_time", "Completion time in unix timestamp for a pod.")
	podDeletion     = podGauge("deletion_timestamp", "Unix deletion timestamp.")
	podRestarts     = podGauge("restart_policy", "Describes the restart policy in use by this pod.", "type")
	podPhase        = podGauge("status_phase", "The pods current phase.", "phase")
	podQoS          = podGauge("status_qos_class", "The pods current qosClass.", "qos_class")
	podReason       = podGauge("status_reason", "The pod status reasons.", "reason")
	podReady        = podGauge("status_ready", "Describes whether the pod is ready to serve requests.", "condition")
	podScheduled    = podGauge("status_scheduled", "Describes the status of the scheduling process for the pod.", "condition")
	podReadyAt      = podGauge("status_ready_time", "Readiness achieved time in unix timestamp for a pod.")
	podContainersAt = podGauge("status_container_ready_time", "Readiness achieved time in unix timestamp for a pod's containers.")
	podInitialized  = podGauge("status_initialized_time", "Initialized time in unix timestamp for a pod.")
	podScheduledAt  = podGauge("status_scheduled_time", "Unix timestamp when pod moved into scheduled status.")
	podUnschedul    = podGauge("status_unschedulable", "Describes the unschedulable status for the pod.")
	podClaims       = podGauge("spec_volumes_persistentvolumeclaims_info", "Information about persistentvolumeclaim volumes in a pod.", "volume", "persistentvolumeclaim")

	podRequests = podGauge("container_resource_requests", "The number of requested request resource by a container.", "container", "node", "resource", "unit")
	podLimits   = podGauge("container_resource_limits", "The number of requested limit resource by a container.", "container", "node", "resource", "unit")

	containerFamilies     = newContainerFamilies("container")
	initContainerFamilies = newContainerFamilies("init_container")
)

var podObject = []string{"namespace", "pod", "uid"}

func podGauge(name, help string, labels ...string) family {
	return gauge("kube_pod_"+name, help, append(append([]string{}, podObject...), labels...)...)
}

// containers holds the families that upstream has twice: for a pod's containers and for its init containers.
type containers struct {
	info, ready, restarts, running, waiting, waitingReason, terminated, terminatedReason family
	started, lastReason, lastExitCode, lastFinished                                      family
}

func newContainerFamilies(kind string) containers {
	of := func(name, help string, labels ...string) family {
		return podGauge(kind+"_"+name, fmt.Sprintf(help, "container"), append([]string{"container"}, labels...)...)
	}
	return containers{
		info:    of("info", "Information about a %s in a pod.", "image_spec", "image", "image_id", "container_id"),
		ready:   of("status_ready", "Describes whether the %s's readiness check succeeded."),
		running: of("status_running", "Describes whether the %s is currently in running state."),
		waiting: of("status_waiting", "Describes whether the %s is currently in waiting state."),
		restarts: counter("kube_pod_"+kind+"_status_restarts_total", "The number of container restarts per container.",
			append(append([]string{}, podObject...), "container")...),
		waitingReason:    of("status_waiting_reason", "Describes the reason the %s is currently in waiting state.", "reason"),
		terminated:       of("status_terminated", "Describes whether the %s is currently in terminated state."),
		terminatedReason: of("status_terminated_reason", "Describes the reason the %s is currently in terminated state.", "reason"),
		started:          of("state_started", "Start time in unix timestamp for a pod %s."),
		lastReason:       of("status_last_terminated_reason", "Describes the last reason the %s was in terminated state.", "reason"),
		lastExitCode:     of("status_last_terminated_exitcode", "Describes the exit code for the last %s in terminated state."),
		lastFinished:     of("status_last_terminated_timestamp", "Last terminated time for a pod %s in unix timestamp."),
	}
}

func podSeries(labels []string) func(*corev1.Pod) []prometheus.Metric {
	return func(pod *corev1.Pod) []prometheus.Metric {
		s := of(pod.Namespace, pod.Name, string(pod.UID))
		addPodIdentity(s, pod)
		s.labelled("kube_pod_labels", "Kubernetes labels converted to Prometheus labels.", podObject, pod.Labels, labels)
		addPodTimes(s, pod)
		addPodStatus(s, pod)
		for _, container := range pod.Spec.Containers {
			s.resources(podRequests, container.Resources.Requests, container.Name, pod.Spec.NodeName)
			s.resources(podLimits, container.Resources.Limits, container.Name, pod.Spec.NodeName)
		}
		addContainers(s, containerFamilies, pod.Spec.Containers, pod.Status.ContainerStatuses)
		addContainers(s, initContainerFamilies, pod.Spec.InitContainers, pod.Status.InitContainerStatuses)
		return s.metrics
	}
}

func addPodIdentity(s *series, pod *corev1.Pod) {
	creator := dereference(metav1.GetControllerOf(pod), metav1.OwnerReference{})
	s.add(podInfo, 1, pod.Status.HostIP, pod.Status.PodIP, pod.Spec.NodeName, creator.Kind, creator.Name,
		pod.Spec.PriorityClassName, strconv.FormatBool(pod.Spec.HostNetwork))
	for _, address := range pod.Status.PodIPs {
		s.add(podIPs, 1, address.IP, ipFamily(address.IP))
	}
	s.owners(podOwner, pod.OwnerReferences)
	s.add(podRestarts, 1, string(pod.Spec.RestartPolicy))
	for _, volume := range pod.Spec.Volumes {
		if claim := volume.PersistentVolumeClaim; claim != nil {
			s.add(podClaims, 1, volume.Name, claim.ClaimName)
		}
	}
}

func addPodTimes(s *series, pod *corev1.Pod) {
	s.time(podCreated, &pod.CreationTimestamp)
	s.time(podStart, pod.Status.StartTime)
	s.time(podDeletion, pod.DeletionTimestamp)
	var last metav1.Time
	for _, status := range pod.Status.ContainerStatuses {
		if end := status.State.Terminated; end != nil && last.Before(&end.FinishedAt) {
			last = end.FinishedAt
		}
	}
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		s.time(podCompletion, &last)
	}
}

func addPodStatus(s *series, pod *corev1.Pod) {
	if pod.Status.Phase != "" {
		s.oneOf(podPhase, string(pod.Status.Phase), "Pending", "Succeeded", "Failed", "Unknown", "Running")
	}
	if pod.Status.QOSClass != "" {
		s.oneOf(podQoS, string(pod.Status.QOSClass), "BestEffort", "Burstable", "Guaranteed")
	}
	s.oneOf(podReason, pod.Status.Reason, "Evicted", "NodeAffinity", "NodeLost", "Shutdown", "UnexpectedAdmissionError")
	for _, condition := range pod.Status.Conditions {
		addPodCondition(s, condition)
	}
}

func addPodCondition(s *series, condition corev1.PodCondition) {
	reached := condition.Status == corev1.ConditionTrue
	when := func(f family) {
		if reached {
			s.time(f, &condition.LastTransitionTime)
		}
	}
	switch condition.Type {
	case corev1.PodReady:
		s.condition(podReady, condition.Status)
		when(podReadyAt)
	case corev1.ContainersReady:
		when(podContainersAt)
	case corev1.PodInitialized:
		when(podInitialized)
	case corev1.PodScheduled:
		s.condition(podScheduled, condition.Status)
		when(podScheduledAt)
		if condition.Status == corev1.ConditionFalse && condition.Reason == corev1.PodReasonUnschedulable {
			s.add(podUnschedul, 1)
		}
	}
}

func addContainers(s *series, families containers, specs []corev1.Container, statuses []corev1.ContainerStatus) {
	images := map[string]string{}
	for _, spec := range specs {
		images[spec.Name] = spec.Image
	}
	for _, status := range statuses {
		s.add(families.info, 1, status.Name, images[status.Name], status.Image, status.ImageID, status.ContainerID)
		s.add(families.ready, number(status.Ready), status.Name)
		s.add(families.restarts, float64(status.RestartCount), status.Name)
		addContainerState(s, families, status)
		if last := status.LastTerminationState.Terminated; last != nil {
			s.add(families.lastReason, 1, status.Name, last.Reason)
			s.add(families.lastExitCode, float64(last.ExitCode), status.Name)
			s.add(families.lastFinished, float64(last.FinishedAt.Unix()), status.Name)
		}
	}
}

func addContainerState(s *series, families containers, status corev1.ContainerStatus) {
	state := status.State
	s.add(families.running, number(state.Running != nil), status.Name)
	s.add(families.waiting, number(state.Waiting != nil), status.Name)
	s.add(families.terminated, number(state.Terminated != nil), status.Name)
	switch {
	case state.Running != nil:
		s.add(families.started, float64(state.Running.StartedAt.Unix()), status.Name)
	case state.Waiting != nil:
		s.add(families.waitingReason, 1, status.Name, state.Waiting.Reason)
	case state.Terminated != nil:
		s.add(families.started, float64(state.Terminated.StartedAt.Unix()), status.Name)
		s.add(families.terminatedReason, 1, status.Name, state.Terminated.Reason)
	}
}

func ipFamily(address string) string {
	for _, character := range address {
		if character == ':' {
			return "6"
		}
	}
	return "4"
}
