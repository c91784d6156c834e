"""The simulated store passes the contract suite of sinks, as the real database does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from psycopg import errors

from connectors.postgres.outbox import unpack_receipts
from connectors.postgres.sink import PostgresSink
from connectors.postgres.store import PostgresSettings, StoreConnection
from connectors.sink import Sink
from streams.dead_letters import seal_context
from tests.contract.sink_suite import CODING, DOMAIN, OpenDeadLetter, Receipt
from tests.contract.withdrawal_suite import WithdrawalSuite
from tests.simulation.postgres import SimDatabase, StoreAccess
from tests.simulation.virtual_time import T, VirtualTime


class FaultlessHost:
    """A process without faults (`tests.simulation.virtual_time.Host`)."""

    polled_version = 0

    def __init__(self, time: VirtualTime) -> None:
        self._time = time

    def is_responsive(self) -> bool:
        """Return True."""
        return True

    def request(self, call: str, send: Callable[[], T], timeout_s: float = 0.0) -> T:
        """Return the answer."""
        return send()

    def wait(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Let time pass."""
        end_s = self._time.now_s + timeout_s
        while not until() and self._time.now_s < end_s:
            self._time.pass_to(self._time.now_s + 0.5)
        return until()

    def let_others_run(self, seconds: float) -> None:
        """Let time pass."""
        self._time.pass_to(self._time.now_s + seconds)

    def fetch_size(self) -> int:
        """Return more than there is."""
        return 1_000


class TestSimulatedStore(WithdrawalSuite):
    """The contract suite through the real sink."""

    @pytest.fixture(autouse=True)
    def database(self) -> SimDatabase:
        """Return an empty store."""
        self.simulated = SimDatabase(VirtualTime())
        return self.simulated

    @pytest.fixture
    def sink(self, database: SimDatabase) -> Sink:
        """Return a sink of the store."""
        return _sink(database)

    @pytest.fixture
    def other(self, database: SimDatabase) -> Sink:
        """Return another sink of the same store."""
        return _sink(database)

    def rows(self) -> dict[tuple[str, str], tuple[str | None, int]]:
        """Return the persons."""
        return self._rows_of("person", "name")

    def addresses(self) -> dict[tuple[str, str], str | None]:
        """Return the addresses of the persons."""
        return {key: address for key, (address, _) in self._rows_of("person", "address").items()}

    def accounts(self) -> dict[tuple[str, str], tuple[str | None, int]]:
        """Return the accounts."""
        return self._rows_of("account", "holder_kana")

    def receipts(self) -> list[Receipt]:
        """Return the receipts in order."""
        packed = [value[0] for value in self.simulated.table("receipt_outbox").values()]
        rows = [row for content in packed for row in unpack_receipts(content).to_pylist()]
        return [Receipt(row["code"], row["entity"], row["revision"]) for row in rows]

    def dead_letters(self) -> list[OpenDeadLetter]:
        """Return the open dead letters in order."""
        values = [value[1] for value in self.simulated.table("dead_letter_outbox").values()]
        rows = CODING.codec.decode("dead-letter", values).table.to_pylist()
        return sorted(
            OpenDeadLetter(row["partition"], row["offset"], _open(row))
            for row in rows
            if row["status"] == "OPEN"
        )

    def _rows_of(self, table: str, column: str) -> dict[tuple[str, str], tuple[str | None, int]]:
        return {
            (key[1], key[0]): (row[column], row["revision"])
            for key, row in self.simulated.table(table).items()
        }


def _open(row: dict[str, Any]) -> bytes | None:
    context = seal_context(row["step"], row["digest"], "value")
    return None if row["value"] is None else CODING.sealer.open(row["value"], context)


def _sink(database: SimDatabase) -> PostgresSink:
    access = StoreAccess(database, FaultlessHost(database.time))
    return PostgresSink(DOMAIN, access.connect, CODING, None, access.pause)


def _connection(database: SimDatabase) -> Any:
    return StoreAccess(database, FaultlessHost(database.time)).connect("test", PostgresSettings())


UPDATE = (
    'UPDATE "s"."sink_offset" SET next_offset = %s WHERE topic = %s AND partition = %s AND next_offset = %s'
)


def test_a_transaction_is_atomic() -> None:
    """Its changes are invisible to others before the commit, and dropped after an error."""
    database = SimDatabase(VirtualTime(), {"sink_offset": {("t", 0): 0}})
    connection = _connection(database)

    def fail() -> None:
        with connection.transaction():
            assert connection.execute(UPDATE, [1, "t", 0, 0]).rowcount == 1
            assert database.table("sink_offset") == {("t", 0): 0}
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert database.table("sink_offset") == {("t", 0): 0}
    with connection.transaction():
        connection.execute(UPDATE, [1, "t", 0, 0])
    assert database.table("sink_offset") == {("t", 0): 1}


def test_a_session_that_hangs_in_a_transaction_is_terminated() -> None:
    """Another session waits for its lock as long as the server lets a session be silent, and no longer."""
    database = SimDatabase(VirtualTime(), {"sink_offset": {("t", 0): 0}})
    hung, other = _connection(database), _connection(database)

    def wake_up() -> None:
        with hung.transaction():
            hung.execute(UPDATE, [5, "t", 0, 0])
            with other.transaction():
                assert other.execute(UPDATE, [1, "t", 0, 0]).rowcount == 1
            hung.execute(UPDATE, [6, "t", 0, 5])

    with pytest.raises(errors.IdleInTransactionSessionTimeout):
        wake_up()
    assert database.table("sink_offset") == {("t", 0): 1}


def test_an_unknown_statement_is_rejected() -> None:
    """Raise NotImplementedError: a statement must never be ignored."""
    store = StoreConnection(
        StoreAccess(database := SimDatabase(VirtualTime()), FaultlessHost(database.time)).connect,
        "test",
        PostgresSettings(),
    )
    with pytest.raises(NotImplementedError, match="TRUNCATE"):
        store.transaction(lambda connection: connection.execute("TRUNCATE everything"))
