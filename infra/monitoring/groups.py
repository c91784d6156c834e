"""Who is in each consumer group, and which partitions each member has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from infra.errors import OperatorError
from infra.run.slots import Slot, groups_of, steps_of
from schemas.topics import group, transactional_id
from streams.clients import Partition

TIMEOUT_S = 15.0


@dataclass(frozen=True)
class GroupMembers:
    """A consumer group: `members` maps each member's name (its static id, else its client id) to its partitions."""

    stable: bool
    members: dict[str, tuple[Partition, ...]]


def groups(admin: AdminClient, names: Iterable[str]) -> dict[str, GroupMembers]:
    """The groups of these names; one that nobody ever joined has no members. OperatorError: no answer in time."""
    wanted = list(names)
    told = admin.describe_consumer_groups(wanted, request_timeout=TIMEOUT_S) if wanted else {}
    found = {}
    for name, answer in told.items():
        try:
            described = answer.result(TIMEOUT_S)
        except (KafkaException, TimeoutError) as error:
            raise OperatorError(
                f"Kafka doesn't tell of group {name}: {type(error).__name__}", code=1
            ) from error
        found[name] = GroupMembers(
            described.state == ConsumerGroupState.STABLE,
            {
                member.group_instance_id or member.client_id: tuple(
                    (each.topic, each.partition) for each in member.assignment.topic_partitions
                )
                for member in described.members
            },
        )
    return found


def ready(admin: AdminClient, slots: Sequence[Slot]) -> bool:
    """Whether every slot is a member of its groups, and each group is stable."""
    found = groups(admin, groups_of(slots))
    return all(_has(found[group(step)], slot, step) for slot in slots for step in steps_of(slot.step))


def partitions_of(found: dict[str, GroupMembers], slot: Slot) -> list[Partition]:
    """What a slot's worker has now."""
    return sorted(
        partition
        for step in steps_of(slot.step)
        for member, partitions in found[group(step)].members.items()
        if slot.step == "tracker" or member == transactional_id(step, slot.number)
        for partition in partitions
    )


def _has(found: GroupMembers, slot: Slot, step: str) -> bool:
    if slot.step == "tracker":
        return found.stable and bool(found.members)
    return found.stable and transactional_id(step, slot.number) in found.members
