"""Names of topics, users, groups and transactions, and the list of all topics that `mesh apply` makes.

What the list doesn't name doesn't exist: the brokers deny by default.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from schemas.schema_files import schema_names
from schemas.systems import DOMAINS, SYSTEMS

#: Steps that run as workers of the mesh, each with a Kafka user of its name. Sinks are steps `sink.<domain>`.
STEPS: Final = ("intake", "household", "fan-out", "conversion", "tracker")
#: Those that set records aside, and park later ones behind them; the tracker's updates may come in any order.
ORDERED_STEPS: Final = ("intake", "household", "fan-out", "conversion")

#: May read every topic, and writes none.
AUDITOR: Final = "auditor"

NOTICE: Final = "notice"
PERSON_CHANGE: Final = "person.change"
CASE_OPENED: Final = "case.opened"
CASE_DISPATCHED: Final = "case.dispatched"
CONFLICT: Final = "conflict"
RECEIPT: Final = "receipt"


def input_topic(system: str, municipality: str | None = None) -> str:
    """Where a system hands over; a municipal system's topic is one municipality's.

    KeyError for an unknown system, ValueError for a municipality too many or missing.
    """
    if SYSTEMS[system].municipal != (municipality is not None):
        raise ValueError(f"{system} is {SYSTEMS[system].scope}: only municipal systems have municipalities")
    return f"in.{system}.{municipality}" if municipality else f"in.{system}"


def parse_input_topic(topic: str) -> tuple[str, str | None]:
    """System and municipality that an `in.` topic's writer speaks for; ValueError for any other topic."""
    prefix, _, rest = topic.partition(".")
    system, _, municipality = rest.partition(".")
    if prefix != "in" or system not in SYSTEMS:
        raise ValueError(f"not a topic of hand-overs: {topic}")
    return system, municipality or None


def change_topic(domain: str) -> str:
    """What fan-out tells conversion of a domain."""
    return f"change.{domain}"


def domain_topic(domain: str) -> str:
    """What a domain is told, in its own codes."""
    return f"domain.{domain}"


def disclosure_topic(domain: str) -> str:
    """Records of what a domain was told."""
    return f"disclosure.{domain}"


def domain_receipt_topic(domain: str) -> str:
    """A sink's receipts, in the domain's own codes."""
    return f"receipt.{domain}"


def rejected_topic(system: str) -> str:
    """Refused hand-overs of a system, and duplicates."""
    return f"rejected.{system}"


def state_topic(step: str, store: str) -> str:
    """Changelog of one store of a step."""
    return f"state.{step}.{store}"


def dlq_topic(step: str) -> str:
    """Dead letters of a step; a sink is the step `sink.<domain>`."""
    return f"dlq.{step}"


def command_topic(step: str) -> str:
    """Officers' acts on a step's dead letters."""
    return f"command.{step}"


def dlq_state_topic(step: str) -> str:
    """Changelog of what a step has set aside; a sink keeps it in its store."""
    return state_topic(step, "dlq")


def subject(topic: str) -> str:
    """Name in the schema registry (TopicNameStrategy)."""
    return f"{topic}-value"


def source_user(system: str, municipality: str | None = None) -> str:
    """Kafka user that writes a system's topic: the topic's name without `in.`."""
    return input_topic(system, municipality).removeprefix("in.")


def sink_step(domain: str) -> str:
    """Name of a domain's sink as a step, and as a Kafka user."""
    return f"sink.{domain}"


def group(step: str) -> str:
    """Consumer group of a step."""
    return f"mesh.{step}"


def transactional_id(step: str, slot: int) -> str:
    """`transactional.id` and `group.instance.id` of a worker slot."""
    return f"mesh.{step}.{slot}"


@dataclass(frozen=True)
class TopicDeclaration:
    """One topic: `schema` is a catalogue name, `partitions` 1, or "P" for the setting; its users.

    Compacted topics keep the last value of a key; all others keep every record for ever.
    """

    name: str
    schema: str
    partitions: Literal[1, "P"]
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    compacted: bool = False


def topics_of(municipalities: Iterable[str]) -> list[TopicDeclaration]:
    """Every topic of a mesh in which these municipalities take part (JIS X 0402 codes), in a stable order."""
    codes = sorted(set(municipalities))
    return [
        *_submission_topics(codes),
        *_intermediate_topics(),
        *_domain_topics(),
        *_evidence_topics(),
        *_changelogs(),
    ]


def users(topics: Iterable[TopicDeclaration]) -> list[str]:
    """Every Kafka user that writes or reads one of the topics."""
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
    yield TopicDeclaration(PERSON_CHANGE, "person-change", "P", ("intake", "household"), ("fan-out", AUDITOR))
    yield TopicDeclaration(CASE_OPENED, "case-opened", "P", ("household",), ("tracker", AUDITOR))
    yield TopicDeclaration(CASE_DISPATCHED, "case-dispatched", "P", ("fan-out",), ("tracker", AUDITOR))
    yield TopicDeclaration(RECEIPT, "receipt", "P", ("conversion",), ("tracker", AUDITOR))


def _domain_topics() -> Iterator[TopicDeclaration]:
    for domain in DOMAINS.values():
        name, sink = domain.id, sink_step(domain.id)
        yield TopicDeclaration(
            change_topic(name), "domain-change", "P", ("fan-out",), ("conversion", AUDITOR)
        )
        yield TopicDeclaration(domain_topic(name), domain.event, "P", ("conversion",), (name, sink, AUDITOR))
        yield TopicDeclaration(disclosure_topic(name), "disclosure", "P", ("conversion",), (AUDITOR,))
        yield TopicDeclaration(
            domain_receipt_topic(name), "receipt-domain", "P", (sink,), ("conversion", AUDITOR)
        )


def _evidence_topics() -> Iterator[TopicDeclaration]:
    yield TopicDeclaration(CONFLICT, "conflict", 1, ("fan-out",), (AUDITOR,), compacted=True)
    for system in SYSTEMS.values():
        if system.publishes:
            writers = ("intake", "household", "fan-out")
            yield TopicDeclaration(
                rejected_topic(system.id), "rejected", 1, writers, (AUDITOR,), compacted=True
            )
    for step in (*STEPS, *map(sink_step, DOMAINS)):
        yield TopicDeclaration(dlq_topic(step), "dead-letter", 1, (step,), (AUDITOR,))
    for step in (*ORDERED_STEPS, *map(sink_step, DOMAINS)):
        yield TopicDeclaration(command_topic(step), "dead-letter-command", 1, ("intake",), (step, AUDITOR))


def _changelogs() -> Iterator[TopicDeclaration]:
    """A schema `state-<step>-<store>` is a store; its changelog follows. Every step keeps what it has set aside."""
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
