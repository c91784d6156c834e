"""Members of workers that are stopped leave their groups at once, where those would wait for the session's timeout.

A static member doesn't leave as its worker ends: started again, that one has its partitions back. Who forgets a group,
or starts fewer workers, has no use for that, and for ten seconds of waiting neither. librdkafka can't send somebody
else's leave; aiokafka, which Faust brings along, can.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping

from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError, UnknownMemberIdError, for_code
from aiokafka.protocol.group import LeaveGroupRequest
from confluent_kafka.admin import AdminClient

from infra.environment import Environment
from infra.errors import OperatorError
from infra.local.kafka_server import ADMIN
from infra.run.slots import Slot, groups_of, steps_of
from schemas.topics import group, transactional_id

TIMEOUT_S = 15.0
TRACKER = "tracker"


def leave_groups(environment: Environment, stopped: Iterable[Slot]) -> int:
    """Have the members of these slots leave, whose workers must be gone; how many were members still.

    OperatorError: a broker refused, or did not answer in time.
    """
    slots = list(stopped)
    ids = _members(environment, slots) if slots else {}
    if not any(ids.values()):
        return 0
    try:
        return asyncio.run(asyncio.wait_for(_leave(environment, ids), TIMEOUT_S))
    except (KafkaError, TimeoutError) as error:
        raise OperatorError(f"members do not leave: {type(error).__name__}", code=1) from error


def _members(environment: Environment, slots: list[Slot]) -> dict[str, list[str]]:
    """By group, what the broker calls the members of these slots. Whoever is in the tracker's group is its only one."""
    names = {transactional_id(step, slot.number) for slot in slots for step in steps_of(slot.step)}
    admin = AdminClient({**environment.kafka(ADMIN), "log_level": "2"})
    told = admin.describe_consumer_groups(groups_of(slots), request_timeout=TIMEOUT_S)
    return {
        name: [
            member.member_id
            for member in answer.result(TIMEOUT_S).members
            if member.group_instance_id in names or name == group(TRACKER)
        ]
        for name, answer in told.items()
    }


async def _leave(environment: Environment, ids: Mapping[str, list[str]]) -> int:
    client = AIOKafkaClient(**_connection(environment))
    await client.bootstrap()
    try:
        left = 0
        for name, members in ids.items():
            coordinator = await client.coordinator_lookup(CoordinationType.GROUP, name)
            for member in members:
                request = LeaveGroupRequest(name, member)
                answer = await client.send(coordinator, request, group=ConnectionGroup.COORDINATION)
                left += _has_left(answer.error_code)
        return left
    finally:
        await client.close()


def _has_left(code: int) -> bool:
    """Whether it was a member until now; one whose session has just ended is none."""
    error = for_code(code)
    if code and error is not UnknownMemberIdError:
        raise error()
    return not code


def _connection(environment: Environment) -> dict[str, object]:
    """How aiokafka is told what librdkafka's properties tell."""
    told = environment.kafka(ADMIN)
    encrypted = environment.security_protocol == "SASL_SSL"
    return {
        "bootstrap_servers": environment.bootstrap.split(","),
        "security_protocol": environment.security_protocol,
        "sasl_mechanism": environment.sasl_mechanism,
        "sasl_plain_username": told["sasl.username"],
        "sasl_plain_password": told["sasl.password"],
        "ssl_context": ssl.create_default_context(cafile=environment.ssl_ca_location) if encrypted else None,
    }
