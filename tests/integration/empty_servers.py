"""Empties servers without restarting them: deletes all that a mesh has created, and applies the declarations again.

Passwords, keys and the registry's schemas stay, as they do when the servers restart.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from confluent_kafka.admin import AdminClient

from infra.apply import schemas_and_stores, topics_and_acls
from infra.apply.installation import Installation
from infra.apply.reconcile import apply, declared_topics
from infra.environment import Environment
from infra.local.postgres_server import DATABASE, SUPERUSER
from infra.replay.reset import delete_groups, delete_topics
from infra.run.group_leave import leave_groups
from infra.run.slots import WORKERS_MAX, slots
from schemas.systems import DOMAINS

TIMEOUT_S = 30.0
#: Prefixes of topics and groups that belong to Kafka or to the registry, not to the mesh.
FOREIGN = ("__", "kafkasql-", "registry-events")
#: Files that commands and workers have created in the installation.
CREATED_FILES = (
    "logs/*.[0-9].log",
    "run/*.json",
    "foreign-schemas.json",
    "municipalities.json",
    "clock.json",
    "declarations.json",
)
#: Ends other connections: one with an open transaction would keep its tables locked.
END_CONNECTIONS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE datname = %s AND pid <> pg_backend_pid()"
)


def empty(environment: Environment, installation: Installation, municipalities: Sequence[str]) -> None:
    """Delete everything and apply the declarations for these municipalities. No worker may run.

    Raise AssertionError if something was left.
    """
    client = topics_and_acls.admin_client(environment)
    leave_groups(environment, slots((), WORKERS_MAX))
    delete_groups(client, groups(client))
    delete_topics(client, topics(client))
    with psycopg.connect(environment.dsn(SUPERUSER), autocommit=True) as connection:
        connection.execute(END_CONNECTIONS, [DATABASE])
    schemas_and_stores.drop_stores(environment)
    for pattern in CREATED_FILES:
        for file in installation.folder.glob(pattern):
            file.unlink()
    applied = apply(environment, installation, municipalities)
    assert applied.topics == len(declared_topics(installation)) == len(topics(client)), (
        "a topic was not deleted"
    )
    assert applied.stores == len(DOMAINS), "a store was not dropped"
    assert groups(client) == [], "a group was not deleted"


def topics(client: AdminClient) -> list[str]:
    """Return the mesh's topics, and any other topics that a test has created."""
    names = client.list_topics(timeout=TIMEOUT_S).topics
    return [name for name in names if not name.startswith(FOREIGN)]


def groups(client: AdminClient) -> list[str]:
    """Return every consumer group except the registry's."""
    listing = client.list_consumer_groups(request_timeout=TIMEOUT_S).result(TIMEOUT_S)
    assert listing.errors == []
    return [group.group_id for group in listing.valid if not group.group_id.startswith(FOREIGN)]
