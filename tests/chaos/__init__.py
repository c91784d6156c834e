"""Chaos on real servers: `make chaos MINUTES=…`.

`cluster` is the mesh under test, `proxy` the network between its parts, `load` what is submitted meanwhile. `faults`
has the kinds of faults, `campaign` injects them, and `run` is one run from start to check. `watch` and `store_watch`
observe the mesh, `stalls` measures from their observations. `evidence` collects the final state, `checker` compares it
with the model. `figures`, `page` and `report` combine all runs.
"""
