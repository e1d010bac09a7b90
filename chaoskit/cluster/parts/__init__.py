"""What the embedded cluster is built from: programs, images, and the template of a node's image store.

Each part is built once and kept in the user's cache folder under a hash of what went into it (`store`), by tools that
are run where they can leave nothing behind (`tools`). `chaoskit.cluster.toolset` puts the parts together, and
`chaoskit.cluster.ownimage` those of chaoskit's own image; nothing else is meant to import them.
"""
