"""Steps that can't process some of their records until they are healed and an operator retries the dead letters.

For a sink, its store rejects some rows until it is healed. Fan-out may also fail whenever it makes certain rows: then a
portion of the agenda or of an adoption fails for a few persons.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Final
from zlib import crc32

import pyarrow as pa

from processors.entities.rows import PreparedReading
from processors.entities.timeline import Version
from schemas.tables import table_from_rows
from schemas.topics import command_topic, dlq_state_topic, dlq_topic
from streams.contract import Batch, Poison, Result, State, Tables
from streams.step import Step
from tests.simulation.cities import CODEC
from tests.simulation.log import Log, LogEntry
from tests.simulation.postgres import SimDatabase
from tests.simulation.statements import Row

#: Not intake: it has no register of residents, on which the meaning of a household's notice depends.
STEPS: Final = ("household", "fan-out", "conversion", "sink")
ROWS: Final = "rows of fan-out"
#: What fails.
PLANS: Final = (*STEPS, ROWS)
REASON: Final = "STUMBLED"
#: One history in three has a failing step, which fails on one record in 24.
_ONE_HISTORY_IN, _ONE_RECORD_IN = 3, 24
_ONE_WITHOUT_ADDRESS_IN: Final = 4
_ONE_ROW_IN: Final = 6


@dataclass(frozen=True)
class FailurePlan:
    """Which step fails, and on which records."""

    step: str
    seed: int
    #: Whether the step raises instead of answering poison. For a sink: whether the table itself rejects rows, instead
    #: of the temporary table that they are copied into.
    raises: bool
    #: Whether the step fails whenever it makes certain rows of readings, instead of on certain records.
    in_rows: bool = False

    @property
    def kind(self) -> str:
        """One of `PLANS`: the step, or `ROWS`."""
        return ROWS if self.in_rows else self.step

    def fails_on(self, identity: object, one_in: int = _ONE_RECORD_IN) -> bool:
        """Return whether the record of this identity fails, as one in so many does."""
        return crc32(repr(identity).encode(), self.seed) % one_in == 0


def draw_failure_plan(seed: int) -> FailurePlan | None:
    """Draw a history's failure plan; most histories have none."""
    chance = random.Random(f"stumble {seed}")  # noqa: S311 - repeatable on purpose
    if chance.randrange(_ONE_HISTORY_IN):
        return None
    kind, seed, raises = chance.choice(PLANS), chance.randrange(2**32), chance.random() < 0.5
    if kind == ROWS:
        return FailurePlan("fan-out", seed, raises=True, in_rows=True)
    return FailurePlan(kind, seed, raises)


class Health:
    """Whether the failing step is healed, for all its workers."""

    def __init__(self) -> None:
        self.healed = False


class FailingProcessor:
    """A wrapper around a step's processor that fails on some records until it is healed."""

    def __init__(self, step: Step, plan: FailurePlan, health: Health) -> None:
        self._inner, self._plan, self._health = step.processor, plan, health
        self.stores: Mapping[str, str] = step.stores
        self.tables: Mapping[str, str] = step.tables
        for method in ("ordering_keys", "needs_tables"):
            if declared := getattr(self._inner, method, None):
                setattr(self, method, declared)

    def process(self, batches: Batch | Sequence[Batch], *more: State | Tables) -> Result:
        """Process the other records; answer poison for those that fail, or raise ValueError."""
        stateful = isinstance(batches, Batch)
        all_batches: Sequence[Batch] = [batches] if isinstance(batches, Batch) else batches
        failing = [[] if self._health.healed else self._failing_rows(batch.meta) for batch in all_batches]
        if any(failing) and self._plan.raises:
            raise ValueError(REASON)
        passing = [
            [row for row in range(len(batch.table)) if row not in rows]
            for batch, rows in zip(all_batches, failing, strict=True)
        ]
        reduced = all_batches
        if any(failing):
            reduced = [_take_rows(batch, rows) for batch, rows in zip(all_batches, passing, strict=True)]
        # A reduced batch may be empty; a batch of a pipeline never is, so the processor must not get it.
        numbers = [number for number, batch in enumerate(reduced) if len(batch.table)]
        result = Result()
        if numbers:
            chosen = [reduced[number] for number in numbers]
            result = self._inner.process(chosen[0] if stateful else chosen, *more)  # type: ignore[arg-type]
        inner_poison = [
            Poison(numbers[poison.batch], passing[numbers[poison.batch]][poison.index], poison.reason)
            for poison in result.poison
        ]
        planned_poison = [Poison(number, row, REASON) for number, rows in enumerate(failing) for row in rows]
        return replace(result, poison=[*inner_poison, *planned_poison])

    def _failing_rows(self, meta: pa.Table) -> list[int]:
        positions = zip(
            *(meta.column(name).to_pylist() for name in ("topic", "partition", "offset")), strict=True
        )
        return [row for row, position in enumerate(positions) if self._plan.fails_on(position)]


@dataclass(frozen=True)
class FailingReading(PreparedReading):
    """A reading of which some rows can't be made until it is healed."""

    plan: FailurePlan | None = None
    health: Health = field(default_factory=Health)

    def visible(self, version: Version, *, is_hidden: bool) -> tuple[str | None, ...]:
        """Return the columns of a version, or raise ValueError if they are those of a row that can't be made."""
        # Of a version that is yet to come, it fails from its day on.
        row = (self.reads.name, version.open, version.values)
        plan = None if self.health.healed else self.plan
        if plan is not None and plan.fails_on(row, _ONE_ROW_IN):
            raise ValueError(REASON)
        return super().visible(version, is_hidden=is_hidden)


def failing_readings(plan: FailurePlan, health: Health) -> Callable[[PreparedReading], PreparedReading]:
    """Return what makes a failing reading of a reading."""

    def failing(reading: PreparedReading) -> PreparedReading:
        own = {each.name: getattr(reading, each.name) for each in fields(reading)}
        return FailingReading(**own, plan=plan, health=health)

    return failing


class RejectingStore:
    """A store that rejects some rows until it is healed."""

    def __init__(self, database: SimDatabase, plan: FailurePlan, health: Health) -> None:
        self._plan, self._health = plan, health
        database.rejects, database.rejects_on_copy = self._rejects, not plan.raises

    def _rejects(self, row: Row) -> bool:
        # Rows without address more often: those that withhold one are few, and must not wait.
        one_in = _ONE_WITHOUT_ADDRESS_IN if row.get("address", "") is None else _ONE_RECORD_IN
        return not self._health.healed and self._plan.fails_on((row["code"], row["revision"]), one_in)


def _take_rows(batch: Batch, rows: Sequence[int]) -> Batch:
    indices = pa.array(rows, pa.int64())
    return replace(batch, table=batch.table.take(indices), meta=batch.meta.take(indices))


def dead_letter_statuses(log: Log, step: str) -> dict[str, list[str]]:
    """Return every published status of a step's dead letters, by digest, in order."""
    statuses: dict[str, list[str]] = {}
    values = [entry.value_bytes for entry in log.committed(dlq_topic(step))]
    for row in CODEC.decode("dead-letter", values).table.to_pylist():
        statuses.setdefault(row["digest"], []).append(row["status"])
    return statuses


def retry_open_dead_letters(log: Log, step: str) -> int:
    """Publish an operator's retry command for each open dead letter of a step; return how many."""
    digests = [
        digest for digest, statuses in dead_letter_statuses(log, step).items() if statuses[-1] == "OPEN"
    ]
    for number, digest in enumerate(digests):
        command = {"id": f"operator/{number}", "command": "RETRY", "step": step, "digest": digest}
        table = table_from_rows("dead-letter-command", [command])
        value = CODEC.encode("dead-letter-command", table)[0].as_py()
        log.append(command_topic(step), LogEntry((command_topic(step), 0), -1, digest.encode(), value, 0))
    return len(digests)


def unresolved_dead_letters(log: Log, step: str, database: SimDatabase | None) -> Iterator[str]:
    """Yield findings about records that are still in the dead-letter queue of a step, or of a sink's store."""
    if remaining := len(database.table("dlq_entry")) if database else _entries_in_queue(log, step):
        yield f"{step}: {remaining} records are still in the dead-letter queue"
    # A relay may send twice and late, so the statuses of a sink's dead letters have no reliable order.
    ends = [statuses if database else statuses[-1:] for statuses in dead_letter_statuses(log, step).values()]
    wrong = sorted({statuses[-1] for statuses in ends if "RETRIED" not in statuses})
    if wrong:
        yield f"{step}: dead letters end as {', '.join(wrong)}"


def _entries_in_queue(log: Log, step: str) -> int:
    last = {
        (entry.topic_partition, entry.key_bytes): entry.value_bytes
        for entry in log.committed(dlq_state_topic(step))
    }
    values = [value for value in last.values() if value is not None]
    kinds = CODEC.decode("dlq-entry", values).table.column("kind").to_pylist() if values else []
    return len(kinds) - kinds.count("COMMAND")
