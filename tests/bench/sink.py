"""(b) The sink into PostgreSQL against COPY and ON CONFLICT of the same rows, receipts, offsets, commit by commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import psycopg
import pyarrow as pa
from pyarrow import csv

from connectors.postgres import create_store, drop_store, store_roles
from connectors.postgres.encoding import rows_of
from connectors.postgres.outbox import receipts_of
from connectors.postgres.table_definitions import PERSON, tables_of
from connectors.sink_worker import SinkSettings
from infra.codec import codec
from infra.keys import load_keys
from infra.local.postgres_server import SUPERUSER
from processors.codes import MESH, CodeKind, domain_codes, household_codes, person_codes
from schemas.systems import DOMAINS
from schemas.tables import table_from_rows
from schemas.topics import domain_topic, sink_step
from tests.bench import log, timing
from tests.bench.cluster import MUNICIPALITIES, BenchCluster, running
from tests.bench.figures import Figure, at_least, at_most
from tests.bench.log import Prepared
from tests.bench.people import residents
from tests.bench.shared import Work
from tests.bench.side import Task, start
from tests.bench.sizes import Say, Sizes

DOMAIN: Final = DOMAINS["local-tax"]
COMMIT_RECORDS: Final = SinkSettings().batch_records_max
PARTITIONS: Final = 4
#: Measured before there was a project, on two cores, all in one run: rows a second of COPY and ON CONFLICT in commits
#: of 5,000, and of Debezium's JDBC sink with its best settings and two tasks; its CPU a row, at best.
LIMIT_THEN: Final = 200_000
DEBEZIUM_THEN: Final = 108_000
DEBEZIUM_CPU_US_THEN: Final = 11.0
#: Commits made beforehand, in a file: what is copied, receipts as the outbox has them, offsets by partition.
COMMITS: Final = pa.schema(
    [("csv", pa.binary()), ("receipts", pa.binary()), ("rows", pa.int64()), ("offsets", pa.list_(pa.int64()))]
)


def measure(folder: Path, sizes: Sizes, say: Say) -> list[Figure]:
    """The worker from topic to store, the sink alone, and COPY with ON CONFLICT."""
    with running(folder) as place:
        return _compared(place, sizes, say)


def _compared(place: BenchCluster, sizes: Sizes, say: Say) -> list[Figure]:
    count = sizes.records // 2
    say(
        f"sink: {count:,} changes of {count // 2:,} persons, each set, then changed; commits of {COMMIT_RECORDS:,}"
    )
    table = changes(place, count)
    values = codec(place.environment, place.installation).encode(DOMAIN.event, table).to_pylist()
    keys = [code.encode() for code in table.column("code").to_pylist()]
    topic = domain_topic(DOMAIN.id)
    records = [Prepared(topic, key, value) for key, value in zip(keys, values, strict=True)]
    place.log.feed(records)
    files = {name: str(place.folder / f"sink.{name}.arrow") for name in ("records", "commits")}
    log.save(place.folder / "sink.records.arrow", records)
    _save_commits(files["commits"], table)
    task = Task(count, sizes.warm(count), str(place.folder / "sides"), files)
    work = Work(place, "sink.worker", sink_step(DOMAIN.id), topic, count)
    sides = {
        "two workers": lambda: _on_a_new_store(place, lambda: work.by(2)),
        "one worker": lambda: _on_a_new_store(place, lambda: work.by(1)),
        "store": lambda: _on_a_new_store(place, lambda: start("sink.store", task)),
        "copy": lambda: _on_a_new_store(place, lambda: start("sink.copy", task)),
    }
    runs = timing.alternate(sides, sizes.rounds, lambda: None, say)
    return [*_figures(*runs.values()), _on_disk(place, count)]


def _on_a_new_store(place: BenchCluster, side: Callable[[], timing.Run]) -> timing.Run:
    secrets = place.environment.secrets()
    roles = store_roles(DOMAIN, MUNICIPALITIES)
    with psycopg.connect(place.environment.dsn(SUPERUSER), autocommit=True) as connection:
        drop_store(connection, DOMAIN)
        create_store(connection, DOMAIN, MUNICIPALITIES, {role: secrets.password(role) for role in roles})
        connection.execute("CHECKPOINT")
    return side()


def _figures(
    two: Sequence[timing.Run],
    one: Sequence[timing.Run],
    store: Sequence[timing.Run],
    copy: Sequence[timing.Run],
) -> list[Figure]:
    rate, cpu, limit = timing.rate, timing.cpu_us, timing.rate(copy)
    scale = limit / LIMIT_THEN
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
            DEBEZIUM_THEN * scale,
            "rows/s",
            at_least(1.5),
        ),
        Figure(
            f"sink by two workers: CPU, against {debezium}",
            cpu(two),
            DEBEZIUM_CPU_US_THEN / scale,
            "µs/row",
            at_most(0.4),
        ),
        Figure("sink: memory", timing.memory_mb(one), None, "MB"),
    ]


def _on_disk(place: BenchCluster, count: int) -> Figure:
    with psycopg.connect(place.environment.dsn(SUPERUSER)) as connection:
        name = f"{DOMAIN.schema_name}.person"
        found = connection.execute("SELECT pg_total_relation_size(%s::regclass)", [name]).fetchone()
    size = int(found[0]) if found else 0
    return Figure(
        "on disk: a row of PostgreSQL, set and changed once, index included",
        2 * size / count,
        None,
        "bytes/row",
    )


def changes(place: BenchCluster, count: int) -> pa.Table:
    """Records of `domain.local-tax`: half of them set a person's row, the others change it, in the same order."""
    people = residents(count // 2)
    keys = load_keys(place.installation.key_file)
    mesh, cipher = keys.cipher(MESH), keys.cipher(DOMAIN.id)
    codes = domain_codes(cipher, person_codes(mesh, people["code"].combine_chunks()), CodeKind.PERSON)
    places, numbers = (people[name].combine_chunks() for name in ("municipality", "household"))
    households = domain_codes(cipher, household_codes(mesh, places, numbers), CodeKind.HOUSEHOLD)
    named = list(zip(people.to_pylist(), codes.to_pylist(), households.to_pylist(), strict=True))
    return table_from_rows(DOMAIN.event, [_change(*each, revision) for revision in (1, 2) for each in named])


def _change(person: dict[str, Any], code: str, household: str, revision: int) -> dict[str, Any]:
    facts = {name: person[name] for name in ("name", "kana", "birth_date", "address", "relationship")}
    others = {"status": "active", "roman": "YAMADA TARO", "household_code": household}
    return {
        "code": code,
        "entity": "PERSON",
        "op": "UPSERT",
        "revision": revision,
        "municipality": person["municipality"],
        "effective_on": date(2026, 4, revision),
        "case_code": code,
        "person": facts | others,
    }


def _save_commits(file: str, table: pa.Table) -> None:
    with pa.OSFile(file, "wb") as sink, pa.ipc.new_file(sink, COMMITS) as writer:
        for commit in _commits(table):
            writer.write_table(pa.Table.from_pylist([commit], schema=COMMITS))


def _commits(table: pa.Table) -> Iterator[dict[str, Any]]:
    columns = next(each.columns for each in tables_of(DOMAIN) if each.entity == PERSON)
    for at in range(0, table.num_rows, COMMIT_RECORDS):
        part = table.slice(at, COMMIT_RECORDS)
        (rows,) = rows_of(DOMAIN, part, pa.array(range(len(part)), pa.int64()))
        copied = pa.BufferOutputStream()
        csv.write_csv(rows.data.select(columns), copied, csv.WriteOptions(include_header=False))
        yield {
            "csv": copied.getvalue().to_pybytes(),
            "receipts": _packed(receipts_of(DOMAIN, part)),
            "rows": len(part),
            "offsets": [(at + len(part)) // PARTITIONS] * PARTITIONS,
        }


def _packed(receipts: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, receipts.schema, options=options) as writer:
        writer.write_table(receipts)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed
