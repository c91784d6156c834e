"""The current dead-letter queue of each step: open dead letters, blocked records, and the commands already done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
from confluent_kafka.admin import AdminClient

from connectors.postgres.sink_status import StoreDlq, store_dlq
from infra.environment import Environment
from infra.local.kafka_server import ADMIN, AUDITOR
from infra.triage.records import read_compacted, read_rows
from schemas.codec import Codec
from schemas.systems import DOMAINS
from schemas.topics import ORDERED_STEPS, command_topic, dlq_state_topic, sink_step
from streams.clients import Partition
from streams.kafka_clients import end_offsets

CONNECT_TIMEOUT_S = 10
TIMEOUT_S = 15.0
#: Every sink's domain, by step.
SINKS = {sink_step(domain.id): domain for domain in DOMAINS.values()}


@dataclass(frozen=True)
class DlqStatus:
    """Open dead letters by digest with the number of records behind each, all blocked records, IDs of done commands."""

    dead_letters: Mapping[str, int] = field(default_factory=dict)
    blocked: int = 0
    commands_done: frozenset[str] = frozenset()


class DlqInspector:
    """Reads dead-letter queues as the auditor. It reads a step's topics again only when they have grown."""

    def __init__(self, environment: Environment, codec: Codec) -> None:
        self._environment, self._codec = environment, codec
        self._admin = AdminClient({**environment.kafka(ADMIN), "log_level": "2"})
        self._partition_counts: dict[str, int] = {}
        self._command_ends: dict[Partition, int] = {}
        self._cached: dict[str, tuple[object, DlqStatus]] = {}
        self._commands: dict[str, tuple[int, list[tuple[str, list[str]]]]] = {}

    def statuses(self, steps: Iterable[str] = (*ORDERED_STEPS, *SINKS)) -> dict[str, DlqStatus]:
        """Return the status of each step; an empty one where a step was never applied.

        Raise UnavailableError or psycopg.OperationalError where a server doesn't answer.
        """
        selected = list(steps)
        statuses = {step: self._step_status(step) for step in selected if step not in SINKS}
        if len(statuses) == len(selected):
            return statuses
        dsn = self._environment.dsn(AUDITOR)
        with psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S) as store:
            return statuses | {step: _sink_status(store, step) for step in selected if step in SINKS}

    def refresh(self) -> None:
        """Read the ends of all steps' command topics in one request; `pending_commands` uses them."""
        self._command_ends = self._end_offsets(*(command_topic(step) for step in (*ORDERED_STEPS, *SINKS)))

    def pending_commands(self, step: str) -> int:
        """Return how many commands on this step's open dead letters, published before `refresh`, are not done."""
        commands = self._commands_for(step)
        if not commands:
            return 0
        status = self.statuses([step])[step]
        return sum(
            command not in status.commands_done and not status.dead_letters.keys().isdisjoint(digests)
            for command, digests in commands
        )

    def _commands_for(self, step: str) -> list[tuple[str, list[str]]]:
        """Return the ID of each command for a step, and the digests of the dead letters it is about."""
        end = self._command_ends.get((command_topic(step), 0), 0)
        if not end:
            return []
        if self._commands.get(step, (0, []))[0] != end:
            rows = read_rows(self._environment, self._codec, "dead-letter-command", [command_topic(step)])
            self._commands[step] = end, [(row["id"], row["digests"] or [row["digest"]]) for row in rows]
        return self._commands[step][1]

    def _step_status(self, step: str) -> DlqStatus:
        ends = self._end_offsets(dlq_state_topic(step))
        if not any(ends.values()):
            return DlqStatus()
        if self._cached.get(step, ({}, DlqStatus()))[0] != ends:
            rows = read_compacted(self._environment, self._codec, "dlq-entry", [dlq_state_topic(step)])
            by_kind: dict[str, list[dict[str, object]]] = {"DEAD_LETTER": [], "BLOCKED": [], "COMMAND": []}
            for row in rows:
                by_kind.setdefault(row["kind"], []).append(row)
            blocked = Counter(
                str(digest) for row in by_kind["BLOCKED"] for digest in _as_list(row["blocked_by"])
            )
            digests = [str(row["digest"]) for row in by_kind["DEAD_LETTER"]]
            done = frozenset(str(row["digest"]) for row in by_kind["COMMAND"])
            status = DlqStatus({digest: blocked[digest] for digest in digests}, len(by_kind["BLOCKED"]), done)
            self._cached[step] = ends, status
        return self._cached[step][1]

    def _end_offsets(self, *topics: str) -> dict[Partition, int]:
        if not self._partition_counts.keys() >= set(topics):
            existing = self._admin.list_topics(timeout=TIMEOUT_S).topics
            self._partition_counts.update(
                {name: len(metadata.partitions) for name, metadata in existing.items()}
            )
        partitions = [(topic, n) for topic in topics for n in range(self._partition_counts.get(topic, 0))]
        return end_offsets(self._admin, partitions, TIMEOUT_S)


def _as_list(digests: object) -> Sequence[object]:
    return digests if isinstance(digests, list) else []


def _sink_status(store: psycopg.Connection[tuple[object, ...]], step: str) -> DlqStatus:
    try:
        status = store_dlq(store, SINKS[step])
    except psycopg.errors.UndefinedTable:
        status = StoreDlq({}, 0, frozenset())
    return DlqStatus(status.dead_letters, status.blocked, status.commands_done)
