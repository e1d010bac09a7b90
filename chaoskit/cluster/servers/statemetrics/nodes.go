package main

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
)

var (
	nodeInfo = gauge("kube_node_info", "Information about a cluster node.", "node", "kernel_version", "os_image", "container_runtime_version",
		"kubelet_version", "kubeproxy_version", "provider_id", "pod_cidr", "system_uuid", "internal_ip")
	nodeCreated       = gauge("kube_node_created", "Unix creation timestamp.", "node")
	nodeDeletion      = gauge("kube_node_deletion_timestamp", "Unix deletion timestamp.", "node")
	nodeRole          = gauge("kube_node_role", "The role of a cluster node.", "node", "role")
	nodeUnschedulable = gauge("kube_node_spec_unschedulable", "Whether a node can schedule new pods.", "node")
	nodeTaint         = gauge("kube_node_spec_taint", "The taint of a cluster node.", "node", "key", "value", "effect")
	nodeCapacity      = gauge("kube_node_status_capacity", "The total amount of resources available for a node.", "node", "resource", "unit")
	nodeAllocatable   = gauge("kube_node_status_allocatable", "The amount of resources allocatable for pods (after reserving some for system daemons).",
		"node", "resource", "unit")
	nodeCondition = gauge("kube_node_status_condition", "The condition of a cluster node.", "node", "condition", "status")
	nodeAddresses = gauge("kube_node_status_addresses", "Node address information.", "node", "type", "address")

	namespacePhase    = gauge("kube_namespace_status_phase", "kubernetes namespace status phase.", "namespace", "phase")
	namespaceCreated  = gauge("kube_namespace_created", "Unix creation timestamp.", "namespace")
	namespaceDeletion = gauge("kube_namespace_deletion_timestamp", "Unix deletion timestamp.", "namespace")
)

const roleLabel = "node-role.kubernetes.io/"

func nodeSeries(labels []string) func(*corev1.Node) []prometheus.Metric {
	return func(node *corev1.Node) []prometheus.Metric {
		s := of(node.Name)
		addNodeIdentity(s, node)
		s.labelled("kube_node_labels", "Kubernetes labels converted to Prometheus labels.", []string{"node"}, node.Labels, labels)
		s.time(nodeCreated, &node.CreationTimestamp)
		s.time(nodeDeletion, node.DeletionTimestamp)
		s.add(nodeUnschedulable, number(node.Spec.Unschedulable))
		for _, taint := range node.Spec.Taints {
			s.add(nodeTaint, 1, taint.Key, taint.Value, string(taint.Effect))
		}
		s.resources(nodeCapacity, node.Status.Capacity)
		s.resources(nodeAllocatable, node.Status.Allocatable)
		for _, condition := range node.Status.Conditions {
			s.condition(nodeCondition, condition.Status, string(condition.Type))
		}
		return s.metrics
	}
}

func addNodeIdentity(s *series, node *corev1.Node) {
	internalIP := ""
	for _, address := range node.Status.Addresses {
		s.add(nodeAddresses, 1, string(address.Type), address.Address)
		if address.Type == corev1.NodeInternalIP && internalIP == "" {
			internalIP = address.Address
		}
	}
	info := node.Status.NodeInfo
	// kube-proxy's version is no longer reported by the kubelet; upstream keeps the label.
	s.add(nodeInfo, 1, info.KernelVersion, info.OSImage, info.ContainerRuntimeVersion, info.KubeletVersion, "",
		node.Spec.ProviderID, node.Spec.PodCIDR, info.SystemUUID, internalIP)
	for label := range node.Labels {
		if role, found := strings.CutPrefix(label, roleLabel); found {
			s.add(nodeRole, 1, role)
		}
	}
}

func namespaceSeries(namespace *corev1.Namespace) []prometheus.Metric {
	s := of(namespace.Name)
	s.time(namespaceCreated, &namespace.CreationTimestamp)
	s.time(namespaceDeletion, namespace.DeletionTimestamp)
	s.oneOf(namespacePhase, string(namespace.Status.Phase), "Active", "Terminating")
	return s.metrics
}
