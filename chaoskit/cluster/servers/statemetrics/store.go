package main

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/tools/cache"
)

// A store holds what one kind of object looks like as series, ready to be sent. A reflector feeds it. The objects
// themselves are not kept: with scrapes every second, converting on change costs less memory and less work.
type store struct {
	convert func(object any) []prometheus.Metric

	mutex  sync.RWMutex
	series map[string][]prometheus.Metric
	synced bool
}

func newStore(convert func(object any) []prometheus.Metric) *store {
	return &store{convert: convert, series: map[string][]prometheus.Metric{}}
}

// Add takes in a new object. With Update, Delete, Replace and Resync it makes a store what a reflector writes to.
func (s *store) Add(object any) error {
	key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object)
	if err != nil {
		return err
	}
	converted := s.convert(object)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.series[key] = converted
	return nil
}

// Update takes in a new state of an object.
func (s *store) Update(object any) error {
	return s.Add(object)
}

// Delete forgets an object.
func (s *store) Delete(object any) error {
	key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object)
	if err != nil {
		return err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.series, key)
	return nil
}

// Replace takes in all there is, at the start and whenever the watch was lost.
func (s *store) Replace(objects []any, _ string) error {
	series := make(map[string][]prometheus.Metric, len(objects))
	for _, object := range objects {
		key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object)
		if err != nil {
			return err
		}
		series[key] = s.convert(object)
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.series, s.synced = series, true
	return nil
}

// Resync does nothing: whatever the store holds is up to date.
func (s *store) Resync() error {
	return nil
}

func (s *store) hasSynced() bool {
	s.mutex.RLock()
	defer s.mutex.RUnlock()
	return s.synced
}

// Describe announces nothing, which tells the registry that the label names differ from object to object (labels become label names).
func (s *store) Describe(chan<- *prometheus.Desc) {}

// Collect sends every series. The lock is not held meanwhile, so that a slow scrape does not hold up the watch.
func (s *store) Collect(out chan<- prometheus.Metric) {
	for _, metrics := range s.snapshot() {
		for _, metric := range metrics {
			out <- metric
		}
	}
}

func (s *store) snapshot() [][]prometheus.Metric {
	s.mutex.RLock()
	defer s.mutex.RUnlock()
	all := make([][]prometheus.Metric, 0, len(s.series))
	for _, metrics := range s.series {
		all = append(all, metrics)
	}
	return all
}
