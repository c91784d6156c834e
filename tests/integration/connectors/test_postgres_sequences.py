"""Any sequence of changes, cut into any batches, by one sink or two, on the real database: as a plain model has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection, sql

from connectors.errors import FencedError
from connectors.postgres import PostgresSink, sink_role, store_status
from connectors.sink import batch_of
from infra.environment import Environment
from schemas.systems import DOMAINS, Domain
from schemas.tables import table_from_rows
from tests.contract.sink_suite import CODEC, DAY, DOMAIN, MUNICIPALITY, Change, Given, applied, batch
from tests.integration.connectors import stores

#: Changes of three codes in any order of revisions; a revision always says the same, as it comes of one record.
DELETED_EVERY = 3
REFUSED_EVERY = 7
PLACES = (MUNICIPALITY, "141097")
OWN_TABLES = ("deleted_revision", "receipt_outbox", "dead_letter_outbox", "sink_offset")
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
batches = st.lists(st.lists(changes, min_size=1, max_size=8), min_size=1, max_size=5)
Key = tuple[str, str]
Content = tuple[str | None, int]
Tables = dict[str, dict[Key, Content]]


def model(sequence: list[Change]) -> Tables:
    """One after the other: only a newer revision counts, also after a deletion; a refused one never."""
    newest: dict[tuple[str, str, str], Change] = {}
    for each in sequence:
        key = each.entity, each.code, str(each.municipality)
        older = key not in newest or newest[key].revision < each.revision
        if older and each.status != "unknown":
            newest[key] = each
    tables: Tables = {"PERSON": {}, "ACCOUNT": {}}
    for (entity, code, municipality), kept in newest.items():
        if kept.op == "UPSERT":
            tables[entity][code, municipality] = kept.name, kept.revision
    return tables


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


def told(admin: Connection[Any]) -> int:
    """Receipts and dead letters."""
    return len(stores.receipts(admin, DOMAIN)) + len(stores.letters(admin, DOMAIN))


@pytest.fixture
def make_sink(
    environment: Environment, make_store: Callable[[str], Domain]
) -> Iterator[Callable[[], PostgresSink]]:
    """Sinks of one store, which is empty."""
    make_store(DOMAIN.id)
    made: list[PostgresSink] = []

    def make() -> PostgresSink:
        made.append(PostgresSink(DOMAIN, environment.dsn(sink_role(DOMAIN)), CODEC))
        return made[-1]

    yield make
    for sink in made:
        sink.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=batches)
def test_a_store_ends_as_the_model(
    admin: Connection[Any], make_sink: Callable[[], PostgresSink], sequence: list[list[Change]]
) -> None:
    """Whatever the order and the cut, rows are the model's, and every record has its receipt or its dead letter."""
    emptied(admin, DOMAIN, "person", "account")
    sink = make_sink()
    for each in sequence:
        applied(sink, *each)
    together = [change for each in sequence for change in each]
    assert held(admin) == model(together)
    assert told(admin) == len(together)
    assert dict(sink.open([0])) == {0: len(together)}
    sink.close()


class Turn(NamedTuple):
    """One of two workers takes so many records, from where it thinks it is; it may have looked up the store before."""

    worker: int
    records: int
    looks: bool


turns = st.lists(st.builds(Turn, st.integers(0, 1), st.integers(1, 6), st.booleans()), max_size=12)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=st.lists(changes, min_size=1, max_size=25), course=turns)
def test_two_workers_of_one_partition_end_as_the_model(
    admin: Connection[Any], make_sink: Callable[[], PostgresSink], log: list[Change], course: list[Turn]
) -> None:
    """Each thinks the partition its own: whoever is behind is fenced, and every record counts once, in its order.

    After each turn the rows are those of the log as far as the stored offset, no more and no less.
    """
    emptied(admin, DOMAIN, "person", "account")
    sinks, known = [make_sink(), make_sink()], [0, 0]
    for sink in sinks:
        sink.open([0])
    for turn in [*course, Turn(0, len(log), True)]:
        sink = sinks[turn.worker]
        if turn.looks:
            known[turn.worker] = sink.open([0])[0]
        start = known[turn.worker]
        taken = log[start : start + turn.records]
        if not taken:
            continue
        sink.put(batch(taken, start))
        try:
            known[turn.worker] = sink.flush()[0]
        except FencedError:
            known[turn.worker] = sink.open([0])[0]
        stored = store_status(admin, DOMAIN).next_offsets[0]
        assert held(admin) == model(log[:stored])
        assert told(admin) == stored
    assert held(admin) == model(log)
    for sink in sinks:
        sink.close()


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
    sink = PostgresSink(PORTAL, environment.dsn(sink_role(PORTAL)), CODEC)
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
