"""The simulated store keeps what the sink's contract promises, as the real database does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from psycopg import errors

from connectors.postgres.outbox import unpacked
from connectors.postgres.settings import PostgresSettings
from connectors.postgres.sink import PostgresSink
from connectors.postgres.store import StoreConnection
from connectors.sink import Sink
from streams.dead_letters import seal_context
from tests.contract.sink_suite import CODING, DOMAIN, Letter, Receipt, SinkSuite
from tests.simulation.host import T
from tests.simulation.postgres import Database, Line
from tests.simulation.virtual_time import VirtualTime


class Alone:
    """A process that nothing happens to (`tests.simulation.host.Host`)."""

    def __init__(self, time: VirtualTime) -> None:
        self._time = time

    def heard(self) -> bool:
        """Always."""
        return True

    def request(self, call: str, do: Callable[[], T], timeout_s: float = 0.0) -> T:
        """As it is."""
        return do()

    def wait(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Time passes."""
        end_s = self._time.now_s + timeout_s
        while not until() and self._time.now_s < end_s:
            self._time.pass_to(self._time.now_s + 0.5)
        return until()

    def meanwhile(self, seconds: float) -> None:
        """Time passes."""
        self._time.pass_to(self._time.now_s + seconds)

    def most(self) -> int:
        """All."""
        return 1_000


class TestSimulatedStore(SinkSuite):
    """The suite of sinks, through the real sink."""

    @pytest.fixture(autouse=True)
    def database(self) -> Database:
        """An empty store."""
        self.held = Database(VirtualTime())
        return self.held

    @pytest.fixture
    def sink(self, database: Database) -> Sink:
        """A sink of the store."""
        return _sink(database)

    @pytest.fixture
    def other(self, database: Database) -> Sink:
        """Another."""
        return _sink(database)

    def rows(self) -> dict[tuple[str, str], tuple[str | None, int]]:
        """Persons."""
        return self._of("person", "name")

    def accounts(self) -> dict[tuple[str, str], tuple[str | None, int]]:
        """Accounts."""
        return self._of("account", "holder_kana")

    def receipts(self) -> list[Receipt]:
        """In order."""
        packed = [value[0] for value in self.held.table("receipt_outbox").values()]
        rows = [row for content in packed for row in unpacked(content).to_pylist()]
        return [Receipt(row["code"], row["entity"], row["revision"]) for row in rows]

    def letters(self) -> list[Letter]:
        """In order."""
        values = [value[1] for value in self.held.table("dead_letter_outbox").values()]
        rows = CODING.codec.decode("dead-letter", values).table.to_pylist()
        return sorted(
            Letter(row["partition"], row["offset"], _opened(row)) for row in rows if row["status"] == "OPEN"
        )

    def _of(self, table: str, column: str) -> dict[tuple[str, str], tuple[str | None, int]]:
        return {
            (key[1], key[0]): (row[column], row["revision"]) for key, row in self.held.table(table).items()
        }


def _opened(row: dict[str, Any]) -> bytes | None:
    place = seal_context(row["step"], row["digest"], "value")
    return None if row["value"] is None else CODING.sealer.open(row["value"], place)


def _sink(database: Database) -> PostgresSink:
    line = Line(database, Alone(database.time))
    return PostgresSink(DOMAIN, line.connect, CODING, None, line.pause)


def _connection(database: Database) -> Any:
    return Line(database, Alone(database.time)).connect("test", PostgresSettings())


UPDATE = (
    'UPDATE "s"."sink_offset" SET next_offset = %s WHERE topic = %s AND partition = %s AND next_offset = %s'
)


def test_a_transaction_is_whole_or_nothing() -> None:
    """What a transaction wrote is seen by nobody before its commit, and never after an error."""
    database = Database(VirtualTime(), {"sink_offset": {("t", 0): 0}})
    one = _connection(database)

    def fails() -> None:
        with one.transaction():
            assert one.execute(UPDATE, [1, "t", 0, 0]).rowcount == 1
            assert database.table("sink_offset") == {("t", 0): 0}
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert database.table("sink_offset") == {("t", 0): 0}
    with one.transaction():
        one.execute(UPDATE, [1, "t", 0, 0])
    assert database.table("sink_offset") == {("t", 0): 1}


def test_who_hangs_in_a_transaction_is_thrown_out() -> None:
    """Another waits for the lock as long as the server lets the first say nothing, and no longer."""
    database = Database(VirtualTime(), {"sink_offset": {("t", 0): 0}})
    hangs, other = _connection(database), _connection(database)

    def wakes_up() -> None:
        with hangs.transaction():
            hangs.execute(UPDATE, [5, "t", 0, 0])
            with other.transaction():
                assert other.execute(UPDATE, [1, "t", 0, 0]).rowcount == 1
            hangs.execute(UPDATE, [6, "t", 0, 5])

    with pytest.raises(errors.IdleInTransactionSessionTimeout):
        wakes_up()
    assert database.table("sink_offset") == {("t", 0): 1}


def test_a_statement_that_is_not_known() -> None:
    """The simulation is to be told of it; it never passes over one."""
    store = StoreConnection(
        Line(database := Database(VirtualTime()), Alone(database.time)).connect, "test", PostgresSettings()
    )
    with pytest.raises(NotImplementedError, match="TRUNCATE"):
        store.transaction(lambda connection: connection.execute("TRUNCATE everything"))
