"""What one Kafka user may do, and how it connects: what the files of every client are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from infra.apply.plan import AclRule, acls
from infra.environment import Environment
from infra.errors import OperatorError
from schemas.systems import DOMAINS, SYSTEMS
from schemas.topics import (
    AUDITOR,
    STEPS,
    TopicDeclaration,
    parse_input_topic,
    sink_step,
    topics_of,
    users,
)

#: Users whose topics and groups are those of the mesh's own workers.
_WORKERS: Final = frozenset({*STEPS, *map(sink_step, DOMAINS)})

#: Settings of every consumer: a record of a transaction that was aborted never happened.
CONSUMER: Final[Mapping[str, str]] = {"isolation.level": "read_committed", "auto.offset.reset": "earliest"}
#: Settings of every producer: the broker has each record once, on all replicas that must have it.
PRODUCER: Final[Mapping[str, str]] = {"acks": "all", "enable.idempotence": "true"}


@dataclass(frozen=True)
class KafkaAccess:
    """How a user connects, the topics that it may write and read, and the ACLs on groups.

    `connection` are librdkafka's properties, with the password.
    """

    user: str
    connection: Mapping[str, str]
    registry_url: str
    writes: Sequence[TopicDeclaration]
    reads: Sequence[TopicDeclaration]
    group_rules: frozenset[AclRule]

    @property
    def reads_everything(self) -> bool:
        """Whether it is the auditor, who has to name the topic."""
        return self.user == AUDITOR

    def group(self, client: str) -> str:
        """Return the name of the group of a kind of client. Raise OperatorError if the ACLs don't allow it."""
        name = f"{self.user}.{client}"
        if not allows_group(self.group_rules, name):
            raise OperatorError(f"{self.user} may not use a consumer group {name}")
        return name

    def topic_to_read(self, topic: str | None) -> str:
        """Return `topic`, or else the only one that the user may read. Raise OperatorError where there is none."""
        names = [declared.name for declared in self.reads]
        if topic is None and len(names) == 1:
            return names[0]
        if topic is None and names:
            raise OperatorError(f"{self.user} may read {len(names)} topics: name one with --topic")
        if not names:
            raise OperatorError(f"{self.user} may read no topic; it submits to {self._written()}")
        if topic not in names:
            raise OperatorError(f"{self.user} may not read a topic {topic!r}")
        return topic

    def _written(self) -> str:
        return ", ".join(declared.name for declared in self.writes)


def kafka_access(environment: Environment, municipalities: Iterable[str], user: str) -> KafkaAccess:
    """Return what `user` may do. Raise OperatorError for a user whom no client outside the mesh should be.

    These are users that don't exist or have no password here, those of the mesh's workers, and submitters of the high
    level, because a client without the mesh's code submits in clear.
    """
    topics = topics_of(municipalities)
    known = [name for name in users(topics) if name not in _WORKERS]
    if user in _WORKERS:
        raise OperatorError(f"{user} is the user of a step: its topics and its group belong to its workers")
    if user not in known:
        raise OperatorError(f"no Kafka user {user!r}; there are: {', '.join(known)}")
    writes = tuple(topic for topic in topics if user in topic.writers)
    for system in (SYSTEMS[parse_input_topic(topic.name)[0]] for topic in writes):
        if system.is_high:
            raise OperatorError(
                f"{user} submits at the high level, so what it submits must be sealed: "
                f"use `mesh ingest events --system {system.id}`, which seals it"
            )
    if user not in environment.secrets().names():
        raise OperatorError(f"there is no password of {user} here: run `mesh apply`")
    return KafkaAccess(
        user=user,
        connection=environment.kafka(user),
        registry_url=environment.registry_url,
        writes=writes,
        reads=tuple(topic for topic in topics if user in topic.readers),
        group_rules=frozenset(rule for rule in acls(topics) if rule.user == user and rule.kind == "GROUP"),
    )


def allows_group(rules: Iterable[AclRule], name: str) -> bool:
    """Return whether ACLs on groups allow the name: one rule does, and none denies it."""
    matching = [
        rule for rule in rules if (name.startswith(rule.name) if rule.prefixed else rule.name in (name, "*"))
    ]
    return bool(matching) and not any(rule.denied for rule in matching)
