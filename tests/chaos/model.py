"""What is left of a run: records of every topic, rows of every store, and what was seen on the way. Data only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from streams.clients import Partition
from tests.chaos.store_watch import RowKey, StoreSnapshot


class Origin(NamedTuple):
    """Where a hand-over stands."""

    topic: str
    offset: int


#: Municipality and number of a notice.
Case = tuple[str, str]


class Notice(NamedTuple):
    """Of topic `notice`."""

    origin: Origin
    case: Case


class Change(NamedTuple):
    """Of topic `person.change`; `case` is None for enrolments and accounts."""

    origin: Origin
    person: str
    case: Case | None


class Opened(NamedTuple):
    """Of topic `case.opened`."""

    case: Case
    persons: int


class DispatchRecord(NamedTuple):
    """Of topic `case.dispatched`; `told` are domains with revisions."""

    case: Case
    person: str
    told: Sequence[tuple[str, int]]


class ChangeRecord(NamedTuple):
    """Of topic `change.<domain>`, by the mesh's code of the person."""

    person: str
    revision: int
    of_case: bool
    partition: int
    offset: int


class DomainRecord(NamedTuple):
    """Of topic `domain.<domain>`, by the domain's code: `key` is the row that it is for."""

    key: RowKey
    revision: int
    deleted: bool
    partition: int
    offset: int
    receipt: str


class Receipt(NamedTuple):
    """Of topic `receipt.<domain>`."""

    id: str
    applied_at: object


class Converted(NamedTuple):
    """Of topic `receipt`."""

    domain: str
    person: str
    revision: int
    applied_at: object


class CommittedBatch(NamedTuple):
    """A committed batch, as a worker logged it."""

    step: str
    partition: Partition
    offset_next: int
    #: When it said so, in seconds since 1970; how many records it had; and the digest of the step's state after it.
    at: float = 0.0
    records: int = 0
    digest: str | None = None


class Restored(NamedTuple):
    """What a worker restored of a partition: when it began to, the digest of the state that it had in the end, if its
    step keeps any, and how long it took.
    """

    step: str
    number: int
    begun_at: float
    digest: str | None
    took_s: float = 0.0


@dataclass
class Evidence:
    """All that the checker holds against each other."""

    submitted: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    taken: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    notices: Sequence[Notice] = ()
    changes: Sequence[Change] = ()
    rejected: Sequence[Origin] = ()
    opened: Sequence[Opened] = ()
    parts: Sequence[DispatchRecord] = ()
    told: Mapping[str, Sequence[ChangeRecord]] = field(default_factory=dict)
    given: Mapping[str, Sequence[DomainRecord]] = field(default_factory=dict)
    #: By domain, its code of each person.
    codes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: By domain, code and revision of each disclosure.
    disclosed: Mapping[str, Sequence[tuple[str, int]]] = field(default_factory=dict)
    receipts: Mapping[str, Sequence[Receipt]] = field(default_factory=dict)
    converted: Sequence[Converted] = ()
    rows: Mapping[RowKey, int] = field(default_factory=dict)
    #: Offsets of records that were written and aborted, and of those that were committed.
    aborted: Mapping[Partition, frozenset[int]] = field(default_factory=dict)
    committed: Mapping[Partition, frozenset[int]] = field(default_factory=dict)
    batches: Sequence[CommittedBatch] = ()
    restored: Sequence[Restored] = ()
    #: The digest of a partition's state, by step and number, as its changelogs say in the end.
    states: Mapping[tuple[str, int], str] = field(default_factory=dict)
    #: The digest of a step's state that has nothing in it.
    nothing: Mapping[str, str] = field(default_factory=dict)
    looks: Sequence[StoreSnapshot] = ()
    #: What needs no model: by kind of anomaly, what was found.
    found: Mapping[str, Sequence[str]] = field(default_factory=dict)
