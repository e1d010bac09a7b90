// Every server of the embedded cluster in one program, picked by the name that it is called by.
// They share most of their code: together they take 170 MB on disk, apart 590 MB.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	_ "chaoskit/cluster/servers/settle"

	_ "github.com/containerd/containerd/v2/cmd/containerd/builtins"
	"github.com/containerd/containerd/v2/cmd/containerd/command"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// kubernetes holds the servers that are built on cobra; the two others parse their own arguments.
var kubernetes = map[string]func() *cobra.Command{
	"kube-apiserver":          newAPIServer,
	"kube-controller-manager": controllers.NewControllerManagerCommand,
	"kube-proxy":              proxy.NewProxyCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
}

func main() {
	switch name := filepath.Base(os.Args[0]); name {
	case "etcd":
		etcdmain.Main(os.Args)
	case "containerd":
		if err := command.App().Run(context.Background(), os.Args); err != nil {
			fail(1, "containerd: %v", err)
		}
	default:
		newCommand, known := kubernetes[name]
		if !known {
			fail(2, "no server is called %q: start this program through a link that has a server's name", name)
		}
		os.Exit(cli.Run(newCommand()))
	}
}

func fail(code int, format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(code)
}
