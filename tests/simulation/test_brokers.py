"""The simulated brokers promise what the pipeline relies on, and no more than real ones do."""

from __future__ import annotations

import pytest
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, KafkaException, TopicPartition

from tests.simulation.coordinator import BusyError, TransactionCoordinator
from tests.simulation.fetching import Fetcher
from tests.simulation.groups import GroupCoordinator, MemberMetadata, SimMember, StoredOffset
from tests.simulation.log import Log, LogEntry, TransactionState
from tests.simulation.virtual_time import VirtualTime

PARTITION = ("t", 0)


class SmallCluster:
    """A log with one topic of one partition, and both coordinators."""

    def __init__(self) -> None:
        self.time = VirtualTime()
        self.log = Log(self.time, 1)
        self.groups = GroupCoordinator(self.log)
        self.coordinator = TransactionCoordinator(self.log, self.groups)
        self.log.create_topic("t")

    def write(self, epoch: int, value: bytes, name: str = "p") -> None:
        """Write a record in the transaction of an epoch."""
        self.coordinator.produce(name, epoch, 10.0, [("t", LogEntry(PARTITION, -1, b"k", value))])

    def committed(self) -> list[bytes | None]:
        """Return the values that a reader of committed records receives."""
        return [entry.value_bytes for entry in self.log.read(PARTITION, 0, 100, committed=True)[0]]

    def member(self, instance: str, *, cooperative: bool = True) -> SimMember:
        """Add a member to group g that always answers."""
        member = SimMember(instance, 0, ("t",), 10.0, cooperative, lambda: True)
        self.groups.join("g", member)
        return member


def error_code(raised: pytest.ExceptionInfo[KafkaException]) -> int:
    return int(raised.value.args[0].code())


def test_an_open_transaction_holds_back_later_records() -> None:
    """Readers of committed records stop at the first open one; aborted records stay on the log and are skipped."""
    cluster = SmallCluster()
    first, second = cluster.coordinator.init_producer("p"), cluster.coordinator.init_producer("q")
    cluster.write(first, b"1")
    cluster.write(second, b"2", "q")
    cluster.coordinator.end("q", second, TransactionState.COMMITTED)
    assert cluster.committed() == []
    cluster.coordinator.end("p", first, TransactionState.ABORTED)
    assert cluster.committed() == [b"2"]
    assert len(cluster.log.read(PARTITION, 0, 100, committed=False)[0]) == 2
    assert [entry.aborted for entry in cluster.log.uncommitted_reads] == [True]


def test_a_new_producer_fences_the_previous_one() -> None:
    """The previous one's open transaction is aborted, and it can neither write nor commit any more."""
    cluster = SmallCluster()
    zombie = cluster.coordinator.init_producer("p")
    cluster.write(zombie, b"1")
    assert cluster.coordinator.init_producer("p") > zombie
    with pytest.raises(KafkaException) as raised:
        cluster.coordinator.end("p", zombie, TransactionState.COMMITTED)
    assert error_code(raised) == KafkaError._FENCED
    assert cluster.committed() == []


def test_a_transaction_is_aborted_after_its_timeout() -> None:
    """Its producer is fenced."""
    cluster = SmallCluster()
    epoch = cluster.coordinator.init_producer("p")
    cluster.write(epoch, b"1")
    cluster.time.pass_to(cluster.time.now_s + 11)
    with pytest.raises(KafkaException):
        cluster.write(epoch, b"2")
    assert cluster.log.last_stable_offset(PARTITION) == cluster.log.end_offset(PARTITION)


def test_a_late_commit_applies_to_the_next_transaction_of_its_epoch() -> None:
    """Brokers can't tell them apart without an epoch per transaction (KIP-890): a new producer is needed."""
    cluster = SmallCluster()
    epoch = cluster.coordinator.init_producer("p")
    cluster.write(epoch, b"1")
    cluster.coordinator.end("p", epoch, TransactionState.ABORTED)
    cluster.write(epoch, b"2")
    cluster.coordinator.end("p", epoch, TransactionState.COMMITTED)
    assert cluster.committed() == [b"2"]


def test_offsets_are_unstable_until_their_transaction_has_ended() -> None:
    """Offsets become visible with their transaction; while its markers are delayed, the next one can't begin."""
    cluster = SmallCluster()
    cluster.coordinator.marker_delay_s = lambda: 2.0
    member = cluster.member("a")
    epoch = cluster.coordinator.init_producer("p")
    metadata = MemberMetadata("g", member.generation, member.number, "a")
    cluster.coordinator.add_offsets("p", epoch, 10.0, metadata, [TopicPartition(*PARTITION, 7)])
    cluster.coordinator.end("p", epoch, TransactionState.COMMITTED)
    assert cluster.groups.has_unstable_offsets("g", [PARTITION])
    with pytest.raises(BusyError):
        cluster.coordinator.init_producer("p")
    cluster.time.pass_to(cluster.time.now_s + 3)
    assert not cluster.groups.has_unstable_offsets("g", [PARTITION])
    assert cluster.groups.group("g").offsets == {PARTITION: StoredOffset(7)}


def test_offsets_of_a_former_member_are_rejected() -> None:
    """So are those of an old generation, a fenced or an unknown member; without identity they are accepted."""
    cluster = SmallCluster()
    member = cluster.member("a")
    before = MemberMetadata("g", member.generation, member.number, "a")
    cluster.member("b")
    with pytest.raises(KafkaException) as raised:
        cluster.groups.check_member(before)
    assert error_code(raised) == KafkaError.ILLEGAL_GENERATION
    cluster.member("a")
    with pytest.raises(KafkaException) as raised:
        cluster.groups.check_member(before)
    assert error_code(raised) == KafkaError.FENCED_INSTANCE_ID
    with pytest.raises(KafkaException) as raised:
        cluster.groups.check_member(MemberMetadata("g", 1, 1, "c"))
    assert error_code(raised) == KafkaError.UNKNOWN_MEMBER_ID
    cluster.groups.check_member(MemberMetadata("g"))


def test_a_partition_is_revoked_before_another_member_receives_it() -> None:
    """A cooperative rebalance has two steps; a static member that rejoins receives its partitions at once."""
    cluster = SmallCluster()
    cluster.log.create_topic("t2")
    first = cluster.member("a")
    first.owned = set(first.assigned)
    second = cluster.member("b")
    assert not first.owned & second.assigned
    assert cluster.member("b").assigned == second.assigned
    assert second.error is not None


def test_a_silent_member_is_expelled() -> None:
    """Its partitions are assigned to others after its session timeout."""
    cluster = SmallCluster()
    silent = SimMember("a", 0, ("t",), 10.0, True, lambda: False)
    cluster.groups.join("g", silent)
    other = cluster.member("b")
    cluster.groups.silence("g", silent)
    cluster.time.pass_to(cluster.time.now_s + 11)
    assert other.assigned == {PARTITION}
    assert silent.error is not None


def test_the_answer_to_an_offset_lookup_undoes_a_seek() -> None:
    """Nothing is read before the answer, which takes effect whenever it comes, unless the partition was removed."""
    cluster = SmallCluster()
    epoch = cluster.coordinator.init_producer("p")
    cluster.write(epoch, b"1")
    cluster.coordinator.end("p", epoch, TransactionState.COMMITTED)
    end = cluster.log.end_offset(PARTITION)
    fetcher = Fetcher(cluster.log, {"isolation.level": "read_committed"})
    fetcher.request_offset(PARTITION, OFFSET_END, 1.0)
    assert not fetcher.ready
    assert fetcher.fetch(10) == []
    fetcher.seek(PARTITION, 0)
    assert [entry.value_bytes for entry in fetcher.fetch(10)] == [b"1"]
    fetcher.seek(PARTITION, 0)
    fetcher.answer_request_now(PARTITION)
    cluster.time.pass_to(cluster.time.now_s)
    assert fetcher.positions == {PARTITION: end}
    fetcher.request_offset(PARTITION, OFFSET_BEGINNING, 1.0)
    fetcher.remove(PARTITION)
    cluster.time.pass_to(cluster.time.now_s + 1)
    assert fetcher.positions == {}
