"""Global tables: current for every batch, or nothing is processed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from schemas.catalogue import catalogue
from schemas.codec import Codec
from schemas.ids import LocalSchemaIds
from schemas.tables import table_from_rows
from streams.clients import LocalMessage
from streams.contract import Batch, Result, Tables
from streams.errors import UnavailableError
from streams.global_table import GlobalTables
from streams.settings import PipelineSettings
from streams.step import Step
from streams.testing.driver import TopologyTestDriver
from streams.testing.memory_log import MemoryClients, MemoryLog, MemoryReader

CODEC = Codec(catalogue(), LocalSchemaIds(catalogue()))
TOPIC, SCHEMA = "withdrawals", "withdrawal"


def encoded(code: str, revision: int) -> bytes:
    """Return a value of the table."""
    value: bytes = CODEC.encode(SCHEMA, table_from_rows(SCHEMA, [{"code": code, "revision": revision}]))[
        0
    ].as_py()
    return value


class OpenTransaction(MemoryClients):
    """Clients of a log whose records are in a transaction that has not ended: readers get none of them yet."""

    ended = False

    def table_reader(self) -> MemoryReader:
        """Return a reader of committed records."""
        return _CommittedReader(self.log, self)


class _CommittedReader(MemoryReader):
    def __init__(self, log: MemoryLog, clients: OpenTransaction) -> None:
        super().__init__(log)
        self._clients = clients

    def consume(self, num_messages: int, timeout: float) -> list[LocalMessage]:
        """Return what is committed; time passes."""
        self._log.now_ms += 1_000
        return super().consume(num_messages, timeout) if self._clients.ended else []


def tables_of(clients: MemoryClients) -> GlobalTables:
    """Return the table of TOPIC."""
    return GlobalTables(
        {TOPIC: SCHEMA}, clients, CODEC, PipelineSettings(), lambda: clients.log.now_ms / 1_000
    )


def test_the_last_value_of_each_key_counts() -> None:
    """A tombstone removes the key; each call has everything that was written before it."""
    log = MemoryLog()
    tables = tables_of(MemoryClients(log, "g", "t"))
    log.append(TOPIC, b"a", encoded("a", 1))
    log.append(TOPIC, b"b", encoded("b", 1))
    assert tables.current()[TOPIC].get_many(["a", "c"]) == {"a": {"code": "a", "revision": 1}}
    log.append(TOPIC, b"a", encoded("a", 2))
    log.append(TOPIC, b"b", None)
    table = tables.current()[TOPIC]
    assert table.get_many(["a", "b"]) == {"a": {"code": "a", "revision": 2}}
    assert len(table) == 1


def test_a_value_that_cannot_be_decoded_is_none() -> None:
    """The key is known, so that a processor can fail closed for it alone."""
    log = MemoryLog()
    log.append(TOPIC, b"a", b"not Avro")
    log.append(TOPIC, b"b", encoded("b", 1))
    table = tables_of(MemoryClients(log, "g", "t")).current()[TOPIC]
    assert table.get_many(["a", "b"]) == {"a": None, "b": {"code": "b", "revision": 1}}


def test_a_table_waits_for_a_transaction_that_has_not_ended() -> None:
    """The end is that of all records: one of the batch's own transaction may not be readable yet."""
    log = MemoryLog(partitions=1)
    log.append(TOPIC, b"a", encoded("a", 1))
    clients = OpenTransaction(log, "g", "t")
    tables = tables_of(clients)
    with pytest.raises(UnavailableError):
        tables.current()
    clients.ended = True
    assert tables.current()[TOPIC].get_many(["a"])


class Clerk:
    """A processor that copies records which its table allows."""

    tables: Mapping[str, str] = {TOPIC: SCHEMA}

    def __init__(self) -> None:
        self.allowed: list[int] = []

    def needs_tables(self, batches: Sequence[Batch]) -> bool:
        """Return whether any code is at least two letters long."""
        return any(len(code) > 1 for batch in batches for code in batch.table.column("code").to_pylist())

    def process(self, batches: Sequence[Batch], tables: Tables) -> Result:
        """Note how many records the table has a value for."""
        codes = [code for batch in batches for code in batch.table.column("code").to_pylist()]
        self.allowed.append(len(tables[TOPIC].get_many(codes)) if tables else -1)
        return Result()


def test_a_step_gets_current_tables_for_the_batches_that_need_them() -> None:
    """And none for others, so that a use without a current table fails."""
    clerk = Clerk()
    driver = TopologyTestDriver([Step("clerk", ["input"], lambda _: SCHEMA, clerk)], partitions=1)
    for code in ("aa", "b", "cc"):
        driver.pipe_input(TOPIC, SCHEMA, [{"code": code, "revision": 1}], code)
        driver.pipe_input("input", SCHEMA, [{"code": code, "revision": 1}], code)
        driver.run()
    assert clerk.allowed == [1, -1, 1]


class _Counting(Clerk):
    stores: Mapping[str, str] = {"counts": SCHEMA}


def test_a_step_with_state_reads_no_tables() -> None:
    """Its outcome must depend on one partition alone."""
    with pytest.raises(ValueError, match="can't read tables"):
        Step("both", ["input"], lambda _: SCHEMA, _Counting())
