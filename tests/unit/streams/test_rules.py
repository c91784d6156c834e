"""Verdicts, settings and client properties: the rules that the pipeline's promises rest on."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError
from pydantic import ValidationError

from streams.kafka_clients import consumer_properties, producer_properties, reader_properties
from streams.kafka_errors import ErrorAction, error_action, read_error
from streams.settings import PipelineSettings
from streams.step import Step
from tests.unit.streams import toys


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KafkaError(KafkaError._TIMED_OUT, retriable=True), ErrorAction.REPLACE),
        (KafkaError(KafkaError._TIMED_OUT_QUEUE), ErrorAction.REPLACE),
        (KafkaError(KafkaError.REQUEST_TIMED_OUT, retriable=True), ErrorAction.REPLACE),
        (KafkaError(KafkaError.INVALID_TXN_STATE, fatal=True), ErrorAction.REPLACE),
        (KafkaError(KafkaError._STATE), ErrorAction.REPLACE),
        (KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS, retriable=True), ErrorAction.RETRY),
        (KafkaError(KafkaError.ILLEGAL_GENERATION, txn_requires_abort=True), ErrorAction.ABORT),
        (KafkaError(KafkaError.FENCED_INSTANCE_ID, txn_requires_abort=True), ErrorAction.ABORT),
        (KafkaError(KafkaError._FENCED, fatal=True), ErrorAction.STOP),
        (KafkaError(KafkaError.PRODUCER_FENCED, retriable=True), ErrorAction.STOP),
        (KafkaError(KafkaError._FATAL, fatal=True), ErrorAction.STOP),
        (KafkaError(KafkaError.UNKNOWN), ErrorAction.STOP),
    ],
)
def test_each_error_has_its_verdict(error: KafkaError, expected: ErrorAction) -> None:
    """A timeout is never retried; fenced, fatal or unflagged stops."""
    assert error_action(error) is expected


def test_a_broker_away_is_no_reason_to_stop_reading() -> None:
    """What the client mends by itself is let be; offsets out of the log and rights that are missing aren't."""
    assert read_error(KafkaError(KafkaError._ALL_BROKERS_DOWN)) is None
    assert read_error(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)) is None
    assert type(read_error(KafkaError(KafkaError._AUTO_OFFSET_RESET))).__name__ == "LostRecordsError"
    assert type(read_error(KafkaError(KafkaError.FENCED_INSTANCE_ID, fatal=True))).__name__ == "FencedError"
    assert type(read_error(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))).__name__ == "DeniedError"


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_record_max": 1},
        {"batch_records_max": 0},
        {"message_timeout_ms": 10_000},
        {"session_timeout_ms": 20_000, "max_poll_interval_ms": 20_000},
        {"recovery_timeout_s": 120},
    ],
)
def test_a_wrong_setting_fails(wrong: dict[str, Any]) -> None:
    """Misspelt, out of its limits, or at odds with another one."""
    with pytest.raises(ValidationError):
        PipelineSettings.model_validate(wrong)


def test_properties_keep_to_the_design() -> None:
    """Committed reads everywhere, stable names per slot, Java's partitioner, no offset made up or committed aside."""
    settings = PipelineSettings()
    producer = producer_properties({"a": 1}, "mesh.x.0", settings)
    consumer = consumer_properties({"a": 1}, "mesh.x", "mesh.x.0", settings)
    reader = reader_properties({"a": 1}, "mesh.x")
    assert producer["transactional.id"] == consumer["group.instance.id"] == "mesh.x.0"
    assert producer["partitioner"] == "murmur2_random"
    assert producer["message.timeout.ms"] < producer["transaction.timeout.ms"] == 10_000
    assert {consumer["isolation.level"], reader["isolation.level"]} == {"read_committed"}
    assert consumer["enable.auto.commit"] is reader["enable.auto.commit"] is False
    assert consumer["auto.offset.reset"] == "error"
    assert "group.instance.id" not in reader
    # Whoever waits longer for a broker that is back already holds up its whole group.
    assert {each["reconnect.backoff.max.ms"] for each in (producer, consumer, reader)} == {1_000}
    assert producer["a"] == consumer["a"] == reader["a"] == 1


def test_a_step_with_state_reads_one_topic() -> None:
    """Its changelog has the partition numbers of its input: two inputs, or an expression, have none."""
    for inputs in (["a", "b"], ["^a"], []):
        with pytest.raises(ValueError, match="exactly one topic"):
            Step("total", inputs, str, toys.Total())
