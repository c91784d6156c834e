"""PostgreSQL: a domain's store, the sink that writes it, and the relay that publishes its receipts and dead letters."""

from connectors.postgres.ddl import create_store, drop_store
from connectors.postgres.relay import Relay
from connectors.postgres.roles import municipality_role, sink_role, store_roles
from connectors.postgres.sink import PostgresSink
from connectors.postgres.sink_status import StoreStatus, store_status
from connectors.postgres.store import PostgresSettings
from connectors.postgres.worker import PostgresSinkSettings, SinkAccess, postgres_worker

__all__ = [
    "PostgresSettings",
    "PostgresSink",
    "PostgresSinkSettings",
    "Relay",
    "SinkAccess",
    "StoreStatus",
    "create_store",
    "drop_store",
    "municipality_role",
    "postgres_worker",
    "sink_role",
    "store_roles",
    "store_status",
]
