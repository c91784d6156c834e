"""After a run with faulty files, poison and database errors, no log, metric or error message names a person."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.demo.run import city_files
from infra.run.slots import RUN_STEPS, SINGLE, WORKERS_MAX
from infra.store_contents import read_stores
from infra.verification.reference import Expected, compare, expected
from infra.verification.reference.reference_model import RowDetail
from schemas.systems import DOMAINS
from tests.integration.separation.city import POISONED_TOPICS, TIMEOUT_S, IsolatedCity, json_rows
from tests.integration.separation.observed import messages, observe
from tests.integration.separation.residents import Residents
from tests.integration.separation.searching import SearchedText

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class PersonSearch:
    """A search for all that identifies a person of the city."""

    residents: Residents
    #: Every mesh code and domain code.
    codes: set[str]
    #: Names in Hepburn romanization, as the stores have them.
    names_in_letters: set[str]

    def count(self, content: bytes) -> dict[str, int]:
        """Return how many values of each kind occur, without those that don't; the text itself must not be printed."""
        text = SearchedText(content)
        counts = {
            "names": text.words(self.residents.names),
            "kana": text.words(self.residents.kana),
            "addresses": text.words(self.residents.addresses),
            "resident codes": text.numbers(self.residents.codes),
            "account numbers": text.numbers(self.residents.accounts),
            "names in letters": text.letters(self.names_in_letters),
            "codes": text.codes(self.codes),
        }
        return {kind: count for kind, count in counts.items() if count}


@pytest.fixture(scope="module")
def search(city: IsolatedCity) -> PersonSearch:
    """Read the codes and names of the city from its topics and stores."""
    observed = observe(city)
    mesh_codes = {person for domain in DOMAINS for person in observed.by_person[domain]}
    domain_codes = {code for domain in DOMAINS for code in observed.codes(domain)}
    query = "SELECT roman FROM local_tax.person WHERE roman LIKE '% %'"
    with psycopg.connect(city.environment.dsn("auditor")) as connection:
        names_in_letters = {roman for (roman,) in connection.execute(query)}
    return PersonSearch(city.residents, mesh_codes | domain_codes, names_in_letters)


def test_the_search_finds_persons(search: PersonSearch) -> None:
    """It finds them plain, escaped, as bytes, in CP932, in hexadecimal and in base64."""
    residents = search.residents
    name, code = residents.steady()[0], min(residents.codes)
    texts: list[str] = [
        name,
        json.dumps({"name": name}),
        repr(name.encode()),
        repr(name.encode("cp932")),
        name.encode().hex(),
        base64.b64encode(name.encode()).decode(),
    ]
    for text in texts:
        assert search.count(f"x {text} y".encode()).get("kana"), text
    assert search.count(f'"{code}"'.encode()) == {"resident codes": 1}
    assert search.count(min(search.codes, key=len).encode()) == {"codes": 1}
    assert search.count(min(search.names_in_letters).encode()) == {"names in letters": 1}
    assert min(map(len, (residents.names, residents.kana, residents.addresses, residents.accounts))) > 50


def logs(city: IsolatedCity) -> list[Path]:
    """Return the log files of workers, supervisor and servers."""
    return sorted(path for path in city.installation.logs_folder.rglob("*") if path.is_file())


def test_no_log_names_a_person(city: IsolatedCity, search: PersonSearch) -> None:
    """Check the logs of all workers and servers."""
    files = logs(city)
    names = {path.name for path in files}
    assert {"postgres.log", *(f"{step}.0.log" for step in RUN_STEPS)} <= names
    assert any("kafka" in name for name in names)
    persons = {path.name: search.count(path.read_bytes()) for path in files}
    assert {name: kinds for name, kinds in persons.items() if kinds} == {}


def test_dead_letters_are_counted_and_logged(city: IsolatedCity) -> None:
    """An empty log would pass the search too: each step counts its dead letters, and a sink logs the reason."""
    text = b"".join(metrics(city)).decode()
    for step in ("intake", "household", "fan-out", "conversion"):
        assert f'mesh_dead_letters_total{{step="{step}"}}' in text, step
    assert b"record.dead-lettered" in (city.installation.logs_folder / "sink.0.log").read_bytes()


def metrics(city: IsolatedCity) -> Iterator[bytes]:
    """Yield the metrics of each worker; the tracker and the clock have none."""
    for index, step in enumerate(RUN_STEPS):
        url = f"http://127.0.0.1:{city.metrics_port + index * WORKERS_MAX}/metrics"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
                yield response.read()
        except urllib.error.URLError:
            assert step in SINGLE, step


def test_no_metric_names_a_person(city: IsolatedCity, search: PersonSearch) -> None:
    """Labels are only steps and topics."""
    texts = list(metrics(city))
    assert b"mesh_dead_letters" in b"".join(texts)
    assert [search.count(text) for text in texts] == [{}] * len(texts)


def test_no_command_names_a_person(city: IsolatedCity, search: PersonSearch) -> None:
    """Check `ingest` of faulty files, and the lists of rejections and dead letters."""
    city.mesh_each("rejected", [("list",), ("list", "--json"), ("show", "no-such")])
    city.mesh_each("dlq", [("list",), ("list", "--json"), ("show", "no/such")])
    city.mesh_each("status", [(), ("--json",)])
    assert b"nothing was published" in b"".join(city.output)
    assert search.count(b"\n".join(city.output)) == {}


def without(expected_rows: Expected, excluded: set[tuple[str, str]]) -> Expected:
    """Return what is expected without the rows and accounts of the persons with these domains and readings."""
    excluded_persons = {
        (row["domain"], detail.person)
        for row, detail in zip(expected_rows.rows, expected_rows.details, strict=True)
        if (row["domain"], row["kana"]) in excluded
    }
    assert excluded_persons
    rows, details = others(expected_rows.rows, expected_rows.details, excluded_persons)
    accounts, account_details = others(
        expected_rows.accounts, expected_rows.account_details, excluded_persons
    )
    return replace(
        expected_rows, rows=rows, details=details, accounts=accounts, account_details=account_details
    )


def others(
    rows: list[dict[str, Any]], details: list[RowDetail], excluded_persons: set[tuple[str, int]]
) -> tuple[list[dict[str, Any]], list[RowDetail]]:
    """Return the rows of all other domains and persons, with their details."""
    pairs = [
        (row, detail)
        for row, detail in zip(rows, details, strict=True)
        if (row["domain"], detail.person) not in excluded_persons
    ]
    return [row for row, _ in pairs], [detail for _, detail in pairs]


def test_all_other_rows_are_in_the_stores(city: IsolatedCity) -> None:
    """The stores equal the reference model, except for the rows that they rejected."""
    rejected = {
        ("local-tax", city.rejected_by_check),
        ("pension", city.rejected_by_trigger),
        ("nta", city.rejected_by_trigger),
    }
    model = without(expected(city_files(city.files)), rejected)
    assert compare(model, read_stores(city.environment.dsn("auditor"))) == []


def test_dead_letters_have_the_content_and_the_reason(city: IsolatedCity) -> None:
    """Every poisoned record and every rejected row is stored byte for byte, with the rule that it broke."""
    dead_letters = json_rows(city, "dlq", "list")
    assert {row["topic"] for row in dead_letters} >= set(POISONED_TOPICS)
    reasons = {row["reason"] for row in dead_letters}
    assert {"schema-id-unknown", "23514 rejected", "P0001"} <= reasons
    # This command prints content on purpose.
    shown = city.mesh_each("dlq", [("show", row["id"]) for row in dead_letters], is_kept=False)
    records = {
        (topic, message.partition(), message.offset()): message.value()
        for topic in {row["topic"] for row in dead_letters}
        for message in messages(city, topic)
    }
    for dead_letter, process in zip(dead_letters, shown, strict=True):
        value = base64.b64decode(json.loads(process.stdout)["bytes"])
        position = tuple(dead_letter[name] for name in ("topic", "partition", "offset"))
        assert records[position] == value
