"""The coordinator of groups: generations, static members, rebalances of both kinds, committed and pending offsets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException

from streams.clients import Partition
from tests.simulation.log import Log, State, Transaction

#: How long brokers wait for members to join again before they go on without them.
_JOIN_S = 120.0


class Committed(NamedTuple):
    """An offset, and what its member has said with it."""

    offset: int
    metadata: str = ""


#: Nothing was committed.
NONE: Final = Committed(-1001)


class Metadata(NamedTuple):
    """What a member says of itself with its offsets; without generation and instance nobody can check it."""

    group: str
    generation: int = -1
    member: int = 0
    instance: str | None = None


@dataclass(eq=False)
class SimMember:
    """One static member; `heard` says whether its client answers (a process that is paused or gone doesn't)."""

    instance: str
    number: int
    topics: tuple[str, ...]
    session_s: float
    cooperative: bool
    heard: Callable[[], bool]
    joined: bool = False
    #: What its client knows: the generation, and what it is to have.
    generation: int = -1
    wanted: set[Partition] = field(default_factory=set)
    #: What it has not given back yet.
    owned: set[Partition] = field(default_factory=set)
    #: Whether the client's application has still to hear of `wanted`.
    news: bool = False
    ended: KafkaError | None = None


@dataclass
class Group:
    """One group."""

    generation: int = 0
    members: dict[str, SimMember] = field(default_factory=dict)
    preparing: bool = False
    round: int = 0
    #: 0: everybody keeps what he has; else how far everything has been turned over.
    shift: int = 0
    offsets: dict[Partition, Committed] = field(default_factory=dict)
    pending: dict[Transaction, dict[Partition, Committed]] = field(default_factory=dict)
    #: What was committed before, change by change.
    before: list[tuple[Partition, Committed]] = field(default_factory=list)

    def commit(self, offsets: Mapping[Partition, Committed]) -> None:
        """These count from now on."""
        self.before += [(each, self.offsets.get(each, NONE)) for each in offsets]
        self.offsets.update(offsets)

    def as_it_was(self, changes: int) -> dict[Partition, Committed]:
        """What was committed so many changes ago."""
        found = dict(self.offsets)
        for partition, before in reversed(self.before[max(0, len(self.before) - changes) :]):
            found[partition] = before
        return found


class Groups:
    """All groups."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._groups: dict[str, Group] = {}
        self._numbers = 0
        #: A coordinator that is deposed, and doesn't know it, answers as of so many changes ago.
        self.deposed_by = 0
        log.watch(self._created)

    def of(self, name: str) -> Group:
        """The group."""
        return self._groups.setdefault(name, Group())

    def join(self, name: str, member: SimMember) -> None:
        """A new member, or the next of a static one: that has its partitions at once, and fences the one before."""
        group = self.of(name)
        self._numbers += 1
        member.number = self._numbers
        before = group.members.get(member.instance)
        group.members[member.instance] = member
        member.joined = True
        if before is not None:
            before.ended = KafkaError(KafkaError._FATAL)
            if not group.preparing:
                member.wanted, member.generation, member.news = set(before.wanted), group.generation, True
                return
        if not group.preparing:
            self.rebalance(name)
            member.joined = True
        self._complete(name, group)

    def turn_over(self, name: str) -> None:
        """A rebalance after which everybody has something else."""
        self.of(name).shift += 1
        self.rebalance(name)

    def rebalance(self, name: str) -> None:
        """Everybody has to join again."""
        group = self.of(name)
        group.preparing, group.round = True, group.round + 1
        for member in group.members.values():
            member.joined = False
        self._log.time.after(_JOIN_S, partial(self._without, name, group.round))
        self.heartbeats(name)

    def heartbeats(self, name: str) -> None:
        """Clients that are heard hear of a rebalance; what the application has to do comes with its next read."""
        group = self.of(name)
        if group.preparing:
            for member in group.members.values():
                if not member.joined and member.heard() and (member.cooperative or not member.owned):
                    member.joined = True
                    # Who joins again has no use any more for an assignment that the application never heard of.
                    member.news = member.news and member.cooperative
            self._complete(name, group)

    def silent(self, name: str, member: SimMember) -> None:
        """Its client says nothing from now on; one that stays so is taken for gone after its session's time."""
        self._log.time.after(member.session_s, partial(self._expire, name, member))

    def expel(self, name: str, member: SimMember) -> None:
        """Takes a member for gone, whatever it thinks."""
        group = self.of(name)
        if group.members.get(member.instance) is member:
            del group.members[member.instance]
            member.generation = -1
            member.ended = member.ended or KafkaError(KafkaError.UNKNOWN_MEMBER_ID)
            if group.members:
                self.rebalance(name)

    def released(self, name: str, member: SimMember) -> None:
        """It has given back what it is to have no more: there may be others for it."""
        group = self.of(name)
        if not member.cooperative:
            self.heartbeats(name)
        elif group.members.get(member.instance) is member and not group.preparing:
            self.rebalance(name)

    def check(self, of: Metadata) -> None:
        """Refuses offsets of a member that is none, or of another generation; nobody's are taken as they are."""
        group = self.of(of.group)
        if of.instance is None and of.generation < 0:
            return
        member = group.members.get(of.instance or "")
        if member is None:
            raise _refused(KafkaError.UNKNOWN_MEMBER_ID)
        if member.number != of.member:
            raise _refused(KafkaError.FENCED_INSTANCE_ID)
        if of.generation != group.generation:
            raise _refused(KafkaError.ILLEGAL_GENERATION)

    def told(self, name: str, of: Partition) -> Committed | None:
        """What a member is told of an offset; None: a transaction holds it."""
        group = self.of(name)
        if self.deposed_by:
            return group.as_it_was(self.deposed_by).get(of, NONE)
        return None if self.unstable(name, [of]) else group.offsets.get(of, NONE)

    def hold(self, name: str, transaction: Transaction, offsets: Mapping[Partition, Committed]) -> None:
        """Offsets that count when their transaction is committed."""
        self.of(name).pending.setdefault(transaction, {}).update(offsets)

    def settle(self, name: str, transaction: Transaction) -> None:
        """The transaction's end has reached the group."""
        group = self.of(name)
        offsets = group.pending.pop(transaction, {})
        if transaction.state is State.COMMITTED:
            group.commit(offsets)

    def unstable(self, name: str, partitions: Iterable[Partition]) -> bool:
        """Whether a transaction holds offsets of these."""
        asked = set(partitions)
        return any(not asked.isdisjoint(held) for held in self.of(name).pending.values())

    def unassigned_partitions(self, name: str, inputs: Iterable[str]) -> frozenset[Partition]:
        """Partitions that no member is to have; none while the group is between two generations."""
        group = self.of(name)
        if group.preparing or not group.members:
            return frozenset()
        taken = set[Partition]().union(*(member.wanted for member in group.members.values()))
        return frozenset(self._log.matching(list(inputs))) - taken

    def _created(self, topic: str) -> None:
        for name, group in self._groups.items():
            if any(self._subscribed(member, topic) for member in group.members.values()):
                self.rebalance(name)

    def _subscribed(self, member: SimMember, topic: str) -> bool:
        return any((topic, 0) == each for each in self._log.matching(member.topics))

    def _expire(self, name: str, member: SimMember) -> None:
        if not member.heard():
            self.expel(name, member)

    def _without(self, name: str, number: int) -> None:
        group = self.of(name)
        if group.preparing and group.round == number:
            for member in [each for each in group.members.values() if not each.joined]:
                self.expel(name, member)
            self.heartbeats(name)

    def _complete(self, name: str, group: Group) -> None:
        if (
            not group.preparing
            or not group.members
            or not all(member.joined for member in group.members.values())
        ):
            return
        group.preparing, group.generation = False, group.generation + 1
        topics = sorted({topic for member in group.members.values() for topic in member.topics})
        targets = self._shared(group, self._log.matching(topics))
        for member in group.members.values():
            others = [other for other in group.members.values() if other is not member]
            held = set().union(*(other.owned for other in others))
            member.wanted = targets[member.instance] - held
            member.generation, member.news = group.generation, True

    def _shared(self, group: Group, partitions: Sequence[Partition]) -> dict[str, set[Partition]]:
        """Sticky: everybody keeps what is his share of what he has; the rest goes to who has least."""
        names = sorted(group.members)
        if group.shift:
            return {
                name: set(partitions[(place + group.shift) % len(names) :: len(names)])
                for place, name in enumerate(names)
            }
        most = -(-len(partitions) // len(names))
        left = set(partitions)
        targets: dict[str, set[Partition]] = {}
        for name in names:
            member = group.members[name]
            kept = sorted(member.owned & left)[:most] if member.cooperative else []
            targets[name] = set(kept)
            left -= targets[name]
        for partition in sorted(left):
            targets[min(names, key=lambda each: len(targets[each]))].add(partition)
        return targets


def _refused(code: int) -> KafkaException:
    return KafkaException(KafkaError(code, txn_requires_abort=True))
