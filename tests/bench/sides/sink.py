"""The sink's sides: the worker from topic to store, the sink alone, and what PostgreSQL can take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import psycopg
import pyarrow as pa
from psycopg import sql

from connectors.postgres import Access, PostgresSink, postgres_worker, sink_role
from connectors.postgres.table_definitions import PERSON, Table, tables_of
from connectors.sink import batch_of
from infra.apply.installation import Installation
from infra.codec import codec
from infra.environment import Environment
from infra.key_file import sealer
from infra.run.logs import configure
from schemas.topics import domain_topic, sink_step
from streams.clients import LocalMessage
from streams.sealing import Coding
from tests.bench import log
from tests.bench.shared import join
from tests.bench.side import Task
from tests.bench.sink import COMMIT_RECORDS, DOMAIN, PARTITIONS
from tests.bench.timing import Run, Stopwatch

_STEP: Final = sink_step(DOMAIN.id)
_TOPIC: Final = domain_topic(DOMAIN.id)


def run(side: str, task: Task) -> Run:
    """`more`: files of `records` and of `commits`; `slot` and `share` (of partitions) of a worker."""
    configure(_STEP, 0)
    watch = Stopwatch(task.records, task.warm)
    _SIDES[side](task, watch)
    return watch.run


def _worker(task: Task, watch: Stopwatch) -> None:
    """Ours, as it runs in production: read, decode, merge, receipts relayed."""
    environment, shared = Environment.load(), _coding()
    access = Access(environment.kafka(_STEP) | {"log_level": "3"}, environment.dsn(sink_role(DOMAIN)))
    worker = postgres_worker(DOMAIN, int(task.more["slot"]), access, shared)
    worker.start()
    join(worker, task)
    while not watch.done:
        # The rows of the outbox that a turn relays are counted as records: one in five thousand.
        watch.add(worker.run_once())


def _store(task: Task, watch: Stopwatch) -> None:
    """Ours without a broker: records in memory are decoded, and brought into the store with receipts and offsets."""
    shared = _coding()
    records = [
        LocalMessage((_TOPIC, number % PARTITIONS), number // PARTITIONS, each.key, each.value)
        for number, each in enumerate(log.load(Path(task.more["records"])))
    ]
    sink = PostgresSink(DOMAIN, Environment.load().dsn(sink_role(DOMAIN)), shared)
    sink.open(range(PARTITIONS))
    for at in range(0, len(records), COMMIT_RECORDS):
        batch = records[at : at + COMMIT_RECORDS]
        ends = {record.partition(): record.offset() + 1 for record in batch}
        sink.put(batch_of(shared.codec, DOMAIN.event, batch, ends))
        sink.flush()
        watch.add(len(batch))


def _copy(task: Task, watch: Stopwatch) -> None:
    """Theirs: the same rows, receipts and offsets, made beforehand."""
    with pa.memory_map(task.more["commits"]) as source:
        commits = pa.ipc.open_file(source).read_all().to_pylist()
    table = next(each for each in tables_of(DOMAIN) if each.entity == PERSON)
    statements = _Statements(table)
    with psycopg.connect(Environment.load().dsn(sink_role(DOMAIN)), autocommit=True) as connection:
        connection.execute(statements.stage)
        for partition in range(PARTITIONS):
            connection.execute(statements.begin, [_TOPIC, partition])
        for commit in commits:
            with connection.transaction():
                statements.do(connection, commit)
            watch.add(commit["rows"])


class _Statements:
    """What each commit executes."""

    def __init__(self, table: Table) -> None:
        comma = sql.SQL(", ")
        others = [sql.Identifier(name) for name in table.columns if name not in table.key]
        typed = [
            sql.SQL(f"{{}} {table.type_of(name)}").format(sql.Identifier(name)) for name in table.columns
        ]
        parts = {
            "table": sql.Identifier(DOMAIN.schema_name, table.name),
            "outbox": sql.Identifier(DOMAIN.schema_name, "receipt_outbox"),
            "offset": sql.Identifier(DOMAIN.schema_name, "sink_offset"),
            "typed": comma.join(typed),
            "columns": comma.join(map(sql.Identifier, table.columns)),
            "key": comma.join(map(sql.Identifier, table.key)),
            "changes": comma.join(sql.SQL("{0} = excluded.{0}").format(each) for each in others),
        }

        def made(text: Any) -> sql.Composed:
            return sql.SQL(text).format(**parts)

        self.stage = made("CREATE TEMPORARY TABLE stage ({typed}) ON COMMIT DELETE ROWS")
        self.begin = made("INSERT INTO {offset} (topic, partition, next_offset) VALUES (%s, %s, 0)")
        self._copy = made("COPY stage ({columns}) FROM STDIN (FORMAT csv)")
        self._merge = made(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM stage ON CONFLICT ({key}) DO UPDATE SET {changes}"
        )
        self._receipts = made("INSERT INTO {outbox} (receipts) VALUES (%b)")
        self._offset = made("UPDATE {offset} SET next_offset = %s WHERE topic = %s AND partition = %s")

    def do(self, connection: psycopg.Connection[Any], commit: Mapping[str, Any]) -> None:
        """All of one commit."""
        for partition, offset in enumerate(commit["offsets"]):
            connection.execute(self._offset, [offset, _TOPIC, partition])
        with connection.cursor() as cursor, cursor.copy(self._copy) as copy:
            copy.write(commit["csv"])
        connection.execute(self._merge)
        connection.execute(self._receipts, [commit["receipts"]])


def _coding() -> Coding:
    environment, installation = Environment.load(), Installation.of_settings()
    return Coding(codec(environment, installation), sealer(installation.key_file))


_SIDES: Final[Mapping[str, Callable[[Task, Stopwatch], None]]] = {
    "worker": _worker,
    "store": _store,
    "copy": _copy,
}
