"""confluent-kafka's clients on the simulated log, built from the same properties as the real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.topics import dlq_state_topic
from streams import kafka_clients
from streams.clients import Partition, Rebalanced
from streams.librdkafka.group_consumer import CommittedOffset
from streams.settings import PipelineSettings
from tests.simulation.coordinator import TransactionCoordinator, kafka_exception
from tests.simulation.fetching import Fetcher, Properties
from tests.simulation.groups import GroupCoordinator, MemberMetadata, SimMember, StoredOffset
from tests.simulation.log import Log, LogEntry
from tests.simulation.producer import SimProducer
from tests.simulation.virtual_time import Host

#: The call of a reader that follows a topic: operator commands, global tables.
FOLLOW: Final = "follow"
#: How often librdkafka commits by itself if `enable.auto.commit` is set.
_AUTO_COMMIT_INTERVAL_S = 5


def _partition(position: TopicPartition) -> Partition:
    return position.topic, position.partition


class SimConsumer:
    """A static group member: the pipeline's cooperative kind and the sinks' eager kind."""

    #: Set by a fault: the next `consume` has a rebalance between its records.
    stale_records_first = False

    def __init__(self, log: Log, groups: GroupCoordinator, host: Host, properties: Properties) -> None:
        self._log, self._groups, self._host = log, groups, host
        self._group, self._instance = properties["group.id"], properties["group.instance.id"]
        self._session_s = properties["session.timeout.ms"] / 1_000
        self._cooperative = properties["partition.assignment.strategy"] == "cooperative-sticky"
        # Both must be on: without a stored offset there is nothing to commit.
        self._auto_commits = properties["enable.auto.commit"] and properties["enable.auto.offset.store"]
        self._auto_committed_s = 0.0
        self.fetcher = Fetcher(log, properties)
        self.member: SimMember | None = None

    def subscribe(
        self, topics: list[str], *, on_assign: Rebalanced, on_revoke: Rebalanced, on_lost: Rebalanced
    ) -> None:
        """Join the group; the callbacks are called from within `consume`."""
        self._topics = tuple(topics)
        self._on_assign, self._on_revoke, self._on_lost = on_assign, on_revoke, on_lost
        self._host.request("subscribe", self._join)

    @property
    def ready(self) -> bool:
        """Whether `consume` would do anything."""
        member = self.member
        if member is None:
            return False
        must_rejoin = self._groups.group(self._group).preparing and not member.joined
        return member.assignment_pending or member.error is not None or must_rejoin or self.fetcher.ready

    def consume(self, num_messages: int, timeout: float) -> list[LogEntry]:
        """Return what can be fetched at once; never wait."""
        records_max = min(num_messages, self._host.fetch_size())
        stale: list[LogEntry] = []
        self._host.request("consume", lambda: None)
        if self.stale_records_first:
            # Records fetched before a rebalance come ahead of those fetched after it.
            self.stale_records_first = False
            stale = self.fetcher.fetch(max(1, records_max // 2))
            self._groups.expel(self._group, self._joined())
            self._host.let_others_run(2.0)
        entries = self._handle_rebalance()
        if entries is None:
            entries = stale + self.fetcher.fetch(max(0, records_max - len(stale)))
            if entries:
                self._host.polled_version = self._log.version
        self._auto_commit()
        return self._host.request("consumed", lambda: entries)

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read these partitions only."""
        self.unassign()
        self.incremental_assign(partitions)

    def unassign(self) -> None:
        """Stop reading all partitions."""
        for partition in list(self.fetcher.positions):
            self.fetcher.remove(partition)

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        """Read these partitions too, from their offset or from one that the broker has to look up."""
        for position in partitions:
            if position.offset >= 0:
                self.fetcher.seek(_partition(position), position.offset)
            else:
                self.fetcher.request_offset(_partition(position), position.offset, self._log.lookup_delay_s())

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        """Stop reading these partitions."""
        for position in partitions:
            self.fetcher.remove(_partition(position))

    def pause(self, partitions: list[TopicPartition]) -> None:
        """Fetch nothing from these partitions until `resume`."""
        self.fetcher.paused.update(map(_partition, partitions))

    def resume(self, partitions: list[TopicPartition]) -> None:
        """Fetch from these partitions again."""
        self.fetcher.resume(map(_partition, partitions))

    def seek(self, partition: TopicPartition) -> None:
        """Set the position of an assigned partition."""
        if _partition(partition) not in self.fetcher.positions:
            raise kafka_exception(KafkaError._STATE)
        self.fetcher.seek(_partition(partition), partition.offset)
        self.fetcher.answer_request_now(_partition(partition))

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[Any]:
        """Return committed offsets at once; an unstable one has an error."""
        requested = [_partition(position) for position in partitions]
        return self._host.request(
            "committed", lambda: [self._committed_offset(partition) for partition in requested], timeout
        )

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:
        """Report offsets to the group without waiting for the answer."""
        self._report_offsets({_partition(position): position.offset for position in offsets})

    def get_watermark_offsets(self, partition: TopicPartition, timeout: float) -> tuple[int, int]:
        """Return the range of offsets of the partition's log at once."""
        return 0, self._host.request("watermarks", lambda: self._log.end_offset(_partition(partition)))

    def consumer_group_metadata(self) -> MemberMetadata:
        """Return the identity that the client knows now."""
        member = self._joined()
        return MemberMetadata(self._group, member.generation, member.number, self._instance)

    def close(self) -> None:
        """Stop. A static member doesn't leave: its session expires unless it rejoins in time."""
        member = self.member
        if member is not None:
            self._auto_commit(on_close=True)
            owned, member.owned = sorted(member.owned), set()
            self.member = None
            self._groups.silence(self._group, member)
            if owned:
                self._on_revoke(self, [TopicPartition(*partition) for partition in owned])

    def _committed_offset(self, partition: Partition) -> CommittedOffset:
        stored = self._groups.committed_offset(self._group, partition)
        if stored is None:
            return CommittedOffset(*partition, -1001, KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT))
        return CommittedOffset(*partition, stored.offset, metadata=stored.metadata)

    def _join(self) -> None:
        self.member = SimMember(
            self._instance, 0, self._topics, self._session_s, self._cooperative, self._responsiveness()
        )
        self._groups.join(self._group, self.member)

    def _responsiveness(self) -> Callable[[], bool]:
        return lambda: self.member is not None and self._host.is_responsive()

    def _joined(self) -> SimMember:
        if self.member is None:
            raise kafka_exception(KafkaError._STATE)
        return self.member

    def _handle_rebalance(self) -> list[LogEntry] | None:
        """Handle what the group requires; return the error event to return instead of records, or None."""
        member = self._joined()
        if member.error is not None:
            if member.error.code() == KafkaError._FATAL:
                return [_error_event(member.error)]
            self._give_up(member, set(member.owned), self._on_lost)
            self._join()
            member = self._joined()
        self._groups.heartbeats(self._group)
        if not self._cooperative and self._groups.group(self._group).preparing and not member.joined:
            self._give_up(member, set(member.owned), self._on_revoke)
            self._groups.partitions_revoked(self._group, member)
        if member.assignment_pending:
            self._apply_assignment(member)
        return None

    def _apply_assignment(self, member: SimMember) -> None:
        member.assignment_pending = False
        revoked, new = member.owned - member.assigned, member.assigned - member.owned
        if revoked:
            self._give_up(member, revoked, self._on_revoke)
            self._groups.partitions_revoked(self._group, member)
        if new or not self._cooperative:
            member.owned |= new
            self._on_assign(self, [TopicPartition(*partition) for partition in sorted(new)])

    def _give_up(self, member: SimMember, partitions: set[Partition], callback: Rebalanced) -> None:
        self._auto_commit(on_close=True)
        if partitions:
            callback(self, [TopicPartition(*partition) for partition in sorted(partitions)])
        member.owned -= partitions

    def _auto_commit(self, *, on_close: bool = False) -> None:
        now_s = self._log.time.now_s
        due = on_close or now_s - self._auto_committed_s >= _AUTO_COMMIT_INTERVAL_S
        if self._auto_commits and due:
            self._auto_committed_s = now_s
            unknown = self.fetcher.unknown
            self._report_offsets(
                {
                    partition: position
                    for partition, position in self.fetcher.positions.items()
                    if partition not in unknown
                }
            )

    def _report_offsets(self, offsets: Mapping[Partition, int]) -> None:
        try:
            self._groups.check_member(self.consumer_group_metadata())
        except KafkaException:
            return
        self._groups.group(self._group).commit(
            {partition: StoredOffset(offset) for partition, offset in offsets.items()}
        )


class SimReader:
    """A consumer without a group, which reads the partitions that it assigns itself."""

    def __init__(self, log: Log, host: Host, properties: Properties, call: str = "read") -> None:
        self._log, self._host, self._properties, self._call = log, host, properties, call
        self.fetcher = Fetcher(log, properties)

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read these partitions, from their offsets."""
        self.fetcher = Fetcher(self._log, self._properties)
        for position in partitions:
            self.fetcher.seek(_partition(position), position.offset)

    def consume(self, num_messages: int, timeout: float) -> list[LogEntry]:
        """Return records or ends of partitions."""
        entries: list[LogEntry] = self._host.request(self._call, lambda: self.fetcher.fetch(num_messages))
        if not entries and timeout and self._call == FOLLOW:
            # A worker that waits for a table's end processes nothing meanwhile: all others run.
            self._host.let_others_run(timeout)
        return entries

    def close(self) -> None:
        """Stop reading."""
        self.fetcher = Fetcher(self._log, self._properties)


class Brokers(NamedTuple):
    """The log and both coordinators."""

    log: Log
    groups: GroupCoordinator
    coordinator: TransactionCoordinator


class SimClients:
    """The clients of one worker slot (`streams.clients.Clients`), with the properties that `KafkaClients` uses."""

    def __init__(
        self,
        brokers: Brokers,
        host: Host,
        names: tuple[str, str],
        settings: PipelineSettings,
    ) -> None:
        self._log, self._groups, self._coordinator = brokers
        self._host = host
        (self._group, self._id), self._settings = names, settings
        self.last_consumer: SimConsumer | None = None
        self.last_reader: SimReader | None = None

    def producer(self) -> SimProducer:
        """Return a new producer of the slot."""
        properties = kafka_clients.producer_properties({}, self._id, self._settings)
        return SimProducer(self._coordinator, self._host, properties)

    def consumer(self) -> SimConsumer:
        """Return a new group member of the slot."""
        properties = kafka_clients.consumer_properties({}, self._group, self._id, self._settings)
        self.last_consumer = SimConsumer(self._log, self._groups, self._host, properties)
        return self.last_consumer

    def reader(self) -> SimReader:
        """Return a reader of changelogs."""
        self.last_reader = SimReader(self._log, self._host, kafka_clients.reader_properties({}, self._group))
        return self.last_reader

    def tailing_reader(self) -> SimReader:
        """Return a reader that follows a topic with little traffic."""
        return SimReader(self._log, self._host, kafka_clients.reader_properties({}, self._group), FOLLOW)

    def table_reader(self) -> SimReader:
        """Return a reader of global tables."""
        return self.tailing_reader()

    def end_offsets(self, topic: str) -> dict[Partition, int]:
        """Return the offset after the last record of each partition."""
        partitions = [(topic, number) for number in range(self._log.topics[topic])]
        return self._host.request(
            "end_offsets", lambda: {partition: self._log.end_offset(partition) for partition in partitions}
        )

    def partition_count(self, topic: str) -> int:
        """Return the number of partitions of a topic; the first record creates it with as many as all have."""
        return self._host.request(
            "partition_count", lambda: self._log.topics.get(topic, self._log.partitions)
        )

    def now_ms(self) -> int:
        """Return the time of day, which faults move in either direction."""
        return int(1_000 * (self._log.wall_clock_offset_s + self._log.time.now_s))

    def barrier_partition(self) -> Partition:
        """Return the slot's barrier partition. Here some slots share one: with as many as workers each had its own."""
        step, slot = self._group.removeprefix("mesh."), int(self._id.rpartition(".")[2])
        return dlq_state_topic(step), slot % (self._log.partitions - 1)

    def unassigned_partitions(self, inputs: Iterable[str]) -> frozenset[Partition]:
        """Return the unassigned partitions at once."""
        return self._groups.unassigned_partitions(self._group, inputs)

    def request_rebalance(self) -> SimTransientMember:
        """Add a member that makes all others rejoin when it joins and once more when it leaves."""
        return SimTransientMember(self._groups, self._group)


class SimTransientMember:
    """A member that joins, takes no partition, and leaves."""

    def __init__(self, groups: GroupCoordinator, name: str) -> None:
        self._groups, self._name = groups, name
        groups.rebalance(name)

    def completed(self) -> bool:
        """Return whether all members have rejoined."""
        return not self._groups.group(self._name).preparing

    def close(self) -> None:
        """Leave the group."""
        self._groups.rebalance(self._name)


def _error_event(error: KafkaError) -> LogEntry:
    entry = LogEntry(("", 0), -1)
    entry.failure = error
    return entry
