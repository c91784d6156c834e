"""The stages of `mesh apply`, in the order of their dependencies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from infra.apply import topics_and_acls
from infra.apply.installation import ApplySettings, Installation
from infra.apply.plan import acls, quotas
from infra.environment import Environment
from infra.keys import ensure_keys
from infra.local.kafka_server import ADMIN, REGISTRY
from schemas.topics import TopicDeclaration, topics_of, users

#: Name in `secrets.json` of the token for the tracker's HTTP interface.
TRACKER_TOKEN = "tracker.http"  # noqa: S105 - its name, not the token

#: Called at the start of each stage with its name, its number and the number of stages.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ApplySummary:
    """How many changes were necessary; all counts are 0 when `mesh apply` is repeated."""

    users: int = 0
    quotas: int = 0
    topics: int = 0
    acls_added: int = 0
    acls_removed: int = 0
    subjects: int = 0
    stores: int = 0

    @property
    def changes(self) -> int:
        """The sum of all counts."""
        access = self.users + self.quotas + self.acls_added + self.acls_removed
        return access + self.topics + self.subjects + self.stores


def apply(
    environment: Environment,
    installation: Installation,
    municipalities: Iterable[str] = (),
    progress: Progress = lambda stage, number, total: None,
    renew_passwords: bool = False,
) -> ApplySummary:
    """Create and update everything declared, for the municipalities admitted before and `municipalities`.

    Repeatable. Raise UnknownMunicipalityError before any change, and ApplyError where a server rejects a change.
    """
    # The registry's client and the database driver take half of a command's import time. A command that only reads
    # the declarations, as every ingest for a known municipality does, doesn't need them.
    from infra.apply import schemas_and_stores  # noqa: PLC0415
    from infra.apply.quotas import set_quotas  # noqa: PLC0415

    installation.admit(municipalities)
    settings = ApplySettings().with_replication_defaults(environment.replication)
    topics = topics_of(installation.municipalities())
    progress("keys", 0, 6)
    ensure_keys(installation.key_file)
    progress("users", 1, 6)
    names = users(topics)
    environment.secrets().ensure([*names, TRACKER_TOKEN])
    client = topics_and_acls.admin_client(environment)
    users_set = topics_and_acls.set_users(client, environment, names, renew_passwords)
    quotas_set = set_quotas(environment, quotas(topics, settings))
    progress("topics", 2, 6)
    topics_changed = topics_and_acls.create_or_alter_topics(client, topics, settings)
    progress("ACLs", 3, 6)
    added, removed = topics_and_acls.sync_acls(client, acls(topics), _managed_users(environment))
    progress("schemas", 4, 6)
    subjects = schemas_and_stores.register_schemas(environment, installation, topics)
    progress("stores", 5, 6)
    stores = schemas_and_stores.create_stores(environment, installation.municipalities())
    if users_set or topics_changed or added or removed:
        topics_and_acls.wait_until_enforced(client)
    progress("ready", 6, 6)
    return ApplySummary(users_set, quotas_set, topics_changed, added, removed, subjects, stores)


def _managed_users(environment: Environment) -> set[str]:
    """Return the users whose ACLs `mesh apply` may remove: all with a password here but the local stack's own."""
    return set(environment.secrets().names()) - {ADMIN, REGISTRY}


def declared_topics(installation: Installation) -> list[TopicDeclaration]:
    """Return every topic of this installation."""
    return topics_of(installation.municipalities())
