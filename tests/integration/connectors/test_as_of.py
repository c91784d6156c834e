"""`mesh as-of` on a real server: events through fan-out and conversion into the real sink, asked for by two days."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from connectors.postgres import PostgresSink, sink_role
from connectors.sink import batch_of
from infra import cli as mesh
from infra.as_of.dated_rows import rows_as_of
from infra.environment import Environment
from schemas.systems import DOMAINS, Domain
from schemas.tables import table_from_rows
from schemas.topics import domain_topic
from streams.clients import LocalMessage
from tests.contract.sink_suite import CODEC, CODING
from tests.unit.processors.conversion.test_conversion import PERSON, convert
from tests.unit.processors.intake_output import Row, day_begun, event, notice
from tests.unit.processors.submissions import records_of
from tests.unit.processors.two_steps import TwoSteps

CARD, HERE = DOMAINS["card"], "131041"


def card(name: str, on: str, number: str, received: str, **others: Any) -> Row:
    """Return an event of a card, which takes effect and is received on these days of 2026."""
    fields = {} if name == "Cancelled" else {"serial": "S1"}
    fields |= {"kind": "standard", "expires_on": "2026-06-30"} if name == "CardIssued" else {}
    received_on = f"2026-{received}"
    return event("card", name, PERSON, f"2026-{on}", number, received_on=received_on, **fields, **others)


#: The card is lost on 10 April, which is received on the 20th and taken back on 5 May; it expires on 1 July.
EVENTS = (
    card("CardIssued", "04-01", "1", "04-02"),
    card("CardLost", "04-10", "2", "04-20"),
    card("Cancelled", "04-10", "3", "05-05", cancels="2"),
)


def apply_changes(sink: PostgresSink, domain: Domain, changes: list[Row]) -> None:
    """Convert changes for a domain, and apply them as one batch of its sink."""
    records = records_of(convert(domain.id, *changes), domain_topic(domain.id))
    start = sink.open([0])[0]
    values = CODEC.encode(domain.event, table_from_rows(domain.event, records)).to_pylist()
    messages = [
        LocalMessage((domain_topic(domain.id), 0), start + index, key_bytes=b"key", value_bytes=value)
        for index, value in enumerate(values)
    ]
    sink.put(batch_of(CODEC, domain.event, messages, {0: start + len(messages)}))
    sink.flush()


@pytest.fixture
def store(environment: Environment, make_store: Callable[[str], Domain]) -> str:
    """Return the auditor's DSN of a store with the rows of `EVENTS`, received in another order than published."""
    make_store(CARD.id)
    sink = PostgresSink(CARD, environment.dsn(sink_role(CARD)), CODING)
    steps = TwoSteps(serialized=True)
    for row in (EVENTS[0], EVENTS[1], day_begun("2026-04-30"), EVENTS[2], day_begun("2026-07-02")):
        apply_changes(sink, CARD, steps.change([row]).get("change.card", []))
    sink.close()
    return environment.dsn("auditor")


def tax(name: str, number: str, received_on: str, levy: str, income: str) -> Row:
    """Return an event of the assessment of 2024, which takes effect on 1 June 2024."""
    fields = {"year": "2024", "levy": levy, "income": income, "amount": "0", "collected": "ordinary"}
    return event(
        "local-tax", name, PERSON, "2024-06-01", number, municipality=HERE, received_on=received_on, **fields
    )


def levies(dsn: str, domain: Domain) -> list[tuple[str, int]]:
    """Return class and revision of each assessment in a store."""
    query = psycopg.sql.SQL("SELECT levy, revision FROM {}").format(
        psycopg.sql.Identifier(domain.schema_name, "assessment")
    )
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize(
    "domain", [DOMAINS["local-tax"], DOMAINS["intermediate-server"]], ids=lambda each: each.id
)
def test_check_25_income_corrected_two_years_back(
    environment: Environment, make_store: Callable[[str], Domain], domain: Domain
) -> None:
    """As known before the correction it is the old one, since then the new one, also in the copy."""
    make_store(domain.id)
    sink = PostgresSink(domain, environment.dsn(sink_role(domain)), CODING)
    steps = TwoSteps(serialized=True)
    facts = {"name": "山田　花子", "kana": "ヤマダ　ハナコ", "birth_date": "1950-05-05", "sex": "女"}
    facts |= {"relationship": "世帯主", "household": "1", "address": "一丁目"}
    registered = notice(HERE, "13104-1", "初期登録", "2023-04-01", {PERSON: facts})
    assessed = tax("Assessed", "1", "2026-09-02", "levied", "3000000")
    corrected = tax("AssessmentCorrected", "2", "2026-09-20", "exempt", "400000")
    steps.submit([registered])
    dsn, effective, revisions = environment.dsn("auditor"), date(2024, 7, 1), list[int]()
    for row in (assessed, corrected):
        apply_changes(sink, domain, steps.change([row])[f"change.{domain.id}"])
        ((_, revision),) = levies(dsn, domain)
        revisions.append(revision)
    sink.close()
    assert revisions[0] < revisions[1]
    assert levies(dsn, domain) == [("exempt", revisions[1])]

    def known(day: int) -> list[tuple[str, int]]:
        rows = rows_as_of(dsn, domain, "assessment", effective, date(2026, 9, day))
        return [(row["levy"], row["income"]) for row in rows]

    assert [known(day) for day in (1, 2, 19)] == [[], [("levied", 3_000_000)], [("levied", 3_000_000)]]
    assert known(20) == known(30) == [("exempt", 400_000)]


@pytest.mark.parametrize(
    ("effective", "known", "expected"),
    [
        ("03-31", "07-02", None),
        ("04-15", "04-01", None),
        ("04-15", "04-02", ("active", "04-01")),
        ("04-15", "04-20", ("lost", "04-10")),
        ("04-15", "05-04", ("lost", "04-10")),
        ("04-15", "05-05", ("active", "04-01")),
        ("04-09", "04-20", ("active", "04-01")),
        ("07-01", "04-20", ("expired", "07-01")),
        ("07-01", "05-05", ("expired", "07-01")),
    ],
)
def test_a_table_as_it_was_known(
    store: str, effective: str, known: str, expected: tuple[str, str] | None
) -> None:
    """What is received later wasn't known before, and what was taken back had been known."""
    days = date.fromisoformat(f"2026-{effective}"), date.fromisoformat(f"2026-{known}")
    rows = [(row["state"], f"{row['effective_on']:%m-%d}") for row in rows_as_of(store, CARD, "card", *days)]
    assert rows == ([] if expected is None else [expected])


def test_what_is_known_now_of_today_is_the_table(store: str) -> None:
    """Column by column, without the revision."""
    with psycopg.connect(store, row_factory=psycopg.rows.dict_row) as connection:
        now = connection.execute("SELECT * FROM card.card").fetchall()
    days = date(2026, 7, 2), date(2026, 7, 2)
    assert list(rows_as_of(store, CARD, "card", *days)) == [
        {name: value for name, value in row.items() if name != "revision"} for row in now
    ]


def test_the_command_prints_the_rows(
    store: str, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One object per line with --json, otherwise a table; that it is personal data is said beside them."""
    assert store
    monkeypatch.setattr(Environment, "load", lambda: environment)
    words = ["as-of", "--domain", "card", "--effective", "2026-04-15", "--known", "2026-04-20"]
    result = CliRunner().invoke(mesh.app, [*words, "--json"])
    (row,) = map(json.loads, result.stdout.splitlines())
    assert (row["table"], row["serial"], row["state"], row["effective_on"]) == (
        "card",
        "S1",
        "lost",
        "2026-04-10",
    )
    assert "personal data" in result.stderr
    shown = CliRunner().invoke(mesh.app, words, env={"COLUMNS": "300"}).stdout
    assert "effective_on" in shown
    assert "lost" in shown
