"""(b) The sink into PostgreSQL, compared with COPY and ON CONFLICT of the same rows, receipts and offsets.

Each change is a row of the persons' table and one of its history, as most changes are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import psycopg
import pyarrow as pa
from pyarrow import csv

from connectors.postgres import create_store, drop_store, store_roles
from connectors.postgres.outbox import receipts_of
from connectors.postgres.table_definitions import PERSON, tables_of
from connectors.postgres.table_rows import rows_of
from connectors.sink_worker import SinkSettings
from infra.coding import codec
from infra.keys import load_keys
from infra.local.postgres_server import SUPERUSER
from processors.codes import MESH, CodeKind, domain_codes, household_codes, person_codes
from schemas.systems import DOMAINS
from schemas.tables import table_from_rows
from schemas.topics import domain_topic, sink_step
from tests.bench import log, timing
from tests.bench.cluster import MUNICIPALITIES, BenchCluster, running_cluster
from tests.bench.figures import Figure, at_least, at_most
from tests.bench.log import PreparedRecord
from tests.bench.people import invented_residents
from tests.bench.shared import SharedWork
from tests.bench.side import Task, run_side
from tests.bench.sizes import Progress, Sizes

DOMAIN: Final = DOMAINS["local-tax"]
COMMIT_RECORDS: Final = SinkSettings().batch_records_max
PARTITIONS: Final = 4
#: Measured once before the project began, on two cores in one run: rows per second of COPY and ON CONFLICT in commits
#: of 5,000, and of Debezium's JDBC sink with its best settings and two tasks; its lowest CPU per row.
EARLIER_COPY_RATE: Final = 200_000
EARLIER_DEBEZIUM_RATE: Final = 108_000
EARLIER_DEBEZIUM_CPU_US: Final = 11.0
#: The tables of persons: the rows, and their history.
TABLES: Final = tuple(table for table in tables_of(DOMAIN) if PERSON in {table.entity, table.also})
#: Commits prepared in a file: text to copy for each of the tables, receipts as the outbox has them, number of changes,
#: next offset by partition.
COMMITS: Final = pa.schema(
    [
        ("csv", pa.list_(pa.binary())),
        ("receipts", pa.binary()),
        ("changes", pa.int64()),
        ("offsets", pa.list_(pa.int64())),
    ]
)


def measure(folder: Path, sizes: Sizes, progress: Progress) -> list[Figure]:
    """Compare the worker from topic to store, the sink alone, and COPY with ON CONFLICT."""
    with running_cluster(folder) as cluster:
        return _compare(cluster, sizes, progress)


def _compare(cluster: BenchCluster, sizes: Sizes, progress: Progress) -> list[Figure]:
    count = sizes.records // 2
    progress(
        f"sink: {count:,} changes of {count // 2:,} persons, each created, then changed, with their histories; "
        f"commits of {COMMIT_RECORDS:,}"
    )
    table = changes(cluster, count)
    values = codec(cluster.environment, cluster.installation).encode(DOMAIN.event, table).to_pylist()
    keys = [code.encode() for code in table.column("code").to_pylist()]
    topic = domain_topic(DOMAIN.id)
    records = [PreparedRecord(topic, key, value) for key, value in zip(keys, values, strict=True)]
    cluster.topics.produce(records)
    files = {name: str(cluster.folder / f"sink.{name}.arrow") for name in ("records", "commits")}
    log.save(cluster.folder / "sink.records.arrow", records)
    _save_commits(files["commits"], table)
    task = Task(count, sizes.warm_up(count), str(cluster.folder / "sides"), files)
    work = SharedWork(cluster, "sink.worker", sink_step(DOMAIN.id), topic, count)
    sides = {
        "two workers": lambda: _with_new_store(cluster, lambda: work.run_workers(2)),
        "one worker": lambda: _with_new_store(cluster, lambda: work.run_workers(1)),
        "store": lambda: _with_new_store(cluster, lambda: run_side("sink.store", task)),
        "copy": lambda: _with_new_store(cluster, lambda: run_side("sink.copy", task)),
    }
    runs = timing.alternate(sides, sizes.rounds, lambda: None, progress)
    return [*_figures(*runs.values()), *_rows_on_disk(cluster, count)]


def _with_new_store(cluster: BenchCluster, side: Callable[[], timing.Run]) -> timing.Run:
    secrets = cluster.environment.secrets()
    roles = store_roles(DOMAIN, MUNICIPALITIES)
    with psycopg.connect(cluster.environment.dsn(SUPERUSER), autocommit=True) as connection:
        drop_store(connection, DOMAIN)
        create_store(connection, DOMAIN, MUNICIPALITIES, {role: secrets.password(role) for role in roles})
        connection.execute("CHECKPOINT")
    return side()


def rate(runs: Sequence[timing.Run]) -> float:
    """Return the rows written a second."""
    return timing.rate(runs) * len(TABLES)


def cpu(runs: Sequence[timing.Run]) -> float:
    """Return the CPU of a row in microseconds."""
    return timing.cpu_us(runs) / len(TABLES)


def _figures(
    two: Sequence[timing.Run],
    one: Sequence[timing.Run],
    store: Sequence[timing.Run],
    copy: Sequence[timing.Run],
) -> list[Figure]:
    limit = rate(copy)
    scale = limit / EARLIER_COPY_RATE
    debezium = "Debezium's best two tasks, as measured before, scaled by COPY and ON CONFLICT"
    return [
        Figure(
            "sink: topic to store, against COPY and ON CONFLICT", rate(one), limit, "rows/s", at_least(0.8)
        ),
        Figure("sink: records in memory to store, against the same", rate(store), limit, "rows/s"),
        Figure("sink: topic to store by two workers, against the same", rate(two), limit, "rows/s"),
        Figure("sink: two workers against one", rate(two), rate(one), "rows/s", at_least(1.7)),
        Figure("sink: topic to store, CPU", cpu(one), cpu(copy), "µs/row"),
        Figure("sink: records in memory to store, CPU", cpu(store), cpu(copy), "µs/row"),
        Figure(
            f"sink by two workers: against {debezium}",
            rate(two),
            EARLIER_DEBEZIUM_RATE * scale,
            "rows/s",
            at_least(1.5),
        ),
        Figure(
            f"sink by two workers: CPU, against {debezium}",
            cpu(two),
            EARLIER_DEBEZIUM_CPU_US / scale,
            "µs/row",
            at_most(0.4),
        ),
        Figure("sink: memory", timing.memory_mb(one), None, "MB"),
    ]


def _rows_on_disk(cluster: BenchCluster, count: int) -> list[Figure]:
    """Return the bytes of a row that was created and changed once, and of a row of its history, of which it has two."""
    names = ("created and changed once, with index", "of a history, with index")
    with psycopg.connect(cluster.environment.dsn(SUPERUSER)) as connection:
        figures = []
        for table, name, rows in zip(TABLES, names, (count // 2, count), strict=True):
            relation = f"{DOMAIN.schema_name}.{table.name}"
            row = connection.execute("SELECT pg_total_relation_size(%s::regclass)", [relation]).fetchone()
            size = int(row[0]) if row else 0
            figures.append(Figure(f"on disk: a row of PostgreSQL, {name}", size / rows, None, "bytes/row"))
    return figures


def changes(cluster: BenchCluster, count: int) -> pa.Table:
    """Return rows of `domain.local-tax`: the first half creates the persons' rows, the second changes them in order."""
    people = invented_residents(count // 2)
    keys = load_keys(cluster.installation.key_file)
    mesh, cipher = keys.cipher(MESH), keys.cipher(DOMAIN.id)
    codes = domain_codes(cipher, person_codes(mesh, people["code"].combine_chunks()), CodeKind.PERSON)
    municipalities, numbers = (people[name].combine_chunks() for name in ("municipality", "household"))
    households = domain_codes(cipher, household_codes(mesh, municipalities, numbers), CodeKind.HOUSEHOLD)
    coded_people = list(zip(people.to_pylist(), codes.to_pylist(), households.to_pylist(), strict=True))
    return table_from_rows(
        DOMAIN.event, [_change(*person, revision) for revision in (1, 2) for person in coded_people]
    )


def _change(person: dict[str, Any], code: str, household: str, revision: int) -> dict[str, Any]:
    facts = {name: person[name] for name in ("name", "kana", "birth_date", "address", "relationship")}
    other_columns = {"status": "active", "roman": "YAMADA TARO", "household_code": household}
    return {
        "code": code,
        "entity": "PERSON",
        "op": "UPSERT",
        "revision": revision,
        "municipality": person["municipality"],
        "effective_on": date(2026, 4, revision),
        "known_from": date(2026, 4, revision),
        "case_code": code,
        "person": facts | other_columns,
    }


def _save_commits(file: str, table: pa.Table) -> None:
    with pa.OSFile(file, "wb") as sink, pa.ipc.new_file(sink, COMMITS) as writer:
        for commit in _commits(table):
            writer.write_table(pa.Table.from_pylist([commit], schema=COMMITS))


def _commits(table: pa.Table) -> Iterator[dict[str, Any]]:
    for start in range(0, table.num_rows, COMMIT_RECORDS):
        part = table.slice(start, COMMIT_RECORDS)
        rows = {
            each.table.name: each.data
            for each in rows_of(DOMAIN, part, pa.array(range(len(part)), pa.int64()))
        }
        yield {
            "csv": [_csv(rows[definition.name].select(definition.columns)) for definition in TABLES],
            "receipts": _compressed(receipts_of(DOMAIN, part)),
            "changes": len(part),
            "offsets": [(start + len(part)) // PARTITIONS] * PARTITIONS,
        }


def _csv(rows: pa.Table) -> bytes:
    text = pa.BufferOutputStream()
    csv.write_csv(rows, text, csv.WriteOptions(include_header=False))
    content: bytes = text.getvalue().to_pybytes()
    return content


def _compressed(receipts: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, receipts.schema, options=options) as writer:
        writer.write_table(receipts)
    compressed: bytes = sink.getvalue().to_pybytes()
    return compressed
