r"""A driver that runs steps without a broker, as Kafka Streams' TopologyTestDriver: real pipelines, log in memory.

driver = TopologyTestDriver([Step("intake", ["^in\\."], schema_of, IntakeProcessor(...)), ...], seed=7)
driver.pipe_input("in.juki-cs.131016", "juki-cs-notice", [{...}], key="131016")
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
from streams.dead_letters import SCHEMA, seal_context
from streams.pipeline import Pipeline
from streams.sealing import Coding, Sealer
from streams.settings import PipelineSettings
from streams.step import Step
from streams.testing.memory_log import MemoryClients, MemoryLog

#: More runs mean that a step produces its own input without end.
RUNS_MAX = 1_000_000
#: The keys of the driver's dead letters.
SEALER = Sealer([bytes(range(64))])
#: Records that a read may return if batches are random.
_READ_SIZES = (0, 1, 2, 3, 7, 50, 1_000)


@dataclass(frozen=True)
class DriverRecord:
    """A record of the log, decoded; `value` is None for a tombstone."""

    key: str | None
    value: dict[str, Any] | None
    partition: int
    offset: int
    timestamp_ms: int


class TopologyTestDriver:
    """Some steps on one log; a step's output topics are inputs of the other steps.

    With a `seed`, the sizes of batches and the order of the steps are random; without it, each step reads up to
    `settings.batch_records_max` records, in the order of `steps`. The log's clock doesn't move: `log.now_ms` is 0 until
    a test sets it, so results are repeatable.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        *,
        partitions: int = 4,
        seed: int | None = None,
        codec: Codec | None = None,
        settings: PipelineSettings | None = None,
    ) -> None:
        self.codec = codec or Codec(catalogue(), LocalSchemaIds(catalogue()))
        self.log = MemoryLog(partitions)
        self._random = random.Random(seed) if seed is not None else None  # noqa: S311 - repeatable on purpose
        self._steps = {step.name: step for step in steps}
        self._settings = settings or PipelineSettings(batch_records_max=100_000)
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
        """Append rows to a topic. `key` is the key of all rows, or a function that returns the key of a row."""
        table = table_from_rows(schema, rows, self.codec.catalogue)
        for row, value in zip(rows, self.codec.encode(schema, table).to_pylist(), strict=True):
            self.pipe_bytes(topic, value, key(row) if callable(key) else key, timestamp_ms)

    def pipe_bytes(
        self, topic: str, value: bytes | None, key: str | None = None, timestamp_ms: int = 0
    ) -> None:
        """Append an encoded record, valid or not. The first record creates the topic: one partition for `in.…`."""
        self.log.create(topic, 1 if topic.startswith("in.") else None)
        self.log.append(topic, None if key is None else key.encode(), value, timestamp_ms=timestamp_ms)

    def run(self, step: str | None = None) -> int:
        """Run one step or all until none has work left; return the number of runs that committed records."""
        chosen = [each for each in self._steps.values() if step in (None, each.name)]
        runs_with_records = 0
        for _ in range(RUNS_MAX):
            ready = [each for each in chosen if self._has_work(each)]
            if not ready:
                return runs_with_records
            next_step = self._random.choice(ready) if self._random else ready[0]
            runs_with_records += self.pipeline(next_step.name).run_once() > 0
        raise RuntimeError(f"steps still have work after {RUNS_MAX} runs")

    def pipeline(self, step: str) -> Pipeline:
        """Return the step's present pipeline; start one if it has none."""
        if step not in self._pipelines:
            clients = MemoryClients(self.log, group(step), transactional_id(step, 0), self._read_limit)
            coding = Coding(self.codec, SEALER)
            self._pipelines[step] = Pipeline(
                self._steps[step], clients, coding, self._settings, lambda: self.log.now_ms / 1_000
            )
            self._pipelines[step].start()
        return self._pipelines[step]

    def restart(self, step: str) -> None:
        """Drop a step's pipeline and its state, as `kill -9` does; the next one restores from the changelogs."""
        self._pipelines.pop(step, None)

    def send_command(self, step: str, command: str, digest: str, value: bytes | None = None) -> None:
        """Append an operator command on a dead letter, as intake publishes it; a repair's `value` is sealed here."""
        sealed = value and base64.b64encode(SEALER.seal(value, seal_context(step, digest, "repair"))).decode()
        number = len(self.log.topic_records(command_topic(step)))
        row = {
            "id": f"in.operator/0/{number}",
            "command": command,
            "step": step,
            "digest": digest,
            "value": sealed,
        }
        self.log.create(command_topic(step), 1)
        self.pipe_input(command_topic(step), commands.SCHEMA, [row], digest)

    def dlq_entries(self, step: str) -> list[dict[str, Any]]:
        """Return the dead letters of a step that are open, and the records blocked behind them."""
        latest = {
            (record.partition, record.key): record.value for record in self.records(dlq_state_topic(step))
        }
        return [value for value in latest.values() if value and value["kind"] != "COMMAND"]

    def dead_letters(self, step: str) -> list[dict[str, Any]]:
        """Return everything that a step has published on its dead letters, with the content opened."""
        return [self._with_opened_content(row) for row in self.rows(dlq_topic(step))]

    def records(self, topic: str, schema: str | None = None) -> list[DriverRecord]:
        """Return the records of a topic, decoded, partition after partition.

        A topic that no step reads needs a `schema`, or one from `add_schemas`. Raise ValueError if a record is invalid.
        """
        records = self.log.topic_records(topic)
        schema = schema or self._schema(topic)
        decoded = self.codec.decode(schema, [record.value_bytes for record in records])
        if decoded.failures:
            raise ValueError(f"{topic} has a record that can't be decoded: {decoded.failures[0].reason}")
        values = dict(zip(decoded.row_indices.to_pylist(), decoded.table.to_pylist(), strict=True))
        return [
            DriverRecord(
                record.key_bytes.decode() if record.key_bytes else None,
                values.get(index),
                record.partition(),
                record.offset(),
                record.timestamp_ms,
            )
            for index, record in enumerate(records)
        ]

    def rows(self, topic: str, schema: str | None = None) -> list[dict[str, Any]]:
        """Return the values of a topic's records, without tombstones."""
        return [record.value for record in self.records(topic, schema) if record.value is not None]

    def topics(self) -> list[str]:
        """Return the names of all topics that exist, sorted."""
        return sorted(self.log.partition_counts)

    def add_schemas(self, schemas: Mapping[str, str]) -> None:
        """Set the schemas of topics (schema by topic) that no step reads."""
        self._schemas.update(schemas)

    def _has_work(self, step: Step) -> bool:
        """Return whether a step has records to read, a restore to finish, or commands to read or to apply."""
        commands_issued = len(self.log.topic_records(command_topic(step.name)))
        has_records = bool(self.log.lag(group(step.name), step.inputs))
        pipeline = self._pipelines.get(step.name)
        if pipeline is None:
            return commands_issued > 0 or has_records
        if commands_issued > pipeline.commands_read:
            return True
        return pipeline.commands_pending or pipeline.restoring or has_records

    def _with_opened_content(self, row: dict[str, Any]) -> dict[str, Any]:
        content = {
            field: SEALER.open(row[field], seal_context(row["step"], row["digest"], field))
            for field in ("key", "value")
            if row[field] is not None
        }
        return {**row, **content}

    def _schema(self, topic: str) -> str:
        if topic not in self._schemas:
            readers = (step for step in self._steps.values() if self._reads(step, topic))
            reader = next(readers, None)
            if reader is None:
                raise KeyError(f"no step reads {topic}: pass its schema, or call add_schemas first")
            self._schemas[topic] = reader.schema_of(topic)
        return self._schemas[topic]

    def _reads(self, step: Step, topic: str) -> bool:
        return topic in {name for name, _ in self.log.matching_partitions(step.inputs)}

    def _read_limit(self) -> int:
        return self._random.choice(_READ_SIZES) if self._random else 1_000_000
