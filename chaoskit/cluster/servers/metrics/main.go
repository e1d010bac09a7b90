// metrics-server with a resolution finer than its own flag check allows (10 s): an autoscaler's reaction waits for this round.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	_ "chaoskit/cluster/servers/settle"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/wait"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"sigs.k8s.io/metrics-server/cmd/metrics-server/app/options"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "metrics-server:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	opts := options.NewOptions()
	flags := pflag.NewFlagSet("metrics-server", pflag.ExitOnError)
	for _, set := range opts.Flags().FlagSets {
		flags.AddFlagSet(set)
	}
	resolution := flags.Duration("fine-resolution", 2*time.Second, "how often the kubelets are asked; longer than --kubelet-request-timeout")
	if err := flags.Parse(args); err != nil {
		return err
	}
	opts.MetricResolution = *resolution
	if err := awaitAPIServer(); err != nil {
		return err
	}
	config, err := opts.ServerConfig()
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	server, err := config.Complete()
	if err != nil {
		return fmt.Errorf("set-up: %w", err)
	}
	return server.RunUntil(genericapiserver.SetupSignalHandler())
}

// awaitAPIServer waits for kube-proxy, which may make the way to Services later than a node's first pods start. Whoever ends
// because there is none yet is started again only after the kubelet's back-off, which takes longer than the cluster's start.
func awaitAPIServer() error {
	address := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	var last error
	reached := func(context.Context) (bool, error) {
		connection, err := net.DialTimeout("tcp", address, time.Second)
		if last = err; err != nil {
			return false, nil
		}
		return true, connection.Close()
	}
	if err := wait.PollUntilContextTimeout(context.Background(), 50*time.Millisecond, 30*time.Second, true, reached); err != nil {
		return fmt.Errorf("the API server at %s: %w (%v)", address, err, last)
	}
	return nil
}
