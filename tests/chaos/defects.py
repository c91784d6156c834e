"""Seeded defects that the checker must find: each makes the real classes wrong in one way, in the worker's own process.

None of this is in the product. Defects must replace private methods, because no public interface allows to break a
guarantee. `kinds` are the faults that reveal a defect. A defect that shows only if a fault falls into a certain moment
makes that moment longer (`slowed`), so a short run finds it.
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

from tests.chaos import rule_defects
from tests.chaos.cluster import STEPS
from tests.chaos.load import DAYS

KILLS: Final = ("worker-kill",)
BETWEEN_TOPICS: Final = ("intake", "household", "fan-out", "conversion")
WITH_STATE: Final = ("household", "fan-out")
SINKS: Final = ("sink",)
FAN_OUT: Final = "fan-out"
BROKERS: Final = ("broker-kill-leader", "broker-pause-leader", "brokers-cut")
PAUSES: Final = ("worker-pause",)
#: Time by which `slowed` delays a batch, after its records were read and before its transaction begins.
SLOW_S: Final = 2.0


@dataclass(frozen=True)
class Defect:
    """A seeded defect, and the run that reveals it."""

    description: str
    kinds: Sequence[str]
    install: Callable[[], None]
    #: Kinds of anomalies of which the checker must find one. Others don't count: a defect may also cause those, or they
    #: may come from workers that can't continue.
    shows: Sequence[str]
    #: Steps whose workers are targets of faults.
    steps: Sequence[str] = STEPS
    #: Workers per step; one is enough if no other has to take over.
    workers: int = 2
    #: Days that the city's submissions cover: with more days, fewer residents have more changes each; with fewer days,
    #: there are more residents, and more of them have a false registration.
    days: int = DAYS


def no_group_metadata() -> None:
    """Send offsets with the transaction, but not with the group's generation: those of a zombie are accepted."""
    from streams import kafka_clients  # noqa: PLC0415
    from streams.processing import Processing  # noqa: PLC0415

    Processing.run = slowed(Processing.run)  # type: ignore[method-assign]
    original = kafka_clients.KafkaClients.consumer

    def consumer(self: kafka_clients.KafkaClients) -> Any:
        stranger = KafkaConsumer({**self._connection, "group.id": self._group})
        return _WithReplacedMethods(original(self), consumer_group_metadata=stranger.consumer_group_metadata)

    kafka_clients.KafkaClients.consumer = consumer  # type: ignore[method-assign]


def no_rewind() -> None:
    """Don't seek after an abort: the consumer continues after the records of the aborted batch."""
    from streams.assignment import Assignment  # noqa: PLC0415

    original = Assignment.seek_to_committed

    def seek_to_committed(self: Assignment, partitions: Any) -> Any:
        self._seek_to, seek_to = lambda partition, offset: None, self._seek_to  # type: ignore[method-assign]
        try:
            return original(self, partitions)
        finally:
            self._seek_to = seek_to  # type: ignore[method-assign]

    Assignment.seek_to_committed = seek_to_committed  # type: ignore[method-assign]


def producer_reused() -> None:
    """Keep the producer after a timeout: end its open transaction and assume that nothing was committed."""
    from streams.assignment import Assignment  # noqa: PLC0415
    from streams.transactions import Transactions  # noqa: PLC0415

    def replace(self: Transactions) -> None:
        for end in (self._producer.abort_transaction, self._producer.commit_transaction):
            # If a commit was begun, the client rejects the abort, and the commit must be called again.
            with suppress(KafkaException):
                end(self._settings.commit_timeout_s)
                return

    def seek_to_positions(self: Assignment, partitions: Any) -> Any:
        positions = {
            partition: self.tasks[partition].position for partition in partitions if partition in self.tasks
        }
        for partition, position in positions.items():
            self._seek_to(partition, position)
        return positions

    Transactions.replace = replace  # type: ignore[method-assign]
    # The query for the committed offsets would mask this defect.
    Assignment.seek_to_committed = seek_to_positions  # type: ignore[method-assign]


def auto_commit() -> None:
    """Let the consumer commit by itself the offsets of records that it has returned, processed or not."""
    from streams import kafka_clients  # noqa: PLC0415

    wrong = {
        "enable.auto.commit": True,
        "enable.auto.offset.store": True,
        "auto.commit.interval.ms": 100,
    }
    _override_properties(kafka_clients, "consumer_properties", wrong)


def restored_uncommitted() -> None:
    """Restore state from all records of the changelog, aborted ones too."""
    from streams import kafka_clients  # noqa: PLC0415

    _override_properties(kafka_clients, "reader_properties", {"isolation.level": "read_uncommitted"})


def offsets_after() -> None:
    """Write a store's offsets in a transaction of their own, after that of the rows."""
    from connectors.postgres.applying import concat_batches  # noqa: PLC0415
    from connectors.postgres.sink import PostgresSink  # noqa: PLC0415

    def flush(self: PostgresSink) -> Mapping[int, int]:
        batches, self._pending = self._pending, []
        if batches:
            batch = concat_batches(batches)
            next_offsets = self._positions | dict(batch.next_offsets)
            self._store.transaction(lambda connection: self._apply(connection, batch, (), {}))
            self._store.transaction(lambda connection: self._advance_offsets(connection, next_offsets))
            self._positions = next_offsets
        return dict(self._positions)

    PostgresSink.flush = flush  # type: ignore[method-assign]


def revision_ignored() -> None:
    """Write whichever change comes last, newer or not.

    The fencing by offsets would keep older changes away and mask this defect, so it is disabled too.
    """
    from connectors.postgres import merge  # noqa: PLC0415
    from connectors.postgres.offsets import Offsets  # noqa: PLC0415
    from connectors.sink_worker import SinkWorker  # noqa: PLC0415

    SinkWorker._apply = slowed(SinkWorker._apply)  # type: ignore[method-assign]
    merge._UPSERT = merge._UPSERT.replace(" WHERE t.revision < excluded.revision", "")

    def advance(
        self: Offsets, connection: Connection[Any], started: Any, next_offsets: Mapping[int, int]
    ) -> bool:
        for partition, offset in next_offsets.items():
            stored = self.stored(connection, [partition])[partition]
            connection.execute(self._advance, [offset, self._topic, partition, stored])
        return True

    Offsets.advance = advance  # type: ignore[method-assign]


def receipts_apart() -> None:
    """Write receipts after the transaction of the rows, in one of their own before the next batch."""
    from connectors.postgres.outbox import Outbox  # noqa: PLC0415
    from connectors.postgres.sink import PostgresSink  # noqa: PLC0415
    from connectors.sink_worker import SinkWorker  # noqa: PLC0415

    add_receipts, read = Outbox.add_receipts, SinkWorker._read
    delayed: dict[int, list[pa.Table]] = {}

    def delay(self: Outbox, connection: Connection[Any], receipts: pa.Table) -> None:
        delayed.setdefault(id(self), []).append(receipts)

    def read_after_receipts(self: SinkWorker) -> Any:
        batch, sink = read(self), self._sink
        if isinstance(sink, PostgresSink):
            for receipts in delayed.pop(id(sink._outbox), ()):
                sink.store.transaction(lambda c, r=receipts: add_receipts(sink._outbox, c, r))  # type: ignore[misc]
        return batch

    Outbox.add_receipts = delay  # type: ignore[method-assign]
    SinkWorker._read = read_after_receipts  # type: ignore[method-assign]


def uncommitted_reads() -> None:
    """Let steps and sinks consume all records of their topics, aborted ones too."""
    from connectors.postgres import worker  # noqa: PLC0415
    from streams import kafka_clients  # noqa: PLC0415

    for module in (kafka_clients, worker):
        _override_properties(module, "consumer_properties", {"isolation.level": "read_uncommitted"})


def slowed(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return the same function, which waits `SLOW_S` before it begins."""
    never_set = threading.Event()

    def slow(*arguments: Any) -> Any:
        never_set.wait(SLOW_S)
        return original(*arguments)

    return slow


def _override_properties(module: ModuleType, name: str, wrong: Mapping[str, Any]) -> None:
    """Make a module's function return these properties of a client besides its own."""
    properties = getattr(module, name)
    setattr(module, name, lambda *arguments: properties(*arguments) | wrong)


class _WithReplacedMethods:
    """A client with some of its methods replaced."""

    def __init__(self, client: Any, **replaced: Any) -> None:
        self._client = client
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


DEFECTS: Final[Mapping[str, Defect]] = MappingProxyType(
    {
        "no-group-metadata": Defect(
            "offsets sent without the group's generation",
            kinds=PAUSES,
            install=no_group_metadata,
            shows=("two-effects", "converted-twice"),
            steps=BETWEEN_TOPICS,
        ),
        "no-rewind": Defect(
            "no rewind after an abort",
            kinds=BROKERS,
            install=no_rewind,
            shows=("no-effect", "incomplete-case", "not-converted", "receipt-missing"),
        ),
        "producer-reused": Defect(
            "producer reused after a timeout",
            kinds=("brokers-late",),
            install=producer_reused,
            shows=("two-effects", "converted-twice"),
            steps=BETWEEN_TOPICS,
        ),
        "auto-commit": Defect(
            "consumer with auto-commit",
            kinds=KILLS,
            install=auto_commit,
            shows=("no-effect", "incomplete-case", "not-converted"),
            steps=BETWEEN_TOPICS,
            workers=1,
        ),
        "offsets-after": Defect(
            "a store's offsets written after its rows",
            kinds=KILLS,
            install=offsets_after,
            shows=("row-offset-mismatch",),
            steps=SINKS,
            workers=1,
        ),
        "restored-uncommitted": Defect(
            "state restored with uncommitted reads",
            kinds=KILLS,
            install=restored_uncommitted,
            shows=("state-differs", "two-effects", "revision-missing"),
            steps=WITH_STATE,
            workers=1,
        ),
        "revision-ignored": Defect(
            "an older revision overwrites a newer",
            kinds=PAUSES,
            install=revision_ignored,
            shows=("row-went-back", "row-outdated"),
            steps=SINKS,
            days=5 * DAYS,
        ),
        "receipts-apart": Defect(
            "receipts written after the transaction of the rows",
            kinds=KILLS,
            install=receipts_apart,
            shows=("receipt-missing",),
            steps=SINKS,
            workers=1,
        ),
        "uncommitted-reads": Defect(
            "uncommitted records consumed",
            kinds=KILLS,
            install=uncommitted_reads,
            shows=("aborted-read", "incomplete-case", "converted-twice"),
            steps=BETWEEN_TOPICS,
        ),
        "last-registration-confirmed": Defect(
            "the registration received last is the confirmed one",
            kinds=KILLS,
            install=rule_defects.last_registration_confirmed,
            shows=("differs-from-reference",),
            steps=BETWEEN_TOPICS,
        ),
        "protection-ended-by-anybody": Defect(
            "a protection measure ended by any municipality",
            kinds=KILLS,
            install=rule_defects.protection_ended_by_anybody,
            shows=("differs-from-reference",),
            steps=BETWEEN_TOPICS,
            days=DAYS // 2,
        ),
        "portion-forgotten": Defect(
            "a portion of the agenda forgotten after a kill",
            kinds=KILLS,
            install=rule_defects.portion_forgotten_after_kill,
            shows=("differs-from-reference", "clock-differs"),
            steps=(FAN_OUT,),
            workers=1,
        ),
        "order-of-arrival": Defect(
            "submissions about an entity in the order of arrival",
            kinds=KILLS,
            install=rule_defects.order_of_arrival,
            shows=("differs-from-reference",),
            steps=BETWEEN_TOPICS,
        ),
        "cancelled-counted": Defect(
            "a cancelled submission still counted",
            kinds=KILLS,
            install=rule_defects.cancelled_counted,
            shows=("differs-from-reference",),
            steps=BETWEEN_TOPICS,
        ),
        "adoption-skips": Defect(
            "every second portion of an adoption left out",
            kinds=("adoption",),
            install=rule_defects.adoption_skips,
            shows=("differs-from-reference",),
            steps=(FAN_OUT,),
        ),
    }
)
