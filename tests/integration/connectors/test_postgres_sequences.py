"""Sequences of changes and commands by one PostgreSQL sink or two: their store ends like the one of the reference.

The reference is `tests.contract.memory_sink`, which applies one record after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection, sql

from connectors.errors import SinkFencedError
from connectors.postgres import PostgresSink, sink_role, store_status
from connectors.sink import Sink, batch_of
from infra.environment import Environment
from schemas.systems import DOMAINS, Domain
from schemas.tables import table_from_rows
from tests.contract.memory_sink import MemorySink, MemoryStore
from tests.contract.sink_suite import (
    CODEC,
    CODING,
    DAY,
    DOMAIN,
    MUNICIPALITY,
    STEP,
    Change,
    apply_changes,
    record_of,
    run_command,
    sink_batch,
)
from tests.integration.connectors import stores

#: Every third revision is a deletion, and of the others every seventh is rejected by the store.
DELETED_EVERY = 3
REJECTED_EVERY = 7
MUNICIPALITIES = (MUNICIPALITY, "141097")
SINK_TABLES = (
    "deleted_revision",
    "receipt_outbox",
    "dead_letter_outbox",
    "sink_offset",
    "dlq_entry",
    "dlq_command_done",
    "withdrawal",
)
PORTAL = DOMAINS["portal"]


def change(code: str, revision: int, entity: str = "PERSON", municipality: str = MUNICIPALITY) -> Change:
    """Return the only change of this row with this revision: a revision has one content, as it comes of one record."""
    if revision % DELETED_EVERY == 0:
        return Change(code, revision, "DELETE", entity=entity, municipality=municipality)
    status = "unknown" if revision % REJECTED_EVERY == 0 else "active"
    name = f"{code}{entity}{municipality}{revision}"
    return Change(code, revision, name=name, status=status, entity=entity, municipality=municipality)


codes, revisions = st.sampled_from("abc"), st.integers(1, 15)
entities = st.sampled_from(["PERSON", "ACCOUNT"])
changes = st.builds(change, codes, revisions, entities, st.sampled_from(MUNICIPALITIES))
batches = st.lists(changes, min_size=1, max_size=8)
command_types = st.sampled_from(["RETRY", "REPAIR", "DISMISS"])
commands = st.tuples(command_types, st.integers(0, 5))


class Reference(MemorySink):
    """The sink in memory, and the log of all changes applied to it so far."""

    def __init__(self) -> None:
        self.store, self.log = MemoryStore(), list[Change]()
        super().__init__(self.store, CODING, DOMAIN.event, STEP)
        self.open([0])

    def apply(self, changes: list[Change]) -> None:
        """Apply the next changes, if there are any."""
        if changes:
            self.put(sink_batch(changes, len(self.log)))
            self.flush()
            self.log += changes

    def first_offset(self, digest: str) -> int:
        """Return the offset of the first record that a command on this dead letter needs."""
        return self.affected_offsets(digest)[0][0]


def send(sink: Sink, command_type: str, digest: str, reference: Reference) -> bool:
    """Handle a command with the sink and the reference; return False if the sink does not know the dead letter."""
    if digest not in sink.open_dead_letters or not sink.affected_offsets(digest):
        return False
    dead_letter = reference.log[reference.first_offset(digest)]
    repaired = dead_letter._replace(status="active") if command_type == "REPAIR" else None
    for handling in (sink, reference):
        run_command(handling, command_type, reference.log, repaired, digest=digest)
    return True


def clear_tables(admin: Connection[Any], domain: Domain, *tables: str) -> None:
    """Delete the rows of the previous example, all in one transaction."""
    names = [sql.Identifier(domain.schema_name, name) for name in (*tables, *SINK_TABLES)]
    admin.execute(sql.SQL("; ").join(sql.SQL("DELETE FROM {}").format(name) for name in names))


def assert_like(admin: Connection[Any], store: MemoryStore) -> None:
    """Compare rows, receipts and the dead-letter queue with those of the store in memory."""
    assert stores.table(admin, DOMAIN, "person", "name") == store.rows_of("PERSON", "name")
    assert stores.table(admin, DOMAIN, "account", "holder_kana") == store.rows_of("ACCOUNT", "holder_kana")
    assert sorted(stores.receipts(admin, DOMAIN)) == sorted(store.receipts)
    assert stores.dlq_rows(admin, DOMAIN) == store.queue_kinds()


@pytest.fixture
def sinks(
    environment: Environment, make_store: Callable[[str], Domain]
) -> Iterator[tuple[PostgresSink, PostgresSink]]:
    """Return two sinks of one store, which is empty; all examples of a test use their connections.

    An example begins by opening the sinks that it uses, so that they forget the previous one.
    """
    make_store(DOMAIN.id)
    dsn = environment.dsn(sink_role(DOMAIN))
    sinks = PostgresSink(DOMAIN, dsn, CODING), PostgresSink(DOMAIN, dsn, CODING)
    yield sinks
    for sink in sinks:
        sink.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(batches | commands, min_size=1, max_size=7))
def test_one_sink_ends_like_the_reference(
    admin: Connection[Any],
    sinks: tuple[PostgresSink, PostgresSink],
    sequence: list[list[Change] | tuple[str, int]],
) -> None:
    """Whatever the order, the batches and the commands: nothing is lost, duplicated or overtaken."""
    clear_tables(admin, DOMAIN, "person", "account")
    sink, reference = sinks[0], Reference()
    assert dict(sink.open([0])) == {0: 0}
    for step in sequence:
        if isinstance(step, list):
            apply_changes(sink, *step)
            reference.apply(step)
        elif open_digests := sorted(reference.open_dead_letters):
            command_type, number = step
            assert send(sink, command_type, open_digests[number % len(open_digests)], reference)
    assert_like(admin, reference.store)
    assert dict(sink.open([0])) == {0: len(reference.log)}


class Turn(NamedTuple):
    """The next step of one of two workers: apply records, or handle a command if there is one.

    The worker continues from the offset that it knows; if it `reopens`, it reads the stored offset first.
    """

    worker: int
    records: int
    reopens: bool
    command_type: str | None = None


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
class SequenceWorker:
    """One of two workers: its sink, and its position as it knows it."""

    sink: PostgresSink
    position: int = 0

    def reopen(self) -> None:
        """Read the stored offset."""
        self.position = self.sink.open([0])[0]

    def apply(self, log: list[Change], records: int) -> None:
        """Apply up to so many of the next records."""
        following = log[self.position : self.position + records]
        if following:
            self.sink.put(sink_batch(following, self.position))
        self.position = self.sink.flush()[0]

    def take(self, turn: Turn, log: list[Change], reference: Reference) -> None:
        """Apply records, or handle a command on the first dead letter; if fenced, reopen."""
        if turn.reopens:
            self.reopen()
        digest = min(reference.open_dead_letters, default=None)
        try:
            if turn.command_type is None:
                self.apply(log, turn.records)
            elif digest is not None:
                send(self.sink, turn.command_type, digest, reference)
        except SinkFencedError:
            self.reopen()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=st.lists(changes, min_size=1, max_size=25), course=turns)
def test_two_sinks_of_one_partition_end_like_the_reference(
    admin: Connection[Any],
    sinks: tuple[PostgresSink, PostgresSink],
    log: list[Change],
    course: list[Turn],
) -> None:
    """Each worker assumes that it owns the partition: a stale one is fenced, and each record is applied once, in order.

    After each turn the store has the rows of the log up to the stored offset, and the results of the commands.
    """
    clear_tables(admin, DOMAIN, "person", "account")
    workers, reference = [SequenceWorker(sink) for sink in sinks], Reference()
    for worker in workers:
        worker.reopen()
    for turn in [*course, Turn(0, len(log), True)]:
        workers[turn.worker].take(turn, log, reference)
        stored = store_status(admin, DOMAIN).next_offsets[0]
        reference.apply(log[len(reference.log) : stored])
        assert_like(admin, reference.store)
    assert reference.log == log


class MessageChange(NamedTuple):
    """A change of the portal's message to a person about a case."""

    code: str
    case: str
    revision: int

    @property
    def event(self) -> dict[str, Any]:
        """The event of the domain's topic; every third revision deletes the message."""
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


message_changes = st.builds(MessageChange, codes, st.sampled_from("xy"), revisions)


@pytest.fixture
def portal(environment: Environment, make_store: Callable[[str], Domain]) -> Iterator[PostgresSink]:
    """Return a sink of the portal's store, which is empty."""
    make_store(PORTAL.id)
    sink = PostgresSink(PORTAL, environment.dsn(sink_role(PORTAL)), CODING)
    yield sink
    sink.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(st.lists(message_changes, min_size=1, max_size=8), min_size=1, max_size=5))
def test_the_newest_message_of_a_person_and_case_is_stored(
    admin: Connection[Any], portal: PostgresSink, sequence: list[list[MessageChange]]
) -> None:
    """A message is keyed by person and case, and its newest revision wins."""
    clear_tables(admin, PORTAL, "notice")
    newest: dict[tuple[str, str], MessageChange] = {}
    for batch in sequence:
        start = portal.open([0])[0]
        rows = table_from_rows(PORTAL.event, [message.event for message in batch])
        values = CODEC.encode(PORTAL.event, rows).to_pylist()
        records = [record_of(start + index, value) for index, value in enumerate(values)]
        portal.put(batch_of(CODEC, PORTAL.event, records, {0: start + len(records)}))
        portal.flush()
        for message in batch:
            before = newest.get((message.code, message.case))
            if before is None or before.revision < message.revision:
                newest[message.code, message.case] = message
    query = sql.SQL("SELECT code, case_code, text, revision FROM {}").format(
        sql.Identifier(PORTAL.schema_name, "notice")
    )
    stored = {(code, case): (text, revision) for code, case, text, revision in admin.execute(query)}
    assert stored == {
        key: (str(message.revision), message.revision)
        for key, message in newest.items()
        if message.revision % DELETED_EVERY
    }
