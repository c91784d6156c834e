"""Topic settings and ACLs that the declarations require. Pure: calls no server."""

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

#: Largest batch of a producer, and so the largest record, in bytes.
RECORD_BYTES_MAX: Final = 4_194_304
#: Days of effect are record timestamps and may lie in the future; by default Kafka rejects more than an hour.
ANY_TIME_MS: Final = 9_223_372_036_854_775_807

#: Topics between two steps: derived from the input topics, with the time of writing as timestamp. Only the next step
#: reads them. It needs a record until it has read it, or while the record is in its dead-letter queue.
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
    """One ACL: `user` may do `operation` on the resource `name` or, if `prefixed`, on names that begin with it."""

    user: str
    kind: Kind
    name: str
    operation: Operation
    prefixed: bool = False
    denied: bool = False


def topic_config(topic: TopicDeclaration, settings: ApplySettings) -> dict[str, str]:
    """Return the Kafka settings of a topic.

    Records on input topics get the broker's time, because nothing may depend on an agency's clock.
    """
    is_input, days = topic.name.startswith("in."), settings.intermediate_retention_days
    return {
        "cleanup.policy": "compact" if topic.compacted else "delete",
        "retention.ms": str(_DAY_MS * days)
        if days is not None and topic.name in INTERMEDIATE_TOPICS
        else "-1",
        "retention.bytes": "-1",
        "min.insync.replicas": str(settings.min_insync_replicas or 1),
        "max.message.bytes": str(RECORD_BYTES_MAX),
        "message.timestamp.type": "LogAppendTime" if is_input else "CreateTime",
        "message.timestamp.after.max.ms": str(ANY_TIME_MS),
    }


def partition_count(topic: TopicDeclaration, settings: ApplySettings) -> int:
    """Return the number of partitions of a topic."""
    return settings.partitions if topic.partitions == "P" else topic.partitions


def quotas(topics: Iterable[TopicDeclaration], settings: ApplySettings) -> dict[str, dict[str, float]]:
    """Return the quotas of every user that may write an input topic, by Kafka's names of quotas."""
    submitters = sorted({user for topic in topics if topic.name.startswith("in.") for user in topic.writers})
    limits = {
        "producer_byte_rate": float(settings.submitter_bytes_per_s),
        "request_percentage": float(settings.submitter_request_percent),
    }
    return {user: dict(limits) for user in submitters}


def acls(topics: Iterable[TopicDeclaration]) -> set[AclRule]:
    """Return every declared ACL: on topics by literal names, and on the groups and transactions of each step."""
    declared = list(topics)
    write = {AclRule(user, "TOPIC", topic.name, "WRITE") for topic in declared for user in topic.writers}
    read = {AclRule(user, "TOPIC", topic.name, "READ") for topic in declared for user in topic.readers}
    return {*write, *read, *_step_acls(), *_reader_acls()}


def _step_acls() -> Iterable[AclRule]:
    for step in (*STEPS, *map(sink_step, DOMAINS)):
        yield AclRule(step, "GROUP", group(step), "READ")
    for step in STEPS:
        yield AclRule(step, "TRANSACTIONAL_ID", f"mesh.{step}.", "WRITE", prefixed=True)


def _reader_acls() -> Iterable[AclRule]:
    """Yield group ACLs: a domain's own programs may use groups `<domain>…`, the auditor all but the mesh's."""
    for domain in DOMAINS.values():
        if not domain.is_high:  # Its programs read no topic.
            yield AclRule(domain.id, "GROUP", domain.id, "READ", prefixed=True)
    yield AclRule(AUDITOR, "GROUP", "*", "READ")
    yield AclRule(AUDITOR, "GROUP", "mesh.", "READ", prefixed=True, denied=True)
