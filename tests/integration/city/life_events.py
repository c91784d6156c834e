"""Persons for the checks of life events: what registers and agencies submit about each, and what the stores have."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa

from infra.keys import load_keys
from processors.codes import MESH, CodeKind, domain_codes, person_codes
from tests.integration.cluster import IntegrationCluster

#: Two municipalities: A, from where persons move, and B.
A, B = "131041", "012033"
Row = dict[str, Any]

_KANA = ("アオキ　ハルカ", "イノウエ　ケンジ", "ウエダ　サクラ", "エンドウ　タクミ", "オカダ　ユイ")


@dataclass
class Person:
    """A person: what is submitted about them, stage by stage, by file; later stages are ingested after earlier ones."""

    code: str
    born: date
    kana: str
    stages: dict[int, list[tuple[str, Row]]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    def notice(
        self, stage: int, municipality: str, reason: str, on: date, facts: Row | None = None, **others: Any
    ) -> str:
        """Add a notice of a register, and return its number."""
        number = f"{municipality[:5]}-{self.code[-6:]}-{next(self.numbers)}"
        row: Row = {"notice": number, "municipality": municipality, "reason": reason}
        row |= {"effective_on": on.isoformat(), "recorded_on": on.isoformat()}
        row["persons"] = [{"code": self.code, **(facts or {})}]
        self.stages.setdefault(stage, []).append((f"notices_{municipality}", row | others))
        return number

    def registered(self, stage: int, municipality: str, reason: str, on: date, **others: Any) -> None:
        """Add a notice by which the person becomes a resident."""
        facts = {
            "local_number": f"{municipality[:5]}{self.code[-8:]}",
            "name": self.kana.translate({0x3000: "　"}),
            "kana": self.kana,
            "birth_date": self.born.isoformat(),
            "sex": "女",
            "relationship": "世帯主",
            "household": f"{municipality[:5]}{self.code[-7:]}",
            "address": f"{municipality}の町{self.code[-4:]}番地",
            "protected": False,
        }
        self.notice(stage, municipality, reason, on, facts, **others)

    def event(self, stage: int, file: str, name: str, on: date, **fields: Any) -> str:
        """Add an event of an agency, and return its number; `file` is its system, and its municipality if it has one.

        It is about this person, unless `members` names several.
        """
        number = f"e{self.code[-6:]}-{next(self.numbers)}"
        row: Row = {"event": name, "number": number, "effective_on": on.isoformat()}
        if "members" not in fields:
            row["code"] = self.code
        if "_" in file:
            row["municipality"] = file.split("_")[1]
        row |= {"recorded_on": on.isoformat(), **fields}
        self.stages.setdefault(stage, []).append((f"events_{file}", row))
        return number

    def with_certificates(self, stage: int, on: date) -> None:
        """Add a card and both certificates on it, issued on a day."""
        serial, until = f"C{self.code[-8:]}", date(on.year + 5, 1, 1).isoformat()
        self.event(stage, "card", "CardIssued", on, serial=serial, kind="standard", expires_on=until)
        for usage in ("signature", "authentication"):
            fields = {"usage": usage, "valid_until": until, "on_card": serial}
            number = f"{usage[:1].upper()}{self.code[-8:]}"
            self.event(stage, "jpki", "CertificateIssued", on, certificate_serial=number, **fields)


class Population:
    """The persons of a run, with codes, names and days drawn by a seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self.persons: list[Person] = []

    def person(self, born: date | None = None) -> Person:
        """Return a new person, born on that day or on one drawn at random."""
        code = f"43{self.chance.randrange(10**8):08d}{len(self.persons) % 10}"
        born = born or date(1955, 1, 1) + timedelta(days=self.chance.randrange(15_000))
        self.persons.append(Person(code, born, self.chance.choice(_KANA)))
        return self.persons[-1]

    def day(self, first: date, last: date) -> date:
        """Return a day drawn at random from the first to the last."""
        return first + timedelta(days=self.chance.randrange((last - first).days + 1))


def ingest(cluster: IntegrationCluster, persons: Sequence[Person], folder: Path) -> None:
    """Ingest all stages one after the other, each once the one before is applied in every store.

    The files of a stage are for different topics, so their order doesn't matter: two commands run at a time.
    """
    for stage in sorted({stage for person in persons for stage in person.stages}):
        by_file: dict[str, list[Row]] = {}
        for person in persons:
            for file, row in person.stages.get(stage, ()):
                by_file.setdefault(file, []).append(row)
        files = [_write(folder / f"{stage}" / f"{file}.jsonl", rows) for file, rows in by_file.items()]
        with ThreadPoolExecutor(2) as pool:
            commands = [(*_arguments(file), file) for file in sorted(files)]
            for process in pool.map(lambda command: cluster.mesh("ingest", *command), commands):
                assert process.returncode == 0, process.stderr
        cluster.wait_idle()


def _arguments(file: Path) -> list[str]:
    """Return the words that ingest a file `notices_<municipality>` or `events_<system>[_<municipality>]`."""
    kind, system, *municipality = file.stem.split("_")
    if kind == "notices":
        return ["notices"]
    return ["events", "--system", system, *(f"--municipality={code}" for code in municipality)]


def _write(path: Path, rows: Iterable[Row]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


class Stores:
    """The stores after a run: rows of a person, found by the domain's code."""

    def __init__(self, cluster: IntegrationCluster) -> None:
        self._cluster, self._keys = cluster, load_keys(cluster.installation.key_file)
        self._tables: dict[tuple[str, str], list[Row]] = {}

    def rows(self, person: Person, domain: str, table: str) -> list[Row]:
        """Return the person's rows of a table."""
        mesh = person_codes(self._keys.cipher(MESH), pa.array([person.code]))
        (code,) = domain_codes(self._keys.cipher(domain), mesh, CodeKind.PERSON).to_pylist()
        name = (domain.replace("-", "_"), table)
        if name not in self._tables:
            self._tables[name] = self._cluster.table(*name)
        return [row for row in self._tables[name] if row["code"] == code]

    def mesh_code(self, person: Person) -> str:
        """Return the person's mesh code, by which conflicts name the person."""
        (code,) = person_codes(self._keys.cipher(MESH), pa.array([person.code])).to_pylist()
        return str(code)

    def open_conflicts(self, kind: str) -> dict[str, list[Row]]:
        """Return the open conflicts of a kind, by the mesh code of the person."""
        conflicts: dict[str, list[Row]] = {}
        for row in self._cluster.conflicts():
            if row["kind"] == kind:
                conflicts.setdefault(row["person"], []).append(row)
        return conflicts

    def row(self, person: Person, domain: str, table: str, **where: str) -> Row:
        """Return the one row of a person with these values."""
        rows = [row for row in self.rows(person, domain, table) if where.items() <= row.items()]
        assert len(rows) == 1, (domain, table, where, rows)
        return rows[0]
