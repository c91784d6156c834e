"""The evidence of a run: records of every topic, rows of every store, and what observers saw meanwhile. Data only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from streams.clients import Partition
from tests.chaos.store_watch import RowKey, StoreSnapshot

#: What a check finds: a kind of anomaly, and a description without personal data.
Findings = Iterator[tuple[str, str]]
#: Kinds of records of `person.change` of which intake writes one to every partition.
BROADCAST: Final = frozenset({"DAY_BEGUN", "ADOPTED"})
#: Kinds of records of `person.change` by which fan-out goes on with what it has begun.
BY_FAN_OUT: Final = frozenset({"CONTINUE", "DUE", "ADOPTING"})
#: Municipality and number of a notice.
Case = tuple[str, str]


class Origin(NamedTuple):
    """Input topic and offset of a submission; input topics have one partition."""

    topic: str
    offset: int


class NoticeRecord(NamedTuple):
    """A record of topic `notice`."""

    origin: Origin
    case: Case


class PersonChangeRecord(NamedTuple):
    """A record of topic `person.change`; `case` is None unless it is of a notice.

    A record of a kind in `BROADCAST` is about nobody: every partition has one.
    """

    origin: Origin
    person: str
    case: Case | None
    kind: str = "NOTICE"


class CaseOpenedRecord(NamedTuple):
    """A record of topic `case.opened`; `persons` is their number."""

    case: Case
    persons: int


class DispatchRecord(NamedTuple):
    """A record of topic `case.dispatched`; `changes` are pairs of domain and revision."""

    case: Case
    person: str
    changes: Sequence[tuple[str, int]]


class ChangeRecord(NamedTuple):
    """A record of topic `change.<domain>`; `person` is the mesh code, `of_case` false for enrolments and accounts."""

    person: str
    revision: int
    of_case: bool
    partition: int
    offset: int


class DomainRecord(NamedTuple):
    """A record of topic `domain.<domain>`; `key` is the row it belongs to, `receipt` the ID of its receipt.

    `history` is the row of a history that it is too, if it is one.
    """

    key: RowKey
    revision: int
    deleted: bool
    partition: int
    offset: int
    receipt: str
    history: RowKey | None = None

    @property
    def keys(self) -> tuple[RowKey, ...]:
        """The rows that it writes."""
        return (self.key,) if self.history is None else (self.key, self.history)


class ReceiptRecord(NamedTuple):
    """A record of topic `receipt.<domain>`."""

    id: str
    applied_at: object


class ConvertedReceiptRecord(NamedTuple):
    """A record of topic `receipt`; `person` is the mesh code."""

    domain: str
    person: str
    revision: int
    applied_at: object


class CommittedBatch(NamedTuple):
    """A committed batch, as a worker logged it.

    `logged_at` is in seconds since 1970, `records` the size of the batch, `digest` that of the step's state after it.
    """

    step: str
    partition: Partition
    next_offset: int
    logged_at: float = 0.0
    records: int = 0
    digest: str | None = None


class RestoredState(NamedTuple):
    """State of one partition that a worker restored.

    `begun_at` is in seconds since 1970. `digest` is that of the restored state, None for a step without state.
    """

    step: str
    partition: int
    begun_at: float
    digest: str | None
    duration_s: float = 0.0


@dataclass
class Evidence:
    """Everything that the checker compares."""

    #: By input topic: the values that brokers acknowledged, and the values read at the end.
    submitted: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    input_records: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    notices: Sequence[NoticeRecord] = ()
    person_changes: Sequence[PersonChangeRecord] = ()
    #: Number of partitions of `person.change`.
    partitions: int = 1
    rejected: Sequence[Origin] = ()
    opened_cases: Sequence[CaseOpenedRecord] = ()
    dispatches: Sequence[DispatchRecord] = ()
    #: By domain.
    changes: Mapping[str, Sequence[ChangeRecord]] = field(default_factory=dict)
    domain_records: Mapping[str, Sequence[DomainRecord]] = field(default_factory=dict)
    #: By domain: the domain code of each person, by mesh code.
    codes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: By domain: domain code and revision of each disclosure.
    disclosures: Mapping[str, Sequence[tuple[str, int]]] = field(default_factory=dict)
    receipts: Mapping[str, Sequence[ReceiptRecord]] = field(default_factory=dict)
    converted_receipts: Sequence[ConvertedReceiptRecord] = ()
    #: Revision of every row of every store.
    rows: Mapping[RowKey, int] = field(default_factory=dict)
    #: Offsets of the records of aborted and of committed transactions.
    aborted_records: Mapping[Partition, frozenset[int]] = field(default_factory=dict)
    committed_records: Mapping[Partition, frozenset[int]] = field(default_factory=dict)
    batches: Sequence[CommittedBatch] = ()
    restored: Sequence[RestoredState] = ()
    #: By step and partition number: the digest of the state that the changelogs hold at the end.
    final_digests: Mapping[tuple[str, int], str] = field(default_factory=dict)
    #: By step: the digest of an empty state.
    empty_digests: Mapping[str, str] = field(default_factory=dict)
    #: Snapshots of the stores, in the order in which they were taken.
    snapshots: Sequence[StoreSnapshot] = ()
    #: By kind: anomalies that were observed directly and need no comparison.
    observed_anomalies: Mapping[str, Sequence[str]] = field(default_factory=dict)
