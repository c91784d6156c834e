"""Any sequence of changes, cut into any batches, by one sink or two, on the real database: as a plain model has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection, sql

from connectors.errors import SinkFencedError
from connectors.postgres import PostgresSink, sink_role, store_status
from connectors.sink import batch_of
from infra.environment import Environment
from schemas.systems import DOMAINS, Domain
from schemas.tables import table_from_rows
from tests.contract.sink_suite import (
    CODEC,
    CODING,
    DAY,
    DOMAIN,
    MUNICIPALITY,
    Change,
    Given,
    acted,
    applied,
    batch,
)
from tests.integration.connectors import stores

#: Changes of three codes in any order of revisions; a revision always says the same, as it comes of one record.
DELETED_EVERY = 3
REFUSED_EVERY = 7
PLACES = (MUNICIPALITY, "141097")
OWN_TABLES = (
    "deleted_revision",
    "receipt_outbox",
    "dead_letter_outbox",
    "sink_offset",
    "dlq_entry",
    "dlq_command_done",
)
PORTAL = DOMAINS["portal"]


def change(code: str, revision: int, entity: str = "PERSON", municipality: str = MUNICIPALITY) -> Change:
    """The only change of this row with this revision."""
    if revision % DELETED_EVERY == 0:
        return Change(code, revision, "DELETE", entity=entity, municipality=municipality)
    status = "unknown" if revision % REFUSED_EVERY == 0 else "active"
    name = f"{code}{entity}{municipality}{revision}"
    return Change(code, revision, name=name, status=status, entity=entity, municipality=municipality)


codes, revisions = st.sampled_from("abc"), st.integers(1, 15)
changes = st.builds(change, codes, revisions, st.sampled_from(["PERSON", "ACCOUNT"]), st.sampled_from(PLACES))
batches = st.lists(changes, min_size=1, max_size=8)
deeds = st.tuples(st.sampled_from(["RETRY", "REPAIR", "DISMISS"]), st.integers(0, 5))
Key = tuple[str, str]
Content = tuple[str | None, int]
Tables = dict[str, dict[Key, Content]]


Person = tuple[str, str]


@dataclass
class Model:
    """One after the other: a newer revision counts, also after a deletion; behind a refused change its person waits."""

    newest: dict[tuple[str, Person], Change] = field(default_factory=dict)
    waiting: dict[Person, list[Change]] = field(default_factory=dict)
    done: int = 0

    @classmethod
    def of(cls, log: list[Change]) -> Model:
        """After these."""
        made = cls()
        for each in log:
            made.take(each)
        return made

    def take(self, each: Change) -> None:
        """One more change."""
        person = each.code, str(each.municipality)
        if person in self.waiting or each.status == "unknown":
            self.waiting.setdefault(person, []).append(each)
            return
        self.done += 1
        key = each.entity, person
        if key not in self.newest or self.newest[key].revision < each.revision:
            self.newest[key] = each

    def act(self, person: Person, deed: str) -> None:
        """What becomes of a person's letter, and of what waits for it."""
        letter, *behind = self.waiting.pop(person)
        if deed == "RETRY":
            self.take(letter)
        elif deed == "REPAIR":
            self.take(mended(letter))
        for each in behind:
            self.take(each)

    @property
    def tables(self) -> Tables:
        """What the store must hold."""
        found: Tables = {"PERSON": {}, "ACCOUNT": {}}
        for (entity, person), kept in self.newest.items():
            if kept.op == "UPSERT":
                found[entity][person] = kept.name, kept.revision
        return found

    @property
    def aside(self) -> int:
        """How many are set aside."""
        return sum(map(len, self.waiting.values()))


def mended(letter: Change) -> Change:
    """What an officer makes of a refused change."""
    return letter._replace(status="active")


def held(admin: Connection[Any]) -> Tables:
    """The rows that are in the store."""
    return {
        "PERSON": stores.table(admin, DOMAIN, "person", "name"),
        "ACCOUNT": stores.table(admin, DOMAIN, "account", "holder_kana"),
    }


def emptied(admin: Connection[Any], domain: Domain, *tables: str) -> None:
    """Forgets what the example before left."""
    for name in (*tables, *OWN_TABLES):
        admin.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(domain.schema_name, name)))


def same(admin: Connection[Any], model: Model) -> None:
    """Rows are the model's; every record has its receipt, or is set aside."""
    assert held(admin) == model.tables
    assert len(stores.receipts(admin, DOMAIN)) == model.done
    assert len(stores.parked(admin, DOMAIN)) == model.aside


@pytest.fixture
def make_sink(
    environment: Environment, make_store: Callable[[str], Domain]
) -> Iterator[Callable[[], PostgresSink]]:
    """Sinks of one store, which is empty."""
    make_store(DOMAIN.id)
    made: list[PostgresSink] = []

    def make() -> PostgresSink:
        made.append(PostgresSink(DOMAIN, environment.dsn(sink_role(DOMAIN)), CODING))
        return made[-1]

    yield make
    for sink in made:
        sink.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happenings=st.lists(batches | deeds, min_size=1, max_size=7))
def test_a_store_ends_as_the_model(
    admin: Connection[Any],
    make_sink: Callable[[], PostgresSink],
    happenings: list[list[Change] | tuple[str, int]],
) -> None:
    """Whatever the order, the cut and the acts: nothing lost, doubled or overtaken."""
    emptied(admin, DOMAIN, "person", "account")
    sink, model, log = make_sink(), Model(), list[Change]()
    for each in happenings:
        if isinstance(each, list):
            applied(sink, *each)
            log += each
            for one in each:
                model.take(one)
        elif model.waiting:
            person = sorted(model.waiting)[each[1] % len(model.waiting)]
            act(sink, model.waiting[person][0], log, each[0])
            model.act(person, each[0])
    same(admin, model)
    assert dict(sink.open([0])) == {0: len(log)}
    sink.close()


def act(sink: PostgresSink, letter: Change, log: list[Change], deed: str) -> bool:
    """An act on the letter of this change; False where the sink doesn't know of it."""
    for name in sink.open_dead_letters:
        offsets = sink.affected_offsets(name).get(0, ())
        if offsets and log[offsets[0]] == letter:
            acted(sink, deed, log, mended(letter) if deed == "REPAIR" else None, name=name)
            return True
    return False


class Turn(NamedTuple):
    """One of two workers takes so many records, from where it thinks it is; it may have looked up the store before.

    With a deed it does that to a letter instead.
    """

    worker: int
    records: int
    looks: bool
    deed: str | None = None


turns = st.lists(
    st.builds(
        Turn,
        st.integers(0, 1),
        st.integers(1, 6),
        st.booleans(),
        st.sampled_from([None, None, "RETRY", "REPAIR", "DISMISS"]),
    ),
    max_size=12,
)


@dataclass
class Worker:
    """One of them: its sink, and the offset from which it thinks it goes on."""

    sink: PostgresSink
    known: int = 0

    def look(self) -> None:
        """As the store has it."""
        self.known = self.sink.open([0])[0]

    def take(self, log: list[Change], records: int) -> None:
        """Applies so many records."""
        if log[self.known : self.known + records]:
            self.sink.put(batch(log[self.known : self.known + records], self.known))
        self.known = self.sink.flush()[0]

    def turn(self, turn: Turn, log: list[Change], model: Model) -> None:
        """Takes records, or does an act on the first letter; fenced, it looks again."""
        if turn.looks:
            self.look()
        person = min(model.waiting, default=None)
        try:
            if turn.deed is None:
                self.take(log, turn.records)
            elif person is not None and act(self.sink, model.waiting[person][0], log, turn.deed):
                model.act(person, turn.deed)
        except SinkFencedError:
            self.look()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=st.lists(changes, min_size=1, max_size=25), course=turns)
def test_two_workers_of_one_partition_end_as_the_model(
    admin: Connection[Any], make_sink: Callable[[], PostgresSink], log: list[Change], course: list[Turn]
) -> None:
    """Each thinks the partition its own: whoever is behind is fenced, and every record counts once, in its order.

    After each turn the rows are those of the log as far as the stored offset, with what the acts came to.
    """
    emptied(admin, DOMAIN, "person", "account")
    workers, model, counted = [Worker(make_sink()), Worker(make_sink())], Model(), 0
    for worker in workers:
        worker.look()
    for turn in [*course, Turn(0, len(log), True)]:
        workers[turn.worker].turn(turn, log, model)
        stored = store_status(admin, DOMAIN).next_offsets[0]
        for each in log[counted:stored]:
            model.take(each)
        counted = stored
        same(admin, model)
    assert counted == len(log)
    for worker in workers:
        worker.sink.close()


class Note(NamedTuple):
    """A message of the portal to a person about a case."""

    code: str
    case: str
    revision: int

    @property
    def event(self) -> dict[str, Any]:
        """The event of the domain's topic; every third takes the message back."""
        event: dict[str, Any] = {
            "code": self.code,
            "entity": "MESSAGE",
            "op": "DELETE" if self.revision % DELETED_EVERY == 0 else "UPSERT",
            "revision": self.revision,
            "effective_on": DAY,
            "case_code": self.case,
        }
        if event["op"] == "UPSERT":
            event["message"] = {"case_code": self.case, "reason": "転居", "text": f"{self.revision}"}
        return event


notes = st.builds(Note, codes, st.sampled_from("xy"), revisions)


@pytest.fixture
def portal(environment: Environment, make_store: Callable[[str], Domain]) -> Iterator[PostgresSink]:
    make_store(PORTAL.id)
    sink = PostgresSink(PORTAL, environment.dsn(sink_role(PORTAL)), CODING)
    yield sink
    sink.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(st.lists(notes, min_size=1, max_size=8), min_size=1, max_size=5))
def test_messages_end_as_the_model(
    admin: Connection[Any], portal: PostgresSink, sequence: list[list[Note]]
) -> None:
    """A message is one of a person and a case; its revisions count as a row's do."""
    emptied(admin, PORTAL, "notice")
    newest: dict[Key, Note] = {}
    for each in sequence:
        start = portal.open([0])[0]
        rows = table_from_rows(PORTAL.event, [note.event for note in each])
        values = CODEC.encode(PORTAL.event, rows).to_pylist()
        records = [Given(start + index, value) for index, value in enumerate(values)]
        portal.put(batch_of(CODEC, PORTAL.event, records, {0: start + len(records)}))
        portal.flush()
        for note in each:
            before = newest.get((note.code, note.case))
            if before is None or before.revision < note.revision:
                newest[note.code, note.case] = note
    query = sql.SQL("SELECT code, case_code, text, revision FROM {}").format(
        sql.Identifier(PORTAL.schema_name, "notice")
    )
    found = {(code, case): (text, revision) for code, case, text, revision in admin.execute(query)}
    assert found == {
        key: (str(note.revision), note.revision)
        for key, note in newest.items()
        if note.revision % DELETED_EVERY
    }
