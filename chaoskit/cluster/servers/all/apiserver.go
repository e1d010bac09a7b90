package main

import (
	"context"

	"github.com/spf13/cobra"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	genericapiserver "k8s.io/apiserver/pkg/server"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	logsapi "k8s.io/component-base/logs/api/v1"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// What an API server does once in the life of a store: it waits a second, then writes what is missing of its own roles
// and priority classes, and is not healthy before. In a store that was prepared nothing is missing.
var onceInAStore = []string{"rbac/bootstrap-roles", "scheduling/bootstrap-system-priority-classes"}

// newAPIServer is Kubernetes' own API server, with one flag more.
func newAPIServer() *cobra.Command {
	settings := options.NewServerRunOptions()
	prepared := false
	command := &cobra.Command{
		Use:          "kube-apiserver",
		SilenceUsage: true,
		RunE: func(command *cobra.Command, _ []string) error {
			return serve(command.Context(), settings, prepared)
		},
	}
	for _, flags := range settings.Flags().FlagSets {
		command.Flags().AddFlagSet(flags)
	}
	command.Flags().BoolVar(&prepared, "store-prepared", false, "the store holds the roles and priority classes already")
	command.SetContext(genericapiserver.SetupSignalContext())
	return command
}

func serve(ctx context.Context, settings *options.ServerRunOptions, prepared bool) error {
	if err := settings.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return err
	}
	rest.SetDefaultWarningHandler(rest.NoWarnings{}) // It would log what it warns itself of.
	if err := logsapi.ValidateAndApply(settings.Logs, utilfeature.DefaultFeatureGate); err != nil {
		return err
	}
	complete, err := settings.Complete(ctx)
	if err != nil {
		return err
	}
	if errs := complete.Validate(); len(errs) != 0 {
		return utilerrors.NewAggregate(errs)
	}
	if complete.InformerName, err = cache.NewInformerName("kube-apiserver"); err != nil {
		return err
	}
	return run(ctx, complete, prepared)
}

func run(ctx context.Context, settings options.CompletedOptions, prepared bool) error {
	config, err := apiserver.NewConfig(settings)
	if err != nil {
		return err
	}
	if prepared {
		config.KubeAPIs.ControlPlane.Generic.DisabledPostStartHooks.Insert(onceInAStore...)
	}
	completed, err := config.Complete()
	if err != nil {
		return err
	}
	chain, err := apiserver.CreateServerChain(completed)
	if err != nil {
		return err
	}
	ready, err := chain.PrepareRun()
	if err != nil {
		return err
	}
	return ready.Run(ctx)
}
