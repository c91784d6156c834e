"""The sides of the sink: the worker from topic to store, the sink without a broker, and COPY with ON CONFLICT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import psycopg
import pyarrow as pa
from psycopg import sql

from connectors.postgres import PostgresSink, SinkAccess, postgres_worker, sink_role
from connectors.postgres.table_definitions import Table
from connectors.sink import batch_of
from infra.apply.installation import Installation
from infra.coding import codec
from infra.environment import Environment
from infra.key_file import sealer
from infra.run.logs import configure
from schemas.topics import domain_topic, sink_step
from streams.clients import LocalMessage
from streams.sealing import Coding
from tests.bench import log
from tests.bench.shared import wait_for_share
from tests.bench.side import Task
from tests.bench.sink import COMMIT_RECORDS, DOMAIN, PARTITIONS, TABLES
from tests.bench.timing import Run, Stopwatch

_STEP: Final = sink_step(DOMAIN.id)
_TOPIC: Final = domain_topic(DOMAIN.id)


def run(side: str, task: Task) -> Run:
    """Run a side. Options: `records` and `commits` (files); `slot` and `share` (of partitions) of a worker."""
    configure(_STEP, 0)
    watch = Stopwatch(task.records, task.warm_up)
    _SIDES[side](task, watch)
    return watch.run


def _worker(task: Task, watch: Stopwatch) -> None:
    """Run a worker as in production: read, decode, merge, relay the receipts."""
    environment, coding = Environment.load(), _coding()
    access = SinkAccess(environment.kafka(_STEP) | {"log_level": "3"}, environment.dsn(sink_role(DOMAIN)))
    worker = postgres_worker(DOMAIN, int(task.options["slot"]), access, coding)
    worker.start()
    wait_for_share(worker, task)
    while not watch.done:
        # The outbox rows that `run_once` relays are counted as records too: one in five thousand.
        watch.record_batch(worker.run_once())


def _store(task: Task, watch: Stopwatch) -> None:
    """Write records from memory into the store: decode and merge them, with receipts and offsets, without a broker."""
    coding = _coding()
    records = [
        LocalMessage((_TOPIC, number % PARTITIONS), number // PARTITIONS, record.key, record.value)
        for number, record in enumerate(log.load(Path(task.options["records"])))
    ]
    sink = PostgresSink(DOMAIN, Environment.load().dsn(sink_role(DOMAIN)), coding)
    sink.open(range(PARTITIONS))
    for start in range(0, len(records), COMMIT_RECORDS):
        batch = records[start : start + COMMIT_RECORDS]
        ends = {record.partition(): record.offset() + 1 for record in batch}
        sink.put(batch_of(coding.codec, DOMAIN.event, batch, ends))
        sink.flush()
        watch.record_batch(len(batch))


def _copy(task: Task, watch: Stopwatch) -> None:
    """Write the same rows, receipts and offsets, prepared beforehand, by COPY and ON CONFLICT."""
    with pa.memory_map(task.options["commits"]) as source:
        commits = pa.ipc.open_file(source).read_all().to_pylist()
    merges = [_Merge(table) for table in TABLES]
    with psycopg.connect(Environment.load().dsn(sink_role(DOMAIN)), autocommit=True) as connection:
        for merge in merges:
            connection.execute(merge.stage)
        for partition in range(PARTITIONS):
            connection.execute(_of_store(_BEGIN), [_TOPIC, partition])
        for commit in commits:
            with connection.transaction():
                for partition, offset in enumerate(commit["offsets"]):
                    connection.execute(_of_store(_OFFSET), [offset, _TOPIC, partition])
                for merge, rows in zip(merges, commit["csv"], strict=True):
                    merge.execute(connection, rows)
                connection.execute(_of_store(_RECEIPTS), [commit["receipts"]])
            watch.record_batch(commit["changes"])


_BEGIN: Final = "INSERT INTO {offset} (topic, partition, next_offset) VALUES (%s, %s, 0)"
_OFFSET: Final = "UPDATE {offset} SET next_offset = %s WHERE topic = %s AND partition = %s"
_RECEIPTS: Final = "INSERT INTO {outbox} (receipts) VALUES (%b)"


def _of_store(statement: Any) -> sql.Composed:
    """Return a statement on the tables that every store has."""
    schema = DOMAIN.schema_name
    outbox, offset = sql.Identifier(schema, "receipt_outbox"), sql.Identifier(schema, "sink_offset")
    return sql.SQL(statement).format(outbox=outbox, offset=offset)


class _Merge:
    """The statements by which each commit writes the rows of a table."""

    def __init__(self, table: Table) -> None:
        comma = sql.SQL(", ")
        non_keys = [sql.Identifier(name) for name in table.columns if name not in table.key]
        column_definitions = [
            sql.SQL(f"{{}} {table.type_of(name)}").format(sql.Identifier(name)) for name in table.columns
        ]
        parts = {
            "table": sql.Identifier(DOMAIN.schema_name, table.name),
            "stage": sql.Identifier(f"stage_{table.name}"),
            "typed": comma.join(column_definitions),
            "columns": comma.join(map(sql.Identifier, table.columns)),
            "key": comma.join(map(sql.Identifier, table.key)),
            "changes": comma.join(sql.SQL("{0} = excluded.{0}").format(name) for name in non_keys),
        }

        def compose(text: Any) -> sql.Composed:
            return sql.SQL(text).format(**parts)

        self.stage = compose("CREATE TEMPORARY TABLE {stage} ({typed}) ON COMMIT DELETE ROWS")
        self._copy = compose("COPY {stage} ({columns}) FROM STDIN (FORMAT csv)")
        self._merge = compose(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM {stage} ON CONFLICT ({key}) DO UPDATE SET {changes}"
        )

    def execute(self, connection: psycopg.Connection[Any], rows: bytes) -> None:
        """Write rows, as CSV."""
        with connection.cursor() as cursor, cursor.copy(self._copy) as copy:
            copy.write(rows)
        connection.execute(self._merge)


def _coding() -> Coding:
    environment, installation = Environment.load(), Installation.of_settings()
    return Coding(codec(environment, installation), sealer(installation.key_file))


_SIDES: Final[Mapping[str, Callable[[Task, Stopwatch], None]]] = {
    "worker": _worker,
    "store": _store,
    "copy": _copy,
}
