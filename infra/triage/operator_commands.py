"""An officer's act, published on `in.operator` as an event, so that a replay repeats it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from infra.environment import Environment
from infra.errors import OperatorError
from schemas.codec import Codec
from schemas.tables import table_from_rows
from schemas.topics import input_topic, source_user

OPERATOR = "operator"
TIMEOUT_S = 20.0
#: As large as a hand-over may be.
RECORD_BYTES_MAX = 4_000_000


def submit_command(environment: Environment, codec: Codec, act: Mapping[str, Any]) -> None:
    """Publish an act, and return when the broker has it. OperatorError: it did not take it."""
    value = codec.encode("operator-command", table_from_rows("operator-command", [act])).to_pylist()[0]
    refused: list[KafkaError | None] = []
    user = environment.kafka(source_user(OPERATOR))
    producer = Producer({**user, "enable.idempotence": True, "message.max.bytes": RECORD_BYTES_MAX})

    def delivered(error: KafkaError | None, _: Message) -> None:
        refused.append(error)

    producer.produce(input_topic(OPERATOR), value, on_delivery=delivered)
    if producer.flush(TIMEOUT_S) or any(refused):
        raise OperatorError("the broker did not take it", code=1)
