"""The stages of `mesh apply`, in the order of their dependencies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from infra.apply import topics_and_acls
from infra.apply.adoption_commands import number_declarations
from infra.apply.installation import ApplySettings, Installation, validated_codes
from infra.apply.plan import acls, quotas
from infra.apply.topics_and_acls import ApplyError
from infra.coding import codec
from infra.environment import Environment
from infra.key_file import Keys
from infra.key_fingerprints import (
    Fingerprints,
    read_fingerprints,
    record_fingerprints,
    require_unchanged,
)
from infra.keys import ensure_keys
from infra.local.kafka_server import ADMIN, REGISTRY
from infra.submission_key import write_submission_key
from schemas.topics import TopicDeclaration, topics_of, users
from streams.errors import StreamError

#: Name in `secrets.json` of the token for the tracker's HTTP interface.
TRACKER_TOKEN = "tracker.http"  # noqa: S105 - its name, not the token

#: Number of stages of `apply`.
STAGES = 7

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

    Repeatable. Raise UnknownMunicipalityError, KeyFileError or ApplyError before any change where the declarations
    can't be applied (`infra.apply.checks`), and ApplyError where a server rejects a change nevertheless.
    """
    # The registry's client and the database driver take half of a command's import time. A command that only reads
    # the declarations, as every ingest for a known municipality does, doesn't need them.
    from infra.apply import schemas_and_stores  # noqa: PLC0415
    from infra.apply.checks import check  # noqa: PLC0415
    from infra.apply.quotas import set_quotas  # noqa: PLC0415

    progress("checks", 0, STAGES)
    topics = topics_of([*installation.municipalities(), *validated_codes(municipalities)])
    checked = check(environment, installation, topics)
    settings = ApplySettings().with_replication_defaults(environment.replication)
    client = topics_and_acls.admin_client(environment)
    progress("keys", 1, STAGES)
    installation.admit(municipalities)
    keys = ensure_keys(installation.key_file).keys
    write_submission_key(installation)
    progress("users", 2, STAGES)
    names = users(topics)
    environment.secrets().ensure([*names, TRACKER_TOKEN])
    users_set = topics_and_acls.set_users(client, environment, names, renew_passwords)
    quotas_set = set_quotas(environment, quotas(topics, settings))
    progress("topics", 3, STAGES)
    topics_changed = topics_and_acls.create_or_alter_topics(client, topics, settings)
    progress("ACLs", 4, STAGES)
    added, removed = topics_and_acls.sync_acls(client, acls(topics), _managed_users(environment))
    progress("schemas", 5, STAGES)
    subjects = schemas_and_stores.register_schemas(environment, installation, topics, checked.schemas)
    _record_keys(environment, installation, dict(keys), checked.fingerprints)
    progress("stores", 6, STAGES)
    stores = schemas_and_stores.create_stores(environment, installation.municipalities())
    if users_set or topics_changed or added or removed:
        topics_and_acls.wait_until_enforced(client)
    number_declarations(environment, installation)
    progress("ready", STAGES, STAGES)
    return ApplySummary(users_set, quotas_set, topics_changed, added, removed, subjects, stores)


def _record_keys(
    environment: Environment, installation: Installation, keys: Keys, recorded: Fingerprints
) -> None:
    """Record the fingerprints of keys that are used from now on, and check that no other command recorded others."""
    schemas = codec(environment, installation)
    try:
        if record_fingerprints(environment, schemas, ADMIN, keys, recorded):
            require_unchanged(keys, read_fingerprints(environment, schemas, ADMIN), installation.key_file)
    except StreamError as error:
        raise ApplyError(f"the fingerprints of the keys can't be recorded: {error}") from error


def _managed_users(environment: Environment) -> set[str]:
    """Return the users whose ACLs `mesh apply` may remove: all with a password here but the local stack's own."""
    return set(environment.secrets().names()) - {ADMIN, REGISTRY}


def declared_topics(installation: Installation) -> list[TopicDeclaration]:
    """Return every topic of this installation."""
    return topics_of(installation.municipalities())
