"""The group coordinator: generations, static members, eager and cooperative rebalances, stored and pending offsets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException

from streams.clients import Partition
from tests.simulation.log import Log, Transaction, TransactionState

#: How long brokers wait for members to rejoin before they continue without them.
_REJOIN_TIMEOUT_S = 120.0


class StoredOffset(NamedTuple):
    """A committed offset with its metadata."""

    offset: int
    metadata: str = ""


#: Kafka's value for "nothing was committed".
NO_OFFSET: Final = StoredOffset(-1001)


class MemberMetadata(NamedTuple):
    """A member's identity, sent with its offsets. Without generation and instance the coordinator can't check it."""

    group: str
    generation: int = -1
    member: int = 0
    instance: str | None = None


@dataclass(eq=False)
class SimMember:
    """One static member. `is_responsive` returns False while its process is paused or dead."""

    instance: str
    number: int
    topics: tuple[str, ...]
    session_s: float
    cooperative: bool
    is_responsive: Callable[[], bool]
    joined: bool = False
    #: What its client knows: the generation and the assigned partitions.
    generation: int = -1
    assigned: set[Partition] = field(default_factory=set)
    #: Partitions that it has not given up yet.
    owned: set[Partition] = field(default_factory=set)
    #: Whether the application has not seen `assigned` yet.
    assignment_pending: bool = False
    error: KafkaError | None = None


@dataclass
class Group:
    """One consumer group."""

    generation: int = 0
    members: dict[str, SimMember] = field(default_factory=dict)
    preparing: bool = False
    round: int = 0
    #: By how many members partitions are rotated; 0: the assignment is sticky.
    rotation: int = 0
    offsets: dict[Partition, StoredOffset] = field(default_factory=dict)
    pending: dict[Transaction, dict[Partition, StoredOffset]] = field(default_factory=dict)
    #: The replaced offset of every commit, in order.
    replaced_offsets: list[tuple[Partition, StoredOffset]] = field(default_factory=list)

    def commit(self, offsets: Mapping[Partition, StoredOffset]) -> None:
        """Store committed offsets."""
        self.replaced_offsets += [
            (partition, self.offsets.get(partition, NO_OFFSET)) for partition in offsets
        ]
        self.offsets.update(offsets)

    def offsets_before(self, changes: int) -> dict[Partition, StoredOffset]:
        """Return the offsets as they were that many changes ago."""
        offsets = dict(self.offsets)
        for partition, replaced in reversed(
            self.replaced_offsets[max(0, len(self.replaced_offsets) - changes) :]
        ):
            offsets[partition] = replaced
        return offsets


class GroupCoordinator:
    """The coordinator of all groups."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._groups: dict[str, Group] = {}
        self._numbers = 0
        #: How many changes a stale coordinator is behind. It was deposed and doesn't know it.
        self.stale_by = 0
        log.on_new_topic(self._topic_created)

    def group(self, name: str) -> Group:
        """Return the group, created on first use."""
        return self._groups.setdefault(name, Group())

    def join(self, name: str, member: SimMember) -> None:
        """Add a member. One with a known instance id fences its predecessor and receives its partitions at once."""
        group = self.group(name)
        self._numbers += 1
        member.number = self._numbers
        predecessor = group.members.get(member.instance)
        group.members[member.instance] = member
        member.joined = True
        if predecessor is not None:
            predecessor.error = KafkaError(KafkaError._FATAL)
            if not group.preparing:
                member.assigned, member.generation = set(predecessor.assigned), group.generation
                member.assignment_pending = True
                return
        if not group.preparing:
            self.rebalance(name)
            member.joined = True
        self._complete(name, group)

    def rotate_assignment(self, name: str) -> None:
        """Rebalance so that every member receives other partitions."""
        self.group(name).rotation += 1
        self.rebalance(name)

    def rebalance(self, name: str) -> None:
        """Require every member to rejoin."""
        group = self.group(name)
        group.preparing, group.round = True, group.round + 1
        for member in group.members.values():
            member.joined = False
        self._log.time.after(_REJOIN_TIMEOUT_S, partial(self._expel_missing, name, group.round))
        self.heartbeats(name)

    def heartbeats(self, name: str) -> None:
        """Let responsive clients rejoin; the application handles the new assignment at its next read."""
        group = self.group(name)
        if group.preparing:
            for member in group.members.values():
                if not member.joined and member.is_responsive() and (member.cooperative or not member.owned):
                    member.joined = True
                    # By rejoining, an eager member drops an assignment that its application has not seen.
                    member.assignment_pending = member.assignment_pending and member.cooperative
            self._complete(name, group)

    def silence(self, name: str, member: SimMember) -> None:
        """Expel the member after its session timeout, unless its client answers again by then."""
        self._log.time.after(member.session_s, partial(self._expire, name, member))

    def expel(self, name: str, member: SimMember) -> None:
        """Remove a member, whatever its client believes."""
        group = self.group(name)
        if group.members.get(member.instance) is member:
            del group.members[member.instance]
            member.generation = -1
            member.error = member.error or KafkaError(KafkaError.UNKNOWN_MEMBER_ID)
            if group.members:
                self.rebalance(name)

    def partitions_revoked(self, name: str, member: SimMember) -> None:
        """Continue the rebalance after a member gave up partitions, which others may now receive."""
        group = self.group(name)
        if not member.cooperative:
            self.heartbeats(name)
        elif group.members.get(member.instance) is member and not group.preparing:
            self.rebalance(name)

    def check_member(self, metadata: MemberMetadata) -> None:
        """Raise KafkaException if a member is unknown, fenced or of an old generation. Accept one without identity."""
        group = self.group(metadata.group)
        if metadata.instance is None and metadata.generation < 0:
            return
        member = group.members.get(metadata.instance or "")
        if member is None:
            raise _rejected(KafkaError.UNKNOWN_MEMBER_ID)
        if member.number != metadata.member:
            raise _rejected(KafkaError.FENCED_INSTANCE_ID)
        if metadata.generation != group.generation:
            raise _rejected(KafkaError.ILLEGAL_GENERATION)

    def committed_offset(self, name: str, partition: Partition) -> StoredOffset | None:
        """Return the offset that a member is answered, or None while it is unstable."""
        group = self.group(name)
        if self.stale_by:
            return group.offsets_before(self.stale_by).get(partition, NO_OFFSET)
        return (
            None if self.has_unstable_offsets(name, [partition]) else group.offsets.get(partition, NO_OFFSET)
        )

    def add_pending_offsets(
        self, name: str, transaction: Transaction, offsets: Mapping[Partition, StoredOffset]
    ) -> None:
        """Record offsets that are stored when their transaction is committed."""
        self.group(name).pending.setdefault(transaction, {}).update(offsets)

    def end_transaction(self, name: str, transaction: Transaction) -> None:
        """Store or drop the pending offsets of a transaction: its marker has reached the group."""
        group = self.group(name)
        offsets = group.pending.pop(transaction, {})
        if transaction.state is TransactionState.COMMITTED:
            group.commit(offsets)

    def has_unstable_offsets(self, name: str, partitions: Iterable[Partition]) -> bool:
        """Return whether a transaction has pending offsets of any of these partitions."""
        requested = set(partitions)
        return any(not requested.isdisjoint(offsets) for offsets in self.group(name).pending.values())

    def unassigned_partitions(self, name: str, inputs: Iterable[str]) -> frozenset[Partition]:
        """Return the partitions that no member is assigned; none while the group rebalances."""
        group = self.group(name)
        if group.preparing or not group.members:
            return frozenset()
        assigned = set[Partition]().union(*(member.assigned for member in group.members.values()))
        return frozenset(self._log.matching_partitions(list(inputs))) - assigned

    def _topic_created(self, topic: str) -> None:
        for name, group in self._groups.items():
            if any(self._subscribed(member, topic) for member in group.members.values()):
                self.rebalance(name)

    def _subscribed(self, member: SimMember, topic: str) -> bool:
        return any((topic, 0) == partition for partition in self._log.matching_partitions(member.topics))

    def _expire(self, name: str, member: SimMember) -> None:
        if not member.is_responsive():
            self.expel(name, member)

    def _expel_missing(self, name: str, number: int) -> None:
        group = self.group(name)
        if group.preparing and group.round == number:
            for member in [member for member in group.members.values() if not member.joined]:
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
        targets = self._assign(group, self._log.matching_partitions(topics))
        for member in group.members.values():
            others = [other for other in group.members.values() if other is not member]
            owned_by_others = set().union(*(other.owned for other in others))
            member.assigned = targets[member.instance] - owned_by_others
            member.generation, member.assignment_pending = group.generation, True

    def _assign(self, group: Group, partitions: Sequence[Partition]) -> dict[str, set[Partition]]:
        """Return a sticky assignment: members keep their share, and the rest goes to those with the fewest."""
        names = sorted(group.members)
        if group.rotation:
            return {
                name: set(partitions[(index + group.rotation) % len(names) :: len(names)])
                for index, name in enumerate(names)
            }
        partitions_max = -(-len(partitions) // len(names))
        remaining = set(partitions)
        targets: dict[str, set[Partition]] = {}
        for name in names:
            member = group.members[name]
            kept = sorted(member.owned & remaining)[:partitions_max] if member.cooperative else []
            targets[name] = set(kept)
            remaining -= targets[name]
        for partition in sorted(remaining):
            targets[min(names, key=lambda name: len(targets[name]))].add(partition)
        return targets


def _rejected(code: int) -> KafkaException:
    return KafkaException(KafkaError(code, txn_requires_abort=True))
