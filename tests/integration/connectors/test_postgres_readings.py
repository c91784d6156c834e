"""Declared readings on a real server: their tables, rows, rights and withdrawals, and a store that grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors

from connectors.postgres import PostgresSink, drop_store, municipality_role, sink_role
from connectors.postgres.ddl import differing_tables
from connectors.postgres.relay import Relay
from connectors.sink import batch_of
from infra import store_contents
from infra.environment import Environment
from schemas.declare import text, yen
from schemas.systems import DOMAINS, Domain
from schemas.tables import table_from_rows
from schemas.topics import domain_topic, withdrawal_topic
from streams.clients import LocalMessage, ProducerRecords
from tests.contract.sink_suite import CODEC, CODING
from tests.integration.connectors import stores
from tests.integration.connectors.conftest import MUNICIPALITIES
from tests.unit.connectors.declared import DAY, DOMAIN, LEVY, Row, deleted, levy, sink_batch

CARD = DOMAINS["card"]
EXPIRY = date(2036, 3, 2)
HERE, THERE = MUNICIPALITIES


def card(code: str, revision: int, serial: str | None = "A-1", **overrides: Any) -> Row:
    """Return the record of a row of a card."""
    row = {"status": "active", "serial": serial, "kind": "standard", "state": "active", "expires_on": EXPIRY}
    head = {"entity": "card", "op": "UPSERT", "revision": revision, "effective_on": DAY}
    return {"code": code, **head, "card": row} | overrides


def returned(code: str, revision: int, serial: str = "A-1") -> Row:
    """Return the record of a deleted row of a card."""
    return card(code, revision, op="DELETE", card={"status": "unknown", "serial": serial})


def apply_cards(sink: PostgresSink, *rows: Row) -> None:
    """Apply records of `domain.card` as one batch."""
    start = sink.open([0])[0]
    values = CODEC.encode(CARD.event, table_from_rows(CARD.event, rows)).to_pylist()
    records = [
        LocalMessage((domain_topic(CARD.id), 0), start + index, key_bytes=b"key", value_bytes=value)
        for index, value in enumerate(values)
    ]
    sink.put(batch_of(CODEC, CARD.event, records, {0: start + len(records)}))
    sink.flush()


def apply_levies(sink: PostgresSink, *rows: Row) -> None:
    """Apply records of levies as one batch."""
    sink.put(sink_batch(rows, sink.open([0])[0]))
    sink.flush()


def run_as(environment: Environment, role: str, query: str) -> list[Any]:
    """Run a query as this role, and return its rows in order."""
    with psycopg.connect(environment.dsn(role), autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        return sorted(cursor.fetchall()) if cursor.description else []


@pytest.fixture
def cards(environment: Environment, make_store: Callable[[str], Domain]) -> Iterator[PostgresSink]:
    """Return a sink of the store of cards, which is empty."""
    make_store(CARD.id)
    sink = PostgresSink(CARD, environment.dsn(sink_role(CARD)), CODING)
    yield sink
    sink.close()


@pytest.fixture
def levies(
    environment: Environment, admin: Connection[Any], create: Callable[[Domain], None]
) -> Iterator[PostgresSink]:
    """Return a sink of a municipal store with levies, which is empty."""
    drop_store(admin, DOMAIN)
    create(DOMAIN)
    sink = PostgresSink(DOMAIN, environment.dsn(sink_role(DOMAIN)), CODING)
    yield sink
    sink.close()


CARDS = "SELECT code, serial, status, state, expires_on, effective_on, revision FROM card.card"
LEVIES = 'SELECT municipality, code, "user", day, "order", "select", place, revision FROM child.levy'


def test_a_row_of_a_reading_is_stored_and_has_a_receipt(
    cards: PostgresSink, environment: Environment
) -> None:
    """The domain's own login reads it, and so does the auditor; persons are in their own table."""
    person = card("a", 1, entity="PERSON", card=None, person={"status": "active", "name": "NAME"})
    lost = card("a", 3, card={"status": "active", "serial": "A-1", "state": "lost"})
    apply_cards(cards, person, card("a", 2), lost, card("a", 4, "A-2"))
    expected = [
        ("a", "A-1", "active", "lost", None, DAY, 3),
        ("a", "A-2", "active", "active", EXPIRY, DAY, 4),
    ]
    assert run_as(environment, "card", CARDS) == expected
    assert run_as(environment, "auditor", CARDS) == expected
    assert run_as(environment, "card", "SELECT name, revision FROM card.person") == [("NAME", 1)]
    sent: list[ProducerRecords] = []

    def send(records: Sequence[ProducerRecords]) -> None:
        sent.extend(records)

    Relay(CARD, cards.store, CODEC, send).run()
    receipts = CODEC.decode("receipt-domain", sent[0].values).table.to_pylist()
    assert [row["id"] for row in receipts] == ["a.PERSON..1", "a.card..2", "a.card..3", "a.card..4"]


def test_an_older_change_does_not_bring_a_deleted_row_back(
    cards: PostgresSink, environment: Environment
) -> None:
    """The other card of the person is another row."""
    apply_cards(cards, card("a", 1), card("a", 2, "A-2"))
    apply_cards(cards, returned("a", 5), returned("a", 6, "A-3"))
    apply_cards(cards, card("a", 4), card("a", 3, "A-2"), card("a", 5, "A-3"), card("b", 1))
    rows = [(code, serial, revision) for code, serial, *_, revision in run_as(environment, "card", CARDS)]
    assert rows == [("a", "A-2", 3), ("b", "A-1", 1)]


def test_a_record_that_no_table_takes_is_a_dead_letter(
    cards: PostgresSink, admin: Connection[Any], environment: Environment
) -> None:
    """An unknown entity, a row without key, an unknown status: each blocks its person only."""
    unknown = {"status": "unknown", "serial": "A-1"}
    apply_cards(
        cards,
        card("a", 1, entity="levy"),
        card("b", 1, entity="UNKNOWN"),
        card("c", 1, None),
        card("d", 1, card=None),
        card("e", 1, card=unknown),
        card("f", 1),
        card("a", 2),
    )
    reasons = admin.execute("SELECT reason FROM card.dlq_entry ORDER BY record_offset").fetchall()
    assert [reason for (reason,) in reasons] == [
        "entity-unknown", "entity-unknown", "key-missing", "content-missing", "23514 card_status_check", ""
    ]  # fmt: skip
    assert [row[0] for row in run_as(environment, "card", CARDS)] == ["f"]
    assert [letter.offset for letter in stores.open_dead_letters(admin, CARD)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("card", "INSERT INTO card.card (code) VALUES ('x')"),
        ("card", "DELETE FROM card.card"),
        ("child", "SELECT * FROM card.card"),
        ("sink_child", "SELECT * FROM card.card"),
        ("sink_card", "DROP TABLE card.card"),
        ("sink_card", "ALTER TABLE card.card ADD COLUMN more text"),
        ("auditor", "DELETE FROM card.card"),
        ("child_131041", "UPDATE child.levy SET place = NULL"),
    ],
)
def test_everything_else_is_denied(
    cards: PostgresSink, levies: PostgresSink, environment: Environment, role: str, statement: str
) -> None:
    """As on every other table of a store."""
    with pytest.raises(errors.InsufficientPrivilege):
        run_as(environment, role, statement)


def test_rows_are_told_apart_by_all_columns_of_the_key(
    levies: PostgresSink, environment: Environment, admin: Connection[Any]
) -> None:
    """Whatever characters they have, also among deleted rows; names that SQL reserves are names like others."""
    kept = [
        levy("a", 1, '["x'),
        levy("a", 2, '["x', day=EXPIRY),
        levy("a", 3, '["x', municipality=THERE, order=None, select='a\n"b,\\'),
        levy("b", 4, '["x'),
    ]
    gone = [levy("a", 5, 'x"]'), levy("a", 6, "y", day=EXPIRY)]
    apply_levies(levies, *kept, *gone)
    apply_levies(levies, deleted("a", 8, 'x"]'), deleted("a", 9, "y", day=EXPIRY))
    apply_levies(levies, levy("a", 7, 'x"]'), levy("a", 8, "y", day=EXPIRY), levy("a", 7, "y"))
    expected = [
        (HERE, "a", '["x', DAY, 1200, "摘要", "新宿区", 1),
        (HERE, "a", '["x', EXPIRY, 1200, "摘要", "新宿区", 2),
        (HERE, "a", "y", DAY, 1200, "摘要", "新宿区", 7),
        (HERE, "b", '["x', DAY, 1200, "摘要", "新宿区", 4),
        (THERE, "a", '["x', DAY, None, 'a\n"b,\\', "新宿区", 3),
    ]
    assert run_as(environment, "child", LEVIES) == expected
    remembered = admin.execute("SELECT entity, second_key FROM child.deleted_revision ORDER BY revision")
    assert remembered.fetchall() == [
        ("levy", f'["{HERE}", "x\\"]", "{DAY}"]'),
        ("levy", f'["{HERE}", "y", "{EXPIRY}"]'),
    ]


def test_a_municipalitys_login_reads_its_own_rows_of_a_reading(
    levies: PostgresSink, environment: Environment
) -> None:
    """The domain's own login reads all."""
    apply_levies(levies, levy("a", 1), levy("b", 2, municipality=THERE))
    for municipality, code in ((HERE, "a"), (THERE, "b")):
        role = municipality_role(DOMAIN, municipality)
        assert run_as(environment, role, "SELECT code FROM child.levy") == [(code,)]
    assert run_as(environment, "child", "SELECT code FROM child.levy") == [("a",), ("b",)]


def withdraw(sink: PostgresSink, code: str, revision: int) -> None:
    """Withdraw the places of a code up to a revision."""
    table = table_from_rows("withdrawal", [{"code": code, "revision": revision}])
    value = CODEC.encode("withdrawal", table).to_pylist()[0]
    record = LocalMessage((withdrawal_topic(DOMAIN.id), 0), 0, key_bytes=b"key", value_bytes=value)
    sink.withdraw(batch_of(CODEC, "withdrawal", [record], {0: 1}))


def places(environment: Environment) -> list[Any]:
    """Return code, key and place of each levy."""
    return run_as(environment, "child", 'SELECT code, "user", place FROM child.levy')


def test_a_withdrawal_takes_out_located_columns(levies: PostgresSink, environment: Environment) -> None:
    """Of all rows up to its revision, stored before or after it; no other column, and of no other person."""
    apply_levies(levies, levy("a", 1, "A"), levy("a", 5, "B"), levy("b", 1))
    withdraw(levies, "a", 4)
    assert places(environment) == [("a", "A", None), ("a", "B", "新宿区"), ("b", "A", "新宿区")]
    apply_levies(levies, levy("a", 3, "A"), levy("a", 4, "C"), levy("a", 6, "D"))
    assert places(environment) == [
        ("a", "A", None), ("a", "B", "新宿区"), ("a", "C", None), ("a", "D", "新宿区"), ("b", "A", "新宿区")
    ]  # fmt: skip
    orders = run_as(environment, "child", 'SELECT "order" FROM child.levy')
    assert orders == [(1200,)] * 5


def test_a_store_gets_the_table_of_a_new_reading(
    levies: PostgresSink, admin: Connection[Any], create: Callable[[Domain], None], environment: Environment
) -> None:
    """Creating the store again is enough: nothing differs before, and its rows stay."""
    without = replace(DOMAIN, reads=())
    drop_store(admin, without)
    create(without)
    assert differing_tables(admin, DOMAIN) == []
    create(DOMAIN)
    apply_levies(levies, levy("a", 1))
    create(DOMAIN)
    assert places(environment) == [("a", "A", "新宿区")]


def test_a_table_gets_the_new_columns_of_its_reading(
    levies: PostgresSink, admin: Connection[Any], create: Callable[[Domain], None], environment: Environment
) -> None:
    """They are null in the rows stored before; a sink that starts afterwards writes them."""
    apply_levies(levies, levy("a", 1))
    more = (yen("limit", "上限").optional(), text("table", "表", 9).optional())
    entity = replace(LEVY.entity, fields=(*LEVY.entity.fields, *more))
    grown = replace(DOMAIN, reads=(replace(LEVY, entity=entity, columns=(*LEVY.columns, "limit", "table")),))
    assert differing_tables(admin, grown) == []
    create(grown)
    assert run_as(environment, "child", 'SELECT code, "limit", "table" FROM child.levy') == [
        ("a", None, None)
    ]
    assert run_as(environment, "child_131041", 'SELECT "limit" FROM child.levy') == [(None,)]
    create(grown)
    assert differing_tables(admin, grown) == []


def altered(statement: str) -> Sequence[str]:
    """Return a statement that changes the table of levies, and what differs then."""
    return f"ALTER TABLE child.levy {statement}", "child.levy"


@pytest.mark.parametrize(
    ("statement", "differing"),
    [
        altered('ALTER COLUMN "order" TYPE text'),
        altered("DROP COLUMN status"),
        altered("DROP COLUMN revision"),
        altered("DROP CONSTRAINT levy_pkey"),
        altered('DROP CONSTRAINT levy_pkey, ADD PRIMARY KEY (municipality, code, "user")'),
        ("ALTER TABLE child.person DROP COLUMN name", "child.person"),
    ],
)
def test_any_other_difference_is_reported(
    levies: PostgresSink, admin: Connection[Any], statement: str, differing: str
) -> None:
    """A type, a key, a column that may not be null; and any column of a table of today's."""
    admin.execute(statement.encode())
    assert differing_tables(admin, DOMAIN) == [differing]


def test_the_digest_of_the_stores_has_the_rows_of_readings(
    environment: Environment, cards: PostgresSink, make_store: Callable[[str], Domain]
) -> None:
    """Without revisions, which a replay may change."""
    for domain in DOMAINS:
        make_store(domain)
    dsn = environment.dsn("auditor")
    empty = store_contents.digest(dsn)
    apply_cards(cards, card("a", 1))
    first = store_contents.digest(dsn)
    apply_cards(cards, card("a", 2))
    assert store_contents.digest(dsn) == first != empty
    apply_cards(cards, card("a", 3, card={"status": "active", "serial": "A-1", "state": "lost"}))
    assert store_contents.digest(dsn) not in (first, empty)
