// metrics-server with a resolution finer than its own flag check allows (10 s): an autoscaler's reaction waits for this round.
package main

import (
	"fmt"
	"os"
	"time"

	_ "chaoskit/cluster/servers/settle"

	"github.com/spf13/pflag"
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
