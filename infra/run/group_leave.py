"""Removes the members of stopped workers from their groups, so that no rebalance waits for them.

A worker is a static member. It doesn't leave its group when it ends, because a restarted worker gets its partitions
back. To delete a group, or to start fewer workers, its members must leave, which would take a session timeout of ten
seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError, UnknownMemberIdError, for_code
from aiokafka.protocol.group import LeaveGroupRequest
from confluent_kafka.admin import AdminClient

from infra.environment import Environment
from infra.errors import OperatorError
from infra.local.kafka_server import ADMIN
from infra.protocol_client import run_requests
from infra.run.slots import Slot, groups_of, steps_of
from schemas.topics import group, transactional_id

TIMEOUT_S = 15.0
TRACKER = "tracker"


def leave_groups(environment: Environment, stopped: Iterable[Slot]) -> int:
    """Remove the members of these slots, whose workers must have ended; return how many still were members.

    Raise OperatorError (code 1) where a broker rejects the request or doesn't answer in time.
    """
    slots = [slot for slot in stopped if groups_of([slot])]
    member_ids = _member_ids(environment, slots) if slots else {}
    if not any(member_ids.values()):
        return 0
    try:
        return run_requests(environment, lambda client: _leave(client, member_ids), TIMEOUT_S)
    except (KafkaError, TimeoutError) as error:
        raise OperatorError(
            f"members of stopped workers can't be removed from their groups ({type(error).__name__}); "
            "run the command again",
            code=1,
        ) from error


def _member_ids(environment: Environment, slots: list[Slot]) -> dict[str, list[str]]:
    """Return the broker's member IDs of these slots by group. The tracker's group has only its one member."""
    names = {transactional_id(step, slot.number) for slot in slots for step in steps_of(slot.step)}
    admin = AdminClient({**environment.kafka(ADMIN), "log_level": "2"})
    answers = admin.describe_consumer_groups(groups_of(slots), request_timeout=TIMEOUT_S)
    return {
        name: [
            member.member_id
            for member in answer.result(TIMEOUT_S).members
            if member.group_instance_id in names or name == group(TRACKER)
        ]
        for name, answer in answers.items()
    }


async def _leave(client: AIOKafkaClient, member_ids: Mapping[str, list[str]]) -> int:
    removed = 0
    for name, members in member_ids.items():
        coordinator = await client.coordinator_lookup(CoordinationType.GROUP, name)
        for member in members:
            request = LeaveGroupRequest(name, member)
            answer = await client.send(coordinator, request, group=ConnectionGroup.COORDINATION)
            removed += _was_member(answer.error_code)
    return removed


def _was_member(code: int) -> bool:
    """Return whether the request removed a member; False if its session had just ended. Raise other errors."""
    error = for_code(code)
    if code and error is not UnknownMemberIdError:
        raise error()
    return not code
