"""`mesh as-of` on real servers: a city handed over in parts over several days, by a test's clock.

Registers are handed over with different delays, so many notices are late, and some cancel what had been known. What the
command says of a day is what the tables had on it, and what the reference model says of any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from infra.as_of.dated_rows import rows_as_of, tables_with_history
from infra.coding import codec
from infra.keys import load_keys
from infra.run.background import start_workers
from infra.run.slots import RUN_STEPS
from infra.triage.records import read_rows
from infra.verification.reference import Actual, compare
from processors.codes import CodeKind, domain_codes
from schemas.systems import CLOCK, DOMAINS
from schemas.topics import AUDITOR, PROTECTION
from tests.handed_over import DAYS, EFFECTIVE_DAYS, HandedOver, hidden_model, hidden_rows
from tests.integration.city.days_of_receipt import hand_over, let_producers_set_times
from tests.integration.cluster import IntegrationCluster, selected

Row = dict[str, Any]
#: The rows of each table with a history, by domain and table.
Tables = Mapping[tuple[str, str], list[Row]]

pytestmark = pytest.mark.proof

WITH_HISTORY = [
    (domain.id, table)
    for domain in DOMAINS.values()
    if domain.has_history or any(reads.history for reads in domain.reads)
    for table in tables_with_history(domain.id, None)[1]
]


class City:
    """A city in a mesh after all its parts were handed over, and the tables as they were after each of them."""

    def __init__(self, cluster: IntegrationCluster, folder: Path) -> None:
        self.cluster, self.handed_over = cluster, HandedOver(folder, 100, seed=11)
        self.snapshots: dict[date, Tables] = {}
        for day in DAYS:
            hand_over(cluster, day, self.handed_over.files_on(day))
            self.snapshots[day] = self.tables()
        #: Codes of those who were ever protected, by domain.
        self.protected = {domain: self._protected(domain) for domain in DOMAINS}

    def tables(self) -> Tables:
        """Return what the tables with a history have now."""
        return {
            (domain, table): self.cluster.table(DOMAINS[domain].schema_name, table)
            for domain, table in WITH_HISTORY
        }

    def as_of(self, effective: date, known: date) -> Tables:
        """Return what the tables had on a day as known on a day, by their histories."""
        dsn = self.cluster.environment.dsn(AUDITOR)
        return {
            (domain, table): list(rows_as_of(dsn, DOMAINS[domain], table, effective, known))
            for domain, table in WITH_HISTORY
        }

    def _protected(self, domain: str) -> set[str]:
        environment, installation = self.cluster.environment, self.cluster.installation
        records = read_rows(environment, codec(environment, installation), "protection", [PROTECTION])
        persons = pa.array(sorted({record["person"] for record in records}), pa.string())
        cipher = load_keys(installation.key_file).cipher(domain)
        return set(domain_codes(cipher, persons, CodeKind.PERSON).to_pylist())


@pytest.fixture(scope="module")
def city(servers: IntegrationCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """Yield the city after its last part. No clock runs: the days are those of the test."""
    with selected(servers):
        servers.reset()
        let_producers_set_times(servers.environment)
        steps = tuple(step for step in RUN_STEPS if step != CLOCK)
        start_workers(servers.environment, servers.installation, steps=steps)
        yield City(servers, tmp_path_factory.mktemp("as_of_days"))
        assert servers.dead_letters() == []


def test_on_each_day_it_says_what_the_tables_had(city: City) -> None:
    """Column by column, but without the address of anybody who was protected, then or later."""
    for day, snapshot in city.snapshots.items():
        found = city.as_of(day, day)
        for (domain, table), rows in snapshot.items():
            hidden = city.protected[domain]
            shown = [_without(row, "revision", address_of=hidden) for row in rows]
            # A measure that is ahead of its day has begun: the table has its day, the history has it from then on.
            ahead = {row["code"] for row in shown if row["code"] in hidden and row["effective_on"] > day}
            of_others = [row for row in found[domain, table] if row["code"] not in ahead]
            assert _sorted(of_others) == _sorted(row for row in shown if row["code"] not in ahead), (
                day,
                table,
            )
    assert len({len(snapshot["local-tax", "person"]) for snapshot in city.snapshots.values()}) > 1


@pytest.mark.parametrize("known", [DAYS[1], DAYS[3], DAYS[-1]])
def test_of_every_other_day_it_says_what_the_reference_model_does(city: City, known: date) -> None:
    """For days before the one on which it was known: what follows from what had been received and had taken effect."""
    born = {
        str(row["birth_date"])
        for (domain, table), rows in city.snapshots[DAYS[-1]].items()
        if table == "person"
        for row in rows
        if row["code"] in city.protected[domain]
    }
    for effective in (day for day in EFFECTIVE_DAYS if day <= known):
        found = city.as_of(effective, known)
        persons = [
            {**row, "domain": domain}
            for (domain, table), of_table in found.items()
            if table == "person"
            for row in of_table
        ]
        readings = {
            f"{DOMAINS[domain].schema_name}.{table}": of_table
            for (domain, table), of_table in found.items()
            if table != "person"
        }
        model = hidden_model(city.handed_over.expected_as_of(effective, known), born)
        of_tables = {name: of_model for name, of_model in model.readings.items() if name in readings}
        actual = Actual(hidden_rows(persons, born), [], readings=readings)
        differences = compare(replace(model, readings=of_tables), actual)
        assert [each for each in differences if each.domain != "portal"] == [], (effective, known)


def test_the_command_prints_what_the_history_says(city: City) -> None:
    """One object a line; a day before anything was known is refused."""
    words = ("as-of", "--domain", "care", "--effective", DAYS[2], "--known", DAYS[3], "--json")
    process = city.cluster.mesh(*words)
    assert process.returncode == 0, process.stderr
    printed = [json.loads(line) for line in process.stdout.splitlines()]
    found = city.as_of(DAYS[2], DAYS[3])
    for table in ("person", "insurance", "certification"):
        of_table = [_without(row, "table") for row in printed if row["table"] == table]
        assert _sorted(of_table) == _sorted(found["care", table]), table
    early = city.cluster.mesh(
        "as-of", "--domain", "care", "--effective", "2020-01-01", "--known", "2020-01-01"
    )
    assert early.returncode == 2
    assert "the first day of which care knows anything" in early.stderr


def test_a_replay_derives_the_same_histories(city: City) -> None:
    """Whatever the order in which it reads the topics. It begins no day: those are the test's."""
    before = {day: city.as_of(day, day) for day in DAYS}
    histories = [city.cluster.table(DOMAINS[id_].schema_name, "person_history") for id_ in ("care", "card")]
    process = city.cluster.mesh("replay", "--yes")
    assert process.returncode == 0, process.stderr
    for id_, rows in zip(("care", "card"), histories, strict=True):
        after = city.cluster.table(DOMAINS[id_].schema_name, "person_history")
        assert _sorted(_without(row, "revision") for row in after) == _sorted(
            _without(row, "revision") for row in rows
        )
    for day in DAYS:
        found = city.as_of(day, day)
        assert {key: _sorted(rows) for key, rows in found.items()} == {
            key: _sorted(rows) for key, rows in before[day].items()
        }


def _without(row: Mapping[str, Any], column: str, address_of: set[str] | frozenset[str] = frozenset()) -> Row:
    shown = {name: value for name, value in row.items() if name != column}
    return {**shown, "address": None} if "address" in shown and shown["code"] in address_of else shown


def _sorted(rows: Any) -> list[str]:
    return sorted(
        str(sorted((name, None if value is None else str(value)) for name, value in row.items()))
        for row in rows
    )
