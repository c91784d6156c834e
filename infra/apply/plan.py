"""What the declarations ask of Kafka: settings of topics, and rights. Pure: nothing is asked of a server here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from infra.apply.installation import ApplySettings
from schemas.systems import DOMAINS
from schemas.topics import (
    AUDITOR,
    NOTICE,
    PERSON_CHANGE,
    STEPS,
    TopicDeclaration,
    change_topic,
    domain_receipt_topic,
    group,
    sink_step,
)

#: Of what the mesh is told, in bytes; a batch may be this large, and a record with it.
RECORD_BYTES_MAX: Final = 4_194_304
#: Days of effect are Kafka timestamps too, and may lie in the future: the default refuses more than an hour.
ANY_TIME_MS: Final = 9_223_372_036_854_775_807

#: Between two steps: derived from what was handed over, and stamped with the time of writing. Nobody reads them but the
#: next step, which needs them until it has read them, and while it has set one of them aside.
INTERMEDIATE_TOPICS: Final = frozenset(
    {
        NOTICE,
        PERSON_CHANGE,
        *(name(domain) for name in (change_topic, domain_receipt_topic) for domain in DOMAINS),
    }
)
_DAY_MS: Final = 86_400_000

Kind = Literal["TOPIC", "GROUP", "TRANSACTIONAL_ID"]
Operation = Literal["READ", "WRITE"]


@dataclass(frozen=True, order=True)
class AclRule:
    """One ACL: `user` may do `operation` on what has this name, or whose name begins with it."""

    user: str
    kind: Kind
    name: str
    operation: Operation
    prefixed: bool = False
    denied: bool = False


def topic_config(topic: TopicDeclaration, settings: ApplySettings) -> dict[str, str]:
    """Kafka's settings of a topic. What is handed over gets the broker's time: an agency's clock decides nothing."""
    handed_over, days = topic.name.startswith("in."), settings.intermediate_retention_days
    return {
        "cleanup.policy": "compact" if topic.compacted else "delete",
        "retention.ms": str(_DAY_MS * days)
        if days is not None and topic.name in INTERMEDIATE_TOPICS
        else "-1",
        "retention.bytes": "-1",
        "min.insync.replicas": str(settings.min_insync_replicas or 1),
        "max.message.bytes": str(RECORD_BYTES_MAX),
        "message.timestamp.type": "LogAppendTime" if handed_over else "CreateTime",
        "message.timestamp.after.max.ms": str(ANY_TIME_MS),
    }


def partitions(topic: TopicDeclaration, settings: ApplySettings) -> int:
    """How many partitions it has."""
    return settings.partitions if topic.partitions == "P" else topic.partitions


def acls(topics: Iterable[TopicDeclaration]) -> set[AclRule]:
    """Every right there is to be: literal names of topics, the groups and transactions of each step."""
    declared = list(topics)
    writing = {AclRule(user, "TOPIC", topic.name, "WRITE") for topic in declared for user in topic.writers}
    reading = {AclRule(user, "TOPIC", topic.name, "READ") for topic in declared for user in topic.readers}
    return {*writing, *reading, *_of_steps(), *_of_readers()}


def _of_steps() -> Iterable[AclRule]:
    for step in (*STEPS, *map(sink_step, DOMAINS)):
        yield AclRule(step, "GROUP", group(step), "READ")
    for step in STEPS:
        yield AclRule(step, "TRANSACTIONAL_ID", f"mesh.{step}.", "WRITE", prefixed=True)


def _of_readers() -> Iterable[AclRule]:
    """A domain's own programs read in groups `<domain>…`; the auditor in any that isn't the mesh's."""
    for domain in DOMAINS:
        yield AclRule(domain, "GROUP", domain, "READ", prefixed=True)
    yield AclRule(AUDITOR, "GROUP", "*", "READ")
    yield AclRule(AUDITOR, "GROUP", "mesh.", "READ", prefixed=True, denied=True)
