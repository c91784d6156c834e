"""Quotas at the brokers of every user that submits, so that none of them can slow the others down.

librdkafka has no requests for quotas. aiokafka has the one that reads them, and the types from which the one that sets
them (AlterClientQuotas, KIP-546) is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, ClassVar, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import DescribeClientQuotasRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Float64, Int16, Int32, Schema, String

from infra.apply.topics_and_acls import TIMEOUT_S, ApplyError
from infra.environment import Environment
from infra.protocol_client import run_requests

#: Quotas of one user: limit by Kafka's name of the quota.
Quotas = Mapping[str, float]

#: Most users in one request: the controller writes a request's changes as one batch of at most 10,000 records.
USERS_MAX: Final = 2_000
_USER: Final = "user"
#: Matches every user that has quotas of its own.
_ANY: Final = 2
_ENTITY: Final = ("entity", Array(("entity_type", String("utf-8")), ("entity_name", String("utf-8"))))


class AlterClientQuotasResponse_v0(Response):  # type: ignore[misc]  # noqa: N801 - named as in aiokafka
    """For each entity the error of its changes, 0 for none."""

    API_KEY = 49
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "entries",
            Array(("error_code", Int16), ("error_message", String("utf-8")), _ENTITY),
        ),
    )


class AlterClientQuotasRequest_v0(RequestStruct):  # type: ignore[misc]  # noqa: N801 - named as in aiokafka
    """Changes of quotas by entity."""

    API_KEY = 49
    API_VERSION = 0
    RESPONSE_TYPE = AlterClientQuotasResponse_v0
    SCHEMA = Schema(
        (
            "entries",
            Array(
                _ENTITY,
                ("ops", Array(("key", String("utf-8")), ("value", Float64), ("remove", Boolean))),
            ),
        ),
        ("validate_only", Boolean),
    )


class AlterClientQuotasRequest(Request[AlterClientQuotasRequest_v0]):  # type: ignore[misc]
    """Sets quotas of users."""

    API_KEY: ClassVar[int] = 49

    def __init__(self, quotas: Mapping[str, Quotas]) -> None:
        self._quotas = quotas

    def build(self, request_struct_class: type[AlterClientQuotasRequest_v0]) -> AlterClientQuotasRequest_v0:
        """Return the request in the version that the broker knows."""
        entries = [
            ([(_USER, user)], [(key, value, False) for key, value in quotas.items()])
            for user, quotas in self._quotas.items()
        ]
        return request_struct_class(entries, False)


def set_quotas(environment: Environment, declared: Mapping[str, Quotas]) -> int:
    """Set the quotas of users that differ from the declared ones; return of how many users.

    Quotas that aren't declared stay. Raise ApplyError where the brokers reject a change, don't know such requests or
    don't answer in time.
    """

    async def change(client: AIOKafkaClient) -> int:
        current = await _current(client)
        different = {
            user: quotas
            for user, quotas in declared.items()
            if not quotas.items() <= current.get(user, {}).items()
        }
        names = iter(different)
        while part := list(islice(names, USERS_MAX)):
            await _alter(client, {user: different[user] for user in part})
        return len(different)

    try:
        return run_requests(environment, change, TIMEOUT_S)
    except (KafkaError, TimeoutError, NotImplementedError) as error:
        raise ApplyError(f"quotas of users can't be set: {type(error).__name__}") from error


async def _current(client: AIOKafkaClient) -> dict[str, dict[str, float]]:
    request = DescribeClientQuotasRequest([(_USER, _ANY, None)], strict=True)
    answer = await client.send(client.get_random_node(), request)
    _raise_for(answer.error_code)
    return {entity[0][1]: dict(values) for entity, values in answer.entries or ()}


async def _alter(client: AIOKafkaClient, quotas: Mapping[str, Quotas]) -> None:
    answer: Any = await client.send(client.get_random_node(), AlterClientQuotasRequest(quotas))
    for error_code, _, _ in answer.entries:
        _raise_for(error_code)


def _raise_for(error_code: int) -> None:
    if error_code:
        raise for_code(error_code)()
