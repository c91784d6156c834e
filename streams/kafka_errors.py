"""What follows from an error of Kafka's: fenced or unknown stops us; we never guess."""

from __future__ import annotations

from enum import Enum
from typing import Final

from confluent_kafka import KafkaError

from streams.errors import DeniedError, FencedError, LostRecordsError, StoppedError, StreamError


class ErrorAction(Enum):
    """What to do about a failed call of a transaction."""

    RETRY = "the same call again"
    ABORT = "abort, and go back to the committed offsets"
    REPLACE = "unknown what took place: a new producer with the same transactional.id decides it"
    STOP = "this client can't go on"


#: Outcome unknown, or a producer whose state only a new one can clear.
_UNKNOWN: Final = frozenset(
    {
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError._STATE,
        KafkaError._CONFLICT,
        KafkaError.INVALID_TXN_STATE,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
    }
)
_FENCED: Final = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
        KafkaError.FENCED_INSTANCE_ID,
    }
)
_DENIED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError._AUTHENTICATION,
    }
)
_MISSING: Final = frozenset(
    {KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART}
)
_LOST: Final = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})


def error_action(error: KafkaError) -> ErrorAction:
    """The verdict on a failed call of a transaction.

    A timeout is never retried, although librdkafka calls it retriable: without an epoch per transaction (KIP-890) a
    late commit could hit a later transaction. Nor is an abort that meets the first produce in flight.
    A group that moved on (a static member's instance id taken over) is told by the consumer, so aborting is enough.
    """
    if error.code() in _UNKNOWN:
        return ErrorAction.REPLACE
    if error.txn_requires_abort():
        return ErrorAction.ABORT
    if error.fatal() or error.code() in _FENCED:
        return ErrorAction.STOP
    return ErrorAction.RETRY if error.retriable() else ErrorAction.STOP


def stopped_by(error: KafkaError) -> StreamError:
    """The error to stop with; its text is Kafka's name of the error, which holds no data."""
    kinds = ((_FENCED, FencedError), (_DENIED | _MISSING, DeniedError), (_LOST, LostRecordsError))
    for codes, kind in kinds:
        if error.code() in codes:
            return kind(error.name())
    return StoppedError(error.name())


def read_error(error: KafkaError) -> StreamError | None:
    """What a consumer's error means: None where the client goes on by itself (a broker away, a topic not there yet).

    librdkafka tells a static member that another took over its slot by `_FATAL`, and doesn't mark that as fatal.
    """
    if error.code() == KafkaError._FATAL:
        return FencedError("another member is in this worker's slot")
    known = error.code() in _FENCED | _DENIED | _LOST
    return stopped_by(error) if known or error.fatal() else None
