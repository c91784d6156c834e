"""After a run with bad files, poison and errors of the database: nobody stands in a log, metric or error."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.demo.run import city_files
from infra.run.slots import RUN_STEPS, WORKERS_MAX
from infra.store_contents import holdings
from infra.verification.reference import Expected, compare, expected
from infra.verification.reference.reference_model import Detail
from schemas.systems import DOMAINS
from tests.integration.separation.city import POISONED, TIMEOUT_S, IsolatedCity, as_lines
from tests.integration.separation.observed import messages, observe
from tests.integration.separation.searching import Searched

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def own_codes(city: IsolatedCity) -> set[str]:
    """Every code by which the mesh or a domain knows somebody."""
    found = observe(city)
    of_mesh = {person for domain in DOMAINS for person in found.by_person[domain]}
    return of_mesh | {code for domain in DOMAINS for code in found.codes(domain)}


@pytest.fixture(scope="module")
def in_letters(city: IsolatedCity) -> set[str]:
    """Names as the stores spell them in Hepburn letters."""
    query = "SELECT roman FROM local_tax.person WHERE roman LIKE '% %'"
    with psycopg.connect(city.environment.dsn("auditor")) as connection:
        return {roman for (roman,) in connection.execute(query)}


def people_in(
    content: bytes, city: IsolatedCity, own_codes: set[str], in_letters: set[str]
) -> dict[str, int]:
    """How many of each kind are found; the text itself is not shown."""
    found, people = Searched(content), city.residents
    counts = {
        "names": found.words(people.names),
        "kana": found.words(people.kana),
        "addresses": found.words(people.addresses),
        "resident codes": found.numbers(people.codes),
        "account numbers": found.numbers(people.accounts),
        "names in letters": found.letters(in_letters),
        "codes": found.codes(own_codes),
    }
    return {kind: count for kind, count in counts.items() if count}


def test_the_search_finds_people(city: IsolatedCity, own_codes: set[str], in_letters: set[str]) -> None:
    """Plain, escaped, in bytes, in CP932, and in base64."""
    people = city.residents
    name, code = people.steady()[0], min(people.codes)
    shown: list[str] = [
        name,
        json.dumps({"name": name}),
        repr(name.encode()),
        repr(name.encode("cp932")),
        name.encode().hex(),
        base64.b64encode(name.encode()).decode(),
    ]
    for text in shown:
        assert people_in(f"x {text} y".encode(), city, own_codes, in_letters).get("kana"), text
    assert people_in(f'"{code}"'.encode(), city, own_codes, in_letters) == {"resident codes": 1}
    assert people_in(min(own_codes, key=len).encode(), city, own_codes, in_letters) == {"codes": 1}
    assert people_in(min(in_letters).encode(), city, own_codes, in_letters) == {"names in letters": 1}
    assert min(map(len, (people.names, people.kana, people.addresses, people.accounts))) > 50


def logs(city: IsolatedCity) -> list[Path]:
    """What workers, their supervisor and the servers wrote."""
    return sorted(path for path in city.installation.logs.rglob("*") if path.is_file())


def test_no_log_names_anybody(city: IsolatedCity, own_codes: set[str], in_letters: set[str]) -> None:
    """Workers and servers."""
    found = logs(city)
    names = {path.name for path in found}
    assert {"postgres.log", *(f"{step}.0.log" for step in RUN_STEPS)} <= names
    assert any("kafka" in name for name in names)
    people = {path.name: people_in(path.read_bytes(), city, own_codes, in_letters) for path in found}
    assert {name: kinds for name, kinds in people.items() if kinds} == {}


def test_what_failed_is_counted(city: IsolatedCity) -> None:
    """Silence would pass the search too: each step that set a record aside counts it, and a sink says why."""
    told = b"".join(metrics(city)).decode()
    for step in ("intake", "household", "fan-out", "conversion"):
        assert f'mesh_dead_letters_total{{step="{step}"}}' in told, step
    assert b"record.dead-lettered" in (city.installation.logs / "sink.0.log").read_bytes()


def metrics(city: IsolatedCity) -> Iterator[bytes]:
    """Of each worker; the tracker has none."""
    for place, step in enumerate(RUN_STEPS):
        url = f"http://127.0.0.1:{city.metrics_port + place * WORKERS_MAX}/metrics"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
                yield answer.read()
        except urllib.error.URLError:
            assert step == "tracker", step


def test_no_metric_names_anybody(city: IsolatedCity, own_codes: set[str], in_letters: set[str]) -> None:
    """Labels are steps and topics."""
    found = list(metrics(city))
    assert b"mesh_dead_letters" in b"".join(found)
    assert [people_in(content, city, own_codes, in_letters) for content in found] == [{}] * len(found)


def test_no_command_names_anybody(city: IsolatedCity, own_codes: set[str], in_letters: set[str]) -> None:
    """Neither files that can't be taken in, nor what lists refusals and dead letters."""
    for listing in (("rejected", "list"), ("dlq", "list"), ("status",)):
        city.mesh(*listing)
        city.mesh(*listing, "--json")
    city.mesh("rejected", "show", "no-such")
    city.mesh("dlq", "show", "no/such")
    assert b"nothing was published" in b"".join(city.told)
    assert people_in(b"\n".join(city.told), city, own_codes, in_letters) == {}


def without(found: Expected, left_out: set[tuple[str, str]]) -> Expected:
    """What is expected, less rows of these domains with these readings, and what comes behind them: their accounts."""
    gone = {
        (row["domain"], detail.person)
        for row, detail in zip(found.rows, found.details, strict=True)
        if (row["domain"], row["kana"]) in left_out
    }
    assert gone
    rows, details = kept(found.rows, found.details, gone)
    accounts, account_details = kept(found.accounts, found.account_details, gone)
    return replace(found, rows=rows, details=details, accounts=accounts, account_details=account_details)


def kept(
    rows: list[dict[str, Any]], details: list[Detail], gone: set[tuple[str, int]]
) -> tuple[list[dict[str, Any]], list[Detail]]:
    """Rows of all but these domains and persons."""
    pairs = [
        (row, detail)
        for row, detail in zip(rows, details, strict=True)
        if (row["domain"], detail.person) not in gone
    ]
    return [row for row, _ in pairs], [detail for _, detail in pairs]


def test_everybody_else_is_in_the_stores(city: IsolatedCity) -> None:
    """As the reference model has it; the two whose rows a store refused are missing there, and there alone."""
    refused = {
        ("local-tax", city.refused_by_check),
        ("pension", city.refused_by_trigger),
        ("nta", city.refused_by_trigger),
    }
    wanted = without(expected(city_files(city.files)), refused)
    assert compare(wanted, holdings(city.environment.dsn("auditor"))) == []


def test_dead_letters_hold_what_was_refused(city: IsolatedCity) -> None:
    """Every poisoned record and every refused row, byte by byte; and they say which rule it was."""
    letters = as_lines(city, "dlq", "list")
    assert {letter["topic"] for letter in letters} >= set(POISONED)
    reasons = {letter["reason"] for letter in letters}
    assert {"schema-id-unknown", "23514 refused", "P0001"} <= reasons
    for letter in letters:
        shown = city.mesh("dlq", "show", letter["id"])
        city.told = city.told[:-2]  # what was asked for is content, by its purpose
        value = base64.b64decode(json.loads(shown.stdout)["bytes"])
        stood = {
            (message.partition(), message.offset()): message.value()
            for message in messages(city, letter["topic"])
        }
        assert stood[letter["partition"], letter["offset"]] == value
