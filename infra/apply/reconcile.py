"""The stages of `mesh apply`, in the order in which they need each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from infra.apply import topics_and_acls
from infra.apply.installation import ApplySettings, Installation
from infra.apply.plan import acls
from infra.environment import Environment
from infra.keys import ensure_keys
from infra.local.kafka_server import ADMIN, REGISTRY
from schemas.topics import TopicDeclaration, topics_of, users

#: The tracker's HTTP asks for this token.
TRACKER_TOKEN = "tracker.http"  # noqa: S105 - its name, not the token

#: Told what stage begins, and of how many it is which.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ApplySummary:
    """How much had to be changed; nothing the second time."""

    users: int = 0
    topics: int = 0
    rights_given: int = 0
    rights_taken: int = 0
    subjects: int = 0
    stores: int = 0

    @property
    def changes(self) -> int:
        """All of it together."""
        return self.users + self.topics + self.rights_given + self.rights_taken + self.subjects + self.stores


def apply(
    environment: Environment,
    installation: Installation,
    municipalities: Iterable[str] = (),
    progress: Progress = lambda text, done, total: None,
    renew_passwords: bool = False,
) -> ApplySummary:
    """Bring the servers to what is declared, for the municipalities admitted before and these.

    Repeatable. Raises UnknownMunicipalityError before anything is touched, ApplyError where a server refuses.
    """
    # The registry's client and the database's driver take half as long to import as all else of a command: who only
    # asks what is declared, as every hand-over of a known municipality does, has no use for them.
    from infra.apply import domain_stores, registered_schemas  # noqa: PLC0415

    installation.admit(municipalities)
    settings, topics = ApplySettings().on(environment.copies), topics_of(installation.municipalities())
    progress("keys", 0, 6)
    ensure_keys(installation.key_file)
    progress("users", 1, 6)
    names = users(topics)
    environment.secrets().ensure([*names, TRACKER_TOKEN])
    client = topics_and_acls.admin(environment)
    new_users = topics_and_acls.make_users(client, environment, names, renew_passwords)
    progress("topics", 2, 6)
    new_topics = topics_and_acls.make_topics(client, topics, settings)
    progress("rights", 3, 6)
    given, taken = topics_and_acls.sync_acls(client, acls(topics), _managed(environment))
    progress("schemas", 4, 6)
    subjects = registered_schemas.register(environment, installation, topics)
    progress("stores", 5, 6)
    made = domain_stores.create(environment, installation.municipalities())
    if new_users or new_topics or given or taken:
        topics_and_acls.wait_in_force(client)
    progress("ready", 6, 6)
    return ApplySummary(new_users, new_topics, given, taken, subjects, made)


def _managed(environment: Environment) -> set[str]:
    """Whose rights are ours to take: users with a password here. The registry's own are the local stack's."""
    return set(environment.secrets().names()) - {ADMIN, REGISTRY}


def declared(installation: Installation) -> list[TopicDeclaration]:
    """Every topic of this installation."""
    return topics_of(installation.municipalities())
