package main

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A family is a metric's name, help and label names: whatever its series have in common.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func gauge(name, help string, labels ...string) family {
	return family{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue}
}

func counter(name, help string, labels ...string) family {
	return family{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue}
}

// series collects the samples of one object. All of them begin with the same label values, which name the object.
type series struct {
	object  []string
	metrics []prometheus.Metric
}

func of(object ...string) *series {
	return &series{object: object}
}

// add appends one sample; labels are those that follow the object's own.
func (s *series) add(f family, value float64, labels ...string) {
	values := slices.Concat(s.object, labels)
	s.metrics = append(s.metrics, prometheus.MustNewConstMetric(f.desc, f.kind, value, values...))
}

// oneOf appends a sample for each possible value: 1 for the present one, 0 for the others, as a state set does.
func (s *series) oneOf(f family, present string, possible ...string) {
	for _, value := range possible {
		s.add(f, number(value == present), value)
	}
}

// time appends a moment in Unix seconds, if there was one.
func (s *series) time(f family, moment *metav1.Time) {
	if moment != nil && !moment.IsZero() {
		s.add(f, float64(moment.Unix()))
	}
}

// condition appends a sample for each of the three states that a condition can be in; labels stand before the state.
func (s *series) condition(f family, status corev1.ConditionStatus, labels ...string) {
	for _, possible := range []corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown} {
		s.add(f, number(status == possible), slices.Concat(labels, []string{strings.ToLower(string(possible))})...)
	}
}

// owners appends one sample for each owner, or one with empty labels for an object that nobody owns.
func (s *series) owners(f family, references []metav1.OwnerReference) {
	if len(references) == 0 {
		s.add(f, 1, "", "", "")
	}
	for _, owner := range references {
		s.add(f, 1, owner.Kind, owner.Name, strconv.FormatBool(owner.Controller != nil && *owner.Controller))
	}
}

// resources appends one sample for each resource of a list, in the unit that kube-state-metrics gives it.
func (s *series) resources(f family, list corev1.ResourceList, labels ...string) {
	for _, name := range slices.Sorted(maps.Keys(list)) {
		quantity := list[name]
		s.add(f, float(quantity), slices.Concat(labels, []string{labelName(string(name)), unit(name)})...)
	}
}

// labelled appends a sample whose label names are the object's own labels, as far as they are on the list.
func (s *series) labelled(name, help string, objectLabels []string, labels map[string]string, allowed []string) {
	names, values := slices.Clone(objectLabels), slices.Clone(s.object)
	for _, key := range slices.Sorted(slices.Values(allowed)) {
		if value, present := labels[key]; present {
			names, values = append(names, "label_"+snakeCase(labelName(key))), append(values, value)
		}
	}
	desc := prometheus.NewDesc(name, help, names, nil)
	s.metrics = append(s.metrics, prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, 1, values...))
}

func unit(name corev1.ResourceName) string {
	switch {
	case name == corev1.ResourceCPU:
		return "core"
	case name == corev1.ResourceMemory, name == corev1.ResourceStorage, name == corev1.ResourceEphemeralStorage,
		strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix), strings.HasPrefix(string(name), corev1.ResourceAttachableVolumesPrefix):
		return "byte"
	default:
		return "integer"
	}
}

var (
	notInLabelNames = regexp.MustCompile(`[^a-zA-Z0-9_]`)
	wordBoundary    = regexp.MustCompile(`([a-z0-9])([A-Z])`)
)

func labelName(key string) string {
	return notInLabelNames.ReplaceAllString(key, "_")
}

func snakeCase(name string) string {
	return strings.ToLower(wordBoundary.ReplaceAllString(name, "${1}_${2}"))
}

func number(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}

// float keeps three decimals, which is as fine as Kubernetes measures anything.
func float(quantity resource.Quantity) float64 {
	return float64(quantity.MilliValue()) / 1000
}

func dereference[T any](pointer *T, absent T) T {
	if pointer == nil {
		return absent
	}
	return *pointer
}
