"""The members of each consumer group, and the partitions of each member."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from infra.errors import OperatorError
from infra.run.slots import Slot, groups_of, reading_steps_of
from schemas.topics import group, transactional_id
from streams.clients import Partition

TIMEOUT_S = 15.0


@dataclass(frozen=True)
class GroupMembers:
    """A consumer group: `members` maps each member's name (its static ID, else its client ID) to its partitions.

    `ids` maps it to the ID that the group gave the member; a process that joins in a member's place gets another.
    """

    stable: bool
    members: dict[str, tuple[Partition, ...]]
    ids: dict[str, str] = field(default_factory=dict)


def describe_groups(admin: AdminClient, names: Iterable[str]) -> dict[str, GroupMembers]:
    """Return the groups of these names; a group that never had a member is empty.

    Raise OperatorError (code 1) where Kafka doesn't answer in time.
    """
    requested = list(names)
    answers = admin.describe_consumer_groups(requested, request_timeout=TIMEOUT_S) if requested else {}
    members_by_group = {}
    for name, answer in answers.items():
        try:
            description = answer.result(TIMEOUT_S)
        except (KafkaException, TimeoutError) as error:
            raise OperatorError(
                f"Kafka doesn't describe consumer group {name} ({type(error).__name__}); see `mesh local status`",
                code=1,
            ) from error
        members_by_group[name] = GroupMembers(
            description.state == ConsumerGroupState.STABLE,
            {
                member.group_instance_id or member.client_id: tuple(
                    (assigned.topic, assigned.partition) for assigned in member.assignment.topic_partitions
                )
                for member in description.members
            },
            {
                member.group_instance_id or member.client_id: member.member_id
                for member in description.members
            },
        )
    return members_by_group


def all_joined(admin: AdminClient, slots: Sequence[Slot]) -> bool:
    """Return whether every slot is a member of its groups, and each group is stable."""
    by_group = describe_groups(admin, groups_of(slots))
    return all(
        _is_member(by_group[group(step)], slot, step)
        for slot in slots
        for step in reading_steps_of(slot.step)
    )


def partitions_of(by_group: dict[str, GroupMembers], slot: Slot) -> list[Partition]:
    """Return the partitions that are assigned to a slot's worker now."""
    return sorted(
        partition
        for step in reading_steps_of(slot.step)
        for member, partitions in by_group[group(step)].members.items()
        if slot.step == "tracker" or member == transactional_id(step, slot.number)
        for partition in partitions
    )


def _is_member(members: GroupMembers, slot: Slot, step: str) -> bool:
    if slot.step == "tracker":
        return members.stable and bool(members.members)
    return members.stable and transactional_id(step, slot.number) in members.members
