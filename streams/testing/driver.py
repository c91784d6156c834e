"""Runs steps without a broker, by the pipeline's own code on a log in memory.

driver = Driver([Step("intake", ["^in\\\\."], schema_of, IntakeProcessor(…)), …], seed=7)
driver.feed("in.juki-cs.131016", "juki-cs-notice", [{…}], key="131016")
driver.run()
driver.rows("person.change")
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.catalogue import catalogue
from schemas.codec import Codec
from schemas.ids import LocalSchemaIds
from schemas.tables import table_from_rows
from schemas.topics import command_topic, dlq_state_topic, dlq_topic, group, transactional_id
from streams import commands, dead_letter_queue
from streams.clients import LocalMessage
from streams.dead_letters import SCHEMA, seal_context
from streams.pipeline import Pipeline
from streams.sealing import Coding, Sealer
from streams.settings import PipelineSettings
from streams.step import Step
from streams.testing.memory_log import MemoryClients, MemoryLog

#: Turns without end mean that a step feeds itself.
TURNS_MAX = 1_000_000
#: What the driver seals letters with.
SEALER = Sealer([bytes(range(64))])


@dataclass(frozen=True)
class DriverRecord:
    """A record of the log, decoded; `value` None is a tombstone."""

    key: str | None
    value: dict[str, Any] | None
    partition: int
    offset: int
    timestamp_ms: int


class TopologyTestDriver:
    """Steps on one log. Records go from step to step by topic; `seed` cuts batches at random, and orders the steps so.

    Without a seed each step takes all there is. `cut` says instead how many records a batch may have. The clock of the
    log stands at `log.now_ms` (0), so that outcomes are repeatable.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        *,
        partitions: int = 4,
        seed: int | None = None,
        cut: int | None = None,
        codec: Codec | None = None,
    ) -> None:
        self.codec = codec or Codec(catalogue(), LocalSchemaIds(catalogue()))
        self.log = MemoryLog(partitions)
        self._random = random.Random(seed) if seed is not None else None  # noqa: S311 - repeatable on purpose
        self._cut, self._steps = cut, list(steps)
        self._schemas: dict[str, str] = {}
        for step in steps:
            self._schemas |= {dlq_topic(step.name): SCHEMA, command_topic(step.name): commands.SCHEMA}
            self._schemas[dlq_state_topic(step.name)] = dead_letter_queue.SCHEMA
        self._pipelines: dict[str, Pipeline] = {}

    def pipe_input(
        self,
        topic: str,
        schema: str,
        rows: Sequence[Mapping[str, Any]],
        key: str | Callable[[Mapping[str, Any]], str] | None = None,
        timestamp_ms: int = 0,
    ) -> None:
        """Writes rows to a topic; one that begins with `in.` has one partition."""
        table = table_from_rows(schema, rows, self.codec.catalogue)
        for row, value in zip(rows, self.codec.encode(schema, table).to_pylist(), strict=True):
            self.feed_bytes(topic, value, key(row) if callable(key) else key, timestamp_ms)

    def feed_bytes(
        self, topic: str, value: bytes | None, key: str | None = None, timestamp_ms: int = 0
    ) -> None:
        """Writes a record as it is, poison if you like."""
        self.log.create(topic, 1 if topic.startswith("in.") else None)
        self.log.append(topic, None if key is None else key.encode(), value, timestamp_ms=timestamp_ms)

    def run(self, step: str | None = None) -> int:
        """Until nothing is left to do (for one step, or all); how many turns had records."""
        chosen = [each for each in self._steps if step in (None, each.name)]
        done = 0
        for _ in range(TURNS_MAX):
            waiting = [each for each in chosen if self._has_work(each)]
            if not waiting:
                return done
            turned = self._pipeline(self._random.choice(waiting) if self._random else waiting[0]).run_once()
            done += turned > 0
        raise RuntimeError(f"not idle after {TURNS_MAX} turns")

    def send_command(self, step: str, deed: str, digest: str, value: bytes | None = None) -> None:
        """An officer's act on a dead letter, as intake passes it on; a repair's value is sealed here."""
        sealed = value and base64.b64encode(SEALER.seal(value, seal_context(step, digest, "repair"))).decode()
        number = len(self.log.of_topic(command_topic(step)))
        row = {
            "id": f"in.operator/0/{number}",
            "command": deed,
            "step": step,
            "digest": digest,
            "value": sealed,
        }
        self.log.create(command_topic(step), 1)
        self.pipe_input(command_topic(step), commands.SCHEMA, [row], digest)

    def dlq_entries(self, step: str) -> list[dict[str, Any]]:
        """What a step has set aside now: letters, and records parked behind them."""
        last = {(each.partition, each.key): each.value for each in self.records(dlq_state_topic(step))}
        return [value for value in last.values() if value and value["kind"] != "COMMAND"]

    def restart(self, step: str) -> None:
        """Forgets a worker with its state, as kill -9 does; the next one restores from the changelogs."""
        self._pipelines.pop(step, None)

    def records(self, topic: str, schema: str | None = None) -> list[DriverRecord]:
        """What a topic holds, decoded; partition after partition. `schema` where no step reads or has read it."""
        found = self.log.of_topic(topic)
        values = self.codec.decode(schema or self._schema(topic), [each.value_bytes for each in found])
        decoded = dict(zip(values.row_indices.to_pylist(), values.table.to_pylist(), strict=True))
        if values.faults:
            raise ValueError(f"{topic} has a record that can't be read: {values.faults[0].reason}")
        return [
            DriverRecord(each.key_bytes.decode() if each.key_bytes else None, decoded.get(i), *_place(each))
            for i, each in enumerate(found)
        ]

    def rows(self, topic: str, schema: str | None = None) -> list[dict[str, Any]]:
        """The values of a topic's records, tombstones left away."""
        return [each.value for each in self.records(topic, schema) if each.value is not None]

    def dead_letters(self, step: str) -> list[dict[str, Any]]:
        """What a step has told of its dead letters, their content opened."""
        return [self._opened(row) for row in self.rows(dlq_topic(step))]

    def topics(self) -> list[str]:
        """All topics there are."""
        return sorted(self.log.sizes)

    def name_schemas(self, schemas: Mapping[str, str]) -> None:
        """Tells the schemas of topics (name by topic) that no step reads."""
        self._schemas.update(schemas)

    def _has_work(self, step: Step) -> bool:
        """Records, or acts that its worker hasn't seen or not done yet."""
        acted = len(self.log.of_topic(command_topic(step.name)))
        running = self._pipelines.get(step.name)
        if running is None or acted > running.commands_read:
            return acted > 0 or bool(self.log.lag(group(step.name), step.inputs))
        return (
            running.commands_pending or running.restoring or bool(self.log.lag(group(step.name), step.inputs))
        )

    def _opened(self, row: dict[str, Any]) -> dict[str, Any]:
        opened = {
            part: SEALER.open(row[part], seal_context(row["step"], row["digest"], part))
            for part in ("key", "value")
            if row[part] is not None
        }
        return {**row, **opened}

    def _schema(self, topic: str) -> str:
        if topic not in self._schemas:
            names = (step.schema_of(topic) for step in self._steps if self._reads(step, topic))
            name = next(names, None)
            if name is None:
                raise KeyError(f"no step reads {topic}: name its schema")
            self._schemas[topic] = name
        return self._schemas[topic]

    def _reads(self, step: Step, topic: str) -> bool:
        return topic in {name for name, _ in self.log.matching(step.inputs)}

    def _pipeline(self, step: Step) -> Pipeline:
        if step.name not in self._pipelines:
            clients = MemoryClients(self.log, group(step.name), transactional_id(step.name, 0), self._limit)
            self._pipelines[step.name] = Pipeline(
                step, clients, Coding(self.codec, SEALER), self._settings(), lambda: self.log.now_ms / 1_000
            )
            self._pipelines[step.name].start()
        return self._pipelines[step.name]

    def _settings(self) -> PipelineSettings:
        return PipelineSettings(batch_records_max=self._cut or 100_000)

    def _limit(self) -> int:
        return self._random.choice((0, 1, 2, 3, 7, 50, 1_000)) if self._random else 1_000_000


def _place(record: LocalMessage) -> tuple[int, int, int]:
    return record.partition(), record.offset(), record.timestamp_ms
