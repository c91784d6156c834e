"""Histories of persons' rows on a real server: the command reads whatever rows of histories a sink writes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from random import Random
from typing import Any

import psycopg
import pytest

from connectors.postgres import PostgresSink, sink_role
from connectors.sink import batch_of
from infra.as_of.dated_rows import check_known, rows_as_of
from infra.environment import Environment
from infra.errors import OperatorError
from schemas.systems import DOMAINS, Domain
from schemas.tables import table_from_rows
from schemas.topics import domain_topic
from streams.clients import LocalMessage
from tests.contract.sink_suite import CODEC, CODING

DOMAIN = DOMAINS["local-tax"]
FIRST = date(2026, 1, 1)
#: By municipality, code, day of effect, and day since which it is known: the status and the name.
History = dict[tuple[str, str, date, date], tuple[str, str]]


def random_records(rng: Random) -> tuple[list[dict[str, Any]], History]:
    """Return records of rows and of rows of histories, and the histories that they make."""
    records: list[dict[str, Any]] = []
    history: History = {}
    revisions: dict[str, int] = {}
    for number in range(400):
        code, municipality = f"c{rng.randint(1, 12)}", rng.choice(["131041", "011002"])
        effective_on, known_from = (FIRST + timedelta(days=rng.randint(0, days)) for days in (6, 8))
        by_itself = rng.random() < 0.4
        op = "DELETE" if by_itself and rng.random() < 0.2 else "UPSERT"
        status = rng.choice(["active", "closed", *(["retracted"] if by_itself else [])])
        is_known = by_itself or rng.random() < 0.7
        revisions[code] = revisions.get(code, 0) + 1
        records.append(
            {
                "code": code,
                "entity": "PERSON_HISTORY" if by_itself else "PERSON",
                "op": op,
                "revision": revisions[code],
                "municipality": municipality,
                "effective_on": effective_on,
                "known_from": known_from if is_known else None,
                "person": {"status": status, "name": f"n{number}"} if op == "UPSERT" else None,
            }
        )
        if is_known:
            history.pop((municipality, code, effective_on, known_from), None)
            if op == "UPSERT":
                history[municipality, code, effective_on, known_from] = status, f"n{number}"
    return records, history


def held(history: History, effective: date, known: date) -> dict[tuple[str, str], tuple[str, str, date]]:
    """Return what held on a day as known on a day."""
    latest: dict[tuple[str, str, date], tuple[date, tuple[str, str]]] = {}
    for (*row, effective_on, known_from), version in history.items():
        of_day = (row[0], row[1], effective_on)
        if effective_on <= effective and known_from <= known:
            latest[of_day] = max(latest.get(of_day, (date.min, ("", ""))), (known_from, version))
    return {
        (municipality, code): (*version, effective_on)
        for (municipality, code, effective_on), (_, version) in sorted(latest.items())
        if version[0] != "retracted"
    }


@pytest.mark.parametrize("seed", range(2))
def test_what_held_on_a_day_as_known_on_a_day(
    environment: Environment, make_store: Callable[[str], Domain], seed: int
) -> None:
    """For each two days, in batches of any size; a day before everything is refused."""
    make_store(DOMAIN.id)
    rng = Random(seed)  # noqa: S311 (nothing secret)
    records, history = random_records(rng)
    sink = PostgresSink(DOMAIN, environment.dsn(sink_role(DOMAIN)), CODING)
    start = sink.open([0])[0]
    values = CODEC.encode(DOMAIN.event, table_from_rows(DOMAIN.event, records)).to_pylist()
    while values:
        size = rng.randint(1, 40)
        messages = [
            LocalMessage((domain_topic(DOMAIN.id), 0), start + n, key_bytes=b"key", value_bytes=value)
            for n, value in enumerate(values[:size])
        ]
        start, values = start + len(messages), values[size:]
        sink.put(batch_of(CODEC, DOMAIN.event, messages, {0: start}))
        sink.flush()
    assert sink.open_dead_letters == frozenset()
    sink.close()
    dsn = environment.dsn("auditor")
    with psycopg.connect(dsn) as connection:
        stored = connection.execute(
            "SELECT municipality, code, effective_on, known_from, status, name FROM local_tax.person_history"
        )
        assert {(row[0], row[1], row[2], row[3]): (row[4], row[5]) for row in stored} == history
    for effective in (FIRST + timedelta(days=number) for number in range(-1, 8)):
        for known in (FIRST + timedelta(days=number) for number in range(-1, 10)):
            found = {
                (row["municipality"], row["code"]): (row["status"], row["name"], row["effective_on"])
                for row in rows_as_of(dsn, DOMAIN, "person", effective, known)
            }
            assert found == held(history, effective, known), (effective, known)
    with pytest.raises(OperatorError, match="the first day of which local-tax knows anything"):
        check_known(dsn, DOMAIN, ["person"], FIRST - timedelta(days=1))
