"""Kafka, a schema registry and PostgreSQL on this machine, without Docker, with real users and real rights.

Imports `infra.settings` and nothing else of the mesh: the servers know nothing of what runs on them.
"""
