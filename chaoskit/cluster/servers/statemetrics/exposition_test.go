package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
)

// Each test puts objects into client-go's fake API and reads what a scrape gives.

const longEnough = 10 * time.Second

func serve(t *testing.T, objects ...runtime.Object) (kubernetes.Interface, *httptest.Server) {
	t.Helper()
	client := fake.NewClientset(objects...)
	all := sources(client, []string{"app.kubernetes.io/name", "teamName"}, []string{"topology.kubernetes.io/zone"})
	for _, source := range all {
		go source.follow(t.Context())
	}
	server := httptest.NewServer(handler(all))
	t.Cleanup(server.Close)
	waitFor(t, "every kind of object to be listed", func() bool { return get(t, server.URL+"/readyz") == "ok\n" })
	return client, server
}

func get(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func waitFor(t *testing.T, what string, met func() bool) {
	t.Helper()
	for end := time.Now().Add(longEnough); !met(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %s for %s", longEnough, what)
		}
	}
}

// expectLines looks for whole lines. Label names come in alphabetical order.
func expectLines(t *testing.T, exposition string, expected string) {
	t.Helper()
	lines := strings.Split(exposition, "\n")
	for _, line := range strings.Split(strings.TrimSpace(expected), "\n") {
		if line = strings.TrimSpace(line); !slices.Contains(lines, line) {
			name := regexp.MustCompile(`^\w+`).FindString(line)
			found := regexp.MustCompile(`(?m)^`+name+`[ {].*$`).FindAllString(exposition, -1)
			t.Errorf("missing: %s\nthere is: %s", line, strings.Join(found, "\n          "))
		}
	}
}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "u1", Generation: 3, CreationTimestamp: metav1.Unix(1000, 0)}
}

func pointer[T any](value T) *T { return &value }

func frontPod() *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: meta("front-1")}
	pod.Labels = map[string]string{"app.kubernetes.io/name": "front", "teamName": "web", "pod-template-hash": "abc"}
	pod.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "front-abc", Controller: pointer(true)}}
	pod.DeletionTimestamp = &metav1.Time{Time: time.Unix(2000, 0)}
	pod.Spec = corev1.PodSpec{
		NodeName:      "node1",
		RestartPolicy: corev1.RestartPolicyAlways,
		Containers: []corev1.Container{{Name: "web", Image: "shop:1", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{"cpu": resource.MustParse("250m"), "memory": resource.MustParse("64Mi")},
			Limits:   corev1.ResourceList{"ephemeral-storage": resource.MustParse("1Gi")},
		}}},
	}
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, HostIP: "10.89.0.11", PodIP: "10.244.1.2", StartTime: &metav1.Time{Time: time.Unix(1001, 0)},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: "web", Image: "localhost/shop:1", ImageID: "sha256:1", ContainerID: "containerd://1", RestartCount: 4,
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				Reason: "OOMKilled", ExitCode: 137, FinishedAt: metav1.Unix(1500, 0)}},
		}},
	}
	return pod
}

func TestPodShowsItsContainersRestartsAndOwner(t *testing.T) {
	_, server := serve(t, frontPod())
	expectLines(t, get(t, server.URL+"/metrics"), `
		kube_pod_info{created_by_kind="ReplicaSet",created_by_name="front-abc",host_ip="10.89.0.11",host_network="false",namespace="shop",node="node1",pod="front-1",pod_ip="10.244.1.2",priority_class="",uid="u1"} 1
		kube_pod_owner{namespace="shop",owner_is_controller="true",owner_kind="ReplicaSet",owner_name="front-abc",pod="front-1",uid="u1"} 1
		kube_pod_labels{label_app_kubernetes_io_name="front",label_team_name="web",namespace="shop",pod="front-1",uid="u1"} 1
		kube_pod_created{namespace="shop",pod="front-1",uid="u1"} 1000
		kube_pod_start_time{namespace="shop",pod="front-1",uid="u1"} 1001
		kube_pod_deletion_timestamp{namespace="shop",pod="front-1",uid="u1"} 2000
		kube_pod_status_phase{namespace="shop",phase="Running",pod="front-1",uid="u1"} 1
		kube_pod_status_phase{namespace="shop",phase="Failed",pod="front-1",uid="u1"} 0
		kube_pod_status_ready{condition="true",namespace="shop",pod="front-1",uid="u1"} 0
		kube_pod_status_ready{condition="false",namespace="shop",pod="front-1",uid="u1"} 1
		kube_pod_container_info{container="web",container_id="containerd://1",image="localhost/shop:1",image_id="sha256:1",image_spec="shop:1",namespace="shop",pod="front-1",uid="u1"} 1
		# TYPE kube_pod_container_status_restarts_total counter
		kube_pod_container_status_restarts_total{container="web",namespace="shop",pod="front-1",uid="u1"} 4
		kube_pod_container_status_ready{container="web",namespace="shop",pod="front-1",uid="u1"} 0
		kube_pod_container_status_running{container="web",namespace="shop",pod="front-1",uid="u1"} 0
		kube_pod_container_status_waiting_reason{container="web",namespace="shop",pod="front-1",reason="CrashLoopBackOff",uid="u1"} 1
		kube_pod_container_status_last_terminated_reason{container="web",namespace="shop",pod="front-1",reason="OOMKilled",uid="u1"} 1
		kube_pod_container_status_last_terminated_exitcode{container="web",namespace="shop",pod="front-1",uid="u1"} 137
		kube_pod_container_resource_requests{container="web",namespace="shop",node="node1",pod="front-1",resource="cpu",uid="u1",unit="core"} 0.25
		kube_pod_container_resource_requests{container="web",namespace="shop",node="node1",pod="front-1",resource="memory",uid="u1",unit="byte"} 6.7108864e+07
		kube_pod_container_resource_limits{container="web",namespace="shop",node="node1",pod="front-1",resource="ephemeral_storage",uid="u1",unit="byte"} 1.073741824e+09`)
}

func TestNodeShowsConditionsTaintsAndResources(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node1", Labels: map[string]string{"topology.kubernetes.io/zone": "zone-1"}}}
	node.Spec = corev1.NodeSpec{Unschedulable: true, Taints: []corev1.Taint{{Key: "node.kubernetes.io/unschedulable", Effect: corev1.TaintEffectNoSchedule}}}
	node.Status = corev1.NodeStatus{
		Capacity:   corev1.ResourceList{"cpu": resource.MustParse("2"), "pods": resource.MustParse("110")},
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown}},
		Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.89.0.11"}},
		NodeInfo:   corev1.NodeSystemInfo{KubeletVersion: "v1.37.2"},
	}
	_, server := serve(t, node)
	expectLines(t, get(t, server.URL+"/metrics"), `
		kube_node_info{container_runtime_version="",internal_ip="10.89.0.11",kernel_version="",kubelet_version="v1.37.2",kubeproxy_version="",node="node1",os_image="",pod_cidr="",provider_id="",system_uuid=""} 1
		kube_node_labels{label_topology_kubernetes_io_zone="zone-1",node="node1"} 1
		kube_node_spec_unschedulable{node="node1"} 1
		kube_node_spec_taint{effect="NoSchedule",key="node.kubernetes.io/unschedulable",node="node1",value=""} 1
		kube_node_status_capacity{node="node1",resource="cpu",unit="core"} 2
		kube_node_status_capacity{node="node1",resource="pods",unit="integer"} 110
		kube_node_status_condition{condition="Ready",node="node1",status="unknown"} 1
		kube_node_status_condition{condition="Ready",node="node1",status="true"} 0`)
}

func TestWorkloadsShowDesiredAndPresentReplicas(t *testing.T) {
	deployment := &appsv1.Deployment{ObjectMeta: meta("front")}
	deployment.Spec.Replicas = pointer[int32](3)
	deployment.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{
		MaxUnavailable: pointer(intstr.FromString("25%")), MaxSurge: pointer(intstr.FromString("25%"))}
	deployment.Status = appsv1.DeploymentStatus{Replicas: 3, ReadyReplicas: 2, AvailableReplicas: 2, UnavailableReplicas: 1, UpdatedReplicas: 3, ObservedGeneration: 2}
	set := &appsv1.ReplicaSet{ObjectMeta: meta("front-abc"), Spec: appsv1.ReplicaSetSpec{Replicas: pointer[int32](3)}}
	set.OwnerReferences = []metav1.OwnerReference{{Kind: "Deployment", Name: "front", Controller: pointer(true)}}
	set.Status.ReadyReplicas = 2
	stateful := &appsv1.StatefulSet{ObjectMeta: meta("store"), Spec: appsv1.StatefulSetSpec{Replicas: pointer[int32](1)}}
	stateful.Status = appsv1.StatefulSetStatus{Replicas: 1, ReadyReplicas: 1}
	job := &batchv1.Job{ObjectMeta: meta("load")}
	job.Status = batchv1.JobStatus{Failed: 2, Conditions: []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: "BackoffLimitExceeded"}}}
	_, server := serve(t, deployment, set, stateful, job)
	expectLines(t, get(t, server.URL+"/metrics"), `
		kube_deployment_spec_replicas{deployment="front",namespace="shop"} 3
		kube_deployment_status_replicas{deployment="front",namespace="shop"} 3
		kube_deployment_status_replicas_ready{deployment="front",namespace="shop"} 2
		kube_deployment_status_replicas_available{deployment="front",namespace="shop"} 2
		kube_deployment_status_replicas_unavailable{deployment="front",namespace="shop"} 1
		kube_deployment_status_replicas_updated{deployment="front",namespace="shop"} 3
		kube_deployment_metadata_generation{deployment="front",namespace="shop"} 3
		kube_deployment_status_observed_generation{deployment="front",namespace="shop"} 2
		kube_deployment_spec_strategy_rollingupdate_max_unavailable{deployment="front",namespace="shop"} 0
		kube_deployment_spec_strategy_rollingupdate_max_surge{deployment="front",namespace="shop"} 1
		kube_replicaset_owner{namespace="shop",owner_is_controller="true",owner_kind="Deployment",owner_name="front",replicaset="front-abc"} 1
		kube_replicaset_spec_replicas{namespace="shop",replicaset="front-abc"} 3
		kube_replicaset_status_ready_replicas{namespace="shop",replicaset="front-abc"} 2
		kube_statefulset_replicas{namespace="shop",statefulset="store"} 1
		kube_statefulset_status_replicas{namespace="shop",statefulset="store"} 1
		kube_statefulset_status_replicas_ready{namespace="shop",statefulset="store"} 1
		kube_job_status_failed{job_name="load",namespace="shop",reason="BackoffLimitExceeded"} 2
		kube_job_failed{condition="true",job_name="load",namespace="shop"} 1`)
}

func TestAutoscalerAndBudgetShowWhatTheyWantAndSee(t *testing.T) {
	scaler := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: meta("front")}
	scaler.Spec = autoscalingv2.HorizontalPodAutoscalerSpec{
		MinReplicas: pointer[int32](3), MaxReplicas: 6,
		Metrics: []autoscalingv2.MetricSpec{{Resource: &autoscalingv2.ResourceMetricSource{
			Name: "cpu", Target: autoscalingv2.MetricTarget{AverageUtilization: pointer[int32](60)}}}},
	}
	scaler.Status = autoscalingv2.HorizontalPodAutoscalerStatus{
		CurrentReplicas: 3, DesiredReplicas: 5,
		CurrentMetrics: []autoscalingv2.MetricStatus{{Resource: &autoscalingv2.ResourceMetricStatus{
			Name: "cpu", Current: autoscalingv2.MetricValueStatus{AverageUtilization: pointer[int32](95), AverageValue: pointer(resource.MustParse("190m"))}}}},
		Conditions: []autoscalingv2.HorizontalPodAutoscalerCondition{{Type: autoscalingv2.ScalingActive, Status: corev1.ConditionTrue}},
	}
	budget := &policyv1.PodDisruptionBudget{ObjectMeta: meta("front")}
	budget.Status = policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 3, DesiredHealthy: 2, DisruptionsAllowed: 1, ExpectedPods: 3}
	_, server := serve(t, scaler, budget)
	expectLines(t, get(t, server.URL+"/metrics"), `
		kube_horizontalpodautoscaler_spec_min_replicas{horizontalpodautoscaler="front",namespace="shop"} 3
		kube_horizontalpodautoscaler_spec_max_replicas{horizontalpodautoscaler="front",namespace="shop"} 6
		kube_horizontalpodautoscaler_status_current_replicas{horizontalpodautoscaler="front",namespace="shop"} 3
		kube_horizontalpodautoscaler_status_desired_replicas{horizontalpodautoscaler="front",namespace="shop"} 5
		kube_horizontalpodautoscaler_spec_target_metric{horizontalpodautoscaler="front",metric_name="cpu",metric_target_type="utilization",namespace="shop"} 60
		kube_horizontalpodautoscaler_status_target_metric{horizontalpodautoscaler="front",metric_name="cpu",metric_target_type="utilization",namespace="shop"} 95
		kube_horizontalpodautoscaler_status_target_metric{horizontalpodautoscaler="front",metric_name="cpu",metric_target_type="average",namespace="shop"} 0.19
		kube_horizontalpodautoscaler_status_condition{condition="ScalingActive",horizontalpodautoscaler="front",namespace="shop",status="true"} 1
		kube_poddisruptionbudget_status_current_healthy{namespace="shop",poddisruptionbudget="front"} 3
		kube_poddisruptionbudget_status_desired_healthy{namespace="shop",poddisruptionbudget="front"} 2
		kube_poddisruptionbudget_status_pod_disruptions_allowed{namespace="shop",poddisruptionbudget="front"} 1
		kube_poddisruptionbudget_status_expected_pods{namespace="shop",poddisruptionbudget="front"} 3`)
}

func TestStorageShowsPhasesAndRequests(t *testing.T) {
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: meta("orders")}
	claim.Spec = corev1.PersistentVolumeClaimSpec{StorageClassName: pointer("standard"), VolumeName: "pv1"}
	claim.Spec.Resources.Requests = corev1.ResourceList{"storage": resource.MustParse("1Gi")}
	claim.Status.Phase = corev1.ClaimBound
	volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv1"}}
	volume.Status.Phase = corev1.VolumeBound
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	namespace.Status.Phase = corev1.NamespaceTerminating
	_, server := serve(t, claim, volume, namespace)
	expectLines(t, get(t, server.URL+"/metrics"), `
		kube_persistentvolumeclaim_info{namespace="shop",persistentvolumeclaim="orders",storageclass="standard",volumemode="",volumename="pv1"} 1
		kube_persistentvolumeclaim_status_phase{namespace="shop",persistentvolumeclaim="orders",phase="Bound"} 1
		kube_persistentvolumeclaim_resource_requests_storage_bytes{namespace="shop",persistentvolumeclaim="orders"} 1.073741824e+09
		kube_persistentvolume_status_phase{persistentvolume="pv1",phase="Bound"} 1
		kube_persistentvolume_status_phase{persistentvolume="pv1",phase="Released"} 0
		kube_namespace_status_phase{namespace="shop",phase="Terminating"} 1`)
}

func TestServiceShowsItsEndpointsOnceEach(t *testing.T) {
	service := &corev1.Service{ObjectMeta: meta("front"), Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.96.0.7"}}
	service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "10.89.100.1"}}
	// An address occurs in two subsets where one of its two ports is not ready; a series may occur only once.
	here := []corev1.EndpointAddress{{IP: "10.244.1.2"}}
	endpoints := &corev1.Endpoints{ObjectMeta: meta("front"), Subsets: []corev1.EndpointSubset{
		{Addresses: here, Ports: []corev1.EndpointPort{{Port: 80}}},
		{Addresses: here, NotReadyAddresses: []corev1.EndpointAddress{{IP: "10.244.2.2"}}, Ports: []corev1.EndpointPort{{Port: 81}}}}}
	slice := &discoveryv1.EndpointSlice{ObjectMeta: meta("front-x"), AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{
		Addresses: []string{"10.244.1.2"}, Conditions: discoveryv1.EndpointConditions{Ready: pointer(true), Serving: pointer(true), Terminating: pointer(false)},
		NodeName: pointer("node1"), Zone: pointer("zone-1"), TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "front-1"}}}}
	_, server := serve(t, service, endpoints, slice)
	exposition := get(t, server.URL+"/metrics")
	expectLines(t, exposition, `
		kube_service_info{cluster_ip="10.96.0.7",external_name="",external_traffic_policy="",load_balancer_ip="",namespace="shop",service="front",uid="u1"} 1
		kube_service_spec_type{namespace="shop",service="front",type="LoadBalancer",uid="u1"} 1
		kube_service_status_load_balancer_ingress{hostname="",ip="10.89.100.1",namespace="shop",service="front",uid="u1"} 1
		kube_endpoint_address{endpoint="front",ip="10.244.1.2",namespace="shop",ready="true"} 1
		kube_endpoint_address{endpoint="front",ip="10.244.2.2",namespace="shop",ready="false"} 1
		kube_endpointslice_info{addresstype="IPv4",endpointslice="front-x",namespace="shop"} 1
		kube_endpointslice_endpoints{address="10.244.1.2",endpoint_zone="zone-1",endpointslice="front-x",hostname="",namespace="shop",nodename="node1",ready="true",serving="true",targetref_kind="Pod",targetref_name="front-1",targetref_namespace="shop",terminating="false"} 1`)
	if count := strings.Count(exposition, "kube_endpoint_address{"); count != 2 {
		t.Errorf("2 addresses were served as %d series", count)
	}
}

func TestSeriesFollowTheirObject(t *testing.T) {
	client, server := serve(t, frontPod())
	ready := frontPod()
	ready.Status.ContainerStatuses[0].RestartCount = 5
	ctx := context.Background()
	if _, err := client.CoreV1().Pods("shop").Update(ctx, ready, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	restarts := `kube_pod_container_status_restarts_total{container="web",namespace="shop",pod="front-1",uid="u1"} 5`
	waitFor(t, "the restart to be counted", func() bool { return strings.Contains(get(t, server.URL+"/metrics"), restarts) })
	if err := client.CoreV1().Pods("shop").Delete(ctx, "front-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the deleted pod's series to go", func() bool { return !strings.Contains(get(t, server.URL+"/metrics"), "front-1") })
}

func TestNotReadyBeforeEverythingIsListed(t *testing.T) {
	all := sources(fake.NewClientset(), nil, nil)
	server := httptest.NewServer(handler(all))
	defer server.Close()
	answer, err := http.Get(server.URL + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("ready before anything was listed: %s", answer.Status)
	}
}
