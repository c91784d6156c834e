"""The reaction to each Kafka error."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from streams.errors import DeniedError, FencedError, LostRecordsError
from streams.kafka_errors import ErrorAction, error_action, read_error


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
def test_each_error_of_a_transaction_has_its_action(error: KafkaError, expected: ErrorAction) -> None:
    """A timeout is never retried; an error that is fenced, fatal or without any flag stops the worker."""
    assert error_action(error) is expected


def test_an_error_that_the_client_recovers_from_does_not_stop_the_consumer() -> None:
    """An unavailable broker and a missing topic may come back."""
    assert read_error(KafkaError(KafkaError._ALL_BROKERS_DOWN)) is None
    assert read_error(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)) is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KafkaError(KafkaError._AUTO_OFFSET_RESET), LostRecordsError),
        (KafkaError(KafkaError.FENCED_INSTANCE_ID, fatal=True), FencedError),
        (KafkaError(KafkaError._FATAL), FencedError),
        (KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED), DeniedError),
    ],
)
def test_lost_offsets_fencing_and_missing_permissions_stop_the_consumer(
    error: KafkaError, expected: type[Exception]
) -> None:
    """Another attempt of this worker can't succeed. librdkafka doesn't mark `_FATAL` as fatal."""
    assert type(read_error(error)) is expected
