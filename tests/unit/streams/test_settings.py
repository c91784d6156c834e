"""Settings, client properties and inputs of a step: what the pipeline's guarantees depend on."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from streams.kafka_clients import consumer_properties, producer_properties, reader_properties
from streams.settings import PipelineSettings
from streams.step import Step
from tests.unit.streams import toys


@pytest.mark.parametrize(
    "invalid",
    [
        {"batch_record_max": 1},
        {"batch_records_max": 0},
        {"message_timeout_ms": 10_000},
        {"restore_stall_timeout_s": 15},
        {"session_timeout_ms": 20_000, "max_poll_interval_ms": 20_000},
        {"recovery_timeout_s": 120},
    ],
)
def test_an_invalid_setting_is_rejected(invalid: dict[str, Any]) -> None:
    """Reject a misspelt name, a value out of its limits, and a timeout that contradicts another."""
    with pytest.raises(ValidationError):
        PipelineSettings.model_validate(invalid)


def test_client_properties_have_what_the_guarantees_depend_on() -> None:
    """Read committed records, use stable names per slot and Java's partitioner, and never commit or reset offsets."""
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
    # A member that connects late to a broker that is back delays its whole group.
    assert {each["reconnect.backoff.max.ms"] for each in (producer, consumer, reader)} == {1_000}
    assert producer["a"] == consumer["a"] == reader["a"] == 1


@pytest.mark.parametrize("inputs", [["a", "b"], ["^a"], []])
def test_a_stateful_step_reads_exactly_one_topic(inputs: list[str]) -> None:
    """A changelog has its input's partition numbers, so several topics or a pattern are rejected."""
    with pytest.raises(ValueError, match="exactly one topic"):
        Step("total", inputs, str, toys.Total())
