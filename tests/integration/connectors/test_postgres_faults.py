"""The sink when the database fails it: nothing doubled, nothing lost, nothing told that is nobody's business."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import structlog
from psycopg import Connection

from connectors.errors import StoreSchemaError, StoreUnavailableError
from connectors.postgres import PostgresSettings, PostgresSink, drop_store, sink_role
from infra.environment import Environment
from schemas.systems import Domain
from tests.contract.sink_suite import (
    CODEC,
    CODING,
    DOMAIN,
    MUNICIPALITY,
    Change,
    acted,
    applied,
    batch,
    encoded,
)
from tests.integration.connectors import stores

SECRET = "ヒミツ　ハナコ"


@pytest.fixture
def paused() -> list[float]:
    """The pauses that a sink made."""
    return []


@pytest.fixture
def sink(
    environment: Environment, make_store: Callable[[str], Domain], paused: list[float]
) -> Iterator[PostgresSink]:
    """A sink of an empty store of local tax, which pauses without waiting."""
    make_store(DOMAIN.id)
    settings = PostgresSettings(attempts_max=4, lock_timeout_s=0.2)
    sink = PostgresSink(DOMAIN, environment.dsn(sink_role(DOMAIN)), CODING, settings, paused.append)
    yield sink
    sink.close()


def end_connections(admin: Connection[Any]) -> None:
    ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s"
    assert admin.execute(ended, [sink_role(DOMAIN)]).rowcount >= 1


def rows(admin: Connection[Any]) -> dict[tuple[str, str], tuple[str | None, int]]:
    return stores.table(admin, DOMAIN, "person", "name")


def test_a_connection_that_broke_is_made_again(
    admin: Connection[Any], sink: PostgresSink, paused: list[float]
) -> None:
    """Between two batches, too: the next one is tried again, and applied once."""
    sink.open([0])
    end_connections(admin)
    sink.put(batch([Change("a", 1)]))
    assert dict(sink.flush()) == {0: 1}
    assert len(paused) == 1
    assert len(stores.receipts(admin, DOMAIN)) == 1


def test_a_commit_whose_answer_was_lost_is_not_done_again(
    admin: Connection[Any], sink: PostgresSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The offset stored says that it took place: one row, one receipt, one dead letter."""
    sink.open([0])
    commit, calls = PostgresSink._commit, []

    def commit_and_lose_the_answer(self: PostgresSink, connection: Connection[Any], *given: Any) -> None:
        commit(self, connection, *given)
        calls.append(1)
        if len(calls) == 1:
            connection.execute("COMMIT")
            connection.close()
            raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(PostgresSink, "_commit", commit_and_lose_the_answer)
    sink.put(batch([Change("a", 1), b"broken"]))
    assert dict(sink.flush()) == {0: 2}
    assert len(calls) == 2
    assert (len(stores.receipts(admin, DOMAIN)), len(stores.letters(admin, DOMAIN))) == (1, 1)
    assert dict(applied(sink, Change("b", 1))) == {0: 3}


def test_a_sink_killed_after_its_commit_has_done_it(admin: Connection[Any], sink: PostgresSink) -> None:
    """Whoever comes next begins behind the batch, and reads none of it again."""
    applied(sink, Change("a", 1))
    end_connections(admin)
    assert dict(sink.open([0])) == {0: 1}
    assert len(stores.receipts(admin, DOMAIN)) == 1


def test_a_store_that_stays_locked_ends_the_attempts(
    environment: Environment, admin: Connection[Any], sink: PostgresSink, paused: list[float]
) -> None:
    """Every retry has an end; nothing was committed, and later it goes on from there."""
    sink.open([0])
    sink.put(batch([Change("a", 1)]))
    with psycopg.connect(environment.dsn("postgres")) as other:
        other.execute("LOCK TABLE local_tax.person IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailableError, match="55P03"):
            sink.flush()
    assert paused == sorted(paused)
    assert len(paused) == 3
    assert rows(admin) == {}
    assert dict(applied(sink, Change("a", 1))) == {0: 1}


def test_a_worker_that_hangs_in_a_transaction_is_ended(
    environment: Environment, admin: Connection[Any], sink: PostgresSink
) -> None:
    """It holds the fence; the server ends it, and the partition's next owner goes on."""
    hung = PostgresSink(
        DOMAIN, environment.dsn(sink_role(DOMAIN)), CODING, PostgresSettings(idle_transaction_timeout_s=0.3)
    )
    hung.open([0])
    connection = hung._store._connected()
    connection.execute("BEGIN")
    assert hung._offsets.advance(connection, {0: 0}, {0: 5})
    assert dict(applied(sink, Change("a", 1))) == {0: 1}
    with pytest.raises(psycopg.Error):
        connection.execute("COMMIT")
    hung.close()


def test_a_worker_that_hangs_amidst_a_copy_is_ended(
    environment: Environment, admin: Connection[Any], make_store: Callable[[str], Domain]
) -> None:
    """None of the server's limits ends a session that waits for what is copied: the partition's next owner does."""
    make_store(DOMAIN.id)
    limits = PostgresSettings(lock_timeout_s=0.3, transaction_timeout_s=0.5, idle_transaction_timeout_s=0.2)
    hung, following = (
        PostgresSink(DOMAIN, environment.dsn(sink_role(DOMAIN)), CODING, limits) for _ in range(2)
    )
    hung.open([0])
    connection = hung._store._connected()
    connection.execute("BEGIN")
    assert hung._offsets.advance(connection, {0: 0}, {0: 5})
    copied = "COPY pg_temp.stage_person (op) FROM STDIN"
    with pytest.raises(psycopg.OperationalError), connection.cursor() as cursor, cursor.copy(copied):
        assert dict(applied(following, Change("a", 1))) == {0: 1}
    assert set(rows(admin)) == {("a", MUNICIPALITY)}
    hung.close()
    following.close()


def test_a_letter_that_is_read_again_stays_one(admin: Connection[Any], sink: PostgresSink) -> None:
    """An operator's mistake sets the offset back: what waited behind the letter still does, and an act finds it."""
    changes = [Change("a", 1, status="unknown"), Change("a", 2)]
    applied(sink, *changes)
    admin.execute("UPDATE local_tax.sink_offset SET next_offset = 0")
    applied(sink, *changes)
    applied(sink, Change("a", 3), Change("b", 1))
    assert set(rows(admin)) == {("b", MUNICIPALITY)}
    assert len(sink.open_dead_letters) == 1
    acted(sink, "REPAIR", [*changes, Change("a", 3)], Change("a", 1, name="mended"))
    assert rows(admin)["a", MUNICIPALITY] == ("NAME", 3)
    assert not sink.open_dead_letters


def test_an_older_row_of_a_key_that_is_nobodys_is_not_told_without_its_row(
    admin: Connection[Any], sink: PostgresSink
) -> None:
    """Its newer one is refused; so it is the newest that can be."""
    code = "x" * 600
    applied(sink, Change(code, 1), Change(code, 2, status="unknown"))
    assert rows(admin) == {(code, MUNICIPALITY): ("NAME", 1)}
    assert [(each.code, each.revision) for each in stores.receipts(admin, DOMAIN)] == [(code, 1)]


def test_a_store_that_is_not_there_stops_the_sink(
    admin: Connection[Any], sink: PostgresSink, paused: list[float]
) -> None:
    """Trying again changes nothing: it says what is missing, and stops at once."""
    drop_store(admin, DOMAIN)
    with pytest.raises(StoreSchemaError, match="42"):
        sink.open([0])
    assert paused == []


def test_a_database_that_is_away(environment: Environment, paused: list[float]) -> None:
    """A named error after the last attempt, without the password."""
    dsn = psycopg.conninfo.make_conninfo(environment.dsn("postgres"), port=1)
    sink = PostgresSink(DOMAIN, dsn, CODING, PostgresSettings(attempts_max=2), paused.append)
    with pytest.raises(StoreUnavailableError) as caught:
        sink.open([0])
    assert len(paused) == 1
    password = environment.secrets().password("postgres").get_secret_value()
    assert password not in "".join(traceback.format_exception(caught.value))


def test_one_bad_row_among_five_thousand(admin: Connection[Any], sink: PostgresSink) -> None:
    """All others are applied, in the same batch."""
    changes = [Change(f"{n:05}", 1) for n in range(5_000)]
    changes[2_345] = changes[2_345]._replace(status="unknown")
    applied(sink, *changes)
    assert len(rows(admin)) == 4_999
    [letter] = stores.letters(admin, DOMAIN)
    assert (letter.offset, letter.value) == (2_345, encoded([changes[2_345]])[0])
    assert len(stores.receipts(admin, DOMAIN)) == 4_999


def test_where_the_newest_is_refused_the_one_before_it_counts(
    admin: Connection[Any], sink: PostgresSink
) -> None:
    """As if they had come one after the other; those after it wait, refused or not."""
    applied(
        sink,
        Change("a", 1, name="1"),
        Change("a", 2, name="2"),
        Change("a", 3, status="unknown"),
        Change("a", 4, name="\x00"),
        Change("b", 1),
    )
    assert rows(admin) == {("a", MUNICIPALITY): ("2", 2), ("b", MUNICIPALITY): ("NAME", 1)}
    assert [letter.offset for letter in stores.letters(admin, DOMAIN)] == [2]
    assert stores.parked(admin, DOMAIN) == [(2, "DEAD_LETTER"), (3, "BLOCKED")]


def test_reasons_and_logs_hold_no_row(admin: Connection[Any], sink: PostgresSink) -> None:
    """PostgreSQL's own words show the row that it refuses; ours name the constraint."""
    with structlog.testing.capture_logs() as logs:
        applied(sink, Change("code-of-somebody", 1, name=SECRET, status="unknown"), Change("b", 1))
    query = "SELECT value FROM local_tax.dead_letter_outbox"
    values = [value for (value,) in admin.execute(query)]
    [letter] = CODEC.decode("dead-letter", values).table.to_pylist()
    assert letter["reason"] == "23514 person_status_check"
    assert SECRET not in repr(logs)
    assert "code-of-somebody" not in repr(logs)
    assert [line["reason"] for line in logs if line["event"] == "record.dead-lettered"] == [letter["reason"]]


def test_errors_hold_no_row(admin: Connection[Any], sink: PostgresSink) -> None:
    """Nor does an error that stops the sink, with all that led to it."""
    sink.open([0])
    admin.execute("ALTER TABLE local_tax.person ALTER COLUMN name TYPE integer USING 0")
    with pytest.raises(StoreSchemaError) as caught:
        applied(sink, Change("code-of-somebody", 1, name=SECRET))
    told = "".join(traceback.format_exception(caught.value))
    assert SECRET not in told
    assert "code-of-somebody" not in told.replace('Change("code-of-somebody"', "")


def test_many_bad_rows_are_told_apart(admin: Connection[Any], sink: PostgresSink) -> None:
    """Also among texts with line breaks, where the database's line says little; and by a constraint made meanwhile."""
    applied(sink, Change("first", 1))
    admin.execute("ALTER TABLE local_tax.person ADD CONSTRAINT no_bad CHECK (name <> 'BAD')")
    bad: dict[str, dict[str, Any]] = {
        "status": {"status": "unknown"},
        "late": {"name": "BAD"},
        "bytes": {"name": "\x00"},
    }
    changes = [Change(f"{n:04}", 1, name="two\nlines" if n % 3 == 0 else "one") for n in range(600)]
    for number, spoiled in enumerate(bad.values()):
        for at in range(number, 600, 60):
            changes[at] = changes[at]._replace(**spoiled)
    applied(sink, *changes)
    wrong = [
        at + 1 for at, each in enumerate(changes) if each.status == "unknown" or each.name in ("BAD", "\x00")
    ]
    assert [letter.offset for letter in stores.letters(admin, DOMAIN)] == wrong
    assert len(rows(admin)) == 601 - len(wrong)


def test_a_constraint_that_was_taken_back_refuses_nothing(admin: Connection[Any], sink: PostgresSink) -> None:
    """Neither what a connection from before still knows of it, nor for records that waited for that."""
    admin.execute("ALTER TABLE local_tax.person ADD CONSTRAINT no_bad CHECK (name <> 'BAD')")
    changes = [Change("a", 1, name="BAD"), Change("a", 2)]
    applied(sink, *changes)
    assert rows(admin) == {}
    admin.execute("ALTER TABLE local_tax.person DROP CONSTRAINT no_bad")
    applied(sink, Change("b", 1, name="BAD"))
    acted(sink, "RETRY", changes)
    assert rows(admin) == {("a", MUNICIPALITY): ("NAME", 2), ("b", MUNICIPALITY): ("BAD", 1)}
    assert stores.parked(admin, DOMAIN) == []


def test_what_only_the_table_refuses_is_found(admin: Connection[Any], sink: PostgresSink) -> None:
    """A trigger says no while the rows are merged, not while they are copied."""
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
    applied(sink, *changes, account, Change("0078", 2))
    applied(sink, Change("0077", 2))
    assert len(rows(admin)) == 199
    assert stores.parked(admin, DOMAIN) == [(77, "DEAD_LETTER"), (200, "BLOCKED"), (202, "BLOCKED")]
    assert rows(admin)["0078", MUNICIPALITY] == ("NAME", 2)
