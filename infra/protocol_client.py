"""A client for the few requests to the brokers that librdkafka can't send; aiokafka, a dependency of Faust, can."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from aiokafka.client import AIOKafkaClient

from infra.environment import Environment
from infra.local.kafka_server import ADMIN

T = TypeVar("T")


def run_requests(
    environment: Environment, requests: Callable[[AIOKafkaClient], Awaitable[T]], timeout_s: float
) -> T:
    """Return the result of `requests`, called with a client of the administrator.

    Raise TimeoutError after `timeout_s`; errors of aiokafka pass through.
    """

    async def run() -> T:
        async with _client(environment) as client:
            return await requests(client)

    return asyncio.run(asyncio.wait_for(run(), timeout_s))


@asynccontextmanager
async def _client(environment: Environment) -> AsyncIterator[AIOKafkaClient]:
    client = AIOKafkaClient(**_connection(environment))
    await client.bootstrap()
    try:
        yield client
    finally:
        await client.close()


def _connection(environment: Environment) -> dict[str, object]:
    """Return the arguments of an aiokafka client, from the properties of librdkafka."""
    properties = environment.kafka(ADMIN)
    encrypted = environment.security_protocol == "SASL_SSL"
    return {
        "bootstrap_servers": environment.bootstrap.split(","),
        "security_protocol": environment.security_protocol,
        "sasl_mechanism": environment.sasl_mechanism,
        "sasl_plain_username": properties["sasl.username"],
        "sasl_plain_password": properties["sasl.password"],
        "ssl_context": ssl.create_default_context(cafile=environment.ssl_ca_location) if encrypted else None,
    }
