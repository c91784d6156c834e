"""Which users can log in at the brokers, and which at the database. A user of one need not be one of the other."""

from __future__ import annotations

import re
from collections.abc import Sequence

from connectors.postgres.roles import store_roles
from infra.environment import Environment
from infra.local import kafka_server, postgres_server
from schemas.systems import DOMAINS
from schemas.topics import topics_of, users


def kafka_users(environment: Environment, municipalities: Sequence[str]) -> set[str]:
    """Return the users of the brokers: those of the first start, and those that `mesh apply` has created."""
    declared = {*kafka_server.FIRST_USERS, *users(topics_of(municipalities))}
    return declared & set(environment.secrets().names())


def database_roles(environment: Environment, municipalities: Sequence[str]) -> set[str]:
    """Return the logins of the database: those of the first start, and those that `mesh apply` has created."""
    roles = (role for domain in DOMAINS.values() for role in store_roles(domain, municipalities))
    declared = {postgres_server.SUPERUSER, postgres_server.AUDITOR, *roles}
    return declared & set(environment.secrets().names())


def role_name(user: str) -> str:
    """Return the name that a user has at the database, if there is such a login: `_` instead of `-` and `.`."""
    return re.sub("[-.]", "_", user)
