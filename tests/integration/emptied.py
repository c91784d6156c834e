"""Servers that hold nothing, without new servers: all that a mesh ever made on them is forgotten, and applied anew.

Passwords, keys and the registry's schemas stay, as they would over any start of the servers.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from confluent_kafka.admin import AdminClient

from infra.apply import domain_stores, topics_and_acls
from infra.apply.installation import Installation
from infra.apply.reconcile import apply, declared
from infra.environment import Environment
from infra.local.postgres_server import DATABASE, SUPERUSER
from infra.replay.reset import forget_groups, forget_topics
from infra.run.group_leave import leave_groups
from infra.run.slots import WORKERS_MAX, slots
from schemas.systems import DOMAINS

TIMEOUT_S = 30.0
#: Topics of Kafka's own and of the registry, which aren't the mesh's.
FOREIGN = ("__", "kafkasql-", "registry-events")
#: Files of an installation that a mesh at work has made.
LEFT = ("logs/*.[0-9].log", "run/*.json", "foreign-schemas.json", "municipalities.json")
#: What somebody left open would keep its tables locked.
END_ALL = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"


def empty(environment: Environment, installation: Installation, municipalities: Sequence[str]) -> None:
    """Forget all, and apply for these municipalities. No worker may run.

    AssertionError: something was left of what was there before.
    """
    client = topics_and_acls.admin(environment)
    leave_groups(environment, slots((), WORKERS_MAX))
    forget_groups(client, groups(client))
    forget_topics(client, topics(client))
    with psycopg.connect(environment.dsn(SUPERUSER), autocommit=True) as connection:
        connection.execute(END_ALL, [DATABASE])
    domain_stores.drop(environment)
    for pattern in LEFT:
        for file in installation.folder.glob(pattern):
            file.unlink()
    applied = apply(environment, installation, municipalities)
    assert applied.topics == len(declared(installation)) == len(topics(client)), "every topic is new"
    assert applied.stores == len(DOMAINS), "every store is new"
    assert groups(client) == [], "nobody has read anything"


def topics(client: AdminClient) -> list[str]:
    """The mesh's topics, and whatever else somebody made."""
    found = client.list_topics(timeout=TIMEOUT_S).topics
    return [name for name in found if not name.startswith(FOREIGN)]


def groups(client: AdminClient) -> list[str]:
    """Every consumer group but the registry's."""
    told = client.list_consumer_groups(request_timeout=TIMEOUT_S).result(TIMEOUT_S)
    assert told.errors == []
    return [each.group_id for each in told.valid if not each.group_id.startswith(FOREIGN)]
