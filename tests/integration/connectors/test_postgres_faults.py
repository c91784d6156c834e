"""The PostgreSQL sink when the database fails: nothing is applied twice or lost, and no error or log shows a row."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import structlog
from psycopg import Connection, Transaction
from psycopg.pq import TransactionStatus

from connectors.errors import StoreSchemaError, StoreUnavailableError
from connectors.postgres import PostgresSettings, PostgresSink, drop_store, sink_role
from connectors.postgres.store import connection_factory, connection_parameters
from infra.environment import Environment
from schemas.systems import Domain
from tests.contract.sink_suite import (
    CODEC,
    CODING,
    DOMAIN,
    MUNICIPALITY,
    Change,
    apply_changes,
    encode_changes,
    run_command,
    sink_batch,
)
from tests.integration.connectors import stores

SECRET = "ヒミツ　ハナコ"


class AnswerLosingConnection(psycopg.Connection[Any]):
    """A connection that breaks after each commit for which `answers_to_lose` has an item, and takes the item out."""

    answers_to_lose: list[str]

    @contextmanager
    def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> Iterator[Transaction]:
        """Run a transaction; after its commit the connection may be lost before the client has the answer."""
        is_savepoint = self.info.transaction_status != TransactionStatus.IDLE
        with super().transaction(savepoint_name, force_rollback) as transaction:
            yield transaction
        if not is_savepoint and self.answers_to_lose:
            self.answers_to_lose.pop()
            self.close()
            raise psycopg.OperationalError("the connection is lost")


@pytest.fixture
def pauses_s() -> list[float]:
    """Return the pauses that a sink made between attempts."""
    return []


@pytest.fixture
def dsn(environment: Environment, make_store: Callable[[str], Domain]) -> str:
    """Return the conninfo of the sink's role, for an empty store of local tax."""
    make_store(DOMAIN.id)
    return environment.dsn(sink_role(DOMAIN))


@pytest.fixture
def sink(dsn: str, pauses_s: list[float]) -> Iterator[PostgresSink]:
    """Return a sink of the store, which pauses without waiting."""
    settings = PostgresSettings(attempts_max=4, lock_timeout_s=0.2)
    sink = PostgresSink(DOMAIN, dsn, CODING, settings, pauses_s.append)
    yield sink
    sink.close()


def terminate_connections(admin: Connection[Any]) -> None:
    """End all sessions of the sink's role."""
    statement = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s"
    assert admin.execute(statement, [sink_role(DOMAIN)]).rowcount >= 1


def rows(admin: Connection[Any]) -> dict[tuple[str, str], tuple[str | None, int]]:
    """Return the persons in the store."""
    return stores.table(admin, DOMAIN, "person", "name")


def stalled_transaction(dsn: str, settings: PostgresSettings) -> Connection[Any]:
    """Return the session of a sink that stalls in a transaction, with the offset of partition 0 locked."""
    connection = connection_factory(dsn)("stalled", settings)
    connection.execute("CREATE TEMPORARY TABLE stage (op text)")
    connection.execute("BEGIN")
    advanced = connection.execute("UPDATE local_tax.sink_offset SET next_offset = 5 WHERE partition = 0")
    assert advanced.rowcount == 1
    return connection


def test_a_broken_connection_is_replaced(
    admin: Connection[Any], sink: PostgresSink, pauses_s: list[float]
) -> None:
    """The flush is tried again on a new connection, and applied once."""
    sink.open([0])
    terminate_connections(admin)
    sink.put(sink_batch([Change("a", 1)]))
    assert dict(sink.flush()) == {0: 1}
    assert len(pauses_s) == 1
    assert len(stores.receipts(admin, DOMAIN)) == 1


def test_a_commit_whose_answer_was_lost_is_not_repeated(
    admin: Connection[Any], dsn: str, pauses_s: list[float]
) -> None:
    """The stored offset shows that the commit succeeded: one row, one receipt, one dead letter."""
    answers_to_lose: list[str] = []

    def connect(name: str, settings: PostgresSettings) -> Connection[Any]:
        connection = AnswerLosingConnection.connect(dsn, **connection_parameters(name, settings))
        connection.answers_to_lose = answers_to_lose
        return connection

    sink = PostgresSink(DOMAIN, connect, CODING, pause=pauses_s.append)
    sink.open([0])
    sink.put(sink_batch([Change("a", 1), b"broken"]))
    answers_to_lose.append("of the flush")
    assert dict(sink.flush()) == {0: 2}
    assert (answers_to_lose, len(pauses_s)) == ([], 1)
    assert len(stores.receipts(admin, DOMAIN)) == len(stores.open_dead_letters(admin, DOMAIN)) == 1
    assert dict(apply_changes(sink, Change("b", 1))) == {0: 3}
    sink.close()


def test_a_sink_killed_after_its_commit_has_applied_the_batch(
    admin: Connection[Any], sink: PostgresSink
) -> None:
    """The next owner starts after the batch, and reads none of it again."""
    apply_changes(sink, Change("a", 1))
    terminate_connections(admin)
    assert dict(sink.open([0])) == {0: 1}
    assert len(stores.receipts(admin, DOMAIN)) == 1


def test_attempts_at_a_locked_store_end(
    environment: Environment, admin: Connection[Any], sink: PostgresSink, pauses_s: list[float]
) -> None:
    """The retries are limited; nothing was committed, and a later batch continues from the stored offset."""
    sink.open([0])
    sink.put(sink_batch([Change("a", 1)]))
    with psycopg.connect(environment.dsn("postgres")) as other:
        other.execute("LOCK TABLE local_tax.person IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailableError, match="55P03"):
            sink.flush()
    assert pauses_s == sorted(pauses_s)
    assert len(pauses_s) == 3
    assert rows(admin) == {}
    assert dict(apply_changes(sink, Change("a", 1))) == {0: 1}


def test_a_worker_that_stalls_in_a_transaction_is_ended(dsn: str, sink: PostgresSink) -> None:
    """It has the offset locked; the server ends it, and the partition's next owner continues."""
    sink.open([0])
    stalled = stalled_transaction(dsn, PostgresSettings(idle_transaction_timeout_s=0.3))
    assert dict(apply_changes(sink, Change("a", 1))) == {0: 1}
    with pytest.raises(psycopg.Error):
        stalled.execute("COMMIT")
    stalled.close()


def test_a_worker_that_stalls_during_copy_is_ended(admin: Connection[Any], dsn: str) -> None:
    """No limit of the server ends a session that waits for the data of a COPY: the partition's next owner does."""
    limits = PostgresSettings(lock_timeout_s=0.3, transaction_timeout_s=0.5, idle_transaction_timeout_s=0.2)
    sink = PostgresSink(DOMAIN, dsn, CODING, limits)
    sink.open([0])
    stalled = stalled_transaction(dsn, limits)
    copy_rows = "COPY pg_temp.stage (op) FROM STDIN"
    with pytest.raises(psycopg.OperationalError), stalled.cursor() as cursor, cursor.copy(copy_rows):
        assert dict(apply_changes(sink, Change("a", 1))) == {0: 1}
    assert set(rows(admin)) == {("a", MUNICIPALITY)}
    stalled.close()
    sink.close()


def test_a_dead_letter_that_is_read_again_stays_one(admin: Connection[Any], sink: PostgresSink) -> None:
    """If an operator sets the offset back: records stay blocked behind the dead letter, and a command finds it."""
    changes = [Change("a", 1, status="unknown"), Change("a", 2)]
    apply_changes(sink, *changes)
    admin.execute("UPDATE local_tax.sink_offset SET next_offset = 0")
    apply_changes(sink, *changes)
    apply_changes(sink, Change("a", 3), Change("b", 1))
    assert set(rows(admin)) == {("b", MUNICIPALITY)}
    assert len(sink.open_dead_letters) == 1
    run_command(sink, "REPAIR", [*changes, Change("a", 3)], Change("a", 1, name="repaired"))
    assert rows(admin)["a", MUNICIPALITY] == ("NAME", 3)
    assert not sink.open_dead_letters


def test_the_older_row_of_a_key_is_applied_if_the_newer_is_rejected(
    admin: Connection[Any], sink: PostgresSink
) -> None:
    """So too for a code that is too long for an ordering key: the older row and its receipt are stored."""
    code = "x" * 600
    apply_changes(sink, Change(code, 1), Change(code, 2, status="unknown"))
    assert rows(admin) == {(code, MUNICIPALITY): ("NAME", 1)}
    receipts = stores.receipts(admin, DOMAIN)
    assert [(receipt.code, receipt.revision) for receipt in receipts] == [(code, 1)]


def test_a_missing_store_stops_the_sink(
    admin: Connection[Any], sink: PostgresSink, pauses_s: list[float]
) -> None:
    """A retry cannot succeed: the error is raised at once and has the SQLSTATE."""
    drop_store(admin, DOMAIN)
    with pytest.raises(StoreSchemaError, match="42"):
        sink.open([0])
    assert pauses_s == []


def test_an_unreachable_database_is_reported_without_the_password(
    environment: Environment, pauses_s: list[float]
) -> None:
    """StoreUnavailableError is raised after the last attempt."""
    dsn = psycopg.conninfo.make_conninfo(environment.dsn("postgres"), port=1)
    sink = PostgresSink(DOMAIN, dsn, CODING, PostgresSettings(attempts_max=2), pauses_s.append)
    with pytest.raises(StoreUnavailableError) as caught:
        sink.open([0])
    assert len(pauses_s) == 1
    password = environment.secrets().password("postgres").get_secret_value()
    assert password not in "".join(traceback.format_exception(caught.value))


def test_one_invalid_row_among_five_thousand(admin: Connection[Any], sink: PostgresSink) -> None:
    """All other rows are applied in the same batch."""
    changes = [Change(f"{n:05}", 1) for n in range(5_000)]
    changes[2_345] = changes[2_345]._replace(status="unknown")
    apply_changes(sink, *changes)
    assert len(rows(admin)) == 4_999
    [dead_letter] = stores.open_dead_letters(admin, DOMAIN)
    assert (dead_letter.offset, dead_letter.value) == (2_345, encode_changes([changes[2_345]])[0])
    assert len(stores.receipts(admin, DOMAIN)) == 4_999


def test_records_after_a_rejected_one_are_blocked_and_those_before_applied(
    admin: Connection[Any], sink: PostgresSink
) -> None:
    """The result is that of applying records one by one.

    The person's records before the rejected one are applied; those after it are blocked, valid or not.
    """
    apply_changes(
        sink,
        Change("a", 1, name="1"),
        Change("a", 2, name="2"),
        Change("a", 3, status="unknown"),
        Change("a", 4, name="\x00"),
        Change("b", 1),
    )
    assert rows(admin) == {("a", MUNICIPALITY): ("2", 2), ("b", MUNICIPALITY): ("NAME", 1)}
    assert [dead_letter.offset for dead_letter in stores.open_dead_letters(admin, DOMAIN)] == [2]
    assert stores.dlq_rows(admin, DOMAIN) == [(2, "DEAD_LETTER"), (3, "BLOCKED")]


def test_reasons_and_logs_show_no_row(admin: Connection[Any], sink: PostgresSink) -> None:
    """PostgreSQL's message shows the rejected row; the dead letter's reason names the constraint only."""
    with structlog.testing.capture_logs() as logs:
        apply_changes(sink, Change("code-of-somebody", 1, name=SECRET, status="unknown"), Change("b", 1))
    query = "SELECT value FROM local_tax.dead_letter_outbox"
    values = [value for (value,) in admin.execute(query)]
    [dead_letter] = CODEC.decode("dead-letter", values).table.to_pylist()
    assert dead_letter["reason"] == "23514 person_status_check"
    assert SECRET not in repr(logs)
    assert "code-of-somebody" not in repr(logs)
    reasons = [line["reason"] for line in logs if line["event"] == "record.dead-lettered"]
    assert reasons == [dead_letter["reason"]]


def test_errors_show_no_row(admin: Connection[Any], sink: PostgresSink) -> None:
    """An error that stops the sink shows none either, with its whole chain of causes."""
    sink.open([0])
    admin.execute("ALTER TABLE local_tax.person ALTER COLUMN name TYPE integer USING 0")
    with pytest.raises(StoreSchemaError) as caught:
        apply_changes(sink, Change("code-of-somebody", 1, name=SECRET))
    text = "".join(traceback.format_exception(caught.value))
    assert SECRET not in text
    assert "code-of-somebody" not in text.replace('Change("code-of-somebody"', "")


def test_many_invalid_rows_are_found(admin: Connection[Any], sink: PostgresSink) -> None:
    """Also among texts with line breaks, where the reported line is no row; and by a constraint added meanwhile."""
    apply_changes(sink, Change("first", 1))
    admin.execute("ALTER TABLE local_tax.person ADD CONSTRAINT no_bad CHECK (name <> 'BAD')")
    invalid_fields: list[dict[str, Any]] = [{"status": "unknown"}, {"name": "BAD"}, {"name": "\x00"}]
    changes = [Change(f"{n:04}", 1, name="two\nlines" if n % 3 == 0 else "one") for n in range(600)]
    for number, fields in enumerate(invalid_fields):
        for index in range(number, 600, 60):
            changes[index] = changes[index]._replace(**fields)
    apply_changes(sink, *changes)
    invalid_offsets = [
        index + 1
        for index, change in enumerate(changes)
        if change.status == "unknown" or change.name in ("BAD", "\x00")
    ]
    dead_letters = stores.open_dead_letters(admin, DOMAIN)
    assert [dead_letter.offset for dead_letter in dead_letters] == invalid_offsets
    assert len(rows(admin)) == 601 - len(invalid_offsets)


def test_a_dropped_constraint_rejects_nothing(admin: Connection[Any], sink: PostgresSink) -> None:
    """Although an open connection still knows the constraint; blocked records follow a retry."""
    admin.execute("ALTER TABLE local_tax.person ADD CONSTRAINT no_bad CHECK (name <> 'BAD')")
    changes = [Change("a", 1, name="BAD"), Change("a", 2)]
    apply_changes(sink, *changes)
    assert rows(admin) == {}
    admin.execute("ALTER TABLE local_tax.person DROP CONSTRAINT no_bad")
    apply_changes(sink, Change("b", 1, name="BAD"))
    run_command(sink, "RETRY", changes)
    assert rows(admin) == {("a", MUNICIPALITY): ("NAME", 2), ("b", MUNICIPALITY): ("BAD", 1)}
    assert stores.dlq_rows(admin, DOMAIN) == []


def test_a_row_that_only_the_table_rejects_is_found(admin: Connection[Any], sink: PostgresSink) -> None:
    """A trigger rejects it while rows are merged, not while they are copied."""
    admin.execute(
        "CREATE FUNCTION local_tax.no_bad() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.name = 'BAD' THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$"
    )
    admin.execute(
        "CREATE TRIGGER no_bad BEFORE INSERT ON local_tax.person FOR EACH ROW EXECUTE FUNCTION local_tax.no_bad()"
    )
    changes = [Change(f"{n:04}", 1) for n in range(200)]
    changes[77] = changes[77]._replace(name="BAD")
    account = Change("0077", 1, entity="ACCOUNT")
    apply_changes(sink, *changes, account, Change("0078", 2))
    apply_changes(sink, Change("0077", 2))
    assert len(rows(admin)) == 199
    expected = [(77, "DEAD_LETTER"), (200, "BLOCKED"), (202, "BLOCKED")]
    assert stores.dlq_rows(admin, DOMAIN) == expected
    assert rows(admin)["0078", MUNICIPALITY] == ("NAME", 2)
