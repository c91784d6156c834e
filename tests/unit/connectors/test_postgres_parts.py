"""Parts of the PostgreSQL sink that need no server."""

from __future__ import annotations

from datetime import date

import psycopg
import pyarrow as pa
import pytest
from psycopg import errors

from connectors.errors import StoreSchemaError, StoreUnavailableError
from connectors.postgres.outbox import add_receipt_ids, receipts_of
from connectors.postgres.relay import Relay
from connectors.postgres.sql_errors import SqlErrorAction, connector_error, safe_description, sql_error_action
from connectors.postgres.store import PostgresSettings
from connectors.postgres.table_definitions import tables_of
from connectors.postgres.table_rows import ROW_INDEX, TableRows, faults_of, rows_of
from connectors.postgres.worker import RelayAfterBatch
from schemas.systems import DOMAINS, Domain
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
def test_each_error_has_an_action(error: psycopg.Error, expected: SqlErrorAction) -> None:
    """By its SQLSTATE; without one, by the driver's class of error."""
    assert sql_error_action(error) is expected


def test_an_error_is_described_without_its_text() -> None:
    """The text may show a row."""
    error = errors.UndefinedTable("relation of somebody")
    assert safe_description(error) == "42P01"
    assert isinstance(connector_error(error), StoreSchemaError)
    assert isinstance(connector_error(errors.LockNotAvailable("somebody")), StoreUnavailableError)
    assert "somebody" not in str(connector_error(error))


def test_the_newest_revision_of_each_key_is_split_off() -> None:
    """Whatever the order of the rows in the batch."""
    table = pa.table(
        {
            "op": ["UPSERT"] * 5,
            "municipality": ["131041", "131041", "141097", "131041", "131041"],
            "code": ["a", "a", "a", "b", "a"],
            "revision": [2, 3, 1, 1, 1],
            ROW_INDEX: [0, 1, 2, 3, 4],
        }
    )
    newest, older = TableRows(tables_of(DOMAINS["local-tax"])[0], table).split_newest()
    assert sorted(newest.row_indices) == [1, 2, 3]
    assert older.row_indices == [4, 0]
    assert [len(half) for half in newest.halves()] == [1, 2]


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=lambda domain: domain.id)
def test_tables_have_columns_of_the_domains_events(domain: Domain) -> None:
    """Every column of a table is a field of the domain's event, or of the struct of its entity."""
    for table in tables_of(domain):
        event = table_from_rows(domain.event, []).schema
        fields = {*event.names, *(field.name for field in event.field(table.struct).type)}
        assert set(table.columns) <= fields


def test_messages_are_keyed_by_their_case() -> None:
    """The case code is in the message; of a deletion, which has no message, in the record."""
    domain = DOMAINS["portal"]
    common = {"code": "a", "entity": "MESSAGE", "effective_on": DAY, "revision": 1}
    events = [
        {**common, "op": "UPSERT", "message": MESSAGE},
        {**common, "op": "DELETE", "case_code": "other"},
        {**common, "op": "DELETE"},
        {**common, "op": "UPSERT"},
    ]
    table = table_from_rows(domain.event, events)
    assert faults_of(domain, table).to_pylist() == [None, None, "key-missing", "content-missing"]
    [rows] = rows_of(domain, table.slice(0, 2), pa.array([0, 1]))
    assert rows.data.column("case_code").to_pylist() == ["case", "other"]
    assert rows.data.column("reason").to_pylist() == ["転居", None]
    assert rows.has_deletes


def test_the_id_of_a_receipt_is_derived_from_its_cause() -> None:
    """The same change has the same id, and any other change another one."""
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
    ids = add_receipt_ids(receipts_of(domain, table)).column("id").to_pylist()
    assert len(set(ids)) == len(events)
    assert ids == add_receipt_ids(receipts_of(domain, table)).column("id").to_pylist()


def test_settings_have_limits() -> None:
    """A misspelt setting is an error, and so is a value beyond its limit."""
    with pytest.raises(ValueError, match="extra"):
        PostgresSettings.model_validate({"statement_timeout": 5})
    with pytest.raises(ValueError, match="less than or equal"):
        PostgresSettings(attempts_max=1_000)


class CountingRelay(Relay):
    """A relay that counts its runs, with empty outboxes."""

    def __init__(self) -> None:
        self.runs = 0

    def run(self) -> int:
        """Count a run."""
        self.runs += 1
        return 0


def test_receipts_of_several_batches_are_relayed_together() -> None:
    """The relay runs once for four batches in a row; the first call without new records relays the rest."""
    relay = CountingRelay()
    after_batch = RelayAfterBatch(relay, failures_max=3)
    runs = []
    for applied in (5_000, 5_000, 5_000, 5_000, 5_000, 0, 0, 0, 7, 0):
        after_batch(applied)
        runs.append(relay.runs)
    assert runs == [0, 0, 0, 1, 1, 2, 2, 2, 2, 3]


def test_the_relay_runs_while_no_records_arrive() -> None:
    """A worker that died may have left rows: the relay runs at the start, and every ten idle calls."""
    relay = CountingRelay()
    after_batch = RelayAfterBatch(relay, failures_max=3)
    after_batch(0)
    assert relay.runs == 1
    for _ in range(10):
        after_batch(0)
    assert relay.runs == 2
