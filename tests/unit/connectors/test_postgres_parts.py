"""The parts of the PostgreSQL sink that need no server."""

from __future__ import annotations

from datetime import date

import psycopg
import pyarrow as pa
import pytest
from psycopg import errors

from connectors.errors import StoreSchemaError, StoreUnavailableError
from connectors.postgres.encoding import Rows, faults, rows_of
from connectors.postgres.outbox import receipts_of, with_ids
from connectors.postgres.relay import Relay
from connectors.postgres.settings import PostgresSettings
from connectors.postgres.sql_errors import SqlErrorAction, connector_error, safe_description, sql_error_action
from connectors.postgres.table_definitions import tables_of
from connectors.postgres.worker import RelayAfterBatch
from schemas.systems import DOMAINS
from schemas.tables import table_from_rows

DAY = date(2026, 3, 2)
MESSAGE = {"case_code": "case", "reason": "転居", "text": "text"}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.CheckViolation(), SqlErrorAction.REJECTED),
        (errors.CharacterNotInRepertoire(), SqlErrorAction.REJECTED),
        (errors.ProgramLimitExceeded(), SqlErrorAction.REJECTED),
        (psycopg.DataError(), SqlErrorAction.REJECTED),
        (psycopg.OperationalError(), SqlErrorAction.RETRY),
        (psycopg.InterfaceError(), SqlErrorAction.RETRY),
        (errors.SerializationFailure(), SqlErrorAction.RETRY),
        (errors.AdminShutdown(), SqlErrorAction.RETRY),
        (errors.DiskFull(), SqlErrorAction.RETRY),
        (errors.IdleInTransactionSessionTimeout(), SqlErrorAction.RETRY),
        (errors.UndefinedTable(), SqlErrorAction.STOP),
        (errors.InsufficientPrivilege(), SqlErrorAction.STOP),
        (psycopg.NotSupportedError(), SqlErrorAction.STOP),
    ],
)
def test_each_error_has_a_verdict(error: psycopg.Error, expected: SqlErrorAction) -> None:
    """By its SQLSTATE; without one, by what the driver says."""
    assert sql_error_action(error) is expected


def test_an_error_is_told_without_its_text() -> None:
    """Texts show rows."""
    error = errors.UndefinedTable("relation of somebody")
    assert safe_description(error) == "42P01"
    assert isinstance(connector_error(error), StoreSchemaError)
    assert isinstance(connector_error(errors.LockNotAvailable("somebody")), StoreUnavailableError)
    assert "somebody" not in str(connector_error(error))


def test_the_newest_revision_of_each_key_decides() -> None:
    """Whatever their order in the batch; the others are kept apart."""
    table = pa.table(
        {
            "op": ["UPSERT"] * 5,
            "municipality": ["131041", "131041", "141097", "131041", "131041"],
            "code": ["a", "a", "a", "b", "a"],
            "revision": [2, 3, 1, 1, 1],
            "record": [0, 1, 2, 3, 4],
        }
    )
    newest, rest = Rows(tables_of(DOMAINS["local-tax"])[0], table).newest()
    assert sorted(newest.records) == [1, 2, 3]
    assert rest.records == [4, 0]
    assert [len(half) for half in newest.halves()] == [1, 2]


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=lambda domain: domain.id)
def test_tables_have_what_the_domain_is_told(domain: object) -> None:
    """Every column of a table is in the domain's events, or in the struct of its entity."""
    found = DOMAINS[domain.id]  # type: ignore[attr-defined]
    for table in tables_of(found):
        event = table_from_rows(found.event, []).schema
        told = {*event.names, *(field.name for field in event.field(table.struct).type)}
        assert set(table.columns) <= told


def test_messages_are_keyed_by_their_case() -> None:
    """Of the message, or, for one that is deleted, of the record."""
    domain = DOMAINS["portal"]
    common = {"code": "a", "entity": "MESSAGE", "effective_on": DAY, "revision": 1}
    events = [
        {**common, "op": "UPSERT", "message": MESSAGE},
        {**common, "op": "DELETE", "case_code": "other"},
        {**common, "op": "DELETE"},
        {**common, "op": "UPSERT"},
    ]
    table = table_from_rows(domain.event, events)
    assert faults(domain, table).to_pylist() == [None, None, "key-missing", "content-missing"]
    [rows] = rows_of(domain, table.slice(0, 2), pa.array([0, 1]))
    assert rows.data.column("case_code").to_pylist() == ["case", "other"]
    assert rows.data.column("reason").to_pylist() == ["転居", None]
    assert rows.has_deletes


def test_a_receipts_id_comes_of_its_cause() -> None:
    """The same for the same change, another for any other."""
    domain = DOMAINS["child"]
    events = [
        {"code": code, "entity": entity, "op": "DELETE", "revision": revision, "effective_on": DAY}
        | {"municipality": municipality}
        for code in "ab"
        for entity in ("PERSON", "ACCOUNT")
        for municipality in ("131041", "141097")
        for revision in (1, 2)
    ]
    table = table_from_rows(domain.event, events)
    ids = with_ids(receipts_of(domain, table)).column("id").to_pylist()
    assert len(set(ids)) == len(events)
    assert ids == with_ids(receipts_of(domain, table)).column("id").to_pylist()


def test_settings_have_limits() -> None:
    """A misspelt one fails, and one beyond its limit."""
    with pytest.raises(ValueError, match="extra"):
        PostgresSettings.model_validate({"statement_timeout": 5})
    with pytest.raises(ValueError, match="less than or equal"):
        PostgresSettings(attempts_max=1_000)


class CountingRelay(Relay):
    """Counts its rounds; nothing is ever left."""

    def __init__(self) -> None:
        self.rounds = 0

    def run(self) -> int:
        """A round."""
        self.rounds += 1
        return 0


def test_receipts_of_several_batches_are_relayed_together() -> None:
    """One round for four batches in a row; what is left goes with the first turn that has nothing new."""
    relay = CountingRelay()
    relayed = RelayAfterBatch(relay, failures_max=3)
    rounds = []
    for applied in (5_000, 5_000, 5_000, 5_000, 5_000, 0, 0, 0, 7, 0):
        relayed(applied)
        rounds.append(relay.rounds)
    assert rounds == [0, 0, 0, 1, 1, 2, 2, 2, 2, 3]


def test_an_outbox_is_looked_at_while_nothing_comes() -> None:
    """A worker that died may have left something: at the start, and every ten turns."""
    relay = CountingRelay()
    relayed = RelayAfterBatch(relay, failures_max=3)
    relayed(0)
    assert relay.rounds == 1
    for _ in range(10):
        relayed(0)
    assert relay.rounds == 2
