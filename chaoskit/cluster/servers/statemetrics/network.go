package main

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

var (
	serviceInfo = serviceGauge("info", "Information about service.", "cluster_ip", "external_name", "external_traffic_policy", "load_balancer_ip")
	serviceMade = serviceGauge("created", "Unix creation timestamp.")
	serviceType = serviceGauge("spec_type", "Type about service.", "type")
	serviceLB   = serviceGauge("status_load_balancer_ingress", "Service load balancer ingress status.", "ip", "hostname")

	endpointInfo    = endpointGauge("info", "Information about endpoint.")
	endpointCreated = endpointGauge("created", "Unix creation timestamp.")
	endpointAddress = endpointGauge("address", "Information about Endpoint available and non available addresses.", "ip", "ready")
	endpointPorts   = endpointGauge("ports", "Information about the Endpoint ports.", "port_name", "port_protocol", "port_number")

	sliceInfo      = sliceGauge("info", "Information about endpointslice.", "addresstype")
	sliceCreated   = sliceGauge("created", "Unix creation timestamp.")
	slicePorts     = sliceGauge("ports", "Ports attached to the endpointslice.", "port_name", "port_protocol", "port_number")
	sliceEndpoints = sliceGauge("endpoints", "Endpoints attached to the endpointslice.", "address", "ready", "serving", "terminating", "hostname",
		"targetref_kind", "targetref_name", "targetref_namespace", "nodename", "endpoint_zone")
)

func serviceGauge(name, help string, labels ...string) family {
	return gauge("kube_service_"+name, help, append([]string{"namespace", "service", "uid"}, labels...)...)
}

func endpointGauge(name, help string, labels ...string) family {
	return gauge("kube_endpoint_"+name, help, append([]string{"namespace", "endpoint"}, labels...)...)
}

func sliceGauge(name, help string, labels ...string) family {
	return gauge("kube_endpointslice_"+name, help, append([]string{"namespace", "endpointslice"}, labels...)...)
}

func serviceSeries(service *corev1.Service) []prometheus.Metric {
	s := of(service.Namespace, service.Name, string(service.UID))
	spec := service.Spec
	s.add(serviceInfo, 1, spec.ClusterIP, spec.ExternalName, string(spec.ExternalTrafficPolicy), spec.LoadBalancerIP)
	s.time(serviceMade, &service.CreationTimestamp)
	s.add(serviceType, 1, string(spec.Type))
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		s.add(serviceLB, 1, ingress.IP, ingress.Hostname)
	}
	return s.metrics
}

// endpointsSeries names each address once. Endpoints repeats an address in a subset for each set of ports that it offers.
func endpointsSeries(endpoints *corev1.Endpoints) []prometheus.Metric {
	s := of(endpoints.Namespace, endpoints.Name)
	s.add(endpointInfo, 1)
	s.time(endpointCreated, &endpoints.CreationTimestamp)
	once := onlyOnce{}
	for _, subset := range endpoints.Subsets {
		for _, port := range subset.Ports {
			once.add(s, endpointPorts, port.Name, string(port.Protocol), strconv.Itoa(int(port.Port)))
		}
		for _, address := range subset.Addresses {
			once.add(s, endpointAddress, address.IP, "true")
		}
		for _, address := range subset.NotReadyAddresses {
			once.add(s, endpointAddress, address.IP, "false")
		}
	}
	return s.metrics
}

func endpointSliceSeries(slice *discoveryv1.EndpointSlice) []prometheus.Metric {
	s := of(slice.Namespace, slice.Name)
	s.add(sliceInfo, 1, string(slice.AddressType))
	s.time(sliceCreated, &slice.CreationTimestamp)
	once := onlyOnce{}
	for _, port := range slice.Ports {
		number := strconv.Itoa(int(dereference(port.Port, 0)))
		once.add(s, slicePorts, dereference(port.Name, ""), string(dereference(port.Protocol, "")), number)
	}
	for _, endpoint := range slice.Endpoints {
		target := dereference(endpoint.TargetRef, corev1.ObjectReference{})
		for _, address := range endpoint.Addresses {
			once.add(s, sliceEndpoints, address, truth(endpoint.Conditions.Ready), truth(endpoint.Conditions.Serving), truth(endpoint.Conditions.Terminating),
				dereference(endpoint.Hostname, ""), target.Kind, target.Name, target.Namespace, dereference(endpoint.NodeName, ""), dereference(endpoint.Zone, ""))
		}
	}
	return s.metrics
}

func truth(condition *bool) string {
	if condition == nil {
		return ""
	}
	return strconv.FormatBool(*condition)
}

// onlyOnce leaves out a series that was there before: Prometheus refuses a scrape in which one occurs twice.
type onlyOnce map[string]bool

func (o onlyOnce) add(s *series, f family, labels ...string) {
	key := f.desc.String()
	for _, label := range labels {
		key += "\x00" + label
	}
	if !o[key] {
		o[key] = true
		s.add(f, 1, labels...)
	}
}
