"""A step that can't process some of its records, until it is mended and an officer has its letters tried again.

A sink's store refuses some rows, until it does no more.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from zlib import crc32

import pyarrow as pa

from schemas.tables import table_from_rows
from schemas.topics import command_topic, dlq_state_topic, dlq_topic
from streams.contract import Batch, Poison, Result, State
from streams.step import Step
from tests.simulation.cities import CODEC
from tests.simulation.log import Log, LogEntry
from tests.simulation.postgres import Database
from tests.simulation.statements import Row

#: Not intake: it has no list of who lives where, and what a household's notice means depends on that.
STEPS: Final = ("household", "fan-out", "conversion", "sink")
REASON: Final = "STUMBLED"
#: One history in so many has a step that stumbles, over one record in so many.
_ONE_IN, _RECORDS = 3, 24


@dataclass(frozen=True)
class FailurePlan:
    """Which step, over which records, and whether it says so or raises."""

    step: str
    seed: int
    #: Of a sink: whether the table refuses rows, or already the one that they are copied into.
    raises: bool

    def over(self, what: object) -> bool:
        """Whether it is one of those."""
        return crc32(repr(what).encode(), self.seed) % _RECORDS == 0


def stumble_of(seed: int) -> FailurePlan | None:
    """What a history has; most have none."""
    chance = random.Random(f"stumble {seed}")  # noqa: S311 - repeatable on purpose
    if chance.randrange(_ONE_IN):
        return None
    return FailurePlan(chance.choice(STEPS), chance.randrange(2**32), chance.random() < 0.5)


class FailingProcessor:
    """A processor that another one is within; `mended`: it is as that one is."""

    def __init__(self, step: Step, stumble: FailurePlan) -> None:
        self._inner, self._stumble = step.processor, stumble
        self.mended = False
        self.stores: Mapping[str, str] = step.stores
        if ordering_keys := getattr(self._inner, "ordering_keys", None):
            self.ordering_keys = ordering_keys

    def process(self, batches: Batch | Sequence[Batch], state: State | None = None) -> Result:
        """What follows from those that it doesn't stumble over."""
        one = isinstance(batches, Batch)
        given: Sequence[Batch] = [batches] if isinstance(batches, Batch) else batches
        over = [[] if self.mended else self._over(batch.meta) for batch in given]
        if any(over) and self._stumble.raises:
            raise ValueError(REASON)
        left = [
            [row for row in range(len(b.table)) if row not in rows]
            for b, rows in zip(given, over, strict=True)
        ]
        whole = given if not any(over) else [_rows(b, rows) for b, rows in zip(given, left, strict=True)]
        # What is left of one batch of several may be empty, as a batch of a pipeline never is.
        asked = [number for number, batch in enumerate(whole) if len(batch.table)]
        told = Result()
        if asked:
            chosen = [whole[number] for number in asked]
            told = self._inner.process(chosen[0], state) if one else self._inner.process(chosen)  # type: ignore[call-arg,arg-type]
        theirs = [Poison(asked[p.batch], left[asked[p.batch]][p.index], p.reason) for p in told.poison]
        ours = [Poison(number, row, REASON) for number, rows in enumerate(over) for row in rows]
        return replace(told, poison=[*theirs, *ours])

    def _over(self, meta: pa.Table) -> list[int]:
        places = zip(
            *(meta.column(name).to_pylist() for name in ("topic", "partition", "offset")), strict=True
        )
        return [row for row, place in enumerate(places) if self._stumble.over(place)]


class RejectingStore:
    """A store that refuses rows; `mended`: it takes all."""

    def __init__(self, database: Database, stumble: FailurePlan) -> None:
        self._stumble, self.mended = stumble, False
        database.refuses, database.refuses_copies = self._refused, not stumble.raises

    def _refused(self, row: Row) -> bool:
        return not self.mended and self._stumble.over((row["code"], row["revision"]))


def _rows(batch: Batch, rows: Sequence[int]) -> Batch:
    taken = pa.array(rows, pa.int64())
    return replace(batch, table=batch.table.take(taken), meta=batch.meta.take(taken))


def letters(log: Log, step: str) -> dict[str, list[str]]:
    """What was said of each letter of a step, by its digest."""
    told: dict[str, list[str]] = {}
    values = [each.value_bytes for each in log.committed(dlq_topic(step))]
    for row in CODEC.decode("dead-letter", values).table.to_pylist():
        told.setdefault(row["digest"], []).append(row["status"])
    return told


def have_tried_again(log: Log, step: str) -> int:
    """An officer files an act on each letter of a step that is open; how many."""
    found = [digest for digest, told in letters(log, step).items() if told[-1] == "OPEN"]
    for number, digest in enumerate(found):
        act = {"id": f"operator/{number}", "command": "RETRY", "step": step, "digest": digest}
        value = CODEC.encode("dead-letter-command", table_from_rows("dead-letter-command", [act]))[0].as_py()
        log.append(command_topic(step), LogEntry((command_topic(step), 0), -1, digest.encode(), value, 0))
    return len(found)


def left_aside(log: Log, step: str, database: Database | None) -> Iterator[str]:
    """What is set aside still, by a step or (of a sink) in its store."""
    if still := len(database.table("dlq_entry")) if database else _kept_aside(log, step):
        yield f"{step}: {still} records are set aside still"
    # A relay may send twice, and late: what was said of a sink's letters stands in no certain order.
    ends = [told if database else told[-1:] for told in letters(log, step).values()]
    wrong = sorted({told[-1] for told in ends if "RETRIED" not in told})
    if wrong:
        yield f"{step}: letters end as {', '.join(wrong)}"


def _kept_aside(log: Log, step: str) -> int:
    last = {
        (each.topic_partition, each.key_bytes): each.value_bytes
        for each in log.committed(dlq_state_topic(step))
    }
    values = [value for value in last.values() if value is not None]
    kinds = CODEC.decode("dlq-entry", values).table.column("kind").to_pylist() if values else []
    return len(kinds) - kinds.count("COMMAND")
