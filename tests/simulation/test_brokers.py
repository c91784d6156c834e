"""The simulated brokers keep what the pipeline relies on, and no more than real ones do."""

from __future__ import annotations

import pytest
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, KafkaException, TopicPartition

from tests.simulation.coordinator import BusyError, Coordinator
from tests.simulation.fetching import Fetcher
from tests.simulation.groups import Committed, Groups, Metadata, SimMember
from tests.simulation.log import Log, LogEntry, State
from tests.simulation.virtual_time import VirtualTime

TOPIC = ("t", 0)


class Brokers:
    """A log with one topic of one partition, and both coordinators."""

    def __init__(self) -> None:
        self.time = VirtualTime()
        self.log = Log(self.time, 1)
        self.groups = Groups(self.log)
        self.coordinator = Coordinator(self.log, self.groups)
        self.log.create("t")

    def write(self, epoch: int, value: bytes, name: str = "p") -> None:
        """A record in the transaction of an epoch."""
        self.coordinator.produce(name, epoch, 10.0, [("t", LogEntry(TOPIC, -1, b"k", value))])

    def committed(self) -> list[bytes | None]:
        """What a reader of committed records gets."""
        return [entry.value_bytes for entry in self.log.read(TOPIC, 0, 100, committed=True)[0]]

    def member(self, instance: str, *, cooperative: bool = True) -> SimMember:
        """A member of group g that always answers."""
        member = SimMember(instance, 0, ("t",), 10.0, cooperative, lambda: True)
        self.groups.join("g", member)
        return member


def refused(failed: pytest.ExceptionInfo[KafkaException]) -> int:
    """The error's code."""
    return int(failed.value.args[0].code())


def test_an_open_transaction_holds_back_what_comes_after_it() -> None:
    """Readers of committed records stop at the first open one; what is aborted is on the log, and stepped over."""
    brokers = Brokers()
    one, other = brokers.coordinator.init("p"), brokers.coordinator.init("q")
    brokers.write(one, b"1")
    brokers.write(other, b"2", "q")
    brokers.coordinator.end("q", other, State.COMMITTED)
    assert brokers.committed() == []
    brokers.coordinator.end("p", one, State.ABORTED)
    assert brokers.committed() == [b"2"]
    assert len(brokers.log.read(TOPIC, 0, 100, committed=False)[0]) == 2
    assert [entry.aborted for entry in brokers.log.uncommitted_reads] == [True]


def test_the_next_of_a_slot_fences_the_one_before() -> None:
    """Its open transaction is aborted; nothing of it can be written or committed any more."""
    brokers = Brokers()
    zombie = brokers.coordinator.init("p")
    brokers.write(zombie, b"1")
    assert brokers.coordinator.init("p") > zombie
    with pytest.raises(KafkaException) as failed:
        brokers.coordinator.end("p", zombie, State.COMMITTED)
    assert refused(failed) == KafkaError._FENCED
    assert brokers.committed() == []


def test_a_transaction_that_stays_open_is_aborted() -> None:
    """After its time-out, and its producer is fenced."""
    brokers = Brokers()
    epoch = brokers.coordinator.init("p")
    brokers.write(epoch, b"1")
    brokers.time.pass_to(brokers.time.now_s + 11)
    with pytest.raises(KafkaException):
        brokers.write(epoch, b"2")
    assert brokers.log.stable_end(TOPIC) == brokers.log.end(TOPIC)


def test_a_late_commit_hits_the_next_transaction_of_its_epoch() -> None:
    """Without an epoch per transaction (KIP-890) the brokers can't tell: that is what a new producer is for."""
    brokers = Brokers()
    epoch = brokers.coordinator.init("p")
    brokers.write(epoch, b"1")
    brokers.coordinator.end("p", epoch, State.ABORTED)
    brokers.write(epoch, b"2")
    brokers.coordinator.end("p", epoch, State.COMMITTED)
    assert brokers.committed() == [b"2"]


def test_offsets_are_unstable_until_their_transaction_has_ended() -> None:
    """They come with it, or not at all; while its end is on its way, the next one waits."""
    brokers = Brokers()
    brokers.coordinator.late = lambda: 2.0
    member = brokers.member("a")
    epoch = brokers.coordinator.init("p")
    of = Metadata("g", member.generation, member.number, "a")
    brokers.coordinator.add_offsets("p", epoch, 10.0, of, [TopicPartition(*TOPIC, 7)])
    brokers.coordinator.end("p", epoch, State.COMMITTED)
    assert brokers.groups.unstable("g", [TOPIC])
    with pytest.raises(BusyError):
        brokers.coordinator.init("p")
    brokers.time.pass_to(brokers.time.now_s + 3)
    assert not brokers.groups.unstable("g", [TOPIC])
    assert brokers.groups.of("g").offsets == {TOPIC: Committed(7)}


def test_offsets_of_an_old_generation_are_refused() -> None:
    """And those of a member that another has taken the place of, or that is none any more; nobody's are taken."""
    brokers = Brokers()
    member = brokers.member("a")
    before = Metadata("g", member.generation, member.number, "a")
    brokers.member("b")
    with pytest.raises(KafkaException) as failed:
        brokers.groups.check(before)
    assert refused(failed) == KafkaError.ILLEGAL_GENERATION
    brokers.member("a")
    with pytest.raises(KafkaException) as failed:
        brokers.groups.check(before)
    assert refused(failed) == KafkaError.FENCED_INSTANCE_ID
    with pytest.raises(KafkaException) as failed:
        brokers.groups.check(Metadata("g", 1, 1, "c"))
    assert refused(failed) == KafkaError.UNKNOWN_MEMBER_ID
    brokers.groups.check(Metadata("g"))


def test_a_partition_is_given_back_before_another_has_it() -> None:
    """Cooperative: two steps; and a static member that comes back has at once what it had."""
    brokers = Brokers()
    brokers.log.create("t2")
    first = brokers.member("a")
    first.owned = set(first.wanted)
    second = brokers.member("b")
    assert not first.owned & second.wanted
    assert brokers.member("b").wanted == second.wanted
    assert second.ended is not None


def test_a_silent_member_is_taken_for_gone() -> None:
    """When its session's time is over, and what it had goes to others."""
    brokers = Brokers()
    gone = SimMember("a", 0, ("t",), 10.0, True, lambda: False)
    brokers.groups.join("g", gone)
    other = brokers.member("b")
    brokers.groups.silent("g", gone)
    brokers.time.pass_to(brokers.time.now_s + 11)
    assert other.wanted == {TOPIC}
    assert gone.ended is not None


def test_an_end_that_is_looked_up_undoes_a_seek() -> None:
    """Nothing is read before the answer; which counts whenever it comes, but for a partition given back by then."""
    brokers = Brokers()
    epoch = brokers.coordinator.init("p")
    brokers.write(epoch, b"1")
    brokers.coordinator.end("p", epoch, State.COMMITTED)
    end = brokers.log.end(TOPIC)
    fetcher = Fetcher(brokers.log, {"isolation.level": "read_committed"})
    fetcher.look_up(TOPIC, OFFSET_END, 1.0)
    assert not fetcher.ready
    assert fetcher.fetch(10) == []
    fetcher.seek(TOPIC, 0)
    assert [entry.value_bytes for entry in fetcher.fetch(10)] == [b"1"]
    fetcher.seek(TOPIC, 0)
    fetcher.overtakes(TOPIC)
    brokers.time.pass_to(brokers.time.now_s)
    assert fetcher.positions == {TOPIC: end}
    fetcher.look_up(TOPIC, OFFSET_BEGINNING, 1.0)
    fetcher.forget(TOPIC)
    brokers.time.pass_to(brokers.time.now_s + 1)
    assert fetcher.positions == {}
