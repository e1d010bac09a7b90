package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// A source is one kind of object: how to watch it, and the store that its series go to.
type source struct {
	name    string
	example runtime.Object
	watcher cache.ListerWatcher
	store   *store
}

// watchable is what each typed client of client-go offers, in all namespaces.
type watchable[L runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

func newSource[O any, L runtime.Object](client kubernetes.Interface, name string, api watchable[L], convert func(*O) []prometheus.Metric) source {
	listWatch := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return api.List(ctx, options)
		},
		WatchFuncWithContext: api.Watch,
	}
	example, _ := any(new(O)).(runtime.Object)
	return source{
		name:    name,
		example: example,
		watcher: cache.ToListWatcherWithWatchListSemantics(listWatch, client),
		store:   newStore(func(object any) []prometheus.Metric { return convert(object.(*O)) }),
	}
}

// sources lists every kind of object that is turned into series.
func sources(client kubernetes.Interface, podLabels, nodeLabels []string) []source {
	core, apps := client.CoreV1(), client.AppsV1()
	everywhere := metav1.NamespaceAll
	return []source{
		newSource(client, "pods", core.Pods(everywhere), podSeries(podLabels)),
		newSource(client, "nodes", core.Nodes(), nodeSeries(nodeLabels)),
		newSource(client, "namespaces", core.Namespaces(), namespaceSeries),
		newSource(client, "deployments", apps.Deployments(everywhere), deploymentSeries),
		newSource(client, "replicasets", apps.ReplicaSets(everywhere), replicaSetSeries),
		newSource(client, "statefulsets", apps.StatefulSets(everywhere), statefulSetSeries),
		newSource(client, "daemonsets", apps.DaemonSets(everywhere), daemonSetSeries),
		newSource(client, "jobs", client.BatchV1().Jobs(everywhere), jobSeries),
		newSource(client, "horizontalpodautoscalers", client.AutoscalingV2().HorizontalPodAutoscalers(everywhere), autoscalerSeries),
		newSource(client, "poddisruptionbudgets", client.PolicyV1().PodDisruptionBudgets(everywhere), budgetSeries),
		newSource(client, "persistentvolumeclaims", core.PersistentVolumeClaims(everywhere), claimSeries),
		newSource(client, "persistentvolumes", core.PersistentVolumes(), volumeSeries),
		newSource(client, "services", core.Services(everywhere), serviceSeries),
		newSource(client, "endpoints", core.Endpoints(everywhere), endpointsSeries),
		newSource(client, "endpointslices", client.DiscoveryV1().EndpointSlices(everywhere), endpointSliceSeries),
	}
}

// follow keeps the store up to date until the context ends.
func (s source) follow(ctx context.Context) {
	cache.NewNamedReflector(s.name, s.watcher, s.example, s.store, 0).RunWithContext(ctx)
}
