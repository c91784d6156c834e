"""A system that is added to a running mesh with persons in it, and readings that come, change and go.

It is one file of the mesh's code, or a package outside of it. Its own events go in; it receives what is known of the
persons whom it names; nothing changes in any other store.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg import sql

from schemas.systems import DOMAINS
from schemas.systems._discovery import GROUP
from schemas.topics import AUDITOR
from tests.attacks.installed_copy import InstalledCopy
from tests.integration.city.life_events import A, B, Person, Population, Row, ingest
from tests.integration.cluster import IntegrationCluster, selected, wait_until

pytestmark = [pytest.mark.proof, pytest.mark.timeout(420)]

SYSTEM = '''"""図書館: cards of a library, and the name and address of who has one."""

from schemas.declare import ACCOUNT, RESIDENT, Entity, HeldBy, Reads, closes, opens, text
from schemas.systems.model import Domain, Scope, System, rules_of, submission_schema

BASIS = "図書館法（昭和25年法律第118号）第3条"

LIBRARY_CARD = Entity(
    "library-card",
    "利用者カード",
    key=("card_number",),
    fields=(text("card_number", "番号", 12, "^[0-9]{1,12}$"), text("branch", "館", 20)),
    events=(opens("LibraryCardIssued", "交付", "branch"), closes("LibraryCardReturned", "返納")),
)
DOMAIN = Domain(
    id="library",
    scope=Scope.NATIONAL,
    columns=(),
    rules=rules_of((), {}, ""),
    legal_basis=BASIS,
    reads=(
        Reads("library_card", LIBRARY_CARD, ("branch",), purpose="貸出し", basis=BASIS),
        Reads("refund", ACCOUNT, ("bank", "number"), purpose="返金", basis=BASIS, of=HeldBy(LIBRARY_CARD)),
        Reads("reader", RESIDENT, ("name", "address"), purpose="督促", basis=BASIS, of=HeldBy(LIBRARY_CARD)),
        # more readings
    ),
)
SYSTEM = System(
    "library", "図書館", Scope.NATIONAL, submission_schema("library"), DOMAIN, owns=(LIBRARY_CARD,)
)
'''
#: Added to the file later: the state of the My Number card of those who have a library card.
READING = 'Reads("number_card", CARD, ("state",), purpose="本人確認", basis=BASIS, of=HeldBy(LIBRARY_CARD)),'
#: It becomes one about everybody who has a My Number card, with another column; then it ends, and then it goes.
CHANGED = 'Reads("number_card", CARD, ("state", "kind"), purpose="本人確認", basis=BASIS),'
ENDED = CHANGED.replace("basis=BASIS", "basis=BASIS, ended=True")


class Library:
    """The persons, the installation, and what its stores have."""

    def __init__(self, cluster: IntegrationCluster, copy: InstalledCopy, package: Path | None) -> None:
        self.cluster, self.copy, self._package, self._version = cluster, copy, package, 0
        population = Population(20)
        self.readers = [self._resident(population) for _ in range(3)]
        self.others = [self._resident(population) for _ in range(3)]
        module = package / "mesh_library" if package else copy.code / "schemas" / "systems"
        module.mkdir(parents=True, exist_ok=True)
        self.file = module / "library.py"

    @staticmethod
    def _resident(population: Population) -> Person:
        person = population.person(date(1990, 1, 1))
        person.registered(0, A, "初期登録", date(2026, 4, 1))
        person.with_certificates(1, date(2026, 5, 1))
        account = {"event": "REGISTERED", "account": f"a{person.code[-8:]}", "code": person.code}
        account |= {"effective_on": "2026-06-01", "holder_kana": person.kana, "bank": "0001"}
        account |= {"branch": "001", "type": "普通", "number": person.code[-7:]}
        person.stages[1].append(("events_portal", {"account": account}))
        return person

    def declare(self, text: str) -> None:
        """Write the system's file; as a package it is installed in a new version."""
        self.file.write_text(text, encoding="utf-8")
        if self._package is not None:
            self._version += 1
            entry_point = f"[{GROUP}]\nlibrary = mesh_library.library:SYSTEM\n"
            self.copy.install("mesh_library", self._package, entry_point, f"1.{self._version}.0")

    def edit(self, old: str, new: str) -> None:
        """Replace a text that occurs once in the system's file."""
        text = self.file.read_text(encoding="utf-8")
        assert text.count(old) == 1
        self.declare(text.replace(old, new))

    def mesh(self, *arguments: object) -> str:
        """Run a command of the copy's `mesh`, and return its output."""
        process = self.copy.mesh(*arguments)
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout

    def apply(self) -> None:
        """Generate the Avro files, apply the declarations, and wait until they are adopted."""
        self.mesh("systems", "generate")
        assert "are being adopted" in self.mesh("apply")
        wait_until("everything is adopted", self._is_adopted)
        self.mesh("wait", "--idle", "--timeout", "60")

    def refused(self, *arguments: object) -> str:
        """Run a command that must be refused, and return what it says."""
        process = self.copy.mesh(*arguments)
        assert process.returncode == 2, process.stdout + process.stderr
        return process.stderr

    def status(self) -> dict[str, Any]:
        """Return the document of `mesh status`."""
        document: dict[str, Any] = json.loads(self.copy.mesh("status", "--json").stdout)
        return document

    def kill(self, step: str) -> None:
        """Kill the worker of a step."""
        (pid,) = (worker["pid"] for worker in self.status()["workers"] if worker["step"] == step)
        os.kill(pid, signal.SIGKILL)

    def log_has(self, step: str, text: str) -> bool:
        """Return whether the log of a step's worker has a text."""
        return text in (self.cluster.installation.logs_folder / f"{step}.0.log").read_text(encoding="utf-8")

    def _is_adopted(self) -> bool:
        progress = self.status()["adoption"]
        return bool(progress and progress["complete"] == progress["partitions"])

    def table(self, name: str) -> list[Row]:
        """Return the rows of a table of the new store, without codes and revisions."""
        rows = self.cluster.table("library", name)
        return [{k: v for k, v in row.items() if k not in ("code", "revision")} for row in rows]

    def other_stores(self) -> dict[str, Any]:
        """Return the rows of every table of the stores of before, as text."""
        contents: dict[str, Any] = {}
        with psycopg.connect(self.cluster.environment.dsn(AUDITOR)) as connection:
            for domain in DOMAINS.values():
                tables = connection.execute(
                    "SELECT table_name FROM information_schema.tables WHERE table_schema = %s",
                    [domain.schema_name],
                ).fetchall()
                for (table,) in tables:
                    if table in ("sink_offset", "receipt_outbox"):
                        continue  # They have positions in the log, not what the domain knows.
                    name = sql.Identifier(domain.schema_name, table)
                    rows = connection.execute(sql.SQL("SELECT t::text FROM {} t").format(name)).fetchall()
                    contents[f"{domain.id}.{table}"] = sorted(rows)
        return contents


@pytest.fixture(scope="module", params=["file", "package"])
def library(
    request: pytest.FixtureRequest, servers: IntegrationCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Library]:
    """Yield a mesh that runs from a copy of the code and has six residents with cards."""
    with selected(servers):
        servers.reset()
        copy = InstalledCopy.create(tmp_path_factory.mktemp("installed"))
        package = tmp_path_factory.mktemp("mesh-library") if request.param == "package" else None
        library = Library(servers, copy, package)
        library.mesh("up")
        ingest(servers, [*library.readers, *library.others], tmp_path_factory.mktemp("residents"))
        yield library


class Stage(NamedTuple):
    """Rows of the new store after a stage, by table, and the other stores before and after it."""

    rows: dict[str, list[Row]]
    before: dict[str, Any]
    after: dict[str, Any]


def stage(library: Library, change: Callable[[], None], *tables: str) -> Stage:
    """Change something, and return what the stores have before and after it."""
    before = library.other_stores()
    change()
    assert library.cluster.dead_letters() == []
    assert library.cluster.rejections() == []
    return Stage({table: library.table(table) for table in tables}, before, library.other_stores())


@pytest.fixture(scope="module")
def added(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Add the system by its file, and submit a card of each reader."""

    def add() -> None:
        library.declare(SYSTEM)
        library.apply()
        for person in library.readers:
            person.stages, card = {}, person.code[-6:]
            person.event(
                9, "library", "LibraryCardIssued", date(2026, 11, 1), card_number=card, branch="北館"
            )
        ingest_by(library, library.readers, tmp_path_factory.mktemp("added"))

    return stage(library, add, "library_card", "reader", "refund")


@pytest.fixture(scope="module")
def extended(library: Library, added: Stage) -> Stage:
    """Add a reading to the file."""

    def extend() -> None:
        models = "from schemas.systems.model"
        library.edit("# more readings", READING)
        library.edit(models, f"from schemas.systems.card import CARD\n{models}")
        # Until it is applied, workers of before go on, and one that ends waits.
        assert "are not applied: run `mesh apply`" in library.refused("restart")
        assert not library.status()["is_applied"]
        library.kill("conversion")
        wait_until("it waits", lambda: library.log_has("conversion", "worker.not-applied"))
        library.apply()
        assert library.status()["is_applied"]

    return stage(library, extend, "number_card")


@pytest.fixture(scope="module")
def moved(library: Library, extended: Stage, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Let one reader move, and another return the card."""

    def move() -> None:
        mover, returner = library.readers[:2]
        mover.stages, returner.stages = {}, {}
        mover.notice(10, A, "転出", date(2026, 11, 10), moved_to=B)
        mover.registered(10, B, "転入", date(2026, 11, 10), moved_from=A)
        number = returner.code[-6:]
        returner.event(10, "library", "LibraryCardReturned", date(2026, 11, 10), card_number=number)
        ingest_by(library, [mover, returner], tmp_path_factory.mktemp("moved"))

    return stage(library, move, "reader")


@pytest.fixture(scope="module")
def changed(library: Library, moved: Stage) -> Stage:
    """Let the added reading have another column, and be about others."""

    def change() -> None:
        library.edit(READING, CHANGED)
        library.edit('text("branch", "館", 20)', 'text("branch", "館", 19)')
        assert "field branch has at most 19 characters, and had 20" in library.refused("apply")
        library.edit('text("branch", "館", 19)', 'text("branch", "館", 20)')
        library.apply()

    return stage(library, change, "number_card")


@pytest.fixture(scope="module")
def ended(library: Library, changed: Stage) -> Stage:
    """Take the added reading away."""

    def end() -> None:
        library.edit(CHANGED, "")
        assert "declare it with ended=True" in library.refused("apply")
        library.edit("        \n", f"        {ENDED}\n")
        library.apply()

    return stage(library, end, "number_card", "library_card")


@pytest.fixture(scope="module")
def gone(library: Library, ended: Stage) -> Stage:
    """Delete the declaration of the reading that has ended."""

    def leave_out() -> None:
        library.edit(ENDED, "")
        library.apply()

    return stage(library, leave_out, "number_card", "library_card")


def test_a_system_is_added(library: Library, added: Stage) -> None:
    """Its events become rows, it receives the facts that were known before, and no other store changes."""
    numbers = sorted(person.code[-6:] for person in library.readers)
    assert sorted(row["card_number"] for row in added.rows["library_card"]) == numbers
    readers = added.rows["reader"]
    assert sorted(row["name"] for row in readers) == sorted(person.kana for person in library.readers)
    assert {(row["status"], row["address"][:6]) for row in readers} == {("active", A)}
    refunds = sorted((row["status"], row["bank"], row["number"]) for row in added.rows["refund"])
    assert refunds == sorted(("active", "0001", person.code[-7:]) for person in library.readers)
    assert added.after == added.before


def test_a_reading_that_is_added_later_is_filled(library: Library, extended: Stage) -> None:
    """Of whom it names it has what is known; nobody else is in it, and no other store changes."""
    serials = sorted(f"C{person.code[-8:]}" for person in library.readers)
    rows = sorted((row["serial"], row["state"]) for row in extended.rows["number_card"])
    assert rows == [(serial, "active") for serial in serials]
    assert extended.after == extended.before


def test_what_happens_afterwards_reaches_it(moved: Stage) -> None:
    """A move changes the address of a reader, and a returned card closes the row and takes the address out."""
    readers = {row["address"] and row["address"][:6]: row["status"] for row in moved.rows["reader"]}
    assert readers == {A: "active", B: "active", None: "closed"}


def test_a_changed_reading_reaches_all_whom_it_concerns_now(library: Library, changed: Stage) -> None:
    """The rows have the new column, and there are rows of persons who weren't meant before."""
    everybody = [*library.readers, *library.others]
    rows = sorted((row["serial"], row["kind"], row["status"]) for row in changed.rows["number_card"])
    assert rows == sorted((f"C{person.code[-8:]}", "standard", "active") for person in everybody)
    assert changed.after == changed.before


def test_a_reading_that_has_ended_is_taken_away_from_all(ended: Stage, gone: Stage) -> None:
    """Its rows are gone, others stay; after that its declaration may go, and the mesh goes on."""
    for stage in (ended, gone):
        assert stage.rows["number_card"] == []
        assert len(stage.rows["library_card"]) == 3
        assert stage.after == stage.before


def ingest_by(library: Library, persons: list[Person], folder: Path) -> None:
    """Ingest by the copy's commands: those of this process don't know the new system."""
    for stage in sorted({stage for person in persons for stage in person.stages}):
        by_file: dict[str, list[Row]] = {}
        for person in persons:
            for file, row in person.stages[stage]:
                by_file.setdefault(file, []).append(row)
        for file, rows in sorted(by_file.items()):
            path = folder / f"{file}.jsonl"
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            path.write_text(text, encoding="utf-8")
            kind, system = file.split("_")[:2]
            library.mesh(
                *(["ingest", "notices"] if kind == "notices" else ["ingest", "events", "--system", system]),
                path,
            )
    library.mesh("wait", "--idle", "--timeout", "60")
