"""The reference app: a small web shop to break on purpose, and the example for how an app survives it.

`app/` is what runs in its container and knows nothing of chaoskit; `manifests/` is how it is deployed.
"""
