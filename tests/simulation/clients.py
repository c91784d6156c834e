"""confluent-kafka's clients on the simulated log, made of the very properties that the real ones are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.topics import dlq_state_topic
from streams import kafka_clients
from streams.clients import Partition, Rebalanced
from streams.settings import PipelineSettings
from tests.simulation.coordinator import Coordinator, refusal
from tests.simulation.fetching import Fetcher, Properties
from tests.simulation.groups import Committed, Groups, Metadata, SimMember
from tests.simulation.host import Host
from tests.simulation.log import Log, LogEntry
from tests.simulation.producer import SimProducer


def _pair(each: TopicPartition) -> Partition:
    return each.topic, each.partition


class SimConsumer:
    """A static member of a group: the pipeline's kind and the sinks' kind."""

    def __init__(self, log: Log, groups: Groups, host: Host, properties: Properties) -> None:
        self._log, self._groups, self._host = log, groups, host
        self._group, self._instance = properties["group.id"], properties["group.instance.id"]
        self._session_s = properties["session.timeout.ms"] / 1_000
        self._cooperative = properties["partition.assignment.strategy"] == "cooperative-sticky"
        # Both have to be on: without a stored offset there is nothing to commit.
        self._auto = properties["enable.auto.commit"] and properties["enable.auto.offset.store"]
        self._auto_s = 0.0
        self.fetcher = Fetcher(log, properties)
        self.member: SimMember | None = None

    def subscribe(
        self, topics: list[str], *, on_assign: Rebalanced, on_revoke: Rebalanced, on_lost: Rebalanced
    ) -> None:
        """Joins; the callbacks come from within `consume`."""
        self._topics = tuple(topics)
        self._on_assign, self._on_revoke, self._on_lost = on_assign, on_revoke, on_lost
        self._host.request("subscribe", self._join)

    @property
    def ready(self) -> bool:
        """Whether `consume` would do anything."""
        member = self.member
        if member is None:
            return False
        preparing = self._groups.of(self._group).preparing and not member.joined
        return member.news or member.ended is not None or preparing or self.fetcher.ready

    def consume(self, num_messages: int, timeout: float) -> list[LogEntry]:
        """What is there; nothing is waited for."""
        most = min(num_messages, self._host.most())
        stale: list[LogEntry] = []
        self._host.request("consume", lambda: None)
        if self.stale_first:
            # What was fetched before a rebalance stands in front of what comes after it.
            self.stale_first = False
            stale = self.fetcher.fetch(max(1, most // 2))
            self._groups.expel(self._group, self._joined())
            self._host.meanwhile(2.0)
        found = self._rebalanced()
        if found is None:
            found = stale + self.fetcher.fetch(max(0, most - len(stale)))
        self._commit_by_itself()
        return self._host.request("consumed", lambda: found)

    #: Set by a fault: the next read has a rebalance in the midst of its records.
    stale_first = False

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Reads these."""
        self.unassign()
        self.incremental_assign(partitions)

    def unassign(self) -> None:
        """Reads nothing."""
        for each in list(self.fetcher.positions):
            self.fetcher.forget(each)

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        """Reads these too."""
        for each in partitions:
            if each.offset >= 0:
                self.fetcher.seek(_pair(each), each.offset)
            else:
                self.fetcher.look_up(_pair(each), each.offset, self._log.look_up_s())

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        """Reads these no more."""
        for each in partitions:
            self.fetcher.forget(_pair(each))

    def pause(self, partitions: list[TopicPartition]) -> None:
        """Holds these back."""
        self.fetcher.paused.update(map(_pair, partitions))

    def resume(self, partitions: list[TopicPartition]) -> None:
        """Goes on with these."""
        self.fetcher.resume(map(_pair, partitions))

    def seek(self, partition: TopicPartition) -> None:
        """Goes on from there."""
        if _pair(partition) not in self.fetcher.positions:
            raise refusal(KafkaError._STATE)
        self.fetcher.seek(_pair(partition), partition.offset)
        self.fetcher.overtakes(_pair(partition))

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[Any]:
        """At once: an offset that an open transaction holds comes as an error."""
        asked = [_pair(each) for each in partitions]
        return self._host.request("committed", lambda: [self._told(each) for each in asked], timeout)

    def _told(self, of: Partition) -> kafka_clients.CommittedOffset:
        told = self._groups.told(self._group, of)
        if told is None:
            return kafka_clients.CommittedOffset(*of, -1001, KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT))
        return kafka_clients.CommittedOffset(*of, told.offset, metadata=told.metadata)

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:
        """Tells the group; nobody waits for the answer."""
        self._tell({_pair(each): each.offset for each in offsets})

    def consumer_group_metadata(self) -> Metadata:
        """As the client knows it now."""
        member = self._joined()
        return Metadata(self._group, member.generation, member.number, self._instance)

    def close(self) -> None:
        """Stops; a static member doesn't leave: its session ends when it isn't back in time."""
        member = self.member
        if member is not None:
            self._commit_by_itself(at_last=True)
            owned, member.owned = sorted(member.owned), set()
            self.member = None
            self._groups.silent(self._group, member)
            if owned:
                self._on_revoke(self, [TopicPartition(*each) for each in owned])

    def _join(self) -> None:
        self.member = SimMember(
            self._instance, 0, self._topics, self._session_s, self._cooperative, self._answers()
        )
        self._groups.join(self._group, self.member)

    def _answers(self) -> Any:
        return lambda: self.member is not None and self._host.heard()

    def _joined(self) -> SimMember:
        if self.member is None:
            raise refusal(KafkaError._STATE)
        return self.member

    def _rebalanced(self) -> list[LogEntry] | None:
        """Hears the group's news; not None where there is an error to tell instead of records."""
        member = self._joined()
        if member.ended is not None:
            if member.ended.code() == KafkaError._FATAL:
                return [_failed(member.ended)]
            self._give_back(member, set(member.owned), self._on_lost)
            self._join()
            member = self._joined()
        self._groups.heartbeats(self._group)
        if not self._cooperative and self._groups.of(self._group).preparing and not member.joined:
            self._give_back(member, set(member.owned), self._on_revoke)
            self._groups.released(self._group, member)
        if member.news:
            self._take(member)
        return None

    def _take(self, member: SimMember) -> None:
        member.news = False
        gone, new = member.owned - member.wanted, member.wanted - member.owned
        if gone:
            self._give_back(member, gone, self._on_revoke)
            self._groups.released(self._group, member)
        if new or not self._cooperative:
            member.owned |= new
            self._on_assign(self, [TopicPartition(*each) for each in sorted(new)])

    def _give_back(self, member: SimMember, gone: set[Partition], call: Rebalanced) -> None:
        self._commit_by_itself(at_last=True)
        if gone:
            call(self, [TopicPartition(*each) for each in sorted(gone)])
        member.owned -= gone

    def _commit_by_itself(self, *, at_last: bool = False) -> None:
        now_s = self._log.time.now_s
        if self._auto and (at_last or now_s - self._auto_s >= 5):
            self._auto_s = now_s
            found = self.fetcher
            self._tell({each: at for each, at in found.positions.items() if each not in found.unknown})

    def _tell(self, offsets: Mapping[Partition, int]) -> None:
        try:
            self._groups.check(self.consumer_group_metadata())
        except KafkaException:
            return
        self._groups.of(self._group).commit({each: Committed(at) for each, at in offsets.items()})


class SimReader:
    """Reads partitions of its own choice."""

    def __init__(self, log: Log, host: Host, properties: Properties, call: str = "read") -> None:
        self._log, self._host, self._properties, self._call = log, host, properties, call
        self.fetcher = Fetcher(log, properties)

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Reads these, from their offsets."""
        self.fetcher = Fetcher(self._log, self._properties)
        for each in partitions:
            self.fetcher.seek(_pair(each), each.offset)

    def consume(self, num_messages: int, timeout: float) -> list[LogEntry]:
        """Records, or ends of partitions."""
        return self._host.request(self._call, lambda: self.fetcher.fetch(num_messages))

    def close(self) -> None:
        """Reads nothing more."""
        self.fetcher = Fetcher(self._log, self._properties)


class Brokers(NamedTuple):
    """What there is to connect to."""

    log: Log
    groups: Groups
    coordinator: Coordinator


class SimClients:
    """One slot's clients (`streams.clients.Clients`), with the properties that `KafkaClients` would give them."""

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
        self.last_follower: SimReader | None = None

    def producer(self) -> SimProducer:
        """A new producer of the slot."""
        properties = kafka_clients.producer_properties({}, self._id, self._settings)
        return SimProducer(self._coordinator, self._host, properties)

    def consumer(self) -> SimConsumer:
        """The slot's member."""
        properties = kafka_clients.consumer_properties({}, self._group, self._id, self._settings)
        self.last_consumer = SimConsumer(self._log, self._groups, self._host, properties)
        return self.last_consumer

    def reader(self) -> SimReader:
        """Reads changelogs."""
        self.last_reader = SimReader(self._log, self._host, kafka_clients.reader_properties({}, self._group))
        return self.last_reader

    def tailing_reader(self) -> SimReader:
        """Reads a topic in which little happens."""
        self.last_follower = SimReader(
            self._log, self._host, kafka_clients.reader_properties({}, self._group), "follow"
        )
        return self.last_follower

    def barrier_partition(self) -> Partition:
        """As many workers as partitions would have one each: here some share."""
        step, slot = self._group.removeprefix("mesh."), int(self._id.rpartition(".")[2])
        return dlq_state_topic(step), slot % (self._log.partitions - 1)

    def unassigned_partitions(self, inputs: Iterable[str]) -> frozenset[Partition]:
        """At once."""
        return self._groups.unassigned_partitions(self._group, inputs)

    def request_rebalance(self) -> SimTransientMember:
        """Has everybody join again as it comes, and once more as it goes."""
        return SimTransientMember(self._groups, self._group)


class SimTransientMember:
    """A member that joins, takes nothing, and leaves."""

    def __init__(self, groups: Groups, name: str) -> None:
        self._groups, self._name = groups, name
        groups.rebalance(name)

    def completed(self) -> bool:
        """When all have joined."""
        return not self._groups.of(self._name).preparing

    def close(self) -> None:
        """Leaves."""
        self._groups.rebalance(self._name)


def _failed(error: KafkaError) -> LogEntry:
    entry = LogEntry(("", 0), -1)
    entry.failure = error
    return entry
