"""Everything that builds and runs the mesh: local stack, command line, settings, ACLs, workers, verification.

The top layer: it may import every other package, and none of them imports it.
"""
