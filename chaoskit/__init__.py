"""chaoskit: break an application on Kubernetes on purpose, and judge what its users saw."""
