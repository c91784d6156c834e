"""What each step has set aside now: its open letters, how many records wait behind each, the acts that were done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
from confluent_kafka.admin import AdminClient

from connectors.postgres.status import StoreAside, store_aside
from infra.environment import Environment
from infra.listing.records import last, rows
from infra.local.kafka import ADMIN, AUDITOR
from schemas.codec import Codec
from schemas.systems import DOMAINS
from schemas.topics import PARKING, act_topic, parked_topic, sink_step
from streams.clients import Partition
from streams.kafka import end_offsets

CONNECT_TIMEOUT_S = 10
TIMEOUT_S = 15.0
SINKS = {sink_step(domain.id): domain for domain in DOMAINS.values()}


@dataclass(frozen=True)
class Aside:
    """Open letters by name with the number of records behind each; ids of acts that were done."""

    letters: Mapping[str, int] = field(default_factory=dict)
    parked: int = 0
    done: frozenset[str] = frozenset()


class SetAside:
    """Looks as the auditor; a step's topics are read again only where they have grown."""

    def __init__(self, environment: Environment, codec: Codec) -> None:
        self._environment, self._codec = environment, codec
        self._admin = AdminClient({**environment.kafka(ADMIN), "log_level": "2"})
        self._partitions: dict[str, int] = {}
        self._act_ends: dict[Partition, int] = {}
        self._known: dict[str, tuple[object, Aside]] = {}
        self._acts: dict[str, tuple[int, list[tuple[str, str]]]] = {}

    def of(self, steps: Iterable[str] = (*PARKING, *SINKS)) -> dict[str, Aside]:
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
        self._act_ends = self._ends(*(act_topic(step) for step in (*PARKING, *SINKS)))

    def acts_waiting(self, step: str) -> int:
        """Acts on open letters of this step that were filed before `refresh`, and are not done yet."""
        acts = self._acts_on(step)
        if not acts:
            return 0
        aside = self.of([step])[step]
        return sum(digest in aside.letters and act not in aside.done for act, digest in acts)

    def _acts_on(self, step: str) -> list[tuple[str, str]]:
        """Id of each act, and the letter that it is on."""
        ends = self._act_ends.get((act_topic(step), 0), 0)
        if not ends:
            return []
        if self._acts.get(step, (0, []))[0] != ends:
            told = rows(self._environment, self._codec, "letter-act", [act_topic(step)])
            self._acts[step] = ends, [(row["id"], row["digest"]) for row in told]
        return self._acts[step][1]

    def _of_step(self, step: str) -> Aside:
        ends = self._ends(parked_topic(step))
        if not any(ends.values()):
            return Aside()
        if self._known.get(step, ({}, Aside()))[0] != ends:
            told = last(self._environment, self._codec, "parked", [parked_topic(step)])
            kinds: dict[str, list[dict[str, object]]] = {"LETTER": [], "PARKED": [], "ACT": []}
            for row in told:
                kinds.setdefault(row["kind"], []).append(row)
            behind = Counter(str(name) for row in kinds["PARKED"] for name in _names(row["behind"]))
            letters = {str(row["digest"]): behind[str(row["digest"])] for row in kinds["LETTER"]}
            done = frozenset(str(row["digest"]) for row in kinds["ACT"])
            self._known[step] = ends, Aside(letters, len(kinds["PARKED"]), done)
        return self._known[step][1]

    def _ends(self, *topics: str) -> dict[Partition, int]:
        if not self._partitions.keys() >= set(topics):
            there = self._admin.list_topics(timeout=TIMEOUT_S).topics
            self._partitions.update({name: len(each.partitions) for name, each in there.items()})
        places = [(topic, n) for topic in topics for n in range(self._partitions.get(topic, 0))]
        return end_offsets(self._admin, places, TIMEOUT_S)


def _names(behind: object) -> Sequence[object]:
    return behind if isinstance(behind, list) else []


def _of_sink(store: psycopg.Connection[tuple[object, ...]], step: str) -> Aside:
    try:
        found = store_aside(store, SINKS[step])
    except psycopg.errors.UndefinedTable:
        found = StoreAside({}, 0, frozenset())
    return Aside(found.letters, found.parked, found.acts_done)
