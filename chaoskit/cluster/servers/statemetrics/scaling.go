package main

import (
	"github.com/prometheus/client_golang/prometheus"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

var (
	autoscalerInfo         = autoscalerGauge("info", "Information about this autoscaler.", "scaletargetref_api_version", "scaletargetref_kind", "scaletargetref_name")
	autoscalerCreated      = autoscalerGauge("created", "Unix creation timestamp.")
	autoscalerGeneration   = autoscalerGauge("metadata_generation", "The generation observed by the HorizontalPodAutoscaler controller.")
	autoscalerMin          = autoscalerGauge("spec_min_replicas", "Lower limit for the number of pods that can be set by the autoscaler, default 1.")
	autoscalerMax          = autoscalerGauge("spec_max_replicas", "Upper limit for the number of pods that can be set by the autoscaler; cannot be smaller than MinReplicas.")
	autoscalerTarget       = autoscalerGauge("spec_target_metric", "The metric specifications used by this autoscaler when calculating the desired replica count.", "metric_name", "metric_target_type")
	autoscalerTargetStatus = autoscalerGauge("status_target_metric", "The current metric status used by this autoscaler when calculating the desired replica count.", "metric_name", "metric_target_type")
	autoscalerCurrent      = autoscalerGauge("status_current_replicas", "Current number of replicas of pods managed by this autoscaler.")
	autoscalerDesired      = autoscalerGauge("status_desired_replicas", "Desired number of replicas of pods managed by this autoscaler.")
	autoscalerCondition    = autoscalerGauge("status_condition", "The condition of this autoscaler.", "condition", "status")

	budgetCreated  = budgetGauge("created", "Unix creation timestamp.")
	budgetCurrent  = budgetGauge("status_current_healthy", "Current number of healthy pods.")
	budgetDesired  = budgetGauge("status_desired_healthy", "Minimum desired number of healthy pods.")
	budgetAllowed  = budgetGauge("status_pod_disruptions_allowed", "Number of pod disruptions that are currently allowed.")
	budgetExpected = budgetGauge("status_expected_pods", "Total number of pods counted by this disruption budget.")
	budgetObserved = budgetGauge("status_observed_generation", "Most recent generation observed when updating this PDB status.")
)

func autoscalerGauge(name, help string, labels ...string) family {
	return gauge("kube_horizontalpodautoscaler_"+name, help, append([]string{"namespace", "horizontalpodautoscaler"}, labels...)...)
}

func budgetGauge(name, help string) family {
	return gauge("kube_poddisruptionbudget_"+name, help, "namespace", "poddisruptionbudget")
}

func autoscalerSeries(scaler *autoscalingv2.HorizontalPodAutoscaler) []prometheus.Metric {
	s := of(scaler.Namespace, scaler.Name)
	target := scaler.Spec.ScaleTargetRef
	s.add(autoscalerInfo, 1, target.APIVersion, target.Kind, target.Name)
	s.time(autoscalerCreated, &scaler.CreationTimestamp)
	s.add(autoscalerGeneration, float64(scaler.Generation))
	s.add(autoscalerMin, float64(dereference(scaler.Spec.MinReplicas, 1)))
	s.add(autoscalerMax, float64(scaler.Spec.MaxReplicas))
	for _, metric := range scaler.Spec.Metrics {
		name, target := targetOf(metric)
		s.measurement(autoscalerTarget, name, target.Value, target.AverageValue, target.AverageUtilization)
	}
	for _, metric := range scaler.Status.CurrentMetrics {
		name, current := currentOf(metric)
		s.measurement(autoscalerTargetStatus, name, current.Value, current.AverageValue, current.AverageUtilization)
	}
	s.add(autoscalerCurrent, float64(scaler.Status.CurrentReplicas))
	s.add(autoscalerDesired, float64(scaler.Status.DesiredReplicas))
	for _, condition := range scaler.Status.Conditions {
		s.condition(autoscalerCondition, condition.Status, string(condition.Type))
	}
	return s.metrics
}

// measurement appends a sample for each of the three ways in which a metric can be stated.
func (s *series) measurement(f family, name string, value, average *resource.Quantity, utilization *int32) {
	if value != nil {
		s.add(f, float(*value), name, "value")
	}
	if average != nil {
		s.add(f, float(*average), name, "average")
	}
	if utilization != nil {
		s.add(f, float64(*utilization), name, "utilization")
	}
}

func targetOf(metric autoscalingv2.MetricSpec) (string, autoscalingv2.MetricTarget) {
	switch {
	case metric.Object != nil:
		return metric.Object.Metric.Name, metric.Object.Target
	case metric.Pods != nil:
		return metric.Pods.Metric.Name, metric.Pods.Target
	case metric.Resource != nil:
		return string(metric.Resource.Name), metric.Resource.Target
	case metric.ContainerResource != nil:
		return string(metric.ContainerResource.Name), metric.ContainerResource.Target
	case metric.External != nil:
		return metric.External.Metric.Name, metric.External.Target
	}
	return "", autoscalingv2.MetricTarget{}
}

func currentOf(metric autoscalingv2.MetricStatus) (string, autoscalingv2.MetricValueStatus) {
	switch {
	case metric.Object != nil:
		return metric.Object.Metric.Name, metric.Object.Current
	case metric.Pods != nil:
		return metric.Pods.Metric.Name, metric.Pods.Current
	case metric.Resource != nil:
		return string(metric.Resource.Name), metric.Resource.Current
	case metric.ContainerResource != nil:
		return string(metric.ContainerResource.Name), metric.ContainerResource.Current
	case metric.External != nil:
		return metric.External.Metric.Name, metric.External.Current
	}
	return "", autoscalingv2.MetricValueStatus{}
}

func budgetSeries(budget *policyv1.PodDisruptionBudget) []prometheus.Metric {
	s := of(budget.Namespace, budget.Name)
	s.time(budgetCreated, &budget.CreationTimestamp)
	s.add(budgetCurrent, float64(budget.Status.CurrentHealthy))
	s.add(budgetDesired, float64(budget.Status.DesiredHealthy))
	s.add(budgetAllowed, float64(budget.Status.DisruptionsAllowed))
	s.add(budgetExpected, float64(budget.Status.ExpectedPods))
	s.add(budgetObserved, float64(budget.Status.ObservedGeneration))
	return s.metrics
}
