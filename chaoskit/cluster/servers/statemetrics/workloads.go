package main

import (
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var (
	deploymentCreated        = deploymentGauge("created", "Unix creation timestamp.")
	deploymentGeneration     = deploymentGauge("metadata_generation", "Sequence number representing a specific generation of the desired state.")
	deploymentObserved       = deploymentGauge("status_observed_generation", "The generation observed by the deployment controller.")
	deploymentReplicas       = deploymentGauge("spec_replicas", "Number of desired pods for a deployment.")
	deploymentPaused         = deploymentGauge("spec_paused", "Whether the deployment is paused and will not be processed by the deployment controller.")
	deploymentCurrent        = deploymentGauge("status_replicas", "The number of replicas per deployment.")
	deploymentReady          = deploymentGauge("status_replicas_ready", "The number of ready replicas per deployment.")
	deploymentAvailable      = deploymentGauge("status_replicas_available", "The number of available replicas per deployment.")
	deploymentUnavailable    = deploymentGauge("status_replicas_unavailable", "The number of unavailable replicas per deployment.")
	deploymentUpdated        = deploymentGauge("status_replicas_updated", "The number of updated replicas per deployment.")
	deploymentCondition      = deploymentGauge("status_condition", "The current status conditions of a deployment.", "reason", "condition", "status")
	deploymentMaxUnavailable = deploymentGauge("spec_strategy_rollingupdate_max_unavailable",
		"Maximum number of unavailable replicas during a rolling update of a deployment.")
	deploymentMaxSurge = deploymentGauge("spec_strategy_rollingupdate_max_surge",
		"Maximum number of replicas that can be scheduled above the desired number of replicas during a rolling update of a deployment.")

	replicaSetCreated    = replicaSetGauge("created", "Unix creation timestamp.")
	replicaSetOwner      = replicaSetGauge("owner", "Information about the ReplicaSet's owner.", "owner_kind", "owner_name", "owner_is_controller")
	replicaSetGeneration = replicaSetGauge("metadata_generation", "Sequence number representing a specific generation of the desired state.")
	replicaSetObserved   = replicaSetGauge("status_observed_generation", "The generation observed by the ReplicaSet controller.")
	replicaSetReplicas   = replicaSetGauge("spec_replicas", "Number of desired pods for a ReplicaSet.")
	replicaSetCurrent    = replicaSetGauge("status_replicas", "The number of replicas per ReplicaSet.")
	replicaSetReady      = replicaSetGauge("status_ready_replicas", "The number of ready replicas per ReplicaSet.")

	statefulSetCreated    = statefulSetGauge("created", "Unix creation timestamp.")
	statefulSetGeneration = statefulSetGauge("metadata_generation", "Sequence number representing a specific generation of the desired state for the StatefulSet.")
	statefulSetObserved   = statefulSetGauge("status_observed_generation", "The generation observed by the StatefulSet controller.")
	statefulSetReplicas   = statefulSetGauge("replicas", "Number of desired pods for a StatefulSet.")
	statefulSetCurrent    = statefulSetGauge("status_replicas", "The number of replicas per StatefulSet.")
	statefulSetReady      = statefulSetGauge("status_replicas_ready", "The number of ready replicas per StatefulSet.")
	statefulSetAvailable  = statefulSetGauge("status_replicas_available", "The number of available replicas per StatefulSet.")
	statefulSetUpdated    = statefulSetGauge("status_replicas_updated", "The number of updated replicas per StatefulSet.")

	daemonSetCreated     = daemonSetGauge("created", "Unix creation timestamp.")
	daemonSetDesired     = daemonSetGauge("status_desired_number_scheduled", "The number of nodes that should be running the daemon pod.")
	daemonSetCurrent     = daemonSetGauge("status_current_number_scheduled", "The number of nodes running at least one daemon pod and are supposed to.")
	daemonSetReady       = daemonSetGauge("status_number_ready", "The number of nodes that should be running the daemon pod and have one or more of the daemon pod running and ready.")
	daemonSetUnavailable = daemonSetGauge("status_number_unavailable", "The number of nodes that should be running the daemon pod and have none of the daemon pod running and available.")

	jobInfo        = jobGauge("info", "Information about job.")
	jobCreated     = jobGauge("created", "Unix creation timestamp.")
	jobOwner       = jobGauge("owner", "Information about the Job's owner.", "owner_kind", "owner_name", "owner_is_controller")
	jobParallelism = jobGauge("spec_parallelism", "The maximum desired number of pods the job should run at any given time.")
	jobCompletions = jobGauge("spec_completions", "The desired number of successfully finished pods the job should be run with.")
	jobActive      = jobGauge("status_active", "The number of actively running pods.")
	jobSucceeded   = jobGauge("status_succeeded", "The number of pods which reached Phase Succeeded.")
	jobFailedPods  = jobGauge("status_failed", "The number of pods which reached Phase Failed and the reason for failure.", "reason")
	jobStart       = jobGauge("status_start_time", "StartTime represents time when the job was acknowledged by the Job Manager.")
	jobEnd         = jobGauge("status_completion_time", "CompletionTime represents time when the job was completed.")
	jobComplete    = jobGauge("complete", "The job has completed its execution.", "condition")
	jobFailed      = jobGauge("failed", "The job has failed its execution.", "condition")
)

func deploymentGauge(name, help string, labels ...string) family {
	return gauge("kube_deployment_"+name, help, append([]string{"namespace", "deployment"}, labels...)...)
}

func replicaSetGauge(name, help string, labels ...string) family {
	return gauge("kube_replicaset_"+name, help, append([]string{"namespace", "replicaset"}, labels...)...)
}

func statefulSetGauge(name, help string) family {
	return gauge("kube_statefulset_"+name, help, "namespace", "statefulset")
}

func daemonSetGauge(name, help string) family {
	return gauge("kube_daemonset_"+name, help, "namespace", "daemonset")
}

func jobGauge(name, help string, labels ...string) family {
	return gauge("kube_job_"+name, help, append([]string{"namespace", "job_name"}, labels...)...)
}

func deploymentSeries(deployment *appsv1.Deployment) []prometheus.Metric {
	s := of(deployment.Namespace, deployment.Name)
	s.time(deploymentCreated, &deployment.CreationTimestamp)
	s.add(deploymentGeneration, float64(deployment.Generation))
	s.add(deploymentObserved, float64(deployment.Status.ObservedGeneration))
	s.add(deploymentReplicas, float64(dereference(deployment.Spec.Replicas, 1)))
	s.add(deploymentPaused, number(deployment.Spec.Paused))
	s.add(deploymentCurrent, float64(deployment.Status.Replicas))
	s.add(deploymentReady, float64(deployment.Status.ReadyReplicas))
	s.add(deploymentAvailable, float64(deployment.Status.AvailableReplicas))
	s.add(deploymentUnavailable, float64(deployment.Status.UnavailableReplicas))
	s.add(deploymentUpdated, float64(deployment.Status.UpdatedReplicas))
	for _, condition := range deployment.Status.Conditions {
		s.condition(deploymentCondition, condition.Status, condition.Reason, string(condition.Type))
	}
	addRollingUpdate(s, deployment)
	return s.metrics
}

// addRollingUpdate rounds percentages as the deployment controller does: what may be missing down, what may be in excess up.
func addRollingUpdate(s *series, deployment *appsv1.Deployment) {
	strategy := deployment.Spec.Strategy.RollingUpdate
	if strategy == nil {
		return
	}
	replicas := int(dereference(deployment.Spec.Replicas, 1))
	if count, err := intstr.GetScaledValueFromIntOrPercent(strategy.MaxUnavailable, replicas, false); err == nil {
		s.add(deploymentMaxUnavailable, float64(count))
	}
	if count, err := intstr.GetScaledValueFromIntOrPercent(strategy.MaxSurge, replicas, true); err == nil {
		s.add(deploymentMaxSurge, float64(count))
	}
}

func replicaSetSeries(set *appsv1.ReplicaSet) []prometheus.Metric {
	s := of(set.Namespace, set.Name)
	s.time(replicaSetCreated, &set.CreationTimestamp)
	s.owners(replicaSetOwner, set.OwnerReferences)
	s.add(replicaSetGeneration, float64(set.Generation))
	s.add(replicaSetObserved, float64(set.Status.ObservedGeneration))
	s.add(replicaSetReplicas, float64(dereference(set.Spec.Replicas, 1)))
	s.add(replicaSetCurrent, float64(set.Status.Replicas))
	s.add(replicaSetReady, float64(set.Status.ReadyReplicas))
	return s.metrics
}

func statefulSetSeries(set *appsv1.StatefulSet) []prometheus.Metric {
	s := of(set.Namespace, set.Name)
	s.time(statefulSetCreated, &set.CreationTimestamp)
	s.add(statefulSetGeneration, float64(set.Generation))
	s.add(statefulSetObserved, float64(set.Status.ObservedGeneration))
	s.add(statefulSetReplicas, float64(dereference(set.Spec.Replicas, 1)))
	s.add(statefulSetCurrent, float64(set.Status.Replicas))
	s.add(statefulSetReady, float64(set.Status.ReadyReplicas))
	s.add(statefulSetAvailable, float64(set.Status.AvailableReplicas))
	s.add(statefulSetUpdated, float64(set.Status.UpdatedReplicas))
	return s.metrics
}

func daemonSetSeries(set *appsv1.DaemonSet) []prometheus.Metric {
	s := of(set.Namespace, set.Name)
	s.time(daemonSetCreated, &set.CreationTimestamp)
	s.add(daemonSetDesired, float64(set.Status.DesiredNumberScheduled))
	s.add(daemonSetCurrent, float64(set.Status.CurrentNumberScheduled))
	s.add(daemonSetReady, float64(set.Status.NumberReady))
	s.add(daemonSetUnavailable, float64(set.Status.NumberUnavailable))
	return s.metrics
}

func jobSeries(job *batchv1.Job) []prometheus.Metric {
	s := of(job.Namespace, job.Name)
	s.add(jobInfo, 1)
	s.time(jobCreated, &job.CreationTimestamp)
	s.owners(jobOwner, job.OwnerReferences)
	if job.Spec.Parallelism != nil {
		s.add(jobParallelism, float64(*job.Spec.Parallelism))
	}
	if job.Spec.Completions != nil {
		s.add(jobCompletions, float64(*job.Spec.Completions))
	}
	s.time(jobStart, job.Status.StartTime)
	s.time(jobEnd, job.Status.CompletionTime)
	s.add(jobActive, float64(job.Status.Active))
	s.add(jobSucceeded, float64(job.Status.Succeeded))
	s.add(jobFailedPods, float64(job.Status.Failed), failureReason(job))
	for _, condition := range job.Status.Conditions {
		switch condition.Type {
		case batchv1.JobComplete:
			s.condition(jobComplete, condition.Status)
		case batchv1.JobFailed:
			s.condition(jobFailed, condition.Status)
		}
	}
	return s.metrics
}

func failureReason(job *batchv1.Job) string {
	for _, condition := range job.Status.Conditions {
		if condition.Type == batchv1.JobFailed {
			return condition.Reason
		}
	}
	return ""
}
