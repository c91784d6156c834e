"""`mesh local`: Kafka, schema registry and PostgreSQL on this machine, without Docker, with real users and ACLs.

These modules import nothing of the mesh but `infra.errors` (and `infra.environment` for the command line): the servers
don't depend on what runs on them.
"""
