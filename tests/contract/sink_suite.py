"""The contract suite of sinks. A connector's test class derives from `SinkSuite` and provides a store.

The domain is local tax: rows of persons and accounts, by code and municipality.
"""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from hashlib import blake2b
from typing import Any, Final, NamedTuple
from uuid import uuid4

import pytest

from connectors.errors import NotOpenError, SinkFencedError
from connectors.sink import Record, Sink, SinkBatch, batch_of
from schemas.catalogue import catalogue
from schemas.codec import Codec
from schemas.ids import LocalSchemaIds
from schemas.systems import DOMAINS
from schemas.tables import table_from_rows
from schemas.topics import domain_topic, sink_step
from streams.clients import LocalMessage
from streams.command_handler import CommandType, DeadLetterCommand
from streams.dead_letters import seal_context
from streams.sealing import Coding
from streams.testing.driver import SEALER

DOMAIN: Final = DOMAINS["local-tax"]
TOPIC: Final = domain_topic(DOMAIN.id)
STEP: Final = sink_step(DOMAIN.id)
DAY: Final = date(2026, 3, 2)
TIMESTAMP_MS: Final = 1_772_409_600_000
MUNICIPALITY: Final = "131041"
#: Longer than an index entry may be, and incompressible.
LONG_CODE: Final = "".join(blake2b(bytes([n])).hexdigest() for n in range(200))
CODEC: Final = Codec(catalogue(), LocalSchemaIds(catalogue()))
CODING: Final = Coding(CODEC, SEALER)


class Change(NamedTuple):
    """A change of one row; `name` and `status` are its content."""

    code: str
    revision: int
    op: str = "UPSERT"
    name: str | None = "NAME"
    entity: str = "PERSON"
    municipality: str | None = MUNICIPALITY
    status: str = "active"
    address: str | None = None

    @property
    def event(self) -> dict[str, Any]:
        """The event of the domain's topic."""
        fields = {"code", "revision", "op", "entity", "municipality"}
        event: dict[str, Any] = {name: value for name, value in self._asdict().items() if name in fields}
        event["effective_on"] = DAY
        if self.op == "UPSERT" and self.entity == "PERSON":
            event["person"] = {"status": self.status, "name": self.name, "address": self.address}
        if self.op == "UPSERT" and self.entity == "ACCOUNT":
            event["account"] = {"status": self.status, "holder_kana": self.name}
        return event


class Receipt(NamedTuple):
    """A receipt without the time of its application."""

    code: str
    entity: str
    revision: int


class OpenDeadLetter(NamedTuple):
    """The position of a dead letter's record, and its value."""

    partition: int
    offset: int
    value: bytes | None


def record_of(offset: int, value: bytes | None, partition: int = 0) -> Record:
    """Return a record of the domain's topic."""
    return LocalMessage((TOPIC, partition), offset, b"key", value, TIMESTAMP_MS)


def encode_changes(changes: Iterable[Change]) -> list[bytes]:
    """Return the changes as record values."""
    rows = table_from_rows(DOMAIN.event, [change.event for change in changes])
    values: list[bytes] = CODEC.encode(DOMAIN.event, rows).to_pylist()
    return values


def sink_batch(changes: Sequence[Change | bytes | None], start: int = 0, partition: int = 0) -> SinkBatch:
    """Return changes (or raw values) as a batch of records from offset `start` on."""
    encoded = iter(encode_changes(change for change in changes if isinstance(change, Change)))
    values = [next(encoded) if isinstance(change, Change) else change for change in changes]
    records = [record_of(start + index, value, partition) for index, value in enumerate(values)]
    return batch_of(CODEC, DOMAIN.event, records, {partition: start + len(records)})


def apply_changes(sink: Sink, *changes: Change | bytes | None) -> Mapping[int, int]:
    """Open partition 0 and apply the changes in one batch from the stored offset on; return the stored offsets."""
    start = sink.open([0])[0]
    sink.put(sink_batch(changes, start))
    return sink.flush()


def run_command(
    sink: Sink,
    command_type: str,
    changes: Sequence[Change],
    repaired: Change | None = None,
    *,
    digest: str | None = None,
    command_id: str | None = None,
) -> None:
    """Handle a command on the dead letter with this id, by default on the only open one.

    `changes` are all records of partition 0, from offset 0 on.
    """
    digest = digest or next(iter(sink.open_dead_letters))
    sealed = repaired and SEALER.seal(encode_changes([repaired])[0], seal_context(STEP, digest, "repair"))
    value = None if sealed is None else base64.b64encode(sealed).decode()
    records = {offset: record_of(offset, content) for offset, content in enumerate(encode_changes(changes))}
    command = DeadLetterCommand(
        command_id or f"in.operator/0/{uuid4()}", CommandType(command_type), digest, value=value
    )
    for partition, offsets in sink.affected_offsets(digest).items():
        sink.handle_command(command, partition, {offset: records[offset] for offset in offsets})


class SinkSuite(ABC):
    """The tests of the contract in `connectors.sink`, for one connector; each test has an empty store."""

    @abstractmethod
    @pytest.fixture
    def sink(self) -> Iterable[Sink]:
        """Return a sink of the store."""

    @abstractmethod
    @pytest.fixture
    def other(self) -> Iterable[Sink]:
        """Return another sink of the same store, as another worker has it."""

    @abstractmethod
    def rows(self) -> dict[tuple[str, str], tuple[str | None, int]]:
        """Return the persons in the store: by code and municipality, name and revision."""

    @abstractmethod
    def accounts(self) -> dict[tuple[str, str], tuple[str | None, int]]:
        """Return the accounts in the store: by code and municipality, holder and revision."""

    @abstractmethod
    def receipts(self) -> list[Receipt]:
        """Return all receipts, relayed or not, in order."""

    @abstractmethod
    def dead_letters(self) -> list[OpenDeadLetter]:
        """Return the open dead letters published so far, in order."""

    def row(self, code: str) -> tuple[str | None, int] | None:
        """Return name and revision of a person in MUNICIPALITY."""
        return self.rows().get((code, MUNICIPALITY))

    def test_an_unknown_partition_starts_at_offset_0(self, sink: Sink) -> None:
        """A partition without a stored offset is read from the beginning."""
        assert dict(sink.open([0, 3])) == {0: 0, 3: 0}

    def test_flush_stores_rows_offsets_and_receipts(self, sink: Sink, other: Sink) -> None:
        """After a flush all three are stored, and another sink continues after them."""
        stored = apply_changes(
            sink, Change("a", 1), Change("b", 1, name=None), Change("a", 1, entity="ACCOUNT")
        )
        assert dict(stored) == {0: 3} == dict(other.open([0]))
        assert self.rows() == {("a", MUNICIPALITY): ("NAME", 1), ("b", MUNICIPALITY): (None, 1)}
        assert self.accounts() == {("a", MUNICIPALITY): ("NAME", 1)}
        expected = [Receipt("a", "PERSON", 1), Receipt("b", "PERSON", 1), Receipt("a", "ACCOUNT", 1)]
        assert sorted(self.receipts()) == sorted(expected)

    def test_nothing_is_visible_before_flush(self, sink: Sink, other: Sink) -> None:
        """What was put and not flushed has no effect."""
        sink.open([0])
        sink.put(sink_batch([Change("a", 1)]))
        assert self.rows() == {}
        sink.close()
        assert dict(other.open([0])) == {0: 0}
        assert self.receipts() == []

    def test_several_puts_are_one_commit(self, sink: Sink) -> None:
        """A flush applies all batches in the order of their puts, of several partitions together."""
        sink.open([0, 1])
        sink.put(sink_batch([Change("a", 1), b"broken"]))
        sink.put(sink_batch([Change("b", 1), b"broken too"], 7, 1))
        sink.put(sink_batch([Change("a", 2, name="NEW")], 2))
        assert dict(sink.flush()) == {0: 3, 1: 9}
        assert (self.row("a"), self.row("b")) == (("NEW", 2), ("NAME", 1))
        assert self.dead_letters() == [OpenDeadLetter(0, 1, b"broken"), OpenDeadLetter(1, 8, b"broken too")]

    def test_upsert_delete_upsert_in_one_batch(self, sink: Sink) -> None:
        """The last change wins, as if they were applied one by one."""
        changes = [Change("a", 1, name="1"), Change("a", 2, "DELETE"), Change("a", 3, name="3")]
        apply_changes(sink, *changes)
        assert self.row("a") == ("3", 3)
        assert [receipt.revision for receipt in self.receipts()] == [1, 2, 3]

    def test_upsert_then_delete_in_one_batch(self, sink: Sink) -> None:
        """The row does not exist afterwards."""
        apply_changes(sink, Change("a", 1), Change("a", 2, "DELETE"))
        assert self.rows() == {}

    def test_an_older_revision_after_a_newer_one_changes_nothing(self, sink: Sink) -> None:
        """In the same batch and in the next one; it has a receipt nevertheless."""
        apply_changes(sink, Change("a", 5, name="5"), Change("a", 4, name="4"))
        apply_changes(sink, Change("a", 3, name="3"), Change("a", 2, "DELETE"))
        assert self.row("a") == ("5", 5)
        assert [receipt.revision for receipt in self.receipts()] == [5, 4, 3, 2]

    def test_an_older_change_does_not_restore_a_deleted_row(self, sink: Sink) -> None:
        """The store keeps the revision of a deletion; a newer change inserts the row again."""
        apply_changes(sink, Change("a", 1), Change("b", 1))
        apply_changes(sink, Change("a", 5, "DELETE"), Change("c", 5, "DELETE"))
        apply_changes(sink, Change("a", 4), Change("c", 4))
        assert self.rows() == {("b", MUNICIPALITY): ("NAME", 1)}
        apply_changes(sink, Change("a", 6, name="6"))
        assert self.row("a") == ("6", 6)

    def test_applying_the_same_records_twice_changes_nothing(self, sink: Sink) -> None:
        """Records that are read twice are applied once, even if the offsets were lost."""
        changes = [Change("a", 1), Change("b", 2), Change("b", 3, "DELETE")]
        apply_changes(sink, *changes)
        before = self.rows()
        apply_changes(sink, *changes)
        assert self.rows() == before

    def test_a_person_has_one_row_per_municipality(self, sink: Sink) -> None:
        """Rows of the same person in two municipalities are independent."""
        apply_changes(sink, Change("a", 1, name="here"), Change("a", 2, name="there", municipality="141097"))
        apply_changes(sink, Change("a", 3, "DELETE"))
        assert self.rows() == {("a", "141097"): ("there", 2)}

    def test_a_zombie_commits_nothing(self, sink: Sink, other: Sink) -> None:
        """A sink whose start offset another sink has advanced is fenced, and continues from the stored offset."""
        sink.open([0])
        apply_changes(other, Change("a", 2, name="other"))
        sink.put(sink_batch([Change("a", 3, name="zombie"), Change("z", 1)]))
        with pytest.raises(SinkFencedError):
            sink.flush()
        assert self.rows() == {("a", MUNICIPALITY): ("other", 2)}
        assert len(self.receipts()) == 1
        assert dict(sink.flush()) == {0: 0}, "the fenced records are discarded"
        assert dict(apply_changes(sink, Change("b", 1))) == {0: 2}

    def test_sinks_of_different_partitions_are_independent(self, sink: Sink, other: Sink) -> None:
        """Two sinks of one store, each with its own partition, do not fence each other."""
        sink.open([0])
        other.open([1])
        sink.put(sink_batch([Change("a", 1)]))
        other.put(sink_batch([Change("b", 1)], partition=1))
        assert (dict(sink.flush()), dict(other.flush())) == ({0: 1}, {1: 1})
        assert len(self.rows()) == 2

    def test_records_of_a_partition_that_is_not_open_are_an_error(self, sink: Sink) -> None:
        """`put` raises NotOpenError."""
        sink.open([0])
        with pytest.raises(NotOpenError):
            sink.put(sink_batch([Change("a", 1)], partition=1))

    def test_the_offset_advances_without_records(self, sink: Sink, other: Sink) -> None:
        """Transaction markers take offsets, so a batch may have a next offset and no record."""
        sink.open([0])
        sink.put(batch_of(CODEC, DOMAIN.event, [], {0: 9}))
        assert dict(sink.flush()) == {0: 9} == dict(other.open([0]))
        assert self.receipts() == []

    @pytest.mark.parametrize("value", [b"", b"not Avro", b"\x00\x00\x00\x00\x00", None])
    def test_an_undecodable_record_is_a_dead_letter(self, sink: Sink, value: bytes | None) -> None:
        """The dead letter has the unchanged value and its offset; other records are applied. So with a tombstone."""
        assert dict(apply_changes(sink, Change("a", 1), value, Change("b", 1))) == {0: 3}
        assert (len(self.rows()), self.dead_letters()) == (2, [OpenDeadLetter(0, 1, value)])

    @pytest.mark.parametrize(
        "invalid",
        [
            Change("invalid", 2, op="UNKNOWN"),
            Change("invalid", 2, entity="UNKNOWN"),
            Change("invalid", 2, entity="MESSAGE"),
            Change("invalid", 2, municipality=None),
            Change("invalid", 2, status="unknown"),
            Change("invalid", 2, name="a NUL \x00 byte"),
            Change(LONG_CODE, 2),
        ],
    )
    def test_a_row_that_the_store_rejects_is_a_dead_letter(self, sink: Sink, invalid: Change) -> None:
        """An invalid row blocks no other person: the earlier row stays, and other records are applied."""
        apply_changes(sink, Change("a", 1), Change("invalid", 1), invalid, Change("b", 1))
        assert set(self.rows()) == {(code, MUNICIPALITY) for code in ("a", "b", "invalid")}
        assert self.row("invalid") == ("NAME", 1)
        assert self.dead_letters() == [OpenDeadLetter(0, 2, encode_changes([invalid])[0])]
        assert len(self.receipts()) == 3

    def test_later_records_of_the_same_person_are_blocked(self, sink: Sink) -> None:
        """In the same batch and in later ones, of any table, deletions too; records of others are applied."""
        invalid = Change("a", 2, status="unknown")
        elsewhere = Change("a", 1, municipality="141097")
        apply_changes(
            sink, Change("a", 1), invalid, Change("a", 3), Change("a", 1, entity="ACCOUNT"), elsewhere
        )
        apply_changes(sink, Change("a", 4, op="DELETE"), Change("b", 1))
        assert self.row("a") == ("NAME", 1)
        assert set(self.rows()) == {("a", MUNICIPALITY), ("a", "141097"), ("b", MUNICIPALITY)}
        assert self.accounts() == {}
        assert [dead_letter.offset for dead_letter in self.dead_letters()] == [1]
        assert len(self.receipts()) == 3
        assert len(sink.open_dead_letters) == 1

    def test_an_undecodable_record_blocks_nothing(self, sink: Sink) -> None:
        """It has no ordering key."""
        apply_changes(sink, b"not Avro", Change("a", 1))
        assert self.row("a") == ("NAME", 1)

    def test_blocked_records_follow_a_repair(self, sink: Sink) -> None:
        """The record is applied with its new value, then the blocked ones in order; each has its receipt."""
        changes = [Change("a", 1, status="unknown"), Change("a", 2, name="2"), Change("a", 3, name="3")]
        apply_changes(sink, *changes, Change("b", 1))
        run_command(sink, "REPAIR", changes, Change("a", 1, name="repaired"))
        assert self.row("a") == ("3", 3)
        assert sorted(receipt.revision for receipt in self.receipts()) == [1, 1, 2, 3]
        assert list(sink.open_dead_letters) == []
        apply_changes(sink, Change("a", 4, name="4"))
        assert self.row("a") == ("4", 4)

    def test_a_failed_retry_changes_nothing(self, sink: Sink) -> None:
        """The dead letter keeps its id, and the others stay blocked."""
        changes = [Change("a", 1, status="unknown"), Change("a", 2)]
        apply_changes(sink, *changes)
        (digest,) = sink.open_dead_letters
        run_command(sink, "RETRY", changes)
        assert (self.rows(), list(sink.open_dead_letters)) == ({}, [digest])
        assert dict(sink.affected_offsets(digest)) == {0: [0, 1]}

    def test_records_behind_a_dismissed_one_follow_up_to_the_next_invalid(self, sink: Sink) -> None:
        """The next record that the store rejects becomes a dead letter, and the rest is blocked behind it."""
        changes = [Change("a", number, status="unknown") for number in (1, 2)] + [Change("a", 3)]
        apply_changes(sink, *changes)
        run_command(sink, "DISMISS", changes)
        (digest,) = sink.open_dead_letters
        assert (self.rows(), dict(sink.affected_offsets(digest))) == ({}, {0: [1, 2]})
        run_command(sink, "DISMISS", changes)
        assert (self.row("a"), list(sink.open_dead_letters)) == (("NAME", 3), [])

    def test_a_repeated_command_has_no_effect(self, sink: Sink) -> None:
        """Another worker may handle it again, as it does not know that it was done."""
        changes = [Change("a", 1, status="unknown"), Change("a", 2)]
        apply_changes(sink, *changes)
        (digest,) = sink.open_dead_letters
        published = len(self.dead_letters())
        for _ in range(2):
            run_command(sink, "RETRY", changes, digest=digest, command_id="same")
        assert len(self.dead_letters()) == published + 1

    def test_a_zombie_handles_no_command(self, sink: Sink, other: Sink) -> None:
        """The next owner of the partition has advanced its offset: a zombie's retry cannot overtake its records."""
        changes = [Change("a", 1, status="unknown"), Change("a", 2), Change("a", 3)]
        apply_changes(sink, *changes[:2])
        (digest,) = sink.open_dead_letters
        apply_changes(other, changes[2])
        with pytest.raises(SinkFencedError):
            run_command(sink, "DISMISS", changes, digest=digest)
        assert self.rows() == {}
        run_command(other, "DISMISS", changes, digest=digest)
        assert self.row("a") == ("NAME", 3)

    def test_a_batch_of_invalid_rows_advances_the_offset(self, sink: Sink) -> None:
        """All of them become dead letters."""
        invalid = [Change(f"invalid{n}", 1, status="unknown") for n in range(9)]
        assert dict(apply_changes(sink, *invalid)) == {0: 9}
        assert (self.rows(), len(self.dead_letters()), self.receipts()) == ({}, 9, [])
