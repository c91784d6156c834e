"""What every sink promises. A connector's tests derive from `SinkSuite` and give a store.

The domain is local tax: rows of persons and accounts, by code and municipality.
"""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import blake2b
from typing import Any, Final, NamedTuple
from uuid import uuid4

import pytest

from connectors.errors import NotOpenError, SinkFencedError
from connectors.sink import Sink, SinkBatch, batch_of
from schemas.catalogue import catalogue
from schemas.codec import Codec
from schemas.ids import LocalSchemaIds
from schemas.systems import DOMAINS
from schemas.tables import table_from_rows
from schemas.topics import domain_topic, sink_step
from streams.command_handler import CommandType, DeadLetterCommand
from streams.dead_letters import seal_context
from streams.sealing import Coding
from streams.testing.driver import SEALER

DOMAIN: Final = DOMAINS["local-tax"]
TOPIC: Final = domain_topic(DOMAIN.id)
STEP: Final = sink_step(DOMAIN.id)
DAY: Final = date(2026, 3, 2)
MUNICIPALITY: Final = "131041"
#: Longer than any index takes, and not to be compressed.
LONG: Final = "".join(blake2b(bytes([n])).hexdigest() for n in range(200))
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

    @property
    def event(self) -> dict[str, Any]:
        """The event of the domain's topic."""
        fields = {"code", "revision", "op", "entity", "municipality"}
        event: dict[str, Any] = {name: value for name, value in self._asdict().items() if name in fields}
        event["effective_on"] = DAY
        if self.op == "UPSERT" and self.entity == "PERSON":
            event["person"] = {"status": self.status, "name": self.name}
        if self.op == "UPSERT" and self.entity == "ACCOUNT":
            event["account"] = {"status": self.status, "holder_kana": self.name}
        return event


@dataclass(frozen=True)
class Given:
    """A record as a broker gives it."""

    offset_: int
    value_: bytes | None
    partition_: int = 0

    def topic(self) -> str:
        """The domain's topic."""
        return TOPIC

    def partition(self) -> int:
        """Its partition."""
        return self.partition_

    def offset(self) -> int:
        """Its offset."""
        return self.offset_

    def timestamp(self) -> tuple[int, int]:
        """The day of effect."""
        return 1, 1_772_409_600_000

    def key(self) -> bytes:
        """Some key."""
        return b"key"

    def value(self) -> bytes | None:
        """Its value."""
        return self.value_


class Receipt(NamedTuple):
    """What a receipt says, its moment apart."""

    code: str
    entity: str
    revision: int


class Letter(NamedTuple):
    """Where a dead letter's record stands, and its value."""

    partition: int
    offset: int
    value: bytes | None


def encoded(changes: Iterable[Change]) -> list[bytes]:
    rows = table_from_rows(DOMAIN.event, [change.event for change in changes])
    values: list[bytes] = CODEC.encode(DOMAIN.event, rows).to_pylist()
    return values


def batch(changes: Sequence[Change | bytes | None], start: int = 0, partition: int = 0) -> SinkBatch:
    """Changes (or raw values) as the records from offset `start` on."""
    known = iter(encoded(change for change in changes if isinstance(change, Change)))
    values = [next(known) if isinstance(change, Change) else change for change in changes]
    records = [Given(start + index, value, partition) for index, value in enumerate(values)]
    return batch_of(CODEC, DOMAIN.event, records, {partition: start + len(records)})


def applied(sink: Sink, *changes: Change | bytes | None) -> Mapping[int, int]:
    """Opens partition 0, and applies the changes in one batch from where the store is."""
    start = sink.open([0])[0]
    sink.put(batch(changes, start))
    return sink.flush()


def acted(
    sink: Sink,
    deed: str,
    changes: Sequence[Change],
    repaired: Change | None = None,
    *,
    name: str | None = None,
    act_id: str | None = None,
) -> None:
    """An act on the one open letter (or that of this name); `changes` are all records of partition 0, from offset 0."""
    name = name or next(iter(sink.open_dead_letters))
    sealed = repaired and SEALER.seal(encoded([repaired])[0], seal_context(STEP, name, "repair"))
    value = None if sealed is None else base64.b64encode(sealed).decode()
    records = {at: Given(at, each) for at, each in enumerate(encoded(changes))}
    act = DeadLetterCommand(act_id or f"in.operator/0/{uuid4()}", CommandType(deed), name, value=value)
    for partition, offsets in sink.affected_offsets(name).items():
        sink.handle_command(act, partition, {offset: records[offset] for offset in offsets})


class SinkSuite(ABC):
    """The promises of `connectors.sink`, held against one connector; each test has an empty store."""

    @abstractmethod
    @pytest.fixture
    def sink(self) -> Iterable[Sink]:
        """A sink of the store."""

    @abstractmethod
    @pytest.fixture
    def other(self) -> Iterable[Sink]:
        """Another sink of the same store, as another worker would have it."""

    @abstractmethod
    def rows(self) -> dict[tuple[str, str], tuple[str | None, int]]:
        """Persons in the store: by code and municipality, name and revision."""

    @abstractmethod
    def accounts(self) -> dict[tuple[str, str], tuple[str | None, int]]:
        """Accounts in the store: by code and municipality, holder and revision."""

    @abstractmethod
    def receipts(self) -> list[Receipt]:
        """Receipts that wait for the relay, or were relayed, in order."""

    @abstractmethod
    def letters(self) -> list[Letter]:
        """Dead letters, in order."""

    def row(self, code: str) -> tuple[str | None, int] | None:
        """The row of one code."""
        return self.rows().get((code, MUNICIPALITY))

    def test_a_partition_begins_at_its_beginning(self, sink: Sink) -> None:
        """What nothing is known of begins at offset 0."""
        assert dict(sink.open([0, 3])) == {0: 0, 3: 0}

    def test_rows_offsets_and_receipts_come_together(self, sink: Sink, other: Sink) -> None:
        """After a flush, all three are there, and another sink goes on behind them."""
        stored = applied(sink, Change("a", 1), Change("b", 1, name=None), Change("a", 1, entity="ACCOUNT"))
        assert dict(stored) == {0: 3} == dict(other.open([0]))
        assert self.rows() == {("a", MUNICIPALITY): ("NAME", 1), ("b", MUNICIPALITY): (None, 1)}
        assert self.accounts() == {("a", MUNICIPALITY): ("NAME", 1)}
        expected = [Receipt("a", "PERSON", 1), Receipt("b", "PERSON", 1), Receipt("a", "ACCOUNT", 1)]
        assert sorted(self.receipts()) == sorted(expected)

    def test_nothing_is_seen_before_flush(self, sink: Sink, other: Sink) -> None:
        """What was put and not flushed never happened."""
        sink.open([0])
        sink.put(batch([Change("a", 1)]))
        assert self.rows() == {}
        sink.close()
        assert dict(other.open([0])) == {0: 0}
        assert self.receipts() == []

    def test_several_puts_are_one_commit(self, sink: Sink) -> None:
        """In the order in which they came, partitions together."""
        sink.open([0, 1])
        sink.put(batch([Change("a", 1), b"broken"]))
        sink.put(batch([Change("b", 1), b"broken too"], 7, 1))
        sink.put(batch([Change("a", 2, name="NEW")], 2))
        assert dict(sink.flush()) == {0: 3, 1: 9}
        assert (self.row("a"), self.row("b")) == (("NEW", 2), ("NAME", 1))
        assert self.letters() == [Letter(0, 1, b"broken"), Letter(1, 8, b"broken too")]

    def test_update_delete_update_in_one_batch(self, sink: Sink) -> None:
        """They end as one after the other would: with the last."""
        changes = [Change("a", 1, name="1"), Change("a", 2, "DELETE"), Change("a", 3, name="3")]
        applied(sink, *changes)
        assert self.row("a") == ("3", 3)
        assert [receipt.revision for receipt in self.receipts()] == [1, 2, 3]

    def test_update_then_delete_in_one_batch(self, sink: Sink) -> None:
        """The row is gone, and stays so."""
        applied(sink, Change("a", 1), Change("a", 2, "DELETE"))
        assert self.rows() == {}

    def test_an_older_revision_after_a_newer(self, sink: Sink) -> None:
        """It changes nothing, in one batch or in the next, and has its receipt."""
        applied(sink, Change("a", 5, name="5"), Change("a", 4, name="4"))
        applied(sink, Change("a", 3, name="3"), Change("a", 2, "DELETE"))
        assert self.row("a") == ("5", 5)
        assert [receipt.revision for receipt in self.receipts()] == [5, 4, 3, 2]

    def test_what_is_deleted_does_not_come_back(self, sink: Sink) -> None:
        """A late older change finds the revision of the deletion remembered; a newer one opens the row again."""
        applied(sink, Change("a", 1), Change("b", 1))
        applied(sink, Change("a", 5, "DELETE"), Change("c", 5, "DELETE"))
        applied(sink, Change("a", 4), Change("c", 4))
        assert self.rows() == {("b", MUNICIPALITY): ("NAME", 1)}
        applied(sink, Change("a", 6, name="6"))
        assert self.row("a") == ("6", 6)

    def test_the_same_batch_again_changes_nothing(self, sink: Sink) -> None:
        """Records read twice are applied once, even were the offsets lost."""
        changes = [Change("a", 1), Change("b", 2), Change("b", 3, "DELETE")]
        applied(sink, *changes)
        before = self.rows()
        applied(sink, *changes)
        assert self.rows() == before

    def test_municipalities_are_apart(self, sink: Sink) -> None:
        """A person's rows in two municipalities are two rows."""
        applied(sink, Change("a", 1, name="here"), Change("a", 2, name="there", municipality="141097"))
        applied(sink, Change("a", 3, "DELETE"))
        assert self.rows() == {("a", "141097"): ("there", 2)}

    def test_a_zombie_commits_nothing(self, sink: Sink, other: Sink) -> None:
        """Who started from an offset that another has moved on is fenced, and goes on from what is stored."""
        sink.open([0])
        applied(other, Change("a", 2, name="theirs"))
        sink.put(batch([Change("a", 3, name="zombie"), Change("z", 1)]))
        with pytest.raises(SinkFencedError):
            sink.flush()
        assert self.rows() == {("a", MUNICIPALITY): ("theirs", 2)}
        assert len(self.receipts()) == 1
        assert dict(sink.flush()) == {0: 0}, "what was fenced is forgotten"
        assert dict(applied(sink, Change("b", 1))) == {0: 2}

    def test_partitions_have_owners_of_their_own(self, sink: Sink, other: Sink) -> None:
        """Two sinks of one store, each with its partitions, don't disturb each other."""
        sink.open([0])
        other.open([1])
        sink.put(batch([Change("a", 1)]))
        other.put(batch([Change("b", 1)], partition=1))
        assert (dict(sink.flush()), dict(other.flush())) == ({0: 1}, {1: 1})
        assert len(self.rows()) == 2

    def test_partitions_that_are_not_open(self, sink: Sink) -> None:
        """Their records are refused before anything else."""
        sink.open([0])
        with pytest.raises(NotOpenError):
            sink.put(batch([Change("a", 1)], partition=1))

    def test_the_position_moves_over_what_has_no_records(self, sink: Sink, other: Sink) -> None:
        """Transaction markers take offsets: a batch may have none but the next offset."""
        sink.open([0])
        sink.put(batch_of(CODEC, DOMAIN.event, [], {0: 9}))
        assert dict(sink.flush()) == {0: 9} == dict(other.open([0]))
        assert self.receipts() == []

    @pytest.mark.parametrize("bad", [b"", b"not Avro", b"\x00\x00\x00\x00\x00", None])
    def test_what_cannot_be_decoded_is_a_dead_letter(self, sink: Sink, bad: bytes | None) -> None:
        """As it came, with its place; the others go on. A tombstone is no exception."""
        assert dict(applied(sink, Change("a", 1), bad, Change("b", 1))) == {0: 3}
        assert (len(self.rows()), self.letters()) == (2, [Letter(0, 1, bad)])

    @pytest.mark.parametrize(
        "bad",
        [
            Change("bad", 2, op="UNKNOWN"),
            Change("bad", 2, entity="UNKNOWN"),
            Change("bad", 2, entity="MESSAGE"),
            Change("bad", 2, municipality=None),
            Change("bad", 2, status="unknown"),
            Change("bad", 2, name="a NUL \x00 byte"),
            Change(LONG, 2),
        ],
    )
    def test_what_the_store_refuses_is_a_dead_letter(self, sink: Sink, bad: Change) -> None:
        """One bad row keeps back nobody: the row before it stays, and the others go on."""
        applied(sink, Change("a", 1), Change("bad", 1), bad, Change("b", 1))
        assert set(self.rows()) == {(code, MUNICIPALITY) for code in ("a", "b", "bad")}
        assert self.row("bad") == ("NAME", 1)
        assert self.letters() == [Letter(0, 2, encoded([bad])[0])]
        assert len(self.receipts()) == 3

    def test_later_records_of_the_same_person_wait(self, sink: Sink) -> None:
        """In the same batch and in later ones, of any table; a deletion too. Nobody else's are kept back."""
        bad = Change("a", 2, status="unknown")
        other = Change("a", 1, municipality="141097")
        applied(sink, Change("a", 1), bad, Change("a", 3), Change("a", 1, entity="ACCOUNT"), other)
        applied(sink, Change("a", 4, op="DELETE"), Change("b", 1))
        assert self.row("a") == ("NAME", 1)
        assert set(self.rows()) == {("a", MUNICIPALITY), ("a", "141097"), ("b", MUNICIPALITY)}
        assert self.accounts() == {}
        assert [letter.offset for letter in self.letters()] == [1]
        assert len(self.receipts()) == 3
        assert len(sink.open_dead_letters) == 1

    def test_what_cannot_be_decoded_parks_nobody(self, sink: Sink) -> None:
        """It is nobody's."""
        applied(sink, b"not Avro", Change("a", 1))
        assert self.row("a") == ("NAME", 1)

    def test_after_a_repair_what_waited_follows(self, sink: Sink) -> None:
        """The record with its new value, then the others in their order; each is told by its receipt."""
        changes = [Change("a", 1, status="unknown"), Change("a", 2, name="2"), Change("a", 3, name="3")]
        applied(sink, *changes, Change("b", 1))
        acted(sink, "REPAIR", changes, Change("a", 1, name="mended"))
        assert self.row("a") == ("3", 3)
        assert sorted(receipt.revision for receipt in self.receipts()) == [1, 1, 2, 3]
        assert list(sink.open_dead_letters) == []
        applied(sink, Change("a", 4, name="4"))
        assert self.row("a") == ("4", 4)

    def test_a_retry_in_vain_leaves_all_as_it_was(self, sink: Sink) -> None:
        """It stays the letter that it was; the others wait on."""
        changes = [Change("a", 1, status="unknown"), Change("a", 2)]
        applied(sink, *changes)
        (name,) = sink.open_dead_letters
        acted(sink, "RETRY", changes)
        assert (self.rows(), list(sink.open_dead_letters)) == ({}, [name])
        assert dict(sink.affected_offsets(name)) == {0: [0, 1]}

    def test_what_was_behind_a_dismissed_letter_follows_up_to_the_next(self, sink: Sink) -> None:
        """The next that is refused is a letter then, and holds the rest."""
        changes = [Change("a", number, status="unknown") for number in (1, 2)] + [Change("a", 3)]
        applied(sink, *changes)
        acted(sink, "DISMISS", changes)
        (name,) = sink.open_dead_letters
        assert (self.rows(), dict(sink.affected_offsets(name))) == ({}, {0: [1, 2]})
        acted(sink, "DISMISS", changes)
        assert (self.row("a"), list(sink.open_dead_letters)) == (("NAME", 3), [])

    def test_an_act_is_done_once(self, sink: Sink) -> None:
        """Another worker may do it again, as it doesn't know."""
        changes = [Change("a", 1, status="unknown"), Change("a", 2)]
        applied(sink, *changes)
        (name,) = sink.open_dead_letters
        told = len(self.letters())
        for _ in range(2):
            acted(sink, "RETRY", changes, name=name, act_id="same")
        assert len(self.letters()) == told + 1

    def test_a_zombie_does_no_act(self, sink: Sink, other: Sink) -> None:
        """The partition's next owner has moved its offset: parking and retrying can't overtake each other."""
        changes = [Change("a", 1, status="unknown"), Change("a", 2), Change("a", 3)]
        applied(sink, *changes[:2])
        (name,) = sink.open_dead_letters
        applied(other, changes[2])
        with pytest.raises(SinkFencedError):
            acted(sink, "DISMISS", changes, name=name)
        assert self.rows() == {}
        acted(other, "DISMISS", changes, name=name)
        assert self.row("a") == ("NAME", 3)

    def test_nothing_but_bad_records(self, sink: Sink) -> None:
        """The offset moves on nevertheless, and all are kept."""
        bad = [Change(f"bad{n}", 1, status="unknown") for n in range(9)]
        assert dict(applied(sink, *bad)) == {0: 9}
        assert (self.rows(), len(self.letters()), self.receipts()) == ({}, 9, [])
