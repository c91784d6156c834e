"""Integration tests: real Kafka, registry and PostgreSQL."""
