"""Operator commands, published on `in.operator`: a replay repeats them, as it repeats every submission."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from infra.environment import Environment
from infra.errors import OperatorError
from processors.intake.submission_limits import CHARACTERS_MAX
from schemas.codec import Codec
from schemas.submission_schemas import OPERATOR_COMMAND
from schemas.systems import OPERATOR
from schemas.tables import table_from_rows
from schemas.topics import input_topic, source_user

TIMEOUT_S = 20.0
#: The limit of a submission, because a resubmission contains one.
RECORD_BYTES_MAX = 4_000_000


#: Longest reason that intake accepts in a command, in characters.
REASON_MAX = CHARACTERS_MAX["reason"]


def require_reason(reason: str) -> None:
    """Raise OperatorError for a reason that is empty or longer than intake accepts."""
    if not reason.strip() or len(reason) > REASON_MAX:
        raise OperatorError(f"--reason must have 1 to {REASON_MAX} characters: say why you decide so")


def submit_command(environment: Environment, codec: Codec, command: Mapping[str, Any]) -> None:
    """Publish a row of `operator-command` and return when the broker has it.

    Raise OperatorError (code 1) where the broker rejects it or doesn't answer in time.
    """
    value = codec.encode(OPERATOR_COMMAND, table_from_rows(OPERATOR_COMMAND, [command])).to_pylist()[0]
    errors: list[KafkaError | None] = []
    user = environment.kafka(source_user(OPERATOR))
    producer = Producer({**user, "enable.idempotence": True, "message.max.bytes": RECORD_BYTES_MAX})

    def delivered(error: KafkaError | None, _: Message) -> None:
        errors.append(error)

    producer.produce(input_topic(OPERATOR), value, on_delivery=delivered)
    if producer.flush(TIMEOUT_S) or any(errors):
        raise OperatorError(f"the broker did not accept the command on {input_topic(OPERATOR)}", code=1)
