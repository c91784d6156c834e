"""Names of topics, users, groups and transactions, and the list of all topics that `mesh apply` creates.

No other topic can be used: the brokers deny access by default.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from schemas.schema_files import schema_names
from schemas.systems import DOMAINS, SYSTEMS
from schemas.systems.model import SEALED_RECORD

#: Steps, each with a Kafka user of its name. The sinks are steps too, with names `sink.<domain>`.
STEPS: Final = ("intake", "household", "fan-out", "conversion", "tracker")
#: Steps with a dead-letter queue that blocks later records. The tracker has none: it applies events in any order.
ORDERED_STEPS: Final = ("intake", "household", "fan-out", "conversion")

#: The user that may read every topic and write none.
AUDITOR: Final = "auditor"

NOTICE: Final = "notice"
PERSON_CHANGE: Final = "person.change"
CASE_OPENED: Final = "case.opened"
CASE_DISPATCHED: Final = "case.dispatched"
CONFLICT: Final = "conflict"
RECEIPT: Final = "receipt"
#: Fingerprints of the installation's keys. `mesh apply` writes it; it is no result of a step, so a replay keeps it.
KEY_FINGERPRINT: Final = "key.fingerprint"
#: Who is or was protected: read by conversion alone, as a whole and record by record.
PROTECTION: Final = "protection"


def input_topic(system: str, municipality: str | None = None) -> str:
    """Return the input topic of a system, and of a municipality if the system is municipal.

    Raise KeyError for an unknown system, ValueError if the municipality is missing or must not be given.
    """
    if SYSTEMS[system].municipal and municipality is None:
        raise ValueError(f"{system} is a municipal system: its input topic needs a municipality")
    if not SYSTEMS[system].municipal and municipality is not None:
        raise ValueError(f"{system} is a national system: its input topic has no municipality")
    return f"in.{system}.{municipality}" if municipality else f"in.{system}"


def parse_input_topic(topic: str) -> tuple[str, str | None]:
    """Return the submitter of an input topic: system and municipality. Raise ValueError for any other topic."""
    prefix, _, rest = topic.partition(".")
    system, _, municipality = rest.partition(".")
    if prefix != "in" or system not in SYSTEMS:
        raise ValueError(f"{topic} is not an input topic (in.<system> or in.<system>.<municipality>)")
    return system, municipality or None


def change_topic(domain: str) -> str:
    """Return the topic of changes for a domain in mesh codes, from fan-out to conversion."""
    return f"change.{domain}"


def domain_topic(domain: str) -> str:
    """Return the topic of changes for a domain in its own codes."""
    return f"domain.{domain}"


def withdrawal_topic(domain: str) -> str:
    """Return the topic of withdrawals of addresses, in the domain's own codes."""
    return f"withdrawal.{domain}"


def disclosure_topic(domain: str) -> str:
    """Return the topic of the records of disclosures to a domain."""
    return f"disclosure.{domain}"


def domain_receipt_topic(domain: str) -> str:
    """Return the topic of a sink's receipts, in the domain's own codes."""
    return f"receipt.{domain}"


def rejected_topic(system: str) -> str:
    """Return the topic of rejections of a system's submissions."""
    return f"rejected.{system}"


def conflict_topic(system: str) -> str:
    """Return the topic of the sealed conflicts of a system of the high level."""
    return f"{CONFLICT}.{system}"


def state_topic(step: str, store: str) -> str:
    """Return the changelog topic of one state store of a step."""
    return f"state.{step}.{store}"


def dlq_topic(step: str) -> str:
    """Return the topic of the dead letters of a step; a sink is the step `sink.<domain>`."""
    return f"dlq.{step}"


def command_topic(step: str) -> str:
    """Return the topic of operator commands on a step's dead letters."""
    return f"command.{step}"


def dlq_state_topic(step: str) -> str:
    """Return the changelog topic of a step's dead-letter queue; a sink keeps its queue in its store."""
    return state_topic(step, "dlq")


def subject(topic: str) -> str:
    """Return the subject of a topic in the schema registry (TopicNameStrategy)."""
    return f"{topic}-value"


def source_user(system: str, municipality: str | None = None) -> str:
    """Return the Kafka user that writes a system's input topic: the topic's name without `in.`."""
    return input_topic(system, municipality).removeprefix("in.")


def sink_step(domain: str) -> str:
    """Return the name of a domain's sink as a step and as a Kafka user."""
    return f"sink.{domain}"


def group(step: str) -> str:
    """Return the consumer group of a step."""
    return f"mesh.{step}"


def transactional_id(step: str, slot: int) -> str:
    """Return the `transactional.id` and `group.instance.id` of a worker slot."""
    return f"mesh.{step}.{slot}"


@dataclass(frozen=True)
class TopicDeclaration:
    """A topic and the users that may write and read it.

    `schema` is a name in the catalogue, `partitions` is 1, or "P" for the setting `partitions`. A compacted
    topic keeps the last value of each key. Any other keeps every record for ever, unless it is an
    intermediate topic and the setting `intermediate_retention_days` limits it.
    """

    name: str
    schema: str
    partitions: Literal[1, "P"]
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    compacted: bool = False


def topics_of(municipalities: Iterable[str]) -> list[TopicDeclaration]:
    """Return every topic of a mesh with these municipalities (JIS X 0402 codes), in a stable order."""
    codes = sorted(set(municipalities))
    return [
        *_submission_topics(codes),
        *_intermediate_topics(),
        *_domain_topics(),
        *_evidence_topics(),
        *_changelogs(),
        _key_fingerprints(),
    ]


def users(topics: Iterable[TopicDeclaration]) -> list[str]:
    """Return every Kafka user that may write or read one of the topics."""
    return sorted({user for topic in topics for user in (*topic.writers, *topic.readers)})


def _submission_topics(municipalities: list[str]) -> Iterator[TopicDeclaration]:
    for system in SYSTEMS.values():
        if system.publishes:
            for code in municipalities if system.municipal else [None]:
                yield TopicDeclaration(
                    input_topic(system.id, code),
                    system.publishes,
                    1,
                    (source_user(system.id, code),),
                    ("intake", AUDITOR),
                )


def _intermediate_topics() -> Iterator[TopicDeclaration]:
    yield TopicDeclaration(NOTICE, "notice", "P", ("intake",), ("household", AUDITOR))
    writers = ("intake", "household", "fan-out")  # Fan-out writes to itself to go on with what is due.
    yield TopicDeclaration(PERSON_CHANGE, "person-change", "P", writers, ("fan-out", AUDITOR))
    yield TopicDeclaration(CASE_OPENED, "case-opened", "P", ("household",), ("tracker", AUDITOR))
    yield TopicDeclaration(CASE_DISPATCHED, "case-dispatched", "P", ("fan-out",), ("tracker", AUDITOR))
    yield TopicDeclaration(RECEIPT, "receipt", "P", ("conversion",), ("tracker", AUDITOR))
    yield TopicDeclaration(
        PROTECTION, "protection", "P", ("fan-out",), ("conversion", AUDITOR), compacted=True
    )


def _domain_topics() -> Iterator[TopicDeclaration]:
    for domain in DOMAINS.values():
        name, sink = domain.id, sink_step(domain.id)
        change, disclosure = (
            (SEALED_RECORD, SEALED_RECORD) if domain.is_high else ("domain-change", "disclosure")
        )
        yield TopicDeclaration(change_topic(name), change, "P", ("fan-out",), ("conversion", AUDITOR))
        # A box is of no use to a domain's own programs: they read the store.
        programs = () if domain.is_high else (name,)
        yield TopicDeclaration(
            domain_topic(name), domain.topic_schema, "P", ("conversion",), (*programs, sink, AUDITOR)
        )
        if domain.has_withdrawals:
            yield TopicDeclaration(
                withdrawal_topic(name), "withdrawal", "P", ("conversion",), (sink, AUDITOR), compacted=True
            )
        yield TopicDeclaration(disclosure_topic(name), disclosure, "P", ("conversion",), (AUDITOR,))
        if domain.has_receipts:
            yield TopicDeclaration(
                domain_receipt_topic(name), "receipt-domain", "P", (sink,), ("conversion", AUDITOR)
            )


def _evidence_topics() -> Iterator[TopicDeclaration]:
    yield TopicDeclaration(CONFLICT, "conflict", 1, ("fan-out",), (AUDITOR,), compacted=True)
    for system in SYSTEMS.values():
        if system.is_high:
            yield TopicDeclaration(
                conflict_topic(system.id), SEALED_RECORD, 1, ("fan-out",), (AUDITOR,), compacted=True
            )
    for system in SYSTEMS.values():
        if system.publishes:
            writers = ("intake", "fan-out") if system.is_high else ("intake", "household", "fan-out")
            yield TopicDeclaration(
                rejected_topic(system.id), "rejected", 1, writers, (AUDITOR,), compacted=True
            )
    for step in (*STEPS, *map(sink_step, DOMAINS)):
        yield TopicDeclaration(dlq_topic(step), "dead-letter", 1, (step,), (AUDITOR,))
    for step in (*ORDERED_STEPS, *map(sink_step, DOMAINS)):
        yield TopicDeclaration(command_topic(step), "dead-letter-command", 1, ("intake",), (step, AUDITOR))


def _changelogs() -> Iterator[TopicDeclaration]:
    """Yield a changelog per dead-letter queue, and one per state store: each schema `state-<step>-<store>` is one."""
    for step in ORDERED_STEPS:
        yield TopicDeclaration(
            dlq_state_topic(step), "dlq-entry", "P", (step,), (step, AUDITOR), compacted=True
        )
    for name in schema_names():
        for step in STEPS:
            store = name.removeprefix(f"state-{step}-")
            if store != name:
                yield TopicDeclaration(
                    state_topic(step, store), name, "P", (step,), (step, AUDITOR), compacted=True
                )


def _key_fingerprints() -> TopicDeclaration:
    """Return the topic that no user may write: `mesh apply` does it as administrator."""
    readers = (*ORDERED_STEPS, *map(sink_step, DOMAINS), AUDITOR)
    return TopicDeclaration(KEY_FINGERPRINT, "key-fingerprint", 1, (), readers, compacted=True)
