// state-metrics serves the state of a cluster's objects as kube-state-metrics does: the same names and labels, for the series that
// experiments and dashboards use, so that their PromQL works on any cluster. It is made for one small cluster and a scrape each second.
package main

import (
	_ "chaoskit/cluster/servers/settle"

	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	usualPodLabels = "app,k8s-app,version,app.kubernetes.io/name,app.kubernetes.io/instance,app.kubernetes.io/version," +
		"app.kubernetes.io/component,app.kubernetes.io/part-of"
	usualNodeLabels = "kubernetes.io/hostname,topology.kubernetes.io/zone,topology.kubernetes.io/region"
)

type settings struct {
	kubeconfig, address   string
	podLabels, nodeLabels []string
}

func main() {
	settings := parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, settings); err != nil {
		fmt.Fprintln(os.Stderr, "state-metrics:", err)
		os.Exit(1)
	}
}

func parse() settings {
	var s settings
	flag.StringVar(&s.kubeconfig, "kubeconfig", "", "file that tells where the API server is and who asks; inside a pod it is not needed")
	flag.StringVar(&s.address, "listen-address", "127.0.0.1:8080", "where /metrics and /readyz are served")
	podLabels := flag.String("pod-labels", usualPodLabels, "labels of pods that become labels of kube_pod_labels")
	nodeLabels := flag.String("node-labels", usualNodeLabels, "labels of nodes that become labels of kube_node_labels")
	flag.Parse()
	s.podLabels, s.nodeLabels = strings.Split(*podLabels, ","), strings.Split(*nodeLabels, ",")
	return s
}

func run(ctx context.Context, settings settings) error {
	client, err := connect(settings.kubeconfig)
	if err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	listener, err := net.Listen("tcp", settings.address)
	if err != nil {
		return err
	}
	all := sources(client, settings.podLabels, settings.nodeLabels)
	for _, source := range all {
		go source.follow(ctx)
	}
	server := &http.Server{Handler: handler(all), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func connect(kubeconfig string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	// Protobuf costs a fraction of JSON to decode. Endpoints are deprecated, and every answer would say so.
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	config.WarningHandler = rest.NoWarnings{}
	config.QPS, config.Burst = 50, 100
	return kubernetes.NewForConfig(config)
}

func handler(all []source) http.Handler {
	registry := prometheus.NewRegistry()
	for _, source := range all {
		registry.MustRegister(source.store)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	mux.HandleFunc("/readyz", func(answer http.ResponseWriter, _ *http.Request) { ready(answer, all) })
	return mux
}

// ready says yes once every kind of object has been listed: before that, series are missing, which looks like objects that do not exist.
func ready(answer http.ResponseWriter, all []source) {
	for _, source := range all {
		if !source.store.hasSynced() {
			http.Error(answer, "not listed yet: "+source.name, http.StatusServiceUnavailable)
			return
		}
	}
	fmt.Fprintln(answer, "ok")
}
