"""What each step has set aside now: its open letters, how many records wait behind each, the acts that were done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
from confluent_kafka.admin import AdminClient

from connectors.postgres.sink_status import StoreDlq, store_aside
from infra.environment import Environment
from infra.local.kafka_server import ADMIN, AUDITOR
from infra.triage.records import last, rows
from schemas.codec import Codec
from schemas.systems import DOMAINS
from schemas.topics import ORDERED_STEPS, command_topic, dlq_state_topic, sink_step
from streams.clients import Partition
from streams.kafka_clients import end_offsets

CONNECT_TIMEOUT_S = 10
TIMEOUT_S = 15.0
SINKS = {sink_step(domain.id): domain for domain in DOMAINS.values()}


@dataclass(frozen=True)
class DlqStatus:
    """Open letters by name with the number of records behind each; ids of acts that were done."""

    letters: Mapping[str, int] = field(default_factory=dict)
    parked: int = 0
    done: frozenset[str] = frozenset()


class DlqInspector:
    """Looks as the auditor; a step's topics are read again only where they have grown."""

    def __init__(self, environment: Environment, codec: Codec) -> None:
        self._environment, self._codec = environment, codec
        self._admin = AdminClient({**environment.kafka(ADMIN), "log_level": "2"})
        self._partitions: dict[str, int] = {}
        self._act_ends: dict[Partition, int] = {}
        self._known: dict[str, tuple[object, DlqStatus]] = {}
        self._acts: dict[str, tuple[int, list[tuple[str, str]]]] = {}

    def of(self, steps: Iterable[str] = (*ORDERED_STEPS, *SINKS)) -> dict[str, DlqStatus]:
        """By step; nothing for a step that was never applied. UnavailableError, psycopg.OperationalError."""
        chosen = list(steps)
        found = {step: self._of_step(step) for step in chosen if step not in SINKS}
        if len(found) == len(chosen):
            return found
        dsn = self._environment.dsn(AUDITOR)
        with psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S) as store:
            return found | {step: _of_sink(store, step) for step in chosen if step in SINKS}

    def refresh(self) -> None:
        """Looks how many acts there are, by one request for all steps; what `acts_waiting` goes by."""
        self._act_ends = self._ends(*(command_topic(step) for step in (*ORDERED_STEPS, *SINKS)))

    def acts_waiting(self, step: str) -> int:
        """Acts on open letters of this step that were filed before `refresh`, and are not done yet."""
        acts = self._acts_on(step)
        if not acts:
            return 0
        aside = self.of([step])[step]
        return sum(digest in aside.letters and act not in aside.done for act, digest in acts)

    def _acts_on(self, step: str) -> list[tuple[str, str]]:
        """Id of each act, and the letter that it is on."""
        ends = self._act_ends.get((command_topic(step), 0), 0)
        if not ends:
            return []
        if self._acts.get(step, (0, []))[0] != ends:
            told = rows(self._environment, self._codec, "dead-letter-command", [command_topic(step)])
            self._acts[step] = ends, [(row["id"], row["digest"]) for row in told]
        return self._acts[step][1]

    def _of_step(self, step: str) -> DlqStatus:
        ends = self._ends(dlq_state_topic(step))
        if not any(ends.values()):
            return DlqStatus()
        if self._known.get(step, ({}, DlqStatus()))[0] != ends:
            told = last(self._environment, self._codec, "dlq-entry", [dlq_state_topic(step)])
            kinds: dict[str, list[dict[str, object]]] = {"DEAD_LETTER": [], "BLOCKED": [], "COMMAND": []}
            for row in told:
                kinds.setdefault(row["kind"], []).append(row)
            behind = Counter(str(name) for row in kinds["BLOCKED"] for name in _names(row["blocked_by"]))
            letters = {str(row["digest"]): behind[str(row["digest"])] for row in kinds["DEAD_LETTER"]}
            done = frozenset(str(row["digest"]) for row in kinds["COMMAND"])
            self._known[step] = ends, DlqStatus(letters, len(kinds["BLOCKED"]), done)
        return self._known[step][1]

    def _ends(self, *topics: str) -> dict[Partition, int]:
        if not self._partitions.keys() >= set(topics):
            there = self._admin.list_topics(timeout=TIMEOUT_S).topics
            self._partitions.update({name: len(each.partitions) for name, each in there.items()})
        places = [(topic, n) for topic in topics for n in range(self._partitions.get(topic, 0))]
        return end_offsets(self._admin, places, TIMEOUT_S)


def _names(behind: object) -> Sequence[object]:
    return behind if isinstance(behind, list) else []


def _of_sink(store: psycopg.Connection[tuple[object, ...]], step: str) -> DlqStatus:
    try:
        found = store_aside(store, SINKS[step])
    except psycopg.errors.UndefinedTable:
        found = StoreDlq({}, 0, frozenset())
    return DlqStatus(found.letters, found.parked, found.acts_done)
