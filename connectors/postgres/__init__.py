"""PostgreSQL: a domain's store, the sink that writes it, and the relay of what it has to tell the mesh."""

from connectors.postgres.ddl import create_store, drop_store
from connectors.postgres.relay import Relay
from connectors.postgres.roles import municipality_role, sink_role, store_roles
from connectors.postgres.settings import PostgresSettings
from connectors.postgres.sink import PostgresSink
from connectors.postgres.sink_status import StoreStatus, store_status
from connectors.postgres.worker import Access, PostgresSinkSettings, postgres_worker

__all__ = [
    "Access",
    "PostgresSettings",
    "PostgresSink",
    "PostgresSinkSettings",
    "Relay",
    "StoreStatus",
    "create_store",
    "drop_store",
    "municipality_role",
    "postgres_worker",
    "sink_role",
    "store_roles",
    "store_status",
]
