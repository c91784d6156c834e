"""The reaction to each Kafka error. An error without a known reaction stops the worker: none is guessed."""

from __future__ import annotations

from enum import Enum
from typing import Final

from confluent_kafka import KafkaError

from streams.errors import DeniedError, FencedError, LostRecordsError, StoppedError, StreamError


class ErrorAction(Enum):
    """The reaction to a failed call of a transaction."""

    RETRY = "repeat the call"
    ABORT = "abort, then seek to the committed offsets"
    REPLACE = "the outcome is unknown: a new producer with the same transactional.id settles it"
    STOP = "stop: this client can't continue"


#: The outcome is unknown, or this producer can't continue but a new one can.
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
#: The log doesn't have the offset to read from.
LOST: Final = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})


def error_action(error: KafkaError) -> ErrorAction:
    """Return the reaction to a failed call of a transaction.

    A timeout is never retried, although librdkafka marks it as retriable: without an epoch per transaction (KIP-890) a
    late commit could end a later transaction. Nor is an abort retried that failed because the first produce request was
    in flight. If another member has taken over the group instance id, aborting is enough: the consumer reports that.
    """
    if error.code() in _UNKNOWN:
        return ErrorAction.REPLACE
    if error.txn_requires_abort():
        return ErrorAction.ABORT
    if error.fatal() or error.code() in _FENCED:
        return ErrorAction.STOP
    return ErrorAction.RETRY if error.retriable() else ErrorAction.STOP


def stopped_by(error: KafkaError) -> StreamError:
    """Return the exception to stop with; its message is the name of the Kafka error, which contains no data."""
    types = ((_FENCED, FencedError), (_DENIED | _MISSING, DeniedError), (LOST, LostRecordsError))
    for codes, error_type in types:
        if error.code() in codes:
            return error_type(error.name())
    return StoppedError(error.name())


def read_error(error: KafkaError) -> StreamError | None:
    """Return the exception that a consumer's error stops the worker with, or None if the client recovers by itself.

    It does, for example, if a broker is away or a topic doesn't exist yet. librdkafka reports `_FATAL` to a static
    member whose slot another member has taken over, without marking it as fatal.
    """
    if error.code() == KafkaError._FATAL:
        return FencedError("another group member has taken over this worker's slot")
    known = error.code() in _FENCED | _DENIED | LOST
    return stopped_by(error) if known or error.fatal() else None
