"""Defects that the checker must find: each makes the real classes wrong in one way, in the worker's own process.

None of this is in the product. `kinds` are the faults by which a defect shows. What shows only where a fault meets a
certain moment is given longer such moments (`slowed`), so that a short run finds it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import Any, Final

import pyarrow as pa
from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import KafkaException
from psycopg import Connection

from tests.chaos.cluster import STEPS
from tests.chaos.load import DAYS

KILLS: Final = ("worker-kill",)
BETWEEN_TOPICS: Final = ("intake", "household", "fan-out", "conversion")
WITH_STATE: Final = ("household", "fan-out")
SINKS: Final = ("sink",)
BROKERS: Final = ("broker-kill-leader", "broker-pause-leader", "brokers-cut")
PAUSES: Final = ("worker-pause",)
#: A batch of a step that is slowed takes so much longer, with its records in hand and nothing begun.
SLOW_S: Final = 2.0


@dataclass(frozen=True)
class Defect:
    """What is wrong, the faults that bring it to light, and how it is put in."""

    what: str
    kinds: Sequence[str]
    install: Callable[[], None]
    #: The anomalies that it must be known by: others may come of its make, or of workers that can't go on.
    shows: Sequence[str]
    #: Whose workers are struck.
    steps: Sequence[str] = STEPS
    #: Of each step; where nobody has to take over, one is enough.
    workers: int = 2
    #: Days that the city's hand-overs are from: in more days fewer residents have more changes each.
    days: int = DAYS


def no_group_metadata() -> None:
    """Offsets go with the transaction, but not under the group's generation: a zombie's are taken."""
    from streams import kafka_clients  # noqa: PLC0415
    from streams.processing import Processing  # noqa: PLC0415

    Processing.run = slowed(Processing.run)  # type: ignore[method-assign]
    make = kafka_clients.KafkaClients.consumer

    def consumer(self: kafka_clients.KafkaClients) -> Any:
        stranger = KafkaConsumer({**self._connection, "group.id": self._group})
        return _Standing(make(self), consumer_group_metadata=stranger.consumer_group_metadata)

    kafka_clients.KafkaClients.consumer = consumer  # type: ignore[method-assign]


def no_rewind() -> None:
    """After an abort the consumer goes on from where it is."""
    from streams.assignment import Assignment  # noqa: PLC0415

    right = Assignment.seek_to_committed

    def rewind(self: Assignment, partitions: Any) -> Any:
        self._seek, seek = lambda starts: None, self._seek  # type: ignore[method-assign]
        try:
            return right(self, partitions)
        finally:
            self._seek = seek  # type: ignore[method-assign]

    Assignment.seek_to_committed = rewind  # type: ignore[method-assign]


def producer_kept() -> None:
    """After a timeout the same producer goes on: it ends what is open, and takes that for an end of nothing."""
    from streams.assignment import Assignment  # noqa: PLC0415
    from streams.transactions import Transactions  # noqa: PLC0415

    def replace_(self: Transactions) -> None:
        for end in (self._producer.abort_transaction, self._producer.commit_transaction):
            # The client knows of a commit that was begun, and has it end as one.
            with suppress(KafkaException):
                end(self._settings.commit_timeout_s)
                return

    def rewind(self: Assignment, partitions: Any) -> Any:
        starts = {each: self.positions[each] for each in partitions if each in self.positions}
        self._seek(starts)
        return starts

    Transactions.replace = replace_  # type: ignore[method-assign]
    Assignment.seek_to_committed = rewind  # type: ignore[method-assign]


def auto_commit() -> None:
    """The consumer commits by itself what it has handed out, done or not."""
    from streams import kafka_clients  # noqa: PLC0415

    wrong = {
        "enable.auto.commit": True,
        "enable.auto.offset.store": True,
        "auto.commit.interval.ms": 100,
    }
    _with(kafka_clients, "consumer_properties", wrong)


def restored_uncommitted() -> None:
    """State is restored from whatever stands in the changelog."""
    from streams import kafka_clients  # noqa: PLC0415

    _with(kafka_clients, "reader_properties", {"isolation.level": "read_uncommitted"})


def offsets_after() -> None:
    """A store's offsets are written by a transaction of their own, after that of the rows."""
    from connectors.postgres.applying import concat_batches  # noqa: PLC0415
    from connectors.postgres.sink import PostgresSink  # noqa: PLC0415

    def flush(self: PostgresSink) -> Mapping[int, int]:
        waiting, self._waiting = self._waiting, []
        if waiting:
            whole = concat_batches(waiting)
            wanted = self._started | dict(whole.wanted)
            self._store.transaction(lambda connection: self._settle(connection, whole, (), {}))
            self._store.transaction(lambda connection: self._advanced(connection, wanted))
            self._started = wanted
        return dict(self._started)

    PostgresSink.flush = flush  # type: ignore[method-assign]


def revision_ignored() -> None:
    """Whatever comes last is written, newer or not; and nobody is fenced by offsets, which would keep older away."""
    from connectors.postgres import merge  # noqa: PLC0415
    from connectors.postgres.offsets import Offsets  # noqa: PLC0415
    from connectors.sink_worker import SinkWorker  # noqa: PLC0415

    SinkWorker._apply = slowed(SinkWorker._apply)  # type: ignore[method-assign]
    merge._UPSERT = merge._UPSERT.replace(" WHERE t.revision < excluded.revision", "")

    def advance(self: Offsets, connection: Connection[Any], started: Any, wanted: Mapping[int, int]) -> bool:
        for partition, offset in wanted.items():
            connection.execute(
                self._advance,
                [offset, self._topic, partition, self.stored(connection, [partition])[partition]],
            )
        return True

    Offsets.advance = advance  # type: ignore[method-assign]


def receipts_apart() -> None:
    """Receipts are written after the rows' transaction, by one of their own, before the next batch."""
    from connectors.postgres.outbox import Outbox  # noqa: PLC0415
    from connectors.postgres.sink import PostgresSink  # noqa: PLC0415
    from connectors.sink_worker import SinkWorker  # noqa: PLC0415

    write, read = Outbox.add_receipts, SinkWorker._read
    later: dict[int, list[pa.Table]] = {}

    def hold(self: Outbox, connection: Connection[Any], receipts: pa.Table) -> None:
        later.setdefault(id(self), []).append(receipts)

    def before_the_next(self: SinkWorker) -> Any:
        found, sink = read(self), self._sink
        if isinstance(sink, PostgresSink):
            for receipts in later.pop(id(sink._outbox), ()):
                sink._store.transaction(lambda c, r=receipts: write(sink._outbox, c, r))  # type: ignore[misc]
        return found

    Outbox.add_receipts = hold  # type: ignore[method-assign]
    SinkWorker._read = before_the_next  # type: ignore[method-assign]


def uncommitted_reads() -> None:
    """Steps and sinks read whatever stands in their topics."""
    from connectors.postgres import worker  # noqa: PLC0415
    from streams import kafka_clients  # noqa: PLC0415

    for module in (kafka_clients, worker):
        _with(module, "consumer_properties", {"isolation.level": "read_uncommitted"})


def slowed(right: Callable[..., Any]) -> Callable[..., Any]:
    """The same, but that it takes its time first."""
    never = threading.Event()

    def slow(*given: Any) -> Any:
        never.wait(SLOW_S)
        return right(*given)

    return slow


def _with(module: ModuleType, name: str, wrong: Mapping[str, Any]) -> None:
    """A function of properties of a client gives these, whatever it gave."""
    properties = getattr(module, name)
    setattr(module, name, lambda *given: properties(*given) | wrong)


class _Standing:
    """A client with some of its methods replaced."""

    def __init__(self, inner: Any, **replaced: Any) -> None:
        self._inner = inner
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


DEFECTS: Final[Mapping[str, Defect]] = MappingProxyType(
    {
        "no-group-metadata": Defect(
            "offsets without the group's generation",
            PAUSES,
            no_group_metadata,
            ("two-effects", "converted-twice"),
            BETWEEN_TOPICS,
        ),
        "no-rewind": Defect(
            "no way back after an abort",
            BROKERS,
            no_rewind,
            ("no-effect", "torn-case", "not-converted", "receipt-missing"),
        ),
        "producer-kept": Defect(
            "the producer is kept after a timeout",
            ("brokers-late",),
            producer_kept,
            ("two-effects", "converted-twice"),
            BETWEEN_TOPICS,
        ),
        "auto-commit": Defect(
            "the consumer commits by itself",
            KILLS,
            auto_commit,
            ("no-effect", "torn-case", "not-converted"),
            BETWEEN_TOPICS,
            1,
        ),
        "offsets-after": Defect(
            "a store's offsets follow its rows", KILLS, offsets_after, ("row-apart-from-offset",), SINKS, 1
        ),
        "restored-uncommitted": Defect(
            "state of what was never committed",
            KILLS,
            restored_uncommitted,
            ("state-differs", "two-effects", "revision-missing"),
            WITH_STATE,
            1,
        ),
        "revision-ignored": Defect(
            "an older change overwrites a newer",
            PAUSES,
            revision_ignored,
            ("row-went-back", "row-behind"),
            SINKS,
            days=5 * DAYS,
        ),
        "receipts-apart": Defect(
            "receipts follow the rows' transaction", KILLS, receipts_apart, ("receipt-missing",), SINKS, 1
        ),
        "uncommitted-reads": Defect(
            "records that were never committed are read",
            KILLS,
            uncommitted_reads,
            ("aborted-read", "torn-case", "converted-twice"),
            BETWEEN_TOPICS,
        ),
    }
)
