"""Chaos on real servers: `make chaos MINUTES=…`.

`place` is the mesh under test, `proxy` the network between its parts, `load` what is handed over all the while,
`faults` what is done to it, `run` one run from the start to the verdict. `watch` and `stores` look on from outside,
`evidence` collects what is left in the end, `checker` holds it against the model, `figures` and `page` tell of all
runs together.
"""
